"""The band of a running loss difference is left as often as it says."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import lfilter

from huracan.errors import DataError, NotEnoughData
from huracan.statistics import loss_path
from huracan.statistics.loss_path import _line


def test_the_line_is_that_of_brown_durbin_and_evans() -> None:
    # JRSS B 37 (1975), section 2.3: .850, .948 and 1.143 at 10, 5 and 1 %
    assert [round(_line(alpha), 3) for alpha in (0.10, 0.05, 0.01)] == [0.850, 0.948, 1.143]


@pytest.mark.parametrize("memory", [0.0, 0.5, 0.9])
def test_equal_models_leave_the_band_with_the_probability_it_names(memory: float) -> None:
    rng = np.random.default_rng(0)
    series = lfilter([1], [1, -memory], rng.standard_normal((600, 1_200)))[:, 200:]
    left = np.mean([loss_path(one).first_left is not None for one in series])
    assert 0.015 <= left <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 600)


def test_a_lead_that_began_late_is_dated_after_it_began() -> None:
    lead = np.where(np.arange(2_000) < 200, 0.0, 0.2)
    found = [loss_path(np.random.default_rng(seed).standard_normal(2_000) + lead) for seed in range(40)]
    dated = [one.first_left for one in found if one.first_left is not None]
    assert len(dated) >= 32
    assert min(dated) > 200
    np.testing.assert_allclose(found[0].cumulative, (np.random.default_rng(0).standard_normal(2_000) + lead).cumsum())


def test_what_remembers_too_long_has_no_band() -> None:
    found = loss_path(np.random.default_rng(1).standard_normal(1_000).cumsum())
    assert (found.decidable, found.first_left) == (False, None)
    assert np.isinf(found.band).all()


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(NotEnoughData, match="at least 20"):
        loss_path(np.arange(5.0))
    with pytest.raises(DataError, match="alpha is 0"):
        loss_path(np.arange(50.0), alpha=0)
    with pytest.raises(DataError, match="one series was expected"):
        loss_path(np.random.default_rng(0).normal(size=(3, 50)))
