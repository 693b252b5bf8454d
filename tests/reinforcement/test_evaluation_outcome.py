"""What is said of an evaluation: no more than intervals allow, by regime, by symbol; and runs that stay finished."""

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from huracan.accounting import CostModel, performance_metrics
from huracan.distributed.fanout import FanoutExecutor
from huracan.errors import DataError, ModelError, NotEnoughData, StorageError
from huracan.market import simulate_market
from huracan.model_info import MarketRegime
from huracan.preprocessing import FeatureRecipe
from huracan.reinforcement import (
    ActionLadder,
    DQNAgent,
    KeptRuns,
    MarketTable,
    TradingRules,
    walk_forward,
    walk_forward_evaluation,
)
from huracan.reinforcement.evaluation import WalkForwardEvaluation
from huracan.reinforcement.regime_results import LEAST_MOMENTS, regime_table
from huracan.reinforcement.verdicts import Standing
from huracan.statistics import ewc_t_test

COSTS = CostModel(fee_bps=10, half_spread_bps=0, slippage_bps=0)
RULES = TradingRules(
    actions=ActionLadder.positions(-1, 0, 1), costs=COSTS, rebalance=True, observe=("level",), episode_length=50
)
OPTIONS = {"n_windows": 1, "seeds": 3, "total_steps": 200, "n_envs": 4, "min_train_share": 0.4}
STRATEGIES = ("agent", "random", "flat", "buy_and_hold", "myopic")


def small_agent(seed):
    return DQNAgent(random_state=seed, hidden=(8,), gamma=0.9)


class Diverges:
    """Learns nothing, stops for a reason, and stays flat."""

    def __init__(self, seed):
        self.seed, self.stopped_ = seed, ""

    def fit(self, env, total_steps):
        codes = np.unique(env.market.symbol_code[env.market.decidable])
        self.stopped_ = f"seed {self.seed} exploded on {env.market.symbols[codes[0]]}"

    def predict(self, state, mask=None):
        return np.ones(len(state), np.int64), np.zeros((len(state), 3))


@pytest.fixture(scope="module")
def candles():
    return simulate_market(n_bars=900, n_symbols=2, seed=3, signal_strength=1.0).candles


@pytest.fixture(scope="module")
def found(candles):
    return walk_forward_evaluation(candles, small_agent, RULES, **OPTIONS)


def made(means, *, n=600, seeds=5, spread=1e-3, symbols=("A",), world=0):
    """An evaluation whose strategies earn these means a bar; the flat one nothing."""
    rng = np.random.default_rng(world)
    ts = pl.datetime_range(pl.datetime(2024, 1, 1), interval="1h", eager=True, end=pl.datetime(2024, 6, 1)).head(n)
    bars, runs = [], []
    for name in STRATEGIES:
        for seed in range(seeds) if name in ("agent", "random") else [None]:
            for symbol in symbols:
                earned = np.zeros(n) if name == "flat" else means.get(name, 0.0) + spread * rng.standard_normal(n)
                key = {"strategy": name, "seed": seed, "window": 0}
                table = pl.DataFrame({"symbol": [symbol] * n, "ts": ts, "row": range(n), "log_return": earned})
                held = 0.0 if name == "flat" else 1.0
                table = table.with_columns(position=pl.lit(held), turnover=pl.lit(0.1 * held), equity=pl.lit(1.0))
                bars.append(table.select(pl.lit(name).alias("strategy"), pl.lit(seed, pl.Int64).alias("seed"), "*"))
                figures = dict.fromkeys(("turnover", "trades", "cost_bps", "stops", "max_drawdown", "sharpe"), 0.0)
                runs.append(key | {"symbol": symbol, "net_log_return": earned.sum(), "exposure": held, **figures})
    windows = pl.DataFrame({"window": [0]})
    table = pl.DataFrame(runs, schema_overrides={"seed": pl.Int64})
    bars = pl.concat(bars).with_columns(pl.col("ts").cast(pl.Datetime("ms")).dt.replace_time_zone("UTC"))
    return WalkForwardEvaluation(bars, table, windows, pl.DataFrame(), pl.DataFrame(), bars_per_year=8760.0)


@pytest.mark.parametrize(
    ("means", "standing", "said"),
    [
        ({"agent": 5e-4}, Standing.BEATS_ALL, "earns more than all it was held against"),
        ({"agent": 5e-4, "myopic": 5e-4}, Standing.EARNS, "is not shown to earn more than a forecast one bar ahead"),
        ({"agent": 0.0}, Standing.STAY_OUT, "is not shown to earn anything"),
        ({"agent": -5e-4}, Standing.STAY_OUT, "is shown to lose money"),
        ({"agent": 0.0, "random": -1e-3}, Standing.STAY_OUT, "is not shown to earn anything"),
    ],
)
def test_a_verdict_claims_what_the_tests_allow(means, standing, said):
    verdict = made(means).verdict(resamples=200)
    assert verdict.standing is standing
    assert said in verdict.sentence
    if "random" in means:
        assert any("earn more than chance" in reason for reason in verdict.reasons)


def test_noise_is_seldom_called_earning():
    called = [made({}, n=300, seeds=1, world=k).verdict(resamples=40).standing for k in range(20)]
    assert sum(standing is not Standing.STAY_OUT for standing in called) <= 3  # of 20 at 2.5 %: more in 0.2 % of all cases


def test_an_agent_that_never_trades_is_not_praised_for_losing_nothing(candles):
    found = walk_forward_evaluation(candles, Diverges, RULES, **{**OPTIONS, "maps": False})
    verdict = found.verdict(resamples=200)
    assert verdict.sentence == "Stay out, as the agent did: it never took a position."
    assert any("3 training(s) stopped before their time" in reason for reason in verdict.reasons)


def test_accounts_are_grown_once_for_all_tables(monkeypatch):
    found, asked, grown = made({}), [], WalkForwardEvaluation._grown
    monkeypatch.setattr(WalkForwardEvaluation, "_grown", lambda self, *by: asked.append(by) or grown(self, *by))
    found.summary(resamples=40)
    found.equity()
    assert sorted(asked) == [(), ("seed",)]


def test_what_stopped_is_known_by_window_seed_and_symbol(candles):
    together = walk_forward_evaluation(candles, Diverges, RULES, **OPTIONS, maps=False)
    assert set(together.stopped) == {(w, s, None) for w in range(1) for s in range(3)}
    apart = walk_forward_evaluation(candles, Diverges, RULES, **OPTIONS, maps=False, one_agent_per_symbol=True)
    names = candles["symbol"].unique().to_list()
    assert set(apart.stopped) == {(w, s, name) for w in range(1) for s in range(3) for name in names}
    assert all(why == f"seed {seed} exploded on {symbol}" for (_, seed, symbol), why in apart.stopped.items())
    assert {key[2] for key in apart.of_symbol(names[0]).stopped} == {names[0]}


def test_regimes_are_those_known_at_the_decision_and_share_out_all_that_was_earned(found):
    table = found.by_regime(resamples=200)
    assert table["regime"].to_list() == [str(r) for r in MarketRegime if str(r) in table["regime"].to_list()]
    named = found.bars.filter(strategy="agent").join(found.regimes.drop_nulls("regime"), on=["symbol", "ts"])
    assert table["bars"].sum() == named.select(pl.struct("symbol", "ts").n_unique()).item()
    assert table["share"].sum() == pytest.approx(1.0)
    for row in table.iter_rows(named=True):
        own = named.filter(pl.col("regime") == row["regime"])
        path = own.group_by("ts").agg(pl.col("log_return").mean()).sort("ts")["log_return"].to_numpy()
        assert row["mean_bps"] == pytest.approx(path.mean() * 1e4)
        if row["moments"] < LEAST_MOMENTS:
            assert row["mean_low"] is None and row["p_adjusted"] is None
        elif np.ptp(path) > 0:
            test = ewc_t_test(path)
            assert (row["mean_low"], row["mean_high"]) == pytest.approx((test.ci_low * 1e4, test.ci_high * 1e4))
            assert row["p_value"] <= row["p_adjusted"] <= 1.0
    evidence = found.regime_evidence()
    assert all(skill.ci_low <= skill.skill <= skill.ci_high and skill.n_rows >= LEAST_MOMENTS for skill in evidence)
    assert {str(s.regime) for s in evidence} <= set(table["regime"])


def test_a_planted_regime_is_found_and_the_others_are_not():
    evaluation = made({}, n=2_000, symbols=("A", "B"))
    ts = evaluation.bars["ts"].unique().sort()
    trending = np.arange(len(ts)) // 50 % 2 == 0
    names = pl.Series(np.where(trending, "trending", "ranging"))
    regimes = pl.concat([pl.DataFrame({"symbol": [s] * len(ts), "ts": ts, "regime": names}) for s in ("A", "B")])
    bars = evaluation.bars.filter(strategy="agent").join(regimes, on=["symbol", "ts"])
    bars = bars.with_columns(pl.col("log_return") + pl.when(pl.col("regime") == "trending").then(3e-4).otherwise(0.0))
    rows = {row["regime"]: row for row in regime_table(bars.drop("regime"), regimes).iter_rows(named=True)}
    assert rows["trending"]["mean_low"] < 3.0 < rows["trending"]["mean_high"]
    assert rows["trending"]["p_adjusted"] < 0.01
    assert rows["ranging"]["mean_low"] < 0.0 < rows["ranging"]["mean_high"]
    assert rows["trending"]["bars"] + rows["ranging"]["bars"] == 2 * len(ts)


def test_regimes_that_nobody_knows_are_refused(found, candles):
    with pytest.raises(ModelError, match="regimes of this market are not known"):
        made({}).by_regime()
    assert made({}).regime_evidence() == ()
    with pytest.raises(ModelError, match="'lucky' was not played"):
        found.by_regime("lucky")
    with pytest.raises(DataError, match="lack the column"):
        regime_table(found.bars, found.regimes.drop("regime"))
    with pytest.raises(DataError, match="has more than one regime at"):
        regime_table(found.bars, pl.concat([found.regimes, found.regimes.tail(1)]))


def test_one_symbol_is_judged_by_its_own_bars(found):
    name = found.symbols[0]
    own = found.of_symbol(name)
    assert own.symbols == (name,)
    assert own.bars.equals(found.bars.filter(pl.col("symbol") == name))
    rows = {row["strategy"]: row for row in own.summary(resamples=200).iter_rows(named=True)}
    bars = found.bars.filter(pl.col("strategy") == "agent", pl.col("symbol") == name)
    assert rows["agent"]["mean_bps"] == pytest.approx(bars["log_return"].mean() * 1e4)
    assert own.learning_curves.height == found.learning_curves.height
    with pytest.raises(DataError, match="not among"):
        found.of_symbol("nothing")


class Interrupted(Exception):
    pass


def test_kept_runs_are_not_done_again_and_give_the_same_bits(tmp_path, candles, found):
    market = MarketTable.from_candles(candles, recipe=FeatureRecipe.minimal())
    said = []

    def stop_after_two(text, share):
        said.append((text, share))
        if len(said) == 3:
            raise Interrupted

    kept = KeptRuns(tmp_path, "one", progress=stop_after_two)
    with pytest.raises(Interrupted):
        walk_forward_evaluation(market, small_agent, RULES, **OPTIONS, executor=kept)
    trained = []

    def counted(seed):
        trained.append(seed)
        return small_agent(seed)

    again = walk_forward_evaluation(market, counted, RULES, **OPTIONS, executor=KeptRuns(tmp_path, "one"))
    assert trained == [2]
    for part in ("bars", "runs", "learning_curves", "action_maps"):
        assert getattr(again, part).equals(getattr(found, part))
    assert sum(share for _, share in said) == pytest.approx(2 / 3)
    damaged = next(tmp_path.glob("window-0-seed-1*/agent.parquet"))
    damaged.write_bytes(damaged.read_bytes()[:-9] + b"123456789")
    trained.clear()
    mended = walk_forward_evaluation(market, counted, RULES, **OPTIONS, executor=KeptRuns(tmp_path, "one"))
    assert trained == [1]
    assert mended.bars.equals(found.bars)


def test_yardsticks_are_kept_too(tmp_path, candles, monkeypatch):
    def evaluated():
        return walk_forward_evaluation(candles, Diverges, RULES, **OPTIONS, executor=KeptRuns(tmp_path, "one"), maps=False)

    first = evaluated()
    monkeypatch.setattr(walk_forward, "Myopic", None)  # whoever plays it again fails
    assert evaluated().bars.equals(first.bars)
    (kept,) = tmp_path.glob("window-0-yardsticks/flat.parquet")
    kept.write_bytes(b"")
    with pytest.raises(TypeError):
        evaluated()


def test_a_folder_of_another_evaluation_is_refused(tmp_path):
    KeptRuns(tmp_path, "one")
    assert json.loads((tmp_path / "key.json").read_text()) == "one"
    with pytest.raises(StorageError, match="holds the evaluation 'one'; 'two' needs a folder of its own"):
        KeptRuns(tmp_path, "two")


def test_a_refusal_inside_a_worker_is_the_refusal(tmp_path, candles):
    def refuses(seed):
        raise ModelError("no agent today.")

    for executor in (None, FanoutExecutor("inline", retries=0)):
        with pytest.raises(ModelError, match="no agent today"):
            walk_forward_evaluation(candles, refuses, RULES, **OPTIONS, executor=KeptRuns(tmp_path, "one", executor=executor))


def test_figures_are_those_of_accounts_that_somebody_could_hold():
    evaluation = made({"agent": 2e-5}, seeds=5, symbols=("A", "B"))
    own = evaluation.summary(resamples=40).row(0, named=True)
    accounts = []
    for seed in range(5):
        bars = evaluation.bars.filter(strategy="agent", seed=seed)
        path = bars.group_by("ts").agg(pl.col("log_return").exp().mean() - 1.0).sort("ts")["log_return"].to_numpy()
        accounts.append(performance_metrics(path, bars_per_year=8760.0, confidence=None))
    for figure in ("sharpe", "max_drawdown"):
        assert own[figure] == pytest.approx(np.median([account[figure] for account in accounts]))
    assert own["worst_drawdown"] == pytest.approx(min(account["max_drawdown"] for account in accounts))
    whole = evaluation.equity().filter(pl.col("strategy") == "agent", pl.col("seed").is_null())["equity"].to_numpy()
    assert own["max_drawdown"] < (whole / np.maximum.accumulate(np.append(1.0, whole))[1:] - 1.0).min()


@pytest.mark.parametrize("seeds", [1, 4])
def test_too_few_seeds_beat_nobody(seeds):
    verdict = made({"agent": 1e-3}, seeds=seeds).verdict(resamples=200)
    assert verdict.standing is Standing.EARNS
    assert f"but {seeds} seed{'s' * (seeds > 1)} cannot say whether another would" in verdict.sentence


def test_a_coin_that_ends_early_is_left_out_of_what_it_cannot_play_and_that_is_told(candles):
    first, second = candles["symbol"].unique().sort().to_list()
    times = candles["ts"].unique().sort()
    early = candles.filter((pl.col("symbol") == first) | (pl.col("ts") <= times[500]))
    options = {**OPTIONS, "n_windows": 2, "seeds": 1, "min_train_share": 0.5, "maps": False, "one_agent_per_symbol": True}
    found = walk_forward_evaluation(early, Diverges, RULES, **options)
    assert set(found.skipped) == {(1, second)}
    for name in STRATEGIES:
        played = found.runs.filter(strategy=name).select("window", "symbol")
        assert (1, second) not in played.rows()
        assert sorted(played.rows()) == sorted(found.runs.filter(strategy="agent").select("window", "symbol").rows())
    assert any(
        reason.startswith(f"{second} was neither learned nor played in window 2: ") for reason in found.verdict().reasons
    )
    assert found.of_symbol(first).skipped == {}
    late = candles.filter((pl.col("symbol") == first) | (pl.col("ts") >= times[850]))
    found = walk_forward_evaluation(late, Diverges, RULES, **options)
    assert found.symbols == (first,)
    assert set(found.skipped) == {(0, second), (1, second)}
    with pytest.raises(NotEnoughData, match=f"no symbol can be learned and played in any window; {first} in window 1: "):
        walk_forward_evaluation(early, Diverges, replace(RULES, episode_length=890), **options)


def test_a_coin_with_hardly_a_bar_spoils_no_table_by_symbol():
    evaluation = made({}, symbols=("A", "B"))
    few = replace(evaluation, bars=evaluation.bars.filter((pl.col("symbol") == "A") | (pl.col("row") < 19)))
    assert few.symbols == ("A", "B")
    assert few.summary_by_symbol(resamples=40)["symbol"].unique().to_list() == ["A"]


def test_looking_again_costs_what_it_should():
    once = made({"agent": 4.5e-5}, symbols=("A", "B"))
    often = replace(once, tried=30)
    for table in ("summary", "summary_by_symbol"):
        first, then = (getattr(e, table)(resamples=40)["lead_p_adjusted"].drop_nulls().to_numpy() for e in (once, often))
        np.testing.assert_allclose(then, np.minimum(30 * first, 1.0))
    regimes = (
        once.bars.select("symbol", "ts")
        .unique()
        .with_columns(regime=pl.when(pl.col("ts").dt.hour() < 12).then(pl.lit("trending")).otherwise(pl.lit("ranging")))
    )
    first, then = (replace(e, regimes=regimes).by_regime(resamples=40)["p_adjusted"].to_numpy() for e in (once, often))
    np.testing.assert_allclose(then, np.minimum(30 * first, 1.0))
    assert (first < 1.0).any()
    assert [skill.p_adjusted for skill in replace(often, regimes=regimes).regime_evidence()] == then.tolist()
    assert once.verdict(resamples=40).standing is not Standing.STAY_OUT
    verdict = often.verdict(resamples=40)
    assert verdict.standing is Standing.STAY_OUT
    assert "adjusted for 4 yardsticks and 30 evaluations" in verdict.sentence
    assert any(reason.startswith("30 evaluations were made on these candles") for reason in verdict.reasons)
    assert not any("evaluations were made" in reason for reason in once.verdict(resamples=40).reasons)
