"""Replay: what is drawn is what happened, in the proportions asked for, and takes little memory."""

import numpy as np
import pytest

from huracan.errors import ModelError
from huracan.reinforcement.replay import IndexReplay
from huracan.reinforcement.sum_tree import SumTree


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("capacity", [1, 16, 17, 300, 5_000])
def test_entries_are_found_where_cumulated_priorities_say(compiled, capacity):
    random = np.random.default_rng(capacity)
    tree, priorities = SumTree(capacity, compiled=compiled), np.zeros(capacity)
    for _ in range(5):
        entries = random.integers(0, capacity, 40)
        new = random.random(40) * (random.random(40) > 0.3)
        tree.set(entries, new)
        for entry, value in zip(entries, new, strict=True):
            priorities[entry] = value
    priorities[0] = 0.5
    tree.set(np.array([0]), np.array([0.5]))
    np.testing.assert_array_equal(tree.priorities, priorities)
    assert tree.total == pytest.approx(priorities.sum())
    masses = random.random(2_000) * tree.total
    np.testing.assert_array_equal(tree.find(masses), np.searchsorted(priorities.cumsum(), masses, side="right"))
    ends = tree.find(np.array([0.0, np.nextafter(tree.total, 0), tree.total]))
    assert (priorities[ends] > 0).all()


def test_compiled_and_plain_trees_agree_after_filling():
    priorities = np.random.default_rng(0).random(1_000)
    plain, compiled = SumTree(1_000, compiled=False), SumTree(1_000, compiled=True)
    for tree in (plain, compiled):
        tree.fill(priorities)
    masses = np.random.default_rng(1).random(5_000) * plain.total
    np.testing.assert_array_equal(plain.find(masses), compiled.find(masses))


def filled(n_step=1, gamma=0.9, alpha=0.0, steps=50, capacity=40 * 3, seed=0):
    """A replay after more steps than it holds, and everything that happened: (step, copy) -> values."""
    random = np.random.default_rng(seed)
    features = random.normal(size=(200, 2)).astype(np.float32)
    replay = IndexReplay(capacity, 3, account_size=1, features=features, window=4, n_step=n_step, gamma=gamma, alpha=alpha)
    happened = []
    row = np.array([10, 20, 30])
    for step in range(steps):
        ending = random.choice(3, 3, p=[0.8, 0.1, 0.1])
        one = {
            "row": row.copy(),
            "account": np.full((3, 1), step, np.float32),
            "action": random.integers(0, 3, 3),
            "reward": random.normal(size=3),
            "account_after": np.full((3, 1), step + 0.5, np.float32),
            "terminated": ending == 1,
            "truncated": ending == 2,
        }
        replay.add(**one)
        happened.append(one)
        row = np.where(ending > 0, random.integers(5, 50, 3), row + 1)
    return replay, happened, features


@pytest.mark.parametrize("n_step", [1, 3, 5])
def test_transitions_of_n_steps_are_what_happened(n_step):
    gamma = 0.9
    replay, happened, features = filled(n_step, gamma)
    drawn = replay.sample(500, np.random.default_rng(5))
    first = len(happened) - replay.steps
    for k, entry in enumerate(drawn.entry):
        slot, copy = divmod(int(entry), 3)
        step = first + (slot - first) % replay.steps
        reward, factor, at = 0.0, 1.0, step
        while True:
            one = happened[at]
            reward += factor * one["reward"][copy]
            factor *= gamma
            over = one["terminated"][copy] or one["truncated"][copy]
            if over or at - step + 1 == n_step or at + 1 == len(happened):
                break
            at += 1
        assert drawn.reward[k] == pytest.approx(reward, abs=1e-5)
        assert drawn.discount[k] == pytest.approx(0.0 if one["terminated"][copy] else factor, abs=1e-6)
        row, last = happened[step]["row"][copy], one["row"][copy]
        np.testing.assert_array_equal(drawn.observation[k, :8], features[row - 3 : row + 1].ravel())
        np.testing.assert_array_equal(drawn.observation_after[k, :8], features[last - 2 : last + 2].ravel())
        assert (drawn.observation[k, 8], drawn.observation_after[k, 8]) == (step, at + 0.5)


def test_priorities_decide_how_often_entries_are_drawn_and_weights_correct_for_it():
    replay, _, _ = filled(alpha=1.0, steps=40)
    errors = np.random.default_rng(0).exponential(size=len(replay))
    replay.update(np.arange(len(replay)), errors)
    random = np.random.default_rng(1)
    drawn = [replay.sample(64, random) for _ in range(2_000)]
    counts = np.bincount(np.concatenate([d.entry for d in drawn]), minlength=len(replay))
    expected = (errors + replay.least) / (errors + replay.least).sum()
    shares = counts / counts.sum()
    bound = 5 * np.sqrt(expected / counts.sum())  # stratified draws vary less than independent ones
    assert (np.abs(shares - expected) < bound).all()
    weight = drawn[0].weight
    assert weight.max() == 1.0
    np.testing.assert_allclose(weight * expected[drawn[0].entry], (weight * expected[drawn[0].entry])[0], rtol=1e-5)


def test_a_transition_takes_a_fiftieth_of_stored_observations():
    replay = IndexReplay(10_000, 8, account_size=2, features=np.zeros((500, 16), np.float32), window=64, alpha=0.6)
    stored = 2 * (64 * 16 + 2) * 4
    assert replay.bytes_per_transition <= stored / 50


def test_a_replay_goes_on_from_its_state():
    replay, _, features = filled(3, alpha=0.6)
    other = IndexReplay(120, 3, account_size=1, features=features, window=4, n_step=3, gamma=0.9, alpha=0.6)
    other.load_state_dict(replay.state_dict())
    for _ in range(3):
        a = replay.sample(20, np.random.default_rng(3))
        b = other.sample(20, np.random.default_rng(3))
        for name in ("entry", "observation", "reward", "discount", "observation_after", "weight"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


def test_a_state_of_another_replay_is_refused():
    replay, _, features = filled()
    other = IndexReplay(60, 3, account_size=1, features=features, window=4)
    with pytest.raises(ModelError, match="at most"):
        other.load_state_dict(replay.state_dict())
    with pytest.raises(ModelError, match="capacity is 3"):
        IndexReplay(3, 3, account_size=1)
