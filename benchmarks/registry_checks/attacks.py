"""Hostile files and hostile folders against the artifact store and the loaders; what is executed or escapes is counted."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.registry_checks.hostile_files import corpus
from huracan.errors import HuracanError
from huracan.registry import load_model
from huracan.storage import ArtifactStore

__all__ = ["Attack", "attack_everything"]

_EXECUTIONS = ("os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen", "pickle.find_class", "socket.connect")


@dataclass
class Attack:
    """Attempts of one kind: how many, how many were refused in a sentence, and what they achieved."""

    kind: str
    attempts: int = 0
    refused: int = 0
    executions: int = 0
    escaped: int = 0
    said: str = ""


def attack_everything(folder: Path) -> list[Attack]:
    """Try every attack in a store inside ``folder``; nothing outside the store may come to be."""
    mark = folder / "mark"
    store = ArtifactStore(folder / "deep" / "er" / "store")
    found = [_tried(kind, [_loading(store, files) for files in models], folder) for kind, models in corpus(mark).items()]
    found.append(_tried("names that leave the folder", [_putting(store, name) for name in _BAD_NAMES], folder))
    found.append(_tried("manifest that names other files", [_manifest(store, name) for name in _BAD_NAMES], folder))
    found.append(_tried("file or folder that is a link", [_linked(store, folder, how) for how in range(4)], folder))
    found.append(_tried("file that has grown beyond the disk", [_grown(store, how) for how in range(2)], folder))
    found.append(_tried("pipe or device in a file's place", [_piped(store)], folder))
    return found


_BAD_NAMES = (
    "../x",
    "/etc/x",
    "a/b",
    "a\\b",
    "..",
    ".hidden",
    "x\n",
    "x\x00y",
    "manifest.json",
    "MANIFEST.JSON",
    "C:x",
    "",
    "é",
)


def _tried(kind: str, attempts: list[Callable[[], Any]], folder: Path) -> Attack:
    found = Attack(kind)
    for attempt in attempts:
        before = _outside(folder)
        with _watched() as executed:
            try:
                attempt()
            except HuracanError as error:
                found.refused += 1
                found.said = found.said or str(error)
        found.attempts += 1
        found.executions += len(executed)
        found.escaped += len(_outside(folder) - before)
    return found


_heard: list[str] | None = None
_listens = False


def _listen(event: str, _arguments: tuple[Any, ...]) -> None:
    if _heard is not None and event in _EXECUTIONS:
        _heard.append(event)


@contextmanager
def _watched() -> Iterator[list[str]]:
    """What Python itself reports as executed within the block: processes, connections, classes fetched by a pickle."""
    global _heard, _listens
    if not _listens:  # a hook cannot be taken away again, so it is one for all blocks
        sys.addaudithook(_listen)
        _listens = True
    executed: list[str] = []
    _heard = executed
    try:
        yield executed
    finally:
        _heard = None


def _outside(folder: Path) -> set[Path]:
    """Every file below ``folder`` that is not in the store."""
    return {path for path in folder.rglob("*") if not path.is_dir() and "store" not in path.parts}


def _loading(store: ArtifactStore, files: dict[str, bytes]) -> Callable[[], Any]:
    return lambda: load_model(store.get(store.put(files).digest))


def _putting(store: ArtifactStore, name: str) -> Callable[[], Any]:
    return lambda: store.put({name: b"x"})


def _manifest(store: ArtifactStore, name: str) -> Callable[[], Any]:
    """Lay down a folder whose manifest has the right hash and names a file elsewhere."""

    def read() -> Any:
        entry = {"sha256": hashlib.sha256(b"").hexdigest(), "bytes": 0}
        written = json.dumps({"format": 2, "files": {name: entry}}).encode()
        digest = hashlib.sha256(written).hexdigest()
        store.path(digest).mkdir(parents=True, exist_ok=True)
        (store.path(digest) / "manifest.json").write_bytes(written)
        return store.get(digest)

    return read


def _linked(store: ArtifactStore, folder: Path, how: int) -> Callable[[], Any]:
    """Put a link in the place of a file, an artifact, or a shelf that is read, or of the folder that is written into."""

    def act() -> Any:
        files = {"model.txt": f"linked {how}".encode()}
        if how == 3:
            digest = ArtifactStore(folder / "other" / "store").put(files).digest
            shelf = store.path(digest).parent
            if shelf.exists():
                shelf.rename(folder / "store" / "moved3")
            shelf.symlink_to(folder, target_is_directory=True)
            try:
                return store.put(files)
            finally:
                shelf.unlink()
        digest = store.put(files).digest
        place = [store.path(digest) / "model.txt", store.path(digest), store.path(digest).parent][how]
        moved = folder / "store" / f"moved{how}"
        moved.parent.mkdir(exist_ok=True)
        place.rename(moved)
        place.symlink_to(moved)
        return store.get(digest)

    return act


def _grown(store: ArtifactStore, how: int) -> Callable[[], Any]:
    def read() -> Any:
        digest = store.put({"model.txt": f"grown {how}".encode()}).digest
        os.truncate(store.path(digest) / ("model.txt", "manifest.json")[how], 1 << 40)
        return store.get(digest)

    return read


def _piped(store: ArtifactStore) -> Callable[[], Any]:
    def read() -> Any:
        digest = store.put({"model.txt": b"piped"}).digest
        (store.path(digest) / "model.txt").unlink()
        os.mkfifo(store.path(digest) / "model.txt")
        return store.get(digest)

    return read
