"""What a model is, what it needs and when it is worth using."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["FeatureSignature", "MarketRegime", "ModelInfo", "RegimeSkill", "Task"]

Task = Literal["regression", "classification", "rule", "generation", "representation", "control"]


class MarketRegime(StrEnum):
    """The four states of a market that models are judged in.

    >>> MarketRegime("trending") is MarketRegime.TRENDING
    True
    """

    TRENDING = "trending"
    RANGING = "ranging"
    VOLATILE = "volatile"
    ILLIQUID = "illiquid"


class RegimeSkill(BaseModel):
    """Skill over the baseline, measured out of fold, within one regime.

    ``skill`` is in the unit of the comparison that measured it; ``p_adjusted`` is corrected for every
    (model, regime) pair that was looked at in the same run. ``n_spells`` counts the separate stretches of time that the rows
    come from; 0 where nobody counted.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    regime: MarketRegime
    skill: float
    ci_low: float
    ci_high: float
    p_adjusted: float
    n_effective: float
    n_rows: int
    n_spells: int = 0


class FeatureSignature(BaseModel):
    """The columns a fitted model was trained on, in order, with the recipe that makes them.

    ``low`` and ``high`` are the smallest and largest value of each column in training, empty where they are not known;
    ``window`` is how many rows up to its own a prediction reads; ``bar_length_ms`` the length of the bars they are made of.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    columns: tuple[str, ...]
    recipe_hash: str | None = None
    dtype: str = "float32"
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    window: int = 1
    bar_length_ms: int | None = None


class ModelInfo(BaseModel):
    """The card of one learner: filled by the catalogue, completed by what a run measured.

    Parameters
    ----------
    name : the name in the catalogue.
    purpose : one sentence, what a trader would use it for.
    ideal_dataset_shape : rows and columns at which it does well, in words, e.g. ``"(5_000+ rows, 10-200 features)"``.
    feature_requirements : what the inputs must be (scaled, no nulls, windows, ...).
    output_schema : name of each output -> what it means, with unit.
    task : what it is fitted for.
    market_regimes : regime -> reason why it should suit; a declaration, not evidence.
    regime_evidence : what was measured out of fold, once a run measured it.
    performance_metrics : metric name -> value, out of fold.
    hyperparameters : the values it was built with.

    Examples
    --------
    >>> info = ModelInfo(name="ridge", purpose="linear forecast", ideal_dataset_shape="(1_000+ rows, 5-500 features)",
    ...                  feature_requirements=("numeric", "no nulls"), output_schema={"prediction": "forecast of the label"},
    ...                  task="regression", market_regimes={"trending": "momentum is close to linear"})
    >>> info.suits("trending"), info.suits("illiquid")
    (True, False)
    """

    model_config = ConfigDict(extra="forbid")

    name: str
    purpose: str
    ideal_dataset_shape: str
    feature_requirements: tuple[str, ...]
    output_schema: Mapping[str, str]
    task: Task
    market_regimes: Mapping[MarketRegime, str] = Field(default_factory=dict)
    regime_evidence: tuple[RegimeSkill, ...] = ()
    performance_metrics: Mapping[str, float] = Field(default_factory=dict)
    hyperparameters: Mapping[str, Any] = Field(default_factory=dict)
    max_train_rows: int | None = None
    signature: FeatureSignature | None = None

    def suits(self, regime: MarketRegime | str) -> bool:
        """Whether the model is declared for ``regime``."""
        return MarketRegime(regime) in self.market_regimes
