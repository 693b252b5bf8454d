"""Processes on this host, started and watched by PyTorch's elastic agent; the agents of several hosts find each other."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from huracan.distributed.config import DistributedConfig
from huracan.distributed.run_home import RunHome, put_quickly, read_quickly
from huracan.errors import WorkerError
from huracan.training.history import EpochRecord

__all__ = ["launch"]

_LOOK = 0.3
_FEWEST_LAST_CALL = 1


def launch(
    home: RunHome,
    config: DistributedConfig,
    on_epoch: Callable[[EpochRecord], None] | None = None,
    on_restart: Callable[[str], None] | None = None,
) -> None:
    """Run the training of a folder on this host's processes, together with other hosts' where there are any.

    Processes that are lost are started again, all of them, up to ``max_restarts`` times.

    Parameters
    ----------
    on_epoch : called with every epoch that is done, in a thread.
    on_restart : called in that thread with a sentence, where processes were lost and all started again.

    Raises
    ------
    FolderInUse : somebody else trains here, and goes on undisturbed. HuracanError : the training failed in a way that no new
        start cures. WorkerError : a process or host is missing, or was
        lost too often. KeyboardInterrupt : stopped by hand; the processes are ended.
    """
    with home.held(lambda take: take()) if config.is_head else nullcontext():
        if config.is_head:
            home.begin(config.world)
        _launch(home, config, on_epoch, on_restart)


def _launch(
    home: RunHome,
    config: DistributedConfig,
    on_epoch: Callable[[EpochRecord], None] | None,
    on_restart: Callable[[str], None] | None,
) -> None:
    from torch.distributed.elastic.multiprocessing.api import DefaultLogsSpecs, SignalException, Std
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.elastic.rendezvous.api import RendezvousError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    address = config.local_address or "127.0.0.1"
    put_quickly(home.folder / "hosts" / f"{address}.json", {"host": socket.gethostname()})
    join_within = int(config.timeout + config.wait_for_hosts) or 1
    agent = LaunchConfig(
        min_nodes=config.fewest_hosts or config.hosts,
        max_nodes=config.hosts,
        nproc_per_node=config.processes,
        run_id=home.digest() or "huracan",
        rdzv_backend="c10d",
        rdzv_endpoint=config.head or "127.0.0.1:0",
        rdzv_configs={
            "is_host": config.is_head,
            "join_timeout": join_within,
            "last_call_timeout": max(_FEWEST_LAST_CALL, int(config.wait_for_hosts)),
            "keep_alive_interval": 2,
            "read_timeout": max(1, int(config.timeout)),
        },
        local_addr=address,
        max_restarts=config.max_restarts,
        monitor_interval=_LOOK,
        logs_specs=DefaultLogsSpecs(log_dir=str(home.logs), redirects=Std.ALL),
    )
    words = ("-m", "huracan.distributed", str(home.folder), "--launched-by", str(os.getpid()))
    with _quiet_agent(), _environment(config), _signals_put_back(), _following(home, config, on_epoch, on_restart):
        try:
            elastic_launch(agent, sys.executable)(*words)
        except ChildFailedError as error:
            raise WorkerError(_why_lost(home, error, config)) from error
        except SignalException as stopped:
            raise KeyboardInterrupt from stopped
        except RendezvousError as error:
            raise WorkerError(_why_apart(home, config, join_within)) from error
    failure = home.failure(home.run())
    if failure is not None and failure["lasting"] and not home.finished:
        from huracan.distributed.vital_signs import error_of

        raise error_of(failure)


def _why_lost(home: RunHome, error: Any, config: DistributedConfig) -> str:
    failure = home.failure(home.run())
    rank, first = error.get_first_failure()
    said = failure["sentence"] if failure is not None else f"process {rank} {_how_it_ended(first.exitcode)}"
    tried = f"; it was started {config.max_restarts} more time(s)" if config.max_restarts else ""
    return f"{said}{tried}; the checkpoints in {home.checkpoints} stay, what processes printed is in {home.logs}."


def _how_it_ended(code: int) -> str:
    if code == -signal.SIGKILL:
        return "was killed, by the system where memory ran out, or by hand"
    return f"ended by signal {-code}" if code < 0 else f"ended with code {code}"


def _why_apart(home: RunHome, config: DistributedConfig, seconds: int) -> str:
    came = sorted(path.stem for path in (home.folder / "hosts").glob("*.json"))
    wanted = config.fewest_hosts or config.hosts
    return (
        f"{wanted} host(s) were to meet at {config.head or 'this host'} within {seconds} s; only {', '.join(came)} wrote to "
        f"{home.folder}: start the same on the others, and see that they reach the first."
    )


@contextmanager
def _following(
    home: RunHome,
    config: DistributedConfig,
    on_epoch: Callable[[EpochRecord], None] | None,
    on_restart: Callable[[str], None] | None,
) -> Iterator[None]:
    """Tell of every epoch and every new start once, while the agent has the main thread."""
    over = threading.Event()
    shown, restarts = len(home.history()), 0

    def follow() -> None:
        nonlocal shown, restarts
        ending = False
        while not ending:
            ending = over.wait(_LOOK)
            first = read_quickly(home.processes / "0.json") or {}
            if first.get("restarts", 0) > restarts and first["step"] > 0 and on_restart is not None:
                restarts = first["restarts"]
                step = first["resumed_from"] or 0
                on_restart(f"a process was lost; all began again ({restarts} of {config.max_restarts}) after step {step}")
            done = home.history()
            if on_epoch is not None:
                for record in done[shown:]:
                    on_epoch(record)
            shown = max(shown, len(done))

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def _quiet_agent() -> Iterator[None]:
    """What the agent would print is told in one sentence, or is in the logs of the processes."""
    log = logging.getLogger("torch.distributed.elastic")
    before = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(before)


@contextmanager
def _environment(config: DistributedConfig) -> Iterator[None]:
    """Processes import what this one can import; each round of theirs meets in a store of its own."""
    given = {
        "PYTHONPATH": os.pathsep.join(path for path in (os.getcwd() if not sys.path[0] else "", *sys.path) if path),
        "OMP_NUM_THREADS": str(config.threads),
        "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",
    }
    before = {name: os.environ.get(name) for name in given}
    os.environ.update(given)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _signals_put_back() -> Iterator[None]:
    """The agent takes signals for itself; afterwards they go where they went."""
    mine = threading.current_thread() is threading.main_thread()
    kinds = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT) if mine else ()
    before = {kind: signal.getsignal(kind) for kind in kinds}
    try:
        yield
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)
