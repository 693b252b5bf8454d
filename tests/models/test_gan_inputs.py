"""The GAN: that whatever brings it returns brings the same returns, and what it takes and gives for augmentation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest

torch = pytest.importorskip("torch")

from huracan.dataset import TrainingSet  # noqa: E402
from huracan.errors import DataError  # noqa: E402
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
