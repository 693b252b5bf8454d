"""``quality_report``: what is unusual or wrong in candles, counted, located and said in a sentence. It changes nothing.

Real markets have gaps, bars without trades and flash crashes; those are notes and warnings, for they happened. Errors
are what cannot have happened: high below low, two bars at one time, January 1970.
"""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import polars as pl

from huracan.errors import CandleError, NotEnoughData
from huracan.market.columns import missing_column
from huracan.market.schema import CANDLE_SCHEMA, written_time
from huracan.market.segments import written_length
from huracan.market.timestamps import ReadNote
from huracan.preprocessing.quality_checks import grid, impossible, other_venue, spans, times_as_found, trading
from huracan.preprocessing.quality_extremes import extremes
from huracan.preprocessing.quality_findings import QualityCheck, Severity, said_time

__all__ = ["QualityCheck", "QualityReport", "Severity", "quality_report"]


_BELIEVED = 280 * 365 * 86_400_000
"""Times further than this from 1970 are refused."""

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

    @property
    def ok(self) -> bool:
        """Whether nothing impossible was found; notes and warnings are allowed."""
        return not self.of(Severity.ERROR)

    def of(self, severity: Severity | str) -> tuple[QualityCheck, ...]:
        """The checks of one severity."""
        return tuple(check for check in self.checks if check.severity == Severity(severity))

    def to_frame(self) -> pl.DataFrame:
        """One row a check: ``[name, symbol, count, share, first_time, last_time, severity, sentence]``."""
        rows = [{**asdict(check), "severity": str(check.severity)} for check in self.checks]
        return pl.DataFrame(rows, schema=_REPORT_SCHEMA)

    def to_dict(self) -> dict[str, Any]:
        """Plain values only, times as ISO strings: what :meth:`to_json` writes."""
        rows = [
            {key: value.isoformat() if isinstance(value, dt.datetime) else value for key, value in asdict(check).items()}
            for check in self.checks
        ]
        return {"ok": self.ok, "sentence": self.sentence, "checks": [{**row, "severity": str(row["severity"])} for row in rows]}

    def to_json(self) -> str:
        """The report as JSON."""
        return json.dumps(self.to_dict(), indent=1)


def quality_report(
    candles: pl.DataFrame,
    *,
    reference: pl.DataFrame | None = None,
    notes: Sequence[ReadNote] = (),
    now: dt.datetime | None = None,
) -> QualityReport:
    """Look at candles and report; nothing is changed, dropped or repaired.

    Parameters
    ----------
    candles : frame with the columns of ``CANDLE_SCHEMA``. Unlike elsewhere it may be unsorted, hold duplicates or
        impossible prices: those are findings.
    reference : candles of the same symbols from a venue that is trusted; volume, highs and lows are compared bar by bar.
    notes : what ``ingest_candles`` recognised; each becomes a note of the report.
    now : the clock that future times are judged by; the default is the present.

    Raises
    ------
    CandleError : a column is missing, or is not of a type that candles have. NotEnoughData : there are no rows.

    Examples
    --------
    >>> start = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)
    >>> bars = pl.DataFrame({"symbol": "A", "ts": [start + dt.timedelta(hours=h) for h in (0, 1, 2, 5)], "open": 1.0,
    ...                      "high": [2.0, 2.0, 0.5, 2.0], "low": 1.0, "close": [1.0, 2.0, 1.0, 2.0], "volume": 5.0})
    >>> report = quality_report(bars)
    >>> report.ok, [check.name for check in report.checks if check.severity != "ok"]
    (False, ['high below low', 'open outside range', 'close outside range', 'gaps', 'coverage'])
    """
    frame, zone = _prepared(candles)
    checks = [QualityCheck("reading", None, note.count, 0.0, None, None, Severity.NOTE, note.sentence) for note in notes]
    clock = dt.datetime.now(dt.UTC) if now is None else now if now.tzinfo else now.replace(tzinfo=dt.UTC)
    checks += times_as_found(frame, zone, clock)
    frame = _measured(frame.sort("symbol", "ts", maintain_order=True))
    checks += impossible(frame)
    checks += grid(frame)
    checks += trading(frame)
    checks += extremes(frame)
    checks += spans(frame)
    if reference is not None:
        checks += other_venue(frame, _prepared(reference)[0])
    return QualityReport(tuple(checks), _summary(frame, checks))


def _prepared(candles: pl.DataFrame) -> tuple[pl.DataFrame, str | None]:
    """Columns in canonical types, rows as they came; the time zone that was found."""
    if not isinstance(candles, pl.DataFrame):
        raise CandleError(f"candles are a {type(candles).__name__}; a polars DataFrame was expected (read_candles makes one).")
    for name in CANDLE_SCHEMA:
        if name not in candles.columns:
            raise missing_column(name, candles.columns, where="the frame")
    if candles.is_empty():
        raise NotEnoughData("the candles are empty: 0 rows; at least one bar was expected.")
    kind = candles.schema["ts"]
    if not isinstance(kind, pl.Datetime):
        raise CandleError(f"column 'ts' is {kind}; {CANDLE_SCHEMA['ts']} was expected (read_candles converts).")
    for name in CANDLE_SCHEMA.names()[2:]:
        if not candles.schema[name].is_numeric():
            raise CandleError(f"column '{name}' is {candles.schema[name]}; numbers were expected (read_candles converts).")
    if not isinstance(candles.schema["symbol"], (pl.String, pl.Categorical, pl.Enum)):
        raise CandleError(f"column 'symbol' is {candles.schema['symbol']}; names were expected (read_candles converts).")
    for name in ("symbol", "ts"):
        if candles[name].null_count():
            raise CandleError(f"column '{name}' is empty in row {candles[name].is_null().arg_max()}; every bar needs it.")
    ts = pl.col("ts").cast(pl.Datetime("ms", kind.time_zone))
    ts = ts.dt.convert_time_zone("UTC") if kind.time_zone else ts.dt.replace_time_zone("UTC")
    numbers = [pl.col(name).cast(pl.Float64) for name in CANDLE_SCHEMA.names()[2:]]
    frame = candles.select(pl.col("symbol").cast(pl.String), ts, *numbers)
    beyond = frame.filter(pl.col("ts").dt.epoch("ms").abs() > _BELIEVED)
    if beyond.height:
        since = beyond["ts"].dt.epoch("ms")[0]
        raise CandleError(f"{beyond['symbol'][0]}: {written_time(since)} ({beyond.height} rows) is no time of a candle.")
    return frame, kind.time_zone


def _measured(frame: pl.DataFrame) -> pl.DataFrame:
    """Add what every check reads: bar length, step, move and range, none of them across a gap."""
    same = (pl.col("symbol") == pl.col("symbol").shift(1)).fill_null(False)
    frame = frame.with_columns(pl.when(same).then(pl.col("ts").diff().dt.total_milliseconds()).alias("step"))
    steps = frame.filter(pl.col("step") > 0).group_by("symbol", "step").len().sort(["len", "step"], descending=[True, False])
    frame = frame.join(
        steps.unique("symbol", keep="first").select("symbol", bar="step"), on="symbol", how="left", maintain_order="left"
    )
    price = pl.when((pl.col("close") > 0) & pl.col("close").is_finite()).then(pl.col("close"))
    flat = (pl.col("high") == pl.col("low")) & (pl.col("open") == pl.col("close")) & (pl.col("open") == pl.col("high"))
    return frame.with_columns(
        pl.when(pl.col("step") == pl.col("bar")).then((price / price.shift(1)).log().abs()).alias("move"),
        flat.fill_null(False).alias("flat"),
        (flat & same & (pl.col("close") == pl.col("close").shift(1))).fill_null(False).alias("still"),
    )


def _summary(frame: pl.DataFrame, checks: Iterable[QualityCheck]) -> str:
    by = {level: [check for check in checks if check.severity is level] for level in Severity}
    lengths = sorted(written_length(bar) for bar in frame["bar"].drop_nulls().unique())
    symbols = frame["symbol"].n_unique()
    what = f"{frame.height:,} bars of {' and '.join(lengths) or 'unknown length'}, {symbols} symbol{'s' if symbols > 1 else ''}"
    when = f"{said_time(frame['ts'].min())} to {said_time(frame['ts'].max())}"
    errors = by[Severity.ERROR]
    verdict = f"{len(errors)} defect{'s' if len(errors) > 1 else ''}, first {errors[0].sentence}" if errors else "no defect."
    tally = [f"{level.value}s: {_tally(by[level])}" for level in (Severity.WARNING, Severity.NOTE) if by[level]]
    return f"{what}, {when}: {'; '.join([*tally, verdict])}"


def _tally(checks: Iterable[QualityCheck]) -> str:
    counts = Counter(check.name for check in checks)
    return ", ".join(f"{name} ({count})" for name, count in counts.most_common())
