"""``explore``: one look at candles, and at features where they are given, as frames and JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from huracan.errors import NotEnoughData
from huracan.preprocessing.correlation import correlation_clusters, correlation_order, rank_correlation
from huracan.preprocessing.exploration.features import CORRELATION_ROWS, FEATURE_SCHEMA, describe_features, one_symbol
from huracan.preprocessing.exploration.profiles import calendar_profile, histogram, volatility_over_time
from huracan.preprocessing.exploration.stationarity import verdict_of
from huracan.preprocessing.exploration.symbols import (
    DEPENDENCE_ROWS,
    NO_AUTO,
    NO_LEVEL,
    STATIONARITY_ROWS,
    SymbolBars,
    level_of,
)
from huracan.preprocessing.quality import FoundCandles, read_as_found
from huracan.preprocessing.quality.series import CandleArrays, candle_arrays
from huracan.statistics import adjust_p_values

__all__ = ["Exploration", "explore"]

MOST_SYMBOLS = 60
HALF_THE_VARIANCE = 0.5**0.5
"""Correlation from which on two symbols move together; features that say the same are asked for more."""
_OF_CLUSTER = ("cluster", "representative", "max_abs_correlation")


@dataclass(frozen=True, eq=False)
class Exploration:
    """What was found, as frames; p-values are corrected (Holm) for all symbols, lags and columns of their frame.

    Attributes
    ----------
    returns : a row a symbol: ``[symbol, n, mean, deviation, annualised_volatility, skewness, excess_kurtosis, smallest,
        largest, zero_share, q0.001 ... q0.999, left_index, left_low, left_high, right_index, right_low, right_high]``.
        Returns are log returns of one bar, none of them across a gap.
    histogram : ``[symbol, left, right, share]``, in deviations from the mean.
    volatility : ``[symbol, ts, volatility]``, of one bar's return, in at most 150 spans of equal time.
    profile : ``[symbol, of, slot, relative_volatility, n]``: mean absolute return at an ``"hour"`` of the day (UTC) or on a
        ``"weekday"`` (1 is Monday) over that of all bars.
    autocorrelation : ``[symbol, of, lag, correlation, band, ci_low, ci_high, p_value, p_adjusted]`` of ``"return"`` and
        ``"absolute return"``.
    stationarity : ``[symbol, series, n, every, adf, adf_p, adf_p_adjusted, kpss, kpss_p, kpss_p_adjusted, verdict]`` of
        ``log price``, ``return`` and each feature.
    features : a row a feature: ``[feature, missing, missing_share, first_known, mean, deviation, smallest, largest,
        distinct_share, cluster, representative, max_abs_correlation]``; empty without features.
    correlation : ``(names, matrix)`` of features, or of the symbols' returns where there are none, in the order of likeness.
    clusters : a row a name of ``correlation``: ``[name, cluster, representative, max_abs_correlation]``. Any two of a cluster
        have a rank correlation of at least .9 in size (features), or share half of their variance (symbols' returns: .71).
    correlation_of : ``"features"``, ``"returns"`` or ``""``.
    notes : caps, assumptions, and what could not be computed and why.
    """

    returns: pl.DataFrame
    histogram: pl.DataFrame
    volatility: pl.DataFrame
    profile: pl.DataFrame
    autocorrelation: pl.DataFrame
    stationarity: pl.DataFrame
    features: pl.DataFrame
    correlation: tuple[tuple[str, ...], NDArray[np.float64]]
    clusters: pl.DataFrame
    correlation_of: str
    notes: tuple[str, ...] = field(default_factory=tuple)

    def __repr__(self) -> str:
        said = [f"{self.returns.height} symbols", f"{self.returns['n'].sum():,} returns", f"{self.features.height} features"]
        tables = "returns, histogram, volatility, profile, autocorrelation, stationarity, features, correlation, clusters"
        return f"<Exploration of {', '.join(said)}, {len(self.notes)} notes: {tables}>"

    def to_dict(self) -> dict[str, Any]:
        """Plain values only: frames as lists of rows, times as ISO strings, what is not a number as ``None``."""
        frames = ("returns", "histogram", "volatility", "profile", "autocorrelation", "stationarity", "features", "clusters")
        names, matrix = self.correlation
        return {
            **{name: _plain_rows(getattr(self, name)) for name in frames},
            "correlation": {"of": self.correlation_of, "names": list(names), "matrix": _plain_matrix(matrix)},
            "notes": list(self.notes),
        }

    def to_json(self) -> str:
        """The exploration as JSON."""
        return json.dumps(self.to_dict(), allow_nan=False)


def explore(candles: Any, features: Any = None) -> Exploration:
    """Describe candles, and features where given, before anything is learned from them.

    It looks at all of the data that it is given: give it training rows only where what it says will steer choices.

    Parameters
    ----------
    candles : whatever :func:`huracan.preprocessing.quality_report` takes, dirty or not.
    features : polars or pandas frame with a column a feature; ``symbol``, ``ts`` and ``segment`` are keys.

    Raises
    ------
    CandleError, NotEnoughData : there is nothing to look at.

    Examples
    --------
    >>> from huracan.market import simulate_market
    >>> found = explore(simulate_market(n_bars=600, n_symbols=2, seed=0).candles)
    >>> found.returns["symbol"].to_list(), found.correlation_of
    (['SIM01-USD', 'SIM02-USD'], 'returns')
    """
    from threadpoolctl import threadpool_limits

    found = candles if isinstance(candles, FoundCandles) else read_as_found(candles)
    with threadpool_limits(limits=1, user_api="blas"):  # many small decompositions: threads would only wait for each other
        return _explored(candle_arrays(found.frame), features)


def _explored(bars: CandleArrays, features: Any) -> Exploration:
    notes = _caps(bars)
    looked: dict[str, list[pl.DataFrame]] = {
        name: [] for name in ("returns", "histogram", "volatility", "profile", "auto", "level")
    }
    for symbol, rows, bar in list(bars.parts())[:MOST_SYMBOLS]:
        part = SymbolBars(symbol, bars, rows, bar)
        if np.isfinite(part.returns).sum() < 2 or not np.nanstd(part.returns) > 0:
            notes.append(f"{symbol}: fewer than two returns, or none that moves; it was not explored.")
            continue
        looked["returns"].append(part.described())
        looked["histogram"].append(histogram(symbol, part.returns))
        looked["volatility"].append(volatility_over_time(symbol, part.ts, part.returns))
        looked["profile"].append(calendar_profile(symbol, part.ts, part.returns, bar))
        for name, frames in (("auto", part.dependence()), ("level", part.levels())):
            for frame in frames:
                (looked[name].append if isinstance(frame, pl.DataFrame) else notes.append)(frame)  # type: ignore[arg-type]
    if not looked["returns"]:
        raise NotEnoughData(f"no symbol has two returns that move: {'; '.join(notes)}")
    table, of, matrix, clusters, levels, said = _features(features) if features is not None else _no_features(bars)
    notes += said
    return Exploration(
        returns=pl.concat(looked["returns"]),
        histogram=pl.concat(looked["histogram"]),
        volatility=pl.concat(looked["volatility"]),
        profile=pl.concat(looked["profile"]),
        autocorrelation=_adjusted(pl.concat([NO_AUTO, *looked["auto"]]), "p_value", "p_adjusted"),
        stationarity=_judged(pl.concat([NO_LEVEL, *looked["level"], *levels])),
        features=table,
        correlation=matrix,
        clusters=clusters,
        correlation_of=of,
        notes=tuple(notes),
    )


_NO_CLUSTERS = pl.DataFrame(schema={name: FEATURE_SCHEMA[name] for name in ("feature", *_OF_CLUSTER)}).rename(
    {"feature": "name"}
)
_Found = tuple[pl.DataFrame, str, tuple[tuple[str, ...], NDArray[np.float64]], pl.DataFrame, list[pl.DataFrame], list[str]]


def _features(features: Any) -> _Found:
    table, names, values = describe_features(features)
    where, mine = one_symbol(features, len(values))
    levels: list[pl.DataFrame] = []
    notes = [f"features were tested for stationarity on {where}."]
    for i, name in enumerate(names):
        tested = level_of(where, name, values[mine, i])
        (levels.append if isinstance(tested, pl.DataFrame) else notes.append)(tested)  # type: ignore[arg-type]
    clusters = table.select(pl.col("feature").alias("name"), *_OF_CLUSTER)
    return table, "features", _ordered(names, values), clusters, levels, notes


def _no_features(bars: CandleArrays) -> _Found:
    """The correlation of the symbols' returns, at the times they have in common."""
    parts = [SymbolBars(symbol, bars, rows, bar) for symbol, rows, bar in list(bars.parts())[:MOST_SYMBOLS]]
    empty = pl.DataFrame(schema=FEATURE_SCHEMA)
    if len(parts) < 2:
        return empty, "", ((), np.empty((0, 0))), _NO_CLUSTERS, [], []
    times = np.unique(np.concatenate([part.ts for part in parts]))[-CORRELATION_ROWS:]
    values = np.full((len(times), len(parts)), np.nan)
    for i, part in enumerate(parts):
        place = np.searchsorted(times, part.ts)
        known = (place < len(times)) & (times[np.minimum(place, len(times) - 1)] == part.ts)
        values[place[known], i] = part.returns[known]
    names = tuple(part.symbol for part in parts)
    clusters = correlation_clusters(values, HALF_THE_VARIANCE, names=names, max_rows=CORRELATION_ROWS)
    return empty, "returns", _ordered(names, values), clusters.rename({"feature": "name"}), [], []


def _ordered(names: tuple[str, ...], values: NDArray[np.float64]) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    _, matrix = rank_correlation(values, names=names, max_rows=CORRELATION_ROWS)
    order = correlation_order(matrix)
    return tuple(names[i] for i in order), matrix[np.ix_(order, order)]


def _adjusted(frame: pl.DataFrame, p: str, name: str) -> pl.DataFrame:
    """Holm's correction over all rows that have a p-value."""
    known = frame[p].is_not_null().to_numpy()
    adjusted = np.full(frame.height, np.nan)
    adjusted[known] = adjust_p_values(frame[p].drop_nulls().to_numpy())
    return frame.with_columns(pl.Series(name, adjusted).fill_nan(None))


def _judged(frame: pl.DataFrame) -> pl.DataFrame:
    frame = _adjusted(_adjusted(frame, "adf_p", "adf_p_adjusted"), "kpss_p", "kpss_p_adjusted")
    verdicts = [verdict_of(a, k) for a, k in frame.select("adf_p_adjusted", "kpss_p_adjusted").iter_rows()]
    return frame.with_columns(pl.Series("verdict", verdicts, dtype=pl.String))


def _caps(bars: CandleArrays) -> list[str]:
    """Which parts of the data the costly measures looked at."""
    longest = int(np.diff(bars.start).max())
    notes = []
    if len(bars.symbols) > MOST_SYMBOLS:
        notes.append(f"the first {MOST_SYMBOLS} of {len(bars.symbols)} symbols were explored.")
    if longest > DEPENDENCE_ROWS:
        notes.append(f"autocorrelation is that of the last {DEPENDENCE_ROWS:,} bars of each symbol.")
    if longest > STATIONARITY_ROWS:
        notes.append(
            f"stationarity was tested on at most {STATIONARITY_ROWS:,} values spread evenly over the whole span; returns are "
            "then those from one of these values to the next."
        )
    if longest > CORRELATION_ROWS:
        notes.append(f"correlations are those of at most {CORRELATION_ROWS:,} times.")
    return notes


def _plain_rows(frame: pl.DataFrame) -> list[dict[str, Any]]:
    def plain(value: Any) -> Any:
        if isinstance(value, float):
            return value if np.isfinite(value) else None
        return value.isoformat() if hasattr(value, "isoformat") else value

    return [{key: plain(value) for key, value in row.items()} for row in frame.iter_rows(named=True)]


def _plain_matrix(matrix: NDArray[np.float64]) -> list[list[float | None]]:
    return [[float(v) if np.isfinite(v) else None for v in row] for row in matrix]
