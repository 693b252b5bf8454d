"""LSTM network."""

from __future__ import annotations

from torch import nn

from huracan.models.networks.recurrent import RecurrentNetwork

__all__ = ["LSTMNetwork"]


class LSTMNetwork(RecurrentNetwork):
    """A :class:`RecurrentNetwork` of long short-term memory: gates decide what is kept, added and told.

    References
    ----------
    Hochreiter and Schmidhuber (1997), "Long Short-Term Memory", Neural Computation 9(8);
    Gers, Schmidhuber and Cummins (2000), "Learning to Forget", Neural Computation 12(10).

    Examples
    --------
    >>> import torch
    >>> LSTMNetwork(n_features=5, window=32, n_outputs=1)(torch.randn(2, 32, 5)).shape
    torch.Size([2, 1])
    """

    layer = nn.LSTM
