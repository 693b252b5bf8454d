"""Honest evaluation: purged splits, a locked hold-out, metrics, look-ahead detection, overfitting control."""

from __future__ import annotations

from huracan.validation.calibration import Calibration, calibration_table
from huracan.validation.causality import CausalReport, assert_causal
from huracan.validation.combinatorial import CombinatorialPurgedCV
from huracan.validation.folds import Fold
from huracan.validation.hold_out import HoldOut, lock_hold_out
from huracan.validation.k_fold import PurgedKFold
from huracan.validation.leak_checks import assert_fit_ignores_test, assert_purged
from huracan.validation.metrics import (
    classification_metrics,
    directional_payoff,
    information_coefficient_series,
    rank_information_coefficient,
    regression_metrics,
    score_metrics,
)
from huracan.validation.overfitting import (
    DeflatedSharpe,
    EffectiveTrials,
    OverfittingReport,
    SharpeRatio,
    deflated_sharpe_ratio,
    effective_number_of_trials,
    expected_maximum_sharpe,
    minimum_track_record_length,
    probabilistic_sharpe_ratio,
    probability_of_backtest_overfitting,
    sharpe_ratio_inference,
)
from huracan.validation.walk_forward import PurgedWalkForward

__all__ = [
    "Calibration",
    "CausalReport",
    "CombinatorialPurgedCV",
    "DeflatedSharpe",
    "EffectiveTrials",
    "Fold",
    "HoldOut",
    "OverfittingReport",
    "PurgedKFold",
    "PurgedWalkForward",
    "SharpeRatio",
    "assert_causal",
    "assert_fit_ignores_test",
    "assert_purged",
    "calibration_table",
    "classification_metrics",
    "deflated_sharpe_ratio",
    "directional_payoff",
    "effective_number_of_trials",
    "expected_maximum_sharpe",
    "information_coefficient_series",
    "lock_hold_out",
    "minimum_track_record_length",
    "probabilistic_sharpe_ratio",
    "probability_of_backtest_overfitting",
    "rank_information_coefficient",
    "regression_metrics",
    "score_metrics",
    "sharpe_ratio_inference",
]
