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
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from huracan.dataset.array_rows import array_fields
from huracan.dataset.candle_rows import NO_LABEL, Recipe, candle_fields
from huracan.dataset.row_keys import TimeSource
from huracan.dataset.steps import LongestStep
from huracan.errors import DataError
from huracan.model_info import MarketRegime

if TYPE_CHECKING:
    import polars as pl

__all__ = ["REGIME_ORDER", "TrainingSet"]

REGIME_ORDER: tuple[MarketRegime, ...] = tuple(MarketRegime)
"""``regime_code`` i stands for ``REGIME_ORDER[i]``; -1 for unknown."""


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
        parts = len(np.unique(self.symbol_code.astype(np.int64) << 32 | self.segment))
        cut = f" in {parts} segments" if parts > len(self.symbols) else ""
        left = f"; {sum(self.dropped.values()):,} rows left out" if self.dropped else ""
        return (
            f"<TrainingSet: {len(self):,} rows x {len(self.feature_names)} features, {len(self.symbols)} symbols{cut}, "
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
        return replace(self.take(known), dropped={**self.dropped, NO_LABEL: missing}) if missing else self

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
        candles: Any,
        *,
        recipe: Recipe,
        labels: pl.DataFrame | None = None,
        regimes: pl.DataFrame | None = None,
        keep_unlabelled: bool = False,
    ) -> TrainingSet:
        """Join features, labels and regimes on ``(symbol, ts)``.

        Parameters
        ----------
        candles : as ``huracan.market.read_candles`` gives them, or such a pandas frame.
        recipe : computes ``[symbol, ts, segment, features...]``; nulls mark warm-up and undefined values.
        labels : what a function of ``huracan.labels`` gives: ``[symbol, ts, label, label_end]`` and, where there are
            any, ``execution_return``, ``weight``, ``volatility``. None for rows to forecast: all that have features, the
            newest too.
        regimes : ``[symbol, ts, regime]``.
        keep_unlabelled : keep rows whose label is not known (``y`` is nan, ``label_end`` NaT): a model must answer on them
            too, since nobody knows at t whether a gap or the end of the data follows. See :meth:`labelled_only`.

        Raises
        ------
        NotEnoughData : no row has every feature and, where labels are wanted, one; the reasons are counted in the message.

        Warns
        -----
        UserWarning : without ``labels``, where the newest bar of a symbol has less than ``recipe.warmup`` bars of its segment
            before it, so that its features are not quite those of a longer history.
        """
        rows = cls(**candle_fields(candles, recipe=recipe, labels=labels, keep_unlabelled=keep_unlabelled))
        rows = rows if regimes is None else rows.with_regimes(regimes)
        return rows if keep_unlabelled or labels is None else rows.labelled_only()

    @classmethod
    def from_arrays(
        cls,
        X: Any,
        y: Any = None,
        *,
        ts: Any = None,
        symbol: Any = None,
        segment: Any = None,
        label_end: ArrayLike | None = None,
        prices: ArrayLike | None = None,
        label_horizon: int = 1,
        weight: ArrayLike | None = None,
        longest_step: LongestStep = 1,
    ) -> TrainingSet:
        """Build from features of one's own, of one symbol or of many; the rows come out by time and symbol.

        What a row is of stands beside ``X`` (``ts``, ``symbol``, ``segment``: one value a row), in columns of a pandas or
        polars frame that have these names or that are named (``symbol="coin"``), or in a pandas index: of times, or of times
        and symbols in either order. Those columns are no features. Rows of each symbol go from old to new; symbols may follow
        each other or take turns. Without times the order of the rows is time, one day each; ``time_source`` says which.

        Parameters
        ----------
        X : (n, d) matrix or frame of finite numbers. y : (n,) labels; None for rows to forecast.
        symbol : one value a row, a column, or one name for all rows.
        segment : one value a row, or a column; where it changes a segment begins.
        label_end : (n,) when each label is known; by default the open time of the bar ``label_horizon`` rows of its symbol
            after the next one (see :func:`exit_times`).
        prices : (n,) open of each bar; the execution return is then the one from the next open over the horizon, 0 where the
            exit lies beyond the last row of the symbol.
        weight : (n,).
        longest_step : the longest step in time that is no gap; a longer one begins a segment, which no window crosses. An int
            is in bars, 1 by default: where a bar is missing, there is a gap, as in candles. Shares by the day rest on
            weekends and holidays: ``longest_step=datetime.timedelta(days=5)`` lets windows go on across those. None: no gaps.
            Where less than half of the steps are alike (rows by volume or event) no bar can be missing, and only a
            length of time cuts.

        Raises
        ------
        DataError : lengths differ, a value is not finite (named by row and column), a time is missing or not after the one
            of the symbol's row above, bars of symbols have different lengths, a price is not above zero, or what rows are of
            stands in two places.

        Examples
        --------
        >>> days = np.array(["2024-01-04", "2024-01-05", "2024-01-08", "2024-01-09"], "M8[D]")  # a weekend in between
        >>> rows = TrainingSet.from_arrays(np.zeros((4, 1)), np.arange(4), ts=days)
        >>> str(rows.label_end[0])[:10], rows.segment.tolist()
        ('2024-01-08', [0, 0, 1, 1])
        >>> two = TrainingSet.from_arrays(np.zeros((8, 1)), np.arange(8), ts=[*days, *days], symbol=["MSFT"] * 4 + ["AAPL"] * 4)
        >>> two.symbols, two.y.tolist()
        (('AAPL', 'MSFT'), [4.0, 0.0, 5.0, 1.0, 6.0, 2.0, 7.0, 3.0])
        """
        return cls(
            **array_fields(
                X,
                y,
                ts=ts,
                symbol=symbol,
                segment=segment,
                label_end=label_end,
                prices=prices,
                label_horizon=label_horizon,
                weight=weight,
                longest_step=longest_step,
            )
        )
