"""Two tests of stationarity that start from opposite nulls, and what they say together."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gamma, kv

from huracan.errors import NotEnoughData

__all__ = ["StationarityTest", "cramer_von_mises_tail", "stationarity", "verdict_of"]

_LEAST = 50


@dataclass(frozen=True)
class StationarityTest:
    """ADF and KPSS of one series.

    Attributes
    ----------
    n : observations used; every : one in so many of those given.
    adf, adf_p, adf_lags : augmented Dickey-Fuller (null: a unit root), lags by AIC. kpss, kpss_p, kpss_lags : KPSS (null:
        stationary about a level), bandwidth by the rule of Hobijn, Franses and Ooms.
    verdict : the two in words at 5 %, without correction; see :func:`verdict_of` for corrected p-values.
    """

    n: int
    every: int
    adf: float
    adf_p: float
    adf_lags: int
    kpss: float
    kpss_p: float
    kpss_lags: int

    @property
    def verdict(self) -> str:
        """What both say together at 5 %."""
        return verdict_of(self.adf_p, self.kpss_p)


def stationarity(values: ArrayLike, max_rows: int = 3_000) -> StationarityTest:
    """Test one series in time order; what is not finite is left out.

    A series longer than ``max_rows`` is thinned evenly, every k-th value over its whole span: whether it has a unit root
    stays the same, and power comes from the span, not from the number of rows.

    Neither test is exact. Measured at a nominal 5 % on 1,000 rows (``tests/preprocessing/test_exploration.py``): ADF
    rejects 4.9 % of Gaussian random walks and 4.8 % of those whose volatility clusters; KPSS rejects 5.4 % of white noise,
    6.4 % of AR(.5) and 16 % of AR(.9), which on so few rows looks like a random walk. Breaks and slow changes of
    variance make both reject.

    Raises
    ------
    NotEnoughData : fewer than 50 values are left, or all are equal.

    References
    ----------
    Dickey and Fuller (1979), JASA 74; MacKinnon (2010) for its p-values; Kwiatkowski, Phillips, Schmidt and Shin (1992), J.
    Econometrics 54, whose statistic is asymptotically Cramér-von Mises'; Hobijn, Franses and Ooms (2004), Statistica
    Neerlandica 58.

    Examples
    --------
    >>> noise = np.random.default_rng(0).standard_normal(1000)
    >>> stationarity(noise).verdict, stationarity(noise.cumsum()).verdict
    ('stationary', 'unit root')
    """
    from statsmodels.tools.sm_exceptions import InterpolationWarning
    from statsmodels.tsa.stattools import adfuller, kpss

    x = np.asarray(values, dtype=np.float64)
    every = max(1, -(-len(x) // max_rows))
    x = x[::every]
    x = x[np.isfinite(x)]
    if len(x) < _LEAST or np.ptp(x) <= 1e-12 * np.abs(x).max():
        raise NotEnoughData(f"{len(x)} finite values that vary; at least {_LEAST} were expected.")
    x = (x - x.mean()) / x.std()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InterpolationWarning)  # its table ends at 1 and 10 %; the p-value below does not
        warnings.simplefilter("ignore", FutureWarning)
        unit_root = adfuller(x, maxlag=_lags_by_aic(x), regression="c", autolag=None)
        level = kpss(x, regression="c", nlags="auto")
    return StationarityTest(
        n=len(x),
        every=every,
        adf=float(unit_root[0]),
        adf_p=float(unit_root[1]),
        adf_lags=int(unit_root[2]),
        kpss=float(level[0]),
        kpss_p=cramer_von_mises_tail(float(level[0])),
        kpss_lags=int(level[2]),
    )


def _lags_by_aic(x: NDArray[np.float64]) -> int:
    """Lags by AIC on a common sample, as statsmodels chooses them, all orders from one orthogonal decomposition.

    >>> from scipy.signal import lfilter
    >>> steps = lfilter([1], [1, 0, -0.6], np.random.default_rng(0).standard_normal(1000))
    >>> _lags_by_aic(steps.cumsum()) >= 2
    True
    """
    most = min(int(np.ceil(12.0 * (len(x) / 100.0) ** 0.25)), len(x) // 2 - 2)
    change = np.diff(x)
    n = len(change) - most
    lagged = [change[most - lag : len(change) - lag] for lag in range(1, most + 1)]
    design = np.column_stack([np.ones(n), x[most:-1], *lagged])
    target = change[most:]
    explained = (np.linalg.qr(design)[0].T @ target) ** 2
    residual = (target**2).sum() - np.cumsum(explained)[1:]
    return int(np.argmin(n * np.log(np.maximum(residual, 1e-300)) + 2 * np.arange(most + 1)))


def verdict_of(adf_p: float, kpss_p: float, level: float = 0.05) -> str:
    """Both tests in words: ``stationary`` and ``unit root`` where they agree, else how they do not.

    >>> verdict_of(0.001, 0.4), verdict_of(0.6, 0.001), verdict_of(0.001, 0.001), verdict_of(0.3, 0.3)
    ('stationary', 'unit root', 'tests disagree', 'undecided')
    """
    if adf_p < level:
        return "stationary" if kpss_p >= level else "tests disagree"
    return "unit root" if kpss_p < level else "undecided"


def cramer_von_mises_tail(statistic: float) -> float:
    """Chance that the limit of KPSS about a level, the integral of a squared Brownian bridge, exceeds ``statistic``.

    Tables of KPSS end at 10 % and 1 %, which leaves nothing to correct for multiple testing. The series is that of
    Anderson and Darling (1952), eq. 4.35, with their critical values.

    >>> [round(cramer_von_mises_tail(x), 4) for x in (0.34730, 0.46136, 0.58061, 0.74346)]
    [0.1, 0.05, 0.025, 0.01]
    """
    if statistic <= 0.02:
        return 1.0
    if statistic > 3.0:  # the largest eigenvalue alone decides there, and the series loses its digits
        return float(2.0 / np.sqrt(np.pi**3 * statistic) * np.exp(-(np.pi**2) * statistic / 2))
    j = np.arange(30)
    y = (4 * j + 1) ** 2 / (16.0 * statistic)
    weight = gamma(j + 0.5) / (gamma(0.5) * gamma(j + 1.0))
    terms = weight * np.sqrt(4 * j + 1.0) * np.exp(-y) * kv(0.25, y)
    return float(np.clip(1.0 - terms.sum() / (np.pi * np.sqrt(statistic)), 0.0, 1.0))
