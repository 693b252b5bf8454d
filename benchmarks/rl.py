"""The agent against exact optima: markets that dynamic programming solves, hindsight, a random walk, CartPole and FrozenLake.

What is scored is the final greedy policy. On the Ornstein-Uhlenbeck grid its growth a bar is computed exactly from the
stationary distribution, not sampled. One thread; CPU seconds.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from benchmarks import ShortOfBar, markdown_table
from benchmarks.rl_checks.hidden_regime import BeliefStrategy
from benchmarks.rl_checks.kill_and_resume import killed_and_resumed
from huracan.accounting import CostModel
from huracan.reinforcement import ActionLadder, BatchTradingEnv, DQNAgent, MarketTable, TradingRules
from huracan.reinforcement.counterfactual import counterfactuals
from huracan.reinforcement.solved_markets import MarkovMarket, best_path, momentum_market, ornstein_uhlenbeck_market
from huracan.statistics import ewc_t_test, interquartile_mean

__all__ = ["main"]

SEEDS = 10
SECONDS = 60.0
LAKE_STEPS = 2_500_000
"""So many that what was seen tells the chances of every move well enough: after 600,000 exact values of it are 7 % off."""


def main() -> str:
    """All of them."""
    parts = [ornstein_uhlenbeck(), momentum(), foresight(), random_walk(), control(), killed_and_resumed()]
    short = [failing for _, found in parts for failing in found]
    page = "# An agent against exact optima\n\n" + "\n\n".join(text for text, _ in parts)
    if short:
        raise ShortOfBar(short, page)
    return page


def _rules(fee_bps: float, **changes: Any) -> TradingRules:
    costs = CostModel(fee_bps=fee_bps, half_spread_bps=0.0, slippage_bps=0.0)
    return TradingRules(
        **{
            "actions": ActionLadder.positions(-1, 0, 1),
            "costs": costs,
            "rebalance": True,
            "observe": ("level",),
            "episode_length": None,
            **changes,
        }
    )


def _timed(agent: DQNAgent, env: Any, steps: int) -> float:
    began = time.process_time()
    agent.fit(env, steps)
    return time.process_time() - began


# --- solved by dynamic programming ---------------------------------------------------------------------------------------


def greedy(agent: DQNAgent, market: MarkovMarket, rules: TradingRules) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Actions (states, levels) and values (states, levels, actions) of an agent that sees one bar and its level."""
    n, levels = market.n_states, rules.actions.n_levels
    states = np.concatenate([np.repeat(market.shown, levels, 0), np.tile(np.eye(levels), (n, 1))], axis=1)
    action, values = agent.predict(states)
    return action.reshape(n, levels), values.reshape(n, levels, -1)


def ornstein_uhlenbeck() -> tuple[str, list[str]]:
    """41 points, three positions, 20 bp."""
    gamma, rules, market = 0.99, _rules(20.0), ornstein_uhlenbeck_market(decay=0.88, spread=0.02)
    n = market.n_states
    q = market.optimal_values(rules, gamma)
    optimum = market.growth_of(rules, q.argmax(-1))
    share = (market.stationary[:, None] * market.transition)[:, :, None, None]
    seen = (q * share).sum(axis=0) / share.sum(axis=0)  # the agent does not see where the price came from

    def of(action: NDArray[np.int64]) -> float:
        return market.growth_of(rules, np.broadcast_to(action, q.shape[:3])) / optimum

    sign = np.where(market.shown[:, 0] > 0, 0, np.where(market.shown[:, 0] < 0, 2, 1))
    rows: list[list[object]] = [
        ["dynamic programming", "100 %", "", "", ""],
        ["myopic", f"{100 * of(market.rewards(rules).argmax(-1)):.1f} %", "", "", ""],
        ["sign rule", f"{100 * of(np.repeat(sign[:, None], 3, 1)):.1f} %", "", "", ""],
    ]
    short = []
    ways: dict[str, tuple[int, dict[str, Any]]] = {
        "counterfactual backups": (80_000, {}),
        "plain replay, epsilon-greedy": (
            90_000,
            {
                "counterfactual": False,
                "learning_starts": 2_000,
                "replay_capacity": 200_000,
                "epsilon_end": 0.1,
                "batch_size": 128,
            },
        ),
    }
    for way, (steps, settings) in ways.items():
        ratios, errors, seconds = [], [], []
        for seed in range(SEEDS):
            table, _ = market.sample(20_000, seed=1_000 + seed)
            agent = DQNAgent(gamma=gamma, hidden=(64, 64), random_state=seed, **settings)
            seconds.append(_timed(agent, BatchTradingEnv(table, 16, rules), steps))
            action, values = greedy(agent, market, rules)
            ratios.append(of(action))
            weight = market.stationary[:, None, None] * np.ones((n, 3, 3))
            errors.append(float((weight * abs(values - seen)).sum() / (weight * abs(seen)).sum()))
        least, middle = min(ratios), interquartile_mean(ratios)
        rows.append(
            [
                way,
                f"{100 * middle:.2f} %",
                f"{100 * least:.2f} %",
                f"{np.median(errors):.3f}, at most {max(errors):.3f}",
                f"{max(seconds):.0f}",
            ]
        )
        if max(seconds) > SECONDS:
            short.append(f"{way}: {max(seconds):.0f} s")
        if "plain" in way:
            short += [f"{way}: a seed reaches {100 * least:.1f} %"] if least < 0.95 else []
        else:
            short += [f"{way}: the interquartile mean is {100 * middle:.1f} %"] if middle < 0.99 else []
            short += [f"{way}: a seed reaches {100 * least:.1f} %"] if least < 0.97 else []
            short += [f"{way}: relative error of Q {max(errors):.2f}"] if max(errors) > 0.15 else []
    head = [
        "Ornstein-Uhlenbeck, 20 bp",
        "growth, interquartile mean",
        "worst seed",
        "relative error of Q, median",
        "CPU s, most",
    ]
    return markdown_table(head, rows) + f"\n\n{SEEDS} seeds, 20,000 bars each; growth a bar in the long run, exactly.", short


def momentum() -> tuple[str, list[str]]:
    """Two regimes, seen and hidden."""
    gamma, rules, rows, short = 0.97, _rules(5.0), [], []
    market = momentum_market()
    best = market.optimal_values(rules, gamma).argmax(-1)
    optimum = market.growth_of(rules, best)
    ratios, seconds = [], []
    for seed in range(5):
        table, _ = market.sample(20_000, seed=2_000 + seed)
        agent = DQNAgent(gamma=gamma, hidden=(64, 64), random_state=seed)
        seconds.append(_timed(agent, BatchTradingEnv(table, 16, rules), 40_000))
        ratios.append(market.growth_of(rules, np.broadcast_to(greedy(agent, market, rules)[0], best.shape)) / optimum)
    rows.append(["seen", f"{100 * interquartile_mean(ratios):.2f} %", f"{100 * min(ratios):.2f} %", f"{max(seconds):.0f}"])
    short += [f"momentum, regime seen: a seed reaches {100 * min(ratios):.1f} %"] if min(ratios) < 0.95 else []

    hidden, window = momentum_market(hidden=True), 24
    watching = replace(rules, window=window)
    strategy = BeliefStrategy(hidden, rules, gamma)
    test, _ = hidden.sample(200_000, seed=1)
    moves = (test.features[:, 0] < 0).astype(np.int64)
    reward = counterfactuals(test, watching).reward.astype(np.float64)
    bound = _earned(reward, strategy.actions(moves)[window - 1 : -1], rules)
    ratios, seconds = [], []
    for seed in range(5):
        table, _ = hidden.sample(50_000, seed=3_000 + seed)
        agent = DQNAgent(gamma=gamma, hidden=(64, 64), random_state=seed)
        seconds.append(_timed(agent, BatchTradingEnv(table, 16, watching), 60_000))
        ratios.append(_earned(reward, _played(agent, test, watching), rules) / bound)
    rows.append(["hidden", f"{100 * interquartile_mean(ratios):.2f} %", f"{100 * min(ratios):.2f} %", f"{max(seconds):.0f}"])
    short += [f"momentum, regime hidden: a seed reaches {100 * min(ratios):.1f} %"] if min(ratios) < 0.90 else []
    head = ["momentum, regime", "of the optimum, interquartile mean", "worst of 5 seeds", "CPU s, most"]
    note = (
        f"Seen: of dynamic programming, exactly. Hidden: of dynamic programming over beliefs, on 200,000 later bars; the agent "
        f"sees the last {window} moves."
    )
    return f"{markdown_table(head, rows)}\n\n{note}", short


def _played(agent: DQNAgent, market: MarketTable, rules: TradingRules) -> NDArray[np.int64]:
    """Greedy actions along a market from its first row with a whole window."""
    rows = counterfactuals(market, rules).row
    levels = rules.actions.n_levels
    shown = np.lib.stride_tricks.sliding_window_view(market.features, rules.window, axis=0)
    shown = shown.transpose(0, 2, 1).reshape(len(shown), -1)[rows - (rules.window - 1)]
    choice = np.empty((len(rows), levels), np.int64)
    for level in range(levels):
        said = np.tile(np.eye(levels, dtype=np.float32)[level], (len(rows), 1))
        choice[:, level] = agent.predict(np.concatenate([shown, said], axis=1))[0]
    taken, level = np.empty(len(rows), np.int64), rules.actions.flat
    for t in range(len(rows)):
        taken[t] = choice[t, level]
        level = rules.actions.next_level[level, taken[t]]
    return taken


def _path(reward: NDArray[np.float64], taken: NDArray[np.int64], rules: TradingRules) -> NDArray[np.float64]:
    """Rewards (steps,) of these actions, from a flat start."""
    lead, level = rules.actions.next_level, rules.actions.flat
    out = np.empty(len(reward))
    for t, action in enumerate(taken[: len(reward)]):
        out[t] = reward[t, level, action]
        level = lead[level, action]
    return out


def _earned(reward: NDArray[np.float64], taken: NDArray[np.int64], rules: TradingRules) -> float:
    return float(_path(reward, taken, rules).sum())


# --- known futures, and nothing to know ----------------------------------------------------------------------------------


def foresight() -> tuple[str, list[str]]:
    """The next return as a feature."""
    rules, random = _rules(20.0), np.random.default_rng(0)

    def market(n: int) -> MarketTable:
        move = random.normal(0.0, 0.01, n + 1)
        return MarketTable.from_prices(move[1:, None], np.exp(np.cumsum(move))[:-1])

    train, test = market(20_000), market(20_000)
    reward = counterfactuals(test, rules).reward.astype(np.float64)
    best, _ = best_path(reward, rules.actions.next_level, start=rules.actions.flat)
    ratios, seconds = [], []
    for seed in range(5):
        agent = DQNAgent(gamma=0.9, hidden=(64, 64), random_state=seed)
        seconds.append(_timed(agent, BatchTradingEnv(train, 16, rules), 40_000))
        ratios.append(_earned(reward, _played(agent, test, rules), rules) / best)
    text = (
        f"The next return as a feature, 20 bp: {100 * interquartile_mean(ratios):.2f} % of the best path in hindsight "
        f"on 20,000 other bars, worst of 5 seeds {100 * min(ratios):.2f} %, {max(seconds):.0f} CPU s. The path knows all later "
        "returns, the agent the next one."
    )
    return text, [f"foresight: a seed reaches {100 * min(ratios):.1f} %"] if min(ratios) < 0.95 else []


def random_walk() -> tuple[str, list[str]]:
    """Nothing to learn."""
    rules, random = _rules(10.0), np.random.default_rng(5)
    shares, intervals, short = [], [], []
    for seed in range(5):
        move = random.normal(0.0, 0.01, 40_001)
        price, features = np.exp(np.cumsum(move))[:-1], random.normal(size=(40_000, 4))
        train = MarketTable.from_prices(features[:20_000], price[:20_000])
        test = MarketTable.from_prices(features[20_000:], price[20_000:])
        agent = DQNAgent(gamma=0.99, hidden=(64, 64), random_state=seed).fit(BatchTradingEnv(train, 16, rules), 40_000)
        taken = _played(agent, test, rules)
        level = np.concatenate(([rules.actions.flat], rules.actions.next_level[rules.actions.flat, taken]))
        shares.append(float(np.mean(level[1:] != level[:-1])))
        earned = _path(counterfactuals(test, rules).reward.astype(np.float64), taken, rules)
        result = ewc_t_test(earned) if earned.any() else None
        low, high = (0.0, 0.0) if result is None else (result.ci_low, result.ci_high)
        intervals.append(f"{1e4 * low:+.2f} to {1e4 * high:+.2f}")
        short += [f"random walk: seed {seed} earns {intervals[-1]} bp a bar"] if not low <= 0.0 <= high else []
    short += [f"random walk: trades on {100 * max(shares):.1f} % of bars"] if max(shares) >= 0.01 else []
    text = (
        f"A random walk with four features of noise, 10 bp: trades on {100 * np.mean(shares):.2f} % of later bars, at most "
        f"{100 * max(shares):.2f} %; 95 % intervals of the net log return, bp a bar: {'; '.join(intervals)}."
    )
    return text, short


# --- control -------------------------------------------------------------------------------------------------------------


def copies(name: str, n: int, **options: Any) -> Any:
    """Copies of an environment of gymnasium that begin anew in the step an episode ends in."""
    kwargs = {"autoreset_mode": AutoresetMode.SAME_STEP}
    return gymnasium.make_vec(name, num_envs=n, vectorization_mode="sync", vector_kwargs=kwargs, **options)


def control() -> tuple[str, list[str]]:
    """CartPole and FrozenLake."""
    scores, seconds, short = [], [], []
    for seed in range(5):
        agent = DQNAgent(
            hidden=(128, 128),
            gamma=0.99,
            n_step=5,
            batch_size=128,
            learning_starts=1_000,
            learning_rate=5e-4,
            exploration=0.2,
            epsilon_end=0.02,
            tau=0.005,
            random_state=seed,
        )
        seconds.append(_timed(agent, copies("CartPole-v1", 8), 250_000))
        scores.append(_cart_pole_score(agent))
    enough = sum(score >= 475 for score in scores)
    short += [f"CartPole: {enough} of 5 seeds reach 475"] if enough < 4 else []
    short += [f"CartPole: {max(seconds):.0f} s"] if max(seconds) > 300 else []
    told = ", ".join(f"{score:.0f}" for score in scores)
    lake, failing = _frozen_lake()
    text = f"CartPole-v1, mean of 100 greedy episodes of each of 5 seeds: {told}; at most {max(seconds):.0f} CPU s.\n\n{lake}"
    return text, short + failing


def _cart_pole_score(agent: DQNAgent, episodes: int = 100) -> float:
    env = copies("CartPole-v1", episodes)
    seen, _ = env.reset(seed=10_000)
    earned, over = np.zeros(episodes), np.zeros(episodes, bool)
    while not over.all():
        seen, reward, terminated, truncated, _ = env.step(agent.predict(seen)[0])
        earned += reward * ~over
        over |= terminated | truncated
    return float(earned.mean())


def _frozen_lake() -> tuple[str, list[str]]:
    gamma, table = 0.95, gymnasium.make("FrozenLake-v1", is_slippery=True).unwrapped.P  # type: ignore[attr-defined]
    q = np.zeros((16, 4))
    for _ in range(5_000):
        best = q.max(axis=1)
        q = np.array(
            [
                [sum(p * (r + (0.0 if over else gamma * best[to])) for p, to, r, over in table[s][a]) for a in range(4)]
                for s in range(16)
            ]
        )
    alive = q.max(axis=1) > 0
    agent = DQNAgent(
        hidden=(),
        gamma=gamma,
        double=False,
        learning_starts=5_000,
        learning_rate=0.005,
        final_rate=0.003,
        epsilon_end=0.6,
        exploration=0.2,
        batch_size=1_024,
        replay_capacity=LAKE_STEPS,
        train_every=32,
        tau=0.02,
        reward_scale=1.0,
    )
    seconds = _timed(agent, copies("FrozenLake-v1", 32, is_slippery=True), LAKE_STEPS)
    mine = agent.predict(np.eye(16))[1]
    error = float(np.abs(mine / np.where(q > 0, q, 1.0) - 1.0)[alive].max())
    text = f"FrozenLake 4x4, slippery: values within {100 * error:.1f} % of value iteration everywhere; {seconds:.0f} CPU s."
    return text, [f"FrozenLake: values are off by {100 * error:.1f} %"] if error > 0.05 else []
