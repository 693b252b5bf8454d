"""Many rows at once: what a stream would have said of each, had they come one after the other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from huracan.dataset import REGIME_ORDER
from huracan.errors import NotEnoughData, SignatureError
from huracan.labels.grid import ewma_volatility
from huracan.market import bar_length
from huracan.preprocessing import FeatureRecipe
from huracan.serving.row_keys import RowKeys, coded, regime_codes
from huracan.serving.served import Served, require_bar
from huracan.serving.signal import VetoKind
from huracan.serving.signature import matrix_of

__all__ = [
    "ANSWER_COLUMNS",
    "Rows",
    "Said",
    "answer_candles",
    "answer_features",
    "answered_rows",
    "bar_of",
    "rows_of_candles",
    "said_of",
]

Floats = NDArray[np.float64]
_AT_ONCE = 1_024
_NO_SCORE = (VetoKind.WARMING_UP, VetoKind.GAP, VetoKind.MISSING_VALUE, VetoKind.INFINITE_FEATURE)


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of features with what a model said of them; in time order within each symbol.

    Attributes
    ----------
    X : float32 (n, d), NaN where there is no value. symbols : names that ``code`` (n,) counts. segment : (n,).
    run : (n,) rows without a missing value up to and with this one, in its segment. regime : (n,) codes, -1 for unknown.
    volatility : (n,) of one bar's return.
    score, decided : float64 (n,), NaN and 0 where there is none. vetoes : kind -> (n,) whether it applies.
    """

    X: NDArray[np.float32]
    symbols: tuple[str, ...]
    code: NDArray[np.int32]
    segment: NDArray[np.int32]
    run: NDArray[np.int64]
    regime: NDArray[np.int64]
    volatility: Floats
    score: Floats
    decided: Floats
    vetoes: dict[VetoKind, NDArray[np.bool_]]

    @property
    def vetoed(self) -> NDArray[np.bool_]:
        """Whether anything speaks against a row."""
        return np.any(list(self.vetoes.values()), axis=0)


@dataclass(frozen=True, eq=False)
class Said:
    """What scores mean: float64 (n,) each, NaN where there is none.

    Attributes
    ----------
    position : that is held. probability : of a label above zero. forecast : of the label. low, high : interval around it.
    """

    position: Floats
    probability: Floats
    forecast: Floats
    low: Floats
    high: Floats


def said_of(served: Served, rows: Rows) -> Said:
    """What a model says by its scores, and what it holds by its decisions."""
    n = len(rows.X)
    position = np.full(n, 0.0 if served.baseline else np.nan)
    if served.policy is not None:
        position = served.policy.policy.held(rows.decided, symbol_code=rows.code, segment=rows.segment)
    probability, forecast, low, high = (np.full(n, np.nan) for _ in range(4))
    known = np.flatnonzero(np.isfinite(rows.score))
    if served.outlook is not None and len(known):
        probability[known], forecast[known] = served.outlook.many(rows.score[known])
    interval = served.fresh_interval()
    if interval is not None:
        scale = rows.volatility if served.scaled else np.ones(n)
        at = np.flatnonzero(np.isfinite(forecast) & (scale > 0))
        reach = interval.around(0.0, scale=1.0)[1] * scale[at]
        low[at], high[at] = forecast[at] - reach, forecast[at] + reach
    return Said(position, probability, forecast, low, high)


def answer_candles(served: Served, candles: pl.DataFrame, notes: Sequence[str] = ()) -> pl.DataFrame:
    """Answers on every candle, by the model's own recipe; ``notes`` are borne by each.

    Returns
    -------
    ``[symbol, ts, decision_time, score, forecast, probability, low, high, regime, position, do_predict, vetoes, level,
    model_id, alias, engine, notes]``: a :class:`~huracan.serving.signal.Signal` a row, its vetoes by kind.
    """
    bar = bar_of(served, candles)
    rows = rows_of_candles(served, candles, bar)
    decision = candles["ts"] + timedelta(milliseconds=bar)
    keys = {"symbol": candles["symbol"], "ts": candles["ts"], "decision_time": decision}
    names = pl.Series([str(regime) for regime in REGIME_ORDER])
    codes = pl.Series(rows.regime)
    frame = _frame(served, rows, keys, notes).with_columns(regime=names.gather(codes.set(codes < 0, None)))
    return frame.select(ANSWER_COLUMNS)


def bar_of(served: Served, candles: pl.DataFrame) -> int:
    """Length of a bar in milliseconds; where the candles are too few to tell, that of the model."""
    try:
        return int(bar_length(candles).total_seconds() * 1_000)
    except NotEnoughData:
        if served.bar is None:
            raise
        return served.bar


def rows_of_candles(served: Served, candles: pl.DataFrame, bar: int) -> Rows:
    """Features, scores and decisions of candles sorted by symbol and time, of bars of so many milliseconds.

    Raises
    ------
    SignatureError : the model was registered without its recipe, or on bars of another length.
    """
    if served.recipe is None:
        raise SignatureError(f"'{served.model_id}' was registered without its recipe; rows of its features were expected.")
    require_bar(served, bar)
    features = _features(served.recipe, candles)
    regime = np.full(candles.height, -1)
    if served.classifier is not None:
        regime = regime_codes(served.classifier.classify(candles)["regime"])
    X = features.select(pl.col(name).cast(pl.Float32).fill_null(float("nan")) for name in served.columns).to_numpy()
    symbols, code = coded(candles["symbol"])
    segment = features["segment"].to_numpy().astype(np.int32)
    begins = _begins(code, segment)
    start = np.maximum.accumulate(np.where(begins, np.arange(len(begins)), 0))
    age = np.arange(len(begins)) - start
    volatility = np.full(len(X), np.nan)
    if "close" in served.candle_columns:
        volatility = ewma_volatility(candles["close"].cast(pl.Float64).to_numpy(), start, served.volatility_span)
    decision = candles["ts"].dt.epoch("ms").to_numpy() + bar
    return answered_rows(served, np.ascontiguousarray(X), symbols, code, segment, volatility, regime, decision, age)


def _features(recipe: FeatureRecipe, candles: pl.DataFrame) -> pl.DataFrame:
    try:
        return recipe.compute(candles)
    except NotEnoughData:
        if candles["symbol"].n_unique() < candles.height:
            raise
        nothing = (pl.lit(None, pl.Float32).alias(name) for name in recipe.columns)  # a longer bar is not there in one
        return candles.select("symbol", "ts", pl.lit(0, pl.Int32).alias("segment"), *nothing)


def answer_features(served: Served, given: Any, *, strict: bool = False, notes: Sequence[str] = ()) -> pl.DataFrame:
    """Answers on rows of features.

    Parameters
    ----------
    given : frame or matrix, see :mod:`huracan.serving.signature`; :mod:`huracan.serving.row_keys` says which further columns
        are read. Rows of each symbol go from old to new.
    notes : that every answer bears, beside one on columns that are ignored.

    Returns
    -------
    The columns of :func:`answer_candles` but ``regime``, and of ``symbol, ts, decision_time`` those that were given.

    Raises
    ------
    SignatureError : features or keys are not what is taken.
    """
    X, ignored = matrix_of(given, served.columns, strict=strict)
    frame = given if isinstance(given, pl.DataFrame) else pl.from_pandas(given) if hasattr(given, "iloc") else pl.DataFrame()
    keys = RowKeys.of(frame, len(X))
    order = np.argsort(keys.code, kind="stable")
    rows = answered_rows(
        served,
        X[order],
        keys.symbols,
        keys.code[order],
        keys.segment[order],
        keys.volatility[order],
        keys.regime[order],
        None if keys.decision is None else keys.decision[order],
        None,
    )
    answers = _frame(served, rows, {}, (*notes, *ignored))[np.argsort(order, kind="stable")]
    told = pl.DataFrame(keys.told).hstack(answers.get_columns()) if keys.told else answers
    return told.select(name for name in ANSWER_COLUMNS if name in told.columns and name != "regime")


ANSWER_COLUMNS = (
    *("symbol", "ts", "decision_time", "score", "forecast", "probability", "low", "high", "regime", "position"),
    *("do_predict", "vetoes", "level", "model_id", "alias", "engine", "notes"),
)
"""Of answers on candles, in this order."""


def answered_rows(
    served: Served,
    X: NDArray[np.float32],
    symbols: tuple[str, ...],
    code: NDArray[np.int32],
    segment: NDArray[np.int32],
    volatility: Floats,
    regime: NDArray[np.int64],
    decision: NDArray[np.int64] | None,
    age: NDArray[np.int64] | None,
) -> Rows:
    """Score and decide.

    Parameters
    ----------
    X, symbols, code, segment, volatility, regime : as of :class:`Rows`, in time order within each symbol.
    decision : int64 (n,), close of each bar in milliseconds UTC; None where nothing expires. age : (n,) bars of its segment
        before each, where features warm up in the first ones.
    """
    n = len(X)
    infinite = np.asarray(np.isinf(X).any(axis=1))
    whole = np.asarray(np.isfinite(X).all(axis=1))
    run = _run(whole, _begins(code, segment))
    usable = run >= served.window
    score = np.full(n, np.nan)
    at = np.flatnonzero(usable)
    levels = np.array([served.level(symbol) for symbol in symbols])
    score[at] = _scores(served, X, at, regime) - levels[code[at]]
    warming = np.zeros(n, np.bool_)
    if age is not None and served.recipe is not None:
        warming = ~usable & (age < served.recipe.lookback + served.window - 1)
    vetoes = {
        VetoKind.WARMING_UP: warming & (segment == 0),
        VetoKind.GAP: warming & (segment > 0),
        VetoKind.MISSING_VALUE: ~usable & ~warming & ~infinite,
        VetoKind.INFINITE_FEATURE: infinite & ~warming,
        **_unlike_training(served, X, usable, run),
        VetoKind.EXPIRED: np.zeros(n, np.bool_) if decision is None else decision > served.expires,
    }
    vetoes[VetoKind.MISSING_VALUE] |= usable & ~np.isfinite(score)
    score[~np.isfinite(score)] = np.nan
    vetoed = np.any(list(vetoes.values()), axis=0)
    decided = np.zeros(n)
    if served.policy is not None:
        needed = served.policy.policy.volatility_target is not None
        decided = served.policy.policy.decisions(
            score, volatility=volatility if needed else None, bars_per_year=served.policy.bars_per_year
        )
        decided = np.where(vetoed, 0.0, decided)
    return Rows(X, symbols, code, segment, run, regime, volatility, score, decided, vetoes)


def _scores(served: Served, X: NDArray[np.float32], at: NDArray[np.intp], regime: NDArray[np.int64]) -> Floats:
    window, parts = served.window, []
    for first in range(0, len(at), _AT_ONCE):
        some = at[first : first + _AT_ONCE]
        asked = X[some] if window == 1 else X[some[:, None] + np.arange(1 - window, 1)]
        parts.append(np.array([served.signal(raw) for raw in served.scorer.many(asked, regime[some])], np.float64))
    return np.concatenate(parts) if parts else np.empty(0)


def _unlike_training(
    served: Served, X: NDArray[np.float32], usable: NDArray[np.bool_], run: NDArray[np.int64]
) -> dict[VetoKind, NDArray[np.bool_]]:
    screen = served.screen
    far = np.zeros(len(X), np.bool_)
    if screen.sketch is not None:
        far[usable] = screen.sketch.distances(X[usable]) > screen.sketch.limit
    outside = ((screen.low > X) | (screen.high < X)).any(axis=1) & usable
    strange = np.zeros(len(X), np.bool_)
    companion = served.companion
    if companion is not None:
        for i in np.flatnonzero(usable & (run >= companion.window)):
            strange[i] = companion.veto(X[i + 1 - companion.window : i + 1]) is not None
    return {VetoKind.OUT_OF_RANGE: outside, VetoKind.FAR_FROM_TRAINING: far, VetoKind.ANOMALY: strange}


def _frame(served: Served, rows: Rows, keys: dict[str, pl.Series], notes: Sequence[str]) -> pl.DataFrame:
    n, said, interval = len(rows.X), said_of(served, rows), served.fresh_interval()
    numbers = {"score": rows.score} | {name: getattr(said, name) for name in ("forecast", "probability", "low", "high")}
    vetoes = [[str(kind) for kind, holds in rows.vetoes.items() if holds[i]] for i in range(n)]
    frame = pl.DataFrame(
        {**keys, **{name: pl.Series(values, dtype=pl.Float64).fill_nan(None) for name, values in numbers.items()}}
    )
    return frame.with_columns(
        regime=pl.lit(None, pl.String),
        position=pl.Series(said.position, dtype=pl.Float64).fill_nan(None),
        do_predict=pl.Series(~rows.vetoed),
        vetoes=pl.Series(vetoes, dtype=pl.List(pl.String)),
        level=pl.when(pl.col("low").is_not_null()).then(None if interval is None else interval.level).cast(pl.Float64),
        model_id=pl.lit(served.model_id),
        alias=pl.lit(served.alias, pl.String),
        engine=pl.lit(served.scorer.engine),
        notes=_notes(served, keys.get("decision_time"), notes),
    )


def _notes(served: Served, decision: pl.Series | None, notes: Sequence[str]) -> pl.Expr:
    """Those that every row bears, and one on rows that the model learned from."""
    usual, learned = (
        pl.lit(pl.Series([list(some)], dtype=pl.List(pl.String)).first(), pl.List(pl.String))
        for some in (notes, (*notes, served.in_training) if served.learned_until > -math.inf else notes)
    )
    if decision is None or served.learned_until == -math.inf:
        return usual
    return pl.when(decision.dt.epoch("ms") < served.learned_until).then(learned).otherwise(usual)


def _begins(code: NDArray[np.int32], segment: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Whether each row is the first of its symbol's segment."""
    first = np.ones(len(code), np.bool_)
    first[1:] = (code[1:] != code[:-1]) | (segment[1:] != segment[:-1])
    return first


def _run(whole: NDArray[np.bool_], begins: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Whole rows in a row up to each one, within its segment."""
    at = np.arange(len(whole))
    before = np.where(~whole, at, np.where(begins, at - 1, -1))
    return at - np.maximum.accumulate(before) if len(at) else at
