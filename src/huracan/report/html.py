"""``render_report``: one self-contained HTML page.

The charts are inline SVG, drawn here, with about two hundred lines of plain script for what only a script can do (crosshair,
choosing a symbol, theme). An inlined plotting library would weigh 4.5 MB in every nightly report, draw nothing in a mail
preview or with scripts off, print what happens to be on the screen, and know nothing of light and dark; this page weighs a few
hundred kilobytes, follows the theme through CSS variables, reads well on a phone and on paper, and loads nothing at all:
its content security policy forbids it, and lets no script run but its own, known by hash.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl

from huracan.report import formatting
from huracan.report.charts.bars import gauge, importance_bars
from huracan.report.charts.candles import candle_chart
from huracan.report.charts.curves import drawdown_chart, equity_chart
from huracan.report.charts.reliability import reliability_chart
from huracan.report.comparison_view import comparison_view
from huracan.report.content import ReportContent
from huracan.report.display import MOST_SYMBOLS, REGIMES, most_traded, shown_candles
from huracan.report.page_parts import page_parts
from huracan.report.tables import hold_out_rows, leaderboard_rows, quality_rows, regime_rows

__all__ = ["render_report"]

_WHOLE, _LATEST = 500, 200
_MOST_FEATURES = 20


@dataclass(frozen=True)
class _Meaning:
    """What the verdict comes to: a word for the style sheet, a sign and a phrase."""

    name: str
    sign: str
    phrase: str


_DESERVES = _Meaning("money", "✓", "Deserves money")
_BEATS = _Meaning("skill", "◐", "Beats the baseline, no money")
_KEEP = _Meaning("keep", "–", "Keep the baseline")


def render_report(content: ReportContent) -> str:
    """Write the report as one HTML file that opens without a network.

    Parameters
    ----------
    content : what to say; everything in it is escaped, whatever it holds.

    Returns
    -------
    The page. Candles are drawn for the eight most traded symbols, over the whole span in at most 500 bars and for the last
    200 bars as they are; the page says so.
    """
    board = content.leaderboard
    shown = next((row for row in board.to_dicts() if row["learner"] == content.equity_of), None)
    held_from = content.hold_out.start if content.hold_out else None
    order = [str(name) for name in board["learner"]]
    return page_parts("report.html.j2", "comparison.css").render(
        content=content,
        ab=comparison_view(content.ab_test) if content.ab_test is not None else None,
        meaning=_meaning(content),
        headline=_headline(content.verdict),
        tiles=_tiles(content, shown),
        board=leaderboard_rows(board, content.alpha),
        equity=equity_chart(content.equity, held_from) if content.equity.height > 1 else None,
        drawdown=drawdown_chart(content.equity, held_from) if content.equity.height > 1 else None,
        hold_out=hold_out_rows(content.hold_out, shown) if content.hold_out else None,
        by_regime=regime_rows(content.regime_skill, order, content.alpha) if content.regime_skill.height else None,
        planted=_planted(content),
        importance=importance_bars(content.importance, _MOST_FEATURES),
        n_features=min(_MOST_FEATURES, content.importance.height),
        reliability=reliability_chart(content.calibration) if content.calibration.height else None,
        intervals=_intervals(content),
        market=_market(content),
        quality=quality_rows(content.quality),
        level=content.alpha,
    )


def _intervals(content: ReportContent) -> list[dict[str, str]]:
    """Coverage and width by symbol and year, written."""
    table = content.intervals
    if table is None or table.is_empty():
        return []
    decimals = formatting.suitable_decimals(table["mean_width"].to_list(), least=2)
    return [
        {
            "symbol": row["symbol"],
            "year": str(row["year"]),
            "rows": f"{row['rows']:,}",
            "coverage": formatting.percent(row["coverage"]),
            "width": formatting.number(row["mean_width"], decimals),
        }
        for row in table.iter_rows(named=True)
    ]


def _meaning(content: ReportContent) -> _Meaning:
    if content.champion is None:
        return _KEEP
    return _DESERVES if content.deserves_money else _BEATS


def _headline(verdict: str) -> tuple[str, str]:
    """The verdict cut where its first clause ends, so that the point stands out from the evidence."""
    head, mark, rest = verdict.partition(": ")
    return (head + mark.strip(), rest) if rest and len(head) <= 100 else (verdict, "")


def _tiles(content: ReportContent, shown: dict[str, Any] | None) -> list[dict[str, str]]:
    """The few numbers that stand beside the verdict."""
    tiles = []
    if shown is not None:
        decimals = formatting.suitable_decimals([shown["skill"]], least=2)
        tiles.append(
            {
                "name": "Champion" if shown["crowned"] else "Best learner, not crowned",
                "value": str(shown["learner"]),
                "note": f"rank information coefficient {formatting.number(shown['rank_ic'], 3, signed=True)}",
            }
        )
        tiles.append(
            {
                "name": "Mean payoff a bar",
                "value": formatting.number(shown["skill"], decimals, signed=True),
                "note": f"95 % interval {formatting.bounds(shown['ci_low'], shown['ci_high'], decimals, signed=True)}",
            }
        )
        stayed_out = shown["turnover_per_year"] == 0.0
        sharpe = f"Sharpe {formatting.number(shown['net_sharpe'])}"
        tiles.append(
            {
                "name": "Net return, out of fold",
                "value": "no position" if stayed_out else formatting.percent(shown["net_return"], signed=True),
                "note": "nothing was worth its costs"
                if stayed_out
                else f"{sharpe}, interval {formatting.bounds(shown['sharpe_low'], shown['sharpe_high'], 1)}",
            }
        )
    if content.hold_out is not None:
        look = content.hold_out
        tiles.append(
            {
                "name": "Net return, hold-out",
                "value": formatting.percent(look.net_return, signed=True),
                "note": f"{formatting.moment(look.start, with_hour=False)} to {formatting.moment(look.end, with_hour=False)}",
            }
        )
    if content.planted is not None:
        something = content.planted.attainable_information_coefficient > 0.0
        tiles.append(
            {
                "name": "Planted edge found",
                "value": formatting.percent(content.planted.share_found, 0) if something else "nothing to find",
                "note": "of what can be found in this simulated market" if something else "this simulated market has no edge",
            }
        )
    return tiles


def _planted(content: ReportContent) -> dict[str, Any] | None:
    edge = content.planted
    if edge is None:
        return None
    reached, best = edge.found_information_coefficient, edge.attainable_information_coefficient
    if best > 0.0:
        said = f"{content.equity_of} found {formatting.percent(edge.share_found, 0)} of the planted edge"
    else:
        said = "Nothing was planted that could be found"
    return {
        "said": said + ".",
        "gauge": gauge(edge.share_found, said),
        "reached": formatting.number(reached, 3, signed=True),
        "best": formatting.number(best, 3, signed=True),
        "accuracy": formatting.percent(edge.found_accuracy),
        "best_accuracy": formatting.percent(edge.attainable_accuracy),
    }


def _market(content: ReportContent) -> dict[str, Any]:
    """Two charts a symbol, and how much of the time each regime held."""
    symbols = most_traded(content.candles)
    known = content.regimes.select(pl.col("regime").cast(pl.String)).to_series()
    total = int(known.is_in(REGIMES).sum())
    views = []
    for i, symbol in enumerate(symbols):
        whole = shown_candles(content.candles, content.regimes, symbol, most=_WHOLE)
        latest = shown_candles(content.candles, content.regimes, symbol, most=_LATEST, tail=True)
        views.append({"key": f"s{i}-whole", "symbol": symbol, "said": whole.said, "chart": candle_chart(whole)})
        views.append({"key": f"s{i}-latest", "symbol": symbol, "said": f"last {latest.said}", "chart": candle_chart(latest)})
    return {
        "symbols": symbols,
        "of": content.candles["symbol"].n_unique(),
        "most": MOST_SYMBOLS,
        "views": views,
        "regimes": [(name, formatting.percent(int((known == name).sum()) / total, 0)) for name in REGIMES] if total else [],
    }
