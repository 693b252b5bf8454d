"""The game of critic and generator: Wasserstein distance with a gradient penalty."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from huracan.models.networks.critic import ReturnCritic
from huracan.models.networks.generator import ReturnGenerator
from huracan.training.phases import Phase
from huracan.training.windows import Batch, WindowTable

__all__ = ["GeneratorAndCritic", "WassersteinGame"]


class GeneratorAndCritic(nn.Module):
    """Both networks as one module, as the training loop takes it.

    >>> sorted(name for name, _ in GeneratorAndCritic(ReturnGenerator(16, 2), ReturnCritic(16, 2)).named_children())
    ['critic', 'generator']
    """

    def __init__(self, generator: ReturnGenerator, critic: ReturnCritic) -> None:
        super().__init__()
        self.generator, self.critic = generator, critic

    def forward(self, noise: Tensor, regime: Tensor) -> Tensor:
        """Windows of the generator."""
        return self.generator(noise, regime)


@dataclass(frozen=True)
class WassersteinGame:
    """Two phases: the critic takes several steps to measure how far generated windows are from real ones of the same regimes,
    then the generator one that brings them nearer.

    The table has two columns, return and the volatility known before the bar; a window is divided by that of its first bar.

    Parameters
    ----------
    critic_steps : critic steps before each of the generator. penalty : weight of the gradient penalty.
    critic_rate, generator_rate : learning rates. betas : of AdamW.

    References
    ----------
    Gulrajani, Ahmed, Arjovsky, Dumoulin and Courville (2017), "Improved Training of Wasserstein GANs", NeurIPS.
    """

    critic_steps: int = 5
    penalty: float = 10.0
    critic_rate: float = 5e-4
    generator_rate: float = 5e-4
    betas: tuple[float, float] = (0.5, 0.9)

    @property
    def phases(self) -> Sequence[Phase]:
        """Critic, then generator."""
        return (
            Phase("critic", self._critic, _critic_parameters, self.critic_steps, self.critic_rate, self.betas),
            Phase("generator", self._generator, _generator_parameters, 1, self.generator_rate, self.betas),
        )

    @property
    def validation(self) -> None:
        """No number says how good a generator is; it is judged outside."""
        return

    def constant_loss(self, windows: WindowTable) -> None:
        """A critic's scores have no natural size."""
        return

    def _critic(self, network: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
        critic, regime = _pair(network).critic, _regime(batch)
        with torch.no_grad():
            made = critic.soften(_made(network, batch, generator))
        real = critic.soften(scaled_windows(batch.x))
        scores = critic(torch.cat((real, made)), torch.cat((regime, regime)))
        share = torch.rand(len(real), 1, generator=generator, device=real.device, dtype=real.dtype)
        between = (share * real + (1.0 - share) * made).requires_grad_(True)
        (slope,) = torch.autograd.grad(critic(between, regime).sum(), between, create_graph=True)
        too_steep = (slope.norm(dim=1) - 1.0).square()
        return scores[len(real) :] - scores[: len(real)] + self.penalty * too_steep

    def _generator(self, network: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
        critic = _pair(network).critic
        return -critic(critic.soften(_made(network, batch, generator)), _regime(batch))


def scaled_windows(x: Tensor) -> Tensor:
    """Returns in units of the volatility known before the window: (batch, window) of (batch, window, 2)."""
    return x[:, :, 0] / x[:, :1, 1]


def _made(network: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
    maker = _pair(network).generator
    noise = torch.randn(len(batch), maker.noise_size, generator=generator, device=batch.x.device, dtype=batch.x.dtype)
    return maker(noise, _regime(batch))


def _pair(network: nn.Module) -> GeneratorAndCritic:
    assert isinstance(network, GeneratorAndCritic)
    return network


def _regime(batch: Batch) -> Tensor:
    assert batch.condition is not None
    return batch.condition


def _critic_parameters(network: nn.Module) -> Iterable[nn.Parameter]:
    return _pair(network).critic.parameters()


def _generator_parameters(network: nn.Module) -> Iterable[nn.Parameter]:
    return _pair(network).generator.parameters()
