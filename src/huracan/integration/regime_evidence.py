"""Which model suits which regime: what was measured out of fold, and what of it is more than luck."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from huracan.dataset import REGIME_ORDER, TrainingSet
from huracan.errors import DataError, UnknownName, nearest_name
from huracan.model_info import MarketRegime, ModelInfo, RegimeSkill
from huracan.registry.evidence import Evidence
from huracan.statistics import adjust_p_values, average_by_time, ewc_t_test

__all__ = [
    "FEWEST_MOMENTS",
    "RegimeModel",
    "UnknownRegime",
    "evidence_of",
    "models_for_regime",
    "regime_named",
    "skills_within_regimes",
    "skills_within_symbols",
]

K = TypeVar("K")

FEWEST_MOMENTS = 100
"""Fewer say nothing of a mean."""


class UnknownRegime(UnknownName, ValueError):
    """A regime that does not exist; the message offers the nearest that does."""


@dataclass(frozen=True)
class RegimeModel:
    """A learner or ensemble that may suit a regime, and how that is known.

    Attributes
    ----------
    name : in the catalogue, or of an ensemble of the latest run.
    evidence : ``significant`` where its skill over the baseline within the regime is positive and its p-value, adjusted for
        every learner and regime looked at together, is at most the level asked; ``estimated`` where the skill is positive;
        ``declared`` where nobody measured it and its card gives a reason.
    measured : the skill, or None. reason : of the card, or None.
    """

    name: str
    evidence: Evidence
    measured: RegimeSkill | None
    reason: str | None


def skills_within_regimes(payoffs: Mapping[str, NDArray[np.float64]], rows: TrainingSet) -> dict[str, tuple[RegimeSkill, ...]]:
    """Skill over the baseline within each regime, with p-values adjusted over every pair of learner and regime (Holm).

    Parameters
    ----------
    payoffs : learner -> payoff (n,) of each row, 0 for one as good as the baseline. rows : those rows, with their regimes.

    Returns
    -------
    learner -> skills. Regimes seen at fewer than 100 moments are left out: nothing can be said of them. Symbols of a moment are
    averaged; a regime's moments are joined in time, and their mean is tested as one series that may be autocorrelated. A
    ``RegimeSkill.p_adjusted`` is two-sided.

    Examples
    --------
    >>> from dataclasses import replace
    >>> rng = np.random.default_rng(0)
    >>> rows = TrainingSet.from_arrays(rng.standard_normal((2_000, 1)), rng.standard_normal(2_000))
    >>> rows = replace(rows, regime_code=(np.arange(2_000) // 250 % 2).astype(np.int8))
    >>> made = skills_within_regimes({"m": rng.standard_normal(2_000) + (rows.regime_code == 1)}, rows)["m"]
    >>> [(str(skill.regime), skill.p_adjusted < 0.05, skill.n_spells) for skill in made]
    [('trending', False, 4), ('ranging', True, 4)]
    """
    return _adjusted_together({name: (payoff, rows) for name, payoff in payoffs.items()})


def skills_within_symbols(
    payoffs: Mapping[str, NDArray[np.float64]], rows: TrainingSet
) -> dict[tuple[str, str], tuple[RegimeSkill, ...]]:
    """As :func:`skills_within_regimes` for each symbol alone: ``(learner, symbol)`` -> skills.

    P-values are adjusted over every learner, symbol and regime together (Holm), so that a symbol which looks good only because
    it is one of many does not pass.
    """
    parts = {}
    for code, symbol in enumerate(rows.symbols):
        at = rows.symbol_code == code
        mine = rows.take(at)
        parts.update({(name, symbol): (payoff[at], mine) for name, payoff in payoffs.items()})
    return _adjusted_together(parts)


def _adjusted_together(parts: Mapping[K, tuple[NDArray[np.float64], TrainingSet]]) -> dict[K, tuple[RegimeSkill, ...]]:
    found = [
        (key, skill)
        for key, (payoff, rows) in parts.items()
        for code in range(len(REGIME_ORDER))
        if (skill := _skill_within(payoff, rows, code)) is not None
    ]
    adjusted = adjust_p_values([skill.p_adjusted for _, skill in found], method="holm") if found else ()
    skills: dict[K, list[RegimeSkill]] = {key: [] for key in parts}
    for (key, skill), p in zip(found, adjusted):
        skills[key].append(skill.model_copy(update={"p_adjusted": float(p)}))
    return {key: tuple(entries) for key, entries in skills.items()}


def regime_named(regime: MarketRegime | str) -> MarketRegime:
    """The regime of this name.

    Raises
    ------
    UnknownRegime : there is none; the message offers the nearest.
    """
    try:
        return MarketRegime(regime)
    except ValueError:
        raise UnknownRegime(str(nearest_name(str(regime), list(MarketRegime), kind="regime"))) from None


def evidence_of(info: ModelInfo, regime: MarketRegime, *, alpha: float = 0.05) -> RegimeModel | None:
    """What a card says of a regime; None where it declares nothing, or what was measured is no skill.

    What was measured and is not positive speaks against what was declared.
    """
    measured = next((skill for skill in info.regime_evidence if skill.regime is regime), None)
    reason = info.market_regimes.get(regime)
    if measured is None:
        return None if reason is None else RegimeModel(info.name, Evidence.DECLARED, None, reason)
    if measured.skill <= 0:
        return None
    level = Evidence.SIGNIFICANT if measured.p_adjusted <= alpha else Evidence.ESTIMATED
    return RegimeModel(info.name, level, measured, reason)


def models_for_regime(
    cards: Mapping[str, ModelInfo], regime: MarketRegime | str, *, evidence: Evidence | str, alpha: float = 0.05
) -> list[RegimeModel]:
    """Models with at least ``evidence`` for a regime: measured ones by skill, best first, then those only declared.

    Raises
    ------
    UnknownRegime, UnknownName : no such regime or kind of evidence.
    """
    wanted, order = regime_named(regime), list(Evidence)
    if evidence not in order:
        raise nearest_name(str(evidence), order, kind="evidence")
    found = []
    for name, info in cards.items():
        known = evidence_of(info, wanted, alpha=alpha)
        if known is not None and order.index(known.evidence) >= order.index(Evidence(evidence)):
            found.append(RegimeModel(name, known.evidence, known.measured, known.reason))
    return sorted(found, key=lambda one: -one.measured.skill if one.measured is not None else 0.0)


def told(known: RegimeModel) -> dict[str, Any]:
    """Plain JSON values of what is known of one regime."""
    measured = None if known.measured is None else known.measured.model_dump(mode="json")
    return {"evidence": str(known.evidence), "measured": measured, "reason": known.reason}


def _skill_within(payoff: NDArray[np.float64], rows: TrainingSet, code: int) -> RegimeSkill | None:
    inside = rows.regime_code == code
    if not inside.any() or np.ptp(payoff[inside]) == 0.0:
        return None
    moments, mean = average_by_time(payoff[inside], rows.decision_time[inside])
    if len(moments) < FEWEST_MOMENTS:
        return None
    facts = {"regime": REGIME_ORDER[code], "n_rows": int(inside.sum()), "n_spells": _spells(inside, rows.symbol_code)}
    try:
        test = ewc_t_test(mean)
    except DataError:  # it does not vary
        nothing = {"ci_low": -np.inf, "ci_high": np.inf, "p_adjusted": 1.0, "n_effective": 0.0}
        return RegimeSkill(skill=float(np.mean(mean)), **nothing, **facts)
    interval = {"ci_low": test.ci_low, "ci_high": test.ci_high, "p_adjusted": test.p_value, "n_effective": test.n_effective}
    return RegimeSkill(skill=test.mean, **interval, **facts)


def _spells(inside: NDArray[np.bool_], symbol_code: NDArray[np.int32]) -> int:
    """Separate stretches of each symbol's rows.

    >>> _spells(np.array([1, 1, 0, 0, 1, 1], bool), np.array([0, 1, 0, 1, 0, 1], np.int32))
    4
    """
    by_symbol = np.argsort(symbol_code, kind="stable")
    of, now = symbol_code[by_symbol], inside[by_symbol]
    goes_on = np.append(False, now[:-1] & (of[1:] == of[:-1]))
    return int(np.sum(now & ~goes_on))
