"""One model a symbol, fitted beside each other: the forecasts are those of a plain loop, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

from huracan.catalogue import build_model
from huracan.dataset import TrainingSet
from huracan.distributed import FanoutExecutor
from huracan.labels import forward_return_labels
from huracan.market import simulate_market
from huracan.preprocessing import FeatureRecipe


@pytest.fixture(scope="module")
def rows():
    candles = simulate_market(n_bars=400, n_symbols=3, seed=3).candles
    return TrainingSet.from_candles(candles, recipe=FeatureRecipe.default(), labels=forward_return_labels(candles, horizon=4))


def fit(symbol, shared, seed):
    own = shared.of_symbol(symbol)
    model = build_model("extra_trees", task="regression", n_estimators=10, random_state=seed).fit(own)
    return model.predict(own)


def test_one_model_a_symbol(rows):
    alone = FanoutExecutor("inline", seed=1).run(fit, rows.symbols, shared=rows)
    beside = FanoutExecutor("processes", workers=2, seed=1).run(fit, rows.symbols, shared=rows)
    assert list(beside) == list(rows.symbols)
    for symbol in rows.symbols:
        np.testing.assert_array_equal(beside[symbol], alone[symbol])


def test_a_fitted_model_comes_back_whole(rows):
    def train(symbol, shared, seed):
        return build_model("ridge", random_state=seed).fit(shared.of_symbol(symbol))

    models = FanoutExecutor(workers=2).run(train, rows.symbols, shared=rows)
    for symbol, model in models.items():
        own = rows.of_symbol(symbol)
        np.testing.assert_array_equal(model.predict(own), build_model("ridge").fit(own).predict(own))
