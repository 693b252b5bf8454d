"""The benchmark on real candles: accounts are recomputed from candles, and a wrong one is caught."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from benchmarks import rl_candles

from huracan.config import HuracanConfig
from huracan.integration.rl_job import rules_of
from huracan.market import simulate_market
from huracan.reinforcement import walk_forward_evaluation


class Wanders:
    """Learns nothing and acts at random."""

    def __init__(self, seed):
        self.random = np.random.default_rng(seed)

    def fit(self, env, total_steps):
        pass

    def predict(self, state, mask=None):
        drawn = self.random.random((len(state), 3))
        return np.where(True if mask is None else mask, drawn, -1.0).argmax(axis=1), drawn


@pytest.fixture(scope="module")
def walked():
    candles = simulate_market(n_bars=700, n_symbols=2, seed=1).candles
    rules = rules_of(HuracanConfig())
    found = walk_forward_evaluation(
        candles, Wanders, rules, n_windows=2, seeds=2, total_steps=1, min_train_share=0.6, maps=False
    )
    return found, candles, rules


def test_every_bar_is_what_its_candles_say(walked):
    found, candles, rules = walked
    rl_candles._check_accounts(found, candles, rules)
    dearer = found.bars.with_columns(
        pl.col("log_return") + pl.when(pl.col("row") == pl.col("row").min()).then(1e-6).otherwise(0.0)
    )
    with pytest.raises(AssertionError, match="off what its candles say"):
        rl_candles._check_accounts(replace(found, bars=dearer), candles, rules)
    free = found.bars.with_columns(cost=pl.lit(0.0), log_return=(pl.col("log_return").exp() + pl.col("cost")).log())
    with pytest.raises(AssertionError, match="off its turnover"):
        rl_candles._check_accounts(replace(found, bars=free), candles, rules)


def test_the_page_has_every_table(walked):
    page = rl_candles._told(walked[0])
    assert page.startswith("Stay out")
    for said in ("**agent**", "chance, equal turnover", "By symbol", "ranging", "| 2 | 2024-", "over seeds"):
        assert said in page


def test_real_minutes_become_whole_hours(market_data):
    candles = rl_candles.hourly_candles(48)
    assert candles.group_by("symbol").len()["len"].to_list() == [48] * 4
    assert candles["ts"].dt.minute().to_list() == [0] * candles.height
