"""``quality_report``: what is unusual or wrong in candles, counted, located and said in a sentence. It changes nothing.

Real markets have gaps, bars without trades and flash crashes; those are notes and warnings, for they happened. Errors
are what cannot have happened: high below low, two bars at one time, January 1970.
"""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from textwrap import shorten
from typing import Any

import numpy as np
import polars as pl

from huracan.errors import NotEnoughData
from huracan.market.segments import written_length
from huracan.market.timestamps import NoteKind, ReadNote
from huracan.preprocessing.quality.as_found import FoundCandles, read_as_found
from huracan.preprocessing.quality.clocks import clocks_agree
from huracan.preprocessing.quality.extremes import extremes, price_scale
from huracan.preprocessing.quality.findings import QualityCheck, Severity, moment, none_found, said_time
from huracan.preprocessing.quality.last_bar import last_bars
from huracan.preprocessing.quality.series import CandleArrays, back_in_time, candle_arrays
from huracan.preprocessing.quality.times import clocks, gaps, grid, order, spans
from huracan.preprocessing.quality.values import impossible, missing_and_absurd, trading
from huracan.preprocessing.quality.venues import other_venue, venue_change

__all__ = ["QualityReport", "quality_report"]

_REPORT_SCHEMA = pl.Schema(
    {
        "name": pl.String(),
        "symbol": pl.String(),
        "count": pl.Int64(),
        "share": pl.Float64(),
        "first_time": pl.Datetime("ms", "UTC"),
        "last_time": pl.Datetime("ms", "UTC"),
        "severity": pl.String(),
        "sentence": pl.String(),
    }
)


@dataclass(frozen=True)
class QualityReport:
    """All findings about one set of candles.

    Attributes
    ----------
    checks : one a symbol for what was found, one without a symbol for what was not. sentence : the summary.
    """

    checks: tuple[QualityCheck, ...]
    sentence: str

    def __repr__(self) -> str:
        return shorten(f"<QualityReport {'ok' if self.ok else 'not ok'}: {self.sentence}", 290, placeholder=" ...") + ">"

    @property
    def ok(self) -> bool:
        """Whether nothing impossible was found; notes and warnings are allowed."""
        return not self.of(Severity.ERROR)

    def of(self, severity: Severity | str) -> tuple[QualityCheck, ...]:
        """The checks of one severity."""
        return tuple(check for check in self.checks if check.severity == Severity(severity))

    def to_frame(self) -> pl.DataFrame:
        """One row a check: ``[name, symbol, count, share, first_time, last_time, severity, sentence]``."""
        rows = [{**_fields(check), "severity": str(check.severity)} for check in self.checks]
        return pl.DataFrame(rows, schema=_REPORT_SCHEMA)

    def to_dict(self) -> dict[str, Any]:
        """Plain values only, times as ISO strings: what :meth:`to_json` writes."""
        rows = [
            {key: value.isoformat() if isinstance(value, dt.datetime) else value for key, value in _fields(check).items()}
            for check in self.checks
        ]
        return {"ok": self.ok, "sentence": self.sentence, "checks": [{**row, "severity": str(row["severity"])} for row in rows]}

    def to_json(self) -> str:
        """The report as JSON."""
        return json.dumps(self.to_dict(), indent=1)


def quality_report(
    candles: Any, *, reference: Any = None, notes: Sequence[ReadNote] = (), now: dt.datetime | None = None
) -> QualityReport:
    """Look at candles and report; nothing is changed, dropped or repaired.

    Parameters
    ----------
    candles : a polars or pandas frame, a file or a folder, or what :func:`read_as_found` made of them. Unlike elsewhere it
        may be unsorted, hold duplicates, nulls, texts, or times in mixed units: those are findings.
    reference : candles of the same symbols from a venue that is trusted, in any of these forms; volume, highs, lows and
        clocks are compared bar by bar.
    notes : what ``ingest_candles`` recognised; each becomes a note of the report.
    now : the clock that future times and open bars are judged by; the default is the present.

    Raises
    ------
    CandleError : there are no times or no closes, or the file cannot be read. NotEnoughData : there are no rows.

    Examples
    --------
    >>> start = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)
    >>> bars = pl.DataFrame({"symbol": "A", "ts": [start + dt.timedelta(hours=h) for h in (0, 1, 2, 5)], "open": 1.0,
    ...                      "high": [2.0, 2.0, 0.5, 2.0], "low": 1.0, "close": [1.0, 2.0, 1.0, 2.0], "volume": 5.0})
    >>> report = quality_report(bars.cast({"ts": pl.Datetime("ms", "UTC")}))
    >>> report.ok, [check.name for check in report.checks if check.severity != "ok"]
    (False, ['high below low', 'open outside range', 'close outside range', 'gaps', 'coverage'])
    """
    clock = dt.datetime.now(dt.UTC) if now is None else now if now.tzinfo else now.replace(tzinfo=dt.UTC)
    found = _found(candles, clock)
    bars = candle_arrays(found.frame)
    sizes = {symbol: rows.stop - rows.start for symbol, rows, _ in bars.parts()}
    checks = [_of_note(note) for note in notes] + list(found.checks)
    checks += order(back_in_time(found.frame), sizes)
    checks += clocks(bars, clock)
    if not any(check.name == "time zone" for check in checks):
        checks.append(none_found("time zone", "times are UTC."))
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):  # impossible values are counted, not computed with
        for look in (impossible, missing_and_absurd, grid, gaps, trading, extremes, price_scale, venue_change, clocks_agree):
            checks += look(bars)
        checks += last_bars(bars, clock, found.files)
        checks += spans(bars)
        if reference is not None:
            checks += other_venue(found.frame, _found(reference, clock).frame)
        if found.twins:
            checks += other_venue(found.frame, found.frame, {apart: symbol for symbol, apart in found.twins})
    return QualityReport(_without_hollow(checks), _summary(bars, checks, found))


def _fields(check: QualityCheck) -> dict[str, Any]:
    return {name: getattr(check, name) for name in _REPORT_SCHEMA}


def _found(candles: Any, now: dt.datetime) -> FoundCandles:
    found = candles if isinstance(candles, FoundCandles) else read_as_found(candles, now=now)
    if found.frame.is_empty():
        raise NotEnoughData("the candles are empty: 0 rows; at least one bar was expected.")
    return found


def _of_note(note: ReadNote) -> QualityCheck:
    """A note of reading; a time column that lies, or a time zone that had to be assumed, wants a look."""
    doubtful = note.kind in (NoteKind.TIME_COLUMN, NoteKind.TIME_ZONE)
    name = "epoch" if note.kind is NoteKind.TIME_COLUMN and "1970" in note.sentence else "reading"
    severity = Severity.WARNING if doubtful else Severity.NOTE
    return QualityCheck(name, None, note.count, 0.0, None, None, severity, note.sentence)


def _without_hollow(checks: Sequence[QualityCheck]) -> tuple[QualityCheck, ...]:
    """Leave out "none" where reading found some: of two checks of one name, the finding speaks."""
    spoken = {check.name for check in checks if check.severity is not Severity.OK}
    return tuple(check for check in checks if check.severity is not Severity.OK or check.name not in spoken or check.symbol)


def _summary(bars: CandleArrays, checks: Iterable[QualityCheck], found: FoundCandles) -> str:
    by = {level: [check for check in checks if check.severity is level] for level in Severity}
    lengths = sorted(written_length(int(bar)) for bar in {int(b) for b in bars.bar if b})
    symbols = len(bars.symbols)
    what = f"{len(bars):,} bar{'s' if len(bars) > 1 else ''} of {' and '.join(lengths) or 'unknown length'}"
    what += f", {symbols} symbol{'s' if symbols > 1 else ''}"
    left_out = f" ({found.rows - len(bars):,} of {found.rows:,} rows have no time or symbol)" if found.rows > len(bars) else ""
    when = f"{said_time(moment(bars.ts.min()))} to {said_time(moment(bars.ts.max()))}"
    errors = by[Severity.ERROR]
    verdict = f"{len(errors)} defect{'s' if len(errors) > 1 else ''}, first {errors[0].sentence}" if errors else "no defect."
    tally = [f"{level.value}s: {_tally(by[level])}" for level in (Severity.WARNING, Severity.NOTE) if by[level]]
    return f"{what}{left_out}, {when}: {'; '.join([*tally, verdict])}"


def _tally(checks: Iterable[QualityCheck]) -> str:
    counts = Counter(check.name for check in checks)
    return ", ".join(f"{name} ({count})" for name, count in counts.most_common())
