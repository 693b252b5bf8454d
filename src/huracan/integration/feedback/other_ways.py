"""What would have come of another way to live through the same bars: the first champion alone, never trained again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from huracan.accounting import CostModel
from huracan.config import milliseconds
from huracan.integration.feedback.feature_feed import FeatureFeed
from huracan.integration.feedback.feeds import FrameFeed
from huracan.integration.feedback.lineup import Bench
from huracan.integration.feedback.predicting import Predictions, predict
from huracan.integration.feedback.replay import Replay
from huracan.integration.feedback.scoring_outcomes import Rubric, scored

__all__ = ["Way", "alone"]

_TIME = pl.Datetime("ms", "UTC")


@dataclass(frozen=True, eq=False)
class Way:
    """What one way of living said and what its scores were worth.

    Attributes
    ----------
    positions : ``[symbol, ts, target]``. payoffs : ``[ts, payoff]``, symbols of a moment averaged.
    """

    positions: pl.DataFrame
    payoffs: pl.DataFrame


def alone(lived: Replay, version: int, first: int, last: int) -> Way:
    """What a version would have said of every bar that opens in ``first`` to ``last``, milliseconds UTC, whatever its age.

    Computed a chunk after the other, by the functions of the turns, with the labels that were known at the end.
    """
    pipeline, bar = lived.pipeline, lived.bar
    config = pipeline.config
    ageless = config.model_copy(update={"serving": config.serving.model_copy(update={"max_age_days": None})})
    bench = Bench(pipeline.registry, ageless, lived.name)
    served = bench.served(version)
    feed = FrameFeed(lived.candles)
    symbols = tuple(sorted(lived.candles["symbol"].unique().to_list()))
    chunk = milliseconds(config.mechanic.chunk)
    chunk += -chunk % bar
    features = FeatureFeed(feed, symbols, chunk=chunk)
    rubric = Rubric.of(served, CostModel(**config.costs.model_dump()), config.labels)
    until = int(lived.candles["ts"].dt.epoch("ms").max()) + bar  # type: ignore[arg-type]
    positions, outcomes = [], []
    for begin in range(first, last + 1, chunk):
        end = min(begin + chunk, last + bar)
        said = _frame(predict(served, features, symbols, begin, end, version_id=bench.id_of(version)))
        told = features.labels(rubric.labels, symbols, begin, until)
        before = said.select(pl.col("position").shift(1).over("symbol").fill_null(0.0))["position"].to_numpy()
        outcomes.append(scored(rubric, said, before, told, tick=last).select("ts", "payoff"))
        positions.append(said.select("symbol", pl.col("ts").cast(_TIME), target="position"))
    payoffs = pl.concat(outcomes).drop_nulls().group_by("ts").agg(pl.col("payoff").mean()).sort("ts")
    return Way(pl.concat(positions).sort("symbol", "ts"), payoffs.with_columns(pl.col("ts").cast(_TIME)))


def _frame(said: Predictions) -> pl.DataFrame:
    numbers = {name: getattr(said, name) for name in ("score", "forecast", "probability", "position")}
    frame = pl.DataFrame(
        {
            "version_id": np.full(len(said), said.version_id),
            "symbol": pl.Series(np.asarray(said.symbols, dtype=object)[said.code].tolist(), dtype=pl.String),
            "ts": said.ts,
            "vetoes": said.vetoes,
            **numbers,
        }
    )
    return frame.with_columns(pl.col(list(numbers)).fill_nan(None)).sort("symbol", "ts")
