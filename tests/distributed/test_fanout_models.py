"""One model a symbol, fitted beside each other: the forecasts are those of a plain loop, bit for bit."""

from __future__ import annotations

import numpy as np

from huracan.catalogue import build_model
from huracan.dataset import TrainingSet
from huracan.distributed import FanoutExecutor
from huracan.distributed.fanout.tasks import task_seed
from huracan.labels import forward_return_labels
from huracan.market import simulate_market
from huracan.preprocessing import FeatureRecipe


def fit(symbol, shared, seed):
    return build_model("extra_trees", task="regression", n_estimators=10, random_state=seed).fit(shared.of_symbol(symbol))


def test_one_model_a_symbol():
    candles = simulate_market(n_bars=400, n_symbols=3, seed=3).candles
    labels = forward_return_labels(candles, horizon=4)
    rows = TrainingSet.from_candles(candles, recipe=FeatureRecipe.default(), labels=labels)
    beside = FanoutExecutor("processes", workers=2, seed=1).run(fit, rows.symbols, shared=rows)
    assert list(beside) == list(rows.symbols)
    for symbol, model in beside.items():
        own = rows.of_symbol(symbol)
        np.testing.assert_array_equal(model.predict(own), fit(symbol, rows, task_seed(1, symbol)).predict(own))
