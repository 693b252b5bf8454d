"""A crew: workers that do one job at a time and may die. What ``processes`` and ``ray_cluster`` both are."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

__all__ = ["THREAD_VARIABLES", "Crew", "Event", "Order", "Seen", "worker_environment"]

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "POLARS_MAX_THREADS",
    "RAYON_NUM_THREADS",
)
"""What numpy, scipy, torch, LightGBM, XGBoost, numba and polars read to know how many threads to start."""


@dataclass(frozen=True)
class Order:
    """What all workers of a call are told: the pickled function, what it asks for, what is shared, the seed."""

    function: bytes
    asked: frozenset[str]
    shared: Any
    seed: int
    threads: int | None


class Seen(StrEnum):
    """What can be seen of a worker."""

    READY = "ready"
    UNUSABLE = "unusable"
    REPLIED = "replied"
    DIED = "died"


@dataclass(frozen=True)
class Event:
    """Something a worker did. ``data``: its label when ready, the reply, or the reason."""

    worker: int
    seen: Seen
    data: Any = None


class Crew(Protocol):
    """Workers by number; a number is never used again."""

    def start(self) -> int:
        """Start a worker; it says ``READY`` when it can be given jobs, ``UNUSABLE`` where it cannot load the function."""

    def send(self, worker: int, job: bytes) -> None:
        """Give a job to a worker that has none; it replies, or dies."""

    def wait(self, seconds: float) -> list[Event]:
        """Events since the last call, waiting for the first of them at most so long."""

    def stop(self, worker: int) -> None:
        """End a worker now, whatever it does; no events come from it any more."""

    def close(self) -> None:
        """End all workers."""


def worker_environment(threads: int | None) -> dict[str, str]:
    """Environment variables of a worker: threads of numerical libraries, and one order of sets in all workers."""
    environment = {} if threads is None else dict.fromkeys(THREAD_VARIABLES, str(threads))
    return {**environment, "PYTHONHASHSEED": "0"}
