"""Which inputs a network listens to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from huracan.statistics.spread_rows import spread_rows

if TYPE_CHECKING:
    from torch import nn

    from huracan.training.windows import WindowTable

__all__ = ["input_saliency"]

_AT_ONCE = 64


def input_saliency(network: nn.Module, windows: WindowTable) -> NDArray[np.float64]:
    """Gradient times input (Shrikumar, Greenside and Kundaje, 2017), absolute, over bars and windows.

    Parameters
    ----------
    network : in evaluation mode, on the CPU. windows : all, or from 2,048 on 1,024 of them, drawn at random.

    Returns
    -------
    float64 (features,), summing to 1; zeros where no output depends on any input. Of several outputs the last less the first
    is taken, which is the score of a classifier; of quantiles it is their spread.

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

    sample = spread_rows(len(windows), SAMPLED_WINDOWS)
    which = torch.arange(len(windows)) if sample is None else torch.from_numpy(sample)
    total = torch.zeros(windows.n_features, dtype=torch.float64)
    for piece in which.split(_AT_ONCE):  # a gradient holds what a network keeps of every bar
        x = windows.batch(piece).x.float().requires_grad_()
        output = network(x)
        score = output[:, 0] if output.shape[1] == 1 else output[:, -1] - output[:, 0]
        (gradient,) = torch.autograd.grad(score.sum(), x)
        total += (gradient * x.detach()).abs().double().sum(dim=(0, 1))
    share = total.numpy()
    return share / share.sum() if share.sum() > 0.0 else np.zeros(len(share))
