"""Checkpoints of a training: whole or not there, checked before they are read, loadable on another number of devices.

A folder holds ``step-00000500/`` and the like. Tensors are in PyTorch's distributed checkpoint format, each shard in the
file of the process that held it; ``progress.json`` says how far the training is; ``manifest.json``, written last, holds the
SHA-256 of every file. A checkpoint is written aside and renamed, so a killed process leaves the one before it in place.
Losses of steps lie beside them in ``losses.f64``, which grows with the training.

Every process writes, hashes and reads its own shards, and is waited for as long as it works: no time-out counts there.
"""

from __future__ import annotations

import errno
import json
import re
import secrets
import shutil
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path
from typing import IO, Any

from huracan.errors import ArtifactError, ModelError, StorageError
from huracan.logs import logger
from huracan.storage.folder_lock import lock
from huracan.storage.whole_files import flush_folder, make_folder, put_file, refusal
from huracan.training.runtime import Runtime
from huracan.training.step_losses import StepLosses

__all__ = ["Checkpoint", "CheckpointFolder"]

_NAME = re.compile(r"step-(\d{8})")
_SHARD = re.compile(r"__(\d+)_\d+\.distcp")
_LOSSES = "losses.f64"
_ASIDE = ".aside"
_KEPT = 2
_ALWAYS = frozenset({".metadata", "progress.json"})
"""Files of every checkpoint, beside its shards."""
_FULL = 1 << 20
"""Bytes left, below which a disk is full."""


@dataclass(frozen=True)
class Checkpoint:
    """One whole checkpoint: its folder, the step it was made after, and what ``progress.json`` says."""

    folder: Path
    step: int
    progress: Mapping[str, Any]


class CheckpointFolder:
    """The checkpoints of one training.

    Parameters
    ----------
    folder : made where it is missing; shared by all processes of a training.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as home:
    ...     CheckpointFolder(home).newest() is None
    True
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self._losses = StepLosses(self.folder / _LOSSES)
        self._held: IO[str] | None = None

    @contextmanager
    def held(self, runtime: Runtime) -> Iterator[None]:
        """Within, no other training may use the folder; every process calls it.

        Raises
        ------
        FolderInUse : another training is using it. StorageError : it cannot be written.
        """
        runtime.together(self._lock)
        try:
            yield
        finally:
            if self._held is not None:
                self._held.close()
                self._held = None

    def _lock(self) -> None:
        self._held = lock(self.folder)

    def write(
        self, step: int, tensors: dict[str, Any], progress: Mapping[str, Any], runtime: Runtime, losses: Sequence[float] = ()
    ) -> None:
        """Write a checkpoint; every process calls it. The one before stays until this one is whole.

        Parameters
        ----------
        losses : of all steps so far; those that an earlier checkpoint has are not written again.

        Raises
        ------
        StorageError : the disk is full or the folder cannot be written; earlier checkpoints are untouched.
        """
        from torch.distributed import checkpoint as sharded
        from torch.distributed.checkpoint.api import CheckpointException

        from huracan.training.shards import ShardWriter

        target = self.folder / f"step-{step:08d}"
        aside = runtime.together(lambda: self._open_aside(target))
        try:
            with _alone_on_purpose():
                writer = ShardWriter(aside, runtime)
                sharded.save(tensors, checkpoint_id=aside, storage_writer=writer, no_dist=runtime.alone)
        except CheckpointException as failed:  # the same on every process
            error = failed
            raise runtime.together(lambda: self._refused(aside, target, error)) from failed
        try:
            names = runtime.together(lambda: self._put_progress(aside, progress, losses))
            parts = runtime.each(lambda: {name: _hash(aside / name) for name in _own(names, runtime)})
            runtime.together(lambda: self._put_in_place(aside, target, parts))
        except OSError as error:
            raise refusal(target, "written", error) from error
        finally:
            if runtime.chief:
                shutil.rmtree(aside, ignore_errors=True)

    def newest(self, runtime: Runtime | None = None, *, needed: Iterable[str] = ()) -> Checkpoint | None:
        """The newest checkpoint that is whole; a damaged one is named in the log and the one before it is taken.

        Every process calls it, and looks at its own share of the files.

        Parameters
        ----------
        needed : what ``progress.json`` must say, besides the step.

        Raises
        ------
        ArtifactError : there are checkpoints and all are damaged.
        """
        runtime = runtime or Runtime()
        self._losses = StepLosses(self.folder / _LOSSES)
        damage = ""
        for folder in reversed(runtime.together(self._all)):
            try:
                return self._checked(folder, runtime, needed)
            except ArtifactError as error:  # the same on every process
                damage = str(error)
                if runtime.chief:
                    logger().warning("a damaged checkpoint is passed over", reason=damage)
        if damage:
            raise ArtifactError(
                f"no checkpoint in {self.folder} can be used; the oldest: {damage} Remove the folder to train anew."
            )
        return None

    def read(self, checkpoint: Checkpoint, tensors: dict[str, Any], runtime: Runtime) -> None:
        """Fill ``tensors``, laid out as :meth:`write` got them, with what the checkpoint holds."""
        from torch.distributed import checkpoint as sharded
        from torch.distributed.checkpoint.api import CheckpointException

        from huracan.training.shards import ShardReader

        try:
            with _alone_on_purpose():
                sharded.load(tensors, storage_reader=ShardReader(checkpoint.folder, runtime), no_dist=runtime.alone)
        except (CheckpointException, KeyError, RuntimeError, ValueError) as error:
            said = " ".join(str(error).split())[:300]
            raise ModelError(f"{checkpoint.folder} does not fit this network: {said}") from error

    def losses(self, checkpoint: Checkpoint) -> list[float]:
        """The loss of every step before a checkpoint.

        Raises
        ------
        ArtifactError : they are damaged.
        """
        return self._losses.read(checkpoint.progress["losses"])

    def _open_aside(self, target: Path) -> Path:
        """A new folder to write into; what a killed process left is removed."""
        try:
            make_folder(self.folder)
            for left in self.folder.glob(f".step-*{_ASIDE}"):
                shutil.rmtree(left, ignore_errors=True)
            aside = self.folder / f".{target.name}.{secrets.token_hex(8)}{_ASIDE}"
            aside.mkdir()
        except OSError as error:
            raise refusal(target, "written", error) from error
        return aside

    def _put_progress(self, aside: Path, progress: Mapping[str, Any], losses: Sequence[float]) -> list[str]:
        """Write how far the training is; names of all files of the checkpoint."""
        told = {**progress, "losses": self._losses.put(losses)}
        put_file(aside / "progress.json", json.dumps(told).encode())
        return sorted(file.name for file in aside.iterdir())

    def _put_in_place(self, aside: Path, target: Path, hashes: Sequence[Mapping[str, str]]) -> None:
        whole = dict(sorted(pair for part in hashes for pair in part.items()))
        put_file(aside / "manifest.json", json.dumps(whole, indent=1).encode())
        shutil.rmtree(target, ignore_errors=True)
        aside.rename(target)
        flush_folder(self.folder)
        self._forget_old()

    def _refused(self, aside: Path, target: Path, error: Any) -> StorageError:
        """Why a checkpoint could not be written, on whichever process; what was written of it is removed."""
        full = shutil.disk_usage(self.folder).free < _FULL
        shutil.rmtree(aside, ignore_errors=True)
        reasons = [reason for reason, _ in error.failures.values()]
        for reason in reasons:
            if isinstance(reason, OSError):
                return refusal(target, "written", reason)
        if full:  # PyTorch's writer does not say so
            return refusal(target, "written", OSError(errno.ENOSPC, "No space left on device"))
        return StorageError(f"{target} cannot be written: {' '.join(str(reasons[0]).split())[:300]}.")

    def _checked(self, folder: Path, runtime: Runtime, needed: Iterable[str]) -> Checkpoint:
        hashes = runtime.together(lambda: _manifest(folder))
        runtime.each(lambda: _verify(folder, {name: hashes[name] for name in _own(hashes, runtime)}))
        return runtime.together(lambda: self._told(folder, needed))

    def _told(self, folder: Path, needed: Iterable[str]) -> Checkpoint:
        try:
            progress = json.loads((folder / "progress.json").read_bytes())
            found = Checkpoint(folder, int(progress["step"]), progress)
            self.losses(found)
            if missing := sorted(set(needed) - set(progress)):
                raise ValueError(f"progress.json does not say {', '.join(missing)}")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ArtifactError(f"the checkpoint {folder} is damaged: {error}.") from error
        return found

    def _all(self) -> list[Path]:
        if not self.folder.is_dir():
            return []
        return sorted(path for path in self.folder.iterdir() if _NAME.fullmatch(path.name))

    def _forget_old(self) -> None:
        for old in self._all()[:-_KEPT]:
            shutil.rmtree(old)


@contextmanager
def _alone_on_purpose() -> Iterator[None]:
    """Without PyTorch's warning that one process may not have been meant."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        yield


def _hash(file: Path) -> str:
    with file.open("rb") as content:
        return file_digest(content, "sha256").hexdigest()


def _own(names: Iterable[str], runtime: Runtime) -> list[str]:
    """The share of a checkpoint's files that a process looks at: shards that it wrote, or one with its number did."""
    numbers = {name: int(shard[1]) if (shard := _SHARD.fullmatch(name)) else 0 for name in names}
    return [name for name, number in numbers.items() if number % runtime.processes == runtime.position]


def _manifest(folder: Path) -> dict[str, str]:
    try:
        told = json.loads((folder / "manifest.json").read_bytes())
        hashes = {str(name): str(expected) for name, expected in told.items()}
        there = {file.name for file in folder.iterdir()} - {"manifest.json"}
    except (OSError, ValueError, AttributeError) as error:
        raise ArtifactError(f"the checkpoint {folder} is damaged: {error}.") from error
    missing = sorted((there | _ALWAYS) - set(hashes))
    if missing or not any(map(_SHARD.fullmatch, hashes)):
        what = ", ".join(missing) or "a shard"
        raise ArtifactError(f"the checkpoint {folder} is damaged: its manifest holds no SHA-256 of {what}.")
    return hashes


def _verify(folder: Path, hashes: Mapping[str, str]) -> None:
    for name, expected in hashes.items():
        try:
            found = _hash(folder / name)
        except OSError as error:
            raise ArtifactError(f"the checkpoint {folder} is damaged: {error}.") from error
        if found != expected:
            raise ArtifactError(f"{folder / name} is damaged: its SHA-256 is not the one it was written with.")
