"""``huracan rl``: an agent in the market of one's candles, under the configured rules and costs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from huracan.accounting import CostModel
from huracan.catalogue import build_model
from huracan.config import HuracanConfig, config_hash
from huracan.errors import ConfigError, HuracanError, ModelError, NotEnoughData
from huracan.integration.preparation import Source, load_recipe, read_source
from huracan.integration.rl_evidence import AgentEvidence, evidence_for
from huracan.integration.rl_training_page import assumptions, learns_from_all, write_training_page
from huracan.logs import stage
from huracan.market import candles_hash
from huracan.model_info import FeatureSignature
from huracan.model_registry import ModelRegistry
from huracan.registry.records import Provenance
from huracan.reinforcement import ActionLadder, MarketTable, NetLogReturn, TradingRules
from huracan.storage.artifacts import library_versions
from huracan.storage.folder_lock import held
from huracan.version import source_hash

if TYPE_CHECKING:
    from huracan.reinforcement import DQNAgent

__all__ = [
    "TrainedAgent",
    "before_the_hold_out",
    "market_of",
    "market_to_decide_on",
    "new_agent",
    "rules_of",
    "train_agent",
    "training_key",
]

_ACCOUNTS, _STATES = 16, 256
"""Accounts that act at random, and the states they come through that a stored agent is compared on."""


@dataclass(frozen=True)
class TrainedAgent:
    """A trained agent, and where it is.

    ``market`` is what it learned in, ``version`` that of ``name`` in the registry, ``folder`` where its training is kept,
    ``report_path`` its page. ``evidence`` is what an evaluation of such agents found, where there was one; it stands on the
    card.
    """

    agent: DQNAgent
    market: MarketTable
    rules: TradingRules
    name: str
    version: int
    folder: Path
    report_path: Path
    evidence: AgentEvidence | None = None

    @property
    def assumed(self) -> tuple[str, ...]:
        """What the candles did not say and what was taken for it."""
        return assumptions(self.market.assumed)

    @property
    def learned_from_all(self) -> bool:
        """Whether it learned from what all actions would have earned."""
        return learns_from_all(self.agent.settings, self.rules)


def train_agent(
    config: HuracanConfig,
    registry: Callable[[], ModelRegistry],
    candles: Any = None,
    progress: Callable[[str, float], object] | None = None,
) -> TrainedAgent:
    """See :meth:`huracan.integration.unified_pipeline.UnifiedMLPipeline.train_agent`."""
    from huracan.reinforcement import BatchTradingEnv

    rules, wanted = rules_of(config), config.rl
    agent = new_agent(config, config.seed)
    source = read_source(config, candles)
    market = market_to_decide_on(config, source)
    env = BatchTradingEnv(market, wanted.n_envs, rules)
    data_hash = candles_hash(source.candles)
    training = training_key(config, data_hash)
    folder = config.home / "agents" / training
    told = [0]

    def at(point: Any) -> None:
        if progress is not None:
            where = "held back" if point.held_back else "learned from"
            score = "" if point.score is None else f", {point.score * 10_000:+.2f} basis points a bar on bars {where}"
            progress(f"step {point.step:,}: loss {point.loss:.4g}{score}", (point.step - told[0]) / wanted.total_steps)
        told[0] = point.step

    with held(folder), stage("agent", training=training):
        agent.fit(env, wanted.total_steps, checkpoint=folder, checkpoint_every=wanted.checkpoint_every, on_point=at)
    if agent.stopped_:
        raise ModelError(f"the agent is not registered: {agent.stopped_}")
    name = ".".join([config.registry.model_name, *["simulated"] * (source.truth is not None), "trained", "dqn"])
    origin = {"data_hash": data_hash, "simulated": source.truth is not None, "run_id": f"training-{training}"}
    evidence = evidence_for(config.home / "evaluations", training)
    agent.regime_evidence_ = () if evidence is None else evidence.regimes
    version = _registered(registry(), agent, name, config, market, origin, evidence)
    report = folder / "report.html"
    sentence, registered = "" if evidence is None else evidence.sentence, f"version {version} of '{name}'"
    write_training_page(report, config, source, agent, market, data_hash=data_hash, evidence=sentence, registered=registered)
    return TrainedAgent(agent, market, rules, name, version, folder, report, evidence)


def rules_of(config: HuracanConfig) -> TradingRules:
    """The rules of ``rl`` with the costs of ``costs``.

    Raises
    ------
    ConfigError : they contradict each other.
    """
    wanted = config.rl
    try:
        rules = TradingRules(
            actions=ActionLadder(wanted.weights, wanted.actions),
            costs=CostModel(**config.costs.model_dump()),
            window=wanted.window,
            observe=wanted.observe,
            episode_length=wanted.episode_length,
            rebalance=wanted.rebalance,
            max_leverage=wanted.max_leverage,
            maintenance_margin=wanted.maintenance_margin,
            max_drawdown=wanted.max_drawdown,
            reward=NetLogReturn(downside=wanted.downside_penalty, drawdown=wanted.drawdown_penalty),
        )
        nothing_is_acted = not rules.path_dependence and wanted.agent.get("counterfactual", "auto") is not False
        return replace(rules, episode_length=None) if nothing_is_acted else rules
    except HuracanError as error:
        raise ConfigError(f"rl: {error}") from error


def market_to_decide_on(config: HuracanConfig, source: Source) -> MarketTable:
    """The market of candles with decisions before the hold-out; what was left out and what was assumed is logged."""
    with stage("features") as log:
        market = before_the_hold_out(market_of(config, source), config)
        log.info(
            "market ready",
            rows=int(market.decidable.sum()),
            columns=market.n_features,
            dropped=dict(market.dropped),
            assumed=dict(market.assumed),
        )
    return market


def market_of(config: HuracanConfig, source: Source) -> MarketTable:
    """The market of candles with the configured features; on bars that cleaning filled in nothing is decided."""
    market = MarketTable.from_candles(source.candles, recipe=load_recipe(config))
    if source.filled is None or not source.filled.height:
        return market
    keys = pl.DataFrame(
        {
            "symbol": np.array(market.symbols, dtype=object)[market.symbol_code].astype(str),
            "ts": pl.Series(market.ts).cast(pl.Datetime("ms")).dt.replace_time_zone("UTC"),
        }
    ).with_row_index("row")
    filled = keys.join(source.filled, on=["symbol", "ts"], how="semi")["row"].to_numpy()
    decidable = market.decidable.copy()
    for back in (0, 1, 2):  # a decision is filled at the next open and valued at the one after
        decidable[np.maximum(filled.astype(np.int64) - back, 0)] = False
    return replace(market, decidable=decidable)


def before_the_hold_out(market: MarketTable, config: HuracanConfig) -> MarketTable:
    """The market with decisions only before the locked end, less the embargo: a share of the times, as in the main job."""
    share = config.validation.hold_out_share
    if share <= 0:
        return market
    assert market.ts is not None
    assert market.bar_length is not None
    decided = np.unique(market.ts[market.decidable]) + market.bar_length
    if not len(decided):
        raise NotEnoughData(
            "no decision can be taken on these candles; two more bars behind a row with features were expected."
        )
    apart = config.labels.horizon + 1 + config.validation.embargo_bars  # rows of the main job have labels, and end sooner
    cut = decided[len(decided) - max(1, int(np.ceil(share * len(decided))))] - apart * market.bar_length
    return market.between(stop=cut)


def new_agent(config: HuracanConfig, seed: int) -> DQNAgent:
    """An agent with the settings of ``rl.agent`` that has learned nothing yet.

    Raises
    ------
    ConfigError : a setting that there is not, or that is set elsewhere.
    """
    for key in ("random_state", "n_jobs"):
        if key in config.rl.agent:
            raise ConfigError(
                f"rl.agent holds '{key}', which the configuration sets elsewhere; settings of the agent were expected."
            )
    try:
        return build_model("dqn", random_state=seed, **config.rl.agent)
    except HuracanError as error:
        raise ConfigError(f"rl.agent: {error}") from error


def training_key(config: HuracanConfig, data_hash: str) -> str:
    """What a training is known by: data, settings and code."""
    told = [config_hash(config), config.rl.model_dump(mode="json", exclude={"checkpoint_every", "evaluation"})]
    content = json.dumps([*told, data_hash, source_hash()], sort_keys=True)
    return f"dqn-{hashlib.sha256(content.encode()).hexdigest()[:12]}"


def _registered(
    registry: ModelRegistry,
    agent: DQNAgent,
    name: str,
    config: HuracanConfig,
    market: MarketTable,
    origin: dict[str, Any],
    evidence: AgentEvidence | None,
) -> int:
    """The version of the agent; a training that was registered before (``origin["run_id"]``) with this evidence keeps its."""
    card = agent.model_info()
    card = card if evidence is None else evidence.on(card)
    said = {} if evidence is None else {"evidence": evidence.told()}
    for version in reversed(registry.versions(name)) if name in registry.names() else []:
        same = version.extras.get("evidence") == said.get("evidence")
        if version.provenance.run_id == origin["run_id"] and same:
            return version.version
    assert market.ts is not None
    assert market.bar_length is not None
    rows = np.flatnonzero(market.decidable)
    moments = (market.ts[rows].min(), (market.ts[rows] + market.bar_length * 2).max())
    provenance = {
        **origin,
        "config_hash": config_hash(config),
        "recipe_hash": market.recipe_hash,
        "seed": config.seed,
        "versions": library_versions(),
        "n_rows": len(rows),
        "symbols": tuple(market.symbols[code] for code in np.unique(market.symbol_code[rows])),
        "trained_from": f"{moments[0]}Z",
        "trained_until": f"{moments[1]}Z",
        "bar_length_ms": int(market.bar_length / np.timedelta64(1, "ms")),
    }
    state, network = agent.to_parts()
    signature = FeatureSignature(columns=market.feature_names, recipe_hash=market.recipe_hash)
    return registry.register(
        type(agent).from_parts(state, network.state_dict()),  # on the processor, wherever it learned
        card.model_copy(update={"signature": signature}),
        name=name,
        metrics=dict(card.performance_metrics),
        provenance=Provenance.model_validate(provenance),
        extras={
            "config": config.told(),
            "recipe": load_recipe(config).to_json(),
            "assumed": list(assumptions(market.assumed)),
            **said,
        },
        probe=_states_to_compare(agent, market),
    )


def _states_to_compare(agent: DQNAgent, market: MarketTable) -> NDArray[np.float32] | None:
    """States on which what is stored is compared with the agent; None where a state alone does not tell what is allowed."""
    from huracan.reinforcement import BatchTradingEnv
    from huracan.reinforcement.action_maps import sampled_states

    if agent.needs_mask:
        return None
    assert agent.rules_ is not None
    return sampled_states(BatchTradingEnv(market, _ACCOUNTS, agent.rules_), _STATES)
