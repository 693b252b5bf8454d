"""``RetrainPolicy``: is it time to train the champion again, and why or why not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Literal, get_args

from huracan.errors import DataError
from huracan.mlops.evidence import Evidence, EvidenceKind
from huracan.mlops.policy_history import PolicyHistory
from huracan.mlops.retrain_decision import Decision, RetrainDecision
from huracan.mlops.whole_milliseconds import whole_milliseconds

__all__ = ["DataDriftUse", "RetrainPolicy"]

DataDriftUse = Literal["never", "with_prediction", "alone"]

_DATA = (EvidenceKind.DATA, EvidenceKind.JOINT)


@dataclass(frozen=True)
class _Cause:
    """Why one would retrain: in a sentence, on what evidence, with rows from when."""

    sentence: str
    evidence: tuple[str, ...]
    train_from: int | None
    rows_from: int  # enough labelled rows are needed after this time
    decision: Decision
    hurries: bool = False  # does not wait for the cool-down


@dataclass(frozen=True, kw_only=True)
class RetrainPolicy:
    """When to train a champion again: evidence that persists, enough new rows, a cool-down, a budget, a schedule.

    Skill decides, data drift informs: adjacent weeks of real candles differ in most features although nothing happened to
    the model, so by default drift of the data counts only where the scores drifted with it. ``decide`` reads no clock and no
    database: the same evidence and history give the same answer. The first that holds is the answer:

    1. A challenger is under way: wait.
    2. The champion is shown to have no skill, or its skill fell in ``persistence`` looks, or the data drifted as ``data_drift``
       says: retrain on the rows since the change, once there are ``min_new_rows`` of them.
    3. ``doubling``: the rows since the last change are twice those there were when a retraining was last asked for.
    4. The champion is older than ``max_age_bars``.

    No retraining goes beyond the budget. All but one for want of any skill observe the cool-down. Requests at a later time than
    ``tick`` were made by a clock that was ahead: nobody knows when, so neither counts them, and the reason says so.

    Parameters
    ----------
    skill : whether evidence of lost skill counts.
    data_drift : ``"never"``, ``"with_prediction"`` (only together with drift of the scores), or ``"alone"``.
    persistence : looks in a row that must see fallen skill or drift, at least 1.
    cool_down_bars : bars between two requests, at least.
    min_new_rows : labelled moments since the change, or since the champion's newest row where that is later, at least.
    budget, budget_window_bars : requests in so many bars, at most.
    max_age_bars : bars since the champion's newest row after which it is trained again; ``None``: never for age.
    doubling : train again each time the rows since the last change have doubled.

    Raises
    ------
    DataError : a setting is out of bounds; the message gives its value.

    Examples
    --------
    >>> hour = 3_600_000
    >>> fell = Evidence.of(EvidenceKind.SKILL_FALL, "the skill of btc fell.", name="btc", tick=900 * hour, since=600 * hour)
    >>> history = PolicyHistory(bar=hour, trained_until=0, labelled_until=900 * hour, looks={EvidenceKind.SKILL_FALL: 2})
    >>> decision = RetrainPolicy().decide([fell], history, tick=900 * hour)
    >>> str(decision.decision), decision.train_from == 600 * hour
    ('retrain_full', True)
    >>> decision.reason
    'Retrain on rows from 1970-01-26 00:00 on: the skill of btc fell, 2 looks in a row; 300 labelled rows since.'
    """

    skill: bool = True
    data_drift: DataDriftUse = "with_prediction"
    persistence: int = 2
    cool_down_bars: int = 250
    min_new_rows: int = 250
    budget: int = 8
    budget_window_bars: int = 10_000
    max_age_bars: int | None = None
    doubling: bool = False

    def __post_init__(self) -> None:
        if self.data_drift not in get_args(DataDriftUse):
            raise DataError(f"data_drift is {self.data_drift!r}; 'never', 'with_prediction' or 'alone' was expected.")
        for name in ("skill", "doubling"):
            if not isinstance(getattr(self, name), bool):
                raise DataError(f"{name} is {getattr(self, name)!r}; True or False was expected.")
        smallest = {"persistence": 1, "cool_down_bars": 0, "min_new_rows": 1, "budget": 0, "budget_window_bars": 1}
        for name, least in {**smallest, **({} if self.max_age_bars is None else {"max_age_bars": 1})}.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
                raise DataError(f"{name} is {value!r}; a whole number of at least {least} was expected.")

    def decide(self, evidence: Sequence[Evidence], history: PolicyHistory, *, tick: int) -> RetrainDecision:
        """Answer for one scope at one tick.

        Parameters
        ----------
        evidence : what stands at this tick, of one name; what is dated later, by a clock that was wrong, is not counted, and
            the reason says so. history : of the same scope. tick : now, milliseconds UTC.

        Raises
        ------
        DataError : the tick is no whole number, or something else than evidence of one name was given.
        """
        tick = whole_milliseconds(tick, "the tick is")
        if not isinstance(evidence, Sequence) or not all(isinstance(one, Evidence) for one in evidence):
            raise DataError("evidence is no list of Evidence; what a monitor's or report's evidence() gives was expected.")
        if len(names := sorted({one.name for one in evidence})) > 1:
            raise DataError(f"evidence is of {_joined(names)}; of one name was expected.")
        heard = [
            one for one in evidence if None in (one.version_id, history.version_id) or one.version_id == history.version_id
        ]
        decided = self._decided([one for one in heard if one.tick <= tick], history, tick)
        if not (ahead := sum(one.tick > tick for one in heard)):
            return decided
        return replace(
            decided, reason=f"{decided.reason} (Evidence dated later than now, {ahead} of {len(heard)}, not counted.)"
        )

    def _decided(self, heard: Sequence[Evidence], history: PolicyHistory, tick: int) -> RetrainDecision:
        if history.trained_until is None:
            reason = "Keep: nobody is champion, there is nothing to retrain."
            return RetrainDecision(Decision.KEEP, reason, next_look=tick + history.bar)
        if history.under_way:
            reason = f"Wait: challenger {history.under_way} is under way."
            return RetrainDecision(Decision.WAIT, reason, _ids(heard), ("challenger",), next_look=tick + history.bar)
        cause = self._lost_skill(heard, history) or self._drift(heard, history)
        cause = cause or self._doubled(history, tick) or self._age(history, tick)
        if cause is not None:
            return self._allowed(cause, history, tick)
        return self._unmoved(heard, history, tick)

    def _lost_skill(self, evidence: Sequence[Evidence], history: PolicyHistory) -> _Cause | None:
        """The champion is shown to have none, or less than was promised for long enough."""
        if not self.skill:
            return None
        none = _of(evidence, EvidenceKind.NO_SKILL)
        fell = _of(evidence, EvidenceKind.SKILL_FALL)
        lasting = fell if history.lasts(EvidenceKind.SKILL_FALL, self.persistence) else []
        seen = none + lasting
        if not seen:
            return None
        looks = "" if none else self._seen(EvidenceKind.SKILL_FALL, history)
        return self._change([*none, *fell], seen[0], looks, history, hurries=bool(none))

    def _drift(self, evidence: Sequence[Evidence], history: PolicyHistory) -> _Cause | None:
        """The data drifted, and where it is asked for the scores too, for long enough."""
        if self.data_drift == "never":
            return None
        data = [one for one in _of(evidence, *_DATA) if history.lasts(one.kind, self.persistence)]
        scores = _of(evidence, EvidenceKind.PREDICTION)
        if not data:
            return None
        looks = self._seen(data[0].kind, history)
        if self.data_drift == "alone":
            return self._change(data, data[0], looks, history)
        if not scores or not history.lasts(EvidenceKind.PREDICTION, self.persistence):
            return None
        return self._change([*data, *scores], data[0], f" and the scores with it{looks}", history)

    def _seen(self, kind: EvidenceKind, history: PolicyHistory) -> str:
        """How often a kind was seen, as the end of a sentence."""
        if kind not in history.asked_once:
            return f", {_looks(history.looks[kind])} in a row"
        return ", asked once" + (f" (a Mechanic waits for {self.persistence} looks in a row)" if self.persistence > 1 else "")

    def _change(
        self, found: Sequence[Evidence], first: Evidence, rest: str, history: PolicyHistory, *, hurries: bool = False
    ) -> _Cause:
        assert history.trained_until is not None
        since = max((min(one.since, one.tick) for one in found if one.since is not None), default=None)  # seen, so begun
        warm = history.can_go_on and not hurries
        return _Cause(
            sentence=first.sentence.rstrip(".") + rest,
            evidence=_ids(found),
            train_from=since,
            rows_from=max(history.trained_until, since or 0),  # rows it learned from are not new, change or not
            decision=Decision.RETRAIN_WARM if warm else Decision.RETRAIN_FULL,
            hurries=hurries,
        )

    def _doubled(self, history: PolicyHistory, tick: int) -> _Cause | None:
        """Twice as many rows since the last change as when a retraining was last asked for."""
        change, asked = history.last_change, max(history.requested_by(tick), default=0)
        if not self.doubling or change is None or history.trained_until is None or asked < change:
            return None
        now = history.labelled_since(change)
        before = now - history.labelled_since(asked)
        if now < 2 * before:
            return None
        since = history.written(change)
        sentence = f"the {now} labelled rows since the change of {since} are at least twice the {before} of last time"
        decision = Decision.RETRAIN_WARM if history.can_go_on else Decision.RETRAIN_FULL
        return _Cause(sentence, (), change, history.trained_until, decision)

    def _age(self, history: PolicyHistory, tick: int) -> _Cause | None:
        """The champion is older than allowed."""
        if self.max_age_bars is None or history.trained_until is None:
            return None
        age = (tick - history.trained_until) // history.bar
        if age < self.max_age_bars:
            return None
        sentence = f"the champion's newest row is {age} bars old, {self.max_age_bars} are allowed"
        return _Cause(sentence, (), history.last_change, history.trained_until, Decision.RETRAIN_FULL)

    def _allowed(self, cause: _Cause, history: PolicyHistory, tick: int) -> RetrainDecision:
        """The retraining that a cause asks for, or what it waits for and until when."""
        blocked: dict[str, tuple[str, int]] = {}
        rows = history.labelled_since(cause.rows_from)
        if rows < self.min_new_rows:
            what = f"{rows} of {self.min_new_rows} labelled rows since {history.written(cause.rows_from)} are there"
            blocked["new_rows"] = (what, tick + (self.min_new_rows - rows) * history.bar)
        past = history.requested_by(tick)
        ahead = len(history.requests) - len(past)
        clock = f" ({ahead} asked for at a later time than now, by a clock that was wrong, not counted)" if ahead else ""
        if past and not cause.hurries:
            until = past[-1] + self.cool_down_bars * history.bar
            if tick < until:
                waited = (tick - past[-1]) // history.bar
                what = f"{waited} of {self.cool_down_bars} bars have passed since the last retraining was asked for"
                blocked["cool_down"] = (what, until)
        window = self.budget_window_bars * history.bar
        spent = [at for at in past if at > tick - window]
        if len(spent) >= self.budget:
            what = f"{len(spent)} of {self.budget} retrainings of the last {self.budget_window_bars} bars are used up"
            free = spent[len(spent) - self.budget] + window if self.budget else tick + window
            blocked["budget"] = (what, free)
        if blocked:
            reason = f"Wait, although {cause.sentence}: {_joined(what for what, _ in blocked.values())}{clock}."
            until = max(at for _, at in blocked.values())
            return RetrainDecision(Decision.WAIT, reason, cause.evidence, tuple(blocked), cause.train_from, until)
        what = "Train on" if cause.decision is Decision.RETRAIN_WARM else "Retrain"
        rows_used = "" if cause.train_from is None else f" on rows from {history.written(cause.train_from)} on"
        reason = f"{what}{rows_used}: {cause.sentence}; {rows} labelled rows since{clock}."
        return RetrainDecision(cause.decision, reason, cause.evidence, (), cause.train_from, tick + history.bar)

    def _unmoved(self, evidence: Sequence[Evidence], history: PolicyHistory, tick: int) -> RetrainDecision:
        """Nothing asks for a retraining: because nothing was seen, or it does not count, or not yet."""
        soon = self._too_new(evidence, history)
        following = tick + history.bar
        if soon:
            counts = _joined(f"{kind} was seen in {_looks(history.looks.get(kind, 0))} in a row" for kind in soon)
            reason = f"Wait: {counts}, {self.persistence} are needed."
            ids = _ids([one for one in evidence if one.kind in soon])
            return RetrainDecision(Decision.WAIT, reason, ids, ("persistence",), next_look=following)
        if not evidence:
            return RetrainDecision(Decision.KEEP, "Keep: nothing speaks against the champion.", next_look=following)
        kinds = _joined(dict.fromkeys(str(one.kind) for one in evidence))
        reason = f"Keep: what was seen ({kinds}) does not ask for a retraining by itself."
        return RetrainDecision(Decision.KEEP, reason, _ids(evidence), next_look=following)

    def _too_new(self, evidence: Sequence[Evidence], history: PolicyHistory) -> tuple[EvidenceKind, ...]:
        """Kinds that would count had they been seen in more looks."""
        kinds = {one.kind for one in evidence}
        counted = [EvidenceKind.SKILL_FALL] if self.skill else []
        if self.data_drift == "alone":
            counted += _DATA
        elif self.data_drift == "with_prediction" and EvidenceKind.PREDICTION in kinds and kinds.intersection(_DATA):
            counted += [*_DATA, EvidenceKind.PREDICTION]
        return tuple(kind for kind in counted if kind in kinds and not history.lasts(kind, self.persistence))


def _of(evidence: Iterable[Evidence], *kinds: EvidenceKind) -> list[Evidence]:
    return [one for one in evidence if one.kind in kinds]


def _ids(evidence: Iterable[Evidence]) -> tuple[str, ...]:
    return tuple(one.id for one in evidence)


def _looks(count: int) -> str:
    return f"{count} look" if count == 1 else f"{count} looks"


def _joined(parts: Iterable[str]) -> str:
    parts = list(parts)
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
