"""What a run leaves in the registry: true cards, full provenance, no champion of another market dethroned."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest

from huracan.catalogue import build_model
from huracan.config import HuracanConfig
from huracan.config.schema import RegistryConfig
from huracan.dataset import TrainingSet
from huracan.errors import PromotionConflict
from huracan.integration.feedback.switch import EVERY_NAME, Switch
from huracan.integration.registration import Registered, learner_cards, register_outcome, retain_after_run
from huracan.integration.symbol_evidence import SymbolEvidence
from huracan.model_info import MarketRegime, RegimeSkill
from huracan.model_registry import ModelRegistry
from huracan.preprocessing import FeatureRecipe

HOUR = np.timedelta64(3_600_000, "ms")
START = np.datetime64("2024-01-01", "ms")
SKILL = RegimeSkill(
    regime=MarketRegime.TRENDING, skill=0.2, ci_low=0.1, ci_high=0.3, p_adjusted=0.01, n_effective=90.0, n_rows=100
)
SETTINGS: dict[str, Any] = {"task": "regression", "max_train_rows": 60, "params": {"expected_ic": 0.1}}


def rows_of(*symbols: str, n: int = 120, bar: np.timedelta64 = HOUR) -> TrainingSet:
    """``n`` rows a symbol; the label follows the first feature."""
    rng = np.random.default_rng(0)
    total = n * len(symbols)
    X = rng.standard_normal((total, 3))
    plain = TrainingSet.from_arrays(X, X[:, 0] + rng.standard_normal(total))
    code = np.tile(np.arange(len(symbols), dtype=np.int32), n)
    ts = START + bar * np.repeat(np.arange(n), len(symbols))
    return replace(
        plain, symbols=symbols, symbol_code=code, ts=ts, decision_time=ts + bar, label_end=ts + 2 * bar, bar_length=bar
    )


SCALE = {"center": 0.0, "spread": 2.0, "intercept": 0.0, "slope": 1.0}


class Desk:
    """One registry, and runs that end in it."""

    def __init__(self, folder: Path, **training: Any) -> None:
        self.registry = ModelRegistry(f"sqlite:///{folder}/huracan.db", artifacts=folder / "artifacts")
        self.config = HuracanConfig.model_validate(
            {
                "home": str(folder),
                "seed": 3,
                "profile": "tiny",
                "profiles": {"tiny": {"learners": {"ridge": SETTINGS}}},
                "training": training,
                "registry": {"url": "postgresql://someone:hunter2@host/db"},
            }
        )

    def run(
        self,
        rows: TrainingSet,
        run_id: str,
        *,
        champion: str | None = "ridge",
        simulated: bool = False,
        money: bool = True,
        served: tuple[str, ...] | None = None,
        own: dict[str, SymbolEvidence] | None = None,
    ) -> Registered:
        recipe = SimpleNamespace(hash="beef", to_json=FeatureRecipe.minimal().to_json)
        source = SimpleNamespace(truth=object() if simulated else None)
        prepared: Any = SimpleNamespace(rows=rows, recipe=recipe, source=source)
        evidence: Any = SimpleNamespace(
            development=rows, champion=champion, judged={"ridge": None}, skills_by_regime={"ridge": (SKILL,)}
        )
        facts: Any = SimpleNamespace(data_hash="d", config_hash="c", seed=3, versions={"numpy": "2"})
        look: Any = SimpleNamespace(result=SimpleNamespace(skill=0.1, net_return=math.nan))
        table = pl.DataFrame([{"learner": "ridge", "skill": 0.25, "auc": math.nan, "net_sharpe": None}])
        pooled = self.config.training.pooling == "pooled"
        models: dict[str | None, Any] = (
            {None: self.fit(rows)} if pooled else {s: self.fit(rows.of_symbol(s)) for s in served or rows.symbols}
        )
        cards = learner_cards(self.config, evidence, table)
        return register_outcome(
            self.registry,
            self.config,
            prepared,
            evidence,
            models if champion else {},
            cards,
            look,
            facts,
            run_id=run_id,
            reason="it beats the baseline",
            deserves_money=money,
            finalist_extras={
                "policy": {"cap": 1.0},
                "scale": SCALE,
                "levels": {"all": 0.1},
            },
            by_symbol=own,
        )

    @staticmethod
    def fit(rows: TrainingSet) -> Any:
        return build_model("ridge", task="regression", max_train_rows=60, random_state=3, expected_ic=0.1).fit(rows)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.fixture
def many(tmp_path: Path) -> Desk:
    return Desk(tmp_path, pooling="per_symbol")


BTC = rows_of("BTC-USDT")


def test_cards_say_how_the_learner_was_configured_not_how_it_comes(desk: Desk) -> None:
    evidence: Any = SimpleNamespace(judged={"ridge": None}, skills_by_regime={"ridge": (SKILL,)})
    table = pl.DataFrame([{"learner": "ridge", "skill": 0.25, "auc": math.nan, "net_sharpe": None}])
    card = learner_cards(desk.config, evidence, table)["ridge"]
    built = build_model("ridge", task="regression", max_train_rows=60, expected_ic=0.1).model_info()
    assert build_model("ridge").model_info().hyperparameters != built.hyperparameters
    assert (card.hyperparameters, card.max_train_rows, card.task) == (built.hyperparameters, 60, "regression")
    assert card.performance_metrics == {"skill": 0.25}, "what is not known is left out"
    assert card.regime_evidence == (SKILL,)


def test_the_registered_card_is_the_fitted_models_own_with_what_was_measured(desk: Desk) -> None:
    desk.run(BTC, "r1")
    found, fitted = desk.registry.get("champion"), desk.fit(BTC).model_info()
    assert (found.info.hyperparameters, found.info.max_train_rows, found.info.task) == (
        fitted.hyperparameters,
        60,
        fitted.task,
    )
    assert found.info.regime_evidence == (SKILL,)
    assert found.info.signature is not None
    assert (found.info.signature.columns, found.info.signature.recipe_hash) == (BTC.feature_names, "beef")
    assert found.metrics == {"skill": 0.25, "hold_out_skill": 0.1, "deserves_money": 1.0}
    np.testing.assert_array_equal(desk.registry.load("champion").predict(BTC), desk.fit(BTC).predict(BTC))


def test_provenance_says_what_the_model_was_trained_on(desk: Desk) -> None:
    desk.run(BTC, "r1")
    found = desk.registry.get("champion").provenance
    first = datetime(2024, 1, 1, tzinfo=UTC)
    assert (found.n_rows, found.symbols, found.seed) == (60, ("BTC-USDT",), 3)
    assert (found.run_id, found.data_hash, found.config_hash, found.recipe_hash) == ("r1", "d", "c", "beef")
    assert found.trained_from is not None and found.trained_until is not None
    assert (found.trained_from - first).total_seconds() == 60 * 3600, "the cap keeps the last 60 of 120 bars"
    assert (found.trained_until - first).total_seconds() == 121 * 3600, "the last label is known two bars after its row"
    assert found.versions == {"numpy": "2"}
    assert found.model_extra == {"bar_length_ms": 3_600_000, "simulated": False}


def test_what_serving_needs_is_kept_and_no_secret_is(desk: Desk) -> None:
    desk.run(BTC, "r1", money=False)
    found = desk.registry.get("champion")
    assert found.metrics["deserves_money"] == 0.0
    assert {key: found.extras[key] for key in ("policy", "scale", "levels", "deserves_money")} == {
        "policy": {"cap": 1.0},
        "scale": SCALE,
        "levels": {"all": 0.1},
        "deserves_money": False,
    }
    assert "hunter2" not in str(found.extras)


def test_a_better_model_of_the_same_market_takes_over(desk: Desk) -> None:
    assert desk.run(BTC, "r1") == Registered("champion", 1, True, "version 1 of 'champion' is the new champion")
    assert desk.run(BTC, "r2") == Registered("champion", 2, True, "version 2 of 'champion' is the new champion")
    assert desk.registry.history("champion").filter(action="promote")["reason"][0] == "it beats the baseline"


def test_nothing_is_promoted_while_a_person_has_frozen_promotions(desk: Desk) -> None:
    """The nightly job, too: what it made is registered, and it says why that is not champion."""
    desk.run(BTC, "r1")
    every = Switch(desk.registry.database, EVERY_NAME)
    every.freeze("flash crash", actor="ann", at=0)
    outcome = desk.run(BTC, "r2")
    why = "the champion of 'champion' stays as it is: promotions are frozen since 1970-01-01 00:00 UTC by ann: flash crash"
    sentence = f"version 2 of 'champion' is registered as challenger and was not promoted: {why}"
    assert outcome == Registered("champion", 2, False, sentence)
    assert desk.registry.holder("champion")[0] == 1
    every.thaw("it is over", actor="ann", at=1)
    assert desk.run(BTC, "r2").promoted and desk.registry.holder("champion")[0] == 2  # the same run, gone on with


def test_a_baseline_is_not_promoted_either_where_promotions_are_frozen(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "FREEZE").write_text("no models tonight")
    outcome = desk.run(BTC, "r1", champion=None)
    assert (outcome.version, outcome.promoted) == (1, False)
    assert "the baseline, is registered and was not promoted" in outcome.sentence and "no models tonight" in outcome.sentence
    assert desk.registry.aliases("champion") == {}


def test_of_several_symbols_those_that_are_frozen_are_not_promoted(many: Desk) -> None:
    both = rows_of("BTC-USDT", "ETH-USDT")
    Switch(many.registry.database, "champion.ETH-USDT").freeze("delisted", actor="ann", at=0)
    outcome = many.run(both, "r1")
    assert not outcome.promoted and "1 has a model that was not promoted, since promotions are frozen" in outcome.sentence
    assert many.registry.aliases("champion.BTC-USDT") == {"champion": 1} and many.registry.aliases("champion.ETH-USDT") == {}


def test_a_demonstration_never_touches_a_real_champion(desk: Desk) -> None:
    desk.run(BTC, "r1")
    before = desk.registry.history("champion")
    outcome = desk.run(rows_of("SIM01-USD"), "r2", simulated=True)
    assert outcome == Registered("champion.simulated", 1, True, "version 1 of 'champion.simulated' is the new champion")
    assert desk.registry.history("champion").equals(before)
    extra = desk.registry.get("champion.simulated").provenance.model_extra or {}
    assert extra["simulated"] is True


def test_a_champion_of_other_symbols_or_bars_keeps_its_place(desk: Desk) -> None:
    desk.run(BTC, "r1")
    outcome = desk.run(rows_of("ETH-USDT"), "r2")
    assert (outcome.name, outcome.version, outcome.promoted) == ("champion", 2, False)
    assert outcome.sentence == (
        "version 2 of 'champion' is registered as challenger: the champion was trained on BTC-USDT, these candles are "
        "ETH-USDT, and less than 80% of all these symbols are in both. The champion knows nothing after 2024-01-06, stays and "
        "ages; promote this one by hand where it is to follow"
    )
    assert desk.run(rows_of("BTC-USDT", bar=HOUR / 4), "r3").sentence.startswith(
        "version 3 of 'champion' is registered as challenger: the champion was trained on bars of 1 h, these are bars of 15 min"
    )
    wide = desk.run(rows_of(*(f"S{i}" for i in range(5))), "r4")
    assert "these candles are S0, S1, S2 and 2 more" in wide.sentence
    assert desk.registry.aliases("champion") == {"champion": 1}
    assert desk.run(BTC, "r5").promoted


def test_a_listing_or_a_delisting_stops_no_promotion_and_the_reason_names_it(desk: Desk) -> None:
    desk.run(rows_of("A", "B", "C", "D", n=40), "r1")
    assert desk.run(rows_of("A", "B", "C", "D", "E", n=40), "r2").promoted, "one of five is new"
    assert desk.run(rows_of("A", "B", "C", "D", n=40), "r3").promoted, "one of five is gone"
    reasons = desk.registry.history("champion").filter(action="promote").sort("to_version")["reason"].to_list()
    ending = " Beside the symbols of the champion before"
    assert reasons == [
        "it beats the baseline",
        f"it beats the baseline{ending} it learned from E.",
        f"it beats the baseline{ending} and no longer from E.",
    ]
    assert not desk.run(rows_of("A", "B", "C", n=40), "r4").promoted, "three of four are less than 80 %"


def test_a_champion_that_does_not_say_what_it_was_trained_on_is_no_obstacle(desk: Desk) -> None:
    desk.registry.register(desk.fit(BTC), name="champion")
    desk.registry.promote("champion", 1, reason="by hand")
    assert desk.run(BTC, "r1").promoted


def test_where_nothing_is_crowned_the_baseline_is_champion_until_something_is(desk: Desk) -> None:
    outcome = desk.run(BTC, "r1", champion=None, money=True)
    assert outcome.sentence == "version 1 of 'champion', the baseline, is champion until a run crowns a learner"
    found = desk.registry.get("champion")
    assert (found.kind, found.info.name, found.metrics) == ("baseline", "majority", {"deserves_money": 0.0})
    assert found.extras["deserves_money"] is False
    assert "policy" not in found.extras, "the policy of a learner that was not crowned is not the baseline's"
    assert found.provenance.n_rows == len(BTC)
    stays = Registered(None, None, False, "the earlier champion (version 1) stays: this run crowned nothing")
    assert desk.run(BTC, "r2", champion=None) == stays
    assert desk.run(BTC, "r3").promoted
    assert desk.run(BTC, "r4", champion=None) == replace(stays, sentence=stays.sentence.replace("version 1", "version 2"))
    assert len(desk.registry.versions("champion")) == 2


@pytest.mark.parametrize("champion", ["ridge", None])
@pytest.mark.parametrize("simulated", [True, False])
def test_a_run_that_is_continued_finds_what_it_registered(desk: Desk, champion: str | None, simulated: bool) -> None:
    first = desk.run(BTC, "r1", champion=champion, simulated=simulated)
    history = desk.registry.history(first.name or "")
    assert desk.run(BTC, "r1", champion=champion, simulated=simulated) == first
    assert desk.registry.history(first.name or "").equals(history)


@pytest.mark.parametrize("champion", ["ridge", None])
def test_a_run_killed_before_the_promotion_promotes_what_it_registered(
    desk: Desk, champion: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ModelRegistry, "promote", killed)
        with pytest.raises(KeyboardInterrupt):
            desk.run(BTC, "r1", champion=champion)
    assert desk.registry.aliases("champion") == {}
    outcome = desk.run(BTC, "r1", champion=champion)
    assert (outcome.version, outcome.promoted) == (1, True)
    assert desk.registry.aliases("champion") == {"champion": 1}
    assert len(desk.registry.versions("champion")) == 1


def test_a_challenger_that_is_continued_stays_the_challenger_it_was(desk: Desk) -> None:
    desk.run(BTC, "r1")
    first = desk.run(rows_of("ETH-USDT"), "r2")
    assert desk.run(rows_of("ETH-USDT"), "r2") == first
    assert len(desk.registry.versions("champion")) == 2


def test_a_run_that_is_continued_does_not_take_back_what_it_lost_since(desk: Desk) -> None:
    desk.run(BTC, "r1")
    desk.run(BTC, "r2")
    outcome = desk.run(BTC, "r1")
    assert outcome == Registered(
        "champion", 1, False, "version 1 of 'champion' was champion, and version 2 has taken its place since"
    )
    assert desk.registry.aliases("champion") == {"champion": 2}


@pytest.mark.parametrize("champion", ["ridge", None])
def test_of_two_runs_that_end_at_once_the_later_yields(
    desk: Desk, champion: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    promote = ModelRegistry.promote

    def overtaken(self: ModelRegistry, name: str, version: int, **given: Any) -> None:
        other = self.register(desk.fit(BTC), name=name)
        promote(self, name, other, reason="faster")
        promote(self, name, version, **given)

    monkeypatch.setattr(ModelRegistry, "promote", overtaken)
    outcome = desk.run(BTC, "r1", champion=champion)
    assert not outcome.promoted
    assert desk.registry.aliases("champion") == {"champion": 2}
    expected = "another run promoted its own at that moment" if champion else "the earlier champion (version 2) stays"
    assert expected in outcome.sentence
    with pytest.raises(PromotionConflict):
        promote(desk.registry, "champion", 1, expected=None, reason="r")


def test_with_one_model_a_symbol_each_has_its_name_and_its_own_provenance(many: Desk) -> None:
    outcome = many.run(rows_of("A", "B"), "r1")
    assert outcome == Registered("champion", 1, True, "of 2 symbols, each under 'champion.<symbol>', 2 have a new champion")
    assert many.registry.names() == ["champion.A", "champion.B"]
    assert [many.registry.get(f"champion.{s}").provenance.symbols for s in "AB"] == [("A",), ("B",)]
    assert many.run(rows_of("B", "C"), "r2").promoted, "more symbols around it make no other market of a symbol"


def test_with_one_model_a_symbol_each_bears_its_own_evidence_and_none_of_all_together(many: Desk) -> None:
    measured = SymbolEvidence({"skill": 0.5, "p_adjusted": 0.2}, (SKILL,), "of A alone it is not shown to have skill.")
    many.run(rows_of("A", "B"), "r1", own={"A": measured})
    first, second = (many.registry.get(f"champion.{symbol}") for symbol in "AB")
    assert first.metrics == first.info.performance_metrics == {"skill": 0.5, "p_adjusted": 0.2}
    assert first.info.regime_evidence == (SKILL,)
    assert (second.metrics, second.info.performance_metrics, second.info.regime_evidence) == ({}, {}, ())
    assert "nothing was measured of this symbol alone" in second.extras["evidence"]
    assert "deserves_money" not in {*first.extras, *second.extras}, "that was judged of all symbols together"
    assert [one.name for one in many.registry.models_for_regime("trending", evidence="significant")] == ["champion.A"]
    said = many.registry.history("champion.A").filter(action="promote")["reason"][0]
    assert said == "it beats the baseline That is of all symbols together; of A alone it is not shown to have skill."


def test_with_one_model_a_symbol_the_baselines_have_the_same_names(many: Desk) -> None:
    outcome = many.run(rows_of("A", "B"), "r1", champion=None)
    assert outcome.sentence == "of 2 symbols, each under 'champion.<symbol>', 2 have the baseline"
    assert (outcome.name, outcome.version, outcome.promoted) == ("champion", 1, True)
    assert [many.registry.get(f"champion.{s}").kind for s in "AB"] == ["baseline", "baseline"]
    assert many.run(rows_of("A", "B"), "r2", champion=None) == Registered(
        None, None, False, "of 2 symbols, each under 'champion.<symbol>', 2 have an earlier champion"
    )


def test_a_symbol_with_too_little_history_has_the_baseline(many: Desk) -> None:
    rows = rows_of("A", "B")
    short = rows.take((rows.symbol_code == 0) | (np.arange(len(rows)) > len(rows) - 10))
    outcome = many.run(short, "r1", served=("A",))
    assert outcome.sentence == "of 2 symbols, each under 'champion.<symbol>', 1 has a new champion, 1 has the baseline"
    assert many.registry.get("champion.B").provenance.symbols == ()
    assert many.registry.load("champion.B").predict(BTC).shape == (len(BTC),)
    assert many.run(rows, "r2").promoted, "and later a model of its own"
    assert "1 has an earlier champion" in many.run(short, "r3", served=("A",)).sentence


@pytest.mark.parametrize("after_run", [False, True])
def test_a_run_lets_old_versions_go_only_where_it_is_configured_to(desk: Desk, after_run: bool) -> None:
    desk.run(BTC, "r1")
    for _ in range(2):
        desk.registry.register(desk.fit(BTC), name="champion")
    kept = {"keep_last": 1, "keep_days": 0.0, "after_run": after_run}
    changed = desk.config.model_copy(update={"registry": RegistryConfig.model_validate({"retention": kept})})
    report = retain_after_run(desk.registry, changed)
    assert (report is not None) is after_run
    stages = [found.stage for found in desk.registry.versions("champion")]
    assert stages == ["active", "removed" if after_run else "active", "active"]
