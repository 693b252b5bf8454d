"""Who takes over, who does not, and why: decided by evidence, or by the time that was allowed."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from huracan.errors import DataError
from huracan.integration.feedback.shadowing import Outcome, ShadowMatch, paired_payoffs

HOUR = 3_600_000


def payoffs(seed: int, n: int = 400) -> tuple[np.ndarray, np.ndarray]:
    market = np.random.default_rng(seed).standard_normal((2, n))
    return market[0], 0.5 * market[0] + market[1]


def played(gain: float, n: int = 400, seed: int = 0) -> ShadowMatch:
    champion, shadow = payoffs(seed, n)
    return ShadowMatch("m/1", "m/2").update(np.arange(n) * HOUR, champion, shadow + gain)


def test_the_better_one_wins() -> None:
    won, lost = played(0.6), played(-0.6)
    assert won.verdict(bars=400, bars_allowed=500).outcome is Outcome.PROMOTE  # type: ignore[union-attr]
    assert lost.verdict(bars=400, bars_allowed=500).outcome is Outcome.REJECT  # type: ignore[union-attr]
    assert "'m/2' is better than 'm/1'" in won.sentence and "'m/1' is better than 'm/2'" in lost.sentence
    assert won.trial(bars=400, bars_allowed=500).outcome is Outcome.ROLL_BACK  # type: ignore[union-attr]
    assert lost.trial(bars=400, bars_allowed=500).outcome is Outcome.SETTLE  # type: ignore[union-attr]


def test_equal_ones_go_on_until_the_time_is_over() -> None:
    match = played(0.0)
    assert match.verdict(bars=400, bars_allowed=500) is None and match.trial(bars=400, bars_allowed=500) is None
    over = match.verdict(bars=500, bars_allowed=500)
    assert over is not None and over.outcome is Outcome.EXPIRE and over.sentence.startswith("After 500 bars of 500 allowed: N")
    assert match.trial(bars=500, bars_allowed=500).outcome is Outcome.SETTLE  # type: ignore[union-attr]
    silent = ShadowMatch("m/1", "m/2").verdict(bars=500, bars_allowed=500)
    assert silent is not None and "0 observations" in silent.sentence


def test_newer_and_not_worse() -> None:
    """By the margin and no further: the lower end of the interval decides."""
    match = played(0.05)
    low, _ = match.interval
    assert low < 0 and match.verdict(bars=400, bars_allowed=500, short_of=-low * 0.99) is None
    verdict = match.verdict(bars=400, bars_allowed=500, short_of=-low * 1.01)
    assert verdict is not None and verdict.outcome is Outcome.PROMOTE and verdict.sentence.startswith("'m/2' is newer and not")
    assert ShadowMatch("m/1", "m/2").verdict(bars=1, bars_allowed=500, short_of=100.0) is None  # nothing was looked at yet


def test_equal_ones_are_rarely_called_different() -> None:
    """At most alpha: with 200 pairs, 5 % and three binomial standard errors."""
    wrong = sum(played(0.0, 300, seed).verdict(bars=1, bars_allowed=500) is not None for seed in range(200))
    # the second series has variance 1.25 and mean 0 as the first: equal means
    assert wrong <= 200 * 0.05 + 3 * np.sqrt(200 * 0.05 * 0.95)


def test_each_moment_counts_once_and_state_goes_on_to_the_same_bits() -> None:
    champion, shadow = payoffs(3)
    whole = ShadowMatch("m/1", "m/2", horizon=8).update(np.arange(400) * HOUR, champion, shadow)
    pieces = ShadowMatch("m/1", "m/2", horizon=8)
    for first in range(0, 400, 25):
        again = slice(max(0, first - 10), first + 25)  # what was taken comes a second time
        pieces.update(np.arange(400)[again] * HOUR, champion[again], shadow[again])
        pieces = ShadowMatch.from_json(pieces.to_json())
    assert pieces.to_json() == whole.to_json() and pieces.n == 400 and pieces.moment == 399 * HOUR
    assert whole.interval[0] > -np.inf


def test_the_first_look_waits_for_overlapping_labels() -> None:
    assert "first look is at 60" in ShadowMatch("a", "b").sentence
    assert "first look is at 240" in ShadowMatch("a", "b", horizon=24).sentence


def test_no_verdict_stands_that_the_data_turned_against() -> None:
    """As where promotions are frozen, and what won early has lost since."""
    champion, shadow = payoffs(1, 3_000)
    turned = np.where(np.arange(3_000) < 300, 0.8, -0.8)
    match = ShadowMatch("m/1", "m/2").update(np.arange(3_000) * HOUR, champion, shadow + turned)
    assert "It was decided" in match.sentence and match.interval[0] == -np.inf
    assert match.verdict(bars=100, bars_allowed=500) is None
    assert match.verdict(bars=500, bars_allowed=500).outcome is Outcome.EXPIRE  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("moments", "payoff", "said"),
    [([2, 1], [0.1, 0.2], "moment 1 comes after 2"), ([1, 2], [0.1, np.nan], "finite")],
)
def test_what_cannot_be_taken_changes_nothing(moments: list[int], payoff: list[float], said: str) -> None:
    match = ShadowMatch("m/1", "m/2")
    with pytest.raises(DataError, match=said):
        match.update(moments, payoff, [0.0, 0.0])
    assert match.n == 0 and match.moment is None


@pytest.mark.parametrize("text", ["", "{}", '{"kind": "other", "version": 1}', "[1]"])
def test_other_states_are_refused(text: str) -> None:
    with pytest.raises(DataError, match="no state of a ShadowMatch"):
        ShadowMatch.from_json(text)


def test_pairs_are_bars_that_both_answered() -> None:
    rng = np.random.default_rng(0)
    frames = [
        pl.DataFrame({"symbol": ["A", "B"] * 50, "ts": np.repeat(np.arange(50), 2), "payoff": rng.standard_normal(100)}).sample(
            80, seed=seed, shuffle=True
        )
        for seed in (0, 1)
    ]
    moments, one, two = paired_payoffs(*frames)
    first, second = ({(row[0], row[1]): row[2] for row in frame.iter_rows()} for frame in frames)
    for moment, a, b in zip(moments.tolist(), one, two):
        both = [symbol for symbol in "AB" if (symbol, moment) in first and (symbol, moment) in second]
        assert a == pytest.approx(np.mean([first[s, moment] for s in both]))
        assert b == pytest.approx(np.mean([second[s, moment] for s in both]))
    assert (np.diff(moments) > 0).all()
    assert len(paired_payoffs(frames[0].clear(), frames[1])[0]) == 0


def test_what_won_is_asked_anew_of_what_came_since_alone() -> None:
    """The mean of all is still on its side."""
    champion, shadow = payoffs(1, 900)
    match, won = ShadowMatch("m/1", "m/2"), 0
    while match.verdict(bars=won, bars_allowed=900) is None:
        match.update([won * HOUR], champion[won : won + 1], shadow[won : won + 1] + 2.0)
        won += 1
    until = won + 120
    for bar in range(won, until):
        match.update([bar * HOUR], champion[bar : bar + 1], shadow[bar : bar + 1] - 0.8)
        if bar - won < 58:
            assert match.verdict(bars=bar, bars_allowed=900).outcome is Outcome.PROMOTE  # type: ignore[union-attr]
    assert np.sum((shadow - champion)[:until]) + 2.0 * won - 0.8 * 120 > 0 and match.n == until
    refuted = match.verdict(bars=until, bars_allowed=900)
    assert refuted is not None and refuted.outcome is Outcome.REJECT
    assert refuted.sentence.startswith("What came since it had won says the opposite: It was decided at")


@pytest.mark.parametrize(("after", "promoted"), [(0.6, 1.0), (-0.6, 0.0)], ids=["it stays better", "it turned"])
def test_after_a_freeze_who_stayed_better_is_promoted_and_who_turned_is_not(after: float, promoted: float) -> None:
    """Three times the moments before a look: their mean has the wrong sign with a chance below 1e-12 (deviation 1.1)."""
    stood = []
    for seed in range(12):
        champion, shadow = payoffs(seed, 700)
        match, won = ShadowMatch("m/1", "m/2"), 0
        while match.verdict(bars=won, bars_allowed=700) is None:
            match.update([won * HOUR], champion[won : won + 1], shadow[won : won + 1] + 0.6)
            won += 1
        since = slice(won, won + 180)
        match.update(np.arange(won, won + 180) * HOUR, champion[since], shadow[since] + after)
        verdict = match.verdict(bars=won + 180, bars_allowed=10_000)
        stood.append(verdict is not None and verdict.outcome is Outcome.PROMOTE)
    assert np.mean(stood) == promoted


def test_what_came_since_only_takes_verdicts_back() -> None:
    """Whatever comes: who is promoted was shown to be better by all there is, so no promotion is added to those of one look."""
    for seed in range(30):
        champion, shadow = payoffs(seed, 600)
        drift = 0.6 * np.sign(np.sin(np.arange(600) / (20 + 5 * seed)))
        match = ShadowMatch("m/1", "m/2")
        for first in range(0, 600, 20):
            part = slice(first, first + 20)
            match.update(np.arange(600)[part] * HOUR, champion[part], (shadow + drift)[part])
            verdict = match.verdict(bars=first, bars_allowed=10_000)
            if verdict is not None and verdict.outcome is Outcome.PROMOTE:
                assert "'m/2' is better than 'm/1'" in match.sentence


def test_newer_and_not_worse_is_asked_anew_from_when_it_was_said() -> None:
    match = played(0.05)
    low, _ = match.interval
    margin = -low * 1.01
    assert match.verdict(bars=400, bars_allowed=500, short_of=margin).outcome is Outcome.PROMOTE  # type: ignore[union-attr]
    match.decide()
    champion, shadow = payoffs(9, 60)
    match.update((400 + np.arange(60)) * HOUR, champion, shadow - margin - 0.5)
    assert match.verdict(bars=460, bars_allowed=500, short_of=margin) is None
