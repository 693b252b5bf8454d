"""The page of an agent: complete, honest about seeds, harmless, whole in a browser."""

from __future__ import annotations

import dataclasses
import html
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from huracan.errors import StorageError
from huracan.reinforcement.evaluation import WalkForwardEvaluation
from huracan.report import render_agent_page as render
from huracan.report import write_agent_page
from huracan.report.charts.action_map import action_map_chart
from huracan.report.charts.agents import learning_chart, profile_chart
from huracan.report.formatting import percent

START = datetime(2025, 1, 1, tzinfo=UTC)
HOSTILE = "<script>document.title='owned'</script>\"'&"
STRATEGIES = ("agent", "random", "flat", "buy_and_hold", "myopic")
ACTIONS = ("short 1", "flat", "long 1")


@cache
def found(
    *,
    mean: float | None = 0.0,
    seeds: int = 5,
    symbols: tuple[str, ...] = ("A", "B"),
    dated: bool = True,
    explored: bool = True,
) -> WalkForwardEvaluation:
    """An evaluation of two windows; the agent earns ``mean`` a bar (None: stays out), everything else nothing or noise."""
    rng = np.random.default_rng(7)
    n = 150
    bars, runs = [], []
    for window in range(2):
        ts = [START + timedelta(hours=n * window + i) for i in range(n)]
        for name in STRATEGIES:
            for seed in range(seeds) if name in ("agent", "random") else [None]:
                for s, symbol in enumerate(symbols):
                    out = name == "flat" or (name == "agent" and mean is None)
                    earned = np.zeros(n) if out else rng.normal((mean or 0.0) * (name == "agent"), 1e-3, n)
                    held = 0.0 if out else 1.0
                    frame = {
                        "strategy": [name] * n,
                        "seed": pl.Series([seed] * n, dtype=pl.Int64),
                        "window": [window] * n,
                        "symbol": [symbol] * n,
                        "ts": pl.Series(ts if dated else [None] * n, dtype=pl.Datetime("ms", "UTC")),
                        "row": np.arange(n) + window * n + 10_000 * s,
                        "log_return": earned,
                        "position": np.full(n, held),
                        "turnover": np.full(n, 0.05 * held),
                    }
                    bars.append(pl.DataFrame(frame))
                    figures = {"net_log_return": earned.sum(), "turnover": 0.05 * held, "exposure": held, "trades": 3.0}
                    key = {"strategy": name, "seed": seed, "window": window, "symbol": symbol}
                    runs.append(key | figures | {"cost_bps": 40.0, "sharpe": 0.1, "max_drawdown": -0.05, "stops": 0.0})
    every = pl.concat(bars)
    regimes = every.select("symbol", "ts").unique(maintain_order=True)
    regimes = regimes.with_columns(
        regime=pl.when(pl.col("ts").dt.hour() < 16).then(pl.lit("trending")).otherwise(pl.lit("volatile"))
    )
    spans = [
        (START + timedelta(hours=n * w), START + timedelta(hours=n * (w + 1) - 1)) if dated else (n * w, n * w + n - 1)
        for w in (0, 1)
    ]
    windows = [
        {
            "window": w,
            "train_start": a,
            "train_end": a,
            "train_decisions": 99,
            "test_start": a,
            "test_end": b,
            "test_decisions": n,
        }
        for w, (a, b) in enumerate(spans)
    ]
    return WalkForwardEvaluation(
        every,
        pl.DataFrame(runs, schema_overrides={"seed": pl.Int64}),
        pl.DataFrame(windows),
        curves_of(seeds, explored),
        maps_of(seeds),
        {(1, 0, None): "values exploded before step 900"},
        8760.0,
        regimes if dated else None,
    )


def page_of(evaluation: WalkForwardEvaluation, **said: Any) -> str:
    """The page, with few resamples."""
    return render(evaluation, resamples=100, **said)


def curves_of(seeds: int, explored: bool, held_back: bool = False) -> pl.DataFrame:
    rng = np.random.default_rng(1)
    rows = [
        (
            *(s, w, None, 500 * (k + 1), float(1 + rng.exponential()), float(rng.normal()) if explored else None, 0.1),
            *(rng.normal(1e-4, 1e-5) if k % 2 else None, held_back),
        )
        for s in range(seeds)
        for w in range(2)
        for k in range(12)
    ]
    names = {"seed": pl.Int64, "window": pl.Int64, "symbol": pl.String, "step": pl.Int64}
    figures = dict.fromkeys(("loss", "episode_return", "epsilon", "score"), pl.Float64)
    return pl.DataFrame(rows, schema={**names, **figures, "held_back": pl.Boolean}, orient="row")


def maps_of(seeds: int, x_name: str = "rsi_scaled_14") -> pl.DataFrame:
    rows = []
    for seed in range(seeds):
        for y in (-1.0, 0.0, 1.0):
            for x in np.linspace(-1.0, 1.0, 11):
                action = int(np.sign(x) + 1) if abs(x) > 0.3 else 1
                rows.append((seed, 1, None, x_name, "standing position", x, y, action, ACTIONS[action], abs(x)))
    names = ("seed", "window", "symbol", "x_name", "y_name", "x", "y", "action", "action_name", "advantage")
    return pl.DataFrame(rows, schema=list(names), orient="row", schema_overrides={"symbol": pl.String})


CASES: dict[str, Callable[[], WalkForwardEvaluation]] = {
    "nothing earned": found,
    "beats all": lambda: found(mean=6e-4),
    "stays out": lambda: found(mean=None),
    "loses": lambda: found(mean=-6e-4),
    "one seed, one symbol": lambda: found(seeds=1, symbols=("A",)),
    "no times": lambda: found(dated=False, symbols=("A",), explored=False),
    "no curves, no maps": lambda: dataclasses.replace(
        found(), learning_curves=pl.DataFrame(), action_maps=pl.DataFrame(), stopped={}
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_every_case_is_a_balanced_page_that_says_its_verdict_first(name: str, read: Callable[[str], Any]) -> None:
    evaluation = CASES[name]()
    facts = {"costs a side": "5 basis points"}
    page = read(page_of(evaluation, title="Agents", facts=facts, provenance={"data SHA-256": "ab" * 32, "torch": "2"}))
    head = evaluation.verdict(resamples=100).sentence.partition(": ")[0]
    assert page.text.index(head) < page.text.index("What was earned")
    for said in ("5 basis points", "ab" * 32, "Forecast one bar ahead", *evaluation.verdict(resamples=100).reasons):
        assert said in page.text
    assert len(page.ids) == len(set(page.ids)), "an id stands twice"
    anchors = {attrs["href"] for tag, attrs in page.tags if tag == "a"}
    assert anchors <= {f"#{name}" for name in page.ids}, "a link leads nowhere"
    drawn = " ".join(v or "" for _, attrs in page.tags for key, v in attrs.items() if key in ("d", "style", "viewbox"))
    assert "nan" not in drawn and "inf" not in drawn


def test_the_outcome_is_said_in_words_not_by_colour_alone(read: Callable[[str], Any]) -> None:
    said = {name: read(page_of(CASES[name]())).text for name in ("nothing earned", "beats all", "loses")}
    assert "Beats all it was held against" in said["beats all"]
    assert (
        "is not shown to earn anything" in said["nothing earned"] and "✱ " not in said["nothing earned"].split("Symbol by")[0]
    )
    assert "is shown to lose money" in said["loses"] and "Stay out" in said["loses"]


def test_what_is_missing_is_said_to_be_missing(read: Callable[[str], Any]) -> None:
    bare = read(page_of(CASES["no curves, no maps"]())).text
    assert "Nothing was written down while they learned" in bare and "No maps were drawn" in bare
    timeless = read(page_of(CASES["no times"]())).text
    assert "The states of this market are not known" in timeless and "Nothing was explored" in timeless
    assert "bar 150 to bar 299" in timeless
    one = read(page_of(CASES["one seed, one symbol"]())).text
    assert "one seed says nothing of luck" in one and "Symbol by symbol" not in one


def test_what_stopped_early_is_told_with_window_seed_and_reason(read: Callable[[str], Any]) -> None:
    text = read(page_of(found())).text
    assert "1 training stopped before its time" in text
    assert "2 0 all symbols values exploded before step 900" in text


def test_regimes_with_too_few_moments_have_a_mean_and_no_interval(read: Callable[[str], Any]) -> None:
    few = dataclasses.replace(found(), regimes=found().regimes.with_columns(pl.lit("ranging").alias("regime")).head(60))
    text = read(page_of(few)).text
    own = text[text.index("By state of the market") :]
    assert re.search(r"interval – [−+0-9.]+ – – – 60", own)


@pytest.mark.parametrize("held_back", [True, False])
def test_scores_of_a_training_say_on_which_bars_they_are(held_back: bool, read: Callable[[str], Any]) -> None:
    text = read(page_of(dataclasses.replace(found(), learning_curves=curves_of(5, True, held_back)))).text
    assert ("score in basis points a bar, on bars held back" in text) == held_back
    assert ("score in basis points a bar, on bars learned from" in text) == (not held_back)
    without = page_of(dataclasses.replace(found(), learning_curves=curves_of(5, True).drop("score", "held_back")))
    assert "score in basis points" not in read(without).text


def test_an_action_map_has_a_cell_for_every_state_and_names_its_rows() -> None:
    chart = str(action_map_chart(maps_of(1)))
    cells = re.findall(r"M(\d+) (\d+)h1v1h-1z", chart)
    assert len(cells) == len(set(cells)) == 33
    for word in ("short", "flat", "long"):
        assert f">{word}</span>" in chart
    surest = re.search(r'var\(--trending\) 100%[^"]*opacity:1.0" d="([^"]*)"', chart)
    assert surest is not None and "M10 0h" in surest[1]  # the largest x, and a long position is the row on top


def test_a_few_looks_are_points_and_labels_of_an_axis_differ() -> None:
    curves = curves_of(3, True).filter(pl.col("window") == 0, pl.col("step") <= 1_500)
    few = str(learning_chart(curves.filter(pl.col("step") <= 1_000), "loss", name="Loss"))
    assert few.count('class="dot seed"') == 6 and few.count('class="dot agent"') == 2 and "curve" not in few
    assert "dot" not in str(learning_chart(curves_of(3, True), "loss", name="Loss"))
    near = str(learning_chart(curves.with_columns(loss=0.95 + pl.col("seed") * 0.03), "loss", name="Loss"))
    labels = re.findall(r'<span class="" style="top:[^"]*">([^<]*)<', near)
    assert len(labels) == len(set(labels)) > 2


def test_a_curve_of_one_look_is_none_and_a_profile_is_a_staircase() -> None:
    assert "Too few looks" in learning_chart(curves_of(2, True).filter(step=500), "loss", name="Loss")
    profiles = found().profiles(resamples=200)
    flat = re.search(r'class="curve flat" d="([^"]*)"', str(profile_chart(profiles)))
    assert flat is not None
    points = [tuple(map(float, p.split())) for p in re.split("[ML]", flat[1]) if p]
    assert all(a[0] == b[0] or a[1] == b[1] for a, b in pairwise(points))
    assert {y for _, y in points} == {40.0, 1000.0}


@pytest.mark.parametrize("bad", [HOSTILE, "</script><img src=x onerror=alert(1)>"])
def test_hostile_names_stay_text(bad: str, read: Callable[[str], Any]) -> None:
    evaluation = found(symbols=("A", bad))
    evaluation = dataclasses.replace(evaluation, action_maps=maps_of(1, bad), stopped={(0, 0, bad): bad})
    page = page_of(evaluation, title=bad, facts={bad: bad}, provenance={bad: bad})
    reader = read(page)
    scripts = [attrs for tag, attrs in reader.tags if tag == "script" and attrs.get("type") != "application/json"]
    assert scripts == [{}], "one script, the page's own"
    assert reader.text.count(bad) > 6
    for block in re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', page, re.S):
        json.loads(block)
    loads = re.findall(r"""(?:src|href|action|xlink:href|srcset)\s*=\s*["']?([^"'\s>]+)""", page_of(found()))
    assert loads and all(target.startswith(("#", "data:")) for target in loads)
    assert "default-src 'none'" in html.unescape(page)


def test_a_page_is_written_whole_or_refused(tmp_path: Path) -> None:
    path = write_agent_page(found(), tmp_path / "agent.html", created_at=START, resamples=100)
    assert path.read_text() == page_of(found(), created_at=START)
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot be written"):
        write_agent_page(found(), tmp_path / "file" / "agent.html", resamples=100)


def test_in_a_browser_the_page_fits_a_phone_and_its_tables_a_small_screen(heard_on_phones: Callable[..., list[Any]]) -> None:
    probe = """<script>
      const errors = [];
      addEventListener("error", (event) => errors.push(String(event.message)));
      addEventListener("load", () => {
        let tip = "";
        for (const canvas of document.querySelectorAll(".canvas[tabindex]")) {
          canvas.dispatchEvent(new PointerEvent("pointermove", { clientX: 100, clientY: 10 }));
          tip += document.getElementById("tip").textContent;
        }
        document.getElementById("theme").click();
        const cut = [...document.querySelectorAll(".scroll")].filter((one) => one.scrollWidth > one.clientWidth);
        const names = cut.map((one) => one.getAttribute("aria-label"));
        parent.postMessage({ width: document.documentElement.scrollWidth, window: innerWidth, errors, tip, names }, "*");
      });
    </script>"""
    pages = [page_of(CASES[name]()) for name in ("nothing earned", "nothing earned", "no times")]
    heard = heard_on_phones(pages, probe, widths=[1200])
    assert sorted(report["window"] for report in heard) == [390, 390, 1200]
    for report in heard:
        assert report["errors"] == []
        assert report["width"] <= report["window"]
        assert "Worst seed" in report["tip"] and "median" in report["tip"]
        assert report["window"] == 390 or report["names"] == [], "a table is cut"


def test_runs_above_zero_are_runs_that_earned_something(read: Callable[[str], Any]) -> None:
    assert "Runs above zero 0%" in read(page_of(CASES["stays out"]())).text
    evaluation = found()
    earned = evaluation.runs.filter(strategy="agent")["net_log_return"] > 0.0
    assert f"Runs above zero {percent(float(earned.mean()), 0)}" in read(page_of(evaluation)).text


def test_the_deepest_drawdown_is_that_of_a_seed(read: Callable[[str], Any]) -> None:
    evaluation = found()
    text, alone = read(page_of(evaluation)).text, evaluation.summary_by_symbol(resamples=100).filter(strategy="agent")
    worst = alone.sort("max_drawdown").row(0, named=True)
    assert "in equal parts in all symbols, median of 5 seeds, the worst −" in text
    assert f"; {worst['symbol']} alone {percent(worst['max_drawdown'])}; Sharpe" in text
    assert "of one seed; Sharpe" in read(page_of(CASES["one seed, one symbol"]())).text
