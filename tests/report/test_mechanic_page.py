"""The page of a life with the Mechanic: what happened stands where it happened, and nothing in it is more than text."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from huracan.report.charts.accounts import accounts_chart
from huracan.report.charts.live_bands import Event, Expected, live_bands_chart
from huracan.report.mechanic_content import Account, Difference, MechanicContent
from huracan.report.mechanic_page import render_mechanic_page

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HOSTILE = "<script>document.title='owned'</script>\"'&"
Read = Callable[[str], Any]


def equity(n: int, end: float) -> pl.DataFrame:
    return pl.DataFrame({"ts": [NOW + timedelta(hours=i) for i in range(n)], "net": np.linspace(1.0, end, n)})


def content(text: str = "it is so.") -> MechanicContent:
    day = timedelta(days=1)
    skill = pl.DataFrame(
        {
            "ts": [NOW + i * day for i in range(4)],
            "value": [0.1, 0.2, None, 0.05],
            "low": [0.0, 0.1, None, None],
            "high": [0.2, 0.3, None, 0.1],
        }
    )
    challengers = pl.DataFrame(
        {
            "requested": [NOW, NOW + day],
            "scope": ["champion", text],
            "kind": ["first", "full"],
            "asked": [text, text],
            "state": ["promoted", "failed"],
            "decided": [NOW + day, None],
            "version": [1, None],
            "reason": [text, text],
        }
    )
    return MechanicContent(
        title=text,
        sentence=text,
        created_at=NOW,
        facts={text: text},
        accounts=(
            Account("with the Mechanic", equity(100, 1.2), {"total_return": 0.2, "sharpe": 1.5, "max_drawdown": -0.1}),
            Account(text, equity(100, 0.9), {"total_return": -0.1, "sharpe": float("nan")}),
        ),
        differences=(Difference(text, "net return a bar", 2e-5, 1e-5, 3e-5, 0.001, 90.0),),
        skill=skill,
        expected=Expected(0.1, 0.05, 0.15),
        events=(Event(NOW + 2 * day, text, "plus"), Event(NOW + 3 * day, text, "minus"), Event(NOW + 99 * day, text)),
        challengers=challengers,
        decisions=pl.DataFrame({"decision": ["retrain_full"], "times": [3], "last": [NOW], "reason": [text]}),
        evidence=pl.DataFrame({"tick": [NOW], "kind": ["skill_fall"], "scope": [text], "strong": [True], "sentence": [text]}),
        alerts=pl.DataFrame({"level": ["warning"], "sentence": [text], "first": [NOW], "last": [NOW + day], "count": [4]}),
        notes=(text,),
    )


def test_it_tells_what_was_earned_decided_and_seen(read: Read) -> None:
    page = read(render_mechanic_page(content()))
    for said in ("+20.0%", "−10.0%", "1 promoted, 0 rejected, 0 expired, 1 failed", "+0.200 bps", "retrain full", "skill fall"):
        assert said in page.text, said
    assert "2026-01-02 00:00" in page.text
    assert len(page.ids) == len(set(page.ids))
    assert "None" not in page.text and "nan" not in page.text.split()


def test_names_and_sentences_are_text_whatever_they_hold(read: Read) -> None:
    page = read(render_mechanic_page(content(HOSTILE)))
    scripts = [attributes for name, attributes in page.tags if name == "script"]
    assert sum(attributes.get("type") is None for attributes in scripts) == 1
    assert page.text.count(HOSTILE) > 10


@pytest.mark.parametrize("emptied", ["challengers", "decisions", "evidence", "alerts", "skill"])
def test_what_there_is_none_of_is_said_or_left_out(emptied: str, read: Read) -> None:
    made = content()
    page = read(render_mechanic_page(replace(made, **{emptied: getattr(made, emptied).clear()})))
    assert page.text
    bare = replace(made, accounts=(), differences=(), events=(), expected=None, facts={}, notes=())
    assert "Nothing was earned yet." in read(render_mechanic_page(bare)).text


def test_bands_lines_and_events_stand_to_scale() -> None:
    made = content()
    drawn = str(live_bands_chart(made.skill, name="mean payoff", expected=made.expected, events=made.events))
    low, high = -0.05 * 0.3, 0.3 * 1.05  # the extremes are 0 and .3, with a margin of a twentieth of their distance
    y = lambda v: 800 * (1 - (v - low) / (high - low))  # noqa: E731
    stripe = re.search(r'class="expected" d="M0 ([\d.]+)H2000V([\d.]+)H0z"', drawn)
    assert stripe is not None
    assert np.allclose([float(stripe[1]), float(stripe[2])], [y(0.15), y(0.05)], atol=0.05)
    bands = re.findall(r'class="band live" d="([^"]*)"', drawn)
    assert len(bands) == 1, "the band breaks where an end is not known"
    line = re.search(r'class="curve net" d="([^"]*)"', drawn)
    assert line is not None
    assert line[1].count("M") == 2, "the line breaks where nothing was measured"
    at = [float(x) for x in re.findall(r'class="happened \w*" d="M([\d.]+) 0', drawn)]
    assert np.allclose(at, [2000 * 2 / 3, 2000], atol=0.1), "an event outside of the time that is drawn is not"


def test_accounts_share_one_scale_of_time_and_growth() -> None:
    later = equity(50, 1.5).with_columns(pl.col("ts") + timedelta(hours=49.5))
    drawn = str(accounts_chart([("a", equity(100, 1.2)), ("b", later)]))
    ends = {
        css: [tuple(map(float, point.split())) for point in re.split("[ML]", path)[1:]]
        for css, path in re.findall(r'<path class="curve (\w+)" d="(M[^"]*)"', drawn)
        if "L" in path
    }
    assert ends["net"][0][0] == 0.0 and ends["net"][-1][0] == 2000.0
    assert np.isclose(ends["gross"][0][0], 1000.0)
    growth = np.array([ends["net"][0][1] - ends["net"][-1][1], ends["gross"][0][1] - ends["gross"][-1][1]])
    assert np.isclose(growth[1] / growth[0], 0.5 / 0.2, rtol=1e-3)
    assert "Nothing was earned yet." in str(accounts_chart([]))
