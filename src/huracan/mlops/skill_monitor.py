"""``SkillMonitor``: does a version in use still earn what it promised, told from payoffs as they become known."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any, Self

import numpy as np
from scipy.optimize import brentq

from huracan.errors import DataError
from huracan.mlops.evidence import Evidence, EvidenceKind
from huracan.mlops.live_expectation import LiveExpectation
from huracan.mlops.policy_history import time_text
from huracan.statistics.sample_checks import p_value_text
from huracan.statistics.sequential_mean import SequentialMean, read_state

__all__ = ["SkillMonitor", "alarm_threshold"]

_KIND = "huracan.SkillMonitor"
_VERSION = 1
_SETTINGS = ("expected", "spread", "run_length", "skill", "name")
_STATE = ("fallen", "missing", "moment", "since", "n_since", "total_since", "total", "review_at")
_HIDDEN = ("since", "n_since", "total_since", "total", "review_at")
_FIRST_REVIEW = 125
_HALF_OF_ALL = 0.6744897501960817  # standard deviations that the 50 % interval reaches
_HUGE = 1e100
_OVERSHOOT = 1.166
"""Twice the mean by which a sum of standard normal steps jumps over a far line (Siegmund 1985, section 10.2)."""


class SkillMonitor:
    """Watch the payoffs of one version in one scope, one a moment, and say when its skill has fallen or was never there.

    Two looks at the same payoffs:

    * **fallen**: the CUSUM of Page (1954) towards lower with target ``expected`` and slack half of it, which finds a fall to
      nothing soonest and a flip of the sign three times as fast. ``S = max(0, S + (expected / 2 - payoff) / spread)`` is an
      alarm beyond a threshold that is passed once in ``run_length`` moments while the skill is as expected. The change is dated
      to the last moment at which ``S`` was 0. Unlike :class:`huracan.mlops.Cusum` the sum goes on after the alarm: the evidence
      stands until what was lost is made up for (``S`` is 0 again), so that it may be asked whether it persists.
    * **no skill**: since the version is in use its mean payoff is shown to be below 0, at error rate ``alpha`` for all looks
      together (:class:`huracan.statistics.SequentialMean`).

    Where ``skill`` is given, what is expected follows what is earned: whenever nothing is missing, and a quarter more moments
    than last time are known, the payoffs out of fold and live are taken together, and ``expected`` is the lower end of their
    50 % interval. A version that was judged on few rows is so watched more closely as more is known: judged on 165 moments of
    mean .2, a flip after 1,500 is found after 88 moments in the median and 150 in nine of ten cases, instead of 110 and 285
    (200 lives).

    With .2 expected, a spread of 1 and one false alarm in 20,000 moments, a fall to 0 is found after 250 moments on average, a
    flip after 95.

    Parameters
    ----------
    expected : mean payoff a moment that was promised (:attr:`LiveExpectation.expected`); at 0 or below only the second look
        is taken. spread : long-run standard deviation of a moment's payoff, above 0.
    run_length : moments to a false alarm of the first look, on average; at least 20.
    alpha : chance that the second look ever errs. first_look : moments before it first looks, at least 60.
    skill : mean payoff and number of moments of which ``expected`` is the lower end; without it ``expected`` stays.
    name : what sentences call the version. written : how they write a moment; not kept in JSON.

    Raises
    ------
    DataError : a setting is out of bounds.

    References
    ----------
    Page (1954), Biometrika 41; Siegmund (1985), Sequential Analysis, section 10.2 (the threshold).

    Examples
    --------
    >>> import numpy as np
    >>> payoff = np.random.default_rng(0).standard_normal(700)
    >>> payoff[:400] += 0.2
    >>> payoff[400:] -= 0.2
    >>> watch = SkillMonitor(expected=0.2, spread=1.0, name="btc v3")
    >>> for bar, value in enumerate(payoff):
    ...     if watch.update(value, moment=bar * 3_600_000).fallen:
    ...         break
    >>> bar, watch.changed_at // 3_600_000
    (493, 380)
    >>> watch.sentence
    'the skill of btc v3 fell: 0.2 a moment was to be expected, since 1970-01-16 20:00 it is -0.155 over 114 moments (one such
    alarm in 20000 moments is false).'
    >>> SkillMonitor.from_json(watch.to_json()).sentence == watch.sentence
    True
    """

    def __init__(
        self,
        *,
        expected: float,
        spread: float,
        run_length: float = 20_000,
        alpha: float = 0.01,
        first_look: int = 240,
        skill: tuple[float, int] | None = None,
        name: str = "the model",
        written: Callable[[int], str] = time_text,
    ) -> None:
        for what, value, least in (
            ("expected", expected, -math.inf),
            ("spread", spread, 0.0),
            ("run_length", run_length, 19.99),
        ):
            if (
                isinstance(value, bool)
                or not isinstance(value, (int, float, np.integer, np.floating))
                or not math.isfinite(value)
                or value <= least
            ):
                bound = "a finite number" if least == -math.inf else f"a number above {math.floor(least):g}"
                raise DataError(f"{what} is {value!r}; {bound} was expected.")
        if not math.isfinite(float(expected) / float(spread)):
            raise DataError(f"spread is {spread!r}, and {expected!r} is expected; a spread nearer to it was expected.")
        if skill is not None and not _is_known(skill):
            raise DataError(f"skill is {skill!r}; a finite mean and the number of moments it rests on were expected.")
        #: mean payoff a moment that can be counted on, by what is known now
        self.expected = float(expected)
        self.spread = float(spread)
        self.run_length = float(run_length)
        self.skill = None if skill is None else (float(skill[0]), int(skill[1]))
        self.name = name
        self.written = written
        #: whether the skill has fallen, and what was lost since is not made up for
        self.fallen = False
        #: the sum of what is missing to half the expected skill, in units of ``spread``
        self.missing = 0.0
        #: the latest moment taken
        self.moment: int | None = None
        self._watch = SequentialMean(0.0, alternative="less", alpha=alpha, first_look=first_look, name=f"the payoff of {name}")
        self._threshold = self._line()
        self._since: int | None = None
        self._n_since, self._total_since, self._total = 0, 0.0, 0.0
        self._review_at = _FIRST_REVIEW

    @classmethod
    def of(cls, promised: LiveExpectation, **settings: Any) -> SkillMonitor:
        """The monitor of a version that promised this; ``settings`` as of the class."""
        known = math.isfinite(promised.skill.error)
        skill = (promised.skill.mean, promised.skill.n) if known else None
        return cls(expected=promised.expected, spread=promised.spread, skill=skill, **settings)

    @property
    def n(self) -> int:
        """Moments taken."""
        return self._watch.n

    @property
    def has_no_skill(self) -> bool:
        """Whether the mean payoff since the version is in use is shown to be below 0."""
        return self._watch.decision is not None

    @property
    def threshold(self) -> float:
        """What ``missing`` has to exceed; infinite where no skill was promised."""
        return self._threshold

    @property
    def changed_at(self) -> int | None:
        """Where the skill has fallen, the estimated first moment of the fall; else ``None``."""
        return self._since if self.fallen else None

    def update(self, payoff: float, *, moment: int) -> Self:
        """Take the payoff of the next moment.

        Parameters
        ----------
        payoff : mean over the symbols that had one. moment : open of the bar it was earned on, milliseconds UTC, later than the
            one before: payoffs come in the order of their bars, each after its ``label_end`` has passed.

        Raises
        ------
        DataError : the payoff is not finite, or the moment not later; nothing was taken.
        """
        if isinstance(moment, bool) or not isinstance(moment, int | np.integer):
            raise DataError(f"the moment of a payoff of {self.name} is {moment!r}; whole milliseconds UTC were expected.")
        moment = int(moment)
        try:
            value = float(payoff)
        except (TypeError, ValueError):
            raise DataError(f"the payoff of {self.name} is {payoff!r}; a finite number was expected.") from None
        if self.moment is not None and moment <= self.moment:
            raise DataError(
                f"the payoff of {self.name} at {self.written(moment)} came after that of {self.written(self.moment)}; moments "
                "ascend."
            )
        self._watch.update(value)  # refuses what is not finite
        self.moment = moment
        if self.missing == 0.0:
            self._since, self._n_since, self._total_since = moment, 0, 0.0
        self._n_since += 1
        self._total_since += value
        self._total += value
        self.missing = max(0.0, self.missing + (self.expected / 2 - value) / self.spread) if self.expected > 0 else 0.0
        self.fallen = self.missing > self._threshold or (self.fallen and self.missing > 0.0)
        if self.missing == 0.0 and self.skill is not None and self.n >= self._review_at:
            self._review(*self.skill)
        return self

    @property
    def sentence(self) -> str:
        """What is known, in a sentence or two."""
        known = " ".join(sentence for sentence in (self._none_sentence(), self._fall_sentence()) if sentence)
        return known or f"Nothing speaks against the skill of {self.name} after {self.n} moments."

    def evidence(
        self, *, name: str, tick: int, symbol: str = "", regime: str = "", version_id: int | None = None
    ) -> tuple[Evidence, ...]:
        """What stands at this tick, of kinds ``no_skill`` and ``skill_fall``; each is beyond its error rate alone."""
        found = []
        scope: dict[str, Any] = {"name": name, "tick": tick, "symbol": symbol, "regime": regime, "version_id": version_id}
        if self.has_no_skill:
            look = self._watch.look
            details: dict[str, Any] = {"n": self.n, "mean": look.mean if look else None, "alpha": self._watch.alpha}
            seen: dict[str, Any] = {"statistic": look.t if look else None, "p_value": self._watch.p_value, "details": details}
            found.append(Evidence.of(EvidenceKind.NO_SKILL, self._none_sentence(), strong=True, **seen, **scope))
        if self.fallen:
            details = {"expected": self.expected, "n": self._n_since, "mean": self._total_since / self._n_since}
            details |= {"threshold": self._threshold, "run_length": self.run_length}
            seen = {"statistic": self.missing, "since": self._since, "details": details}
            found.append(Evidence.of(EvidenceKind.SKILL_FALL, self._fall_sentence(), strong=True, **seen, **scope))
        return tuple(found)

    def to_json(self) -> str:
        """Settings and the whole state; :meth:`from_json` goes on from it to the same bits."""
        state = {name: getattr(self, name) for name in _SETTINGS}
        state |= {name: getattr(self, f"_{name}" if name in _HIDDEN else name) for name in _STATE}
        return json.dumps({"kind": _KIND, "version": _VERSION, **state, "watch": self._watch._state()}, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> SkillMonitor:
        """Go on where :meth:`to_json` left.

        Raises
        ------
        DataError : the text is not such a state, or its numbers do not fit together.
        """
        return read_state(text, "SkillMonitor", cls._from_state)

    @classmethod
    def _from_state(cls, state: dict[str, Any]) -> SkillMonitor:
        if (state["kind"], state["version"]) != (_KIND, _VERSION):
            raise ValueError(f"it is of kind {state['kind']}, version {state['version']}")
        watch = SequentialMean._from_state(state["watch"])
        monitor = cls(alpha=watch.alpha, first_look=watch.first_look, **{name: state[name] for name in _SETTINGS})
        for name in _STATE:
            setattr(monitor, f"_{name}" if name in _HIDDEN else name, state[name])
        if (
            not 0.0 <= monitor.missing < math.inf
            or not 0 <= monitor._n_since <= watch.n
            or (monitor.moment is None) != (watch.n == 0)
        ):
            raise ValueError(f"{monitor._n_since} of {watch.n} moments miss {monitor.missing}")
        monitor._watch = watch
        return monitor

    def _review(self, mean: float, n: int) -> None:
        """Expect what out of fold and live payoffs say together; up to now nothing is missing."""
        together = n + self.n
        low = (n * mean + self._total) / together - _HALF_OF_ALL * self.spread / math.sqrt(together)
        self.expected = max(0.0, low)
        self._threshold = self._line()
        self._review_at = self.n + max(_FIRST_REVIEW, self.n // 4)

    def _line(self) -> float:
        if self.expected <= 0.0:
            return math.inf
        return alarm_threshold(self.expected / (2 * self.spread), self.run_length)

    def _none_sentence(self) -> str:
        look = self._watch.look
        if not self.has_no_skill or look is None:
            return ""
        mean = f"{look.mean:.3g} over {look.n} moments, {p_value_text(self._watch.p_value)}"
        return f"{self.name} is shown to have no skill since it is in use: its mean payoff is below 0 ({mean})."

    def _fall_sentence(self) -> str:
        if not self.fallen or self._since is None:
            return ""
        now = f"since {self.written(self._since)} it is {self._total_since / self._n_since:.3g} over {self._n_since} moments"
        false = f"one such alarm in {self.run_length:.0f} moments is false"
        return f"the skill of {self.name} fell: {self.expected:.3g} a moment was to be expected, {now} ({false})."


def _is_known(skill: Any) -> bool:
    try:
        mean, n = skill
        return math.isfinite(mean) and n >= 1
    except (TypeError, ValueError):
        return False


def alarm_threshold(slack: float, run_length: float) -> float:
    """The line that a CUSUM of standard normal steps, less ``slack``, passes once in ``run_length`` steps.

    Siegmund's formula, ``run_length = (exp(2 slack b) - 2 slack b - 1) / (2 slack^2)`` with ``b`` the line and the overshoot.
    It costs nothing, where a simulation takes seconds, and errs on the safe side: at skills of .05 to .3 a moment and 2,000
    moments wanted, the realised run length is 1 to 1.1 times that for independent payoffs, up to 1.3 times for t(3), and 1 to
    1.7 times for AR(.5), AR(.9) and labels that overlap by 5: so small a slack averages over many moments.

    Examples
    --------
    >>> [round(alarm_threshold(0.5, run_length), 1) for run_length in (336, 930)]  # Montgomery (2009), table 9.3: 4 and 5
    [4.0, 5.0]
    """

    wanted = 2.0 * slack * slack * run_length  # of exp(u) - u - 1, with u = 2 slack b
    if wanted > _HUGE:
        u = math.log(2.0 * run_length) + 2.0 * math.log(slack)
    else:
        most = max(2.0, math.log1p(2.0 * wanted))  # exp(u) - u - 1 is at least .59 exp(u) from 2 on
        u = float(brentq(lambda u: math.expm1(u) - u - wanted, 0.0, most, xtol=1e-18))
    return max(0.0, u / (2.0 * slack) - _OVERSHOOT)
