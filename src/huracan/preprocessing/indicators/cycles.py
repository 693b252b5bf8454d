"""Cycles by Ehlers' Hilbert transform, with TA-Lib's values."""

from __future__ import annotations

import functools

from huracan.preprocessing.indicators.from_talib import register_talib
from huracan.preprocessing.indicators.registry import number

__all__: list[str] = []

_cycle = functools.partial(
    register_talib,
    family="cycles",
    source="Ehlers, Rocket Science for Traders, 2001",
    cumulative=True,
)

_cycle(
    "dominant_cycle_period",
    "HT_DCPERIOD",
    "Length of the dominant cycle, in bars, 6 to 50.",
    formula="homodyne discriminator of the Hilbert transform of the smoothed close, averaged; its filters follow its result",
)
_cycle(
    "sine_wave",
    "HT_SINE",
    "Where the price stands in its dominant cycle, -1 to 1, and the same an eighth of a cycle earlier.",
    outputs=("sine", "lead"),
    formula="sin(phase), sin(phase + 45 degrees) of the dominant cycle",
)
_cycle(
    "hilbert_trendline",
    "HT_TRENDLINE",
    "The close without its dominant cycle, in units of price.",
    unit="price",
    formula="mean of the close over one dominant cycle, weighted over the last four bars",
)
_cycle(
    "mama",
    "MAMA",
    "MESA adaptive moving average, which follows the speed of the phase, and the average that follows it.",
    parameters=(
        number("fast_limit", 0.5, low=0.01, high=0.99, aliases=("fastlimit",)),
        number("slow_limit", 0.05, low=0.01, high=0.99, aliases=("slowlimit",)),
    ),
    called={"fast_limit": "fastlimit", "slow_limit": "slowlimit"},
    outputs=("mama", "fama"),
    unit="price",
    formula="M[t] = M[t-1] + a (close[t] - M[t-1]), a = fast / degrees the phase moved, within the limits; F likewise by a / 2",
    refuse=lambda fast_limit, slow_limit: (
        None if slow_limit <= fast_limit else f"slow_limit {slow_limit:g} must not be above fast_limit {fast_limit:g}."
    ),
)
