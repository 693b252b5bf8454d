"""Performance figures of a series of returns, with an interval for the Sharpe ratio that survives autocorrelation."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from huracan.errors import AccountingError
from huracan.statistics import ewc_t_test

__all__ = ["Convention", "bars_in_a_year", "drawdown", "performance_metrics", "sharpe_interval"]

Convention = Literal["arithmetic", "geometric"]
Floats = NDArray[np.float64]

_YEAR = np.timedelta64(365 * 86_400_000, "ms")
_MINIMUM_FOR_INTERVAL = 20
_LARGEST_EXPONENT = 700.0


def bars_in_a_year(bar_length: np.timedelta64) -> float:
    """Bars of this length in a year of 365 days.

    >>> bars_in_a_year(np.timedelta64(1, "h"))
    8760.0
    """
    return float(_YEAR / bar_length)


def performance_metrics(
    returns: ArrayLike, *, bars_per_year: float, convention: Convention = "arithmetic", confidence: float | None = 0.95
) -> dict[str, float]:
    """Describe a series of simple returns per bar.

    Parameters
    ----------
    returns : (n,) simple returns per bar, fractions, in time order.
    bars_per_year : bars in a year of 365 days (or 252 trading days, where that is the market's convention).
    convention : "arithmetic": volatility is std * sqrt(bars), the Sharpe and Sortino ratios use the mean return.
        "geometric": they use the compounded annual return, over the volatility of compounded annual returns
        (Tolley, "Sharpe ratio in compounding returns"; the convention of backtesting.py).
    confidence : level of the Sharpe ratio's interval; ``None`` leaves the interval out.

    Returns
    -------
    dict with ``n_bars``, ``total_return``, ``annualised_return`` (compounded; nan where the span is too short to
    compound), ``annualised_volatility``, ``sharpe``, ``sharpe_ci_low``, ``sharpe_ci_high``, ``sortino``,
    ``max_drawdown`` (0 or negative), ``calmar``. Ratios are 0 for an account that never moved, nan where undefined.

    Raises
    ------
    AccountingError : no returns, or one that is not finite (its row is named).

    Examples
    --------
    >>> figures = performance_metrics([0.1, -0.05, 0.02], bars_per_year=3)
    >>> round(figures["total_return"], 4), round(figures["max_drawdown"], 4), round(figures["annualised_return"], 4)
    (0.0659, -0.05, 0.0659)
    """
    r = _checked(returns)
    if convention not in ("arithmetic", "geometric"):
        raise AccountingError(f"convention is '{convention}'; 'arithmetic' or 'geometric' was expected.")
    n = len(r)
    ruined = bool(np.any(r <= -1.0))
    log_growth = -math.inf if ruined else float(np.log1p(r).sum())
    annual_log = log_growth * bars_per_year / n
    annual = math.nan if annual_log > _LARGEST_EXPONENT else math.expm1(annual_log)
    spread = float(r.std(ddof=1)) if n > 1 else 0.0
    downside = math.sqrt(float(np.mean(np.minimum(r, 0.0) ** 2)) * bars_per_year)
    if convention == "arithmetic":
        volatility, earned = spread * math.sqrt(bars_per_year), float(r.mean()) * bars_per_year
    else:
        volatility, earned = _compounded_volatility(math.exp(log_growth / n), spread, bars_per_year), annual
    deepest = float(drawdown(r).min())
    figures = {
        "n_bars": float(n),
        "total_return": math.expm1(log_growth),
        "annualised_return": annual,
        "annualised_volatility": volatility,
        "sharpe": _ratio(earned, volatility),
        "sortino": _ratio(earned, downside),
        "max_drawdown": deepest,
        "calmar": _ratio(annual, -deepest),
    }
    if confidence is not None:
        figures["sharpe_ci_low"], figures["sharpe_ci_high"] = sharpe_interval(
            r, bars_per_year=bars_per_year, confidence=confidence
        )
    return figures


def sharpe_interval(returns: ArrayLike, *, bars_per_year: float, confidence: float = 0.95) -> tuple[float, float]:
    """Confidence interval of the annualised (arithmetic) Sharpe ratio, robust to autocorrelation and fat tails.

    The Sharpe ratio is linearised: its estimation error is, to first order, the mean of
    ``z - S (z**2 - 1) / 2`` with ``z`` the standardised returns and ``S`` the ratio per bar. The long-run variance of
    that series, by equal-weighted cosines, gives the standard error.

    Parameters
    ----------
    returns : (n,) simple returns per bar, in time order.
    bars_per_year : bars in a year.
    confidence : level, between 0 and 1.

    Returns
    -------
    (low, high); (nan, nan) on fewer than 20 bars, (0, 0) where the account never moved.

    References
    ----------
    Lo (2002), "The statistics of Sharpe ratios", Financial Analysts Journal 58(4);
    Ledoit and Wolf (2008), "Robust performance hypothesis testing with the Sharpe ratio", J. Empirical Finance 15(5).

    Examples
    --------
    >>> noise = np.random.default_rng(0).normal(0.05, 1.0, 2_000)
    >>> low, high = sharpe_interval(noise, bars_per_year=1)
    >>> low < 0.05 < high
    True
    """
    r = _checked(returns)
    spread = float(r.std())
    if not np.any(r):
        return 0.0, 0.0
    if len(r) < _MINIMUM_FOR_INTERVAL or not _moves(r):
        return math.nan, math.nan
    z = (r - r.mean()) / spread
    ratio = float(r.mean()) / spread
    error = z - 0.5 * ratio * (z * z - 1.0)
    if not _moves(error):
        return math.nan, math.nan
    test = ewc_t_test(ratio + error, confidence=confidence)
    scale = math.sqrt(bars_per_year)
    return float(test.ci_low) * scale, float(test.ci_high) * scale


def drawdown(returns: ArrayLike) -> Floats:
    """Distance of equity below its highest value so far (the start included), a fraction, 0 or negative.

    >>> drawdown([0.1, -0.5, 0.2]).round(3).tolist()
    [0.0, -0.5, -0.4]
    """
    equity = np.cumprod(1.0 + np.asarray(returns, dtype=np.float64))
    return equity / np.maximum(np.maximum.accumulate(equity), 1.0) - 1.0


def _compounded_volatility(growth: float, spread: float, bars: float) -> float:
    with np.errstate(over="ignore", invalid="ignore"):
        squared = np.float64(spread**2 + growth**2) ** bars - np.float64(growth) ** (2 * bars)
    return float(np.sqrt(squared)) if np.isfinite(squared) else math.nan


def _ratio(amount: float, risk: float) -> float:
    if amount == 0.0:
        return 0.0
    return amount / risk if risk > 0.0 else math.nan


def _moves(x: Floats) -> bool:
    return bool(np.ptp(x) > 64 * np.finfo(np.float64).eps * np.abs(x).max())


def _checked(returns: ArrayLike) -> Floats:
    r = np.asarray(returns, dtype=np.float64)
    if r.ndim != 1 or not len(r):
        raise AccountingError(f"returns have shape {r.shape}; one series of at least one bar was expected.")
    bad = ~np.isfinite(r)
    if bad.any():
        where = int(np.argmax(bad))
        raise AccountingError(f"the return of bar {where} is {r[where]}; a finite number was expected.")
    return r
