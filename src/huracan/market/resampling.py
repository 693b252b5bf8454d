"""Candles of a higher timeframe, each known only when its last lower bar has closed."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

import polars as pl

from huracan.errors import CandleError
from huracan.logs import logger
from huracan.market.bar_lengths import grid_phase, length_in_ms
from huracan.market.columns import missing_column
from huracan.market.schema import CANDLE_SCHEMA, OPTIONAL_COLUMNS, written_time
from huracan.market.segments import bar_length, steps_of, written_length

__all__ = ["IncompleteReason", "ResampleReport", "closed_higher_bars", "resample_candles", "resample_report"]

Length = str | dt.timedelta


class IncompleteReason(StrEnum):
    """Why a higher bar lacks lower bars."""

    START = "start"
    END = "end"
    GAP = "gap"


_AT = {IncompleteReason.START: "at the start", IncompleteReason.END: "at the end", IncompleteReason.GAP: "at gaps"}


@dataclass(frozen=True, eq=False)
class ResampleReport:
    """Higher bars and what became of those that are not whole.

    Attributes
    ----------
    candles : the higher bars.
    bar, source_bar : lengths of the higher and of the lower bars.
    complete : higher bars that have all their lower bars.
    incomplete : ``[symbol, ts, bars, expected, reason]``, one row for each higher bar that has some of its lower bars:
        how many it has, how many it needs, and why (the first of :class:`IncompleteReason` that applies).
    kept : whether the incomplete ones are in ``candles``.
    """

    candles: pl.DataFrame
    bar: dt.timedelta
    source_bar: dt.timedelta
    complete: int
    incomplete: pl.DataFrame
    kept: bool

    def count(self, reason: IncompleteReason) -> int:
        """Number of incomplete higher bars of one reason."""
        return int((self.incomplete["reason"] == reason.value).sum())

    @property
    def sentence(self) -> str:
        """The report as one sentence."""
        source, bar = (written_length(int(length.total_seconds() * 1000)) for length in (self.source_bar, self.bar))
        said = f"bars of {source} make {self.complete:,} whole bar{'' if self.complete == 1 else 's'} of {bar}"
        if self.incomplete.is_empty():
            return f"{said}."
        counts = ", ".join(f"{self.count(reason):,} {_AT[reason]}" for reason in IncompleteReason if self.count(reason))
        done = (
            "kept and marked" if self.kept else f"left out with their {int(self.incomplete['bars'].sum()):,} bars of {source}"
        )
        return f"{said}; {self.incomplete.height:,} that are not whole ({counts}) were {done}."


def resample_candles(
    candles: pl.DataFrame,
    to: Length,
    *,
    partial: Literal["drop", "keep"] = "drop",
    offset: Length = dt.timedelta(0),
    bar: Length | None = None,
) -> pl.DataFrame:
    """Candles of a longer bar; a bar is only given when all its lower bars are there.

    Open is the first, high the highest, low the lowest, close the last, volume and ``funding_rate`` the sum (null where
    no rate is due). Bars are aligned to 1970-01-01 00:00 UTC, weeks to Monday. Symbols never mix. A lower
    bar counts as closed: where the last was still open when the data was taken, ``read_candles(drop_open_bar=True)``
    leaves it out. The same as :func:`resample_report` without the counts.

    Parameters
    ----------
    candles : canonical candles, sorted by ``(symbol, ts)``; other columns are left behind.
    to : length of the higher bars, a whole multiple of the lower ones.
    partial : ``"drop"`` higher bars that lack lower bars, at the start, at the end and at gaps. ``"keep"`` them for a
        look: a Boolean column ``complete`` marks them, so that no computation takes them for candles unaware.
    offset : shift of the grid, at least 0 and less than ``to``: ``"8h"`` for days that begin at 08:00 UTC.
    bar : length of the lower bars; by default the most frequent step. Give it where the first stretch of a series has
        more holes than bars, so that a prefix cannot be taken for bars of another length.

    Raises
    ------
    CandleError : ``to`` is shorter than the bars or no whole multiple of them, bars straddle two higher ones, rows are
        not sorted or twice there.
    NotEnoughData : no symbol has two bars, and ``bar`` is not given.

    Examples
    --------
    >>> from huracan.market import simulate_market
    >>> hourly = simulate_market(n_bars=100, n_symbols=1, seed=0).candles
    >>> resample_candles(hourly, "4h").height, resample_candles(hourly, "1d").height
    (25, 4)
    """
    return resample_report(candles, to, partial=partial, offset=offset, bar=bar).candles


def resample_report(
    candles: pl.DataFrame,
    to: Length,
    *,
    partial: Literal["drop", "keep"] = "drop",
    offset: Length = dt.timedelta(0),
    bar: Length | None = None,
) -> ResampleReport:
    """Resample as :func:`resample_candles` does, and say which higher bars are not whole.

    Examples
    --------
    >>> from huracan.market import simulate_market
    >>> hourly = simulate_market(n_bars=100, n_symbols=1, seed=0).candles
    >>> resample_report(hourly, "1d").sentence
    'bars of 1h make 4 whole bars of 1d; 1 that are not whole (1 at the end) were left out with their 4 bars of 1h.'
    """
    if partial not in ("drop", "keep"):
        raise CandleError(f"partial is {partial!r}; 'drop' or 'keep' was expected.")
    frame = _ordered(candles)
    lower = int(bar_length(frame).total_seconds() * 1000) if bar is None else length_in_ms(bar)
    higher = length_in_ms(to, what="to")
    phase = _phase(higher, lower, offset)
    _require_alignment(frame, lower, higher, phase)
    whole = higher // lower
    bars = _aggregated(frame, lower, higher, phase)
    complete = bars["bars"] == whole
    names = [name for name in bars.columns if name not in ("bars", "reason")]
    incomplete = bars.filter(~complete).select("symbol", "ts", "bars", pl.lit(whole, pl.UInt32).alias("expected"), "reason")
    kept = bars.filter(complete).select(names) if partial == "drop" else bars.select(*names, complete.alias("complete"))
    length, source = (dt.timedelta(milliseconds=value) for value in (higher, lower))
    report = ResampleReport(kept, length, source, int(complete.sum()), incomplete, partial == "keep")
    logger().info("candles resampled", said=report.sentence)
    return report


def closed_higher_bars(
    candles: pl.DataFrame, to: Length, *, offset: Length = dt.timedelta(0), bar: Length | None = None
) -> pl.DataFrame:
    """Higher bars with the moment each is known: ``[symbol, ts, known_at, open, high, low, close, volume]``.

    ``ts`` is the open of the higher bar, ``known_at = ts + to`` its close. A lower bar may use it from the moment that its
    own ``decision_time`` (``ts`` plus its length) is ``known_at`` or later: the last lower bar inside is the first.
    ``join_external(hourly, closed_higher_bars(hourly, "4h"), columns=["close"], prefix="4h_", bar="1h")`` joins them so.

    Parameters, errors: as :func:`resample_candles`; ``funding_rate`` is given where the candles have it.

    Examples
    --------
    >>> from huracan.market import simulate_market
    >>> hourly = simulate_market(n_bars=100, n_symbols=1, seed=0).candles
    >>> closed_higher_bars(hourly, "4h").select("ts", "known_at").row(0)[1].isoformat()
    '2024-01-01T04:00:00+00:00'
    """
    bars = resample_candles(candles, to, offset=offset, bar=bar)
    known_at = (pl.col("ts") + pl.duration(milliseconds=length_in_ms(to))).alias("known_at")
    return bars.select("symbol", "ts", known_at, pl.exclude("symbol", "ts"))


def _ordered(candles: pl.DataFrame) -> pl.DataFrame:
    """The canonical columns, in one chunk so that sums do not depend on how the frame is chunked."""
    for name, expected in CANDLE_SCHEMA.items():
        if name not in candles.columns:
            raise missing_column(name, candles.columns, where="the frame")
        if candles.schema[name] != expected:
            raise CandleError(f"column '{name}' is {candles.schema[name]}; {expected} was expected (read_candles converts).")
    names = [name for name in (*CANDLE_SCHEMA, *OPTIONAL_COLUMNS) if name in candles.columns]
    frame = candles.select(names).rechunk()
    steps = steps_of(frame)
    bad = steps.filter(pl.col("step") <= 0)
    if bad.height:
        symbol, ts, step = bad.row(0)
        what = "is there more than once" if step == 0 else "comes after a later bar"
        raise CandleError(
            f"{symbol}: {_said(ts)} {what} ({bad.height} such rows); candles sorted by (symbol, ts) were expected."
        )
    if steps.height != frame.height - frame["symbol"].n_unique():
        raise CandleError("the rows of one symbol do not stand together; candles are sorted by (symbol, ts).")
    return frame


def _phase(higher: int, lower: int, offset: Length) -> int:
    if higher < lower or higher % lower:
        why = "shorter than" if higher < lower else "no whole multiple of"
        raise CandleError(
            f"{written_length(higher)} is {why} the bars of {written_length(lower)}; a whole multiple was expected."
        )
    shift = length_in_ms(offset, what="offset", zero=True)
    if shift >= higher:
        raise CandleError(f"offset is {written_length(shift)}; less than the bar of {written_length(higher)} was expected.")
    return grid_phase(higher) + shift


def _require_alignment(frame: pl.DataFrame, lower: int, higher: int, phase: int) -> None:
    since = frame["ts"].dt.epoch("ms")
    off = (since - phase) % lower != 0
    if not off.any():
        return
    row = int(off.arg_max() or 0)
    shift = (int(since[row]) - grid_phase(higher)) % lower
    fits = ((since - grid_phase(higher) - shift) % lower == 0).all()
    hint = f"; offset='{written_length(shift)}' moves the grid there" if fits else ""
    raise CandleError(
        f"{frame['symbol'][row]}: the bar of {written_length(lower)} at {_said(frame['ts'][row])} does not fit into bars of "
        f"{written_length(higher)} ({int(off.sum())} such bars){hint}."
    )


def _aggregated(frame: pl.DataFrame, lower: int, higher: int, phase: int) -> pl.DataFrame:
    """Every higher bar with at least one lower bar, how many it has, and why it may lack some."""
    since = pl.col("ts").dt.epoch("ms")
    opened = (since - (since - phase) % higher).alias("__opened")
    symbol_begins = (pl.col("symbol") != pl.col("symbol").shift(1)).fill_null(True)
    frame = frame.with_columns(opened, __begins=symbol_begins).with_columns(
        __bar=(pl.col("__begins") | (pl.col("__opened") != pl.col("__opened").shift(1))).cast(pl.UInt32).cum_sum(),
        __ends=pl.col("__begins").shift(-1).fill_null(True),
    )
    funding = pl.col("funding_rate")
    bars = (
        frame.with_columns(pl.col("__bar").set_sorted())
        .group_by("__bar", maintain_order=True)
        .agg(
            pl.col("symbol").first(),
            pl.col("__opened").first().cast(pl.Datetime("ms", "UTC")).alias("ts"),
            pl.col("open").first(),
            pl.col("high").max(),
            pl.col("low").min(),
            pl.col("close").last(),
            pl.col("volume").sum(),
            *(
                [pl.when(funding.count() > 0).then(funding.sum()).alias("funding_rate")]
                if "funding_rate" in frame.columns
                else []
            ),
            pl.len().cast(pl.UInt32).alias("bars"),
            (pl.col("__begins").first() & (since.first() > pl.col("__opened").first())).alias("__late"),
            (pl.col("__ends").last() & (since.last() + lower < pl.col("__opened").first() + higher)).alias("__early"),
        )
    )
    reason = (
        pl.when("__late")
        .then(pl.lit(IncompleteReason.START.value))
        .when("__early")
        .then(pl.lit(IncompleteReason.END.value))
        .otherwise(pl.lit(IncompleteReason.GAP.value))
        .alias("reason")
    )
    return bars.with_columns(reason).drop("__bar", "__late", "__early")


def _said(ts: dt.datetime) -> str:
    return written_time(round(ts.timestamp() * 1000))
