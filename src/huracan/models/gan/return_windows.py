"""Windows of returns in units of the volatility known before them, with the regime known before them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from huracan.baselines.inputs import require_finite
from huracan.dataset import REGIME_ORDER, TrainingSet
from huracan.errors import CandleError, DataError, ModelError, NotEnoughData, nearest_name
from huracan.market import with_segments
from huracan.models.candle_frames import as_candles
from huracan.preprocessing.lags import ordered_bounds
from huracan.regimes import RegimeClassifier

__all__ = ["ReturnWindows", "as_windows", "price_step", "regime_codes"]

_NAMES = tuple(str(regime) for regime in REGIME_ORDER)
_LOG_RETURN = re.compile(r"log_return(_1)?")
_SIMPLE_RETURN = re.compile(r"(simple_)?return_1")
_SCALED_RETURN = re.compile(r"log_return_scaled_1(_\d+)?")


@dataclass(frozen=True, eq=False)
class ReturnWindows:
    """A table of returns, and the windows in it that have a past.

    Attributes
    ----------
    table : float32 (bars, 2): return, and the volatility of one bar known before it. last : int64 (n,), the bar each window
        ends in. regime : int64 (n,), place in ``REGIME_ORDER`` of the regime known before its first bar.
    length : bars of a window.
    """

    table: NDArray[np.float32]
    last: NDArray[np.int64]
    regime: NDArray[np.int64]
    length: int

    def __len__(self) -> int:
        return len(self.last)

    def take(self, which: NDArray[Any]) -> ReturnWindows:
        """Some of the windows, over the same table."""
        return ReturnWindows(self.table, self.last[which], self.regime[which], self.length)

    def scaled(self) -> NDArray[np.float64]:
        """All windows in units of the volatility known before them, (n, length)."""
        bars = self.last[:, None] + np.arange(1 - self.length, 1)
        return self.table[bars, 0].astype(np.float64) / self.volatility[:, None]

    @property
    def volatility(self) -> NDArray[np.float64]:
        """The unit of each window, (n,): standard deviation of one bar's return."""
        return self.table[self.last - self.length + 1, 1].astype(np.float64)

    @classmethod
    def of(
        cls,
        X: Any,
        regimes: Any = None,
        *,
        length: int,
        reference: int,
        conditional: bool = True,
        jitter_seed: int | None = None,
    ) -> ReturnWindows:
        """Read candles, a ``TrainingSet``, returns (n,) of one series, or windows (n, length) that are scaled already.

        Parameters
        ----------
        X : see :class:`~huracan.models.gan.estimator.ReturnGAN`.
        regimes : of each row; for candles a frame ``[symbol, ts, regime]``, else names or None where not known.
        length, reference : bars of a window, and of the past it is measured by.
        conditional : whether windows need a regime.
        jitter_seed : closes of candles are moved within their price step; None leaves them.

        Raises
        ------
        DataError : a return is not finite, or regimes are missing or do not fit. NotEnoughData : no window.
        """
        X = as_candles(X)
        if isinstance(X, pl.DataFrame):
            returns, group, code = _of_candles(X, regimes, conditional, jitter_seed)
        elif isinstance(X, TrainingSet):
            returns, group, code = _of_training_set(X)
        else:
            array = np.asarray(X.to_numpy() if hasattr(X, "to_numpy") else X, dtype=np.float64)
            code = regime_codes(regimes, len(array)) if conditional else np.zeros(len(array), np.int64)
            if array.ndim == 2 and array.shape[1] > 1:
                return cls._of_windows(array, code, length)
            returns, group = array.reshape(-1), np.zeros(array.size, np.int64)
            require_finite(returns[:, None], ("returns",))
        if not conditional:
            code = np.zeros(len(returns), np.int64)
        return cls._cut(returns, group, code, length, reference)

    @classmethod
    def _of_windows(cls, windows: NDArray[np.float64], code: NDArray[np.int64], length: int) -> ReturnWindows:
        n, width = windows.shape
        if width != length:
            raise DataError(f"X holds windows of {width} returns; the model's window is {length}.")
        require_finite(windows, tuple(f"bar {i}" for i in range(width)))
        table = np.ones((n * width, 2), np.float32)
        table[:, 0] = windows.reshape(-1)
        last = np.arange(1, n + 1, dtype=np.int64) * width - 1
        return cls(table, last, code, length).take(code >= 0)

    @classmethod
    def _cut(
        cls, returns: NDArray[np.float64], group: NDArray[np.int64], code: NDArray[np.int64], length: int, reference: int
    ) -> ReturnWindows:
        """Windows whose ``reference`` bars before, and whose own, lie in one group (symbol and segment) and are known."""
        row = np.arange(len(returns))
        begins = np.ones(len(returns), bool)
        begins[1:] = group[1:] != group[:-1]
        known = np.isfinite(returns)
        since = row - np.maximum.accumulate(np.where(begins | ~known, row + ~known, -1))
        size = np.concatenate(([0.0], np.cumsum(np.where(known, np.abs(returns), 0.0))))
        scale = np.full(len(returns), np.nan)
        inside = since >= reference
        scale[inside] = np.sqrt(np.pi / 2.0) * (size[row[inside]] - size[row[inside] - reference]) / reference
        last = np.flatnonzero(since >= reference + length - 1)
        first = last - length + 1
        last = last[(scale[first] > 0) & (code[first - 1] >= 0)]
        if not len(last):
            longest = int(since.max(initial=-1)) + 1
            raise NotEnoughData(
                f"no window of {length} returns with {reference} before it and a known regime; the longest unbroken run has "
                f"{longest}. Shorten window or reference, or give more history."
            )
        table = np.column_stack([np.where(known, returns, 0.0), np.nan_to_num(scale, nan=1.0)]).astype(np.float32)
        return cls(table, last, code[last - length].astype(np.int64), length)


def as_windows(windows: Any) -> NDArray[np.float64]:
    """Windows (n, length) as numbers.

    >>> as_windows([[1, 2], [3, 4]]).shape
    (2, 2)
    """
    try:
        array = np.asarray(windows.to_numpy() if hasattr(windows, "to_numpy") else windows, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"windows hold what is no number ({error}); scaled returns (n, window) were expected.") from error
    if array.ndim == 2:
        require_finite(array, tuple(f"bar {i}" for i in range(array.shape[1])))
    return array


def regime_codes(regimes: Any, n: int) -> NDArray[np.int64]:
    """Names of regimes as places in ``REGIME_ORDER``, -1 where None.

    >>> regime_codes(["volatile", None, "trending"], 3).tolist()
    [2, -1, 0]
    """
    if regimes is None:
        raise ModelError("a regime-conditional GAN needs regimes= with returns or windows; pass them, or conditional=False.")
    names = list(regimes.to_list() if hasattr(regimes, "to_list") else regimes)
    if len(names) != n:
        raise DataError(f"regimes has {len(names)} rows where X has {n}.")
    code: Mapping[Any, int] = {None: -1, **{name: i for i, name in enumerate(_NAMES)}}
    for name in {str(name) for name in names if name is not None} - set(_NAMES):
        raise nearest_name(name, _NAMES, kind="regime")
    return np.array([code[None if name is None else str(name)] for name in names], np.int64)


def price_step(close: NDArray[np.float64]) -> float:
    """The smallest change between neighbouring closes, 0 where nothing ever moved.

    >>> price_step(np.array([1.00, 1.02, 1.03, 1.03]))
    0.01
    """
    steps = np.abs(np.diff(close))
    steps = steps[steps > 1e-9 * close.max(initial=0.0)]
    return float(f"{steps.min():.6g}") if len(steps) else 0.0


def _of_candles(
    candles: pl.DataFrame, regimes: Any, conditional: bool, jitter_seed: int | None
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    missing = [name for name in ("symbol", "ts", "close") if name not in candles.columns]
    if missing:
        raise CandleError(f"candles lack the column '{missing[0]}'; symbol, ts and close were expected.")
    bad = ~(candles["close"].is_finite() & (candles["close"] > 0)).fill_null(False)
    if bad.any():
        at = candles.row(int(bad.arg_max() or 0), named=True)
        raise CandleError(f"close of {at['symbol']} at {at['ts']} is {at['close']}; a finite price above 0 was expected.")
    ordered_bounds(candles.select("symbol", "ts", segment=pl.lit(0)))  # segments are counted in sorted candles only
    frame = with_segments(candles)
    symbol = frame["symbol"].rle_id().to_numpy().astype(np.int64)
    group = np.zeros(frame.height, np.int64)
    for number, (start, stop) in enumerate(ordered_bounds(frame)):
        group[start:stop] = number
    close = frame["close"].to_numpy().astype(np.float64)
    if jitter_seed is not None:
        rng = np.random.default_rng(jitter_seed)
        step = np.array([price_step(close[symbol == s]) for s in np.unique(symbol)])
        close = close + rng.uniform(-0.5, 0.5, len(close)) * np.minimum(step[symbol], close)
    returns = np.full(len(close), np.nan)
    returns[1:] = np.where(group[1:] == group[:-1], np.log(close[1:] / close[:-1]), np.nan)
    if not conditional:
        return returns, group, np.zeros(len(close), np.int64)
    named = RegimeClassifier().classify(candles) if regimes is None else regimes
    if not isinstance(named, pl.DataFrame) or not {"symbol", "ts", "regime"} <= set(named.columns):
        raise DataError("regimes of candles must be a frame [symbol, ts, regime], as RegimeClassifier.classify gives it.")
    joined = frame.select("symbol", "ts").join(
        named.select("symbol", "ts", pl.col("regime").cast(pl.String)), on=["symbol", "ts"], how="left", maintain_order="left"
    )
    return returns, group, regime_codes(joined["regime"], frame.height)


def _of_training_set(rows: TrainingSet) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Log returns of one bar, from the first feature that is one, or is a simple one."""
    column, simple = _return_column(rows.feature_names)
    order = np.lexsort((rows.ts, rows.symbol_code))
    returns = rows.X[order, column].astype(np.float64)
    require_finite(returns[:, None], (rows.feature_names[column],))
    if simple:
        lost = returns <= -1.0
        if lost.any():
            at = order[int(np.argmax(lost))]
            raise DataError(
                f"column '{rows.feature_names[column]}' holds {rows.X[at, column]:g} at {rows.symbol[at]}, {rows.ts[at]}; a "
                "simple return above -1 was expected."
            )
        returns = np.log1p(returns)
    group = rows.symbol_code[order].astype(np.int64) * (len(rows) + 1) + rows.segment[order]
    group = np.cumsum(np.concatenate(([True], (np.diff(group) != 0) | (np.diff(rows.ts[order]) != rows.bar_length))))
    return returns, group, rows.regime_code[order].astype(np.int64)


def _return_column(names: tuple[str, ...]) -> tuple[int, bool]:
    """Which column holds returns of one bar, and whether they are simple ones."""
    for kind, simple in ((_LOG_RETURN, False), (_SIMPLE_RETURN, True)):
        for column, name in enumerate(names):
            if kind.fullmatch(name):
                return column, simple
    scaled = next((name for name in names if _SCALED_RETURN.fullmatch(name)), None)
    if scaled is not None:
        raise DataError(
            f"the TrainingSet's only returns of one bar are '{scaled}', each in units of a volatility of its own, from which "
            "no path of prices can be made; log_return of one bar was expected among the features, or the candles themselves."
        )
    raise DataError(
        f"the TrainingSet has no column of one bar's returns (log_return, log_return_1 or return_1) among {', '.join(names)}."
    )
