"""How samples are judged against real windows: facts of markets, a boosted judge, a forecaster trained on them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from huracan.models.gan.start import window_kurtosis

__all__ = ["FACTS", "facts_of", "judge_places", "mean_log_size", "volatility_skill"]

Windows = NDArray[np.float64]

FACTS = ("kurtosis", "kurtosis, pooled", "size, lag 1", "size, lag 5", "size, lag 20", "leverage")
_AHEAD = 16
_HARMONICS = (4, 16, 48)


def facts_of(windows: Windows) -> Mapping[str, float]:
    """Facts of a set of windows (n, bars).

    Kurtosis: mean over windows of each one's own; and that of all returns of the set as one sample. Size: autocorrelation of
    absolute returns, the correlation over all pairs of the set that lie ``lag`` bars apart in one window. Leverage:
    correlation of a return with the absolute return of 1 to 10 bars later, mean over the ten.
    """
    size = np.abs(windows)
    apart = windows - windows.mean()
    values = [window_kurtosis(windows), float((apart**4).mean() / (apart**2).mean() ** 2)]
    values += [_correlation(size[:, :-lag], size[:, lag:]) for lag in (1, 5, 20)]
    values.append(float(np.mean([_correlation(windows[:, :-lag], size[:, lag:]) for lag in range(1, 11)])))
    return dict(zip(FACTS, values))


def _correlation(a: Windows, b: Windows) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def judge_places(real_early: Windows, real_late: Windows, made: Windows, seed: int = 0) -> NDArray[np.float64]:
    """For each late real window the share of made ones that look less real to LightGBM; their mean is the judge's AUC.

    It tells real (1) from made (0) on raw windows and summaries of them, trained on the early real windows and as large a
    share of the made ones, judging the rest; both classes weigh the same.
    """
    import lightgbm

    cut = round(len(made) * len(real_early) / (len(real_early) + len(real_late)))
    made = made[np.random.default_rng(seed).permutation(len(made))]

    def labelled(real: Windows, other: Windows) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        return _summaries(np.concatenate((real, other))), np.repeat([1, 0], [len(real), len(other)])

    settings = {
        "objective": "binary",
        "num_leaves": 15,
        "learning_rate": 0.05,
        "min_data_in_leaf": 40,
        "feature_fraction": 0.5,
        "bagging_fraction": 0.8,
        "bagging_freq": 1,
        "verbosity": -1,
        "num_threads": 1,
        "seed": seed,
        "deterministic": True,
        "is_unbalance": True,
    }
    X, y = labelled(real_early, made[:cut])
    booster = lightgbm.train(settings, lightgbm.Dataset(X, label=y), num_boost_round=300)
    real_scores, made_scores = (np.asarray(booster.predict(_summaries(part))) for part in (real_late, made[cut:]))
    made_scores.sort()
    below, up_to = (np.searchsorted(made_scores, real_scores, side=side) for side in ("left", "right"))
    return (below + up_to) / (2.0 * len(made_scores))


def _summaries(windows: Windows) -> NDArray[np.float32]:
    """Raw returns, and what a person would look at: (n, bars + 35)."""
    size = np.abs(windows)
    mean_size = size.mean(axis=1, keepdims=True) + 1e-9
    apart, excess = windows - windows.mean(axis=1, keepdims=True), size - mean_size
    deviation, spread = apart.std(axis=1) + 1e-9, excess.std(axis=1) + 1e-9
    found = [
        deviation,
        mean_size[:, 0],
        size.max(axis=1),
        size.max(axis=1) / deviation,
        windows.sum(axis=1),
        size.argmax(axis=1),
    ]
    found += [(apart**p).mean(axis=1) / deviation**p for p in (3, 4)]
    found += [(excess[:, :-lag] * excess[:, lag:]).mean(axis=1) / spread**2 for lag in (1, 2, 3, 5, 10, 20)]
    found += [(apart[:, :-lag] * apart[:, lag:]).mean(axis=1) / deviation**2 for lag in (1, 2, 3)]
    found += [(apart[:, :-lag] * excess[:, lag:]).mean(axis=1) / (deviation * spread) for lag in (1, 3)]
    found += list(np.quantile(size, [0.05, 0.1, 0.25, 0.5, 0.75, 0.9], axis=1) / mean_size[:, 0])
    quarters = size.reshape(len(size), 4, -1).mean(axis=2) / mean_size
    found += [*np.log(quarters + 1e-9).T, quarters.std(axis=1), np.log(size + 0.05).std(axis=1)]
    return np.column_stack([windows, *found]).astype(np.float32)


def volatility_skill(train: Windows, real: Windows, mean: float) -> float:
    """R squared over ``mean``, on real windows, of a heterogeneous autoregression fitted to ``train``.

    It forecasts the log of the mean absolute return of the last 16 bars of a window from those of the 4, 16 and 48 bars before
    them (Corsi, 2009).
    """
    X, y = _volatility_rows(train)
    weights = np.linalg.lstsq(X, y, rcond=None)[0]
    X, y = _volatility_rows(real)
    return float(1.0 - np.mean((y - X @ weights) ** 2) / np.mean((y - mean) ** 2))


def _volatility_rows(windows: Windows) -> tuple[Windows, Windows]:
    size = np.abs(windows)
    past = size[:, :-_AHEAD]
    X = np.column_stack([np.ones(len(size)), *(np.log(past[:, -bars:].mean(axis=1) + 0.02) for bars in _HARMONICS)])
    return X, np.log(size[:, -_AHEAD:].mean(axis=1) + 0.02)


def mean_log_size(windows: Windows) -> float:
    """What a forecast of :func:`volatility_skill` is without a model: the mean of the training windows."""
    return float(_volatility_rows(windows)[1].mean())
