"""Options for an exchange's class of ccxt, out of a file: proxy, timeout, testnet, keys."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from huracan.errors import DataError

__all__ = ["read_exchange_options"]


def read_exchange_options(file: Path | None) -> dict[str, Any]:
    """What ``exchange_options`` of :func:`huracan.market.fetch_candles` takes, out of a JSON file; nothing without one.

    Raises
    ------
    DataError : the file cannot be read, or holds no JSON object.

    Examples
    --------
    >>> read_exchange_options(None)
    {}
    """
    if file is None:
        return {}
    try:
        options = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{file} cannot be read as exchange options ({error}); a JSON object was expected.") from error
    if not isinstance(options, dict):
        raise DataError(f"{file} holds a {type(options).__name__}; a JSON object of exchange options was expected.")
    return options
