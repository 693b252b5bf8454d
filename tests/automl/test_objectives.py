"""Several objectives: what positions earn after costs, and what they trade."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from huracan.accounting import CostModel, PositionPolicy
from huracan.accounting.tuning import policy_account
from huracan.automl import AutoMLEngine
from huracan.automl.budget import Budget
from huracan.automl.crew import SameProcess
from huracan.automl.leaderboard import leaderboard
from huracan.automl.objectives import Money, front, net_result
from huracan.automl.search import Search
from huracan.automl.study_rows import StudyRows
from huracan.automl.study_store import read_study
from huracan.automl.trials import Trial, TrialState
from huracan.dataset import TrainingSet
from huracan.errors import AccountingError, ConfigError
from huracan.validation import PurgedWalkForward


def priced_rows(n: int = 1_200, strength: float = 0.004) -> TrainingSet:
    """Returns of the next bar that the first feature knows a part of."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, 3)).astype(np.float32)
    earned = np.concatenate([[0.0], strength * X[:-1, 0] + 0.01 * rng.standard_normal(n - 1)])
    price = 100.0 * np.cumprod(1.0 + earned)
    moved = np.append(price[2:] / price[1:-1] - 1.0, [0.0, 0.0])
    return TrainingSet.from_arrays(np.roll(X, -1, axis=0), moved, prices=price)


def engine(**settings: Any) -> AutoMLEngine:
    given = {"learners": ["ridge", "extra_trees"], "max_trials": 4, "random_state": 1, **settings}
    return AutoMLEngine(**given)


def test_an_answer_that_knows_the_return_earns_it_less_costs() -> None:
    rows = priced_rows()
    study = StudyRows.of(rows, "regression", PurgedWalkForward(3))
    perfect = {k: study.targets[k].y for k in range(3)}
    free = net_result(study, perfect, CostModel.free(), PositionPolicy())
    dear = net_result(study, perfect, CostModel(fee_bps=20.0), PositionPolicy())
    constant = {k: np.full_like(study.targets[k].y, study.targets[k].constant) for k in range(3)}
    idle = net_result(study, constant, CostModel(), PositionPolicy())
    assert free.net_sharpe > dear.net_sharpe > 10.0 and free.turnover > 100.0
    assert (idle.net_sharpe, idle.turnover) == (0.0, 0.0)


def test_the_account_books_costs_on_what_is_traded() -> None:
    rows = priced_rows(50)
    score = np.where(np.arange(50) % 2, 1.0, -1.0)
    net, turnover = policy_account(rows, score, PositionPolicy(), CostModel.free())
    costly, _ = policy_account(rows, score, PositionPolicy(), CostModel(fee_bps=10.0, half_spread_bps=0.0, slippage_bps=0.0))
    assert turnover[1:-1] == pytest.approx(2.0)
    np.testing.assert_allclose(net - costly, 0.001 * turnover, atol=1e-15)


def test_the_front_holds_what_nothing_beats() -> None:
    def trial(number: int, *values: float) -> Trial:
        return Trial(number, "ridge", {}, 0, "sampler", TrialState.FINISHED, values=values)

    trials = [trial(0, 1.0, 50.0), trial(1, 2.0, 80.0), trial(2, 1.5, 90.0), trial(3, 0.5, 10.0)]
    assert [one.number for one in front(trials, ("net_sharpe", "turnover"))] == [1, 0, 3]


def test_a_search_of_two_objectives_takes_the_best_in_the_first() -> None:
    found = engine(objectives=("net_sharpe", "turnover")).fit(priced_rows())
    assert {"net_sharpe", "turnover"} <= set(found.leaderboard_.columns)
    best = found.front_[0]
    assert best.values[0] == max(trial.values[0] for trial in found.history_)
    assert found.weights_ == {f"trial {best.number}": 1.0} and found.verdict_ is not None


def test_the_account_of_answers_is_a_task_of_workers_and_its_time_no_cost_of_fits() -> None:
    here = engine(objectives=("net_sharpe", "turnover")).fit(priced_rows())
    there = engine(objectives=("net_sharpe", "turnover"), n_workers=1).fit(priced_rows())
    assert [trial.values for trial in there.history_] == [trial.values for trial in here.history_]


def test_objectives_outlive_their_process(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/studies.db"
    settings = {"objectives": ("net_sharpe", "turnover"), "database": url, "study": "money"}
    first, again = engine(**settings).fit(priced_rows()), engine(**settings).fit(priced_rows())
    assert [trial.values for trial in again.history_] == [trial.values for trial in first.history_]
    assert [one.number for one in again.front_] == [one.number for one in first.front_]
    shown = read_study(url, "money").to_optuna()
    assert len(shown.directions) == 2 and len(shown.trials) == 4
    with pytest.raises(ConfigError, match=r"objectives is .* here and .* there"):
        engine(database=url, study="money").fit(priced_rows())


def finished(number: int, learner: str, turnover: float, gain: float, seconds: float = 0.0) -> Trial:
    return Trial(
        number, learner, {}, 0, "sampler", TrialState.FINISHED, score=gain, values=(turnover, gain), wall_seconds=seconds
    )


SMALL_FIRST = [finished(0, "ridge", 30.0, 0.3), finished(1, "extra_trees", 5.0, 0.1, 8.0), finished(2, "ridge", 9.0, 0.2)]


def test_what_is_made_small_is_best_where_it_is_smallest() -> None:
    objectives = ("turnover", "gain")
    assert leaderboard(SMALL_FIRST, {}, objectives)["trial"].to_list() == [1, 2, 0]
    assert front(SMALL_FIRST, objectives)[0].number == 1  # type: ignore[arg-type]


def test_time_is_kept_for_the_trial_that_will_be_fitted() -> None:
    study = StudyRows.of(priced_rows(), "regression")
    for trial in SMALL_FIRST:
        trial.gains = {fold: np.ones(2) for fold in range(len(study.folds))}
    money = Money(CostModel(), PositionPolicy())
    search = Search(
        study,
        None,  # type: ignore[arg-type]
        SameProcess(study),
        Budget(100.0),
        trials=list(SMALL_FIRST),
        objectives=("turnover", "gain"),
        money=money,
    )
    assert search.best is SMALL_FIRST[1]
    end = search._end()
    assert end is not None and end < search.budget.began + 98.0 - search.cost_of(SMALL_FIRST[1])


@pytest.mark.parametrize("what", ["execution_return", "volatility"])
def test_a_study_of_money_does_not_go_on_with_other_prices(tmp_path: Path, what: str) -> None:
    rows = replace(priced_rows(), volatility=np.full(1_200, 0.01))
    other = replace(rows, **{what: 2.0 * getattr(rows, what)})
    settings = {"database": f"sqlite:///{tmp_path}/studies.db", "learners": ["ridge"], "max_trials": 1}
    engine(objectives=("net_sharpe",), study="money", **settings).fit(rows)
    with pytest.raises(ConfigError, match="cannot go on with this call: other prices"):
        engine(objectives=("net_sharpe",), study="money", **settings).fit(other)
    engine(study="gain", **settings).fit(rows)
    engine(study="gain", **settings).fit(other)  # prices do not change what a forecast loses


def test_the_first_objective_is_the_first_that_is_named() -> None:
    assert engine(objectives=("turnover", "gain")).objectives == ("turnover", "gain")


def test_objectives_that_cannot_be_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"objectives is \('sharpe',\)"):
        engine(objectives=["sharpe"])
    with pytest.raises(ConfigError, match="sampler is 'cma_es', which knows one objective"):
        engine(objectives=["net_sharpe", "turnover"], sampler="cma_es")
    unpriced = TrainingSet.from_arrays(np.zeros((500, 1)), np.arange(500.0))
    with pytest.raises(AccountingError, match="no execution_return"):
        engine(objectives=["net_sharpe", "turnover"]).fit(unpriced)
