"""Rows of the live tables as frames: columns of the right kind, and no number that is none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import polars as pl
import sqlalchemy as sa

from huracan.errors import DataError
from huracan.storage.feedback_tables import live_outcomes, live_predictions

__all__ = ["OUTCOME_COLUMNS", "PREDICTION_COLUMNS", "Rows", "as_rows", "schema_of"]

Rows = pl.DataFrame | Sequence[Sequence[Any]]
"""A frame with the columns by name, or plain tuples in the order of the columns."""

PREDICTION_COLUMNS: tuple[str, ...] = tuple(column.name for column in live_predictions.columns)
"""Order of the values of a prediction: that of the table ``live_predictions``."""

OUTCOME_COLUMNS: tuple[str, ...] = tuple(column.name for column in live_outcomes.columns)
"""Order of the values of an outcome: that of the table ``live_outcomes``."""

_WORDS: dict[str, tuple[str, tuple[str, ...]]] = {
    live_predictions.name: ("role", ("champion", "beside", "challenger", "late")),
    live_outcomes.name: ("state", ("known", "never")),
}
_KINDS: dict[type[Any], Any] = {
    sa.BigInteger: pl.Int64,
    sa.Integer: pl.Int64,
    sa.Text: pl.String,
    sa.Double: pl.Float64,
    sa.JSON: pl.String,
    sa.Boolean: pl.Boolean,
}


def schema_of(columns: Iterable[sa.Column[Any]]) -> dict[str, Any]:
    """Name and kind of columns of a table, as a frame has them."""
    return {column.name: _KINDS[type(column.type)] for column in columns}


def as_rows(rows: Rows, table: sa.Table) -> pl.DataFrame:
    """Rows that ``table`` takes: its columns in its order, numbers that are not finite as null.

    Parameters
    ----------
    rows : a frame, in which columns that may be empty can be left out and times may be datetimes; or tuples of plain values.

    Raises
    ------
    DataError : a column is missing, of another kind, or has no value where it needs one; a role or state that there is not; a
        bar that was not there yet at its tick, or an outcome whose label had not ended.

    Examples
    --------
    >>> said = pl.DataFrame({"version_id": [1], "symbol": ["BTC"], "ts": [0], "role": ["champion"], "tick": [60_000],
    ...                      "regime": [""], "score": [float("nan")], "vetoes": [1]})
    >>> as_rows(said, live_predictions).row(0)
    (1, 'BTC', 0, 'champion', 60000, '', None, None, None, None, None, 1)
    """
    schema = schema_of(table.columns)
    if isinstance(rows, pl.DataFrame):
        frame = _columns(rows, schema, table)
    elif isinstance(rows, Sequence) and not isinstance(rows, str):
        frame = _tuples(rows, schema, table)
    else:
        raise DataError(f"rows for {table.name} are a {type(rows).__name__}; a polars frame or plain tuples were expected.")
    numbers = [name for name, kind in schema.items() if kind == pl.Float64 and not frame[name].is_finite().all()]
    if numbers:
        frame = frame.with_columns(pl.when(pl.col(numbers).is_finite()).then(pl.col(numbers)))
    for column in table.columns:
        if not column.nullable and frame[column.name].null_count():
            raise DataError(f"column '{column.name}' of rows for {table.name} has no value in a row; it needs one in each.")
    _check_words(frame, table)
    _check_times(frame, table)
    return frame


def _check_words(frame: pl.DataFrame, table: sa.Table) -> None:
    column, words = _WORDS[table.name]
    strange = frame[column].filter(~frame[column].is_in(words))
    if len(strange):
        raise DataError(f"{column} '{strange[0]}' in rows for {table.name} is none; {', '.join(words)} are there.")


def _check_times(frame: pl.DataFrame, table: sa.Table) -> None:
    """Nobody says anything of a bar before it is there, nor knows what came of it before its label ends."""
    for column in ("ts", "label_end"):
        if column in frame.columns:
            early = frame.filter(pl.col("tick") < pl.col(column))
            if len(early):
                row = early.row(0, named=True)
                raise DataError(
                    f"a row for {table.name} of {row['symbol']} has tick {row['tick']} before its {column} {row[column]} "
                    "(milliseconds UTC); what is written at a tick is of a time before it."
                )


def _columns(rows: pl.DataFrame, schema: dict[str, Any], table: sa.Table) -> pl.DataFrame:
    given = rows.schema
    if list(given) == list(schema) and all(given[name] == kind for name, kind in schema.items()):
        return rows
    missing = [column.name for column in table.columns if column.name not in given and not column.nullable]
    if missing:
        raise DataError(f"rows for {table.name} have no column '{missing[0]}'; given are {', '.join(rows.columns)}.")
    columns = []
    for name, kind in schema.items():
        if name not in given:
            columns.append(pl.lit(None, dtype=kind).alias(name))
        elif kind == pl.Int64 and given[name].is_float() and (broken := rows[name].filter(rows[name] % 1.0 != 0.0)).len():
            raise DataError(f"column '{name}' of rows for {table.name} holds {broken[0]}; whole numbers were expected.")
        elif isinstance(given[name], pl.Datetime):
            columns.append(pl.col(name).dt.epoch("ms"))
        else:
            columns.append(pl.col(name).cast(kind))
    try:
        return rows.select(columns)
    except pl.exceptions.PolarsError as error:
        raise DataError(f"rows for {table.name} cannot be read: {error}.") from error


def _tuples(rows: Sequence[Sequence[Any]], schema: dict[str, Any], table: sa.Table) -> pl.DataFrame:
    if rows and len(rows[0]) != len(schema):
        raise DataError(f"a row for {table.name} has {len(rows[0])} values; {len(schema)} were expected: {', '.join(schema)}.")
    try:
        return pl.DataFrame(rows, schema=schema, orient="row")
    except (pl.exceptions.PolarsError, TypeError, OverflowError) as error:
        raise DataError(f"rows for {table.name} cannot be read: {error}.") from error
