"""Cleaning: faults of candles treated by a stated policy, filters for feature columns, and an account of every change."""

from __future__ import annotations

from huracan.preprocessing.cleaning.candles import clean_candles
from huracan.preprocessing.cleaning.outcome import CleanedCandles
from huracan.preprocessing.cleaning.policy import CleaningPolicy
from huracan.preprocessing.cleaning.trailing_filters import FilteredValues, hampel, winsorise

__all__ = ["CleanedCandles", "CleaningPolicy", "FilteredValues", "clean_candles", "hampel", "winsorise"]
