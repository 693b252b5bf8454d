"""Equal predictive ability: on average (Diebold and Mariano), or given what was known (Giacomini and White)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import chdtrc, fdtrc, stdtr, stdtrit

from huracan.errors import DataError
from huracan.statistics.ewc import Alternative, check_settings
from huracan.statistics.persistence import choose_n_cosines
from huracan.statistics.sample_checks import as_numbers, never_zero
from huracan.statistics.series import MINIMUM_OBSERVATIONS, as_series
from huracan.statistics.spectrum import cosine_projections

__all__ = ["DieboldMariano", "GiacominiWhite", "diebold_mariano", "giacomini_white"]


@dataclass(frozen=True)
class DieboldMariano:
    """Result of :func:`diebold_mariano`; arrays instead of numbers where a batch was tested.

    Attributes
    ----------
    difference : mean loss of a less that of b; negative: a is better.
    standard_error : of the difference, the small-sample correction included.
    statistic : ``difference / standard_error``. degrees_of_freedom : of its t distribution; infinite for the normal.
    p_value, ci_low, ci_high : one-sided alternatives leave one end infinite.
    n, horizon : observations, and steps between forecast and outcome.
    kernel : "rectangular", or "bartlett" where the rectangular one gave no positive variance.
    """

    difference: Any
    standard_error: Any
    statistic: Any
    degrees_of_freedom: float
    p_value: Any
    ci_low: Any
    ci_high: Any
    n: int
    horizon: int
    kernel: Any


def diebold_mariano(
    loss_a: ArrayLike,
    loss_b: ArrayLike,
    horizon: int = 1,
    correction: Literal["hln", "none"] = "hln",
    *,
    alternative: Alternative = "two-sided",
    confidence: float = 0.95,
) -> DieboldMariano:
    """Test whether two forecasts have the same mean loss, when errors ``horizon`` steps apart are unrelated.

    The autocovariances of the loss difference up to lag ``horizon - 1`` are summed with equal weights, as in the paper.
    That sum can be zero or negative; then the Bartlett weights ``1 - lag / horizon`` of the same lags are used, which
    never are, and ``kernel`` says so. Losses that are autocorrelated beyond the horizon, as those of refitted models
    mostly are, make this test reject too often: :func:`huracan.statistics.ewc_t_test` needs no horizon.

    Parameters
    ----------
    loss_a, loss_b : (n,) losses, not errors, on the same times in order; or (repetitions, n).
    horizon : steps between the forecast and its outcome; overlapping labels of h bars have horizon h.
    correction : "hln", the small-sample correction of Harvey, Leybourne and Newbold with the t distribution of ``n - 1``
        degrees of freedom; or "none", the normal distribution of the original.
    alternative : "two-sided"; "less": a has the lower loss; "greater": the higher.
    confidence : level of the interval of the difference.

    Raises
    ------
    DataError : losses that do not match or are not finite, a difference that is constant, a setting out of bounds.
    NotEnoughData : fewer than ``2 * horizon + 1`` observations, or fewer than 5.

    References
    ----------
    Diebold and Mariano (1995), "Comparing Predictive Accuracy", JBES 13; Harvey, Leybourne and Newbold (1997), "Testing
    the equality of prediction mean squared errors", International Journal of Forecasting 13, eq. (9).

    Examples
    --------
    >>> a, b = np.array([0, 1, 2, 3, 4, 5]) ** 2, np.array([0, 2, 3, 3, 5, 6]) ** 2
    >>> result = diebold_mariano(a, b)
    >>> round(result.statistic, 4), round(result.p_value, 4)
    (-2.4905, 0.0551)
    """
    check_settings(alternative, confidence)
    if correction not in ("hln", "none"):
        raise DataError(f"correction is '{correction}'; 'hln' or 'none' was expected.")
    if isinstance(horizon, bool) or not isinstance(horizon, int | np.integer) or horizon < 1:
        raise DataError(f"horizon is {horizon}; a whole number of steps, 1 or more, was expected.")
    difference = _difference(loss_a, loss_b, minimum=max(5, 2 * horizon + 1))
    batch = np.atleast_2d(difference)
    n = batch.shape[1]
    mean = batch.mean(axis=1)
    long_run, kernel = _truncated_variance(batch - mean[:, None], int(horizon))
    shrinkage = np.sqrt((n + 1 - 2 * horizon + horizon * (horizon - 1) / n) / n) if correction == "hln" else 1.0
    error = np.sqrt(long_run / n) / shrinkage
    degrees = float(n - 1) if correction == "hln" else np.inf
    statistic = mean / error
    p_value, low, high = _tails(statistic, degrees, alternative, confidence)
    fields = {
        "difference": mean,
        "standard_error": error,
        "statistic": statistic,
        "p_value": never_zero(p_value),
        "ci_low": mean + low * error,
        "ci_high": mean + high * error,
        "kernel": kernel,
    }
    if difference.ndim == 1:
        fields = {key: value[0].item() for key, value in fields.items()}
    return DieboldMariano(n=n, horizon=int(horizon), degrees_of_freedom=degrees, **fields)


@dataclass(frozen=True)
class GiacominiWhite:
    """Result of :func:`giacomini_white`.

    Attributes
    ----------
    statistic : Wald statistic. p_value : of its F distribution with EWC covariance, chi-squared otherwise.
    moments : (q,) mean of the loss difference times each instrument; for the indicator of a regime, the regime's part
        in the mean difference. standard_errors : (q,) of the moments.
    n, n_instruments : observations used (a lagged instrument costs some), and q.
    n_cosines : cosines in the covariance; 0 for the martingale covariance.
    decidable : false where a moment remembers so long that it cannot be tested on ``n`` observations, or allows fewer
        cosines than there are instruments; then ``p_value`` is 1.
    """

    statistic: float
    p_value: float
    moments: NDArray[np.float64]
    standard_errors: NDArray[np.float64]
    n: int
    n_instruments: int
    n_cosines: int
    covariance: str
    decidable: bool


def giacomini_white(
    loss_a: ArrayLike,
    loss_b: ArrayLike,
    instruments: ArrayLike | None = None,
    *,
    horizon: int = 1,
    covariance: Literal["auto", "ewc", "martingale"] = "auto",
) -> GiacominiWhite:
    """Test whether what was known at the forecast tells which of two forecasts will lose less.

    With a constant and indicators of regimes: is either model better in any of them? The mean over time of (loss
    difference) x (instrument) is zero for every instrument if it does not.

    The covariance of these means is of equal-weighted cosines, with the F distribution that goes with them, so that the
    test holds with overlapping outcomes and autocorrelated losses alike. The paper's own, for a horizon of 1 under a
    martingale difference, is "martingale": it has a little more power and holds only where losses are unrelated over time.

    Parameters
    ----------
    loss_a, loss_b : (n,) on the same times in order.
    instruments : (n,) or (n, q), known when the forecast for that row was made, not collinear; regime indicators of all
        regimes make the constant superfluous. By default, as in the paper, a constant and the loss difference known
        then, that of ``horizon`` rows before.
    horizon : steps between forecast and outcome. covariance : "auto" is "ewc".

    Raises
    ------
    DataError : losses or instruments that do not match or are not finite, a difference that is constant, instruments
        that are zero or collinear, or "martingale" with a horizon over 1. NotEnoughData : fewer than 20 observations.

    References
    ----------
    Giacomini and White (2006), "Tests of Conditional Predictive Ability", Econometrica 74, section 3; Lazarus, Lewis,
    Stock and Watson (2018), JBES 36(4), eq. (9), for the F distribution.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> trending = np.repeat(rng.random(40) < 0.5, 25)
    >>> difference = np.where(trending, -0.4, 0.4) + rng.standard_normal(1000)
    >>> regimes = np.column_stack([trending, ~trending])
    >>> giacomini_white(difference, np.zeros(1000), regimes).p_value < 0.001
    True
    """
    if isinstance(horizon, bool) or not isinstance(horizon, int | np.integer) or horizon < 1:
        raise DataError(f"horizon is {horizon}; a whole number of steps, 1 or more, was expected.")
    if covariance not in ("auto", "ewc", "martingale"):
        raise DataError(f"covariance is '{covariance}'; 'auto', 'ewc' or 'martingale' was expected.")
    if covariance == "martingale" and horizon > 1:
        raise DataError(f"the martingale covariance holds for a horizon of 1; the horizon is {horizon}.")
    difference = _difference(loss_a, loss_b, minimum=MINIMUM_OBSERVATIONS + (horizon if instruments is None else 0))
    if difference.ndim != 1:
        raise DataError(f"the losses have shape {difference.shape}; one series each was expected.")
    if instruments is None:
        known = np.column_stack([np.ones(len(difference) - horizon), difference[:-horizon]])
        difference = difference[horizon:]
    else:
        known = _checked_instruments(instruments, len(difference))
    n, q = known.shape
    z = known * difference[:, None]
    _check_independent(z)
    mean = z.mean(axis=0)
    if covariance == "martingale":
        matrix, cosines, decidable = z.T @ z / n, 0, True
    else:
        matrix, cosines, decidable = _cosine_covariance(z)
    statistic = float(n * mean @ np.linalg.solve(matrix, mean)) if decidable else 0.0
    if not decidable:
        p_value = 1.0
    elif covariance == "martingale":
        p_value = float(chdtrc(q, statistic))
    else:
        free = cosines - q + 1
        p_value = float(fdtrc(q, free, statistic * free / (cosines * q)))
    return GiacominiWhite(
        statistic=statistic,
        p_value=never_zero(p_value),
        moments=mean,
        standard_errors=np.sqrt(np.diag(matrix) / n),
        n=n,
        n_instruments=q,
        n_cosines=cosines,
        covariance="martingale" if covariance == "martingale" else "ewc",
        decidable=decidable,
    )


def _difference(loss_a: ArrayLike, loss_b: ArrayLike, *, minimum: int) -> NDArray[np.float64]:
    a = as_series(loss_a, "loss_a", minimum=minimum, may_be_constant=True)
    b = as_series(loss_b, "loss_b", minimum=minimum, may_be_constant=True)
    if a.shape != b.shape:
        raise DataError(f"loss_a has shape {a.shape}, loss_b {b.shape}; losses on the same times were expected.")
    difference = a - b
    scale = np.maximum(np.abs(a).max(axis=-1), np.abs(b).max(axis=-1))
    if np.any(np.ptp(difference, axis=-1) <= 64 * np.finfo(np.float64).eps * scale):
        raise DataError(f"the loss difference is the same at all {a.shape[-1]} times; without variation nothing can be tested.")
    return difference


def _truncated_variance(centred: NDArray[np.float64], horizon: int) -> tuple[NDArray[np.float64], NDArray[np.str_]]:
    """Long-run variance from the lags below the horizon, and the kernel that gave it, for each row."""
    n = centred.shape[1]
    lags = [np.einsum("ij,ij->i", centred[:, lag:], centred[:, : n - lag]) / n for lag in range(horizon)]
    rectangular = lags[0] + 2 * np.sum(lags[1:], axis=0)
    bartlett = lags[0] + 2 * np.sum([(1 - lag / horizon) * lags[lag] for lag in range(1, horizon)], axis=0)
    # a variance at the level of rounding is none
    usable = rectangular > 64 * np.finfo(np.float64).eps * lags[0]
    return np.where(usable, rectangular, bartlett), np.where(usable, "rectangular", "bartlett")


def _tails(
    statistic: NDArray[np.float64], degrees: float, alternative: Alternative, confidence: float
) -> tuple[NDArray[np.float64], float, float]:
    """The p-value, and the ends of the interval in standard errors from the difference."""
    if alternative == "two-sided":
        half = float(stdtrit(degrees, 0.5 + confidence / 2))
        return 2 * stdtr(degrees, -np.abs(statistic)), -half, half
    if alternative == "greater":
        return stdtr(degrees, -statistic), -float(stdtrit(degrees, confidence)), np.inf
    return stdtr(degrees, statistic), -np.inf, float(stdtrit(degrees, confidence))


def _checked_instruments(instruments: ArrayLike, n: int) -> NDArray[np.float64]:
    known = as_numbers(instruments, "instruments")
    known = known[:, None] if known.ndim == 1 else known
    if known.ndim != 2 or len(known) != n or not known.shape[1]:
        raise DataError(f"instruments have shape {known.shape}; one row for each of the {n} losses was expected.")
    bad = ~np.isfinite(known)
    if bad.any():
        row, column = map(int, np.argwhere(bad)[0])
        raise DataError(f"instrument {column} is {known[row, column]} at row {row}; finite numbers were expected.")
    return known


def _check_independent(z: NDArray[np.float64]) -> None:
    size = np.sqrt(np.mean(z**2, axis=0))
    if np.any(size == 0.0):
        raise DataError(
            f"instrument {int(np.argmax(size == 0.0))} is zero wherever the losses differ; it says nothing about them."
        )
    if np.linalg.matrix_rank(z / size, tol=1e-8 * np.sqrt(len(z))) < z.shape[1]:
        raise DataError(
            f"the {z.shape[1]} instruments are collinear; leave one out (indicators of all regimes add up to the constant)."
        )


def _cosine_covariance(z: NDArray[np.float64]) -> tuple[NDArray[np.float64], int, bool]:
    """Long-run covariance (q, q) by equal-weighted cosines, their number, and whether it supports a test."""
    counts, hopeless = choose_n_cosines(z.T)
    cosines = int(counts.min())
    projection = cosine_projections(z.T)[:, :cosines]
    enough = cosines >= z.shape[1]
    return projection @ projection.T / cosines, cosines, bool(enough and not hopeless.any())
