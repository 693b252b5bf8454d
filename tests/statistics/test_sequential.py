"""Sequential monitors: the same bits however data come, one error rate for all looks, and no decision without evidence."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from huracan.errors import DataError
from huracan.statistics import ewc_t_test
from huracan.statistics.sequential import Better, SequentialComparison
from huracan.statistics.sequential_batches import CAPACITY, BatchMeans, batch_length_at
from huracan.statistics.sequential_looks import look_share, look_size, looks_before
from huracan.statistics.sequential_mean import SequentialMean, Side


def losses(n: int, difference: float = 0.0, seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    market = rng.standard_normal(n) ** 2
    return market + 0.3 * rng.standard_normal(n), market + 0.3 * rng.standard_normal(n) + difference


# however the data come


@settings(deadline=None, max_examples=25)
@given(st.lists(st.integers(0, 900), min_size=1, max_size=12), st.integers(0, 3))
def test_one_by_one_in_arrays_or_with_restarts_gives_the_same_bits(cuts, seed):
    a, b = losses(sum(cuts), 0.05, seed)
    single, arrays = SequentialComparison(), SequentialComparison()
    for first, second in zip(a.tolist(), b.tolist(), strict=True):
        single.update(first, second)
    start = 0
    for cut in cuts:
        arrays.update(a[start : start + cut], b[start : start + cut])
        arrays = SequentialComparison.from_json(arrays.to_json())
        start += cut
    assert arrays.to_json() == single.to_json()
    assert arrays.sentence == single.sentence
    assert arrays.look == single.look


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 20_000), st.lists(st.integers(1, 5000), max_size=8))
def test_batches_are_means_of_equally_many_neighbours_and_never_more_than_fit(n, cuts):
    x = np.random.default_rng(n).standard_normal(n)
    kept = BatchMeans()
    for part in np.split(x, sorted(cut for cut in cuts if cut < n)):
        kept.extend(part)
    full = n // kept.batch_length
    assert kept.n == n
    assert kept.batch_length == batch_length_at(n)
    assert len(kept.means) == full <= CAPACITY
    assert full > CAPACITY // 2 or kept.batch_length == 1
    expected = x[: full * kept.batch_length].reshape(full, -1).mean(axis=1)
    np.testing.assert_allclose(kept.means, expected, rtol=0, atol=1e-14)


def test_frames_lists_and_numbers_are_one():
    a, b = losses(300, 0.4)
    whole = SequentialComparison().update(a, b).to_json()
    assert SequentialComparison().update(pl.Series(a), pl.Series(b)).to_json() == whole
    assert SequentialComparison().update(a.tolist(), b.tolist()).to_json() == whole
    one_by_one = SequentialComparison()
    for first, second in zip(a, b, strict=True):
        one_by_one.update(np.array(first), np.float64(second))
    assert one_by_one.to_json() == whole


# what a look is


@pytest.mark.parametrize("alternative", ["two-sided", "less", "greater"])
@pytest.mark.parametrize("n", [60, 143, 960])
def test_a_look_is_the_ewc_test_at_its_share_of_alpha(n, alternative):
    x = np.random.default_rng(n).standard_normal(n) + 0.1
    watch = SequentialMean(0.05, alternative=alternative, alpha=0.1).update(x)
    index = looks_before(n) - 1
    assert watch.look is not None
    assert (watch.look.index, watch.look.n) == (index, n)
    oracle = ewc_t_test(x, null_mean=0.05, alternative=alternative, confidence=1 - 0.1 * look_share(index))
    assert watch.look.p_value == pytest.approx(oracle.p_value, rel=1e-9)
    assert watch.look.standard_error == pytest.approx(oracle.standard_error, rel=1e-9)
    assert watch.look.mean == pytest.approx(oracle.mean, rel=1e-9)
    assert watch.interval == pytest.approx((oracle.ci_low, oracle.ci_high), rel=1e-9)


def test_a_look_at_a_long_series_is_the_ewc_test_of_its_batches():
    n = look_size(30)
    x = np.random.default_rng(1).standard_normal(n)
    watch = SequentialMean().update(x)
    length = batch_length_at(n)
    assert length > 1
    oracle = ewc_t_test(x.reshape(-1, length).mean(axis=1))
    assert watch.look is not None
    assert watch.look.n == n
    assert watch.look.p_value == pytest.approx(oracle.p_value, rel=1e-9)


@pytest.mark.parametrize("first_look", [60, 61, 97, 1000, 5000])
def test_looks_come_at_the_end_of_batches_four_a_doubling_and_spend_alpha_once(first_look):
    sizes = [look_size(index, first_look) for index in range(60)]
    assert sizes[0] >= first_look
    assert all(n % batch_length_at(n) == 0 for n in sizes)
    assert all(1.15 < later / earlier < 1.23 for earlier, later in pairwise(sizes))
    assert all(looks_before(n, first_look) == index + 1 for index, n in enumerate(sizes))
    shares = np.array([look_share(index) for index in range(200_000)])
    assert np.all(shares > 0)
    # 1 less what (d / (1 + d))^3 leaves after 50,000 doublings
    assert shares.sum() == pytest.approx(1 - 3 / 50_001, abs=1e-8)


def test_nothing_changes_between_looks():
    a, b = losses(1200, 0.1)
    match, before = SequentialComparison(), None
    for first, second in zip(a.tolist(), b.tolist(), strict=True):
        due = match.next_look
        seen = (match.look, match.p_value, match.decision)
        match.update(first, second)
        if match.n != due:
            assert (match.look, match.p_value, match.decision) == seen
        else:
            assert match.look is not None
            assert match.look.n == match.n
            assert before is None or match.p_value <= before
            before = match.p_value


# what a decision is


def test_swapping_the_models_swaps_the_decision_and_the_unit_does_not_matter():
    a, b = losses(800, 0.2)
    match = SequentialComparison().update(a, b)
    swapped = SequentialComparison().update(b, a)
    assert (match.decision, swapped.decision) == (Better.A, Better.B)
    assert (match.decision, match.winner) == ("a", "a")
    assert swapped.p_value == match.p_value
    assert swapped.interval == (-match.interval[1], -match.interval[0])
    for unit in (2.0**-900, 2.0**900):
        scaled = SequentialComparison().update(a * unit, b * unit)
        assert scaled.p_value == match.p_value
        assert scaled.interval == (match.interval[0] * unit, match.interval[1] * unit)
    moved = SequentialComparison().update(a + 100.0, b + 100.0)
    assert moved.p_value == pytest.approx(match.p_value, rel=1e-6)


def test_the_null_mean_is_where_zero_is():
    x = np.random.default_rng(0).standard_normal(500) + 0.2
    moved, plain = SequentialMean(2.0).update(x + 2.0), SequentialMean().update(x)
    assert moved.p_value == pytest.approx(plain.p_value, rel=1e-9)
    assert moved.interval == pytest.approx((plain.interval[0] + 2.0, plain.interval[1] + 2.0), rel=1e-12)


@pytest.mark.parametrize("seed", range(8))
def test_p_value_decision_and_intervals_agree_at_every_alpha(seed):
    x = np.random.default_rng(seed).standard_normal(1500) + 0.12
    watches = {alpha: SequentialMean(alpha=alpha) for alpha in (0.5, 0.1, 0.05, 0.01, 1e-6)}
    sizes: dict[float, float] = dict.fromkeys(watches, math.inf)
    excluded: dict[float, float] = dict.fromkeys(watches, math.inf)
    for start in range(0, len(x), 10):
        for alpha, watch in watches.items():
            watch.update(x[start : start + 10])
            low, high = watch.interval
            if watch.look and not low <= 0.0 <= high:
                excluded[alpha] = min(excluded[alpha], watch.look.n)
            assert (watch.decision is not None) == (watch.p_value <= alpha)
            sizes[alpha] = watch.decided_at.n if watch.decided_at else math.inf
    assert len({watch.p_value for watch in watches.values()}) == 1
    assert sizes == excluded
    assert list(sizes.values()) == sorted(sizes.values())


def test_a_decision_stays_whatever_comes_later():
    a, b = losses(400, 0.5)
    match = SequentialComparison().update(a, b)
    at = match.decided_at
    assert match.decision is Better.A
    assert at is not None
    match.update(*reversed(losses(40_000, 0.5, seed=1)))
    assert match.decision is Better.A
    assert match.decided_at == at
    assert match.n == 40_400
    assert match.interval[0] > 0.0
    assert f"decided at {at.n} observations" in match.sentence


def test_a_decision_that_later_data_contradict_is_said_to_be_so():
    rng = np.random.default_rng(0)
    match = SequentialComparison(names=("champion", "challenger"))
    match.update(0.5 + rng.standard_normal(300), rng.standard_normal(300))
    at = match.decided_at
    assert at is not None
    assert not match.contradicted
    decided = f"It was decided at {at.n} observations that 'challenger' is better than 'champion'"
    assert match.sentence.startswith(f"{decided} (mean loss of 'champion' less that of 'challenger' 0.")
    match.update(rng.standard_normal(20_000), 0.5 + rng.standard_normal(20_000))
    assert match.contradicted
    assert match.winner == "challenger"
    low, high = match.interval
    assert low < high < 0.0
    assert match.sentence.startswith(f"{decided}, but the data since contradict it (mean loss")
    assert match.sentence.endswith("observations); start a new comparison.")
    assert "p = " not in match.sentence
    again = SequentialComparison.from_json(match.to_json())
    assert (again.contradicted, again.sentence, repr(again)) == (True, match.sentence, repr(match))


def test_a_decision_after_which_nothing_can_be_judged_says_that():
    match = SequentialComparison().update(*reversed(losses(300, 0.5)))
    # a step of twelve deviations: the two halves cannot be one mean
    match.update(*losses(2000, 5.0, seed=1))
    assert match.decision is Better.B
    assert not match.contradicted
    assert "; by now the difference cannot be judged: it remembers too long" in match.sentence


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_mean_that_goes_to_the_other_side_contradicts_the_decision_where_both_were_asked(sign):
    x = np.random.default_rng(4).standard_normal(20_000)
    moved = sign * np.concatenate([x[:300] + 0.6, x[300:] - 0.5]) + 2.0
    both = SequentialMean(2.0, name="x").update(moved)
    assert both.decision is (Side.ABOVE if sign > 0 else Side.BELOW)
    assert both.contradicted
    assert f"that the mean of x is {both.decision} 2, but the data since contradict it (mean " in both.sentence
    assert "contradicted" in repr(both)
    one = SequentialMean(2.0, alternative="greater" if sign > 0 else "less").update(moved)
    assert one.decision is both.decision
    assert not one.contradicted


def test_what_does_not_change_is_not_contradicted():
    rng, seen = np.random.default_rng(9), 0
    for _ in range(100):
        match, a, b = SequentialComparison(), *losses(4000, 0.03, int(rng.integers(1 << 30)))
        for start in range(0, 4000, 200):
            match.update(a[start : start + 200], b[start : start + 200])
            seen += match.contradicted
    # a mean that stays is outside some interval in 5 % of series at most, and has to be so on the far side
    assert seen == 0


def test_a_monitor_shows_itself_in_one_short_line():
    match = SequentialComparison(names=("champion", "challenger"))
    assert repr(match) == "SequentialComparison(('champion', 'challenger'), alpha=0.05, n=0, decision=None)"
    match.update(*losses(400, -0.5))
    assert match.decided_at is not None
    assert repr(match).endswith(f"n=400, decision='challenger' at {match.decided_at.n})")
    watch = SequentialMean(1, name="x").update(2 + losses(500)[0])
    assert watch.decided_at is not None
    assert repr(watch) == f"SequentialMean('x', null_mean=1, alpha=0.05, n=500, decision=above at {watch.decided_at.n})"
    long = "a name\n" * 500
    for shown in (
        repr(SequentialComparison(names=(long, long + "b")).update(*losses(400, 0.5))),
        repr(SequentialMean(name=long)),
    ):
        assert len(shown) < 300
        assert "\n" not in shown


def test_one_side_asked_is_the_only_side_found():
    x = np.random.default_rng(0).standard_normal(500) + 0.5
    assert SequentialMean(alternative="greater").update(x).decision is Side.ABOVE
    below = SequentialMean(alternative="less").update(x)
    assert below.decision is None
    assert below.interval[0] == -math.inf
    both = SequentialMean().update(x)
    assert both.decision is Side.ABOVE


# what is no evidence


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (np.ones(2000), np.ones(2000)),
        (np.linspace(1.0, 2.0, 2000) + 1e9, np.linspace(1.0, 2.0, 2000) + 1e9),
        (np.ones(2000), np.zeros(2000)),
        (np.full(2000, 0.1) + 0.2, np.full(2000, 0.3)),
        (np.arange(2000) * 0.1 + 0.2 + 1e6, np.arange(2000) * 0.1 + 0.2 + 1e6 + 1e-9),
        (np.zeros(2000), np.append(np.zeros(1999), 1e6)),
        (np.zeros(2000), np.append(np.zeros(100), np.ones(1900))),
        (np.zeros(2000), np.tile([1.0, -1.0], 1000)),
    ],
    ids=["identical", "identical trends", "constant", "rounding", "rounding of large", "one jump", "step", "+-+-"],
)
def test_what_does_not_vary_or_varies_once_is_never_decided(a, b):
    match = SequentialComparison()
    for start in range(0, 2000, 7):
        match.update(a[start : start + 7], b[start : start + 7])
        assert match.decision is None
    assert 0.0 < match.p_value <= 1.0
    assert "Neither 'a' nor 'b' is shown to be better" in match.sentence


def test_what_begins_to_vary_can_be_decided():
    a, b = losses(3000, 0.5)
    quiet = np.zeros(60)
    assert SequentialComparison().update(quiet, quiet).update(a, b).decision is Better.A


def test_random_walks_are_hardly_ever_decided():
    walks = np.random.default_rng(3).standard_normal((60, 1000)).cumsum(axis=1)
    found = [SequentialMean().update(walk).decision is not None for walk in walks]
    # binomial(60, .06): 9 or more in half a percent of runs
    assert sum(found) <= 8
    slow = SequentialMean().update(walks[0])
    assert "remembers too long to be judged on 960 observations" in slow.sentence
    assert slow.interval == (-math.inf, math.inf)


def test_numbers_of_any_size_are_taken():
    for unit in (5e-324, 1e-300, 1e300):
        x = np.sign(np.random.default_rng(0).standard_normal(500)) * unit
        watch = SequentialMean().update(x)
        assert 0.0 < watch.p_value <= 1.0
    with pytest.raises(DataError, match=r"'b' is too large for a floating point number at row 1 of this update"):
        SequentialComparison().update([0.0, 1.7e308], [0.0, -1.7e308])


def test_overwhelming_evidence_is_not_a_p_value_of_zero():
    x = 1.0 + 1e-12 * np.random.default_rng(0).standard_normal(100_000)
    watch = SequentialMean().update(x)
    assert watch.decision is Side.ABOVE
    assert 0.0 < watch.p_value < 1e-100
    assert "p < 1e-300, at " in watch.sentence
    match = SequentialComparison().update(x, np.zeros(100_000))
    assert "p < 1e-300, at " in match.sentence
    assert "e-30" not in match.sentence.replace("1e-300", "")


# time


START = datetime(2025, 1, 1, tzinfo=UTC)
HOURS = [START + timedelta(hours=hour) for hour in range(200)]


@pytest.mark.parametrize(
    "times",
    [
        HOURS,
        [hour.replace(tzinfo=None) for hour in HOURS],
        pl.Series(HOURS),
        np.array([hour.replace(tzinfo=None) for hour in HOURS], dtype="datetime64[ms]"),
        [hour.timestamp() for hour in HOURS],
        range(200),
    ],
    ids=["aware", "naive", "polars", "numpy", "float", "integer"],
)
def test_time_changes_nothing_but_must_ascend(times):
    a, b = losses(200)
    plain = SequentialComparison().update(a, b)
    timed = SequentialComparison().update(a[:100], b[:100], time=times[:100])
    timed = SequentialComparison.from_json(timed.to_json())
    again = timed.to_json()
    with pytest.raises(DataError, match=r"is repeated .*ascending times were expected"):
        timed.update(a[100:101], b[100:101], time=times[99:100])
    with pytest.raises(DataError, match=r"at row 0 of this update follows .*ascending times were expected"):
        timed.update(a[100:101], b[100:101], time=times[90:91])
    with pytest.raises(DataError, match="time is missing; the observation before has time"):
        timed.update(0.5, 0.4)
    assert timed.to_json() == again
    timed.update(a[100:], b[100:], time=times[100:])
    assert timed.look == plain.look
    assert timed.n == 200


def test_time_given_late_or_of_another_kind_or_length_is_refused():
    a, b = losses(100)
    with pytest.raises(DataError, match="the 100 observations before came without; give it always or never"):
        SequentialComparison().update(a, b).update(0.1, 0.2, time=5)
    with pytest.raises(DataError, match="time is of kind float; the observations before have times of kind integer"):
        SequentialComparison().update(0.1, 0.2, time=5).update(0.1, 0.2, time=6.5)
    with pytest.raises(DataError, match="time has 99 entries for 100 observations"):
        SequentialComparison().update(a, b, time=np.arange(99))
    with pytest.raises(DataError, match="at row 3 of this update follows 3"):
        SequentialComparison().update(a[:4], b[:4], time=[1, 2, 3, 2])
    with pytest.raises(DataError, match="time is missing at row 1"):
        SequentialComparison().update(a[:2], b[:2], time=np.array(["2025-01-01", "NaT"], dtype="datetime64[s]"))
    with pytest.raises(DataError, match="time is nan at row 0"):
        SequentialComparison().update(0.1, 0.2, time=math.nan)
    with pytest.raises(DataError, match="whole numbers, floats or datetimes were expected"):
        SequentialComparison().update(0.1, 0.2, time="yesterday")
    with pytest.raises(DataError, match="beyond the years 1678 to 2262"):
        SequentialComparison().update(0.1, 0.2, time=datetime(3000, 1, 1, tzinfo=UTC))


# bad input


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (math.nan, 0.1, r"the loss of 'a' holds nan at row 0 of this update"),
        (0.1, math.inf, r"the loss of 'b' holds inf at row 0"),
        ([0.1, 0.2, None], [0.1, 0.2, 0.3], r"the loss of 'a' holds nan at row 2"),
        ([0.1, 0.2], [0.1], r"'a' has 2 losses where 'b' has 1; equally many were expected"),
        (0.1, [0.1, 0.2], r"'a' has 1 losses where 'b' has 2"),
        (np.zeros((3, 2)), np.zeros((3, 2)), r"2 dimensions; one value a moment was expected \(average symbols first\)"),
        ("0.1", 0.1, r"the loss of 'a' is of type <U3; numbers were expected"),
        (0.1, {"loss": 1}, r"the loss of 'b' is of type object; numbers were expected"),
        (1j, 0.1, r"numbers were expected"),
    ],
)
def test_losses_that_cannot_be_used_are_refused_and_leave_no_trace(a, b, message):
    match = SequentialComparison().update(*losses(100))
    before = match.to_json()
    with pytest.raises(DataError, match=message):
        match.update(a, b)
    assert match.to_json() == before


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1, 5, math.nan, "0.05", True, None])
def test_alpha_outside_zero_and_one_is_refused(alpha):
    with pytest.raises(DataError, match=r"alpha is .*; a number between 0 and 1 was expected"):
        SequentialComparison(alpha)


def test_other_settings_out_of_bounds_are_refused():
    for first_look in (59, 0, 100.0, True, "100"):
        with pytest.raises(DataError, match=f"first_look is {first_look}; a whole number of at least 60"):
            SequentialComparison(first_look=first_look)
    for names in (None, 3, {"a", "b"}, "ab", ("a",), ("a", "a"), (1, 2)):
        with pytest.raises(DataError, match="two different names were expected"):
            SequentialComparison(names=names)
    with pytest.raises(DataError, match="alternative is 'both'"):
        SequentialMean(alternative="both")
    with pytest.raises(DataError, match="null_mean is nan"):
        SequentialMean(math.nan)
    for name in (None, 3, ""):
        with pytest.raises(DataError, match=f"^name is {name!r}; a name of the series was expected.$"):
            SequentialMean(name=name)


def changed(**fields: object) -> str:
    state = json.loads(SequentialComparison().update(*losses(3000, 0.3)).to_json())
    for path, value in fields.items():
        place = state
        *way, last = path.split("__")
        for key in way:
            place = place[key]
        place[last] = value
    return json.dumps(state)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "null",
        changed()[:-5],
        changed(kind="huracan.SequentialMean"),
        changed(version=2),
        changed(names=["a"]),
        changed(names=["a", "other"]),
        changed(difference__alpha=7),
        changed(difference__null_mean=1.0),
        changed(difference__p_value=0.0),
        changed(difference__p_value=0.9),
        changed(difference__decision=None),
        changed(difference__decision="sideways"),
        changed(difference__decided_at=None),
        changed(difference__look=None),
        changed(difference__look__n=7.5),
        changed(difference__look__mean=math.nan),
        changed(difference__size=math.inf),
        changed(difference__clock=["hours", 3]),
        changed(difference__series__n=2999),
        changed(difference__series__n=-1),
        changed(difference__series__means=[math.nan] * 750),
        changed(difference__series__means=["1.0"] * 750),
        changed(difference__series__means=[None] * 750),
        changed(difference__series__waiting=[None]),
    ],
)
def test_a_state_that_is_none_or_was_tampered_with_is_refused_in_one_sentence(text):
    with pytest.raises(DataError, match=r"^this is not the state of a SequentialComparison \(.*\); what its to_json wrote"):
        SequentialComparison.from_json(text)


def test_an_untouched_state_is_taken():
    assert SequentialComparison.from_json(changed()).decision is Better.A
    fresh = SequentialComparison(0.01, names=("champion", "challenger"), first_look=90)
    assert SequentialComparison.from_json(fresh.to_json()).to_json() == fresh.to_json()


def test_memory_does_not_grow_with_the_series():
    match = SequentialComparison()
    rng = np.random.default_rng(0)
    for _ in range(10):
        match.update(rng.standard_normal(100_000), rng.standard_normal(100_000))
    assert match.n == 1_000_000
    # 1,024 numbers of at most 25 characters, and the rest
    assert len(match.to_json()) < 30_000


def test_sentences_say_what_is_known():
    match = SequentialComparison(names=("champion", "challenger"))
    assert match.sentence == "Not decided: 0 observations, the first look is at 60."
    a, b = losses(59)
    assert match.update(a, b).interval == (-math.inf, math.inf)
    match.update(*losses(2, seed=5))
    assert match.sentence.startswith("Neither 'champion' nor 'challenger' is shown to be better (mean loss of 'champion'")
    match.update(*losses(2000, -0.3, seed=6))
    assert match.winner == "challenger"
    assert match.decided_at is not None
    assert f"decided at {match.decided_at.n} observations that 'challenger' is better than 'champion' (" in match.sentence
    watch = SequentialMean(1, name="x").update(2 + losses(500)[0])
    assert watch.decided_at is not None
    assert f"decided at {watch.decided_at.n} observations that the mean of x is above 1 (mean 3." in watch.sentence
