"""How a training is put on many processes: the settings, checked once."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from huracan.errors import ConfigError, nearest_name

__all__ = ["DistributedConfig", "PipelineSchedule", "Strategy"]

Strategy = Literal["none", "ddp", "fsdp2", "tp", "pp", "fsdp2_tp"]
PipelineSchedule = Literal["gpipe", "1f1b"]


@dataclass(frozen=True, kw_only=True)
class DistributedConfig:
    """Settings of a training on many processes.

    Parameters
    ----------
    strategy : ``"none"`` is one process. ``"ddp"``: every process has the whole network and a part of each batch.
        ``"fsdp2"``: the same, but each keeps a part of the parameters. ``"tp"``: matrices of attention and feed-forward
        blocks are divided by columns and rows. ``"pp"``: each process has some of the blocks, one behind the other.
        ``"fsdp2_tp"``: groups of ``tensor_parallel`` processes share matrices, and the groups share batches.
    processes : on each host. hosts : how many hosts there are at most, and ``fewest_hosts`` without which training does not
        go on; None is all.
    tensor_parallel : processes that share a matrix; all for ``"tp"``, two for ``"fsdp2_tp"`` unless given.
    micro_batches : pieces a batch goes through the pipeline in; as many as there are stages unless given.
    schedule : order of the pieces in the pipeline: ``"gpipe"`` (all forward, then all back) or ``"1f1b"`` (back as early as
        can be, so that fewer activations wait in memory).
    backend : ``"nccl"``, ``"gloo"``, or ``"auto"``: NCCL where processes compute on CUDA devices.
    device : ``"cpu"``, ``"cuda"`` (each process takes the device of its number on the host), or ``"auto"``.
    timeout : seconds after which a process that does not answer is missing.
    max_restarts : how often lost processes are started again, all of them from the newest checkpoint.
    threads : of each process, on the CPU.
    folder : of this training, with its job, checkpoints and outcome; the same call with the same folder goes on where it
        stopped. Shared by all hosts. Of a finished training, data and checkpoints go, and the outcome stays. None takes a
        temporary one that is gone afterwards, unless processes failed: the error then names it.
    checkpoint_every : steps between checkpoints; None leaves it to the learner's settings.
    head : ``"address:port"`` of the first host, where the others find it. local_address : this host's own address, as the
        others reach it. is_head : whether this is the first host. Only for several hosts.
    wait_for_hosts : seconds to wait for further hosts once ``fewest_hosts`` are there.

    Raises
    ------
    ConfigError : a value is out of bounds, or does not go with the others; the message names it.

    Examples
    --------
    >>> DistributedConfig(strategy="ddp", processes=4).world
    4
    >>> DistributedConfig(strategy="fsdp2_tp", processes=3)
    Traceback (most recent call last):
    ...
    huracan.errors.ConfigError: 3 processes cannot be divided into groups of tensor_parallel = 2.
    """

    strategy: Strategy = "ddp"
    processes: int = 2
    hosts: int = 1
    fewest_hosts: int | None = None
    tensor_parallel: int | None = None
    micro_batches: int | None = None
    schedule: PipelineSchedule = "1f1b"
    backend: Literal["auto", "gloo", "nccl"] = "auto"
    device: str = "auto"
    timeout: float = 60.0
    max_restarts: int = 3
    threads: int = 1
    folder: Path | str | None = None
    checkpoint_every: int | None = None
    head: str | None = None
    local_address: str | None = None
    is_head: bool = True
    wait_for_hosts: float = 30.0

    def __post_init__(self) -> None:
        _require_one_of("strategy", self.strategy, get_args(Strategy))
        _require_one_of("schedule", self.schedule, get_args(PipelineSchedule))
        _require_one_of("backend", self.backend, ("auto", "gloo", "nccl"))
        _require(self.device in ("auto", "cpu", "cuda"), "device", self.device, "'auto', 'cpu' or 'cuda'")
        for name, least in {"processes": 1, "hosts": 1, "max_restarts": 0, "threads": 1}.items():
            _require_whole(name, getattr(self, name), least)
        for name in ("fewest_hosts", "tensor_parallel", "micro_batches", "checkpoint_every"):
            if getattr(self, name) is not None:
                _require_whole(name, getattr(self, name), 1)
        for name in ("timeout", "wait_for_hosts"):
            given = getattr(self, name)
            number = isinstance(given, int | float) and not isinstance(given, bool)
            _require(number and 0.0 < given < float("inf"), name, given, "seconds above 0")
        if self.fewest_hosts is not None and self.fewest_hosts > self.hosts:
            raise ConfigError(f"fewest_hosts is {self.fewest_hosts}, more than the {self.hosts} host(s) there are.")
        if self.hosts > 1:
            self._check_hosts()
        from huracan.distributed.axes import ParallelAxes

        ParallelAxes.of(self, self.world)

    @property
    def world(self) -> int:
        """All processes on all hosts."""
        return self.processes * self.hosts

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, from which the same settings can be made."""
        return {**asdict(self), "folder": None if self.folder is None else str(self.folder)}

    def _check_hosts(self) -> None:
        if self.head is None or not self.head.rpartition(":")[0] or not self.head.rpartition(":")[2].isdigit():
            raise ConfigError(f"head is {self.head!r}; with {self.hosts} hosts, 'address:port' of the first one was expected.")
        if self.local_address is None:
            raise ConfigError(f"with {self.hosts} hosts, local_address must be this host's address, as the others reach it.")
        if self.folder is None:
            raise ConfigError(f"with {self.hosts} hosts, folder must be one that all of them share.")


def _require_one_of(name: str, value: Any, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ConfigError(str(nearest_name(str(value), known, kind=name)))


def _require_whole(name: str, value: Any, least: int) -> None:
    fits = isinstance(value, int) and not isinstance(value, bool) and value >= least
    _require(fits, name, value, f"a whole number from {least}")


def _require(holds: bool, name: str, value: Any, expected: str) -> None:
    if not holds:
        raise ConfigError(f"{name} is {value!r}; {expected} was expected.")
