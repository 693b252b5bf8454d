"""The GAN's card in the catalogue; free of PyTorch, so that it can be read without it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from huracan.baselines.spec import LearnerSpec
from huracan.model_info import MarketRegime

__all__ = ["GAN", "GAN_DEFAULTS"]

GAN_DEFAULTS: Mapping[str, Any] = {
    "window": 64,
    "reference": 512,
    "conditional": True,
    "tick_jitter": True,
    "hidden": 24,
    "critic_hidden": 32,
    "latent": 4,
    "max_steps": 8_000,
    "batch_size": 128,
    "critic_steps": 5,
    "penalty": 10.0,
    "critic_rate": 5e-4,
    "generator_rate": 5e-4,
    "averaging": 0.999,
    "device": "cpu",
}

GAN = LearnerSpec(
    name="gan",
    purpose="Return windows that did not happen but could have, by regime: stress scenarios and more data to train on.",
    ideal_dataset_shape="(20_000+ rows of several symbols and all regimes, 1 column of returns among the features)",
    tasks=("generation",),
    estimator="huracan.models.gan.estimator:ReturnGAN",
    feature_requirements=(
        "candles, or returns with the regime of each row",
        "finite returns",
        "unbroken runs of reference + window bars",
        "any scale: divided by the volatility known before the window",
    ),
    outputs={
        "sample": "windows of returns in units of the volatility known before them (n, window)",
        "stress_scenarios": "price paths (n, window + 1), the first price being the one given",
    },
    market_regimes={
        MarketRegime.TRENDING: "a condition: windows as they follow a trend",
        MarketRegime.RANGING: "a condition: windows as they follow a quiet market",
        MarketRegime.VOLATILE: "a condition: windows as they follow high volatility, for stress tests",
        MarketRegime.ILLIQUID: "a condition: windows as they follow thin trading",
    },
    defaults=GAN_DEFAULTS,
    meanings={
        "window": "bars of a window",
        "reference": "bars before a window whose mean absolute return is its unit",
        "conditional": "tell windows apart by the regime known before them; without, all are one kind",
        "tick_jitter": "move closes of candles within their price step, so that discrete prices are no clue",
        "hidden": "channels of the generator",
        "critic_hidden": "channels of the critic",
        "latent": "numbers a window that the generator's network sees",
        "max_steps": "optimizer steps of both networks together",
        "batch_size": "windows an optimizer step",
        "critic_steps": "critic steps before each of the generator",
        "penalty": "weight of the gradient penalty",
        "critic_rate": "learning rate of the critic",
        "generator_rate": "learning rate of the generator",
        "averaging": "weight of the past in the average of the parameters that is kept",
        "device": "cpu, cuda, or auto (CUDA where there is one)",
    },
    aliases={"window_size": "window", "n_critic": "critic_steps", "gradient_penalty": "penalty"},
    scale_inputs=False,
    threads=True,
)
