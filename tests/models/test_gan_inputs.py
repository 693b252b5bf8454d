"""The GAN: that whatever brings it returns brings the same returns, and what it takes and gives for augmentation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest

torch = pytest.importorskip("torch")

from huracan.dataset import TrainingSet  # noqa: E402
from huracan.errors import DataError, ModelError  # noqa: E402
from huracan.labels import forward_return_labels  # noqa: E402
from huracan.market import simulate_market  # noqa: E402
from huracan.models.gan.estimator import ReturnGAN  # noqa: E402
from huracan.models.gan.return_windows import ReturnWindows  # noqa: E402
from huracan.preprocessing import FeatureRecipe, feature  # noqa: E402

TINY: dict[str, Any] = {"window": 16, "reference": 32, "hidden": 8, "critic_hidden": 8, "max_steps": 12, "batch_size": 32}


@pytest.fixture(scope="module")
def candles() -> pl.DataFrame:
    return simulate_market(n_bars=600, n_symbols=2, seed=3).candles


@pytest.fixture(scope="module")
def regimes(candles: pl.DataFrame) -> pl.DataFrame:
    half = pl.int_range(pl.len()).over("symbol") < 300
    return candles.select("symbol", "ts", regime=pl.when(half).then(pl.lit("ranging")).otherwise(pl.lit("volatile")))


def training_set(candles: pl.DataFrame, regimes: pl.DataFrame, *features: Any) -> TrainingSet:
    return TrainingSet.from_candles(
        candles,
        recipe=FeatureRecipe(list(features)),
        labels=forward_return_labels(candles, horizon=1),
        regimes=regimes,
        keep_unlabelled=True,
    )


# --- returns --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["log_return", "simple_return"])
def test_a_training_set_gives_the_windows_and_the_scenarios_of_its_candles(
    candles: pl.DataFrame, regimes: pl.DataFrame, name: str
) -> None:
    rows = training_set(candles, regimes, feature(name, window=1))
    settings = {**TINY, "tick_jitter": False}
    one, other = ReturnGAN(**settings).fit(candles, regimes), ReturnGAN(**settings).fit(rows)
    np.testing.assert_allclose(other.windows(rows).scaled(), one.windows(candles, regimes).scaled(), rtol=1e-3, atol=1e-4)
    assert other.volatility_ == pytest.approx(one.volatility_, rel=1e-4)
    assert other.n_windows_ == one.n_windows_
    ends = [np.log(model.stress_scenarios(400, "volatile", price=1.0)[:, -1]).std() for model in (one, other)]
    assert ends[0] == pytest.approx(ends[1], rel=0.02)
    close = candles["close"].to_numpy().reshape(2, -1)
    real = np.log(close[:, 316::16] / close[:, 300:-16:16]).std()  # what sixteen bars of these candles really do
    assert ends[0] == pytest.approx(real, rel=0.5)


def test_returns_in_units_of_their_own_volatility_are_refused(candles: pl.DataFrame, regimes: pl.DataFrame) -> None:
    rows = training_set(candles, regimes, feature("log_return_scaled", horizon=1))
    with pytest.raises(DataError, match=r"'log_return_scaled_1', each in units of a volatility of its own.*log_return of"):
        ReturnGAN(**TINY).fit(rows)


def test_a_loss_of_everything_is_no_log_return() -> None:
    rows = TrainingSet.from_arrays(np.full((600, 1), 0.01), np.zeros(600))
    x = rows.X.copy()
    x[7] = -1.0
    with pytest.raises(DataError, match=r"column 'return_1' holds -1 at asset, 2000-01-08.*above -1"):
        ReturnWindows.of(replace(rows, X=x, feature_names=("return_1",)), length=16, reference=32)


# --- augmentation ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fitted(candles: pl.DataFrame, regimes: pl.DataFrame) -> ReturnGAN:
    return ReturnGAN(**TINY).fit(candles, regimes)


def test_windows_are_augmented_as_they_come(fitted: ReturnGAN, candles: pl.DataFrame, regimes: pl.DataFrame) -> None:
    windows = fitted.windows(candles, regimes)
    names = [("trending", "ranging", "volatile", "illiquid")[code] for code in windows.regime]
    ways = [(windows,), (windows, windows.regime), (windows.scaled(), windows.regime), (windows.scaled(), names)]
    joined, found, generated = fitted.augment(*ways[0], share=0.5)
    assert len(joined) == len(found) == len(generated) == len(windows) + generated.sum()
    assert generated.sum() == round(0.5 * len(windows))
    np.testing.assert_array_equal(joined[~generated], windows.scaled())
    assert found[~generated].tolist() == names
    for way in ways[1:]:
        for one, other in zip(fitted.augment(*way, share=0.5), (joined, found, generated), strict=True):
            np.testing.assert_array_equal(one, other)


def test_windows_of_regimes_that_were_not_learned_are_left_out(fitted: ReturnGAN, candles: pl.DataFrame) -> None:
    third = pl.int_range(pl.len()).over("symbol") % 3
    mixed = candles.select("symbol", "ts", regime=pl.when(third == 0).then(pl.lit("illiquid")).otherwise(pl.lit("ranging")))
    windows = fitted.windows(candles, mixed)
    joined, found, _ = fitted.augment(windows, share=0.0)
    assert set(found) == {"ranging"} and 0 < len(joined) == (windows.regime == 1).sum() < len(windows)


def test_a_gan_without_regimes_augments_without_them(candles: pl.DataFrame) -> None:
    plain = ReturnGAN(**TINY, conditional=False).fit(candles)
    joined, found, generated = plain.augment(plain.windows(candles))
    assert set(found) == {"all"} and len(joined) == 2 * generated.sum()


def test_what_cannot_be_augmented_or_drawn_is_refused_in_one_sentence(fitted: ReturnGAN) -> None:
    windows = np.zeros((5, 16))
    for regimes, said in (
        (["volatile"] * 3, "regimes has 3 rows where windows has 5"),
        ("volatile", "one for each of 5 windows"),
        (None, "a regime for each window was expected"),
        ([9] * 5, "regimes holds 9 in row 0"),
    ):
        with pytest.raises(DataError, match=said):
            fitted.augment(windows, regimes)  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="no training window began in 'trending'"):
        fitted.augment(windows, ["trending"] * 5)
    with pytest.raises(DataError, match=r"windows have shape \(5, 9\); \(n, 16\) was expected"):
        fitted.augment(windows[:, :9], ["volatile"] * 5)
    with pytest.raises(DataError, match="column 'bar 0' holds NaN in row 0"):
        fitted.augment(windows + np.nan, ["volatile"] * 5)
    with pytest.raises(DataError, match="what is no number"):
        fitted.augment([["a"] * 16], ["volatile"])  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="share is -1"):
        fitted.augment(windows, ["volatile"] * 5, share=-1)
    for bad, said in (
        ({"n": 10.5}, "n is 10.5; a whole number of paths"),
        ({"price": "9"}, "price is '9'; a finite number"),
        ({"volatility": None, "regime": ["volatile"] * 3}, "regime is .* one name for all paths"),
        ({"severity": "x"}, "severity is 'x'"),
    ):
        with pytest.raises(ModelError, match=said):
            fitted.stress_scenarios(**{"n": 3, "regime": "volatile", "price": 1.0, **bad})  # type: ignore[arg-type]
