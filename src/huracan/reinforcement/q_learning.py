"""Q-learning with a target network: one update, and the networks, optimizer and random numbers it changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from huracan.errors import ModelError
from huracan.reinforcement.differentiation import differentiation
from huracan.reinforcement.flat_adam import FlatAdamW
from huracan.reinforcement.q_network import QNetwork, QNetworkSettings
from huracan.reinforcement.replay import Sample
from huracan.reinforcement.small_batches import SmallBatches
from huracan.reinforcement.values import ValueForm, losses_and_slopes
from huracan.training.randomness import built_with_seed

__all__ = ["QLearner"]


class QLearner:
    """An online and a target network, and how they learn.

    Parameters
    ----------
    settings : shape of both networks. form : what they say of an action.
    double : the online network chooses the action that the target network values.
    tau : share of the online parameters that the target takes over in an update; with ``target_every`` above 1 it takes over
        all of them once in so many updates.
    clip_norm : largest norm of a gradient. allowed : bool (levels, actions) masks, or None.

    References
    ----------
    Mnih et al. (2015), "Human-level control through deep reinforcement learning"; van Hasselt, Guez and Silver (2016), "Deep
    Reinforcement Learning with Double Q-learning", AAAI; Lillicrap et al. (2016) for the soft update.
    """

    def __init__(
        self,
        settings: QNetworkSettings,
        form: ValueForm,
        *,
        double: bool,
        learning_rate: float,
        weight_decay: float,
        tau: float,
        target_every: int,
        clip_norm: float,
        allowed: NDArray[np.bool_] | None,
        seed: int,
        device: torch.device,
    ) -> None:
        self.form, self.double, self.clip_norm = form, double, clip_norm
        self.tau, self.target_every = tau, target_every
        self.device = device
        with built_with_seed(seed):
            self.online, self.target = QNetwork(settings).to(device), QNetwork(settings).to(device)
        self.target.load_state_dict(self.online.state_dict())
        self._tie()
        self.optimizer = FlatAdamW(self.parameters.detach(), learning_rate=learning_rate, eps=1.5e-4, weight_decay=weight_decay)
        self.generator = torch.Generator(device).manual_seed(seed)
        self.allowed = None if allowed is None else torch.from_numpy(allowed).to(device)
        self.updates = 0
        self._count: Tensor | None = None
        self._said = self.parameters.new_zeros((1, form.outputs))
        self._in_numpy: tuple[int, SmallBatches | None] | None = None

    def _tie(self) -> None:
        """Make parameters views of one tensor for each network."""
        self.parameters, self.target_parameters = _as_one(self.online), _as_one(self.target)
        self.target_parameters.requires_grad_(False)
        self._learning, self._valuing = differentiation(self.online), differentiation(self.target)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _in_numpy=None)  # a copy's parameters are views no more
        self._tie()
        self.optimizer.parameters = self.parameters.detach()

    def standardise(self, mean: NDArray[np.floating[Any]], spread: NDArray[np.floating[Any]]) -> None:
        """See :meth:`QNetwork.standardise`."""
        for network in (self.online, self.target):
            network.standardise(torch.as_tensor(mean, dtype=torch.float32), torch.as_tensor(spread, dtype=torch.float32))

    def believe(self, prior: NDArray[np.floating[Any]]) -> None:
        """What is believed before anything is learned: values (levels, actions) in scaled rewards."""
        for network in (self.online, self.target):
            network.believe(torch.as_tensor(prior, dtype=torch.float32))

    # --- one update ------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def update(self, sample: Sample, reward_scale: float) -> tuple[Tensor, Tensor]:
        """Learn from what was done; mean loss, and the error of each transition."""
        tensor = self._tensor
        reward, discount = tensor(sample.reward) * reward_scale, tensor(sample.discount)
        self._draw_noise()
        n = len(reward)
        read = self._learning.read(tensor(sample.observations))
        following, _ = self._valuing.of_rows(read[n:])
        out, kept = self._learning.of_rows(read if self.double else read[:n], learn=n)
        allowed = None if self.allowed is None else self.allowed[tensor(sample.level_after)]
        following = self._best(following, out[n:] if self.double else following, allowed)
        out = out[:n]
        each, action = self._counted(n), tensor(sample.action)
        losses, errors, slopes = losses_and_slopes(self.form, out[each, action], reward, discount, following)
        if sample.weight is not None:
            weight = tensor(sample.weight)
            losses, slopes = losses * weight, slopes * weight[:, None]
        slope = torch.zeros_like(out)
        slope[each, action] = slopes / n
        self._descend(out, kept, slope)
        return losses.mean(), errors

    @torch.no_grad()
    def update_all(
        self, window: Tensor, after: Tensor, account: Tensor, reward: Tensor, discount: Tensor, next_level: Tensor
    ) -> Tensor:
        """Learn from what all actions from all levels would have done; mean loss.

        Parameters
        ----------
        window, after : (batch, window * n_features), the market before and after. account : (levels, account_size), what is
            said of each level. reward, discount : (batch, levels, actions). next_level : (levels, actions).
        """
        batch, levels, _ = reward.shape
        self._draw_noise()
        read = self._learning.read(torch.cat([window, after]))
        following, _ = self._valuing.of_accounts(read[batch:], account)
        out, kept = self._learning.of_accounts(read if self.double else read[:batch], account, learn=batch)
        n = batch * levels
        allowed = None if self.allowed is None else self.allowed.repeat(batch, 1)
        following = self._best(following, out[n:] if self.double else following, allowed).view(batch, levels, -1)
        out = out[:n]
        following = following[:, next_level]  # (batch, levels, actions, outputs)
        losses, _, slopes = losses_and_slopes(self.form, out.view(*reward.shape, -1), reward, discount, following)
        n = losses.numel()
        if self.allowed is not None:
            losses, slopes = losses * self.allowed, slopes * self.allowed[..., None]
            n = batch * int(self.allowed.sum())
        self._descend(out, kept, (slopes / n).view_as(out))
        return losses.sum() / n

    def _best(self, following: Tensor, chooser: Tensor, allowed: Tensor | None) -> Tensor:
        """What is said of the best action that is allowed there."""
        values = self.form.values(chooser)
        if allowed is not None:
            values = values.masked_fill(~allowed, -torch.inf)
        return following[self._counted(len(values)), values.argmax(1)]

    def _counted(self, n: int) -> Tensor:
        if self._count is None or len(self._count) != n:
            self._count = torch.arange(n, device=self.device)
        return self._count

    def _descend(self, out: Tensor, kept: Any, slope: Tensor) -> None:
        """One step against the gradient that follows from that of the values, ``slope``."""
        self._said = out
        gradient = self.parameters.grad
        assert gradient is not None
        self._learning.backward(kept, slope)
        norm = torch.linalg.vector_norm(gradient)
        gradient.mul_((self.clip_norm / (norm + 1e-6)).clamp(max=1.0))
        self.optimizer.step(gradient)
        self.updates += 1
        if self.target_every == 1:
            self.target_parameters.lerp_(self.parameters, self.tau)
        elif self.updates % self.target_every == 0:
            self.target_parameters.copy_(self.parameters)

    def _draw_noise(self) -> None:
        if self.online.settings.noisy:
            self.online.draw_noise(self.generator)
            self.target.draw_noise(self.generator)

    def set_rate(self, learning_rate: float) -> None:
        """The learning rate of the following updates."""
        self.optimizer.learning_rate = learning_rate

    # --- what is known ---------------------------------------------------------------------------------------------

    @torch.no_grad()
    def values(self, observation: Any, *, noisy: bool = False) -> Any:
        """Values (batch, actions) of observations (batch, width), in scaled rewards; tensors for tensors, else of NumPy."""
        if self.online.settings.noisy:
            self.online.draw_noise(self.generator if noisy else None)
        elif isinstance(observation, np.ndarray) and (few := self._few()) is not None and len(observation) <= few.most:
            out = few(observation)
            return out[:, :, 0] if self.form.outputs == 1 else self.form.values(torch.from_numpy(out)).numpy()
        values = self.form.values(self.online(self._tensor(observation)))
        return values if isinstance(observation, Tensor) else values.cpu().numpy()

    def _few(self) -> SmallBatches | None:
        """The online network in NumPy, on the memory where it lies now."""
        at = self.parameters.data_ptr()
        if self._in_numpy is None or self._in_numpy[0] != at:
            self._in_numpy = at, SmallBatches(self.online) if SmallBatches.suits(self.online) else None
        return self._in_numpy[1]

    @property
    def largest_value(self) -> float:
        """The largest value, either way, that the last update began with, in scaled rewards; nan where one is no number."""
        return float(self.form.values(self._said).abs().max())

    @property
    def healthy(self) -> bool:
        """Whether all parameters are numbers."""
        return bool(torch.isfinite(self.parameters).all())

    def _tensor(self, values: Any) -> Tensor:
        if isinstance(values, Tensor):
            return values
        tensor = torch.from_numpy(values)
        return tensor if self.device.type == "cpu" else tensor.to(self.device, non_blocking=True)

    # --- going on later --------------------------------------------------------------------------------------------

    def state(self) -> dict[str, NDArray[Any]]:
        """Parameters, optimizer and random numbers, as arrays by name."""
        told = {
            "online": self.parameters.detach(),
            "target": self.target_parameters,
            "first_moment": self.optimizer.first_moment,
            "second_moment": self.optimizer.second_moment,
            "generator": self.generator.get_state(),
            "updates": torch.tensor([self.updates, self.optimizer.steps]),
        }
        return {name: value.cpu().numpy().copy() for name, value in told.items()}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from what :meth:`state` gave.

        Raises
        ------
        ModelError : it is of another network, or lacks something.
        """
        try:
            given = {name: torch.from_numpy(np.array(state[name])) for name in _STATE}
        except KeyError as missing:
            raise ModelError(f"the stored training lacks {missing}.") from missing
        if given["online"].shape != self.parameters.shape:
            raise ModelError(
                f"the stored training is of {len(given['online'])} parameters; {len(self.parameters)} were expected."
            )
        with torch.no_grad():
            self.parameters.copy_(given["online"])
            self.target_parameters.copy_(given["target"])
        self.generator.set_state(given["generator"])
        self.updates, self.optimizer.steps = (int(n) for n in given["updates"])
        self.optimizer.first_moment.copy_(given["first_moment"])
        self.optimizer.second_moment.copy_(given["second_moment"])

    def snapshot(self) -> Tensor:
        """A copy of the parameters."""
        return self.parameters.detach().clone()

    def go_back(self, snapshot: Tensor) -> None:
        """Take parameters over from a snapshot, into both networks."""
        with torch.no_grad():
            self.parameters.copy_(snapshot)
            self.target_parameters.copy_(snapshot)


_STATE = ("online", "target", "first_moment", "second_moment", "generator", "updates")


def _as_one(network: nn.Module) -> nn.Parameter:
    """All parameters of a network as one tensor, of which they become views, and so their gradients: what is done to all of
    them is then done in one call."""
    parameters = list(network.parameters())
    whole = nn.Parameter(torch.cat([p.detach().flatten() for p in parameters]))
    whole.grad = torch.zeros_like(whole)
    at = 0
    for parameter in parameters:
        size = parameter.numel()
        shape = parameter.shape
        parameter.data = whole.data[at : at + size].view(shape)
        parameter.grad = whole.grad[at : at + size].view(shape)
        at += size
    return whole
