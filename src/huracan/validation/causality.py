"""Look-ahead detector: whatever is computed at a time must not change when the future is cut away."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from huracan.errors import DataError, HuracanError, LeakageError, NotEnoughData

__all__ = ["CausalReport", "Computable", "assert_causal"]

_KEYS = ("symbol", "ts")
_CHEAP_VALUES = 200_000_000


class Computable(Protocol):
    """Anything that turns candles into columns, one row a candle."""

    def compute(self, candles: pl.DataFrame) -> pl.DataFrame: ...


@dataclass(frozen=True)
class CausalReport:
    """What :func:`assert_causal` looked at and found unchanged.

    Attributes
    ----------
    columns : compared. cut_times : last bar that was known in each recomputation. n_values : values compared.
    not_computable : cut time and reason, where too little past was left to compute anything.
    undefined : columns that hold no value anywhere in ``candles``, of which nothing was shown.
    """

    columns: tuple[str, ...]
    cut_times: tuple[dt.datetime, ...]
    n_values: int
    not_computable: tuple[tuple[dt.datetime, str], ...]
    undefined: tuple[str, ...] = ()


def assert_causal(
    recipe: Computable | Callable[[pl.DataFrame], pl.DataFrame],
    candles: pl.DataFrame,
    cuts: int = 50,
    *,
    random_state: int = 0,
    last_rows: int | None = None,
    max_rows: int | None = None,
) -> CausalReport:
    """Prove that no column reads the future: compute again on candles cut at many times, expect the same values.

    Catches negative shifts, centred windows, scaling by the full sample, two-sided filters and decompositions, and
    values of a higher timeframe used before its bar closed. Values must agree exactly, nulls and NaN included: a
    difference in the last digit is how a weak leak looks. It sees only what ``candles`` hold: other data that the
    recipe reads on its own it cannot cut.

    Parameters
    ----------
    recipe : has ``compute(candles) -> frame``, or is such a function; the frame has ``symbol, ts`` and columns.
    candles : polars frame ``[symbol, ts, ...]``.
    cuts : recomputations; some just after warm-up and after gaps, the others at random times, most of them in the midst
        of higher-timeframe bars.
    random_state : seed of the random times.
    last_rows : compare the last so many rows of each symbol at every cut; by default all rows where that is cheap, else 3.
    max_rows : use only the most recent candles, about so many, to bound the cost (a cut costs one computation on its past).

    Raises
    ------
    LeakageError : names the first column, symbol and time that changed, with both values.
    NotEnoughData : nothing could be compared at any cut. DataError : the recipe's output is not as described.

    Examples
    --------
    >>> start = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)
    >>> candles = pl.DataFrame({"symbol": "A", "ts": [start + dt.timedelta(hours=i) for i in range(60)],
    ...                         "close": np.arange(60.0) ** 1.5})
    >>> def momentum(c): return c.select("symbol", "ts", momentum=pl.col("close").pct_change(3).over("symbol"))
    >>> assert_causal(momentum, candles, cuts=10).columns
    ('momentum',)
    >>> def peek(c): return c.select("symbol", "ts", tomorrow=pl.col("close").shift(-1).over("symbol"))
    >>> assert_causal(peek, candles, cuts=10)  # doctest: +IGNORE_EXCEPTION_DETAIL
    Traceback (most recent call last):
    huracan.errors.LeakageError: column 'tomorrow' reads the future: ...
    """
    if cuts < 1:
        raise DataError(f"cuts is {cuts}; at least 1 was expected.")
    missing = [name for name in _KEYS if name not in candles.columns]
    if missing:
        raise DataError(f"candles have no column '{missing[0]}'; columns are {', '.join(candles.columns)}.")
    compute = recipe.compute if hasattr(recipe, "compute") else recipe
    if max_rows is not None:
        candles = _most_recent(candles, max_rows)
    full = _indexed(compute(candles), "all candles")
    columns = tuple(name for name in full.columns if name not in _KEYS)
    if not columns:
        raise DataError("the recipe computes no column beside symbol and ts; nothing can be checked.")
    if last_rows is None and candles.height * len(columns) * cuts > _CHEAP_VALUES:
        last_rows = 3
    lookback = int(getattr(recipe, "lookback", getattr(recipe, "warmup", 0)))
    cut_times = _cut_times(candles, full, cuts, lookback, np.random.default_rng(random_state))
    compared = 0
    failed: list[tuple[dt.datetime, str]] = []
    for cut in cut_times:
        try:
            part = compute(candles.filter(pl.col("ts") <= cut))
        except HuracanError as error:  # too little past: recorded, and refused below if it is always so
            failed.append((cut, str(error)))
            continue
        compared += _compare(full.filter(pl.col("ts") <= cut), _indexed(part, f"candles up to {cut}"), columns, cut, last_rows)
    if not compared:
        reason = f": {failed[-1][1]}" if failed else ""
        raise NotEnoughData(f"nothing could be compared at any of {len(cut_times)} cuts{reason}")
    undefined = tuple(name for name in columns if full[name].is_null().all())
    return CausalReport(columns, tuple(cut_times), compared, tuple(failed), undefined)


def _indexed(frame: Any, source: str) -> pl.DataFrame:
    if not isinstance(frame, pl.DataFrame):
        raise DataError(f"the recipe gives a {type(frame).__name__} for {source}; a polars frame was expected.")
    missing = [name for name in _KEYS if name not in frame.columns]
    if missing:
        raise DataError(f"the recipe's frame has no column '{missing[0]}'; columns are {', '.join(frame.columns)}.")
    ordered = frame.sort(_KEYS)
    twice = ordered.select(_KEYS).is_duplicated()
    if twice.any():
        row = ordered.filter(twice).row(0, named=True)
        raise DataError(f"the recipe gives several rows for {row['symbol']} at {row['ts']}; one row a candle was expected.")
    return ordered


def _compare(full: pl.DataFrame, part: pl.DataFrame, columns: Sequence[str], cut: dt.datetime, last_rows: int | None) -> int:
    if tuple(name for name in part.columns if name not in _KEYS) != tuple(columns):
        changed = sorted(set(columns).symmetric_difference(part.columns) - set(_KEYS)) or ["their order"]
        raise LeakageError(f"which columns there are depends on the future: '{changed[0]}' differs when candles end at {cut}.")
    if last_rows is not None:
        full, part = (frame.group_by("symbol", maintain_order=True).tail(last_rows).sort(_KEYS) for frame in (full, part))
    if not full.select(_KEYS).equals(part.select(_KEYS)):
        only_full = full.select(_KEYS).join(part.select(_KEYS), on=_KEYS, how="anti")
        only_part = part.select(_KEYS).join(full.select(_KEYS), on=_KEYS, how="anti")
        row = (only_full if only_full.height else only_part).row(0, named=True)
        known = ("with", "without") if only_full.height else ("without", "with")
        raise LeakageError(
            f"whether there is a row for {row['symbol']} at {row['ts']} depends on the future: it is there {known[0]} later "
            f"candles and missing {known[1]} them (cut at {cut})."
        )
    for name in columns:
        differs = _different(full[name], part[name])
        if differs.any():
            at = int(np.argmax(differs))
            raise LeakageError(
                f"column '{name}' reads the future: for {full['symbol'][at]} at {full['ts'][at]} it is {part[name][at]!r} when "
                f"candles end at {cut} and {full[name][at]!r} when later candles are known."
            )
    return full.height * len(columns)


def _different(a: pl.Series, b: pl.Series) -> NDArray[np.bool_]:
    if a.dtype != b.dtype:  # a column that is still all null has no type yet
        if not (a.is_null().all() and b.is_null().all()):
            a, b = (x.cast(b.dtype if a.dtype == pl.Null else a.dtype) for x in (a, b))
        else:
            return np.zeros(len(a), dtype=bool)
    return (~a.eq_missing(b)).to_numpy()


def _most_recent(candles: pl.DataFrame, max_rows: int) -> pl.DataFrame:
    if max_rows < 2:
        raise DataError(f"max_rows is {max_rows}; at least 2 were expected.")
    if candles.height <= max_rows:
        return candles
    first = candles["ts"].sort(descending=True)[max_rows - 1]
    return candles.filter(pl.col("ts") >= first)


def _cut_times(
    candles: pl.DataFrame, full: pl.DataFrame, cuts: int, warmup: int, rng: np.random.Generator
) -> list[dt.datetime]:
    """Times to cut at: just after warm-up and after gaps (a third), the rest at random; the very last is no cut."""
    times = candles["ts"].unique().sort()
    if times.len() < 3:
        raise NotEnoughData(f"candles hold {times.len()} different times; at least 3 are needed to cut them.")
    last = times.len() - 2
    earliest = min(max(int(warmup), 1), last)
    starts = [0, *times.search_sorted(_segment_starts(full)).to_list()]
    near = [start + earliest + step for step in (0, 1, 2, 7) for start in starts] + [start + 1 for start in starts[1:]] + [last]
    special = np.unique([at for at in near if earliest <= at <= last])
    if len(special) > max(1, cuts // 3):
        special = rng.choice(special, size=max(1, cuts // 3), replace=False)
    others = np.setdiff1d(np.arange(earliest, last + 1), special)
    wanted = min(len(others), cuts - len(special))
    # one random time in each of equal parts: no stretch of the history stays unseen
    parts = [part for part in np.array_split(others, wanted) if len(part)] if wanted else []
    drawn = [int(rng.choice(part)) for part in parts]
    return [times[int(at)] for at in sorted({*map(int, special), *drawn})]


def _segment_starts(full: pl.DataFrame) -> pl.Series:
    if "segment" not in full.columns:
        return full["ts"].head(0)
    starts = full.group_by("symbol", "segment").agg(pl.col("ts").min())
    return starts["ts"].unique().sort()
