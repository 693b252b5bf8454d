"""Artifacts: content is its own name, whole or not there, verified before it is seen."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from huracan.errors import ArtifactError, StorageError
from huracan.storage import ArtifactStore

FILES = {"model.txt": b"trees" * 100, "info.json": b"{}"}
names = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,20}", fullmatch=True).filter(lambda name: name != "manifest.json")


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "artifacts")


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files=st.dictionaries(names, st.binary(max_size=200), min_size=1, max_size=4))
def test_what_is_put_is_what_is_got(store: ArtifactStore, files: dict[str, bytes]) -> None:
    assert store.get(store.put(files).digest) == files


def test_equal_content_is_one_artifact_whoever_stores_it_when(tmp_path: Path) -> None:
    one, two = ArtifactStore(tmp_path / "one"), ArtifactStore(tmp_path / "two")
    digest = one.put(FILES).digest
    assert one.put(dict(reversed(FILES.items()))).digest == digest == two.put(FILES).digest
    assert one.digests() == [digest]


def test_renaming_a_file_makes_another_artifact(store: ArtifactStore) -> None:
    assert store.put({"a": b"x", "b": b"y"}).digest != store.put({"a": b"y", "b": b"x"}).digest


def test_every_flipped_bit_is_found(store: ArtifactStore) -> None:
    digest = store.put({"model.txt": b"\x00\x01\x02"}).digest
    file = store.path(digest) / "model.txt"
    for bit in range(24):
        damaged = bytearray(b"\x00\x01\x02")
        damaged[bit // 8] ^= 1 << (bit % 8)
        file.write_bytes(damaged)
        with pytest.raises(ArtifactError, match=r"'model\.txt' of artifact .* is damaged"):
            store.get(digest)


def test_a_manifest_that_vouches_for_other_bytes_is_not_believed(store: ArtifactStore) -> None:
    import hashlib

    digest = store.put(FILES).digest
    folder = store.path(digest)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["model.txt"] = {"sha256": hashlib.sha256(b"evil").hexdigest(), "bytes": 4}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "model.txt").write_bytes(b"evil")
    with pytest.raises(ArtifactError, match="it was changed"):
        store.get(digest)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"files": 3}', '{"files": {"../x": {"sha256": "0", "bytes": 1}}}'])
def test_a_damaged_manifest_is_a_sentence(store: ArtifactStore, text: str) -> None:
    digest = store.put(FILES).digest
    (store.path(digest) / "manifest.json").write_text(text)
    with pytest.raises(ArtifactError, match=r"manifest\.json of artifact .* is damaged"):
        store.get(digest)


def test_missing_files_and_artifacts_are_named(store: ArtifactStore) -> None:
    digest = store.put(FILES).digest
    (store.path(digest) / "model.txt").unlink()
    with pytest.raises(ArtifactError, match=r"'model\.txt' of artifact .* is missing"):
        store.get(digest)
    with pytest.raises(ArtifactError, match="was the folder moved or cleaned"):
        store.get("0" * 64)
    with pytest.raises(ArtifactError, match="64 lower-case hexadecimal digits"):
        store.get("../../etc/passwd")


def test_links_are_not_followed(store: ArtifactStore, tmp_path: Path) -> None:
    digest = store.put(FILES).digest
    secret = tmp_path / "secret"
    secret.write_bytes(FILES["model.txt"])
    (store.path(digest) / "model.txt").unlink()
    (store.path(digest) / "model.txt").symlink_to(secret)
    with pytest.raises(ArtifactError, match="links are not followed"):
        store.get(digest)


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/b", "a\\b", ".hidden", "", "manifest.json", "x\n", "é", "n" * 101])
def test_names_that_could_leave_the_folder_are_refused(store: ArtifactStore, name: str) -> None:
    with pytest.raises(ArtifactError, match="cannot be a file of an artifact"):
        store.put({name: b"x"})
    assert not store.folder.exists()


def test_what_is_too_large_or_empty_is_refused(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path, max_bytes=10)
    with pytest.raises(ArtifactError, match="has 11 bytes; at most 10"):
        store.put({"a": b"x" * 11})
    with pytest.raises(ArtifactError, match="at least one file"):
        store.put({})


def test_storing_again_heals_a_damaged_artifact(store: ArtifactStore) -> None:
    digest = store.put(FILES).digest
    (store.path(digest) / "model.txt").write_bytes(b"rot")
    assert store.put(FILES).digest == digest
    assert store.get(digest) == FILES


@pytest.mark.parametrize("moment", ["huracan.storage.artifacts._write", "huracan.storage.artifacts._rename_unless_there"])
def test_a_kill_at_any_moment_leaves_nothing_half_visible(store: ArtifactStore, moment: str) -> None:
    module, name = moment.rsplit(".", 1)
    code = (
        "import os, sys, importlib\n"
        f"module = importlib.import_module('{module}')\n"
        "real, calls = getattr(module, sys.argv[2]), []\n"
        "def die(*args):\n"
        "    calls.append(1)\n"
        "    if sys.argv[2] != '_write' or len(calls) == 2: os._exit(9)\n"
        "    real(*args)\n"
        "setattr(module, sys.argv[2], die)\n"
        "module.ArtifactStore(sys.argv[1]).put({'a': b'1' * 1000, 'b': b'2'})\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(store.folder), name], timeout=60)
    assert done.returncode == 9
    assert store.digests() == []
    assert store.get(store.put({"a": b"1" * 1000, "b": b"2"}).digest)["b"] == b"2"


def test_a_full_disk_leaves_nothing_behind(store: ArtifactStore, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    def full(_handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="cannot be written: the disk is full; nothing was changed"):
        store.put(FILES)
    assert store.digests() == []
    assert list((store.folder / ".incoming").iterdir()) == []


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"the artifact folder .* cannot be written"):
        ArtifactStore(tmp_path / "file" / "store").put(FILES)


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="users are changed the POSIX way")
def test_a_read_only_folder_is_a_sentence(tmp_path: Path) -> None:
    code = (
        "import os, sys\n"
        "from huracan.storage import ArtifactStore\n"
        "store = ArtifactStore(sys.argv[1]); store.put({'a': b'1'})\n"
        "for folder in (store.folder, *store.folder.iterdir()): os.chmod(folder, 0o555)\n"
        "if os.geteuid() == 0: os.seteuid(65534)\n"
        "try: store.put({'a': b'2'})\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    for folder in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        folder.chmod(folder.stat().st_mode | 0o055)
    store = tmp_path / "store"
    done = subprocess.run([sys.executable, "-c", code, str(store)], capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("StorageError"), done
    assert "it is read-only for this user; nothing was changed" in done.stdout


def test_processes_that_store_the_same_content_at_once_all_succeed(store: ArtifactStore) -> None:
    code = (
        "import sys; from huracan.storage import ArtifactStore\n"
        "store = ArtifactStore(sys.argv[1])\n"
        "for i in range(20): store.put({'a': bytes([i]) * 10_000})\n"
    )
    started = [subprocess.Popen([sys.executable, "-c", code, str(store.folder)], stderr=subprocess.PIPE) for _ in range(2)]
    outcomes = [(process.communicate(timeout=120)[1], process.returncode) for process in started]
    assert [code for _, code in outcomes] == [0, 0], outcomes
    assert len(store.digests()) == 20
    for digest in store.digests():
        store.get(digest)
    assert list((store.folder / ".incoming").iterdir()) == []
