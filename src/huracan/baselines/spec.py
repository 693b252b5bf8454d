"""``LearnerSpec``: everything the catalogue knows about one learner, before it has seen data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from huracan.baselines.search_space import Dimension
from huracan.errors import ModelError, nearest_name
from huracan.model_info import FeatureSignature, MarketRegime, ModelInfo, Task

__all__ = ["PROFILES", "FitContext", "LearnerSpec", "SupervisedTask", "UnsupervisedTask"]

SupervisedTask = Literal["regression", "classification"]
UnsupervisedTask = Literal["representation", "generation", "control"]

PROFILES: tuple[str, ...] = ("quick", "standard", "full")
"""The profiles that row caps are written for."""

_OUTPUTS: Mapping[str, Mapping[str, str]] = {
    "regression": {"prediction": "forecast of the label, in the label's unit"},
    "classification": {"class": "the likeliest class of the label", "probability": "probability of each class, 0 to 1"},
    "margin": {"class": "the likelier class of the label", "margin": "signed distance from the boundary, no unit"},
}


@dataclass(frozen=True)
class FitContext:
    """What a builder may know when it chooses the settings of one fit.

    Parameters
    ----------
    task : ``"regression"`` (the target arrives winsorised, with mean 0 and variance 1) or ``"classification"``
        (the target arrives as codes 0, 1, ...).
    params : the learner's hyperparameters, defaults filled in.
    n_rows, n_features, n_classes : size of this fit; ``n_classes`` is 0 for regression.
    feature_names : columns of ``X``.
    random_state, n_jobs : seed, and threads that may be used; the number of threads must not change results.
    prepared : what a study made of ``X`` once for all its fits (binned rows, say), or None; see
        :class:`huracan.models.binned_rows.BinnedRows`.

    Examples
    --------
    >>> FitContext("regression", {"leaf": .01}, 5_000, 3).rows_of("leaf", at_least=20)
    50
    """

    task: SupervisedTask
    params: Mapping[str, Any]
    n_rows: int
    n_features: int
    n_classes: int = 0
    feature_names: tuple[str, ...] = ()
    random_state: int = 0
    n_jobs: int = 1
    prepared: Any = None

    @property
    def classifies(self) -> bool:
        """Whether the task is classification."""
        return self.task == "classification"

    def rows_of(self, fraction_name: str, *, at_least: int = 1) -> int:
        """Rows that a fractional hyperparameter means here: never under ``at_least``, unless the data is tiny."""
        floor = min(at_least, max(1, self.n_rows // 20))
        return max(floor, int(np.ceil(float(self.params[fraction_name]) * self.n_rows)))

    def rows_given(self, name: str) -> int | None:
        """A hyperparameter given in rows, or as a share below 1 of them, in rows; None where it is None."""
        given = self.params[name]
        if given is None:
            return None
        return max(1, int(np.ceil(given * self.n_rows)) if 0 < given < 1 else int(given))


Fit = Callable[[FitContext, NDArray[np.float32], NDArray[Any], NDArray[np.float64] | None], Any]
Output = Callable[[Any, NDArray[np.float32], int], NDArray[np.float64]]


@dataclass(frozen=True, kw_only=True)
class LearnerSpec:
    """A learner's card and the function that makes it.

    Parameters
    ----------
    name : the name it is asked for by.
    purpose, ideal_dataset_shape, feature_requirements, market_regimes : as in :class:`~huracan.model_info.ModelInfo`;
        ``market_regimes`` is a declaration with reasons, tested against evidence later.
    tasks : what it can be fitted for, preferred first.
    build : ``build(context)`` returns an unfitted scikit-learn estimator. ``X`` arrives finite, float32, and
        standardised where ``scale_inputs`` says so.
    fit : instead of ``build``, for what is not a scikit-learn estimator: ``fit(context, X, y, weight)`` returns the
        fitted object. A returned ``dict`` must hold plain JSON values and is stored with the model's state.
    network : instead of either, for what gradient steps train: a callable ``network(n_features, window, n_outputs,
        **hyperparameters)`` that returns a ``torch.nn.Module``, or ``"package.module:name"`` of one. Use
        :func:`huracan.models.network_learner`, which adds the settings of the training loop.
    estimator : instead of either, for what learns without a label: ``"package.module:Class"`` of a scikit-learn estimator
        that takes the hyperparameters, ``random_state`` and ``n_jobs`` as keywords and has ``model_info``, ``to_parts`` and
        ``from_parts``. Its one task is ``"representation"``, ``"generation"`` or ``"control"``, and ``outputs`` says what it
        gives.
    output : ``output(fitted, X, n_jobs)``: forecasts (n,), class probabilities (n, k), or margins where
        ``margin_only``. Default: ``predict`` / ``predict_proba`` / ``decision_function`` of the estimator.
    importance : ``importance(fitted, n_features)``: one non-negative number a feature, or None where it has none.
    defaults : every hyperparameter with its default; others are refused.
    meanings : what each of them means, in a few words; ``docs/learners.md`` is made of these.
    aliases : well-known name -> the hyperparameter here that means the same.
    search_space : hyperparameter -> where :class:`~huracan.automl.AutoMLEngine` looks for it; those left out keep their
        default.
    max_train_rows : profile -> cap on training rows, the most recent ones are taken; None is no cap.
    scale_inputs : standardise inputs (see :class:`~huracan.baselines.tabular.TabularRegressor`).
    looks_at_inputs : whether values of ``X`` matter; where not, NaN and infinity are let through.
    supports_weight : whether ``sample_weight`` is used; where not, it is ignored and ``weight_used_`` says so.
    margin_only : the classifier has a margin and no probability.
    is_rule : a fixed rule that learns next to nothing; its ``ModelInfo.task`` is ``"rule"``.
    threads : whether more than one thread makes it faster.
    outputs : name of each output -> what it means, where a learner without a label gives other ones.

    Raises
    ------
    ModelError : not exactly one of ``build``, ``fit``, ``network`` and ``estimator`` is given, or a task is unknown.
    UnknownName : a profile is unknown, or ``meanings``, ``aliases`` or ``search_space`` speak of a hyperparameter without a
        default.

    Examples
    --------
    >>> from sklearn.linear_model import HuberRegressor
    >>> spec = LearnerSpec(name="huber", purpose="linear forecast that shrugs off outliers",
    ...                    ideal_dataset_shape="(1_000+ rows, 5-100 features)", tasks=("regression",),
    ...                    build=lambda context: HuberRegressor(alpha=context.params["alpha"]), defaults={"alpha": 1.0})
    >>> spec.preferred_task, spec.info("regression").hyperparameters
    ('regression', {'alpha': 1.0})
    """

    name: str
    purpose: str
    ideal_dataset_shape: str
    tasks: tuple[SupervisedTask | UnsupervisedTask, ...]
    build: Callable[[FitContext], Any] | None = None
    fit: Fit | None = None
    network: Callable[..., Any] | str | None = None
    estimator: str | None = None
    output: Output | None = None
    importance: Callable[[Any, int], NDArray[np.float64] | None] | None = None
    feature_requirements: tuple[str, ...] = ("numeric", "finite: no nulls, no infinities")
    market_regimes: Mapping[MarketRegime, str] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    meanings: Mapping[str, str] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    search_space: Mapping[str, Dimension] = field(default_factory=dict)
    max_train_rows: Mapping[str, int | None] = field(default_factory=dict)
    scale_inputs: bool = True
    looks_at_inputs: bool = True
    supports_weight: bool = True
    margin_only: bool = False
    is_rule: bool = False
    threads: bool = False
    outputs: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if sum(given is not None for given in (self.build, self.fit, self.network, self.estimator)) != 1:
            raise ModelError(f"learner '{self.name}' needs exactly one of build=, fit=, network= and estimator=.")
        possible = get_args(SupervisedTask if self.estimator is None else UnsupervisedTask)
        if not self.tasks or any(task not in possible for task in self.tasks):
            raise ModelError(f"learner '{self.name}' has tasks {self.tasks}; one or more of {possible} were expected.")
        for profile in self.max_train_rows:
            if profile not in PROFILES:
                raise nearest_name(profile, PROFILES, kind="profile")
        for name in (*self.meanings, *self.aliases.values(), *self.search_space):
            if name not in self.defaults:
                raise nearest_name(name, self.defaults, kind=f"hyperparameter of {self.name}")
        regimes = {MarketRegime(regime): reason for regime, reason in self.market_regimes.items()}
        object.__setattr__(self, "market_regimes", MappingProxyType(regimes))
        for name in ("defaults", "meanings", "aliases", "search_space", "max_train_rows", "outputs"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    def __repr__(self) -> str:
        return f"<LearnerSpec {self.name}>"

    def __deepcopy__(self, memo: dict[int, Any]) -> LearnerSpec:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__}
        plain |= {name: dict(value) for name, value in plain.items() if isinstance(value, MappingProxyType)}
        return _rebuild, (plain,)

    @property
    def is_supervised(self) -> bool:
        """Whether it learns from a label; where not, ``estimator`` says what is built."""
        return self.estimator is None

    @property
    def preferred_task(self) -> SupervisedTask | UnsupervisedTask:
        """The task that ``task="auto"`` means."""
        return self.tasks[0]

    def row_cap(self, profile: str) -> int | None:
        """Cap on training rows under a profile; None is no cap."""
        if profile not in PROFILES:
            raise nearest_name(profile, PROFILES, kind="profile")
        return self.max_train_rows.get(profile)

    def canonical(self, hyperparameters: Mapping[str, Any] | None) -> dict[str, Any]:
        """``hyperparameters`` under the names used here.

        Raises
        ------
        UnknownName : there is no hyperparameter of a name given. ModelError : one is given under two names.
        """
        named: dict[str, Any] = {}
        for key, value in (hyperparameters or {}).items():
            name = self.aliases.get(key, key)
            if name not in self.defaults:
                raise nearest_name(key, (*self.defaults, *self.aliases), kind=f"hyperparameter of {self.name}")
            if name in named:
                raise ModelError(f"{self.name} got '{name}' twice, once as '{key}' or another of its names; one was expected.")
            named[name] = value
        return named

    def complete(self, hyperparameters: Mapping[str, Any] | None) -> dict[str, Any]:
        """``hyperparameters`` under the names used here, every default filled in; an unknown name is refused."""
        return {**self.defaults, **self.canonical(hyperparameters)}

    def info(
        self,
        task: SupervisedTask | UnsupervisedTask,
        *,
        hyperparameters: Mapping[str, Any] | None = None,
        max_train_rows: int | None = None,
        feature_names: tuple[str, ...] | None = None,
    ) -> ModelInfo:
        """The card of this learner as built for ``task``."""
        kind: Task = "rule" if self.is_rule else task
        schema = self.outputs or _OUTPUTS["margin" if self.margin_only and task == "classification" else task]
        requirements = self.feature_requirements
        if self.scale_inputs:
            requirements = (*requirements, "any scale: standardised and clipped inside")
        return ModelInfo(
            name=self.name,
            purpose=self.purpose,
            ideal_dataset_shape=self.ideal_dataset_shape,
            feature_requirements=requirements,
            output_schema=dict(schema),
            task=kind,
            market_regimes=dict(self.market_regimes),
            hyperparameters=self.complete(hyperparameters),
            max_train_rows=max_train_rows,
            signature=None if feature_names is None else FeatureSignature(columns=feature_names),
        )


def _rebuild(plain: dict[str, Any]) -> LearnerSpec:
    return LearnerSpec(**plain)
