"""Small p-values are raised: in order, without a jump, and none that is not small."""

from __future__ import annotations

import numpy as np
import pytest

from huracan.mlops.honest_tails import cosines_for, honest_p_value


@pytest.mark.parametrize("n_cosines", [8, 14, 28])
def test_order_is_kept_and_nothing_is_lowered(n_cosines: int) -> None:
    p_values = np.geomspace(1e-300, 1.0, 20_000)
    raised = np.array([honest_p_value(p, n_cosines) for p in p_values])
    assert np.all(np.diff(raised) > 0) and np.all(raised >= p_values) and raised[-1] == 1.0
    assert np.all(np.diff(np.log(raised)) <= np.diff(np.log(p_values)) + 1e-12)  # without a jump
    ordinary = p_values >= 0.1
    assert np.array_equal(raised[ordinary], p_values[ordinary])


def test_a_shorter_window_has_more_cosines() -> None:
    cosines = [cosines_for(1_000, n) for n in range(20, 1_500)]
    assert cosines == sorted(cosines, reverse=True) and cosines[-1] == 8
