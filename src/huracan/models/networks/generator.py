"""Generator of return windows: a stochastic volatility process whose every part a network may bend."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from huracan.models.networks.causal_convolution import CausalConvolution
from huracan.models.networks.sizes import check_sizes

__all__ = ["HALF_LIVES", "ReturnGenerator"]

HALF_LIVES: tuple[float, ...] = (2.0, 6.0, 20.0, 60.0)
"""Bars after which half of a volatility shock is forgotten, one number a component."""

_DILATIONS = (1, 2, 4, 8)
_PAST = 2 * sum(_DILATIONS)
_MOST_VOLATILE = 4.0
_BURST = 0.1


class ReturnGenerator(nn.Module):
    """Noise and a regime become a window of returns in units of the volatility known before it.

    ``x[t] = exp(h[t]) * (g(e[t]) + m[t])``: ``e`` is white noise, ``g(e) = e * exp(tail * e**2 / 2)`` gives it heavy tails
    (Lambert W x Gauss), and the log volatility ``h`` is a level of the regime, a shift of the whole window, autoregressive
    components of :data:`HALF_LIVES`, white noise, and what a dilated causal convolution adds that also saw the shocks before
    t (so that falls may raise volatility). The convolution also gives the mean ``m``. It starts at zero: before training the
    generator *is* the stochastic volatility process, which has clusters and tails of the right kind.

    Shocks of a component are ``w + burst * (w**2 - 1)`` of white noise ``w``, scaled to variance 1: volatility rises suddenly
    and falls slowly. Their tail is exponential, hence that of ``exp(h)`` a power law, whose index training learns.

    Parameters
    ----------
    window : bars. n_regimes : conditions. hidden : channels of the convolution. latent : numbers a window that it sees.

    References
    ----------
    Taylor (1986), "Modelling Financial Time Series". Wiese, Knobloch, Korn and Kretschmer (2020), "Quant GANs: Deep Generation
    of Financial Time Series", Quantitative Finance 20. Goerg (2015), "The Lambert Way to Gaussianize Heavy-Tailed Data".

    Examples
    --------
    >>> generator = ReturnGenerator(window=16, n_regimes=2)
    >>> noise = torch.randn(5, generator.noise_size)
    >>> generator(noise, torch.tensor([0, 1, 0, 1, 0])).shape
    torch.Size([5, 16])
    """

    memory: Tensor

    def __init__(self, window: int, n_regimes: int, *, hidden: int = 24, latent: int = 4) -> None:
        check_sizes(window=window, n_regimes=n_regimes, hidden=hidden, latent=latent)
        super().__init__()
        self.window, self.latent = window, latent
        components = len(HALF_LIVES)
        self.level = nn.Parameter(torch.zeros(n_regimes))
        self.shift = nn.Parameter(torch.full((n_regimes,), 0.3))
        self.components = nn.Parameter(torch.full((n_regimes, components), 0.2))
        self.burst = nn.Parameter(torch.full((components,), _BURST))
        self.white = nn.Parameter(torch.tensor(0.1))
        self.tail = nn.Parameter(torch.tensor(0.02))
        self.stem = nn.Linear(components + 2 + latent + n_regimes, hidden)
        self.steps = nn.ModuleList([CausalConvolution(hidden, hidden, kernel=3, dilation=d) for d in _DILATIONS])
        self.head = nn.Linear(hidden, 2)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self.register_buffer("memory", _stationary_memory(window + _PAST + 1), persistent=False)

    @property
    def noise_size(self) -> int:
        """Standard normal numbers that one window is made of."""
        return (len(HALF_LIVES) + 2) * (self.window + _PAST + 1) + 1 + self.latent

    def forward(self, noise: Tensor, regime: Tensor) -> Tensor:
        """Windows (batch, window) from noise (batch, noise_size) and regimes (batch,), whole numbers."""
        n, length, window = len(noise), self.window + _PAST + 1, self.window
        paths, of_window = noise[:, : -(1 + self.latent)], noise[:, -(1 + self.latent) :]
        paths = paths.view(n, len(HALF_LIVES) + 2, length)
        slow = self._components(paths[:, :-2])
        shock, white = paths[:, -2], paths[:, -1]
        code = F.one_hot(regime, len(self.level)).to(noise.dtype)
        constant = torch.cat((of_window[:, 1:], code), dim=1)[:, None].expand(-1, length - 1, -1)
        seen = torch.cat((shock[:, :-1, None], white[:, 1:, None], slow[:, :, 1:].transpose(1, 2), constant), dim=2)
        steps = self.stem(seen.transpose(0, 1))  # bars first, as the convolution takes them
        for convolution in self.steps:
            steps = steps + F.leaky_relu(convolution(steps), 0.1)
        bend, mean = self.head(F.leaky_relu(steps[-window:], 0.1)).permute(2, 1, 0)
        level = self.level[regime] + self.shift[regime] * of_window[:, 0]
        persistent = torch.einsum("nk,nkt->nt", self.components[regime], slow[:, :, -window:])
        log_volatility = level[:, None] + persistent + self.white * white[:, -window:] + bend
        e = shock[:, -window:]
        heavy = e * torch.exp((0.5 * self.tail * e.square()).clamp(max=2.0))
        return torch.exp(log_volatility.clamp(-5.0, _MOST_VOLATILE)) * (heavy + mean)

    def _components(self, noise: Tensor) -> Tensor:
        """Autoregressions of variance 1, (batch, components, bars), from white noise of that shape."""
        burst = self.burst[:, None]
        shocks = (noise + burst * (noise.square() - 1.0)) * torch.rsqrt(1.0 + 2.0 * burst.square())
        return torch.einsum("kts,nks->nkt", self.memory.to(noise.dtype), shocks)


def _stationary_memory(length: int) -> Tensor:
    """(components, length, length): what maps white noise to autoregressions of variance 1 that began long ago."""
    rho = 0.5 ** (1.0 / torch.tensor(HALF_LIVES))
    at = torch.arange(length)
    age = at[:, None] - at[None, :]
    weights = rho[:, None, None] ** age.clamp(min=0) * torch.sqrt(1.0 - rho.square())[:, None, None]
    weights = torch.where(age >= 0, weights, torch.zeros(()))
    weights[:, :, 0] = rho[:, None] ** at
    return weights
