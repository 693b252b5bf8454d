"""Finding versions: every filter against plain Python, pages without holes, lineage, tags and stages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sklearn.linear_model import Ridge

from huracan.errors import RegistryError
from huracan.model_info import MarketRegime, ModelInfo, RegimeSkill
from huracan.model_registry import ModelRegistry
from huracan.registry.consistency import check_consistency
from huracan.registry.records import RetentionPolicy


@pytest.fixture
def registry(database_url: str, tmp_path: Path) -> Iterator[ModelRegistry]:
    made = ModelRegistry(database_url, artifacts=tmp_path / "artifacts")
    yield made
    made.database.close()


def add(registry: ModelRegistry, card: ModelInfo, name: str = "btc", learner: str = "ridge", **given: Any) -> int:
    model = Ridge().fit([[0.0], [1.0]], [0.0, 1.0])
    return registry.register(model, card.model_copy(update={"name": learner}), name=name, **given)


def found(registry: ModelRegistry, **filters: Any) -> list[str]:
    return [summary.model_id for summary in registry.find(**filters)]


def test_every_filter_finds_what_it_says_newest_first(registry: ModelRegistry, card: ModelInfo) -> None:
    add(registry, card, tags={"desk": "fx", "coin": "btc"}, provenance={"run_id": "r1"})
    add(registry, card, learner="lasso", tags={"desk": "fx"})
    add(registry, card, name="eth", kind="baseline", tags={"desk": "spot"}, provenance={"run_id": "r1"})
    add(registry, card, name="eth")
    registry.archive("eth", 2, reason="worse")
    assert found(registry) == ["eth/1", "btc/2", "btc/1"]
    assert found(registry, stage=None) == ["eth/2", "eth/1", "btc/2", "btc/1"]
    assert found(registry, stage="archived") == ["eth/2"]
    assert found(registry, name="btc") == ["btc/2", "btc/1"]
    assert found(registry, learner="ridge") == ["eth/1", "btc/1"]
    assert found(registry, run_id="r1") == ["eth/1", "btc/1"]
    assert found(registry, kind="baseline") == ["eth/1"]
    assert found(registry, tags={"desk": "fx"}) == ["btc/2", "btc/1"]
    assert found(registry, tags={"desk": "fx", "coin": "btc"}) == ["btc/1"]
    assert found(registry, tags={"desk": "none"}) == found(registry, name="nobody") == []
    [summary] = registry.find(name="eth")
    assert (summary.kind, summary.verified, summary.run_id) == ("baseline", True, "r1")
    assert summary.created_at.utcoffset() is not None


def test_pages_follow_each_other_without_holes(registry: ModelRegistry, card: ModelInfo) -> None:
    for _ in range(7):
        add(registry, card)
    pages, before = [], None
    while page := registry.find(limit=3, before=before):
        pages.append([summary.version for summary in page])
        before = page[-1].id
        add(registry, card)  # what is registered meanwhile moves no page
    assert pages == [[7, 6, 5], [4, 3, 2], [1]]
    with pytest.raises(RegistryError, match="a page of 0 versions cannot be listed; 1 to 10000"):
        registry.find(limit=0)
    with pytest.raises(RegistryError, match="before is 1180591620717411303424; the id of a version was expected"):
        registry.find(before=2**70)


def test_tags_are_set_changed_and_taken_away(registry: ModelRegistry, card: ModelInfo) -> None:
    add(registry, card, tags={"desk": "fx"})
    registry.tag("btc", 1, desk="spot", owner="ana")
    assert registry.tags("btc", 1) == {"desk": "spot", "owner": "ana"}
    registry.tag("btc", 1, owner=None)
    assert registry.tags("btc", 1) == {"desk": "spot"}
    assert registry.history("btc")["action"].to_list() == ["register", "tag", "tag"]
    with pytest.raises(RegistryError, match="has no version 9; it has 1"):
        registry.tag("btc", 9, desk="x")
    with pytest.raises(RegistryError, match="the value of tag 'desk', '' cannot be used"):
        registry.tag("btc", 1, desk="")


def test_lineage_goes_back_as_far_as_it_is_registered(registry: ModelRegistry, card: ModelInfo) -> None:
    add(registry, card, parent="engine-4711")
    add(registry, card, parent=1)
    add(registry, card, name="eth", parent="btc/2")
    assert [one.model_id for one in registry.lineage("eth", 1)] == ["eth/1", "btc/2", "btc/1"]
    add(registry, card, name="loop", parent="loop/1")
    assert [one.model_id for one in registry.lineage("loop", 1)] == ["loop/1"]


def test_an_archived_version_is_not_promoted_until_it_is_restored(registry: ModelRegistry, card: ModelInfo) -> None:
    for _ in range(2):
        add(registry, card)
    registry.archive("btc", 1, reason="worse")
    registry.archive("btc", 1, reason="worse")
    with pytest.raises(RegistryError, match="version 1 of 'btc' is archived; restore it"):
        registry.promote("btc", 1, reason="r")
    registry.restore("btc", 1, reason="second thoughts")
    registry.promote("btc", 1, reason="r")
    with pytest.raises(RegistryError, match="cannot be archived: the alias 'champion' points to it"):
        registry.archive("btc", 1, reason="r")
    registry.promote("btc", 2, reason="r")
    registry.archive("btc", 1, reason="r")
    with pytest.raises(RegistryError, match="version 1 of 'btc' is archived"):
        registry.rollback("btc")
    with pytest.raises(RegistryError, match="needs a reason in words"):
        registry.archive("btc", 1, reason=" ")
    told = registry.history("btc")["action"].to_list()
    assert told == ["register", "register", "archive", "restore", "promote", "promote", "archive"]
    assert registry.verify_audit().intact


def test_an_unverified_version_is_not_promoted(registry: ModelRegistry, card: ModelInfo) -> None:
    add(registry, card)
    model = registry.artifacts.path(registry.get("btc", version=1).digest) / "model.skops"
    whole = model.read_bytes()
    model.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    outcome = registry.verify("btc", 1)
    assert not outcome.ok
    assert "damaged" in str(outcome.reason)
    with pytest.raises(RegistryError, match=r"version 1 of 'btc' is not verified.*call verify\('btc', 1\)"):
        registry.promote("btc", 1, reason="r")
    model.write_bytes(whole)
    assert registry.verify("btc", 1).ok
    registry.promote("btc", 1, reason="r")
    assert registry.history("btc")["action"].to_list() == ["register", "verify", "verify", "promote"]


def test_rows_given_as_probe_are_answered_again_by_a_fresh_process(registry: ModelRegistry, card: ModelInfo) -> None:
    add(registry, card, probe=[[0.5], [2.0]], attachments={"sketch.json": b"{}"})
    outcome = registry.verify("btc", 1)
    assert outcome.ok
    assert outcome.n_rows == 2
    assert registry.attachments("btc", 1) == {"sketch.json": b"{}"}
    with pytest.raises(RegistryError, match=r"attachment 'format\.json' has the name of one of the model's own"):
        add(registry, card, attachments={"format.json": b"{}"})


def test_a_model_that_does_not_come_back_as_it_was_is_refused(
    registry: ModelRegistry, card: ModelInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Ridge().fit([[0.0], [1.0]], [0.0, 2.0])
    monkeypatch.setattr("huracan.registry.registration.load_model", lambda _files: other)
    with pytest.raises(RegistryError, match="does not come back from its files as it was: of 1 rows, 1 are answered otherwise"):
        add(registry, card, probe=[[1.0]])
    assert registry.names() == []
    assert registry.artifacts.digests() == []


def skill(value: float, p: float = 0.01) -> RegimeSkill:
    known: dict[str, Any] = {"ci_low": value - 0.1, "ci_high": value + 0.1, "n_effective": 9.0, "n_rows": 10, "n_spells": 3}
    return RegimeSkill(regime=MarketRegime.RANGING, skill=value, p_adjusted=p, **known)


def test_later_evidence_takes_the_place_of_earlier_and_is_audited(registry: ModelRegistry, card: ModelInfo) -> None:
    add(registry, card)
    assert registry.models_for_regime("ranging", "declared") == []
    registry.record_regimes("btc", 1, [skill(0.4)])
    [candidate] = registry.models_for_regime("ranging", "significant")
    assert candidate.measured == skill(0.4)
    registry.record_regimes("btc", 1, [skill(-0.1)], reason="live losses")
    assert registry.models_for_regime("ranging") == []
    add(registry, card)
    registry.record_regimes("btc", 1, [skill(0.9)])  # an older version does not speak for its learner
    assert registry.models_for_regime("ranging") == []
    registry.record_regimes("btc", 2, [skill(0.2)])
    assert [one.version for one in registry.models_for_regime("ranging", limit=1)] == [2]
    assert registry.history("btc").filter(action="measure")["reason"].to_list()[1] == "live losses"
    assert registry.verify_audit().intact


def test_only_versions_that_can_be_promoted_speak_for_their_learner(registry: ModelRegistry, card: ModelInfo) -> None:
    info = card.model_copy(update={"regime_evidence": (skill(0.3),)})
    for _ in range(3):
        registry.register(Ridge().fit([[0.0], [1.0]], [0.0, 1.0]), info, name="btc")

    def speaks() -> list[int]:
        return [one.version for one in registry.models_for_regime("ranging", "declared")]

    assert speaks() == [3]
    registry.archive("btc", 3, reason="bad model")
    assert speaks() == [2]
    registry.record_regimes("btc", 3, [skill(0.9)])
    assert speaks() == [2]
    registry.artifacts.remove(registry.get("btc", version=2).digest)
    assert not registry.verify("btc", 2).ok
    assert speaks() == [1]
    registry.restore("btc", 3, reason="after all")
    assert speaks() == [3]


def test_what_gave_up_its_files_does_not_speak(registry: ModelRegistry, card: ModelInfo) -> None:
    info = card.model_copy(update={"regime_evidence": (skill(0.3),)})
    for learner in ("lasso", "ridge"):
        model = Ridge().fit([[0.0], [1.0]], [0.0, 1.0])
        registry.register(model, info.model_copy(update={"name": learner}), name="btc")
    assert registry.retain(RetentionPolicy(keep_last=1, keep_days=0)).removed == ("btc/1",)
    assert [one.version for one in registry.models_for_regime("ranging")] == [2]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"skill": float("nan")}, "skill in regime 'ranging' is nan"),
        ({"skill": float("inf")}, "skill in regime 'ranging' is inf"),
        ({"p_adjusted": float("nan")}, "p_adjusted in regime 'ranging' is nan"),
        ({"p_adjusted": 1.5}, "p_adjusted in regime 'ranging' is 1.5"),
        ({"ci_low": 0.9, "ci_high": 0.1}, "ci_low in regime 'ranging' is 0.9"),
        ({"n_effective": float("inf")}, "n_effective in regime 'ranging' is inf"),
    ],
)
def test_what_is_no_measurement_is_refused(
    registry: ModelRegistry, card: ModelInfo, given: dict[str, float], said: str
) -> None:
    add(registry, card)
    with pytest.raises(RegistryError, match=said):
        registry.record_regimes("btc", 1, [skill(0.2).model_copy(update=given)])
    assert registry.models_for_regime("ranging", "declared") == []
    assert registry.history("btc").height == 1
    if given.get("skill"):
        with pytest.raises(RegistryError, match="measured twice in one call"):
            registry.record_regimes("btc", 1, [skill(0.2), skill(0.3)])
        with pytest.raises(RegistryError, match="no skill of version 1 of 'btc' was given"):
            registry.record_regimes("btc", 1, [])


def test_a_card_with_a_p_value_that_is_no_number_is_kept_and_recommends_nothing(
    registry: ModelRegistry, card: ModelInfo
) -> None:
    odd = skill(0.2).model_copy(update={"p_adjusted": float("nan")})
    wide = skill(0.1, p=1.0).model_copy(update={"ci_low": -float("inf"), "ci_high": float("inf"), "n_effective": 0.0})
    for number, one in enumerate((odd, wide)):
        registry.register(
            Ridge().fit([[0.0], [1.0]], [0.0, 1.0]), card.model_copy(update={"regime_evidence": (one,)}), name=f"m{number}"
        )
    assert [(one.name, one.evidence) for one in registry.models_for_regime("ranging")] == [("m1", "estimated")]
    assert check_consistency(registry.database, registry.artifacts).defects == []


def test_both_databases_refuse_what_one_cannot_answer(registry: ModelRegistry, card: ModelInfo) -> None:
    add(registry, card)
    refused: list[tuple[Any, str]] = [
        (lambda: registry.models_for_regime("ranging", alpha=float("nan")), "alpha is nan; a share from 0 to 1"),
        (lambda: registry.models_for_regime("ranging", limit=-1), "a list of at most -1 models"),
        (lambda: registry.get("btc", version=True), "version is True"),
        (lambda: registry.get("btc", version=2**31), "version is 2147483648"),
        (lambda: registry.get("btc", alias=""), "alias '' cannot be used"),
        (lambda: registry.get(None), "model name None cannot be used"),  # type: ignore[arg-type]
        (lambda: registry.promote("btc", 1, reason="caf\udce9"), "reason 'caf.*' cannot be kept; text in UTF-8"),
        (lambda: registry.promote("btc", 1, reason="a\0b"), "reason 'a.*b' cannot be kept"),
        (lambda: registry.archive("btc", 1, reason=None), "needs a reason in words"),  # type: ignore[arg-type]
        (lambda: registry.rollback("btc", reason=None), "needs a reason in words"),  # type: ignore[arg-type]
    ]
    for call, said in refused:
        with pytest.raises(RegistryError, match=said):
            call()
