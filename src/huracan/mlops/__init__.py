"""The feedback loop: is the data still what was learned, is the skill still there, and does retraining pay.

Names are loaded when they are first used, so that importing the room costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOME: dict[str, str] = {
    "Decision": "huracan.mlops.retraining",
    "Evidence": "huracan.mlops.evidence",
    "EvidenceKind": "huracan.mlops.evidence",
    "LiveExpectation": "huracan.mlops.live_expectation",
    "Metric": "huracan.mlops.metrics",
    "Metrics": "huracan.mlops.metrics",
    "PerformanceStore": "huracan.mlops.performance.store",
    "PolicyHistory": "huracan.mlops.policy_history",
    "RetrainDecision": "huracan.mlops.retraining",
    "RetrainPolicy": "huracan.mlops.retraining",
    "SkillMonitor": "huracan.mlops.skill_monitor",
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
