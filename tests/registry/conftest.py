"""A model card that is complete."""

from __future__ import annotations

import pytest

from huracan.model_info import ModelInfo


@pytest.fixture
def card() -> ModelInfo:
    """A complete model card."""
    return ModelInfo(
        name="ridge",
        purpose="linear forecast of the next return",
        ideal_dataset_shape="(1_000+ rows, 5-500 features)",
        feature_requirements=("numeric", "no nulls"),
        output_schema={"prediction": "forecast of the label"},
        task="regression",
        market_regimes={"trending": "momentum is close to linear"},
        hyperparameters={"alpha": 1.0, "missing": float("nan")},
    )
