"""Inference that holds on autocorrelated data: who uses it, and where each piece lives.

Means over time and their tests (``ewc``, ``all_pairs``), many models (``romano_wolf``, ``superior_ability``,
``confidence_set``, ``simultaneous``), decisions while data arrives (``sequential``), forecasts and Sharpe ratios
(``forecast_comparison``, ``sharpe_difference``), the block bootstrap, runs on tasks (``interquartile``), distributions of a
window and of a reference (``quantile_indicators``, ``supremum``, ``quadratic_forms``), and the textbook tests for independent
observations (``two_samples``, ``kolmogorov_smirnov``, ``effect_sizes``, ``power``).
"""

from __future__ import annotations

from huracan.statistics.all_pairs import ewc_t_test_pairs
from huracan.statistics.bootstrap import (
    BlockLength,
    Blocks,
    BootstrapInterval,
    block_bootstrap,
    draw_blocks,
    optimal_block_length,
)
from huracan.statistics.clustering import average_by_time
from huracan.statistics.confidence_set import ModelConfidenceSet, model_confidence_set
from huracan.statistics.effect_sizes import EffectSize, cliffs_delta, cohens_d, common_language, hedges_g, rank_biserial
from huracan.statistics.ewc import Alternative, EwcTest, effective_sample_size, ewc_long_run_variance, ewc_t_test
from huracan.statistics.forecast_comparison import DieboldMariano, GiacominiWhite, diebold_mariano, giacomini_white
from huracan.statistics.interquartile import (
    PerformanceProfile,
    StratifiedInterval,
    interquartile_mean,
    performance_profile,
    probability_of_improvement,
    stratified_bootstrap_interval,
)
from huracan.statistics.kolmogorov_smirnov import KolmogorovSmirnov, kolmogorov_smirnov
from huracan.statistics.loss_path import LossPath, loss_path
from huracan.statistics.multiple_testing import CORRECTIONS, Correction, adjust_p_values
from huracan.statistics.persistence import choose_n_cosines, default_n_cosines
from huracan.statistics.power import SampleSize, mann_whitney_power, mann_whitney_sample_size, t_test_power, t_test_sample_size
from huracan.statistics.power_over_time import mean_difference_power, observations_needed
from huracan.statistics.romano_wolf import RomanoWolf, romano_wolf
from huracan.statistics.sequential import Better, SequentialComparison
from huracan.statistics.sequential_mean import SequentialMean, Side
from huracan.statistics.sharpe_difference import SharpeDifference, sharpe_difference_test
from huracan.statistics.simultaneous import SimultaneousIntervals, simultaneous_intervals
from huracan.statistics.superior_ability import SuperiorAbility, superior_ability
from huracan.statistics.two_samples import MannWhitney, TTest, Wilcoxon, mann_whitney, t_test, wilcoxon

__all__ = [
    "CORRECTIONS",
    "Alternative",
    "Better",
    "BlockLength",
    "Blocks",
    "BootstrapInterval",
    "Correction",
    "DieboldMariano",
    "EffectSize",
    "EwcTest",
    "GiacominiWhite",
    "KolmogorovSmirnov",
    "LossPath",
    "MannWhitney",
    "ModelConfidenceSet",
    "PerformanceProfile",
    "RomanoWolf",
    "SampleSize",
    "SequentialComparison",
    "SequentialMean",
    "SharpeDifference",
    "Side",
    "SimultaneousIntervals",
    "StratifiedInterval",
    "SuperiorAbility",
    "TTest",
    "Wilcoxon",
    "adjust_p_values",
    "average_by_time",
    "block_bootstrap",
    "choose_n_cosines",
    "cliffs_delta",
    "cohens_d",
    "common_language",
    "default_n_cosines",
    "diebold_mariano",
    "draw_blocks",
    "effective_sample_size",
    "ewc_long_run_variance",
    "ewc_t_test",
    "ewc_t_test_pairs",
    "giacomini_white",
    "hedges_g",
    "interquartile_mean",
    "kolmogorov_smirnov",
    "loss_path",
    "mann_whitney",
    "mann_whitney_power",
    "mann_whitney_sample_size",
    "mean_difference_power",
    "model_confidence_set",
    "observations_needed",
    "optimal_block_length",
    "performance_profile",
    "probability_of_improvement",
    "rank_biserial",
    "romano_wolf",
    "sharpe_difference_test",
    "simultaneous_intervals",
    "stratified_bootstrap_interval",
    "superior_ability",
    "t_test",
    "t_test_power",
    "t_test_sample_size",
    "wilcoxon",
]
