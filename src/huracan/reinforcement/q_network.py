"""The network that values actions: an encoder of the window, layers that join it with the account, and a head."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from huracan.errors import ModelError, nearest_name
from huracan.models.networks.heads import start_near_zero

__all__ = ["ENCODERS", "VALUE_CLIP", "NoisyLinear", "QNetwork", "QNetworkSettings"]

ENCODERS = {
    "mlp": None,
    "cnn": "huracan.models.networks:ConvolutionNetwork",
    "gru": "huracan.models.networks:GRUNetwork",
    "lstm": "huracan.models.networks:LSTMNetwork",
    "transformer": "huracan.models.networks:TransformerNetwork",
}
VALUE_CLIP = 8.0
"""Standard deviations at which standardised features are cut."""


@dataclass(frozen=True, kw_only=True)
class QNetworkSettings:
    """Shape of a :class:`QNetwork`.

    Parameters
    ----------
    window, n_features : of the market part of an observation; ``n_features`` 0 where there is none. account_size : the rest.
    n_actions : values that come out. outputs : numbers a value is made of (atoms or quantiles); 1 is the value itself.
    encoder : how the window is read: "mlp" as one flat row, or a network of :mod:`huracan.models.networks`.
    encoder_options : arguments of that network (hidden, n_blocks, ...).
    embedding : numbers the encoder says of a window. hidden : widths of the layers after it; () is linear.
    level_columns : numbers of the account part that say, one-hot, which target stands; they find the row of ``prior``.
    dueling : a value of the state and an advantage of each action, instead of a value of each action.
    noisy : layers whose weights are noisy, which explore by themselves.

    References
    ----------
    Wang et al. (2016), "Dueling Network Architectures", ICML; Fortunato et al. (2018), "Noisy Networks for Exploration", ICLR.
    """

    window: int
    n_features: int
    account_size: int
    n_actions: int
    outputs: int = 1
    encoder: str = "mlp"
    encoder_options: Mapping[str, Any] = field(default_factory=dict)
    embedding: int = 64
    hidden: Sequence[int] = (128, 128)
    level_columns: tuple[int, ...] = ()
    dueling: bool = False
    noisy: bool = False

    def __post_init__(self) -> None:
        if self.encoder not in ENCODERS:
            raise nearest_name(self.encoder, ENCODERS, kind="encoder")
        if self.encoder != "mlp" and not self.n_features:
            raise ModelError(f"encoder is '{self.encoder}', and observations have no window to encode; 'mlp' was expected.")
        if self.encoder_options.get("dropout"):
            raise ModelError(
                f"encoder_options has dropout {self.encoder_options['dropout']}, and values are learned from values: noise in "
                "one is bias in the other; 0 was expected."
            )
        if any(width < 1 for width in (*self.hidden, self.embedding)):
            raise ModelError(f"hidden is {self.hidden} and embedding {self.embedding}; widths of at least 1 were expected.")


class QNetwork(nn.Module):
    """Observations (batch, window * n_features + account_size) to values (batch, n_actions, outputs).

    ``shift`` and ``scale`` (n_features,) standardise the market's features; ``prior`` (levels, n_actions) is added to what the
    layers say, which is next to nothing at the start. They are stored with the weights.

    Examples
    --------
    >>> settings = QNetworkSettings(window=8, n_features=3, account_size=2, n_actions=3, encoder="gru", dueling=True)
    >>> QNetwork(settings)(torch.zeros(5, 26)).shape
    torch.Size([5, 3, 1])
    """

    def __init__(self, settings: QNetworkSettings) -> None:
        super().__init__()
        self.settings = settings
        self.shown = settings.window * settings.n_features
        self.shift: Tensor
        self.scale: Tensor
        self.register_buffer("shift", torch.zeros(settings.n_features))
        self.register_buffer("scale", torch.ones(settings.n_features))
        self.prior: Tensor
        self.register_buffer("prior", torch.zeros(len(settings.level_columns), settings.n_actions))
        self.standardised = self.believes = False
        self.encoder = _encoder(settings)
        width = (self.shown if self.encoder is None else settings.embedding) + settings.account_size
        linear = NoisyLinear if settings.noisy else nn.Linear
        layers: list[nn.Module] = []
        for inner in settings.hidden:
            layers += [linear(width, inner), nn.ReLU()]
            width = inner
        self.trunk = nn.Sequential(*layers)
        self.advantage = linear(width, settings.n_actions * settings.outputs)
        self.value = linear(width, settings.outputs) if settings.dueling else None
        for layer in (self.advantage, self.value):
            if isinstance(layer, nn.Linear):
                start_near_zero(layer)

    def forward(self, observation: Tensor) -> Tensor:
        """See the class."""
        if not self.shown:
            return self._valued(observation, observation)
        account = observation[:, self.shown :]
        return self._valued(torch.cat([self.market_read(observation[:, : self.shown]), account], dim=1), account)

    def of_accounts(self, window: Tensor, account: Tensor) -> Tensor:
        """Values (batch * accounts, n_actions, outputs) of every window (batch, window * n_features) beside every account
        (accounts, account_size); what is read of a window is read once.
        """
        batch, accounts = len(window), len(account)
        read = self.market_read(window)[:, None].expand(-1, accounts, -1)
        beside = account[None].expand(batch, -1, -1)
        return self._valued(torch.cat([read, beside], dim=2).flatten(0, 1), beside.reshape(batch * accounts, -1))

    def _valued(self, x: Tensor, account: Tensor) -> Tensor:
        x = self.trunk(x)
        settings = self.settings
        out = self.advantage(x).view(-1, settings.n_actions, settings.outputs)
        if self.value is not None:
            out = self.value(x).view(-1, 1, settings.outputs) + out - out.mean(dim=1, keepdim=True)
        if not settings.level_columns or not self.believes:
            return out
        first, last = settings.level_columns[0], settings.level_columns[-1] + 1
        return out + (account[:, first:last] @ self.prior)[:, :, None]

    def market_read(self, shown: Tensor) -> Tensor:
        """What is read of windows (batch, window * n_features): their embedding, or they themselves, standardised."""
        settings = self.settings
        if not self.standardised and self.encoder is None:
            return shown
        window = shown.reshape(-1, settings.window, settings.n_features)
        if self.standardised:
            window = ((window - self.shift) * self.scale).clamp(-VALUE_CLIP, VALUE_CLIP)
        return window.flatten(1) if self.encoder is None else self.encoder(window)

    def standardise(self, mean: Tensor, spread: Tensor) -> None:
        """Read features as standard deviations from their mean, cut at 8."""
        self.shift.copy_(mean)
        self.scale.copy_(1.0 / spread)
        self.standardised = True

    def believe(self, prior: Tensor) -> None:
        """What is believed before anything is learned: values (levels, n_actions), all 0 for nothing."""
        self.prior.copy_(prior)
        self.believes = bool(self.prior.any())

    def draw_noise(self, generator: torch.Generator | None) -> None:
        """Draw the noise of noisy layers; without a generator there is none."""
        for layer in self.modules():
            if isinstance(layer, NoisyLinear):
                layer.draw(generator)


class NoisyLinear(nn.Module):
    """A linear layer whose weights are mean + spread * noise, the noise being an outer product of two vectors.

    References
    ----------
    Fortunato et al. (2018), "Noisy Networks for Exploration", section 3.2, factorised noise.
    """

    def __init__(self, n_in: int, n_out: int, *, spread: float = 0.5) -> None:
        super().__init__()
        bound = 1.0 / math.sqrt(n_in)
        self.weight = nn.Parameter(torch.empty(n_out, n_in).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(n_out).uniform_(-bound, bound))
        self.weight_spread = nn.Parameter(torch.full((n_out, n_in), spread * bound))
        self.bias_spread = nn.Parameter(torch.full((n_out,), spread * bound))
        self._noise: tuple[Tensor, Tensor] | None = None

    def draw(self, generator: torch.Generator | None) -> None:
        """Draw the noise of the following calls; None for no noise."""
        if generator is None:
            self._noise = None
            return
        n_out, n_in = self.weight.shape
        drawn = torch.randn(n_in + n_out, generator=generator, device=self.weight.device, dtype=self.weight.dtype)
        drawn = drawn.sign() * drawn.abs().sqrt()
        self._noise = torch.outer(drawn[n_in:], drawn[:n_in]), drawn[n_in:]

    def forward(self, x: Tensor) -> Tensor:
        """(batch, n_in) to (batch, n_out)."""
        if self._noise is None:
            return nn.functional.linear(x, self.weight, self.bias)
        weight, bias = self._noise
        return nn.functional.linear(x, self.weight + self.weight_spread * weight, self.bias + self.bias_spread * bias)


def _encoder(settings: QNetworkSettings) -> nn.Module | None:
    path = ENCODERS[settings.encoder]
    if path is None:
        return None
    module, _, name = path.partition(":")
    options = {"dropout": 0.0, **settings.encoder_options}
    made = getattr(import_module(module), name)(settings.n_features, settings.window, settings.embedding, **options)
    nn.init.normal_(made.head.project.weight, std=made.head.project.in_features**-0.5)  # an embedding is no forecast
    return made
