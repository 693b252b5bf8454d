"""Playing: gaps and ends are booked as in a backtest, stops end accounts, and an agent may be asked about all rows at once."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from huracan.accounting import CostModel, backtest
from huracan.market import simulate_market
from huracan.preprocessing import FeatureRecipe
from huracan.reinforcement import (
    ActionLadder,
    BatchTradingEnv,
    BuyAndHold,
    DQNAgent,
    MarketTable,
    TradingRules,
    action_map,
    play,
)

LADDER = ActionLadder.positions(-1, 0, 1)
COSTS = CostModel(fee_bps=10, half_spread_bps=0, slippage_bps=0)


@pytest.fixture(scope="module")
def candles():
    """Two symbols, each with two gaps."""
    bars = simulate_market(n_bars=500, n_symbols=2, seed=3, signal_strength=1.0).candles
    hours = pl.int_range(pl.len()).over("symbol")
    return bars.filter(~(hours.is_between(200, 202) | hours.is_between(340, 343)))


@pytest.fixture(scope="module")
def market(candles):
    return MarketTable.from_candles(candles, recipe=FeatureRecipe.minimal())


class Wanders:
    """Draws an action at some bars, of each account by itself."""

    def __init__(self, chance=0.3):
        self.chance = chance

    def choose(self, seen):
        drawn = [np.random.default_rng(row).random(2) for row in seen.row]
        return np.array([int(d[1] * 3) if d[0] < self.chance else level for d, level in zip(drawn, seen.level, strict=True)])


class ShortAtOnce:
    def choose(self, seen):
        return np.zeros(len(seen.row), np.int64)


class Linear:
    """An agent that values actions by a fixed linear map of what it sees."""

    def __init__(self, width, actions):
        self.map, self.asked = np.random.default_rng(0).normal(size=(width, actions)), 0

    def predict(self, state, mask=None):
        self.asked += 1
        values = state @ self.map
        return np.where(True if mask is None else mask, values, -np.inf).argmax(axis=1), values


class AsksEveryBar:
    """An agent as a policy: what it does bar by bar, seeing what the environment shows."""

    def __init__(self, agent):
        self.agent = agent

    def choose(self, seen):
        return self.agent.predict(seen.observation, seen.allowed)[0]


@pytest.mark.parametrize("rebalance", [False, True])
def test_accounts_go_through_gaps_as_those_of_the_backtest_do(candles, rebalance):
    """What is held before a gap is held through it, and through the bars behind it that have no features yet."""
    rate = np.random.default_rng(5).normal(0.0, 1e-4, candles.height)
    candles = candles.with_columns(funding_rate=pl.Series(rate))
    market = MarketTable.from_candles(candles, recipe=FeatureRecipe.minimal())
    costs = CostModel(fee_bps=10, lot_size=0.01, initial_equity=20_000.0)
    rules = TradingRules(actions=LADDER, costs=costs, rebalance=rebalance)
    played = play(Wanders(), market, rules)
    assert played.bars["stretch"].n_unique() == 2
    assert (~played.bars["decided"]).sum() == 4  # the last row with features before each gap
    for symbol in market.symbols:
        own, mine = (frame.filter(pl.col("symbol") == symbol) for frame in (candles, played.bars))
        standing = own.select("symbol", "ts").join(mine.select("ts", "target"), on="ts", how="left", maintain_order="left")
        standing = standing.filter(pl.col("ts").is_between(mine["ts"][0], mine["ts"][-1])).fill_null(strategy="forward")
        assert standing.height > mine.height
        result = backtest(own, standing, costs, rebalance=rebalance)
        # the backtest trades back to its target on the bars without features, too; here units are held there
        assert mine["equity"][-1] == pytest.approx(result.equity["equity_net"][-1], rel=1e-2 if rebalance else 1e-9)
        if not rebalance:
            assert mine["cost"].sum() == pytest.approx(result.equity["cost"].sum(), rel=1e-9)
            assert played.per_symbol.filter(symbol=symbol)["trades"][0] == result.trades


def test_an_outage_costs_what_it_costs():
    """Nobody sells before a gap that nobody knows of."""
    ts = pl.datetime_range(
        pl.datetime(2024, 1, 1), pl.datetime(2024, 1, 10), "1h", eager=True, time_zone="UTC", time_unit="ms"
    )[:130]
    price = np.where(np.arange(130) < 40, 100.0, 60.0)
    bars = pl.DataFrame({"symbol": "X", "ts": ts, "open": price, "high": price, "low": price, "close": price, "volume": 1.0})
    bars = bars.filter(~pl.int_range(pl.len()).is_between(40, 89))
    market = MarketTable.from_candles(bars, recipe=Price())
    assert market.bars.max() == 51.0
    played = play(BuyAndHold(LADDER), market, TradingRules(actions=LADDER, costs=CostModel.free()))
    assert played.totals["total_return"] == pytest.approx(-0.4)
    env = BatchTradingEnv(market, 1, TradingRules(actions=LADDER, costs=CostModel.free(), episode_length=None))
    env.reset(seed=0, options={"rows": [38]})
    *_, reward, _, truncated, _ = env.step(np.array([2]))
    assert (reward[0], truncated[0]) == (pytest.approx(np.log(0.6)), True)


class Price:
    hash = "price"

    def compute(self, bars):
        return bars.select("symbol", "ts", "segment", x=pl.col("close").cast(pl.Float32))


@pytest.mark.parametrize("rebalance", [False, True])
def test_the_drawdown_stop_ends_an_account_and_is_told(market, rebalance):
    rules = TradingRules(actions=LADDER, costs=COSTS, rebalance=rebalance)
    free, stopped = (play(Wanders(), market, replace(rules, max_drawdown=limit)) for limit in (None, 0.03))
    assert free.stops.is_empty() and free.totals["stops"] == 0.0
    assert stopped.stops["stop"].to_list() == ["drawdown"] * 2
    assert stopped.totals["stops"] == 2.0
    assert "ended by drawdown" in repr(stopped)
    for symbol in market.symbols:
        whole, part = (p.bars.filter(pl.col("symbol") == symbol) for p in (free, stopped))
        at = int(part["stop"].is_not_null().arg_max())
        assert part[:at].equals(whole[:at])
        highest = max(1.0, part["equity"][:at].max())
        assert part["equity"][at] <= 0.97 * highest < part["equity"][at - 1]
        quiet = part[at + 1 :]
        for column in ("target", "position", "turnover", "cost", "log_return"):
            assert (quiet[column] == 0).all()
        assert (quiet["equity"] == part["equity"][at]).all()
        assert (quiet["level"] == LADDER.flat).all() and (quiet["action"] == LADDER.flat).all()
        assert part.height == whole.height


def test_liquidation_ends_an_account_with_what_closing_leaves():
    market = MarketTable.from_prices(np.zeros((7, 1)), [100.0, 100.0, 130.0, 131.0, 50.0, 50.0, 50.0])
    costs = CostModel(fee_bps=100, half_spread_bps=0, slippage_bps=0, initial_equity=1.0)
    rules = TradingRules(actions=LADDER, costs=costs, maintenance_margin=0.6, observe=())
    played = play(ShortAtOnce(), market, rules)
    sold = 1.0 / (1 + 0.01)  # the weight after its own cost is -1
    kept = 1.0 - 0.01 * sold
    left = kept - 0.3 * sold - 0.01 * 1.3 * sold
    assert played.bars["stop"].to_list() == [None, "liquidation", None, None, None, None]
    assert played.bars["equity"].to_list() == pytest.approx([kept, left, left, left, left, left])
    assert played.bars["turnover"].to_list() == pytest.approx([sold, 1.3 * sold / kept, 0, 0, 0, 0])
    assert (played.totals["trades"], played.totals["stops"]) == (1.0, 1.0)
    assert played.stops.row(0)[2:] == (1, "liquidation", pytest.approx(left))


@pytest.mark.parametrize("observe", [("level",), ("target", "level"), (), ("position", "level")])
@pytest.mark.parametrize("ladder", [LADDER, ActionLadder.buy_hold_sell((0.0, 0.5, 1.0))], ids=["positions", "moves"])
def test_an_agent_that_is_asked_about_all_rows_at_once_does_what_it_does_bar_by_bar(market, observe, ladder):
    rules = TradingRules(actions=ladder, costs=COSTS, observe=observe, window=3, max_drawdown=0.3, episode_length=50)
    agent = Linear(rules.window * market.n_features + rules.account_size, ladder.n_actions)
    played = play(agent, market, rules)
    calls, agent.asked = agent.asked, 0
    assert played.bars.equals(play(AsksEveryBar(agent), market, rules, name="").bars)
    assert played.bars["action"].n_unique() > 1
    assert (calls == 1) == ("position" not in observe)
    assert agent.asked > 100


def test_an_agent_of_ours_too(market):
    rules = TradingRules(costs=COSTS, observe=("level",), rebalance=True, window=2, episode_length=50)
    agent = DQNAgent(random_state=0, hidden=(16,), gamma=0.5).fit(BatchTradingEnv(market, 4, rules), 400)
    assert play(agent, market, rules).bars.equals(play(AsksEveryBar(agent), market, rules).bars)


def test_an_agent_that_does_not_see_what_is_allowed_is_told(market):
    rules = TradingRules(actions=ActionLadder.buy_hold_sell(), observe=("position",), costs=COSTS, episode_length=50)
    agent = DQNAgent(hidden=(8,), learning_starts=100).fit(BatchTradingEnv(market, 4, rules), 400)
    assert play(agent, market, rules).bars.height
    assert action_map(agent, market, rules).y_name == "standing position"
