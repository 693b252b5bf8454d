"""Configuration: ``config/ml_framework.yaml`` into checked, frozen models."""

from huracan.config.documentation import commented_yaml, parameter_table
from huracan.config.loading import config_hash, load_config
from huracan.config.schema import (
    AutoMLConfig,
    CleaningConfig,
    ComparisonConfig,
    CostConfig,
    DataConfig,
    EnsembleConfig,
    FeatureConfig,
    HuracanConfig,
    LabelConfig,
    LearnerConfig,
    LoggingConfig,
    PolicyConfig,
    ProfileConfig,
    RegimeConfig,
    RegistryConfig,
    SimulationConfig,
    TrainingConfig,
    ValidationConfig,
)

__all__ = [
    "AutoMLConfig",
    "CleaningConfig",
    "ComparisonConfig",
    "CostConfig",
    "DataConfig",
    "EnsembleConfig",
    "FeatureConfig",
    "HuracanConfig",
    "LabelConfig",
    "LearnerConfig",
    "LoggingConfig",
    "PolicyConfig",
    "ProfileConfig",
    "RegimeConfig",
    "RegistryConfig",
    "SimulationConfig",
    "TrainingConfig",
    "ValidationConfig",
    "commented_yaml",
    "config_hash",
    "load_config",
    "parameter_table",
]
