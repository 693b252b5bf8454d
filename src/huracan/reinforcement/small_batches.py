"""A network of plain layers in NumPy, for a few observations: there the calls of PyTorch take many times what their arithmetic
does, and an agent that acts asks about a few at every step."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from huracan.reinforcement.q_network import VALUE_CLIP, QNetwork

__all__ = ["SmallBatches"]

_ON_ONE_THREAD = 262_144
"""Products of matrices up to so many multiplications are on one thread in OpenBLAS, whatever it may use."""
_MOST = 64


class SmallBatches:
    """The values of a network on a processor, to rounding; it reads the network's own memory, so it learns with it.

    Parameters
    ----------
    network : with the encoder "mlp" and no noise, see :meth:`suits`.

    Attributes
    ----------
    most : observations that are worth asking here.

    Examples
    --------
    >>> import torch
    >>> from huracan.reinforcement.q_network import QNetworkSettings
    >>> network = QNetwork(QNetworkSettings(window=2, n_features=3, account_size=1, n_actions=3, hidden=(8,)))
    >>> seen = np.ones((2, 7), np.float32)
    >>> bool(np.allclose(SmallBatches(network)(seen), network(torch.from_numpy(seen)).detach(), atol=1e-6))
    True
    """

    def __init__(self, network: QNetwork) -> None:
        self.network = network
        self.layers = [_of(layer) for layer in network.trunk if isinstance(layer, nn.Linear)]
        self.advantage = _of(network.advantage)
        self.value = None if network.value is None else _of(network.value)
        self.shift, self.scale, self.prior = (_shared(t) for t in (network.shift, network.scale, network.prior))
        widest = max(weight.size for weight, _ in (*self.layers, self.advantage))
        self.most = min(_MOST, _ON_ONE_THREAD // widest)

    @staticmethod
    def suits(network: QNetwork) -> bool:
        """Whether a network can be asked so."""
        return network.encoder is None and not network.settings.noisy and network.shift.device.type == "cpu"

    def __call__(self, observation: NDArray[np.float32]) -> NDArray[np.float32]:
        """Values (n, actions, outputs) of observations (n, width)."""
        network, settings, x = self.network, self.network.settings, observation
        if network.standardised and network.shown:
            x = observation.copy()
            market = x[:, : network.shown].reshape(len(x), settings.window, settings.n_features)  # a view
            market -= self.shift
            market *= self.scale
            np.maximum(market, -VALUE_CLIP, out=market)
            np.minimum(market, VALUE_CLIP, out=market)
        for weight, bias in self.layers:
            x = x @ weight
            x += bias
            np.maximum(x, 0.0, out=x)
        out = (x @ self.advantage[0] + self.advantage[1]).reshape(len(x), settings.n_actions, settings.outputs)
        if self.value is not None:
            value = (x @ self.value[0] + self.value[1])[:, None]
            out = value + out - out.mean(axis=1, keepdims=True)
        if settings.level_columns and network.believes:
            first, last = (network.shown + settings.level_columns[i] for i in (0, -1))
            out = out + (observation[:, first : last + 1] @ self.prior)[:, :, None]
        return out


def _shared(tensor: Tensor) -> NDArray[np.float32]:
    return tensor.detach().numpy()


def _of(layer: nn.Module) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    assert isinstance(layer, nn.Linear)
    return _shared(layer.weight).T, _shared(layer.bias)
