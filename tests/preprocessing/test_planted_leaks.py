"""Every known way to leak is planted and caught; nothing that ships leaks, to the last bit, through the flash crash."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy.ndimage import gaussian_filter1d
from scipy.signal import filtfilt
from sklearn.decomposition import PCA
from sklearn.preprocessing import QuantileTransformer, StandardScaler
from statsmodels.tsa.filters.hp_filter import hpfilter
from statsmodels.tsa.seasonal import STL

from huracan.errors import LeakageError, NotEnoughData
from huracan.preprocessing import EnhancedPreprocessor, FeatureRecipe, feature, get_indicator, normalize, with_lags
from huracan.preprocessing.indicators import indicator, known_indicators, registry
from huracan.preprocessing.normalization import METHODS
from huracan.preprocessing.spec import CROSS_SECTIONS, STEPS
from huracan.validation import assert_causal

Compute = Callable[[pl.DataFrame], pl.DataFrame]
KEYS = ("symbol", "ts")
CLOSE = pl.col("close")
REAL = ("BTC", "LINK", "DOGE")


@pytest.fixture(scope="module")
def candles() -> pl.DataFrame:
    """Three symbols of hourly random walks; the second begins late and has a gap, the third begins later still."""
    rng = np.random.default_rng(0)
    parts = []
    for symbol, hours in (("A", np.arange(420)), ("B", np.r_[50:250, 262:420]), ("C", np.arange(300, 420))):
        n = len(hours)
        close = 100 * np.exp(np.cumsum(rng.standard_t(4, n) * 0.01))
        open_ = np.r_[100.0, close[:-1]]
        parts.append(
            pl.DataFrame(
                {
                    "symbol": symbol,
                    "ts": [dt.datetime(2025, 1, 1, tzinfo=dt.UTC) + dt.timedelta(hours=int(h)) for h in hours],
                    "open": open_,
                    "high": np.maximum(open_, close) * (1 + rng.exponential(0.004, n)),
                    "low": np.minimum(open_, close) * (1 - rng.exponential(0.004, n)),
                    "close": close,
                    "volume": rng.gamma(2, 1, n),
                }
            )
        )
    return pl.concat(parts).with_columns(pl.col("ts").cast(pl.Datetime("ms", "UTC")))


def differing_cuts(compute: Compute, candles: pl.DataFrame, cuts: int = 50) -> int:
    """The prefix test by itself: at how many times a column would have been another had the future been cut away."""
    whole = compute(candles)
    times = candles["ts"].unique().sort()
    chosen = np.unique(np.r_[1, 2, 30, np.linspace(31, len(times) - 2, cuts).astype(int)])
    return sum(not _same_bits(compute(candles.filter(pl.col("ts") <= times[int(at)])), whole) for at in chosen)


def _same_bits(part: pl.DataFrame, whole: pl.DataFrame) -> bool:
    known = part.select(KEYS).join(whole, on=KEYS, how="left", maintain_order="left")
    for name in part.columns:
        if part[name].dtype in (pl.Float32, pl.Float64):
            ours, theirs = (frame[name].fill_null(float("nan")).to_numpy() for frame in (part, known))
            if ours.tobytes() != theirs.tobytes():
                return False
    return True


# Leaks planted as indicators, which a recipe runs segment by segment


def _next(bars):
    return np.r_[bars.close[1:] / bars.close[:-1] - 1.0, np.nan]


def _centred(bars):
    return np.convolve(bars.close, np.full(5, 0.2), "same")


def _standardised(bars):
    return (bars.close - bars.close.mean()) / bars.close.std()


def _fourier(bars):
    spectrum = np.fft.rfft(bars.close)
    spectrum[len(spectrum) // 8 :] = 0.0
    return np.fft.irfft(spectrum, len(bars))


def _backfilled(bars):
    loud = bars.volume > 3.0
    following = np.minimum.accumulate(np.where(loud, np.arange(len(bars)), len(bars) - 1)[::-1])[::-1]
    return bars.close[following]


def _interpolated(bars):
    loud = np.flatnonzero(bars.volume > 3.0)
    return np.interp(np.arange(len(bars)), loud, bars.close[loud]) if len(loud) else np.full(len(bars), np.nan)


def _pivot(bars):
    """A fractal high, written at the bar that turns out to have been it."""
    around = np.lib.stride_tricks.sliding_window_view(np.r_[[0.0] * 2, bars.high, [0.0] * 2], 5)
    return (bars.high >= around.max(axis=1)).astype(float)


def _smoothed_kalman(bars):
    level, gain = bars.close.copy(), 0.2
    for t in range(1, len(level)):
        level[t] = level[t - 1] + gain * (bars.close[t] - level[t - 1])
    for t in range(len(level) - 2, -1, -1):
        level[t] += (1 - gain) * (level[t + 1] - level[t])
    return level


PLANTED = {
    "shift_back": _next,
    "centred_window": _centred,
    "full_sample_zscore": _standardised,
    "full_sample_minmax": lambda bars: (bars.close - bars.close.min()) / np.ptp(bars.close),
    "full_sample_rank": lambda bars: bars.close.argsort().argsort() / len(bars),
    "full_sample_clip": lambda bars: np.clip(bars.close, *np.quantile(bars.close, [0.01, 0.99])),
    "stl_of_close": lambda bars: STL(bars.close, period=24).fit().trend,
    "two_sided_hp": lambda bars: hpfilter(bars.close, 1600.0)[1],
    "fourier_filter_of_close": _fourier,
    "gaussian_smoothing": lambda bars: gaussian_filter1d(bars.close, 3.0),
    "forwards_and_backwards": lambda bars: filtfilt([0.3], [1.0, -0.7], bars.close),
    "kalman_smoother_of_close": _smoothed_kalman,
    "central_gradient": lambda bars: np.gradient(bars.close),
    "backfill": _backfilled,
    "interpolation": _interpolated,
    "pivot_when_it_was": _pivot,
    "detrended_by_one_line": lambda bars: (
        bars.close - np.polyval(np.polyfit(np.arange(len(bars)), bars.close, 1), np.arange(len(bars)))
    ),
    "one_part_in_a_million": lambda bars: bars.close + 1e-6 * np.nan_to_num(_next(bars)) * bars.close,
    "last_digit": lambda bars: np.nextafter(bars.close, np.where(np.nan_to_num(_next(bars)) > 0, np.inf, 0.0)),
}


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Compute]:
    """Register one leak as an indicator for the length of a test; gives the recipe's compute in float64."""
    monkeypatch.setattr(registry, "_REGISTER", dict(registry._REGISTER))

    def planted(name: str) -> Compute:
        leak = PLANTED[name]

        def function(bars):
            return leak(bars)

        function.__name__ = name
        reads = ("close", "high", "low", "volume")
        indicator(family="planted", columns=reads, lookback=lambda: 48, formula="a leak")(function)
        recipe = FeatureRecipe([feature(name)])
        return lambda candles: recipe.compute(candles, dtype=pl.Float64)

    return planted


@pytest.mark.parametrize("name", PLANTED)
def test_a_leaking_indicator_is_caught(name: str, plant: Callable[[str], Compute], candles: pl.DataFrame) -> None:
    compute = plant(name)
    for last_rows in (None, 3):
        with pytest.raises(LeakageError, match=f"column '{name}' reads the future"):
            assert_causal(compute, candles, cuts=50, last_rows=last_rows)
    assert differing_cuts(compute, candles) > 0


# Leaks between rows, timeframes and symbols, which a recipe of indicators cannot even express

HONEST = FeatureRecipe(
    [feature("log_return_scaled", horizon=1), feature("rsi", window=6), feature("volume_ratio", window=3, long_window=9)]
)


def _fitted_on_all(fitted) -> Compute:
    def compute(candles: pl.DataFrame) -> pl.DataFrame:
        rows = HONEST.compute(candles).drop_nulls()
        if rows.height < 10:
            raise NotEnoughData(f"{rows.height} rows; 10 are needed")
        made = fitted.fit_transform(rows.select(HONEST.columns).to_numpy())
        return rows.select(KEYS).hstack(pl.DataFrame(made, schema=[f"f{j}" for j in range(made.shape[1])]))

    return compute


def _four_hours_too_early(candles: pl.DataFrame) -> pl.DataFrame:
    """The recipe's own 4-hour feature, given out one row before its bar has closed."""
    recipe = FeatureRecipe([feature("log_return_scaled", horizon=1).on(4)])
    return recipe.compute(candles).with_columns(pl.col(*recipe.columns).shift(-1).over("symbol", "segment"))


def _own_bar(candles: pl.DataFrame, label: str) -> pl.DataFrame:
    """Close of the 4-hour bar a row lies in: labelled at its start, or at its end and looked up from before it."""
    long = candles.group_by_dynamic("ts", every="4h", label=label, closed="left", group_by="symbol").agg(long=CLOSE.last())
    joined = candles.sort("ts").join_asof(
        long.sort("ts"),
        on="ts",
        by="symbol",
        strategy="backward" if label == "left" else "forward",
        allow_exact_matches=label == "left",
        check_sortedness=False,
    )
    return joined.select(*KEYS, "long")


def _ranked_with_all(candles: pl.DataFrame) -> pl.DataFrame:
    """Rank among the symbols of a moment, on a scale of how many symbols there will ever be."""
    everybody = candles["symbol"].n_unique()
    moved = candles.with_columns(move=CLOSE / CLOSE.shift(1).over("symbol"))
    return moved.select(*KEYS, rank=pl.col("move").rank().over("ts") / everybody)


def _ranked_with_unborn(candles: pl.DataFrame) -> pl.DataFrame:
    """A symbol that lists late stands in the ranking from the start, at its first price."""
    wide = candles.pivot("symbol", index="ts", values="close").sort("ts").fill_null(strategy="backward")
    ranks = wide.unpivot(index="ts", variable_name="symbol", value_name="close").select(*KEYS, rank=CLOSE.rank().over("ts"))
    return candles.select(KEYS).join(ranks, on=KEYS, how="left", maintain_order="left")


BETWEEN = {
    "full-sample PCA": _fitted_on_all(PCA(2, random_state=0)),
    "full-sample scaler": _fitted_on_all(StandardScaler()),
    "full-sample quantile transform": _fitted_on_all(QuantileTransformer(n_quantiles=9, random_state=0)),
    "preprocessor fitted on what it transforms": lambda c: EnhancedPreprocessor().fit_transform(HONEST.compute(c)),
    "off-by-one higher timeframe": _four_hours_too_early,
    "resample labelled left": lambda candles: _own_bar(candles, "left"),
    "resample labelled right, looked up from before": lambda candles: _own_bar(candles, "right"),
    "rank among all symbols there will be": _ranked_with_all,
    "rank with a symbol not listed yet": _ranked_with_unborn,
    "backfill of warm-up": lambda c: HONEST.compute(c).with_columns(
        pl.col(HONEST.columns).fill_null(strategy="backward").over("symbol")
    ),
    "normalised by the full sample": lambda c: HONEST.compute(c).with_columns(
        (pl.col(name) - pl.col(name).mean().over("symbol")) / pl.col(name).std().over("symbol") for name in HONEST.columns
    ),
    "rows without a label dropped": lambda c: (
        HONEST.compute(c).with_columns(c.select(coming=CLOSE.shift(-5).over("symbol"))).drop_nulls("coming").drop("coming")
    ),
}


@pytest.mark.parametrize("name", BETWEEN)
def test_a_leak_between_rows_is_caught(name: str, candles: pl.DataFrame) -> None:
    with pytest.raises(LeakageError, match="future"):
        assert_causal(BETWEEN[name], candles, cuts=50)


# What ships


def shipped() -> dict[str, Compute]:
    """Recipes, every indicator after every step in turn, longer bars, cross-sections, normalisers of frames, lags."""
    decomposition = [feature(name) for name in known_indicators() if get_indicator(name).family == "decomposition"]
    everything = FeatureRecipe([feature(name) for name in known_indicators()])
    small = FeatureRecipe(
        [
            feature("log_return_scaled", horizon=3),
            feature("hodrick_prescott", period=24),
            feature("amihud", window=6, long_window=40),
        ]
    )
    recipes = {
        "default": FeatureRecipe.default(),
        "minimal": FeatureRecipe.minimal(),
        "calendar": FeatureRecipe.calendar(),
        "alpha158": FeatureRecipe.alpha158(),
        "decomposition": FeatureRecipe(decomposition),
        "every indicator": everything,
        "steps": FeatureRecipe(spec.followed_by(step) for spec in small.features for step in STEPS),
        "two steps": FeatureRecipe(spec.followed_by("mad", window=20).followed_by("rank", window=20) for spec in decomposition),
        "longer bars": FeatureRecipe(spec.on(k) for spec in (*small.features, *decomposition) for k in (3, 4)),
        "cross-sections": FeatureRecipe(spec.across(how) for spec in small.features for how in CROSS_SECTIONS),
        "longer bars across": FeatureRecipe(spec.on(4).across("rank") for spec in small.features),
    }
    made: dict[str, Compute] = {name: recipe.compute for name, recipe in recipes.items()}
    for method in METHODS:
        for past in (False, True):
            made[f"normalize {method}{' by what came before' if past else ''}"] = _normaliser(small, method, past)
    made["lags"] = lambda candles: with_lags(small.compute(candles), [1, 5])
    return made


def _normaliser(recipe: FeatureRecipe, method: str, past: bool) -> Compute:
    return lambda candles: normalize(recipe.compute(candles), method, 30, exclude_current=past)


SHIPPED = shipped()


@pytest.mark.parametrize("name", SHIPPED)
def test_nothing_that_ships_leaks(name: str, candles: pl.DataFrame) -> None:
    report = assert_causal(SHIPPED[name], candles, cuts=50)
    assert len(report.cut_times) == 50
    assert report.not_computable == ()
    values = SHIPPED[name](candles)
    assert [c for c in report.columns if values[c].null_count() == values.height] == [], "a column of nulls proves nothing"


def test_a_preprocessor_fitted_before_does_not_leak(candles: pl.DataFrame) -> None:
    past = HONEST.compute(candles).filter(pl.col("ts") <= candles["ts"][200])
    fitted = EnhancedPreprocessor().fit(past)
    assert assert_causal(lambda c: fitted.transform(HONEST.compute(c)), candles, cuts=50).n_values > 0


def crash(folder: Path, n: int) -> pl.DataFrame:
    """Minutes of three coins from before to after the flash crash of 2025-10-10 21:16."""
    parts = []
    for coin in REAL:
        (path,) = (folder / "candles").glob(f"{coin}-*1m.parquet")
        after = pl.col("ts") >= dt.datetime(2025, 10, 10, 21, 20, tzinfo=dt.UTC) - dt.timedelta(minutes=n - 60)
        part = pl.read_parquet(path).filter(after).head(n).with_columns(pl.lit(coin).alias("symbol"))
        parts.append(part.select("symbol", "ts", "open", "high", "low", "close", "volume"))
    return pl.concat(parts).sort("symbol", "ts")


@pytest.mark.slow
@pytest.mark.parametrize("name", SHIPPED)
def test_nothing_that_ships_leaks_through_the_flash_crash(name: str, market_data: Path) -> None:
    """Prefixes end before, within and after the crash; not a bit of any column changes at 50 of them."""
    frame = crash(market_data, 700)
    assert frame.filter(CLOSE / CLOSE.shift(1).over("symbol") < 0.9).height > 0, "the crash is in there"
    assert differing_cuts(SHIPPED[name], frame) == 0


def test_decompositions_and_normalisers_do_not_leak_through_the_flash_crash(market_data: Path) -> None:
    frame = crash(market_data, 400)
    for name in ("decomposition", "two steps", "normalize mad", "normalize zscore by what came before"):
        assert differing_cuts(SHIPPED[name], frame) == 0, name
