"""Ready features instead of candles: train, choose on validation, judge on test."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray
from threadpoolctl import threadpool_limits

from huracan.accounting import CostModel, PositionPolicy, performance_metrics
from huracan.baselines.ab_testing import Comparison, compare_models
from huracan.catalogue import find_learner, signal_score
from huracan.config import HuracanConfig
from huracan.dataset import TimeSource, TrainingSet
from huracan.errors import DataError, HuracanError, ModelError, NotEnoughData
from huracan.integration.judging import BASELINE, Scale, tune
from huracan.integration.out_of_fold import fit_learner
from huracan.integration.results import NotRun, PipelineResult, not_run
from huracan.logs import stage
from huracan.preprocessing import EnhancedPreprocessor
from huracan.validation import classification_metrics, rank_information_coefficient, regression_metrics

__all__ = ["run_on_arrays"]

Task = Literal["regression", "classification"]
_PARTS = ("train", "val", "test")


def run_on_arrays(
    config: HuracanConfig,
    *,
    X_train: Any,
    y_train: Any,
    X_val: Any,
    y_val: Any,
    X_test: Any,
    y_test: Any,
    ts: Mapping[str, ArrayLike] | None = None,
    label_end: Mapping[str, ArrayLike] | None = None,
    prices: Mapping[str, ArrayLike] | None = None,
    label_horizon: int | None = None,
) -> PipelineResult:
    """Train every learner of the profile, set scales on validation, judge on test.

    The three parts follow each other in time: rows of one part whose label is not known before the next part begins
    are left out. A label with two distinct values is a class, anything else a number.

    Parameters
    ----------
    X_train, X_val, X_test : pandas or polars frames, or arrays, (n, d); missing values are filled by what the training part
        teaches. y_train, y_val, y_test : (n,).
    ts, label_end : ``{"train": ..., "val": ..., "test": ...}``, times of the rows and of their labels, UTC; else a time
        index of X, else the order of the rows and ``label_horizon``.
    prices : the same keys, open price of each row's bar; without them there is no net result.
    label_horizon : bars a label looks ahead; by default ``labels.horizon`` of the configuration.

    Returns
    -------
    PipelineResult, with ``result["evaluation"]["metrics"]`` one row a learner, ``result["predictions"]`` those of the champion,
    or of the baseline where none is crowned.

    Raises
    ------
    DataError, ModelError : which part, column or row is wrong, and what was expected.
    """
    data = {"train": (X_train, y_train), "val": (X_val, y_val), "test": (X_test, y_test)}
    labels, task, classes = _labels({part: y for part, (_, y) in data.items()})
    horizon = label_horizon or config.labels.horizon
    with stage("preprocessing"):
        preprocessor = EnhancedPreprocessor()
        features = {part: _features(preprocessor, X, part) for part, (X, _) in data.items()}
        parts = {
            part: _rows(part, features[part], X, labels[part], ts, label_end, prices, horizon) for part, (X, _) in data.items()
        }
        parts = _consecutive(parts, horizon)
        parts, purged = _purge(parts)
    with stage("training"):
        trained, failures = _train(config, parts["train"], task)
    mean = float(np.mean(np.concatenate([parts["train"].y, parts["val"].y])))
    with stage("judging"):
        judged = {name: _forecast(model, parts["val"], parts["test"], task) for name, model in trained.items()}
        metrics = _metrics(judged, parts["test"], task, mean)
        comparison = _compare(config, judged, parts["test"], mean)
    champion = comparison.decision if isinstance(comparison, Comparison) and comparison.decision in judged else None
    net = _net(config, judged, parts, horizon) if prices is not None else not_run("no prices were given: no net result")
    verdict = _verdict(comparison, champion)
    later = "drift detection and the feedback loop are not part of this version"
    forecast = judged[champion].test if champion else np.full(len(parts["test"]), mean)
    predictions: dict[str, Any] = {"model": champion or BASELINE, "forecast": forecast, "ts": parts["test"].ts}
    if task == "classification":
        predictions |= {"classes": classes, "predicted": np.asarray(classes, dtype=object)[(forecast > 0.5).astype(int)]}
    return PipelineResult(
        stages={
            "preprocessing": {
                "task": task,
                "rows": {part: len(rows) for part, rows in parts.items()},
                "purged": purged,
                "columns": list(parts["train"].feature_names),
                "time_source": parts["train"].time_source.value,
                "label_horizon": horizon,
                "preprocessor": preprocessor,
            },
            "training": {
                name: {"model": trained.get(name), "failure": failures.get(name)} for name in config.active_profile.learners
            },
            "evaluation": {"metrics": metrics, "net": net},
            "ab_testing": comparison,
            "predictions": predictions,
            "drift_detection": not_run(later),
            "should_retrain": not_run(later),
            "feedback": not_run(later),
            "performance_report": {"verdict": verdict, "leaderboard": metrics},
        },
        verdict=verdict,
        champion=champion,
        deserves_money=isinstance(net, pl.DataFrame) and _earns(net, champion),
        result_hash=_hash(judged, champion),
    )


@dataclass(frozen=True)
class _Forecasts:
    """A learner's score on validation and test, and its test forecast in the unit of the label."""

    val_score: NDArray[np.float64]
    test_score: NDArray[np.float64]
    test: NDArray[np.float64]


def _labels(given: Mapping[str, Any]) -> tuple[dict[str, NDArray[np.float64]], Task, tuple[Any, ...]]:
    arrays = {part: np.asarray(y.to_numpy() if hasattr(y, "to_numpy") else y).reshape(-1) for part, y in given.items()}
    values = sorted(set(arrays["train"].tolist()), key=str)
    if len(values) == 1:
        raise ModelError(f"y_train holds only the value {values[0]!r}; at least two different ones were expected.")
    if len(values) == 2:
        classes = tuple(sorted(values)) if not isinstance(values[0], str) else tuple(values)
        for part, array in arrays.items():
            other = [v for v in set(array.tolist()) if v not in classes]
            if other:
                raise DataError(
                    f"y_{part} holds {other[0]!r}, which y_train does not; {classes[0]!r} or {classes[1]!r} was expected."
                )
        return {part: (array == classes[1]).astype(np.float64) for part, array in arrays.items()}, "classification", classes
    numbers = {}
    for part, array in arrays.items():
        try:
            numbers[part] = array.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise DataError(f"y_{part} is neither numbers nor two classes: {error}.") from error
    return numbers, "regression", ()


def _features(preprocessor: EnhancedPreprocessor, X: Any, part: str) -> Any:
    try:
        return preprocessor.fit(X).transform(X) if part == "train" else preprocessor.transform(X)
    except ValueError as error:  # scikit-learn's own checks raise plain ones
        raise DataError(f"X_{part}: {error}") from error


def _rows(
    part: str,
    features: Any,
    X: Any,
    y: NDArray[np.float64],
    ts: Mapping[str, ArrayLike] | None,
    label_end: Mapping[str, ArrayLike] | None,
    prices: Mapping[str, ArrayLike] | None,
    horizon: int,
) -> TrainingSet:
    for name, given in (("ts", ts), ("label_end", label_end), ("prices", prices)):
        missing = [p for p in _PARTS if given is not None and p not in given]
        if missing:
            raise DataError(f"{name} lacks '{missing[0]}'; train, val and test were expected.")
    try:
        return TrainingSet.from_arrays(
            features,
            y,
            ts=None if ts is None else ts[part],
            label_end=None if label_end is None else label_end[part],
            prices=None if prices is None else prices[part],
            label_horizon=horizon,
        )
    except DataError as error:
        raise type(error)(f"{part}: {error}") from error


def _consecutive(parts: dict[str, TrainingSet], horizon: int) -> dict[str, TrainingSet]:
    """Parts whose time is the order of their rows are put one behind the other; given times must already be so."""
    placed: dict[str, TrainingSet] = {}
    before: TrainingSet | None = None
    for part in _PARTS:
        rows = parts[part]
        if not len(rows):
            raise NotEnoughData(f"X_{part} has no rows; at least one was expected.")
        if before is not None:
            if rows.time_source is TimeSource.ROW_ORDER:
                shift = before.ts[-1] + rows.bar_length - rows.ts[0]
                rows = replace(
                    rows, ts=rows.ts + shift, decision_time=rows.decision_time + shift, label_end=rows.label_end + shift
                )
            elif rows.ts[0] <= before.ts[-1]:
                raise DataError(
                    f"{part} begins at {rows.ts[0]}, before the part in front of it ends ({before.ts[-1]}); "
                    "train, validation and test must follow each other in time."
                )
        placed[part] = before = rows
    return placed


def _purge(parts: dict[str, TrainingSet]) -> tuple[dict[str, TrainingSet], dict[str, int]]:
    """Drop rows whose label is not known strictly before the next part's first decision."""
    kept, purged = {"test": parts["test"]}, {}
    for part, following in (("train", "val"), ("val", "test")):
        known = parts[part].label_end < parts[following].decision_time[0]
        kept[part], purged[part] = parts[part].take(known), int((~known).sum())
        if not known.any():
            raise NotEnoughData(
                f"every row of {part} has a label that ends after {following} begins; fewer bars ahead were expected."
            )
    return kept, purged


def _train(config: HuracanConfig, rows: TrainingSet, task: Task) -> tuple[dict[str, Any], dict[str, str]]:
    def fit(name: str) -> Any:
        settings = config.active_profile.learners[name]
        if task not in find_learner(name).tasks:
            return f"{name} does no {task}"
        try:
            return fit_learner(name, settings.model_copy(update={"task": task}), rows, seed=config.seed)
        except HuracanError as error:
            return str(error)

    names = list(config.active_profile.learners)
    with threadpool_limits(limits=1), ThreadPoolExecutor(config.training.n_jobs) as pool:
        results = dict(zip(names, pool.map(fit, names)))
    trained = {name: model for name, model in results.items() if not isinstance(model, str)}
    failures = {name: reason for name, reason in results.items() if isinstance(reason, str)}
    if not trained:
        name, reason = next(iter(failures.items()))
        raise ModelError(f"none of {len(names)} learners could be trained; {name}: {reason}")
    return trained, failures


def _forecast(model: Any, val: TrainingSet, test: TrainingSet, task: Task) -> _Forecasts:
    """Scores, and the forecast a line fitted on validation makes of them; so every learner speaks in the label's unit."""
    before, now = signal_score(model, val.X), signal_score(model, test.X)
    if task == "classification":
        return _Forecasts(before, now, Scale.learn(before, val.y > 0).probability(now))
    spread = float(np.std(before))
    slope = float(np.cov(before, val.y, bias=True)[0, 1]) / spread**2 if spread > 0 else 0.0
    return _Forecasts(before, now, float(np.mean(val.y)) + slope * (now - float(np.mean(before))))


def _metrics(judged: Mapping[str, _Forecasts], test: TrainingSet, task: Task, mean: float) -> pl.DataFrame:
    entries = []
    for name, one in {**judged, BASELINE: None}.items():
        forecast = np.full(len(test), mean) if one is None else one.test
        scored = (
            classification_metrics(test.y, forecast)
            if task == "classification"
            else regression_metrics(test.y, forecast, constant=mean)
        )
        rank = 0.0 if one is None else rank_information_coefficient(one.test_score, test.y)
        entries.append({"learner": name, "loss": float(np.mean((test.y - forecast) ** 2)), "rank_ic": rank, **scored})
    frame = pl.DataFrame(entries)
    return frame.with_columns(pl.col(pl.Float64).fill_nan(None)).sort("loss", "learner")


def _compare(config: HuracanConfig, judged: Mapping[str, _Forecasts], test: TrainingSet, mean: float) -> Comparison | NotRun:
    """Squared error (for classes the Brier score) of every learner that is no constant, against the constant."""
    losses = {name: (test.y - one.test) ** 2 for name, one in judged.items() if np.ptp(one.test) > 0}
    if not losses:
        return not_run("every learner forecasts the same for every row")
    losses[BASELINE] = (test.y - mean) ** 2
    try:
        return compare_models(
            losses,
            baseline=BASELINE,
            times=test.decision_time,
            alpha=config.comparison.alpha,
            correction=config.comparison.correction,
        )
    except NotEnoughData as error:
        return not_run(str(error))


def _net(
    config: HuracanConfig, judged: Mapping[str, _Forecasts], parts: Mapping[str, TrainingSet], horizon: int
) -> pl.DataFrame | NotRun:
    """First-order account on test: position times execution return, less costs on changes of position."""
    costs, template = CostModel(**config.costs.model_dump()), PositionPolicy(**config.policy.model_dump())
    val, test = parts["val"], parts["test"]
    if template.volatility_target is not None:
        return not_run("a volatility target needs candles; prices alone carry no volatility of each bar")
    assert test.execution_return is not None
    bars_per_year = float(np.timedelta64(365 * 86_400_000, "ms") / test.bar_length)
    entries = []
    for name, one in judged.items():
        try:
            policy = tune(val, one.val_score, costs, template, horizon=horizon)
        except NotEnoughData as error:
            return not_run(f"no position policy could be chosen on validation: {error}")
        position = policy.targets(one.test_score)
        traded = np.abs(np.diff(position, prepend=0.0))
        net = position * test.execution_return / horizon - traded * costs.per_side_bps / 10_000.0
        figures = performance_metrics(net, bars_per_year=bars_per_year)
        kept = ("total_return", "sharpe", "sharpe_ci_low", "sharpe_ci_high", "max_drawdown")
        entries.append({"learner": name, **{key: figures[key] for key in kept}, "turnover": float(traded.mean())})
    return pl.DataFrame(entries).with_columns(pl.col(pl.Float64).fill_nan(None)).sort("sharpe", descending=True)


def _earns(net: pl.DataFrame, champion: str | None) -> bool:
    low = net.filter(pl.col("learner") == champion)["sharpe_ci_low"]
    return bool(len(low) and low[0] is not None and low[0] > 0)


def _verdict(comparison: Comparison | NotRun, champion: str | None) -> str:
    if not isinstance(comparison, Comparison):
        return f"Keep the baseline: nothing can be compared ({comparison['reason']})."
    return comparison.sentence if champion else f"Keep the baseline: {comparison.sentence}"


def _hash(judged: Mapping[str, _Forecasts], champion: str | None) -> str:
    digest = hashlib.sha256(str(champion).encode())
    for name in sorted(judged):
        digest.update(name.encode() + np.ascontiguousarray(judged[name].test).tobytes())
    return digest.hexdigest()
