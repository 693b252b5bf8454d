"""Sets of rows on which searches are compared: simulated ones whose truth changes, and real ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks import market_data
from benchmarks.stock_movement import read_stocks
from huracan.baselines.spec import SupervisedTask
from huracan.dataset import TrainingSet
from huracan.labels import forward_return_labels
from huracan.market import read_candles
from huracan.preprocessing import FeatureRecipe
from huracan.validation import lock_hold_out

__all__ = ["SIMULATED", "SearchSet", "real_sets", "simulated", "simulated_sets", "write_set"]

N_ROWS, N_FEATURES, N_REGIMES = 20_000, 60, 3
TEST_SHARE = 0.25
STRENGTHS = (0.05, 0.1, 0.15, 0.2, 0.3)
SIMULATED = tuple((seed, strength) for seed, strength in enumerate(STRENGTHS * 4))
"""(seed, strength): strength is the standard deviation of what features tell of a bar, its noise being 1."""


@dataclass(frozen=True, eq=False)
class SearchSet:
    """Rows to search on, and later ones that decide; no label of the first reaches into the second."""

    name: str
    task: SupervisedTask
    train: TrainingSet
    test: TrainingSet


def simulated(seed: int, strength: float, n: int = N_ROWS) -> TrainingSet:
    """Rows of one series with 60 features of different memory and a label of overlapping bars.

    Three hidden regimes, of 400 bars on average, have effects of their own: three linear ones, a product and a threshold of
    features. Bars have fat tails and volatility that clusters; the label is the sum of the next 4 to 12 bars over its own
    standard deviation.
    """
    rng = np.random.default_rng([2718, seed])
    horizon = int(rng.integers(4, 13))
    size = n + horizon
    memory = rng.choice([0.0, 0.5, 0.9, 0.98], N_FEATURES)
    shocks = rng.standard_normal((size, N_FEATURES)) + 0.5 * rng.standard_normal((size, 1))
    x = np.empty_like(shocks)
    x[0] = shocks[0]
    for i in range(1, size):
        x[i] = memory * x[i - 1] + np.sqrt(1.0 - memory**2) * shocks[i]
    x /= x.std(axis=0)
    regime = np.cumsum(rng.random(size) < 1.0 / 400.0)
    regime = rng.integers(N_REGIMES, size=regime[-1] + 1)[regime]
    told = np.zeros(size)
    for k in range(N_REGIMES):
        inside = regime == k
        a, b, c, d, e, f = rng.choice(N_FEATURES, 6, replace=False)
        effect = x[:, [a, b, c]] @ rng.normal(0.0, 0.5, 3) + 0.5 * x[:, d] * x[:, e] + 0.7 * np.sign(x[:, f] - 0.5)
        told[inside] = effect[inside]
    storm = np.exp(0.5 * _slow(rng, size))
    bar = storm * rng.standard_t(5, size) / np.sqrt(5.0 / 3.0)
    bar[1:] += strength * told[:-1] / told.std()  # features tell of the next bar, and where they have memory of more
    total = np.cumsum(bar)
    y = total[horizon:] - total[:-horizon]
    return TrainingSet.from_arrays(x[: size - horizon].astype(np.float32), y / y.std(), label_horizon=horizon)


def simulated_sets() -> list[SearchSet]:
    """Twenty of them, in turn five for regression and five for classification.

    On one set the difference of two good searches is lost in the noise of its last 5,000 rows; ten sets leave an interval of
    a third of a percent on both sides.
    """
    made = []
    for place, (seed, strength) in enumerate(SIMULATED):
        task: SupervisedTask = "classification" if place // len(STRENGTHS) % 2 else "regression"
        made.append(_parted(f"simulated {seed}, {strength:g}, {task}", task, simulated(seed, strength)))
    return made


def real_sets() -> list[SearchSet]:
    """Daily bars of 40 coins, minute bars of two, and 87 stocks.

    Raises
    ------
    FileNotFoundError : the data is not there.
    """
    folder = market_data() / "candles"
    daily = _of_candles(folder / "daily_40.parquet", 5, None)
    stocks = read_stocks()
    known = stocks.rows.take(stocks.part != "")
    part = stocks.part[stocks.part != ""]
    return [
        _parted("daily_40, 5 days", "regression", daily),
        _parted("BTC, 1 m, 15 bars", "regression", _of_candles(folder / "BTC-USDT_USDT_1m.parquet", 15, 60_000)),
        _parted("SOL, 1 m, 15 bars", "classification", _of_candles(folder / "SOL-USDT_1m.parquet", 15, 60_000)),
        SearchSet("ACL18", "classification", known.take(part != "test"), known.take(part == "test")),
    ]


def _parted(name: str, task: SupervisedTask, rows: TrainingSet) -> SearchSet:
    train, test = lock_hold_out(rows, TEST_SHARE)
    return SearchSet(name, task, train, test.open("the comparison"))


def _of_candles(file: Path, horizon: int, bars: int | None) -> TrainingSet:
    if not file.is_file():
        raise FileNotFoundError(f"{file} is missing.")
    candles = read_candles(file)
    if bars is not None:
        candles = candles.group_by("symbol", maintain_order=True).tail(bars)
    labels = forward_return_labels(candles, horizon=horizon, volatility_scaled=True)
    return TrainingSet.from_candles(candles, recipe=FeatureRecipe.default(), labels=labels)


def _slow(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    made, now = np.empty(n), 0.0
    for i, shock in enumerate(rng.standard_normal(n)):
        now = 0.99 * now + np.sqrt(1.0 - 0.99**2) * shock
        made[i] = now
    return made


def write_set(one: SearchSet, path: Path) -> None:
    """As a peer reads it: features and labels to learn from, features to answer on, and the times that folds need."""
    y = one.train.y if one.task == "regression" else one.train.direction()
    np.savez(
        path,
        X=one.train.X,
        y=y,
        test=one.test.X,
        decision_time=one.train.decision_time,
        label_end=one.train.label_end,
        task=np.array(one.task),
    )
