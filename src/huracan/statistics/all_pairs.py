"""The EWC t test of every pair of many series, at the cost of one transform a series."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from huracan.errors import DataError
from huracan.statistics.ewc import Alternative, EwcTest, check_settings, ewc_fields, mean_of_squares
from huracan.statistics.persistence import cosines_for_power, default_n_cosines
from huracan.statistics.sample_checks import as_numbers
from huracan.statistics.series import as_series
from huracan.statistics.spectrum import band_edges, cosine_projections

__all__ = ["ewc_t_test_pairs"]

_CHUNK = 4096


def ewc_t_test_pairs(
    losses: ArrayLike,
    *,
    pairs: ArrayLike | None = None,
    alternative: Alternative = "two-sided",
    confidence: float = 0.95,
    names: Sequence[str] | None = None,
) -> tuple[NDArray[np.int64], EwcTest]:
    """Test the difference of every two series: :func:`ewc_t_test` of each, with nothing approximated.

    The cosine projections of a difference are the difference of the projections, and all the test needs (the long-run
    variance, the persistence that chooses the cosines) are sums of their squares. Fifty models with 100,000 losses,
    1,225 pairs, take half a second.

    Parameters
    ----------
    losses : (models, n) in time order, one value a time.
    pairs : (k, 2) rows of ``losses``, the second subtracted from the first; by default every two, each once.
    alternative, confidence : as for :func:`ewc_t_test`.
    names : what error messages call the models; by default their row numbers.

    Returns
    -------
    pairs : (k, 2). test : whose fields are arrays (k,). Two series that are the same to rounding cannot be told apart:
        ``decidable`` is false, ``p_value`` 1, the difference, its error and interval 0.

    Raises
    ------
    DataError : fewer than two models, a loss that is not finite, a pair that names no model, or a difference that is the
        same at every time and not zero. NotEnoughData : fewer than 20 observations.

    Examples
    --------
    >>> losses = np.random.default_rng(0).standard_normal((3, 500))
    >>> pairs, test = ewc_t_test_pairs(losses)
    >>> pairs.tolist(), test.p_value.shape
    ([[0, 1], [0, 2], [1, 2]], (3,))
    """
    check_settings(alternative, confidence)
    values = _checked_losses(losses, names)
    label = [str(name) for name in names] if names is not None else [f"model {i}" for i in range(len(values))]
    chosen = _checked_pairs(pairs, len(values))
    n = values.shape[1]
    # what all models share cancels in every difference; without it no digits are lost to it
    own = values - values.mean(axis=0)
    mean = own.mean(axis=1)
    projection = cosine_projections(own)
    power = _power_of_differences(projection, chosen)
    first, second = chosen.T
    total = power.sum(axis=1)
    scale = np.maximum(values.max(axis=1), -values.min(axis=1))
    rounding = 64 * np.finfo(np.float64).eps * np.maximum(scale[first], scale[second])
    constant = total <= n * rounding**2
    difference = mean[first] - mean[second]
    for i in np.flatnonzero(constant & (np.abs(difference) > rounding)):
        raise DataError(
            f"the loss difference of '{label[first[i]]}' and '{label[second[i]]}' is {difference[i]:g} at all {n} times; "
            "without variation no standard error can be estimated."
        )
    tested = ~constant
    fields = {
        "mean": np.zeros(len(chosen)),
        "standard_error": np.zeros(len(chosen)),
        "t": np.zeros(len(chosen)),
        "degrees_of_freedom": np.full(len(chosen), default_n_cosines(n)),
        "p_value": np.ones(len(chosen)),
        "ci_low": np.zeros(len(chosen)),
        "ci_high": np.zeros(len(chosen)),
        "n_effective": np.full(len(chosen), float(n)),
        "n_cosines": np.full(len(chosen), default_n_cosines(n)),
        "decidable": np.zeros(len(chosen), dtype=bool),
    }
    if tested.any():
        cosines, hopeless = cosines_for_power(power[tested], n)
        most = int(cosines.max())
        found = ewc_fields(
            mean=difference[tested],
            variance=total[tested] / n,
            long_run=mean_of_squares(projection[first[tested], :most] - projection[second[tested], :most], cosines),
            n=n,
            cosines=cosines,
            hopeless=hopeless,
            null_mean=0.0,
            alternative=alternative,
            confidence=confidence,
        )
        for key, column in found.items():
            fields[key][tested] = column
    return chosen, EwcTest(n=n, **fields)


def _power_of_differences(projection: NDArray[np.float64], pairs: NDArray[np.int64]) -> NDArray[np.float64]:
    """Power in bands of each pair's difference, (pairs, bands), a stretch of frequencies at a time to stay in cache."""
    edges = band_edges(projection.shape[1] + 1)
    power = np.empty((len(pairs), len(edges) - 1))
    order = np.argsort(pairs[:, 0], kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(pairs[order, 0])) + 1)
    start = 0
    while start < len(edges) - 1:
        stop = max(start + 1, int(np.searchsorted(edges, edges[start] + _CHUNK, side="right")) - 1)
        stretch = np.ascontiguousarray(projection[:, edges[start] - 1 : edges[stop] - 1])
        inside = edges[start:stop] - edges[start]
        for rows in groups:
            difference = stretch[pairs[rows, 1]] - stretch[pairs[rows[0], 0]]
            np.square(difference, out=difference)
            if len(inside) < difference.shape[1]:
                difference = np.add.reduceat(difference, inside, axis=1)
            power[rows, start:stop] = difference
        start = stop
    return power


def _checked_losses(losses: ArrayLike, names: Sequence[str] | None) -> NDArray[np.float64]:
    values = as_numbers(losses, "losses")
    if values.ndim != 2 or len(values) < 2:
        raise DataError(f"losses have shape {values.shape}; models x time, two models at least, was expected.")
    if names is not None and len(names) != len(values):
        raise DataError(f"{len(names)} name(s) were given for {len(values)} models; one each was expected.")
    for i, row in enumerate(values):
        who = f"the loss of '{names[i]}'" if names is not None else f"the loss of 'model {i}'"
        as_series(row, who, may_be_constant=True)
    return values


def _checked_pairs(pairs: ArrayLike | None, models: int) -> NDArray[np.int64]:
    if pairs is None:
        return np.column_stack(np.triu_indices(models, 1)).astype(np.int64)
    chosen = np.asarray(pairs)
    if chosen.ndim != 2 or chosen.shape[1] != 2 or not len(chosen) or not np.issubdtype(chosen.dtype, np.integer):
        raise DataError(f"pairs are {chosen.dtype} of shape {chosen.shape}; integers (k, 2) were expected.")
    if chosen.min() < 0 or chosen.max() >= models:
        raise DataError(f"pairs name model {chosen.max() if chosen.max() >= models else chosen.min()} of 0 to {models - 1}.")
    return chosen.astype(np.int64)
