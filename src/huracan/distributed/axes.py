"""The axes that processes are laid out on, and whether a training fits on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from huracan.errors import ConfigError

if TYPE_CHECKING:
    from torch import nn

    from huracan.distributed.config import DistributedConfig, Strategy
    from huracan.training.settings import LoopSettings

__all__ = ["ParallelAxes", "declared_parts"]


@dataclass(frozen=True)
class ParallelAxes:
    """How many processes share batches, matrices, and the depth of a network; the product is the world.

    Process r stands at ``divmod(r, tensor)`` of (data, tensor), or is stage r of a pipeline.

    Examples
    --------
    >>> from huracan.distributed.config import DistributedConfig
    >>> axes = ParallelAxes.of(DistributedConfig(strategy="fsdp2_tp", processes=4), 4)
    >>> axes.data, axes.tensor, axes.stages, axes.names
    (2, 2, 1, ('data', 'tensor'))
    """

    strategy: Strategy
    data: int = 1
    tensor: int = 1
    stages: int = 1
    micro_batches: int = 1

    @classmethod
    def of(cls, config: DistributedConfig, world: int) -> ParallelAxes:
        """The axes of a world of this many processes.

        Raises
        ------
        ConfigError : so many processes cannot be laid out as asked.
        """
        strategy, tensor = config.strategy, config.tensor_parallel
        if tensor is not None and strategy not in ("tp", "fsdp2_tp"):
            raise ConfigError(f"tensor_parallel is {tensor}, but the strategy is {strategy}; it goes with tp and fsdp2_tp.")
        if config.micro_batches is not None and strategy != "pp":
            raise ConfigError(f"micro_batches is {config.micro_batches}, but the strategy is {strategy}; it goes with pp.")
        if strategy == "none":
            if world != 1:
                raise ConfigError(f"the strategy is none, which is one process, not {world}; choose ddp, say.")
            return cls(strategy)
        if strategy in ("ddp", "fsdp2"):
            return cls(strategy, data=world)
        if strategy == "tp":
            if tensor not in (None, world):
                raise ConfigError(f"tensor_parallel is {tensor} of {world} processes; the rest would idle: choose fsdp2_tp.")
            return cls(strategy, tensor=world)
        if strategy == "pp":
            return cls(strategy, stages=world, micro_batches=config.micro_batches or world)
        tensor = 2 if tensor is None else tensor
        if world % tensor:
            raise ConfigError(f"{world} processes cannot be divided into groups of tensor_parallel = {tensor}.")
        return cls(strategy, data=world // tensor, tensor=tensor)

    @property
    def world(self) -> int:
        """All processes."""
        return self.data * self.tensor * self.stages

    @property
    def names(self) -> tuple[str, ...]:
        """The axes that have more than one process."""
        sizes = {"data": self.data, "tensor": self.tensor, "stages": self.stages}
        return tuple(name for name, size in sizes.items() if size > 1)

    def check_batch(self, settings: LoopSettings) -> None:
        """Refuse a batch that cannot be divided evenly.

        Raises
        ------
        ConfigError : with the numbers.
        """
        parts = {
            "processes that share a batch": self.data,
            "micro-batches": self.micro_batches,
            "accumulate": settings.accumulate,
        }
        parts = {name: size for name, size in parts.items() if size > 1}
        number = 1
        for size in parts.values():
            number *= size
        if settings.batch_size % number:
            told = " x ".join(f"{size} ({name})" for name, size in parts.items())
            near = max(number, round(settings.batch_size / number) * number)
            raise ConfigError(f"batch_size is {settings.batch_size}, which cannot be divided by {told}; {near} can.")

    def check_network(self, network: nn.Module) -> None:
        """Refuse a network that cannot be divided in this way.

        Raises
        ------
        ConfigError : why it cannot.
        """
        if self.tensor > 1:
            self._check_matrices(network)
        if self.stages > 1:
            self._check_depth(network)

    def check_task(self, task: Any) -> None:
        """Refuse a task whose steps are not one forward pass of one network.

        Raises
        ------
        ConfigError : it takes turns between parts of a network.
        """
        if len(task.phases) > 1 and self.strategy != "none":
            turns = " and ".join(phase.name for phase in task.phases)
            raise ConfigError(f"the strategy {self.strategy} trains one loss at a time, and this task has turns of {turns}.")

    def _check_matrices(self, network: nn.Module) -> None:
        parts = declared_parts(network)
        name = type(network).__name__
        if not parts:
            from torch import nn

            why = "none of its blocks says which of its matrices can be"
            if any(isinstance(module, nn.RNNBase) for module in network.modules()):
                why = "every bar of a recurrence needs the whole state of the bar before it, at the price of a message a bar"
            raise ConfigError(f"the matrices of {name} cannot be divided (tensor parallel): {why}; choose ddp or fsdp2.")
        for path, block in parts.items():
            width = getattr(block, "head_width", None)
            for layer, way in type(block).tensor_parallel.items():  # type: ignore[attr-defined]
                linear = getattr(block, layer)
                size, what = (linear.out_features, "columns") if way == "columns" else (linear.in_features, "rows")
                if width is not None:
                    size, what = size // width, "heads"
                if size % self.tensor:
                    raise ConfigError(f"{path}.{layer} of {name} has {size} {what}, not divisible by {self.tensor} processes.")

    def _check_depth(self, network: nn.Module) -> None:
        name = type(network).__name__
        if not all(hasattr(network, part) for part in ("stem", "blocks", "head")):
            raise ConfigError(f"{name} cannot be cut into stages: a SequenceNetwork (stem, blocks, head) was expected.")
        blocks = len(network.blocks)  # type: ignore[arg-type]
        if blocks < self.stages:
            raise ConfigError(
                f"{name} has {blocks} block(s), too few for a pipeline of {self.stages} stages; raise n_blocks, or take fewer "
                "processes."
            )


def declared_parts(network: nn.Module) -> dict[str, nn.Module]:
    """Path -> block, of the blocks of a network that say how their matrices can be divided."""
    return {path: block for path, block in network.named_modules() if hasattr(type(block), "tensor_parallel")}
