"""One linear map of the window: what a network has to beat."""

from __future__ import annotations

from huracan.models.networks.heads import SequenceHead
from huracan.models.networks.network import SequenceNetwork
from huracan.models.networks.sizes import check_shares, check_sizes
from huracan.models.networks.window_scaling import Scaling, WindowScaling

__all__ = ["LinearNetwork"]


class LinearNetwork(SequenceNetwork):
    """Every bar of every feature has one weight an output.

    Parameters
    ----------
    n_features, window : shape of the input, (batch, window, n_features), oldest bar first.
    n_outputs : outputs of a window.
    window_scaling : see :class:`WindowScaling`; "last" makes this NLinear.
    dropout : share of the inputs set to zero in training.

    References
    ----------
    Zeng, Chen, Zhang and Xu (2023), "Are Transformers Effective for Time Series Forecasting?", AAAI.

    Examples
    --------
    >>> import torch
    >>> LinearNetwork(3, 24, 2, window_scaling="last")(torch.randn(5, 24, 3)).shape
    torch.Size([5, 2])
    """

    def __init__(
        self, n_features: int, window: int, n_outputs: int, *, window_scaling: Scaling = "none", dropout: float = 0.0
    ) -> None:
        check_shares(dropout=dropout)
        check_sizes(n_features=n_features, window=window, n_outputs=n_outputs)
        head = SequenceHead(n_features, window, n_outputs, readout="flatten", dropout=dropout)
        super().__init__(WindowScaling(window_scaling), [], head)
