"""Champion against challenger while data arrives: when has one been shown to be better?"""

from __future__ import annotations

import json
import reprlib
from enum import StrEnum
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from huracan.errors import DataError
from huracan.statistics.sample_checks import p_value_text
from huracan.statistics.sequential_input import as_values
from huracan.statistics.sequential_looks import FIRST_LOOK, Look
from huracan.statistics.sequential_mean import SequentialMean, Side, read_state

__all__ = ["Better", "SequentialComparison"]

_KIND = "huracan.SequentialComparison"
_VERSION = 1


class Better(StrEnum):
    """Which of two models has been shown to have the lower mean loss."""

    A = "a"
    B = "b"


class SequentialComparison:
    """Compare two models by their losses while these arrive, looking as often as you like.

    The mean of ``loss_a - loss_b`` is watched by a :class:`SequentialMean`, which says how. The chance that equal models
    are ever called different is at most ``alpha``, however long it runs and whenever it is read, also where losses are
    autocorrelated or labels overlap, as long as what they remember is short beside the first look. Where it is not, early
    looks err. False decisions within 1,000 observations at alpha 5 % (``tests/statistics/test_sequential_rates.py``):

    =================================================================  =====================  ====================
    loss difference                                                    first look at 60       a later first look
    =================================================================  =====================  ====================
    independent, AR(.5), AR(.9), labels that overlap by 20, GARCH      1.5 to 4 %
    AR(.97), labels that overlap by 60, lognormal                      up to 5.5 %
    lognormal of log deviation 1.5                                     12 %                   at 500: 5 %
    AR(.97) under eleven times its variance of noise                   18 %                   at 1,000: 3 %
    regimes of about 50 under four times their variance of noise       34 %                   at 500: 5.5 %
    =================================================================  =====================  ====================

    With a difference of .3 standard deviations and AR(.3) the better model is found within 600 observations in 94 %.

    Nothing needs to be decided: equal models stay undecided. A decision stays; where later data come to say the opposite,
    ``contradicted`` and ``sentence`` say so. For a new question start anew.

    Parameters
    ----------
    alpha : chance of a false decision, ever; between 0 and 1.
    names : what sentences call a and b.
    first_look : observations before the first look, at least 60; each next one follows at 1.19 times as many. Ten times
        the longest spell that is known to matter (a regime, a season of 24 hours, the overlap of labels) is safe.

    Raises
    ------
    DataError : a setting is out of bounds.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> market = rng.standard_normal(400) ** 2
    >>> match = SequentialComparison(names=("champion", "challenger"))
    >>> for loss_a, loss_b in zip(market + 0.4, market + 0.5 * rng.standard_normal(400)):
    ...     if match.update(loss_a, loss_b).decision:
    ...         break
    >>> match.decision, match.n, match.winner
    (<Better.B: 'b'>, 72, 'challenger')
    """

    def __init__(self, alpha: float = 0.05, *, names: tuple[str, str] = ("a", "b"), first_look: int = FIRST_LOOK) -> None:
        if (
            not isinstance(names, (tuple, list))
            or len(names) != 2
            or not all(isinstance(name, str) for name in names)
            or names[0] == names[1]
        ):
            raise DataError(f"names are {names!r}; two different names were expected.")
        self.names = (names[0], names[1])
        title = f"the loss difference '{names[0]}' - '{names[1]}'"
        self._difference = SequentialMean(alpha=alpha, first_look=first_look, name=title)

    @property
    def decision(self) -> Better | None:
        """The better model, or None as long as none is shown to be better."""
        side = self._difference.decision
        return None if side is None else Better.A if side is Side.BELOW else Better.B

    @property
    def winner(self) -> str | None:
        """Name of the better model, or None."""
        decision = self.decision
        return None if decision is None else self.names[0 if decision is Better.A else 1]

    @property
    def contradicted(self) -> bool:
        """Whether the latest interval says the opposite of the decision.

        While neither model changes, the chance of that is below ``alpha``: either one did, or the decision was false.
        """
        return self._difference.contradicted

    @property
    def decided_at(self) -> Look | None:
        """The look that decided."""
        return self._difference.decided_at

    @property
    def look(self) -> Look | None:
        """The latest look at the mean of ``loss_a - loss_b``."""
        return self._difference.look

    @property
    def interval(self) -> tuple[float, float]:
        """Where the mean of ``loss_a - loss_b`` is, as of the latest look; at all looks together with chance ``1 - alpha``."""
        return self._difference.interval

    @property
    def p_value(self) -> float:
        """The evidence: smallest alpha at which a decision would have been taken by now; valid whenever it is read."""
        return self._difference.p_value

    @property
    def alpha(self) -> float:
        """Chance of a false decision, ever."""
        return self._difference.alpha

    @property
    def n(self) -> int:
        """Observations taken."""
        return self._difference.n

    @property
    def first_look(self) -> int:
        """Number of observations before the first look."""
        return self._difference.first_look

    @property
    def next_look(self) -> int:
        """Number of observations at which the next look is taken."""
        return self._difference.next_look

    @property
    def sentence(self) -> str:
        """What is known, in a sentence."""
        look, winner = self.look, self.winner
        if look is None:
            return f"Not decided: {self.n} observations, the first look is at {self.next_look}."
        low, high = self.interval
        first, second = self.names
        seen = f"mean loss of '{first}' less that of '{second}' {look.mean:.4g}, interval {low:.4g} to {high:.4g}"
        rest = f"({seen}, {p_value_text(self.p_value)}, at {look.n} observations"
        if winner is not None and self.decided_at is not None:
            loser = first if winner == second else second
            was = f"It was decided at {self.decided_at.n} observations that '{winner}' is better than '{loser}'"
            if self.contradicted:
                since = f"but the data since contradict it ({seen}, at {look.n} observations)"
                return f"{was}, {since}; start a new comparison."
            now = f"; by now the difference cannot be judged: {look.note}" if look.note else ""
            return f"{was} {rest}{now})."
        why = f"; the difference cannot be judged: {look.note}" if look.note else ""
        return f"Neither '{first}' nor '{second}' is shown to be better {rest}; next look at {self.next_look}{why})."

    def __repr__(self) -> str:
        first, second = (reprlib.repr(name) for name in self.names)
        winner, at = self.winner, self.decided_at
        decided = None if winner is None or at is None else f"{reprlib.repr(winner)} at {at.n}"
        contradicted = ", contradicted" if self.contradicted else ""
        return f"SequentialComparison(({first}, {second}), alpha={self.alpha:g}, n={self.n}, decision={decided}{contradicted})"

    def update(self, loss_a: ArrayLike, loss_b: ArrayLike, *, time: Any = None) -> Self:
        """Take the losses of the next moment, or of the next ones in time order: all of them, or none where one is refused.

        Parameters
        ----------
        loss_a, loss_b : numbers, or (n,) both; smaller is better. One loss a moment: where many symbols have one, average
            them first (:func:`huracan.statistics.average_by_time`), forty coins in one hour are one observation.
        time : of each moment. Where it is given it must be given always, and ascend.

        Raises
        ------
        DataError : lengths differ, a loss is not finite, or time is missing, repeated or goes backwards.
        """
        if time is None and isinstance(loss_a, float) and isinstance(loss_b, float) and not self._difference._clock.runs:
            first, second = float(loss_a), float(loss_b)
            centred = first - second
            if centred - centred == 0.0:
                self._difference._take_one(centred, max(abs(first), abs(second)))
                return self
        a = as_values(loss_a, f"the loss of '{self.names[0]}'")
        b = as_values(loss_b, f"the loss of '{self.names[1]}'")
        if len(a) != len(b):
            first_name, second_name = self.names
            raise DataError(
                f"'{first_name}' has {len(a)} losses where '{second_name}' has {len(b)}; equally many were expected."
            )
        size = max(float(np.abs(a).max(initial=0.0)), float(np.abs(b).max(initial=0.0)))
        with np.errstate(over="ignore"):
            self._difference._take(a - b, size, time)
        return self

    def to_json(self) -> str:
        """The whole state; :meth:`from_json` goes on from it to the same bits."""
        state = {"kind": _KIND, "version": _VERSION, "names": self.names, "difference": self._difference._state()}
        return json.dumps(state, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> SequentialComparison:
        """Go on where :meth:`to_json` left.

        Raises
        ------
        DataError : the text is not such a state, or its numbers do not fit together.
        """
        return read_state(text, "SequentialComparison", cls._from_state)

    @classmethod
    def _from_state(cls, state: dict[str, Any]) -> SequentialComparison:
        if (state["kind"], state["version"]) != (_KIND, _VERSION):
            raise ValueError(f"it is of kind {state['kind']}, version {state['version']}")
        difference = SequentialMean._from_state(state["difference"])
        match = cls(difference.alpha, names=tuple(state["names"]), first_look=difference.first_look)
        if (difference.null_mean, difference.alternative, difference.name) != (0.0, "two-sided", match._difference.name):
            raise ValueError(f"its difference is '{difference.name}', tested against {difference.null_mean}")
        match._difference = difference
        return match
