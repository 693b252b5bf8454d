"""Which models suit a regime, and on what evidence."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from huracan.errors import RegistryError
from huracan.model_info import RegimeSkill

__all__ = ["Evidence", "RegimeCandidate", "evidence_named"]


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


def evidence_named(evidence: Evidence | str) -> Evidence:
    """The kind of evidence of that name; a :class:`RegistryError` lists those there are."""
    try:
        return Evidence(evidence)
    except ValueError as error:
        raise RegistryError(f"evidence '{evidence}' does not exist; expected one of {', '.join(Evidence)}.") from error
