"""The page of an A/B test: it says what the frames say, claims nothing more, is whole, harmless, small and quick."""

from __future__ import annotations

import dataclasses
import html
import json
import math
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from huracan.baselines.ab_result import ABTestResult
from huracan.errors import StorageError
from huracan.report import render_comparison_page, write_comparison_page
from huracan.report.charts.deflation import deflation_chart, expected_maximum_chart
from huracan.report.charts.intervals import ForestScale, Interval
from huracan.report.charts.loss_paths import loss_path
from huracan.report.charts.model_pairs import pair_matrix
from huracan.report.comparison_tables import Unit

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HOSTILE = "<script>document.title='owned'</script>\"'&"
LEARNERS = ("majority", "ridge", "lightgbm", "knn", "gan")
REGIMES = ["trending", "ranging", "volatile", "illiquid"]
Build = Callable[..., Any]


@pytest.fixture(scope="session")
def cases(compared: Build, losses_of: Build) -> dict[str, ABTestResult]:
    """Results of every shape a framework may give."""
    means = [0.0, -0.12, -0.3, 0.02, 0.6]
    walk = np.cumsum(np.random.default_rng(1).standard_normal(600))
    drifting = losses_of([0.0, -0.2, 0.1], n=600, seed=2)
    drifting[:, 2] += walk
    returns = 0.001 * (losses_of(means, n=600, persistence=0.0, seed=3) - 4.0)
    regimes = [REGIMES[i // 25 % 4] for i in range(600)]
    pairs = compared(losses_of(means, n=600, persistence=0.9, seed=4), LEARNERS, dated=False)
    return {
        "two": compared(losses_of([0.0, -0.2], n=300), ["lightgbm", "ridge"]),
        "baseline": compared(
            losses_of(means, n=600, persistence=0.8), LEARNERS, baseline="majority", notes=("12 rows dropped.",)
        ),
        "all pairs": pairs,
        "returns": compared(
            returns, LEARNERS, baseline="majority", returns=True, regimes=regimes, measure="negative return", n_trials=144
        ),
        "regimes of pairs": compared(losses_of(means, n=600), LEARNERS, regimes=regimes),
        "undecidable": compared(drifting, ["majority", "ridge", "drifting"], scale=1e-8),
        "same losses": compared(np.repeat(losses_of([0.0, 0.3], n=200), [2, 1], axis=1), ["a", "twin of a", "b"]),
        "nothing kept": dataclasses.replace(pairs, paths=pairs.paths.clear()),
        "emptied": dataclasses.replace(
            pairs, paths=pairs.paths.clear(), pairs=pairs.pairs.clear(), models=pairs.models.clear()
        ),
    }


NAMES = ("two", "baseline", "all pairs", "returns", "regimes of pairs", "undecidable", "same losses", "nothing kept", "emptied")


def section(page: str, name: str) -> str:
    """The markup from one heading to the next of the page's own."""
    start = page.index(f'id="{name}"')
    return page[start : page.index("</section>", start)]


def rows_of(table: str) -> list[list[str]]:
    """The text of each cell of each body row; what stands small under a number is cut off by a line break."""
    body = table[table.index("<tbody>") : table.index("</tbody>")]
    found = []
    for row in re.findall(r"<tr.*?</tr>", body, re.S):
        cells = re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.S)
        found.append([html.unescape(re.sub(r"<[^>]+>", "", re.sub(r"<small", "\n<small", c))).strip() for c in cells])
    return found


def value_of(text: str) -> tuple[float, float]:
    """A written number and half of its last place."""
    plain = text.split()[0].replace("−", "-").replace(",", "")
    decimals = len(plain.partition(".")[2])
    return float(plain), 0.5 * 10.0**-decimals + 1e-12


@pytest.mark.parametrize("name", NAMES)
def test_every_case_is_a_balanced_page_that_says_its_verdict_and_every_model(
    name: str, cases: dict[str, ABTestResult], read: Build
) -> None:
    result = cases[name]
    text = render_comparison_page(result, title="Nightly", created_at=NOW, facts={"seed": "7"})
    page = read(text)
    head, _, tail = result.sentence.partition(": ")
    assert head in page.text and tail in page.text
    assert result.comparison.dependence.sentence in page.text
    for value in (*result.models["model"], *result.notes, "Nightly", "7"):
        assert value in page.text
    assert len(page.ids) == len(set(page.ids)), "an id stands twice"
    assert {attrs["href"] for tag, attrs in page.tags if tag == "a"} <= {f"#{one}" for one in page.ids}
    drawn = " ".join(v or "" for _, attrs in page.tags for key, v in attrs.items() if key in ("d", "style", "viewbox"))
    assert "nan" not in drawn and "inf" not in drawn
    for block in re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', text, re.S):
        json.loads(block, parse_constant=lambda constant: pytest.fail(f"{constant} is no JSON"))


@pytest.mark.parametrize("name", NAMES)
def test_sections_are_there_where_there_is_something_to_say(name: str, cases: dict[str, ABTestResult], read: Build) -> None:
    result = cases[name]
    ids = read(render_comparison_page(result, created_at=NOW)).ids
    assert {"ab-dependence", "ab-forest", "ab-models", "ab-paths", "ab-pairs"} <= set(ids)
    assert ("ab-regimes" in ids) == (result.by_regime.height > 0)
    assert ("ab-sharpe" in ids) == (result.sharpe.height > 0)
    assert ("ab-notes" in ids) == bool(result.notes)


@pytest.mark.parametrize("name", NAMES)
def test_the_table_of_pairs_says_what_the_frame_says(name: str, cases: dict[str, ABTestResult]) -> None:
    result = cases[name]
    found = rows_of(section(render_comparison_page(result, created_at=NOW), "ab-pairs"))
    unit = Unit.of(result.pairs["difference"].to_list()).size
    assert len(found) == result.pairs.height
    for cells, row in zip(found, result.pairs.iter_rows(named=True)):
        assert cells[0] == row["model_a"] and cells[1].split("\n")[0] == row["model_b"]
        for cell, key in ((cells[2], "difference"), (cells[8], "effect_size"), (cells[9], "n_eff")):
            written, half = value_of(cell)
            assert written == pytest.approx(row[key] / (unit if key == "difference" else 1.0), abs=half)
        for cell, low, high in ((cells[3], "joint_low", "joint_high"), (cells[4], "ci_low", "ci_high")):
            if math.isinf(row[low]):
                assert cell == "−∞ to +∞"
                continue
            for end, key in zip(cell.split(" to "), (low, high)):
                written, half = value_of(end)
                assert written == pytest.approx(row[key] / unit, abs=half)
        for cell, key in ((cells[5], "p_value"), (cells[6], "p_adjusted"), (cells[7], "p_independent")):
            bare = cell.rstrip(" ✱†")
            assert row[key] < 1e-4 if bare.startswith("<") else float(bare) == pytest.approx(row[key], rel=0.051)
        assert ("✱" in cells[6]) == (row["p_adjusted"] <= result.alpha)
        assert ("†" in cells[7]) == (row["p_independent"] <= result.alpha < row["p_value"])


@pytest.mark.parametrize("name", NAMES)
def test_a_dot_is_filled_exactly_where_the_adjusted_p_value_is_evidence(name: str, cases: dict[str, ABTestResult]) -> None:
    result = cases[name]
    plot = section(render_comparison_page(result, created_at=NOW), "ab-forest")
    decidable = int(result.pairs["joint_low"].is_finite().sum())
    sure = int((result.pairs["p_adjusted"] <= result.alpha).sum())
    assert plot.count('class="dot hole"') == decidable - sure
    assert len(re.findall(r'class="dot (?:none|plus|minus)"', plot)) == decidable
    assert plot.count('class="interval open"') == result.pairs.height - decidable
    assert len(re.findall("✱", plot)) == sure


def test_against_a_baseline_models_are_ordered_by_their_difference(cases: dict[str, ABTestResult]) -> None:
    result = cases["baseline"]
    found = rows_of(section(render_comparison_page(result, created_at=NOW), "ab-forest"))
    assert [cells[0] for cells in found] == result.pairs.sort("difference")["model_a"].to_list()


def test_without_a_baseline_the_better_model_of_each_pair_comes_first(cases: dict[str, ABTestResult]) -> None:
    result = cases["all pairs"]
    rank = {model: i for i, model in enumerate(result.models["model"])}
    found = rows_of(section(render_comparison_page(result, created_at=NOW), "ab-forest"))
    pairs = [tuple(cells[0].split("\nless ")) for cells in found]
    assert len(set(pairs)) == result.pairs.height
    assert all(rank[first] < rank[second] for first, second in pairs)
    assert [value_of(cells[2])[0] for cells in found] == sorted(value_of(cells[2])[0] for cells in found)


def test_the_textbook_test_is_contrasted_with_what_is_shown(compared: Build, losses_of: Build, read: Build) -> None:
    """Equal models whose losses remember: the textbook test claims differences, of which nothing may be left."""
    result = compared(losses_of([0.0] * 8, n=1000, persistence=0.95, seed=5), [f"m{i}" for i in range(8)])
    claimed = int((result.pairs["p_independent"] <= 0.05).sum())
    assert claimed > 5 and (result.pairs["p_adjusted"] > 0.05).all()
    text = read(render_comparison_page(result, created_at=NOW)).text
    assert f"A textbook t test would claim {claimed} of 28 differences" in text and "0 are shown" in text
    assert "Nothing is shown to be better" in text


def test_a_test_that_was_asked_to_ignore_dependence_does_not_say_that_it_allows_for_it(
    cases: dict[str, ABTestResult], read: Build
) -> None:
    result = cases["baseline"]
    dependence = dataclasses.replace(result.comparison.dependence, asked="independent", sentence="Taken for independent.")
    plain = dataclasses.replace(result, comparison=dataclasses.replace(result.comparison, dependence=dependence))
    plain = dataclasses.replace(plain, pairs=plain.pairs.with_columns(p_value=pl.col("p_independent")))
    text = read(render_comparison_page(plain, created_at=NOW)).text
    assert "the p-values allow for no dependence" in text and "allowing for dependence" not in text


def test_with_one_pair_both_tests_are_named_with_what_they_say(cases: dict[str, ABTestResult], read: Build) -> None:
    said = {
        (0.01, 0.01): "and so does the test that allows",
        (0.01, 0.2): "the test that allows for dependence does not",
        (0.2, 0.01): "sees a difference that a textbook t test does not",
        (0.2, 0.2): "Neither a textbook t test nor",
    }
    for (textbook, robust), words in said.items():
        pairs = cases["two"].pairs.with_columns(p_independent=textbook, p_value=robust, p_adjusted=robust)
        assert words in read(render_comparison_page(dataclasses.replace(cases["two"], pairs=pairs), created_at=NOW)).text


def test_the_confidence_set_says_what_the_frame_says(cases: dict[str, ABTestResult]) -> None:
    for result in cases.values():
        part = section(render_comparison_page(result, created_at=NOW), "ab-models")
        found = rows_of(part)
        unit = Unit.of(result.models["mean_loss"].to_list(), digits=5).size
        widths = [float(w) for w in re.findall(r"width:([\d.]+)%", part)]
        assert widths == pytest.approx([100 * p for p in result.models["set_p_value"]], abs=0.005)
        assert ("Better than" in part) == (result.baseline is not None)
        for cells, row in zip(found, result.models.iter_rows(named=True), strict=True):
            written, half = value_of(cells[1])
            assert written == pytest.approx(row["mean_loss"] / unit, abs=half)
            assert cells[3] == ("in" if row["in_set"] else "out")
            if result.baseline is not None:
                said = {True: "yes", False: "not shown", None: "baseline"}[row["better_than_baseline"]]
                assert cells[5] == said


def test_a_pair_that_cannot_be_decided_says_so_and_is_drawn_as_the_whole_line(cases: dict[str, ABTestResult]) -> None:
    result = cases["undecidable"]
    undecided = result.pairs.filter(pl.col("joint_low").is_infinite())
    assert undecided.height == 2
    part = section(render_comparison_page(result, created_at=NOW), "ab-forest")
    assert part.count("cannot be decided: ") == 2 and part.count("<small>−∞ to +∞") == 2
    assert all(note in html.unescape(part) for note in undecided["note"])
    assert "in 10⁻⁹" in part, "losses of 1e-8 are written in a unit that can be read"
    assert "cannot be decided" in section(render_comparison_page(result, created_at=NOW), "ab-paths")


def test_rows_without_dates_are_counted_and_dates_are_shown(cases: dict[str, ABTestResult]) -> None:
    by_row = section(render_comparison_page(cases["all pairs"], created_at=NOW), "ab-paths")
    by_time = section(render_comparison_page(cases["baseline"], created_at=NOW), "ab-paths")
    assert '"c": "row"' in by_row and " Jan<" not in by_row
    assert '"c"' not in by_time and " Jan<" in by_time


def test_regimes_sharpe_and_deflation_say_what_their_frames_say(cases: dict[str, ABTestResult], read: Build) -> None:
    result = cases["returns"]
    page = render_comparison_page(result, created_at=NOW)
    unit = Unit.of(result.by_regime["difference"].to_list())
    matrix = read(section(page, "ab-regimes")[len('id="ab-regimes">') :].partition("</h2>")[2]).text
    for row in result.by_regime.iter_rows(named=True):
        assert unit.written(row["difference"]) in matrix
    assert len(rows_of(section(page, "ab-regimes"))) == result.conditional.height
    for cells, row in zip(rows_of(section(page, "ab-sharpe")), result.sharpe.iter_rows(named=True), strict=True):
        written, half = value_of(cells[2])
        assert cells[0].split("\n")[0] == row["model"] and written == pytest.approx(row["sharpe_ratio"], abs=half)
        assert (cells[7] == "∞") == math.isinf(row["minimum_track_record"])
    true = result.deflation.filter(pl.col("n_trials") == 144)
    assert f"144 trials: <b>{100 * true['deflated'][0]:.1f}%</b>" in page
    assert f"{100 * result.overfitting:.1f}%" in page  # type: ignore[operator]


def test_hostile_names_are_text(compared: Build, losses_of: Build, read: Build) -> None:
    names = [f"{HOSTILE}{i}" for i in range(4)]
    regimes = [HOSTILE if i // 30 % 2 else "trending" for i in range(400)]
    losses = losses_of([0.0, -0.2, -0.4, 0.1], n=400, seed=6)
    for baseline in (None, names[0]):
        result = compared(
            losses, names, baseline=baseline, returns=True, regimes=regimes, measure=HOSTILE, notes=(HOSTILE,), n_trials=20
        )
        page = render_comparison_page(result, title=HOSTILE, created_at=NOW, facts={HOSTILE: HOSTILE})
        reader = read(page)
        scripts = [attrs for tag, attrs in reader.tags if tag == "script" and attrs.get("type") != "application/json"]
        assert scripts == [{}], "one script, the page's own"
        assert "<script>document" not in page
        assert reader.text.count(HOSTILE) > 20


def test_nothing_is_loaded_and_a_policy_forbids_it(cases: dict[str, ABTestResult]) -> None:
    page = render_comparison_page(cases["returns"], created_at=NOW)
    assert "default-src 'none'" in page and "script-src 'sha256-" in page
    assert not re.findall(r'(?:src|href)="(?!#|data:)[^"]', page)
    assert render_comparison_page(cases["returns"], created_at=NOW) == page, "the same result gives the same page"


def test_fifty_models_and_all_their_pairs_stay_small_and_quick(compared: Build, losses_of: Build, read: Build) -> None:
    names = [f"model_{i:02d}" for i in range(50)]
    result = compared(losses_of(np.linspace(0, 0.5, 50), n=600, seed=7), names)
    assert result.pairs.height == 1225
    began = time.process_time()
    page = render_comparison_page(result, created_at=NOW)
    assert time.process_time() - began < 2.0
    assert len(page.encode()) < 1_000_000
    best = result.models["model"][0]
    forest = rows_of(section(page, "ab-forest"))
    assert {cells[0] for cells in forest} == set(names) - {best}, "the pairs of the model ranked first"
    text = read(page).text
    assert f"Drawn are 49 of 1,225 pairs, those of {best}; 1,176 are not drawn but listed" in text
    assert "Shown are the 12 models ranked first; 37 are not shown." in text
    assert len(rows_of(section(page, "ab-pairs"))) == 1225


def test_of_many_models_against_a_baseline_the_surest_are_drawn(compared: Build, losses_of: Build, read: Build) -> None:
    names = [f"model_{i:02d}" for i in range(60)]
    result = compared(losses_of(np.linspace(0, 0.5, 60), n=400, seed=8), names, baseline=names[20])
    page = render_comparison_page(result, created_at=NOW)
    drawn = {cells[0] for cells in rows_of(section(page, "ab-forest"))}
    p = dict(result.pairs.select("model_a", "p_value").iter_rows())
    assert len(drawn) == 50 and max(p[name] for name in drawn) <= min(v for name, v in p.items() if name not in drawn)
    assert "Drawn are 50 of 59 pairs, the surest; 9 are not drawn but listed" in read(page).text


def test_a_page_is_written_whole_or_the_refusal_says_why(cases: dict[str, ABTestResult], tmp_path: Path) -> None:
    at = write_comparison_page(cases["two"], tmp_path / "new folder" / "ab.html", created_at=NOW)
    assert at.read_text(encoding="utf-8") == render_comparison_page(cases["two"], created_at=NOW)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError):
        write_comparison_page(cases["two"], tmp_path / "file" / "ab.html")


def test_ticks_of_the_interval_alone_lie_where_its_ends_are_and_colours_follow_the_better_side() -> None:
    wide = Interval(-2.0, -4.0, -1.0, sure=True, alone=(-3.0, -1.5))
    losses, gains = (ForestScale.of([wide], lower_is_better=low) for low in (True, False))
    drawn = losses.cell(wide, "said")
    low, high = (200 * losses.scale(v) for v in (-3.0, -1.5))
    assert f'class="alone plus" d="M{low:.5g} 5V15M{high:.5g} 5V15"' in drawn
    assert 'class="interval plus"' in drawn and 'class="interval minus"' in gains.cell(wide, "said")
    whole = Interval(1.0, -math.inf, math.inf)
    assert 'class="interval open"' in losses.cell(whole, "said")
    assert "path" not in losses.cell(Interval(None, None, None), "said").replace('path class="zero"', "")


def path_of(cumulative: list[float], band: list[float]) -> pl.DataFrame:
    n = len(cumulative)
    return pl.DataFrame(
        {
            "model": ["a"] * n,
            "against": ["b"] * n,
            "row": range(n),
            "ts": pl.Series([None] * n, dtype=pl.Datetime("us", "UTC")),
            "cumulative": cumulative,
            "band": band,
        }
    )


@pytest.mark.parametrize(
    ("cumulative", "band", "css", "said"),
    [
        ([0.0, -1.0, -2.5, -3.0], 2.0, "plus", "better: outside by row 2"),
        ([0.0, 3.0, 0.0, 0.0], 2.0, "minus", "worse: outside by row 1"),
        ([0.0, 3.0, -3.0, 0.0], 2.0, "none", "outside on both sides"),
        ([0.0, 1.0, -1.9, 2.0], 2.0, "none", "within the band"),
        ([0.0, 9.0, -9.0, 9.0], math.inf, "none", "cannot be decided"),
    ],
)
def test_a_path_says_whether_and_when_it_left_the_band(cumulative: list[float], band: float, css: str, said: str) -> None:
    drawn = loss_path(path_of(cumulative, [band] * 4))
    assert (drawn.css, drawn.said) == (css, said)
    assert ('class="band"' in drawn.chart) == math.isfinite(band)
    if math.isfinite(band):
        edge = re.search(r'class="band" d="M0 ([\d.]+)L.*?L0 ([\d.]+)z"', drawn.chart)
        zero = re.search(r'class="one" d="M0 ([\d.]+)H', drawn.chart)
        assert edge and zero
        top, bottom, middle = float(edge[1]), float(edge[2]), float(zero[1])
        assert top < middle < bottom and middle - top == pytest.approx(bottom - middle, abs=0.1)


def test_the_true_number_of_trials_stands_where_a_logarithmic_axis_puts_it() -> None:
    deflation = pl.DataFrame({"n_trials": [1, 10, 100], "expected_maximum": [0.0, 0.1, 0.2], "deflated": [0.9, 0.6, 0.2]})
    for chart in (deflation_chart(deflation, 10, 0.05), expected_maximum_chart(deflation, 10, 0.15)):
        assert re.search(r'class="true-number" d="M500 0V', chart), "10 is half way from 1 to 100"
    assert "true-number" not in deflation_chart(deflation, None, 0.05)
    assert "Too few" in deflation_chart(deflation[:1], 1, 0.05)


def test_the_matrix_has_what_is_shown_above_and_what_is_claimed_below_its_diagonal() -> None:
    drawn = pair_matrix(["a", "b", "c"], shown=[(0, 2)], claimed=[(0, 2), (1, 2)], undecided=[(0, 1)])
    assert 'class="cell shown" d="M2 0h1v1h-1z"' in drawn
    assert 'class="cell claimed" d="M0 2h1v1h-1zM1 2h1v1h-1z"' in drawn
    assert 'class="cell unknown" d="M1 0h1v1h-1z"' in drawn
    assert "3 models, 3 pairs: 1 shown to differ, 2 claimed by a textbook test" in drawn


def test_in_a_browser_the_page_fits_a_phone_and_its_charts_can_be_read_off(
    cases: dict[str, ABTestResult], heard_on_phones: Build
) -> None:
    """Pages in frames 390 pixels wide tell their width, every script error and what the crosshair says."""
    probe = """<script>
      const errors = [], tips = [];
      addEventListener("error", (event) => errors.push(String(event.message)));
      addEventListener("load", () => {
        for (const canvas of document.querySelectorAll(".canvas[tabindex]")) {
          canvas.dispatchEvent(new PointerEvent("pointermove", { clientX: 200, clientY: 10 }));
          tips.push(document.getElementById("tip").textContent);
        }
        parent.postMessage({ width: document.documentElement.scrollWidth, errors, tips }, "*");
      });
    </script>"""
    pages = [render_comparison_page(cases[name], created_at=NOW) for name in ("returns", "all pairs", "undecidable")]
    heard = heard_on_phones(pages, probe)
    for report in heard:
        assert report["errors"] == []
        assert report["width"] <= 390
        assert report["tips"] and all(re.match(r"row \d|trials \d|\d{4}-\d\d-\d\d .*UTC", tip) for tip in report["tips"])
    assert any(tip.startswith("trials") for report in heard for tip in report["tips"])
