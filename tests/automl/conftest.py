"""Searches whose fits take no time: answers are a known function of the setting, so thousands of trials can be tried."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from huracan.automl.budget import Budget
from huracan.automl.crew import Done, SameProcess
from huracan.automl.fold_work import FoldAnswer
from huracan.automl.portfolio import starting_settings
from huracan.automl.proposals import Proposals, search_spaces
from huracan.automl.search import Search
from huracan.automl.study_identity import identity_of
from huracan.automl.study_rows import StudyRows
from huracan.automl.study_store import StudyStore, opened
from huracan.automl.trial_book import OwnBook, TrialBook
from huracan.dataset import TrainingSet

SEED = 5


class KnownAnswers(SameProcess):
    """A crew of one that answers with a share of the truth; every seventh seed fails."""

    def wait(self, until: float | None = None) -> list[Done]:
        task = self._tasks.popleft()
        if task.seed % 7 == 0:
            return [Done(task, None, "this seed brings no luck")]
        numbers = [float(value) for value in task.params.values() if isinstance(value, (int, float))]
        share = 0.4 * math.cos(sum(numbers) + len(task.learner))
        answer = share * self._study.targets[task.fold].y + 0.01 * np.sin(
            task.seed + np.arange(len(self._study.targets[task.fold].y))
        )
        return [Done(task, FoldAnswer(answer, None, 0.0, 0.0))]


class Searches:
    """Makes searches on one set of rows."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        X = rng.standard_normal((300, 3)).astype(np.float32)
        rows = TrainingSet.from_arrays(X, 0.5 * X[:, 0] + rng.standard_normal(300), label_horizon=2)
        self.study = StudyRows.of(rows, "regression")
        self.spaces = search_spaces(["ridge", "lightgbm"], {})
        self.start = [(learner, params, "portfolio") for learner, params in starting_settings(list(self.spaces), "regression")]

    def store(
        self,
        url: str,
        *,
        kind: Callable[..., StudyStore] = StudyStore,
        sampler: str = "tpe",
        name: str | None = "s",
        **more: Any,
    ) -> StudyStore:
        identity = identity_of(self.study, self.spaces, seed=SEED, sampler=sampler)
        given = {"seed": SEED, "queue": lambda: self.start, "name": name, **more}
        return kind(opened(url), self.study, identity, self.spaces, **given)

    def search(self, book: TrialBook | None = None, *, trials: int = 12, sampler: str = "tpe", **more: Any) -> Search:
        book = OwnBook(self.start) if book is None else book
        proposals = Proposals(self.spaces, book.queue, sampler=sampler, seed=SEED)
        return Search(self.study, proposals, KnownAnswers(self.study), Budget(None, trials), book=book, seed=SEED, **more)


@pytest.fixture(scope="session")
def searches() -> Searches:
    return Searches()
