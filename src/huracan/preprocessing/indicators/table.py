"""The register as a table to read."""

from __future__ import annotations

import polars as pl

from huracan.preprocessing.indicators.registry import get_indicator, known_indicators

__all__ = ["indicator_table"]


def indicator_table() -> pl.DataFrame:
    """List every registered indicator.

    Returns
    -------
    A frame ``[indicator, family, purpose, parameters, columns, outputs, lookback, memory, formula, undefined, source]``;
    ``lookback`` is for the default parameters, in bars; ``undefined`` says what is given where the formula has no value.

    Examples
    --------
    >>> indicator_table().filter(pl.col("indicator") == "rsi").select("family", "parameters", "lookback").row(0)
    ('momentum', 'window=14', 14)
    """
    rows = []
    for name in known_indicators():
        entry = get_indicator(name)
        defaults = dict(entry.values_for({}))
        rows.append(
            {
                "indicator": name,
                "family": entry.family,
                "purpose": entry.purpose,
                "parameters": ", ".join(f"{k}={v}" for k, v in defaults.items()),
                "columns": ", ".join(entry.columns),
                "outputs": ", ".join(entry.column_names(defaults)),
                "lookback": entry.lookback(defaults),
                "memory": entry.memory,
                "formula": entry.formula,
                "undefined": entry.undefined,
                "source": entry.source,
            }
        )
    return pl.DataFrame(rows)
