"""What candles must not be: every defect that no computation may rest on, refused in one sentence.

Gaps, single flat bars and single bars without volume are real markets and pass; they are the business of segments and
of the quality report.
"""

from __future__ import annotations

import math

import polars as pl

from huracan.errors import CandleError, NotEnoughData
from huracan.market.columns import missing_column
from huracan.market.schema import CANDLE_SCHEMA, LARGEST, OPTIONAL_COLUMNS, PRICES, written_time
from huracan.market.segments import steps_of, written_length

__all__ = ["impossible_values", "lasting_step", "require_possible", "require_times", "require_values", "validate_candles"]


def validate_candles(frame: pl.DataFrame) -> pl.DataFrame:
    """Refuse what is not canonical candles; give the same frame back otherwise.

    Parameters
    ----------
    frame : polars frame with at least the columns and types of ``CANDLE_SCHEMA``, sorted by ``(symbol, ts)``.

    Raises
    ------
    CandleError : a column is missing or of another type; a price is null, NaN, infinite, zero or negative; volume is
        null, not finite or negative; either lies beyond ``LARGEST``, where money overflows; ``high < low``; open or close
        outside ``[low, high]``; times are duplicate, unsorted or off the grid of the bar length; bar lengths are mixed; a
        symbol's price never moves or never has volume. The sentence names symbol, column, time and count.
    NotEnoughData : no rows, or a symbol with a single bar.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> bars = pl.DataFrame({"symbol": ["A", "A"], "ts": [datetime(2025, 1, 1, h, tzinfo=UTC) for h in (0, 1)],
    ...                      "open": [1.0, 2.0], "high": [2.0, 1.0], "low": [1.0, 2.0], "close": [2.0, 2.0],
    ...                      "volume": [9.0, 8.0]},
    ...                     schema=CANDLE_SCHEMA)
    >>> validate_candles(bars)
    Traceback (most recent call last):
    ...
    huracan.errors.CandleError: A: high 1.0 is below low 2.0 at 2025-01-01 01:00 UTC (1 bar); high >= low was expected.
    """
    if not isinstance(frame, pl.DataFrame):
        raise CandleError(f"candles are a {type(frame).__name__}; a polars DataFrame was expected (read_candles makes one).")
    for name, expected in {**CANDLE_SCHEMA, **OPTIONAL_COLUMNS}.items():
        if name not in frame.columns:
            if name in OPTIONAL_COLUMNS:
                continue
            raise missing_column(name, frame.columns, where="the frame")
        if frame.schema[name] != expected:
            raise CandleError(f"column '{name}' is {frame.schema[name]}; {expected} was expected (read_candles converts).")
    if frame.is_empty():
        raise NotEnoughData("the candles are empty: 0 rows; at least two bars were expected.")
    for name in ("symbol", "ts"):
        if frame[name].null_count():
            row = frame[name].is_null().arg_max()
            raise CandleError(f"column '{name}' is empty in row {row} ({frame[name].null_count()} rows); every bar needs it.")
    require_values(frame)
    require_times(frame)
    return frame


def impossible_values(columns: list[str]) -> list[tuple[str, pl.Expr, str]]:
    """Each impossible value as ``(what, condition, what was expected)``, most basic first."""
    rules = []
    for name in PRICES:
        bad = ~(pl.col(name).is_finite() & (pl.col(name) > 0)).fill_null(False)
        rules.append((name, bad, "a finite price above 0 was expected"))
    bad = ~(pl.col("volume").is_finite() & (pl.col("volume") >= 0)).fill_null(False)
    rules.append(("volume", bad, "a finite volume of 0 or more was expected"))
    for name in (*PRICES, "volume"):
        beyond = pl.col(name) > LARGEST
        if name != "volume":
            beyond |= (pl.col(name) > 0) & (pl.col(name) < 1 / LARGEST)
        least = 0 if name == "volume" else 1 / LARGEST
        rules.append((name, beyond.fill_null(False), f"a number from {least:g} to {LARGEST:g} was expected"))
    if "funding_rate" in columns:
        rules.append(
            ("funding_rate", ~pl.col("funding_rate").is_finite().fill_null(True), "a finite rate or null was expected")
        )
    rules.append(("high", pl.col("high") < pl.col("low"), "high >= low was expected"))
    for name in ("open", "close"):
        rules.append(
            (name, (pl.col(name) < pl.col("low")) | (pl.col(name) > pl.col("high")), f"low <= {name} <= high was expected")
        )
    return rules


def require_possible(frame: pl.DataFrame) -> None:
    """Refuse impossible prices and volumes."""
    rules = impossible_values(frame.columns)
    counts = frame.select(bad.sum().alias(str(i)) for i, (_, bad, _) in enumerate(rules)).row(0)
    for count, (name, bad, expected) in zip(counts, rules):
        if not count:
            continue
        first = frame.filter(bad).select(pl.all(), pl.col("ts").dt.epoch("ms").alias("__ms")).row(0, named=True)
        value = first[name]
        if "high >= low" in expected:
            said = f"high {first['high']} is below low {first['low']}"
        elif expected.startswith("low <="):
            said = f"{name} {value} is outside [{first['low']}, {first['high']}]"
        else:
            said = f"'{name}' is {'missing' if value is None else value}"
        bars = f"{count} bar{'s' if count > 1 else ''}"
        raise CandleError(f"{first['symbol']}: {said} at {written_time(first['__ms'])} ({bars}); {expected}.")


def require_values(frame: pl.DataFrame) -> None:
    """Refuse impossible prices and volumes, and symbols that never move or never trade."""
    require_possible(frame)
    per_symbol = frame.group_by("symbol", maintain_order=True).agg(
        pl.len().alias("bars"),
        (pl.max_horizontal(pl.col(PRICES).max()) == pl.min_horizontal(pl.col(PRICES).min())).alias("constant"),
        pl.col("close").first().alias("price"),
        (pl.col("volume").max() == 0).alias("silent"),
    )
    for symbol, bars, constant, price, silent in per_symbol.iter_rows():
        if bars == 1:
            raise NotEnoughData(f"{symbol} has one bar; at least two are needed to know the bar length.")
        if constant:
            raise CandleError(f"{symbol}: the price is {price} on all {bars} bars; a price that moves was expected.")
        if silent:
            raise CandleError(f"{symbol}: volume is 0 on all {bars} bars; a market that trades was expected.")


def require_times(frame: pl.DataFrame) -> None:
    """Refuse duplicate, unsorted and off-grid times, and mixed bar lengths."""
    steps = steps_of(frame)
    if steps.height != frame.height - frame["symbol"].n_unique():
        raise CandleError("the rows of one symbol do not stand together; candles are sorted by (symbol, ts).")
    if not frame["symbol"].is_sorted():
        raise CandleError("symbols are not in order; candles are sorted by (symbol, ts).")
    for bad, what in ((steps["step"] < 0, "unsorted"), (steps["step"] == 0, "duplicate")):
        if bad.any():
            at = steps.row(int(bad.arg_max() or 0), named=True)
            when = written_time(int(at["ts"].timestamp() * 1000))
            if what == "duplicate":
                raise CandleError(
                    f"{at['symbol']}: {when} is there more than once ({bad.sum()} duplicate bars); one bar a time was expected."
                )
            raise CandleError(
                f"{at['symbol']}: {when} comes after a later bar (time goes back in {bad.sum()} "
                f"place{'s' if bad.sum() > 1 else ''}); times that increase were expected."
            )
    lengths = {symbol: part["step"] for (symbol,), part in steps.group_by("symbol", maintain_order=True)}
    bars: dict[int, str] = {}
    for symbol, of_symbol in lengths.items():
        bar = _most_frequent(of_symbol)
        bars.setdefault(bar, str(symbol))
        other = lasting_step(of_symbol, bar)
        if other is not None:
            step, count, row = other
            when = written_time(int(steps.filter(pl.col("symbol") == symbol)["ts"][row].timestamp() * 1000) - step)
            raise CandleError(
                f"{symbol}: bars of {written_length(bar)} become bars of {written_length(step)} at {when} ({count} bars); "
                "one bar length was expected."
            )
        off = of_symbol % bar != 0
        if off.any():
            when = written_time(int(steps.filter(pl.col("symbol") == symbol)["ts"][int(off.arg_max() or 0)].timestamp() * 1000))
            raise CandleError(
                f"{symbol}: {when} is off the grid of its {written_length(bar)} bars ({off.sum()} steps that are no "
                "multiple of it); bars of one length were expected."
            )
    if len(bars) > 1:
        said = " and ".join(f"{symbol} of {written_length(bar)}" for bar, symbol in sorted(bars.items())[:3])
        raise CandleError(f"bar lengths are mixed: {said}; one bar length for all symbols was expected.")


def lasting_step(steps: pl.Series, bar: int) -> tuple[int, int, int] | None:
    """Find another bar length: a run of equal steps of another length that gaps would not make by chance.

    Weekends are single long steps and missing bars are scattered ones. A run of L steps of share s among n is
    expected ``n * s**L`` times; a run one and a half times as long as what is expected once in a thousand
    series counts as another bar length.

    Returns ``(step, run length, position of the first step of the run)``, or ``None``.
    """
    runs = steps.rle().struct.unnest().with_columns(row=pl.col("len").cum_sum() - pl.col("len"))
    longest = (
        runs.filter((pl.col("value") != bar) & (pl.col("len") >= 3))
        .sort(["len", "row"], descending=[True, False])
        .unique("value", keep="first")
    )
    for length, step, row in longest.sort("row").select("len", "value", "row").iter_rows():
        share = (steps == step).sum() / steps.len()
        if share >= 1 or length > 1.5 * (math.log(steps.len()) + math.log(1000)) / -math.log(share):
            return int(step), int(length), int(row)
    return None


def _most_frequent(steps: pl.Series) -> int:
    counted = steps.value_counts(sort=True)
    most = counted.filter(pl.col("count") == counted["count"].max())
    return int(most[steps.name].min())  # type: ignore[arg-type]
