"""How fast the trading environment, the replay and the agent are, beside others in one run; one thread.

Parity first: scalar, batch and tensors move one account as the backtest does, over 100,000 random actions with every cost on.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import gymnasium
import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from scipy.stats import chisquare

from benchmarks import ShortOfBar, markdown_table
from huracan.accounting import CostModel, backtest
from huracan.reinforcement import ActionLadder, BatchTradingEnv, DQNAgent, MarketTable, TradingEnv, TradingRules
from huracan.reinforcement.replay import IndexReplay
from huracan.reinforcement.stable_baselines import as_vec_env
from huracan.reinforcement.tensor_env import TensorTradingEnv

__all__ = ["main"]

_MANY = 64
"""Copies from which on the step is compiled."""
COPIES, FEATURES, ROWS, PEER_ROWS = 256, 16, 100_002, 10_000
EVERY_COST = CostModel(
    fee_bps=5,
    half_spread_bps=1,
    slippage_bps=2,
    borrow_bps_per_bar=0.05,
    lot_size=0.001,
    minimum_notional=5.0,
    max_volume_share=0.05,
    initial_equity=10_000.0,
)


def main() -> str:
    """Parity, then everything that is timed."""
    torch.set_num_threads(1)
    parts = [parity(), environments(), replay(), updates()]
    short = [failing for _, found in parts for failing in found]
    page = "# Speed of the trading environment and the agent\n\n" + "\n\n".join(text for text, _ in parts)
    if short:
        raise ShortOfBar(short, page)
    return page


def candles() -> pl.DataFrame:
    """Hours of one symbol with volume and funding, a random walk."""
    random = np.random.default_rng(0)
    close = 100.0 * np.exp(np.cumsum(random.normal(0.0, 0.002, ROWS)))
    opened = np.concatenate(([100.0], close[:-1]))
    ts = np.datetime64("2010-01-01", "ms") + np.arange(ROWS) * np.timedelta64(3_600_000, "ms")
    return pl.DataFrame(
        {
            "symbol": "X",
            "ts": pl.Series(ts).dt.replace_time_zone("UTC"),
            "open": opened,
            "high": np.maximum(opened, close) * 1.001,
            "low": np.minimum(opened, close) * 0.999,
            "close": close,
            "volume": random.exponential(2_000.0, ROWS),
            "funding_rate": random.normal(1e-6, 1e-5, ROWS),
        }
    )


def market_of(bars: pl.DataFrame) -> MarketTable:
    """These candles with features of noise: what they are does not matter here."""
    return MarketTable.from_candles(bars, recipe=_Noise())


class _Noise:
    hash = "noise"

    def compute(self, bars: pl.DataFrame) -> pl.DataFrame:
        drawn = np.random.default_rng(1).normal(size=(bars.height, FEATURES)).astype(np.float32)
        return bars.select("symbol", "ts", "segment").with_columns(pl.Series(f"x{i}", drawn[:, i]) for i in range(FEATURES))


def parity() -> tuple[str, list[str]]:
    """Four ways, one account."""
    bars = candles()
    market = market_of(bars)
    rules = TradingRules(actions=ActionLadder.positions(-1, -0.5, 0, 0.5, 1), costs=EVERY_COST, episode_length=None)
    n = ROWS - 2
    actions = np.random.default_rng(2).integers(0, 5, n)
    weights = np.array(rules.actions.weights)[actions]
    targets = pl.DataFrame({"symbol": "X", "ts": bars["ts"][:n], "target": weights})
    booked = backtest(bars, targets, EVERY_COST, close_at_end=False, stepwise=True).returns
    scalar, batch = TradingEnv(market, rules), BatchTradingEnv(market, 1, rules)
    many, tensors = BatchTradingEnv(market, _MANY, rules), TensorTradingEnv(market, 1, rules)
    scalar.reset(seed=0, options={"row": 0})
    batch.reset(seed=0, options={"rows": [0]})
    many.reset(seed=0, options={"rows": [0] * _MANY})
    tensors.reset(rows=torch.zeros(1, dtype=torch.int64))
    worst = dict.fromkeys(("scalar", "numpy batch", f"numpy batch of {_MANY}, compiled where numba is", "torch batch"), 0.0)
    wealth = 1.0
    for i in range(n):
        wealth *= 1.0 + booked[i]
        found = (
            scalar.step(actions[i])[4]["equity"],
            batch.step(actions[i : i + 1])[4]["equity"][0],
            many.step(np.repeat(actions[i], _MANY))[4]["equity"][-1],
            float(tensors.step(torch.from_numpy(actions[i : i + 1]))[4]["equity"][0]),
        )
        for name, equity in zip(worst, found, strict=True):
            worst[name] = max(worst[name], abs(equity / 10_000.0 / wealth - 1.0))
    text = f"Over {n:,} random actions with every cost on, equity differs from the backtest's by at most " + ", ".join(
        f"{difference:.1e} ({name})" for name, difference in worst.items()
    )
    return text + ".", [f"{name} differs by {value:.1e}" for name, value in worst.items() if not value <= 1e-9]


def rate(step: Callable[[], Any], per_call: int, seconds: float = 3.0) -> float:
    """Steps a CPU second, the median of five stretches."""
    step()
    found = []
    for _ in range(5):
        calls, began = 0, time.process_time()
        while time.process_time() - began < seconds / 5:
            for _ in range(20):
                step()
            calls += 20
        found.append(calls * per_call / (time.process_time() - began))
    return float(np.median(found))


def environments() -> tuple[str, list[str]]:
    """Steps a second, ours and others'."""
    bars = candles()
    market, random = market_of(bars), np.random.default_rng(3)
    actions = random.integers(0, 3, (64, COPIES))
    at = [0]

    def stepping(env: Any) -> Callable[[], Any]:
        env.reset(seed=0)

        def step() -> None:
            at[0] = (at[0] + 1) % 64
            env.step(actions[at[0]])

        return step

    found = {}
    for window in (1, 64):
        env = BatchTradingEnv(market, COPIES, costs=EVERY_COST, window=window, observe=("position", "unrealised_profit"))
        found[window] = rate(stepping(env), COPIES)
    rows: list[list[object]] = [
        [f"BatchTradingEnv, {COPIES} copies, one bar", f"{found[1]:,.0f}", ""],
        [f"BatchTradingEnv, {COPIES} copies, 64 bars", f"{found[64]:,.0f}", ""],
    ]
    short = [f"one bar: {found[1]:,.0f} steps/s"] if found[1] < 2_500_000 else []
    short += [f"64 bars: {found[64]:,.0f} steps/s"] if found[64] < 500_000 else []
    for name, (package, make, bar) in PEERS.items():
        if find_spec(package) is None:
            print(f"rl_speed: {name} is skipped, it is not installed (pip install {name}).")
            rows.append([name, "not measured: not installed", ""])
            continue
        bare = make(bars.head(PEER_ROWS))
        theirs = {
            f"{name}, {COPIES} copies in a SyncVectorEnv": rate(stepping(_many_of(make, bars.head(PEER_ROWS))), COPIES),
            f"{name}, one, behind the wrappers of gymnasium.make": rate(_single(_wrapped(make(bars.head(PEER_ROWS)))), 1),
            f"{name}, one, bare": rate(_single(bare), 1),
        }
        rows += [[face, f"{found_rate:,.0f}", f"{found[1] / found_rate:.0f}x"] for face, found_rate in theirs.items()]
        ratio = found[1] / next(iter(theirs.values()))
        short += [f"{ratio:.0f}x of {name}, {COPIES} copies each"] if ratio < bar else []
    bars_told = " and ".join(f"{bar:.0f}x" for *_, bar in PEERS.values())
    note = (
        f"The bars, {bars_told}, are for {COPIES} copies on both sides, which is how either library runs many; one copy, "
        f"wrapped and bare, stands beside them. Theirs have {PEER_ROWS:,} rows, as every copy holds its own."
    )
    table = markdown_table(["environment, 16 features, every cost it knows", "steps a CPU second", "ours faster"], rows)
    return f"{table}\n\n{note}", short


def _wrapped(env: Any) -> Any:
    """As ``gymnasium.make`` hands it out."""
    return gymnasium.wrappers.OrderEnforcing(gymnasium.wrappers.PassiveEnvChecker(env))


def _many_of(make: Callable[[pl.DataFrame], Any], bars: pl.DataFrame) -> Any:
    """Copies as ``gymnasium.make_vec`` hands them out: it leaves the checker away."""
    one = lambda: gymnasium.wrappers.OrderEnforcing(make(bars))  # noqa: E731
    return gymnasium.vector.SyncVectorEnv([one] * COPIES, autoreset_mode=gymnasium.vector.AutoresetMode.SAME_STEP)


def _single(env: gymnasium.Env[Any, Any]) -> Callable[[], Any]:
    env.reset()
    random = np.random.default_rng(0)
    actions = random.integers(0, env.action_space.n, 4_096)  # type: ignore[attr-defined]
    at = [0]

    def step() -> None:
        at[0] = (at[0] + 1) % 4_096
        *_, terminated, truncated, _ = env.step(actions[at[0]])
        if terminated or truncated:
            env.reset()

    return step


def _gym_trading_env(bars: pl.DataFrame) -> Any:
    from gym_trading_env.environments import TradingEnv as Theirs

    naive = bars.with_columns(pl.col("ts").dt.replace_time_zone(None))
    frame = naive.to_pandas().set_index("ts")[["open", "high", "low", "close", "volume"]]
    for i in range(FEATURES):
        frame[f"feature_{i}"] = np.random.default_rng(i).normal(size=len(frame)).astype(np.float32)
    return Theirs(df=frame, positions=[-1, 0, 1], trading_fees=0.0008, borrow_interest_rate=0.000005, verbose=0)


def _gym_anytrading(bars: pl.DataFrame) -> Any:
    from gym_anytrading.envs import StocksEnv

    frame = bars.to_pandas().rename(columns=str.capitalize)

    class Wide(StocksEnv):  # type: ignore[misc]
        """Theirs, with sixteen features."""

        def _process_data(self) -> Any:
            drawn = np.random.default_rng(0).normal(size=(len(self.df), FEATURES)).astype(np.float32)
            return self.df["Close"].to_numpy(dtype=np.float32), drawn

    return Wide(df=frame, window_size=1, frame_bound=(1, len(frame)))


PEERS: dict[str, tuple[str, Callable[[pl.DataFrame], Any], float]] = {
    "gym-trading-env": ("gym_trading_env", _gym_trading_env, 200.0),
    "gym-anytrading": ("gym_anytrading", _gym_anytrading, 50.0),
}


def replay() -> tuple[str, list[str]]:
    """Prioritised sampling and memory."""
    rows, short = [], []
    random = np.random.default_rng(4)
    features = random.normal(size=(ROWS, FEATURES)).astype(np.float32)
    for compiled, bar in ((True, 50.0), (False, 250.0)):
        made = IndexReplay(1_000_000, 1, account_size=2, features=features, alpha=0.6, compiled=compiled)
        assert made.tree is not None
        made.added = 1_000_000
        made.row[:] = random.integers(0, ROWS - 2, 1_000_000)
        made.tree.fill(random.random(1_000_000))
        short += _frequencies(made)
        errors = random.random(64)

        def draw_and_update(made: IndexReplay = made, errors: NDArray[np.float64] = errors) -> None:
            made.update(made.sample(64, random).entry, errors)

        micro = 1e6 / rate(draw_and_update, 1)
        rows.append(["with numba" if compiled else "without", f"{micro:.0f}", f"{bar:.0f}"])
        short += [f"prioritised sample and update, {rows[-1][0]}: {micro:.0f} us"] if micro > bar else []
    table = markdown_table(["prioritised sample + update, 1,000,000 entries, batch 64", "us", "bar"], rows)
    one = IndexReplay(10_000, 8, account_size=2, features=np.zeros((500, FEATURES), np.float32), window=64, alpha=0.6)
    stored = 2 * (64 * FEATURES + 2) * 4
    share = one.bytes_per_transition / stored
    short += [f"a transition takes 1/{1 / share:.0f}"] if share > 1 / 50 else []
    text = (
        f"A transition of 64 bars x {FEATURES} features takes {one.bytes_per_transition:.0f} bytes, 1/{1 / share:.0f} of the "
        f"{stored:,} that two stored observations take."
    )
    return f"{table}\n\n{text}", short


# --- updates -------------------------------------------------------------------------------------------------------------

STEPS = 40_000
NET = (64, 64)
SCORED_SEEDS = 3
FACES = {"theirs": "`DummyVecEnv` of scalar ones", "ours": "our batch"}


def _frequencies(made: IndexReplay) -> list[str]:
    """Whether a hundred groups of entries are drawn as often as their priorities say, by a chi-squared test."""
    assert made.tree is not None
    random, groups = np.random.default_rng(5), np.arange(1_000_000) % 100
    drawn = np.concatenate([made.sample(64, random).entry for _ in range(4_000)])
    expected = np.bincount(groups, made.tree.priorities) / made.tree.total * len(drawn)
    p_value = float(chisquare(np.bincount(groups[drawn], minlength=100), expected).pvalue)
    return [f"frequencies do not match priorities, p {p_value:.1e}"] if p_value < 1e-4 else []


def updates() -> tuple[str, list[str]]:
    """Against stable-baselines3: the same network, batch, updates a step and steps, on the trading environment."""
    if find_spec("stable_baselines3") is None:
        print("rl_speed: stable-baselines3 is skipped, it is not installed (pip install stable-baselines3).")
        return "Updates against stable-baselines3: not measured, it is not installed.", []
    market, rules = _learnable()
    test, _ = _learnable(seed=1)
    rows, short = [], []
    made = STEPS // 4
    for copies, bar in ((1, 2.0), (8, 1.5)):
        ours, scores = [], []
        theirs: dict[str, list[float]] = {face: [] for face in FACES}
        for seed in range(SCORED_SEEDS):
            mine, seconds = _ours(market, rules, copies, seed)
            ours.append(seconds)
            for face in FACES:
                model, seconds = _theirs(market, rules, copies, seed, face)
                theirs[face].append(seconds)
            scores.append(
                (
                    _score(lambda s, made=mine: made.predict(s)[0], test, rules),
                    _score(lambda s, made=model: made.predict(s, deterministic=True)[0], test, rules),
                )
            )
        mean = np.mean(scores, axis=0)
        for face, taken in theirs.items():
            ratio = float(np.median(np.array(taken) / np.array(ours)))
            rows.append([copies, FACES[face], f"{made / np.median(ours):,.0f}", f"{made / np.median(taken):,.0f}"])
            rows[-1] += [f"{ratio:.2f}x", *(f"{1e4 * score:+.2f}" for score in mean)]
            if face == "theirs":
                short += [f"updates with {copies} copies: {ratio:.2f}x"] if ratio < bar else []
        short += [f"mean score with {copies} copies below stable-baselines3"] if mean[0] < mean[1] else []
    head = ["copies", "its environments", "updates/s, ours", "stable-baselines3", "ratio"]
    head += ["net bp a bar, ours", "stable-baselines3"]
    note = (
        f"Acting, stepping, storing and learning together; medians and mean scores of {SCORED_SEEDS} seeds. The bars, 2x and "
        "1.5x, are for what its users have: copies of the scalar environment. Beside it the same algorithm on our batch of "
        "copies (`as_vec_env`), which is as fast for it as for us."
    )
    return f"{markdown_table(head, rows)}\n\n{note}", short


def _learnable(seed: int = 0) -> tuple[MarketTable, TradingRules]:
    from huracan.reinforcement.solved_markets import ornstein_uhlenbeck_market

    market, _ = ornstein_uhlenbeck_market(decay=0.88, spread=0.02).sample(20_000, seed=seed)
    costs = CostModel(fee_bps=20, half_spread_bps=0, slippage_bps=0)
    return market, TradingRules(
        actions=ActionLadder.positions(-1, 0, 1), costs=costs, observe=("level",), rebalance=True, episode_length=250
    )


def _ours(market: MarketTable, rules: TradingRules, copies: int, seed: int) -> tuple[DQNAgent, float]:
    agent = DQNAgent(
        hidden=NET,
        batch_size=64,
        train_every=4,
        counterfactual=False,
        learning_starts=100,
        tau=0.005,
        random_state=seed,
    )
    began = time.process_time()
    agent.fit(BatchTradingEnv(market, copies, rules), STEPS)
    return agent, time.process_time() - began


def _theirs(market: MarketTable, rules: TradingRules, copies: int, seed: int, face: str) -> tuple[Any, float]:
    from stable_baselines3 import DQN
    from stable_baselines3.common.vec_env import DummyVecEnv

    def scaled() -> Any:
        return gymnasium.wrappers.TransformReward(TradingEnv(market, rules), lambda r: 100.0 * r)

    env = DummyVecEnv([scaled] * copies) if face == "theirs" else as_vec_env(BatchTradingEnv(market, copies, rules), 100.0)
    model = DQN(
        "MlpPolicy",
        env,
        policy_kwargs={"net_arch": list(NET)},
        batch_size=64,
        train_freq=4 if copies == 1 else 1,
        gradient_steps=1 if copies == 1 else copies // 4,
        learning_starts=100,
        learning_rate=1e-3,
        target_update_interval=500,
        exploration_fraction=0.5,
        seed=seed,
        device="cpu",
    )
    began = time.process_time()
    model.learn(STEPS)
    return model, time.process_time() - began


def _score(act: Callable[[NDArray[np.float32]], Any], market: MarketTable, rules: TradingRules) -> float:
    env = BatchTradingEnv(market, 64, rules)
    seen, _ = env.reset(seed=0)
    earned = 0.0
    for _ in range(250):
        seen, reward, *_ = env.step(np.asarray(act(seen)))
        earned += float(reward.mean())
    return earned / 250
