"""What serving reads of a model's extras is read when it is registered: malformed, it is refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sklearn.linear_model import Ridge

from huracan.accounting import PositionPolicy
from huracan.ensembles import AdaptiveConformal
from huracan.errors import RegistryError
from huracan.model_info import ModelInfo
from huracan.model_registry import ModelRegistry
from huracan.preprocessing import FeatureRecipe

POLICY = PositionPolicy(cap=0.5).to_dict()
STATE = AdaptiveConformal(level=0.9).to_state()
INTERVALS = {"scale": "none", "state": STATE}


@pytest.fixture
def registry(tmp_path: Path, card: ModelInfo) -> ModelRegistry:
    made = ModelRegistry("sqlite://", artifacts=tmp_path)
    made.register(Ridge().fit([[0.0], [1.0]], [0.0, 1.0]), card, name="btc")
    return made


@pytest.mark.parametrize(
    ("extras", "said"),
    [
        ({"policy": {"cap": -1.0}}, "its 'policy' cannot be served: cap is -1; it cannot be negative"),
        ({"policy": {"capp": 1.0}}, "'policy' .*did you mean 'cap'"),
        ({"policy": [1]}, "'policy' .*names with values were expected"),
        ({"policy": {"horizon": 5.0}}, "'policy' .*'horizon' is 5.0, and a whole number"),
        ({"policy": {"threshold": "0.1"}}, "'policy' cannot be served"),
        ({"policy": {"allow_short": "no"}}, "'policy' .*'allow_short' is 'no', and true or false was expected"),
        ({"levels": {"BTC": "high"}}, "'levels' .*'BTC' is 'high', and a finite number"),
        ({"scale": {"spread": 1.0}}, "'scale' .*'center' is missing"),
        (
            {"scale": {"center": 0, "spread": -1.0, "intercept": 0, "slope": 0}},
            "'scale' .*'spread' is -1.0, and a finite number from 0",
        ),
        ({"scale": {"center": 0, "spread": 1.0, "intercept": 0, "slope": 1e6}}, "'scale' .*math range error"),
        ({"forecast": {"intercept": 0.0}}, "'forecast' .*'slope' is missing"),
        ({"intervals": {"scale": "price", "state": {}}}, "'intervals' .*'volatility' or 'none' was expected"),
        ({"intervals": {"scale": "none", "state": {}}}, "'intervals' .*no state of adaptive conformal intervals"),
        ({"intervals": {"scale": "none", "state": {**STATE, "recent": [0.1, -1.0]}}}, "'intervals' .*'recent score 1' is -1"),
        ({"intervals": {"scale": "none", "state": {**STATE, "n_hits": "many"}}}, "'intervals' .*'n_hits' is 'many'"),
        ({"intervals": {"scale": "none", "state": {**STATE, "miss_level": None}}}, "'intervals' .*'miss_level' is None"),
        ({"recipe": 7}, "'recipe' cannot be served"),
        ({"recipe": "{}"}, "'recipe' .*format None"),
        ({"config": {"regimes": {"windw": 3}}}, "'config' .*unknown setting of the regime classifier 'windw'"),
        ({"config": {"labels": {"volatility_span": 0}}}, "'config' .*a whole number from 2"),
        ({"anomaly_model": "watch"}, "'anomaly_model' .*a model_id such as 'autoencoder/3'"),
        ({"anomaly_model": "watch/1"}, "model 'watch' is not registered|unknown model 'watch'"),
        ({"anomaly_model": "btc/9"}, "model 'btc' has no version 9"),
    ],
)
def test_what_serving_could_not_read_is_not_registered(
    registry: ModelRegistry, card: ModelInfo, extras: dict[str, Any], said: str
) -> None:
    model = Ridge().fit([[0.0], [1.0]], [0.0, 1.0])
    with pytest.raises(RegistryError, match=said):
        registry.register(model, card, name="btc", extras=extras)
    assert [version.version for version in registry.versions("btc")] == [1]


def test_what_serving_can_read_is_registered(registry: ModelRegistry, card: ModelInfo) -> None:
    extras = {"policy": POLICY, "levels": {"all": 0.1}, "intervals": INTERVALS, "recipe": FeatureRecipe.minimal().to_json()}
    extras |= {"scale": {"center": 0.0, "spread": 0.0, "intercept": 0.0, "slope": 1.0}, "forecast": None, "mine": [1]}
    version = registry.register(Ridge().fit([[0.0], [1.0]], [0.0, 1.0]), card, name="btc", extras=extras)
    assert registry.get("btc", version=version).extras["mine"] == [1]


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"extras": [1]}, r"extras of 'btc' are \[1\]; names with values"),
        ({"attachments": {"notes.txt": "text"}}, "the attachment 'notes.txt' is a str; bytes"),
    ],
)
def test_what_is_kept_beside_a_model_has_its_kind(
    registry: ModelRegistry, card: ModelInfo, how: dict[str, Any], said: str
) -> None:
    with pytest.raises(RegistryError, match=said):
        registry.register(Ridge().fit([[0.0], [1.0]], [0.0, 1.0]), card, name="btc", **how)


def test_measurements_and_evidence_of_another_kind_are_one_sentence(registry: ModelRegistry) -> None:
    with pytest.raises(RegistryError, match="a skill is 1; what was measured in a regime"):
        registry.record_regimes("btc", 1, [1])  # type: ignore[list-item]
    with pytest.raises(RegistryError, match="evidence is None; a sequence of names"):
        registry.promote("btc", 1, reason="first", evidence=None)  # type: ignore[arg-type]
