"""Candles as lines of JSON in, signals as lines of JSON out: one bad line is one answer that says so."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from huracan.errors import CandleError, HuracanError
from huracan.serving.champions import Champions
from huracan.serving.predictor import Predictor, require_label

__all__ = ["answer_lines"]

_BYTE_ORDER_MARK = "\ufeff"
"""Some editors and shells put it before the first line of a file, and so before later ones of joined files."""


def answer_lines(predictor: Predictor | Champions, lines: Iterable[str]) -> Iterator[str]:
    """Answer line by line.

    A line is a candle (``{"symbol": ..., "ts": ..., "open": ..., ...}``), a list of candles of several symbols, which are
    answered at once (one that is refused by a signal that says so), or a label that became known (``{"symbol": ..., "ts": ...,
    "label": ...}``), which is answered by ``{"learned": true}`` or ``false``. ``ts`` is milliseconds since 1970, or ISO 8601
    with a zone. Empty lines are skipped.

    Yields
    ------
    JSON without a line break: :meth:`Signal.to_dict`, or ``{"error": sentence, "line": number}``, after which it goes on.
    """
    for number, line in enumerate(lines, start=1):
        line = line.removeprefix(_BYTE_ORDER_MARK)
        if not line.strip():
            continue
        try:
            answers = _answers(predictor, _parsed(line))
        except HuracanError as error:
            answers = [{"error": str(error), "line": number}]
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            said = f"the line cannot be used: {type(error).__name__}: {error!s:.100}"
            answers = [{"error": said, "line": number}]  # one line must not end the answers to all others
        for answer in answers:
            yield json.dumps(answer, allow_nan=False)


def _answers(predictor: Predictor | Champions, given: Any) -> list[dict[str, Any]]:
    if isinstance(given, list):
        return [signal.to_dict() for signal in predictor.update_all([_with_time(one) for one in given])]
    candle = _candle(given)
    if "label" in candle:
        symbol, ts = str(candle.get("symbol")), candle.get("ts")
        return [{"symbol": symbol, "learned": predictor.learn(symbol, require_label(ts, candle["label"]), candle["label"])}]
    return [predictor.update(candle).to_dict()]


def _parsed(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        where = f" at column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        raise CandleError(f"the line is no JSON{where}; a candle, or a list of candles, was expected.") from error


def _candle(given: Any) -> Mapping[str, Any]:
    """The candle of a line of its own."""
    if not isinstance(given, Mapping):
        raise CandleError(f"the line holds {type(given).__name__} {given!r:.60}; a candle as a JSON object was expected.")
    candle = _with_time(given)
    if isinstance(ts := candle.get("ts"), str):
        moment = _time_of(ts)
        if moment is None:
            raise CandleError(f"ts is '{ts:.60}'; milliseconds since 1970 or ISO 8601 with a zone was expected.")
        raise CandleError(f"ts is '{ts}', without a zone; such as {moment.isoformat()}Z was expected.")
    return candle


def _with_time(given: Any) -> Any:
    """With ``ts`` as a time where it is the text of one; whatever else it is, is refused as it is."""
    ts = given.get("ts") if isinstance(given, Mapping) else None
    moment = _time_of(ts) if isinstance(ts, str) else None
    return given if moment is None or moment.tzinfo is None else {**given, "ts": moment}


def _time_of(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None
