"""``SinceDecided``: whether a decision between two versions stands by what came after it, looked at for itself."""

from __future__ import annotations

import json
from typing import Self

import numpy as np
from numpy.typing import NDArray

from huracan.errors import DataError
from huracan.statistics.sequential import SequentialComparison

__all__ = ["SinceDecided"]


class SinceDecided:
    """Payoffs of two versions since it was decided between them.

    A decision stands while fewer moments than those before a first look have come: so few say little. From then on it stands as
    long as the mean of what came is on its side, and is refuted where a comparison of that alone shows the opposite. This can
    only take a decision back, so the chance that equal versions are called different stays that of the decision.

    Parameters
    ----------
    alpha : chance of a false refutation, ever. names : of the champion and of the version in its shadow.
    first_look : moments before the first look.

    Examples
    --------
    >>> since, rng = SinceDecided(0.05, ("btc/3", "btc/4"), 60), np.random.default_rng(0)
    >>> since.update(rng.standard_normal(40) + 0.5, rng.standard_normal(40)).stands_by("btc/4")
    True
    >>> since.update(rng.standard_normal(40) + 0.5, rng.standard_normal(40)).stands_by("btc/4")
    False
    >>> SinceDecided.from_json(since.to_json()).mean == since.mean
    True
    """

    def __init__(self, alpha: float, names: tuple[str, str], first_look: int) -> None:
        self._comparison = SequentialComparison(alpha, names=names, first_look=first_look)
        self._sum = 0.0

    @property
    def n(self) -> int:
        """Moments taken."""
        return self._comparison.n

    @property
    def mean(self) -> float:
        """Mean payoff of the version in shadow less that of the champion; 0 before the first."""
        return self._sum / self.n if self.n else 0.0

    @property
    def winner(self) -> str | None:
        """Who is shown to be better by these moments alone; None where neither is."""
        return self._comparison.winner

    @property
    def sentence(self) -> str:
        """What these moments say, in a sentence."""
        return self._comparison.sentence

    def update(self, champion: NDArray[np.float64], shadow: NDArray[np.float64]) -> Self:
        """Take payoffs (n,) of the moments that came, in order of time; all finite."""
        if len(champion):
            self._comparison.update(-champion, -shadow)
            self._sum = float(
                np.cumsum(np.concatenate([[self._sum], shadow - champion]))[-1]
            )  # one by one, whatever came at once
        return self

    def allows(self, least: float) -> bool:
        """Whether the version in shadow earned ``least`` a moment more than the champion, or too few have come to say."""
        return self.n < self._comparison.first_look or self.mean > least

    def stands_by(self, winner: str) -> bool:
        """Whether who won is still ahead, or too few moments have come to say."""
        return self.n < self._comparison.first_look or (self.mean > 0.0) == (winner == self._comparison.names[1])

    def to_json(self) -> str:
        """The whole state; :meth:`from_json` goes on from it to the same bits."""
        return json.dumps({"sum": self._sum, "comparison": self._comparison.to_json()}, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Go on where :meth:`to_json` left.

        Raises
        ------
        DataError : the text is not such a state.
        """
        try:
            state = json.loads(text)
            total, comparison = float(state["sum"]), state["comparison"]
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"this is no state of a SinceDecided ({error}); what its to_json wrote was expected.") from error
        since = cls.__new__(cls)
        since._comparison, since._sum = SequentialComparison.from_json(comparison), total
        return since
