"""Missing values and categories that come in long spells, in a window that is a quarter of its reference."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.signal import lfilter
from scipy.stats import binom, norm

from huracan.mlops.categories import CategoryReference
from huracan.mlops.column_tests import TestSettings as Settings
from huracan.mlops.missing_share import MissingShare
from huracan.statistics.moments import Moments

M, N, SERIES = 672, 168, 500
SETTINGS = Settings(28, 19, 10, 0.05)


def spells(seed: int, share: float) -> NDArray[np.bool_]:
    """(M + N, SERIES): where an AR(.95) is among its largest values."""
    noise = np.random.default_rng(seed).standard_normal((M + N + 300, SERIES)) * np.sqrt(1 - 0.95**2)
    return lfilter([1.0], [1.0, -0.95], noise, axis=0)[300:] > norm.ppf(1.0 - share)


def alarms(p_values: list[float | None]) -> int:
    return sum(p is not None and p <= 0.05 for p in p_values)


def test_spells_of_missing_values_do_not_alarm_where_nothing_changed() -> None:
    before, now = Moments.each_row(M), Moments.each_row(N)
    gone = spells(0, 0.3).T
    tested = [MissingShare.of(one[:M], before, 28).test(one[M:], now, SETTINGS.tail_events) for one in gone]
    assert alarms([p_value for p_value, _, _ in tested]) <= binom.ppf(0.999, SERIES, 0.06)


def test_regimes_that_last_do_not_alarm_where_nothing_changed() -> None:
    before, now = Moments.each_row(M), Moments.each_row(N)
    names = np.array(["calm", "busy", "wild"])[spells(1, 0.3).astype(int) + spells(2, 0.2)].T
    found = []
    for one in names:
        made = CategoryReference.of("regime", pl.Series(one[:M]), before, SETTINGS)
        found.append(made.test(pl.Series(one[M:]), now, SETTINGS)[0].p_value)
    assert alarms(found) <= binom.ppf(0.999, SERIES, 0.06)


def test_a_feed_that_loses_most_of_its_values_is_found() -> None:
    gone = np.random.default_rng(3).random(M) < 0.1
    p_value, certain, said = MissingShare.of(gone, Moments.each_row(M), 28).test(
        np.arange(N) % 10 > 0, Moments.each_row(N), SETTINGS.tail_events
    )
    assert p_value is not None and p_value < 0.01 and not certain and said.startswith("missing: 89.9% of the window")
