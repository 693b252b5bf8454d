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

from huracan.baselines.classifiers import SIMPLE_LEARNERS
from huracan.baselines.linear import LINEAR_LEARNERS
from huracan.baselines.rules import RULES
from huracan.baselines.spec import PROFILES, FitContext, LearnerSpec, SupervisedTask, UnsupervisedTask
from huracan.errors import ModelError, UnknownName, nearest_name
from huracan.models.autoencoder.card import AUTOENCODER
from huracan.models.boosting import BOOSTERS
from huracan.models.gan.card import GAN
from huracan.models.network_learners import NETWORKS
from huracan.models.scores import feature_importance, predict_span, score_rows, score_span, signal_score, up_probability
from huracan.models.trees import FORESTS
from huracan.reinforcement.agent_card import DQN

if TYPE_CHECKING:
    from huracan.baselines.tabular import TabularClassifier, TabularRegressor
    from huracan.config import LearnerConfig

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
    "own_learner",
    "predict_span",
    "register_learner",
    "score_rows",
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
    s.name: s for s in (*LINEAR_LEARNERS, *SIMPLE_LEARNERS, *FORESTS, *BOOSTERS, *NETWORKS, AUTOENCODER, GAN, DQN, *RULES)
}

MODEL_CATALOGUE: Mapping[str, LearnerSpec] = MappingProxyType(_LEARNERS)
"""Every learner by name, read-only; :func:`register_learner` adds to it."""

_SHIPPED = dict(_LEARNERS)


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


def own_learner(name: str) -> LearnerSpec | None:
    """The learner of this name where a user registered it, in place of a shipped one or not; other processes do not know it.

    Examples
    --------
    >>> own_learner("ridge") is None
    True
    """
    spec = find_learner(name)
    return None if _SHIPPED.get(spec.name) is spec else spec


def build_model(
    name: str,
    *,
    task: Literal["auto", "regression", "classification", "representation", "generation", "control"] = "auto",
    random_state: int = 0,
    n_jobs: int = 1,
    max_train_rows: int | str | None = "auto",
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
        it), or None for all. ``"auto"`` is the cap for ``"standard"``, and of networks all.
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
    >>> import numpy as np
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
    if max_train_rows == "auto":
        max_train_rows = "standard" if spec.network is None else None
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


_TASKS = ("regression", "classification", "representation", "generation", "control")
