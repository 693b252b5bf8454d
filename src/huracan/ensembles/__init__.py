"""The meta-layer: out-of-fold predictions, weights, stacking, calibration and intervals that keep time order.

A tour: :func:`out_of_fold_predictions` makes what everything else learns from; :func:`greedy_weights`,
:func:`inverse_loss_weights`, :class:`RegimeWeights` and :class:`Hedge` weigh members; :class:`EnsembleRegressor`,
:class:`EnsembleClassifier` and the time-ordered stackers answer as one model; :class:`SigmoidCalibrator`,
:class:`IsotonicCalibrator` and :class:`AdaptiveConformal` say how sure that answer is; :func:`assert_out_of_fold` refuses
predictions whose models had seen the answer. :func:`rank_features` and :class:`SelectedFeaturesRegressor` choose features
inside each fit.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from huracan.ensembles.calibration import IsotonicCalibrator, SigmoidCalibrator
    from huracan.ensembles.conformal import AdaptiveConformal, Intervals
    from huracan.ensembles.ensemble import EnsembleClassifier, EnsembleRegressor
    from huracan.ensembles.feature_ranking import rank_features
    from huracan.ensembles.greedy import greedy_weights
    from huracan.ensembles.hedge import Hedge, hedge_weights
    from huracan.ensembles.leak_check import ForesightTest, assert_out_of_fold, foresight_test
    from huracan.ensembles.out_of_fold import OutOfFold, out_of_fold_predictions
    from huracan.ensembles.parts import ensemble_from_parts
    from huracan.ensembles.selected_features import SelectedFeaturesClassifier, SelectedFeaturesRegressor
    from huracan.ensembles.stacking import TimeOrderedStackingClassifier, TimeOrderedStackingRegressor
    from huracan.ensembles.weighting import RegimeWeights, equal_weights, inverse_loss_weights

_HOME = {
    "AdaptiveConformal": "conformal",
    "EnsembleClassifier": "ensemble",
    "EnsembleRegressor": "ensemble",
    "ForesightTest": "leak_check",
    "Hedge": "hedge",
    "Intervals": "conformal",
    "IsotonicCalibrator": "calibration",
    "OutOfFold": "out_of_fold",
    "RegimeWeights": "weighting",
    "SigmoidCalibrator": "calibration",
    "SelectedFeaturesClassifier": "selected_features",
    "SelectedFeaturesRegressor": "selected_features",
    "TimeOrderedStackingClassifier": "stacking",
    "TimeOrderedStackingRegressor": "stacking",
    "assert_out_of_fold": "leak_check",
    "ensemble_from_parts": "parts",
    "equal_weights": "weighting",
    "foresight_test": "leak_check",
    "greedy_weights": "greedy",
    "hedge_weights": "hedge",
    "inverse_loss_weights": "weighting",
    "out_of_fold_predictions": "out_of_fold",
    "rank_features": "feature_ranking",
}

__all__ = [
    "AdaptiveConformal",
    "EnsembleClassifier",
    "EnsembleRegressor",
    "ForesightTest",
    "Hedge",
    "Intervals",
    "IsotonicCalibrator",
    "OutOfFold",
    "RegimeWeights",
    "SelectedFeaturesClassifier",
    "SelectedFeaturesRegressor",
    "SigmoidCalibrator",
    "TimeOrderedStackingClassifier",
    "TimeOrderedStackingRegressor",
    "assert_out_of_fold",
    "ensemble_from_parts",
    "equal_weights",
    "foresight_test",
    "greedy_weights",
    "hedge_weights",
    "inverse_loss_weights",
    "out_of_fold_predictions",
    "rank_features",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
