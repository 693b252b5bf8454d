"""With one model a symbol: what was measured of each model alone, out of fold, and what of it is more than luck."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from huracan.accounting import BacktestResult
from huracan.integration.evidence import Evidence
from huracan.integration.judging import Skill, skill_of
from huracan.integration.regime_evidence import FEWEST_MOMENTS, skills_within_symbols
from huracan.model_info import RegimeSkill
from huracan.statistics import adjust_p_values
from huracan.validation.metrics import rank_information_coefficient

__all__ = ["SymbolEvidence", "evidence_by_symbol"]

_OF_ITS_ACCOUNT = {"total_return": "net_return", "sharpe": "net_sharpe", "max_drawdown": "max_drawdown"}
_TOGETHER = "whether it deserves money was judged of all symbols together, as was the hold-out"


@dataclass(frozen=True)
class SymbolEvidence:
    """What was measured of the model of one symbol.

    Attributes
    ----------
    metrics : out of fold, those of a learner's card. Empty where the symbol was judged at fewer than 100 moments.
    regimes : skill within each regime. sentence : how sure its skill is, or why nothing was measured.
    expected : what its own figures promise, see :func:`~huracan.integration.expectations.live_expectation`.
    """

    metrics: Mapping[str, float] = field(default_factory=dict)
    regimes: tuple[RegimeSkill, ...] = ()
    sentence: str = f"nothing was measured of this symbol alone; {_TOGETHER}."
    expected: Mapping[str, Any] = field(default_factory=dict)


def evidence_by_symbol(evidence: Evidence, account: BacktestResult) -> dict[str, SymbolEvidence]:
    """Symbol -> what was measured of the crowned learner's model of it; empty where none is crowned.

    P-values are adjusted over every learner and symbol of the run, those by regime over every learner, symbol and regime
    (Holm), and all intervals of the skills hold together at 95 %: the learner was chosen for looking best, and of many symbols
    some look good by luck.

    Parameters
    ----------
    account : of the crowned learner's positions out of fold.
    """
    if evidence.champion is None:
        return {}
    rows = evidence.plan.times.take(evidence.plan.judged)
    payoffs = {name: evidence.judged[name].payoff for name in evidence.skills}
    at = {symbol: np.flatnonzero(rows.symbol_code == code) for code, symbol in enumerate(rows.symbols)}
    pairs = [(name, symbol) for name in payoffs for symbol in at if len(at[symbol]) >= FEWEST_MOMENTS]
    confidence = 1.0 - 0.05 / max(1, len(pairs))
    skills = {
        (name, symbol): skill_of(payoffs[name][at[symbol]], rows.decision_time[at[symbol]], confidence=confidence)
        for name, symbol in pairs
    }
    p_values = [skill.p_value for skill in skills.values()]
    adjusted = dict(zip(skills, adjust_p_values(p_values, method="holm").tolist() if p_values else ()))
    regimes = skills_within_symbols(payoffs, rows)
    accounts = {row["symbol"]: row for row in account.per_symbol.iter_rows(named=True)}
    name, found = evidence.champion, {}
    for symbol, mine in at.items():
        if (name, symbol) not in skills:
            said = f"{symbol} was judged at {len(mine)} moments, and {FEWEST_MOMENTS} are needed to say anything of it alone"
            found[symbol] = SymbolEvidence(sentence=f"{said}; {_TOGETHER}.")
            continue
        skill, p_adjusted = skills[name, symbol], adjusted[name, symbol]
        judged = evidence.judged[name]
        label = rows.y[mine]
        metrics = {
            "rank_ic": rank_information_coefficient(judged.z[mine], label),
            "skill": skill.mean,
            "ci_low": skill.ci_low,
            "ci_high": skill.ci_high,
            "p_adjusted": p_adjusted,
            "accuracy": float(np.mean((judged.probability[mine] > 0.5) == (label > 0))),
            **{ours: accounts[symbol][theirs] for theirs, ours in _OF_ITS_ACCOUNT.items() if symbol in accounts},
        }
        finite = {key: float(value) for key, value in metrics.items() if value is not None and math.isfinite(value)}
        sentence = _said(symbol, skill, p_adjusted, evidence.alpha, len(pairs))
        found[symbol] = SymbolEvidence(finite, regimes[name, symbol], sentence)
    return found


def _said(symbol: str, skill: Skill, p_adjusted: float, alpha: float, n_pairs: int) -> str:
    shown = "is shown to have skill" if skill.mean > 0.0 and p_adjusted <= alpha else "is not shown to have skill"
    return (
        f"of {symbol} alone it {shown}: mean payoff {skill.mean:+.4f} a bar, p {p_adjusted:.3g} adjusted for {n_pairs} pairs "
        f"of learner and symbol; {_TOGETHER}."
    )
