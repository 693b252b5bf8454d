"""What is kept with a model so that it can be served: what scores mean, how sure they are, what training rows were like."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from huracan.config import HuracanConfig
from huracan.dataset import TrainingSet
from huracan.ensembles import AdaptiveConformal
from huracan.errors import NotEnoughData
from huracan.integration.drift_stage import drift_detector, newest_stretch
from huracan.integration.judging import Judged
from huracan.integration.plan import Plan
from huracan.mlops.reference import REFERENCE_FILE
from huracan.model_info import FeatureSignature
from huracan.serving import SKETCH_FILE, TrainingSketch
from huracan.statistics.spread_rows import spread_rows

__all__ = ["attached_files", "attached_reference", "attached_sketch", "outlook_facts", "probe_rows", "serving_signature"]

_BEYOND = 3.0
_RECENT_MOMENTS = 250
_PROBED_SYMBOLS, _PROBED_BARS = 4, 250


def serving_signature(model: Any, rows: TrainingSet, recipe_hash: str | None) -> FeatureSignature:
    """Columns, range, window and bar of what a model was trained on."""
    used = rows.most_recent(model.model_info().max_train_rows)
    return FeatureSignature(
        columns=rows.feature_names,
        recipe_hash=recipe_hash,
        low=_short(used.X.min(axis=0)),
        high=_short(used.X.max(axis=0)),
        window=int(getattr(model, "history_bars", 0)) + 1,
        bar_length_ms=int(rows.bar_length / np.timedelta64(1, "ms")),
    )


def attached_files(config: HuracanConfig, model: Any, rows: TrainingSet) -> dict[str, bytes]:
    """What is kept with a model of the rows it was trained on: the sketch that knows what is far from them, and the reference
    that later windows are held against.
    """
    return {
        **attached_sketch(model, rows, outside_share=config.serving.outside_share),
        **attached_reference(config, rows),
    }


def attached_reference(config: HuracanConfig, rows: TrainingSet) -> dict[str, bytes]:
    """The reference of drift checks, of the newest ``drift.reference`` of the rows; none of fewer than 200 moments."""
    try:
        fitted = drift_detector(config).fit(newest_stretch(rows, config.drift.reference))
    except NotEnoughData:
        return {}
    return {REFERENCE_FILE: fitted.reference_.to_bytes()}


def attached_sketch(model: Any, rows: TrainingSet, *, outside_share: float) -> dict[str, bytes]:
    """The sketch of a model's training rows as a file to keep with it; none of fewer than 100 rows."""
    used = rows.most_recent(model.model_info().max_train_rows)
    try:
        return {SKETCH_FILE: TrainingSketch.of(used.X, used.feature_names, outside_share=outside_share).to_bytes()}
    except NotEnoughData:
        return {}


def probe_rows(model: Any, rows: TrainingSet) -> TrainingSet:
    """A copy of some of the newest rows, of four symbols at most, with unbroken windows: to check on them that a stored model
    is the model.
    """
    window = int(getattr(model, "history_bars", 0)) + 1
    some = np.flatnonzero(rows.symbol_code < _PROBED_SYMBOLS)
    return rows.take(some[-_PROBED_SYMBOLS * (window + _PROBED_BARS) :])


def outlook_facts(config: HuracanConfig, plan: Plan, judged: Judged) -> dict[str, Any]:
    """``{forecast, intervals}`` from the scores out of fold whose labels were known before the hold-out.

    ``forecast`` is the label as a line in the standardised score, by least squares: the same for regressors, probabilities and
    margins. ``intervals`` is the state of adaptive conformal intervals whose scores are the newest residuals over the
    volatility of a bar, all symbols together; of a label that is scaled by volatility already, the residuals as they are.
    Empty where scores do not vary.
    """
    at = plan.known_before(len(plan.folds))
    score, rows = judged.run.score[at], plan.times.take(at)
    scale = judged.scale
    if scale.spread == 0.0 or len(at) < 2:
        return {}
    z = np.clip((score - scale.center) / scale.spread, -_BEYOND, _BEYOND)
    slope = float(np.cov(z, rows.y)[0, 1] / np.var(z, ddof=1))
    intercept = float(rows.y.mean() - slope * z.mean())
    facts: dict[str, Any] = {"forecast": {"intercept": intercept, "slope": slope}}
    scaled = rows.volatility is not None and not config.labels.volatility_scaled
    size = rows.volatility if scaled and rows.volatility is not None else np.ones(len(rows))
    residuals = _newest(np.abs(rows.y - intercept - slope * z), size, rows)
    state = AdaptiveConformal(level=config.serving.interval_level).to_state()
    if len(residuals) >= state["warm_up"]:
        kept = {**state, "recent": residuals.tolist()}
        facts["intervals"] = {"scale": "volatility" if scaled else "none", "state": kept}
    return facts


def _newest(residual: NDArray[np.float64], size: NDArray[np.float64], rows: TrainingSet) -> NDArray[np.float64]:
    """Residuals in units of ``size`` of the last 250 moments, at most 250 of them, drawn from all symbols."""
    moments = np.unique(rows.decision_time)
    usable = (rows.decision_time >= moments[-min(_RECENT_MOMENTS, len(moments))]) & (size > 0)
    scores = residual[usable] / size[usable]
    some = spread_rows(len(scores), _RECENT_MOMENTS)
    return scores[-_RECENT_MOMENTS:] if some is None else scores[some]


def _short(values: NDArray[np.float32]) -> tuple[float, ...]:
    """The shortest decimals that are these float32 values."""
    return tuple(float(str(value)) for value in values)
