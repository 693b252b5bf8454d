"""The autoencoder's card in the catalogue; free of PyTorch, so that it can be read without it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from huracan.baselines.spec import LearnerSpec
from huracan.model_info import MarketRegime

__all__ = ["AUTOENCODER", "AUTOENCODER_DEFAULTS"]

AUTOENCODER_DEFAULTS: Mapping[str, Any] = {
    "window": 32,
    "latent": 16,
    "hidden": 96,
    "cross_hidden": 48,
    "reference": 240,
    "views": None,
    "learning_clip": 6.0,
    "max_train_windows": 100_000,
    "validation_share": 0.1,
    "calibration_share": 0.25,
    "max_epochs": 4,
    "batch_size": 128,
    "learning_rate": 3e-3,
    "weight_decay": 1e-4,
    "patience": None,
    "device": "cpu",
}

AUTOENCODER = LearnerSpec(
    name="autoencoder",
    purpose="What the last bars were like in a few numbers, and an alarm when they were like nothing seen in training.",
    ideal_dataset_shape="(50_000+ rows, 3-16 features, windows of 16-64 bars)",
    tasks=("representation",),
    estimator="huracan.models.autoencoder.estimator:Autoencoder",
    feature_requirements=(
        "candles, or numeric features of bars in time order",
        "finite: no infinities; nulls only in a feature frame, where they break windows",
        "unbroken windows of one symbol and segment",
        "any scale: standardised inside, cut for learning and not for judging",
    ),
    outputs={
        "latent": "latent features of the window that ends in the row, no unit",
        "anomaly_score": "surprise of the window's worst check, in nats: how rare it is among training windows; to rank by",
        "anomaly_share": "share of usual windows at least as strange, at most: an alarm at .01 rings in 1 of 100 usual windows",
    },
    market_regimes={
        MarketRegime.VOLATILE: "tells a burst that fits together (range with volume) from bad ticks and broken feeds",
        MarketRegime.ILLIQUID: "frozen prices and volume without movement show as columns that do not explain each other",
        MarketRegime.RANGING: "windows are usual ones, so latent features describe them best and false alarms are few",
    },
    defaults=AUTOENCODER_DEFAULTS,
    meanings={
        "window": "bars of a window, the row itself the last",
        "latent": "latent features",
        "hidden": "width of the layers around the bottleneck",
        "cross_hidden": "channels of the network that forecasts columns from each other",
        "reference": "bars that candles are compared with: their usual volatility, range and volume",
        "views": "groups of column numbers forecast from all others; none is price and volume, or every column by itself",
        "learning_clip": "standard deviations at which values are cut for learning; they are judged uncut",
        "max_train_windows": "windows of a fit, drawn at random over the span learned from; none is all",
        "validation_share": "share of the windows, purged, next to the latest, that choose the epoch",
        "calibration_share": "share of the windows, the latest and purged, that say how often usual ones score as high",
        "max_epochs": "most passes over the training windows",
        "batch_size": "windows an optimizer step",
        "learning_rate": "of AdamW, at its highest",
        "weight_decay": "of AdamW, for matrices",
        "patience": "epochs without a lower validation loss before stopping; none goes on",
        "device": "cpu, cuda, or auto (CUDA where there is one)",
    },
    aliases={"window_size": "window", "latent_dim": "latent", "n_components": "latent", "epochs": "max_epochs"},
    scale_inputs=False,
    threads=True,
)
