"""Artifacts: content is its own name, whole or not there, verified before it is seen."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from huracan.errors import ArtifactError, StorageError
from huracan.storage import ArtifactStore, artifact_moves, artifact_reading, artifacts, manifests

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


def test_every_flipped_bit_is_found_before_anything_is_parsed(store: ArtifactStore, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = store.put({"model.txt": b"\x00\x01\x02"}, facts={"seed": 7, "card": {"name": "ridge"}}).digest
    parsed: list[bytes] = []
    real = manifests.from_json

    def noted(text: bytes) -> object:
        parsed.append(text)
        return real(text)

    monkeypatch.setattr(manifests, "from_json", noted)
    manifest = (store.path(digest) / "manifest.json").read_bytes()
    for name in ("model.txt", "manifest.json"):
        file = store.path(digest) / name
        whole = file.read_bytes()
        for bit in range(8 * len(whole)):
            damaged = bytearray(whole)
            damaged[bit // 8] ^= 1 << (bit % 8)
            file.write_bytes(damaged)
            with pytest.raises(ArtifactError, match=rf"'{name}' of artifact .* is damaged: its SHA-256"):
                store.get(digest)
        file.write_bytes(whole)
    assert set(parsed) == {manifest}


def test_the_manifest_covers_facts_and_says_no_time(store: ArtifactStore) -> None:
    facts = {"provenance": {"data_hash": "d", "seed": 7}, "threshold": float("inf")}
    one, other = store.put(FILES, facts=facts), store.put(FILES, facts={**facts, "threshold": 1.0})
    assert one.digest != other.digest
    assert one.digest == hashlib.sha256((store.path(one.digest) / "manifest.json").read_bytes()).hexdigest()
    assert store.manifest(one.digest) == one.manifest
    assert one.manifest["threshold"] == float("inf")
    assert set(one.manifest) == {"format", "files", "versions", *facts}
    with pytest.raises(ArtifactError, match="the fact 'files' cannot be given"):
        store.put(FILES, facts={"files": {}})
    for fact in (object(), "\ud800"):
        with pytest.raises(ArtifactError, match="the facts of the artifact cannot be kept"):
            store.put(FILES, facts={"fact": fact})


def first_format(store: ArtifactStore, files: dict[str, bytes]) -> str:
    """Lay an artifact down as the first format had it."""
    entries = {name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)} for name, data in sorted(files.items())}
    lines = (f"{name}\x00{entry['sha256']}\x00{entry['bytes']}\n" for name, entry in entries.items())
    digest = hashlib.sha256("".join(lines).encode()).hexdigest()
    manifest = {"format": 1, "digest": digest, "files": entries, "versions": {}, "created_at": "2026-01-01T00:00:00+00:00"}
    store.path(digest).mkdir(parents=True)
    for name, data in {**files, "manifest.json": json.dumps(manifest, sort_keys=True, indent=1).encode()}.items():
        (store.path(digest) / name).write_bytes(data)
    return digest


def test_artifacts_of_the_first_format_are_read_by_their_own_rule(store: ArtifactStore) -> None:
    digest = first_format(store, FILES)
    assert store.get(digest) == FILES
    assert store.check(digest) == []
    (store.path(digest) / "model.txt").write_bytes(b"evils" * 100)
    with pytest.raises(ArtifactError, match="is damaged: its SHA-256"):
        store.get(digest)


@pytest.mark.parametrize("first", [True, False])
def test_a_manifest_that_vouches_for_other_bytes_is_not_believed(store: ArtifactStore, first: bool) -> None:
    digest = first_format(store, FILES) if first else store.put(FILES).digest
    folder = store.path(digest)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["model.txt"] = {"sha256": hashlib.sha256(b"evil").hexdigest(), "bytes": 4}
    (folder / "manifest.json").write_text(json.dumps(manifest, sort_keys=True, indent=1))
    (folder / "model.txt").write_bytes(b"evil")
    with pytest.raises(ArtifactError, match="it was changed" if first else "is damaged: its SHA-256"):
        store.get(digest)


def written(file_format: int, name: str, size: int) -> str:
    return json.dumps({"format": file_format, "files": {name: {"sha256": "0", "bytes": size}}})


@pytest.mark.parametrize("text", ["", "[]", "{", '{"files": 3}', '{"files": {"../x": {"sha256": "0", "bytes": 1}}}'])
def test_a_damaged_manifest_is_a_sentence(store: ArtifactStore, text: str) -> None:
    digest = store.put(FILES).digest
    (store.path(digest) / "manifest.json").write_text(text)
    with pytest.raises(ArtifactError, match=r"manifest\.json' of artifact .* is damaged"):
        store.get(digest)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "stored JSON cannot be read"),
        ("[]", "does not list its files"),
        (written(2, "../x", 1), "does not list its files"),
        (written(2, "x", -1), "does not list its files"),
        (written(2, "x", 5 << 40), "is larger than the 4294967296 bytes allowed"),
        (written(3, "x", 1), "of a format this version does not know; upgrade huracan"),
    ],
)
def test_a_manifest_with_the_right_hash_that_was_not_written_by_us_is_a_sentence(
    store: ArtifactStore, text: str, said: str
) -> None:
    digest = hashlib.sha256(text.encode()).hexdigest()
    store.path(digest).mkdir(parents=True)
    (store.path(digest) / "manifest.json").write_text(text)
    with pytest.raises(ArtifactError, match=said):
        store.get(digest)


@pytest.mark.parametrize(("name", "said"), [("model.txt", "500 were expected"), ("manifest.json", "at most 67108864 were")])
def test_a_file_that_has_grown_is_refused_by_its_size_and_not_read(store: ArtifactStore, name: str, said: str) -> None:
    digest = store.put(FILES).digest
    os.truncate(store.path(digest) / name, 50 << 30)  # a hole: it takes no room on the disk, and reading it would never end
    with pytest.raises(ArtifactError, match=rf"'{name}' of artifact .* is damaged: it has 53687091200 bytes.*{said}"):
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


@pytest.mark.parametrize("depth", [1, 2])
def test_links_on_the_way_to_an_artifact_are_not_followed_either(store: ArtifactStore, tmp_path: Path, depth: int) -> None:
    elsewhere = ArtifactStore(tmp_path / "elsewhere")
    digest = store.put(FILES).digest
    elsewhere.put(FILES)
    mine, theirs = ((s.path(digest).parent if depth == 1 else s.path(digest)) for s in (store, elsewhere))
    shutil.rmtree(mine)
    mine.symlink_to(theirs)
    with pytest.raises(ArtifactError, match="lies behind a link"):
        store.get(digest)
    assert store.digests() == []
    before = sorted(p for p in elsewhere.folder.rglob("*"))
    if depth == 1:
        with pytest.raises(StorageError, match="is a link or no folder; links are not followed; nothing was changed"):
            store.put(FILES)
    else:
        assert store.get(store.put(FILES).digest) == FILES  # the link was set aside
    assert sorted(p for p in elsewhere.folder.rglob("*")) == before


def test_a_pipe_in_the_place_of_a_file_does_not_make_the_reader_wait(store: ArtifactStore) -> None:
    digest = store.put(FILES).digest
    (store.path(digest) / "model.txt").unlink()
    os.mkfifo(store.path(digest) / "model.txt")
    with pytest.raises(ArtifactError, match="is not a plain file"):
        store.get(digest)


def test_the_store_itself_may_be_reached_by_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    store = ArtifactStore(tmp_path / "link")
    assert store.get(store.put(FILES).digest) == FILES


def test_check_lists_every_defect_at_once(store: ArtifactStore) -> None:
    digest = store.put(FILES).digest
    assert store.check(digest) == []
    (store.path(digest) / "model.txt").write_bytes(b"!" * 500)
    (store.path(digest) / "info.json").unlink()
    (store.path(digest) / "more.bin").touch()
    said = " ".join(store.check(digest))
    for words in ("'model.txt' of", "'info.json' of", "is missing", "holds 'more.bin', which its manifest does not list"):
        assert words in said
    assert "was the folder moved or cleaned" in store.check("0" * 64)[0]


def test_what_is_removed_is_gone_at_once_and_what_was_left_half_written_is_swept(store: ArtifactStore) -> None:
    digest, other = store.put(FILES).digest, store.put({"a": b"1"}).digest
    assert store.remove(digest)
    assert not store.remove(digest)
    assert store.digests() == [other]
    for place in (".incoming", ".trash"):
        (store.folder / place / "left").mkdir()
        (store.folder / place / "left" / "model.txt").write_bytes(b"half")
    assert store.sweep(timedelta(hours=1)) == 0
    for file in [*store.folder.glob(".*/left/*"), *store.folder.glob(".*/left")]:
        os.utime(file, (1.0, 1.0))
    assert store.sweep(timedelta(hours=1)) == 2
    assert store.sweep(timedelta(0)) == 0
    assert store.get(other) == {"a": b"1"}


def test_storing_or_touching_again_makes_an_artifact_young(store: ArtifactStore) -> None:
    digest = store.put(FILES).digest
    for renew in (lambda: store.touch(digest), lambda: store.put(FILES)):
        os.utime(store.path(digest), (1.0, 1.0))
        assert store.older_than(timedelta(hours=1)) == [digest]
        renew()
        assert store.older_than(timedelta(hours=1)) == []
    with pytest.raises(ArtifactError, match="was the folder moved or cleaned"):
        store.touch("0" * 64)


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


@pytest.mark.parametrize("code", [errno.EIO, errno.EMFILE, errno.EACCES])
def test_a_good_artifact_that_cannot_be_read_just_now_is_not_set_aside(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    digest = store.put(FILES).digest
    with monkeypatch.context() as failing:

        def fail(*_: object, **__: object) -> bytes:
            raise OSError(code, os.strerror(code))

        failing.setattr(artifact_reading, "read_inside", fail)
        with pytest.raises(ArtifactError, match=f"cannot be read: {os.strerror(code)}"):
            store.put(FILES)
    assert store.set_aside() == []
    assert store.get(digest) == FILES


def test_a_damaged_artifact_makes_room_only_once_its_replacement_is_there(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = store.put(FILES).digest
    (store.path(digest) / "model.txt").write_bytes(b"rot")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as failing:
        failing.setattr(artifact_moves, "write_inside", full)
        with pytest.raises(StorageError, match="the disk is full"):
            store.put(FILES)
    assert (store.path(digest) / "model.txt").read_bytes() == b"rot"
    assert store.set_aside() == []
    store.put(FILES)
    assert store.set_aside() == [digest]


def test_what_another_process_stores_while_a_damaged_one_is_replaced_is_not_set_aside(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = store.put(FILES).digest
    folder = store.path(digest)
    (folder / "model.txt").write_bytes(b"rot")
    real, calls = artifacts.set_aside, list[int]()

    def late(*given: object) -> None:
        if not calls:
            calls.append(1)
            shutil.copytree(folder, folder.with_name("fresh"))
            (folder.with_name("fresh") / "model.txt").write_bytes(FILES["model.txt"])
            shutil.rmtree(folder)
            folder.with_name("fresh").rename(folder)
            theirs.append(folder.stat().st_ino)
        real(*given)  # type: ignore[arg-type]

    theirs: list[int] = []
    monkeypatch.setattr(artifacts, "set_aside", late)
    store.put(FILES)
    assert store.get(digest) == FILES
    assert folder.stat().st_ino == theirs[0]
    assert store.set_aside() == []


def test_damaged_artifacts_are_kept_for_a_month_from_when_they_were_replaced(store: ArtifactStore) -> None:
    digest = store.put(FILES).digest
    (store.path(digest) / "model.txt").write_bytes(b"rot")
    for file in (*store.path(digest).iterdir(), store.path(digest)):
        os.utime(file, (1.0, 1.0))
    store.put(FILES)
    assert store.sweep(timedelta(0)) == 0
    assert store.set_aside() == [digest]
    for left in (store.folder / ".damaged").iterdir():
        for file in (*left.iterdir(), left):
            os.utime(file, (time.time() - 29 * 86_400,) * 2)
        assert store.sweep() == 0
        os.utime(left, (1.0, 1.0))
        for file in left.iterdir():
            os.utime(file, (1.0, 1.0))
    assert store.sweep() == 1
    assert store.set_aside() == []
    assert store.get(digest) == FILES


def test_a_glance_sees_what_is_missing_or_cut_and_does_not_read_the_files(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = store.put(FILES).digest
    store.glance(digest)
    real, asked = artifact_reading.read_inside, list[str]()

    def noted(handle: int, name: str, **given: int) -> bytes:
        asked.append(name)
        return real(handle, name, **given)

    monkeypatch.setattr(artifact_reading, "read_inside", noted)
    store.glance(digest)
    assert asked == ["manifest.json"]
    os.truncate(store.path(digest) / "model.txt", 499)
    with pytest.raises(ArtifactError, match="it has 499 bytes, 500 were expected"):
        store.glance(digest)
    (store.path(digest) / "model.txt").unlink()
    with pytest.raises(ArtifactError, match="is missing"):
        store.glance(digest)
    store.remove(digest)
    with pytest.raises(ArtifactError, match="was the folder moved or cleaned"):
        store.glance(digest)


@pytest.mark.parametrize(
    "moment", ["huracan.storage.artifact_moves.write_inside", "huracan.storage.artifacts.rename_unless_there"]
)
def test_a_kill_at_any_moment_leaves_nothing_half_visible(store: ArtifactStore, moment: str) -> None:
    module, name = moment.rsplit(".", 1)
    code = (
        "import os, sys, importlib\n"
        f"module = importlib.import_module('{module}')\n"
        "real, calls = getattr(module, sys.argv[2]), []\n"
        "def die(*args):\n"
        "    calls.append(1)\n"
        "    if sys.argv[2] != 'write_inside' or len(calls) == 2: os._exit(9)\n"
        "    real(*args)\n"
        "setattr(module, sys.argv[2], die)\n"
        "from huracan.storage.artifacts import ArtifactStore\n"
        "ArtifactStore(sys.argv[1]).put({'a': b'1' * 1000, 'b': b'2'})\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(store.folder), name], timeout=60)
    assert done.returncode == 9
    assert store.digests() == []
    assert store.get(store.put({"a": b"1" * 1000, "b": b"2"}).digest)["b"] == b"2"


def test_a_full_disk_leaves_nothing_behind(store: ArtifactStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        if stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="cannot be written: the disk is full; nothing was changed"):
        store.put(FILES)
    assert store.digests() == []
    assert not any(file.is_file() for file in store.folder.rglob("*"))


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
