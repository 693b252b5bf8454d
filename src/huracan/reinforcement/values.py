"""What a network says of an action: its value, or the distribution of what may come of it; and how each learns.

Each form turns outputs (batch, ..., outputs) into values, and gives the loss of predicted against following outputs for rewards
and discounts of the same leading shape.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from huracan.errors import ModelError, nearest_name

__all__ = ["Categorical", "Expected", "Quantiles", "ValueForm", "losses_and_slopes", "value_form"]


class ValueForm(Protocol):
    """How returns are represented."""

    @property
    def outputs(self) -> int:
        """Numbers that one action's value is made of."""
        ...

    def values(self, out: Tensor) -> Tensor:
        """Expected returns (...) of outputs (..., outputs)."""
        ...

    def losses(self, out: Tensor, reward: Tensor, discount: Tensor, following: Tensor) -> tuple[Tensor, Tensor]:
        """Losses (...) to learn from, and sizes of errors (...) for priorities; ``following`` is not learned from."""
        ...


@dataclass(frozen=True)
class Expected:
    """The expected return itself, by squared or Huber error.

    >>> out, reward = torch.tensor([[1.0]]), torch.tensor([0.5])
    >>> Expected().losses(out, reward, torch.tensor([0.9]), torch.tensor([[2.0]]))[0].round(decimals=4)
    tensor([1.6900])
    """

    loss: Literal["squared", "huber"] = "squared"
    outputs: int = 1

    def values(self, out: Tensor) -> Tensor:
        """See :class:`ValueForm`."""
        return out.squeeze(-1)

    def losses(self, out: Tensor, reward: Tensor, discount: Tensor, following: Tensor) -> tuple[Tensor, Tensor]:
        """See :class:`ValueForm`."""
        target = reward + discount * following.squeeze(-1)
        error = out.squeeze(-1) - target
        loss = error.square() if self.loss == "squared" else functional.huber_loss(out.squeeze(-1), target, reduction="none")
        return loss, error.detach()

    def slope(self, error: Tensor) -> Tensor:
        """Derivatives of losses by values, where these are off by so much."""
        return 2.0 * error if self.loss == "squared" else error.clamp(-1.0, 1.0)


@dataclass(frozen=True)
class Categorical:
    """Probabilities of evenly spaced returns (C51).

    References
    ----------
    Bellemare, Dabney and Munos (2017), "A Distributional Perspective on Reinforcement Learning", ICML, algorithm 1.
    """

    low: float
    high: float
    outputs: int = 51
    _support: Tensor = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.low < self.high or self.outputs < 2:
            raise ModelError(f"{self.outputs} atoms from {self.low} to {self.high}; at least 2, on a range, were expected.")
        object.__setattr__(self, "_support", torch.linspace(self.low, self.high, self.outputs))

    def values(self, out: Tensor) -> Tensor:
        """See :class:`ValueForm`."""
        return (out.softmax(-1) * self._support.to(out)).sum(-1)

    def losses(self, out: Tensor, reward: Tensor, discount: Tensor, following: Tensor) -> tuple[Tensor, Tensor]:
        """See :class:`ValueForm`."""
        width = (self.high - self.low) / (self.outputs - 1)
        moved = (reward[..., None] + discount[..., None] * self._support.to(out)).clamp(self.low, self.high)
        at = (moved - self.low) / width
        below = at.floor().clamp(0, self.outputs - 1)
        above = (below + 1).clamp(max=self.outputs - 1)
        share = at - below
        chance = following.softmax(-1)
        target = torch.zeros_like(chance)
        target.scatter_add_(-1, below.long(), chance * (1.0 - share))
        target.scatter_add_(-1, above.long(), chance * share)
        loss = -(target * out.log_softmax(-1)).sum(-1)
        entropy = -(target * target.clamp(min=1e-12).log()).sum(-1)
        return loss, (loss - entropy).detach()


@dataclass(frozen=True)
class Quantiles:
    """Evenly spaced quantiles of the return (QR-DQN).

    References
    ----------
    Dabney, Rowland, Bellemare and Munos (2018), "Distributional Reinforcement Learning with Quantile Regression", AAAI.
    """

    outputs: int = 51

    def values(self, out: Tensor) -> Tensor:
        """See :class:`ValueForm`."""
        return out.mean(-1)

    def losses(self, out: Tensor, reward: Tensor, discount: Tensor, following: Tensor) -> tuple[Tensor, Tensor]:
        """See :class:`ValueForm`."""
        target = reward[..., None] + discount[..., None] * following
        error = target[..., None, :] - out[..., :, None]  # (..., quantile, sample of the target)
        level = (torch.arange(self.outputs, dtype=out.dtype, device=out.device) + 0.5) / self.outputs
        huber = torch.where(error.abs() <= 1.0, 0.5 * error.square(), error.abs() - 0.5)
        loss = ((level[:, None] - (error.detach() < 0).to(out.dtype)).abs() * huber).mean(-1).sum(-1)
        return loss, (target.mean(-1) - out.mean(-1)).detach()


def losses_and_slopes(
    form: ValueForm, out: Tensor, reward: Tensor, discount: Tensor, following: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """What :meth:`ValueForm.losses` says, and the derivatives of each loss by its outputs, shaped as these."""
    if isinstance(form, Expected):
        losses, errors = form.losses(out, reward, discount, following)
        return losses, errors, form.slope(errors)[..., None]
    with torch.enable_grad():
        leaf = out.detach().requires_grad_()
        losses, errors = form.losses(leaf, reward, discount, following)
        (slopes,) = torch.autograd.grad(losses.sum(), leaf)
    return losses.detach(), errors, slopes


def value_form(kind: str | None, *, loss: Any, n_atoms: int, value_range: tuple[float, float]) -> ValueForm:
    """The form of this name: None, "c51" or "qr"."""
    if loss not in ("squared", "huber"):
        raise nearest_name(str(loss), ("squared", "huber"), kind="loss")
    if kind is None:
        return Expected(loss)
    if kind == "c51":
        return Categorical(*value_range, outputs=n_atoms)
    if kind == "qr":
        return Quantiles(n_atoms)
    raise nearest_name(str(kind), ("c51", "qr"), kind="distribution")
