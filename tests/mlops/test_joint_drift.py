"""All columns together: which changes move a direction, which do not, and how rarely unchanged tables alarm."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter
from scipy.stats import binom

from huracan.mlops.column_tests import TestSettings as Settings
from huracan.mlops.drift_report import JointDrift
from huracan.mlops.joint_drift import JointReference
from huracan.statistics.moments import Moments

SETTINGS = Settings(28, 19, 10, 0.05)
MIXING = np.linalg.cholesky(0.4 * np.eye(4) + 0.6)


def columns_of(table: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    return {f"x{i}": column for i, column in enumerate(np.ascontiguousarray(table.T))}


def of(table: NDArray[np.float64]) -> JointReference:
    made = JointReference.of(columns_of(table), Moments.each_row(len(table)), SETTINGS)
    assert isinstance(made, JointReference)
    return made


def held_against(made: JointReference, table: NDArray[np.float64]) -> JointDrift:
    return made.test(columns_of(table), Moments.each_row(len(table)), SETTINGS)


def storms(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    """Correlated columns that share one volatility, whose logarithm is an AR(.98)."""
    volatility = np.exp(0.6 * lfilter([np.sqrt(1 - 0.98**2)], [1.0, -0.98], rng.standard_normal(n + 500))[500:])
    return (rng.standard_normal((n, 4)) @ MIXING.T) * volatility[:, None]


def test_a_volatility_that_all_columns_share_is_no_change_of_their_structure() -> None:
    """At a quarter of the reference, where distances from the centre alarm on most windows."""
    rng, alarms = np.random.default_rng(0), 0
    for _ in range(40):
        table = storms(rng, 672 + 168)
        p_value = held_against(of(table[:672]), table[672:]).p_value
        alarms += p_value is not None and p_value <= 0.05
    assert alarms <= binom.ppf(0.999, 40, 0.05)


def test_rows_count_by_their_direction_alone() -> None:
    rng = np.random.default_rng(1)
    made, now = of(rng.standard_normal((1_000, 4)) @ MIXING.T), rng.standard_normal((100, 4)) @ MIXING.T
    stretched = made.median + (now - made.median) * rng.uniform(0.1, 1.5, (100, 1))
    assert np.allclose(made._scores(stretched), made._scores(now), atol=1e-12)
    assert np.all(made._scores(np.tile(made.median, (3, 1))) == 0.0)


def test_a_correlation_that_is_lost_or_turns_is_found_and_placed() -> None:
    rng = np.random.default_rng(2)
    made = of(rng.standard_normal((1_000, 4)) @ MIXING.T)
    lost = held_against(made, rng.standard_normal((200, 4)))
    assert lost.drifted and lost.where.startswith("leading axis of x")  # the common move is not there any more
    pair = of(rng.standard_normal((1_000, 2)) @ np.array([[1.0, 0.9], [0.0, 0.4]]))
    turned = held_against(pair, rng.standard_normal((200, 2)) @ np.array([[1.0, -0.9], [0.0, 0.4]]))
    assert turned.drifted and "trailing axis of x" in turned.where


def test_rows_whose_directions_remember_too_long_are_not_tested_and_take_no_share_of_the_level() -> None:
    rng = np.random.default_rng(4)
    level = lfilter([1.0], [1.0, -0.999], rng.standard_normal((1_100, 4)), axis=0)[100:]
    blind = held_against(of(level[:960]), level[960:980])
    assert (blind.p_value, blind.drifted) == (None, False) and blind.note.startswith("20 moments cannot show it")


def test_too_short_a_reference_says_what_is_needed() -> None:
    rng = np.random.default_rng(3)
    short = JointReference.of(columns_of(rng.standard_normal((302, 2))), Moments.each_row(302), SETTINGS)
    assert short == "302 moments of the reference have all columns; 303 are needed"
    assert len(of(rng.standard_normal((303, 2))).tests) == 3
