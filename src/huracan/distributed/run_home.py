"""The folder of one training on many processes: what is to be done, how far it is, and what came of it.

========================  ===============================================================================================
``job/``                  network, windows and settings; ``digest.txt`` tells it from any other
``distributed.json``      strategy and limits
``checkpoints/``          see :mod:`huracan.training.checkpoints`
``.lock``                 held by who trains here, so that a second start is refused before it touches anything
``run.json``              a name of the run that is on, which its processes put on what they write for each other
``processes/``            one small file a process: its step, and when it was last heard of
``failures/``             why a process ended
``history.json``          epochs so far
``outcome/``              parameters and result, once it is done; ``job/`` and ``checkpoints/`` go then
``kept/``                 of the job, what an estimator needs to take the outcome
``logs/``                 what processes printed
========================  ===============================================================================================
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, fields
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from huracan.distributed.config import DistributedConfig
from huracan.errors import ArtifactError, ConfigError, ModelError
from huracan.storage.folder_lock import held, lock
from huracan.storage.whole_files import put_file, refusal

if TYPE_CHECKING:
    import torch

    from huracan.training.history import EpochRecord, TrainingResult
    from huracan.training.job import TrainingJob
    from huracan.training.outcome import Outcome

__all__ = ["RunHome"]


_NOTE = 4_096


class RunHome:
    """One such folder; nothing is made before it is written to."""

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder).absolute()
        self.job, self.checkpoints = self.folder / "job", self.folder / "checkpoints"
        self.processes, self.failures = self.folder / "processes", self.folder / "failures"
        self.outcome, self.logs = self.folder / "outcome", self.folder / "logs"
        self.kept = self.folder / "kept"

    # --- what is to be done ----------------------------------------------------------------------------------------

    def open(self, job: TrainingJob, config: DistributedConfig, start: Mapping[str, torch.Tensor] | None = None) -> None:
        """Write the job, unless this same job is here already, which is then gone on with.

        Parameters
        ----------
        start : parameters to begin with, instead of new ones.

        Raises
        ------
        ModelError : another job is here. FolderInUse : this same job is being done right now.
        """
        digest = job.identity(start)
        self._refuse_another(job, digest)
        with held(self.folder):
            self._refuse_another(job, digest)  # which somebody may have written meanwhile
            if self.finished:
                self._tidy()
            elif self.digest() is None or not self._has_job:
                job.save(self.job)
                if start is not None:
                    self.put_start(start)
                put_file(self.folder / "digest.txt", digest.encode())
            put_file(self.folder / "distributed.json", json.dumps(config.to_dict(), indent=1).encode())

    def _refuse_another(self, job: TrainingJob, digest: str) -> None:
        if self.digest() not in (None, digest):
            raise ModelError(f"{self.folder} holds another training{self._told_apart(job)}.")

    def _told_apart(self, job: TrainingJob) -> str:
        """By which settings of length the job that is here differs from another one, and what to do."""
        own = "give this one a folder of its own"
        try:
            here = json.loads(((self.job if self._has_job else self.kept) / "job.json").read_bytes())["settings"]
            lengths = {name: (here[name], getattr(job.settings, name)) for name in ("max_epochs", "max_steps")}
        except (OSError, ValueError, KeyError, TypeError):
            return f"; {own}"
        differing = [f"{name} is {there} there and {now} here" for name, (there, now) in lengths.items() if there != now]
        if not differing:
            return f"; {own}"
        begin = "begin with what it came to (warm_start=True, or huracan train --from MODEL)"
        return f" ({', '.join(differing)}); {own}, and to train it further, {begin}"

    @property
    def _has_job(self) -> bool:
        return (self.job / "job.json").is_file()

    def read_job(self) -> TrainingJob:
        """The job; of a finished training, what an estimator needs of it.

        Raises
        ------
        ArtifactError : there is none.
        """
        from huracan.training.job import TrainingJob

        return TrainingJob.load(self.job if self._has_job else self.kept)

    def put_start(self, parameters: Mapping[str, torch.Tensor]) -> None:
        """Keep the parameters that training begins with, instead of new ones."""
        from safetensors.torch import save

        put_file(self.job / "start.safetensors", save({name: value.contiguous() for name, value in parameters.items()}))

    def read_start(self) -> dict[str, torch.Tensor] | None:
        """The parameters that training begins with, None where they are new ones."""
        from safetensors.torch import load

        path = self.job / "start.safetensors"
        return load(path.read_bytes()) if path.is_file() else None

    def digest(self) -> str | None:
        """Of the job that is here, None where there is none."""
        try:
            return (self.folder / "digest.txt").read_text()
        except FileNotFoundError:
            return None

    def config(self) -> DistributedConfig:
        """The settings that were written.

        Raises
        ------
        ArtifactError : there are none, or they are damaged.
        """
        known = {field.name for field in fields(DistributedConfig)}
        try:
            told = json.loads((self.folder / "distributed.json").read_bytes())
            return DistributedConfig(**{name: value for name, value in told.items() if name in known})
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise ArtifactError(f"{self.folder} holds no training for many processes: {error}.") from error
        except ConfigError as error:
            raise ArtifactError(f"{self.folder / 'distributed.json'} is damaged: {error}") from error

    # --- how far it is ---------------------------------------------------------------------------------------------

    def put_history(self, history: list[EpochRecord]) -> None:
        """Tell the epochs so far."""
        put_quickly(self.folder / "history.json", [asdict(record) for record in history])

    def history(self) -> list[EpochRecord]:
        """The epochs so far."""
        from huracan.training.history import EpochRecord

        return [EpochRecord(**record) for record in read_quickly(self.folder / "history.json") or []]

    @contextmanager
    def held(self, together: Callable[[Callable[[], None]], object]) -> Iterator[None]:
        """Within, nobody else trains here.

        Parameters
        ----------
        together : does something once for all processes of a run, as :meth:`~huracan.training.runtime.Runtime.together`.

        Raises
        ------
        FolderInUse : somebody trains here. StorageError : the folder cannot be written.
        """
        handles: list[IO[str]] = []
        together(lambda: handles.append(lock(self.folder)))
        try:
            yield
        finally:
            for handle in handles:
                handle.close()

    def begin(self, world: int) -> str:
        """A new run, by who holds the folder: what earlier ones wrote for their own processes goes. Returns its name."""
        shutil.rmtree(self.processes, ignore_errors=True)
        self.forget_failures(world)
        name = secrets.token_hex(8)
        put_quickly(self.folder / "run.json", name)
        return name

    def run(self) -> str | None:
        """Name of the run that was begun last."""
        return read_quickly(self.folder / "run.json")

    def failure(self, run: str | None) -> dict[str, Any] | None:
        """Why processes of a run ended: what no new start would cure, else what was said last."""
        notes = [note for path in self.failures.glob("*.json") if (note := read_quickly(path)) is not None]
        return max((n for n in notes if n.get("run") == run), key=lambda note: (note["lasting"], note["time"]), default=None)

    def forget_failures(self, world: int) -> None:
        """Before processes begin: room for what each of them may have to say, which is there even where the disk is full."""
        shutil.rmtree(self.failures, ignore_errors=True)
        try:
            self.failures.mkdir(parents=True)
            for rank in range(world):
                (self.failures / f"{rank}.json").write_bytes(b" " * _NOTE)
        except OSError as error:
            raise refusal(self.failures, "written", error) from error

    def note_failure(self, rank: int, note: Mapping[str, Any]) -> None:
        """Write down why a process ends, into the room kept for it."""
        self.failures.mkdir(parents=True, exist_ok=True)
        path = self.failures / f"{rank}.json"
        with path.open("r+b" if path.is_file() else "wb") as file:
            file.write(json.dumps(note).encode().ljust(_NOTE))

    # --- what came of it -------------------------------------------------------------------------------------------

    @property
    def finished(self) -> bool:
        """Whether the training is done."""
        from huracan.training.outcome import is_there

        return is_there(self.outcome)

    def close(self, job: TrainingJob, parameters: Mapping[str, torch.Tensor], result: TrainingResult) -> None:
        """Write what came of a training; what only served to come there goes: the data, and checkpoints."""
        from huracan.training.outcome import put_outcome

        job.sample().save(self.kept)
        put_outcome(self.outcome, parameters, result)
        self._tidy()

    def read_outcome(self) -> Outcome | None:
        """Parameters and result, None where it is not done yet.

        Raises
        ------
        ArtifactError : the outcome is damaged.
        """
        from huracan.training.outcome import read_outcome

        return read_outcome(self.outcome)

    def _tidy(self) -> None:
        for folder in (self.checkpoints, self.job):
            shutil.rmtree(folder, ignore_errors=True)


def put_quickly(path: Path, content: Any) -> None:
    """Write a file that is whole for whoever reads it; after a power cut it may be the one before.

    Raises
    ------
    StorageError : the disk is full or the folder cannot be written.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside.write_text(json.dumps(content))
        os.replace(aside, path)
    except OSError as error:
        with suppress(OSError):
            aside.unlink(missing_ok=True)
        raise refusal(path, "written", error) from error


def read_quickly(path: Path) -> Any:
    """What :func:`put_quickly` wrote, None where it is not there, blank, being written in place, or out of reach."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
