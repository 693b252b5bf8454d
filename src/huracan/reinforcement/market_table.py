"""The market an agent acts in: features it may see, prices it trades at, and where history is unbroken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from huracan.dataset.candle_rows import Recipe
from huracan.errors import DataError, NotEnoughData
from huracan.market import validate_candles, with_segments

__all__ = ["MarketTable"]

Floats = NDArray[np.float64]
_KEYS = ("symbol", "ts", "segment")
_TIMES = ("fill_ts", "mark_ts")


@dataclass(frozen=True, eq=False)
class MarketTable:
    """Bars of one or many symbols, one row each, rows of a symbol together and oldest first.

    What is decided on row i (at the close of its bar) is filled at ``fill[i]``, the open of the next bar, and valued at
    ``mark[i]``, the open after that, or, before a gap, the next fill there is. Build it with :meth:`from_candles` or
    :meth:`from_prices`.

    Attributes
    ----------
    features : float32 (rows, d), finite, contiguous. feature_names : d names.
    fill, mark : float64 (rows,), prices; nan where those bars are not there.
    close : float64 (rows,), the last price known when row i decides.
    volume : float64 (rows,), units traded in the bar of the fill. funding_rate : float64 (rows,) or None, fraction of
        notional that a long position pays over the bar of the fill. bars : float64 (rows,), bars between fill and mark.
    symbol_code, run : int64 (rows,); a run is an unbroken stretch of rows of one symbol, counted over all symbols.
    ts : datetime64[ms] (rows,), open of each bar, or None where prices have no times.
    decidable : bool (rows,), whether a decision may be taken on a row: its prices and the next row's features are there,
        and it lies in the span chosen with :meth:`between`.
    bar_length : of ``ts``, or None. recipe_hash : of the recipe that made the features, or None.
    dropped : reason -> rows that did not make it in. assumed : what candles did not say and what was taken for it -> rows.

    Examples
    --------
    >>> market = MarketTable.from_prices([[0.1], [0.2], [0.3], [0.4]], [10.0, 11.0, 12.0, 13.0])
    >>> market.fill.tolist(), market.mark.tolist(), market.decidable.tolist()
    ([10.0, 11.0, 12.0, 13.0], [11.0, 12.0, 13.0, nan], [True, True, True, False])
    >>> market.steps_ahead.tolist()
    [3, 2, 1, 0]
    """

    features: NDArray[np.float32]
    feature_names: tuple[str, ...]
    fill: Floats
    mark: Floats
    close: Floats
    volume: Floats
    funding_rate: Floats | None
    bars: Floats
    symbol_code: NDArray[np.int64]
    symbols: tuple[str, ...]
    run: NDArray[np.int64]
    decidable: NDArray[np.bool_]
    ts: NDArray[np.datetime64] | None = None
    bar_length: np.timedelta64 | None = None
    recipe_hash: str | None = None
    dropped: dict[str, int] = field(default_factory=dict)
    assumed: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.features)

    def __repr__(self) -> str:
        return (
            f"<MarketTable: {len(self):,} rows x {self.n_features} features, {len(self.symbols)} symbols, "
            f"{int(self.decidable.sum()):,} rows to decide on"
            + "".join(f"; {reason} in {rows:,} rows" for reason, rows in self.assumed.items())
            + ">"
        )

    @property
    def n_features(self) -> int:
        """Columns of ``features``."""
        return self.features.shape[1]

    @cached_property
    def history(self) -> NDArray[np.int64]:
        """(rows,) unbroken rows before each row: a window of length w may end in one that has at least w - 1."""
        row = np.arange(len(self))
        begins = np.concatenate(([True], self.run[1:] != self.run[:-1])) if len(self) else np.ones(0, bool)
        return row - np.maximum.accumulate(np.where(begins, row, 0))

    @cached_property
    def steps_ahead(self) -> NDArray[np.int64]:
        """(rows,) decisions that can follow each other from each row on, its own included."""
        n = len(self)
        last = np.where(~self.decidable, np.arange(n), n)  # rows of a run end with one that nothing can be decided on
        return np.minimum.accumulate(last[::-1])[::-1] - np.arange(n)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of everything an agent may learn from here."""
        digest = sha256("\x1f".join((*self.feature_names, "\x1e", *self.symbols)).encode())
        for name in ("features", "fill", "mark", "close", "volume", "funding_rate", "bars", "symbol_code", "run", "decidable"):
            value = getattr(self, name)
            digest.update(b"none" if value is None else np.ascontiguousarray(value).tobytes())
        return digest.hexdigest()

    def between(self, start: Any = None, stop: Any = None) -> MarketTable:
        """The same market, with decisions only where they are known and settled within a span of time.

        Parameters
        ----------
        start : nothing is decided before this moment (a bar's close is when it decides). stop : every position is valued
            by this moment. Text, datetimes in UTC or datetime64; None for no bound. Features before ``start`` stay
            visible: they are the past.

        Raises
        ------
        DataError : the table has no times. NotEnoughData : no decision is left.
        """
        if self.ts is None or self.bar_length is None:
            raise DataError("this market has no times, so no span of time can be chosen from it.")
        decided = self.ts + self.bar_length
        inside = self.decidable.copy()
        if start is not None:
            inside &= decided >= _moment(start)
        if stop is not None:
            inside &= decided + self.bar_length * self.bars.astype(np.int64) <= _moment(stop)
        if not inside.any():
            raise NotEnoughData(f"no decision lies between {start} and {stop}; the market has {_span(decided)}.")
        return replace(self, decidable=inside)

    def of_symbol(self, symbol: str) -> MarketTable:
        """The same market, with decisions on one symbol only."""
        if symbol not in self.symbols:
            raise DataError(f"symbol '{symbol}' is not among {', '.join(self.symbols)}.")
        return replace(self, decidable=self.decidable & (self.symbol_code == self.symbols.index(symbol)))

    def starts(self, *, window: int, steps: int | None, whole: bool = False) -> NDArray[np.int64]:
        """Rows an episode may begin on.

        Parameters
        ----------
        window : bars an observation shows. steps : decisions of an episode; None for as many as follow.
        whole : with ``steps=None``, only the first row of every unbroken stretch, so that episodes are the whole market.

        Raises
        ------
        NotEnoughData : there is none; the message gives the longest stretch there is.
        """
        seen = self.history >= window - 1
        open_ = seen & (self.steps_ahead >= (1 if steps is None else steps))
        if steps is None and whole:
            open_ &= ~np.concatenate(([False], open_[:-1] & (self.run[1:] == self.run[:-1])))
        found = np.flatnonzero(open_)
        if not len(found):
            longest = int(self.steps_ahead[seen].max(initial=0))
            deepest = int(self.history.max(initial=-1)) + 1
            if not seen.any():
                raise NotEnoughData(
                    f"a window shows {window} bars, and the longest unbroken stretch of the market has {deepest}."
                )
            raise NotEnoughData(
                f"an episode of {1 if steps is None else steps} steps is longer than the data: behind a window of {window} "
                f"bars at most {longest} decisions follow each other; an episode_length of at most {longest} was expected."
            )
        return found

    @classmethod
    def from_candles(cls, candles: Any, *, recipe: Recipe) -> MarketTable:
        """Features of candles beside the prices that decisions on them are filled at.

        Parameters
        ----------
        candles : as :func:`huracan.market.read_candles` gives them. recipe : computes the features.

        Rows whose features are undefined are left out, so that no window crosses them; ``dropped`` counts them. A position that
        is open before such rows, or before a gap, is held until the fill of the next row there is, as in a backtest: the row
        before is valued there, and its ``bars`` and ``funding_rate`` are those of all bars in between. No funding is paid where
        a rate is missing, and where a volume is missing nothing can be filled under a volume limit; ``assumed`` counts both.

        Raises
        ------
        NotEnoughData : no row has all features. CandleError : what is wrong with the candles.
        """
        frame = with_segments(validate_candles(candles))
        features = recipe.compute(frame)
        names = tuple(c for c in features.columns if c not in _KEYS)
        if not names:
            raise DataError("the recipe gives no feature; an agent needs something to look at.")
        funding = "funding_rate" in frame.columns
        ahead = {"fill": ("open", 1), "mark": ("open", 2), "fill_ts": ("ts", 1), "mark_ts": ("ts", 2)}
        ahead |= {"volume_of_fill": ("volume", 1)} | ({"rate_of_fill": ("funding_rate", 1)} if funding else {})
        priced = frame.with_columns(
            pl.col(column).shift(-bars).over("symbol").alias(name) for name, (column, bars) in ahead.items()
        )
        joined = priced.join(features.drop("segment", strict=False), on=["symbol", "ts"], how="left", maintain_order="left")
        defined = joined.select(pl.all_horizontal(pl.col(c).is_finite().fill_null(False) for c in names)).to_series()
        kept = joined.with_row_index("row").filter(defined)
        if kept.is_empty():
            raise NotEnoughData(f"none of {frame.height} candles has all {len(names)} features; more bars were expected.")
        row = kept["row"].to_numpy().astype(np.int64)
        symbols = tuple(sorted(kept["symbol"].unique().to_list()))
        code = np.searchsorted(symbols, kept["symbol"].to_numpy().astype(str)).astype(np.int64)
        segment = kept["segment"].to_numpy()
        broken = (np.diff(row) != 1) | (np.diff(code) != 0) | (np.diff(segment) != 0)
        run = np.concatenate(([0], np.cumsum(broken)))
        columns = {name: kept[name].cast(pl.Float64).fill_null(np.nan).to_numpy().copy() for name in ("fill", "mark", "close")}
        followed = np.append(~broken, False)
        bar_length = _bar_length(frame)
        fill_ts, mark_ts = (kept[name].dt.replace_time_zone(None).cast(pl.Datetime("ms")).to_numpy() for name in _TIMES)
        goes_on = np.flatnonzero(np.append(np.diff(code) == 0, False))  # what is held is held until the next row's fill
        columns["mark"][goes_on], mark_ts = columns["fill"][goes_on + 1], mark_ts.copy()
        mark_ts[goes_on] = fill_ts[goes_on + 1]
        bars = np.where(np.isnat(mark_ts), 1.0, (mark_ts - fill_ts) / bar_length)
        filled = kept.filter(pl.col("fill").is_not_null())
        missing = {"volume missing, taken as 0": filled["volume_of_fill"]}
        if funding:
            missing["funding rate missing, taken as 0"] = filled["rate_of_fill"]
        assumed = {
            reason: int((~rates.cast(pl.Float64).is_finite().fill_null(False)).sum()) for reason, rates in missing.items()
        }
        ts = kept["ts"].dt.replace_time_zone(None).cast(pl.Datetime("ms")).to_numpy()
        return cls(
            features=np.ascontiguousarray(kept.select(pl.col(names).cast(pl.Float32)).to_numpy()),
            feature_names=names,
            **columns,
            volume=kept["volume_of_fill"].cast(pl.Float64).fill_null(0.0).fill_nan(0.0).to_numpy().copy(),
            funding_rate=_funding(frame, kept, row, goes_on) if funding else None,
            bars=bars,
            symbol_code=code,
            symbols=symbols,
            run=run,
            decidable=np.isfinite(columns["fill"]) & np.isfinite(columns["mark"]) & followed,
            ts=ts,
            bar_length=bar_length,
            recipe_hash=recipe.hash,
            dropped={"features undefined or warming up": frame.height - len(row)} if frame.height > len(row) else {},
            assumed={reason: rows for reason, rows in assumed.items() if rows},
        )

    @classmethod
    def from_prices(
        cls,
        features: ArrayLike,
        price: ArrayLike,
        *,
        feature_names: Sequence[str] | None = None,
        run: ArrayLike | None = None,
        volume: ArrayLike | None = None,
        funding_rate: ArrayLike | None = None,
    ) -> MarketTable:
        """A market of one symbol from features and prices of one's own.

        Parameters
        ----------
        features : (rows, d), what is known when row i decides. price : (rows,), what a decision on row i is filled at; it is
            valued at the next row's. run : (rows,) whole numbers; where they change an unbroken stretch ends.
        volume, funding_rate : (rows,), of the bar that begins at ``price``.

        Raises
        ------
        DataError : lengths differ, or a value is not finite, or a price not above zero; named by row and column.
        """
        shown = np.ascontiguousarray(features, np.float32)
        if shown.ndim != 2 or not shown.shape[1]:
            raise DataError(f"features have shape {shown.shape}; rows x features were expected.")
        names = tuple(feature_names or (f"x{i}" for i in range(shown.shape[1])))
        if len(set(names)) != shown.shape[1] or len(names) != shown.shape[1]:
            raise DataError(f"feature_names are {names}; {shown.shape[1]} different ones were expected, one a column.")
        n = len(shown)
        _require_finite(shown, names)
        prices = _column(price, n, "price")
        if not (prices > 0).all():
            at = int(np.argmin(prices > 0))
            raise DataError(f"price is {prices[at]:g} in row {at}; a price is above zero.")
        stretch = np.zeros(n, np.int64) if run is None else _column(run, n, "run").astype(np.int64)
        changes = np.diff(stretch) != 0
        mark = np.append(np.where(changes, np.nan, prices[1:]), np.nan)
        return cls(
            features=shown,
            feature_names=names,
            fill=prices,
            mark=mark,
            close=prices,
            volume=np.full(n, np.inf) if volume is None else _column(volume, n, "volume"),
            funding_rate=None if funding_rate is None else _column(funding_rate, n, "funding_rate"),
            bars=np.ones(n),
            symbol_code=np.zeros(n, np.int64),
            symbols=("asset",),
            run=np.concatenate(([0], np.cumsum(changes))) if n else stretch,
            decidable=np.isfinite(mark),
        )


def _funding(frame: pl.DataFrame, kept: pl.DataFrame, row: NDArray[np.int64], goes_on: NDArray[np.int64]) -> Floats:
    """Fraction of the notional at each row's fill that is paid until its mark; of more than one bar the sum."""
    rate = kept["rate_of_fill"].cast(pl.Float64).fill_null(0.0).fill_nan(0.0).to_numpy().copy()
    long = goes_on[row[goes_on + 1] - row[goes_on] > 1]
    if len(long):
        paid = (frame["funding_rate"].cast(pl.Float64).fill_null(0.0).fill_nan(0.0) * frame["open"]).to_numpy()
        until = np.concatenate(([0.0], np.cumsum(paid)))
        price = kept["fill"].to_numpy()[long]
        rate[long] = (until[row[long + 1] + 1] - until[row[long] + 1]) / price
    return rate


def _require_finite(values: NDArray[np.float32], names: Sequence[str]) -> None:
    bad = ~np.isfinite(values)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise DataError(f"feature '{names[column]}' is {values[row, column]} in row {row}; finite numbers were expected.")


def _column(values: ArrayLike, n: int, name: str) -> Floats:
    out = np.array(values, np.float64)
    if out.shape != (n,):
        raise DataError(f"{name} has shape {out.shape} where features have {n} rows.")
    if np.isnan(out).any() or (name != "volume" and np.isinf(out).any()):
        at = int(np.argmax(~np.isfinite(out)))
        raise DataError(f"{name} is {out[at]} in row {at}; finite numbers were expected.")
    if name == "volume" and (out < 0).any():
        at = int(np.argmax(out < 0))
        raise DataError(f"volume is {out[at]:g} in row {at}; a volume is not below zero.")
    return out


def _bar_length(frame: pl.DataFrame) -> np.timedelta64:
    unbroken = ((frame["symbol"] == frame["symbol"].shift(1)) & (frame["segment"] == frame["segment"].shift(1))).to_numpy()
    steps = np.diff(frame["ts"].dt.replace_time_zone(None).cast(pl.Datetime("ms")).to_numpy())[unbroken[1:].astype(bool)]
    if not len(steps):
        raise NotEnoughData(f"{frame.height} candle(s): at least two unbroken ones of a symbol are needed.")
    lengths, counts = np.unique(steps, return_counts=True)
    return np.timedelta64(lengths[np.argmax(counts)], "ms")


def _moment(value: Any) -> np.datetime64:
    import datetime as dt

    if isinstance(value, dt.datetime) and value.tzinfo is not None:
        value = value.astimezone(dt.UTC).replace(tzinfo=None)
    return np.datetime64(value, "ms")


def _span(decided: NDArray[np.datetime64]) -> str:
    return f"decisions from {decided.min()} to {decided.max()}" if len(decided) else "no rows"
