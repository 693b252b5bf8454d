"""Q-learning with a target network: one update, and the networks, optimizer and random numbers it changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from huracan.errors import ModelError
from huracan.reinforcement.q_network import QNetwork, QNetworkSettings
from huracan.reinforcement.replay import Sample
from huracan.reinforcement.small_batches import SmallBatches
from huracan.reinforcement.values import ValueForm
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
        self.parameters, self.target_parameters = _as_one(self.online), _as_one(self.target)
        self.target_parameters.requires_grad_(False)
        self.optimizer = torch.optim.AdamW(
            [self.parameters], lr=learning_rate, eps=1.5e-4, weight_decay=weight_decay, fused=True
        )
        self.generator = torch.Generator(device).manual_seed(seed)
        self.allowed = None if allowed is None else torch.from_numpy(allowed).to(device)
        self.updates = 0
        self._said = self.parameters.new_zeros((1, form.outputs))
        self._in_numpy: tuple[int, SmallBatches | None] | None = None

    def standardise(self, mean: NDArray[np.floating[Any]], spread: NDArray[np.floating[Any]]) -> None:
        """See :meth:`QNetwork.standardise`."""
        for network in (self.online, self.target):
            network.standardise(torch.as_tensor(mean, dtype=torch.float32), torch.as_tensor(spread, dtype=torch.float32))

    def believe(self, prior: NDArray[np.floating[Any]]) -> None:
        """What is believed before anything is learned: values (levels, actions) in scaled rewards."""
        for network in (self.online, self.target):
            network.believe(torch.as_tensor(prior, dtype=torch.float32))

    # --- one update ------------------------------------------------------------------------------------------------

    def update(self, sample: Sample, reward_scale: float) -> tuple[Tensor, Tensor]:
        """Learn from what was done; mean loss, and the error of each transition."""
        tensor = self._tensor
        reward, discount = tensor(sample.reward) * reward_scale, tensor(sample.discount)
        self._draw_noise()
        with torch.no_grad():
            after = tensor(sample.observation_after)
            allowed = None if self.allowed is None else self.allowed[tensor(sample.level_after)]
            following = self._following(after, allowed)
        out = self.online(tensor(sample.observation))
        self._said = out.detach()
        taken = out[torch.arange(len(out), device=self.device), tensor(sample.action)]
        losses, errors = self.form.losses(taken, reward, discount, following)
        loss = losses.mean() if sample.weight is None else (losses * tensor(sample.weight)).mean()
        self._descend(loss)
        return loss.detach(), errors

    def update_all(
        self, window: Tensor, after: Tensor, account: Tensor, reward: Tensor, discount: Tensor, next_level: Tensor
    ) -> Tensor:
        """Learn from what all actions from all levels would have done; mean loss.

        Parameters
        ----------
        window, after : (batch, window * n_features), the market before and after. account : (levels, account_size), what is
            said of each level. reward, discount : (batch, levels, actions). next_level : (levels, actions).
        """
        batch, levels, actions = reward.shape
        self._draw_noise()
        with torch.no_grad():
            following = self.target.of_accounts(after, account)
            chooser = self.online.of_accounts(after, account) if self.double else following
            allowed = None if self.allowed is None else self.allowed.repeat(batch, 1)
            following = self._best(following, chooser, allowed).view(batch, levels, -1)
            following = following[:, next_level]  # (batch, levels, actions, outputs)
        out = self.online.of_accounts(window, account).view(batch, levels, actions, -1)
        self._said = out.detach()
        losses, _ = self.form.losses(out, reward, discount, following)
        loss = losses.mean() if self.allowed is None else losses[:, self.allowed].mean()
        self._descend(loss)
        return loss.detach()

    def _following(self, after: Tensor, allowed: Tensor | None) -> Tensor:
        """What the target network says of the best action that is allowed there."""
        following = self.target(after)
        return self._best(following, self.online(after) if self.double else following, allowed)

    def _best(self, following: Tensor, chooser: Tensor, allowed: Tensor | None) -> Tensor:
        values = self.form.values(chooser)
        if allowed is not None:
            values = values.masked_fill(~allowed, -torch.inf)
        return following[torch.arange(len(values), device=self.device), values.argmax(1)]

    def _descend(self, loss: Tensor) -> None:
        gradient = self.parameters.grad
        assert gradient is not None
        gradient.zero_()
        loss.backward()
        norm = torch.linalg.vector_norm(gradient)
        gradient.mul_((self.clip_norm / (norm + 1e-6)).clamp(max=1.0))
        self.optimizer.step()
        self.updates += 1
        with torch.no_grad():
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
        self.optimizer.param_groups[0]["lr"] = learning_rate

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
        held = self.optimizer.state.get(self.parameters, {})
        told = {
            "online": self.parameters.detach(),
            "target": self.target_parameters,
            "first_moment": held.get("exp_avg", torch.zeros_like(self.target_parameters)),
            "second_moment": held.get("exp_avg_sq", torch.zeros_like(self.target_parameters)),
            "generator": self.generator.get_state(),
            "updates": torch.tensor([self.updates, int(held.get("step", torch.zeros(())))]),
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
        self.updates, steps = (int(n) for n in given["updates"])
        self.optimizer.state[self.parameters] = {
            "step": torch.tensor(float(steps), device=self.device),
            "exp_avg": given["first_moment"].to(self.device),
            "exp_avg_sq": given["second_moment"].to(self.device),
        }

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
