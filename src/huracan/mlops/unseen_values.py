"""Values that the reference never had: how surprising is it that they come now?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from huracan.statistics.moments import Moments
from huracan.statistics.sample_checks import never_zero

__all__ = ["UnseenValues", "usual_spells"]

_SHARE = 0.005
_MOMENTS = 5


@dataclass(frozen=True)
class UnseenValues:
    """Moments of the window at which something happens that never happened in the reference.

    Attributes
    ----------
    share : of the window's moments. moments, spells : how many, and in how many unbroken spells.
    p_value : that all spells of reference and window together fell into the window: ``(n / (n + m)) ** spells``. Rows of a
        spell are not counted one by one, since what lasts is one event.
        Where the newer half of the reference had spells of values that its older half had not, values without end are usual:
        then it is the chance of so many of all these spells in the window, each falling there in proportion to its length.
    plain : whether they are half a percent of the moments and five at least: then the column is called drifted by that alone,
        since no test can be fair to an event that was never seen. Never where values without end are usual.

    Examples
    --------
    >>> seen = UnseenValues.of(np.arange(500) % 100 == 7, Moments.each_row(500), n_reference=4_500)
    >>> seen.spells, round(seen.p_value, 7), seen.plain
    (5, 1e-05, True)
    """

    share: float
    moments: int
    spells: int
    p_value: float
    plain: bool

    @classmethod
    def of(cls, happens: NDArray[np.bool_], moments: Moments, *, n_reference: int, usual: int = 0) -> UnseenValues:
        """From whether it happens in each row of the window; ``usual`` spells happened in the newer half of the reference."""
        happens = _by_moment(happens, moments)
        n = moments.n
        count, found = int(happens.sum()), spells(happens)
        if usual:
            p_value = float(never_zero(binom.sf(found - 1, found + usual, n / (n + n_reference / 2)))) if found else 1.0
        else:
            p_value = float(never_zero((n / (n + n_reference)) ** found)) if found else 1.0
        plain = not usual and count >= max(_MOMENTS, _SHARE * n)
        return cls(count / max(n, 1), count, found, p_value, plain)


def spells(happens: NDArray[np.bool_]) -> int:
    """Unbroken stretches at which something happens.

    >>> spells(np.array([True, True, False, True]))
    2
    """
    return int(happens[0]) + int(np.count_nonzero(happens[1:] & ~happens[:-1])) if len(happens) else 0


def usual_spells(numbers: NDArray[np.integer], moments: Moments) -> int:
    """Spells in the newer half of a reference of values that its older half had not.

    >>> usual_spells(np.array([0, 1, 0, 1, 2, 0, 3, 1]), Moments.each_row(8))
    2
    """
    newer, of_newer = moments.newest(moments.n - moments.n // 2)
    start = int(newer.start)
    return spells(_by_moment(~np.isin(numbers[start:], numbers[:start]), of_newer))


def _by_moment(happens: NDArray[np.bool_], moments: Moments) -> NDArray[np.bool_]:
    if moments.of_row is None:
        return happens
    at_any: NDArray[np.bool_] = np.bincount(moments.of_row, happens, minlength=moments.n) > 0
    return at_any
