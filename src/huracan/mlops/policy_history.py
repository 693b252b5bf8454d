"""``PolicyHistory``: what a retraining policy has to know of the past of one model in one scope."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from numbers import Integral

from huracan.errors import DataError
from huracan.mlops.evidence import Evidence, EvidenceKind

__all__ = ["PolicyHistory", "looks_in_a_row", "time_text"]


def time_text(moment: int) -> str:
    """Milliseconds UTC as sentences write a time, beyond the calendar by their number.

    >>> time_text(1_760_000_000_000), time_text(10**17)
    ('2025-10-09 08:53', '100,000,000,000,000,000 ms')
    """
    try:
        return datetime.fromtimestamp(moment / 1000, UTC).strftime("%Y-%m-%d %H:%M")
    except (OSError, OverflowError, ValueError):
        return f"{moment:,} ms"


@dataclass(frozen=True, kw_only=True)
class PolicyHistory:
    """The past of a champion in its scope, in plain values. Times are milliseconds UTC.

    Attributes
    ----------
    bar : length of a bar in milliseconds.
    trained_until : end of the newest label that the champion learned from; ``None`` where nobody is champion.
    labelled_until : end of the newest label known by now.
    version_id : of the champion; evidence about another version does not count.
    last_change : when the market was last found to have changed; the champion learned from rows after it.
    requests : ticks at which a retraining was asked for, whatever came of it.
    looks : how many looks in a row saw a kind of evidence, the present one counted (:func:`looks_in_a_row`).
    under_way : id of a challenger that is asked for, in training or in shadow; ``""`` where there is none.
    can_go_on : whether the champion can be trained further instead of anew (a network that starts warm).
    rows_since : labelled moments after a time, where bars are missing; without it they are counted as if none were.
    asked_once : kinds that one look was taken for and no other will be, as in a run: what it saw counts as if it had lasted.
    written : how sentences write a time; something else where rows are counted instead of milliseconds.

    Raises
    ------
    DataError : the bar has no length, or one that is not in whole milliseconds; what is no list was given for one.

    Examples
    --------
    >>> hour = 3_600_000
    >>> PolicyHistory(bar=hour, trained_until=0, labelled_until=300 * hour).labelled_since(60 * hour)
    240
    """

    bar: int
    trained_until: int | None = None
    labelled_until: int | None = None
    version_id: int | None = None
    last_change: int | None = None
    requests: tuple[int, ...] = ()
    looks: Mapping[EvidenceKind, int] = field(default_factory=dict)
    under_way: str = ""
    can_go_on: bool = False
    rows_since: Callable[[int], int] | None = None
    asked_once: Collection[EvidenceKind] = ()
    written: Callable[[int], str] = time_text

    def __post_init__(self) -> None:
        if isinstance(self.bar, bool) or not isinstance(self.bar, Integral):
            raise DataError(f"a bar is {self.bar!r} ms long; whole milliseconds were expected.")
        object.__setattr__(self, "bar", int(self.bar))
        if not isinstance(self.looks, Mapping):
            raise DataError(f"looks is {self.looks!r}; how many looks saw each kind of evidence was expected, by kind.")
        for what, given in (("requests", self.requests), ("asked_once", self.asked_once)):
            if not isinstance(given, Collection) or isinstance(given, str):
                raise DataError(f"{what} is {given!r}; a list, which may be empty, was expected.")
        if self.bar <= 0:
            raise DataError(f"a bar is {self.bar} ms long; a length above 0 was expected.")

    def requested_by(self, tick: int) -> tuple[int, ...]:
        """Ticks up to ``tick`` at which a retraining was asked for, in order; later ones are of a clock that was ahead.

        >>> PolicyHistory(bar=1, requests=(9, 2, 5)).requested_by(5)
        (2, 5)
        """
        return tuple(sorted(at for at in self.requests if at <= tick))

    def lasts(self, kind: EvidenceKind, persistence: int) -> bool:
        """Whether a kind was seen in so many looks in a row, or no more than one can be taken.

        >>> PolicyHistory(bar=1, looks={EvidenceKind.DATA: 1}).lasts(EvidenceKind.DATA, 2)
        False
        >>> PolicyHistory(bar=1, asked_once={EvidenceKind.DATA}).lasts(EvidenceKind.DATA, 2)
        True
        """
        return kind in self.asked_once or self.looks.get(kind, 0) >= persistence

    def labelled_since(self, moment: int) -> int:
        """Moments after ``moment`` whose label is known."""
        if self.rows_since is not None:
            return self.rows_since(moment)
        return 0 if self.labelled_until is None else max(0, (self.labelled_until - moment) // self.bar)


def looks_in_a_row(
    before: Mapping[EvidenceKind, int], evidence: Iterable[Evidence], *, looked_for: Collection[EvidenceKind]
) -> dict[EvidenceKind, int]:
    """How often in a row each kind was seen, after one more look.

    Parameters
    ----------
    before : what this gave after the look before. evidence : what was seen now.
    looked_for : kinds that were looked for now; those that were not keep their count, since nobody knows.

    Examples
    --------
    >>> seen = [Evidence.of(EvidenceKind.DATA, "ret_1 is higher.", name="btc", tick=0)]
    >>> once = looks_in_a_row({}, seen, looked_for=[EvidenceKind.DATA])
    >>> again = looks_in_a_row(once, [], looked_for=[EvidenceKind.SKILL_FALL])
    >>> int(once[EvidenceKind.DATA]), again[EvidenceKind.DATA], looks_in_a_row(again, [], looked_for=[EvidenceKind.DATA])
    (1, 1, {})
    """
    seen = {one.kind for one in evidence}
    kept = {kind: count for kind, count in before.items() if kind not in looked_for}
    grown = {kind: before.get(kind, 0) + 1 for kind in looked_for if kind in seen}
    return dict(sorted({**kept, **grown}.items()))
