"""Calibration: right probabilities are rarely called wrong, also where labels overlap; wrong ones are found."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import lfilter
from scipy.special import ndtr
from scipy.stats import f as f_law

from huracan.errors import DataError, NotEnoughData
from huracan.mlops import EvidenceKind, detect_calibration_drift

Numbers = NDArray[np.float64]


def overlapping(draw: np.random.Generator, n: int, horizon: int) -> tuple[Numbers, Numbers]:
    """True probabilities of the sign of labels that are sums over ``horizon`` bars."""
    score = 0.4 * lfilter([math.sqrt(0.19)], [1.0, -0.9], draw.standard_normal(n + 100))[100:]
    noise = np.convolve(draw.standard_normal(n + horizon - 1), np.ones(horizon), "valid") / math.sqrt(horizon)
    return ndtr(score), (score + noise > 0.0) + 0.0


@pytest.mark.parametrize("horizon", [1, 10])
def test_right_probabilities_are_called_wrong_as_rarely_as_asked(horizon: int) -> None:
    draw = np.random.default_rng(horizon)
    called = [detect_calibration_drift(*overlapping(draw, 600, horizon), alpha=0.05).drifted for _ in range(200)]
    assert sum(called) <= 21  # 5 % of 200 and three standard errors


@pytest.mark.parametrize(("a", "b"), [(0.5, 20.0), (1.0, 19.0), (2.0, 8.0)])
def test_right_probabilities_of_rare_events_are_called_wrong_as_rarely_as_asked(a: float, b: float) -> None:
    """Of mean .024, .05 and .2: a bin in which nothing came is no proof."""
    draw = np.random.default_rng(9)
    p_values = []
    for _ in range(100):
        said = draw.beta(a, b, 800)
        p_values.append(detect_calibration_drift(said, draw.uniform(size=800) < said).p_value)
    assert sum(p <= 0.05 for p in p_values) <= 11  # 5 % of 100 and three standard errors
    assert sum(p <= 0.01 for p in p_values) <= 4


def test_rare_events_that_come_twice_as_often_are_found() -> None:
    draw = np.random.default_rng(10)
    said = draw.beta(1.0, 19.0, 2_000)
    found = detect_calibration_drift(said, draw.uniform(size=2_000) < 2.0 * said)
    assert found.p_value < 1e-3
    assert found.table.n.sum() == 2_000 and (found.table.n * found.table.mean_probability >= 9.99).all()


def test_symbols_of_one_moment_with_rare_events_are_one_observation_too() -> None:
    draw = np.random.default_rng(11)
    said = draw.beta(1.0, 9.0, 600)
    came = (draw.uniform(size=600) < said) + 0.0
    four, time = (np.repeat(values, 4) for values in (said, np.arange(600)))
    once = detect_calibration_drift(said, came)
    assert detect_calibration_drift(four, np.repeat(came, 4), time=time).p_value == pytest.approx(once.p_value)


def test_symbols_of_one_moment_are_not_counted_as_so_many_observations() -> None:
    """Four symbols with one outcome: the p-value is that of one."""
    draw = np.random.default_rng(3)
    said, came = overlapping(draw, 400, 1)
    four, time = (np.repeat(values, 4) for values in (said, np.arange(400)))
    once = detect_calibration_drift(said, came)
    assert detect_calibration_drift(four, np.repeat(came, 4), time=time).p_value == pytest.approx(once.p_value)


def test_with_one_bin_it_is_the_cosine_t_test_squared() -> None:
    from huracan.statistics import ewc_t_test

    draw = np.random.default_rng(4)
    said = draw.uniform(0.3, 0.7, 300)
    came = (draw.uniform(size=300) < said - 0.05) + 0.0
    found, tested = detect_calibration_drift(said, came, n_bins=1), ewc_t_test(came - said)
    assert found.statistic == pytest.approx(tested.t**2) and found.p_value == pytest.approx(tested.p_value)


def test_all_bins_together_are_hotellings_test() -> None:
    draw = np.random.default_rng(5)
    said = draw.uniform(0.2, 0.8, 2_000)
    found = detect_calibration_drift(said, draw.uniform(size=2_000) < said)
    bins, nu = len(found.table.n), found.n_cosines
    assert bins == 10
    law = f_law(bins, nu - bins + 1)
    assert found.p_value == pytest.approx(law.sf(found.statistic * (nu - bins + 1) / (nu * bins)))


@pytest.mark.parametrize("wrong", ["flat", "shifted", "turned"])
def test_wrong_probabilities_are_found_and_told(wrong: str) -> None:
    draw = np.random.default_rng(6)
    said = draw.uniform(0.3, 0.7, 2_000)
    true = {"flat": np.full(2_000, 0.5), "shifted": said - 0.1, "turned": 1.0 - said}[wrong]
    found = detect_calibration_drift(said, draw.uniform(size=2_000) < true)
    (seen,) = found.evidence(name="btc", tick=0, symbol="BTC", version_id=3)
    assert seen.kind is EvidenceKind.CALIBRATION and not seen.strong and seen.p_value == found.p_value < 1e-3
    assert seen.sentence.startswith("probabilities no longer say how often (p = ") and "furthest of 10 bins" in seen.sentence
    assert sum(seen.details["n"]) == 2_000


def test_a_long_memory_leaves_fewer_bins() -> None:
    draw = np.random.default_rng(7)
    bins = [len(detect_calibration_drift(*overlapping(draw, 500, horizon)).table.n) for horizon in (1, 50)]
    assert bins[0] == 4 and bins[1] < 4
    right = detect_calibration_drift(*overlapping(draw, 500, 1))
    assert right.evidence(name="btc", tick=0) == () and "are not shown to be off" in right.sentence


@pytest.mark.parametrize(
    ("said", "came", "more", "error", "what"),
    [
        (np.full(99, 0.5), np.arange(99) % 2, {}, NotEnoughData, "on 99 moments; at least 100 are needed"),
        (
            np.full(400, 0.01),
            np.arange(400) % 50 == 0,
            {},
            NotEnoughData,
            "4 events are .*400 moments; .* 10 .* about 1,000 mo",
        ),
        (np.full(400, 0.99), np.arange(400) % 50 > 0, {}, NotEnoughData, "4 non-events are"),
        (np.full(400, 0.0), np.arange(400) % 50 == 0, {}, NotEnoughData, "probabilities between 0 and 1"),
        (np.full(200, 0.5), np.ones(200), {}, DataError, "all the same; calibration cannot be judged"),
        (np.full(200, 1.5), np.arange(200) % 2, {}, DataError, "1.5"),
        (np.full(200, math.nan), np.arange(200) % 2, {}, DataError, "nan|finite"),
        (np.full(200, 0.5), np.arange(200), {}, DataError, "0"),
        (np.full(200, 0.5), np.arange(200) % 2, {"time": np.arange(10)}, DataError, "10 times for 200 probabilities"),
        (np.full(200, 0.5), np.arange(200) % 2, {"time": np.arange(200)[::-1]}, DataError, "rows go by time"),
        (np.full(200, 0.5), np.arange(200) % 2, {"time": ["a"] * 200}, DataError, "times are <U1; datetimes, or numbers"),
        (np.full(200, 0.5), np.arange(200) % 2, {"n_bins": 0}, DataError, "n_bins is 0"),
        (np.full(200, 0.5), np.arange(200) % 2, {"alpha": 1.0}, DataError, "alpha"),
    ],
)
def test_what_cannot_be_judged_is_a_sentence(
    said: Any, came: Any, more: dict[str, Any], error: type[Exception], what: str
) -> None:
    with pytest.raises(error, match=what):
        detect_calibration_drift(said, came, **more)


def test_one_probability_for_everything_is_one_bin() -> None:
    came = np.random.default_rng(8).uniform(size=400) < 0.5
    assert len(detect_calibration_drift(np.full(400, 0.5), came).table.n) == 1


def test_as_many_moments_as_are_said_to_be_needed_are_enough() -> None:
    said = np.full(1_000, 0.01)
    detect_calibration_drift(said, np.arange(1_000) % 100 == 0)
    with pytest.raises(NotEnoughData, match="about 1,000 moments"):
        detect_calibration_drift(said[:999], np.arange(999) % 100 == 0)
