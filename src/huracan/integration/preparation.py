"""From whatever holds candles to a ``TrainingSet``, as the configuration says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from huracan.config import HuracanConfig
from huracan.dataset import TrainingSet
from huracan.errors import DataError, FeatureError
from huracan.labels import forward_return_labels, triple_barrier_labels
from huracan.logs import stage
from huracan.market import ReadNote, SimulatedMarket, ingest_candles, simulate_market, validate_candles
from huracan.preprocessing import FeatureRecipe, QualityReport, quality_report
from huracan.regimes import RegimeClassifier

__all__ = ["Prepared", "Source", "load_recipe", "make_labels", "prepare", "read_source"]


@dataclass(frozen=True)
class Source:
    """Candles and where they came from; ``truth`` on a simulated market."""

    candles: pl.DataFrame
    name: str
    notes: tuple[ReadNote, ...] = ()
    truth: SimulatedMarket | None = None


@dataclass(frozen=True)
class Prepared:
    """Rows ready for training, and what they were made of.

    ``everything`` holds every row with features, ``rows`` those of them whose label is known.
    """

    source: Source
    quality: QualityReport
    recipe: FeatureRecipe
    features: pl.DataFrame
    labels: pl.DataFrame
    regimes: pl.DataFrame
    everything: TrainingSet
    rows: TrainingSet


def read_source(config: HuracanConfig, candles: Any = None) -> Source:
    """Read candles from a path, a folder or a frame; without any, simulate a market.

    Raises
    ------
    CandleError, NotEnoughData : what is wrong, where, and what was expected.
    """
    given = config.data.source if candles is None else candles
    with stage("read") as log:
        if given is None:
            sim = config.data.simulation
            truth = simulate_market(
                n_bars=sim.n_bars,
                n_symbols=sim.n_symbols,
                seed=config.seed,
                signal_strength=sim.signal_strength,
                bar=sim.bar,
                gap_share=sim.gap_share,
            )
            name = (
                f"simulated market: {sim.n_symbols} symbols x {sim.n_bars:,} bars of {sim.bar}, edge x {sim.signal_strength:g}"
            )
            return Source(_wanted(truth.candles, config), name, truth=truth)
        read = ingest_candles(given, on_unsorted=config.data.on_unsorted, on_duplicate=config.data.on_duplicate)
        log.info("candles read", rows=read.candles.height, notes=len(read.notes))
        name = Path(given).name if isinstance(given, str | Path) else "a frame"
        kept = validate_candles(_wanted(read.candles, config))
        return Source(kept, name, tuple(read.notes))


def prepare(config: HuracanConfig, source: Source) -> Prepared:
    """Check the candles, compute features, labels and regimes, and join them."""
    candles = source.candles
    with stage("quality"):
        quality = quality_report(candles, notes=source.notes)
    recipe = load_recipe(config)
    with stage("features", recipe=recipe.hash):
        features = recipe.compute(candles)
    with stage("labels"):
        labels = make_labels(config, candles)
    with stage("regimes"):
        regimes = RegimeClassifier(**config.regimes.model_dump()).classify(candles)
    with stage("join") as log:
        everything = TrainingSet.from_candles(
            candles, recipe=_Computed(recipe, features), labels=labels, regimes=regimes, keep_unlabelled=True
        )
        rows = everything.labelled_only()
        log.info("rows ready", rows=len(rows), columns=len(rows.feature_names), dropped=dict(rows.dropped))
    return Prepared(source, quality, recipe, features, labels, regimes, everything, rows)


def load_recipe(config: HuracanConfig) -> FeatureRecipe:
    """The recipe the configuration names: a shipped one, or a JSON file."""
    name = config.features.recipe
    if name in ("default", "minimal"):
        return getattr(FeatureRecipe, name)()
    path = Path(name).expanduser()
    try:
        return FeatureRecipe.from_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "not UTF-8 text"
        raise DataError(
            f"features.recipe is '{name}': {reason}; 'default', 'minimal' or a recipe's JSON file was expected."
        ) from error
    except FeatureError as error:
        raise FeatureError(f"features.recipe is '{name}': {error}") from error


def make_labels(config: HuracanConfig, candles: pl.DataFrame) -> pl.DataFrame:
    """Labels of the kind configured."""
    wanted = config.labels
    if wanted.kind == "triple_barrier":
        return triple_barrier_labels(
            candles,
            horizon=wanted.horizon,
            take_profit=wanted.take_profit,
            stop_loss=wanted.stop_loss,
            volatility_span=wanted.volatility_span,
            weights=wanted.weights,
        )
    return forward_return_labels(
        candles,
        horizon=wanted.horizon,
        cost_bps=wanted.cost_bps,
        volatility_scaled=wanted.volatility_scaled,
        volatility_span=wanted.volatility_span,
        weights=wanted.weights,
    )


@dataclass(frozen=True)
class _Computed:
    """A recipe whose features are already there."""

    recipe: FeatureRecipe
    features: pl.DataFrame

    @property
    def hash(self) -> str:
        return self.recipe.hash

    @property
    def lookback(self) -> int:
        return self.recipe.lookback

    def compute(self, candles: pl.DataFrame) -> pl.DataFrame:
        return self.features


def _wanted(candles: pl.DataFrame, config: HuracanConfig) -> pl.DataFrame:
    if not config.data.symbols:
        return candles
    there = candles["symbol"].unique().sort().to_list()
    missing = [s for s in config.data.symbols if s not in there]
    if missing:
        raise DataError(f"data.symbols names '{missing[0]}', which is not in the candles; there are {', '.join(there)}.")
    return candles.filter(pl.col("symbol").is_in(list(config.data.symbols)))
