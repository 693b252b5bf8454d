"""The agent's card: what it is for, what it needs and what it says."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from huracan.model_info import MarketRegime, ModelInfo

if TYPE_CHECKING:
    from huracan.reinforcement.rl_agent import DQNAgent

__all__ = ["agent_info"]


def agent_info(agent: DQNAgent) -> ModelInfo:
    """The card of an agent; of one that has learned, with what its states are made of."""
    seen, actions = _seen_and_done(agent)
    return ModelInfo(
        name="dqn",
        purpose="adaptive strategy optimisation",
        ideal_dataset_shape="(num_episodes, episode_length, state_dim): 100+ episodes of 200+ bars, 4-64 numbers a bar",
        feature_requirements=(
            f"state: {seen}",
            "features of closed bars, finite; standardised inside",
            "prices of the bars that decisions are filled and valued at",
            "unbroken bars: no window and no episode crosses a gap",
        ),
        output_schema={
            "action": f"the best of: {actions}",
            "q_values": "what each action is worth: discounted sum of rewards from now on, in the unit of the reward",
        },
        task="control",
        market_regimes={
            MarketRegime.TRENDING: "holds a position while it pays, and knows what turning it costs",
            MarketRegime.RANGING: "waits where a move would not pay its costs",
        },
        hyperparameters={k: v for k, v in asdict(agent.settings).items() if v is not None},
    )


def _seen_and_done(agent: Any) -> tuple[str, str]:
    layout = getattr(agent, "layout_", None)
    if layout is None:
        return "price, volume and indicators of a window, position and unrealised profit", "sell, hold, buy"
    names = layout.feature_names
    shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
    bars = f"{shown} of {layout.window} bar(s); " if names else ""
    return bars + ", ".join(layout.account_names), ", ".join(layout.action_names)
