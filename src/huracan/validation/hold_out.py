"""The end of the data, locked away and looked at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from huracan.dataset import TrainingSet
from huracan.errors import DataError, LeakageError, NotEnoughData
from huracan.validation.row_times import Embargo, RowTimes

__all__ = ["HoldOut", "lock_hold_out"]


@dataclass(eq=False)
class HoldOut:
    """The most recent rows, which give themselves out once; made by :func:`lock_hold_out`.

    Attributes
    ----------
    start, end : first and last decision time held out. n_rows : how many rows.
    n_purged : development rows given up because their label, or the embargo, reaches into the hold-out.
    reason : what it was opened for; None while it is locked.
    """

    start: np.datetime64
    end: np.datetime64
    n_rows: int
    n_purged: int
    reason: str | None = None
    _rows: TrainingSet = field(repr=False, kw_only=True)

    @property
    def is_open(self) -> bool:
        """Whether it has been used up."""
        return self.reason is not None

    def open(self, reason: str) -> TrainingSet:
        """Return the rows; the first time only.

        Parameters
        ----------
        reason : what they are used for, kept in :meth:`state`.

        Raises
        ------
        LeakageError : they were looked at before; a second look would be chosen by what the first one showed.
        """
        if not reason.strip():
            raise DataError("the hold-out is opened for no reason; one sentence was expected.")
        if self.reason is not None:
            raise LeakageError(
                f"the hold-out from {self.start} to {self.end} was opened before, for '{self.reason}'; it opens once."
            )
        self.reason = reason
        return self._rows

    def state(self) -> dict[str, Any]:
        """What to keep between runs, as plain JSON values: which rows, and whether they were looked at."""
        return {
            "start": str(self.start),
            "end": str(self.end),
            "n_rows": self.n_rows,
            "data_hash": self._rows.data_hash(),
            "reason": self.reason,
        }


def lock_hold_out(
    training_set: TrainingSet, share: float = 0.15, *, embargo: Embargo = 0, state: dict[str, Any] | None = None
) -> tuple[TrainingSet, HoldOut]:
    """Lock away the most recent share of the times, for one honest look at the end.

    Parameters
    ----------
    training_set : all rows.
    share : of the decision times, between 0 and 1.
    embargo : further distance: bars (int), share of all times (float), or a timedelta.
    state : what :meth:`HoldOut.state` gave in an earlier run on the same rows; an opened hold-out stays opened.

    Returns
    -------
    development : the rows whose label ends before the hold-out begins. hold_out : the rest, locked.

    Raises
    ------
    NotEnoughData : nothing is left to develop on. DataError : ``state`` belongs to other rows.

    Examples
    --------
    >>> rows = TrainingSet.from_arrays(np.zeros((100, 1)), np.arange(100), label_horizon=3)
    >>> development, hold_out = lock_hold_out(rows, share=0.2)
    >>> len(development), hold_out.n_rows, hold_out.n_purged, len(hold_out.open("final report"))
    (77, 20, 3, 20)
    """
    if not 0.0 < share < 1.0:
        raise DataError(f"share is {share}; a share between 0 and 1 was expected.")
    times = RowTimes.of(training_set)
    first = times.n_times - max(1, int(np.ceil(share * times.n_times - 1e-9)))
    cut = int(times.first_rows[first])
    limit = int(times.decision[cut]) - times.embargo_length(embargo) if cut < len(times) else 0
    kept = np.flatnonzero(times.label_end[:cut] < limit)
    if not len(kept):
        raise NotEnoughData(
            f"holding out {share:.0%} of {times.n_times} times leaves no row whose label ends before {times.moment(limit)}; "
            "use a smaller share, a shorter label or embargo, or more rows."
        )
    together = int(kept[-1]) + 1 == len(kept)
    development = training_set.take(slice(0, len(kept)) if together else kept)
    held = training_set.take(slice(cut, None))
    hold_out = HoldOut(held.decision_time[0], held.decision_time[-1], len(held), cut - len(kept), _rows=held)
    if state is not None:
        mine = hold_out.state()
        for key in ("start", "end", "n_rows", "data_hash"):
            if state.get(key) != mine[key]:
                raise DataError(f"the state of the hold-out says {key} {state.get(key)}, these rows have {mine[key]}.")
        hold_out.reason = state.get("reason")
    return development, hold_out
