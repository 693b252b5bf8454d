"""What preprocessing did to a frame, and the window of rows it learned from."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field

import polars as pl

__all__ = ["FitWindow", "PreprocessingReport"]


@dataclass(frozen=True)
class FitWindow:
    """The rows that everything was learned from: their number and, where known, first and last time."""

    n_rows: int
    first: str | None = None
    last: str | None = None

    def overlaps(self, times: tuple[str, str] | None) -> bool | None:
        """Whether a span of times, first to last, reaches into this window; None where either has no times.

        >>> window = FitWindow(100, "2025-01-01 00:00:00+00:00", "2025-02-01 00:00:00+00:00")
        >>> window.overlaps(("2025-02-01 01:00:00", "2025-03-01 00:00:00")), window.overlaps(("2025-01-31", "2025-03-01"))
        (False, True)
        """
        if self.first is None or self.last is None or times is None:
            return None
        begin, end, first, last = (_moment(text) for text in (self.first, self.last, *times))
        if begin is None or end is None or first is None or last is None:
            return None
        return first <= end and last >= begin


@dataclass(frozen=True)
class PreprocessingReport:
    """Every change made to a frame, counted. Columns without changes are left out.

    Attributes
    ----------
    n_rows : rows of the frame.
    imputed : column -> missing values filled.
    warming_up : column -> values that stay missing because the recipe had too few bars yet: candles were given.
    clipped_low, clipped_high : column -> values raised to the lower, cut to the upper limit.
    notes : column -> what was peculiar about it in the fit window (constant, missing throughout, ...).
    dropped : column -> why it was left out of the result.
    components : component -> its share of the fit window's variance.
    overlaps_fit_window : whether rows of this frame are from the time that was learned from: right for training rows, a
        leak for rows called a test. None where times are not known.
    """

    n_rows: int
    imputed: dict[str, int]
    clipped_low: dict[str, int]
    clipped_high: dict[str, int]
    notes: dict[str, str]
    dropped: dict[str, str] = field(default_factory=dict)
    components: dict[str, float] = field(default_factory=dict)
    warming_up: dict[str, int] = field(default_factory=dict)
    overlaps_fit_window: bool | None = None

    def __repr__(self) -> str:
        counts = (
            ("imputed", "imputed"),
            ("warming_up", "still warming up"),
            ("clipped_low", "raised"),
            ("clipped_high", "cut"),
        )
        done = [(said, getattr(self, name)) for name, said in counts]
        said = [f"{sum(many.values()):,} values of {len(many)} columns {what}" for what, many in done if many]
        said += [f"{len(self.dropped)} columns dropped"] if self.dropped else []
        said += [f"{len(self.components)} components"] if self.components else []
        overlap = {True: "; rows of the fit window among them", False: "; none from the fit window", None: ""}
        what = ", ".join(said) or "nothing was changed"
        return f"<PreprocessingReport of {self.n_rows:,} rows: {what}{overlap[self.overlaps_fit_window]}>"

    def to_frame(self) -> pl.DataFrame:
        """One row per column that something was done to: ``[feature, imputed, warming_up, clipped_low, clipped_high,
        note, dropped]``."""
        kinds = ("imputed", "warming_up", "clipped_low", "clipped_high")
        names = sorted({*self.notes, *self.dropped}.union(*(getattr(self, kind) for kind in kinds)))
        counts = {kind: [getattr(self, kind).get(name, 0) for name in names] for kind in kinds}
        schema = {"feature": pl.String, **dict.fromkeys(counts, pl.Int64), "note": pl.String, "dropped": pl.String}
        said = {"note": [self.notes.get(n) for n in names], "dropped": [self.dropped.get(n) for n in names]}
        return pl.DataFrame({"feature": names, **counts, **said}, schema=schema)


def _moment(text: str) -> float | None:
    """Seconds since 1970, or the number that was written; None for what is neither."""
    try:
        return float(text)
    except ValueError:
        pass
    nanoseconds = text[26:29].isdigit()
    try:
        moment = dt.datetime.fromisoformat(text[:26] + text[29:] if nanoseconds else text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)).timestamp()
