"""The Engine's six keys and its hash, read and written."""

from __future__ import annotations

import hashlib
import json

import pytest

from huracan.errors import FeatureError, UnknownName
from huracan.market import simulate_market
from huracan.preprocessing import FeatureRecipe, OnlineFeatures, feature

ENGINE = {
    "symbol": "BTC-USDT",
    "timeframes": ["1h"],
    "indicators": {
        "rsi": {"period": 14},
        "macd": {"fast_period": 12, "slow_period": 26, "signal_period": 9},
        "bbands": {"period": 20, "std": 2},
        "ema": {"period": [12, 48]},
    },
    "fill_rules": {"strategy": "forward_fill"},
    "normalization": {"type": "standard", "scaler": "StandardScaler"},
    "window_sizes": {"lookback": 100, "prediction": 1},
}


def engine_hash(document: dict) -> str:
    """As the Engine does it: sixteen digits of SHA-256 over the six keys, sorted, timeframes sorted."""
    six = {k: document[k] for k in ENGINE}
    six["timeframes"] = sorted(six["timeframes"])
    return hashlib.sha256(json.dumps(six, sort_keys=True).encode()).hexdigest()[:16]


def written(**changed: object) -> str:
    document = {**ENGINE, **changed}
    return json.dumps({**document, "hash": engine_hash(document)})


def test_the_engines_recipe_is_understood_and_its_hash_kept() -> None:
    recipe = FeatureRecipe.from_engine_json(written())
    assert recipe.engine_hash == engine_hash(ENGINE)
    assert json.loads(recipe.to_engine_json()) == json.loads(written())
    assert recipe == FeatureRecipe(
        [
            feature("rsi", window=14),
            feature("macd"),
            feature("bollinger", window=20, deviations=2),
            feature("ema", window=12),
            feature("ema", window=48),
        ]
    )


def test_the_engines_fields_survive_our_own_json() -> None:
    recipe = FeatureRecipe.from_engine_json(written())
    again = FeatureRecipe.from_json(recipe.to_json())
    assert (again.engine_hash, again.hash) == (recipe.engine_hash, recipe.hash)
    assert again.to_engine_json() == recipe.to_engine_json()


@pytest.mark.parametrize("recipe", [FeatureRecipe.default(), FeatureRecipe.minimal(), FeatureRecipe.calendar()])
def test_shipped_recipes_go_there_and_back(recipe: FeatureRecipe) -> None:
    text = recipe.to_engine_json(symbol="SOL", timeframes=["4h"])
    document = json.loads(text)
    assert document.pop("hash") == engine_hash(document)
    back = FeatureRecipe.from_engine_json(text)
    assert (back, back.columns, back.hash) == (recipe, recipe.columns, recipe.hash)
    assert back.engine_hash == recipe.for_engine(symbol="SOL", timeframes=["4h"]).engine_hash != recipe.engine_hash


def test_what_six_keys_cannot_say_is_refused_with_the_reason() -> None:
    rsi = feature("rsi")
    with pytest.raises(FeatureError, match="'rsi_14__lag_1' cannot be written for the Engine: its six keys know no step 'lag'"):
        FeatureRecipe([rsi]).with_lags([1]).to_engine_json()
    apart = FeatureRecipe([rsi, feature("cci"), feature("rsi", window=7)])
    for ask in (lambda: apart.engine_hash, apart.to_engine_json):
        with pytest.raises(FeatureError, match="features of 'rsi' stand apart"):
            ask()
    with pytest.raises(FeatureError, match="its six keys know no comparison across symbols"):
        FeatureRecipe([rsi.across("rank")]).to_engine_json()
    with pytest.raises(FeatureError, match="to be a whole number of the shortest"):
        FeatureRecipe.from_engine_json(written(timeframes=["2h", "3h"]))


def test_a_damaged_or_foreign_recipe_is_refused() -> None:
    changed = json.loads(written())
    changed["symbol"] = "ETH-USDT"
    with pytest.raises(FeatureError, match=r"states hash .*; its content has"):
        FeatureRecipe.from_engine_json(json.dumps(changed))
    del changed["fill_rules"]
    with pytest.raises(FeatureError, match="key 'fill_rules' is missing"):
        FeatureRecipe.from_engine_json(json.dumps(changed))
    with pytest.raises(UnknownName, match="unknown indicator 'supertrendd'"):
        FeatureRecipe.from_engine_json(written(indicators={"supertrendd": {}}))
    with pytest.raises(FeatureError, match="lists have lengths"):
        FeatureRecipe.from_engine_json(written(indicators={"macd": {"fast": [5, 6], "slow": [20, 30, 40]}}))
    with pytest.raises(FeatureError, match="'rsi' has 14; an object"):
        FeatureRecipe.from_engine_json(written(indicators={"rsi": 14}))
    with pytest.raises(FeatureError, match="expected as JSON"):
        FeatureRecipe.from_engine_json("{")
    with pytest.raises(UnknownName, match="did you mean 'timeframes'"):
        FeatureRecipe.default().to_engine_json(timeframe=["1h"])
    with pytest.raises(FeatureError, match="given twice"):
        FeatureRecipe.from_engine_json(written(indicators={"rsi": {"period": 3, "window": 3}}))


def test_addition_keeps_the_engines_fields() -> None:
    theirs, ours = FeatureRecipe.from_engine_json(written(symbol="ETH-USDT")), FeatureRecipe([feature("cci")])
    for together in (theirs + ours, ours + theirs):
        assert json.loads(together.to_engine_json())["symbol"] == "ETH-USDT"
    other = FeatureRecipe.from_engine_json(written())
    with pytest.raises(
        FeatureError, match="different fields of the Engine: symbol is 'ETH-USDT' and 'BTC-USDT'; make them the same"
    ):
        theirs + other
    assert (theirs + other.for_engine(symbol="ETH-USDT")).engine_hash == theirs.engine_hash


def test_timeframes_that_are_given_are_those_the_features_must_fit() -> None:
    """What is written is what is read: the Engine computes every indicator on every timeframe."""
    hours = FeatureRecipe([feature("rsi"), feature("cci")])
    both = FeatureRecipe([*hours.features, *(spec.on(4) for spec in hours.features)])
    assert FeatureRecipe.from_engine_json(both.to_engine_json(timeframes=["1h", "4h"])) == both
    with pytest.raises(FeatureError, match=r"cannot be written for the Engine with timeframes \['1h', '4h'\]"):
        hours.to_engine_json(timeframes=["4h", "1h"])
    assert FeatureRecipe.from_engine_json(hours.to_engine_json(timeframes=["15m"])) == hours


def test_candles_of_another_bar_than_the_engine_states_are_refused() -> None:
    """Its RSI of fourteen hours must not silently become one of fourteen minutes."""
    recipe = FeatureRecipe.from_engine_json(written(timeframes=["4h", "1h"]))
    hours, minutes = (simulate_market(n_bars=90, n_symbols=1, seed=0, bar=bar).candles for bar in ("1h", "1m"))
    assert recipe.compute(hours).height == OnlineFeatures.open(recipe, hours).status().bars == 90
    for use in (recipe.compute, lambda candles: OnlineFeatures.open(recipe, candles)):
        with pytest.raises(FeatureError, match="the Engine's recipe is for bars of 1h; the candles have bars of 1m"):
            use(minutes)
    assert recipe.for_engine(timeframes=["1m", "4m"]).compute(minutes).height == 90
    assert FeatureRecipe.from_engine_json(written()).compute(minutes[:1]).height == 1, "one bar alone has no length"
