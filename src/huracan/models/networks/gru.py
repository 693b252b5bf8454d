"""GRU network."""

from __future__ import annotations

from torch import nn

from huracan.models.networks.recurrent import RecurrentNetwork

__all__ = ["GRUNetwork"]


class GRUNetwork(RecurrentNetwork):
    """A :class:`RecurrentNetwork` of gated recurrent units: an LSTM with one gate and one state less.

    References
    ----------
    Cho et al. (2014), "Learning Phrase Representations using RNN Encoder-Decoder", EMNLP; the reset gate after the matrix
    product, as in cuDNN.

    Examples
    --------
    >>> import torch
    >>> GRUNetwork(n_features=5, window=32, n_outputs=1)(torch.randn(2, 32, 5)).shape
    torch.Size([2, 1])
    """

    layer = nn.GRU
