"""``FanoutExecutor``: the same call on one core, on the cores of this machine and on a Ray cluster."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing
from types import TracebackType
from typing import Any, TypeAlias

from huracan.distributed.fanout.crew import Crew, Order
from huracan.distributed.fanout.inline import inline_results
from huracan.distributed.fanout.ledger import Ledger
from huracan.distributed.fanout.results import FanoutResult, require_values
from huracan.distributed.fanout.supervisor import Supervisor
from huracan.distributed.fanout.tasks import Key, offers, tasks_by_key
from huracan.distributed.fanout.work import pickled_function
from huracan.errors import ConfigError, nearest_name

__all__ = ["FanoutExecutor", "Progress"]

Tasks: TypeAlias = Mapping[Key, Any] | Iterable[Any]
Progress: TypeAlias = Callable[[int, int, FanoutResult], None]

_BACKENDS = ("inline", "processes", "ray")
_ALIASES = {"joblib": "processes"}


class FanoutExecutor:
    """Calls one function for many symbols or trials, and loses none of them.

    The function takes a task. Where it has a parameter ``seed`` it is given the task's own seed, which depends on the
    executor's seed and the task's key alone; where it has a parameter ``shared``, what was shared, its arrays read-only. It
    may be defined anywhere, in a script or a notebook as well. It may be called more than once for a task (a worker can
    die after the work and before the answer), so what it writes elsewhere must bear repetition; every task has one result.

    A task that raises, or takes too long, is tried again in another worker. A worker that dies (killed, out of memory, a
    crash in C) is replaced and its task begun anew; other tasks notice nothing. A task whose workers keep dying runs last and
    alone before it is given up.

    Parameters
    ----------
    backend : ``"processes"`` (or ``"joblib"``, as many call it) on this machine; ``"ray"`` on a Ray cluster, or on this
        machine where there is none; ``"inline"`` one after the other in this process, where nothing can be ended and a
        crash is a crash.
    workers : how many tasks run at once; None for as many as the cores (of the cluster) allow.
    retries : attempts after the first, for tasks that raise or take too long.
    timeout : seconds that one attempt may take; None for no limit.
    worker_deaths : a task in which workers died so often is given up.
    seed : from which the seeds of tasks are made.
    threads_per_worker : of numpy, torch, LightGBM and the like; None leaves them alone.
    progress : called with (finished, all, result) after every task.
    start_timeout : seconds in which a worker must be there.
    address : of a Ray cluster, as ``ray.init`` takes it; else ``RAY_ADDRESS``, else Ray is started here.
    ray_options : of every Ray worker, as ``ray.remote`` takes them: ``{"num_gpus": 0.5}``, ``{"memory": 4e9}``.

    Raises
    ------
    UnknownName : no such backend.
    ConfigError : a number out of bounds, or a setting that the backend does not have.

    Examples
    --------
    >>> def spread(prices, seed):
    ...     return max(prices) - min(prices), seed == executor_seed["BTC"]
    >>> from huracan.distributed.fanout.tasks import task_seed
    >>> executor_seed = {"BTC": task_seed(7, "BTC")}
    >>> executor = FanoutExecutor(workers=2, seed=7)
    >>> executor.run(spread, {"BTC": [3, 9, 4], "ETH": [1, 2, 2]})
    {'BTC': (6, True), 'ETH': (1, False)}
    >>> [done.failure.message for done in executor.stream(lambda n: 1 / n, [0])]
    ['raised ZeroDivisionError: division by zero']
    """

    def __init__(
        self,
        backend: str = "processes",
        *,
        workers: int | None = None,
        retries: int = 2,
        timeout: float | None = None,
        worker_deaths: int = 3,
        seed: int = 0,
        threads_per_worker: int | None = 1,
        progress: Progress | None = None,
        start_timeout: float = 300.0,
        address: str | None = None,
        ray_options: Mapping[str, Any] | None = None,
    ) -> None:
        backend = _ALIASES.get(backend, backend)
        if backend not in _BACKENDS:
            raise nearest_name(str(backend), _BACKENDS, kind="fan-out backend")
        _require_whole("workers", workers, at_least=1, optional=True)
        _require_whole("retries", retries, at_least=0)
        _require_whole("worker_deaths", worker_deaths, at_least=1)
        _require_whole("seed", seed)
        _require_whole("threads_per_worker", threads_per_worker, at_least=1, optional=True)
        _require_seconds("timeout", timeout, optional=True)
        _require_seconds("start_timeout", start_timeout)
        if backend == "inline" and timeout is not None:
            raise ConfigError(f"timeout is {timeout:g} s, but backend 'inline' cannot end a task; use 'processes' or 'ray'.")
        for name, value in (("address", address), ("ray_options", ray_options)):
            if value is not None and backend != "ray":
                raise ConfigError(f"{name} is given, but backend '{backend}' has none; use backend 'ray'.")
        self.backend = backend
        self.workers = workers
        self.retries = retries
        self.timeout = timeout
        self.worker_deaths = worker_deaths
        self.seed = seed
        self.threads_per_worker = threads_per_worker
        self.progress = progress
        self.start_timeout = start_timeout
        self.address = address
        self.ray_options = dict(ray_options or {})
        self._cluster: Any = None

    def stream(self, function: Callable[..., Any], tasks: Tasks, *, shared: Any = None) -> Iterator[FanoutResult]:
        """Every task's result as it comes, failures included. Stopping early ends the workers.

        Parameters
        ----------
        function : of a task; see the class.
        tasks : key -> task; or a list, whose strings are their own keys and whose other items are known by position.
        shared : anything all tasks read. Arrays in it (those of a ``TrainingSet`` too) are not copied for each worker.

        Raises
        ------
        ConfigError : keys that repeat or are neither text, whole numbers nor tuples of these; something shared that the
            function has no parameter for.
        FanoutError : the function or what is shared cannot be sent, or workers cannot be started.
        DependencyMissing : backend ``"ray"`` without Ray.
        """
        by_key = tasks_by_key(tasks)
        asked = offers(function, shared=shared is not None)
        order = None
        if self.backend != "inline":
            order = Order(pickled_function(function), asked, shared, self.seed, self.threads_per_worker)
        return self._reported(self._results(function, by_key, asked, shared, order), len(by_key))

    def collect(self, function: Callable[..., Any], tasks: Tasks, *, shared: Any = None) -> dict[Key, FanoutResult]:
        """Key -> result in the order of the tasks, failures included; parameters and errors as :meth:`stream`."""
        by_key = tasks_by_key(tasks)
        found = {result.key: result for result in self.stream(function, by_key, shared=shared)}
        return {key: found[key] for key in by_key}

    def run(self, function: Callable[..., Any], tasks: Tasks, *, shared: Any = None) -> dict[Key, Any]:
        """Key -> value in the order of the tasks; parameters and errors as :meth:`stream`.

        Raises
        ------
        TasksFailed : after all tasks are finished, where some have no value; it carries all results.
        """
        return require_values(self.collect(function, tasks, shared=shared).values())

    def map(self, function: Callable[..., Any], items: Iterable[Any], *, shared: Any = None) -> list[Any]:
        """The values in the order of the items, whose keys are their positions; else as :meth:`run`.

        >>> FanoutExecutor("inline").map(abs, [-1, 2, -2])
        [1, 2, 2]
        """
        return list(self.run(function, dict(enumerate(items)), shared=shared).values())

    def close(self) -> None:
        """End what was started for several calls: Ray, where this executor started it."""
        if self._cluster is not None:
            self._cluster.close()
            self._cluster = None

    def __enter__(self) -> FanoutExecutor:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"FanoutExecutor('{self.backend}', workers={self.workers}, retries={self.retries}, timeout={self.timeout})"

    def _results(
        self, function: Callable[..., Any], tasks: dict[Key, Any], asked: frozenset[str], shared: Any, order: Order | None
    ) -> Generator[FanoutResult]:
        if not tasks:
            return
        if order is None:
            yield from inline_results(
                function,
                tasks,
                asked=asked,
                shared=shared,
                seed=self.seed,
                retries=self.retries,
                threads=self.threads_per_worker,
            )
            return
        crew, workers = self._crew(order)
        ledger = Ledger(tasks, retries=self.retries, deaths=self.worker_deaths)
        yield from Supervisor(crew, ledger, workers=workers, timeout=self.timeout, start_timeout=self.start_timeout).results()

    def _crew(self, order: Order) -> tuple[Crew, int]:
        threads = self.threads_per_worker or 1
        if self.backend == "processes":
            from huracan.distributed.fanout.processes import ProcessCrew

            return ProcessCrew(order), self.workers or max(1, _cores() // threads)
        from huracan.distributed.fanout.ray_cluster import RayCluster

        if self._cluster is None:
            self._cluster = RayCluster(self.address, self.workers * threads if self.workers else _cores())
        return self._cluster.crew(order, self.ray_options), self.workers or max(1, self._cluster.cores() // threads)

    def _reported(self, results: Generator[FanoutResult], total: int) -> Iterator[FanoutResult]:
        with closing(results):  # also where ``progress`` raises: workers end before the caller sees why
            for finished, result in enumerate(results, 1):
                if self.progress is not None:
                    self.progress(finished, total, result)
                yield result


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _require_whole(name: str, value: Any, *, at_least: int | None = None, optional: bool = False) -> None:
    if optional and value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int) or (at_least is not None and value < at_least):
        bound = "" if at_least is None else f" of at least {at_least}"
        raise ConfigError(f"{name} is {value!r}; expected a whole number{bound}{' or None' if optional else ''}.")


def _require_seconds(name: str, value: Any, *, optional: bool = False) -> None:
    if optional and value is None:
        return
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
        raise ConfigError(f"{name} is {value!r}; expected seconds above 0{' or None' if optional else ''}.")
