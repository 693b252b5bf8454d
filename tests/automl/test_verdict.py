"""What a search claims of its choice comes from rows it never saw, and says how much was tried."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from huracan.automl import AutoMLEngine
from huracan.automl.final_fits import FinalFits
from huracan.automl.study_rows import JUDGED, StudyRows
from huracan.automl.trials import Trial, TrialState
from huracan.automl.verdict import luck_of, verdict_on
from huracan.dataset import TrainingSet
from huracan.errors import ConfigError, DataError, NotEnoughData
from huracan.validation.leak_checks import assert_purged


def rows_of(n: int = 1_500, strength: float = 0.5, seed: int = 0, start: str = "2015-01-01") -> TrainingSet:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 4)).astype(np.float32)
    times = np.datetime64(start) + np.arange(n)
    return TrainingSet.from_arrays(X, strength * X[:, 0] + rng.standard_normal(n), label_horizon=3, ts=times)


def engine(**settings: Any) -> AutoMLEngine:
    return AutoMLEngine(**{"learners": ["ridge", "lightgbm"], "max_trials": 3, "random_state": 3, **settings})


@pytest.mark.parametrize("task", ["regression", "classification"])
def test_an_edge_is_crowned_where_the_search_never_looked(task: Any) -> None:
    learners = ["ridge" if task == "regression" else "logistic_regression", "lightgbm"]
    found = engine(task=task, learners=learners).fit(rows_of())
    verdict = found.verdict_
    assert verdict is not None and verdict.crowned and verdict.interval[0] > 0 and verdict.n_moments == 300
    assert verdict.sentence.startswith("Better than the constant forecast from")
    # of a signal of variance .25 under noise of variance 1, a fifth of the variance can be explained
    if task == "regression":
        assert 0.1 < verdict.gain < 0.3
    assert verdict.n_trials == 3 and verdict.n_earlier_trials == 0
    assert verdict.deflated_sharpe is not None and verdict.deflated_sharpe.probability > 0.95


def test_noise_is_not_crowned_and_says_so() -> None:
    found = engine().fit(rows_of(strength=0.0, seed=9))
    assert found.verdict_ is not None and not found.verdict_.crowned
    assert "better than" in found.verdict_.sentence.lower() or found.verdict_.sentence.startswith("Worse")


def test_no_fold_knows_of_the_span_that_judges() -> None:
    rows = rows_of()
    study = StudyRows.of(rows, "regression", judged_share=0.25)
    first = study.fold(JUDGED).test.min()
    assert len(study.fold(JUDGED).test) == 375
    for number in (*range(len(study.folds)), JUDGED):
        assert_purged(study.rows, study.fold(number).train, study.fold(number).test)
    assert all(rows.label_end[fold.test].max() < rows.decision_time[first] for fold in study.folds)


def test_other_labels_in_the_judged_span_change_no_trial() -> None:
    rows = rows_of()
    other = rows_of()
    other.y[1_200:] = 7.0
    one, two = engine(ensemble=False).fit(rows), engine(ensemble=False).fit(other)
    assert [trial.score for trial in one.history_] == [trial.score for trial in two.history_]


def test_judging_later_rows_and_refusing_earlier_ones() -> None:
    found = engine(judged_share=0.0).fit(rows_of())
    assert found.verdict_ is None and found.luck_ is not None
    later = found.judge(rows_of(seed=1, start="2020-01-01"))
    assert later.crowned and later.n_moments == 1_500 and later.n_trials == 3
    with pytest.raises(DataError, match="the first row is decided at 2015-01-02"):
        found.judge(rows_of())


def test_a_row_decided_when_the_last_label_was_known_is_not_later() -> None:
    found = engine(judged_share=0.0).fit(rows_of())
    later = rows_of(seed=1, start="2020-01-01")
    found.trained_until_ = later.decision_time[0]
    with pytest.raises(DataError, match="not after"):
        found.judge(later)


def test_rows_of_weight_0_judge_nothing() -> None:
    rows, other = rows_of(), rows_of()
    for one in (rows, other):
        one.weight[700:800] = one.weight[1_400:1_450] = 0.0  # of a fold, and of the span that judges
    other.y[700:800] = other.y[1_400:1_450] = 9.0
    one, two = engine().fit(rows), engine().fit(other)
    assert [trial.score for trial in one.history_] == [trial.score for trial in two.history_]
    assert one.verdict_ is not None and two.verdict_ is not None
    assert (one.verdict_.gain, one.verdict_.n_moments) == (two.verdict_.gain, two.verdict_.n_moments)
    later, strange = rows_of(seed=1, start="2020-01-01"), rows_of(seed=1, start="2020-01-01")
    later.weight[:99] = strange.weight[:99] = 0.0
    strange.y[:99] = 9.0
    assert one.judge(later).skill == one.judge(strange).skill and one.judge(later).n_moments == 1_401
    rows.weight[1_200:] = 0.0
    with pytest.raises(NotEnoughData, match="have weight 0; nothing can be judged"):
        engine().fit(rows)


def test_skill_decides_unless_the_loss_is_shown_to_be_higher() -> None:
    days = np.arange("2020-01-01", "2021-01-01", dtype="M8[D]")
    noise = np.random.default_rng(0).standard_normal(len(days))
    verdict = verdict_on(noise, noise + 1.0, days)
    assert verdict.gain == pytest.approx(noise.mean()) and verdict.interval[0] < noise.mean() < verdict.interval[1]
    assert verdict.crowned and verdict.skill == pytest.approx(1.0 + noise.mean()) and verdict.p_value < 0.001
    assert not verdict_on(noise, noise, days).crowned
    wide = verdict_on(noise - 1.0, noise + 1.0, days)
    assert not wide.crowned and wide.sentence.startswith("Worse than the constant")
    assert verdict_on(noise[:5], noise[:5], days[:5]).sentence.startswith("Nothing can be said")


def test_a_crowned_model_whose_loss_is_higher_is_not_called_better() -> None:
    days = np.arange("2020-01-01", "2021-01-01", dtype="M8[D]")
    noise = np.random.default_rng(0).standard_normal(len(days))
    noise -= noise.mean()
    verdict = verdict_on(noise - 0.08, noise + 1.0, days)
    assert verdict.crowned and verdict.sentence.startswith("Skilled in direction, though its loss is no lower than that of")
    assert "; adds +8.00 % to its loss (-" in verdict.sentence and "saves" not in verdict.sentence
    better = verdict_on(noise + 0.08, noise + 1.0, days).sentence
    assert better.startswith("Better than the constant forecast") and "; saves +8.00 % of its loss (-" in better


def test_trials_of_earlier_studies_count() -> None:
    rng = np.random.default_rng(1)
    trials = []
    for number in range(6):
        trial = Trial(number, "ridge", {}, 0, "sampler", TrialState.FINISHED, score=float(number))
        trial.gains[0], trial.payoff = np.zeros(3), rng.standard_normal(400) + 0.05 * number
        trials.append(trial)
    few, many = luck_of(trials, trials[-1]), luck_of(trials, trials[-1], n_earlier_trials=500)
    assert few.deflated_sharpe is not None and many.deflated_sharpe is not None
    assert many.n_trials == 506 and many.deflated_sharpe.probability < few.deflated_sharpe.probability
    assert few.overfitting is not None and few.overfitting.n_strategies == 6
    alone = luck_of(trials[:1], trials[0])
    assert alone.overfitting is None and "two at least are needed" in alone.reasons[0]


def test_a_trial_that_was_stopped_early_has_periods_of_the_same_length() -> None:
    study = StudyRows.of(rows_of(12_000), "regression")
    answers = {fold: study.targets[fold].y for fold in range(4)}
    whole, part = study.payoff(answers), study.payoff({0: answers[0]})
    assert len(whole) <= 2_048 and len(part) == pytest.approx(len(whole) / 4, abs=2)


def test_a_second_search_of_the_same_rows_knows_of_the_first(tmp_path: Path) -> None:
    url, rows = f"sqlite:///{tmp_path}/studies.db", rows_of()
    engine(database=url, study="first").fit(rows)
    second = engine(database=url, study="second", random_state=4).fit(rows)
    assert second.verdict_ is not None and (second.verdict_.n_trials, second.verdict_.n_earlier_trials) == (6, 3)
    again = engine(database=url, study="second", random_state=4).fit(rows)
    assert again.luck_ == second.luck_ or repr(again.luck_) == repr(second.luck_)
    assert again.verdict_ is not None and again.verdict_.gain == second.verdict_.gain


def test_a_share_that_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"judged_share is 1\.0"):
        engine(judged_share=1.0)


@pytest.mark.parametrize("task", ["regression", "classification"])
def test_where_fits_on_all_rows_run_out_the_model_is_the_one_that_was_judged(
    task: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = rows_of(1_500)
    name = "ridge" if task == "regression" else "logistic_regression"
    whole = AutoMLEngine(max_trials=3, task=task, learners=[name]).fit(rows)
    monkeypatch.setattr(FinalFits, "on_all_rows", lambda self, members: {})
    with pytest.warns(UserWarning, match="the model is the one that was judged"):
        found = AutoMLEngine(max_trials=3, task=task, learners=[name]).fit(rows)
    study = StudyRows.of(rows, task, judged_share=0.2)
    assert study.judged is not None and found.trained_until_ == rows.label_end[study.judged.train].max() < whole.trained_until_
    assert found.verdict_ is not None and whole.verdict_ is not None
    assert found.verdict_.sentence == whole.verdict_.sentence and found.weights_ == whole.weights_
    again = found.judge(rows.take(study.judged.test_rows))
    assert again.skill == pytest.approx(found.verdict_.skill, rel=1e-4) and again.crowned == found.verdict_.crowned
