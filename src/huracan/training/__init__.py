"""The one training loop: windows cut by index, steps, early stopping, checkpoints; one process is world size 1.

Whatever learns by gradient steps is trained here: :class:`~huracan.training.loop.TrainingLoop` runs a
:class:`~huracan.training.phases.TrainingTask` over a :class:`~huracan.training.windows.WindowTable`. Where the arithmetic
happens (one core, a GPU, many hosts) is decided by a :class:`~huracan.training.runtime.Runtime`; neither the loop nor a
network knows.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from huracan.training.checkpoints import CheckpointFolder
    from huracan.training.history import EpochRecord, TrainingResult
    from huracan.training.loop import TrainingLoop
    from huracan.training.phases import Phase, Supervised, TrainingTask
    from huracan.training.runtime import Runtime
    from huracan.training.settings import LoopSettings
    from huracan.training.windows import Batch, WindowTable

_HOMES = {
    "CheckpointFolder": "checkpoints",
    "EpochRecord": "history",
    "TrainingResult": "history",
    "TrainingLoop": "loop",
    "Phase": "phases",
    "Supervised": "phases",
    "TrainingTask": "phases",
    "Runtime": "runtime",
    "LoopSettings": "settings",
    "Batch": "windows",
    "WindowTable": "windows",
}

__all__ = [
    "Batch",
    "CheckpointFolder",
    "EpochRecord",
    "LoopSettings",
    "Phase",
    "Runtime",
    "Supervised",
    "TrainingLoop",
    "TrainingResult",
    "TrainingTask",
    "WindowTable",
]


def __getattr__(name: str) -> Any:  # torch takes seconds to import; only who trains pays for it
    if name in _HOMES:
        return getattr(import_module(f"huracan.training.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'huracan.training' has no attribute '{name}'")
