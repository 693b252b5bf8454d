"""Autocorrelation with bands that hold where volatility clusters."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from huracan.errors import NotEnoughData
from huracan.statistics import ewc_t_test

__all__ = ["autocorrelations"]

_LEAST, _WHOLE = 60, 0.9


def autocorrelations(values: ArrayLike, lags: int = 24) -> pl.DataFrame:
    """Autocorrelation at the lags 1 to ``lags``, with a band about zero and an interval about the estimate.

    The textbook band of 1.96 / sqrt(n) assumes independence; under volatility clustering it is too narrow (on 20,000 minutes
    of BTC .014 at lag 1, where .036 is right; 16 % of simulated GARCH series that cannot be predicted leave it).
    ``band`` is that of Lo and MacKinlay: where the series cannot be predicted, however its variance moves, the estimate
    lies within it 95 times in 100 (fourth moments have to exist). The interval and the
    p-value rest on less: products of neighbours are tested for a mean of zero with a long-run variance, so they also hold
    for absolute returns, which are anything but unpredictable. The p-values are those of one lag each; correct them for
    the number of lags and series that are looked at.

    Parameters
    ----------
    values : (n,) in time order without gaps; what is not finite drops out of the products it is in.
    lags : largest lag; fewer where the series is short (a fifth of it).

    Returns
    -------
    ``[lag, correlation, band, ci_low, ci_high, p_value]``.

    Raises
    ------
    NotEnoughData : fewer than 60 finite values, or all are equal.

    References
    ----------
    Lo and MacKinlay (1988), Review of Financial Studies 1; Lazarus, Lewis, Stock and Watson (2018), JBES 36.

    Examples
    --------
    >>> from scipy.signal import lfilter
    >>> series = lfilter([1], [1, -0.5], np.random.default_rng(0).standard_normal(3000))
    >>> first = autocorrelations(series, 3).row(0, named=True)
    >>> first["ci_low"] < 0.5 < first["ci_high"], first["p_value"] < 1e-6
    (True, True)
    """
    x = np.asarray(values, dtype=np.float64)
    known = np.isfinite(x)
    if known.sum() < _LEAST or np.ptp(x[known]) <= 0.0:
        raise NotEnoughData(f"{int(known.sum())} finite values that vary; at least {_LEAST} were expected.")
    centred = np.where(known, x - x[known].mean(), np.nan)
    most = max(1, min(lags, len(x) // 5))
    variance = float(np.nanmean(centred**2))
    products = np.stack([centred[most:] * centred[most - lag : len(x) - lag] for lag in range(1, most + 1)]) / variance
    whole = np.isfinite(products).all(axis=0)
    if whole.mean() >= _WHOLE and (batch := _tested_together(products[:, whole])) is not None:
        columns = batch
    else:
        columns = [list(column) for column in zip(*[_at_lag(row[np.isfinite(row)]) for row in products])]
    names = ("correlation", "band", "ci_low", "ci_high", "p_value")
    frame = pl.DataFrame(columns, schema=dict.fromkeys(names, pl.Float64), orient="col")
    return frame.select(pl.int_range(1, most + 1, dtype=pl.Int32).alias("lag"), pl.all())


def _tested_together(products: NDArray[np.float64]) -> list[list[float | None]] | None:
    """All lags on their common rows at once, ``None`` where one of them does not vary."""
    if products.shape[1] < _LEAST // 2 or (np.ptp(products, axis=1) <= 0.0).any():
        return None
    test = ewc_t_test(products, name="a product of neighbours")
    sure = np.asarray(test.decidable)
    columns = [
        products.mean(axis=1),
        _band(products),
        np.maximum(test.ci_low, -1.0),
        np.minimum(test.ci_high, 1.0),
        test.p_value,
    ]
    known = [np.ones_like(sure), np.ones_like(sure), sure, sure, np.ones_like(sure)]
    return [[float(v) if k else None for v, k in zip(column, mask)] for column, mask in zip(columns, known)]


def _at_lag(product: NDArray[np.float64]) -> tuple[float | None, ...]:
    """One lag on all rows that it has."""
    if len(product) < _LEAST // 2 or np.ptp(product) <= 0.0:
        return (None,) * 5
    test = ewc_t_test(product, name="a product of neighbours")
    correlation, band = float(product.mean()), float(_band(product))
    if not test.decidable:
        return (correlation, band, None, None, 1.0)
    return (correlation, band, max(test.ci_low, -1.0), min(test.ci_high, 1.0), test.p_value)


def _band(products: NDArray[np.float64]) -> Any:
    """Lo and MacKinlay's: 1.96 standard errors of a mean of products that neither lean nor remember."""
    return 1.96 * np.sqrt((products**2).mean(axis=-1) / products.shape[-1])
