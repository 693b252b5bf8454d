"""Hedge: regret below its bound whatever the losses, weights in closed form."""

from __future__ import annotations

from collections import deque
from math import log, sqrt

import numpy as np
import pytest
from numpy.typing import NDArray

from huracan.ensembles import Hedge, hedge_weights
from huracan.errors import DataError

ROUNDS, MEMBERS = 1_500, 8


def independent() -> NDArray[np.float64]:
    return np.random.default_rng(1).random((ROUNDS, MEMBERS))


def taking_turns() -> NDArray[np.float64]:
    """Who leads loses next: what defeats following the leader."""
    table = np.zeros((ROUNDS, MEMBERS))
    table[np.arange(ROUNDS), np.arange(ROUNDS) % MEMBERS] = 1.0
    return table


def switching() -> NDArray[np.float64]:
    """The best member turns the worst half-way."""
    table = np.tile(np.linspace(0, 1, MEMBERS), (ROUNDS, 1))
    table[ROUNDS // 2 :] = table[ROUNDS // 2 :, ::-1]
    return table


def coins() -> NDArray[np.float64]:
    """Fair coins, the sequence that shows no bound can be of a smaller order."""
    return (np.random.default_rng(2).random((ROUNDS, MEMBERS)) < 0.5).astype(float)


def against(hedge: Hedge) -> NDArray[np.float64]:
    """An adversary that sees the weights of each round and lets the heaviest members lose."""
    seen = deque([hedge.weights] * (hedge.delay + 1))
    played = []
    for _ in range(ROUNDS):
        loss = np.zeros(MEMBERS)
        loss[np.argsort(-seen.popleft(), kind="stable")[: MEMBERS // 2]] = 1.0
        hedge.update(loss)
        seen.append(hedge.weights)
        played.append(loss)
    return np.array(played)


@pytest.mark.parametrize("delay", [0, 1, 5, 24])
@pytest.mark.parametrize("sequence", [independent, taking_turns, switching, coins])
def test_regret_is_below_its_bound_in_every_round(sequence: object, delay: int) -> None:
    hedge = Hedge(MEMBERS, delay=delay)
    for losses in sequence():  # type: ignore[operator]
        hedge.update(losses)
        assert hedge.regret <= hedge.bound
    assert hedge.bound == pytest.approx(sqrt((1 + 2 * delay) * ROUNDS * log(MEMBERS)))


@pytest.mark.parametrize("delay", [0, 3])
def test_an_adversary_that_sees_the_weights_does_not_beat_the_bound(delay: int) -> None:
    hedge = Hedge(MEMBERS, delay=delay)
    losses = against(hedge)
    assert 0 < hedge.regret <= hedge.bound
    np.testing.assert_allclose(hedge.total_losses, losses.sum(axis=0))


def test_following_the_leader_is_what_the_bound_protects_from() -> None:
    """With two members in turn, the leader loses every round (regret T/2); Hedge stays within sqrt(T ln 2)."""
    table = np.tile([[0.0, 1.0], [1.0, 0.0]], (500, 1))
    table[0] = [0.0, 0.5]
    leader = np.array([0, *np.cumsum(table, axis=0)[:-1].argmin(axis=1)])
    best = table.sum(axis=0).min()
    assert table[np.arange(1_000), leader].sum() - best > 400
    hedge = Hedge(2)
    hedge.run(table)
    assert hedge.regret <= sqrt(1_000 * log(2)) < 27


def test_weights_have_their_closed_form() -> None:
    losses = np.random.default_rng(0).random((40, 3))
    played = Hedge(3).run(losses)
    before = np.vstack([np.zeros(3), losses.cumsum(axis=0)[:-1]])
    rate = 2 * np.sqrt(np.log(3) / np.arange(1, 41))[:, None]
    expected = np.exp(-rate * before)
    np.testing.assert_allclose(played, expected / expected.sum(axis=1, keepdims=True), rtol=1e-12)


def test_weights_with_a_delay_know_nothing_of_the_last_rounds() -> None:
    losses = np.random.default_rng(0).random((60, 3))
    changed = losses.copy()
    changed[30:] = 1 - changed[30:]
    a, b = Hedge(3, delay=4).run(losses), Hedge(3, delay=4).run(changed)
    np.testing.assert_array_equal(a[:35], b[:35])  # round 35 (from 0) is the first that may know round 30
    assert not np.array_equal(a[35], b[35])
    np.testing.assert_allclose(a[:5], 1 / 3)


def test_losses_of_another_range_are_the_same_game() -> None:
    losses = np.random.default_rng(0).random((100, 4))
    unit, wide = Hedge(4), Hedge(4, loss_range=(-3.0, 5.0))
    np.testing.assert_allclose(unit.run(losses), wide.run(losses * 8 - 3))
    assert wide.regret == pytest.approx(8 * unit.regret)
    assert wide.bound == pytest.approx(8 * unit.bound)


def test_one_member_has_all_the_weight() -> None:
    hedge = Hedge(1)
    hedge.update([0.7])
    assert hedge.weights.tolist() == [1.0]
    assert hedge.regret == 0.0


@pytest.mark.parametrize(
    ("losses", "said"),
    [
        ([0.1, 1.2], "the loss of member 1 in round 1 is 1.2; 0 to 1 was expected. Give the loss_range, or clip=True."),
        ([0.1, np.nan], "the loss of member 1 in round 1 is nan; a finite number was expected."),
        ([0.1], r"losses have shape \(1,\); one for each of 2 members was expected."),
    ],
)
def test_losses_that_cannot_be_are_refused(losses: list[float], said: str) -> None:
    with pytest.raises(DataError, match=said):
        Hedge(2).update(losses)


def test_clipped_losses_are_counted() -> None:
    hedge = Hedge(2, clip=True)
    hedge.update([0.5, 7.0])
    assert hedge.n_clipped == 1
    assert hedge.total_losses.tolist() == [0.5, 1.0]


@pytest.mark.parametrize("settings", [{"n_members": 0}, {"delay": -1}, {"loss_range": (1.0, 1.0)}])
def test_settings_that_cannot_be_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(DataError):
        Hedge(**{"n_members": 2, **settings})  # type: ignore[arg-type]


def test_weights_after_a_past_are_those_hedge_ends_with_whatever_all_members_lost_together() -> None:
    rng = np.random.default_rng(0)
    losses = rng.uniform(size=(600, 3)) + np.array([0.0, 0.05, 0.1])
    times = np.repeat(np.arange(300), 2).astype("M8[D]")
    weights = hedge_weights(losses, times)
    assert weights.argmax() == 0 and weights.argmin() == 2 and weights.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(hedge_weights(losses + 50.0 * rng.uniform(size=(600, 1)), times), weights, atol=1e-9)
    slower = hedge_weights(losses, times, times + np.timedelta64(10, "D"))
    assert 1.0 / 3.0 < slower[0] < weights[0], "who hears of losses late moves less"
    np.testing.assert_allclose(hedge_weights(np.ones((9, 2)), times[:9]), [0.5, 0.5])
