"""Adaptive intervals: coverage that holds through change, causality, and the update of the paper."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from huracan.ensembles import AdaptiveConformal, Intervals
from huracan.errors import DataError, ModelError

DAY = np.datetime64("2020-01-01", "ms") + np.timedelta64(86_400_000, "ms") * np.arange(20_000)


def run(y: NDArray[np.float64], *, delay: int = 1, level: float = 0.9, **settings: Any) -> Intervals:
    n = len(y)
    return AdaptiveConformal(level, **settings).run(np.zeros(n), y, DAY[delay : n + delay], decision_time=DAY[:n])


def changing(n: int, kind: str, seed: int = 0) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal(n)
    if kind == "jumps":
        return noise * 10.0 ** (np.arange(n) // 500 % 3 - 1)
    if kind == "grows":
        return noise * np.exp(np.arange(n) / 300)
    if kind == "drifts":
        return noise + np.arange(n) * 0.05
    if kind == "heavy":
        return rng.standard_t(2, n)
    return noise


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9, 0.95])
@pytest.mark.parametrize("kind", ["still", "jumps", "grows", "drifts", "heavy"])
def test_coverage_holds_whatever_the_market_does(kind: str, level: float) -> None:
    made = run(changing(3_000, kind), level=level)
    assert made.coverage == pytest.approx(level, abs=0.01)


@pytest.mark.parametrize("delay", [1, 3, 10])
@pytest.mark.parametrize("kind", ["still", "jumps", "heavy"])
def test_every_year_of_days_is_within_three_points(kind: str, delay: int) -> None:
    made = run(changing(3_650, kind), delay=delay)
    years = np.arange(3_650) // 365
    shares = [share for year, (share, _) in made.coverage_by(years).items() if year > 0]
    assert len(shares) == 9
    assert min(shares) >= 0.87
    assert max(shares) <= 0.93


def test_misses_are_off_their_aim_by_the_move_of_the_miss_level() -> None:
    """Gibbs and Candès, proposition 4.1: an identity, with labels known at once."""
    y = changing(2_000, "jumps")
    conformal = AdaptiveConformal(0.9, rate=0.02)
    for value in y:
        conformal.predict(0.0)
        conformal.update(value)
    misses = 1.0 - conformal.coverage
    assert misses - 0.1 == pytest.approx((0.1 - conformal.miss_level) / (0.02 * conformal.n_labels))


def test_the_quantile_is_that_of_the_known_scores() -> None:
    """With a rate of nearly 0 and scale 1 the reach is the split-conformal quantile of the last scores."""
    y = np.abs(np.random.default_rng(0).standard_normal(99))
    conformal = AdaptiveConformal(0.9, rate=1e-12, window=99, warm_up=99)
    for value in y:
        conformal.predict(0.0, scale=1.0)
        conformal.update(value)
    _, high = conformal.predict(0.0, scale=1.0)
    assert high == pytest.approx(np.sort(y)[89])  # the 90th of 99: rank .9 * (99 + 1)


@pytest.mark.parametrize("delay", [1, 4])
def test_labels_that_are_not_known_yet_change_nothing(delay: int) -> None:
    y = changing(400, "jumps")
    other = y.copy()
    other[300:] = 50.0
    one, two = run(y, delay=delay), run(other, delay=delay)
    # row 300 is known at the open of row 300 + delay, and not before the decision of that row, which is the same moment
    np.testing.assert_array_equal(one.high[: 301 + delay], two.high[: 301 + delay])
    assert one.high[301 + delay] != two.high[301 + delay]


def test_online_is_batch() -> None:
    y, delay = changing(500, "jumps"), 3
    whole = run(y, delay=delay)
    conformal, lows = AdaptiveConformal(0.9), []
    for i in range(len(y)):
        if i > delay:
            conformal.update(y[i - delay - 1])
        lows.append(conformal.predict(0.0)[0])
    np.testing.assert_array_equal(lows, whole.low)


def test_groups_are_steered_by_themselves_in_any_order_of_rows() -> None:
    a, b = changing(300, "still"), changing(300, "jumps", seed=1)
    order = np.random.default_rng(0).permutation(600)
    y, when = np.concatenate([a, b])[order], np.tile(DAY[:300], 2)[order]
    made = AdaptiveConformal().run(
        np.zeros(600), y, when + np.timedelta64(1, "D"), decision_time=when, group=np.repeat(["a", "b"], 300)[order]
    )
    back = np.argsort(order)
    np.testing.assert_array_equal(made.high[back], np.concatenate([run(a).high, run(b).high]))


def test_labels_known_out_of_order_count_when_they_are_known() -> None:
    """As with triple barriers: row 60 is known late, the rows behind it early."""
    y = changing(200, "still")
    end = DAY[1:201].copy()
    end[60] = DAY[150]
    wild = y.copy()
    wild[60] = 1e3
    one, two = (AdaptiveConformal().run(np.zeros(200), v, end, decision_time=DAY[:200]) for v in (y, wild))
    np.testing.assert_array_equal(one.high[:151], two.high[:151])
    assert one.high[151] < two.high[151]


def test_a_scale_makes_intervals_follow_volatility() -> None:
    rng = np.random.default_rng(0)
    volatility = np.where(np.arange(4_000) // 100 % 2 == 0, 0.01, 0.04)
    y = rng.standard_normal(4_000) * volatility
    made = AdaptiveConformal().run(np.zeros(4_000), y, DAY[1:4_001], decision_time=DAY[:4_000], scale=volatility)
    width = made.high - made.low
    for size in (0.01, 0.04):
        calm = (volatility == size) & made.counted
        assert made.covered[calm].mean() == pytest.approx(0.9, abs=0.02)
        assert np.median(width[calm]) == pytest.approx(2 * 1.645 * size, rel=0.1)


def test_intervals_stay_finite_and_grow_until_they_cover() -> None:
    conformal = AdaptiveConformal(0.9, rate=0.1)
    for value in np.random.default_rng(0).standard_normal(100):
        conformal.predict(0.0, scale=1.0)
        conformal.update(value)
    reach = []
    for _ in range(40):
        _, high = conformal.predict(0.0, scale=1.0)
        reach.append(high)
        conformal.update(8.0)
    assert np.isfinite(reach).all()
    assert max(reach) >= 8.0


def test_rows_whose_label_never_comes_are_not_counted() -> None:
    y = changing(300, "still")
    y[::5] = np.nan
    made = run(y)
    assert not made.counted[::5].any()
    assert np.isfinite(made.low[100:]).all()
    assert made.coverage == pytest.approx(0.9, abs=0.03)


def test_a_series_that_stands_still_gets_an_interval_of_hardly_any_width() -> None:
    made = run(np.zeros(100))
    assert made.coverage == 1.0
    assert float(np.nanmax(made.high - made.low)) < 1e-200


@pytest.mark.parametrize("horizon", [1, 5])
def test_real_daily_returns_are_covered_in_every_symbol_year(market_data: Any, horizon: int) -> None:
    from huracan.labels import forward_return_labels
    from huracan.market import read_candles

    candles = read_candles(market_data / "candles" / "daily_40.parquet")
    labels = forward_return_labels(candles, horizon=horizon).drop_nulls("label").filter(pl.col("symbol") < "D")
    made = AdaptiveConformal(0.9).run(
        np.zeros(labels.height),
        labels["label"].to_numpy(),
        labels["label_end"].dt.replace_time_zone(None).to_numpy(),
        decision_time=labels["ts"].dt.replace_time_zone(None).to_numpy() + np.timedelta64(1, "D"),
        group=labels["symbol"].to_numpy(),
    )
    year = labels["ts"].dt.year().to_numpy()
    keys = np.char.add(labels["symbol"].to_numpy().astype(str), year.astype(str))
    shares = {key: share for key, (share, n) in made.coverage_by(keys).items() if n > 250}
    assert len(shares) >= 12
    assert min(shares.values()) >= 0.87, min(shares, key=shares.get)  # type: ignore[arg-type]
    assert max(shares.values()) <= 0.93, max(shares, key=shares.get)  # type: ignore[arg-type]


@pytest.mark.parametrize("settings", [{"level": 1.0}, {"rate": 0.0}, {"window": 5}, {"half_life": 0.0}])
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match=next(iter(settings))):
        AdaptiveConformal(**settings)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"prediction": [0.0, np.nan]}, "prediction is nan in row 1"),
        ({"scale": [1.0, 0.0]}, r"scale is 0\.0 in row 1"),
        ({"y": [1.0]}, r"y has shape \(1,\); \(2,\) was expected"),
        ({"label_end": DAY[[0, 0]]}, "row 1 is decided at 2020-01-02T00:00:00.000 and its label ends before"),
    ],
)
def test_rows_that_cannot_be_are_refused(change: dict[str, Any], said: str) -> None:
    given = {"prediction": [0.0, 0.0], "y": [1.0, 1.0], "label_end": DAY[[1, 2]], "decision_time": DAY[:2], **change}
    with pytest.raises(DataError, match=said):
        AdaptiveConformal().run(**given)


def test_a_label_without_a_row_is_refused() -> None:
    with pytest.raises(ModelError, match="no row waits for its label"):
        AdaptiveConformal().update(1.0)
