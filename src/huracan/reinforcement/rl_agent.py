"""``DQNAgent``: deep Q-learning, on the trading environment or any other with discrete actions."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from huracan.errors import ModelError
from huracan.logs import logger
from huracan.model_info import ModelInfo
from huracan.reinforcement.agent_card import agent_info
from huracan.reinforcement.agent_files import read_agent, read_training, write_agent, write_training
from huracan.reinforcement.counterfactual import Counterfactuals, counterfactuals
from huracan.reinforcement.experience import Experience, ObservationLayout, experience_of
from huracan.reinforcement.market_table import MarketTable
from huracan.reinforcement.q_learning import QLearner
from huracan.reinforcement.q_network import QNetworkSettings
from huracan.reinforcement.replay import IndexReplay
from huracan.reinforcement.rules import TradingRules
from huracan.reinforcement.values import value_form

__all__ = ["AgentSettings", "DQNAgent", "LearningPoint"]

_LOOK_EVERY = 250
"""Updates between two looks at whether the values are still sane."""
_FAR_OUT = 30.0
"""A value this many times beyond the largest return there can be has exploded."""


@dataclass(frozen=True, kw_only=True)
class AgentSettings:
    """How a :class:`DQNAgent` learns.

    Parameters
    ----------
    encoder, encoder_options, embedding, hidden, dueling, noisy : see :class:`~huracan.reinforcement.q_network.QNetworkSettings`.
    double : choose with the online network, value with the target network.
    distribution : None for values, "c51" or "qr" for distributions of ``n_atoms`` numbers. value_range : of "c51", in scaled
        rewards.
    loss : "squared" or "huber", of plain values. Huber's needs rewards of the right size: on small ones it is the squared
        loss, on large ones it learns medians.
    n_step : steps of a transition. gamma : discount of one step.
    prioritised : draw transitions by the size of their errors to the power ``alpha``; ``beta`` is the correction for that at the start, 1 at
        the end.
    learning_rate : of Adam at the start. final_rate : share of it at the end, on a straight line.
    batch_size : transitions, or bars with counterfactual backups, of an update.
    replay_capacity : transitions kept. learning_starts : steps before the first update.
    train_every : steps (of all copies together) between two rounds of ``gradient_steps`` updates.
    tau : share of the online network that the target network takes over in an update. target_every : above 1, it takes over all
        of it once in so many updates instead.
    epsilon_start, epsilon_end : share of random actions, falling on a straight line over ``exploration`` of all steps.
    clip_norm : largest norm of a gradient.
    reward_scale : what rewards are multiplied by for learning; "auto" makes the root mean square of those seen before the
        first update 1.
    counterfactual : learn from what all actions on each bar would have earned, see
        :mod:`huracan.reinforcement.counterfactual`; "auto" where the rules allow.
    standardise : read market features as standard deviations from their means on the rows that are learned from.
    """

    encoder: str = "mlp"
    encoder_options: Mapping[str, Any] = field(default_factory=dict)
    embedding: int = 64
    hidden: Sequence[int] = (128, 128)
    dueling: bool = False
    double: bool = True
    noisy: bool = False
    distribution: str | None = None
    n_atoms: int = 51
    value_range: tuple[float, float] = (-20.0, 20.0)
    loss: Literal["squared", "huber"] = "squared"
    n_step: int = 1
    gamma: float = 0.99
    prioritised: bool = False
    alpha: float = 0.6
    beta: float = 0.4
    learning_rate: float = 1e-3
    final_rate: float = 0.05
    batch_size: int = 64
    replay_capacity: int = 100_000
    learning_starts: int = 1_000
    train_every: int = 4
    gradient_steps: int = 1
    tau: float = 0.01
    target_every: int = 1
    epsilon_start: float = 1.0
    epsilon_end: float = 0.05
    exploration: float = 0.5
    clip_norm: float = 10.0
    reward_scale: float | Literal["auto"] = "auto"
    counterfactual: bool | Literal["auto"] = "auto"
    standardise: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "hidden", tuple(self.hidden))
        object.__setattr__(self, "value_range", tuple(self.value_range))
        for name in ("n_step", "batch_size", "train_every", "gradient_steps", "target_every", "n_atoms", "replay_capacity"):
            if getattr(self, name) < 1:
                raise ModelError(f"{name} is {getattr(self, name)}; a whole number of at least 1 was expected.")
        for name in ("epsilon_start", "epsilon_end", "exploration", "final_rate", "tau", "alpha", "beta"):
            if not 0 <= getattr(self, name) <= 1:
                raise ModelError(f"{name} is {getattr(self, name)}; a share from 0 to 1 was expected.")
        if not 0 <= self.gamma < 1:
            raise ModelError(f"gamma is {self.gamma}; a discount from 0 to below 1 was expected.")
        for name in ("learning_rate", "clip_norm"):
            if not getattr(self, name) > 0:
                raise ModelError(f"{name} is {getattr(self, name)}; a number above 0 was expected.")


@dataclass(frozen=True)
class LearningPoint:
    """How learning stood after ``step`` steps: of what came since the last point, means of losses and of episodes' returns."""

    step: int
    loss: float
    episode_return: float
    epsilon: float


class DQNAgent:
    """An agent that learns what each action is worth, and takes the best.

    Parameters
    ----------
    random_state : seed; same seed, environment and versions, same bits, for the same number of threads.
    device : "cpu" or a GPU.
    settings : those of :class:`AgentSettings`, by name.

    Attributes
    ----------
    layout_ : what an observation is made of. rules_ : of the market learned in, or None. history_ : learning points.
    steps_ : steps learned from. stopped_ : why learning ended before its time, or "".

    References
    ----------
    Mnih et al. (2015), "Human-level control through deep reinforcement learning", Nature 518.

    Examples
    --------
    >>> from huracan.reinforcement import BatchTradingEnv, MarketTable
    >>> rng = np.random.default_rng(0)
    >>> move = rng.normal(0, 0.01, 2_001)
    >>> market = MarketTable.from_prices(move[1:, None], np.exp(np.cumsum(move))[:-1])  # sees the next return
    >>> env = BatchTradingEnv(market, 8, rebalance=True, observe=("level",), episode_length=50)
    >>> agent = DQNAgent(hidden=(32,), gamma=0.5, random_state=1).fit(env, total_steps=4_000)
    >>> flat = [0.0, 1.0, 0.0]
    >>> [agent.predict([next_return, *flat])[0] for next_return in (-0.02, 0.02)]  # sell, buy
    [0, 2]
    """

    def __init__(self, *, random_state: int = 0, device: str = "cpu", **settings: Any) -> None:
        known = AgentSettings.__dataclass_fields__
        for name in settings:
            if name not in known:
                from huracan.errors import nearest_name

                raise nearest_name(name, known, kind="setting of an agent")
        self.random_state, self.device = int(random_state), device
        self.settings = AgentSettings(**settings)
        self.learner_: QLearner | None = None

    # --- learning --------------------------------------------------------------------------------------------------

    def fit(
        self,
        env: Any,
        total_steps: int,
        *,
        checkpoint: str | Path | None = None,
        checkpoint_every: int = 50_000,
        stop_at: int | None = None,
        on_point: Callable[[LearningPoint], None] | None = None,
    ) -> Self:
        """Learn in an environment.

        Parameters
        ----------
        env : :class:`~huracan.reinforcement.BatchTradingEnv`, :class:`~huracan.reinforcement.TradingEnv`, or any environment
            of gymnasium, vectorised or not, with discrete actions and flat observations.
        total_steps : steps of all copies together; schedules end there.
        checkpoint : folder; a training that was killed goes on from it, bit for bit, when the same call is made again.
        checkpoint_every : steps between two checkpoints. stop_at : end after so many steps, as a kill would.
        on_point : called with every :class:`LearningPoint`.

        Raises
        ------
        ModelError : the environment does not suit; counterfactual backups where the future depends on the path; a checkpoint of
            another agent or environment.
        """
        experience = experience_of(env)
        training = _Training(self, experience, total_steps)
        folder = None if checkpoint is None else Path(checkpoint)
        if folder is not None and (folder / "training.json").exists():
            training.restore(*read_training(folder))
        training.run(total_steps if stop_at is None else min(stop_at, total_steps), folder, checkpoint_every, on_point)
        return self

    # --- acting ----------------------------------------------------------------------------------------------------

    def predict(self, state: ArrayLike, mask: ArrayLike | None = None) -> tuple[Any, NDArray[np.float64]]:
        """The best action, and what each is worth.

        Parameters
        ----------
        state : an observation (width,), or many (n, width). mask : bool (actions,) or (n, actions), what is allowed.

        Returns
        -------
        action (int, or int64 (n,)), and q_values float64 (actions,) or (n, actions), in the unit of the rewards.

        Raises
        ------
        ModelError : not learned yet; a state of another width or that is not finite; nothing is allowed.
        """
        learner = self._learned()
        given = np.asarray(state, np.float32)
        many = np.atleast_2d(given)
        if many.ndim != 2 or many.shape[1] != self.layout_.width:
            raise ModelError(f"a state has shape {given.shape}; ({self.layout_.width},) or (n, {self.layout_.width}) was expected.")
        if not np.isfinite(many).all():
            row, column = np.argwhere(~np.isfinite(many))[0]
            raise ModelError(f"number {column} of state {row} is {many[row, column]}; finite numbers were expected.")
        values = learner.values(np.ascontiguousarray(many)).astype(np.float64) / self.reward_scale_
        choice = values
        if mask is not None:
            allowed = np.broadcast_to(np.asarray(mask, bool), values.shape)
            if not allowed.any(axis=1).all():
                raise ModelError("a mask allows no action at all; at least one was expected.")
            choice = np.where(allowed, values, -np.inf)
        action = choice.argmax(axis=1)
        return (int(action[0]), values[0]) if given.ndim == 1 else (action, values)

    # --- storing ---------------------------------------------------------------------------------------------------

    def save(self, folder: str | Path) -> None:
        """Write the learned agent: weights as safetensors, the rest as JSON; each file is whole or not there."""
        write_agent(Path(folder), self)

    @classmethod
    def load(cls, folder: str | Path, *, device: str = "cpu") -> Self:
        """Read what :meth:`save` wrote.

        Raises
        ------
        ArtifactError : files are missing or damaged. ModelError : they do not fit each other.
        """
        told, tensors = read_agent(Path(folder))
        return cls._from_told(told, tensors, device)

    @classmethod
    def _from_told(cls, told: Mapping[str, Any], tensors: Mapping[str, Any], device: str) -> Self:
        try:
            agent = cls(random_state=told["random_state"], device=device, **told["settings"])
            layout = ObservationLayout(**{name: v if name == "window" else tuple(v) for name, v in told["layout"].items()})
            rules = None if told["rules"] is None else TradingRules.from_dict(told["rules"])
            agent._prepare(layout, rules, None)
            agent.reward_scale_, agent.steps_ = float(told["reward_scale"]), int(told["steps"])
            agent.history_ = [LearningPoint(**point) for point in told["history"]]
            agent.stopped_ = str(told["stopped"])
        except (KeyError, TypeError) as error:
            raise ModelError(f"the stored agent is damaged: {error}.") from error
        learner = agent._learned()
        try:
            learner.online.load_state_dict(dict(tensors))
        except RuntimeError as error:
            raise ModelError(f"the stored weights do not fit the agent: {' '.join(str(error).split())[:300]}") from error
        learner.online.standardised = bool(told["standardised"])
        learner.target.load_state_dict(learner.online.state_dict())
        return agent

    def told(self) -> dict[str, Any]:
        """All but the weights, as plain values."""
        from dataclasses import asdict

        learner = self._learned()
        settings = {**asdict(self.settings), "encoder_options": dict(self.settings.encoder_options)}
        return {
            "random_state": self.random_state,
            "settings": settings,
            "layout": asdict(self.layout_),
            "rules": None if self.rules_ is None else self.rules_.to_dict(),
            "reward_scale": self.reward_scale_,
            "standardised": learner.online.standardised,
            "steps": self.steps_,
            "stopped": self.stopped_,
            "history": [asdict(point) for point in self.history_],
        }

    def model_info(self) -> ModelInfo:
        """The agent's card."""
        return agent_info(self)

    def _learned(self) -> QLearner:
        if self.learner_ is None:
            raise ModelError("the agent has learned nothing yet; call fit first.")
        return self.learner_

    def _prepare(self, layout: ObservationLayout, rules: TradingRules | None, market: MarketTable | None) -> None:
        """Make networks for observations of this layout."""
        s = self.settings
        form = value_form(s.distribution, loss=s.loss, n_atoms=s.n_atoms, value_range=s.value_range)
        network = QNetworkSettings(
            window=layout.window,
            n_features=len(layout.feature_names),
            account_size=len(layout.account_names),
            n_actions=len(layout.action_names),
            outputs=form.outputs,
            encoder=s.encoder,
            encoder_options=s.encoder_options,
            embedding=s.embedding,
            hidden=s.hidden,
            dueling=s.dueling,
            noisy=s.noisy,
        )
        allowed = None if rules is None or rules.actions.allowed.all() else rules.actions.allowed
        self.layout_, self.rules_ = layout, rules
        self.reward_scale_ = 1.0 if s.reward_scale == "auto" else float(s.reward_scale)
        self.history_: list[LearningPoint] = []
        self.steps_, self.stopped_ = 0, ""
        self.learner_ = QLearner(
            network,
            form,
            double=s.double,
            learning_rate=s.learning_rate,
            tau=s.tau,
            target_every=s.target_every,
            clip_norm=s.clip_norm,
            allowed=allowed,
            seed=self.random_state,
            device=torch.device(self.device),
        )
        if market is not None and s.standardise:
            rows = np.flatnonzero(market.decidable)
            seen = market.features[rows].astype(np.float64)
            spread = seen.std(axis=0)
            self.learner_.standardise(seen.mean(axis=0), np.where(spread > 1e-12, spread, 1.0))


class _Training:
    """One training of an agent: experience in, updates out."""

    def __init__(self, agent: DQNAgent, experience: Experience, total_steps: int) -> None:
        if total_steps < 1:
            raise ModelError(f"total_steps is {total_steps}; a whole number of at least 1 was expected.")
        s = agent.settings
        self.agent, self.experience, self.total, self.settings = agent, experience, total_steps, s
        self.all_actions = self._counterfactuals()
        if self.all_actions is None and s.learning_starts >= total_steps:
            raise ModelError(f"learning_starts is {s.learning_starts}, and total_steps {total_steps}: there would be no update.")
        agent._prepare(experience.layout, experience.rules, experience.market)
        self.learner = agent._learned()
        self.random = np.random.default_rng(agent.random_state)
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
        )
        self.credit, self.returns, self.finished = 0, np.zeros(experience.n_envs), [0.0, 0.0]
        self.losses: list[torch.Tensor] = []
        self.observation: NDArray[np.float32] | None = None
        self.largest_reward = 0.0
        self.square_sum = self.n_rewards = 0.0
        self.good = self.learner.snapshot()
        if self.all_actions is not None:
            self._learn_scale(self.all_actions.reward)
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
        if self.observation is None and self.all_actions is None:
            self.observation = self.experience.begin(agent.random_state)
        last_kept = agent.steps_
        while agent.steps_ < stop and not agent.stopped_:
            if self.all_actions is None:
                self._act()
                agent.steps_ += n
                if agent.steps_ < s.learning_starts:
                    continue
                if self.learner.updates == 0 and s.reward_scale == "auto":
                    agent.reward_scale_ = _scale_of(self.square_sum, self.n_rewards)
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
            if folder is not None and agent.steps_ - last_kept >= checkpoint_every:
                last_kept = agent.steps_
                write_training(folder, *self.state())
        if self.losses and agent.steps_ >= self.total and not agent.stopped_:
            self._look(on_point)
        if folder is not None and not agent.stopped_:
            write_training(folder, *self.state())

    def _act(self) -> None:
        """One step of every copy, epsilon-greedy."""
        observation, random, experience = self.observation, self.random, self.experience
        assert observation is not None
        epsilon = self._epsilon()
        level = experience.level()
        allowed = None if level is None or experience.allowed is None else experience.allowed[level]
        n, n_actions = experience.n_envs, len(experience.layout.action_names)
        if allowed is None:
            action = random.integers(0, n_actions, n)
        else:
            action = np.where(allowed, random.random((n, n_actions)), -1.0).argmax(axis=1)
        greedy = random.random(n) >= epsilon
        if greedy.any():
            values = self.learner.values(observation, noisy=self.settings.noisy)
            if allowed is not None:
                values = np.where(allowed, values, -np.inf)
            action = np.where(greedy, values.argmax(axis=1), action)
        taken = experience.take(observation, action)
        self.replay.add(**taken.kept)
        self.observation = taken.observation
        self.returns += taken.reward
        self.largest_reward = max(self.largest_reward, float(np.abs(taken.reward).max()))
        if self.learner.updates == 0:
            self.square_sum += float(np.square(taken.reward).sum())
            self.n_rewards += n
        if taken.over.any():
            self.finished[0] += float(self.returns[taken.over].sum())
            self.finished[1] += int(taken.over.sum())
            self.returns[taken.over] = 0.0

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
        sample = self.replay.sample(s.batch_size, self.random, beta=s.beta + (1.0 - s.beta) * min(progress, 1.0))
        loss, errors = self.learner.update(sample, self.agent.reward_scale_)
        if s.prioritised:
            self.replay.update(sample.entry, errors.cpu().numpy())
        self.losses.append(loss)

    def _learn_all(self, known: Counterfactuals) -> torch.Tensor:
        """One update from bars, of which all positions and actions are known."""
        which = torch.from_numpy(self.random.integers(0, len(known.row), self.settings.batch_size)).to(self.learner.device)
        reward = self.reward_of.index_select(0, which)
        discount = torch.full_like(reward, self.settings.gamma)
        if self.ruined_of is not None:
            discount = discount.masked_fill(self.ruined_of.index_select(0, which), 0.0)
        row = self.row_of.index_select(0, which)
        return self.learner.update_all(self._seen(row), self._seen(row + 1), reward, discount, self.next_level)

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
        window = experience.rules.window
        rows, d = features.shape
        self.windows = features.as_strided((rows - window + 1, window * d), (d, 1))
        parts = []
        for name in experience.rules.observe:
            weights = np.array(ladder.weights, np.float32)
            parts.append(np.eye(ladder.n_levels, dtype=np.float32) if name == "level" else weights[:, None])
        said = np.concatenate(parts, axis=1) if parts else np.zeros((ladder.n_levels, 0), np.float32)
        self.account_of = torch.from_numpy(said).to(device)

    def _seen(self, row: torch.Tensor) -> torch.Tensor:
        """Observations (batch * levels, width) of bars at every standing target."""
        assert self.experience.rules is not None
        shown = self.windows[row - (self.experience.rules.window - 1)]
        levels = len(self.account_of)
        whole = shown.new_empty((len(row), levels, shown.shape[1] + self.account_of.shape[1]))
        whole[:, :, : shown.shape[1]] = shown[:, None]
        whole[:, :, shown.shape[1] :] = self.account_of
        return whole.view(len(row) * levels, -1)

    def _learn_scale(self, reward: NDArray[np.float32]) -> None:
        self.largest_reward = float(np.abs(reward).max())
        if self.settings.reward_scale == "auto":
            self.agent.reward_scale_ = _scale_of(float(np.square(reward, dtype=np.float64).sum()), reward.size)

    # --- whether it goes well --------------------------------------------------------------------------------------

    def _look(self, on_point: Callable[[LearningPoint], None] | None) -> bool:
        """Note how learning stands; False where values have exploded and the last good parameters were put back."""
        agent = self.agent
        loss = float(torch.stack(self.losses).mean())
        self.losses = []
        bound = _FAR_OUT * max(self.largest_reward * agent.reward_scale_, 1.0) / (1.0 - self.settings.gamma)
        if not math.isfinite(loss) or not self.learner.healthy or loss > bound**2:
            self.learner.go_back(self.good)
            agent.stopped_ = (
                f"values exploded before step {agent.steps_:,} (mean loss {loss:.3g}); the parameters of the last look that was "
                "sound are kept. A lower learning_rate, a smaller gamma or a larger target_every may help."
            )
            logger().warning("learning stopped", reason=agent.stopped_)
            return False
        self.good = self.learner.snapshot()
        total, count = self.finished
        self.finished = [0.0, 0.0]
        epsilon = 0.0 if self.all_actions is not None else self._epsilon()
        point = LearningPoint(agent.steps_, loss, total / count if count else math.nan, epsilon)
        agent.history_.append(point)
        if on_point is not None:
            on_point(point)
        return True

    # --- going on later --------------------------------------------------------------------------------------------

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Everything, as plain values and arrays."""
        arrays = {f"learner.{name}": value for name, value in self.learner.state().items()}
        arrays |= {f"network.{name}": v.numpy() for name, v in self.learner.online.state_dict().items() if name in _BUFFERS}
        arrays |= {f"replay.{name}": value for name, value in self.replay.state_dict().items()}
        if self.all_actions is None:
            env = self.experience.state()
            if env is None:
                raise ModelError(
                    "checkpoints were asked for, and this environment cannot say where it stands; one of Huracan's was expected."
                )
            arrays |= {f"env.{name}": value for name, value in env.items()}
        arrays["returns"], arrays["good"] = self.returns, self.good.cpu().numpy()
        arrays["losses"] = np.array([float(loss) for loss in self.losses], np.float64)
        told = {
            "agent": self.agent.told(),
            "total_steps": self.total,
            "random": self.random.bit_generator.state,
            "credit": self.credit,
            "finished": self.finished,
            "largest_reward": self.largest_reward,
            "square_sum": self.square_sum,
            "n_rewards": self.n_rewards,
        }
        return told, arrays

    def restore(self, told: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        """Go on from what :meth:`state` gave."""
        mine = json.loads(json.dumps({**self.agent.told(), "total_steps": self.total}))
        theirs = {**told["agent"], "total_steps": told["total_steps"]}
        for name in ("settings", "layout", "rules", "random_state", "total_steps"):
            if mine[name] != theirs[name]:
                raise ModelError(
                    f"the checkpoint is of another training: its {name} is {theirs[name]}, and {mine[name]} was expected. "
                    "Remove the folder to train anew."
                )
        self.learner.restore(_under(arrays, "learner."))
        self.replay.load_state_dict(_under(arrays, "replay."))
        if self.all_actions is None:
            self.observation = self.experience.restore(_under(arrays, "env."))
        agent = self.agent
        agent.reward_scale_, agent.steps_ = float(told["agent"]["reward_scale"]), int(told["agent"]["steps"])
        agent.history_ = [LearningPoint(**point) for point in told["agent"]["history"]]
        self.random.bit_generator.state = told["random"]
        self.credit, self.finished = int(told["credit"]), list(told["finished"])
        self.returns, self.good = np.array(arrays["returns"]), torch.from_numpy(np.array(arrays["good"])).to(self.good)
        self.losses = [torch.tensor(loss, dtype=torch.float32) for loss in arrays["losses"]]
        self.largest_reward, self.square_sum = float(told["largest_reward"]), float(told["square_sum"])
        self.n_rewards = float(told["n_rewards"])


_BUFFERS = ("shift", "scale")


def _under(arrays: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}


def _scale_of(square_sum: float, n: float) -> float:
    """What makes the root mean square of rewards 1."""
    size = math.sqrt(square_sum / n) if n else 0.0
    return 1.0 / size if size > 1e-12 else 1.0
