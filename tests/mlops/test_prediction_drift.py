"""Prediction drift: the test of the data's columns, on scores, with those that were not given left out."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from scipy.signal import lfilter

from huracan.errors import DataError, NotEnoughData
from huracan.mlops import DriftDetector, EvidenceKind, Reference, detect_prediction_drift, score_reference


def scores(n: int, seed: int, rho: float = 0.9) -> np.ndarray:
    """Scores that remember, of standard deviation 1."""
    noise = np.random.default_rng(seed).standard_normal(n + 200) * np.sqrt(1 - rho**2)
    return np.asarray(lfilter([1.0], [1.0, -rho], noise)[200:])


def panel(n: int, seed: int, *symbols: str) -> pl.DataFrame:
    """Scores of several symbols at hourly moments."""
    frames = [pl.DataFrame({"ts": np.arange(n), "score": scores(n, seed + i)}) for i in range(len(symbols))]
    return pl.concat([frame.with_columns(symbol=pl.lit(name)) for frame, name in zip(frames, symbols)])


def test_it_is_the_test_of_a_column_of_data() -> None:
    reference, window = panel(2_000, 1, "BTC", "ETH"), panel(300, 5, "BTC", "ETH")
    found = detect_prediction_drift(score_reference(reference), window)
    (column,) = DriftDetector(multivariate=False).fit(reference).detect(window).columns
    assert (found.score.p_value, found.score.statistic) == (column.p_value, column.statistic)


def test_scores_as_before_are_rarely_called_otherwise_and_moved_ones_are_found() -> None:
    reference = score_reference(scores(4_000, 1))
    called = [detect_prediction_drift(reference, scores(400, seed), alpha=0.05).drifted for seed in range(100, 200)]
    assert sum(called) <= 13  # 5 % of 100, three standard errors, one reference
    moved = [detect_prediction_drift(reference, scores(400, seed) + 1.5).drifted for seed in range(100, 120)]
    assert sum(moved) >= 18


def test_evidence_says_which_way_and_that_it_is_not_strong_alone() -> None:
    reference = Reference.from_bytes(score_reference(scores(2_000, 1)).to_bytes())
    found = detect_prediction_drift(reference, scores(400, 2) - 2.0)
    (seen,) = found.evidence(name="btc", tick=9, symbol="BTC", version_id=3)
    assert (seen.kind, seen.strong, seen.version_id, seen.id) == (EvidenceKind.PREDICTION, False, 3, "btc:BTC:*:prediction:9")
    assert seen.sentence.startswith("the scores are lower than out of fold (largest distance 0.")
    same = detect_prediction_drift(reference, scores(400, 2))
    assert same.evidence(name="btc", tick=9) == () and "are not shown to be distributed otherwise" in same.sentence


@pytest.mark.parametrize("rho", [0.9, 0.98])
def test_a_model_that_is_stuck_or_far_off_is_seen_however_long_its_scores_remember(rho: float) -> None:
    reference = Reference.from_bytes(score_reference(scores(2_000, 1, rho)).to_bytes())
    stuck = detect_prediction_drift(reference, np.zeros(168))
    assert (
        stuck.drifted and "as they never were out of fold" in stuck.sentence and "stands still for 168 rows" in stuck.sentence
    )
    far = detect_prediction_drift(reference, scores(168, 2, rho) + 1_000.0)
    assert far.drifted and "5 times as far from the median as any value before" in far.sentence
    (seen,) = far.evidence(name="btc", tick=9)
    assert seen.p_value is None and seen.kind == EvidenceKind.PREDICTION


def test_scores_that_remember_too_long_are_said_not_to_be_able_to_show_it() -> None:
    found = detect_prediction_drift(score_reference(scores(2_000, 1, 0.99)), scores(60, 2, 0.99))
    assert not found.drifted and not found.score.testable and "cannot be shown to drift by 60 moments" in found.sentence


def test_rows_without_a_score_are_left_out_and_counted() -> None:
    reference = score_reference(panel(400, 1, "BTC"))
    window = panel(100, 2, "BTC")
    holes = window.with_columns(
        score=pl.when(pl.col("ts") % 10 == 0).then(None).when(pl.col("ts") == 5).then(np.nan).otherwise("score")
    )
    found = detect_prediction_drift(reference, holes)
    assert (found.unanswered, found.report.n_current) == (11, 89)
    whole = detect_prediction_drift(reference, window.filter((pl.col("ts") % 10 != 0) & (pl.col("ts") != 5)))
    assert found.score.p_value == whole.score.p_value


def test_too_few_scores_are_said_with_their_number() -> None:
    with pytest.raises(NotEnoughData, match="199 moments; at least 200"):
        score_reference(scores(199, 1))
    with pytest.raises(NotEnoughData, match="19 moments; at least 20"):
        detect_prediction_drift(score_reference(scores(200, 1)), scores(19, 2))
    with pytest.raises(DataError, match="one called 'score' was expected"):
        score_reference(pl.DataFrame({"ts": [1], "forecast": [0.5]}))


def test_frames_of_pandas_and_columns_by_name_are_frames_and_what_is_none_is_one_sentence() -> None:
    frame = panel(400, 1, "BTC", "ETH")
    expected = score_reference(frame).to_bytes()
    assert score_reference(frame.to_pandas()).to_bytes() == expected
    assert score_reference(frame.to_dict(as_series=False)).to_bytes() == expected
    for wrong, said in ((["a"] * 300, "no numbers"), (np.zeros((300, 2)), "one number a row"), ({"score": ["a"]}, "String")):
        with pytest.raises(DataError, match=said):
            score_reference(wrong)
