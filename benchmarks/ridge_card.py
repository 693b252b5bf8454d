"""The card of the small linear model that benchmarks of the registry register."""

from __future__ import annotations

from huracan.model_info import ModelInfo

__all__ = ["CARD"]

CARD = ModelInfo(
    name="ridge",
    purpose="linear forecast of the next return",
    ideal_dataset_shape="(1_000+ rows, 5-500 features)",
    feature_requirements=("numeric",),
    output_schema={"prediction": "forecast of the label"},
    task="regression",
)
