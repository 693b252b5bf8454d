"""``OnlineFeatures``: the numbers of batch first, then microseconds from a closed bar to its dictionary of features.

Real one-minute bars. Latency is that of the whole ``update``: checks of the candle, every feature, rounding to float32, the
dictionary. A round is what a bot would see on this machine, other programs included; the quickest of all rounds, bar by bar,
is what the code costs.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from statistics import median

import numpy as np
import polars as pl

from benchmarks import markdown_table, market_data
from huracan.preprocessing import FeatureRecipe, OnlineFeatures, feature
from huracan.preprocessing.spec import FeatureSpec

__all__ = ["FORTY", "Latency", "latency", "main", "parity"]

MARKETS = ("BTC-USDT", "LINK-USDT")
HISTORY, BARS = 3_000, 5_000
ROUNDS = 9
SAME, WARM = 1e-9, 1e-6
P50, P99 = 30.0, 100.0

TALIB: tuple[FeatureSpec, ...] = (
    *(feature("sma", window=n) for n in (10, 50)),
    *(feature("ema", window=n) for n in (12, 26)),
    feature("wma", window=20),
    feature("rsi", window=14),
    feature("macd"),
    feature("adx", window=14),
    feature("plus_di", window=14),
    feature("minus_di", window=14),
    feature("atr", window=14),
    feature("natr", window=14),
    feature("cci", window=20),
    feature("williams_r", window=14),
    feature("roc", window=10),
    feature("mfi", window=14),
)
"""Indicators that are TA-Lib's own values: 18 columns."""

OURS: tuple[FeatureSpec, ...] = (
    *(feature("log_return_scaled", horizon=h) for h in (1, 6, 24)),
    feature("return_zscore", horizon=1, window=96),
    feature("return_rank", horizon=1, window=96),
    feature("volatility_level", estimator="parkinson", window=12),
    feature("volatility_ratio", estimator="realised", window=6, long_window=48),
    feature("atr_ratio", window=14, long_window=96),
    feature("efficiency_ratio", window=24),
    feature("bollinger_scaled", window=20),
    feature("stochastic_scaled", window=14),
    feature("volume_zscore", window=48),
    feature("volume_ratio", window=6, long_window=48),
    feature("signed_volume", window=12),
    feature("amihud", window=24, long_window=168),
    feature("vwap_distance", window=24),
    feature("candle_shape"),
    feature("range_position", window=48),
)
"""Indicators with windows of their own: 22 columns."""

FORTY = FeatureRecipe([*TALIB, *OURS])


@dataclass(frozen=True)
class Latency:
    """Microseconds of one update: of the median round, and of each bar's quickest round."""

    p50: float
    p99: float
    quickest_p50: float
    quickest_p99: float


def candles_of(name: str, rows: int) -> pl.DataFrame:
    """The first bars of one market."""
    found = sorted((market_data() / "candles").glob(f"{name}*_1m.parquet"))
    if not found:
        raise FileNotFoundError(f"no one-minute candles of {name} are in {market_data() / 'candles'}.")
    frame = pl.read_parquet(found[0]).head(rows).with_columns(pl.col("symbol").cast(pl.String))
    return frame.select("symbol", "ts", "open", "high", "low", "close", "volume")


def run(online: OnlineFeatures, candles: pl.DataFrame) -> pl.DataFrame:
    """Every bar's features as a frame."""
    rows = [online.update(row) for row in candles.iter_rows(named=True)]
    return pl.DataFrame(rows, schema=dict.fromkeys(online.recipe.columns, pl.Float64))


def far(ours: pl.DataFrame, batch: pl.DataFrame, column: str) -> float:
    """Largest difference in deviations of the feature; infinite where one is null and the other is not."""
    a, b = (frame[column].fill_null(math.nan).to_numpy() for frame in (ours, batch))
    if not np.array_equal(np.isnan(a), np.isnan(b)):
        return math.inf
    gap = np.nanmax(np.abs(a - b))
    return float(gap / np.nanstd(b)) if gap else 0.0


def parity(recipe: FeatureRecipe, name: str) -> tuple[int, float, float]:
    """Columns that are batch's to the bit, the largest difference of all, and the largest when opened on ``warmup`` bars only.

    Raises
    ------
    AssertionError : a TA-Lib column differs in a bit, or another by more than it may.
    """
    candles = candles_of(name, HISTORY + BARS)
    batch = recipe.compute(candles, dtype=pl.Float64)[HISTORY:]
    ours = run(OnlineFeatures.open(recipe, candles[:HISTORY], dtype=pl.Float64), candles[HISTORY:])
    identical = [c for c in recipe.columns if ours[c].eq_missing(batch[c]).all()]
    of_talib = [c for spec in TALIB if spec in recipe.features for c in spec.columns]
    assert set(of_talib) <= set(identical), f"{name}: {sorted(set(of_talib) - set(identical))} are not batch's to the bit"
    worst = max(far(ours, batch, c) for c in recipe.columns)
    assert worst <= SAME, f"{name}: online is {worst:.2g} deviations from batch"
    short = OnlineFeatures.open(recipe, candles[HISTORY - recipe.warmup : HISTORY], dtype=pl.Float64)
    warm = run(short, candles[HISTORY:])
    warm_worst = max(far(warm, batch, c) for c in recipe.columns)
    assert warm_worst <= WARM, f"{name}: opened on {recipe.warmup} bars, online is {warm_worst:.2g} deviations from batch"
    return len(identical), worst, warm_worst


def latency(recipe: FeatureRecipe, name: str) -> Latency:
    """Time 5,000 updates a round."""
    candles = candles_of(name, HISTORY + BARS)
    feed = list(candles[HISTORY:].iter_rows(named=True))
    rounds = np.array([_round(recipe, candles[:HISTORY], feed) for _ in range(ROUNDS)]) / 1_000.0
    p50, p99 = (median(np.percentile(rounds, q, axis=1).tolist()) for q in (50, 99))
    quickest = np.percentile(rounds.min(axis=0), [50, 99])
    return Latency(p50, p99, float(quickest[0]), float(quickest[1]))


def _round(recipe: FeatureRecipe, history: pl.DataFrame, feed: list[dict[str, object]]) -> list[int]:
    update, clock = OnlineFeatures.open(recipe, history).update, time.perf_counter_ns
    times = []
    for row in feed:
        started = clock()
        update(row)
        times.append(clock() - started)
    return times


def main() -> str:
    """Check, then measure."""
    assert len(FORTY) == 40, len(FORTY)
    default = FeatureRecipe.default()
    sets = {
        "40 mixed": FORTY,
        "default recipe": default,
        "default and five lags of each": default.with_lags([1, 2, 3, 4, 5]),
        "Alpha158": FeatureRecipe.alpha158(),
    }
    checked = []
    for title, recipe in sets.items():
        for name in MARKETS:
            identical, worst, warm = parity(recipe, name)
            checked.append([f"{title}, {name}", f"{identical} of {len(recipe)}", f"{worst:.1e}", f"{warm:.1e}"])
    found = {title: latency(recipe, MARKETS[0]) for title, recipe in sets.items()}
    timed = [
        [f"{title} ({len(sets[title])} columns)", *(f"{x:.1f}" for x in (t.p50, t.p99, t.quickest_p50, t.quickest_p99))]
        for title, t in found.items()
    ]
    text = "\n\n".join(
        (
            "# Features bar by bar",
            f"Online against batch over {BARS:,} real one-minute bars, in deviations of each feature. Bars: TA-Lib columns bit "
            f"for bit, the rest {SAME:g}; opened on `warmup` bars only, {WARM:g}.",
            markdown_table(["features", "bit for bit", "largest difference", "opened on warm-up only"], checked),
            f"One `update`, microseconds: the median of {ROUNDS} rounds of {BARS:,} bars, and each bar in its quickest round. "
            f"Bars for 40 features: p50 {P50:g}, p99 {P99:g}.",
            markdown_table(["features", "p50", "p99", "quickest p50", "quickest p99"], timed),
        )
    )
    forty = found["40 mixed"]
    assert forty.p50 <= P50, text
    assert forty.p99 <= P99, text
    return text
