"""Configuration: ``config/ml_framework.yaml`` into checked, frozen models."""

from huracan.config.documentation import commented_yaml, parameter_table
from huracan.config.feedback_schema import DriftConfig, MechanicConfig, RetrainConfig
from huracan.config.learning_schema import (
    AgentEvaluationConfig,
    AutoMLConfig,
    EnsembleConfig,
    LearnerConfig,
    ProfileConfig,
    RLConfig,
    TrainingConfig,
)
from huracan.config.loading import config_hash, feedback_hash, load_config
from huracan.config.schema import (
    CleaningConfig,
    ComparisonConfig,
    CostConfig,
    DataConfig,
    FeatureConfig,
    HuracanConfig,
    LabelConfig,
    LoggingConfig,
    PolicyConfig,
    RegimeConfig,
    RegistryConfig,
    RetentionConfig,
    ServingConfig,
    SimulationConfig,
    ValidationConfig,
)
from huracan.config.section import milliseconds

__all__ = [
    "AgentEvaluationConfig",
    "AutoMLConfig",
    "CleaningConfig",
    "ComparisonConfig",
    "CostConfig",
    "DataConfig",
    "DriftConfig",
    "EnsembleConfig",
    "FeatureConfig",
    "HuracanConfig",
    "LabelConfig",
    "LearnerConfig",
    "LoggingConfig",
    "MechanicConfig",
    "PolicyConfig",
    "ProfileConfig",
    "RLConfig",
    "RegimeConfig",
    "RegistryConfig",
    "RetentionConfig",
    "RetrainConfig",
    "ServingConfig",
    "SimulationConfig",
    "TrainingConfig",
    "ValidationConfig",
    "commented_yaml",
    "config_hash",
    "feedback_hash",
    "load_config",
    "milliseconds",
    "parameter_table",
]
