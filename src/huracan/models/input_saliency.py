"""Which inputs a network listens to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from huracan.statistics.spread_rows import spread_rows

if TYPE_CHECKING:
    from torch import Tensor, nn

    from huracan.training.windows import WindowTable

__all__ = ["input_saliency"]

_AT_ONCE = 64


def input_saliency(
    network: nn.Module, windows: WindowTable, told: Callable[[Tensor], Tensor] | None = None
) -> NDArray[np.float64]:
    """Gradient times input (Shrikumar, Greenside and Kundaje, 2017), absolute, mean over what is told, bars and windows.

    Parameters
    ----------
    network : in evaluation mode, on the CPU. Where it takes a window's own level out of it (``WindowScaling``), inputs are
        what is left: a level that it cannot see does not count.
    windows : all, or of 2,048 and more 1,024, drawn at random; and so of pairs of a window and what is told of it.
    told : outputs (batch, outputs) to what the model says (batch, any number), each of which counts alike; by default the
        outputs.

    Returns
    -------
    float64 (features,), summing to 1; zeros where nothing that is told depends on any input.

    Examples
    --------
    >>> import torch
    >>> from huracan.training import WindowTable
    >>> layer = torch.nn.Linear(2, 1)
    >>> _ = layer.weight.data.copy_(torch.tensor([[3.0, 1.0]]))
    >>> table = WindowTable(torch.ones(4, 2), torch.arange(4, dtype=torch.int32), 1)
    >>> input_saliency(torch.nn.Sequential(torch.nn.Flatten(), layer), table)
    array([0.75, 0.25])
    """
    import torch

    from huracan.training.job import SAMPLED_WINDOWS

    sample = spread_rows(len(windows), SAMPLED_WINDOWS)  # the very ones that are kept of a training whose data went
    which = torch.arange(len(windows)) if sample is None else torch.from_numpy(sample)
    total = torch.zeros(windows.n_features, dtype=torch.float64)
    with _inputs_of(network) as seen, torch.no_grad():
        width = _told(network, windows, which[:1], told)[1].shape[1]
        sample = spread_rows(len(which) * width, SAMPLED_WINDOWS)
        pairs = torch.arange(len(which) * width) if sample is None else torch.from_numpy(sample)
        for piece in pairs.split(_AT_ONCE):  # a gradient holds what a network keeps of every bar
            with torch.enable_grad():
                x, said = _told(network, windows, which[piece // width], told)
                inputs = seen.pop() if seen else x
                score = said.gather(1, (piece % width)[:, None]).sum()
                (gradient,) = torch.autograd.grad(score, inputs, allow_unused=True)
            if gradient is not None:
                total += (gradient * inputs).abs().double().sum(dim=(0, 1))
    share = total.numpy()
    return share / share.sum() if share.sum() > 0.0 else np.zeros(len(share))


def _told(
    network: nn.Module, windows: WindowTable, which: Tensor, told: Callable[[Tensor], Tensor] | None
) -> tuple[Tensor, Tensor]:
    x = windows.batch(which).x.float().requires_grad_()
    output = network(x)
    return x, output if told is None else told(output)


@contextmanager
def _inputs_of(network: nn.Module) -> Iterator[list[Tensor]]:
    """Windows as they leave the network's scaling; none are noted where it has none."""
    from huracan.models.networks import WindowScaling

    seen: list[Tensor] = []
    scaling = next((part for part in network.modules() if isinstance(part, WindowScaling) and part.scaling != "none"), None)
    if scaling is None:
        yield seen
        return

    def note(_module: nn.Module, _given: Any, scaled: Tensor) -> Tensor:
        seen[:] = [scaled.detach().requires_grad_()]
        return seen[0]

    hook = scaling.register_forward_hook(note)
    try:
        yield seen
    finally:
        hook.remove()
