"""Autoencoder of windows: latent features and a calibrated anomaly score, for candles, feature rows and windows."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from huracan.models.autoencoder.card import AUTOENCODER

if TYPE_CHECKING:
    from huracan.models.autoencoder.estimator import Autoencoder

__all__ = ["AUTOENCODER", "Autoencoder"]


def __getattr__(name: str) -> Any:
    if name == "Autoencoder":
        return import_module("huracan.models.autoencoder.estimator").Autoencoder
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
