"""Corrected p-values equal those of statsmodels, and hold their error rates."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from huracan.errors import DataError
from huracan.statistics import adjust_p_values

ORACLE = {"holm": "holm", "bonferroni": "bonferroni", "hochberg": "simes-hochberg", "fdr_bh": "fdr_bh", "fdr_by": "fdr_by"}


@pytest.fixture(scope="module", autouse=True)
def few_objects_to_collect() -> Iterator[None]:
    """Statsmodels collects garbage in every call for Holm's method: a tenth of a second beside all that is loaded."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.parametrize("method", ORACLE)
@settings(deadline=None, max_examples=50)
@given(p=st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_equals_statsmodels(method, p):
    np.testing.assert_allclose(adjust_p_values(p, method), multipletests(p, method=ORACLE[method])[1], rtol=1e-12, atol=1e-300)


@settings(deadline=None, max_examples=50)
@given(p=st.lists(st.floats(0, 1), min_size=1, max_size=30), method=st.sampled_from([*ORACLE, "none"]))
def test_never_smaller_than_the_raw_and_in_the_same_order(p, method):
    adjusted = adjust_p_values(p, method)
    assert np.all(adjusted >= np.asarray(p) * (1 - 1e-12))
    assert np.all(adjusted <= 1.0)
    assert np.all(np.diff(adjusted[np.argsort(p, kind="stable")]) >= 0)


def test_empty_stays_empty_and_input_is_not_changed():
    assert adjust_p_values([]).shape == (0,)
    p = np.array([0.01, 0.2])
    adjust_p_values(p, "none")[0] = 1.0
    assert p[0] == 0.01


@pytest.mark.parametrize(
    ("p", "message"), [([0.1, np.nan], "p-value 1 is nan"), ([1.2], "p-value 0 is 1.2"), ([[0.1]], "2 dimensions")]
)
def test_what_is_no_p_value_is_refused(p, message):
    with pytest.raises(DataError, match=message):
        adjust_p_values(p)


def test_unknown_method_is_refused():
    with pytest.raises(DataError, match=r"'sidak'.*holm"):
        adjust_p_values([0.1], "sidak")
