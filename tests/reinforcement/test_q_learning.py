"""Gradients written out are those of autograd, and Adam on one tensor is Adam."""

import itertools

import numpy as np
import pytest
import torch

from huracan.reinforcement.differentiation import Autograd, PlainLayers, differentiation
from huracan.reinforcement.flat_adam import FlatAdamW
from huracan.reinforcement.q_learning import QLearner
from huracan.reinforcement.q_network import QNetworkSettings
from huracan.reinforcement.replay import Sample
from huracan.reinforcement.values import Categorical, Expected, Quantiles, losses_and_slopes

FORMS = [Expected(), Expected("huber"), Categorical(-3.0, 3.0, 7), Quantiles(5)]
SETTINGS = {"window": 3, "n_features": 2, "account_size": 4, "n_actions": 3, "level_columns": (0, 1, 2)}


def learner(form, **changes):
    options = {"hidden": (16, 8), "dueling": False, "double": True, "allowed": None, **changes}
    settings = QNetworkSettings(
        **SETTINGS, outputs=form.outputs, hidden=options.pop("hidden"), dueling=options.pop("dueling"),
    )  # fmt: skip
    made = QLearner(
        settings, form, learning_rate=0.01, weight_decay=0.1, tau=0.1, target_every=1, clip_norm=5.0, seed=1,
        device=torch.device("cpu"), **options,
    )  # fmt: skip
    made.standardise(np.array([0.1, -0.2]), np.array([0.5, 2.0]))
    made.believe(np.random.default_rng(0).normal(size=(3, 3)))
    return made


def by_autograd(made):
    made._learning, made._valuing = Autograd(made.online), Autograd(made.target)
    return made


def sample(random, n=10, weighted=False):
    seen = random.normal(size=(2 * n, 10)).astype(np.float32)
    return Sample(
        entry=np.arange(n),
        observations=seen,
        action=random.integers(0, 3, n),
        reward=random.normal(size=n).astype(np.float32),
        discount=np.where(random.random(n) < 0.2, 0.0, 0.9).astype(np.float32),
        level_after=random.integers(0, 3, n),
        weight=random.random(n).astype(np.float32) if weighted else None,
    )


MASK = np.array([[True, True, False], [True, True, True], [False, True, True]])


@pytest.mark.parametrize(
    ("form", "dueling", "allowed"),
    list(itertools.product(FORMS, [False, True], [None, MASK])),
    ids=lambda value: str(value)[:12],
)
def test_written_out_gradients_learn_what_autograd_learns(form, dueling, allowed):
    plain = learner(form, dueling=dueling, allowed=allowed)
    other = by_autograd(learner(form, dueling=dueling, allowed=allowed))
    assert isinstance(plain._learning, PlainLayers)
    random = np.random.default_rng(2)
    for weighted in (False, True, True):
        drawn = sample(random, weighted=weighted)
        for one, another in zip(plain.update(drawn, 2.0), other.update(drawn, 2.0), strict=True):
            torch.testing.assert_close(one, another, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(plain.parameters.grad, other.parameters.grad, rtol=1e-3, atol=1e-5)
    known = (
        torch.randn(6, 6), torch.randn(6, 6), torch.cat([torch.eye(3), torch.randn(3, 1)], dim=1), torch.randn(6, 3, 3),
        torch.full((6, 3, 3), 0.9), torch.tensor([[0, 1, 2]] * 3),
    )  # fmt: skip
    torch.testing.assert_close(plain.update_all(*known), other.update_all(*known), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(plain.parameters.grad, other.parameters.grad, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(plain.target_parameters, other.target_parameters, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("changes", [{"noisy": True}, {"encoder": "gru", "embedding": 4}, {"hidden": ()}])
def test_other_networks_are_left_to_autograd(changes):
    from huracan.reinforcement.q_network import QNetwork

    network = QNetwork(QNetworkSettings(**{**SETTINGS, "hidden": (4,), **changes}))
    assert isinstance(differentiation(network), Autograd)


@pytest.mark.parametrize("form", FORMS)
def test_slopes_are_the_derivatives_of_losses(form):
    random = torch.Generator().manual_seed(0)
    out = torch.randn(5, form.outputs, generator=random, dtype=torch.float64)
    reward, following = torch.randn(5, generator=random).double(), torch.randn(5, form.outputs, generator=random).double()
    discount = torch.full((5,), 0.9, dtype=torch.float64)
    losses, _, slopes = losses_and_slopes(form, out, reward, discount, following)
    for i in range(form.outputs):
        moved = out.clone()
        moved[:, i] += 1e-6
        found = (losses_and_slopes(form, moved, reward, discount, following)[0] - losses) / 1e-6
        torch.testing.assert_close(found, slopes[:, i], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_flat_adam_is_adam(weight_decay):
    random = torch.Generator().manual_seed(0)
    start = torch.randn(50, generator=random)
    theirs = torch.nn.Parameter(start.clone())
    optimizer = torch.optim.AdamW([theirs], lr=0.01, eps=1e-4, weight_decay=weight_decay)
    mine = FlatAdamW(start.clone(), learning_rate=0.01, eps=1e-4, weight_decay=weight_decay)
    for step in range(200):
        gradient = torch.randn(50, generator=random) * (step % 7)
        rate = 0.01 / (1 + step)
        mine.learning_rate = optimizer.param_groups[0]["lr"] = rate
        theirs.grad = gradient.clone()
        optimizer.step()
        mine.step(gradient)
    torch.testing.assert_close(mine.parameters, theirs.detach(), rtol=1e-5, atol=1e-6)
