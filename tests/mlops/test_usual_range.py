"""What no share of values can tell: values far beyond any before, a feed that stands still; and that chance never does it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import lfilter

from huracan.mlops import DriftDetector, DriftReport, Reference
from huracan.mlops.usual_range import UsualRange, longest_still
from huracan.statistics.moments import Moments
from huracan.statistics.weighted_sample import WeightedSample

M, N = 672, 168


def slow(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    return lfilter([np.sqrt(1 - 0.98**2)], [1.0, -0.98], rng.standard_normal(n + 500))[500:]


@pytest.fixture(scope="module")
def kept() -> DriftDetector:
    """AR(.98): a week of hours is worth two or three independent ones. Stored and read back."""
    made = DriftDetector(multivariate=False).fit({"x": slow(np.random.default_rng(0), M)})
    return DriftDetector.from_reference(Reference.from_bytes(made.reference_.to_bytes()), multivariate=False)


def detected(kept: DriftDetector, values: NDArray[np.float64]) -> DriftReport:
    return kept.detect({"x": values})


def test_what_remembers_for_long_is_said_not_to_be_able_to_show_it(kept: DriftDetector) -> None:
    report = detected(kept, slow(np.random.default_rng(1), N))
    column = report.column("x")
    assert not column.testable and not report.drifted and column.q_value is None
    assert (
        "cannot be shown to drift by 168 moments, worth " in column.note
        and "1 could not be shown to in so few moments" in report.sentence
    )


def test_as_many_moments_as_are_said_to_be_needed_can_show_it() -> None:
    rng = np.random.default_rng(2)
    detector = DriftDetector(multivariate=False).fit({"x": lfilter([1.0], [1.0, -0.95], rng.standard_normal(5_000))})
    usual = detector.reference_.columns["x"].usual  # type: ignore[union-attr]
    assert usual is not None

    def at_one_end(n: int) -> DriftReport:
        """All values within reach, below every threshold, none standing still."""
        return detector.detect({"x": usual.median - usual.reach * (2.0 + rng.random(n) / 100)})

    needed = at_one_end(30).column("x").needed
    assert needed is not None and needed > 30
    assert not at_one_end(needed - needed // 9).column("x").testable or needed < 40
    enough = at_one_end(needed).column("x")
    assert enough.testable and enough.drifted and enough.q_value is not None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda x: x * 0.0 + 0.1, "stands still for 168 rows, at most 1 before"),
        (lambda x: x + 1_000.0, "100.0% of the window lie 5 times as far from the median as any value before"),
        (lambda x: np.where(np.arange(N) % 33 == 5, -1e12, x), "3.0% of the window lie 5 times as far"),
        (lambda x: np.where(np.arange(N) % 33 == 5, np.inf, x), "3.0% of the window lie 5 times as far"),
    ],
    ids=["dead feed", "moved", "bad ticks", "infinite"],
)
def test_a_dead_feed_and_absurd_values_are_seen_however_long_it_remembers(kept: DriftDetector, change, said: str) -> None:  # type: ignore[no-untyped-def]
    report = detected(kept, change(slow(np.random.default_rng(1), N)))
    column = report.column("x")
    assert report.drifted and column.drifted and said in column.note
    assert (column.p_value, column.q_value) == (None, None)  # no test said so
    assert column.testable and "cannot be shown" not in column.note


def test_a_column_that_is_cut_off_where_its_reference_ends_does_not_stand_still() -> None:
    """As preprocessing cuts it, at quantiles of training: what remembers is beyond them for several rows in a row."""
    usual_ones = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        x = slow(rng, M + N)
        low, high = np.quantile(x[:M], [0.001, 0.999])
        cut = np.clip(x, low, high)
        detector = DriftDetector(multivariate=False).fit({"x": cut[:M]})
        usual_ones += "stands still" not in detected(detector, cut[M:]).column("x").note
    assert usual_ones >= 39
    dead = np.where(np.arange(N) < N // 2, cut[M:], high)
    assert "stands still" in detected(detector, dead).column("x").note


def test_few_bad_ticks_are_no_drift(kept: DriftDetector) -> None:
    values = slow(np.random.default_rng(1), N)
    values[[3, 50, 90, 160]] = 1e12
    assert not detected(kept, values).drifted


def test_standing_still_is_of_one_symbol_and_measured_by_what_it_did_before() -> None:
    codes = np.tile([0, 1], 300)
    values = np.random.default_rng(3).standard_normal(600)
    values[codes == 1] = np.repeat(values[codes == 1][::4], 4)[:300]  # one symbol moves every fourth moment
    assert longest_still(values, codes) == 4
    usual = UsualRange.of(values, WeightedSample.of(values, None), codes)
    moments = Moments.of(np.repeat(np.arange(50), 2))
    for run, seen in ((12, False), (13, True)):
        now = np.random.default_rng(4).standard_normal(100)
        now[codes[:100] == 0] = np.where(np.arange(50) < run, 0.5, now[codes[:100] == 0])
        assert bool(usual.unlike(now, WeightedSample.of(now, None), moments, codes[:100])) == seen


@pytest.mark.parametrize("law", ["cauchy", "zeros", "slow"])
def test_chance_does_not_do_it(law: str) -> None:
    """The heaviest tails there are, what is zero mostly, and what remembers for long: 400 windows of each, none by chance."""
    rng = np.random.default_rng(5)
    for _ in range(400):
        x = rng.standard_cauchy(M + N)
        if law == "zeros":
            x = np.where(rng.random(M + N) < 0.9, 0.0, x)
        elif law == "slow":
            x = slow(rng, M + N)
        usual = UsualRange.of(x[:M], WeightedSample.of(x[:M], None), None)
        assert usual.unlike(x[M:], WeightedSample.of(x[M:], None), Moments.each_row(N), None) == []


def test_what_reaches_over_orders_of_magnitude_is_far_beyond_on_its_own_scale() -> None:
    """A volume that is lognormal and remembers: five times its largest of four weeks comes in 4 % of weeks that follow."""
    rng, five, far = np.random.default_rng(8), 0, 0
    for _ in range(300):
        x = np.exp(3.0 * slow(rng, M + N))
        usual = UsualRange.of(x[:M], WeightedSample.of(x[:M], None), None)
        five += np.count_nonzero(np.abs(x[M:] - usual.median) > 5.0 * usual.reach) >= 5
        far += bool(usual.unlike(x[M:], WeightedSample.of(x[M:], None), Moments.each_row(N), None))
        beyond = 1e4 * usual.limit + x[M:]
        assert usual.unlike(beyond, WeightedSample.of(beyond, None), Moments.each_row(N), None)
    assert five >= 6 and far <= 5
