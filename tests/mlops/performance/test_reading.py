"""Figures from sums: equal to what the rows say, with bands that cover, beside what was promised."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import numpy as np
import polars as pl
import pytest
import sqlalchemy as sa
from scipy.signal import lfilter
from tests.mlops.performance.live_rows import HOUR, outcomes, predictions

from huracan.errors import DataError, UnknownName
from huracan.mlops import LiveExpectation, PerformanceStore
from huracan.mlops.performance.against_backtest import beside_backtest
from huracan.mlops.performance.buckets import sums_of
from huracan.mlops.performance.reading import mean_in_time, rolling
from huracan.statistics import ewc_t_test
from huracan.storage.tables import model_versions, registered_models

BUCKET = 4 * HOUR
DAY = 24 * HOUR


def kept(store: PerformanceStore, n: int, **columns: Any) -> None:
    """``n`` hours of outcomes."""
    version, symbol = columns.pop("version", 1), columns.pop("symbol", "BTC")
    regime = columns.pop("regime", "trending")
    with store.database.transaction() as connection:
        store.predicted(connection, predictions(n, version=version, symbol=symbol, regime=regime))
        store.known(connection, outcomes(n, version=version, symbol=symbol, **columns))


def buckets_of(payoff: np.ndarray[Any, Any], **columns: Any) -> pl.DataFrame:
    """Sums of hourly payoffs."""
    came = outcomes(len(payoff), payoff=payoff, **{"net_return": payoff / 100, "cost": 0.0, **columns})
    return sums_of(came.with_columns(regime=pl.lit(""), vetoes=pl.lit(0), log_loss=pl.lit(None, pl.Float64)), BUCKET)


def test_a_moving_mean_is_that_of_the_rows(any_store: PerformanceStore) -> None:
    kept(any_store, 240)
    found = any_store.rolling("skill", 5 * DAY)
    payoff = outcomes(240)["payoff"].to_numpy()
    assert found.columns == ["version_id", "symbol", "regime", "from", "until", "value", "low", "high", "n"]
    assert found["until"].to_list() == [BUCKET * (bucket + 1) for bucket in range(60)]
    for until, value, n in found.select("until", "value", "n").rows():
        end = until // HOUR
        window = payoff[max(0, end - 120) : end]
        assert (value, n) == (pytest.approx(window.mean(), abs=1e-12), len(window))


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("skill", 1 / 3), ("hit_rate", 1 / 3), ("squared", 11 / 3), ("net", 0.25), ("cost", 0.125), ("gross", 0.375),
        ("answered", 0.75), ("vetoed", 0.5),
    ],
)  # fmt: skip
def test_a_mean_is_over_what_has_one(store: PerformanceStore, metric: str, expected: float) -> None:
    payoff = [3.0, -1.0, -1.0, math.nan]
    with store.database.transaction() as connection:
        store.predicted(connection, predictions(4, vetoes=[0, 1, 0, 2]))
        squared = [9.0, 1.0, 1.0, math.nan]
        store.known(connection, outcomes(4, payoff=payoff, squared=squared, net_return=0.25, cost=0.125))
    assert store.rolling(metric, DAY)["value"].to_list() == [pytest.approx(expected)]


def test_scopes_that_are_left_out_are_added_up(store: PerformanceStore) -> None:
    kept(store, 48, regime=["trending"] * 24 + ["volatile"] * 24)
    kept(store, 48, symbol="ETH", payoff=0.5)
    kept(store, 48, version=2)
    whole = store.rolling("skill", 2 * DAY, by=("version_id",))
    assert whole.group_by("version_id").len().sort("version_id").rows() == [(1, 12), (2, 12)]
    last = whole.filter(pl.col("version_id") == 1).row(-1, named=True)
    assert last["n"] == 96
    assert last["value"] == pytest.approx((outcomes(48)["payoff"].mean() + 0.5) / 2)
    assert len(store.rolling("skill", DAY).partition_by("version_id", "symbol", "regime")) == 4
    assert store.rolling("skill", 2 * DAY, by=())["n"].to_list()[-1] == 144


def test_a_band_is_the_cosine_interval_over_the_buckets_of_the_window(store: PerformanceStore) -> None:
    draw = np.random.default_rng(4)
    payoff = 0.1 + draw.standard_normal(480)
    found = rolling(buckets_of(payoff), "skill", 10 * DAY, BUCKET, by=("symbol",), confidence=0.9)
    means = payoff.reshape(-1, 4).mean(axis=1)
    for row in (19, 70, 119):
        window = means[max(0, row - 59) : row + 1]
        tested = ewc_t_test(window, confidence=0.9)
        assert found.row(row)[4:6] == (pytest.approx(tested.ci_low, abs=1e-12), pytest.approx(tested.ci_high, abs=1e-12))
    assert found["low"].null_count() == 19  # windows of fewer than 20 buckets


def test_bands_of_several_groups_hold_together(store: PerformanceStore) -> None:
    sums = buckets_of(np.random.default_rng(4).standard_normal(480))
    both = pl.concat([sums, sums.with_columns(symbol=pl.lit("ETH"))])
    together = rolling(both, "skill", 10 * DAY, BUCKET, by=("symbol",), confidence=0.9).filter(pl.col("symbol") == "BTC")
    alone = rolling(sums, "skill", 10 * DAY, BUCKET, by=("symbol",), confidence=0.95)
    assert together["low"].to_list() == alone["low"].to_list()


def test_an_interval_covers_a_mean_of_dependent_payoffs_of_which_not_all_are_answered() -> None:
    draw = np.random.default_rng(11)
    noise = lfilter([1.0], [1.0, -0.7], draw.standard_normal((400, 600 + 100)), axis=1)[:, 100:]
    answered = draw.binomial(4, 0.6, (400, 600)) + 0.0
    answered[:, ::50] = 0.0
    tested = mean_in_time(answered * (0.3 + noise), answered)
    assert tested is not None
    share = np.mean((tested.ci_low <= 0.3) & (tested.ci_high >= 0.3))
    assert 0.91 <= share <= 0.98  # 95 % but for 400 repetitions


def test_a_version_without_probabilities_has_no_log_loss(store: PerformanceStore) -> None:
    kept(store, 48, version=1)
    kept(store, 48, version=2, log_loss=0.5)
    found = store.rolling("log_loss", DAY, by=("version_id",))
    assert set(found["version_id"]) == {2} and found["value"].to_list()[-1] == 0.5


def test_fewer_windows_are_some_of_all_and_the_newest_is_among_them() -> None:
    sums = buckets_of(np.random.default_rng(4).standard_normal(476))
    every_one = rolling(sums, "skill", 10 * DAY, BUCKET, by=("symbol",), confidence=0.9)
    daily = rolling(sums, "skill", 10 * DAY, BUCKET, by=("symbol",), confidence=0.9, every=DAY)
    assert daily["until"].to_list() == [day * DAY for day in range(1, 20)] + [119 * BUCKET]
    assert daily.equals(every_one.filter(pl.col("until").is_in(daily["until"].to_list())))


def test_windows_that_do_not_vary_have_a_value_and_no_band() -> None:
    flat = buckets_of(np.concatenate([np.full(160, 0.5), np.random.default_rng(0).standard_normal(160)]))
    found = rolling(flat, "skill", 100 * HOUR, BUCKET, by=(), confidence=0.95)
    assert found["value"].to_list()[:40] == [0.5] * 40 and found["low"][:40].null_count() == 40
    assert found["low"].to_list()[60] < found["value"].to_list()[60] < found["high"].to_list()[60]


def test_nothing_known_is_an_empty_frame(store: PerformanceStore) -> None:
    found = store.rolling("net", DAY)
    assert found.is_empty() and found.columns[:4] == ["version_id", "symbol", "regime", "from"]
    assert store.summary().is_empty()
    assert set(store.frames(DAY)) == {"summary", "skill", "net", "trades", "equity"}


def test_what_cannot_be_asked_is_a_sentence(store: PerformanceStore) -> None:
    with pytest.raises(UnknownName, match="unknown live metric 'skil'; did you mean 'skill'"):
        store.rolling("skil", DAY)
    with pytest.raises(DataError, match="'model' is no scope; some of version_id, symbol, regime"):
        store.rolling("skill", DAY, by=("model",))
    with pytest.raises(DataError, match=f"the window is {HOUR} ms long; at least one bucket of {BUCKET} ms"):
        store.rolling("skill", HOUR)
    with pytest.raises(DataError, match=f"windows are to end every {HOUR} ms; at least one bucket of {BUCKET} ms"):
        store.rolling("skill", DAY, every=HOUR)
    with pytest.raises(DataError, match="confidence"):
        store.rolling("skill", DAY, confidence=95)


def version(store: PerformanceStore, id: int, name: str, extras: dict[str, Any]) -> None:
    """A registered version with no more than this room reads."""
    with store.database.transaction() as connection:
        if connection.execute(sa.select(registered_models.c.name).where(registered_models.c.name == name)).scalar() is None:
            connection.execute(sa.insert(registered_models).values(name=name))
        row = {"id": id, "name": name, "version": id, "model_id": f"{name}-{id}", "kind": "challenger", "digest": "d"}
        more = {key: {} for key in ("info", "metrics", "provenance")}
        connection.execute(sa.insert(model_versions).values(**row, **more, extras=extras))


def test_versions_of_other_names_are_not_ours_and_versions_that_are_gone_still_are(any_store: PerformanceStore) -> None:
    version(any_store, 1, "btc", {})
    version(any_store, 2, "eth", {})
    for id in (1, 2, 3):
        kept(any_store, 24, version=id)
    assert sorted(set(any_store.rolling("skill", DAY)["version_id"])) == [1, 3]
    assert any_store.summary()["version_id"].to_list() == [1, 3]


def test_a_summary_counts_everything(any_store: PerformanceStore) -> None:
    with any_store.database.transaction() as connection:
        any_store.predicted(connection, predictions(20))
        any_store.predicted(connection, predictions(5, symbol="ETH"))
        any_store.known(connection, outcomes(10, payoff=0.5, net_return=0.25, cost=0.125))
        any_store.known(connection, outcomes(2, label=9.0))
        any_store.give_up(connection, 1, before=13 * HOUR, tick=30 * HOUR)
        any_store.forget(connection, 4 * HOUR)
    rows = any_store.summary().rows(named=True)
    assert [row["symbol"] for row in rows] == ["BTC", "ETH"]
    counts = ("n", "answered", "vetoed", "pending", "never", "revised")
    assert [tuple(row[key] for key in counts) for row in rows] == [(10, 10, 0, 7, 3, 0), (0, 0, 0, 0, 5, 0)]
    assert (rows[0]["skill"], rows[0]["hit_rate"], rows[0]["net"], rows[0]["cost"]) == (0.5, 1.0, 0.25, 0.125)
    assert rows[1]["skill"] is None


def promised(mean: float, n: int = 2_000) -> LiveExpectation:
    draw = np.random.default_rng(8).standard_normal(n)
    payoff = mean + draw - draw.mean()
    return LiveExpectation.of(payoff, net=payoff / 100)


def test_live_beside_backtest_says_what_differs(any_store: PerformanceStore) -> None:
    expectation = promised(0.3)
    version(any_store, 1, "btc", {"live_expectation": json.loads(json.dumps(expectation.to_dict()))})
    payoff = np.random.default_rng(9).standard_normal(960)
    kept(any_store, 960, payoff=payoff, net_return=0.003 + payoff / 100)
    skill, net = any_store.against_backtest(1).rows(named=True)
    assert skill["live"] == pytest.approx(payoff.mean()) and skill["promised"] == pytest.approx(0.3)
    assert skill["difference"] == pytest.approx(payoff.mean() - 0.3)
    assert skill["p_adjusted"] < 1e-6 and skill["high"] < 0 and skill["n"] == 960 and skill["note"] == ""
    assert net["p_value"] > 0.05 and net["low"] < 0 < net["high"] and net["p_adjusted"] == net["p_value"]
    assert (skill["promised_low"], skill["promised_high"]) == expectation.skill.interval()


def test_each_moment_counts_once_live_as_it_did_out_of_fold() -> None:
    """One symbol at first, eight later: the mean over moments of the mean over those that there are, not over outcomes."""
    payoff = np.random.default_rng(14).standard_normal((800, 8))
    payoff[:, 0] += 0.5
    payoff[:400, 1:] = np.nan
    live = pl.concat(
        buckets_of(payoff[first:, code], symbol=f"S{code}", first=first) for code in range(8) for first in [400 * (code > 0)]
    )
    skill, net = beside_backtest(live, promised(0.3)).rows(named=True)
    by_moments = np.nanmean(payoff, axis=1).mean()
    assert skill["live"] == pytest.approx(by_moments) and net["live"] == pytest.approx(by_moments / 100)
    assert abs(by_moments - np.nanmean(payoff)) > 0.1 and skill["n"] == np.isfinite(payoff).sum()


def test_a_version_that_keeps_its_promise_is_called_different_as_rarely_as_it_should() -> None:
    draw = np.random.default_rng(10)
    called = 0
    for _ in range(100):
        noise = lfilter([1.0], [1.0, -0.5], draw.standard_normal(1_500))
        table = beside_backtest(buckets_of(0.2 + noise[1_000:]), LiveExpectation.of(0.2 + noise[:900]))
        called += table["p_value"].fill_null(1.0)[0] < 0.05
    assert called <= 11  # 5 % of 100, and three standard errors


@pytest.mark.parametrize(("alike", "buckets", "moments"), [(0.9, 25, 1), (0.9, 100, 1), (0.97, 25, 4)])
def test_a_promise_kept_for_few_buckets_that_remember_is_not_called_broken(alike: float, buckets: int, moments: int) -> None:
    """Promised on 600 moments, of which a bucket holds ``moments``; and a broken one is still found where that is possible."""
    draw = np.random.default_rng(11)
    called = decided = 0
    for _ in range(100):
        drawn = draw.standard_normal(800 + buckets * moments)
        series = lfilter([math.sqrt(1.0 - alike**2)], [1.0, -alike], drawn)[200:]
        try:
            expected = LiveExpectation.of(series[:600])
        except DataError:
            continue
        live = series[600:].reshape(buckets, moments).sum(axis=1)
        p_value = beside_backtest(_as_buckets(live, moments), expected)["p_value"][0]
        called, decided = called + (p_value is not None and p_value <= 0.05), decided + (p_value is not None)
    assert called <= 0.05 * decided + 3.0 * math.sqrt(0.05 * 0.95 * max(decided, 1)), (called, decided)


def test_an_edge_that_is_gone_is_called_so_on_a_week_of_buckets() -> None:
    draw = np.random.default_rng(12)
    row = beside_backtest(_as_buckets(draw.standard_normal((50, 4)).sum(axis=1), 4), promised(0.5)).row(0, named=True)
    assert row["p_adjusted"] < 0.01 and row["high"] < 0.0


def test_what_cannot_be_decided_says_what_it_is_worth() -> None:
    walk = np.cumsum(np.random.default_rng(13).standard_normal(40))
    note = beside_backtest(_as_buckets(walk, 1), promised(0.3))["note"][0]
    assert re.fullmatch(r"not decidable: 40 buckets are worth [1-3] that do not hang together", note)


def _as_buckets(sums: Any, moments: int) -> pl.DataFrame:
    """Buckets of so many moments whose payoffs and net returns add up to ``sums``."""
    same = {"version_id": 1, "symbol": "X", "regime": "", "hits": 0, "vetoed": 0, "payoff_squared": 1.0, "squared": 1.0}
    same |= {"log_loss": 1.0, "cost": 0.0, "n": moments, "answered": moments}
    frame = pl.DataFrame({"bucket": np.arange(len(sums)) * BUCKET, "payoff": sums, "net": sums, "gross": sums})
    return frame.with_columns(**{name: pl.lit(value) for name, value in same.items()})


def test_what_cannot_be_compared_says_why() -> None:
    noise = np.random.default_rng(0).standard_normal(400)
    assert beside_backtest(buckets_of(noise), None)["note"].to_list() == ["not tested: the version promised nothing"] * 2
    few = beside_backtest(buckets_of(noise[:40]), promised(0.3))
    assert few["note"].to_list() == ["not tested: live there are 10 of 20 buckets"] * 2
    assert few["live"][0] == pytest.approx(noise[:40].mean()) and few["p_value"].null_count() == 2
    assert beside_backtest(buckets_of(noise).clear(), promised(0.3))["note"][0] == "nothing is known live yet"
    flat = beside_backtest(buckets_of(np.full(400, 0.5)), promised(0.3))
    assert flat["note"][0] == "not tested: live there are a series that cannot be judged"
