"""``render_quality_page``: what a quality report and an exploration found, as one self-contained HTML page."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl

from huracan.market.schema import LARGEST
from huracan.preprocessing.exploration import Exploration
from huracan.preprocessing.quality import FoundCandles, QualityReport, Severity
from huracan.preprocessing.quality.series import CandleArrays, candle_arrays
from huracan.report import formatting
from huracan.report.charts.coverage import Coverage, coverage_chart
from huracan.report.charts.exploration import (
    autocorrelation_chart,
    correlation_matrix,
    distribution_chart,
    profile_chart,
    volatility_chart,
)
from huracan.report.charts.flagged_price import flagged_price_chart
from huracan.report.display import most_traded, shown_candles
from huracan.report.page_parts import page_parts
from huracan.report.tables import quality_rows

__all__ = ["render_quality_page"]

DRAWN_BARS, DRAWN_GAPS, DRAWN_SYMBOLS, LISTED_SYMBOLS, DRAWN_COLUMNS = 400, 300, 40, 400, 60
"""Caps of what is drawn and listed; the page says where they cut."""

_LANES = ("gaps", "flash crash", "outlier returns", "zero volume", "stale runs")
_NO_REGIMES = pl.DataFrame(schema={"symbol": pl.String, "ts": pl.Datetime("ms", "UTC"), "regime": pl.String})


def render_quality_page(
    found: FoundCandles, report: QualityReport, exploration: Exploration | None, *, title: str, created_at: datetime
) -> str:
    """Write one HTML file that opens without a network, in light and dark, on a phone and on paper.

    Parameters
    ----------
    found, report : the candles as they were found and what was found about them.
    exploration : distributions and dependence; ``None`` where there was nothing to explore, and the page says so.
    title : what the page is about, such as the name of the file. created_at : UTC.
    """
    bars = candle_arrays(found.frame)
    symbols = most_traded(found.frame, DRAWN_SYMBOLS)
    listed = list(bars.symbols)[:LISTED_SYMBOLS]
    return page_parts("quality.html.j2", "quality.css").render(
        title=title,
        created_at=created_at,
        meaning=_meaning(report),
        headline=_headline(report),
        tiles=_tiles(bars, report),
        quality=quality_rows(report),
        coverage=coverage_chart([one for one in _coverage(bars, report) if one.symbol in set(listed)]),
        gaps_drawn=DRAWN_GAPS,
        rows=_symbol_rows(bars, report, exploration, listed),
        symbols=symbols,
        n_symbols=len(bars.symbols),
        n_listed=len(listed),
        views=[_view(found.frame, bars, report, exploration, symbol) for symbol in symbols],
        exploration=exploration,
        stationarity=_stationarity_rows(exploration) if exploration else [],
        features=_feature_rows(exploration) if exploration else [],
        correlation=_correlation(exploration) if exploration else None,
    )


def _meaning(report: QualityReport) -> dict[str, str]:
    if not report.ok:
        return {"name": "bad", "sign": "✕", "phrase": formatting.plural(len(report.of("error")), "defect")}
    if report.of("warning"):
        return {"name": "look", "sign": "◐", "phrase": "No defect, some findings want a look"}
    return {"name": "fine", "sign": "✓", "phrase": "No defect"}


def _headline(report: QualityReport) -> tuple[str, str]:
    """What follows from the findings, and the first of them in full."""
    kinds = {level: list(dict.fromkeys(check.name for check in report.of(level))) for level in Severity}
    if kinds[Severity.ERROR]:
        return f"Not to be computed on as they are: {', '.join(kinds[Severity.ERROR])}.", report.of(Severity.ERROR)[0].sentence
    if kinds[Severity.WARNING]:
        return f"These candles can be computed on. Worth a look before that: {', '.join(kinds[Severity.WARNING])}.", ""
    return "These candles can be computed on, and nothing about them is unusual.", ""


def _tiles(bars: CandleArrays, report: QualityReport) -> list[dict[str, str]]:
    tally = {s: len(report.of(s)) for s in (Severity.ERROR, Severity.WARNING, Severity.NOTE)}
    shares = [check.share for check in report.checks if check.name == "coverage" and check.symbol]
    first, last = (f"{_time(int(t)):%Y-%m-%d %H:%M}" for t in (bars.ts.min(), bars.ts.max()))
    return [
        {"name": "Bars", "value": formatting.count(len(bars)), "note": formatting.plural(len(bars.symbols), "symbol")},
        {"name": "From", "value": first[:10], "note": f"{first[11:]} UTC, to {last} UTC"},
        {"name": "Lowest coverage", "value": formatting.percent(min([1.0, *shares]), 2), "note": f"{len(shares)} with gaps"},
        {
            "name": "Defects",
            "value": formatting.count(tally[Severity.ERROR]),
            "note": ", ".join(formatting.plural(tally[s], s.value) for s in (Severity.WARNING, Severity.NOTE)),
        },
    ]


def _coverage(bars: CandleArrays, report: QualityReport) -> list[Coverage]:
    share = {check.symbol: check.share for check in report.checks if check.name == "coverage"}
    found = []
    for symbol, rows, bar in bars.parts():
        ts, step = bars.ts[rows], bars.step[rows]
        wide = 1 + np.flatnonzero(step[1:] >= 2 * bar) if bar else np.empty(0, np.int64)
        longest = np.sort(wide[np.argsort(-step[wide], kind="stable")[:DRAWN_GAPS]])
        gaps = [((ts[i - 1] + bar) / 1000, ts[i] / 1000) for i in longest]
        found.append(Coverage(symbol, ts[0] / 1000, (ts[-1] + bar) / 1000, gaps, len(wide), share.get(symbol, 1.0)))
    return found


def _symbol_rows(
    bars: CandleArrays, report: QualityReport, exploration: Exploration | None, listed: list[str]
) -> list[dict[str, str]]:
    tally: dict[str, dict[Severity, int]] = defaultdict(lambda: defaultdict(int))
    for check in report.checks:
        if check.symbol is not None:
            tally[check.symbol][check.severity] += 1
    returns = {row["symbol"]: row for row in exploration.returns.iter_rows(named=True)} if exploration else {}
    verdict = {(s, of): v for s, of, v in _verdicts(exploration)}
    made = []
    for symbol, rows, _ in bars.parts():
        if symbol not in listed:
            continue
        row = returns.get(symbol, defaultdict(lambda: None))
        made.append(
            {
                "symbol": symbol,
                "bars": formatting.count(rows.stop - rows.start),
                "first": formatting.moment(_time(int(bars.ts[rows.start]))),
                "last": formatting.moment(_time(int(bars.ts[rows.stop - 1]))),
                "errors": str(tally[symbol][Severity.ERROR]),
                "warnings": str(tally[symbol][Severity.WARNING]),
                "notes": str(tally[symbol][Severity.NOTE]),
                "volatility": formatting.percent(row["annualised_volatility"], 0),
                "kurtosis": formatting.number(row["excess_kurtosis"], 1),
                "left": formatting.number(row["left_index"], 1),
                "left_bounds": formatting.bounds(row["left_low"], row["left_high"], 1),
                "right": formatting.number(row["right_index"], 1),
                "right_bounds": formatting.bounds(row["right_low"], row["right_high"], 1),
                "price": verdict.get((symbol, "log price"), formatting.DASH),
                "return": verdict.get((symbol, "return"), formatting.DASH),
            }
        )
    return made


def _verdicts(exploration: Exploration | None) -> list[tuple[str, str, str]]:
    return list(exploration.stationarity.select("symbol", "series", "verdict").iter_rows()) if exploration else []


def _view(
    frame: pl.DataFrame, bars: CandleArrays, report: QualityReport, exploration: Exploration | None, symbol: str
) -> dict[str, Any]:
    shown = shown_candles(_drawable(bars, symbol), _NO_REGIMES, symbol, most=DRAWN_BARS)
    view: dict[str, Any] = {
        "symbol": symbol,
        "said": shown.said,
        "price": flagged_price_chart(shown, _flags(report, symbol)),
        "distribution": None,
    }
    if exploration is None or symbol not in exploration.returns["symbol"]:
        return view
    mine = pl.col("symbol") == symbol
    row = exploration.returns.row(by_predicate=mine, named=True)
    of_returns = exploration.autocorrelation.filter(mine & (pl.col("of") == "return"))
    return {
        **view,
        "distribution": distribution_chart(exploration.histogram.filter(mine), row["n"]),
        "moments": f"Deviation {formatting.percent(row['deviation'], 3)}, skewness {formatting.number(row['skewness'], 1)}, "
        f"excess kurtosis {formatting.number(row['excess_kurtosis'], 1)}; one return in a thousand is below "
        f"{formatting.percent(row['q0.001'], 2)}, one above {formatting.percent(row['q0.999'], 2)}.",
        "volatility": volatility_chart(exploration.volatility.filter(mine)),
        "profile": profile_chart(exploration.profile.filter(mine)),
        "returns": autocorrelation_chart(of_returns),
        "sizes": autocorrelation_chart(exploration.autocorrelation.filter(mine & (pl.col("of") == "absolute return"))),
        "memory": _memory(of_returns),
    }


def _memory(of_returns: pl.DataFrame) -> str:
    sure = of_returns.filter(pl.col("p_adjusted") < 0.05)["lag"].to_list()
    if not sure:
        return "At no lag is the return's autocorrelation sure after correction."
    at = f"lag{'s' if len(sure) > 1 else ''} {', '.join(map(str, sure))}"
    return f"After correction the return's autocorrelation is sure at {at}."


def _drawable(bars: CandleArrays, symbol: str) -> pl.DataFrame:
    """One symbol's bars whose prices can be drawn, sorted."""
    rows = next(rows for name, rows, _ in bars.parts() if name == symbol)
    values = {name: getattr(bars, name)[rows] for name in ("open", "high", "low", "close", "volume")}
    frame = pl.DataFrame({"ts": pl.Series(bars.ts[rows]).cast(pl.Datetime("ms", "UTC")), **values})
    sound = pl.all_horizontal(pl.col(c).is_between(1 / LARGEST, LARGEST) for c in ("open", "high", "low", "close"))
    return frame.filter(sound).select(
        pl.lit(symbol).alias("symbol"), pl.all().exclude("volume"), pl.col("volume").fill_nan(0.0)
    )


def _flags(report: QualityReport, symbol: str) -> dict[str, tuple[str, list[int]]]:
    """Lanes of findings: defects together, and each of the usual kinds that there is."""
    lanes: dict[str, tuple[str, list[int]]] = {}
    for check in report.checks:
        if check.symbol != symbol or check.severity is Severity.OK:
            continue
        ends = (check.first_time, check.last_time)
        drawn = check.drawn or tuple(round(t.timestamp() * 1000) for t in ends if t is not None)
        name = "defects" if check.severity is Severity.ERROR else check.name if check.name in _LANES else None
        if name is None or not drawn:
            continue
        severity = "error" if name == "defects" else max(lanes.get(name, ("note", []))[0], check.severity.value)
        lanes[name] = (severity, [*lanes.get(name, ("", []))[1], *drawn])
    return {name: lanes[name] for name in ("defects", *_LANES) if name in lanes}


def _stationarity_rows(exploration: Exploration) -> list[dict[str, str]]:
    return [
        {
            "symbol": row["symbol"],
            "series": row["series"],
            "n": formatting.count(row["n"]) + (f" (1 in {row['every']})" if row["every"] > 1 else ""),
            "adf": formatting.number(row["adf"], 2),
            "adf_p": formatting.p_value(row["adf_p_adjusted"]),
            "kpss": formatting.number(row["kpss"], 3),
            "kpss_p": formatting.p_value(row["kpss_p_adjusted"]),
            "verdict": row["verdict"],
        }
        for row in exploration.stationarity.iter_rows(named=True)
    ]


def _feature_rows(exploration: Exploration) -> list[dict[str, str]]:
    verdict = dict(exploration.stationarity.select("series", "verdict").iter_rows())
    return [
        {
            "feature": row["feature"],
            "missing": f"{formatting.count(row['missing'])} ({formatting.percent(row['missing_share'])})",
            "mean": formatting.number(row["mean"], 4),
            "deviation": formatting.number(row["deviation"], 4),
            "smallest": formatting.number(row["smallest"], 4),
            "largest": formatting.number(row["largest"], 4),
            "alike": row["representative"] if row["representative"] != row["feature"] else formatting.DASH,
            "closest": formatting.number(row["max_abs_correlation"], 2),
            "verdict": verdict.get(row["feature"], formatting.DASH),
        }
        for row in exploration.features.iter_rows(named=True)
    ]


def _correlation(exploration: Exploration) -> dict[str, Any] | None:
    names, matrix = exploration.correlation
    if len(names) < 2:
        return None
    cut = min(len(names), DRAWN_COLUMNS)
    return {
        "of": exploration.correlation_of,
        "chart": correlation_matrix(names[:cut], matrix[:cut, :cut]),
        "n": len(names),
        "drawn": cut,
        "clusters": _clusters(exploration.clusters),
    }


def _clusters(clusters: pl.DataFrame) -> list[str]:
    """The members of each cluster of two and more, the largest first."""
    together = clusters.group_by("cluster", maintain_order=True).agg("name", pl.len()).filter(pl.col("len") > 1)
    return [", ".join(names) for names in together.sort("len", descending=True, maintain_order=True)["name"]]


def _time(milliseconds: int) -> datetime:
    return pl.Series([milliseconds]).cast(pl.Datetime("ms", "UTC"))[0]
