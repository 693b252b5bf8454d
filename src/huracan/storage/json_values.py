"""JSON that comes back as it went in: not-a-number and infinities survive, anything else that is not JSON is refused."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import date, datetime
from enum import Enum
from typing import Any

import numpy as np

from huracan.errors import StorageError

__all__ = ["from_json", "to_json"]

_FLOAT = "$float"
_SPECIAL = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def to_json(value: Any, *, where: str = "value", indent: int | None = None) -> str:
    """Write ``value`` as JSON text with sorted keys: equal values give equal text.

    NumPy scalars become numbers, arrays and tuples become lists, enumerations their value, dates ISO text.
    Not-a-number and the infinities, which JSON lacks (and PostgreSQL refuses), are written as
    ``{"$float": "nan"}`` and restored by :func:`from_json`.

    Raises
    ------
    StorageError : something in it is none of these; the message gives its path and type.

    Examples
    --------
    >>> to_json({"b": (1, 2), "a": float("nan")})
    '{"a": {"$float": "nan"}, "b": [1, 2]}'
    """
    plain = _plain(value, where)
    if indent is None:
        return _ENCODER.encode(plain)
    return json.dumps(plain, sort_keys=True, allow_nan=False, indent=indent, ensure_ascii=False)


def from_json(text: str | bytes) -> Any:
    """Read what :func:`to_json` wrote, or any JSON.

    Raises
    ------
    StorageError : the text is not JSON, or nested beyond reason.

    Examples
    --------
    >>> from_json('{"loss": {"$float": "-inf"}}')
    {'loss': -inf}
    """
    try:
        return _DECODER.decode(text) if isinstance(text, str) else json.loads(text, object_hook=_restore)
    except (ValueError, RecursionError) as error:
        raise StorageError(f"stored JSON cannot be read: {error}.") from error


def _restore(value: dict[str, Any]) -> Any:
    if len(value) == 1 and value.get(_FLOAT) in _SPECIAL:
        return _SPECIAL[value[_FLOAT]]
    return value


_ATOMS = frozenset((str, bool, int, type(None)))
_ENCODER = json.JSONEncoder(sort_keys=True, allow_nan=False, ensure_ascii=False)  # json makes another one at each call
_DECODER = json.JSONDecoder(object_hook=_restore)


def _plain(value: Any, where: str) -> Any:
    if type(value) in _ATOMS:
        return value
    if isinstance(value, Enum):
        return _plain(value.value, where)
    if isinstance(value, bool | str):
        return value
    if isinstance(value, np.generic | np.ndarray):
        return _plain(value.tolist(), where)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        number = float(value)
        return number if math.isfinite(number) else {_FLOAT: repr(number)}
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Mapping):
        plain = {}
        for key, item in value.items():
            if not isinstance(key, str):
                raise StorageError(f"{where} has the key {key!r} of type {type(key).__name__}; JSON keys are text.")
            name = key if type(key) is str else str(_plain(key, where))
            plain[name] = item if type(item) in _ATOMS else _plain(item, f"{where}.{key}")
        return plain
    if isinstance(value, list | tuple | set | frozenset):
        items = sorted(value) if isinstance(value, set | frozenset) else value
        return [item if type(item) in _ATOMS else _plain(item, f"{where}[{i}]") for i, item in enumerate(items)]
    raise StorageError(
        f"{where} is a {type(value).__module__}.{type(value).__qualname__}, which JSON cannot hold; "
        "text, numbers, booleans, None, lists and dictionaries of these were expected."
    )
