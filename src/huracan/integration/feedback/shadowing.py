"""Two versions on the same live bars: which of them has been shown to earn more, and what follows from it."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from huracan.baselines.ab_testing import SequentialComparison
from huracan.errors import DataError
from huracan.integration.feedback.since_decided import SinceDecided

__all__ = ["Outcome", "ShadowMatch", "Verdict", "paired_payoffs"]

_KIND = "huracan.ShadowMatch"
_VERSION = 1
_FIRST_LOOK = 60
_OVERLAPS = 10
"""Horizons before the first look: labels that overlap make neighbouring payoffs alike."""


class Outcome(StrEnum):
    """What a comparison came to.

    ``promote`` : the one in shadow takes over. ``reject`` : the champion is shown to be better. ``expire`` : the time is over,
    and neither was. ``roll_back`` : of a champion on trial, the one before is shown to be better. ``settle`` : it is not.
    """

    PROMOTE = "promote"
    REJECT = "reject"
    EXPIRE = "expire"
    ROLL_BACK = "roll_back"
    SETTLE = "settle"


@dataclass(frozen=True)
class Verdict:
    """An outcome with its reason in a sentence."""

    outcome: Outcome
    sentence: str


class ShadowMatch:
    """The champion's payoffs against those of a version in its shadow, one pair a moment, looked at as often as one likes.

    The chance that equal versions are ever called different is ``alpha`` for all looks together
    (:class:`huracan.baselines.SequentialComparison` on minus the payoffs, which says when that holds). A moment counts where
    both answered, symbols averaged. Equal versions stay undecided, until the time allowed is over.

    What comes after a decision is looked at for itself (:class:`SinceDecided`), since a decision of n moments would outlast
    about as many that say the opposite. That takes decisions back and makes none, so ``alpha`` holds.

    Parameters
    ----------
    champion, shadow : what sentences call them. horizon : bars of a label; the first look comes after ten of them, at least 60
        moments. alpha : chance of a false decision, ever.

    Attributes
    ----------
    moment : the latest that was taken, milliseconds UTC; None before the first.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> match, hour = ShadowMatch("btc/3", "btc/4"), 3_600_000
    >>> weak, strong = rng.standard_normal(300) - 0.2, rng.standard_normal(300) + 0.3
    >>> match.update(np.arange(300) * hour, weak, strong).verdict(bars=300, bars_allowed=500)
    Verdict(outcome=<Outcome.PROMOTE: 'promote'>, sentence="It was decided at 143 observations that 'btc/4' is better than ...
    >>> ShadowMatch.from_json(match.to_json()).verdict(bars=300, bars_allowed=500) == match.verdict(bars=300, bars_allowed=500)
    True
    """

    def __init__(self, champion: str, shadow: str, *, horizon: int = 1, alpha: float = 0.05) -> None:
        self.champion, self.shadow = champion, shadow
        self.moment: int | None = None
        self._since: SinceDecided | None = None
        first_look = max(_FIRST_LOOK, _OVERLAPS * horizon)
        self._comparison = SequentialComparison(alpha, names=(champion, shadow), first_look=first_look)

    @property
    def n(self) -> int:
        """Moments taken."""
        return self._comparison.n

    @property
    def interval(self) -> tuple[float, float]:
        """Where the shadow's mean payoff less the champion's is, at all looks together; without ends before the first look."""
        return self._comparison.interval

    @property
    def sentence(self) -> str:
        """What is known, in a sentence."""
        return self._comparison.sentence

    def update(self, moments: Sequence[int] | NDArray[np.int64], champion: Any, shadow: Any) -> Self:
        """Take payoffs (n,) of moments in order of time; those up to the latest that was taken count no second time.

        Raises
        ------
        DataError : a payoff is not finite, or a moment not later than the one before it; nothing was taken.
        """
        when = np.asarray(moments, np.int64)
        if (np.diff(when) <= 0).any():
            place = int(np.argmax(np.diff(when) <= 0)) + 1
            raise DataError(f"moment {when[place]} comes after {when[place - 1]}; moments in order of time were expected.")
        new = np.ones(len(when), np.bool_) if self.moment is None else when > self.moment
        if new.any():
            before, mine, theirs = self.n, np.asarray(champion, np.float64)[new], np.asarray(shadow, np.float64)[new]
            self._comparison.update(-mine, -theirs)
            self.moment = int(when[-1])
            if self._since is None and (decided := self._comparison.decided_at) is not None:
                self.decide()
                mine, theirs = mine[decided.n - before :], theirs[decided.n - before :]
            if self._since is not None:
                self._since.update(mine, theirs)
        return self

    def decide(self) -> None:
        """What comes from here on is looked at for itself, too; so it is already where one was shown to be better."""
        if self._since is None:
            names = (self.champion, self.shadow)
            self._since = SinceDecided(self._comparison.alpha, names, self._comparison.first_look)

    def verdict(self, *, bars: int, bars_allowed: int, short_of: float | None = None) -> Verdict | None:
        """What becomes of the version in shadow, after so many bars there; None while it is not decided.

        Parameters
        ----------
        short_of : payoff a moment by which it may be worse, since it is newer; None where it was asked for because the champion
            lost its skill: then it has to be better.
        """
        winner = self._winner()
        if winner == self.shadow:
            return Verdict(Outcome.PROMOTE, self.sentence)
        if winner == self.champion:
            return Verdict(Outcome.REJECT, self.sentence)
        if (refuted := self.refuted) is not None:
            return Verdict(Outcome.REJECT, refuted)
        low, _ = self.interval
        fresh = self._since is None or short_of is None or self._since.allows(-short_of)
        if fresh and short_of is not None and math.isfinite(low) and low > -short_of:
            said = f"'{self.shadow}' is newer and not worse than '{self.champion}' by {short_of:.4g} a moment: {self.sentence}"
            return Verdict(Outcome.PROMOTE, said)
        if bars >= bars_allowed:
            return Verdict(Outcome.EXPIRE, f"After {bars} bars of {bars_allowed} allowed: {self.sentence}")
        return None

    def trial(self, *, bars: int, bars_allowed: int) -> Verdict | None:
        """What becomes of a new champion beside the one before, which is the ``shadow`` here; None while it is not decided.

        It is not over before its first look, however long that takes: a champion that nobody was compared with passed no trial.
        """
        winner = self._winner()
        if winner == self.shadow:
            return Verdict(Outcome.ROLL_BACK, self.sentence)
        if winner == self.champion:
            return Verdict(Outcome.SETTLE, self.sentence)
        if (refuted := self.refuted) is not None:
            return Verdict(Outcome.SETTLE, refuted)
        if bars >= bars_allowed and self._comparison.look is not None:
            return Verdict(Outcome.SETTLE, f"After {bars} bars on trial, of {bars_allowed}: {self.sentence}")
        return None

    @property
    def turned(self) -> bool:
        """Whether the shadow was shown to be better, and by what came since is not, shown or not."""
        return self._comparison.winner == self.shadow and self._winner() is None

    @property
    def refuted(self) -> str | None:
        """That by what came since it was decided alone the champion is shown to be better, in a sentence; None where not."""
        if self._since is None or self._since.winner != self.champion or self._comparison.winner == self.champion:
            return None
        return f"What came since it had won says the opposite: {self._since.sentence}"

    def _winner(self) -> str | None:
        """Who is better; nobody where the other one is ahead by the latest look at all, or by what came since, shown or not."""
        winner, look = self._comparison.winner, self._comparison.look
        if winner is None or look is None:
            return None
        ahead = self.shadow if look.mean > 0 else self.champion
        if winner != ahead or self._since is None:
            return winner if winner == ahead else None
        return winner if self._since.stands_by(winner) else None

    def to_json(self) -> str:
        """The whole state; :meth:`from_json` goes on from it to the same bits."""
        since = None if self._since is None else self._since.to_json()
        state = {
            "kind": _KIND,
            "version": _VERSION,
            "moment": self.moment,
            "comparison": self._comparison.to_json(),
            "since": since,
        }
        return json.dumps(state, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Go on where :meth:`to_json` left.

        Raises
        ------
        DataError : the text is not such a state.
        """
        try:
            state = json.loads(text)
            if (state["kind"], state["version"]) != (_KIND, _VERSION):
                raise ValueError(f"it is of kind {state['kind']}, version {state['version']}")
            moment = None if state["moment"] is None else int(state["moment"])
            comparison, since = state["comparison"], state["since"]
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"this is no state of a ShadowMatch ({error}); what its to_json wrote was expected.") from error
        match = cls.__new__(cls)
        match._comparison = SequentialComparison.from_json(comparison)
        match.champion, match.shadow = match._comparison.names
        match.moment = moment
        match._since = None if since is None else SinceDecided.from_json(since)
        return match


def paired_payoffs(
    champion: pl.DataFrame, shadow: pl.DataFrame
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Payoffs of two versions on the bars that both answered, one a moment.

    Parameters
    ----------
    champion, shadow : outcomes of one version each: ``symbol, ts, payoff`` are read.

    Returns
    -------
    Moments in order of time, milliseconds UTC; the mean payoff over their symbols of the one and of the other.

    Examples
    --------
    >>> one = pl.DataFrame({"symbol": ["A", "B", "A"], "ts": [1, 1, 2], "payoff": [1.0, 3.0, None]})
    >>> two = pl.DataFrame({"symbol": ["A", "B", "A"], "ts": [1, 1, 2], "payoff": [0.0, 1.0, 5.0]})
    >>> [array.tolist() for array in paired_payoffs(one, two)]
    [[1], [2.0], [0.5]]
    """
    columns = ["symbol", "ts", pl.col("payoff").cast(pl.Float64)]
    both = champion.select(columns).join(shadow.select(columns), on=["symbol", "ts"], how="inner", suffix=" beside")
    both = both.drop_nulls(["payoff", "payoff beside"]).sort("ts", "symbol")
    means = both.group_by("ts", maintain_order=True).agg(pl.col("payoff", "payoff beside").mean())
    return means["ts"].to_numpy(), means["payoff"].to_numpy(), means["payoff beside"].to_numpy()
