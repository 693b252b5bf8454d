"""Recognise columns under the names the world gives them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from huracan.errors import CandleError

__all__ = ["ALIASES", "TIME_NAMES", "find_column", "missing_column", "plain_name", "shown"]

TIME_NAMES = (
    "ts",
    "timestamp",
    "opentime",
    "time",
    "datetime",
    "date",
    "starttime",
    "start",
    "opentimestamp",
    "opentimems",
    "timestampms",
    "tsms",
    "candlebegintime",
    "periodstart",
    "bucket",
    "unix",
    "unixtime",
    "unixtimestamp",
    "epoch",
    "t",
    "index",
    "indexlevel0",
)
"""Names of a bar's open time, most trusted first; compared without case, spaces, underscores and punctuation."""

ALIASES: dict[str, tuple[str, ...]] = {
    "symbol": ("symbol", "ticker", "pair", "instrument", "instid", "instrumentid", "market", "coin", "asset", "sym", "s"),
    "open": ("open", "o", "openprice", "priceopen", "op"),
    "high": ("high", "h", "highprice", "pricehigh", "max", "hi"),
    "low": ("low", "l", "lowprice", "pricelow", "min", "lo"),
    "close": ("close", "c", "closeprice", "priceclose", "last", "cl"),
    "volume": ("volume", "v", "vol", "basevolume", "volumebase", "volbase", "basevol"),
    "funding_rate": ("fundingrate", "funding"),
}
"""Canonical name -> what it may be called, most trusted first; compared like :data:`TIME_NAMES`.

Quote volume, "amount" (often quote volume) and adjusted closes are not aliases: they are other quantities.
"""

_END_NAMES = ("closetime", "endtime", "tsend", "end")


def plain_name(name: str) -> str:
    """Strip what writers of column names disagree about.

    >>> plain_name("Open_Time "), plain_name("Vol. (base)")
    ('opentime', 'volbase')
    """
    return "".join(letter for letter in name.lower() if letter.isalnum())


def find_column(canonical: str, columns: Iterable[str]) -> str | None:
    """Which of ``columns`` is meant by ``canonical``, or ``None``.

    Raises
    ------
    CandleError : two columns carry the same alias, such as ``Close`` and ``close``.

    >>> find_column("volume", ["Open Time", "Vol"])
    'Vol'
    """
    columns = tuple(columns)
    if canonical in columns:
        return canonical
    for alias in ALIASES[canonical]:
        found = [name for name in columns if plain_name(name) == alias]
        if len(found) > 1:
            raise CandleError(f"columns {', '.join(map(shown, found))} could all be '{canonical}'; keep the one that is meant.")
        if found:
            return found[0]
    return None


def missing_column(canonical: str, columns: Iterable[str], *, where: str) -> CandleError:
    """Make the error for a column that is not there, offering the nearest name that is."""
    columns = tuple(columns)
    names = TIME_NAMES if canonical == "ts" else ALIASES[canonical]
    close = [name for name in columns if difflib.get_close_matches(plain_name(name), names, n=1, cutoff=0.6)]
    hint = f"; {shown(close[0])} looks near, rename it to '{canonical}' if it is meant" if close else ""
    if canonical == "ts":
        end = [name for name in columns if plain_name(name) in _END_NAMES]
        hint = f"; {shown(end[0])} is the end of the bar, and 'ts' is its open: subtract the bar length" if end else hint
    listed = ", ".join(map(shown, columns[:20])) + (f" and {len(columns) - 20} more" if len(columns) > 20 else "")
    return CandleError(f"{where} has no column '{canonical}' among {listed or 'no columns at all'}{hint}.")


def shown(value: object) -> str:
    """Quote a name or a value for a message, on one line and not longer than a glance.

    >>> print(shown("open"), len(shown("a" * 99)))
    'open' 60
    """
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
