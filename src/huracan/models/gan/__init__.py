"""GAN over return windows: stress scenarios and augmentation, conditional on the market regime."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from huracan.models.gan.card import GAN

if TYPE_CHECKING:
    from huracan.models.gan.estimator import ReturnGAN

__all__ = ["GAN", "ReturnGAN"]


def __getattr__(name: str) -> Any:
    if name == "ReturnGAN":
        return import_module("huracan.models.gan.estimator").ReturnGAN
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
