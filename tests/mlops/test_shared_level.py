"""Columns and all of them together share one level: what is claimed of an unchanged table, and what is outside the sharing."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from huracan.mlops.drift_report import ColumnDrift, JointDrift
from huracan.mlops.shared_level import decided
from huracan.statistics.multiple_testing import CORRECTIONS, Correction, adjust_p_values


def columns_of(p_values: list[float]) -> list[ColumnDrift]:
    return [ColumnDrift(f"x{i}", "number", p_value=p) for i, p in enumerate(p_values)]


@pytest.mark.parametrize("correction", ["fdr_by", "fdr_bh", "holm", "bonferroni", "hochberg"])
def test_where_nothing_drifted_anything_is_claimed_as_rarely_as_asked(correction: Correction) -> None:
    """With nothing drifted, the share of false claims is the chance of any."""
    rng, claimed = np.random.default_rng(0), 0
    for p_values in rng.random((2_000, 9)).tolist():
        columns, joint = decided(columns_of(p_values[:-1]), JointDrift(p_values[-1], False), correction=correction, alpha=0.1)
        claimed += joint.drifted or any(column.drifted for column in columns)
    assert claimed <= binom.ppf(0.999, 2_000, 0.1)


@pytest.mark.parametrize("correction", CORRECTIONS)
def test_alone_each_has_the_whole_level(correction: Correction) -> None:
    p_values = [0.001, 0.02, 0.4]
    columns, joint = decided(columns_of(p_values), None, correction=correction, alpha=0.05)
    assert joint is None
    assert [column.q_value for column in columns] == adjust_p_values(p_values, correction).tolist()
    untested = JointDrift(None, False, note="one column")
    assert decided(columns_of(p_values), untested, correction=correction, alpha=0.05) == (columns, untested)
    _, alone = decided([], JointDrift(0.04, False), correction=correction, alpha=0.05)
    assert alone is not None and (alone.q_value, alone.drifted) == (0.04, True)


def test_what_is_certain_and_what_cannot_be_shown_are_outside_the_correction() -> None:
    tested = columns_of([0.01, 0.3])
    certain = ColumnDrift("gone", "number", p_value=0.2, drifted=True, note="no value")
    blind = ColumnDrift("slow", "number", p_value=0.06, testable=False, needed=900)
    columns, _ = decided([*tested, certain, blind], None, correction="fdr_by", alpha=0.05)
    assert columns[:2] == decided(tested, None, correction="fdr_by", alpha=0.05)[0]
    assert columns[2].drifted and (columns[2].p_value, columns[2].q_value) == (None, None)
    assert not columns[3].drifted and (columns[3].p_value, columns[3].q_value) == (0.06, None)
