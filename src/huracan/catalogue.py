"""The catalogue: a name becomes a learner with its card.

>>> model = build_model("ridge")
>>> model.model_info().task, model.model_info().suits("trending")
('regression', True)
>>> build_model("rigde")
Traceback (most recent call last):
...
huracan.errors.UnknownName: unknown learner 'rigde'; did you mean 'ridge'? Known: ...
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from huracan.baselines.classifiers import SIMPLE_LEARNERS
from huracan.baselines.linear import LINEAR_LEARNERS
from huracan.baselines.rules import RULES
from huracan.baselines.spec import PROFILES, FitContext, LearnerSpec, SupervisedTask, UnsupervisedTask
from huracan.errors import ModelError, UnknownName, nearest_name
from huracan.models.autoencoder.card import AUTOENCODER
from huracan.models.boosting import BOOSTERS
from huracan.models.gan.card import GAN
from huracan.models.network_learners import NETWORKS
from huracan.models.trees import FORESTS

if TYPE_CHECKING:
    from huracan.baselines.tabular import TabularClassifier, TabularRegressor
    from huracan.config import LearnerConfig
    from huracan.dataset import TrainingSet

__all__ = [
    "MODEL_CATALOGUE",
    "PROFILES",
    "FitContext",
    "LearnerSpec",
    "build_model",
    "check_learners",
    "feature_importance",
    "find_learner",
    "model_from_parts",
    "register_learner",
    "score_span",
    "signal_score",
    "up_probability",
]

_ALIASES = {
    "linear": "linear_regression",
    "ols": "linear_regression",
    "logistic": "logistic_regression",
    "logit": "logistic_regression",
    "knn": "k_nearest_neighbors",
    "k_nearest_neighbours": "k_nearest_neighbors",
    "nearest_neighbors": "k_nearest_neighbors",
    "svm": "rbf_svm",
    "svc": "rbf_svm",
    "svm_rbf": "rbf_svm",
    "svm_linear": "linear_svm",
    "linear_svc": "linear_svm",
    "nb": "naive_bayes",
    "gaussian_nb": "naive_bayes",
    "tree": "decision_tree",
    "rf": "random_forest",
    "et": "extra_trees",
    "extratrees": "extra_trees",
    "xgb": "xgboost",
    "lgb": "lightgbm",
    "lgbm": "lightgbm",
    "persistence": "last_value",
    "hold": "buy_and_hold",
}

_LEARNERS: dict[str, LearnerSpec] = {
    s.name: s for s in (*LINEAR_LEARNERS, *SIMPLE_LEARNERS, *FORESTS, *BOOSTERS, *NETWORKS, AUTOENCODER, GAN, *RULES)
}

MODEL_CATALOGUE: Mapping[str, LearnerSpec] = MappingProxyType(_LEARNERS)
"""Every learner by name, read-only; :func:`register_learner` adds to it."""


def find_learner(name: str) -> LearnerSpec:
    """The learner of this name or common alias (``"knn"``, ``"rf"``, ``"xgb"``...).

    Raises
    ------
    UnknownName : there is none; the message offers the nearest name.

    Examples
    --------
    >>> find_learner("xgb").name, find_learner("K-Nearest-Neighbors").name
    ('xgboost', 'k_nearest_neighbors')
    """
    key = name.strip().lower().replace("-", "_").replace(" ", "_")
    spec = _LEARNERS.get(name) or _LEARNERS.get(key) or _LEARNERS.get(_ALIASES.get(key, ""))
    if spec is None:
        raise nearest_name(name, _LEARNERS, kind="learner")
    return spec


def build_model(
    name: str,
    *,
    task: Literal["auto", "regression", "classification", "representation", "generation"] = "auto",
    random_state: int = 0,
    n_jobs: int = 1,
    max_train_rows: int | str | None = "standard",
    clip: float = 8.0,
    winsorize: float = 0.005,
    **hyperparameters: Any,
) -> Any:
    """Make an unfitted scikit-learn estimator by name.

    A ``TabularRegressor`` or ``TabularClassifier`` (networks: ``NeuralRegressor``, ``NeuralClassifier``); for what learns
    without a label its own estimator, such as :class:`~huracan.models.autoencoder.estimator.Autoencoder`, which of the
    parameters below takes ``random_state``, ``n_jobs`` and the hyperparameters.

    Parameters
    ----------
    name : a name of ``MODEL_CATALOGUE`` or an alias.
    task : ``"auto"`` is the task the learner prefers.
    random_state : seed; same seed, same bits, whatever ``n_jobs`` (of networks: for the same ``n_jobs``).
    n_jobs : threads.
    max_train_rows : the most recent rows used in a fit: a number, a profile name (the cap the learner declares for
        it), or None for all.
    clip : inputs are cut at this many standard deviations, where the learner scales its inputs.
    winsorize : share of a regression target cut at each end before fitting; 0 for none.
    hyperparameters : those of the learner, see ``docs/learners.md`` or ``MODEL_CATALOGUE[name].defaults`` and
        ``.meanings``. Well-known names are understood where they mean the same (``n_estimators`` for ``n_rounds``).

    Raises
    ------
    UnknownName : no such learner or hyperparameter.
    ModelError : the learner cannot do the task, or a hyperparameter is given under two names.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((400, 4)); y = X[:, 0] + rng.standard_normal(400)
    >>> model = build_model("lightgbm", n_rounds=50, random_state=1).fit(X, y)
    >>> model.predict(X).shape
    (400,)
    """
    spec = find_learner(name)
    if spec.estimator is not None:
        _checked_task(spec, task)
        return _unsupervised(spec)(random_state=random_state, n_jobs=n_jobs, **spec.canonical(hyperparameters))
    chosen = _checked_task(spec, task)
    spec.complete(hyperparameters)
    return _estimator(spec, chosen)(
        spec,
        hyperparameters=hyperparameters or None,
        random_state=random_state,
        n_jobs=n_jobs,
        max_train_rows=max_train_rows,
        clip=clip,
        winsorize=winsorize,
    )


_OF_THE_WRAPPER = ("clip", "winsorize")


def check_learners(learners: Mapping[str, LearnerConfig], *, where: str = "learners") -> None:
    """Refuse settings of learners that :func:`build_model` would refuse, before anything is computed.

    Parameters
    ----------
    learners : name -> settings, as in a profile of the configuration.
    where : key of the configuration they stand under, for the message.

    Raises
    ------
    UnknownName : no such learner or hyperparameter; the message offers the nearest.
    ModelError : a learner cannot do its task, or a hyperparameter is given under two names.

    Examples
    --------
    >>> from huracan.config import LearnerConfig
    >>> check_learners({"ridge": LearnerConfig(params={"alpha": 3.0})})
    >>> check_learners({"rigde": LearnerConfig()}, where="profiles.quick.learners")
    Traceback (most recent call last):
    ...
    huracan.errors.UnknownName: profiles.quick.learners.rigde: unknown learner 'rigde'; did you mean 'ridge'? Known: ...
    """
    for name, settings in learners.items():
        try:
            spec = find_learner(name)
            if not spec.is_supervised:
                raise ModelError(f"{spec.name} learns without a label ({spec.tasks[0]}) and cannot be compared with learners.")
            _checked_task(spec, settings.task)
            spec.canonical({key: value for key, value in settings.params.items() if key not in _OF_THE_WRAPPER})
        except (ModelError, UnknownName) as error:
            raise type(error)(f"{where}.{name}: {error}") from None


def register_learner(spec: LearnerSpec, *, replace: bool = False) -> LearnerSpec:
    """Add a learner of your own to the catalogue; see ``docs/your_own_learner.md``.

    Raises
    ------
    ModelError : the name is taken (and ``replace`` is not set), or is an alias of a built-in learner.
    """
    if spec.name in _ALIASES:
        raise ModelError(f"'{spec.name}' is an alias of '{_ALIASES[spec.name]}'; give the learner another name.")
    if spec.name in _LEARNERS and not replace:
        raise ModelError(f"a learner named '{spec.name}' is in the catalogue already; pass replace=True to replace it.")
    _LEARNERS[spec.name] = spec
    return spec


def signal_score(model: Any, X: Any) -> NDArray[np.float64]:
    """One number a row, larger meaning "up": the learner's own scale, comparable only with itself.

    A regressor's forecast; a classifier's probability of up minus one half (with three and more classes the
    probability of the highest class minus that of the lowest); where there is no probability, the margin. The rules
    score 0 (majority), 1 (buy and hold) and the last return (last value).

    Parameters
    ----------
    model : a fitted model of this catalogue, or any fitted scikit-learn regressor or classifier.
    X : matrix, frame or ``TrainingSet`` of n rows; models that look back need the latter, with the rows before.

    Returns
    -------
    float64 (n,), finite.

    See Also
    --------
    score_span : scores of a span of rows by a model that may look further back.
    """
    from huracan.baselines.wrapper import TabularLearner

    if isinstance(model, TabularLearner) and model.spec.is_rule:
        return model.rule_score(X)
    if hasattr(model, "predict_proba"):
        probability = np.asarray(model.predict_proba(X), dtype=np.float64)
        return probability[:, 1] - 0.5 if probability.shape[1] == 2 else probability[:, -1] - probability[:, 0]
    if hasattr(model, "decision_function"):
        margin = np.asarray(model.decision_function(X), dtype=np.float64)
        return margin if margin.ndim == 1 else margin[:, -1] - margin[:, 0]
    return np.asarray(model.predict(X), dtype=np.float64).reshape(-1)


def score_span(model: Any, rows: TrainingSet, span: slice) -> NDArray[np.float64]:
    """:func:`signal_score` of a span of ``rows``, by a model that may look at the bars before it.

    >>> from huracan.dataset import TrainingSet
    >>> rng = np.random.default_rng(0)
    >>> rows = TrainingSet.from_arrays(rng.standard_normal((300, 2)), rng.standard_normal(300))
    >>> model = build_model("linear_network", window=8, max_epochs=1).fit(rows.take(slice(0, 200)))
    >>> np.array_equal(score_span(model, rows, slice(200, 300)), signal_score(model, rows)[200:])
    True
    """
    behind, earlier = rows.with_history(span, getattr(model, "history_bars", 0))
    return signal_score(model, behind)[earlier:]


def up_probability(model: Any, X: Any) -> NDArray[np.float64] | None:
    """Probability of the highest class (n,), or None for a model without probabilities."""
    if not hasattr(model, "predict_proba"):
        return None
    return np.asarray(model.predict_proba(X), dtype=np.float64)[:, -1]


def feature_importance(model: Any) -> dict[str, float] | None:
    """Feature -> importance as the fitted learner itself sees it, summing to 1; None where it has no such notion.

    Trees count impurity decrease, boosters gain, linear learners absolute coefficients of standardised inputs.
    """
    own = getattr(model, "feature_importance", None)
    return own() if callable(own) else None


def model_from_parts(state: Mapping[str, Any], inner: Any) -> Any:
    """Put a fitted model together from what its ``to_parts()`` gave.

    Raises
    ------
    UnknownName : the learner is not in this catalogue (register your own before loading).
    ModelError : the state does not fit the learner.
    """
    spec = find_learner(str(state.get("name")))
    if spec.estimator is not None:
        return _unsupervised(spec).from_parts(state, inner)
    return _estimator(spec, str(state.get("task"))).from_state(spec, state, inner)


def _unsupervised(spec: LearnerSpec) -> Any:
    module, _, name = str(spec.estimator).partition(":")
    return getattr(import_module(module), name)


def _estimator(spec: LearnerSpec, task: str) -> type[TabularRegressor] | type[TabularClassifier]:
    if spec.network is not None:
        from huracan.models.neural import NeuralClassifier, NeuralRegressor

        return NeuralRegressor if task == "regression" else NeuralClassifier
    from huracan.baselines.tabular import TabularClassifier, TabularRegressor

    return TabularRegressor if task == "regression" else TabularClassifier


def _checked_task(spec: LearnerSpec, task: str) -> SupervisedTask | UnsupervisedTask:
    if task == "auto":
        return spec.preferred_task
    for known in spec.tasks:
        if task == known:
            return known
    if task not in _TASKS:
        raise nearest_name(task, ("auto", *_TASKS), kind="task")
    if not spec.is_supervised or task not in _TASKS[:2]:
        raise ModelError(f"{spec.name} does not do {task}; it does {' and '.join(spec.tasks)}.")
    target = "a number" if task == "regression" else "a class"
    raise ModelError(f"{spec.name} does not do {task}: it cannot forecast {target}; it does {' and '.join(spec.tasks)}.")


_TASKS = ("regression", "classification", "representation", "generation")
