"""Which of how many processes this one is, and its way into the group."""

from __future__ import annotations

import os
import socket
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Self

import torch
import torch.distributed as dist

from huracan.distributed.config import DistributedConfig
from huracan.errors import ConfigError, WorkerError

__all__ = ["Placement", "join", "own_device"]

_LINGER = 2.0


@dataclass(frozen=True)
class Placement:
    """Number of a process among all and on its host, and where the store is through which they meet.

    ``restarts`` counts how often the processes were started again; ``agent`` says that their agent keeps the store.
    """

    rank: int = 0
    world: int = 1
    local_rank: int = 0
    address: str = "127.0.0.1"
    port: int = 0
    restarts: int = 0
    agent: bool = False

    @classmethod
    def of_environment(cls) -> Self | None:
        """As told by ``torchrun`` or a cluster's own launcher; None where this process was started alone.

        Raises
        ------
        ConfigError : the environment tells a part of it only.
        """
        told = os.environ
        if "RANK" not in told and "WORLD_SIZE" not in told:
            return None
        try:
            return cls(
                rank=int(told["RANK"]),
                world=int(told["WORLD_SIZE"]),
                local_rank=int(told.get("LOCAL_RANK", "0")),
                address=told["MASTER_ADDR"],
                port=int(told["MASTER_PORT"]),
                restarts=int(told.get("TORCHELASTIC_RESTART_COUNT", "0")),
                agent=told.get("TORCHELASTIC_USE_AGENT_STORE") == "True",
            )
        except (KeyError, ValueError) as error:
            raise ConfigError(f"RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT are not all in the environment: {error}.") from None

    @property
    def name(self) -> str:
        """How this process is called in messages."""
        return f"process {self.rank} of {self.world} ({socket.gethostname()}, pid {os.getpid()})"


def own_device(config: DistributedConfig, placement: Placement) -> torch.device:
    """The device of this process: the CUDA device of its number on the host, or the CPU.

    ``"auto"`` is CUDA where every process of this host has a device of its own, so that all of them decide alike.

    Raises
    ------
    ConfigError : there are fewer CUDA devices than processes.
    """
    wanted = config.device
    if wanted == "auto":
        beside = int(os.environ.get("LOCAL_WORLD_SIZE", config.processes))
        wanted = "cuda" if torch.cuda.is_available() and torch.cuda.device_count() >= beside else "cpu"
    if wanted != "cuda":
        return torch.device(wanted)
    there = torch.cuda.device_count()
    if placement.local_rank >= there:
        raise ConfigError(f"process {placement.local_rank} of this host has no CUDA device; there are {there}.")
    torch.cuda.set_device(placement.local_rank)
    return torch.device("cuda", placement.local_rank)


def join(placement: Placement, config: DistributedConfig, device: torch.device) -> None:
    """Make the process group, after a roll call.

    Raises
    ------
    WorkerError : somebody did not come in time; the message names the processes.
    """
    limit = timedelta(seconds=config.timeout)
    keeps = placement.rank == 0 and not placement.agent
    try:
        server = dist.TCPStore(placement.address, placement.port, is_master=keeps, timeout=limit, wait_for_workers=False)
    except RuntimeError as error:
        where = f"{placement.address}:{placement.port}"
        raise WorkerError(f"process 0 did not open {where} within {config.timeout:g} s: {_first_line(error)}.") from error
    store = dist.PrefixStore(f"round-{placement.restarts}", server)
    _call_the_roll(store, placement, config.timeout)
    backend = config.backend
    if backend == "auto":
        backend = "nccl" if device.type == "cuda" else "gloo"
    both = "cpu:gloo,cuda:nccl" if backend == "nccl" else "gloo"
    dist.init_process_group(both, store=store, rank=placement.rank, world_size=placement.world, timeout=limit)


def _call_the_roll(store: dist.Store, placement: Placement, timeout: float) -> None:
    keys = [f"here/{rank}" for rank in range(placement.world)]
    store.set(keys[placement.rank], placement.name)
    try:
        store.wait(keys, timedelta(seconds=timeout))
    except RuntimeError as error:
        try:
            missing = [str(rank) for rank, key in enumerate(keys) if not store.check([key])]
        except RuntimeError:
            missing = []  # the process that keeps the store has told the names and gone
        if placement.rank == 0:
            time.sleep(_LINGER)
        who = f"process {', '.join(missing)}" if missing else "a process"
        raise WorkerError(f"{who} of {placement.world} did not come within {timeout:g} s.") from error


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0].rstrip(".")[:200] if str(error) else type(error).__name__
