"""Values that the reference never had: how surprising is it that they come now?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from huracan.statistics.moments import Moments
from huracan.statistics.sample_checks import never_zero

__all__ = ["UnseenValues"]

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
    plain : whether they are half a percent of the moments and five at least: then the column is called drifted by that alone,
        since no test can be fair to an event that was never seen.

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
    def of(cls, happens: NDArray[np.bool_], moments: Moments, *, n_reference: int) -> UnseenValues:
        """From whether it happens in each row of the window."""
        if moments.of_row is not None:
            happens = np.bincount(moments.of_row, happens, minlength=moments.n) > 0
        n = moments.n
        count = int(happens.sum())
        spells = int(happens[0]) + int(np.count_nonzero(happens[1:] & ~happens[:-1])) if n else 0
        p_value = float(never_zero((n / (n + n_reference)) ** spells)) if spells else 1.0
        return cls(count / max(n, 1), count, spells, p_value, count >= max(_MOMENTS, _SHARE * n))
