"""Windows told relative to themselves: less their last bar, or in units of their own spread as well."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from huracan.errors import nearest_name

__all__ = ["Scaling", "WindowScaling"]

Scaling = Literal["none", "last", "standard"]

_ROUNDING = 2.0**-23
"""Of float32, as a share of a value: what a window moves by rounding alone is no move."""

_SMALLEST_SPREAD = 1e-12
"""Its square is added to a window's variance, so that one of zeros stays zero, and its gradient finite."""


class WindowScaling(nn.Module):
    """Takes each window's own level, and if asked its scale, out of it; nothing is learned.

    Parameters
    ----------
    scaling : "none" leaves windows alone: right for features that are stationary already, such as returns.
        "last" subtracts the last bar from all bars, each feature for itself: right for levels (prices, loads), whose future
        is told as a change from now. What comes out does not depend on the level, and the last bar is all zeros: the
        lost level is not handed to the network by another way, since not depending on it is the purpose; targets must be
        changes from the last bar too. "standard" also divides by the window's standard deviation, each feature for
        itself, so that the scale is lost as well, and a coin of a thousandth of a dollar is seen like one of a thousand.
        Moves within the rounding of float32 stay small.

    Raises
    ------
    UnknownName : ``scaling`` is none of these.

    References
    ----------
    Zeng, Chen, Zhang and Xu (2023), "Are Transformers Effective for Time Series Forecasting?", AAAI (NLinear).

    Examples
    --------
    >>> WindowScaling("last")(torch.tensor([[[101.0], [104.0], [103.0]]])).flatten().tolist()
    [-2.0, 1.0, 0.0]
    """

    def __init__(self, scaling: Scaling = "none") -> None:
        super().__init__()
        if scaling not in get_args(Scaling):
            raise nearest_name(str(scaling), get_args(Scaling), kind="window_scaling")
        self.scaling = scaling

    def forward(self, x: Tensor) -> Tensor:
        """Windows of the same shape, (batch, window, n_features)."""
        if self.scaling == "none":
            return x
        centred = x - x[:, -1:]
        if self.scaling == "last":
            return centred
        variance = torch.var(x, dim=1, keepdim=True, correction=0)
        rounding = _ROUNDING * x.detach().abs().amax(dim=1, keepdim=True)
        return centred * torch.rsqrt(variance + rounding.square() + _SMALLEST_SPREAD**2)

    def extra_repr(self) -> str:
        return self.scaling
