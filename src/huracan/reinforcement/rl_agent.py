"""``DQNAgent``: deep Q-learning, on the trading environment or any other with discrete actions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from pydantic import ValidationError

from huracan.errors import ModelError, nearest_name
from huracan.model_info import ModelInfo, RegimeSkill
from huracan.models.torch_use import torch_threads
from huracan.reinforcement.agent_card import DQN, agent_info
from huracan.reinforcement.agent_files import read_agent, read_training, write_agent
from huracan.reinforcement.agent_settings import AgentSettings, LearningPoint
from huracan.reinforcement.agent_training import AgentTraining
from huracan.reinforcement.experience import ObservationLayout, experience_of
from huracan.reinforcement.greedy_score import scored_experience
from huracan.reinforcement.market_table import MarketTable
from huracan.reinforcement.q_learning import QLearner
from huracan.reinforcement.q_network import QNetworkSettings
from huracan.reinforcement.rules import TradingRules
from huracan.reinforcement.values import value_form

__all__ = ["DQNAgent"]

_FORMAT = 1
_TAU = 0.01
_UNKNOWN = (-1.0, 1.0)
"""Between what c51 looks for values until it is known."""


class DQNAgent:
    """An agent that learns what each action is worth, and takes the best.

    Parameters
    ----------
    random_state : seed; same seed, environment and versions, same bits, for the same number of threads.
    n_jobs : threads. device : "cpu" or a GPU.
    settings : those of :class:`AgentSettings`, by name.

    Attributes
    ----------
    layout_ : what an observation is made of. rules_ : of the market learned in, or None. history_ : learning points.
    steps_ : steps learned from. stopped_ : why learning ended before its time, or "". regime_evidence_ : what an evaluation
    measured of agents of this making, :meth:`WalkForwardEvaluation.regime_evidence`; set by who knows it, kept with the agent.

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

    def __init__(self, *, random_state: int = 0, n_jobs: int = 1, device: str = "cpu", **settings: Any) -> None:
        known = AgentSettings.__dataclass_fields__
        for name in settings:
            if name not in known:
                raise nearest_name(name, known, kind="setting of an agent")
        self.random_state, self.n_jobs, self.device = int(random_state), n_jobs, _known_device(device)
        self.settings = AgentSettings(**settings)
        self.learner_: QLearner | None = None
        self.regime_evidence_: tuple[RegimeSkill, ...] = ()

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
        if checkpoint is not None and experience.market is None:
            raise ModelError(
                "checkpoints were asked for, and this environment cannot say where it stands; the trading one can."
            )
        before = dict(self.__dict__)
        with torch_threads(self.n_jobs):
            folder = None if checkpoint is None else Path(checkpoint)
            try:
                experience, score = scored_experience(experience, self.settings, total_steps)
                training = AgentTraining(self, experience, total_steps, score)
                if folder is not None and (folder / "training.json").exists():
                    training.restore(*read_training(folder))
            except BaseException:
                self.__dict__ = before  # what was learned before a call that is refused stays
                raise
            training.run(total_steps if stop_at is None else min(stop_at, total_steps), folder, checkpoint_every, on_point)
        return self

    # --- acting ----------------------------------------------------------------------------------------------------

    def predict(self, state: ArrayLike, mask: ArrayLike | None = None) -> tuple[Any, NDArray[np.float64]]:
        """The best action, and what each is worth.

        Parameters
        ----------
        state : an observation (width,), or many (n, width). mask : bool (actions,) or (n, actions), what is allowed;
            by default what the standing target that the state shows allows.

        Returns
        -------
        action (int, or int64 (n,)), and q_values float64 (actions,) or (n, actions), in the unit of the rewards.

        Raises
        ------
        ModelError : not learned yet; a state of another width or that is not finite; nothing is allowed; no mask is given where
            one is needed and the state does not show the standing target.
        """
        learner = self._learned()
        given = np.asarray(state, np.float32)
        many = np.atleast_2d(given)
        if many.ndim != 2 or many.shape[1] != self.layout_.width:
            raise ModelError(
                f"a state has shape {given.shape}; ({self.layout_.width},) or (n, {self.layout_.width}) was expected."
            )
        if not np.isfinite(many).all():
            row, column = np.argwhere(~np.isfinite(many))[0]
            raise ModelError(f"number {column} of state {row} is {many[row, column]}; finite numbers were expected.")
        with torch_threads(self.n_jobs):
            values = learner.values(np.ascontiguousarray(many)).astype(np.float64) / self.reward_scale_
        allowed = self._allowed_in(many) if mask is None else np.broadcast_to(np.asarray(mask, bool), values.shape)
        if allowed is not None and not allowed.any(axis=1).all():
            raise ModelError("a mask allows no action at all; at least one was expected.")
        choice = values if allowed is None else np.where(allowed, values, -np.inf)
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

    def to_parts(self) -> tuple[dict[str, Any], torch.nn.Module]:
        """State (plain JSON values) and the network, as the registry stores them."""
        return {"name": DQN.name, "task": "control", "format": _FORMAT, **self.told()}, self._learned().online

    @classmethod
    def from_parts(cls, state: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> Self:
        """Put together what :meth:`to_parts` took apart.

        Raises
        ------
        ModelError : the parts do not fit each other or this version.
        """
        if state.get("format") != _FORMAT:
            raise ModelError(f"the stored agent has format {state.get('format')!r}; format {_FORMAT} was expected.")
        return cls._from_told(state, tensors, "cpu")

    @classmethod
    def _from_told(cls, told: Mapping[str, Any], tensors: Mapping[str, Any], device: str) -> Self:
        try:
            agent = cls(random_state=told["random_state"], device=device, **told["settings"])
            seen = told["layout"]
            names = (tuple(seen[name]) for name in ("feature_names", "account_names", "action_names"))
            layout = ObservationLayout(int(seen["window"]), *names)
            rules = None if told["rules"] is None else TradingRules.from_dict(told["rules"])
            agent._prepare(layout, rules, None)
            agent.reward_scale_, agent.steps_ = float(told["reward_scale"]), int(told["steps"])
            agent.history_ = [LearningPoint(**point) for point in told["history"]]
            agent.stopped_ = str(told["stopped"])
            agent.regime_evidence_ = tuple(RegimeSkill.model_validate(skill) for skill in told.get("regime_evidence", ()))
            agent.look_between(*told["value_range"])
        except (KeyError, TypeError, ValidationError) as error:
            raise ModelError(f"the stored agent is damaged: {error}.") from error
        learner = agent._learned()
        try:
            learner.online.load_state_dict(dict(tensors))
        except RuntimeError as error:
            raise ModelError(f"the stored weights do not fit the agent: {' '.join(str(error).split())[:300]}") from error
        learner.online.standardised = bool(told["standardised"])
        learner.target.load_state_dict(learner.online.state_dict())
        learner.believe(learner.online.prior.numpy(force=True))
        return agent

    def told(self) -> dict[str, Any]:
        """All but the weights, as plain values."""
        learner = self._learned()
        settings = {**asdict(self.settings), "encoder_options": dict(self.settings.encoder_options)}
        return {
            "random_state": self.random_state,
            "settings": settings,
            "layout": asdict(self.layout_),
            "rules": None if self.rules_ is None else self.rules_.to_dict(),
            "reward_scale": self.reward_scale_,
            "value_range": list(self.value_range_),
            "standardised": learner.online.standardised,
            "steps": self.steps_,
            "stopped": self.stopped_,
            "history": [asdict(point) for point in self.history_],
            "regime_evidence": [skill.model_dump(mode="json") for skill in self.regime_evidence_],
        }

    @property
    def needs_mask(self) -> bool:
        """Whether :meth:`predict` asks for a mask: what is allowed depends on a standing target that states do not show."""
        if self.rules_ is None or self.rules_.actions.allowed.all():
            return False
        return not any(name == "target" or name.startswith("level ") for name in self.layout_.account_names)

    @property
    def n_features_in_(self) -> int:
        """Numbers of a state."""
        self._learned()
        return self.layout_.width

    def model_info(self) -> ModelInfo:
        """The agent's card."""
        return agent_info(self)

    def _allowed_in(self, states: NDArray[np.float32]) -> NDArray[np.bool_] | None:
        """(n, actions) what is allowed in states that show the standing target; None where everything always is."""
        if self.rules_ is None or self.rules_.actions.allowed.all():
            return None
        names, ladder = self.layout_.account_names, self.rules_.actions
        if self.needs_mask:
            raise ModelError(
                f"what is allowed depends on the standing target, and states show only {', '.join(names) or 'the market'}; a "
                "mask (action_masks of the environment) was expected, or 'level' among observe."
            )
        account = states[:, self.layout_.width - len(names) :]
        shown = [i for i, name in enumerate(names) if name.startswith("level ")]
        if shown:
            return ladder.allowed[account[:, shown].argmax(axis=1)]
        away = np.abs(account[:, [names.index("target")]] - np.array(ladder.weights))
        return ladder.allowed[away.argmin(axis=1)]

    def look_between(self, low: float, high: float) -> None:
        """Where c51 looks for values, in scaled rewards."""
        s = self.settings
        self.value_range_ = (float(low), float(high))
        self._learned().form = value_form(s.distribution, loss=s.loss, n_atoms=s.n_atoms, value_range=self.value_range_)

    def _learned(self) -> QLearner:
        if self.learner_ is None:
            raise ModelError("the agent has learned nothing yet; call fit first.")
        return self.learner_

    def _prepare(self, layout: ObservationLayout, rules: TradingRules | None, market: MarketTable | None) -> None:
        """Make networks for observations of this layout."""
        s = self.settings
        self.value_range_ = _UNKNOWN if s.value_range == "auto" else s.value_range
        form = value_form(s.distribution, loss=s.loss, n_atoms=s.n_atoms, value_range=self.value_range_)
        levels = [] if rules is None else [i for i, name in enumerate(layout.account_names) if name.startswith("level ")]
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
            level_columns=() if s.distribution == "c51" else tuple(levels),
            dueling=s.dueling,
            noisy=s.noisy,
        )
        allowed = None if rules is None or rules.actions.allowed.all() else rules.actions.allowed
        self.layout_, self.rules_ = layout, rules
        self.reward_scale_ = 1.0 if s.reward_scale == "auto" else float(s.reward_scale)
        self.history_: list[LearningPoint] = []
        self.steps_, self.stopped_, self.regime_evidence_ = 0, "", ()
        self.learner_ = QLearner(
            network,
            form,
            double=s.double,
            learning_rate=s.learning_rate,
            weight_decay=0.0 if s.weight_decay == "auto" else s.weight_decay,
            tau=_TAU if s.tau == "auto" else s.tau,
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


def _known_device(device: str) -> str:
    """The device, if this machine has it."""
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise ModelError(f"device is {device!r}, and that cannot be used here: {reason}. 'cpu' always can.") from error
    return device
