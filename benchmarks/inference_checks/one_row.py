"""One row of 40 features, or one window of 32 bars, to an answer: equal to the model first, then microseconds.

:func:`measure` gives the part of the page, and what falls short of its bar.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import markdown_table
from benchmarks.online import FORTY, candles_of
from huracan.catalogue import build_model
from huracan.dataset import TrainingSet
from huracan.labels import forward_return_labels
from huracan.registry.exports import TOLERANCE, Scorer, export_checked, make_scorer

__all__ = ["measure"]

MARKET, TRAINED, ASKED = "LINK-USDT", 12_000, 1_000
ROUNDS = 9
WINDOW = 32


@dataclass(frozen=True)
class _Case:
    """A learner, how it is built, its bar in microseconds, and how much quicker than the library's own call it has to be."""

    title: str
    learner: str
    settings: dict[str, Any]
    most: float
    least_ratio: float | None = None


CASES = (
    _Case("logistic regression", "logistic_regression", {}, 25.0, 10.0),
    _Case("random forest, 100 trees", "random_forest", {"n_estimators": 100}, 40.0),
    _Case("LightGBM, 100 trees", "lightgbm", {"n_rounds": 100}, 30.0),
    _Case("XGBoost, 100 trees", "xgboost", {"n_rounds": 100}, 30.0, 10.0),
    _Case("LSTM, 2 x 64 on 32 bars", "lstm", {"hidden": 64, "n_blocks": 2}, 250.0, 2.0),
    _Case("CNN of default width on 32 bars", "cnn", {}, 100.0),
    _Case("Transformer, 2 layers of 32 on 32 bars", "transformer", {"hidden": 32, "n_blocks": 2}, 250.0),
)


@dataclass(frozen=True)
class _Ready:
    """A model, its scorer, what to ask, and the library's own call for the same row."""

    case: _Case
    scorer: Scorer
    difference: float
    rows: NDArray[np.float32]
    native: Callable[[NDArray[np.float32]], Any]


def measure() -> tuple[str, list[str]]:
    """Check, then measure; the text, and what falls short."""
    ready = [_prepare(case) for case in CASES]
    ours: dict[str, list[NDArray[np.float64]]] = {one.case.title: [] for one in ready}
    native: dict[str, list[NDArray[np.float64]]] = {one.case.title: [] for one in ready}
    for _ in range(ROUNDS):
        for one in ready:
            ours[one.case.title].append(_times(one.scorer.one, one.rows))
            native[one.case.title].append(_times(one.native, one.rows[:100]))
    table, short = [], []
    for one in ready:
        case, mine = one.case, np.array(ours[one.case.title])
        p50, p99 = (float(np.median(np.percentile(mine, q, axis=1))) for q in (50, 99))
        quickest = float(np.percentile(mine.min(axis=0), 50))
        theirs = float(np.median(np.percentile(native[case.title], 50, axis=1)))
        ratio = theirs / p50
        bar = "-" if case.least_ratio is None else f"{case.least_ratio:g}x"
        numbers = [f"{x:.1f}" for x in (p50, p99, quickest)]
        table.append(
            [case.title, f"{one.difference:.0e}", *numbers, f"{case.most:g}", f"{theirs:.0f}", f"{ratio:.1f}x", bar],
        )
        if p50 > case.most:
            short.append(f"{case.title}: p50 {p50:.1f} us, at most {case.most:g} was expected")
        if case.least_ratio is not None and ratio < case.least_ratio:
            short.append(f"{case.title}: {ratio:.1f}x the native call, at least {case.least_ratio:g}x was expected")
    header = ["learner", "difference", "p50", "p99", "quickest p50", "bar of p50", "native p50", "ratio", "bar of ratio"]
    text = (
        "## One row\n\n"
        f"`Scorer.one` in one thread on {ASKED:,} real rows of {len(FORTY)} features, microseconds: the median of {ROUNDS} "
        "rounds with learners in turn, and each row in its quickest round. Native is the library's own call in those rounds, "
        "without our checks of inputs: scikit-learn's `predict_proba`, `XGBClassifier.predict_proba`, LightGBM's "
        "`Booster.predict`, PyTorch in inference mode. The difference is the largest on those rows, one by one and in batch, "
        f"from what the model itself says; bar {TOLERANCE:g}.\n\n" + markdown_table(header, table)
    )
    return text, short


def _prepare(case: _Case) -> _Ready:
    rows = _rows()
    fitted, asked = rows.take(slice(0, TRAINED)), rows.take(slice(TRAINED, TRAINED + ASKED + WINDOW - 1))
    network = {"window": WINDOW, "max_epochs": 2} if case.learner in ("lstm", "cnn", "transformer") else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = build_model(case.learner, task="classification", **case.settings, **network).fit(fitted)
        export = export_checked(model, fitted)
    assert export.engine == "onnx", f"{case.title}: {export.reason}"
    scorer = make_scorer(model, export, export.onnx)
    assert scorer.engine == "onnx", f"{case.title}: {scorer.reason}"
    windows = np.lib.stride_tricks.sliding_window_view(asked.X, WINDOW, axis=0).transpose(0, 2, 1)
    given = np.ascontiguousarray(windows if network else asked.X[WINDOW - 1 :])
    said = model.predict_proba(given)
    alone = np.stack([scorer.one(row) for row in given])
    difference = max(
        float(np.abs(alone - said).max()), float(np.abs(scorer.many(given) - said).max()), export.difference or 0.0
    )
    assert difference <= TOLERANCE, f"{case.title}: {difference:.1e} from the model itself"
    return _Ready(case, scorer, difference, given, _native(model))


def _rows() -> TrainingSet:
    candles = candles_of(MARKET, TRAINED + ASKED + 2_000)
    return TrainingSet.from_candles(candles, recipe=FORTY, labels=forward_return_labels(candles, horizon=12))


def _native(model: Any) -> Callable[[NDArray[np.float32]], Any]:
    """The library's own call for one row, given what it needs: no scaling, no checks of ours."""
    inner, name = model.estimator_, model.spec.name
    if name == "xgboost":
        import xgboost

        classifier = xgboost.XGBClassifier(n_jobs=1)
        classifier.load_model(bytearray(inner.save_raw("json")))
        return lambda row: classifier.predict_proba(row[None])
    if name == "lightgbm":
        return lambda row: inner.predict(row[None], num_threads=1)
    if hasattr(inner, "predict_proba"):
        return lambda row: inner.predict_proba(row[None])
    import torch

    def forward(window: NDArray[np.float32]) -> Any:
        with torch.inference_mode():
            return inner(torch.from_numpy(window[None])).numpy()

    torch.set_num_threads(1)
    return forward


def _times(call: Callable[[NDArray[np.float32]], Any], rows: NDArray[np.float32]) -> NDArray[np.float64]:
    times, clock = np.empty(len(rows)), time.perf_counter_ns
    for i, row in enumerate(rows):
        started = clock()
        call(row)
        times[i] = clock() - started
    return times / 1_000.0
