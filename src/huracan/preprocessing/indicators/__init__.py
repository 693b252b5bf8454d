"""Indicators by family: importing this fills the register."""

from __future__ import annotations

from huracan.preprocessing.indicators import (
    alpha158,
    averages,
    calendar,
    channels,
    cycles,
    decomposed,
    direction,
    momentum,
    oscillators,
    patterns,
    plain_returns,
    price_volatility,
    price_volume,
    returns,
    sessions,
    shape,
    trend,
    volatility,
    volume,
)
from huracan.preprocessing.indicators.bars import Bars
from huracan.preprocessing.indicators.registry import (
    Indicator,
    Parameter,
    choice,
    get_indicator,
    indicator,
    known_indicators,
    number,
    window,
)
from huracan.preprocessing.indicators.table import indicator_table
from huracan.preprocessing.indicators.volatility import garman_klass_variance, parkinson_variance, rogers_satchell_variance

FAMILIES = (
    returns,
    volatility,
    trend,
    oscillators,
    volume,
    shape,
    calendar,
    decomposed,
    averages,
    channels,
    cycles,
    direction,
    momentum,
    patterns,
    plain_returns,
    price_volatility,
    price_volume,
    sessions,
    alpha158,
)

__all__ = [
    "FAMILIES",
    "Bars",
    "Indicator",
    "Parameter",
    "choice",
    "garman_klass_variance",
    "get_indicator",
    "indicator",
    "indicator_table",
    "known_indicators",
    "number",
    "parkinson_variance",
    "rogers_satchell_variance",
    "window",
]
