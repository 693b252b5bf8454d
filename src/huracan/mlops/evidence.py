"""``Evidence``: one thing that was seen and speaks about a model, in numbers and in a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from huracan.errors import nearest_name
from huracan.mlops.whole_milliseconds import whole_milliseconds

__all__ = ["Evidence", "EvidenceKind", "evidence_id"]


class EvidenceKind(StrEnum):
    """What was seen.

    ``data``, ``joint`` : features are distributed unlike the reference, each for itself or all together. ``prediction`` : the
    scores are. ``calibration`` : probabilities no longer say how often. ``skill_fall`` : payoffs fell below what was promised.
    ``no_skill`` : since the version is in use it is shown to have none. ``age``, ``new_data`` : the schedule. ``columns`` : a
    column is missing or has another type. ``outage`` : candles stopped coming for longer than a few bars. ``artifact`` : a
    version cannot be loaded. ``revised`` : an outcome came twice and was not the same.
    """

    DATA = "data"
    JOINT = "joint"
    PREDICTION = "prediction"
    CALIBRATION = "calibration"
    SKILL_FALL = "skill_fall"
    NO_SKILL = "no_skill"
    AGE = "age"
    NEW_DATA = "new_data"
    COLUMNS = "columns"
    OUTAGE = "outage"
    ARTIFACT = "artifact"
    REVISED = "revised"


def evidence_id(name: str, symbol: str, regime: str, kind: EvidenceKind, tick: int) -> str:
    """The id of what was seen at a tick: the same each time it is looked at, so that writing it twice is writing it once.

    >>> evidence_id("btc", "", "trending", EvidenceKind.DATA, 3_600_000)
    'btc:*:trending:data:3600000'
    """
    return f"{name}:{symbol or '*'}:{regime or '*'}:{kind}:{tick}"


@dataclass(frozen=True)
class Evidence:
    """One thing that was seen.

    Attributes
    ----------
    id : see :func:`evidence_id`. name, symbol, regime : the scope it speaks about; ``""`` means all of them.
    kind : what it is. tick : when it was seen, milliseconds UTC. version_id : of the model it speaks about.
    strong : whether it alone is beyond its error rate; weak evidence only counts when it persists or others join it.
    statistic, p_value, q_value : where it was a test. since : estimated time at which it began, milliseconds UTC.
    sentence : for people. details : plain values, what a page shows.
    """

    id: str
    kind: EvidenceKind
    name: str
    tick: int
    sentence: str
    symbol: str = ""
    regime: str = ""
    version_id: int | None = None
    strong: bool = False
    statistic: float | None = None
    p_value: float | None = None
    q_value: float | None = None
    since: int | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls, kind: EvidenceKind, sentence: str, *, name: str, tick: int, symbol: str = "", regime: str = "", **rest: Any
    ) -> Evidence:
        """Evidence under the id that its scope, kind and tick give.

        Raises
        ------
        UnknownName : there is no such kind. DataError : the tick, or since when, is no whole number.

        Examples
        --------
        >>> Evidence.of(EvidenceKind.AGE, "the model is 91 days old.", name="btc", tick=0).id
        'btc:*:*:age:0'
        """
        try:
            kind = EvidenceKind(kind)
        except ValueError:
            raise nearest_name(str(kind), map(str, EvidenceKind), kind="kind of evidence") from None
        tick = whole_milliseconds(tick, "evidence was seen at")
        if rest.get("since") is not None:
            rest["since"] = whole_milliseconds(rest["since"], "what evidence speaks of began at")
        made = evidence_id(name, symbol, regime, kind, tick)
        return cls(made, kind, name, tick, sentence, symbol=symbol, regime=regime, **rest)
