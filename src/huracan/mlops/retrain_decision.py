"""``RetrainDecision``: what a policy answered, with its reason and what it rests on."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, NoReturn

__all__ = ["Decision", "RetrainDecision"]


class Decision(StrEnum):
    """What is to be done: nothing, nothing yet, train the champion further, train anew."""

    KEEP = "keep"
    WAIT = "wait"
    RETRAIN_WARM = "retrain_warm"
    RETRAIN_FULL = "retrain_full"


@dataclass(frozen=True)
class RetrainDecision:
    """What :class:`huracan.mlops.RetrainPolicy` answered.

    Attributes
    ----------
    decision : what to do. reason : why, in a sentence.
    evidence : ids of what it rests on. blocked_by : what a retraining waits for: ``challenger``, ``persistence``,
        ``cool_down``, ``new_rows``, ``budget``, ``artifact`` (a champion's files are not on this host).
    train_from : rows before this time are of another market and are left out; ``None`` to use all. next_look : earliest tick
        at which the answer can be another. Both milliseconds UTC.
    """

    decision: Decision
    reason: str
    evidence: tuple[str, ...] = ()
    blocked_by: tuple[str, ...] = ()
    train_from: int | None = None
    next_look: int = 0

    @property
    def retrains(self) -> bool:
        """Whether a retraining is asked for now."""
        return self.decision in (Decision.RETRAIN_WARM, Decision.RETRAIN_FULL)

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values."""
        plain = {one.name: getattr(self, one.name) for one in fields(self)}
        return {**plain, "decision": str(self.decision), "evidence": list(self.evidence), "blocked_by": list(self.blocked_by)}

    def __bool__(self) -> NoReturn:
        raise TypeError(f"a decision on retraining is no bare yes or no; read .decision ('{self.decision}') and .reason.")
