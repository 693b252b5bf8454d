"""Weights without a search: closed forms, and regimes that get as much of their own as they have evidence for."""

from __future__ import annotations

import numpy as np
import pytest

from huracan.dataset import REGIME_ORDER
from huracan.ensembles import RegimeWeights, equal_weights, inverse_loss_weights
from huracan.errors import DataError, ModelError
from huracan.model_info import MarketRegime


def losses(n: int, *, dependent: int = 1, seed: int = 0) -> np.ndarray:
    """Squared errors of two members, the first better in regime 0 and the second in regime 1; constant over some rows."""
    rng = np.random.default_rng(seed)
    better = np.array([[1.0, 3.0], [3.0, 1.0]])[np.arange(n) % 2]
    return np.repeat(rng.chisquare(1, (-(-n // dependent), 2)), dependent, axis=0)[:n] * better


def test_inverse_losses_are_the_best_weights_of_independent_errors() -> None:
    """Bates and Granger: weights 1 / variance have the least variance of all weighted means."""
    rng = np.random.default_rng(0)
    errors = rng.standard_normal((200_000, 3)) * [1.0, 2.0, 3.0]
    weights = inverse_loss_weights(errors**2)
    np.testing.assert_allclose(weights, np.array([36, 9, 4]) / 49, atol=0.005)
    best = np.mean((errors @ weights) ** 2)
    assert best < min(np.mean((errors @ other) ** 2) for other in (np.eye(3)[0], equal_weights(3), [0.6, 0.3, 0.1]))


def test_the_power_goes_from_equal_to_the_best_alone() -> None:
    assert inverse_loss_weights([1.0, 2.0], 0).tolist() == [0.5, 0.5]
    assert inverse_loss_weights([1.0, 2.0], 50)[0] > 0.999


@pytest.mark.parametrize("bad", [[1.0, 0.0], [1.0, -1.0], [np.nan, 1.0], []])
def test_losses_that_cannot_be_are_refused(bad: list[float]) -> None:
    with pytest.raises(DataError):
        inverse_loss_weights(bad)


def test_a_regime_is_drawn_to_the_pool_as_far_as_it_lacks_evidence() -> None:
    """Independent losses: n observations count n / (n + prior) of the regime's own weights."""
    for n, prior in ((400, 100.0), (4_000, 100.0), (400, 0.0)):
        table, code = losses(n), np.arange(n) % 2
        made = RegimeWeights.fit(table, code, np.arange(n), prior=prior)
        for i in (0, 1):
            own = inverse_loss_weights(table[code == i])
            share = made.n_effective[REGIME_ORDER[i]] / (made.n_effective[REGIME_ORDER[i]] + prior)
            np.testing.assert_allclose(made.by_regime[REGIME_ORDER[i]], share * own + (1 - share) * made.pooled)
            assert share == pytest.approx(n / 2 / (n / 2 + prior), abs=0.15)


def test_losses_that_depend_on_each_other_are_less_evidence() -> None:
    n = 4_000
    code = np.zeros(n, np.int8)
    rng = np.random.default_rng(1)
    independent = rng.chisquare(1, (n, 2))
    overlapping = np.repeat(rng.chisquare(1, (n // 20, 2)), 20, axis=0)
    many, few = (RegimeWeights.fit(t, code, np.arange(n)).n_effective[REGIME_ORDER[0]] for t in (independent, overlapping))
    assert many > 2_500
    assert few == pytest.approx(n / 20, rel=0.6)


def test_rows_of_one_time_are_one_observation() -> None:
    n = 300
    table, code = losses(n), np.zeros(n, np.int8)
    panel = RegimeWeights.fit(np.repeat(table, 10, axis=0), np.repeat(code, 10), np.repeat(np.arange(n), 10))
    single = RegimeWeights.fit(table, code, np.arange(n))
    assert panel.n_effective[REGIME_ORDER[0]] == pytest.approx(single.n_effective[REGIME_ORDER[0]])


def test_an_unknown_or_hardly_seen_regime_gets_the_pooled_weights() -> None:
    table = losses(200)
    code = np.where(np.arange(200) < 10, 2, 0)
    made = RegimeWeights.fit(table, code, np.arange(200))
    assert set(made.by_regime) == {REGIME_ORDER[0]}
    np.testing.assert_array_equal(made.of_rows([2, 3, -1]), np.tile(made.pooled, (3, 1)))
    np.testing.assert_array_equal(made.of_rows([0]), made.by_regime[REGIME_ORDER[0]][None])


def test_any_way_of_weighing_can_be_used() -> None:
    table = losses(400)
    made = RegimeWeights.fit(
        table, np.arange(400) % 2, np.arange(400), weigher=lambda rows: np.eye(2)[table[rows].mean(axis=0).argmin()], prior=0.0
    )
    assert made.by_regime[MarketRegime(REGIME_ORDER[0])].tolist() == [1.0, 0.0]
    assert made.by_regime[MarketRegime(REGIME_ORDER[1])].tolist() == [0.0, 1.0]


def test_they_are_stored_as_plain_values() -> None:
    made = RegimeWeights.fit(losses(400), np.arange(400) % 2, np.arange(400))
    again = RegimeWeights.from_state(made.to_state())
    np.testing.assert_array_equal(again.of_rows([0, 1, -1]), made.of_rows([0, 1, -1]))


def test_weights_that_cannot_be_are_refused() -> None:
    with pytest.raises(ModelError, match=r"the weight of member 0 is -1\.0"):
        RegimeWeights(np.array([-1.0, 2.0]), {})
    with pytest.raises(ModelError, match=r"weights have shape \(3,\); one for each of 2 members"):
        RegimeWeights(np.array([1.0, 1.0]), {MarketRegime.RANGING: np.ones(3)})
    with pytest.raises(DataError, match=r"losses \(4, 2\), regime_code \(3,\), times \(4,\)"):
        RegimeWeights.fit(np.ones((4, 2)), np.zeros(3), np.arange(4))
