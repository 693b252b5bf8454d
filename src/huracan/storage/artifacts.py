"""``ArtifactStore``: bytes kept under the hash of their content, whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from huracan.errors import ArtifactError, StorageError
from huracan.storage.json_values import from_json, to_json
from huracan.storage.tables import utc_now
from huracan.storage.whole_files import flush_folder

__all__ = ["ArtifactRef", "ArtifactStore", "library_versions"]

_MANIFEST = "manifest.json"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_LIBRARIES = (
    *("huracan", "numpy", "polars", "scipy", "bottleneck", "TA-Lib"),
    *("scikit-learn", "skops", "xgboost-cpu", "xgboost", "lightgbm", "torch"),
)


@dataclass(frozen=True)
class ArtifactRef:
    """Where some files are kept: ``digest`` (SHA-256 over their names and contents) and the manifest beside them."""

    digest: str
    manifest: Mapping[str, object]


class ArtifactStore:
    """A folder of immutable artifacts, each a handful of files under the SHA-256 of their names and contents.

    An artifact is written aside, flushed to the disk and renamed into place, so a crash or a full disk leaves either
    the whole artifact or none. Equal content is stored once. What :meth:`get` returns has been checked against its
    hash, byte for byte, before the caller sees any of it.

    Parameters
    ----------
    folder : made on the first :meth:`put`.
    max_bytes : the most that one artifact may hold, in bytes.

    Examples
    --------
    >>> import tempfile
    >>> store = ArtifactStore(tempfile.mkdtemp())
    >>> ref = store.put({"model.txt": b"trees"})
    >>> store.get(ref.digest)
    {'model.txt': b'trees'}
    """

    def __init__(self, folder: str | Path, *, max_bytes: int = 4 << 30) -> None:
        self.folder = Path(folder)
        self.max_bytes = max_bytes

    def __repr__(self) -> str:
        return f"ArtifactStore({str(self.folder)!r})"

    def path(self, digest: str) -> Path:
        """The folder of the artifact ``digest``, whether it is there or not."""
        if not _DIGEST.fullmatch(digest):
            raise ArtifactError(f"'{digest}' is not an artifact digest; 64 lower-case hexadecimal digits were expected.")
        return self.folder / digest[:2] / digest

    def digests(self) -> list[str]:
        """Digests of every artifact that is whole, sorted."""
        with self._translated("listed"):
            return sorted(p.name for p in self.folder.glob("??/*") if _DIGEST.fullmatch(p.name))

    def put(self, files: Mapping[str, bytes]) -> ArtifactRef:
        """Keep ``files`` (name -> content).

        Raises
        ------
        ArtifactError : a name is unsafe, there is nothing to keep, or it is larger than ``max_bytes``.
        StorageError : the folder is read-only or the disk is full; nothing is left behind.
        """
        self._check_names(files)
        entries = {
            name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)} for name, data in sorted(files.items())
        }
        digest = _digest_of(entries)
        manifest = {
            "format": 1,
            "digest": digest,
            "files": entries,
            "versions": library_versions(),
            "created_at": utc_now().isoformat(),
        }
        final = self.path(digest)
        with self._translated("written"):
            if final.exists():
                if self._is_whole(digest):
                    return ArtifactRef(digest, self.manifest(digest))
                self._set_aside(final)
            (self.folder / ".incoming").mkdir(parents=True, exist_ok=True)
            final.parent.mkdir(exist_ok=True)
            aside = Path(tempfile.mkdtemp(prefix=digest[:8], dir=self.folder / ".incoming"))
            try:
                for name, data in {**files, _MANIFEST: to_json(manifest, indent=1).encode()}.items():
                    _write(aside / name, data)
                flush_folder(aside)
                aside.chmod(0o755)
                _rename_unless_there(aside, final)
                flush_folder(final.parent)
            finally:
                shutil.rmtree(aside, ignore_errors=True)
        return ArtifactRef(digest, self.manifest(digest))

    def manifest(self, digest: str) -> dict[str, object]:
        """What was written beside the files: SHA-256 and size of each, library versions, time.

        Raises
        ------
        ArtifactError : it is missing, unreadable, or does not describe the artifact ``digest``.
        """
        try:
            manifest = from_json(self._read(digest, _MANIFEST))
        except ArtifactError:
            raise
        except StorageError as error:
            raise ArtifactError(f"manifest.json of artifact {digest} is damaged: {error}") from error
        files = manifest.get("files") if isinstance(manifest, dict) else None
        if not isinstance(files, dict) or not all(_is_entry(name, entry) for name, entry in files.items()):
            raise ArtifactError(f"manifest.json of artifact {digest} is damaged: it does not list its files.")
        if _digest_of(files) != digest:
            raise ArtifactError(f"manifest.json of artifact {digest} lists files that are not the artifact's; it was changed.")
        return manifest

    def get(self, digest: str) -> dict[str, bytes]:
        """The files of an artifact, each verified against its SHA-256.

        Raises
        ------
        ArtifactError : the artifact or a file is missing, has other content than it was stored with, or is a link.
        """
        files = self.manifest(digest)["files"]
        assert isinstance(files, dict)
        if sum(entry["bytes"] for entry in files.values()) > self.max_bytes:
            raise ArtifactError(f"artifact {digest} is larger than the {self.max_bytes} bytes allowed.")
        found = {}
        for name, entry in files.items():
            data = self._read(digest, name)
            actual = hashlib.sha256(data).hexdigest()
            if actual != entry["sha256"]:
                raise ArtifactError(
                    f"file '{name}' of artifact {digest} is damaged: its SHA-256 is {actual[:12]}..., "
                    f"{entry['sha256'][:12]}... was expected; restore it from a backup."
                )
            found[name] = data
        return found

    def _check_names(self, files: Mapping[str, bytes]) -> None:
        if not files:
            raise ArtifactError("an artifact needs at least one file.")
        for name in files:
            if not _NAME.fullmatch(name) or name.lower() == _MANIFEST:
                raise ArtifactError(
                    f"'{name}' cannot be a file of an artifact; letters, digits, '.', '_' and '-' were expected, "
                    f"starting with a letter or digit, at most 100, and not {_MANIFEST}."
                )
        if len({name.lower() for name in files}) < len(files):
            raise ArtifactError("two files of the artifact differ only in upper and lower case; not every disk can keep both.")
        size = sum(map(len, files.values()))
        if size > self.max_bytes:
            raise ArtifactError(f"the artifact has {size} bytes; at most {self.max_bytes} are kept.")

    def _is_whole(self, digest: str) -> bool:
        try:
            self.get(digest)
        except ArtifactError:
            return False
        return True

    def _set_aside(self, damaged: Path) -> None:
        grave = self.folder / ".damaged"
        grave.mkdir(exist_ok=True)
        damaged.rename(Path(tempfile.mkdtemp(prefix=damaged.name[:8], dir=grave)) / damaged.name)

    def _read(self, digest: str, name: str) -> bytes:
        folder = self.path(digest)
        if not folder.is_dir():
            raise ArtifactError(f"artifact {digest} is not in {self.folder}; was the folder moved or cleaned?")
        try:
            handle = os.open(folder / name, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
            with open(handle, "rb") as file:
                if not stat.S_ISREG(os.fstat(handle).st_mode):
                    raise ArtifactError(f"file '{name}' of artifact {digest} is not a plain file.")
                return file.read()
        except FileNotFoundError as error:
            raise ArtifactError(f"file '{name}' of artifact {digest} is missing; restore it from a backup.") from error
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise ArtifactError(f"file '{name}' of artifact {digest} is a link; links are not followed.") from error
            raise ArtifactError(f"file '{name}' of artifact {digest} cannot be read: {error.strerror}.") from error

    @contextmanager
    def _translated(self, verb: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                reason = "the disk is full"
            elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
                reason = "it is read-only for this user"
            else:
                reason = f"{error.strerror} ({error.filename})"
            raise StorageError(f"the artifact folder {self.folder} cannot be {verb}: {reason}; nothing was changed.") from error


def library_versions() -> dict[str, str]:
    """Versions of Python and of the installed libraries that a result or a stored model depends on."""
    import platform
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _is_entry(name: str, entry: object) -> bool:
    return (
        _NAME.fullmatch(name) is not None
        and isinstance(entry, dict)
        and isinstance(entry.get("sha256"), str)
        and isinstance(entry.get("bytes"), int)
    )


def _digest_of(entries: Mapping[str, Mapping[str, object]]) -> str:
    lines = (f"{name}\x00{entry['sha256']}\x00{entry['bytes']}\n" for name, entry in sorted(entries.items()))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _write(path: Path, data: bytes) -> None:
    with open(path, "xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _rename_unless_there(source: Path, target: Path) -> None:
    try:
        source.rename(target)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):  # another process stored the same content first
            raise
