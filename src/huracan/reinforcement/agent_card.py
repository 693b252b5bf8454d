"""The agent's card in the catalogue; free of PyTorch, so that it can be read without it."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from huracan.baselines.spec import LearnerSpec
from huracan.model_info import MarketRegime, ModelInfo
from huracan.reinforcement.agent_settings import AgentSettings

if TYPE_CHECKING:
    from huracan.reinforcement.rl_agent import DQNAgent

__all__ = ["DQN", "agent_info"]

_DEFAULTS = {setting.name: getattr(AgentSettings(), setting.name) for setting in fields(AgentSettings)}

DQN = LearnerSpec(
    name="dqn",
    purpose="adaptive strategy optimisation",
    ideal_dataset_shape="(num_episodes, episode_length, state_dim): 100+ episodes of 200+ bars, 4-64 numbers a bar",
    tasks=("control",),
    estimator="huracan.reinforcement.rl_agent:DQNAgent",
    feature_requirements=(
        "a trading environment: features of closed bars beside the prices that decisions are filled and valued at",
        "state features: price, volume and indicators of a window, position and unrealised profit",
        "finite numbers, any scale: standardised inside",
        "unbroken bars: no window and no episode crosses a gap",
    ),
    outputs={
        "action": "the best of sell, hold, buy, or of the positions there are to choose from",
        "q_values": "what each action is worth: discounted sum of rewards from now on, in the unit of the reward",
    },
    market_regimes={
        MarketRegime.TRENDING: "holds a position while it pays, and knows what turning it costs",
        MarketRegime.RANGING: "waits where a move would not pay its costs",
    },
    defaults={**_DEFAULTS, "device": "cpu"},
    meanings={
        "encoder": "how the window is read: mlp, cnn, gru, lstm or transformer",
        "encoder_options": "arguments of that network",
        "embedding": "numbers the encoder says of a window",
        "hidden": "widths of the layers after it",
        "dueling": "a value of the state and an advantage of each action",
        "double": "choose with the online network, value with the target network",
        "noisy": "explore by noisy weights instead of random actions",
        "distribution": "none for values, c51 or qr for distributions",
        "n_atoms": "atoms or quantiles of a distribution",
        "value_range": "lowest and highest atom of c51, in scaled rewards; auto is the reach of sums of those seen first",
        "loss": "squared or huber, of plain values",
        "n_step": "steps of a transition",
        "gamma": "discount of one step",
        "prioritised": "draw transitions by the size of their errors",
        "alpha": "power of the errors that priorities are",
        "beta": "how far weights correct for priorities at the start; 1 at the end",
        "learning_rate": "of Adam at the start",
        "weight_decay": "times the rate, share of the parameters taken off in an update; auto is 0.4 where chance is known",
        "final_rate": "share of it at the end",
        "batch_size": "transitions, or bars with counterfactual backups, of an update",
        "replay_capacity": "transitions kept",
        "learning_starts": "steps before the first update",
        "train_every": "steps between rounds of updates",
        "gradient_steps": "updates of a round",
        "tau": "share of the online network the target takes over in an update; auto is 0.1 with counterfactuals, else 0.01",
        "target_every": "above 1, the target takes over all of it once in so many updates",
        "epsilon_start": "share of random actions at the start",
        "epsilon_end": "share of random actions at the end",
        "exploration": "share of all steps over which it falls",
        "clip_norm": "largest norm of a gradient",
        "reward_scale": "what rewards are multiplied by for learning; auto makes their root mean square 1",
        "counterfactual": "learn from what all actions would have earned; auto where the rules allow",
        "standardise": "read features as standard deviations from their means",
        "validation": "share of the last moments held back from learning, to score learning on; 0 scores on bars learned from",
        "device": "cpu or cuda",
    },
    aliases={"discount": "gamma", "buffer_size": "replay_capacity", "target_update_interval": "target_every"},
    scale_inputs=False,
    threads=True,
)


def agent_info(agent: DQNAgent) -> ModelInfo:
    """The card of an agent; of one that has learned, with what its states are made of and what it may do.

    What was measured of agents like it stands there where somebody noted it in ``agent.regime_evidence_``.
    """
    params = {name: getattr(agent.settings, name) for name in _DEFAULTS}
    info = DQN.info("control", hyperparameters={**params, "device": agent.device})
    layout = getattr(agent, "layout_", None)
    if layout is None:
        return info
    bars = f"{', '.join(layout.feature_names)} of {layout.window} bar(s), then " if layout.feature_names else ""
    requirements = tuple(
        f"state features: {bars}{', '.join(layout.account_names)}" if said.startswith("state features") else said
        for said in info.feature_requirements
    )
    schema = {**info.output_schema, "action": f"the best of {', '.join(layout.action_names)}"}
    return info.model_copy(
        update={"feature_requirements": requirements, "output_schema": schema, "regime_evidence": agent.regime_evidence_}
    )
