"""Inference that holds on autocorrelated data: long-run variance, EWC-t test, multiple testing, clustering by time."""

from __future__ import annotations

from huracan.statistics.clustering import average_by_time
from huracan.statistics.ewc import Alternative, EwcTest, effective_sample_size, ewc_long_run_variance, ewc_t_test
from huracan.statistics.multiple_testing import CORRECTIONS, Correction, adjust_p_values
from huracan.statistics.persistence import choose_n_cosines, default_n_cosines

__all__ = [
    "CORRECTIONS",
    "Alternative",
    "Correction",
    "EwcTest",
    "adjust_p_values",
    "average_by_time",
    "choose_n_cosines",
    "default_n_cosines",
    "effective_sample_size",
    "ewc_long_run_variance",
    "ewc_t_test",
]
