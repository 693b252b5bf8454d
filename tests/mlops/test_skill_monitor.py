"""The monitor: false alarms as rare as promised, falls found when theory says, evidence that stands and goes."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import lfilter

from huracan.errors import DataError, NotEnoughData
from huracan.mlops import Cusum, EvidenceKind, LiveExpectation, SkillMonitor
from huracan.mlops.live_expectation import PromisedMean
from huracan.mlops.skill_monitor import _OVERSHOOT, alarm_threshold

HOUR = 3_600_000


def fed(watch: SkillMonitor, payoff: NDArray[np.float64], first: int = 0) -> SkillMonitor:
    """The monitor after these payoffs."""
    for bar, value in enumerate(payoff.tolist(), start=first):
        watch.update(value, moment=bar * HOUR)
    return watch


def sums(payoff: NDArray[np.float64], expected: float, spread: float) -> NDArray[np.float64]:
    """Page's sum, by its other definition: how far the walk is above its minimum so far."""
    walk = np.cumsum((expected / 2 - payoff) / spread, axis=-1)
    return np.asarray(walk - np.minimum.accumulate(np.minimum(walk, 0.0), axis=-1))


@pytest.mark.parametrize(
    ("process", "long_run", "most"),
    [((1.0,), 1.0, 1.25), ((1.0, -0.5), 2.0, 1.5), ((1.0, -0.9), 10.0, 2.6)],
    ids=["independent", "AR(.5)", "AR(.9)"],
)
@pytest.mark.parametrize("expected", [0.1, 0.3])
def test_a_false_alarm_is_as_rare_as_asked_for_or_rarer(
    process: tuple[float, ...], long_run: float, most: float, expected: float
) -> None:
    run_length, paths = 500, 400
    noise = lfilter([1.0], process, np.random.default_rng(3).standard_normal((paths, 6 * run_length + 100)), axis=1)[:, 100:]
    payoff = expected + noise / noise.std()
    spread = long_run / float(noise.std())
    over = sums(payoff, expected, spread) > alarm_threshold(expected / 2 / spread, run_length)
    passed = over.any(axis=1)
    first = np.where(passed, over.argmax(axis=1) + 1, over.shape[1])
    realised = first.sum() / passed.sum()  # censored exponential
    assert 0.88 * run_length < realised < most * run_length  # noise of 400 paths: 5 %


@pytest.mark.parametrize(("after", "bars"), [(0.0, 250), (-0.2, 95)])
def test_a_fall_is_found_when_theory_says(after: float, bars: int) -> None:
    """Siegmund (1985): from 0 to a line b under a drift d takes (exp(-2 d b) + 2 d b - 1) / (2 d^2) steps on average."""
    watch = SkillMonitor(expected=0.2, spread=1.0)
    drift, line = 0.1 - after, watch.threshold + 1.166
    theory = (math.exp(-2 * drift * line) + 2 * drift * line - 1) / (2 * drift**2)
    assert theory == pytest.approx(bars, rel=0.02)
    payoff = np.random.default_rng(5).standard_normal((400, 1500)) + after
    first = (sums(payoff, 0.2, 1.0) > watch.threshold).argmax(axis=1) + 1
    assert first.mean() == pytest.approx(theory, rel=0.1)


def test_the_sum_alarms_where_pages_does_and_dates_the_change_to_its_last_zero() -> None:
    payoff = np.random.default_rng(0).standard_normal(900) + np.where(np.arange(900) < 500, 0.3, -0.3)
    expected = sums(payoff, 0.3, 1.2)
    watch = SkillMonitor(expected=0.3, spread=1.2, run_length=2_000)
    first = int((expected > watch.threshold).argmax())
    fed(watch, payoff[:first])
    assert not watch.fallen and watch.changed_at is None
    fed(watch, payoff[first : first + 1], first)
    zeros = np.flatnonzero(expected[: first + 1] == 0.0)
    assert watch.fallen and watch.changed_at == (zeros[-1] + 1) * HOUR
    assert watch.missing == pytest.approx(expected[first], abs=1e-9)
    assert 430 <= watch.changed_at / HOUR <= 530 < first < 600


def test_its_first_alarm_is_that_of_the_streaming_cusum() -> None:
    draw = np.random.default_rng(12)
    for _ in range(20):
        payoff = draw.standard_normal(2_000) - 0.05
        watch = SkillMonitor(expected=0.3, spread=1.25, run_length=200)
        twin = Cusum(target=0.3, slack=0.15 / 1.25, threshold=watch.threshold, scale=1.25, mode="down")
        first = twin.replay(payoff)[0]
        assert not fed(watch, payoff[:first]).fallen and fed(watch, payoff[first : first + 1], first).fallen


def test_evidence_stands_while_what_was_lost_is_not_made_up_for() -> None:
    watch = fed(SkillMonitor(expected=0.2, spread=1.0, run_length=1_000, name="btc v3"), np.full(60, -0.5))
    assert watch.fallen and watch.missing == pytest.approx(36.0)  # 60 x (.1 + .5)
    (seen,) = watch.evidence(name="btc", tick=60 * HOUR, symbol="BTC", version_id=7)
    assert (seen.kind, seen.strong, seen.since, seen.version_id) == (EvidenceKind.SKILL_FALL, True, 0, 7)
    assert seen.sentence == (
        "the skill of btc v3 fell: 0.2 a moment was to be expected, since 1970-01-01 00:00 it is -0.5 over 60 moments "
        "(one such alarm in 1000 moments is false)."
    )
    assert seen.details["n"] == 60 and seen.details["mean"] == -0.5
    fed(watch, np.full(17, 2.0), 60)
    assert watch.fallen and 0 < watch.missing < watch.threshold
    fed(watch, np.full(3, 2.0), 77)
    assert not watch.fallen and watch.missing == 0.0 and watch.evidence(name="btc", tick=80 * HOUR) == ()
    assert watch.sentence == "Nothing speaks against the skill of btc v3 after 80 moments."


def test_no_skill_is_shown_only_of_payoffs_below_nothing() -> None:
    payoff = np.random.default_rng(1).standard_normal(2_000)
    watch = fed(SkillMonitor(expected=0.0, spread=1.0, name="btc v3"), payoff - 0.3)
    assert watch.has_no_skill and not watch.fallen and watch.threshold == math.inf
    (seen,) = watch.evidence(name="btc", tick=0)
    assert (seen.kind, seen.strong, seen.since) == (EvidenceKind.NO_SKILL, True, None)
    assert seen.p_value is not None and seen.p_value < 0.01 and seen.statistic is not None and seen.statistic < -3
    assert seen.sentence.startswith("btc v3 is shown to have no skill since it is in use: its mean payoff is below 0 (-0.3")
    assert not fed(SkillMonitor(expected=0.0, spread=1.0), payoff + 0.02).has_no_skill


def test_both_looks_may_speak() -> None:
    watch = fed(SkillMonitor(expected=0.2, spread=1.0), np.random.default_rng(1).standard_normal(500) - 0.4)
    kinds = [seen.kind for seen in watch.evidence(name="btc", tick=0)]
    assert kinds == [EvidenceKind.NO_SKILL, EvidenceKind.SKILL_FALL]
    assert "no skill" in watch.sentence and "fell" in watch.sentence


def test_what_is_expected_follows_what_is_earned_while_nothing_is_missing() -> None:
    payoff = 0.3 + np.random.default_rng(6).standard_normal(1_500)
    watch = SkillMonitor(expected=0.05, spread=1.0, skill=(0.1, 160))
    for bar, value in enumerate(payoff.tolist()):
        before = watch.expected
        watch.update(value, moment=bar * HOUR)
        if watch.expected != before:
            assert watch.missing == 0.0
            together = (160 * 0.1 + payoff[: bar + 1].sum()) / (160 + bar + 1)
            assert watch.expected == pytest.approx(together - 0.67449 / math.sqrt(161 + bar), abs=1e-5)
    assert 0.22 < watch.expected < 0.3 and watch.threshold == alarm_threshold(watch.expected / 2, 20_000)
    fell = fed(watch, np.full(40, -1.0), 1_500)
    assert fell.fallen and fell.expected == watch.expected


def test_a_version_of_unknown_skill_is_watched_once_it_earned_some() -> None:
    watch = SkillMonitor(expected=0.0, spread=1.0, skill=(0.01, 100))
    assert watch.threshold == math.inf
    fed(watch, 0.3 + np.random.default_rng(6).standard_normal(1_000))
    assert watch.expected > 0.15 and watch.threshold < 40


def test_a_flip_of_a_version_that_was_judged_on_few_rows_is_found_in_time() -> None:
    draw = np.random.default_rng(20)
    late = early = 0
    for _ in range(40):
        watch = SkillMonitor.of(LiveExpectation.of(0.2 + draw.standard_normal(165)))
        payoff = draw.standard_normal(1_250) + np.where(np.arange(1_250) < 1_000, 0.2, -0.2)
        first = next((bar for bar, value in enumerate(payoff) if watch.update(value, moment=bar).fallen), None)
        early += first is not None and first < 1_000
        late += first is None
    assert early <= 6 and late <= 4


@pytest.mark.parametrize("cut", [0, 1, 130, 299])
def test_it_goes_on_from_json_to_the_same_bits(cut: int) -> None:
    payoff = np.random.default_rng(2).standard_normal(300) - 0.2
    settings: dict[str, Any] = {"expected": 0.25, "spread": 1.1, "run_length": 100, "skill": (0.2, 50), "name": "v"}
    payoff[:200] += 0.4
    whole = fed(SkillMonitor(**settings), payoff)
    assert whole.expected != 0.25
    begun = fed(SkillMonitor(**settings), payoff[:cut])
    went_on = fed(SkillMonitor.from_json(begun.to_json()), payoff[cut:], cut)
    assert went_on.to_json() == whole.to_json()


@pytest.mark.parametrize(
    "change",
    [{"kind": "huracan.Other"}, {"missing": -1.0}, {"missing": "much"}, {"n_since": 99}, {"moment": None}, {"watch": {}}],
)
def test_a_state_that_is_none_is_refused(change: dict[str, Any]) -> None:
    state = json.loads(fed(SkillMonitor(expected=0.2, spread=1.0), np.zeros(20)).to_json())
    with pytest.raises(DataError, match="this is not the state of a SkillMonitor"):
        SkillMonitor.from_json(json.dumps({**state, **change}))


def test_what_cannot_be_taken_changes_nothing() -> None:
    watch = fed(SkillMonitor(expected=0.2, spread=1.0, name="v3"), np.full(5, 0.1))
    before = watch.to_json()
    for payoff in (math.nan, math.inf):
        with pytest.raises(DataError, match="the payoff of v3"):
            watch.update(payoff, moment=9 * HOUR)
    for bar in (4, 3):
        with pytest.raises(DataError, match=f"the payoff of v3 at 1970-01-01 0{bar}:00 came after that of 1970-01-01 04:00"):
            watch.update(0.1, moment=bar * HOUR)
    assert watch.to_json() == before


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"expected": math.nan, "spread": 1.0}, "expected is nan; a finite number"),
        ({"expected": 0.1, "spread": 0.0}, "spread is 0.0; a number above 0"),
        ({"expected": 0.1, "spread": 1.0, "run_length": 5}, "run_length is 5; a number above 19"),
        ({"expected": 0.1, "spread": 1.0, "alpha": 2}, "alpha is 2"),
        ({"expected": 0.1, "spread": 1.0, "skill": (math.nan, 5)}, r"skill is \(nan, 5\); a finite mean and the number"),
        ({"expected": 0.1, "spread": 1.0, "skill": (0.1, 0)}, r"skill is \(0.1, 0\)"),
    ],
)
def test_settings_out_of_bounds_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=said):
        SkillMonitor(**settings)


def test_an_expectation_counts_dependence_and_promises_less_the_less_is_known() -> None:
    noise = np.random.default_rng(0).standard_normal(4_000)
    independent, dependent = (LiveExpectation.of(0.2 + lfilter([1.0], [1.0, -rho], noise)) for rho in (0.0, 0.8))
    assert independent.spread == pytest.approx(1.0, rel=0.2) and dependent.spread == pytest.approx(5.0, rel=0.3)
    short = LiveExpectation.of(noise[:100] - noise[:100].mean() + independent.skill.mean)
    assert short.expected < independent.expected < independent.skill.mean
    assert LiveExpectation.of(noise - 0.2).expected == 0.0
    low, high = independent.skill.interval(0.5)
    assert independent.expected == low and low < independent.skill.mean < high


def test_an_expectation_survives_json_and_strange_company() -> None:
    noise = np.random.default_rng(0).standard_normal(400)
    promised = LiveExpectation.of(0.2 + noise, net=noise / 100)
    kept = json.loads(json.dumps({**promised.to_dict(), "mean_label": {"BTC": 0.0}}))
    assert LiveExpectation.from_dict(kept) == promised and isinstance(promised.net, PromisedMean)
    assert SkillMonitor.of(promised, name="v").expected == promised.expected
    for unknown in ({}, {"skill": None, "spread": 1.0, "deviation": 1.0}, {**kept, "skill": {"mean": 1}}):
        with pytest.raises(DataError, match="this is no live expectation"):
            LiveExpectation.from_dict(unknown)


def test_without_positions_nothing_is_promised_of_net_returns() -> None:
    payoff = np.random.default_rng(0).standard_normal(100)
    assert LiveExpectation.of(payoff, net=np.zeros(100)).net is None
    with pytest.raises(NotEnoughData, match="20"):
        LiveExpectation.of(payoff[:10])


@pytest.mark.parametrize(
    ("payoff", "moment", "what"),
    [
        (None, 1, "payoff of .* is None"),
        ("x", 1, "is 'x'"),
        (0.1, "2024", "moment of a payoff of .* is '2024'"),
        (0.1, 1.5, "1.5"),
    ],
)
def test_what_is_no_payoff_or_no_moment_is_refused_and_nothing_is_taken(payoff: Any, moment: Any, what: str) -> None:
    watch = SkillMonitor(expected=0.1, spread=1.0).update(0.2, moment=0)
    before = watch.to_json()
    with pytest.raises(DataError, match=what):
        watch.update(payoff, moment=moment)
    assert watch.to_json() == before
    assert watch.update(0.1, moment=1).n == 2


def test_settings_may_be_numbers_of_numpy_and_a_promise_is_a_mean_with_its_number() -> None:
    plain = SkillMonitor(expected=0.25, spread=1.0, run_length=20_000)
    assert (
        SkillMonitor(expected=np.float32(0.25), spread=np.float64(1.0), run_length=np.int64(20_000)).to_json()
        == plain.to_json()
    )
    for skill in (0.1, (0.1,), (float("nan"), 100), ("a", 5)):
        with pytest.raises(DataError, match="a finite mean and the number of moments"):
            SkillMonitor(expected=0.25, spread=1.0, skill=skill)  # type: ignore[arg-type]


@pytest.mark.parametrize("ratio", [1e-12, 1e-3, 0.2, 1.0, 5.0, 1e6, 1e200])
@pytest.mark.parametrize("run_length", [20.0, 20_000.0, 1e300])
def test_the_line_solves_siegmunds_formula_however_large_the_skill(ratio: float, run_length: float) -> None:
    """A perfect model of a toy market promises five spreads a moment: exp(u) - u - 1 = 2 slack^2 run_length, in logarithms."""
    slack = ratio / 2
    line = alarm_threshold(slack, run_length)
    wanted = math.log(2.0) + 2.0 * math.log(slack) + math.log(run_length)

    def reached(u: float) -> float:
        if u < 1e-4:
            return 2.0 * math.log(u) - math.log(2.0) + u / 3
        return math.log(math.expm1(u) - u) if u < 100.0 else u

    at = reached(2.0 * slack * (line + _OVERSHOOT))
    assert at == pytest.approx(wanted, abs=1e-5) if line > 0.0 else at >= wanted
    assert SkillMonitor(expected=ratio, spread=1.0, run_length=run_length).threshold == line


def test_a_spread_that_is_nothing_beside_what_is_expected_is_refused() -> None:
    with pytest.raises(DataError, match=r"spread is 1e-300, and 10000000000\.0 is expected"):
        SkillMonitor(expected=1e10, spread=1e-300)
