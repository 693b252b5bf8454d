"""The page: complete, harmless, self-contained, small, quick, and whole in a browser."""

from __future__ import annotations

import dataclasses
import html
import json
import math
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from huracan.preprocessing.quality import quality_report
from huracan.report import HoldOutResult, PlantedEdge, ReportContent, render_report

START = datetime(2025, 1, 1, tzinfo=UTC)
REGIMES = ("trending", "ranging", "volatile", "illiquid")
LEARNERS = ("ridge", "lightgbm", "majority")
HOSTILE = "<script>document.title='owned'</script>\"'&"


def candles_of(symbols: tuple[str, ...], n_bars: int) -> pl.DataFrame:
    """Random walks, hourly."""
    rng = np.random.default_rng(0)
    ts = pl.datetime_range(START, START + timedelta(hours=n_bars - 1), "1h", time_unit="ms", eager=True)
    frames = []
    for symbol in symbols:
        close = 100.0 * np.exp(np.cumsum(rng.normal(0, 0.01, n_bars)))
        opened = np.concatenate([[100.0], close[:-1]])
        high, low = np.maximum(opened, close) * 1.002, np.minimum(opened, close) * 0.998
        frames.append(
            pl.DataFrame(
                {"ts": ts, "open": opened, "high": high, "low": low, "close": close, "volume": rng.gamma(2.0, 5.0, n_bars)}
            )
            .with_columns(pl.lit(symbol).alias("symbol"))
            .select("symbol", "ts", "open", "high", "low", "close", "volume")
        )
    return pl.concat(frames)


def board_of(learners: tuple[str, ...], champion: str | None) -> pl.DataFrame:
    """A leaderboard whose last learner says a constant: nulls where nothing applies."""
    rows: list[dict[str, Any]] = []
    for i, learner in enumerate(learners):
        says = i < len(learners) - 1
        skill = 0.08 - 0.03 * i
        rows.append(
            {
                "learner": learner,
                "task": "regression" if says else "rule",
                "rank_ic": 0.05 if says else None,
                "skill": skill if says else None,
                "ci_low": skill - 0.04 if says else None,
                "ci_high": skill + 0.04 if says else None,
                "p_value": 0.001 if says else None,
                "p_adjusted": 0.01 if says else None,
                "accuracy": 0.53,
                "auc": 0.54 if says else None,
                "net_return": 0.21 if says else 0.0,
                "net_sharpe": 1.4 if says else 0.0,
                "sharpe_low": 0.2 if says else 0.0,
                "sharpe_high": 2.6 if says else 0.0,
                "max_drawdown": -0.07 if says else 0.0,
                "turnover_per_year": 812.0 if says else 0.0,
                "break_even_bps": (9.0 - 12.0 * i) if says else None,
                "train_rows": 12_000,
                "fit_seconds": 1.5,
                "crowned": learner == champion,
            }
        )
    kinds = {"learner": pl.String, "task": pl.String, "train_rows": pl.Int64, "crowned": pl.Boolean}
    return pl.DataFrame(rows, schema={name: kinds.get(name, pl.Float64) for name in rows[0]})


def content_of(
    *, symbols: tuple[str, ...] = ("BTC-USDT", "ETH-USDT"), n_bars: int = 300, champion: str | None = "ridge", **changes: Any
) -> ReportContent:
    """A small but complete report; ``changes`` replaces fields."""
    candles = candles_of(symbols, n_bars)
    regimes = candles.select("symbol", "ts").with_row_index("i")
    regimes = regimes.with_columns(
        pl.when(pl.col("i") % n_bars < 40).then(None).otherwise((pl.col("i") // 25) % 4).cast(pl.Int64).alias("code")
    ).select(
        "symbol",
        "ts",
        pl.col("code").replace_strict(dict(enumerate(REGIMES)), default=None, return_dtype=pl.String).alias("regime"),
    )
    first = candles.filter(pl.col("symbol") == symbols[0])
    equity = first.select(
        "ts",
        net=pl.col("close") / 100.0,
        gross=pl.col("close") / 100.0 * (1.0 + 0.001 * pl.int_range(pl.len())),
        buy_and_hold=pl.col("open") / 100.0,
    )
    skills = pl.DataFrame(
        [
            {
                "learner": name,
                "regime": regime,
                "skill": s,
                "ci_low": s - 0.05,
                "ci_high": s + 0.05,
                "p_adjusted": p,
                "n_rows": 500,
            }
            for name in LEARNERS[:2]
            for regime, s, p in zip(REGIMES, (0.09, 0.0, -0.08, 0.02), (0.01, 1.0, 0.03, 0.6))
        ]
    )
    probability = np.linspace(0.42, 0.58, 8)
    content = ReportContent(
        title="Candles to champion",
        created_at=datetime(2025, 3, 1, 6, 30, tzinfo=UTC),
        verdict="ridge deserves money: its mean payoff is +0.0800 a bar (adjusted p < 0.01)."
        if champion
        else "Keep the baseline.",
        reasons=("ridge: its mean payoff is +0.0800 a bar.", "The hold-out agrees."),
        champion=champion,
        deserves_money=champion is not None,
        facts={"data": "random walks", "symbols": str(len(symbols)), "seed": "0"},
        notes=("40 rows left out: features warming up.",),
        quality=quality_report(candles, now=START + timedelta(days=900)),
        alpha=0.05,
        candles=candles,
        regimes=regimes,
        leaderboard=board_of(LEARNERS, champion),
        equity=equity,
        equity_of="ridge",
        hold_out=HoldOutResult(
            START + timedelta(hours=int(n_bars * 0.8)),
            START + timedelta(hours=n_bars),
            60,
            0.06,
            -0.01,
            0.13,
            0.04,
            0.03,
            1.1,
            -0.4,
            2.6,
        ),
        regime_skill=skills,
        importance=pl.DataFrame({"feature": [f"feature_{i}" for i in range(30)], "importance": [30.0 - i for i in range(30)]}),
        importance_of="ridge",
        calibration=pl.DataFrame(
            {
                "mean_probability": probability,
                "observed": probability + 0.01,
                "ci_low": probability - 0.03,
                "ci_high": probability + 0.05,
            }
        ).with_columns(n=pl.lit(700, pl.Int64)),
        calibration_of="ridge",
        tried={"learners": "3: ridge, lightgbm, majority", "position policies looked at": "72"},
        provenance={"data SHA-256": "ab" * 32, "python": "3.11.7"},
        planted=PlantedEdge(0.10, 0.08, 0.54, 0.53),
        not_run={"drift detection": "not part of this version"},
    )
    return dataclasses.replace(content, **changes)


def empty(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.clear()


def bare(champion: str | None = None) -> ReportContent:
    """Everything that may be missing is missing."""
    full = content_of(champion=champion)
    return dataclasses.replace(
        full,
        hold_out=None,
        planted=None,
        not_run={},
        notes=(),
        reasons=(),
        regimes=empty(full.regimes),
        regime_skill=empty(full.regime_skill),
        importance=empty(full.importance),
        calibration=empty(full.calibration),
        equity=empty(full.equity),
    )


def without_numbers() -> ReportContent:
    """Every nullable number is null, and some are not finite."""
    full = content_of(champion=None)
    floats = [name for name, kind in full.leaderboard.schema.items() if kind == pl.Float64]
    board = full.leaderboard.with_columns(pl.lit(None, pl.Float64).alias(name) for name in floats)
    equity = full.equity.with_columns(pl.when(pl.int_range(pl.len()) < 9).then(float("nan")).otherwise("net").alias("net"))
    assert full.hold_out is not None
    look = dataclasses.replace(full.hold_out, skill=math.nan, ci_low=math.nan, ci_high=math.nan, net_sharpe=math.nan)
    skills = full.regime_skill.with_columns(pl.lit(math.nan).alias("ci_low"), pl.lit(None, pl.Float64).alias("p_adjusted"))
    return dataclasses.replace(
        full, leaderboard=board, equity=equity, hold_out=look, regime_skill=skills, planted=PlantedEdge(0, 0.01, 0.5, 0.5)
    )


def ruined() -> ReportContent:
    """An account that lost everything, and prices that rose a thousandfold."""
    full = content_of(symbols=("UP",), champion=None)
    n = full.equity.height
    falling = pl.Series("net", np.maximum(np.linspace(1.0, -0.3, n), 0.0))
    rising = pl.Series(np.geomspace(0.0001, 0.1, n))
    candles = full.candles.with_columns(open=rising, high=rising * 1.1, low=rising * 0.9, close=rising, volume=pl.lit(0.0))
    return dataclasses.replace(full, equity=full.equity.with_columns(falling), candles=candles)


CASES = {
    "champion": lambda: content_of(),
    "beats the baseline": lambda: content_of(deserves_money=False),
    "no champion": lambda: content_of(champion=None),
    "one symbol": lambda: content_of(symbols=("BTC-USDT",)),
    "forty symbols": lambda: content_of(symbols=tuple(f"COIN{i:02d}-USDT" for i in range(40)), n_bars=80),
    "two bars": lambda: content_of(n_bars=2),
    "bare": bare,
    "bare, no candles": lambda: dataclasses.replace(bare(), candles=content_of().candles.clear()),
    "without numbers": without_numbers,
    "ruined": ruined,
}


@pytest.mark.parametrize("name", CASES)
def test_every_case_is_a_balanced_page_that_says_its_verdict_and_every_learner(name: str, read: Callable[[str], Any]) -> None:
    content = CASES[name]()
    page = read(render_report(content))
    assert content.verdict in page.text
    for learner in content.leaderboard["learner"]:
        assert learner in page.text
    for value in (
        *content.facts.values(),
        *content.tried.values(),
        *content.provenance.values(),
        *content.notes,
        *content.reasons,
    ):
        assert value in page.text
    for stage, reason in content.not_run.items():
        assert stage.capitalize() in page.text
        assert reason in page.text
    assert len(page.ids) == len(set(page.ids)), "an id stands twice"
    anchors = {attrs["href"] for tag, attrs in page.tags if tag == "a"}
    assert anchors <= {f"#{name}" for name in page.ids}, "a link leads nowhere"
    numbers = " ".join(
        value or "" for _, attrs in page.tags for key, value in attrs.items() if key in ("d", "style", "viewbox")
    )
    assert "nan" not in numbers
    assert "inf" not in numbers


@pytest.mark.parametrize(
    ("champion", "money", "said"),
    [("ridge", True, "Deserves money"), ("ridge", False, "Beats the baseline, no money"), (None, False, "Keep the baseline")],
)
def test_the_outcome_is_said_in_words_not_by_colour_alone(
    champion: str | None, money: bool, said: str, read: Callable[[str], Any]
) -> None:
    page = read(render_report(content_of(champion=champion, deserves_money=money)))
    others = {"Deserves money", "Beats the baseline, no money", "Keep the baseline"} - {said}
    assert f"{said} " in page.text
    if champion:
        assert not any(other in page.text for other in others)


def test_missing_parts_are_said_to_be_missing(read: Callable[[str], Any]) -> None:
    text = read(render_report(bare())).text
    for sentence in (
        "No equity curve",
        "Nothing was held out",
        "No regime has enough judged rows",
        "No learner here says which features it uses",
        "gives no probabilities",
    ):
        assert sentence in text
    assert "planted edge" not in text.lower()
    assert "–" in text


def test_nothing_is_loaded_and_a_policy_forbids_it() -> None:
    page = render_report(content_of())
    loads = re.findall(r"""(?:src|href|action|xlink:href|srcset)\s*=\s*["']?([^"'\s>]+)""", page)
    assert loads
    assert all(target.startswith(("#", "data:")) for target in loads)
    style = "".join(re.findall(r"<style>(.*?)</style>", page, re.S))
    assert "@import" not in style
    assert "url(" not in style
    addresses = set(re.findall(r"https?://[^\s\"'<>]+", html.unescape(page)))
    assert addresses <= {"http://www.w3.org/2000/svg"}, "only the name of SVG may look like an address"
    assert "default-src 'none'" in html.unescape(page)


def test_hostile_names_are_text(read: Callable[[str], Any]) -> None:
    bad = HOSTILE
    content = content_of(
        symbols=(bad, "</script><img src=x onerror=alert(1)>"),
        title=bad,
        verdict=f"{bad}: {bad}",
        reasons=(bad,),
        facts={bad: bad},
        notes=(bad,),
        equity_of=bad,
        importance_of=bad,
        calibration_of=bad,
        tried={bad: bad},
        provenance={bad: bad},
        not_run={bad: bad},
        leaderboard=board_of((bad, "lightgbm", "majority"), bad),
        importance=pl.DataFrame({"feature": [bad], "importance": [1.0]}),
        regime_skill=content_of().regime_skill.with_columns(learner=pl.lit(bad), regime=pl.lit(bad)).head(1),
    )
    page = render_report(content)
    reader = read(page)
    scripts = [attrs for tag, attrs in reader.tags if tag == "script" and attrs.get("type") != "application/json"]
    assert scripts == [{}], "one script, the page's own"
    assert not any(tag == "img" or "onerror" in attrs for tag, attrs in reader.tags)
    assert reader.text.count(bad) > 10
    for block in re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', page, re.S):
        json.loads(block)


def test_an_ab_test_stands_after_the_leaderboard_and_only_where_there_is_one(
    compared: Callable[..., Any], losses_of: Callable[..., Any], read: Callable[[str], Any]
) -> None:
    result = compared(losses_of([0.0, -0.3, 0.1], n=300), LEARNERS, baseline="majority", returns=True, notes=("Said.",))
    page = render_report(content_of(ab_test=result))
    reader = read(page)
    headings = re.findall(r'<section id="([\w-]+)"', page)
    assert headings.index("ab-tests") == headings.index("leaderboard") + 1
    assert ("a", {"href": "#ab-tests"}) in reader.tags
    assert result.sentence in reader.text and result.comparison.dependence.sentence in reader.text and "Said." in reader.text
    assert len(reader.ids) == len(set(reader.ids))
    without = render_report(content_of())
    assert 'id="ab-tests"' not in without and "#ab-tests" not in without


def test_forty_symbols_of_a_thousand_bars_stay_small_and_quick(read: Callable[[str], Any]) -> None:
    content = content_of(symbols=tuple(f"COIN{i:02d}" for i in range(40)), n_bars=1000)
    render_report(content_of())
    begin = time.process_time()
    page = render_report(content)
    assert time.process_time() - begin < 3.0
    assert len(page.encode()) < 3_000_000
    assert page.count("<figure") == 2 * 8
    assert "8 symbols of 40" in read(page).text


def test_same_content_gives_the_same_page() -> None:
    assert render_report(content_of()) == render_report(content_of())


def test_intervals_of_forecasts_are_shown_by_symbol_and_year(read: Callable[[str], Any]) -> None:
    table = pl.DataFrame({"symbol": ["BTC"], "year": [2024], "rows": [1_234], "coverage": [0.897], "mean_width": [0.0312]})
    page = render_report(dataclasses.replace(content_of(), intervals=table))
    assert "How wide is a forecast?" in page and "1,234" in page and "89.7" in page and "0.0312" in page
    assert "How wide is a forecast?" not in render_report(content_of())


def test_significance_is_marked_by_more_than_colour(read: Callable[[str], Any]) -> None:
    text = read(render_report(content_of())).text
    assert text.count("✱") == 1 + 4, "once in the legend, and for two learners in two regimes each"
    assert "4 of 8 pairs are sure" in text


def test_in_a_browser_the_page_fits_a_phone_without_an_error(heard_on_phones: Callable[..., list[Any]]) -> None:
    """Three pages in frames 390 pixels wide tell their width and every script error to the page around them."""
    probe = """<script>
      const errors = [];
      addEventListener("error", (event) => errors.push(String(event.message)));
      addEventListener("load", () => {
        for (const canvas of document.querySelectorAll(".canvas[tabindex]"))
          canvas.dispatchEvent(new PointerEvent("pointermove", { clientX: 100, clientY: 10 }));
        const tip = document.getElementById("tip").textContent;
        document.getElementById("theme").click();
        parent.postMessage({ width: document.documentElement.scrollWidth, window: innerWidth, errors, tip,
          theme: document.documentElement.dataset.theme, shown: document.querySelectorAll(".view.on").length }, "*");
      });
    </script>"""
    heard = heard_on_phones([render_report(CASES[name]()) for name in ("champion", "bare", "forty symbols")], probe)
    for report in heard:
        assert report["errors"] == []
        assert report["window"] == 390
        assert report["width"] <= 390
        assert report["theme"] in ("light", "dark")
        assert report["shown"] == 1
        assert "UTC" in report["tip"]


def test_in_a_browser_only_the_pages_own_script_runs(tmp_path: Path, dumped: Callable[[Path, Path], str]) -> None:
    page = render_report(content_of(symbols=(HOSTILE, "B"), title="calm", facts={"data": HOSTILE}))
    smuggled = page.replace("</main>", "<script>document.documentElement.lang = 'owned'</script></main>")
    at = tmp_path / "page.html"
    at.write_text(smuggled, encoding="utf-8")
    dom = dumped(at, tmp_path / "profile")
    assert re.search(r'<html lang="en"[^>]*class="js"', dom), "the policy knows the page's own script, and no other"
    assert "<title>calm" in dom
