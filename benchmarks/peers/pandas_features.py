"""The 80-column set in pandas, twice: by pandas-ta-classic, and by hand with pandas alone. Runs in a peer's environment.

``python pandas_features.py candles.parquet out.parquet rounds``: the candles of one symbol; writes the last round's columns
of both ways, prints CPU seconds of each round as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

import numpy as np
import pandas as pd

Columns = dict[str, pd.Series]

LAGGED = (
    "log_return_1",
    "log_return_6",
    "simple_return_1",
    "ema_12",
    "rsi_14",
    "sma_20",
    "wma_20",
    "atr_14",
    "cci_20",
    "mfi_14",
)
LAGS = (1, 2, 3, 5, 8)


def with_pandas_ta(c: pd.DataFrame) -> Columns:
    """Thirty features by the library's functions, TA-Lib switched off."""
    import pandas_ta_classic as ta

    macd = ta.macd(c.close, 12, 26, 9, talib=False)
    bands = ta.bbands(c.close, 20, 2.0, ddof=0, talib=False)
    adx = ta.adx(c.high, c.low, c.close, 14, talib=False)
    stochastic = ta.stoch(c.high, c.low, c.close, 14, 3, 3, talib=False)
    return {
        **{f"log_return_{h}": ta.log_return(c.close, h) for h in (1, 2, 3, 6, 12, 24)},
        **{f"simple_return_{h}": ta.percent_return(c.close, h) for h in (1, 12)},
        "sma_20": ta.sma(c.close, 20, talib=False),
        "sma_50": ta.sma(c.close, 50, talib=False),
        "ema_12": ta.ema(c.close, 12, talib=False),
        "ema_26": ta.ema(c.close, 26, talib=False),
        "wma_20": ta.wma(c.close, 20, talib=False),
        "rsi_14": ta.rsi(c.close, 14, talib=False),
        "macd_12_26_9_line": macd.iloc[:, 0],
        "macd_12_26_9_histogram": macd.iloc[:, 1],
        "macd_12_26_9_signal": macd.iloc[:, 2],
        "bollinger_20_upper": bands.iloc[:, 2],
        "bollinger_20_middle": bands.iloc[:, 1],
        "bollinger_20_lower": bands.iloc[:, 0],
        "bollinger_20_percent_b": bands.iloc[:, 4],
        "bollinger_20_width": bands.iloc[:, 3] / 100.0,
        "atr_14": ta.atr(c.high, c.low, c.close, 14, talib=False),
        "adx_14": adx.iloc[:, 0],
        "stochastic_14_3_3_k": stochastic.iloc[:, 0],
        "stochastic_14_3_3_d": stochastic.iloc[:, 1],
        "cci_20": ta.cci(c.high, c.low, c.close, 20, talib=False),
        "williams_r_14": ta.willr(c.high, c.low, c.close, 14, talib=False),
        "mfi_14": ta.mfi(c.high, c.low, c.close, c.volume, 14, talib=False),
        "obv_change_12": ta.obv(c.close, c.volume, talib=False).diff(12),
    }


def by_hand(c: pd.DataFrame) -> Columns:
    """The same thirty as one writes them with pandas' own rolling and exponential windows."""
    close, typical = c.close, (c.high + c.low + c.close) / 3.0
    mean, deviation = close.rolling(20).mean(), close.rolling(20).std(ddof=0)
    before = close.shift(1)
    true_range = np.maximum(c.high - c.low, np.maximum((c.high - before).abs(), (c.low - before).abs()))
    up, down = c.high.diff(), -c.low.diff()
    plus = up.where((up > down) & (up > 0.0), 0.0)
    minus = down.where((down > up) & (down > 0.0), 0.0)
    range_14 = _wilder(true_range)
    plus_di, minus_di = 100.0 * _wilder(plus) / range_14, 100.0 * _wilder(minus) / range_14
    moved = close.diff()
    gain, loss = _wilder(moved.clip(lower=0.0)), _wilder(-moved.clip(upper=0.0))
    line = _ema(close, 12) - _ema(close, 26)
    signal = _ema(line, 9)
    lowest, highest = c.low.rolling(14).min(), c.high.rolling(14).max()
    k = (100.0 * (close - lowest) / (highest - lowest)).rolling(3).mean()
    weights = np.arange(1.0, 21.0)
    flow, rise = typical * c.volume, typical.diff()
    inflow, outflow = flow.where(rise > 0.0, 0.0).rolling(14).sum(), flow.where(rise < 0.0, 0.0).rolling(14).sum()
    typical_mean = typical.rolling(20).mean()
    windows = np.lib.stride_tricks.sliding_window_view(typical.to_numpy(), 20)
    spread = pd.Series(np.r_[np.full(19, np.nan), np.abs(windows - windows.mean(axis=1)[:, None]).mean(axis=1)], c.index)
    return {
        **{f"log_return_{h}": np.log(close / close.shift(h)) for h in (1, 2, 3, 6, 12, 24)},
        **{f"simple_return_{h}": close.pct_change(h) for h in (1, 12)},
        "sma_20": mean,
        "sma_50": close.rolling(50).mean(),
        "ema_12": _ema(close, 12),
        "ema_26": _ema(close, 26),
        "wma_20": pd.Series(np.r_[np.full(19, np.nan), np.convolve(close, weights[::-1] / 210.0, "valid")], c.index),
        "rsi_14": 100.0 * gain / (gain + loss),
        "macd_12_26_9_line": line,
        "macd_12_26_9_histogram": line - signal,
        "macd_12_26_9_signal": signal,
        "bollinger_20_upper": mean + 2.0 * deviation,
        "bollinger_20_middle": mean,
        "bollinger_20_lower": mean - 2.0 * deviation,
        "bollinger_20_percent_b": (close - mean + 2.0 * deviation) / (4.0 * deviation),
        "bollinger_20_width": 4.0 * deviation / mean,
        "atr_14": range_14,
        "adx_14": _wilder(100.0 * (plus_di - minus_di).abs() / (plus_di + minus_di)),
        "stochastic_14_3_3_k": k,
        "stochastic_14_3_3_d": k.rolling(3).mean(),
        "cci_20": (typical - typical_mean) / (0.015 * spread),
        "williams_r_14": -100.0 * (highest - close) / (highest - lowest),
        "mfi_14": 100.0 * inflow / (inflow + outflow),
        "obv_change_12": (np.sign(moved).fillna(0.0) * c.volume).rolling(12).sum(),
    }


def _ema(x: pd.Series, span: int) -> pd.Series:
    return x.ewm(span=span, adjust=False).mean()


def _wilder(x: pd.Series) -> pd.Series:
    return x.ewm(alpha=1.0 / 14.0, adjust=False).mean()


def frame_of(base: Columns) -> pd.DataFrame:
    """Thirty columns and fifty lags of them."""
    lags = {f"{name}__lag_{k}": base[name].shift(k) for name in LAGGED for k in LAGS}
    return pd.DataFrame({**base, **lags})


def main(candles: str, out: str, rounds: int) -> None:
    """Time both ways, and write what they gave."""
    c = pd.read_parquet(candles)
    seconds: dict[str, list[float]] = {}
    frames = []
    for name, way in (("pandas-ta-classic", with_pandas_ta), ("pandas by hand", by_hand)):
        frames.append(_timed(way, c, rounds, seconds.setdefault(name, [])).add_suffix("|" + name))
    pd.concat(frames, axis=1).to_parquet(out)
    print(json.dumps({"seconds": seconds, "pandas": pd.__version__, "threads": 1}))


def _timed(way: Callable[[pd.DataFrame], Columns], c: pd.DataFrame, rounds: int, seconds: list[float]) -> pd.DataFrame:
    made = frame_of(way(c))
    for _ in range(rounds):
        started = time.process_time()
        made = frame_of(way(c))
        seconds.append(time.process_time() - started)
    return made


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
