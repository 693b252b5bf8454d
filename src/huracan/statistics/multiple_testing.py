"""p-values corrected for the number of things that were looked at."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from huracan.errors import DataError
from huracan.statistics.sample_checks import as_numbers

__all__ = ["CORRECTIONS", "Correction", "adjust_p_values"]

Correction = Literal["holm", "bonferroni", "hochberg", "fdr_bh", "fdr_by", "none"]

CORRECTIONS: tuple[str, ...] = get_args(Correction)
"""The corrections :func:`adjust_p_values` knows."""


def adjust_p_values(p: ArrayLike, method: Correction = "holm") -> NDArray[np.float64]:
    """Correct p-values for multiple testing; compare what comes back with the level itself.

    Parameters
    ----------
    p : (m,) p-values between 0 and 1.
    method : "holm" and "bonferroni" hold the chance of any false claim under every dependence, "hochberg" under
        independence or positive dependence; "fdr_bh" (positive dependence) and "fdr_by" (any dependence) hold the share
        of false claims among all claims; "none" leaves them.

    Raises
    ------
    DataError : unknown method, or a p-value that is not between 0 and 1 (its place is named).

    References
    ----------
    Holm (1979); Hochberg (1988); Benjamini and Hochberg (1995); Benjamini and Yekutieli (2001).

    Examples
    --------
    >>> adjust_p_values([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    >>> adjust_p_values([0.01, 0.04, 0.03], "fdr_bh").tolist()
    [0.03, 0.04, 0.04]
    """
    if method not in CORRECTIONS:
        raise DataError(f"correction is '{method}'; one of {', '.join(CORRECTIONS)} was expected.")
    values = as_numbers(p, "p", each="test")
    if values.ndim != 1:
        raise DataError(f"p has {values.ndim} dimensions; one list of p-values was expected.")
    bad = ~((values >= 0.0) & (values <= 1.0))
    if bad.any():
        where = int(np.argmax(bad))
        raise DataError(f"p-value {where} is {values[where]}; a number from 0 to 1 was expected.")
    m = len(values)
    if method == "none" or m == 0:
        return values.copy()
    if method == "bonferroni":
        return np.minimum(values * m, 1.0)
    order = np.argsort(values, kind="stable")
    rank = np.arange(1, m + 1)
    ascending = values[order]
    if method == "holm":
        adjusted = np.maximum.accumulate(ascending * (m - rank + 1))
    else:
        if method == "hochberg":
            scaled = ascending * (m - rank + 1)
        else:
            penalty = float(np.sum(1.0 / rank)) if method == "fdr_by" else 1.0
            scaled = ascending * (m / rank) * penalty
        adjusted = np.minimum.accumulate(scaled[::-1])[::-1]
    back = np.empty(m)
    back[order] = np.minimum(adjusted, 1.0)
    return back
