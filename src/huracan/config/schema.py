"""Every setting of Huracan: typed, bounded, explained, with a default.

The field descriptions are the documentation: ``docs/configuration.md`` and the comments of
``config/ml_framework.yaml`` are generated from them.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

__all__ = [
    "AgentEvaluationConfig",
    "AutoMLConfig",
    "CleaningConfig",
    "ComparisonConfig",
    "CostConfig",
    "DataConfig",
    "EnsembleConfig",
    "FeatureConfig",
    "HuracanConfig",
    "LabelConfig",
    "LearnerConfig",
    "LoggingConfig",
    "PolicyConfig",
    "ProfileConfig",
    "RLConfig",
    "RegimeConfig",
    "RegistryConfig",
    "RetentionConfig",
    "ServingConfig",
    "SimulationConfig",
    "TrainingConfig",
    "ValidationConfig",
]


def _from_the_users_home(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise ValueError(f"the home folder of '{path.parts[0]}' is not known") from error


def _without_twins(names: tuple[str, ...]) -> tuple[str, ...]:
    twin = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if twin is not None:
        raise ValueError(f"'{twin}' stands twice; each once was expected")
    return names


_TRIALS = 100
"""Trials of a search that no budget is set for."""

Rows = Annotated[int, Field(ge=50)]
BasisPoints = Annotated[float, Field(ge=0.0, le=10_000.0)]
UserPath = Annotated[Path, AfterValidator(_from_the_users_home)]


class Section(BaseModel):
    """A group of keys; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _yes_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, bool) and cls.model_fields[info.field_name or ""].annotation is not bool:
            raise ValueError("true and false do not fit here; the key is no switch")
        return value


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
    def _is_found_from_the_users_home(cls, value: str) -> str:
        return str(_from_the_users_home(Path(value))) if value.startswith("~") else value


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


class TrainingConfig(Section):
    """How learners are trained."""

    pooling: Literal["pooled", "per_symbol"] = Field(
        "pooled", description="One model over all symbols, or one model for each symbol."
    )
    n_jobs: int = Field(2, ge=1, le=256, description="Cores used; the result does not depend on it.")


class LearnerConfig(Section):
    """One learner of a profile."""

    task: Literal["auto", "regression", "classification"] = Field(
        "auto", description="Fit the label, or its sign; 'auto' takes what the catalogue prefers for this learner."
    )
    max_train_rows: Rows | None = Field(
        None, description="At most this many training rows, the most recent ones; none means all."
    )
    params: dict[str, Any] = Field(
        default_factory=dict, description="Hyperparameters that replace the catalogue's defaults, see learners.md."
    )


class ProfileConfig(Section):
    """A written list of learners, folds and row caps."""

    n_splits: int = Field(5, ge=2, le=100, description="Walk-forward test folds.")
    learners: dict[str, LearnerConfig] = Field(description="Catalogue name -> how it is trained.")

    @model_validator(mode="after")
    def _has_learners(self) -> ProfileConfig:
        if not self.learners:
            raise ValueError("a profile needs at least one learner")
        return self


class EnsembleConfig(Section):
    """Ensembles of the profile's learners, candidates of the main job like the learners themselves."""

    methods: tuple[Literal["greedy", "stacking", "inverse_loss", "voting", "by_regime", "hedge"], ...] = Field(
        (),
        description="How learners are combined, each way a candidate of its own: greedy (Caruana's selection, the constant "
        "among the members), stacking, inverse_loss, voting (equal weights), by_regime, hedge (weights that follow losses as "
        "they arrived); empty makes none.",
    )
    members: tuple[str, ...] = Field(
        (), description="Learners of the profile that are combined; empty takes all that do the task, rules excepted."
    )
    task: Literal["regression", "classification"] = Field(
        "regression", description="What all members are trained for: the label, or the chance that it is above 0."
    )
    n_splits: int = Field(
        4, ge=2, le=50, description="Walk-forward folds inside a fold's past, from which weights and stacks learn."
    )

    @field_validator("methods", "members")
    @classmethod
    def _each_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return _without_twins(value)


class AutoMLConfig(Section):
    """What `huracan automl` searches, and for how long."""

    time_budget: float | None = Field(
        None,
        gt=0.0,
        description="Seconds for search and final fit together; a search that time ends is not reproducible. None: no limit.",
    )
    max_trials: int | None = Field(
        None, ge=1, description="Settings tried; none is no limit, and 100 where there is no time budget either."
    )
    task: Literal["regression", "classification"] = Field(
        "regression", description="Forecast the label, or the chance that it is above 0."
    )
    learners: tuple[str, ...] = Field((), description="Learners that are searched; empty takes the engine's choice.")
    objectives: tuple[Literal["gain", "net_sharpe", "turnover"], ...] = Field(
        ("gain",),
        description="What is made good: gain (loss below the constant's), or several of gain, net_sharpe and turnover; "
        "then the trial that is best in the first of these is taken alone.",
    )
    sampler: Literal["tpe", "random", "cma_es", "gp", "qmc", "nsga_ii"] = Field(
        "tpe", description="Who proposes settings, of Optuna's samplers."
    )
    n_splits: int = Field(4, ge=2, le=50, description="Walk-forward folds that every setting is judged on.")
    n_workers: int | None = Field(
        None,
        ge=1,
        le=256,
        description="Processes that fit; none fits in this process, unless by the clock, and a learner that hangs holds it.",
    )
    ensemble: bool = Field(
        True, description="Fit the best settings together, weighted by greedy selection; else the best alone."
    )
    max_members: int = Field(12, ge=1, le=100, description="Most members of that ensemble.")
    portfolio: bool = Field(True, description="Begin with settings that are known to be good.")
    shared_bins: bool = Field(True, description="Bin rows for boosters once for all trials.")
    pruning: bool = Field(True, description="Stop trials that are hopeless on the folds they have answered.")
    trial_timeout: float | None = Field(
        None,
        gt=0.0,
        description="Seconds one trial may take (not reproducible then). None: a fifth of a time budget, else no limit.",
    )
    feature_selection: bool = Field(False, description="Search how many features to keep, too.")
    warm_start: bool = Field(False, description="Begin with the best settings of earlier searches in the database.")

    @field_validator("learners", "objectives")
    @classmethod
    def _each_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return _without_twins(value)

    @field_validator("objectives")
    @classmethod
    def _one_is_worth_having(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not {"gain", "net_sharpe"} & set(value):
            raise ValueError("gain or net_sharpe among them was expected")
        return value

    @property
    def most_trials(self) -> int | None:
        """Trials after which a search ends; None where only time ends it."""
        return _TRIALS if self.time_budget is None and self.max_trials is None else self.max_trials


class AgentEvaluationConfig(Section):
    """How `huracan rl evaluate` walks through time; embargo and first training share are those of `validation`."""

    n_windows: int = Field(4, ge=1, le=100, description="Spans that are played, each behind a span to learn from.")
    seeds: int = Field(5, ge=1, le=1_000, description="Agents trained for each window; fewer than five say little of luck.")
    train: Literal["growing", "rolling"] = Field(
        "growing", description="Learn from all that came before a window, or from as much as before the first."
    )
    total_steps: int | None = Field(None, ge=1, description="Steps of one training; none takes rl.total_steps.")
    one_agent_per_symbol: bool = Field(False, description="Train for each symbol alone instead of for all together.")


class RLConfig(Section):
    """The game that `huracan rl` trains an agent in, and how long."""

    actions: Literal["moves", "positions"] = Field(
        "moves", description="moves: sell, hold, buy, a level at a time; positions: any level at once."
    )
    weights: tuple[float, ...] = Field(
        (-1.0, 0.0, 1.0), min_length=2, description="Levels: target weights, rising, 0 among them."
    )
    window: int = Field(1, ge=1, description="Bars of features an observation shows.")
    observe: tuple[Literal["level", "target", "position", "unrealised_profit", "drawdown", "time_left"], ...] = Field(
        ("level",), description="What an observation says of the account."
    )
    rebalance: bool = Field(
        True,
        description="Trade back to the target at every bar; together with observe [level], what all actions would have "
        "earned is known from prices and learned from. False: the weight drifts, as in a backtest.",
    )
    episode_length: int | None = Field(256, ge=1, description="Bars of an episode; none is as far as the data go.")
    max_leverage: float | None = Field(None, gt=0.0, description="Largest weight a position may drift to.")
    maintenance_margin: float = Field(
        0.0, ge=0.0, lt=1.0, description="Share of the notional below which equity is liquidated; ends the episode."
    )
    max_drawdown: float | None = Field(None, gt=0.0, le=1.0, description="Loss from the highest equity that ends the episode.")
    downside_penalty: float = Field(0.0, ge=0.0, description="Times a bar's loss is taken off its reward again.")
    drawdown_penalty: float = Field(0.0, ge=0.0, description="Times the drawdown a bar added is taken off its reward.")
    n_envs: int = Field(16, ge=1, description="Copies of the environment stepped together.")
    total_steps: int = Field(200_000, ge=1, description="Steps of all copies together.")
    checkpoint_every: int = Field(50_000, ge=1, description="Steps between checkpoints.")
    agent: dict[str, Any] = Field(
        default_factory=dict, description="Settings of the agent that differ from those in docs/learners.md, by name."
    )
    evaluation: AgentEvaluationConfig = Field(
        default_factory=AgentEvaluationConfig, description="How agents are evaluated, walk-forward."
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

    max_age_days: float | None = Field(
        30.0, gt=0.0, le=36_500.0, description="Days after its newest label from which a model is vetoed; none for never."
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


class LoggingConfig(Section):
    """What is written down while it works."""

    terminal_level: Literal["debug", "info", "warning", "error"] = Field(
        "warning", description="Least level shown on the terminal."
    )
    file_level: Literal["debug", "info", "warning", "error"] = Field(
        "debug", description="Least level written to the run's log file."
    )


def _caps(**rows: int | None) -> dict[str, LearnerConfig]:
    return {name: LearnerConfig(max_train_rows=cap) for name, cap in rows.items()}


_RULES = _caps(majority=None, last_value=None, buy_and_hold=None)

_PROFILES = {
    "quick": ProfileConfig(
        n_splits=5,
        learners={
            **_RULES,
            **_caps(linear_regression=200_000, ridge=200_000, logistic_regression=100_000, k_nearest_neighbors=5_000),
            **_caps(linear_svm=50_000, rbf_svm=2_000, naive_bayes=200_000, decision_tree=100_000),
            **_caps(random_forest=60_000, extra_trees=100_000, xgboost=300_000, lightgbm=300_000),
        },
    ),
    "standard": ProfileConfig(
        n_splits=6,
        learners={
            **_RULES,
            **_caps(linear_regression=1_000_000, ridge=1_000_000, logistic_regression=500_000, k_nearest_neighbors=10_000),
            **_caps(linear_svm=200_000, rbf_svm=4_000, naive_bayes=1_000_000, decision_tree=500_000),
            **_caps(random_forest=200_000, extra_trees=300_000, xgboost=1_000_000, lightgbm=1_000_000),
            **_caps(mlp=200_000, gru=200_000),
        },
    ),
    "full": ProfileConfig(
        n_splits=10,
        learners={
            **_RULES,
            **_caps(linear_regression=None, ridge=None, logistic_regression=None, k_nearest_neighbors=50_000),
            **_caps(linear_svm=500_000, rbf_svm=10_000, naive_bayes=None, decision_tree=None),
            **_caps(random_forest=1_000_000, extra_trees=1_000_000, xgboost=None, lightgbm=None),
            **_caps(linear_network=500_000, mlp=500_000, cnn=500_000, lstm=500_000, gru=500_000, transformer=500_000),
        },
    ),
}


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
    logging: LoggingConfig = Field(default_factory=LoggingConfig)
    profiles: dict[str, ProfileConfig] = Field(default_factory=lambda: dict(_PROFILES), description="The profiles there are.")

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
