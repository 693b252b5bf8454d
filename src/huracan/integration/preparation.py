"""From whatever holds candles to a ``TrainingSet``, as the configuration says."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from huracan.config import HuracanConfig, LabelConfig
from huracan.dataset import TrainingSet
from huracan.errors import DataError, FeatureError, NotEnoughData
from huracan.labels import forward_return_labels, triple_barrier_labels
from huracan.logs import stage
from huracan.market import ReadNote, SimulatedMarket, bar_length, simulate_market, validate_candles
from huracan.preprocessing import CleaningPolicy, FeatureRecipe, QualityReport, clean_candles, quality_report
from huracan.regimes import RegimeClassifier

__all__ = ["Prepared", "Source", "labels_of", "load_recipe", "make_labels", "prepare", "read_source"]


@dataclass(frozen=True)
class Source:
    """Candles and where they came from.

    ``cleaning`` is the account of what cleaning did; ``filled`` names the bars it put in (``[symbol, ts]``), on which nothing
    is decided and nothing learned; ``truth`` is there on a simulated market.
    """

    candles: pl.DataFrame
    name: str
    notes: tuple[ReadNote, ...] = ()
    truth: SimulatedMarket | None = None
    cleaning: str = ""
    filled: pl.DataFrame | None = None


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
        cleaned = clean_candles(given, CleaningPolicy(**config.cleaning.model_dump()))
        log.info("candles read", rows=cleaned.candles.height, notes=len(cleaned.read_notes), cleaning=cleaned.sentence)
        name = Path(given).name if isinstance(given, str | Path) else "a frame"
        marks = [mark for mark in ("segment", "outlier", "repaired", "filled") if mark in cleaned.candles.columns]
        kept = _wanted(cleaned.candles, config)
        filled = kept.filter("filled").select("symbol", "ts") if "filled" in marks else None
        return Source(validate_candles(kept.drop(marks)), name, cleaned.read_notes, cleaning=cleaned.sentence, filled=filled)


def prepare(config: HuracanConfig, source: Source, recipe: FeatureRecipe | None = None) -> Prepared:
    """Check the candles, compute features, labels and regimes, and join them; the recipe is the configured one unless given."""
    candles = source.candles
    with stage("quality"):
        quality = quality_report(candles, notes=source.notes)
    recipe = load_recipe(config) if recipe is None else recipe
    with stage("features", recipe=recipe.hash):
        features = recipe.compute(candles)
    with stage("labels"):
        labels = make_labels(config, candles)
    if source.filled is not None and source.filled.height:
        features, labels = _without_filled(features, labels, source.filled, bar_length(candles))
    with stage("regimes"):
        regimes = RegimeClassifier(**config.regimes.model_dump()).classify(candles)
    with stage("join") as log:
        everything = TrainingSet.from_candles(
            candles, recipe=_Computed(recipe, features), labels=labels, regimes=regimes, keep_unlabelled=True
        )
        rows = everything.labelled_only()
        if not len(rows):
            raise NotEnoughData(
                f"none of {candles.height} candles gives a training row: {len(everything)} have all features, and none of "
                "these a label, whose future is not there yet; more bars were expected."
            )
        log.info("rows ready", rows=len(rows), columns=len(rows.feature_names), dropped=dict(rows.dropped))
    return Prepared(source, quality, recipe, features, labels, regimes, everything, rows)


def _without_filled(
    features: pl.DataFrame, labels: pl.DataFrame, filled: pl.DataFrame, bar: dt.timedelta
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Leave out bars that were put in: no decision is taken on one, and no label begins or ends at its invented price."""
    entry = filled.select("symbol", pl.col("ts") - bar)
    leave = filled.select("symbol", label_end="ts")
    labels = labels.join(entry, on=["symbol", "ts"], how="anti", maintain_order="left")
    labels = labels.join(leave, on=["symbol", "label_end"], how="anti", maintain_order="left")
    return features.join(filled, on=["symbol", "ts"], how="anti", maintain_order="left"), labels


def load_recipe(config: HuracanConfig) -> FeatureRecipe:
    """The recipe the configuration names: a shipped one, or a JSON file."""
    name = config.features.recipe
    if name in ("default", "minimal", "alpha158"):
        return getattr(FeatureRecipe, name)()
    path = Path(name).expanduser()
    try:
        text = path.read_text(encoding="utf-8")
        return FeatureRecipe.from_engine_json(text) if '"indicators"' in text else FeatureRecipe.from_json(text)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "not UTF-8 text"
        raise DataError(
            f"features.recipe is '{name}': {reason}; 'default', 'minimal', 'alpha158' or a recipe's JSON file was expected."
        ) from error
    except FeatureError as error:
        raise FeatureError(f"features.recipe is '{name}': {error}") from error


def make_labels(config: HuracanConfig, candles: pl.DataFrame) -> pl.DataFrame:
    """Labels of the kind configured."""
    return labels_of(config.labels, candles)


def labels_of(wanted: LabelConfig, candles: pl.DataFrame) -> pl.DataFrame:
    """``[symbol, ts, label, label_end, execution_return, weight, volatility]`` of every candle, as wanted."""
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
