"""Calibration to a wanted run length: what is simulated is the detector itself, on streams like the reference."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from scipy.signal import lfilter

from huracan.errors import DataError, NotEnoughData
from huracan.mlops import DDM, Adwin, Cusum, PageHinkley, StreamingDetector
from huracan.mlops.streaming.run_length import Continuation

_LEVELS = {
    "page-hinkley": (PageHinkley(delta=0.1, threshold=1.0, min_instances=40), "_distances", "threshold"),
    "page-hinkley up": (PageHinkley(delta=0.1, threshold=1.0, mode="up"), "_distances", "threshold"),
    "cusum": (Cusum(target=0.2, slack=0.1, threshold=1.0, scale=2.0), "_sums", "threshold"),
    "cusum down": (Cusum(target=0.2, slack=0.1, threshold=1.0, mode="down"), "_sums", "threshold"),
    "adwin": (Adwin(clock=8, max_buckets=3, min_window_length=4), "_exponents", "delta"),
    "ddm": (DDM(warm_start=50, warning_threshold=0.0), "_excess", "drift_threshold"),
}


def _autoregression(random: np.random.Generator, rho: float, shape: tuple[int, ...]) -> np.ndarray:
    shocks = random.standard_normal((*shape[:-1], shape[-1] + 300))
    return lfilter([np.sqrt(1.0 - rho**2)], [1.0, -rho], shocks)[..., 300:]


@pytest.mark.parametrize(("trial", "statistic", "name"), _LEVELS.values(), ids=_LEVELS)
def test_what_is_simulated_alarms_when_the_detector_does(trial: StreamingDetector, statistic: str, name: str) -> None:
    """The oracle is the detector: for many thresholds, its first alarm is where the statistic first exceeds the threshold."""
    random = np.random.default_rng(8)
    paths = random.standard_normal((12, 1_500)) + 3.0
    if isinstance(trial, DDM):
        paths = (random.random((12, 1_500)) < 0.2).astype(np.float64)
    elif isinstance(trial, Cusum):
        paths -= 3.0
    times, values = getattr(trial, statistic)(paths)
    reached = np.maximum.accumulate(values, axis=1)
    compared = 0
    for path, reach in zip(paths, reached, strict=True):
        for share in (0.3, 0.6, 0.9):
            top = reach[np.isfinite(reach)].max()
            level = max(share * top, 1e-3)
            at = int(np.searchsorted(reach, level, side="right"))
            settings = {**trial._settings(), name: float(np.exp(-level) if name == "delta" else level)}
            alarms = type(trial)(**settings).replay(path)
            assert alarms[0] + 1 == times[at]
            compared += 1
    assert compared == 36


@pytest.mark.parametrize("rho", [0.0, 0.9])
@pytest.mark.parametrize(
    ("kind", "wanted", "settings"),
    [(PageHinkley, 150, {}), pytest.param(Adwin, 800, {"clock": 8}, marks=pytest.mark.slow), (Cusum, 150, {})],
    ids=["page-hinkley", "adwin", "cusum"],
)
def test_the_run_length_is_about_what_was_wanted(kind: type[StreamingDetector], wanted: int, settings: Any, rho: float) -> None:
    """Eight references, 15 paths each: within 35 %, about three standard errors of so few; the benchmark has the close one."""
    random = np.random.default_rng(1)
    seen = alarms = 0
    for _ in range(8):
        watch = kind.calibrated(_autoregression(random, rho, (1_500,)), run_length=wanted, **settings)
        for path in _autoregression(random, rho, (15, 8 * wanted)):
            rows = watch.fresh().replay(path)
            seen += int(rows[0]) + 1 if rows.size else len(path)
            alarms += bool(rows.size)
    assert 0.65 < seen / alarms / wanted < 1.35


def test_dependence_is_paid_for() -> None:
    random = np.random.default_rng(5)
    white, slow = (PageHinkley.calibrated(_autoregression(random, rho, (4_000,)), run_length=500) for rho in (0.0, 0.9))
    assert slow.threshold > 3.0 * white.threshold


@pytest.mark.parametrize("kind", [PageHinkley, Adwin, Cusum])
def test_the_unit_of_a_stream_does_not_matter(kind: Any) -> None:
    """Eurocents or euros: the same alarms."""
    random = np.random.default_rng(6)
    reference, path = random.standard_normal(1_000), random.standard_normal(3_000)
    first, second = (kind.calibrated(unit * reference, run_length=600) for unit in (1.0, 1024.0))
    # Page-Hinkley's highest point begins at -1 in whatever unit, which only the first numbers notice
    assert abs(len(first.replay(path)) - len(second.replay(1024.0 * path))) <= 1


def test_a_rarer_alarm_needs_a_higher_threshold_and_the_same_seed_gives_the_same() -> None:
    reference = np.random.default_rng(7).standard_normal(2_000)
    levels = [Cusum.calibrated(reference, run_length=run_length).threshold for run_length in (100, 300, 1_000)]
    assert levels == sorted(levels)
    again = Cusum.calibrated(reference, run_length=300)
    assert again.threshold == levels[1]
    assert again.calibration is not None and again.calibration.simulated == pytest.approx(300, rel=0.02)
    assert Cusum.calibrated(reference, run_length=300, random_state=1).threshold == pytest.approx(levels[1], rel=0.1)


def test_a_calibration_stays_with_the_detector_and_says_what_it_rests_on() -> None:
    reference = np.random.default_rng(7).standard_normal(1_000)
    watch = PageHinkley.calibrated(reference, run_length=500)
    assert watch.calibration is not None
    assert watch.calibration.note == "the reference holds 1,000 numbers; 2,500 are needed for 500"
    assert PageHinkley.from_json(watch.to_json()).calibration == watch.fresh().calibration == watch.calibration
    assert PageHinkley.calibrated(reference, run_length=200).calibration.note == ""  # type: ignore[union-attr]


@pytest.mark.parametrize("memory", [-0.5, 0.0, 0.8])
def test_a_stream_of_errors_goes_on_as_a_chain(memory: float) -> None:
    """Rate and correlation of what is simulated are those of the reference; both are known exactly for such a chain."""
    random = np.random.default_rng(9)
    up, stays = 0.3 * (1 - memory), 0.3 + 0.7 * memory
    if memory < 0:
        up, stays = 0.6, 0.1  # correlation -0.5, rate 0.4
    reference = np.zeros(20_000)
    for row, chance in enumerate(random.random(20_000)):
        reference[row] = chance < (stays if row and reference[row - 1] else up)
    stream = Continuation(reference)
    path = stream.paths(random, 4, 50_000)
    assert set(np.unique(path)) == {0.0, 1.0}
    assert path.mean() == pytest.approx(reference.mean(), abs=0.015)
    assert np.corrcoef(path[:, :-1].ravel(), path[:, 1:].ravel())[0, 1] == pytest.approx(memory, abs=0.03)
    # the error of the mean of a stationary chain: p (1 - p) (1 + rho) / (1 - rho) / n
    rate = reference.mean()
    assert stream.error_of_mean == pytest.approx(np.sqrt(rate * (1 - rate) * (1 + memory) / (1 - memory) / 20_000), rel=0.1)


def test_a_stream_of_numbers_goes_on_as_an_autoregression() -> None:
    """Mean, spread and correlation of what is simulated, and the error of the mean, are those of the AR(.8) it was."""
    random = np.random.default_rng(10)
    reference = 5.0 + _autoregression(random, 0.8, (20_000,))
    stream = Continuation(reference)
    path = stream.paths(random, 4, 50_000)
    assert path.mean() == pytest.approx(5.0, abs=0.1)
    assert path.std() == pytest.approx(1.0, abs=0.06)
    assert np.corrcoef(path[:, :-1].ravel(), path[:, 1:].ravel())[0, 1] == pytest.approx(0.8, abs=0.02)
    assert stream.error_of_mean == pytest.approx(np.sqrt(1.8 / 0.2 / 20_000), rel=0.2)


@pytest.mark.parametrize(
    ("reference", "settings", "said"),
    [
        (np.zeros(500), {"run_length": 100}, "reference is 0 in all 500 rows; without variation nothing can be simulated."),
        (np.r_[np.ones(200), np.nan], {"run_length": 100}, "reference holds nan in row 200; finite numbers were expected."),
        (np.arange(300.0) % 7, {"run_length": 5}, "run_length is 5; a number from 20 to 1,000,000 was expected."),
        (np.arange(300.0) % 7, {"run_length": 100, "threshold": 3.0}, "threshold was given; PageHinkley.calibrated finds it."),
        (np.arange(300.0) % 7, {"run_length": 100, "random_state": -1}, "seed is -1; a whole number, 0 or more, was expected."),
    ],
)
def test_what_cannot_be_calibrated_is_said(reference: np.ndarray, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError) as told:
        PageHinkley.calibrated(reference, **settings)
    assert str(told.value) == said


def test_a_reference_may_be_too_short() -> None:
    with pytest.raises(NotEnoughData, match=r"reference has 50 observation\(s\); at least 100 are needed for Cusum.calibrated"):
        Cusum.calibrated(np.arange(50.0), run_length=100)


def test_a_run_length_out_of_reach_is_said_with_the_one_that_can_be_had() -> None:
    reference = np.random.default_rng(0).standard_normal(1_000)
    with pytest.raises(DataError, match=r"run_length is 30; the shortest that can be reached on this reference is \d+\."):
        PageHinkley.calibrated(reference, run_length=30, min_instances=100)


@pytest.mark.parametrize(("target", "mode"), [(5.0, "both"), (5.0, "down"), (-5.0, "both"), (-5.0, "up")])
def test_a_target_that_the_reference_is_far_from_is_refused(target: float, mode: str) -> None:
    reference = np.random.default_rng(0).standard_normal(500)
    with pytest.raises(DataError, match=rf"target is {target:g}; the reference's mean is .* its sum would grow for ever"):
        Cusum.calibrated(reference, run_length=100, target=target, mode=mode)


def test_a_random_walk_as_reference_is_noted() -> None:
    walk = np.random.default_rng(0).standard_normal(2_000).cumsum()
    note = Cusum.calibrated(walk, run_length=100).calibration.note  # type: ignore[union-attr]
    assert re.search(r"remembers so long that its 2,000 numbers are worth \d independent ones", note)
