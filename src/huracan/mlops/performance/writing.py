"""Predictions in, outcomes in, each once; what comes twice changes nothing, what comes otherwise is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import polars as pl
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from huracan.mlops.evidence import Evidence, EvidenceKind
from huracan.mlops.performance.buckets import add_to_buckets
from huracan.mlops.performance.forgotten import Scope, forgotten_until, remember
from huracan.mlops.performance.ownership import claim
from huracan.mlops.performance.rows import OUTCOME_COLUMNS, PREDICTION_COLUMNS, Rows, as_rows, schema_of
from huracan.mlops.policy_history import time_text
from huracan.registry.statements import Statement
from huracan.storage.feedback_tables import live_outcomes, live_predictions

__all__ = ["PENDING_SCHEMA", "Received", "forget", "give_up", "pending", "write_outcomes", "write_predictions"]

_KEY = ("version_id", "symbol", "ts")
_TRUTH = ("label", "label_end", "execution_return")
_truth = itemgetter(*(OUTCOME_COLUMNS.index(name) for name in _TRUTH))
PENDING_SCHEMA = schema_of(live_predictions.columns)
"""Columns of predictions without an outcome."""


def _once(dialect: str, table: sa.Table, columns: Sequence[str]) -> Statement:
    made = (sqlite if dialect == "sqlite" else postgresql).insert(table)
    return Statement(made.on_conflict_do_nothing(index_elements=list(_KEY)), columns)


_DIALECTS = ("sqlite", "postgresql")
_PREDICTED = {dialect: _once(dialect, live_predictions, PREDICTION_COLUMNS) for dialect in _DIALECTS}
_KNOWN = {dialect: _once(dialect, live_outcomes, OUTCOME_COLUMNS) for dialect in _DIALECTS}
_said, _came = live_predictions.c, live_outcomes.c
_SAME_BAR = sa.and_(*(_said[name] == _came[name] for name in _KEY))
_OF_VERSION: sa.ColumnElement[int] = sa.literal_column(
    "+live_predictions.version_id"
)  # the + keeps SQLite from reading all the version ever said

_THERE = Statement(
    sa.select(*(_said[name] for name in (*_KEY, "regime", "vetoes", "role")), _came.state, *(_came[name] for name in _TRUTH))
    .select_from(live_predictions.outerjoin(live_outcomes, _SAME_BAR))
    .where(_said.version_id == sa.bindparam("version_id"), _said.symbol == sa.bindparam("symbol"))
    .where(_said.ts.between(sa.bindparam("first", type_=sa.BigInteger), sa.bindparam("last", type_=sa.BigInteger)))
)
_STATE = 3  # of what _THERE gives behind the key: regime, vetoes, role, state, and the truth
_REVISED_SCHEMA: dict[str, Any] = {
    **schema_of(live_outcomes.primary_key.columns),
    "label_before": pl.Float64,
    "label": pl.Float64,
}
_waiting = (
    sa.and_(sa.bindparam("version_id") == _OF_VERSION, _said.ts < sa.bindparam("before", type_=sa.BigInteger)),
    _said.tick >= sa.bindparam("since", type_=sa.BigInteger),
    _came.version_id.is_(None),
)
_PENDING = Statement(
    sa.select(*live_predictions.columns)
    .select_from(live_predictions.outerjoin(live_outcomes, _SAME_BAR))
    .where(*_waiting)
    .order_by(_said.symbol, _said.ts)
)
_GIVEN_UP = Statement(
    sa.insert(live_outcomes).from_select(
        [*_KEY, "state", "tick"],
        sa.select(*(_said[name] for name in _KEY), sa.literal("never"), sa.bindparam("now", type_=sa.BigInteger))
        .select_from(live_predictions.outerjoin(live_outcomes, _SAME_BAR))
        .where(*_waiting),
    )
)
_OLDEST = Statement(
    sa.select(*(_came[name] for name in _KEY))
    .where(_came.tick < sa.bindparam("before", type_=sa.BigInteger))
    .order_by(_came.tick, *(_came[name] for name in _KEY))
    .limit(sa.bindparam("at_most", type_=sa.Integer))
)
_OF_KEY = ("of_version", "of_symbol", "of_ts")


def _of_key(table: sa.Table) -> sa.ColumnElement[bool]:
    kinds = (sa.BigInteger, sa.Text, sa.BigInteger)
    return sa.and_(*(table.c[name] == sa.bindparam(of, type_=kind) for name, of, kind in zip(_KEY, _OF_KEY, kinds)))


_GONE = [Statement(sa.delete(table).where(_of_key(table))) for table in (live_predictions, live_outcomes)]
_REVISED = Statement(sa.update(live_outcomes).values(state="revised").where(_of_key(live_outcomes)))


@dataclass(frozen=True)
class Received:
    """What became of outcomes that were given.

    Attributes
    ----------
    known : those that are new, with ``regime``, ``vetoes`` and ``role`` of their predictions. same : came before and
        were equal.
    revised : came before and were others: version_id, symbol, ts, ``label_before``, ``label``; the first ones stay.
    too_late : their wait had been given up, or their rows were forgotten.
    without_prediction : nobody had said anything of that bar.
    """

    known: pl.DataFrame
    same: int
    revised: pl.DataFrame
    too_late: int
    without_prediction: int

    def evidence(self, name: str, tick: int) -> tuple[Evidence, ...]:
        """One :class:`Evidence` for each symbol whose outcomes were revised."""
        found = []
        for (symbol, version), rows in self.revised.group_by("symbol", "version_id", maintain_order=True):
            first = rows.row(0, named=True)
            sentence = (
                f"{len(rows)} outcomes of {symbol} came a second time and were others, first at {time_text(first['ts'])}: "
                f"{_number(first['label_before'])} became {_number(first['label'])}; the first ones stay."
            )
            found.append(
                Evidence.of(
                    EvidenceKind.REVISED,
                    sentence,
                    name=name,
                    tick=tick,
                    symbol=str(symbol),
                    version_id=int(version),
                    since=first["ts"],
                    details={"count": len(rows), "moments": rows["ts"].head(20).to_list()},
                )
            )
        return tuple({one.id: one for one in found}.values())


def write_predictions(connection: sa.Connection, rows: Rows, name: str, bucket: int) -> int:
    """Keep what was said, each once; how many were new."""
    said = as_rows(rows, live_predictions).rows()
    claim(connection, (row[0] for row in said), name, bucket)
    gone = forgotten_until(connection, (row[0] for row in said))
    if gone:
        said = [row for row in said if not _is_gone(row, gone)]
    return _PREDICTED[connection.dialect.name].write_rows(connection, said, PREDICTION_COLUMNS)


def write_outcomes(connection: sa.Connection, rows: Rows, name: str, bucket: int) -> Received:
    """Keep what came of it, each once, and add what is new to its bucket, unless it was said too late to act on."""
    given = as_rows(rows, live_outcomes)
    outcomes = given.rows()
    there = _there(connection, outcomes)
    new: list[int] = []
    revised: list[tuple[Any, ...]] = []
    gone: dict[Scope, int] | None = None
    same = too_late = without = 0
    for number, outcome in enumerate(outcomes):
        key = outcome[: len(_KEY)]
        before = there.get(key)
        if before is None:
            gone = forgotten_until(connection, given["version_id"].unique()) if gone is None else gone
            late = _is_gone(outcome, gone)
            too_late, without = too_late + late, without + (not late)
        elif before[_STATE] is None:
            new.append(number)
            there[key] = (*before[:_STATE], outcome[len(_KEY)], *_truth(outcome))
        elif before[_STATE] == "never":
            too_late += 1
        elif before[_STATE + 1 :] == _truth(outcome):
            same += 1
        else:
            revised.append((*key, before[_STATE + 1], _truth(outcome)[0]))
    known = given if len(new) == len(outcomes) else given[new]
    facts = [there[outcomes[number][: len(_KEY)]] for number in new]
    known = known.hstack([pl.Series("regime", [fact[0] for fact in facts], pl.String)])
    known = known.hstack([pl.Series("vetoes", [fact[1] for fact in facts], pl.Int64)])
    known = known.hstack([pl.Series("role", [fact[2] for fact in facts], pl.String)])
    _KNOWN[connection.dialect.name].write_rows(connection, [outcomes[number] for number in new], OUTCOME_COLUMNS)
    counts = (known["state"] == "known") & (known["role"] != "late")
    arrived = known if counts.all() else known.filter(counts)
    if not arrived.is_empty():
        claim(connection, arrived["version_id"].unique(), name, bucket)
        add_to_buckets(connection, arrived, bucket)
    _REVISED.write_rows(connection, [row[: len(_KEY)] for row in revised], _OF_KEY)
    others = pl.DataFrame(revised, schema=_REVISED_SCHEMA, orient="row").sort("symbol", "ts", "version_id")
    return Received(known, same, others, too_late, without)


def pending(connection: sa.Connection, version_id: int, before: int, since: int) -> pl.DataFrame:
    """What a version said of bars before ``before``, and at ticks from ``since`` on, of which nothing came yet."""
    found = _PENDING(connection, version_id=version_id, before=before, since=since)
    return pl.DataFrame(found, schema=PENDING_SCHEMA, orient="row")


def give_up(connection: sa.Connection, version_id: int, before: int, tick: int, since: int) -> int:
    """Wait no longer for outcomes of bars before ``before``: their state is ``never``. How many they are."""
    return _GIVEN_UP.write(connection, version_id=version_id, before=before, since=since, now=tick)


def forget(connection: sa.Connection, before: int, at_most: int) -> int:
    """Delete predictions and outcomes that were settled at ticks before ``before``, oldest first; how many outcomes went."""
    keys = [tuple(row) for row in _OLDEST(connection, before=before, at_most=at_most)]
    remember(connection, keys)
    for statement in _GONE:
        statement.write_rows(connection, keys, _OF_KEY)
    return len(keys)


def _is_gone(row: Sequence[Any], gone: Mapping[Scope, int]) -> bool:
    """Whether a row is of a bar that was forgotten, or of one before it."""
    until = gone.get((row[0], row[1]))
    return until is not None and row[2] <= until


def _there(connection: sa.Connection, outcomes: Sequence[tuple[Any, ...]]) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """By bar: regime and vetoes of what was said, and state and truth of what had come of it already, if anything."""
    spans: dict[tuple[int, str], list[int]] = {}
    for version_id, symbol, ts, *_ in outcomes:
        spans.setdefault((version_id, symbol), []).append(ts)
    found: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    for (version_id, symbol), moments in spans.items():
        rows = _THERE(connection, version_id=version_id, symbol=symbol, first=min(moments), last=max(moments))
        found.update({row[: len(_KEY)]: row[len(_KEY) :] for row in rows})
    return found


def _number(value: float | None) -> str:
    return "no label" if value is None else f"{value:.6g}"
