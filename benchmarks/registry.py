"""The registry: against MLflow in turns, with 10,000 versions, and with four processes that promote at once.

MLflow 3.17 runs in an environment of its own, as a process that is asked over a pipe, so that both sides take turns on the same
machine. SQLite is durable on both sides: ours in WAL with ``synchronous = FULL``, theirs as it comes, with a rollback
journal and ``FULL``. One wait for the disk takes longer than everything else either does, so the database part is judged in
memory (``/dev/shm``), and shown on the disk and on PostgreSQL beside what one wait takes there.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks import ShortOfBar, markdown_table
from benchmarks.automl_checks.own_postgresql import NoPostgreSQL, new_database, own_postgresql
from benchmarks.registry_speed.against_mlflow import OPERATIONS, Turn, compared, fsync_milliseconds
from benchmarks.registry_speed.racing import PROCESSES, PROMOTIONS, ROUNDS, Race, race
from benchmarks.registry_speed.scale import VERSIONS, Scale, milliseconds

__all__ = ["main"]

BARS = {"alias set": 20.0, "alias get": 15.0, "register": 5.0, "tag query": 15.0, "register with files": 1.0}
"""How many times MLflow's time ours must be, at least; on PostgreSQL 1 for each."""
P99_BARS = {"alias get": 5.0, "models_for_regime": 20.0, "a list page of 50": 50.0}
"""Milliseconds at most, with 10,000 versions."""
_MEMORY = Path("/dev/shm")
_SAID = """
Interleaved in one run, in turns of 4 to 40 calls; both registries hold 1,000 tagged versions, and gave the same champions and
the same versions of each tag before anything was timed. The bars of the first four are judged in memory, where the database's
own work is what is timed. On this disk one wait takes {floor:.1f} ms and ours waits once a transaction, so the bars of what
writes are out of anyone's reach there; the column shows what is left. Files are judged on the disk. On PostgreSQL (fsync on,
tables analysed on both sides) the bar is 1x for all.
""".strip()


def main() -> str:
    """Measure, check, and tell what falls short."""
    try:
        with own_postgresql(durable=True) as server:
            return _measured(server)
    except NoPostgreSQL as reason:
        raise FileNotFoundError(str(reason)) from reason


def _measured(server: str) -> str:
    short: list[str] = []
    turns: dict[str, dict[str, Turn]] = {}
    for place, parent in (("memory", _MEMORY), ("disk", None)):
        with tempfile.TemporaryDirectory(dir=parent if parent is None or parent.is_dir() else None) as folder:
            where = Path(folder)
            turns[place] = compared(f"sqlite:///{where}/ours.db", f"sqlite:///{where}/mlflow.db", where)
    with tempfile.TemporaryDirectory() as folder:
        turns["postgresql"] = compared(new_database(server), new_database(server), Path(folder))
        floor = fsync_milliseconds(Path(folder))
    for name, bar in BARS.items():
        if (ratio := turns["memory" if name != "register with files" else "disk"][name].ratio) < bar:
            short.append(f"{name} is {ratio:.1f} times faster than MLflow's, {bar:g} were asked")
        if (ratio := turns["postgresql"][name].ratio) < 1.0:
            short.append(f"{name} on PostgreSQL takes {1 / ratio:.2f} times what MLflow takes")
    scale, races = _own_figures(server)
    short += [
        f"{kind}: {what} p99 {found:.1f} ms"
        for kind, times in scale.items()
        for what, (_, found) in times.items()
        if found > P99_BARS[what]
    ]
    short += [f"{kind}: {result}" for kind, result in races.items() if not _fair(result)]
    page = _page(turns, floor, scale, races)
    if short:
        raise ShortOfBar(short, page)
    return page


def _own_figures(server: str) -> tuple[dict[str, Scale], dict[str, Race]]:
    scale: dict[str, Scale] = {}
    races: dict[str, Race] = {}
    for kind in ("SQLite", "PostgreSQL"):
        with tempfile.TemporaryDirectory() as folder:
            where = Path(folder)
            urls = [f"sqlite:///{where}/{name}.db" if kind == "SQLite" else new_database(server) for name in ("many", "race")]
            scale[kind] = milliseconds(urls[0], where)
            races[kind] = race(urls[1], where)
    return scale, races


def _fair(found: Race) -> bool:
    return found.errors == 0 and found.fair_rounds == ROUNDS and found.intact


def _page(turns: dict[str, dict[str, Turn]], floor: float, scale: dict[str, Scale], races: dict[str, Race]) -> str:
    against = []
    for name in OPERATIONS:
        line: list[object] = [name, f">= {BARS[name]:g}x"]
        for place in ("memory", "disk", "postgresql"):
            turn = turns[place][name]
            line.append(f"{turn.ours:.2f} / {turn.mlflow:.1f} = **{turn.ratio:.1f}x**")
        against.append(line)
    many = [
        [what, f"<= {bar:g} ms", *("{:.2f} / {:.2f} ms".format(*scale[kind][what]) for kind in scale)]
        for what, bar in P99_BARS.items()
    ]
    raced: Sequence[Sequence[object]] = [
        [kind, found.errors, f"{found.fair_rounds} of {ROUNDS}", found.rows, "holds" if found.intact else "broken"]
        for kind, found in races.items()
    ]
    header = ["median ms, ours / MLflow's", "bar", "SQLite in memory", "SQLite on disk", "PostgreSQL"]
    return "\n".join(
        [
            "# Registry",
            "",
            "## Against MLflow 3.17.2",
            "",
            markdown_table(header, against),
            "",
            _SAID.format(floor=floor),
            "",
            f"## {VERSIONS:,} versions",
            "",
            markdown_table(["median / p99", "bar on p99", *scale], many),
            "",
            f"## {PROCESSES} processes x {PROMOTIONS} promotions, then {ROUNDS} rounds of compare-and-set",
            "",
            markdown_table(["database", "errors", "rounds with exactly one winner", "audit rows", "chain"], raced),
        ]
    )
