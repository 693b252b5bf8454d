"""Candles as lines: one answer a candle, and a line that is none is an answer too."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from huracan.serving import Predictor
from huracan.serving.candle_lines import answer_lines

Opened = Callable[..., Predictor]
Bars = list[dict[str, Any]]


def line(bar: dict[str, Any]) -> str:
    return json.dumps({**bar, "ts": bar["ts"].isoformat()}) + "\n"


def test_lines_are_answered_like_candles(opened: Opened, later: list[dict[str, Any]]) -> None:
    by_line = [json.loads(answer) for answer in answer_lines(opened(), map(line, later[:20]))]
    predictor = opened()
    assert by_line == [json.loads(json.dumps(predictor.update(bar).to_dict())) for bar in later[:20]]


def test_a_list_of_candles_is_answered_at_once(opened: Opened, later: list[dict[str, Any]]) -> None:
    together = "[" + line(later[0]) + "," + line(later[1]).strip() + "]"
    answers = [json.loads(answer) for answer in answer_lines(opened(), [together.replace("\n", "")])]
    assert [answer["symbol"] for answer in answers] == [later[0]["symbol"], later[1]["symbol"]]


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ("{", "no JSON"),
        ("3", "as a JSON object"),
        ('"x"', "as a JSON object"),
        ('{"symbol": "SIM01-USD", "ts": "yesterday"}', "ISO 8601"),
        ('{"symbol": "SIM01-USD", "ts": "2024-05-05T00:00:00"}', "without a zone"),
        ('{"symbol": "SIM1-USD", "ts": 1}', "did you mean"),
        ('{"symbol": "SIM01-USD", "ts": 1714867200000, "open": NaN}', "'open' is nan"),
        ('{"symbol": "SIM01-USD", "ts": 1714867200000, "label": "up"}', "label is 'up'"),
        ("[" * 100_000, "no JSON"),
        ('{"symbol": "SIM01-USD", "label": 0.1}', "ts of a label is None"),
        ('{"symbol": "SIM01-USD", "ts": 1.5, "label": 0.1}', "ts of a label is 1.5"),
        ('{"symbol": "SIM1-USD", "ts": 1714867200000, "label": 0.1}', "did you mean"),
        ('{"symbol": "SIM01-USD", "ts": 1714867200000, "label": 1e999}', "label is inf"),
        ('{"symbol": "SIM01-USD", "ts": 1714867200000, "label": 1' + "0" * 400 + "}", "cannot be used: OverflowError"),
        ('{"symbol": "SIM01-USD", "ts": 1' + "0" * 5_000 + "}", "no JSON"),
        ('{"symbol": ["a"], "ts": 1714867200000, "label": 0.1}', "unknown symbol"),
    ],
)
def test_a_bad_line_is_told_with_its_number_and_the_stream_goes_on(
    opened: Opened, later: list[dict[str, Any]], bad: str, said: str
) -> None:
    answers = [json.loads(answer) for answer in answer_lines(opened(), ["\n", bad, line(later[0])])]
    assert answers[0]["line"] == 2
    assert said in answers[0]["error"]
    assert answers[1]["score"] is not None


def test_a_label_is_learned(opened: Opened, later: list[dict[str, Any]]) -> None:
    told = json.dumps({"symbol": later[0]["symbol"], "ts": later[0]["ts"].isoformat(), "label": 0.1})
    answers = [json.loads(answer) for answer in answer_lines(opened(), [line(later[0]), told, told])]
    assert [answer.get("learned") for answer in answers] == [None, True, False]


@pytest.mark.parametrize(
    ("bad", "symbol", "ts", "said"),
    [
        ('{"symbol": "NOPE", "ts": 1714867200000, "open": 1}', "NOPE", "2024-05-05T00:00:00+00:00", "unknown symbol 'NOPE'"),
        ('{"symbol": "SIM02-USD", "ts": "2024-05-05T00:00:00"}', "SIM02-USD", None, "'ts' is '2024-05-05T00:00:00'"),
        ('{"symbol": "SIM02-USD", "ts": "yesterday"}', "SIM02-USD", None, "a time with its zone"),
        ('{"symbol": "SIM02-USD", "ts": "9999-12-31T23:59:59+00:00"}', "SIM02-USD", None, "ends at"),
        ('{"symbol": "SIM02-USD", "ts": 1714863600000}', "SIM02-USD", "2024-05-04T23:00:00+00:00", "taken already"),
        ('{"symbol": ["SIM02-USD"], "ts": null}', "", None, "text was expected"),
        ("{}", "", None, "symbol is None"),
        ("3", "", None, "a int was given as a candle"),
    ],
)
def test_one_of_a_list_that_is_no_candle_keeps_no_bar_from_the_others(
    opened: Opened, later: Bars, bad: str, symbol: str, ts: str | None, said: str
) -> None:
    """Its own answer says so, in its place, with the time that it came with; never with that of another bar."""
    first, second = (line(later[i]).strip() for i in (0, 2))
    refused, *answers = [json.loads(answer) for answer in answer_lines(opened(), [f"[{bad}, {first}]", f"[{second}]"])]
    assert [veto["kind"] for veto in refused["vetoes"]] == ["refused"]
    assert said in refused["vetoes"][0]["why"]
    assert (refused["symbol"], refused["ts"], refused["do_predict"]) == (symbol, ts, False)
    assert [answer["vetoes"] for answer in answers] == [[], []]


def test_a_byte_order_mark_costs_no_candle(opened: Opened, later: Bars) -> None:
    (answer,) = answer_lines(opened(), ["\ufeff" + line(later[0])])
    assert json.loads(answer)["vetoes"] == []
