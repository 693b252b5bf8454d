"""Values of a network and their gradients, through autograd or, where layers are plain, written out.

Both say the same. An update of an agent is on a few dozen observations, and there the bookkeeping of modules and of autograd
takes several times what the arithmetic does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from huracan.reinforcement.q_network import QNetwork

__all__ = ["Autograd", "Differentiation", "PlainLayers", "differentiation"]


class Differentiation(Protocol):
    """A network as learning sees it; nothing it gives is tied to autograd."""

    def read(self, observation: Tensor) -> Tensor:
        """What of observations (batch, width), or of windows alone, every copy of the network reads in the same way."""
        ...

    def of_rows(self, read: Tensor, *, learn: int = 0) -> tuple[Tensor, Any]:
        """Values (batch, actions, outputs) of what was read of observations; and what :meth:`backward` needs of the first
        ``learn`` of them."""
        ...

    def of_accounts(self, read: Tensor, account: Tensor, *, learn: int = 0) -> tuple[Tensor, Any]:
        """The same of what was read of windows (batch, ...) beside every account, as :meth:`QNetwork.of_accounts`; ``learn``
        counts windows."""
        ...

    def backward(self, kept: Any, slope: Tensor) -> None:
        """Set the gradients of all parameters, given those of the values that are learned from (..., actions, outputs)."""
        ...


def differentiation(network: QNetwork) -> Differentiation:
    """The fastest way that suits this network."""
    return PlainLayers(network) if PlainLayers.suits(network) else Autograd(network)


class Autograd:
    """Any network."""

    def __init__(self, network: QNetwork) -> None:
        self.network = network

    def read(self, observation: Tensor) -> Tensor:
        """See :class:`Differentiation`."""
        return observation

    def of_rows(self, read: Tensor, *, learn: int = 0) -> tuple[Tensor, Any]:
        """See :class:`Differentiation`."""
        return self._in_two(self.network, read, learn)

    def of_accounts(self, read: Tensor, account: Tensor, *, learn: int = 0) -> tuple[Tensor, Any]:
        """See :class:`Differentiation`."""
        return self._in_two(lambda window: self.network.of_accounts(window, account), read, learn)

    def _in_two(self, valued: Callable[[Tensor], Tensor], read: Tensor, learn: int) -> tuple[Tensor, Any]:
        with torch.enable_grad():
            kept = valued(read[:learn]) if learn else None
        with torch.no_grad():
            parts = ([] if kept is None else [kept.detach()]) + ([valued(read[learn:])] if learn < len(read) else [])
        return torch.cat(parts), kept

    def backward(self, kept: Any, slope: Tensor) -> None:
        """See :class:`Differentiation`."""
        for parameter in self.network.parameters():
            assert parameter.grad is not None
            parameter.grad.zero_()
        torch.autograd.backward(kept, slope)


class PlainLayers:
    """A network that reads windows as flat rows, by linear layers without noise, on the memory where it lies when this is made.

    Examples
    --------
    >>> from huracan.reinforcement.q_network import QNetworkSettings
    >>> network = QNetwork(QNetworkSettings(window=2, n_features=3, account_size=1, n_actions=3, hidden=(8,)))
    >>> plain, seen = PlainLayers(network), torch.ones(2, 7)
    >>> torch.allclose(plain.of_rows(plain.read(seen))[0], network(seen), atol=1e-6)
    True
    """

    def __init__(self, network: QNetwork) -> None:
        self.network = network
        self.first, *self.layers = [_of(layer) for layer in network.trunk if isinstance(layer, nn.Linear)]
        self.advantage = _of(network.advantage)
        self.value = None if network.value is None else _of(network.value)
        columns = network.settings.level_columns
        self._levels = slice(columns[0], columns[-1] + 1) if columns else None

    @staticmethod
    def suits(network: QNetwork) -> bool:
        """Whether a network is of that kind."""
        return network.encoder is None and not network.settings.noisy and len(network.trunk) > 0

    @torch.no_grad()
    def read(self, observation: Tensor) -> Tensor:
        """See :class:`Differentiation`."""
        network = self.network
        if not network.shown or not network.standardised:
            return observation
        market = network.market_read(observation[:, : network.shown])
        return market if len(observation[0]) == network.shown else torch.cat([market, observation[:, network.shown :]], dim=1)

    def of_rows(self, read: Tensor, *, learn: int = 0) -> tuple[Tensor, Any]:
        """See :class:`Differentiation`."""
        x = torch.addmm(self.first.bias, read, self.first.transposed).relu_()
        prior = None if self._levels is None else read[:, self.network.shown :][:, self._levels]
        out, said = self._valued(x, prior)
        return out, (read[:learn], [x[:learn] for x in said])

    def of_accounts(self, read: Tensor, account: Tensor, *, learn: int = 0) -> tuple[Tensor, Any]:
        """See :class:`Differentiation`; the first layer is a sum of what it says of windows and of accounts."""
        shown, accounts = self.network.shown, len(account)
        of_window = torch.addmm(self.first.bias, read, self.first.transposed[:shown])
        of_account = account @ self.first.transposed[shown:]
        x = (of_window[:, None] + of_account).relu_().flatten(0, 1)
        prior = None if self._levels is None else account[:, self._levels].repeat(len(read), 1)
        out, said = self._valued(x, prior)
        return out, ((read[:learn], account), [x[: learn * accounts] for x in said])

    def _valued(self, x: Tensor, level: Tensor | None) -> tuple[Tensor, list[Tensor]]:
        """Values of what the first layer says, and what all layers say."""
        network, settings, said = self.network, self.network.settings, [x]
        for layer in self.layers:
            x = torch.addmm(layer.bias, x, layer.transposed).relu_()
            said.append(x)
        out = torch.addmm(self.advantage.bias, x, self.advantage.transposed).view(len(x), settings.n_actions, settings.outputs)
        if self.value is not None:
            value = torch.addmm(self.value.bias, x, self.value.transposed)[:, None]
            out = value + out - out.mean(dim=1, keepdim=True)
        return out if level is None or not network.believes else out + (level @ network.prior)[:, :, None], said

    def backward(self, kept: Any, slope: Tensor) -> None:
        """See :class:`Differentiation`."""
        inputs, said = kept
        x, advantage = said[-1], slope
        if self.value is not None:
            advantage = slope - slope.mean(dim=1, keepdim=True)
        advantage = advantage.flatten(1)
        self.advantage.set_gradient(advantage, x)
        passed = advantage @ self.advantage.weight
        if self.value is not None:
            of_state = slope.sum(dim=1)
            self.value.set_gradient(of_state, x)
            passed.addmm_(of_state, self.value.weight)
        passed.mul_(x > 0)
        for layer, x in zip(reversed(self.layers), reversed(said[:-1]), strict=True):
            layer.set_gradient(passed, x)
            passed = (passed @ layer.weight).mul_(x > 0)
        if isinstance(inputs, Tensor):
            self.first.set_gradient(passed, inputs)
            return
        read, account = inputs
        of_each = passed.view(len(read), len(account), -1)
        at_window, at_account = of_each.sum(dim=1), of_each.sum(dim=0)
        torch.mm(at_window.t(), read, out=self.first.weight_gradient[:, : read.shape[1]])
        torch.mm(at_account.t(), account, out=self.first.weight_gradient[:, read.shape[1] :])
        torch.sum(at_window, 0, out=self.first.bias_gradient)


class _Layer(NamedTuple):
    """The memory of a linear layer, and of its gradients."""

    weight: Tensor
    transposed: Tensor
    bias: Tensor
    weight_gradient: Any
    bias_gradient: Any

    def set_gradient(self, slope: Tensor, x: Tensor) -> None:
        """Of what it says of ``x`` the derivatives are ``slope``."""
        torch.mm(slope.t(), x, out=self.weight_gradient)
        torch.sum(slope, 0, out=self.bias_gradient)


def _of(layer: nn.Module) -> _Layer:
    assert isinstance(layer, nn.Linear)
    weight, bias = layer.weight.detach(), layer.bias.detach()
    return _Layer(weight, weight.t(), bias, layer.weight.grad, layer.bias.grad)
