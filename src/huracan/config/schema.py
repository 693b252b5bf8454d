"""Every setting of Huracan: typed, bounded, explained, with a default.

The field descriptions are the documentation: ``docs/configuration.md`` and the comments of
``config/ml_framework.yaml`` are generated from them. What learns, and what watches the champion, have files of their own.
"""

from __future__ import annotations

import difflib
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from huracan.config.feedback_schema import DriftConfig, MechanicConfig, RetrainConfig
from huracan.config.learning_schema import (
    PROFILES,
    AutoMLConfig,
    EnsembleConfig,
    ProfileConfig,
    RLConfig,
    TrainingConfig,
)
from huracan.config.section import BasisPoints, Section, UserPath, from_the_users_home

__all__ = [
    "CleaningConfig",
    "ComparisonConfig",
    "CostConfig",
    "DataConfig",
    "FeatureConfig",
    "HuracanConfig",
    "LabelConfig",
    "LoggingConfig",
    "PolicyConfig",
    "RegimeConfig",
    "RegistryConfig",
    "RetentionConfig",
    "ServingConfig",
    "SimulationConfig",
    "ValidationConfig",
]


class SimulationConfig(Section):
    """The simulated market that a run without candles uses."""

    n_symbols: int = Field(5, ge=1, le=400, description="Number of correlated symbols.")
    n_bars: int = Field(5_000, ge=200, le=1_000_000, description="Bars per symbol.")
    bar: Literal["1m", "5m", "15m", "1h", "4h", "1d"] = Field("1h", description="Length of a bar.")
    signal_strength: float = Field(
        1.0, ge=0.0, le=3.0, description="Strength of the planted edge; 0 is a market that nothing predicts."
    )
    gap_share: float = Field(0.0, ge=0.0, le=0.2, description="Share of bars left out, so that there are gaps.")


class DataConfig(Section):
    """Where candles come from."""

    source: UserPath | None = Field(None, description="File or folder of candles; none means the simulated market.")
    symbols: tuple[str, ...] = Field((), description="Symbols to keep; empty keeps all.")
    simulation: SimulationConfig = Field(default_factory=SimulationConfig, description="The simulated market.")


class CleaningConfig(Section):
    """What is done with flaws of candles; every change is listed, nothing is repaired unless asked for."""

    unsorted: Literal["refuse", "sort"] = Field("refuse", description="Bars out of order: refuse them, or sort them.")
    duplicates: Literal["refuse", "exact", "first", "last"] = Field(
        "refuse",
        description="Bars that stand twice: refuse them, keep one of those that agree in every value, or keep the first or "
        "last of those that contradict each other.",
    )
    invalid: Literal["refuse", "drop"] = Field(
        "refuse", description="Bars no market makes (price not positive, high below low): refuse them, or drop them."
    )
    outliers: Literal["keep", "flag", "clip", "winsorise", "drop"] = Field(
        "flag",
        description="Returns and shadows outside their usual range: do not look, count them, cut shadows to the range of the "
        "window's deviation or of its quantiles, or drop the bars.",
    )
    offline: bool = Field(
        False, description="Let clip and winsorise repair closes by what the next bar shows; such a run looks ahead."
    )
    outlier_window: int = Field(240, ge=20, le=1_000_000, description="Earlier returns that a bar is compared with.")
    outlier_width: float = Field(10.0, ge=1.0, le=1_000.0, description="Half the usual range, in robust standard deviations.")
    outlier_floor: float = Field(1e-4, ge=0.0, le=1.0, description="Least standard deviation, as a log return.")
    outlier_quantiles: tuple[float, float] = Field((0.005, 0.995), description="The usual range of winsorise.")
    gaps: Literal["split", "forward_fill", "drop"] = Field(
        "split",
        description="Missing bars: a new segment begins, the first of a gap are filled with flat bars (never traded or "
        "trained on), or segments that are too short are dropped.",
    )
    fill_limit: int = Field(5, ge=1, le=100_000, description="Bars of a gap that forward_fill fills.")
    min_segment: int = Field(2, ge=1, le=1_000_000, description="Shortest segment that drop keeps.")


class FeatureConfig(Section):
    """Which features are computed."""

    recipe: str = Field(
        "default", description="'default', 'minimal', 'alpha158', or the path of a recipe's JSON file (ours or the Engine's)."
    )

    @field_validator("recipe")
    @classmethod
    def _is_foundfrom_the_users_home(cls, value: str) -> str:
        return str(from_the_users_home(Path(value))) if value.startswith("~") else value


class LabelConfig(Section):
    """What is predicted."""

    kind: Literal["forward_return", "triple_barrier"] = Field(
        "forward_return",
        description="Return from the next open over the horizon, or which of three barriers is touched first.",
    )
    horizon: int = Field(1, ge=1, le=10_000, description="Bars from entry to exit (to the vertical barrier).")
    volatility_scaled: bool = Field(
        True, description="Divide the return by its causal volatility over the horizon; forward_return only."
    )
    cost_bps: BasisPoints = Field(
        0.0, description="Shrink the label towards zero by this round-trip cost, in basis points; forward_return only."
    )
    volatility_span: int = Field(100, ge=5, le=10_000, description="Span of the exponentially weighted volatility, in bars.")
    take_profit: float = Field(
        2.0, gt=0.0, le=100.0, description="Upper barrier, in units of volatility over the horizon; triple_barrier only."
    )
    stop_loss: float = Field(
        2.0, gt=0.0, le=100.0, description="Lower barrier, in units of volatility over the horizon; triple_barrier only."
    )
    weights: Literal["uniform", "uniqueness"] = Field(
        "uniform", description="Weigh rows equally, or by how little their labels overlap with others."
    )


class RegimeConfig(Section):
    """How bars are sorted into trending, ranging, volatile and illiquid."""

    trend_window: int | None = Field(
        None, ge=5, le=100_000, description="Bars over which trend strength is measured; none fits it to the bar length."
    )
    volatility_window: int | None = Field(
        None,
        ge=5,
        le=100_000,
        description="Bars over which volatility and liquidity are measured; none fits it to the bar length.",
    )
    lookback: int | None = Field(
        None,
        ge=50,
        le=1_000_000,
        description="Bars of the symbol's own past that ranks refer to; none fits it to the bar length.",
    )
    minimum_duration: int | None = Field(
        None,
        ge=1,
        le=10_000,
        description="Bars a new regime must persist before it is believed; none fits it to the bar length.",
    )


class ValidationConfig(Section):
    """How time is split."""

    embargo_bars: int = Field(
        5, ge=0, le=100_000, description="Bars left out between training and test, beyond the labels' own."
    )
    hold_out_share: float = Field(
        0.15, ge=0.0, lt=0.6, description="Share of the time span, at its end, that is locked and read once, by the report."
    )
    min_train_share: float = Field(
        0.25, gt=0.0, lt=0.9, description="Share of the development span that only trains, before the first test fold."
    )


class CostConfig(Section):
    """What trading costs, per side, in basis points of the traded value."""

    fee_bps: BasisPoints = Field(4.0, description="Exchange fee.")
    half_spread_bps: BasisPoints = Field(0.5, description="Half the bid-ask spread.")
    slippage_bps: BasisPoints = Field(0.5, description="Price moved against the order.")
    borrow_bps_per_bar: BasisPoints = Field(0.0, description="Paid on short positions, each bar.")
    lot_size: float = Field(0.0, ge=0.0, description="Smallest tradeable quantity, in coins; 0 means any.")
    minimum_notional: float = Field(0.0, ge=0.0, description="Smallest order, in quote currency; 0 means any.")
    max_volume_share: float | None = Field(
        None, gt=0.0, le=1.0, description="Largest share of a bar's volume that can be filled; none means unlimited."
    )
    initial_equity: float = Field(
        100_000.0, gt=0.0, description="Capital at the start, in quote currency, divided equally among the symbols."
    )


class PolicyConfig(Section):
    """How scores become positions; the threshold itself is chosen inside training folds."""

    cap: float = Field(1.0, gt=0.0, le=100.0, description="Largest position, as a fraction of the capital of a symbol.")
    allow_short: bool = Field(True, description="Whether positions below zero are taken.")
    volatility_target: float | None = Field(
        None, gt=0.0, le=10.0, description="Annualised volatility each position is scaled to; none leaves it out."
    )


class ComparisonConfig(Section):
    """When a learner counts as better than the baseline."""

    alpha: float = Field(0.05, gt=0.0, lt=0.5, description="Family-wise error rate over all learners compared.")
    correction: Literal["holm", "bonferroni", "hochberg", "fdr_bh", "fdr_by", "romano_wolf"] = Field(
        "holm",
        description="Correction for having compared several learners; romano_wolf measures how they depend on each other.",
    )


class RetentionConfig(Section):
    """Which versions are kept, beyond those that an alias points to or a rollback can reach."""

    keep_last: int = Field(20, ge=1, le=1_000_000, description="Newest versions of each name that are kept.")
    keep_days: float = Field(90.0, ge=0.0, le=36_500.0, description="Days for which every version is kept.")
    after_run: bool = Field(
        False, description="Whether huracan run lets what is beyond both go when it ends; huracan models retain always does."
    )


class RegistryConfig(Section):
    """Where models are kept."""

    url: str | None = Field(None, description="Database URL; none is SQLite in the home folder.")
    model_name: str = Field(
        "champion",
        min_length=1,
        max_length=100,
        description="Name the run's winner is registered under; with '.simulated' for the simulated market, with the symbol "
        "where each has a model of its own.",
    )
    retention: RetentionConfig = Field(default_factory=RetentionConfig, description="What is kept of old versions.")


class ServingConfig(Section):
    """How a registered model is served."""

    max_age_days: Annotated[float, Field(gt=0.0, le=36_500.0)] | Literal["auto"] | None = Field(
        "auto",
        description="Days after its newest label from which a model is vetoed; auto is 30, or 720 bars where that is longer; "
        "none for never.",
    )
    stale_after_bars: float | None = Field(
        2.0, gt=0.0, le=10_000.0, description="Bars after its close from which a candle is vetoed as stale; none for never."
    )
    refresh_seconds: float = Field(
        5.0, ge=0.05, le=86_400.0, description="How often it is looked whether the alias has moved to another version."
    )
    interval_level: float = Field(0.9, gt=0.5, lt=1.0, description="Share of labels that an interval should hold.")
    outside_share: float = Field(
        0.001, gt=0.0, le=0.5, description="Share of the newest training rows that count as far from training."
    )
    anomaly_share: float = Field(
        0.001, gt=0.0, le=0.5, description="Share of usual windows that the autoencoder beside a model may call strange."
    )
    onnx: Literal["auto", "never"] = Field(
        "auto", description="Whether models are served by ONNX Runtime where their export was found exact."
    )

    @field_validator("max_age_days", mode="before")
    @classmethod
    def _days_or_auto(cls, value: Any) -> Any:
        if value in (None, "auto") or (isinstance(value, int | float) and 0.0 < value <= 36_500.0):
            return value
        raise ValueError("a number of days above 0 and up to 36,500, auto or none was expected")

    @property
    def max_age(self) -> timedelta | Literal["auto"] | None:
        """``max_age_days`` as serving takes it.

        >>> ServingConfig().max_age, ServingConfig(max_age_days=7).max_age, ServingConfig(max_age_days=None).max_age
        ('auto', datetime.timedelta(days=7), None)
        """
        return timedelta(days=self.max_age_days) if isinstance(self.max_age_days, float) else self.max_age_days


class LoggingConfig(Section):
    """What is written down while it works."""

    terminal_level: Literal["debug", "info", "warning", "error"] = Field(
        "warning", description="Least level shown on the terminal."
    )
    file_level: Literal["debug", "info", "warning", "error"] = Field(
        "debug", description="Least level written to the run's log file."
    )


class HuracanConfig(Section):
    """The whole configuration."""

    home: UserPath = Field(
        Path("huracan_home"), description="Folder for database, artifacts, runs and reports; HURACAN_HOME overrides it."
    )
    seed: int = Field(0, ge=0, lt=2**31, description="Seed of everything random.")
    profile: str = Field("quick", description="Which of the profiles below is run.")
    data: DataConfig = Field(default_factory=DataConfig)
    cleaning: CleaningConfig = Field(default_factory=CleaningConfig)
    features: FeatureConfig = Field(default_factory=FeatureConfig)
    labels: LabelConfig = Field(default_factory=LabelConfig)
    regimes: RegimeConfig = Field(default_factory=RegimeConfig)
    validation: ValidationConfig = Field(default_factory=ValidationConfig)
    training: TrainingConfig = Field(default_factory=TrainingConfig)
    ensemble: EnsembleConfig = Field(default_factory=EnsembleConfig)
    automl: AutoMLConfig = Field(default_factory=AutoMLConfig)
    rl: RLConfig = Field(default_factory=RLConfig)
    policy: PolicyConfig = Field(default_factory=PolicyConfig)
    costs: CostConfig = Field(default_factory=CostConfig)
    comparison: ComparisonConfig = Field(default_factory=ComparisonConfig)
    registry: RegistryConfig = Field(default_factory=RegistryConfig)
    serving: ServingConfig = Field(default_factory=ServingConfig)
    drift: DriftConfig = Field(default_factory=DriftConfig)
    retrain: RetrainConfig = Field(default_factory=RetrainConfig)
    mechanic: MechanicConfig = Field(default_factory=MechanicConfig)
    logging: LoggingConfig = Field(default_factory=LoggingConfig)
    profiles: dict[str, ProfileConfig] = Field(default_factory=lambda: dict(PROFILES), description="The profiles there are.")

    @model_validator(mode="after")
    def _profile_exists(self) -> HuracanConfig:
        if self.profile not in self.profiles:
            close = difflib.get_close_matches(self.profile, self.profiles, n=1, cutoff=0.5)
            hint = f"; did you mean '{close[0]}'?" if close else ""
            raise ValueError(f"profile '{self.profile}' is not among {', '.join(self.profiles)}{hint}")
        return self

    @model_validator(mode="after")
    def _members_are_learners_of_the_profile(self) -> HuracanConfig:
        learners = self.active_profile.learners
        for name in self.ensemble.members:
            if name not in learners:
                close = difflib.get_close_matches(name, learners, n=1, cutoff=0.5)
                hint = f"; did you mean '{close[0]}'?" if close else f"; its learners are {', '.join(learners)}"
                raise ValueError(f"ensemble.members names '{name}', which profile '{self.profile}' does not train{hint}")
        return self

    @property
    def active_profile(self) -> ProfileConfig:
        """The profile that is run."""
        return self.profiles[self.profile]

    def told(self) -> dict[str, Any]:
        """As JSON for others to read, beside a model: without the home folder and without addresses that may hold a password.

        Examples
        --------
        >>> told = HuracanConfig(mechanic={"webhook_url": "https://chat.example/secret"}).told()
        >>> "home" in told, "url" in told["registry"], "webhook_url" in told["mechanic"]
        (False, False, False)
        """
        return self.model_dump(mode="json", exclude={"home": True, "registry": {"url"}, "mechanic": {"webhook_url"}})
