"""What would have come of other ways to live through the same bars: never training again, or always, at once in use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl

from huracan.accounting import CostModel
from huracan.integration.feedback.challengers import Order, train_challenger
from huracan.integration.feedback.cleaned_window import chunk_of
from huracan.integration.feedback.feature_feed import FeatureFeed
from huracan.integration.feedback.lineup import Bench
from huracan.integration.feedback.predicting import Predictions, predict
from huracan.integration.feedback.replay import Replay
from huracan.integration.feedback.scoring_outcomes import Rubric, scored
from huracan.model_registry import ModelRegistry
from huracan.storage import Database

__all__ = ["Way", "alone", "retrained_always"]

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
    asked = _Asked(lived, lived.pipeline.registry)
    chunk = asked.chunk
    return _joined(
        [asked.about(version, begin, min(begin + chunk, last + lived.bar)) for begin in range(first, last + 1, chunk)]
    )


def retrained_always(
    lived: Replay,
    first: int,
    last: int,
    *,
    every: int,
    reach: int | None = None,
    progress: Callable[[str], None] = lambda said: None,
) -> Way:
    """A new model every so many bars from the best of ``mechanic.learners``, in use at once.

    Models are made as challengers are, and kept in a registry of their own in the replay's folder, so that asking again trains
    nothing twice. One that cannot be trained leaves the one before in its place.

    Parameters
    ----------
    first, last : opens of the bars that are asked about, milliseconds UTC.
    reach : bars that each learns from; None for all there are before it.
    progress : hears what each came to.
    """
    config, bar = lived.pipeline.config, lived.bar
    where = lived.folder / f"always-{every}-{reach or 'all'}"
    registry = ModelRegistry(Database(f"sqlite:///{where / 'huracan.db'}", synchronous="normal"), artifacts=where / "artifacts")
    oldest = int(lived.candles["ts"].dt.epoch("ms").min())  # type: ignore[arg-type]
    longest = config.mechanic.model_copy(update={"train": f"{(last - oldest) // 1_000 + 1}s"})
    settings = config.model_copy(update={"mechanic": longest})
    asked, parts = _Asked(lived, registry), []
    current: int | None = None
    for begin in range(first, last + 1, every * bar):
        train_from = None if reach is None else begin - reach * bar
        order = Order(f"always:{begin}", lived.name, "first", begin, symbols=asked.symbols, train_from=train_from)
        trained = train_challenger(registry, settings, lived.window, order)
        progress(trained.reason)
        current = current if trained.version is None else trained.version
        if current is not None:
            parts.append(asked.about(current, begin, min(begin + every * bar, last + bar)))
    return _joined(parts)


class _Asked:
    """Versions of a registry, asked about the bars of a replay."""

    def __init__(self, lived: Replay, registry: ModelRegistry) -> None:
        config = lived.pipeline.config
        ageless = config.model_copy(update={"serving": config.serving.model_copy(update={"max_age_days": None})})
        self.bench = Bench(registry, ageless, lived.name)
        self.symbols = tuple(sorted(lived.candles["symbol"].unique().to_list()))
        self.chunk = chunk_of(config, lived.bar)
        self._features = FeatureFeed(lived.window, self.symbols, chunk=self.chunk)
        self._costs, self._labels = CostModel(**config.costs.model_dump()), config.labels
        self._until = int(lived.candles["ts"].dt.epoch("ms").max()) + lived.bar  # type: ignore[arg-type]

    def about(self, version: int, first: int, until: int) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Positions and single payoffs of the bars that open from ``first`` on and are closed by ``until``."""
        served = self.bench.served(version)
        rubric = Rubric.of(served, self._costs, self._labels)
        said = _frame(predict(served, self._features, self.symbols, first, until, version_id=self.bench.id_of(version)))
        told = self._features.labels(rubric.labels, self.symbols, first, self._until)
        before = said.select(pl.col("position").shift(1).over("symbol").fill_null(0.0))["position"].to_numpy()
        positions = said.select("symbol", pl.col("ts").cast(_TIME), target="position")
        return positions, scored(rubric, said, before, told, tick=until).select("ts", "payoff")


def _joined(parts: list[tuple[pl.DataFrame, pl.DataFrame]]) -> Way:
    if not parts:
        none = pl.DataFrame(schema={"symbol": pl.String, "ts": _TIME, "target": pl.Float64})
        return Way(none, pl.DataFrame(schema={"ts": _TIME, "payoff": pl.Float64}))
    single = pl.concat([outcomes for _, outcomes in parts]).drop_nulls()
    payoffs = single.group_by("ts").agg(pl.col("payoff").mean()).sort("ts").with_columns(pl.col("ts").cast(_TIME))
    return Way(pl.concat([positions for positions, _ in parts]).sort("symbol", "ts"), payoffs)


def _frame(said: Predictions) -> pl.DataFrame:
    """Columns of ``live_predictions`` that scoring reads."""
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
