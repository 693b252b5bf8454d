"""The way in: from a window of bars to a sequence of hidden vectors."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from huracan.errors import ModelError
from huracan.models.networks.sizes import check_sizes
from huracan.models.networks.window_scaling import Scaling, WindowScaling

__all__ = ["SequenceStem"]


class SequenceStem(nn.Module):
    """Scales a window, joins bars into patches, and maps each patch linearly to a hidden vector.

    Parameters
    ----------
    n_features, window : shape of the input, (batch, window, n_features), oldest bar first.
    hidden : width of the sequence that comes out.
    patch : bars joined into one step; 1 is every bar. Where it does not divide the window, the oldest bar is repeated
        on the left until it does: no bar is lost, and the newest patch is always whole.
    window_scaling : see :class:`WindowScaling`.
    positions : add a learned vector to each step, for blocks that do not see order by themselves.
    dropout : share of the hidden values set to zero in training.

    Attributes
    ----------
    length : steps that come out, ``ceil(window / patch)``.

    Raises
    ------
    ModelError : a size below one, or a patch longer than the window.

    Examples
    --------
    >>> stem = SequenceStem(n_features=3, window=10, hidden=16, patch=4)
    >>> stem(torch.zeros(2, 10, 3)).shape
    torch.Size([2, 3, 16])
    """

    def __init__(
        self,
        n_features: int,
        window: int,
        hidden: int,
        *,
        patch: int = 1,
        window_scaling: Scaling = "none",
        positions: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_sizes(n_features=n_features, window=window, hidden=hidden, patch=patch)
        if patch > window:
            raise ModelError(f"patch must not be longer than the window of {window} bars, not {patch}.")
        self.window, self.patch = window, patch
        self.length = -(-window // patch)
        self.scaling = WindowScaling(window_scaling)
        self.project = nn.Linear(patch * n_features, hidden)
        self.positions = nn.Parameter(torch.randn(self.length, hidden) * 0.02) if positions else None
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Sequence (batch, length, hidden) of windows (batch, window, n_features)."""
        x = self.scaling(x)
        missing = self.length * self.patch - self.window
        if missing:
            x = torch.cat([x[:, :1].expand(-1, missing, -1), x], dim=1)
        x = self.project(x.reshape(x.shape[0], self.length, -1))
        if self.positions is not None:
            x = x + self.positions
        return self.dropout(x)
