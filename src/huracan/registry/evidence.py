"""Which models suit a regime, and on what evidence."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from huracan.errors import RegistryError
from huracan.model_info import MarketRegime, RegimeSkill
from huracan.registry.records import ModelVersion

__all__ = ["Evidence", "RegimeCandidate", "rank_for_regime"]


class Evidence(StrEnum):
    """How it is known that a model suits a regime, from the weakest to the strongest."""

    DECLARED = "declared"
    ESTIMATED = "estimated"
    SIGNIFICANT = "significant"


@dataclass(frozen=True)
class RegimeCandidate:
    """A model that may suit a regime.

    ``evidence`` says how it is known: ``declared`` (its card gives ``reason``, nobody measured it or the measured
    skill is not positive), ``estimated`` (skill over the baseline out of fold is positive), ``significant``
    (and its p-value, adjusted for everything that was looked at, is at most the level asked).
    """

    name: str
    version: int
    learner: str
    evidence: Evidence
    measured: RegimeSkill | None
    reason: str | None


def rank_for_regime(
    versions: Iterable[ModelVersion], regime: MarketRegime | str, *, evidence: Evidence | str, alpha: float
) -> list[RegimeCandidate]:
    """Models with at least ``evidence`` for ``regime``: measured ones by skill, best first, then those only declared.

    Raises
    ------
    RegistryError : the regime or the kind of evidence does not exist.
    """
    try:
        wanted = MarketRegime(regime)
    except ValueError as error:
        raise RegistryError(f"regime '{regime}' does not exist; expected one of {', '.join(MarketRegime)}.") from error
    try:
        least = Evidence(evidence)
    except ValueError as error:
        raise RegistryError(f"evidence '{evidence}' does not exist; expected one of {', '.join(Evidence)}.") from error
    order = list(Evidence)
    found = [candidate for version in versions if (candidate := _judge(version, wanted, alpha)) is not None]
    kept = [candidate for candidate in found if order.index(candidate.evidence) >= order.index(least)]
    return sorted(kept, key=_best_first)


def _judge(version: ModelVersion, regime: MarketRegime, alpha: float) -> RegimeCandidate | None:
    measured = next((skill for skill in version.info.regime_evidence if skill.regime is regime), None)
    reason = version.info.market_regimes.get(regime)
    if measured is not None and measured.skill > 0:
        level = Evidence.SIGNIFICANT if measured.p_adjusted <= alpha else Evidence.ESTIMATED
    elif reason is not None:
        level = Evidence.DECLARED
    else:
        return None
    return RegimeCandidate(version.name, version.version, version.info.name, level, measured, reason)


def _best_first(candidate: RegimeCandidate) -> tuple[float, str, int]:
    skill = candidate.measured.skill if candidate.measured is not None else 0.0
    return (-skill, candidate.name, -candidate.version)
