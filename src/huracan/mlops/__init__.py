"""The feedback loop: is the data still what was learned, is the skill still there, and does retraining pay.

Names are loaded when they are first used, so that importing the room costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOME: dict[str, str] = {
    "Adwin": "huracan.mlops.streaming",
    "Alert": "huracan.mlops.alerts",
    "AlertLevel": "huracan.mlops.alerts",
    "Alerts": "huracan.mlops.alerts",
    "CalibrationDrift": "huracan.mlops.calibration_drift",
    "ColumnDrift": "huracan.mlops.drift_report",
    "Cusum": "huracan.mlops.streaming",
    "DDM": "huracan.mlops.streaming",
    "Decision": "huracan.mlops.retrain_decision",
    "DriftDetector": "huracan.mlops.drift_detector",
    "DriftReport": "huracan.mlops.drift_report",
    "Evidence": "huracan.mlops.evidence",
    "EvidenceKind": "huracan.mlops.evidence",
    "JointDrift": "huracan.mlops.drift_report",
    "LiveExpectation": "huracan.mlops.live_expectation",
    "LogChannel": "huracan.mlops.alert_channels",
    "Metric": "huracan.mlops.metrics",
    "Metrics": "huracan.mlops.metrics",
    "PageHinkley": "huracan.mlops.streaming",
    "PerformanceStore": "huracan.mlops.performance.store",
    "PolicyHistory": "huracan.mlops.policy_history",
    "PredictionDrift": "huracan.mlops.prediction_drift",
    "REFERENCE_FILE": "huracan.mlops.reference",
    "Reference": "huracan.mlops.reference",
    "RetrainDecision": "huracan.mlops.retrain_decision",
    "RetrainPolicy": "huracan.mlops.retraining",
    "SkillMonitor": "huracan.mlops.skill_monitor",
    "StreamingDetector": "huracan.mlops.streaming",
    "WebhookChannel": "huracan.mlops.alert_channels",
    "detect_calibration_drift": "huracan.mlops.calibration_drift",
    "detect_prediction_drift": "huracan.mlops.prediction_drift",
    "score_reference": "huracan.mlops.prediction_drift",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'huracan.mlops' has no attribute '{name}'")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
