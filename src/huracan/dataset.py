"""``TrainingSet``: the one object that travels from features to report.

Rows are ordered by ``(decision_time, symbol)``, so a slice of rows is a span of time, a "most recent" cap is a tail,
and walk-forward folds are views. Every time is UTC, ``datetime64[ms]``:

* ``ts``: open of the bar the features were computed on,
* ``decision_time``: ``ts`` + bar length, the first moment the features are known,
* ``label_end``: the moment the label is known; a label of horizon h runs from the open of the next bar to the open
  h bars later, so it ends at ``decision_time`` + h bars.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from huracan.errors import DataError, NotEnoughData
from huracan.model_info import MarketRegime

if TYPE_CHECKING:
    import polars as pl

__all__ = ["REGIME_ORDER", "Recipe", "TimeSource", "TrainingSet", "as_matrix", "exit_times"]

REGIME_ORDER: tuple[MarketRegime, ...] = tuple(MarketRegime)
"""``regime_code`` i stands for ``REGIME_ORDER[i]``; -1 for unknown."""

_KEYS = ("symbol", "ts", "segment")
_NO_LABEL = "no label: its future, or the volatility it is scaled by, is not known"


class Recipe(Protocol):
    """What ``TrainingSet.from_candles`` needs of a feature recipe."""

    @property
    def hash(self) -> str: ...

    def compute(self, candles: pl.DataFrame) -> pl.DataFrame: ...


class TimeSource(StrEnum):
    """Where the times of a ``TrainingSet`` came from."""

    CANDLES = "candles"
    GIVEN = "given"
    INDEX = "time index"
    ROW_ORDER = "row order"


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """Features, labels and every time that belongs to them.

    Build it with :meth:`from_candles` or :meth:`from_arrays`; the constructor only checks that lengths agree.

    Attributes
    ----------
    X : float32 (n, d), finite. y : float64 (n,). ts, decision_time, label_end : datetime64[ms] (n,).
    execution_return : float64 (n,) or None, simple return from open[t+1] to the exit, before costs.
    volatility : float64 (n,) or None, causal volatility of one bar's return, a fraction.
    symbol_code, segment : int32 (n,). regime_code : int8 (n,), see ``REGIME_ORDER``. weight : float64 (n,).
    bar_length : length of one bar. dropped : reason -> rows that did not make it in.

    Examples
    --------
    >>> rows = TrainingSet.from_arrays(np.arange(12).reshape(6, 2), np.arange(6), label_horizon=2)
    >>> len(rows), rows.time_source.value, rows.feature_names
    (6, 'row order', ('x0', 'x1'))
    >>> int((rows.label_end[0] - rows.decision_time[0]) / rows.bar_length)
    2
    """

    X: NDArray[np.float32]
    y: NDArray[np.float64]
    ts: NDArray[np.datetime64]
    decision_time: NDArray[np.datetime64]
    label_end: NDArray[np.datetime64]
    feature_names: tuple[str, ...]
    symbol_code: NDArray[np.int32]
    segment: NDArray[np.int32]
    regime_code: NDArray[np.int8]
    weight: NDArray[np.float64]
    execution_return: NDArray[np.float64] | None = None
    volatility: NDArray[np.float64] | None = None
    symbols: tuple[str, ...] = ("asset",)
    bar_length: np.timedelta64 = field(default_factory=lambda: np.timedelta64(1, "D"))
    time_source: TimeSource = TimeSource.GIVEN
    recipe_hash: str | None = None
    dropped: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n, d = self.X.shape
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, np.ndarray) and len(value) != n:
                raise DataError(f"TrainingSet field '{item.name}' has {len(value)} rows where X has {n}.")
        if d != len(self.feature_names):
            raise DataError(f"X has {d} columns and {len(self.feature_names)} feature names; they must match.")
        if n and np.any(np.diff(self.decision_time) < np.timedelta64(0, "ms")):
            where = int(np.argmax(np.diff(self.decision_time) < np.timedelta64(0, "ms"))) + 1
            raise DataError(f"row {where} is decided at {self.decision_time[where]}, before the row above it; rows go by time.")

    def __len__(self) -> int:
        return len(self.X)

    def __repr__(self) -> str:
        span = f"decided {self.decision_time[0]} to {self.decision_time[-1]}" if len(self) else "no rows"
        bar = self.bar_length.astype("timedelta64[s]")
        left = f"; {sum(self.dropped.values()):,} rows left out" if self.dropped else ""
        return (
            f"<TrainingSet: {len(self):,} rows x {len(self.feature_names)} features, {len(self.symbols)} symbols, "
            f"bars of {bar}, {span}; times: {self.time_source.value}{left}>"
        )

    @property
    def symbol(self) -> NDArray[Any]:
        """Symbol of every row, as an array of strings."""
        return np.asarray(self.symbols, dtype=object)[self.symbol_code]

    @property
    def regime(self) -> NDArray[Any]:
        """Regime of every row, as an array of strings; ``None`` where it is not known."""
        return np.asarray([*map(str, REGIME_ORDER), None], dtype=object)[self.regime_code]

    def take(self, rows: ArrayLike | slice) -> TrainingSet:
        """Select rows by index, mask or slice (a slice copies nothing)."""
        at = rows if isinstance(rows, slice) else np.asarray(rows)
        cut = {f.name: getattr(self, f.name)[at] for f in fields(self) if isinstance(getattr(self, f.name), np.ndarray)}
        return replace(self, **cut)

    @property
    def labelled(self) -> NDArray[np.bool_]:
        """Whether the label of each row is known."""
        return np.isfinite(self.y)

    def labelled_only(self) -> TrainingSet:
        """The rows whose label is known; those left out are counted in ``dropped``."""
        known = self.labelled
        missing = int((~known).sum())
        return replace(self.take(known), dropped={**self.dropped, _NO_LABEL: missing}) if missing else self

    def without_features(self) -> TrainingSet:
        """The same rows without ``X``: all that judging needs, at a fraction of the memory."""
        return replace(self, X=np.empty((len(self), 0), np.float32), feature_names=())

    def select(self, columns: Sequence[str]) -> TrainingSet:
        """Keep the features named, in the order given."""
        missing = [c for c in columns if c not in self.feature_names]
        if missing:
            raise DataError(f"feature '{missing[0]}' is not among {', '.join(self.feature_names)}.")
        at = [self.feature_names.index(c) for c in columns]
        return replace(self, X=np.ascontiguousarray(self.X[:, at]), feature_names=tuple(columns))

    def of_symbol(self, symbol: str) -> TrainingSet:
        """The rows of one symbol."""
        if symbol not in self.symbols:
            raise DataError(f"symbol '{symbol}' is not among {', '.join(self.symbols)}.")
        return self.take(self.symbol_code == self.symbols.index(symbol))

    def most_recent(self, n_rows: int | None) -> TrainingSet:
        """At most ``n_rows`` rows, the latest decisions first."""
        return self if n_rows is None or len(self) <= n_rows else self.take(slice(len(self) - n_rows, None))

    def with_history(self, span: slice, bars: int) -> tuple[TrainingSet, int]:
        """The rows of a span behind those earlier ones that its symbols' last ``bars`` rows are among, and how many those are.

        For models that look back: they answer on the whole, and what they say of the first rows is left out. Rows of candles
        that lie more than ``bars`` bars back in time are in no unbroken window and are left out, too.

        >>> rows = TrainingSet.from_arrays(np.arange(6.0)[:, None], np.arange(6))
        >>> behind, earlier = rows.with_history(slice(3, 5), 2)
        >>> behind.X.ravel().tolist(), earlier
        ([1.0, 2.0, 3.0, 4.0], 2)
        """
        start, stop, _ = span.indices(len(self))
        if bars < 1 or not 0 < start < stop:
            return self.take(slice(start, stop)), 0
        moment = self.decision_time[start]
        first = int(np.searchsorted(self.decision_time, moment))
        lowest = 0
        if self.time_source is TimeSource.CANDLES:
            lowest = int(np.searchsorted(self.decision_time, moment - bars * self.bar_length))
        earliest = self._bars_before(first, lowest, bars, np.unique(self.symbol_code[first:stop]))
        first = int(np.searchsorted(self.decision_time, self.decision_time[earliest])) if earliest < first else first
        return self.take(slice(first, stop)), start - first

    def _bars_before(self, first: int, lowest: int, bars: int, wanted: NDArray[np.integer]) -> int:
        """The first of the last ``bars`` rows from ``lowest`` to before ``first`` of each symbol; ``first`` where none is."""
        reach = bars * len(self.symbols)
        while first - reach > lowest:
            held = np.bincount(self.symbol_code[first - reach : first], minlength=len(self.symbols))
            if held[wanted].min() >= bars:
                break
            reach *= 2
        low = max(lowest, first - reach)
        codes = self.symbol_code[low:first]
        by_symbol = np.argsort(codes, kind="stable")
        held = np.bincount(codes, minlength=len(self.symbols))
        stops, kept = np.cumsum(held)[wanted], np.minimum(held, bars)[wanted]
        return low + int(by_symbol[(stops - kept)[kept > 0]].min(initial=first - low))

    def direction(self) -> NDArray[np.int64]:
        """The label's sign as classes: 1 where ``y > 0``, else 0."""
        return (self.y > 0).astype(np.int64)

    def with_regimes(self, regimes: pl.DataFrame) -> TrainingSet:
        """Fill ``regime_code`` from a frame ``[symbol, ts, regime]``; rows it does not name stay unknown."""
        import polars as pl

        order = {str(r): i for i, r in enumerate(REGIME_ORDER)}
        mine = pl.DataFrame({"symbol": self.symbol.astype(str), "ts": self.ts}).with_columns(
            pl.col("ts").dt.replace_time_zone("UTC")
        )
        named = regimes.select("symbol", pl.col("ts").cast(pl.Datetime("ms", "UTC")), pl.col("regime").cast(pl.String))
        joined = mine.join(named, on=["symbol", "ts"], how="left", maintain_order="left")
        code = joined["regime"].replace_strict(order, default=-1, return_dtype=pl.Int8).fill_null(-1)
        return replace(self, regime_code=code.to_numpy().astype(np.int8))

    def data_hash(self) -> str:
        """SHA-256 over features, labels and times: two sets with this hash train the same model."""
        digest = hashlib.sha256("\x1f".join((*self.feature_names, "\x1e", *self.symbols)).encode())
        for name in ("X", "y", "decision_time", "label_end", "symbol_code", "segment", "weight"):
            digest.update(np.ascontiguousarray(getattr(self, name)).tobytes())
        return digest.hexdigest()

    @classmethod
    def from_candles(
        cls,
        candles: pl.DataFrame,
        *,
        recipe: Recipe,
        labels: pl.DataFrame,
        regimes: pl.DataFrame | None = None,
        keep_unlabelled: bool = False,
    ) -> TrainingSet:
        """Join features, labels and regimes on ``(symbol, ts)``.

        Parameters
        ----------
        candles : as ``huracan.market.read_candles`` gives them.
        recipe : computes ``[symbol, ts, segment, features...]``; nulls mark warm-up and undefined values.
        labels : what a function of ``huracan.labels`` gives: ``[symbol, ts, label, label_end]`` and, where there are
            any, ``execution_return``, ``weight``, ``volatility``.
        regimes : ``[symbol, ts, regime]``.
        keep_unlabelled : keep rows whose label is not known (``y`` is nan, ``label_end`` NaT): a model must answer on them
            too, since nobody knows at t whether a gap or the end of the data follows. See :meth:`labelled_only`.

        Raises
        ------
        NotEnoughData : no row has both every feature and a label; the reasons are counted in the message.
        """
        import polars as pl

        features = recipe.compute(candles)
        names = tuple(c for c in features.columns if c not in _KEYS)
        joined = features.join(labels, on=["symbol", "ts"], how="left", maintain_order="left")
        undefined = joined.select(pl.any_horizontal(pl.col(c).is_null() | pl.col(c).is_nan() for c in names)).to_series()
        dropped = _reasons(joined, names, undefined, int(getattr(recipe, "lookback", 0)))
        kept = joined.filter(~undefined).sort("ts", "symbol")
        kept = kept.with_columns(label=pl.when(pl.col("label_end").is_not_null()).then("label"))
        if kept["label"].is_null().all():
            dropped |= {_NO_LABEL: kept.height} if kept.height else {}
            worst = max(dropped.items(), key=lambda item: item[1])
            longest = int(joined.group_by("symbol", "segment").len()["len"].max() or 0)  # type: ignore[arg-type]
            raise NotEnoughData(
                f"none of {candles.height} candles gives a training row ({worst[0]}: {worst[1]}); the recipe needs more than "
                f"{getattr(recipe, 'lookback', 0)} bars in one segment, the longest segment has {longest}."
            )
        bar = _bar_length(candles)
        symbols = tuple(sorted(kept["symbol"].unique().to_list()))
        ts: NDArray[np.datetime64] = kept["ts"].dt.replace_time_zone(None).cast(pl.Datetime("ms")).to_numpy()
        rows = cls(
            X=np.ascontiguousarray(kept.select(pl.col(names).cast(pl.Float32)).to_numpy()),
            y=kept["label"].cast(pl.Float64).fill_null(np.nan).to_numpy().copy(),
            ts=ts,
            decision_time=(ts + bar).astype("datetime64[ms]"),
            label_end=kept["label_end"].dt.replace_time_zone(None).cast(pl.Datetime("ms")).to_numpy(),
            feature_names=names,
            symbol_code=np.searchsorted(symbols, kept["symbol"].to_numpy().astype(str)).astype(np.int32),
            segment=kept["segment"].to_numpy().astype(np.int32),
            regime_code=np.full(kept.height, -1, np.int8),
            weight=_optional(kept, "weight", np.ones(kept.height)),
            execution_return=_optional(kept, "execution_return", None),
            volatility=_optional(kept, "volatility", None),
            symbols=symbols,
            bar_length=bar,
            time_source=TimeSource.CANDLES,
            recipe_hash=recipe.hash,
            dropped=dropped,
        )
        rows = rows if regimes is None else rows.with_regimes(regimes)
        return rows if keep_unlabelled else rows.labelled_only()

    @classmethod
    def from_arrays(
        cls,
        X: Any,
        y: Any,
        *,
        ts: ArrayLike | None = None,
        label_end: ArrayLike | None = None,
        prices: ArrayLike | None = None,
        label_horizon: int = 1,
        symbol: str = "asset",
        weight: ArrayLike | None = None,
    ) -> TrainingSet:
        """Build from plain ``X, y`` of one series in time order.

        Times come from ``ts``, else from a pandas time index, else from the order of the rows (one day each);
        ``time_source`` says which. ``label_end`` defaults to the open time of the bar ``label_horizon`` rows after the next
        one (see :func:`exit_times`). With ``prices`` (open of each bar) the execution return is the one from the next open
        over the horizon, 0 where the exit lies beyond the last row.

        Raises
        ------
        DataError : lengths differ, a value is not finite (named by row and column), a time is missing or not after the one
            above it, or a price is not above zero.

        Examples
        --------
        >>> days = np.array(["2024-01-04", "2024-01-05", "2024-01-08", "2024-01-09"], "M8[D]")  # a weekend in between
        >>> rows = TrainingSet.from_arrays(np.zeros((4, 1)), np.arange(4), ts=days)
        >>> str(rows.label_end[0])[:10]
        '2024-01-08'
        """
        matrix, names = as_matrix(X)
        target = np.asarray(y.to_numpy() if hasattr(y, "to_numpy") else y).reshape(-1).astype(np.float64)
        n = len(matrix)
        if len(target) != n:
            raise DataError(f"y has {len(target)} rows where X has {n}.")
        if label_horizon < 1:
            raise DataError(f"label_horizon is {label_horizon}; a label needs at least 1 bar.")
        _require_finite(matrix, names)
        _require_finite(target[:, None], ("y",))
        times, source = _times_of(X, ts, n)
        if n > 1 and np.any(np.diff(times) <= np.timedelta64(0, "ms")):
            where = int(np.argmax(np.diff(times) <= np.timedelta64(0, "ms"))) + 1
            raise DataError(f"row {where} is at {times[where]}, not after the row above it; times must increase.")
        bar = np.median(np.diff(times)).astype("timedelta64[ms]") if n > 1 else np.timedelta64(86_400_000, "ms")
        end = exit_times(times, label_horizon, bar) if label_end is None else _given_times(label_end, "label_end", n)
        return cls(
            X=matrix,
            y=target,
            ts=times,
            decision_time=times + bar,
            label_end=end,
            feature_names=names,
            symbol_code=np.zeros(n, np.int32),
            segment=np.zeros(n, np.int32),
            regime_code=np.full(n, -1, np.int8),
            weight=np.ones(n) if weight is None else np.asarray(weight, np.float64),
            execution_return=None if prices is None else _return_to_exit(prices, n, label_horizon),
            symbols=(symbol,),
            bar_length=bar,
            time_source=source,
        )


def _reasons(joined: pl.DataFrame, names: Sequence[str], undefined: pl.Series, warmup: int) -> dict[str, int]:
    """Why rows have no features, each row under one reason only."""
    import polars as pl

    age = joined.select(pl.int_range(pl.len()).over("symbol", "segment")).to_series()
    warming = undefined & (age < warmup)
    reasons = {"features warming up": int(warming.sum())}
    later = joined.filter(undefined & ~warming)
    for name in names:
        here = later[name].is_null() | later[name].is_nan()
        if here.any():
            reasons[f"feature {name} is undefined"] = int(here.sum())
            later = later.filter(~here)
    return {reason: count for reason, count in reasons.items() if count}


def exit_times(ts: NDArray[np.datetime64], label_horizon: int, bar_length: np.timedelta64) -> NDArray[np.datetime64]:
    """When the label of each bar of one series is known: the open time of the bar it is left at, counted in rows.

    Beyond the last row time goes on by ``bar_length``. Never before ``ts + bar_length``, the moment of the decision.

    >>> ts = np.array([0, 1, 5, 6], "M8[h]")
    >>> exit_times(ts, 1, np.timedelta64(1, "h")).astype("M8[h]").astype(int).tolist()
    [5, 6, 7, 8]
    """
    if not len(ts):
        return ts
    padded = np.concatenate((ts, ts[-1] + bar_length * np.arange(1, label_horizon + 2)))
    return np.maximum(padded[1 + label_horizon :], ts + bar_length)


def as_matrix(X: Any) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Turn a pandas or polars frame, or a 2-D array, into a float32 matrix and its column names.

    >>> as_matrix([[1, 2], [3, 4]])[1]
    ('x0', 'x1')
    """
    columns = tuple(map(str, X.columns)) if hasattr(X, "columns") else None
    try:
        matrix = np.asarray(X.to_numpy() if hasattr(X, "to_numpy") else X).astype(np.float32, copy=False)
    except (TypeError, ValueError) as error:
        raise DataError(f"X holds a value that is not a number: {error}.") from error
    if matrix.ndim == 1:
        matrix = matrix[:, None]
    if matrix.ndim != 2:
        raise DataError(f"X has {matrix.ndim} dimensions {matrix.shape}; rows x features was expected.")
    return np.ascontiguousarray(matrix), columns or tuple(f"x{i}" for i in range(matrix.shape[1]))


def _times_of(X: Any, ts: ArrayLike | None, n: int) -> tuple[NDArray[np.datetime64], TimeSource]:
    if ts is not None:
        return _given_times(ts, "ts", n), TimeSource.GIVEN
    index: Any = getattr(X, "index", None)
    kind = getattr(index, "dtype", None)
    if getattr(kind, "tz", None) is not None or getattr(kind, "kind", "") == "M":
        return _given_times(index, "the time index", n), TimeSource.INDEX
    return (np.datetime64("2000-01-01", "ms") + np.arange(n) * np.timedelta64(86_400_000, "ms")), TimeSource.ROW_ORDER


def _given_times(given: Any, name: str, n: int) -> NDArray[np.datetime64]:
    if getattr(getattr(given, "dtype", None), "tz", None) is not None:  # pandas
        given = getattr(given, "dt", given).tz_convert("UTC")
        given = getattr(given, "dt", given).tz_localize(None)
    try:
        times = np.asarray(given.to_numpy() if hasattr(given, "to_numpy") else given).astype("datetime64[ms]")
    except (TypeError, ValueError) as error:
        raise DataError(f"{name} holds a value that is not a time: {error}.") from error
    if times.shape != (n,):
        raise DataError(f"{name} has {len(times)} rows where X has {n}.")
    if np.isnat(times).any():
        raise DataError(f"{name} is missing in row {int(np.argmax(np.isnat(times)))}; every row needs one.")
    return times


def _return_to_exit(prices: Any, n: int, label_horizon: int) -> NDArray[np.float64]:
    """Simple return from the next row's price to that ``label_horizon`` rows later, 0 where that is beyond the last row."""
    price = np.asarray(prices, dtype=np.float64)
    if len(price) != n:
        raise DataError(f"prices has {len(price)} rows where X has {n}.")
    bad = ~(np.isfinite(price) & (price > 0))
    if bad.any():
        where = int(np.argmax(bad))
        raise DataError(f"prices holds {price[where]} in row {where}; a price above zero was expected.")
    moved, stop = np.zeros(n), n - 1 - label_horizon
    if stop > 0:
        moved[:stop] = price[1 + label_horizon :] / price[1 : 1 + stop] - 1.0
    return moved


def _require_finite(matrix: NDArray[Any], names: Sequence[str]) -> None:
    bad = ~np.isfinite(matrix)
    if bad.any():
        row, column = map(int, np.argwhere(bad)[0])
        raise DataError(f"column '{names[column]}' holds {matrix[row, column]} in row {row}; finite numbers were expected.")


def _bar_length(candles: pl.DataFrame) -> np.timedelta64:
    import polars as pl

    steps = candles.sort("symbol", "ts").select(pl.col("ts").diff().over("symbol").alias("step")).drop_nulls()
    if steps.is_empty():
        raise NotEnoughData(f"{candles.height} candle(s): at least two of one symbol are needed to know the bar length.")
    lengths, counts = np.unique(steps["step"].dt.total_milliseconds().to_numpy(), return_counts=True)
    return np.timedelta64(int(lengths[np.argmax(counts)]), "ms")


def _optional(frame: pl.DataFrame, column: str, otherwise: NDArray[np.float64] | None) -> Any:
    return frame[column].to_numpy().astype(np.float64) if column in frame.columns else otherwise
