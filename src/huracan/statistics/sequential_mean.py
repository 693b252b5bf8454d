"""Watch the mean of a series while it arrives, and say when it has left a value: valid under peeking and dependence."""

from __future__ import annotations

import json
import math
import reprlib
from collections.abc import Callable
from dataclasses import asdict
from enum import StrEnum
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from huracan.errors import DataError
from huracan.statistics.ewc import Alternative
from huracan.statistics.sample_checks import p_value_text
from huracan.statistics.sequential_batches import BatchMeans
from huracan.statistics.sequential_input import Clock, as_values
from huracan.statistics.sequential_looks import FIRST_LOOK, Look, look_size, looks_before, take_look

__all__ = ["SequentialMean", "Side", "read_state"]

Monitor = TypeVar("Monitor")

_KIND = "huracan.SequentialMean"
_VERSION = 1


class Side(StrEnum):
    """On which side of the null mean the mean was found."""

    ABOVE = "above"
    BELOW = "below"


class SequentialMean:
    """Test the mean of a series again and again while it arrives, with one error rate for all looks together.

    At 60 observations, and then four times while their number doubles, the mean is tested with equal-weighted cosines
    (:func:`huracan.statistics.ewc_t_test`) at a share of alpha. The shares add up to alpha without end: there is no
    horizon, and by Bonferroni it does not matter how the looks hang together. Between looks nothing is decided, so
    ``decision`` may be read as often as you like. Where a series remembers so long that fewer than six cosines are
    allowed, the look does not decide, and its share is lost.

    A decision stays, whatever comes later; observations are still taken, and ``look``, ``p_value`` and the interval go on.
    Where these come to say the opposite, ``contradicted`` and ``sentence`` say so: start anew.
    Memory does not grow with the series (:class:`~huracan.statistics.sequential_batches.BatchMeans`).

    False decisions within 1,000 observations at alpha 5 % (``tests/statistics/test_sequential_rates.py``): 1.5 to 4 % for
    independent, AR(.5) and AR(.9) series, overlapping labels of horizon 5 and 20, GARCH with t(5) shocks, t(2.1), and a
    variance that changes midway; at most 5.5 % for AR(.97), horizon 60 and lognormal values. The limit is what a short
    sample cannot show: regimes of about 50 observations under four times their variance of noise, 34 %; AR(.97) under
    eleven times its variance of noise, 18 %; lognormal values of log deviation 1.5, 12 %. A later ``first_look`` mends
    that: regimes, 500: 5.5 %; AR(.97) under noise, 1,000: 3 %; lognormal, 500: 5 %.

    The verdict is on the average since the start. To watch a model in use, start when it is taken into use.

    Parameters
    ----------
    null_mean : the mean under the null hypothesis.
    alternative : "two-sided", "less" (mean below ``null_mean``) or "greater".
    alpha : chance of a false decision, ever; between 0 and 1.
    first_look : observations before the first look, at least 60; ten times the longest spell that is known to matter (a
        regime, a season of 24 hours, the overlap of labels) is safe.
    name : what sentences call the series, not empty.

    Raises
    ------
    DataError : a setting is out of bounds.

    References
    ----------
    Lan and DeMets (1983), Biometrika 70 (spending alpha); Lazarus, Lewis, Stock and Watson (2018), JBES 36 (the test at
    each look); Howard, Ramdas, McAuliffe and Sekhon (2021), Annals of Statistics 49 (shares over doublings, no horizon).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> watch = SequentialMean(1.0, alternative="greater", name="the champion's loss")
    >>> watch.update(1.3 + rng.standard_normal(100)).decision is None
    True
    >>> watch.update(1.3 + rng.standard_normal(400)).decision
    <Side.ABOVE: 'above'>
    >>> SequentialMean.from_json(watch.to_json()).sentence == watch.sentence
    True
    """

    def __init__(
        self,
        null_mean: float = 0.0,
        *,
        alternative: Alternative = "two-sided",
        alpha: float = 0.05,
        first_look: int = FIRST_LOOK,
        name: str = "the series",
    ) -> None:
        if alternative not in ("two-sided", "less", "greater"):
            raise DataError(f"alternative is '{alternative}'; 'two-sided', 'less' or 'greater' was expected.")
        if isinstance(alpha, bool) or not isinstance(alpha, (int, float)) or not 0.0 < alpha < 1.0:
            raise DataError(f"alpha is {alpha}; a number between 0 and 1 was expected.")
        if isinstance(first_look, bool) or not isinstance(first_look, int) or not FIRST_LOOK <= first_look <= 2**40:
            raise DataError(f"first_look is {first_look}; a whole number of at least {FIRST_LOOK} was expected.")
        if not isinstance(null_mean, (int, float)) or not math.isfinite(null_mean):
            raise DataError(f"null_mean is {null_mean}; a finite number was expected.")
        if not isinstance(name, str) or not name:
            raise DataError(f"name is {name!r}; a name of the series was expected.")
        self.null_mean = float(null_mean)
        self.alternative: Alternative = alternative
        self.alpha = float(alpha)
        self.first_look = first_look
        self.name = name
        #: the side of ``null_mean`` on which the mean was found; None as long as neither is shown
        self.decision: Side | None = None
        #: the look that decided
        self.decided_at: Look | None = None
        #: the latest look
        self.look: Look | None = None
        #: smallest alpha at which a decision would have been taken by now; valid whenever it is read
        self.p_value = 1.0
        #: number of observations at which the next look is taken
        self.next_look = look_size(0, first_look)
        self._kept = BatchMeans()
        self._clock = Clock()
        self._size = 0.0
        self._next_index = 0

    @property
    def n(self) -> int:
        """Observations taken."""
        return self._kept.n

    @property
    def interval(self) -> tuple[float, float]:
        """Where the mean is, as of the latest look; at all looks together with chance ``1 - alpha``."""
        return (-math.inf, math.inf) if self.look is None else self.look.interval(self.alpha, self.alternative)

    @property
    def contradicted(self) -> bool:
        """Whether the latest interval lies wholly on the other side than the decision; possible for "two-sided" alone.

        While the mean does not change, the chance of that is below ``alpha``: either it changed, or the decision was false.
        """
        low, high = self.interval
        return high < self.null_mean if self.decision is Side.ABOVE else self.decision is not None and low > self.null_mean

    @property
    def sentence(self) -> str:
        """What is known, in a sentence."""
        if self.look is None:
            return f"Not decided: {self.n} observations of {self.name}, the first look is at {self.next_look}."
        low, high = self.interval
        seen = f"mean {self.look.mean:.4g}, interval {low:.4g} to {high:.4g}"
        if self.decided_at is not None:
            when = f"It was decided at {self.decided_at.n} observations that the mean of {self.name}"
            was = f"{when} is {self.decision} {self.null_mean:.4g}"
            if self.contradicted:
                return f"{was}, but the data since contradict it ({seen}, at {self.look.n} observations); start anew."
            now = f"; by now it cannot be judged: {self.look.note}" if self.look.note else ""
            return f"{was} ({seen}, {p_value_text(self.p_value)}, at {self.look.n} observations{now})."
        why = f": {self.look.note}" if self.look.note else ""
        rest = f"({seen}, {p_value_text(self.p_value)}, at {self.look.n} observations; next look at {self.next_look})"
        return f"Not decided whether the mean of {self.name} differs from {self.null_mean:.4g}{why} {rest}."

    def __repr__(self) -> str:
        decided = None if self.decided_at is None else f"{self.decision} at {self.decided_at.n}"
        contradicted = ", contradicted" if self.contradicted else ""
        name, settings = reprlib.repr(self.name), f"null_mean={self.null_mean:g}, alpha={self.alpha:g}"
        return f"SequentialMean({name}, {settings}, n={self.n}, decision={decided}{contradicted})"

    def update(self, x: ArrayLike, *, time: Any = None) -> Self:
        """Take the next observation, or the next ones in time order: all of them, or none where one is refused.

        Parameters
        ----------
        x : a number, or (n,). One value a moment: average symbols first (:func:`huracan.statistics.average_by_time`).
        time : of each value. Where it is given it must be given always, and ascend.

        Raises
        ------
        DataError : a value is not finite, or time is missing, repeated or goes backwards.
        """
        if time is None and isinstance(x, float) and not self._clock.runs:
            value = float(x)
            centred = value - self.null_mean
            if centred - centred == 0.0:
                self._take_one(centred, abs(value))
                return self
        values = as_values(x, self.name)
        return self._take(values - self.null_mean, float(np.abs(values).max(initial=0.0)), time)

    def to_json(self) -> str:
        """The whole state; :meth:`from_json` goes on from it to the same bits."""
        return json.dumps(self._state(), allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> SequentialMean:
        """Go on where :meth:`to_json` left.

        Raises
        ------
        DataError : the text is not such a state, or its numbers do not fit together.
        """
        return read_state(text, "SequentialMean", cls._from_state)

    def _take_one(self, centred: float, size: float) -> None:
        """Take one finite observation, less the null mean; ``size`` as in :func:`take_look`."""
        if size > self._size:
            self._size = size
        kept = self._kept
        kept.add(centred)
        if kept.n == self.next_look:
            self._look()

    def _take(self, centred: NDArray[np.float64], size: float, time: Any) -> Self:
        if not np.isfinite(centred).all():
            where = int(np.argmax(~np.isfinite(centred)))
            raise DataError(f"{self.name} is too large for a floating point number at row {where} of this update.")
        self._clock.move_on(self._clock.read(time, len(centred), self.n))
        self._size = max(self._size, size)
        start = 0
        while start < len(centred):
            until = start + self.next_look - self.n
            self._kept.extend(centred[start:until])
            start = until
            if self.n == self.next_look:
                self._look()
        return self

    def _look(self) -> None:
        means = self._kept.means
        look = take_look(self._next_index, self.n, means, self._size, self.null_mean, self.alternative, self.name)
        self.look = look
        self.p_value = min(self.p_value, look.spent_p_value)
        if self.decision is None and self.p_value <= self.alpha:
            self.decision = Side.ABOVE if look.t > 0.0 else Side.BELOW
            self.decided_at = look
        self._next_index += 1
        self.next_look = look_size(self._next_index, self.first_look)

    def _state(self) -> dict[str, Any]:
        return {
            "kind": _KIND,
            "version": _VERSION,
            "null_mean": self.null_mean,
            "alternative": self.alternative,
            "alpha": self.alpha,
            "first_look": self.first_look,
            "name": self.name,
            "decision": self.decision,
            "decided_at": None if self.decided_at is None else asdict(self.decided_at),
            "look": None if self.look is None else asdict(self.look),
            "p_value": self.p_value,
            "size": self._size,
            "clock": self._clock.state(),
            "series": self._kept.state(),
        }

    @classmethod
    def _from_state(cls, state: dict[str, Any]) -> SequentialMean:
        if (state["kind"], state["version"]) != (_KIND, _VERSION):
            raise ValueError(f"it is of kind {state['kind']}, version {state['version']}")
        names = ("null_mean", "alternative", "alpha", "first_look", "name")
        watch = cls(**{name: state[name] for name in names})
        watch._kept = BatchMeans.from_state(**state["series"])
        watch._clock = Clock.from_state(state["clock"])
        watch._size, watch.p_value = float(state["size"]), float(state["p_value"])
        watch._next_index = looks_before(watch.n, watch.first_look)
        watch.next_look = look_size(watch._next_index, watch.first_look)
        watch.look = None if state["look"] is None else Look.from_state(state["look"])
        watch.decided_at = None if state["decided_at"] is None else Look.from_state(state["decided_at"])
        watch.decision = None if state["decision"] is None else Side(state["decision"])
        latest = -1 if watch.look is None else watch.look.index
        if latest != watch._next_index - 1:
            raise ValueError(f"{watch.n} observations have had {watch._next_index} looks, the latest one told is {latest}")
        if not 0.0 <= watch._size < math.inf or not 0.0 < watch.p_value <= 1.0:
            raise ValueError(f"size is {watch._size} and p_value {watch.p_value}")
        decided = watch.p_value <= watch.alpha
        if decided != (watch.decision is not None) or decided != (watch.decided_at is not None):
            raise ValueError(f"decision is {watch.decision} where p_value is {watch.p_value}")
        return watch


def read_state(text: str, kind: str, build: Callable[[dict[str, Any]], Monitor]) -> Monitor:
    """Build a monitor from its JSON, or say in one sentence why this is none."""
    try:
        return build(json.loads(text))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        reason = f"{type(error).__name__}: {str(error).rstrip('.')}"
        raise DataError(f"this is not the state of a {kind} ({reason}); what its to_json wrote was expected.") from error
