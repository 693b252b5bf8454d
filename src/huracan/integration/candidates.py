"""What the main job trains and judges: the profile's learners, and the ensembles that are made of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from huracan.catalogue import build_model, check_learners
from huracan.config import HuracanConfig, LearnerConfig
from huracan.dataset import TrainingSet
from huracan.errors import ConfigError, ModelError
from huracan.model_info import ModelInfo

__all__ = ["Candidate", "LearnerCandidate", "candidates_of", "check_candidates"]


class Candidate(Protocol):
    """Something with a name that learns from rows and then scores others.

    Attributes
    ----------
    max_train_rows : the most recent rows a fit uses; None for all, and where each member has a cap of its own.
    """

    @property
    def name(self) -> str: ...

    @property
    def max_train_rows(self) -> int | None: ...

    def fit(self, rows: TrainingSet, *, seed: int) -> Any:
        """A fitted model, which the registry can store; where some of it could not be fitted, ``left_out_`` says what and why.

        Raises
        ------
        ModelError, NotEnoughData : it cannot be fitted on these rows.
        """

    def card(self) -> ModelInfo:
        """What it is, before it has seen data."""


@dataclass(frozen=True)
class LearnerCandidate:
    """A learner of the catalogue, with the settings of a profile."""

    name: str
    settings: LearnerConfig

    @property
    def max_train_rows(self) -> int | None:
        return self.settings.max_train_rows

    def unfitted(self, seed: int = 0, *, task: str | None = None) -> Any:
        """The learner as it is configured; ``task`` instead of the configured one."""
        settings = self.settings
        return build_model(
            self.name,
            task=task or settings.task,  # type: ignore[arg-type]
            random_state=seed,
            max_train_rows=settings.max_train_rows,
            **settings.params,
        )

    def fit(self, rows: TrainingSet, *, seed: int) -> Any:
        return self.unfitted(seed).fit(rows)

    def card(self) -> ModelInfo:
        return self.unfitted().model_info()


def candidates_of(config: HuracanConfig) -> dict[str, Candidate]:
    """Every candidate of a run by name: the learners of the profile in its order, then the configured ensembles."""
    learners: dict[str, Candidate] = {name: LearnerCandidate(name, s) for name, s in config.active_profile.learners.items()}
    if not config.ensemble.methods:
        return learners
    from huracan.integration.ensemble_candidates import ensembles_of

    ensembles: Mapping[str, Candidate] = ensembles_of(config)
    taken = next((name for name in ensembles if name in learners), None)
    if taken is not None:
        raise ConfigError(
            f"profiles.{config.profile}.learners.{taken}: '{taken}' is the name of an ensemble; another was expected."
        )
    return {**learners, **ensembles}


def check_candidates(config: HuracanConfig) -> None:
    """Refuse learners and ensembles that cannot be, before anything is computed.

    Raises
    ------
    UnknownName, ModelError, ConfigError : which key, and what was expected.
    """
    check_learners(config.active_profile.learners, where=f"profiles.{config.profile}.learners")
    try:
        candidates_of(config)
    except ModelError as error:
        raise ConfigError(f"ensemble: {error}") from None
