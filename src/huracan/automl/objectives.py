"""What a search makes large or small besides the gain: net Sharpe ratio and turnover of the positions that answers ask for."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from huracan.accounting import CostModel, PositionPolicy, bars_in_a_year
from huracan.accounting.tuning import policy_account
from huracan.automl.study_rows import StudyRows
from huracan.automl.trials import Trial, mean_and_error
from huracan.dataset import TrainingSet
from huracan.errors import AccountingError, ConfigError

__all__ = ["DIRECTIONS", "Money", "NetResult", "Objective", "check_objectives", "front", "net_result", "worth"]

Objective = Literal["gain", "net_sharpe", "turnover"]
DIRECTIONS: Mapping[Objective, Literal["maximize", "minimize"]] = {
    "gain": "maximize",
    "net_sharpe": "maximize",
    "turnover": "minimize",
}
"""Objective -> what is good."""


@dataclass(frozen=True)
class NetResult:
    """What positions that follow out-of-fold answers earned after costs, folds but the oldest, which only tunes.

    Attributes
    ----------
    net_sharpe : mean net return a moment less half its standard error, over its standard deviation, annualised (365 days).
    turnover : traded share of the capital a year, one-sided changes added up.
    """

    net_sharpe: float
    turnover: float


@dataclass(frozen=True)
class Money:
    """What positions cost, and the policy that makes them: what answers are accounted with."""

    costs: CostModel
    policy: PositionPolicy

    def identity(self, rows: TrainingSet) -> dict[str, Any]:
        """What the account depends on beside answers, times and symbols, as JSON."""
        digest = hashlib.sha256()
        for values in (rows.execution_return, rows.volatility):
            digest.update(b"none" if values is None else np.ascontiguousarray(values).tobytes())
        return {"costs": asdict(self.costs), "policy": asdict(self.policy), "prices": digest.hexdigest()}

    def net_result(self, study: StudyRows, answers: Mapping[int, NDArray[np.floating[Any]]]) -> NetResult:
        """See :func:`net_result`."""
        return net_result(study, answers, self.costs, self.policy, horizon=study.horizon)


def check_objectives(objectives: Sequence[str], study: StudyRows | None = None) -> tuple[Objective, ...]:
    """The objectives, each known and named once; with a study, whether its rows have what they need.

    >>> check_objectives(["net_sharpe", "turnover"])
    ('net_sharpe', 'turnover')
    """
    known = tuple(DIRECTIONS)
    if not objectives or len(set(objectives)) < len(objectives) or set(objectives) - set(known):
        raise ConfigError(f"objectives is {tuple(objectives)!r}; some of {', '.join(known)}, each once, were expected.")
    if study is not None and set(objectives) - {"gain"}:
        if study.rows.execution_return is None:
            raise AccountingError("the rows have no execution_return; without prices nothing can be earned net of costs.")
        if len(study.folds) < 2:
            raise ConfigError(f"{objectives[0]} needs two folds at least, the first to tune positions; there is one.")
    return cast("tuple[Objective, ...]", tuple(objectives))


def net_result(
    study: StudyRows,
    answers: Mapping[int, NDArray[np.floating[Any]]],
    costs: CostModel,
    template: PositionPolicy,
    *,
    horizon: int = 1,
) -> NetResult:
    """Account for one trial's answers: in each fold by the policy that did best, net of costs, on what was known before it."""
    order = sorted(answers, reverse=True)
    score = {k: np.asarray(answers[k], np.float64) - study.targets[k].constant for k in order}
    net, turnover = [], []
    for place, fold in enumerate(order[1:], start=1):
        earlier = order[:place]
        past = study.rows.take(np.concatenate([study.folds[k].test for k in earlier]))
        known = past.label_end < study.rows.decision_time[study.folds[fold].test].min()
        scores = np.concatenate([score[k] for k in earlier])[known]
        policy = PositionPolicy.tune(past.take(known), scores, costs, horizon=horizon, base=template)
        earned, traded = policy_account(study.rows.take(study.folds[fold].test_rows), score[fold], policy, costs)
        net.append(earned)
        turnover.append(traded)
    series = np.concatenate(net)
    mean, error = mean_and_error(series)
    spread, year = float(series.std()), bars_in_a_year(study.rows.bar_length)
    sharpe = (mean - 0.5 * error) / spread * np.sqrt(year) if spread > 0.0 else 0.0
    return NetResult(float(sharpe), float(np.concatenate(turnover).mean() * year))


def worth(trial: Trial, objectives: Sequence[str]) -> tuple[float, ...]:
    """What each objective says of a trial, larger being better; of the gain alone its score. Empty where nothing is known.

    >>> worth(Trial(0, "ridge", {}, 0, "sampler", values=(3.0, 0.1)), ["turnover", "gain"])
    (-3.0, 0.1)
    """
    values = trial.values or ((trial.score,) if tuple(objectives) == ("gain",) else ())
    return tuple(
        value if DIRECTIONS[cast("Objective", objective)] == "maximize" else -value
        for objective, value in zip(objectives, values, strict=False)
    )


def front(trials: Sequence[Trial], objectives: Sequence[Objective]) -> list[Trial]:
    """Finished trials that no other beats in one objective without losing in another; the best in the first objective first.

    >>> front([], ["net_sharpe", "turnover"])
    []
    """
    values = [np.array(worth(trial, objectives)) for trial in trials]
    kept = [
        trial
        for trial, own in zip(trials, values, strict=True)
        if not any(np.all(other >= own) and np.any(other > own) for other in values)
    ]
    return sorted(kept, key=lambda trial: (-worth(trial, objectives)[0], trial.number))
