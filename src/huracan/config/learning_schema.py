"""Settings of what learns: how it is trained, the profiles, ensembles, the search and the agent."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from huracan.config.section import Rows, Section, without_twins

__all__ = [
    "PROFILES",
    "AgentEvaluationConfig",
    "AutoMLConfig",
    "EnsembleConfig",
    "LearnerConfig",
    "ProfileConfig",
    "RLConfig",
    "TrainingConfig",
]

_TRIALS = 100
"""Trials of a search that no budget is set for."""


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
        return without_twins(value)


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
        return without_twins(value)

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


def _caps(**rows: int | None) -> dict[str, LearnerConfig]:
    return {name: LearnerConfig(max_train_rows=cap) for name, cap in rows.items()}


_RULES = _caps(majority=None, last_value=None, buy_and_hold=None)

PROFILES = {
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
