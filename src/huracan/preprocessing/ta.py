"""TA-Lib's functions as recordable operations: the same C code in batch and, through its stream handles, bar by bar."""

from __future__ import annotations

from functools import cache
from typing import Any

import talib
import talib.abstract

from huracan.preprocessing.tracing import operation

__all__ = ["ta", "ta_lookback", "ta_outputs"]


@cache
def ta_outputs(function: str) -> int:
    """How many series a TA-Lib function gives.

    >>> ta_outputs("RSI"), ta_outputs("MACD")
    (1, 3)
    """
    return len(talib.abstract.Function(function).output_names)  # type: ignore[attr-defined]


@cache
def ta_lookback(function: str, **parameters: Any) -> int:
    """Rows without a value at the start, for these parameters, as TA-Lib says.

    >>> ta_lookback("RSI", timeperiod=14), ta_lookback("MACD", fastperiod=12, slowperiod=26, signalperiod=9)
    (14, 33)
    """
    handle = talib.abstract.Function(function)  # type: ignore[attr-defined]
    handle.parameters = parameters
    return int(handle.lookback)


@operation(outputs=lambda function, *series, **parameters: ta_outputs(function))
def ta(function: str, *series: Any, **parameters: Any) -> Any:
    """Call a TA-Lib function on float64 series without NaN but at their start.

    >>> import numpy as np
    >>> ta("SMA", np.array([1.0, 2.0, 6.0]), timeperiod=2)
    array([nan, 1.5, 4. ])
    """
    return getattr(talib, function)(*series, **parameters)
