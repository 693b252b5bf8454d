"""One framework, three questions: predictions, losses, returns; each with a decision that its tables bear out."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import stats
from scipy.signal import lfilter

from huracan.baselines import ABTestingFramework, compare_models
from huracan.baselines.forecast_losses import LOSSES, forecast_losses
from huracan.errors import DataError, NotEnoughData, UnknownName
from huracan.statistics import adjust_p_values, ewc_t_test, giacomini_white, model_confidence_set, sharpe_difference_test
from huracan.validation import deflated_sharpe_ratio, probability_of_backtest_overfitting

FRAMEWORK = ABTestingFramework(resamples=499)


def worlds(n: int = 800, seed: int = 0) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """An outcome, a constant, a good forecast, and two that know nothing."""
    rng = np.random.default_rng(seed)
    y = rng.standard_normal(n)
    noise = rng.standard_normal((3, n))
    return y, {"constant": np.zeros(n), "good": 0.3 * y + 0.3 * noise[0], "noise": 0.3 * noise[1], "other": 0.3 * noise[2]}


# ------------------------------------------------------------------------------------------------ what it says


def test_predictions_are_their_losses() -> None:
    y, forecasts = worlds()
    for loss in ("squared_error", "absolute_error"):
        by_hand = {name: LOSSES[loss](y, forecast) for name, forecast in forecasts.items()}
        ours = FRAMEWORK.compare_predictions(y, forecasts, loss=loss, baseline="constant")
        assert ours.pairs.equals(FRAMEWORK.compare_losses(by_hand, baseline="constant").pairs)
        assert ours.measure == loss.replace("_", " ")


def test_forecasts_belong_to_outcomes_by_their_index_and_bring_their_times() -> None:
    y, forecasts = worlds()
    index = pd.date_range("2024-01-01", periods=400, freq="h", tz="UTC").repeat(2)
    symbols = np.tile(["BTC", "ETH"], 400)
    panel = pd.MultiIndex.from_arrays([index, symbols])
    wanted = FRAMEWORK.compare_predictions(y, forecasts, times=index, symbols=symbols, baseline="constant")
    frame = pd.DataFrame(forecasts, index=panel)
    told = FRAMEWORK.compare_predictions(pd.Series(y, panel), frame.iloc[::-1], baseline="constant")
    assert told.pairs.equals(wanted.pairs)
    assert told.comparison.n_times == 400
    plain = pl.DataFrame(forecasts).with_columns(ts=pl.Series(index.tz_localize(None)), symbol=pl.Series(symbols))
    assert FRAMEWORK.compare_predictions(y, plain, baseline="constant").pairs.equals(wanted.pairs)
    other = pd.Series(np.zeros(800), np.arange(800) + 5)
    with pytest.raises(DataError, match="the index of 'm' is another than that of the outcomes"):
        FRAMEWORK.compare_predictions(pd.Series(y, np.arange(800) + 1), {"m": other, "n": other})


def test_the_decision_is_that_of_compare_models_and_the_tables_are_those_of_the_statistics() -> None:
    y, forecasts = worlds()
    result = FRAMEWORK.compare_predictions(y, forecasts, baseline="constant")
    losses = {name: (y - forecast) ** 2 for name, forecast in forecasts.items()}
    plain = compare_models(losses, baseline="constant")
    assert (result.decision, result.sentence) == (plain.decision, plain.sentence) == ("good", plain.sentence)
    assert result.comparison.pairs == plain.pairs
    kept = model_confidence_set(np.column_stack(list(losses.values())), names=list(losses), resamples=499)
    assert set(result.models.filter("in_set")["model"]) == set(kept.included)
    assert result.models["mean_loss"].is_sorted()
    assert result.models.filter(pl.col("better_than_baseline"))["model"].to_list() == ["good"]
    assert result.superior_p_value == pytest.approx(1 / 500)


def test_joint_intervals_hold_the_pairs_own() -> None:
    y, forecasts = worlds()
    pairs = FRAMEWORK.compare_predictions(y, forecasts).pairs
    assert pairs.height == 6
    assert (pairs["joint_low"] < pairs["ci_low"]).all()
    assert (pairs["joint_high"] > pairs["ci_high"]).all()


def test_what_the_textbook_would_have_said_is_scipys_paired_t_test() -> None:
    a, b = lfilter([1], [1, -0.9], np.random.default_rng(1).standard_normal((2, 600)))
    (pair,) = FRAMEWORK.compare_losses({"a": a, "b": b}).comparison.pairs
    assert pair.p_independent == pytest.approx(stats.ttest_rel(a, b).pvalue, rel=1e-10)
    assert pair.n_eff < 100


def test_dependence_is_measured_and_said() -> None:
    rng = np.random.default_rng(2)
    white = rng.standard_normal((2, 900))
    calm, lasting = (compare_models(dict(zip("ab", one))).dependence for one in (white, lfilter([1], [1, -0.9], white)))
    assert "not seen to correlate" in calm.sentence
    assert lasting.autocorrelation[0] == pytest.approx(0.9, abs=0.06)
    assert "Neighbouring loss differences correlate by 0." in lasting.sentence
    assert lasting.n_cosines[0] < calm.n_cosines[0]
    difference = np.diff(lfilter([1], [1, -0.9], white), axis=0)[0]
    centred = difference - difference.mean()
    assert lasting.autocorrelation[0] == pytest.approx(centred[1:] @ centred[:-1] / (centred @ centred), rel=1e-9)


def test_romano_wolf_finds_at_least_what_holm_finds_where_models_move_together() -> None:
    rng = np.random.default_rng(3)
    common = rng.standard_normal((500, 1))
    table = common + 0.3 * rng.standard_normal((500, 12)) - np.where(np.arange(12) == 5, 0.05, 0.0)
    losses = {f"m{i}": table[:, i] for i in range(12)} | {"base": common[:, 0] + 0.3 * rng.standard_normal(500)}
    holm = compare_models(losses, baseline="base")
    joint = compare_models(losses, baseline="base", correction="romano_wolf")
    assert [p.p_value for p in holm.pairs] == [p.p_value for p in joint.pairs]
    assert joint.pairs[5].p_adjusted < holm.pairs[5].p_adjusted
    assert all(p.p_adjusted >= p.p_value for p in joint.pairs)


def test_one_pair_is_spoken_of_as_one_pair() -> None:
    rng = np.random.default_rng(0)
    a = rng.standard_normal(300)
    assert "neither 'a' nor 'b' is shown to be better" in compare_models({"a": a, "b": rng.standard_normal(300)}).sentence
    assert compare_models({"a": a, "b": a - 1 + 0.1 * rng.standard_normal(300)}).sentence.startswith("'b' is better than 'a':")


def test_a_worse_model_is_called_worse() -> None:
    rng = np.random.default_rng(11)
    base = rng.standard_normal(400)
    losses = {"base": base, "worse": base + 1 + 0.1 * rng.standard_normal(400), "like": base + 0.1 * rng.standard_normal(400)}
    assert "Shown to be worse: worse." in compare_models(losses, baseline="base").sentence
    assert "none loses less" in compare_models({"base": base, "worse": losses["worse"]}, baseline="base").sentence


def test_slow_movement_under_noise_is_spoken_of_though_neighbours_do_not_correlate() -> None:
    rng = np.random.default_rng(12)
    slow = lfilter([1], [1, -0.98], rng.standard_normal(3_000))[1_000:]
    found = compare_models({"a": 0.3 * slow / slow.std() + rng.standard_normal(2_000), "b": np.zeros(2_000)}).dependence
    assert found.n_cosines[0] < 20
    assert "they move slowly" in found.sentence
    assert "costs little" not in found.sentence


def test_textbook_pairs_say_that_all_else_allows_for_dependence() -> None:
    a, b = lfilter([1], [1, -0.9], np.random.default_rng(0).standard_normal((2, 600)))
    result = ABTestingFramework(dependence="independent", resamples=199).compare_losses({"a": a, "b": b})
    assert any("allow for dependence all the same" in note for note in result.notes)


# ------------------------------------------------------------------------------------------------ regimes and time


def test_without_a_baseline_models_are_drawn_against_what_was_not_picked_for_its_luck() -> None:
    """Against the best of ten equal models each would leave its band in a tenth of all worlds instead of a twentieth."""
    rng, left = np.random.default_rng(13), []
    for _ in range(60):
        losses = {f"m{i}": column for i, column in enumerate(rng.standard_normal((6, 400)))}
        paths = ABTestingFramework(resamples=39).compare_losses(losses).paths
        outside = paths.group_by("model").agg((pl.col("cumulative").abs() > pl.col("band")).any().alias("left"))
        left += outside["left"].to_list()
    assert paths["against"].unique().to_list() == ["the mean of all models"]
    assert np.mean(left) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / len(left))
    two = FRAMEWORK.compare_losses({"a": losses["m0"], "b": losses["m1"]}).paths
    assert two.select("model", "against").unique().rows() == [("a", "b")]


def test_regimes_are_compared_apart_and_together() -> None:
    rng = np.random.default_rng(5)
    regimes = np.repeat(["calm", "wild"], 400)
    a = rng.standard_normal(800)
    b = a + np.where(regimes == "calm", 0.4, -0.4) + rng.standard_normal(800)
    result = FRAMEWORK.compare_losses({"a": a, "b": b}, regimes=regimes)
    assert result.decision is None
    rows = {row["regime"]: row for row in result.by_regime.iter_rows(named=True)}
    for regime, row in rows.items():
        alone = ewc_t_test((a - b)[regimes == regime])
        assert (row["difference"], row["p_value"], row["n_times"]) == (
            pytest.approx(alone.mean),
            pytest.approx(alone.p_value),
            400,
        )
    assert rows["calm"]["difference"] < 0 < rows["wild"]["difference"]
    adjusted = adjust_p_values(result.by_regime["p_value"].to_numpy())
    np.testing.assert_array_equal(result.by_regime["p_adjusted"].to_numpy(), adjusted)
    instruments = np.column_stack([regimes == "calm", regimes == "wild"]).astype(float)
    assert result.conditional["p_value"][0] == pytest.approx(giacomini_white(a, b, instruments).p_value)


def test_regimes_of_several_symbols_and_short_ones_say_what_cannot_be_done() -> None:
    rng = np.random.default_rng(6)
    regimes = np.where(np.arange(400) < 10, "brief", "long")
    result = FRAMEWORK.compare_losses(
        dict(zip("ab", rng.standard_normal((2, 400)))), times=np.repeat(range(200), 2), regimes=regimes
    )
    assert result.by_regime["regime"].unique().to_list() == ["long"]
    assert result.conditional.height == 0
    assert any("'brief' has 5 moments" in note for note in result.notes)
    assert any("one by one" in note for note in result.notes)


def test_paths_are_running_sums_and_end_with_the_last_moment() -> None:
    rng = np.random.default_rng(7)
    a, b = rng.standard_normal((2, 5_000))
    times = np.datetime64("2024-01-01", "h") + np.arange(5_000)
    paths = FRAMEWORK.compare_losses({"a": a, "b": b}, baseline="b", times=times).paths
    assert paths["row"][-1] == 4_999
    assert paths.height <= 400
    np.testing.assert_allclose(paths["cumulative"].to_numpy(), np.cumsum(a - b)[paths["row"].to_numpy()])
    assert paths["ts"].dtype == pl.Datetime("ms", "UTC")
    assert FRAMEWORK.compare_losses({"a": a, "b": b}, baseline="b").paths["ts"].null_count() == paths.height


# ------------------------------------------------------------------------------------------------ returns


def strategies(n: int = 1_000, seed: int = 8) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    market = rng.normal(0, 0.01, n)
    return {"hold": market, "good": 0.3 * market + rng.normal(0.0015, 0.01, n), "luck": rng.normal(0, 0.01, n)}


def test_returns_are_judged_by_sharpe_ratios_after_correction_and_deflation() -> None:
    returns = strategies()
    result = FRAMEWORK.compare_returns(returns, baseline="hold")
    assert (result.decision, result.n_trials, result.deflation_of) == ("good", 2, "good")
    rows = {row["model"]: row for row in result.sharpe.iter_rows(named=True)}
    tests = {name: sharpe_difference_test(returns[name], returns["hold"], resamples=499) for name in ("good", "luck")}
    adjusted = adjust_p_values([test.p_value for test in tests.values()])
    for (name, test), p in zip(tests.items(), adjusted):
        assert (rows[name]["difference"], rows[name]["p_adjusted"]) == (pytest.approx(test.difference), pytest.approx(p))
    sharpes = [returns[name].mean() / returns[name].std(ddof=1) for name in ("good", "luck")]
    deflated = deflated_sharpe_ratio(returns["good"], trial_sharpe_ratios=sharpes)
    assert rows["good"]["deflated"] == pytest.approx(deflated.probability)
    table = np.column_stack([returns["good"], returns["luck"]])
    assert result.overfitting == probability_of_backtest_overfitting(table).probability
    curve = result.deflation
    assert curve["deflated"].is_sorted(descending=True)
    assert curve.filter(pl.col("n_trials") == 2)["deflated"].item() == pytest.approx(deflated.probability)


def test_what_was_thrown_away_can_take_the_crown_away() -> None:
    returns = strategies()
    crowned = FRAMEWORK.compare_returns(returns, baseline="hold")
    tried = FRAMEWORK.compare_returns(returns, baseline="hold", n_trials=100_000)
    assert crowned.decision == "good"
    assert tried.decision is None
    assert "after 100000 trials luck alone is expected to show" in tried.sentence


def test_accounts_stand_beside_the_losses_that_decided() -> None:
    y, forecasts = worlds(1_000)
    result = FRAMEWORK.compare_predictions(y, forecasts, baseline="constant")
    returns = {"good": strategies()["luck"], "noise": strategies()["good"], "constant": np.zeros(1_000)}
    added = FRAMEWORK.add_returns(result, returns, baseline="constant", n_trials=9)
    assert (added.decision, added.deflation_of, added.n_trials) == ("good", "good", 9)
    assert any("not among all 9 tried" in note for note in added.notes)
    with pytest.raises(UnknownName, match="model of this comparison"):
        FRAMEWORK.add_returns(result, {"goood": returns["good"], "noise": returns["noise"]})


def test_tables_of_returns_say_what_they_are_of() -> None:
    assert "of mean returns; Sharpe ratios decide" in FRAMEWORK.compare_returns(strategies()).notes[0]


def test_no_position_is_a_sharpe_ratio_of_zero() -> None:
    returns = {**strategies(), "out": np.zeros(1_000)}
    against = FRAMEWORK.compare_returns(returns, baseline="out")
    assert against.n_trials == 3
    assert "'good' has a Sharpe ratio of 0.113 a period, above that of 'out'" in against.sentence
    row = against.sharpe.filter(pl.col("model") == "good").row(0, named=True)
    assert row["difference"] == row["sharpe_ratio"]
    idle = FRAMEWORK.compare_returns(returns, baseline="hold")
    assert any("'out' never moves" in note for note in idle.notes)
    assert idle.n_trials == 2


def test_a_lucky_trade_is_no_track_record() -> None:
    returns = {**strategies(), "once": np.where(np.arange(1_000) == 77, 0.5, 0.0), "out": np.zeros(1_000)}
    result = FRAMEWORK.compare_returns(returns, baseline="out")
    assert result.sharpe.filter(pl.col("model") == "once")["sharpe_ratio"].to_list() == [None]
    assert any("'once' moves in 1 of 1000 periods; at least 20 are needed" in note for note in result.notes)
    with pytest.raises(DataError, match=r"'once' moves in 1 of 1000 periods.*such a baseline"):
        FRAMEWORK.compare_returns(returns, baseline="once")


@pytest.mark.slow
def test_equal_strategies_are_rarely_told_apart() -> None:
    """Autocorrelated returns of one Sharpe ratio: 5 % of 100 worlds, and two standard errors."""
    rng, told = np.random.default_rng(9), 0
    for _ in range(100):
        table = lfilter([1], [1, -0.3], rng.standard_t(5, (3, 500))) * 0.01
        told += ABTestingFramework(resamples=199).compare_returns(dict(zip("abc", table)), baseline="a").decision is not None
    assert told <= 9


def test_a_strategy_and_its_double_cannot_be_told_apart() -> None:
    returns = strategies()
    result = FRAMEWORK.compare_returns({**returns, "twice": 2 * returns["hold"]}, baseline="hold")
    assert any("'twice' and 'hold' cannot be told apart" in note for note in result.notes)
    assert result.sharpe.filter(pl.col("model") == "twice")["p_adjusted"].item() == 1.0


# ------------------------------------------------------------------------------------------------ plain values, bad input


def test_everything_can_be_written_as_json() -> None:
    y, forecasts = worlds(200)
    result = FRAMEWORK.compare_predictions(y, forecasts, baseline="constant", regimes=np.repeat(["a", "b"], 100))
    told = json.loads(result.to_json())
    assert told["decision"] == result.decision
    assert len(told["pairs"]) == 3
    assert told["dependence"] == result.comparison.dependence.sentence
    walk = np.random.default_rng(1).standard_normal(1_000).cumsum()
    undecided = FRAMEWORK.compare_losses({"a": walk, "b": np.zeros(1_000)})
    assert json.loads(undecided.to_json())["pairs"][0]["joint_low"] is None
    assert "cannot be decided" in undecided.sentence


def test_a_sequence_starts_at_the_same_level() -> None:
    match = ABTestingFramework(alpha=0.01).sequential(("champion", "challenger"))
    assert (match.alpha, match.names, match.decision) == (0.01, ("champion", "challenger"), None)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"alpha": 0.0}, "alpha is 0.0"),
        ({"alpha": 1.0}, "alpha is 1.0"),
        ({"alpha": float("nan")}, "alpha is nan"),
        ({"correction": "sidak"}, "correction is 'sidak'"),
        ({"dependence": "none"}, "dependence is 'none'"),
        ({"resamples": 0}, "resamples is 0"),
        ({"resamples": 5}, "at least 19 are needed"),
        ({"correction": "romano_wolf", "dependence": "independent"}, "does not go with"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        ABTestingFramework(**settings)


@pytest.mark.parametrize(
    ("returns", "settings", "error", "message"),
    [
        ({"a": np.full(100, 0.01), "b": np.arange(100.0)}, {}, DataError, "'a' earns 0.01 in every period.*infinite"),
        (strategies(), {"n_trials": 1, "baseline": "hold"}, DataError, "n_trials is 1; a whole number, 2 or more"),
        (strategies(), {"baseline": "hodl"}, UnknownName, "did you mean 'hold'"),
        ({"a": np.arange(100.0)}, {}, DataError, "1 model"),
        ({"a": np.arange(10.0), "b": np.arange(10.0) ** 2}, {}, NotEnoughData, "10 rows; at least 20"),
    ],
)
def test_returns_that_cannot_be_judged_are_refused(returns, settings, error, message) -> None:
    with pytest.raises(error, match=message):
        FRAMEWORK.compare_returns(returns, **settings)


@pytest.mark.parametrize(
    ("y", "forecast", "loss", "error", "message"),
    [
        ([0, 1], [0.5, 1.5], "brier", DataError, "forecast of 'm' is 1.5 in row 1; a probability"),
        ([0, 2], [0.5, 0.5], "log_loss", DataError, "the outcome is 2 in row 1; 0 or 1"),
        ([0, 1], [0.5, 0.0], "log_loss", DataError, "the loss of 'm' is inf in row 1, where it said 0.0 and 1 came"),
        ([0.0, 1.0], [0.5, np.nan], "squared_error", DataError, "forecast of 'm' is nan in row 1"),
        ([0.0, np.nan], [0.5, 0.5], "squared_error", DataError, "the outcome is nan in row 1"),
        (["up", "down"], [0.5, 0.5], "squared_error", DataError, "the outcome is .*'up'.* in row 0, of type <U4; numbers"),
        ([0.0, None], [0.5, 0.5], "absolute_error", DataError, "the outcome is 0.0 in row 0, of type object; numbers"),
        ([0.0, 1.0, 2.0], [0.5, 0.5], "squared_error", DataError, "'m' has forecasts of shape"),
        ([0.0, 1.0], [0.5, 0.5], "squared_eror", UnknownName, "did you mean 'squared_error'"),
        ([0.0, 1.0], [0.5, 0.5], lambda y, f: 0.0, DataError, "the loss gives shape"),
    ],
)
def test_forecasts_without_a_loss_are_refused(y, forecast, loss, error, message) -> None:
    with pytest.raises(error, match=message):
        forecast_losses(np.array(y), {"m": np.array(forecast)}, loss)


def test_losses_are_scikit_learns() -> None:
    from sklearn.metrics import brier_score_loss, log_loss, mean_absolute_error, mean_squared_error, zero_one_loss

    rng = np.random.default_rng(10)
    up, p, y, f = rng.integers(0, 2, 200), rng.uniform(0.01, 0.99, 200), rng.normal(size=200), rng.normal(size=200)
    for name, truth, forecast, theirs in (
        ("brier", up, p, brier_score_loss),
        ("log_loss", up, p, log_loss),
        ("zero_one", up, (p > 0.5).astype(int), zero_one_loss),
        ("squared_error", y, f, mean_squared_error),
        ("absolute_error", y, f, mean_absolute_error),
    ):
        assert forecast_losses(truth, {"m": forecast}, name)["m"].mean() == pytest.approx(theirs(truth, forecast))
