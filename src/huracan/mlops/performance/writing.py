"""Predictions in, outcomes in, each once; what comes twice changes nothing, what comes otherwise is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from huracan.mlops.evidence import Evidence, EvidenceKind
from huracan.mlops.performance.buckets import add_to_buckets
from huracan.mlops.performance.rows import OUTCOME_COLUMNS, PREDICTION_COLUMNS, Rows, as_rows, schema_of
from huracan.mlops.policy_history import time_text
from huracan.registry.statements import Statement
from huracan.storage.feedback_tables import live_outcomes, live_predictions

__all__ = ["PENDING_SCHEMA", "Received", "forget", "give_up", "pending", "write_outcomes", "write_predictions"]

_KEY = ("version_id", "symbol", "ts")
_TRUTH = ("label", "label_end", "execution_return")
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
    sa.select(*(_said[name] for name in (*_KEY, "regime", "vetoes")), _came.state, *(_came[name] for name in _TRUTH))
    .select_from(live_predictions.outerjoin(live_outcomes, _SAME_BAR))
    .where(_said.version_id == sa.bindparam("version_id"), _said.symbol == sa.bindparam("symbol"))
    .where(_said.ts.between(sa.bindparam("first", type_=sa.BigInteger), sa.bindparam("last", type_=sa.BigInteger)))
)
_THERE_SCHEMA = {
    **schema_of([*live_predictions.primary_key.columns, _said.regime, _said.vetoes]),
    **{f"{name}_there": kind for name, kind in schema_of([_came.state, *(_came[name] for name in _TRUTH)]).items()},
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
_REVISED = Statement(
    sa.update(live_outcomes)
    .values(state="revised")
    .where(_came.version_id == sa.bindparam("of_version"), _came.symbol == sa.bindparam("of_symbol"))
    .where(_came.ts == sa.bindparam("of_ts", type_=sa.BigInteger))
)


@dataclass(frozen=True)
class Received:
    """What became of outcomes that were given.

    Attributes
    ----------
    known : those that are new, with ``regime`` and ``vetoes`` of their predictions. same : came before and were equal.
    revised : came before and were others: version_id, symbol, ts, ``label_before``, ``label``; the first ones stay.
    too_late : their wait had been given up. without_prediction : nobody had said anything of that bar.
    """

    known: pl.DataFrame
    same: int
    revised: pl.DataFrame
    too_late: int
    without_prediction: int

    def and_then(self, later: Received) -> Received:
        """Both together."""
        known, revised = pl.concat([self.known, later.known]), pl.concat([self.revised, later.revised])
        too_late, without = self.too_late + later.too_late, self.without_prediction + later.without_prediction
        return Received(known, self.same + later.same, revised, too_late, without)

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


def write_predictions(connection: sa.Connection, rows: Rows) -> int:
    """Keep what was said, each once; how many were new."""
    frame = as_rows(rows, live_predictions)
    return _PREDICTED[connection.dialect.name].write_rows(connection, frame.rows(), PREDICTION_COLUMNS)


def write_outcomes(connection: sa.Connection, rows: Rows, bucket: int) -> Received:
    """Keep what came of it, each once, and add what is new to its bucket."""
    given = as_rows(rows, live_outcomes)
    first = given.select(_KEY).is_duplicated()
    if not first.any():
        return _write_outcomes(connection, given, bucket)
    first = given.select(pl.struct(_KEY).is_first_distinct()).to_series()
    received = _write_outcomes(connection, given.filter(first), bucket)
    return received.and_then(write_outcomes(connection, given.filter(~first), bucket))


def _write_outcomes(connection: sa.Connection, given: pl.DataFrame, bucket: int) -> Received:
    """The same for outcomes of different bars."""
    joined = given.join(_there(connection, given), on=_KEY, how="left", maintain_order="left")
    nothing_said = joined["vetoes"].is_null()
    before = joined["state_there"]
    fresh = joined
    if nothing_said.any() or before.null_count() < len(joined):
        fresh = joined.filter(~nothing_said & before.is_null())
    known = fresh.select(*OUTCOME_COLUMNS, "regime", "vetoes")
    _KNOWN[connection.dialect.name].write_rows(connection, known.select(OUTCOME_COLUMNS).rows(), OUTCOME_COLUMNS)
    arrived = known if (known["state"] == "known").all() else known.filter(pl.col("state") == "known")
    if not arrived.is_empty():
        add_to_buckets(connection, arrived, bucket)
    again = joined.clear() if fresh is joined else joined.filter(before.is_not_null())
    return _received(connection, known, again, int(nothing_said.sum()))


def _received(connection: sa.Connection, known: pl.DataFrame, again: pl.DataFrame, without_prediction: int) -> Received:
    """What became of the new ones, and of those that came before; of the latter, others than before are marked."""
    given_up = pl.col("state_there") == "never"
    same = pl.all_horizontal(pl.col(name).eq_missing(pl.col(f"{name}_there")) for name in _TRUTH)
    late, equal = (0, 0) if again.is_empty() else again.select(late=given_up.sum(), equal=(~given_up & same).sum()).row(0)
    revised = again.filter(~given_up & ~same).select(*_KEY, pl.col("label_there").alias("label_before"), "label")
    revised = revised.sort("symbol", "ts", "version_id")
    _REVISED.write_rows(connection, revised.select(_KEY).rows(), ("of_version", "of_symbol", "of_ts"))
    return Received(known, equal, revised, late, without_prediction)


def pending(connection: sa.Connection, version_id: int, before: int, since: int) -> pl.DataFrame:
    """What a version said of bars before ``before``, and at ticks from ``since`` on, of which nothing came yet."""
    found = _PENDING(connection, version_id=version_id, before=before, since=since)
    return pl.DataFrame(found, schema=PENDING_SCHEMA, orient="row")


def give_up(connection: sa.Connection, version_id: int, before: int, tick: int, since: int) -> int:
    """Wait no longer for outcomes of bars before ``before``: their state is ``never``. How many they are."""
    return _GIVEN_UP.write(connection, version_id=version_id, before=before, since=since, now=tick)


def forget(connection: sa.Connection, before: int, at_most: int) -> int:
    """Delete predictions and outcomes that were settled at ticks before ``before``, oldest first; how many outcomes went."""
    oldest = sa.select(*(_came[name] for name in _KEY)).where(_came.tick < before)
    oldest = oldest.order_by(_came.tick, *(_came[name] for name in _KEY)).limit(at_most)
    for table in (live_predictions, live_outcomes):  # outcomes last: they say which
        gone = connection.execute(sa.delete(table).where(sa.tuple_(*(table.c[name] for name in _KEY)).in_(oldest)))
    return int(gone.rowcount)


def _there(connection: sa.Connection, given: pl.DataFrame) -> pl.DataFrame:
    """What was said of the bars of these outcomes, and what had come of it already, if anything."""
    spans = given.group_by("version_id", "symbol", maintain_order=True).agg(first=pl.col("ts").min(), last=pl.col("ts").max())
    rows: list[Any] = []
    for span in spans.iter_rows(named=True):
        rows += _THERE(connection, **span)
    return pl.DataFrame(rows, schema=_THERE_SCHEMA, orient="row")


def _number(value: float | None) -> str:
    return "no label" if value is None else f"{value:.6g}"
