"""Ten thousand versions: how long an alias, the models of a regime and a page of a list take then."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.registry_speed.against_mlflow import registration, stored_with
from benchmarks.ridge_card import CARD
from huracan.model_info import MarketRegime, RegimeSkill
from huracan.model_registry import ModelRegistry
from huracan.registry.registration import Registration

__all__ = ["NAMES", "VERSIONS", "Scale", "milliseconds"]

VERSIONS, NAMES = 10_000, 100
Scale = dict[str, tuple[float, float]]
"""What was asked -> median and 99th percentile, in milliseconds."""
_LEARNERS = 10
_TIMES = 400


def milliseconds(url: str, folder: Path) -> Scale:
    """Median and 99th percentile of 400 calls each, in milliseconds, after the answers were checked.

    Raises
    ------
    AssertionError : an answer is not the one that the rows imply.
    """
    registry = ModelRegistry(url, artifacts=folder / "artifacts")
    try:
        skills = _fill(registry)
        _check(registry, skills)
        page: dict[str, Any] = {"before": None}

        def next_page(_count: int) -> None:
            found = registry.find(limit=50, before=page["before"])
            page["before"] = found[-1].id if len(found) == 50 else None

        return {
            "alias get": _timed(lambda count: registry.get(f"model{count % NAMES}")),
            "models_for_regime": _timed(lambda _count: registry.models_for_regime("trending")),
            "a list page of 50": _timed(next_page),
        }
    finally:
        registry.database.close()


def _fill(registry: ModelRegistry) -> dict[tuple[str, int], float]:
    """Register them; the skill in trending markets of the newest version of each learner of each name."""
    rng = np.random.default_rng(8)
    stored = stored_with(registry)
    templates = [registration({"k": str(learner)}, _card(f"learner{learner}", 0.0)) for learner in range(_LEARNERS)]
    newest: dict[tuple[str, str], tuple[int, float]] = {}

    def fill(connection: Any) -> None:
        for count in range(VERSIONS):
            name, template, skill = f"model{count % NAMES}", templates[count // NAMES % _LEARNERS], float(rng.normal())
            info = _card(str(template.values["info"]["name"]), skill).model_dump(mode="json")
            made = Registration(name, {}, {**template.values, "info": info}, template.tags)
            newest[name, info["name"]] = made.make_known(connection, stored, None), skill

    registry.database.run(fill)
    for number in range(NAMES):
        registry.promote(f"model{number}", 1 + number, reason="first")
    return {(name, version): skill for (name, _), (version, skill) in newest.items()}


def _card(learner: str, skill: float) -> Any:
    known = {"ci_low": -1.0, "ci_high": 1.0, "p_adjusted": 0.01, "n_effective": 50.0, "n_rows": 90, "n_spells": 9}
    measured = (
        RegimeSkill(regime=MarketRegime.TRENDING, skill=skill, **known),  # type: ignore[arg-type]
        RegimeSkill(regime=MarketRegime.RANGING, skill=-skill, **known),  # type: ignore[arg-type]
    )
    declared = {MarketRegime.VOLATILE: "it was made for that"}
    return CARD.model_copy(update={"name": learner, "regime_evidence": measured, "market_regimes": declared})


def _check(registry: ModelRegistry, skills: dict[tuple[str, int], float]) -> None:
    found = registry.models_for_regime("trending")
    expected = sorted((key for key, skill in skills.items() if skill > 0), key=lambda key: -skills[key])
    assert [(one.name, one.version) for one in found] == expected, "the models of a regime are not the best first"
    assert registry.get("model7").version == 8, "an alias points elsewhere"
    ids, before = [], None
    while found_page := registry.find(limit=1_000, before=before):
        ids += [one.id for one in found_page]
        before = ids[-1]
    assert len(set(ids)) == VERSIONS, f"pages list {len(set(ids))} versions"
    assert ids == sorted(ids, reverse=True), "pages are not newest first"


def _timed(call: Callable[[int], object]) -> tuple[float, float]:
    seconds = []
    for count in range(_TIMES):
        began = perf_counter()
        call(count)
        seconds.append(perf_counter() - began)
    median, late = 1e3 * np.percentile(seconds, [50, 99])
    return float(median), float(late)
