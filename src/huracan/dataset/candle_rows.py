"""Rows of a ``TrainingSet`` from candles: features, and labels where there are any, joined on symbol and time."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from huracan.dataset.row_keys import TimeSource
from huracan.errors import NotEnoughData

if TYPE_CHECKING:
    import polars as pl

__all__ = ["NO_LABEL", "Recipe", "candle_fields"]

NO_LABEL = "no label: its future, or the volatility it is scaled by, is not known"
_KEYS = ("symbol", "ts", "segment")


class Recipe(Protocol):
    """What ``TrainingSet.from_candles`` needs of a feature recipe."""

    @property
    def hash(self) -> str: ...

    def compute(self, candles: pl.DataFrame) -> pl.DataFrame: ...


def candle_fields(candles: Any, *, recipe: Recipe, labels: Any, keep_unlabelled: bool) -> dict[str, Any]:
    """The fields of a ``TrainingSet`` of all rows with features, see ``TrainingSet.from_candles``."""
    import polars as pl

    features = recipe.compute(candles)
    names = tuple(c for c in features.columns if c not in _KEYS)
    bar = _bar_length(features)
    if labels is None:
        joined = features.with_columns(label=pl.lit(None, pl.Float64), label_end=pl.lit(None, pl.Datetime("ms", "UTC")))
    else:
        joined = features.join(labels, on=["symbol", "ts"], how="left", maintain_order="left")
    undefined = joined.select(pl.any_horizontal(pl.col(c).is_null() | pl.col(c).is_nan() for c in names)).to_series()
    dropped = _reasons(joined, names, undefined, int(getattr(recipe, "lookback", 0)))
    kept = joined.filter(~undefined).sort("ts", "symbol")
    kept = kept.with_columns(label=pl.when(pl.col("label_end").is_not_null()).then("label"))
    unlabelled = labels is None or keep_unlabelled
    if kept.is_empty() or (not unlabelled and kept["label"].is_null().all()):
        raise NotEnoughData(_none_left(joined, kept.height, dropped, int(getattr(recipe, "lookback", 0)), unlabelled))
    if labels is None:
        _warn_of_short_history(features, int(getattr(recipe, "warmup", 0)))
    symbols = tuple(sorted(kept["symbol"].unique().to_list()))
    ts: NDArray[np.datetime64] = kept["ts"].dt.replace_time_zone(None).cast(pl.Datetime("ms")).to_numpy()
    return {
        "X": np.ascontiguousarray(kept.select(pl.col(names).cast(pl.Float32)).to_numpy()),
        "y": kept["label"].cast(pl.Float64).fill_null(np.nan).to_numpy().copy(),
        "ts": ts,
        "decision_time": (ts + bar).astype("datetime64[ms]"),
        "label_end": kept["label_end"].dt.replace_time_zone(None).cast(pl.Datetime("ms")).to_numpy(),
        "feature_names": names,
        "symbol_code": np.searchsorted(symbols, kept["symbol"].to_numpy().astype(str)).astype(np.int32),
        "segment": kept["segment"].to_numpy().astype(np.int32),
        "regime_code": np.full(kept.height, -1, np.int8),
        "weight": _optional(kept, "weight", np.ones(kept.height)),
        "execution_return": _optional(kept, "execution_return", None),
        "volatility": _optional(kept, "volatility", None),
        "symbols": symbols,
        "bar_length": bar,
        "time_source": TimeSource.CANDLES,
        "recipe_hash": recipe.hash,
        "dropped": dropped,
    }


def _warn_of_short_history(features: pl.DataFrame, warmup: int) -> None:
    """Say where the newest bar of a symbol has fewer bars behind it than its features need to forget where they began."""
    import polars as pl

    newest = pl.col("segment") == pl.col("segment").last().over("symbol")
    short = features.filter(newest).group_by("symbol", maintain_order=True).len().filter(pl.col("len") < warmup)
    if short.height:
        symbol, bars = short.row(0)
        more = f", as have {short.height - 1} more symbol(s)" if short.height > 1 else ""
        warnings.warn(
            f"the newest bar of {symbol} has an unbroken history of {bars} bars{more}, where the recipe's features take "
            f"{warmup} to forget where it began: they differ from those of a longer history, and so do forecasts; give more.",
            stacklevel=4,
        )


def _none_left(joined: pl.DataFrame, with_features: int, dropped: dict[str, int], lookback: int, unlabelled: bool) -> str:
    """Why there is no row at all."""
    longest = int(joined.group_by("symbol", "segment").len()["len"].max() or 0)  # type: ignore[arg-type]
    if with_features:
        return (
            f"none of {joined.height} candles gives a training row: {with_features} have all features, and none of these a "
            f"label ({NO_LABEL}); more bars, or labels=None for rows to forecast, were expected."
        )
    worst = max(dropped.items(), key=lambda item: item[1], default=("no candles", 0))
    needed = f"bars in one segment, the longest segment has {longest}"
    what = f"needs more than {lookback} {needed}" if longest <= lookback else f"has had more than its {lookback} {needed}"
    kind = "row with features" if unlabelled else "training row"
    return f"none of {joined.height} candles gives a {kind} ({worst[0]}: {worst[1]}); the recipe {what}."


def _reasons(joined: pl.DataFrame, names: Sequence[str], undefined: pl.Series, lookback: int) -> dict[str, int]:
    """Why rows have no features, each row under one reason only."""
    import polars as pl

    age = joined.select(pl.int_range(pl.len()).over("symbol", "segment")).to_series()
    warming = undefined & (age < lookback)
    reasons = {"features warming up": int(warming.sum())}
    later = joined.filter(undefined & ~warming)
    for name in names:
        here = later[name].is_null() | later[name].is_nan()
        if here.any():
            reasons[f"feature {name} is undefined"] = int(here.sum())
            later = later.filter(~here)
    return {reason: count for reason, count in reasons.items() if count}


def _bar_length(features: pl.DataFrame) -> np.timedelta64:
    import polars as pl

    steps = features.sort("symbol", "ts").select(pl.col("ts").diff().over("symbol").alias("step")).drop_nulls()
    if steps.is_empty():
        raise NotEnoughData(f"{features.height} candle(s): at least two of one symbol are needed to know the bar length.")
    lengths, counts = np.unique(steps["step"].dt.total_milliseconds().to_numpy(), return_counts=True)
    return np.timedelta64(int(lengths[np.argmax(counts)]), "ms")


def _optional(frame: pl.DataFrame, column: str, otherwise: NDArray[np.float64] | None) -> Any:
    return frame[column].to_numpy().astype(np.float64) if column in frame.columns else otherwise
