"""The page of a search: complete, honest about little data, harmless, whole in a browser."""

from __future__ import annotations

import dataclasses
import html
import json
import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from huracan.report import (
    HoldOutResult,
    HyperparameterImportance,
    SearchContent,
    SearchJudgement,
    SearchMember,
    Slice,
    render_search_page,
)
from huracan.report.charts.trials import ScoreScale
from huracan.validation import deflated_sharpe_ratio, probability_of_backtest_overfitting

START = datetime(2025, 1, 1, tzinfo=UTC)
LEARNERS = ("lightgbm", "ridge", "extra_trees", "xgboost")
HOSTILE = "<script>document.title='owned'</script>\"'&"
STATES = ("finished", "finished", "pruned", "finished", "failed", "cut short")


def trials_of(n: int, seed: int = 0) -> pl.DataFrame:
    """Trials whose best score grows slowly, some stopped early, some failed."""
    rng = np.random.default_rng(seed)
    rows, best, seconds = [], None, 0.0
    for i in range(n):
        state = STATES[i % 6] if i else "finished"
        score = None if state in ("failed", "cut short") else 0.006 * (1 - math.exp(-i / 20)) - 0.002 * rng.exponential() ** 2
        if state == "finished" and score is not None:
            best = score if best is None else max(best, score)
        seconds += 0.2 + rng.exponential()
        rows.append((i, LEARNERS[i % 4], state, score, best, seconds))
    kinds = {"trial": pl.Int64, "learner": pl.String, "state": pl.String} | dict.fromkeys(
        ("score", "best", "seconds"), pl.Float64
    )
    return pl.DataFrame(rows, schema=kinds, orient="row")


def board_of(history: pl.DataFrame) -> pl.DataFrame:
    """The leaderboard of :func:`trials_of`."""
    order = {"finished": 0, "pruned": 1}
    table = history.with_columns(place=pl.col("state").replace_strict(order, default=2, return_dtype=pl.Int64))
    table = table.sort("place", "score", descending=[False, True], nulls_last=True)
    weights = [0.4, 0.3, 0.1]
    return table.select(
        "trial",
        "learner",
        "state",
        "score",
        weight=pl.Series([*weights, *[0.0] * max(0, table.height - 3)][: table.height]),
        seconds=pl.lit(1.25),
        source=pl.lit("sampler"),
        reason=pl.when(pl.col("place") == 2).then(pl.lit("it took longer than its time")).otherwise(pl.lit("")),
        fold_1=pl.col("score"),
        fold_2=pl.when(pl.col("state") == "finished").then(pl.col("score") * 1.1),
        settings=pl.lit("n_rounds 150, num_leaves 4, reg_lambda 3000"),
    )


def judgement_of(*, crowned: bool = True, returns: bool = True) -> SearchJudgement:
    """A judgement with what many trials are worth."""
    rng = np.random.default_rng(3)
    tried = rng.normal(0.0, 0.01, (500, 12))
    tried[:, 0] += 0.001
    gain = 0.0042 if crowned else 0.0002
    return SearchJudgement(
        crowned=crowned,
        skill=10.0 * gain,
        skill_low=10.0 * gain - 0.019,
        skill_high=10.0 * gain + 0.019,
        gain=gain,
        low=gain - 0.0019,
        high=gain + 0.0019,
        p_value=0.0004 if crowned else 0.83,
        n_moments=748,
        start=START,
        end=START + timedelta(hours=748),
        n_trials=64,
        n_earlier_trials=120,
        deflated_sharpe=deflated_sharpe_ratio(tried[:, 0], n_trials=64, trial_variance=0.001) if returns else None,
        overfitting=probability_of_backtest_overfitting(tried, n_blocks=8) if returns else None,
    )


def slice_of(learner: str, name: str, *, log: bool = False, labels: tuple[str, ...] = ()) -> Slice:
    """Scores that fall away from the middle of a hyperparameter."""
    rng = np.random.default_rng(len(name))
    value = rng.integers(0, len(labels), 40).astype(float) if labels else rng.uniform(0.0, 3.0, 40)
    score = 0.005 - 0.001 * (value - 1.0) ** 2 + 0.0008 * rng.standard_normal(40)
    frame = pl.DataFrame(
        {
            "trial": range(40),
            "value": value if labels or not log else 10.0**value,
            "score": score,
            "state": ["finished", "pruned"] * 20,
        }
    )
    return Slice(learner, name, frame, log=log, labels=labels)


def content_of(*, crowned: bool = True, n_trials: int = 64, **changes: Any) -> SearchContent:
    """A complete page; ``changes`` replaces fields."""
    history = trials_of(n_trials)
    ts = pl.datetime_range(START, START + timedelta(hours=299), "1h", time_unit="ms", eager=True)
    walk = np.exp(np.cumsum(np.random.default_rng(1).normal(0.0002, 0.004, 300)))
    shares = pl.DataFrame(
        {"name": ["reg_lambda", "num_leaves", "n_rounds", "leaf_fraction"], "importance": [0.9, 0.4, 0.12, 0.05]}
    )
    content = SearchContent(
        title="Search",
        created_at=datetime(2025, 3, 1, 6, 30, tzinfo=UTC),
        verdict="What the search found beats the constant: gain +0.42 % on rows no trial has seen (p = 0.0004)."
        if crowned
        else "Keep the baseline: what the search found is not shown to beat the constant (p = 0.83).",
        reasons=("Searched: 64 trials.", "The hold-out was looked at once."),
        champion="automl" if crowned else None,
        deserves_money=False,
        facts={"data": "random walks", "learners": ", ".join(LEARNERS), "seed": "0"},
        judgement=judgement_of(crowned=crowned),
        history=history,
        leaderboard=board_of(history),
        members=(
            SearchMember(3, "lightgbm", 0.45, "n_rounds 150"),
            SearchMember(5, "ridge", 0.3, ""),
            SearchMember(None, "constant", 0.25, ""),
        ),
        importances=(
            HyperparameterImportance("", 40, pl.DataFrame({"name": ["learner"], "importance": [0.2]}), noise=0.35),
            HyperparameterImportance("lightgbm", 24, shares, noise=0.3),
            HyperparameterImportance("ridge", 9, shares.clear(), reason="9 finished trials are too few to tell what mattered."),
        ),
        slices=(
            slice_of("lightgbm", "reg_lambda", log=True),
            slice_of("lightgbm", "num_leaves"),
            slice_of("extra_trees", "max_features", labels=("sqrt", "0.3", "None")),
        ),
        budget={"allowed": "64 trials", "used": "41.2 s for search and final fit, 64 trials", "sampler": "tpe"},
        reproducible=True,
        provenance={"data SHA-256": "ab" * 32, "python": "3.11.7"},
        notes=("40 rows left out: features warming up.",),
        hold_out=HoldOutResult(START, START + timedelta(hours=748), 1_496, 0.06, 0.01, 0.11, 0.05, 0.034, 1.4, -0.6, 3.4),
        equity=pl.DataFrame({"ts": ts, "net": walk, "gross": walk * 1.01, "buy_and_hold": walk[::-1] / walk[-1]}),
    )
    return dataclasses.replace(content, **changes)


def bare() -> SearchContent:
    """Everything that may be missing is missing."""
    full = content_of(crowned=False)
    return dataclasses.replace(
        full,
        reasons=(),
        notes=(),
        judgement=None,
        history=full.history.clear(),
        leaderboard=full.leaderboard.clear(),
        members=(),
        importances=(),
        slices=(),
        hold_out=None,
        equity=None,
        reproducible=False,
        not_run={"positions": "what was chosen says the same about every bar"},
    )


def one_failure() -> SearchContent:
    """A single trial that failed, and a judgement whose numbers are not known."""
    history = trials_of(1).with_columns(state=pl.lit("failed"), score=pl.lit(None, pl.Float64), best=pl.lit(None, pl.Float64))
    unknown = dataclasses.replace(
        judgement_of(crowned=False, returns=False),
        skill=math.nan,
        skill_low=-math.inf,
        skill_high=math.inf,
        gain=math.nan,
        low=-math.inf,
        high=math.inf,
        p_value=math.nan,
    )
    return content_of(crowned=False, history=history, leaderboard=board_of(history), judgement=unknown, members=())


CASES: dict[str, Callable[[], SearchContent]] = {
    "crowned": content_of,
    "deserves money": lambda: content_of(deserves_money=True),
    "not crowned": lambda: content_of(crowned=False),
    "one trial": lambda: content_of(n_trials=1),
    "two thousand trials": lambda: content_of(n_trials=2_000),
    "sharpe ratios": lambda: content_of(scores_are_shares=False),
    "bare": bare,
    "one failure": one_failure,
}


@pytest.mark.parametrize("name", CASES)
def test_every_case_is_a_balanced_page_that_says_its_verdict_first(name: str, read: Callable[[str], Any]) -> None:
    content = CASES[name]()
    page = read(render_search_page(content))
    assert content.verdict in page.text
    assert page.text.index(content.verdict) < page.text.index("How the search went")
    said = (*content.facts.values(), *content.budget.values(), *content.provenance.values(), *content.notes, *content.reasons)
    for value in said:
        assert value in page.text
    assert len(page.ids) == len(set(page.ids)), "an id stands twice"
    anchors = {attrs["href"] for tag, attrs in page.tags if tag == "a"}
    assert anchors <= {f"#{name}" for name in page.ids}, "a link leads nowhere"
    drawn = " ".join(v or "" for _, attrs in page.tags for key, v in attrs.items() if key in ("d", "style", "viewbox"))
    assert "nan" not in drawn and "inf" not in drawn


def test_the_outcome_is_said_in_words_not_by_colour_alone(read: Callable[[str], Any]) -> None:
    said = {name: read(render_search_page(CASES[name]())).text for name in ("crowned", "deserves money", "not crowned")}
    assert "Beats the baseline, no money" in said["crowned"] and "Keep the baseline " not in said["crowned"]
    assert "Deserves money" in said["deserves money"]
    assert "Keep the baseline" in said["not crowned"] and "Deserves money" not in said["not crowned"]


def test_few_trials_are_said_to_be_few_and_noise_is_not_marked(read: Callable[[str], Any]) -> None:
    text = read(render_search_page(content_of())).text
    assert "9 finished trials are too few to tell what mattered." in text
    assert text.count("✱") == 1 + 2, "once in the explanation, and for the two that stand above the noise"


def test_what_is_missing_is_said_to_be_missing(read: Callable[[str], Any]) -> None:
    text = read(render_search_page(bare())).text
    for sentence in (
        "Nothing was held out",
        "No trial has ended",
        "No trial has a score",
        "Nothing was chosen",
        "No learner here has anything to choose",
        "There are no positions to account for: what was chosen says the same about every bar.",
        "no: the clock had a say",
    ):
        assert sentence in text


def test_trials_without_a_score_are_counted_with_their_reasons(read: Callable[[str], Any]) -> None:
    content = content_of(n_trials=40)
    lost = content.leaderboard.filter(pl.col("score").is_null()).height
    text = read(render_search_page(content)).text
    assert f"{lost} trials without a score" in text
    assert "it took longer than its time" in text
    assert "not listed" not in text
    assert "not listed" in read(render_search_page(content_of(n_trials=200))).text


def test_zero_the_best_and_what_is_near_are_on_the_scale_and_the_rest_is_counted() -> None:
    scores = [0.004, 0.001, -0.003, -0.011, -0.5, None, math.nan]
    scale = ScoreScale.of(scores, as_share=True)
    assert scale.below == 1
    assert scale.height(-0.5) == 1.0, "drawn at the edge"
    for inside in (0.0, 0.004, -0.011):
        assert 0.0 < scale.height(inside) < 1.0
    assert (scale.written(0.004), scale.written(None)) == ("+0.400%", "–")


def test_nothing_is_loaded_and_hostile_names_are_text(read: Callable[[str], Any]) -> None:
    bad = HOSTILE
    history = trials_of(30).with_columns(learner=pl.lit(bad))
    board = board_of(history).with_columns(settings=pl.lit(bad), reason=pl.lit(bad), source=pl.lit(bad))
    content = content_of(
        title=bad,
        verdict=f"{bad}: {bad}",
        reasons=(bad,),
        facts={bad: bad},
        notes=(bad,),
        budget={bad: bad},
        provenance={bad: bad},
        not_run={bad: bad},
        history=history,
        leaderboard=board,
        members=(SearchMember(1, bad, 1.0, bad),),
        importances=(HyperparameterImportance(bad, 30, pl.DataFrame({"name": [bad], "importance": [1.0]}), noise=0.1),),
        slices=(slice_of(bad, bad, labels=(bad, "calm")),),
    )
    page = render_search_page(content)
    reader = read(page)
    scripts = [attrs for tag, attrs in reader.tags if tag == "script" and attrs.get("type") != "application/json"]
    assert scripts == [{}], "one script, the page's own"
    assert reader.text.count(bad) > 10
    for block in re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', page, re.S):
        json.loads(block)
    loads = re.findall(r"""(?:src|href|action|xlink:href|srcset)\s*=\s*["']?([^"'\s>]+)""", render_search_page(content_of()))
    assert loads and all(target.startswith(("#", "data:")) for target in loads)
    assert "default-src 'none'" in html.unescape(page)


def test_two_thousand_trials_stay_small() -> None:
    page = render_search_page(CASES["two thousand trials"]())
    assert len(page.encode()) < 900_000


def test_in_a_browser_the_page_fits_a_phone_without_an_error(heard_on_phones: Callable[..., list[Any]]) -> None:
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
        parent.postMessage({ width: document.documentElement.scrollWidth, window: innerWidth, errors, tip }, "*");
      });
    </script>"""
    heard = heard_on_phones([render_search_page(CASES[name]()) for name in ("crowned", "bare")], probe)
    for report in heard:
        assert report["errors"] == []
        assert report["width"] <= report["window"] == 390
    assert any("best so far" in report["tip"] and "reg_lambda" in report["tip"] for report in heard)
