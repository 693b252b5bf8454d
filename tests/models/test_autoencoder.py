"""The autoencoder: what it may look at, that its alarm grows with what is wrong, and that it forgets nothing in storage."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from sklearn.base import clone

torch = pytest.importorskip("torch")

from huracan.catalogue import build_model  # noqa: E402
from huracan.dataset import TrainingSet  # noqa: E402
from huracan.errors import DataError, ModelError, NotEnoughData, UnknownName  # noqa: E402
from huracan.market import simulate_market  # noqa: E402
from huracan.models.autoencoder.estimator import Autoencoder  # noqa: E402
from huracan.models.autoencoder.rows import BarRows, candle_recipe  # noqa: E402
from huracan.registry.formats import dump_model, load_model  # noqa: E402

TINY: dict[str, Any] = {"window": 8, "latent": 3, "hidden": 16, "cross_hidden": 12, "max_epochs": 3, "reference": 48}


def bars(n: int, seed: int = 0) -> NDArray[np.float32]:
    """Rows of four columns of which the last is the size of the first, as volume is of a move."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 4))
    x[:, 3] = np.abs(x[:, 0]) + 0.1 * rng.standard_normal(n)
    return x.astype(np.float32)


@pytest.fixture(scope="module")
def model() -> Autoencoder:
    return build_model("autoencoder", **TINY).fit(bars(4_000))


@pytest.fixture(scope="module")
def candles() -> pl.DataFrame:
    return simulate_market(n_bars=700, n_symbols=2, seed=3).candles


@pytest.fixture(scope="module")
def of_candles(candles: pl.DataFrame) -> Autoencoder:
    return build_model("autoencoder", **TINY).fit(candles)


# --- what it may look at --------------------------------------------------------------------------------------------


def test_a_row_speaks_of_its_past_only(model: Autoencoder) -> None:
    rows = bars(600, seed=1)
    for answer in (model.transform, model.anomaly_score):
        whole, prefix = answer(rows), answer(rows[:400])
        np.testing.assert_allclose(whole[:400], prefix, rtol=1e-6, atol=1e-6)
        assert np.isnan(prefix[: model.window - 1]).all() and np.isfinite(prefix[model.window - 1 :]).all()


def test_candles_are_judged_by_their_past_only(of_candles: Autoencoder, candles: pl.DataFrame) -> None:
    one = candles.filter(pl.col("symbol") == candles["symbol"][0])
    whole, prefix = of_candles.anomaly_score(one), of_candles.anomaly_score(one.head(500))
    np.testing.assert_allclose(whole[:500], prefix, rtol=1e-6, atol=1e-6)
    first = candle_recipe(48).lookback + of_candles.window - 1
    assert np.isnan(prefix[:first]).all() and np.isfinite(prefix[first:]).all()


def test_candles_of_pandas_are_those_of_polars(of_candles: Autoencoder, candles: pl.DataFrame) -> None:
    np.testing.assert_array_equal(of_candles.anomaly_score(candles.to_pandas()), of_candles.anomaly_score(candles))


def test_no_window_crosses_a_symbol_a_gap_or_a_missing_value() -> None:
    frame = pl.DataFrame(
        {
            "symbol": ["A"] * 7 + ["B"] * 4,
            "ts": [*range(7), *range(4)],
            "segment": [0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0],
            "x": [1.0, 2.0, 3.0, 4.0, None, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0],
        }
    )
    rows = BarRows.read(frame, reference=48)
    assert rows.before.tolist() == [0, 1, 2, 0, -1, 0, 1, 0, 1, 2, 3]
    assert np.flatnonzero(rows.complete(3)).tolist() == [2, 9, 10]
    with pytest.raises(DataError, match=r"row 2 \(A, 1\) does not come after the row before it"):
        BarRows.read(frame[[0, 2, 1]].with_columns(segment=pl.lit(0)), reference=48)


def test_windows_of_a_training_set_stay_within_symbol_and_segment(model: Autoencoder) -> None:
    from dataclasses import replace

    rows = TrainingSet.from_arrays(bars(60, seed=2), np.zeros(60))
    broken = replace(rows, segment=np.repeat([0, 1], 30).astype(np.int32))
    score = model.anomaly_score(replace(broken, feature_names=model.feature_names_))
    assert np.isnan(score[30 : 30 + model.window - 1]).all()
    assert np.isfinite(score[30 + model.window - 1 :]).all()


def test_latent_features_of_interleaved_symbols_are_those_of_each_alone(model: Autoencoder) -> None:
    from dataclasses import replace

    rows = TrainingSet.from_arrays(bars(80, seed=4), np.zeros(80))
    moments = np.repeat(rows.ts[:40], 2)
    both = replace(
        rows,
        ts=moments,
        decision_time=moments + rows.bar_length,
        symbol_code=np.tile([0, 1], 40).astype(np.int32),
        symbols=("A", "B"),
    )
    alone = model.transform(both.X[both.symbol_code == 1])
    np.testing.assert_allclose(model.transform(both)[both.symbol_code == 1], alone, rtol=1e-6, atol=1e-6)


def test_scales_are_learned_from_training_windows_only() -> None:
    rows = bars(2_000, seed=5)
    rows[1_850:] += 50.0  # the tail that validates
    fitted = Autoencoder(**{**TINY, "max_epochs": 1, "validation_share": 0.1}).fit(rows)
    assert np.abs(fitted.scaler_.center[:3]).max() < 0.2
    assert fitted.n_validation_windows_ > 0
    assert fitted.n_train_windows_ + fitted.n_validation_windows_ <= 2_000 - 2 * (TINY["window"] - 1)  # no bar in both


# --- the alarm ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("column", [0, 1, 3])
def test_the_score_rises_with_the_size_of_what_is_planted(model: Autoencoder, column: int) -> None:
    scores = []
    for size in (0.0, 6.0, 12.0, 24.0, 48.0):
        rows = bars(40, seed=6)
        rows[30, column] = size if size else rows[30, column]
        scores.append(model.anomaly_score(rows)[30])
    assert scores == sorted(scores) and len(set(scores)) == len(scores)


def test_columns_that_do_not_explain_each_other_are_seen_though_each_alone_is_usual(model: Autoencoder) -> None:
    rows = bars(400, seed=7)
    usual = model.anomaly_score(rows)[model.window :]
    rows[:, 3] = np.random.default_rng(8).permutation(rows[:, 3])  # the same values, at moments they do not belong to
    names = np.array(model.check_names_)[np.nanargmax(model.anomaly_checks(rows)[model.window :], axis=1)]
    assert np.median(model.anomaly_score(rows)[model.window :]) > np.quantile(usual, 0.9)
    assert np.mean([name.endswith(("x0", "x3")) for name in names]) > 0.8


def test_the_share_is_that_of_usual_windows(model: Autoencoder) -> None:
    """On fresh windows of the same kind the share is about uniform: its quantiles are themselves."""
    share = model.anomaly_share(bars(6_000, seed=9))[model.window :]
    assert np.quantile(share, [0.1, 0.5]) == pytest.approx([0.1, 0.5], abs=0.06)
    assert share.min() >= model.shares_.least and share.max() <= 1.0


def test_crashes_among_the_training_windows_do_not_become_usual() -> None:
    rows = bars(4_000, seed=10)
    crash = bars(60, seed=11)
    crash[30:36, :3] *= 15.0
    clean = Autoencoder(**TINY).fit(rows)
    rows[1_000:1_018:3, :3] *= 15.0
    rows[2_000:2_018:3, :3] *= 15.0
    contaminated = Autoencoder(**TINY).fit(rows)
    for fitted in (clean, contaminated):
        usual = fitted.anomaly_score(bars(20_000, seed=16))[fitted.window :]
        crashes = fitted.anomaly_score(crash)[30:36]
        assert np.mean(usual >= crashes.min()) < 0.03  # crash windows are 2 % of the training windows
        assert (fitted.anomaly_share(crash)[30:36] >= [np.mean(usual >= score) for score in crashes]).all()
    np.testing.assert_allclose(contaminated.scaler_.scale, clean.scaler_.scale, rtol=0.05)


# --- a good citizen -------------------------------------------------------------------------------------------------


def test_same_seed_same_bits_and_another_seed_others() -> None:
    rows = bars(1_000, seed=12)
    one, two, other = (Autoencoder(**{**TINY, "max_epochs": 1}, random_state=s).fit(rows).transform(rows) for s in (1, 1, 2))
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, other, equal_nan=True)


def test_a_stored_model_answers_the_same_bit_for_bit(model: Autoencoder) -> None:
    rows = bars(200, seed=13)
    again = load_model(dump_model(model))
    for answer in ("transform", "anomaly_score", "anomaly_share"):
        np.testing.assert_array_equal(getattr(again, answer)(rows), getattr(model, answer)(rows))
    assert again.model_info() == model.model_info()
    assert dump_model(again) == dump_model(model)


def test_windows_and_rows_give_the_same_answers(model: Autoencoder) -> None:
    rows = bars(100, seed=14)
    windows = np.lib.stride_tricks.sliding_window_view(rows, model.window, axis=0).transpose(0, 2, 1)
    np.testing.assert_allclose(model.anomaly_score(windows), model.anomaly_score(rows)[model.window - 1 :], rtol=1e-6)


def test_scikit_learn_can_clone_it_and_its_card_says_what_regimes_mean(model: Autoencoder) -> None:
    assert clone(model).get_params() == model.get_params()
    assert model.get_feature_names_out().tolist() == ["latent0", "latent1", "latent2"]
    info = build_model("autoencoder", latent_dim=5).model_info()
    assert info.task == "representation" and info.hyperparameters["latent"] == 5
    assert {"latent", "anomaly_score", "anomaly_share"} == set(info.output_schema)
    assert "broken feeds" in info.market_regimes["volatile"]  # type: ignore[index]


# --- bad input ------------------------------------------------------------------------------------------------------


def test_what_cannot_be_used_is_refused_in_one_sentence(model: Autoencoder, candles: pl.DataFrame) -> None:
    rows = bars(300, seed=15)
    rows[17, 2] = np.nan
    with pytest.raises(DataError, match="column 'x2' holds NaN in row 17"):
        Autoencoder(**TINY).fit(rows)
    with pytest.raises(NotEnoughData, match="longest unbroken run has 20 bars"):
        Autoencoder(**TINY).fit(bars(20))
    with pytest.raises(NotEnoughData, match="got 0 windows of 5000"):
        Autoencoder(**{**TINY, "window": 5_000}).fit(bars(300))
    with pytest.raises(DataError, match="X has 3 features; the autoencoder was fitted on 4"):
        model.transform(bars(50)[:, :3])
    with pytest.raises(ModelError, match="every column from 0 to 3 in exactly one"):
        Autoencoder(**TINY, views=[[0, 1], [1, 2, 3]]).fit(bars(300))
    with pytest.raises(ModelError, match="window is 1; at least 2"):
        Autoencoder(window=1).fit(bars(300))
    with pytest.raises(UnknownName, match="hyperparameter of autoencoder 'latentt'; did you mean 'latent'"):
        build_model("autoencoder", latentt=3)
    with pytest.raises(ModelError, match="autoencoder does not do regression; it does representation"):
        build_model("autoencoder", task="regression")


def test_a_training_set_with_a_missing_value_is_refused_with_its_time() -> None:
    from dataclasses import replace

    rows = TrainingSet.from_arrays(bars(300), np.zeros(300))
    broken = rows.X.copy()
    broken[5, 1] = np.inf
    with pytest.raises(DataError, match=r"column 'x1' is not finite in row 5 \(asset, 2000-01-06"):
        Autoencoder(**TINY).fit(replace(rows, X=broken))


def test_a_damaged_or_foreign_store_is_refused(model: Autoencoder) -> None:
    state, module = model.to_parts()
    tensors = dict(module.state_dict())
    with pytest.raises(ModelError, match="format 9"):
        Autoencoder.from_parts({**state, "format": 9}, tensors)
    tensors.pop("network.last.bias")
    with pytest.raises(ModelError, match="parts do not fit"):
        Autoencoder.from_parts(state, tensors)
