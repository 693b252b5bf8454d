"""Scores of a training: true to the accounts, cheap, of bars with which what was learned has nothing in common."""

from dataclasses import replace

import numpy as np
import pytest

from huracan.accounting import CostModel
from huracan.errors import ModelError, NotEnoughData
from huracan.market import simulate_market
from huracan.preprocessing import FeatureRecipe
from huracan.reinforcement import BatchTradingEnv, DQNAgent, MarketTable, TensorTradingEnv, TradingRules
from huracan.reinforcement.experience import experience_of
from huracan.reinforcement.greedy_score import GreedyScore, last_bars, scored_experience
from huracan.reinforcement.playing import mean_log_return, play
from huracan.reinforcement.solved_markets import ornstein_uhlenbeck_market
from huracan.reinforcement.yardsticks import BuyAndHold

RULES = TradingRules(rebalance=True, observe=("level",), episode_length=50, window=3, costs=CostModel(fee_bps=20))
SMALL = {"hidden": (16,), "learning_starts": 200, "random_state": 3}


def market(n=1_500, seed=0):
    return ornstein_uhlenbeck_market(n_points=11).sample(n, seed=seed)[0]


@pytest.mark.parametrize("rules", [RULES, replace(RULES, rebalance=False, observe=("level", "position"))])
def test_a_span_is_an_account_that_is_played(rules):
    whole = market()
    agent = DQNAgent(**SMALL).fit(BatchTradingEnv(whole, 4, rules), 800)
    first, length = np.array([40, 700]), np.array([100, 60])
    played = [
        play(agent, replace(whole, decidable=np.isin(np.arange(len(whole)), np.arange(a, a + n))), rules)
        for a, n in zip(first, length, strict=True)
    ]
    earned = sum(one.totals["net_log_return"] for one in played)
    assert mean_log_return(agent, whole, rules, first, length) == pytest.approx(earned / length.sum(), rel=1e-12)


def test_a_held_back_tail_has_nothing_in_common_with_what_is_learned():
    candles = simulate_market(n_bars=400, n_symbols=2, seed=1).candles
    whole, window = MarketTable.from_candles(candles, recipe=FeatureRecipe.minimal()), 5
    found = last_bars(whole, replace(RULES, window=window), 0.2)
    bar = whole.bar_length
    seen_from = (whole.ts[found.scored] - (window - 1) * bar).min()
    settled = (whole.ts + bar * (1 + whole.bars.astype(int)))[found.before].max()
    assert settled < seen_from
    assert settled + 2 * bar >= seen_from  # and no bar more is lost than that
    assert len(np.unique(whole.ts[found.scored])) == pytest.approx(0.2 * len(np.unique(whole.ts[whole.decidable])), abs=2)
    assert set(whole.symbol_code[found.scored]) == {0, 1}


def test_what_is_held_back_changes_nothing_that_is_learned():
    whole, spoiled, rules = market(), market(seed=1), replace(RULES, costs=CostModel.free())
    last = np.flatnonzero(last_bars(whole, rules, 0.2).before)[-1] + 3  # the next state, and the price it is valued at
    same = np.arange(len(whole)) < last
    mixed = {
        name: np.where(same if value.ndim == 1 else same[:, None], value, getattr(spoiled, name))
        for name in ("features", "fill", "mark", "close")
        for value in [getattr(whole, name)]
    }
    for settings in ({"counterfactual": True}, {"counterfactual": False}):
        agents = [
            DQNAgent(**SMALL, **settings, validation=0.2).fit(BatchTradingEnv(one, 4, rules), 1_200)
            for one in (whole, replace(whole, **mixed))
        ]
        a, b = (agent.learner_.parameters.detach().numpy() for agent in agents)
        np.testing.assert_array_equal(a, b)
        scores = [agent.history_[-1].score for agent in agents]
        assert scores[0] != scores[1]
        assert all(point.held_back for point in agents[0].history_)


def test_scoring_alone_changes_nothing_that_is_learned(monkeypatch):
    rules = replace(RULES, window=1)
    scored = DQNAgent(**SMALL, counterfactual=False).fit(BatchTradingEnv(market(), 4, rules), 3_000)
    monkeypatch.setattr(GreedyScore, "of", lambda self, agent: None)
    unscored = DQNAgent(**SMALL, counterfactual=False).fit(BatchTradingEnv(market(), 4, rules), 3_000)
    a, b = (agent.learner_.parameters.detach().numpy() for agent in (scored, unscored))
    np.testing.assert_array_equal(a, b)
    assert [point.loss for point in scored.history_] == [point.loss for point in unscored.history_]


@pytest.mark.parametrize("settings", [{}, {"counterfactual": False, "prioritised": True}, {"validation": 0.2}])
def test_scores_of_a_training_that_was_killed_are_those_of_one_that_was_not(settings, tmp_path):
    small = {**SMALL, "batch_size": 16, "train_every": 1}

    def fit(**how):
        return DQNAgent(**small, **settings).fit(BatchTradingEnv(market(), 4, RULES), 1_600, **how)

    whole = fit()
    fit(checkpoint=tmp_path, checkpoint_every=400, stop_at=900)
    resumed = fit(checkpoint=tmp_path, checkpoint_every=400)
    assert whole.history_ == resumed.history_
    assert sum(point.score is not None for point in whole.history_) >= 3
    resumed.save(tmp_path / "agent")
    assert DQNAgent.load(tmp_path / "agent").history_ == whole.history_


def test_scores_are_few_and_play_a_fraction_of_what_is_learned_from():
    agent = DQNAgent(batch_size=64)
    for steps in (400, 40_000, 4_000_000):
        _, score = scored_experience(experience_of(BatchTradingEnv(market(20_000), 4, RULES)), agent.settings, steps)
        updates = steps // agent.settings.train_every
        assert updates / score.every <= 20
        assert len(score.first) < 64  # from there on the step is compiled, which takes seconds
        assert score.length.sum() * max(1, updates / score.every) <= max(0.05 * 64 * updates, 100) * 1.01


def test_the_score_of_holding_is_what_holding_earns():
    price = np.exp(0.001 * np.arange(1_000))
    rising = MarketTable.from_prices(np.zeros((1_000, 1)), price)
    rules = TradingRules(rebalance=True, observe=("level",), costs=CostModel.free())
    settings = DQNAgent().settings
    _, score = scored_experience(experience_of(BatchTradingEnv(rising, 2, rules)), settings, 50_000)
    assert score.of(BuyAndHold(rules.actions)) == pytest.approx(0.001, rel=1e-9)
    agent = DQNAgent(hidden=(8,), gamma=0.5).fit(BatchTradingEnv(rising, 2, rules), 2_000)
    assert agent.history_[-1].score == pytest.approx(0.001, rel=1e-9)  # the best there is


def test_tensors_hold_back_as_arrays_do():
    envs = (BatchTradingEnv(market(), 4, RULES), TensorTradingEnv(market(), 4, RULES))
    a, b = (DQNAgent(**SMALL, validation=0.2).fit(env, 800) for env in envs)
    assert a.history_[-1].score == pytest.approx(b.history_[-1].score, abs=1e-6)


def test_what_cannot_be_held_back_is_refused():
    import gymnasium

    with pytest.raises(ModelError, match="no market whose last bars"):
        DQNAgent(validation=0.1).fit(gymnasium.make("CartPole-v1"), 2_000)
    with pytest.raises(NotEnoughData, match="an episode of 50 steps"):
        DQNAgent(validation=0.6).fit(BatchTradingEnv(market(100), 4, RULES), 2_000)
    with pytest.raises(ModelError, match="validation is 1"):
        DQNAgent(validation=1.0)
    timed = replace(RULES, observe=("level", "time_left"))
    agent = DQNAgent(**SMALL, counterfactual=False).fit(BatchTradingEnv(market(), 4, timed), 800)
    assert all(point.score is None for point in agent.history_)
