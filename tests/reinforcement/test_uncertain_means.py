"""Means over time: one bootstrap for all strategies is the bootstrap of each, and p-values allow for all looks."""

import numpy as np
import pytest
from scipy.signal import lfilter

from huracan.errors import DataError
from huracan.reinforcement.uncertain_means import bootstrapped_over_time
from huracan.statistics import block_bootstrap, optimal_block_length


def test_one_bootstrap_for_all_is_that_of_each_in_blocks_of_the_longest_memory():
    noise = np.random.default_rng(0).standard_normal((2, 400))
    series = {"agent": noise[0], "slow": lfilter([1], [1, -0.8], noise[1]), "flat": np.zeros(400), "paid": np.full(400, 1e-4)}
    found = bootstrapped_over_time(series, 0.9, 500, 3)
    longest = optimal_block_length(series["slow"]).stationary
    assert longest > optimal_block_length(series["agent"]).stationary
    for name in ("agent", "slow"):
        alone = block_bootstrap(series[name], block_length=longest, resamples=500, confidence=0.9, seed=3)
        ends = [found[name]["bootstrap_low"], found[name]["bootstrap_high"]]
        np.testing.assert_allclose(ends, np.array([alone.ci_low, alone.ci_high]) * 1e4, rtol=1e-9)
    assert set(found["flat"].values()) == {0.0}
    assert list(found["paid"].values()) == pytest.approx([1.0, 1.0])
    assert list(found) == list(series)
    with pytest.raises(DataError, match="resamples"):
        bootstrapped_over_time(series, 0.99, 10, 0)
