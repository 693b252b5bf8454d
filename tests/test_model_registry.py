"""``ModelRegistry``: what is registered comes back, or says in a sentence why not."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline

from huracan.catalogue import build_model
from huracan.errors import ArtifactError, RegistryError, StorageError
from huracan.model_info import FeatureSignature, MarketRegime, ModelInfo, RegimeSkill
from huracan.model_registry import ModelRegistry
from huracan.registry import Provenance

X = np.random.default_rng(0).standard_normal((80, 3)).astype(np.float32)
Y = X[:, 0] + np.random.default_rng(1).standard_normal(80)


@pytest.fixture
def registry(database_url: str, tmp_path: Path) -> Iterator[ModelRegistry]:
    made = ModelRegistry(database_url, artifacts=tmp_path / "artifacts")
    yield made
    made.database.close()


def skill(regime: str, value: float, p: float = 0.01) -> RegimeSkill:
    return RegimeSkill(
        regime=MarketRegime(regime),
        skill=value,
        ci_low=value - 0.1,
        ci_high=value + 0.1,
        p_adjusted=p,
        n_effective=90.0,
        n_rows=100,
    )


def card(name: str = "ridge", declared: tuple[str, ...] = (), evidence: tuple[RegimeSkill, ...] = ()) -> ModelInfo:
    return ModelInfo(
        name=name,
        purpose="forecast",
        ideal_dataset_shape="(1_000+ rows, 5-500 features)",
        feature_requirements=("numeric",),
        output_schema={"prediction": "forecast of the label"},
        task="regression",
        market_regimes={MarketRegime(regime): "it should" for regime in declared},
        regime_evidence=evidence,
        hyperparameters={"alpha": 1.0, "missing": math.nan, "layers": (3, 4)},
        signature=FeatureSignature(columns=("a", "b", "c"), recipe_hash="beef"),
    )


def test_what_is_registered_comes_back(registry: ModelRegistry) -> None:
    model = Ridge().fit(X, Y)
    info = card(evidence=(skill("trending", 0.2),))
    extras = {"position_policy": {"rule": "threshold", "cap": 1.0}, "windows": {"slow": [1, 2]}}
    given = Provenance(data_hash="d", seed=7, symbols=("BTC",), versions={"numpy": "2.4"})
    version = registry.register(*(model, info), name="m", metrics={"sharpe": 1.5, "ic": -0.5}, provenance=given, extras=extras)
    found = registry.get("m", version=version)
    assert (found.model_id, found.kind, found.aliases, found.parent_id) == ("m/1", "challenger", (), None)
    assert found.provenance == given
    assert found.extras == extras
    assert found.metrics == {"sharpe": 1.5, "ic": -0.5}
    assert found.info.signature == info.signature
    assert found.info.regime_evidence == info.regime_evidence
    assert math.isnan(found.info.hyperparameters["missing"])
    assert found.created_at.utcoffset() is not None
    np.testing.assert_array_equal(registry.load("m", version=version).predict(X), model.predict(X))


def test_the_artifact_alone_tells_the_story(registry: ModelRegistry) -> None:
    registry.register(Ridge().fit(X, Y), card(), name="m", extras={"note": {"a": 1}})
    digest = registry.get("m", version=1).digest
    assert sorted(registry.artifacts.get(digest)) == ["format.json", "model.skops"]
    told = registry.artifacts.manifest(digest)
    assert told["extras"] == {"note": {"a": 1}}
    assert told["info"]["signature"]["columns"] == ["a", "b", "c"]
    assert {"versions", "provenance", "metrics"} <= set(told)


def test_a_catalogue_learner_brings_its_own_card_and_loads_as_itself(registry: ModelRegistry) -> None:
    model = build_model("extra_trees", task="classification", random_state=3).fit(X, Y > 0)
    version = registry.register(model, name="m")
    registry.promote("m", version, reason="first")
    again = registry.load("m")
    assert type(again) is type(model)
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    assert registry.get("m").info.name == "extra_trees"


def test_a_rule_is_a_model_like_any_other(registry: ModelRegistry) -> None:
    model = build_model("majority").fit(X, Y > 0)
    registry.register(model, name="m", kind="baseline")
    registry.promote("m", 1, expected=None, reason="nothing beats it")
    np.testing.assert_array_equal(registry.load("m", alias="champion").predict(X), model.predict(X))


def test_parents_are_kept_and_must_exist(registry: ModelRegistry) -> None:
    registry.register(Ridge().fit(X, Y), card(), name="m")
    registry.register(Ridge(2.0).fit(X, Y), card(), name="m", parent=1)
    registry.register(Ridge(3.0).fit(X, Y), card(), name="m", parent="engine-4711")
    assert [version.parent_id for version in registry.versions("m")] == [None, "m/1", "engine-4711"]
    with pytest.raises(RegistryError, match="has no version 9; it has 1, 2, 3"):
        registry.register(Ridge().fit(X, Y), card(), name="m", parent=9)
    assert len(registry.versions("m")) == 3


def test_unknown_names_offer_the_nearest(registry: ModelRegistry) -> None:
    with pytest.raises(RegistryError, match="'btc-usdt' is not registered; the registry is empty"):
        registry.load("btc-usdt")
    registry.register(Ridge().fit(X, Y), card(), name="btc-usdt")
    for act in (registry.load, registry.get, registry.history, registry.versions, registry.aliases, registry.rollback):
        with pytest.raises(RegistryError, match="unknown model 'btc-usd'; did you mean 'btc-usdt'"):
            act("btc-usd")
    with pytest.raises(RegistryError, match="has no alias 'champion'; no version of it was promoted yet"):
        registry.load("btc-usdt")
    registry.promote("btc-usdt", 1, reason="first")
    with pytest.raises(
        RegistryError, match="model 'btc-usdt' has no alias 'champoin'; did you mean 'champion'\\? Known: champion"
    ):
        registry.load("btc-usdt", alias="champoin")
    with pytest.raises(RegistryError, match="has no version 2; it has 1"):
        registry.load("btc-usdt", version=2)
    with pytest.raises(RegistryError, match="both alias 'champion' and version 1"):
        registry.load("btc-usdt", alias="champion", version=1)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"name": ""}, "model name '' cannot be used"),
        ({"name": " m"}, "without outer spaces"),
        ({"name": "a\nb"}, "printable"),
        ({"kind": "champion"}, "'challenger' or 'baseline' was expected"),
        ({"metrics": {"sharpe": "good"}}, "metric 'sharpe' is 'good'; a number was expected"),
        ({"metrics": {"ic": 0.1, "sharpe": math.nan}}, "metric 'sharpe' is nan; a finite number was expected"),
        ({"metrics": {"sharpe": np.float32("inf")}}, "metric 'sharpe' is inf; a finite number was expected"),
        ({"provenance": {"seed": "x"}}, "provenance 'seed' is 'x'"),
        ({"extras": {"f": object()}}, r"extras\.f is a builtins\.object"),
        ({"info": None}, "a ModelInfo is needed to register a Ridge"),
    ],
)
def test_bad_input_is_a_sentence_and_leaves_nothing(registry: ModelRegistry, changes: dict[str, Any], reason: str) -> None:
    arguments = {"info": card(), "name": "m", **changes}
    with pytest.raises(RegistryError, match=reason):
        registry.register(Ridge().fit(X, Y), **arguments)
    assert registry.names() == []
    assert registry.artifacts.digests() == []


@pytest.mark.parametrize("model", [Ridge(), Pipeline([("line", Ridge())]), build_model("ridge"), build_model("majority")])
def test_a_model_that_is_not_fitted_is_refused_in_a_sentence_and_leaves_nothing(registry: ModelRegistry, model: Any) -> None:
    with pytest.raises(RegistryError, match=f"this {type(model).__name__} is not fitted; fit it before"):
        registry.register(model, card(), name="m")
    assert registry.names() == []
    assert registry.artifacts.digests() == []


def test_a_promotion_needs_a_reason_and_a_version_that_is_there(registry: ModelRegistry) -> None:
    registry.register(Ridge().fit(X, Y), card(), name="m")
    with pytest.raises(RegistryError, match="needs a reason"):
        registry.promote("m", 1, reason=" ")
    with pytest.raises(RegistryError, match="has no version 2"):
        registry.promote("m", 2, reason="r")
    with pytest.raises(RegistryError, match="metric 'p' is nan"):
        registry.promote("m", 1, reason="r", metrics={"p": math.nan})
    assert registry.aliases("m") == {}


def test_a_flipped_bit_is_found_before_anything_is_parsed(registry: ModelRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    registry.register(Ridge().fit(X, Y), card(), name="m")
    file = registry.artifacts.path(registry.get("m", version=1).digest) / "model.skops"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    monkeypatch.setattr("huracan.model_registry.load_model", lambda _: pytest.fail("parsed"))
    with pytest.raises(ArtifactError, match=r"'model\.skops' of artifact .* is damaged"):
        registry.load("m", version=1)
    file.unlink()
    with pytest.raises(ArtifactError, match="is missing"):
        registry.load("m", version=1)


KILLED = """
import os, sys
from pathlib import Path
from sklearn.linear_model import Ridge
from huracan.model_registry import ModelRegistry
from huracan.registry import registration, versions
from huracan.model_info import ModelInfo

registry = ModelRegistry(sys.argv[1], artifacts=sys.argv[2])
for module in (registration, versions):
    if hasattr(module, sys.argv[3]):
        setattr(module, sys.argv[3], lambda *a, **k: os._exit(9))
card = ModelInfo.model_validate_json(Path(sys.argv[4]).read_text())
registry.register(Ridge().fit([[0.0], [1.0]], [0.0, 2.0]), card, name="m")
"""


@pytest.mark.parametrize("moment", ["lock_name", "append", "add_tags"])
def test_a_kill_between_artifact_and_transaction_leaves_no_half_version(
    registry: ModelRegistry, moment: str, tmp_path: Path
) -> None:
    (tmp_path / "card.json").write_text(card().model_copy(update={"hyperparameters": {}}).model_dump_json())
    url = registry.database.url.render_as_string(hide_password=False)
    where = (url, str(registry.artifacts.folder), moment, str(tmp_path / "card.json"))
    done = subprocess.run([sys.executable, "-c", KILLED, *where], timeout=120, capture_output=True, text=True)
    assert done.returncode == 9, done.stderr
    assert registry.names() == []
    [unreferenced] = registry.artifacts.digests()
    assert registry.register(Ridge().fit([[0.0], [1.0]], [0.0, 1.0]), card(), name="m") == 1
    assert len(registry.artifacts.digests()) == 2
    assert registry.artifacts.get(unreferenced)


def test_history_is_a_frame_in_order_with_utc_times(registry: ModelRegistry) -> None:
    registry.register(Ridge().fit(X, Y), card(), name="m")
    registry.promote("m", 1, reason="first", metrics={"p": 0.01})
    frame = registry.history("m")
    assert frame["action"].to_list() == ["register", "promote"]
    assert frame.schema["at"] == pl.Datetime("us", "UTC")
    assert frame["id"].is_sorted()
    assert json.loads(frame["details"][0])["facts"]["digest"] == registry.get("m").digest
    assert frame["details"][1] == '{"metrics": {"p": 0.01}}'
    assert "@" in frame["actor"][0]


def test_models_for_a_regime_come_best_first_with_their_evidence(registry: ModelRegistry) -> None:
    cards = {
        "strong": card("a", evidence=(skill("trending", 0.3),)),
        "likely": card("b", ("trending",), (skill("trending", 0.4, p=0.2),)),
        "claimed": card("c", ("trending",)),
        "refuted": card("d", ("trending",), (skill("trending", -0.2),)),
        "elsewhere": card("e", ("ranging",), (skill("ranging", 0.9),)),
        "hopeless": card("f", (), (skill("trending", -0.3),)),
    }
    model = Ridge().fit(X, Y)
    for name, info in cards.items():
        registry.register(model, info, name=name)
    found = {kind: registry.models_for_regime("trending", evidence=kind) for kind in ("significant", "estimated", "declared")}
    assert [item.name for item in found["significant"]] == ["strong"]
    assert [item.name for item in found["estimated"]] == ["likely", "strong"]
    assert [item.name for item in found["declared"]] == ["likely", "strong", "claimed", "refuted"]
    assert [item.evidence.value for item in found["declared"]] == ["estimated", "significant", "declared", "declared"]
    assert found["declared"][2].measured is None
    assert found["declared"][3].measured is not None
    assert registry.models_for_regime("illiquid") == []
    with pytest.raises(RegistryError, match="regime 'sideways' does not exist; expected one of trending, ranging"):
        registry.models_for_regime("sideways")
    with pytest.raises(RegistryError, match="evidence 'felt' does not exist"):
        registry.models_for_regime("trending", evidence="felt")


def test_only_the_newest_version_of_a_learner_speaks_for_a_regime(registry: ModelRegistry) -> None:
    model = Ridge().fit(X, Y)
    registry.register(model, card("a", evidence=(skill("trending", 0.5),)), name="m")
    registry.register(model, card("b", evidence=(skill("trending", 0.2),)), name="m")
    registry.register(model, card("a", evidence=(skill("trending", 0.1),)), name="m")
    found = registry.models_for_regime(MarketRegime.TRENDING)
    assert [(item.learner, item.version) for item in found] == [("b", 2), ("a", 3)]


def test_two_registries_on_one_database_see_each_other(registry: ModelRegistry) -> None:
    other = ModelRegistry(registry.database, artifacts=registry.artifacts.folder)
    registry.register(Ridge().fit(X, Y), card(), name="m")
    assert other.names() == ["m"]


def test_a_registry_of_the_future_is_refused(registry: ModelRegistry) -> None:
    with registry.database.transaction() as connection:
        connection.exec_driver_sql("update huracan_schema set version_num = '9999'")
    with pytest.raises(StorageError, match="upgrade huracan"):
        ModelRegistry(registry.database.where, artifacts=registry.artifacts.folder)
