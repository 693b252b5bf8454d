"""The register as a table to read."""

from __future__ import annotations

import polars as pl

from huracan.preprocessing.indicators.from_talib import ORACLES
from huracan.preprocessing.indicators.registry import Indicator, Parameter, get_indicator, known_indicators

__all__ = ["indicator_table"]


def indicator_table() -> pl.DataFrame:
    """List every registered indicator.

    Returns
    -------
    A frame ``[indicator, family, purpose, parameters, columns, outputs, unit, lookback, settle, memory, formula, undefined,
    talib, source, aliases]``. ``unit`` is that of each output, empty for a pure number, which alone compares between symbols.
    ``lookback`` and ``settle`` are for the default parameters, in bars: the rows without a value at the start, and the
    history after which a value no longer depends on where it began (null where it depends on it for ever). ``parameters`` are
    named with their defaults, other choices in brackets; ``undefined`` says what is given where the formula has no value;
    ``talib`` how the values stand to TA-Lib's: ``bitwise``, or why not; empty where TA-Lib has no such indicator.

    Examples
    --------
    >>> indicator_table().filter(pl.col("indicator") == "rsi").select("family", "lookback", "settle", "talib").row(0)
    ('momentum', 14, 263, 'RSI: bitwise')
    """
    return pl.DataFrame([_row(get_indicator(name)) for name in known_indicators()], schema_overrides={"settle": pl.Int64})


def _row(entry: Indicator) -> dict[str, object]:
    defaults = dict(entry.values_for({}))
    return {
        "indicator": entry.name,
        "family": entry.family,
        "purpose": entry.purpose,
        "parameters": ", ".join(_written(parameter) for parameter in entry.parameters),
        "columns": ", ".join(entry.columns),
        "outputs": ", ".join(entry.column_names(defaults)),
        "unit": ", ".join(dict.fromkeys(unit or "none" for unit in entry.units)) if any(entry.units) else "",
        "lookback": entry.lookback(defaults),
        "settle": entry.settle(defaults) if entry.memory != "cumulative" else None,
        "memory": entry.memory,
        "formula": entry.formula,
        "undefined": entry.undefined,
        "talib": _parity(entry.name),
        "source": entry.source,
        "aliases": ", ".join(entry.aliases),
    }


def _written(parameter: Parameter) -> str:
    others = f" (or {', '.join(parameter.choices[1:])})" if parameter.choices else ""
    return f"{parameter.name}={parameter.default}{others}"


def _parity(name: str) -> str:
    oracle = ORACLES.get(name)
    return f"{oracle.function}: {oracle.difference or 'bitwise'}" if oracle else ""
