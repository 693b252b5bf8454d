"""One training of an agent: experience in, updates out; it can be stopped anywhere and goes on bit for bit."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from huracan.errors import ModelError
from huracan.logs import logger
from huracan.reinforcement.acting import Acting
from huracan.reinforcement.actions import ActionLadder
from huracan.reinforcement.agent_files import write_training
from huracan.reinforcement.agent_settings import LearningPoint, is_whole
from huracan.reinforcement.arrays import NUMPY
from huracan.reinforcement.counterfactual import Counterfactuals, counterfactuals
from huracan.reinforcement.experience import Experience
from huracan.reinforcement.greedy_score import GreedyScore
from huracan.reinforcement.replay import IndexReplay

if TYPE_CHECKING:
    from huracan.reinforcement.rl_agent import DQNAgent

__all__ = ["AgentTraining", "values_of_chance"]

_LOOK_EVERY = 250
"""Updates between two looks at whether the values are still sane."""
_FAR_OUT = 2.0
"""A value this many times beyond the largest return there can be has exploded."""
_FAST_TAU, _DECAY = 0.1, 0.4
"""``tau`` and ``weight_decay`` with counterfactual backups."""


class AgentTraining:
    """One training of an agent: experience in, updates out."""

    def __init__(self, agent: DQNAgent, experience: Experience, total_steps: int, score: GreedyScore | None = None) -> None:
        if not is_whole(total_steps, least=1):
            raise ModelError(f"total_steps is {total_steps!r}; a whole number of at least 1 was expected.")
        s = agent.settings
        self.agent, self.experience, self.total, self.settings, self.score = agent, experience, total_steps, s, score
        self.all_actions = self._counterfactuals()
        if self.all_actions is None and s.learning_starts >= total_steps:
            raise ModelError(
                f"learning_starts is {s.learning_starts}, and total_steps {total_steps}: there would be no update."
            )
        agent._prepare(experience.layout, experience.rules, experience.market)
        self.learner = agent._learned()
        if experience.xp is not NUMPY and experience.xp.device.type != self.learner.device.type:
            raise ModelError(
                f"the environment lies on '{experience.xp.device}' and the agent on '{self.learner.device}'; the same device "
                "was expected."
            )
        market = experience.market
        self.replay = IndexReplay(
            s.replay_capacity if self.all_actions is None else experience.n_envs * (s.n_step + 1),
            experience.n_envs,
            account_size=len(experience.layout.account_names),
            features=None if market is None else market.features,
            window=max(experience.layout.window, 1),
            n_step=s.n_step,
            gamma=s.gamma,
            alpha=s.alpha if s.prioritised else 0.0,
            arrays=experience.xp,
        )
        self.acting = Acting(experience, self.learner, self.replay, s, agent.random_state)
        self.sizes = self.acting.sizes
        self.credit = 0
        self.losses: list[torch.Tensor] = []
        self.good = self.learner.snapshot()
        if self.all_actions is not None:
            known, column = self.all_actions, experience.xp.column
            self.sizes.note(column(known.reward.ravel()), None if known.ruined is None else column(known.ruined.ravel()))
            self._learn_size()
            if s.tau == "auto":
                self.learner.tau = _FAST_TAU
            self._believe_in_chance(self.all_actions)
            self._place_rows()

    def _counterfactuals(self) -> Counterfactuals | None:
        wanted, rules, market = self.settings.counterfactual, self.experience.rules, self.experience.market
        if wanted is False:
            return None
        if rules is None or market is None:
            if wanted is True:
                raise ModelError("counterfactual backups need a market whose prices do not depend on what is done.")
            return None
        if wanted == "auto" and rules.path_dependence:
            return None
        found = counterfactuals(market, rules)
        if not len(found.row):
            raise ModelError(f"no row of the market can be decided on behind a window of {rules.window} bars.")
        return found

    # --- the loop --------------------------------------------------------------------------------------------------

    def run(
        self, stop: int, folder: Path | None, checkpoint_every: int, on_point: Callable[[LearningPoint], None] | None
    ) -> None:
        agent, s, n = self.agent, self.settings, self.experience.n_envs
        if self.all_actions is None:
            self.acting.begin()
        last_kept = agent.steps_
        while agent.steps_ < stop and not agent.stopped_:
            if self.all_actions is None:
                self.acting.act(self._epsilon())
                agent.steps_ += n
                if agent.steps_ < s.learning_starts:
                    continue
                if self.learner.updates == 0:
                    self._learn_size()
                self.credit += n
            else:
                agent.steps_ += s.train_every
                self.credit += s.train_every
            while self.credit >= s.train_every and not agent.stopped_:
                self.credit -= s.train_every
                for _ in range(s.gradient_steps):
                    self._learn()
                    if self.learner.updates % _LOOK_EVERY == 0 and not self._look(on_point):
                        break
            if folder is not None and agent.steps_ - last_kept >= checkpoint_every and self._sound(self._mean_loss()):
                last_kept = agent.steps_
                write_training(folder, *self.state())
        if self.losses and agent.steps_ >= self.total:
            self._look(on_point)
        elif self.losses:
            self._sound(self._mean_loss())
        if agent.stopped_:
            if not agent.history_:
                agent.learner_ = None  # what it began with is not learned
        elif folder is not None:
            write_training(folder, *self.state())

    def _epsilon(self) -> float:
        s = self.settings
        if s.noisy:
            return 0.0 if self.agent.steps_ >= s.learning_starts else 1.0
        done = self.agent.steps_ / max(s.exploration * self.total, 1e-9)
        return s.epsilon_start + (s.epsilon_end - s.epsilon_start) * min(done, 1.0)

    def _learn(self) -> None:
        """One update."""
        s, progress = self.settings, self.agent.steps_ / self.total
        self.learner.set_rate(s.learning_rate * (1.0 + (s.final_rate - 1.0) * min(progress, 1.0)))
        if self.all_actions is not None:
            self.losses.append(self._learn_all(self.all_actions))
            return
        sample = self.replay.sample(s.batch_size, self.acting.random, beta=s.beta + (1.0 - s.beta) * min(progress, 1.0))
        loss, errors = self.learner.update(sample, self.agent.reward_scale_)
        if s.prioritised:
            self.replay.update(sample.entry, errors.cpu().numpy() if self.acting.xp is NUMPY else errors)
        self.losses.append(loss)

    def _learn_all(self, known: Counterfactuals) -> torch.Tensor:
        """One update from bars, of which all positions and actions are known."""
        acting, device = self.acting, self.learner.device
        which = torch.as_tensor(acting.xp.drawn_integers(acting.random, self.settings.batch_size, len(known.row))).to(device)
        reward = self.reward_of.index_select(0, which)
        discount = torch.full_like(reward, self.settings.gamma)
        if self.ruined_of is not None:
            discount = discount.masked_fill(self.ruined_of.index_select(0, which), 0.0)
        row = self.row_of.index_select(0, which)
        before = self.windows[row - (self.window - 1)]
        after = self.windows[row - (self.window - 2)]
        return self.learner.update_all(before, after, self.account_of, reward, discount, self.next_level)

    def _place_rows(self) -> None:
        """Put what all updates read on the device."""
        known, experience, device = self.all_actions, self.experience, self.learner.device
        assert known is not None
        assert experience.rules is not None
        assert experience.market is not None
        ladder = experience.rules.actions
        self.reward_of = torch.from_numpy(known.reward * np.float32(self.agent.reward_scale_)).to(device)
        self.ruined_of = None if known.ruined is None else torch.from_numpy(known.ruined).to(device)
        self.row_of = torch.from_numpy(known.row).to(device)
        self.next_level = torch.from_numpy(ladder.next_level).to(device)
        features = torch.from_numpy(experience.market.features).to(device)
        self.window = experience.rules.window
        rows, d = features.shape
        self.windows = features.as_strided((rows - self.window + 1, self.window * d), (d, 1))
        parts = []
        for name in experience.rules.observe:
            weights = np.array(ladder.weights, np.float32)
            parts.append(np.eye(ladder.n_levels, dtype=np.float32) if name == "level" else weights[:, None])
        said = np.concatenate(parts, axis=1) if parts else np.zeros((ladder.n_levels, 0), np.float32)
        self.account_of = torch.from_numpy(said).to(device)

    def _believe_in_chance(self, known: Counterfactuals) -> None:
        """Begin with the values of a market without drift: what the layers learn is how this one differs."""
        market, rules, learner = self.experience.market, self.experience.rules, self.learner
        assert market is not None
        assert rules is not None
        if not len(learner.online.prior):
            return
        ladder = rules.actions
        target = np.array(ladder.weights)[ladder.next_level]
        drift = np.log((market.mark[known.row] / market.fill[known.row]).mean())  # of a price that is no martingale
        step = known.reward.mean(axis=0, dtype=np.float64) - target * drift
        if self.settings.weight_decay == "auto":
            learner.optimizer.weight_decay = _DECAY
        learner.believe(values_of_chance(step, ladder, self.settings.gamma) * self.agent.reward_scale_)

    def _learn_size(self) -> None:
        """Settle what rewards are multiplied by, and between what c51 looks for values, by the rewards that were seen."""
        agent, s = self.agent, self.settings
        if s.reward_scale == "auto":
            agent.reward_scale_ = self.sizes.scale
        if s.value_range == "auto":
            reach = agent.reward_scale_ * self.sizes.reach(s.gamma) or 1.0
            agent.look_between(-reach, reach)

    # --- whether it goes well --------------------------------------------------------------------------------------

    def _look(self, on_point: Callable[[LearningPoint], None] | None) -> bool:
        """Note how learning stands; False where it has gone wrong, see :meth:`_sound`."""
        agent, loss = self.agent, self._mean_loss()
        if not self._sound(loss):
            return False
        self.losses = []
        self.good = self.learner.snapshot()
        epsilon = 0.0 if self.all_actions is not None else self._epsilon()
        held_back = self.score is not None and self.score.held_back
        point = LearningPoint(agent.steps_, loss, self.acting.mean_return(), epsilon, self._scored(), held_back)
        agent.history_.append(point)
        if on_point is not None:
            on_point(point)
        return True

    def _mean_loss(self) -> float:
        """Of the updates since the last look."""
        return float(torch.stack(self.losses).mean()) if self.losses else 0.0

    def _sound(self, loss: float) -> bool:
        """Whether a mean loss and values are what they can be; where they have exploded the last good parameters are put back,
        and learning stops for a reason."""
        agent = self.agent
        if agent.stopped_:
            return False
        scale, largest, reward = agent.reward_scale_, self.learner.largest_value, float(self.sizes.largest)
        bound = _FAR_OUT * (reward * scale or 1.0) / (1.0 - self.settings.gamma)
        if math.isfinite(loss) and self.learner.healthy and largest <= bound:
            return True
        self.learner.go_back(self.good)
        kept = (
            "the parameters of the last sound look are kept"
            if agent.history_
            else "there was no sound look before, so nothing is learned"
        )
        agent.stopped_ = (
            f"values exploded before step {agent.steps_:,}: one is {largest / scale:.3g}, where rewards of at most "
            f"{reward:.3g} can sum up to {reward / (1.0 - self.settings.gamma):.3g} (mean loss {loss:.3g}); {kept}. A lower "
            "learning_rate, a smaller gamma or a larger target_every may help."
        )
        logger().warning("learning stopped", reason=agent.stopped_)
        return False

    def _scored(self) -> float | None:
        """What the greedy policy earns now; None between scores."""
        updates = self.learner.updates
        if self.score is None or (self.agent.steps_ < self.total and updates % self.score.every >= _LOOK_EVERY):
            return None
        return self.score.of(self.agent)

    # --- going on later --------------------------------------------------------------------------------------------

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Everything, as plain values and arrays."""
        arrays = {f"learner.{name}": value for name, value in self.learner.state().items()}
        arrays |= {f"replay.{name}": value for name, value in self.replay.state_dict().items()}
        if self.all_actions is None:
            env = self.experience.state()
            if env is None:
                raise ModelError(
                    "checkpoints were asked for, and this environment cannot say where it stands; one of ours was expected."
                )
            arrays |= {f"env.{name}": value for name, value in env.items()}
        arrays["returns"], arrays["good"] = self.acting.xp.numpy(self.acting.returns), self.good.cpu().numpy()
        arrays["losses"] = np.array([float(loss) for loss in self.losses], np.float64)
        told = {
            "agent": self.agent.told(),
            **self._told(),
            "credit": self.credit,
            **self.acting.told(),
        }
        return told, arrays

    def _told(self) -> dict[str, Any]:
        """What a training that goes on must have been begun with."""
        market, xp = self.experience.market, self.experience.xp
        return {
            "total_steps": self.total,
            "market": None if market is None else market.fingerprint,
            "n_envs": self.experience.n_envs,
            "arithmetic": "NumPy" if xp is NUMPY else f"tensors on {xp.device.type}",
            "device": self.learner.device.type,
        }

    def restore(self, told: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        """Go on from what :meth:`state` gave."""
        of_training = self._told()
        mine = json.loads(json.dumps({**self.agent.told(), **of_training}))
        theirs = {**told["agent"], **{name: told.get(name) for name in of_training}}
        for name in ("settings", "layout", "rules", "random_state", *of_training):
            if mine[name] != theirs[name]:
                differs = _difference(name, theirs[name], mine[name])
                raise ModelError(f"the checkpoint is of another training: {differs}. Remove the folder to train anew.")
        self.learner.restore(_under(arrays, "learner."))
        self.replay.load_state_dict(_under(arrays, "replay."))
        if self.all_actions is None:
            self.acting.observation = self.experience.restore(_under(arrays, "env."))
        agent = self.agent
        logger().info("learning goes on", step=int(told["agent"]["steps"]), of=self.total)
        agent.reward_scale_, agent.steps_ = float(told["agent"]["reward_scale"]), int(told["agent"]["steps"])
        agent.look_between(*told["agent"]["value_range"])
        agent.history_ = [LearningPoint(**point) for point in told["agent"]["history"]]
        self.acting.restore(told, arrays["returns"])
        self.credit = int(told["credit"])
        self.good = torch.from_numpy(np.array(arrays["good"])).to(self.good)
        self.losses = list(torch.tensor(arrays["losses"], dtype=torch.float32, device=self.learner.device))


def _difference(name: str, theirs: Any, mine: Any) -> str:
    """What differs, and nothing else."""
    if name == "market":
        return "its market has other bars, prices or features"
    if isinstance(theirs, dict) and isinstance(mine, dict):
        keys = [key for key in {**mine, **theirs} if mine.get(key) != theirs.get(key)]
        return ", ".join(f"its {name}: {key} is {theirs.get(key)}, and {mine.get(key)} was expected" for key in keys)
    return f"its {name} is {theirs}, and {mine} was expected"


def _under(arrays: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}


def values_of_chance(reward: NDArray[np.float64], ladder: ActionLadder, gamma: float) -> NDArray[np.float64]:
    """Values (levels, actions) where every bar gives the same mean rewards (levels, actions).

    >>> values_of_chance(np.array([[0.0, -1.0], [-1.0, -0.1]]), ActionLadder.positions(0, 1), 0.5).round(3).tolist()
    [[0.0, -1.1], [-1.0, -0.2]]
    """
    level, lead = np.arange(ladder.n_levels), ladder.next_level
    action = np.where(ladder.allowed, reward, -np.inf).argmax(axis=1)
    while True:  # policy iteration (Howard, 1960): a few rounds, whatever the discount
        following = np.zeros((ladder.n_levels, ladder.n_levels))
        following[level, lead[level, action]] = gamma
        best = np.linalg.solve(np.eye(ladder.n_levels) - following, reward[level, action])
        values = reward + gamma * best[lead]
        better = np.where(ladder.allowed, values, -np.inf)
        if (better.max(axis=1) <= better[level, action] + 1e-12 * (1.0 + np.abs(best))).all():
            return values
        action = better.argmax(axis=1)
