"""A crew of Ray actors, on this machine or on many.

An actor is a worker with a process of its own, so that tasks, deaths and time-outs are accounted for as with processes; Ray
places it, carries bytes, and keeps one copy a machine of what is shared.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import time
from collections.abc import Mapping
from typing import Any

from huracan.distributed.fanout.crew import Event, Order, Seen, worker_environment
from huracan.distributed.fanout.work import Work
from huracan.errors import DependencyMissing, FanoutError

__all__ = ["RayCluster"]


class RayCluster:
    """A connection to Ray: the one this process has, else the one at ``address`` or ``RAY_ADDRESS``, else a new one here.

    Raises
    ------
    DependencyMissing : Ray is not installed. FanoutError : the cluster cannot be reached or started.
    """

    def __init__(self, address: str | None, cores: int) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            import ray
        except ImportError as error:
            raise DependencyMissing(
                "the fan-out backend 'ray' needs the package ray; install it with pip install 'huracan[ray]'."
            ) from error
        self._ray = ray
        self._ours = not ray.is_initialized()
        if not self._ours:
            return
        where = address or os.environ.get("RAY_ADDRESS") or "local"
        here: dict[str, Any] = {"num_cpus": cores, "include_dashboard": False} if where == "local" else {}
        try:
            ray.init(where, configure_logging=True, logging_level=logging.ERROR, **here)
        except Exception as error:
            raise FanoutError(f"Ray at '{where}' cannot be used: {error}") from error

    def crew(self, order: Order, options: Mapping[str, Any]) -> RayCrew:
        """Workers for one call."""
        return RayCrew(self._ray, order, options)

    def cores(self) -> int:
        """Cores of the cluster as it is now, at least 1."""
        return max(1, int(self._ray.cluster_resources().get("CPU", 1)))

    def close(self) -> None:
        """Leave the cluster, ending it where it was started here."""
        if self._ours:
            self._ray.shutdown()


class RayCrew:
    """See :class:`~huracan.distributed.fanout.crew.Crew`."""

    def __init__(self, ray: Any, order: Order, options: Mapping[str, Any]) -> None:
        self._ray = ray
        given = {"num_cpus": order.threads or 1, **options}
        environment = given.pop("runtime_env", {})
        variables = {**worker_environment(order.threads), **environment.get("env_vars", {})}
        self._actor = ray.remote(_Worker).options(
            max_restarts=0, max_task_retries=0, runtime_env={**environment, "env_vars": variables}, **given
        )
        self._shared = None if order.shared is None else ray.put(order.shared)
        self._order = (order.function, order.asked, order.seed)
        self._actors: dict[int, Any] = {}
        self._awaited: dict[Any, tuple[int, Seen]] = {}
        self._started = 0

    def start(self) -> int:
        self._started += 1
        actor = self._actor.remote()
        self._actors[self._started] = actor
        self._awaited[actor.prepare.remote(*self._order, self._shared)] = (self._started, Seen.READY)
        return self._started

    def send(self, worker: int, job: bytes) -> None:
        self._awaited[self._actors[worker].perform.remote(job)] = (worker, Seen.REPLIED)

    def wait(self, seconds: float) -> list[Event]:
        references = list(self._awaited)
        if not references:
            time.sleep(seconds)
            return []
        done, _ = self._ray.wait(references, num_returns=1, timeout=seconds, fetch_local=False)
        if done:
            done, _ = self._ray.wait(references, num_returns=len(references), timeout=0, fetch_local=False)
        return [self._event(reference) for reference in done]

    def stop(self, worker: int) -> None:
        self._forget(worker)
        with contextlib.suppress(self._ray.exceptions.RayError):
            self._ray.kill(self._actors.pop(worker), no_restart=True)

    def close(self) -> None:
        for worker in list(self._actors):
            self.stop(worker)

    def _event(self, reference: Any) -> Event:
        worker, seen = self._awaited.pop(reference)
        try:
            answer = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            self._actors.pop(worker)
            return Event(worker, Seen.DIED, _what_happened(error))
        if seen is Seen.READY and answer["problem"]:
            return Event(worker, Seen.UNUSABLE, answer["problem"])
        return Event(worker, seen, answer["label"] if seen is Seen.READY else answer)

    def _forget(self, worker: int) -> None:
        for reference in [r for r, (number, _) in self._awaited.items() if number == worker]:
            del self._awaited[reference]


class _Worker:
    """The actor."""

    def prepare(self, function: bytes, asked: frozenset[str], seed: int, shared: Any) -> dict[str, str]:
        label = f"{socket.gethostname()}:{os.getpid()}"
        try:
            self._work = Work(function, shared, asked, seed)
        except Exception as error:  # noqa: BLE001 - whatever importing the user's modules raises
            return {"label": label, "problem": f"{type(error).__name__}: {error}"}
        return {"label": label, "problem": ""}

    def perform(self, job: bytes) -> bytes:
        return self._work.perform(job)


def _what_happened(error: Exception) -> str:
    said = " ".join(str(error).split())
    kind = type(error).__name__
    if kind == "OutOfMemoryError":
        return "was ended by Ray because its machine ran out of memory"
    if kind == "NodeDiedError" or "node died" in said.lower() or "node failure" in said.lower():
        return "was on a machine that left the cluster"
    if "SIGKILL" in said or "connection error" in said:
        return "was killed or crashed, as happens to processes when memory runs out"
    return f"died ({kind}: {said[:200]})"
