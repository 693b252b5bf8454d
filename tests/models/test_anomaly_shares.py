"""The share that the autoencoder tells: at most a share ``a`` of usual windows is told ``a`` or less."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import lfilter

torch = pytest.importorskip("torch")

from huracan.errors import ModelError  # noqa: E402
from huracan.models.autoencoder.estimator import Autoencoder  # noqa: E402
from huracan.models.autoencoder.shares import ToldShares, independent_windows  # noqa: E402

CLAIMS = np.array([0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.001])
WINDOW = 32


def largest_moves(n: int, persistence: float, rng: np.random.Generator, *, symbols: int = 1) -> NDArray[np.float64]:
    """Largest move of each window (n, symbols) under common stochastic volatility: like scores, the largest of many."""
    steps = n + WINDOW - 1
    noise = rng.standard_normal(steps + 1_000) * 0.6 * np.sqrt(1.0 - persistence**2)
    log_volatility = lfilter([1.0], [1.0, -persistence], noise)[1_000:] if persistence else np.zeros(steps)
    moves = np.abs(rng.standard_normal((steps, symbols)) * np.exp(log_volatility)[:, None])
    return np.lib.stride_tricks.sliding_window_view(moves, WINDOW, axis=0).max(axis=2)


@pytest.mark.parametrize("persistence", [0.0, 0.98, 0.995])
@pytest.mark.parametrize(("n", "repetitions"), [(60, 60), (500, 60), (1_250, 60), (5_000, 25)])
def test_usual_windows_are_told_a_share_no_more_often_than_it_says(n: int, repetitions: int, persistence: float) -> None:
    """Mean over histories; its simulation error is below a quarter of each claim."""
    rings = np.zeros(len(CLAIMS))
    for seed in range(repetitions):
        scores = largest_moves(n + 3_000 + 20_000, persistence, np.random.default_rng(seed))[:, 0]
        shares = ToldShares()
        shares.learn(scores[:n], np.arange(n), window=WINDOW)
        told = shares.of(scores[n + 3_000 :])
        rings += [(told <= claim).mean() for claim in CLAIMS]
    assert (rings / repetitions <= 1.25 * CLAIMS).all()


def test_what_many_symbols_show_at_one_moment_counts_once() -> None:
    """Eight symbols of one volatility: hardly more is told than of one, and it still holds."""
    rings, least = np.zeros(len(CLAIMS)), []
    for seed in range(20):
        scores = largest_moves(2_500 + 3_000 + 10_000, 0.98, np.random.default_rng(seed), symbols=8)
        shares = ToldShares()
        shares.learn(scores[:2_500].ravel(), np.repeat(np.arange(2_500), 8), window=WINDOW)
        told = shares.of(scores[5_500:].ravel())
        rings += [(told <= claim).mean() for claim in CLAIMS]
        least.append(shares.least)
    assert (rings / 20 <= 1.25 * CLAIMS).all()
    assert min(least) >= 1.0 / (1.0 + (2_500 + WINDOW - 1) / WINDOW)


def test_no_less_is_told_than_one_among_the_independent_windows_and_one_more() -> None:
    scores = largest_moves(3_200 - WINDOW + 1, 0.0, np.random.default_rng(0))[:, 0]
    shares = ToldShares()
    shares.learn(scores, np.arange(len(scores)), window=WINDOW)
    assert 1.0 / 101.0 <= shares.least < 1.5 / 101.0  # 3,200 independent rows are 100 windows without a row in common
    assert shares.of(np.array([np.inf]))[0] == shares.least
    slow = largest_moves(3_200 - WINDOW + 1, 0.995, np.random.default_rng(0))[:, 0]
    shares.learn(slow, np.arange(len(slow)), window=WINDOW)
    assert shares.least > 3.0 / 101.0  # a cycle of volatility is hundreds of bars long
    assert ToldShares().of(np.array([0.0, np.inf])).tolist() == [1.0, 1.0]  # nothing was learned


def test_windows_far_apart_count_each() -> None:
    scores = np.random.default_rng(0).standard_normal(1_000)
    _, numbers = independent_windows(scores, np.arange(1_000), window=WINDOW, spacing=77)
    assert 500 < numbers.min() <= numbers.max() <= 2_400


def test_a_threshold_is_where_the_share_is_told() -> None:
    scores = largest_moves(5_000, 0.98, np.random.default_rng(1))[:, 0]
    shares = ToldShares()
    shares.learn(scores, np.arange(5_000), window=WINDOW)
    fresh = largest_moves(5_000, 0.98, np.random.default_rng(2))[:, 0]
    for share in (0.5, 0.1, 0.05, shares.least):
        np.testing.assert_array_equal(shares.of(fresh) <= share, fresh > shares.threshold(share))
    with pytest.raises(ModelError, match=r"share is 1e-05; no less than 0\.0\d+ can be told of so few independent windows"):
        shares.threshold(1e-5)
    with pytest.raises(ModelError, match="share is 0; a number above 0 and below 1"):
        shares.threshold(0)


@pytest.mark.parametrize("n", [116, 1_200])
def test_the_share_of_a_fitted_autoencoder_holds_on_rows_it_has_not_seen(n: int) -> None:
    """Of 116 rows, 85 windows that overlap, hardly anything can be said; and no more is."""
    settings: dict[str, Any] = {"window": 32, "latent": 3, "hidden": 16, "cross_hidden": 12, "max_epochs": 2}
    rings = np.zeros(len(CLAIMS))
    for seed in range(6):
        rows = np.random.default_rng(seed).standard_normal((n + 4_000, 3)).astype(np.float32)
        model = Autoencoder(**settings, random_state=seed).fit(rows[:n])
        told = model.anomaly_share(rows[n:])[31:]
        rings += [(told <= claim).mean() for claim in CLAIMS]
        independent = (model.n_calibration_windows_ + 31) / 32 if model.n_calibration_windows_ else 0.0
        assert model.shares_.least >= 1.0 / (1.0 + independent)
    assert (rings / 6 <= 1.5 * CLAIMS).all()


def test_what_calibrates_is_later_than_what_is_learned_and_shares_no_bar_with_it() -> None:
    rows = np.random.default_rng(0).standard_normal((2_000, 3)).astype(np.float32)
    settings: dict[str, Any] = {"window": 8, "latent": 2, "hidden": 8, "cross_hidden": 8, "max_epochs": 1}
    other = rows.copy()
    other[1_600:] *= 5.0  # the last quarter of the windows begins before
    one, two = (Autoencoder(**settings).fit(x) for x in (rows, other))
    np.testing.assert_array_equal(one.anomaly_score(rows), two.anomaly_score(rows))
    assert np.nanmedian(two.anomaly_share(rows)) > np.nanmedian(one.anomaly_share(rows))
    used = one.n_train_windows_ + one.n_validation_windows_ + one.n_calibration_windows_
    assert used == 2_000 - 3 * (8 - 1)  # the first windows of the whole, and those across the two borders, are nobody's
    with pytest.raises(ModelError, match=r"calibration_share is 0; a share above 0 and below 0\.8"):
        Autoencoder(calibration_share=0).fit(rows)


def test_too_few_windows_to_calibrate_on_are_told() -> None:
    rows = np.random.default_rng(0).standard_normal((90, 3)).astype(np.float32)
    with pytest.warns(UserWarning, match="got 83 windows, too few to calibrate on their last 25%: anomaly_share says 1"):
        model = Autoencoder(window=8, latent=2, hidden=8, cross_hidden=8, max_epochs=1).fit(rows)
    assert (model.anomaly_share(rows)[7:] == 1.0).all()
