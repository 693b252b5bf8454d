"""What an evaluation says on the card of an agent that is trained on the same data, under the same rules, for as long."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from huracan.logs import logger
from huracan.model_info import ModelInfo, RegimeSkill

__all__ = ["AgentEvidence", "evaluations_beside", "evidence_for"]

_FILE = "evaluation.json"
_FIGURES = ("mean_bps", "mean_low", "mean_high", "score", "sharpe", "max_drawdown", "worst_drawdown", "turnover", "exposure")
_BASIS_POINTS = 10_000.0


@dataclass(frozen=True)
class AgentEvidence:
    """What was measured walk-forward: evidence about agents of this making, not about one agent, and no claim.

    Attributes
    ----------
    sentence : the verdict. regimes : in which states of the market, in net log return a bar. figures : of the agent.
    folder : of the evaluation. tried : evaluations of the same candles that its p-values allow for.
    """

    sentence: str
    regimes: tuple[RegimeSkill, ...]
    figures: dict[str, float]
    folder: Path
    tried: int = 1

    @property
    def said(self) -> tuple[str, ...]:
        """A sentence a regime, with interval and number of bars."""
        return tuple(
            f"{skill.regime}: {skill.skill * _BASIS_POINTS:+.2f} basis points a bar net of costs on {skill.n_rows:,} bars "
            f"(interval {skill.ci_low * _BASIS_POINTS:+.2f} to {skill.ci_high * _BASIS_POINTS:+.2f}, adjusted p "
            f"{skill.p_adjusted:.2g})"
            for skill in self.regimes
        )

    def on(self, card: ModelInfo) -> ModelInfo:
        """The card with this on it."""
        return card.model_copy(update={"regime_evidence": self.regimes, "performance_metrics": self.figures})

    def told(self) -> dict[str, Any]:
        """Plain values, to be kept beside the model."""
        return {"sentence": self.sentence, "regimes": list(self.said), "evaluation": self.folder.name, "tried": self.tried}


def evidence_for(evaluations: Path, training: str) -> AgentEvidence | None:
    """The newest evaluation in a folder that speaks of this training, or None; a damaged one is passed over, and logged.

    P-values of regimes allow for the evaluations of the same candles that were made since, too: who trains has chosen.
    """
    newest = sorted(evaluations.glob(f"*/{_FILE}"), key=lambda file: file.stat().st_mtime, reverse=True)
    for file in newest:
        try:
            told = json.loads(file.read_bytes())
            if told["training"] != training:
                continue
            own = next(row for row in told["summary"] if row["strategy"] == "agent")
            figures = {name: float(own[name]) for name in _FIGURES if own[name] is not None}
            measured = [RegimeSkill.model_validate(skill) for skill in told["regime_evidence"]]
            then, now = int(told["tried"]), 1 + evaluations_beside(file.parent, told["data_hash"])
            sentence = told["verdict"]["sentence"] + _since(now - then)
            regimes = tuple(_looked_at_again(skill, then, max(then, now)) for skill in measured)
            return AgentEvidence(sentence, regimes, figures, file.parent, max(then, now))
        except (OSError, ValueError, KeyError, TypeError, StopIteration, ValidationError) as error:
            logger().warning("an evaluation is damaged and passed over", file=str(file), error=str(error))
    return None


def evaluations_beside(folder: Path, data_hash: str) -> int:
    """How many finished evaluations beside this one are of the same candles; a damaged one is passed over, and logged."""
    found = 0
    for file in folder.parent.glob(f"*/{_FILE}"):
        if file.parent == folder:
            continue
        try:
            found += json.loads(file.read_bytes())["data_hash"] == data_hash
        except (OSError, ValueError, KeyError, TypeError) as error:
            logger().warning("an evaluation is damaged and is not counted", file=str(file), error=str(error))
    return found


def _looked_at_again(skill: RegimeSkill, then: int, now: int) -> RegimeSkill:
    """With a p-value that allows for ``now`` evaluations, by Bonferroni, where it allowed for ``then``."""
    return skill.model_copy(update={"p_adjusted": min(1.0, skill.p_adjusted * now / then)})


def _since(more: int) -> str:
    if more <= 0:
        return ""
    times = "once" if more == 1 else f"{more} times"
    return f" Since then the same candles were evaluated {times} more, of which its p-value knows nothing."
