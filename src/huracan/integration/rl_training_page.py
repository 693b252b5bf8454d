"""The page of an agent that ``huracan rl train`` made; and what all pages of agents say of their game."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from huracan.config import HuracanConfig, config_hash
from huracan.integration.preparation import Source
from huracan.logs import stage
from huracan.regimes import RegimeClassifier
from huracan.reinforcement import MarketTable, TradingRules, action_map, play
from huracan.report import render_trained_agent_page
from huracan.storage.artifacts import library_versions
from huracan.storage.whole_files import put_file

if TYPE_CHECKING:
    from huracan.reinforcement import DQNAgent
    from huracan.reinforcement.agent_settings import AgentSettings

__all__ = ["assumptions", "game_facts", "learns_from_all", "write_training_page"]

_MOST_PLAYED = 2_000_000
"""Bars that are played for a page."""


def write_training_page(
    path: Path,
    config: HuracanConfig,
    source: Source,
    agent: DQNAgent,
    market: MarketTable,
    *,
    data_hash: str,
    evidence: str,
    registered: str,
) -> None:
    """Play the agent on its span, draw its map, and write the page.

    Parameters
    ----------
    evidence : the verdict on agents like it, or "". registered : as what it was.
    """
    assert agent.rules_ is not None
    rules = agent.rules_
    with stage("report"):
        regimes = RegimeClassifier(**config.regimes.model_dump()).classify(source.candles).select("symbol", "ts", "regime")
        page = render_trained_agent_page(
            agent,
            played=None if "time_left" in rules.observe else play(agent, _latest(market), rules),
            action_map=action_map(agent, market, rules).to_frame() if agent.layout_.width > 1 else pl.DataFrame(),
            regimes=regimes,
            evidence=evidence,
            title=f"Agent on {source.name}",
            created_at=datetime.now(UTC),
            alpha=config.comparison.alpha,
            facts={**game_facts(market, rules, agent.settings), "registered": registered},
            provenance={
                "data SHA-256": data_hash,
                "configuration SHA-256": config_hash(config),
                "recipe SHA-256": str(market.recipe_hash),
                **library_versions(),
            },
        )
        put_file(path, page.encode())


def _latest(market: MarketTable, most: int = _MOST_PLAYED) -> MarketTable:
    """The market with its last decisions alone, so that a page of many symbols costs no more memory than their training."""
    rows = np.flatnonzero(market.decidable)
    if len(rows) <= most:
        return market
    assert market.ts is not None
    assert market.bar_length is not None
    return market.between(start=np.sort(market.ts[rows])[-most] + market.bar_length)


def learns_from_all(settings: AgentSettings, rules: TradingRules) -> bool:
    """Whether an agent learns from what all actions would have earned."""
    wanted = settings.counterfactual
    return wanted is True or (wanted == "auto" and not rules.path_dependence)


def game_facts(market: MarketTable, rules: TradingRules, settings: AgentSettings) -> dict[str, str]:
    """What a page says of the game in its head, and of how an agent of these settings learns it."""
    why = f" ({rules.path_dependence[0]})" if rules.path_dependence else ""
    return {
        "symbols": ", ".join(market.symbols),
        "bars to decide on": f"{int(market.decidable.sum()):,}, all before the locked hold-out",
        "observation": f"{market.n_features} features of {rules.window} bar(s); {', '.join(rules.observe) or 'no account'}",
        "actions": ", ".join(rules.actions.names) + f" (weights {', '.join(f'{w:g}' for w in rules.actions.weights)})",
        "costs a side": f"{rules.costs.per_side_bps:g} basis points",
        "learns from": "what every action would have earned on each bar"
        if learns_from_all(settings, rules)
        else f"what it tries{why}",
        **({"assumed": "; ".join(assumptions(market.assumed))} if market.assumed else {}),
    }


def assumptions(assumed: Mapping[str, int]) -> tuple[str, ...]:
    """What candles did not say and what was taken for it, of :attr:`huracan.reinforcement.MarketTable.assumed`.

    >>> assumptions({"funding rate missing, taken as 0": 1200})
    ('funding rate missing, taken as 0: 1,200 rows',)
    """
    return tuple(f"{reason}: {rows:,} row{'s' * (rows != 1)}" for reason, rows in assumed.items())
