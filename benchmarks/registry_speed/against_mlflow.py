"""Our registry and MLflow's, in turns on databases of the same kind and place, after both gave the same answers."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import sqlalchemy as sa
from sklearn.linear_model import Ridge

from benchmarks.peers import peer_python
from benchmarks.ridge_card import CARD
from huracan.model_info import ModelInfo
from huracan.model_registry import ModelRegistry
from huracan.registry.registration import Registration

__all__ = ["OPERATIONS", "REQUIREMENTS", "Turn", "compared", "fsync_milliseconds", "registration", "stored_with"]

REQUIREMENTS = ["mlflow==3.17.2", "psycopg[binary]==3.3.9"]
OPERATIONS = ("alias set", "alias get", "register", "tag query", "register with files")
TAGGED = 1_000
_ROUNDS = {"alias set": 12, "alias get": 12, "register": 12, "tag query": 8, "register with files": 6}
_EACH = {"alias set": 20, "alias get": 40, "register": 20, "tag query": 10, "register with files": 4}
"""Calls of a turn, on either side: so many that the operation is timed, and not the caches that the other side left behind."""
_HERE = Path(__file__).resolve().parent.parent / "peers" / "mlflow_registry.py"


@dataclass(frozen=True)
class Turn:
    """Milliseconds of one operation, medians of all turns, and how many times MLflow's ours is."""

    ours: float
    mlflow: float

    @property
    def ratio(self) -> float:
        """MLflow's time over ours."""
        return self.mlflow / self.ours


def registration(tags: Mapping[str, str], card: ModelInfo = CARD, name: str = "m") -> Registration:
    """A small model, checked and ready to be written."""
    model = Ridge().fit([[0.0], [1.0]], [0.0, 1.0])
    given: dict[str, Any] = dict.fromkeys(("provenance", "extras", "probe"))
    return Registration.of(model, card, name=name, kind="challenger", metrics={"sharpe": 1.0}, tags=tags, **given)


def compared(url: str, peer_url: str, folder: Path) -> dict[str, Turn]:
    """Every operation on both, in turns.

    Raises
    ------
    AssertionError : the two do not give the same answers.
    """
    registry = ModelRegistry(url, artifacts=folder / "artifacts")
    try:
        with _peer(peer_url, folder) as ask:
            ours = _operations(registry)
            _fill(registry, ask)
            _analyse(url, peer_url)
            _check_parity(ours, ask)
            return {name: _in_turns(ours[name], name.replace(" ", "_"), name, ask) for name in OPERATIONS}
    finally:
        registry.database.close()


def _operations(registry: ModelRegistry) -> dict[str, Callable[[int], Any]]:
    stored = stored_with(registry)

    def register(count: int) -> int:
        made = ready.pop() if ready else registration({"k": str(count % 10)})
        return registry.database.run(lambda connection: made.make_known(connection, stored, None))

    ready = [registration({"k": str(count % 10)}) for count in range(300)]
    return {
        "register": register,
        "alias set": lambda count: registry.promote("m", 1 + count % 2, reason="in turn"),
        "alias get": lambda _count: registry.get("m").version,
        "tag query": lambda count: sorted(
            found.version for found in registry.find(name="m", tags={"k": str(count % 10)}, limit=1_000)
        ),
        "register with files": lambda count: registry.register(
            Ridge().fit([[0.0], [1.0]], [0.0, float(count + 1)]), CARD, name="m"
        ),
    }


def stored_with(registry: ModelRegistry) -> dict[str, Any]:
    """Where a version's files are; all have the same, since only what the database does is timed."""
    digest = registry.artifacts.put(registration({}).files).digest
    return {"digest": digest, "verified": True, "serving": None, "serving_digest": None}


def _fill(registry: ModelRegistry, ask: Callable[..., dict[str, Any]]) -> None:
    made = [registration({"k": str(value)}) for value in range(10)]
    stored = stored_with(registry)

    def fill(connection: Any) -> None:
        for count in range(TAGGED):
            fresh = Registration(made[count % 10].name, {}, made[count % 10].values, made[count % 10].tags)
            fresh.make_known(connection, stored, None)

    registry.database.run(fill)
    ask("register", TAGGED)


def _analyse(*urls: str) -> None:
    """Tell PostgreSQL how both sides' tables are filled, as its own autovacuum does within a minute or two."""
    for url in urls:
        if url.startswith("postgresql"):
            engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
            with engine.connect() as connection:
                connection.execute(sa.text("ANALYZE"))
            engine.dispose()


def _check_parity(ours: Mapping[str, Callable[[int], Any]], ask: Callable[..., dict[str, Any]]) -> None:
    for count in (0, 1):
        ours["alias set"](count)
        ask("alias_set", 1, count)
        assert ours["alias get"](0) == ask("alias_get", 1)["answer"] == 1 + count, "champions differ"
    for value in range(10):
        found, theirs = ours["tag query"](value), ask("tag_query", 1, value)["answer"]
        assert found == theirs, f"of tag {value} we find {len(found)} versions, MLflow {len(theirs)}"
        assert len(found) == TAGGED // 10, f"{len(found)} versions of tag {value}"


def _in_turns(work: Callable[[int], Any], theirs: str, name: str, ask: Callable[..., dict[str, Any]]) -> Turn:
    mine: list[float] = []
    other: list[float] = []
    each = _EACH[name]
    for turn in range(_ROUNDS[name] + 1):
        start = turn * each
        seconds = []
        for count in range(start, start + each):
            began = perf_counter()
            work(count)
            seconds.append(perf_counter() - began)
        answer = ask(theirs, each, start)["seconds"]
        if turn:  # the first warms both
            mine += seconds
            other += answer
    return Turn(1e3 * median(mine), 1e3 * median(other))


@contextmanager
def _peer(url: str, folder: Path) -> Iterator[Callable[..., dict[str, Any]]]:
    python = peer_python("mlflow", REQUIREMENTS)
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    words = [str(python), str(_HERE), url, str(folder)]
    with subprocess.Popen(words, env={**os.environ, "OMP_NUM_THREADS": "1"}, **pipes) as process:

        def heard() -> dict[str, Any]:
            line = process.stdout.readline()  # type: ignore[union-attr]
            assert line, f"MLflow's process ended with {process.wait()}"
            return dict(json.loads(line))

        def ask(what: str, times: int, start: int = 0) -> dict[str, Any]:
            process.stdin.write(json.dumps({"do": what, "times": times, "start": start}) + "\n")  # type: ignore[union-attr]
            process.stdin.flush()  # type: ignore[union-attr]
            return heard()

        heard()
        try:
            yield ask
        finally:
            process.stdin.close()  # type: ignore[union-attr]
            process.wait(60)


def fsync_milliseconds(folder: Path, times: int = 30) -> float:
    """What one wait for the disk takes here: median of appending 4 KiB to a file and flushing it, in milliseconds."""
    seconds = []
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        for _ in range(times):
            began = perf_counter()
            file.write(b"x" * 4096)
            file.flush()
            os.fsync(file.fileno())
            seconds.append(perf_counter() - began)
    return 1e3 * median(seconds)
