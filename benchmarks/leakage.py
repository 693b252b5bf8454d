"""Each shipped feature alone against the next bar of random walks, out of sample: nothing to be found, unless it leaks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import norm

from benchmarks import markdown_table

WALKS = 10
BARS = 50_000
TICKS = 24
ALLOWED = 0.01
LEAKS_AT_LEAST = 0.55
_COLUMNS_AT_ONCE = 64


def random_walk(seed: int, *, heavy: bool) -> pl.DataFrame:
    """Hourly candles of a martingale with symmetric ticks: nobody can tell where the next bar goes.

    Each bar is a path of ticks, so that open, high, low and close belong together; the first tick happens between bars. One
    bar in fifty is quiet: no ticks, no volume. Plain: normal ticks. Heavy: Student's t with 3 degrees of freedom, times a
    volatility that wanders over days, with volume that goes along with it.
    """
    rng = np.random.default_rng([seed, int(heavy)])
    if heavy:
        usual = np.exp(_wandering(rng, BARS))
        ticks = rng.standard_t(3, (BARS, TICKS)) * usual[:, None]
        volume = rng.lognormal(3.0, 1.0, BARS) * usual
    else:
        ticks = rng.normal(size=(BARS, TICKS))
        volume = rng.lognormal(3.0, 1.0, BARS)
    quiet = rng.random(BARS) < 0.02
    ticks[quiet], volume[quiet] = 0.0, 0.0
    path = np.log(100.0) + np.cumsum(ticks.ravel() * 0.002).reshape(BARS, TICKS)
    start = pl.datetime(2019, 1, 1, time_zone="UTC")
    return pl.DataFrame(
        {
            "symbol": ["W"] * BARS,
            "ts": pl.select(pl.datetime_range(start, start + pl.duration(hours=BARS - 1), "1h", time_unit="ms")).to_series(),
            "open": np.exp(path[:, 0]),
            "high": np.exp(path.max(axis=1)),
            "low": np.exp(path.min(axis=1)),
            "close": np.exp(path[:, -1]),
            "volume": volume,
        }
    )


def _wandering(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    from scipy.signal import lfilter

    return lfilter([0.1], [1.0, -0.98], rng.normal(size=n))


def shipped():
    """Every indicator at its defaults, every recipe, every step after some, longer bars: one recipe of all columns."""
    from huracan.preprocessing import FeatureRecipe, feature
    from huracan.preprocessing.indicators import known_indicators
    from huracan.preprocessing.spec import STEPS

    some = [
        feature("log_return_scaled", horizon=3),
        feature("rsi_scaled"),
        feature("hodrick_prescott"),
        feature("volume_zscore"),
    ]
    recipe = FeatureRecipe([feature(name) for name in known_indicators()])
    for other in (FeatureRecipe.default(), FeatureRecipe.minimal(), FeatureRecipe.calendar(), FeatureRecipe.alpha158()):
        recipe = recipe + other
    recipe = recipe + FeatureRecipe(spec.followed_by(step) for spec in some for step in STEPS)
    return recipe + FeatureRecipe(spec.on(4) for spec in some)


def normalised(features: pl.DataFrame) -> pl.DataFrame:
    """Three of them under every method of ``normalize``, with and without the current row."""
    from huracan.preprocessing import normalize
    from huracan.preprocessing.normalization import METHODS

    names = ["log_return_scaled_3", "hodrick_prescott_96_slope", "volume_zscore_48"]
    parts = []
    for method in METHODS:
        for past in (False, True):
            made = normalize(features.select("symbol", "ts", "segment", *names), method, exclude_current=past).select(names)
            parts.append(made.rename({name: f"normalize({name}, {method}{', past' if past else ''})" for name in names}))
    return pl.concat(parts, how="horizontal")


def _slope(trend: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.diff(trend, prepend=np.nan)


def _stl(price: NDArray[np.float64]) -> NDArray[np.float64]:
    from statsmodels.tsa.seasonal import STL

    return np.asarray(STL(price, period=24).fit().resid)


def _two_sided_hodrick_prescott(price: NDArray[np.float64]) -> NDArray[np.float64]:
    from huracan.preprocessing import decompose_for_viewing

    return _slope(decompose_for_viewing(price, "hodrick_prescott", period=24).frame["two_sided_trend"].to_numpy())


def _fourier(price: NDArray[np.float64]) -> NDArray[np.float64]:
    spectrum = np.fft.rfft(price)
    spectrum[len(spectrum) // 12 :] = 0.0
    return _slope(np.fft.irfft(spectrum, len(price)))


def _four_hours_too_early(price: NDArray[np.float64]) -> NDArray[np.float64]:
    closes = np.repeat(price[3::4], 4)[: len(price)]
    return closes - price


LEAKS: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "remainder of STL, period 24": _stl,
    "slope of the two-sided Hodrick-Prescott trend, period 24": _two_sided_hodrick_prescott,
    "slope of a Fourier filter, periods over 24": _fourier,
    "slope of a centred average of 25": lambda price: _slope(np.convolve(price, np.full(25, 0.04), "same")),
    "close of the 4-hour bar one is in": _four_hours_too_early,
    "next return under five times as much noise": lambda price: (
        np.diff(price, append=np.nan) + 5 * np.std(np.diff(price)) * np.random.default_rng(0).normal(size=len(price))
    ),
}


def out_of_sample_auc(values: NDArray[np.float32], up: NDArray[np.bool_]) -> NDArray[np.float64]:
    """AUC on the second half of a logistic regression on each column alone, fitted on the first half; NaN rows left out.

    The last training row is purged: its label ends where the test begins.
    """
    half = len(values) // 2
    areas = []
    for at in range(0, values.shape[1], _COLUMNS_AT_ONCE):
        part = values[:, at : at + _COLUMNS_AT_ONCE].astype(np.float64)
        slopes = fitted_slopes(part[: half - 1], up[: half - 1])
        areas.append(area_under_curve(part[half:], up[half:], np.sign(slopes)))
    return np.concatenate(areas)


def fitted_slopes(x: NDArray[np.float64], up: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Slope of a logistic regression on each standardised column alone, by Newton's method."""
    known = ~np.isnan(x)
    z = (x - np.nanmean(x, axis=0)) / np.nanstd(x, axis=0)
    z[~known] = 0.0
    a, b = np.zeros(x.shape[1]), np.zeros(x.shape[1])
    for _ in range(6):
        chance = 1.0 / (1.0 + np.exp(-(a + b * z)))
        error, weight = (up[:, None] - chance) * known, chance * (1.0 - chance) * known
        g0, g1 = error.sum(axis=0), (error * z).sum(axis=0)
        h00, h01, h11 = weight.sum(axis=0), (weight * z).sum(axis=0), (weight * z * z).sum(axis=0)
        determinant = h00 * h11 - h01 * h01
        a, b = a + (h11 * g0 - h01 * g1) / determinant, b + (h00 * g1 - h01 * g0) / determinant
    return b


def area_under_curve(x: NDArray[np.float64], up: NDArray[np.bool_], sign: NDArray[np.float64]) -> NDArray[np.float64]:
    """AUC of ``sign * x`` for each column, ties counted half."""
    ranks = pl.DataFrame(x).fill_nan(None).select(pl.all().rank()).to_numpy()
    known = ~np.isnan(ranks)
    above, below = (known & up[:, None]).sum(axis=0), (known & ~up[:, None]).sum(axis=0)
    area = (np.where(known & up[:, None], ranks, 0.0).sum(axis=0) - above * (above + 1) / 2) / (above * below)
    return np.where(sign >= 0, area, 1.0 - area)


def one_walk(seed: int, *, heavy: bool) -> tuple[dict[str, float], set[str]]:
    """Feature or leak -> AUC, and which features are levels: prices and sums, as much alike a thousand bars later."""
    candles = random_walk(seed, heavy=heavy)
    recipe = shipped()
    features = recipe.compute(candles)
    made = pl.concat([features.select(recipe.columns), normalised(features)], how="horizontal")
    persistence = made.select(pl.corr(pl.all(), pl.all().shift(1_000))).row(0)
    levels = {name for name, correlation in zip(made.columns, persistence) if correlation > 0.5}
    price = np.log(candles["close"].to_numpy())
    made = made.with_columns(pl.Series(name, leak(price), dtype=pl.Float32).fill_nan(None) for name, leak in LEAKS.items())
    coming = np.diff(price)
    moves = coming != 0.0
    values = made.fill_null(float("nan")).to_numpy()[:-1]
    return dict(zip(made.columns, out_of_sample_auc(values[moves], coming[moves] > 0.0).tolist())), levels


def check_instrument() -> None:
    """The regression and the area are scikit-learn's."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(0)
    x = np.round(rng.standard_t(3, (4_000, 5)), 1)
    up = rng.random(4_000) < 1.0 / (1.0 + np.exp(-0.2 * x[:, 0] + 0.05 * x[:, 1]))
    half = 2_000
    slopes = fitted_slopes(x[: half - 1], up[: half - 1])
    areas = area_under_curve(x[half:], up[half:], np.sign(slopes))
    for j in range(5):
        z = (x[: half - 1, j] - x[: half - 1, j].mean()) / x[: half - 1, j].std()
        theirs = LogisticRegression(C=np.inf, tol=1e-10).fit(z[:, None], up[: half - 1])
        assert abs(theirs.coef_[0, 0] - slopes[j]) < 1e-5, "slopes differ from scikit-learn's"
        scored = theirs.decision_function(x[half:, j : j + 1])
        assert abs(roc_auc_score(up[half:], scored) - areas[j]) < 1e-12, "areas differ from scikit-learn's"


def main() -> str:
    """Ten plain and ten heavy-tailed walks."""
    check_instrument()
    summary, tables = [], []
    for heavy in (False, True):
        kind = "Student t(3) ticks under wandering volatility" if heavy else "normal ticks"
        walks = [one_walk(seed, heavy=heavy) for seed in range(WALKS)]
        mean = {name: float(np.mean([areas[name] for areas, _ in walks])) for name in walks[0][0]}
        levels = set.intersection(*(levels for _, levels in walks))
        features = {name: area for name, area in mean.items() if name not in LEAKS}
        off = {name: area for name, area in features.items() if not abs(area - 0.5) <= ALLOWED}
        assert not off, f"not within .5 +- {ALLOWED}: {off}"
        missed = {name: mean[name] for name in LEAKS if not mean[name] > LEAKS_AT_LEAST}
        assert not missed, f"planted leaks that the instrument does not see: {missed}"
        summary += [_said(f"{kind}, levels", {n: features[n] for n in levels})]
        summary += [_said(f"{kind}, all others", {n: a for n, a in features.items() if n not in levels})]
        worst = sorted(features, key=lambda name: -abs(features[name] - 0.5))[:10]
        rows = [[f"`{name}`{' (level)' if name in levels else ''}", f"{features[name]:.4f}"] for name in worst]
        rows += [[f"planted leak: {name}", f"{mean[name]:.3f}"] for name in LEAKS]
        tables.append(f"## {kind[0].upper()}{kind[1:]}\n\n{markdown_table(['feature alone', 'AUC'], rows)}")
    return f"# No feature knows the future\n\n{_HEAD}\n\n{markdown_table(_COLUMNS, summary)}\n\n{_WHY}\n\n" + "\n\n".join(
        tables
    )


_HEAD = (
    f"Each feature alone: logistic regression fitted on the first half, AUC of the next bar's direction on the second, mean of "
    f"{WALKS} random walks of {BARS:,} bars ({TICKS} ticks a bar). Below, the ten farthest from .5, and leaks planted to show "
    "that the instrument can find one."
)
_COLUMNS = ["", "features", "bar", "farthest from .5", "by chance, 99 %", "standard deviation", "by chance"]
_WHY = (
    "Levels are prices and sums, which within one stretch always seem to revert: the t statistic of a random walk's step on "
    "its own level is -1.53 on average (Dickey and Fuller), in both halves alike, which is an AUC of .504 and no foresight. "
    "Features alike move together, so that the standard deviation over features may leave its expectation."
)


def _said(what: str, areas: dict[str, float]) -> list[object]:
    """A line of the summary."""
    chance = float(np.sqrt((BARS / 2 + 1) / (12 * (BARS / 4) ** 2)) / np.sqrt(WALKS))
    distances = [abs(area - 0.5) for area in areas.values()]
    bound = float(norm.isf(0.005 / len(areas))) * chance
    spread = float(np.std(list(areas.values())))
    return [what, len(areas), ALLOWED, f"{max(distances):.4f}", f"{bound:.4f}", f"{spread:.4f}", f"{chance:.4f}"]
