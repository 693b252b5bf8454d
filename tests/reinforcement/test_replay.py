"""Replay: what is drawn is what happened, in the proportions asked for, and takes little memory."""

import numpy as np
import pytest
import torch

from huracan.errors import ModelError
from huracan.reinforcement.arrays import NUMPY, TensorArrays
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


def test_compiled_and_plain_trees_are_the_same_bits():
    """So a training begun on a machine with numba goes on exactly on one without."""
    random = np.random.default_rng(0)
    plain, compiled = SumTree(3_000, compiled=False), SumTree(3_000, compiled=True)
    for tree in (plain, compiled):
        tree.fill(np.random.default_rng(1).exponential(size=3_000))
    for _ in range(100):
        entries, priorities = random.integers(0, 3_000, 64), random.exponential(size=64) ** 3
        plain.set(entries, priorities)
        compiled.set(entries, priorities)
        for mine, theirs in zip(plain.levels, compiled.levels, strict=True):
            np.testing.assert_array_equal(mine, theirs)
        borders = plain.priorities.cumsum()[random.integers(0, 3_000, 200)]  # where rounding decides
        masses = np.concatenate((random.random(200) * plain.total, borders.clip(max=plain.total)))
        np.testing.assert_array_equal(plain.find(masses), compiled.find(masses))


def filled(n_step=1, gamma=0.9, alpha=0.0, steps=50, capacity=40 * 3, seed=0, arrays=NUMPY, compiled=None):
    """A replay after more steps than it holds, and everything that happened: (step, copy) -> values."""
    random = np.random.default_rng(seed)
    features = random.normal(size=(200, 2)).astype(np.float32)
    replay = IndexReplay(
        capacity,
        3,
        account_size=1,
        features=features,
        window=4,
        n_step=n_step,
        gamma=gamma,
        alpha=alpha,
        compiled=compiled,
        arrays=arrays,
    )
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
            "level_after": random.integers(0, 3, 3),
        }
        replay.add(**{name: arrays.asarray(value) for name, value in one.items()})
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
    same = {"account_size": 1, "features": features, "window": 4}
    for other, differs in (
        (IndexReplay(60, 3, **same), "steps 40 .here 20."),
        (IndexReplay(160, 4, **same), "copies 3 .here 4."),
        (IndexReplay(120, 3, **same, n_step=2), "n_step 1 .here 2."),
        (IndexReplay(120, 3, **same, alpha=0.6), "priorities 0 .here 1."),
        (IndexReplay(120, 3, **{**same, "features": features[:50]}), "rows 200 .here 50."),
    ):
        with pytest.raises(ModelError, match=differs):
            other.load_state_dict(replay.state_dict())
        assert len(other) == 0
    with pytest.raises(ModelError, match=r"replay_capacity of an agent\) is 3; 2 steps of 3 copies, 6"):
        IndexReplay(3, 3, account_size=1)


@pytest.mark.parametrize("alpha", [0.0, 0.6])
def test_what_cannot_be_drawn_or_learned_from_is_refused(alpha):
    with pytest.raises(ModelError, match="3 transitions of 0"):
        IndexReplay(20, 2, account_size=1, alpha=alpha).sample(3, np.random.default_rng(0))
    replay = filled(alpha=alpha)[0]
    with pytest.raises(ModelError, match="0 transitions"):
        replay.sample(0, np.random.default_rng(0))
    if alpha:
        total = replay.tree.total
        with pytest.raises(ModelError, match="error of entry 7 is nan"):
            replay.update(np.array([3, 7]), np.array([1.0, np.nan]))
        assert replay.tree.total == total


def test_a_thousand_positions_are_kept_as_they_are():
    replay = IndexReplay(10, 1, account_size=1)
    replay.add(
        account=[[0]],
        action=[999],
        reward=[0.0],
        account_after=[[0]],
        terminated=[False],
        truncated=[False],
        level_after=[1_000],
    )
    drawn = replay.sample(1, np.random.default_rng(0))
    assert (drawn.action[0], drawn.level_after[0]) == (999, 1_000)


PARTS = ("entry", "observation", "action", "reward", "discount", "observation_after", "level_after", "weight")


class SameDraws(TensorArrays):
    """Tensors that draw what NumPy would."""

    def drawn(self, random, n):
        return self.asarray(random.random(n))

    def drawn_integers(self, random, n, below):
        return self.asarray((random.random(n) * below).astype(np.int64))


@pytest.mark.parametrize(("n_step", "alpha"), [(1, 0.0), (3, 0.0), (3, 0.6)])
def test_a_replay_of_tensors_is_the_same_replay(n_step, alpha):
    mine, theirs = (filled(n_step, alpha=alpha, arrays=arrays)[0] for arrays in (NUMPY, SameDraws()))
    rng, other = np.random.default_rng(3), np.random.default_rng(3)
    for _ in range(20):
        a, b = mine.sample(32, rng, beta=0.5), theirs.sample(32, other, beta=0.5)
        for name in PARTS[: 8 if alpha else 7]:
            assert torch.is_tensor(getattr(b, name))
            assert getattr(b, name).numpy().dtype == getattr(a, name).dtype
            np.testing.assert_allclose(getattr(b, name).numpy(), getattr(a, name), rtol=1e-6)
        error = np.random.default_rng(int(a.entry[0])).normal(size=32)
        mine.update(a.entry, error)
        theirs.update(b.entry, torch.from_numpy(error))
    assert len(mine) == len(theirs)
    assert mine.bytes_per_transition == theirs.bytes_per_transition
    for name, value in mine.state_dict().items():
        np.testing.assert_allclose(theirs.state_dict()[name], value, rtol=1e-12)


@pytest.mark.parametrize(("n_step", "alpha"), [(1, 0.0), (1, 0.6), (3, 0.6)])
def test_a_compiled_replay_is_the_same_bits(n_step, alpha):
    mine, theirs = (filled(n_step, alpha=alpha, compiled=compiled)[0] for compiled in (False, True))
    rng, other = np.random.default_rng(3), np.random.default_rng(3)
    for _ in range(50):
        a, b = mine.sample(32, rng, beta=0.5), theirs.sample(32, other, beta=0.5)
        for name in PARTS[: 8 if alpha else 7]:
            assert getattr(b, name).dtype == getattr(a, name).dtype
            np.testing.assert_array_equal(getattr(b, name), getattr(a, name))
        error = np.random.default_rng(int(a.entry[0])).normal(size=32)
        mine.update(a.entry, error)
        theirs.update(b.entry, error)
    assert mine.highest == theirs.highest


def test_a_replay_of_tensors_goes_on_from_its_state_on_either_side():
    replay, _, features = filled(3, alpha=0.6, arrays=TensorArrays())
    options = {"account_size": 1, "features": features, "window": 4, "n_step": 3, "gamma": 0.9, "alpha": 0.6}
    tensors = IndexReplay(120, 3, arrays=TensorArrays(), **options)
    plain = IndexReplay(120, 3, **options)
    for other in (tensors, plain):
        other.load_state_dict(replay.state_dict())
    a, b = (made.sample(20, torch.Generator().manual_seed(1)) for made in (replay, tensors))
    for name in PARTS:
        assert torch.equal(getattr(a, name), getattr(b, name))
    for name, value in replay.state_dict().items():
        np.testing.assert_array_equal(plain.state_dict()[name], value)
