"""The regimes that a GAN was trained under, and which of them a sample is to have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from huracan.dataset import REGIME_ORDER
from huracan.errors import DataError, ModelError, nearest_name

__all__ = ["Conditions"]

_FEWEST_OF_A_REGIME = 50
_NAMES = tuple(str(regime) for regime in REGIME_ORDER)


@dataclass(frozen=True)
class Conditions:
    """Names of the conditions, in the order of the networks' numbers.

    Attributes
    ----------
    names : of the regimes with enough training windows, or ``"all"`` alone. counts : training windows of every regime.
    codes : place of each name in ``REGIME_ORDER``; 0 for ``"all"``.

    Examples
    --------
    >>> found = Conditions.of(np.repeat([1, 2, 3], [60, 140, 7]), conditional=True)
    >>> found.names, found.counts
    (('ranging', 'volatile'), {'ranging': 60, 'volatile': 140, 'illiquid': 7})
    >>> found.wanted(2, "volatile", seed=0).tolist()
    [1, 1]
    """

    names: tuple[str, ...]
    counts: dict[str, int]
    codes: tuple[int, ...]

    @classmethod
    def of(cls, regime: NDArray[np.int64], *, conditional: bool) -> Self:
        """Those of training windows whose regimes are ``regime`` (n,), places in ``REGIME_ORDER``.

        Raises
        ------
        ModelError : fewer than two regimes have 50 windows.
        """
        if not conditional:
            return cls(("all",), {"all": len(regime)}, (0,))
        numbers = np.bincount(regime, minlength=len(_NAMES))
        counts = {name: int(count) for name, count in zip(_NAMES, numbers) if count}
        codes = tuple(code for code, count in enumerate(numbers) if count >= _FEWEST_OF_A_REGIME)
        if len(codes) < 2:
            told = ", ".join(f"{count} {name}" for name, count in counts.items())
            raise ModelError(
                f"the GAN needs at least {_FEWEST_OF_A_REGIME} windows of each of two regimes and got {told}; give longer "
                "history, regimes= of your own, or conditional=False."
            )
        return cls(tuple(_NAMES[code] for code in codes), counts, codes)

    @property
    def shares(self) -> NDArray[np.float64]:
        """Share of each name among the training windows."""
        counts = np.array([self.counts[name] for name in self.names], np.float64)
        return counts / counts.sum()

    def position(self, regime: str) -> int:
        """Number of a regime.

        Raises
        ------
        ModelError : it had too few training windows. UnknownName : there is no such regime; the nearest is offered.
        """
        if str(regime) in _NAMES and str(regime) not in self.names:
            raise ModelError(
                f"no training window began in '{regime}', so that this GAN cannot show one; it knows "
                f"{', '.join(self.names)}. Fit it on a longer history."
            )
        if str(regime) not in self.names:
            raise nearest_name(str(regime), self.names, kind="regime of this GAN")
        return self.names.index(str(regime))

    def wanted(self, n: int, regime: str | Sequence[str] | None, seed: int) -> NDArray[np.int64]:
        """Numbers (n,) of what is asked for: one name for all, n names, or None for the mixture of the training windows.

        Raises
        ------
        ModelError : ``n`` is no number of windows, or not that of the names. As :meth:`position`.
        """
        if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 0:
            raise ModelError(f"n is {n!r}; a whole number of windows from 0 was expected.")
        if regime is None:
            return np.random.default_rng(seed).choice(len(self.names), n, p=self.shares).astype(np.int64)
        if isinstance(regime, str):
            return np.full(n, self.position(regime), np.int64)
        if len(regime) != n:
            raise ModelError(f"{len(regime)} regimes were given for {n} windows; one each was expected.")
        known = {name: self.position(name) for name in set(map(str, regime))}
        return np.array([known[str(name)] for name in regime], np.int64)

    def named(self, regimes: Sequence[object] | NDArray[Any] | None, n: int) -> NDArray[Any]:
        """Names (n,) of regimes that are given by name or by their place in ``REGIME_ORDER``.

        >>> Conditions(("ranging", "volatile"), {"ranging": 60, "volatile": 140}, (1, 2)).named(np.array([2, 1]), 2).tolist()
        ['volatile', 'ranging']

        Raises
        ------
        DataError : they are not one each, or a place is none. ModelError, UnknownName : as :meth:`position`.
        """
        if self.names == ("all",):
            return np.full(n, "all", dtype=object)
        if regimes is None:
            raise DataError("regimes is None; a regime for each window was expected, as the GAN is conditional.")
        if isinstance(regimes, str):
            raise DataError(f"regimes is {regimes!r}; one for each of {n} windows was expected.")
        given = list(regimes.to_list() if hasattr(regimes, "to_list") else regimes)
        if len(given) != n:
            raise DataError(f"regimes has {len(given)} rows where windows has {n}; one each was expected.")
        names = np.empty(n, dtype=object)
        for row, regime in enumerate(given):
            code = regime if isinstance(regime, int | np.integer) and not isinstance(regime, bool) else None
            if code is not None and not 0 <= code < len(_NAMES):
                raise DataError(
                    f"regimes holds {code} in row {row}; a name, or a place from 0 to {len(_NAMES) - 1}, was expected."
                )
            names[row] = self.names[self.position(str(regime) if code is None else _NAMES[code])]
        return names
