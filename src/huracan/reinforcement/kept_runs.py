"""Runs of an evaluation that stay finished, whenever the process dies."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import polars as pl

from huracan.distributed.fanout import FanoutExecutor, FanoutResult
from huracan.errors import StorageError
from huracan.logs import logger
from huracan.reinforcement.playing import Played
from huracan.storage.whole_files import put_file

__all__ = ["YARDSTICKS", "EvaluatedRun", "Kept", "KeptRuns", "Key", "PlayedYardsticks", "RunProgress"]

YARDSTICKS = "yardsticks"
"""Stands in a key where trainings have their seed."""

Key = tuple[int, int | str, str]
"""Window, seed, symbol; no symbol where one agent learns all."""

RunProgress = Callable[[str, float], object]
"""Called with what was finished and its share of all runs."""

_TABLES = ("agent", "random", "history", "action_map")
_TOLD, _KEY = "told.json", "key.json"


@dataclass(frozen=True, eq=False)
class EvaluatedRun:
    """What one training gave: the agent and its random double in the window, and how it learned.

    Attributes
    ----------
    history : ``[step, loss, episode_return, epsilon, score, held_back]``. action_map : cells of a map; empty without one.
    stopped : why the training ended before its time, or "".
    """

    agent: Played
    random: Played
    history: pl.DataFrame
    action_map: pl.DataFrame
    stopped: str

    def write(self, folder: Path) -> None:
        """Write tables and, last, what is told of them: a folder without that is not finished."""
        tables = zip(_TABLES, (self.agent.bars, self.random.bars, self.history, self.action_map))
        names = [self.agent.name, self.random.name]
        told = {"names": names, "bars_per_year": self.agent.bars_per_year, "stopped": self.stopped}
        _write(folder, dict(tables), told)

    @classmethod
    def read(cls, folder: Path) -> EvaluatedRun:
        """What :meth:`write` wrote."""
        told, tables = _read(folder)
        agent, random = (
            Played(said, tables[name], told["bars_per_year"]) for said, name in zip(told["names"], _TABLES, strict=False)
        )
        return cls(agent, random, tables["history"], tables["action_map"], str(told["stopped"]))


@dataclass(frozen=True, eq=False)
class PlayedYardsticks:
    """What strategies that learn nothing by chance did in a window."""

    played: tuple[Played, ...]

    def write(self, folder: Path) -> None:
        """As :meth:`EvaluatedRun.write`."""
        told = {"names": [one.name for one in self.played], "bars_per_year": self.played[0].bars_per_year}
        _write(folder, {one.name: one.bars for one in self.played}, told)

    @classmethod
    def read(cls, folder: Path) -> PlayedYardsticks:
        """What :meth:`write` wrote."""
        told, tables = _read(folder)
        return cls(tuple(Played(name, tables[name], told["bars_per_year"]) for name in told["names"]))


Kept = EvaluatedRun | PlayedYardsticks


class KeptRuns:
    """Runs the trainings and yardsticks of a walk-forward evaluation, each kept in a folder; what is there is not done again.

    Give it as ``executor`` to :func:`huracan.reinforcement.walk_forward_evaluation`.

    Parameters
    ----------
    folder : of this evaluation alone. key : what the evaluation is known by (data, settings, versions): a folder that holds
        another one is refused, since its runs would be taken for this one's.
    executor : runs what is not there yet on other cores; None runs it here.
    progress : called after every training.

    Raises
    ------
    StorageError : the folder holds another evaluation, or cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     kept = KeptRuns(Path(folder), key="BTC, first try")
    ...     _ = KeptRuns(Path(folder), key="BTC, second try")
    Traceback (most recent call last):
    huracan.errors.StorageError: ... holds the evaluation 'BTC, first try'; 'BTC, second try' needs a folder of its own.
    """

    def __init__(
        self, folder: Path, key: str, *, executor: FanoutExecutor | None = None, progress: RunProgress | None = None
    ) -> None:
        self.folder, self.executor, self.progress = Path(folder), executor, progress
        known = self.folder / _KEY
        if known.exists():
            there = json.loads(known.read_bytes())
            if there != key:
                raise StorageError(f"{folder} holds the evaluation '{there}'; '{key}' needs a folder of its own.")
        else:
            put_file(known, json.dumps(key).encode())

    def run(self, function: Callable[..., Kept], tasks: Mapping[Any, Any], *, shared: Any = None) -> dict[Any, Any]:
        """Key -> run in the order of the tasks, whose keys are those of :data:`Key`.

        Raises
        ------
        HuracanError : what a training refused; the runs before it stay.
        """
        found = {key: run for key in tasks if (run := self._there(key)) is not None}
        trainings = [key for key in tasks if key[1] != YARDSTICKS]
        there = sum(key in found for key in trainings)
        self._tell(f"{there} of {len(trainings)} runs were there", there / max(1, len(trainings)))
        missing = {key: task for key, task in tasks.items() if key not in found}
        for key, run in self._computed(function, missing, shared):
            run.write(self._place(key))
            found[key] = run
            window, seed, symbol = key
            if seed != YARDSTICKS:
                self._tell(f"window {window + 1}, seed {seed}{f', {symbol}' if symbol else ''}", 1 / len(trainings))
        return {key: found[key] for key in tasks}

    def _computed(self, function: Callable[..., Kept], tasks: Mapping[Any, Any], shared: Any) -> Iterable[tuple[Any, Kept]]:
        if self.executor is None:
            for key, task in tasks.items():
                yield key, function(task, shared=shared)
            return
        if not tasks:
            return
        results = cast("Generator[FanoutResult]", self.executor.stream(function, tasks, shared=shared))
        with closing(results):  # what is raised here ends the workers
            for result in results:
                yield result.key, result.get()

    def _there(self, key: Key) -> Kept | None:
        """What was kept, or None; a damaged run counts as not there, and is logged."""
        folder = self._place(key)
        if not (folder / _TOLD).exists():
            return None
        try:
            return (PlayedYardsticks if key[1] == YARDSTICKS else EvaluatedRun).read(folder)
        except (OSError, ValueError, KeyError, TypeError) as error:
            logger().warning("a kept run is damaged and is computed again", folder=str(folder), error=str(error))
            return None

    def _place(self, key: Key) -> Path:
        window, seed, symbol = key
        who = seed if seed == YARDSTICKS else f"seed-{seed}"
        own = f"-{hashlib.sha256(symbol.encode()).hexdigest()[:12]}" if symbol else ""
        return self.folder / f"window-{window}-{who}{own}"

    def _tell(self, said: str, share: float) -> None:
        if self.progress is not None:
            self.progress(said, share)


def _write(folder: Path, tables: Mapping[str, pl.DataFrame], told: Mapping[str, Any]) -> None:
    hashes = {}
    for name, table in tables.items():
        content = io.BytesIO()
        table.write_parquet(content)
        put_file(folder / f"{name}.parquet", content.getvalue())
        hashes[name] = hashlib.sha256(content.getvalue()).hexdigest()
    put_file(folder / _TOLD, json.dumps({"hashes": hashes, **told}, indent=1).encode())


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, pl.DataFrame]]:
    told = json.loads((folder / _TOLD).read_bytes())
    tables = {}
    for name, expected in told["hashes"].items():
        content = (folder / f"{name}.parquet").read_bytes()
        if hashlib.sha256(content).hexdigest() != expected:
            raise ValueError(f"{name}.parquet is not what was written")
        tables[name] = pl.read_parquet(io.BytesIO(content))
    return told, tables
