"""``ArtifactStore``: bytes kept under the hash of their content, whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from huracan.errors import ArtifactDamaged, ArtifactError, ArtifactMissing, StorageError
from huracan.storage.anchored import (
    NotPlain,
    opened_inside,
    remove_inside,
    size_inside,
)
from huracan.storage.artifact_moves import (
    INCOMING,
    identity,
    last_touched,
    rename_unless_there,
    set_aside,
    written_aside,
)
from huracan.storage.artifact_reading import explained, read_file, verified
from huracan.storage.json_values import from_json
from huracan.storage.manifests import (
    FILE_NAME,
    MANIFEST,
    MOST_BYTES,
    library_versions,
    manifest_of,
    manifest_text,
)
from huracan.storage.whole_files import make_folder

__all__ = ["ArtifactRef", "ArtifactStore", "library_versions"]

_DIGEST = re.compile(r"[0-9a-f]{64}")
_DAMAGED, _TRASH = ".damaged", ".trash"
_KEEP_DAMAGED = timedelta(days=30)


@dataclass(frozen=True)
class ArtifactRef:
    """Where some files are kept: ``digest``, the SHA-256 of the manifest, and the manifest itself."""

    digest: str
    manifest: Mapping[str, Any]


class ArtifactStore:
    """A folder of immutable artifacts, each a handful of files and a manifest, under the SHA-256 of the manifest.

    ``manifest.json`` lists every file with its SHA-256 and size, the library versions, and whatever facts were given
    with the files; its own SHA-256 is the artifact's name. So every bit of an artifact is covered by its name, and
    equal content with equal facts is stored once. An artifact is written aside, flushed to the disk and renamed into
    place: a crash or a full disk leaves either the whole artifact or none.

    Reading looks, in this order and each before the next, at: folders (links are not followed), the manifest's size
    and hash, the manifest's content, then of each file its kind, size and hash. The caller sees bytes only after that.
    Artifacts of format 1, whose name covers names, sizes and hashes of the files alone, are read too.

    Parameters
    ----------
    folder : made on the first :meth:`put`; it may itself be reached by a link, nothing inside it may be one.
    max_bytes : the most that one artifact may hold, in bytes.

    Examples
    --------
    >>> import tempfile
    >>> store = ArtifactStore(tempfile.mkdtemp())
    >>> ref = store.put({"model.txt": b"trees"}, facts={"seed": 7})
    >>> store.get(ref.digest)
    {'model.txt': b'trees'}
    >>> store.manifest(ref.digest)["seed"]
    7
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
        return sorted(digest for digest, _ in self._listed())

    def older_than(self, age: timedelta) -> list[str]:
        """Digests of artifacts that nobody stored or touched within ``age``, sorted."""
        before = time.time() - age.total_seconds()
        return sorted(digest for digest, touched in self._listed() if touched < before)

    def put(self, files: Mapping[str, bytes], *, facts: Mapping[str, Any] | None = None) -> ArtifactRef:
        """Keep ``files`` (name -> content), and in the manifest beside them ``facts``.

        Parameters
        ----------
        facts : JSON to keep and to cover by the digest: provenance, signature, card, ...; not ``format``, ``files`` or
            ``versions``, which the store writes itself.

        Raises
        ------
        ArtifactError : a name is unsafe, there is nothing to keep, it is larger than ``max_bytes``, or a fact is no JSON.
        StorageError : the folder is read-only or the disk is full; nothing is left behind.
        """
        self._check_names(files)
        text = manifest_text(files, facts or {})
        digest = hashlib.sha256(text).hexdigest()
        self._keep(digest, {**files, MANIFEST: text})
        return ArtifactRef(digest, from_json(text))

    def copy(self, digest: str, to: ArtifactStore) -> bool:
        """Keep an artifact in another store, too, bit for bit under the same name; whether it was not there.

        One that is there with its manifest and every file in its size is not read again (:meth:`glance`).

        Raises
        ------
        ArtifactError : it is missing or damaged here. StorageError : the other folder is read-only or the disk is full.

        Examples
        --------
        >>> import tempfile
        >>> here, there = ArtifactStore(tempfile.mkdtemp()), ArtifactStore(tempfile.mkdtemp())
        >>> digest = here.put({"model.txt": b"trees"}).digest
        >>> here.copy(digest, there), here.copy(digest, there), there.get(digest)
        (True, False, {'model.txt': b'trees'})
        """
        try:
            to.glance(digest)
        except (ArtifactMissing, ArtifactDamaged):
            with self._artifact(digest) as folder:
                text = read_file(folder, digest, MANIFEST, at_most=MOST_BYTES)
                entries = manifest_of(text, digest, most=self.max_bytes)["files"]
                files = {name: verified(folder, digest, name, entry) for name, entry in entries.items()}
            to._keep(digest, {**files, MANIFEST: text})
            return True
        return False

    def manifest(self, digest: str) -> dict[str, Any]:
        """What was written beside the files: SHA-256 and size of each, library versions, and the facts given.

        Raises
        ------
        ArtifactError : it is missing, damaged, or does not describe the artifact ``digest``.
        """
        with self._artifact(digest) as folder:
            return self._manifest(folder, digest)

    def get(self, digest: str) -> dict[str, bytes]:
        """The files of an artifact, each verified against its SHA-256.

        Raises
        ------
        ArtifactError : the artifact or a file is missing, has other content than it was stored with, or is a link.
        """
        return self.read(digest)[1]

    def read(self, digest: str) -> tuple[dict[str, Any], dict[str, bytes]]:
        """:meth:`manifest` and :meth:`get` of one look at the artifact."""
        with self._artifact(digest) as folder:
            manifest = self._manifest(folder, digest)
            return manifest, {name: verified(folder, digest, name, entry) for name, entry in manifest["files"].items()}

    def glance(self, digest: str) -> None:
        """See that an artifact is there: its manifest as it was stored, and each file with its size, however large it is.

        Raises
        ------
        ArtifactError : something is missing or of another size; changed content of the same size is found by :meth:`get`.
        """
        with self._artifact(digest) as folder:
            for name, entry in self._manifest(folder, digest)["files"].items():
                with explained(digest, name):
                    size_inside(folder, name, size=entry["bytes"])

    def check(self, digest: str) -> list[str]:
        """Everything that is wrong with an artifact, a sentence each; nothing of its content is parsed.

        >>> import tempfile
        >>> store = ArtifactStore(tempfile.mkdtemp())
        >>> digest = store.put({"model.txt": b"trees"}).digest
        >>> store.check(digest)
        []
        >>> _ = (store.path(digest) / "model.txt").write_bytes(b"trees!")
        >>> store.check(digest)[0].split(": ")[1]
        'it has 6 bytes, 5 were expected; restore it from a backup.'
        """
        found: list[str] = []
        try:
            with self._artifact(digest) as folder:
                entries = self._manifest(folder, digest)["files"]
                for name, entry in entries.items():
                    try:
                        verified(folder, digest, name, entry)
                    except ArtifactError as error:
                        found.append(str(error))
                strange = sorted(set(os.listdir(folder)) - {*entries, MANIFEST})
                found += [f"artifact {digest} holds '{name}', which its manifest does not list." for name in strange]
        except ArtifactError as error:
            found.append(str(error))
        return found

    def touch(self, digest: str) -> None:
        """Say that an artifact is wanted now, which keeps it from :meth:`older_than`.

        Raises
        ------
        ArtifactError : it is not there.
        """
        with self._artifact(digest) as folder, self._translated("written"):
            os.utime(folder)

    def remove(self, digest: str) -> bool:
        """Take an artifact away, at once for every reader; whether it was there.

        Raises
        ------
        StorageError : the folder is read-only.
        """
        self.path(digest)
        with self._translated("written"), suppress(FileNotFoundError), self._opened() as root:
            with opened_inside(root, digest[:2]) as shelf, opened_inside(root, _TRASH, make=True) as trash:
                grave = f"{digest[:8]}.{secrets.token_hex(8)}"
                os.rename(digest, grave, src_dir_fd=shelf, dst_dir_fd=trash)
                os.fsync(shelf)
                remove_inside(trash, grave)
            return True
        return False

    def sweep(self, older_than: timedelta = timedelta(hours=1), *, damaged_after: timedelta = _KEEP_DAMAGED) -> int:
        """Remove what killed processes left half-written or half-removed, and damaged artifacts that were replaced.

        Parameters
        ----------
        older_than : how long what is half-written was not touched. damaged_after : how long a damaged one is kept to look at.

        Returns
        -------
        int : how many things were removed.

        Raises
        ------
        StorageError : the folder is read-only.
        """
        count = 0
        with self._translated("written"), suppress(FileNotFoundError), self._opened() as root:
            for name, age in ((INCOMING, older_than), (_TRASH, older_than), (_DAMAGED, damaged_after)):
                before = time.time() - age.total_seconds()
                with suppress(FileNotFoundError), opened_inside(root, name) as place:
                    for left in os.listdir(place):
                        if last_touched(place, left) < before:
                            remove_inside(place, left)
                            count += 1
        return count

    def set_aside(self) -> list[str]:
        """Digests of damaged artifacts that were replaced and are kept to be looked at, sorted; :meth:`sweep` lets them go."""
        with self._translated("listed"), suppress(FileNotFoundError):
            return sorted(name.partition(".")[0] for name in os.listdir(self.folder / _DAMAGED))
        return []

    def _keep(self, digest: str, files: Mapping[str, bytes]) -> None:
        """Write an artifact aside, manifest included, and give it its name, unless it is there and whole."""
        with self._translated("written"):
            make_folder(self.folder)
            with self._opened() as root, opened_inside(root, digest[:2], make=True) as shelf:
                if not self._is_whole(digest):
                    with written_aside(root, digest, files) as (incoming, aside):
                        self._settle(root, shelf, digest, incoming, aside)

    def _listed(self) -> Iterator[tuple[str, float]]:
        """Digest and time of the last touch (seconds since 1970) of every artifact; what lies behind links is none."""
        with self._translated("listed"), suppress(FileNotFoundError), os.scandir(self.folder) as shelves:
            for shelf in shelves:
                if len(shelf.name) == 2 and shelf.is_dir(follow_symlinks=False):
                    with os.scandir(shelf.path) as artifacts:
                        for item in artifacts:
                            if _DIGEST.fullmatch(item.name) and item.is_dir(follow_symlinks=False):
                                yield item.name, item.stat(follow_symlinks=False).st_mtime

    @contextmanager
    def _opened(self) -> Iterator[int]:
        root = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield root
        finally:
            os.close(root)

    @contextmanager
    def _artifact(self, digest: str) -> Iterator[int]:
        """The folder of an artifact, held open."""
        self.path(digest)
        try:
            with self._opened() as root, opened_inside(root, digest[:2]) as shelf, opened_inside(shelf, digest) as folder:
                yield folder
        except NotPlain as error:
            raise ArtifactDamaged(f"artifact {digest} lies behind a link, or is no folder; links are not followed.") from error
        except FileNotFoundError as error:
            raise ArtifactMissing(f"artifact {digest} is not in {self.folder}; was the folder moved or cleaned?") from error
        except OSError as error:
            raise ArtifactError(f"artifact {digest} in {self.folder} cannot be read: {error.strerror}.") from error

    def _manifest(self, folder: int, digest: str) -> dict[str, Any]:
        text = read_file(folder, digest, MANIFEST, at_most=MOST_BYTES)
        return manifest_of(text, digest, most=self.max_bytes)

    def _check_names(self, files: Mapping[str, bytes]) -> None:
        if not files:
            raise ArtifactError("an artifact needs at least one file.")
        for name in files:
            if not FILE_NAME.fullmatch(name) or name.lower() == MANIFEST:
                raise ArtifactError(
                    f"'{name}' cannot be a file of an artifact; letters, digits, '.', '_' and '-' were expected, "
                    f"starting with a letter or digit, at most 100, and not {MANIFEST}."
                )
        if len({name.lower() for name in files}) < len(files):
            raise ArtifactError("two files of the artifact differ only in upper and lower case; not every disk can keep both.")
        size = sum(map(len, files.values()))
        if size > self.max_bytes:
            raise ArtifactError(f"the artifact has {size} bytes; at most {self.max_bytes} are kept.")

    def _is_whole(self, digest: str) -> bool:
        """Whether the artifact is there and proven whole, and if so touched; what cannot be read now is neither, and raised."""
        try:
            self.get(digest)
            self.touch(digest)
        except (ArtifactMissing, ArtifactDamaged):
            return False
        return True

    def _settle(self, root: int, shelf: int, digest: str, incoming: int, aside: str) -> None:
        """Give what was written aside its name; only what is proven damaged makes room, once its replacement is there."""
        for _ in range(5):
            if rename_unless_there(incoming, aside, shelf, digest):
                os.fsync(shelf)
                return
            here = identity(shelf, digest)
            if self._is_whole(digest):  # another process stored the same first
                return
            with suppress(FileNotFoundError), opened_inside(root, _DAMAGED, make=True) as grave:
                set_aside(shelf, digest, here, grave)
        raise StorageError(f"artifact {digest} is stored by others again and again, and damaged each time; look at the disk.")

    @contextmanager
    def _translated(self, verb: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                reason = "the disk is full"
            elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
                reason = "it is read-only for this user"
            elif isinstance(error, NotPlain):
                reason = f"'{error.filename}' in it is a link or no folder; links are not followed"
            else:
                reason = f"{error.strerror} ({error.filename})"
            raise StorageError(f"the artifact folder {self.folder} cannot be {verb}: {reason}; nothing was changed.") from error
