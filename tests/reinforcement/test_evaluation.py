"""Evaluation: accounts are those of the backtest, nothing played was learned from, and noise is called noise."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from huracan.accounting import CostModel, backtest, buy_and_hold
from huracan.distributed.fanout import FanoutExecutor
from huracan.errors import ModelError, NotEnoughData, UnknownName
from huracan.market import simulate_market
from huracan.preprocessing import FeatureRecipe
from huracan.reinforcement import (
    ActionLadder,
    BuyAndHold,
    DQNAgent,
    Flat,
    MarketTable,
    Myopic,
    RandomOfSameHabits,
    TradingRules,
    action_map,
    play,
    walk_forward_evaluation,
    walk_forward_windows,
)
from huracan.reinforcement.solved_markets import ornstein_uhlenbeck_market
from huracan.statistics import ewc_t_test

COSTS = CostModel(fee_bps=10, half_spread_bps=0, slippage_bps=0)
LADDER = ActionLadder.positions(-1, 0, 1)
RULES = TradingRules(actions=LADDER, costs=COSTS, rebalance=True, observe=("level",), episode_length=50)
DRIFTING = TradingRules(actions=LADDER, costs=COSTS, episode_length=50)


@pytest.fixture(scope="module")
def candles():
    return simulate_market(n_bars=900, n_symbols=2, seed=3, signal_strength=1.0).candles


@pytest.fixture(scope="module")
def market(candles):
    return MarketTable.from_candles(candles, recipe=FeatureRecipe.minimal())


def random_walk(n=3_000, seed=0):
    random = np.random.default_rng(seed)
    return MarketTable.from_prices(random.normal(size=(n, 2)), np.exp(np.cumsum(random.normal(0, 0.01, n))))


def small_agent(seed):
    return DQNAgent(random_state=seed, hidden=(16,), gamma=0.9, learning_starts=100)


class Wanders:
    """Draws an action at every bar."""

    def __init__(self, seed=0, chance=1.0):
        self.random, self.chance = np.random.default_rng(seed), chance

    def choose(self, seen):
        drawn = self.random.integers(0, 3, len(seen.row))
        return np.where(self.random.random(len(drawn)) < self.chance, drawn, seen.level)


def targets_of(played):
    return played.bars.select("symbol", "ts", "target")


def growth_of(backtested):
    return np.cumprod(1.0 + backtested.returns)


def test_a_played_account_is_the_backtest_of_the_same_targets(candles, market):
    played = play(Wanders(), market, DRIFTING)
    result = backtest(candles, targets_of(played), COSTS, keep_bars=True)
    np.testing.assert_allclose(played.equity()["equity"], growth_of(result), rtol=1e-9)
    for row, theirs in zip(played.per_symbol.iter_rows(named=True), result.per_symbol.iter_rows(named=True), strict=True):
        assert row["symbol"] == theirs["symbol"]
        assert (row["n_bars"], row["trades"]) == (theirs["n_bars"], theirs["trades"])
        for ours, name in (("total_return",) * 2, ("sharpe",) * 2, ("max_drawdown",) * 2, ("exposure",) * 2):
            assert row[ours] == pytest.approx(theirs[name], rel=1e-9)
        assert row["turnover"] == pytest.approx(theirs["turnover"], rel=1e-9)
        assert row["cost_bps"] == pytest.approx(theirs["cost_bps"], rel=1e-9)
        assert np.log1p(row["total_return"]) == pytest.approx(row["net_log_return"], rel=1e-9)
    for name in ("sharpe", "max_drawdown", "total_return"):
        assert played.totals[name] == pytest.approx(result.metrics[name], rel=1e-9)


@pytest.mark.parametrize("rules", [RULES, DRIFTING], ids=["rebalanced", "drifting"])
def test_buy_and_hold_is_that_of_accounting(candles, market, rules):
    played = play(BuyAndHold(LADDER), market, rules)
    decided = candles.join(targets_of(played), on=["symbol", "ts"], how="semi")
    # the environment ends a bar before the data, since an agent must see what follows its last decision
    span = candles.filter(pl.col("ts").is_between(decided["ts"].min(), decided["ts"].max()))
    ahead = candles.filter(pl.col("ts") > decided["ts"].max()).group_by("symbol", maintain_order=True).head(2)
    bars = pl.concat([span, ahead]).sort("symbol", "ts")
    held = backtest(bars, decided.select("symbol", "ts", target=pl.lit(1.0)), COSTS)
    np.testing.assert_allclose(played.equity()["equity"], growth_of(held), rtol=1e-9)
    open_end = buy_and_hold(candles.filter(pl.col("ts") >= decided["ts"].min()), COSTS, close_at_end=False)
    np.testing.assert_allclose(played.equity()["equity"][:-1], growth_of(open_end)[:-2], rtol=1e-9)


def test_a_gap_ends_no_position_and_nothing_is_decided_before_it(candles):
    cut = candles.filter(~pl.col("ts").is_between(candles["ts"][400], candles["ts"][405]))
    market = MarketTable.from_candles(cut, recipe=FeatureRecipe.minimal())
    played = play(BuyAndHold(LADDER), market, DRIFTING)
    assert played.bars["stretch"].n_unique() == 2
    first = played.bars.group_by("stretch", maintain_order=True).first()
    assert (first["level"] == LADDER.flat).all()
    assert (played.bars["turnover"] > 0.5).sum() == 2 * 2  # bought once and sold once of either symbol
    assert played.bars.filter("decided").height == int(market.decidable.sum())


def test_how_long_episodes_are_changes_nothing(market):
    longer = replace(DRIFTING, episode_length=10)
    assert play(Wanders(), market, longer).bars.equals(play(Wanders(), market, DRIFTING).bars)


def test_ruin_is_the_end_of_an_account():
    market = MarketTable.from_prices(np.zeros((6, 1)), [10.0, 10.0, 30.0, 30.0, 20.0, 20.0])
    played = play(ShortAtOnce(), market, TradingRules(actions=LADDER, costs=CostModel.free(), observe=()))
    assert played.bars["equity"].to_list() == [1.0, 0.0, 0.0, 0.0, 0.0]
    assert played.bars["log_return"].to_list() == pytest.approx([0.0, np.log(1e-6), 0.0, 0.0, 0.0])


class ShortAtOnce:
    def choose(self, seen):
        return np.zeros(len(seen.row), np.int64)


def test_chance_pays_its_costs_on_a_random_walk_and_nothing_else():
    market = random_walk(8_000)
    played = play(Wanders(seed=1, chance=0.2), market, RULES)
    gross = played.bars["log_return"].to_numpy() - np.log1p(-played.bars["cost"].to_numpy())
    test = ewc_t_test(gross)  # what is left before costs: nothing but half the variance of a short's rebalancing
    assert test.ci_low - 1e-4 <= 0.0 <= test.ci_high + 1e-4
    net = ewc_t_test(played.bars["log_return"].to_numpy())
    assert net.ci_low <= -played.bars["cost"].mean() <= net.ci_high + 1e-4
    assert net.ci_high < 0.0


def test_random_of_same_habits_trades_as_much_and_knows_nothing():
    market, _ = ornstein_uhlenbeck_market(n_points=21).sample(2_500, seed=0)
    knows = play(Myopic(market, RULES), market, RULES)
    drawn = [play(RandomOfSameHabits(knows, market, RULES, seed=s), market, RULES) for s in range(3)]
    for figure in ("turnover", "exposure"):
        assert np.mean([p.totals[figure] for p in drawn]) == pytest.approx(knows.totals[figure], rel=0.25)
    assert max(p.totals["net_log_return"] for p in drawn) < 0.0 < knows.totals["net_log_return"]
    again = play(RandomOfSameHabits(knows, market, RULES, seed=0), market, RULES)
    assert again.bars.equals(drawn[0].bars)


def test_the_myopic_policy_does_what_a_known_next_return_makes_best():
    moves = np.random.default_rng(0).normal(0, 0.002, 2_001)
    market = MarketTable.from_prices(moves[1:, None], np.exp(np.cumsum(moves))[:-1])  # the feature is the next return
    policy = Myopic(market, RULES, penalty=0.0)
    np.testing.assert_allclose(policy.forecast(market.features[:50]), moves[1:51], atol=1e-7)
    bars = play(policy, market, RULES).bars
    r, level, action = np.expm1(moves[1:-1]), bars["level"].to_numpy(), bars["action"].to_numpy()
    # a fill costs 10 basis points: from flat it must earn that, and a long position is turned where it would lose as much
    assert (action[(level == 1) & (r > 0.0011)] == 2).all()
    assert (action[(level == 1) & (np.abs(r) < 0.0009)] == 1).all()
    assert (action[(level == 2) & (r > -0.0009)] == 2).all()
    assert (action[(level == 2) & (r < -0.0011)] == 0).all()


def test_nothing_that_is_played_was_learned_from(market):
    for train in ("growing", "rolling"):
        windows = list(walk_forward_windows(market, 3, train=train, embargo=5))
        played = np.concatenate([np.flatnonzero(w.test.decidable) for w in windows])
        assert len(np.unique(played)) == len(played)
        for w in windows:
            past, now = np.flatnonzero(w.train.decidable), np.flatnonzero(w.test.decidable)
            assert not np.intersect1d(past, now).size
            settled = market.ts[past].max() + 2 * market.bar_length  # decided a bar after the open, valued a bar later
            first = market.ts[now].min() + market.bar_length
            assert settled + 5 * market.bar_length < first
            assert w.train.features is market.features  # what came before stays visible
        lengths = [int(w.train.decidable.sum()) for w in windows]
        assert (lengths == sorted(lengths)) if train == "growing" else (max(lengths) - min(lengths) <= 4)


@pytest.mark.parametrize("rules", [RULES, DRIFTING], ids=["counterfactual", "replayed"])
def test_what_comes_after_a_window_changes_nothing_in_it(rules):
    market = random_walk(600)
    end = int(np.flatnonzero(next(walk_forward_windows(market, 2)).test.decidable).max())
    later = np.arange(len(market)) > end + 1  # what the last decision is valued at, and the agent sees then, stays
    other = random_walk(600, seed=9)
    changed = replace(
        market,
        features=np.where(later[:, None], other.features, market.features),
        fill=np.where(later, other.fill, market.fill),
        close=np.where(later, other.close, market.close),
        mark=np.where(np.arange(len(market)) > end, other.mark, market.mark),
    )
    options = {"n_windows": 2, "seeds": 1, "total_steps": 300, "n_envs": 2, "maps": False}
    first, second = (walk_forward_evaluation(m, small_agent, rules, **options).bars for m in (market, changed))
    before, after = (pl.col("window") == 0, pl.col("window") == 1)
    assert first.filter(before).equals(second.filter(before))
    assert not first.filter(after).equals(second.filter(after))


@pytest.fixture(scope="module")
def found():
    market, _ = ornstein_uhlenbeck_market(n_points=11).sample(1_000, seed=0)
    return walk_forward_evaluation(market, small_agent, RULES, n_windows=2, seeds=2, total_steps=600, n_envs=4)


def test_the_table_has_a_row_a_run_and_the_accounts_add_up(found):
    table = found.to_frame()
    assert table.group_by("strategy").len().sort("strategy").rows() == [
        ("agent", 4),
        ("buy_and_hold", 2),
        ("flat", 2),
        ("myopic", 2),
        ("random", 4),
    ]
    for row in table.iter_rows(named=True):
        own = found.bars.filter(
            pl.col("strategy") == row["strategy"], pl.col("window") == row["window"], pl.col("seed").eq_missing(row["seed"])
        )
        assert row["net_log_return"] == pytest.approx(own["log_return"].sum(), abs=1e-12)
        assert row["n_bars"] == own.height
    assert found.windows["test_decisions"].sum() == found.bars.filter(pl.col("strategy") == "flat").height
    assert found.learning_curves.select("seed", "window").unique().height == 4
    assert found.action_maps["y_name"].unique().to_list() == ["standing position"]
    assert not found.stopped


def test_a_summary_says_what_seeds_and_time_leave_open(found):
    rows = {row["strategy"]: row for row in found.summary(resamples=400).iter_rows(named=True)}
    flat, agent = rows["flat"], rows["agent"]
    assert (flat["mean_bps"], flat["mean_low"], flat["mean_high"], flat["turnover"]) == (0.0, 0.0, 0.0, 0.0)
    assert flat["score_low"] is None
    assert agent["score_low"] <= agent["score"] <= agent["score_high"]
    assert flat["lead_bps"] == pytest.approx(agent["mean_bps"])
    assert agent["lead_bps"] is None
    for name in ("flat", "buy_and_hold", "random", "myopic"):
        row = rows[name]
        assert row["lead_bps"] == pytest.approx(agent["mean_bps"] - row["mean_bps"])
        assert row["lead_low"] <= row["lead_bps"] <= row["lead_high"]
        assert row["lead_p_value"] <= row["lead_p_adjusted"] <= 1.0
    assert flat["improvement"] == (found.scores("agent") > 0).mean()
    bars = found.bars.filter(pl.col("strategy") == "agent")
    assert agent["mean_bps"] == pytest.approx(bars["log_return"].mean() * 1e4)
    assert agent["mean_bps"] > rows["random"]["mean_bps"]  # a price that comes back can be traded


def test_profiles_and_equity_tell_the_same_runs(found):
    profiles = found.profiles(resamples=400)
    assert profiles.group_by("strategy").len()["len"].unique().to_list() == [52]  # 51 and 0
    flat = profiles.filter(pl.col("strategy") == "flat")
    assert ((flat["share"] == 1.0) == (flat["threshold"] < 0)).all()
    equity = found.equity()
    for seed in (0, 1):
        end = equity.filter(pl.col("strategy") == "agent", pl.col("seed") == seed)["equity"][-1]
        runs = found.to_frame().filter(pl.col("strategy") == "agent", pl.col("seed") == seed)
        assert np.log(end) == pytest.approx(runs["net_log_return"].sum(), abs=1e-9)


def test_seeds_repeat_and_an_executor_changes_nothing(found):
    market, _ = ornstein_uhlenbeck_market(n_points=11).sample(1_000, seed=0)
    executor = FanoutExecutor("inline", retries=0)
    again = walk_forward_evaluation(
        market, small_agent, RULES, n_windows=2, seeds=[0, 1], total_steps=600, n_envs=4, executor=executor
    )
    assert again.bars.equals(found.bars)
    assert again.summary(resamples=400).equals(found.summary(resamples=400))
    assert again.action_maps.equals(found.action_maps)


def test_on_a_random_walk_the_agent_is_not_called_better():
    found = walk_forward_evaluation(random_walk(800), small_agent, RULES, n_windows=2, seeds=2, total_steps=400, n_envs=4)
    rows = {row["strategy"]: row for row in found.summary(resamples=400).iter_rows(named=True)}
    assert rows["flat"]["lead_low"] <= 0.0
    assert rows["agent"]["mean_low"] <= 0.0


def test_candles_of_several_symbols_one_agent_each(candles):
    found = walk_forward_evaluation(
        candles,
        small_agent,
        RULES,
        n_windows=1,
        seeds=1,
        total_steps=300,
        n_envs=4,
        one_agent_per_symbol=True,
        min_train_share=0.6,
        maps=False,
    )
    table = found.to_frame()
    assert table.height == 10
    assert table["symbol"].n_unique() == 2
    assert found.learning_curves["symbol"].n_unique() == 2
    assert found.bars["ts"].null_count() == 0
    assert found.action_maps.is_empty()
    first = found.bars["ts"].min() + (found.bars["ts"][1] - found.bars["ts"][0])
    assert found.windows["test_start"].to_list() == [first]
    assert found.summary(resamples=400)["score_low"].null_count() == 5  # one seed says nothing of luck
    assert found.bars_per_year == 8760.0


def test_an_action_map_shows_what_an_agent_does():
    market, _ = ornstein_uhlenbeck_market(n_points=11).sample(1_500, seed=0)
    from huracan.reinforcement import BatchTradingEnv

    agent = small_agent(0).fit(BatchTradingEnv(market, 4, RULES), 2_000)
    shown = action_map(agent, market, RULES, points=5)
    for i, weight in enumerate(shown.y):
        level = np.eye(3)[LADDER.weights.index(weight)]
        for j, x in enumerate(shown.x):
            assert shown.action[i, j] == agent.predict([x, *level])[0]
    assert (shown.advantage >= 0).all()
    assert shown.to_frame().height == 15
    with pytest.raises(UnknownName, match="number of the observation"):
        action_map(agent, market, RULES, axes=("x0", "momentum"))
    with pytest.raises(ModelError, match="two different"):
        action_map(agent, market, RULES, axes=("x0", "x0"))


def test_what_cannot_be_played_is_refused(market):
    with pytest.raises(ModelError, match="agent with predict"):
        play(object(), market, RULES)

    class Beyond:
        def choose(self, seen):
            return np.full(len(seen.row), 7)

    with pytest.raises(ModelError, match="chose action 7 on row"):
        play(Beyond(), market, RULES)
    with pytest.raises(ModelError, match="nobody knows how long"):
        play(Flat(LADDER), market, TradingRules(actions=LADDER, observe=("time_left",)))
    with pytest.raises(NotEnoughData, match="window shows"):
        play(Flat(LADDER), market, TradingRules(actions=LADDER, window=5_000))
    with pytest.raises(ModelError, match="without a long one"):
        BuyAndHold(ActionLadder.positions(-1, 0))
    with pytest.raises(ModelError, match="'growing' or 'rolling'"):
        list(walk_forward_windows(market, 2, train="shrinking"))
    with pytest.raises(ModelError, match="each once"):
        walk_forward_evaluation(market, small_agent, RULES, seeds=[1, 1])
