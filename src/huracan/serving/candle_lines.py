"""Candles as lines of JSON in, signals as lines of JSON out: one bad line is one answer that says so."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from huracan.errors import CandleError, DataError, HuracanError
from huracan.serving.champions import Champions
from huracan.serving.predictor import Predictor

__all__ = ["answer_lines"]


def answer_lines(predictor: Predictor | Champions, lines: Iterable[str]) -> Iterator[str]:
    """Answer line by line.

    A line is a candle (``{"symbol": ..., "ts": ..., "open": ..., ...}``), a list of candles of several symbols, which are
    answered at once, or a label that became known (``{"symbol": ..., "ts": ..., "label": ...}``), which is answered by
    ``{"learned": true}`` or ``false``. ``ts`` is milliseconds since 1970, or ISO 8601 with a zone. Empty lines are skipped.

    Yields
    ------
    JSON without a line break: :meth:`Signal.to_dict`, or ``{"error": sentence, "line": number}``, after which it goes on.
    """
    for number, line in enumerate(lines, start=1):
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
        return [signal.to_dict() for signal in predictor.update_all([_candle(one) for one in given])]
    candle = _candle(given)
    if "label" in candle:
        label, symbol, ts = candle["label"], str(candle.get("symbol")), candle.get("ts")
        if not isinstance(ts, int | datetime):
            raise DataError(f"ts of a label is {ts!r}; the open of its bar was expected.")
        if isinstance(label, bool) or not isinstance(label, int | float):
            raise DataError(f"label is {label!r}; a number was expected.")
        return [{"symbol": symbol, "learned": predictor.learn(symbol, ts, float(label))}]
    return [predictor.update(candle).to_dict()]


def _parsed(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        where = f" at column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        raise CandleError(f"the line is no JSON{where}; a candle, or a list of candles, was expected.") from error


def _candle(given: Any) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise CandleError(f"the line holds {type(given).__name__} {given!r:.60}; a candle as a JSON object was expected.")
    candle = dict(given)
    ts = candle.get("ts")
    if isinstance(ts, str):
        try:
            candle["ts"] = datetime.fromisoformat(ts)
        except ValueError:
            raise CandleError(f"ts is '{ts:.60}'; milliseconds since 1970 or ISO 8601 with a zone was expected.") from None
    moment = candle.get("ts")
    if isinstance(moment, datetime) and moment.tzinfo is None:
        raise CandleError(f"ts is '{ts}', without a zone; such as {moment.isoformat()}Z was expected.")
    return candle
