"""Candles as lines: one answer a candle, and a line that is none is an answer too."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from huracan.serving import Predictor
from huracan.serving.candle_lines import answer_lines

Opened = Callable[..., Predictor]


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


def test_a_list_with_a_symbol_that_is_not_open_changes_nothing(opened: Opened, later: list[dict[str, Any]]) -> None:
    bad = "[" + line(later[0]).strip() + ', {"symbol": "NOPE", "ts": 1}]'
    refused, *answers = [json.loads(answer) for answer in answer_lines(opened(), [bad, line(later[0])])]
    assert "unknown symbol 'NOPE'" in refused["error"]
    assert answers[0]["ts"] == opened().update(later[0]).to_dict()["ts"]
