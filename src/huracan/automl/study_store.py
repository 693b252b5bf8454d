"""``StudyStore``: a study in a database: it outlives its process, and several processes work on it together."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from huracan.automl.optuna_terms import Spaces, to_optuna
from huracan.automl.packed import pack, unpack
from huracan.automl.study_identity import differences, facts_of, identity_hash, spaces_of, span_of
from huracan.automl.study_rows import StudyRows
from huracan.automl.trials import Trial, TrialState
from huracan.baselines.search_space import OneOf
from huracan.dataset import TrainingSet
from huracan.errors import ConfigError, HuracanError, ModelError, StorageError
from huracan.logs import logger
from huracan.storage import Database, Study, StudyLog, to_json
from huracan.storage.studies import RUNNING

if TYPE_CHECKING:
    import optuna
    import sqlalchemy as sa

__all__ = ["LOST_AFTER", "StoredStudy", "StudyStore", "earlier_trials", "opened", "read_study"]

LOST_AFTER = 60.0
"""Seconds without a sign of life after which a process of another host is taken for gone."""

_SIGNS = 4
"""Signs of life in that time."""

Queue = Sequence[tuple[str, Mapping[str, Any], str]]


def opened(database: Database | str) -> Database:
    """A database by its URL, with a current schema.

    Raises
    ------
    StorageError : it cannot be reached or read, or a newer version wrote it.
    """
    found = Database(database) if isinstance(database, str) else database
    found.upgrade()
    return found


class StudyStore:
    """The book (:class:`~huracan.automl.trial_book.TrialBook`) of a study in a database.

    A trial's end, its scores and its answers are one transaction; a trial that was running when its process was killed is begun
    again with the same number, settings and seed. A thread gives signs of life while the study is open.

    Parameters
    ----------
    database : of :func:`opened`. study : rows and folds. identity : of :func:`~huracan.automl.study_identity.identity_of`.
    spaces : of the learners. seed : of the study.
    queue : gives learner, settings and source of the first trials; asked where the study begins, kept for ever.
    name : of the study; by default it is named after its identity, so the same call goes on with it and another one does not.
    lost_after : seconds without a sign of life after which a process of another host is taken for gone.

    Raises
    ------
    ConfigError : the study of this name was begun with other data or settings; the sentence says which.

    Examples
    --------
    >>> from huracan.automl.proposals import search_spaces
    >>> from huracan.automl.study_identity import identity_of
    >>> rows = TrainingSet.from_arrays(np.random.default_rng(0).standard_normal((300, 2)), np.arange(300.0))
    >>> study, spaces = StudyRows.of(rows, "regression"), search_spaces(["ridge"], {})
    >>> book = StudyStore(opened("sqlite://"), study, identity_of(study, spaces, seed=1), spaces, seed=1)
    >>> number = book.reserve(most=5)
    >>> trial = Trial(number, "ridge", {}, 1, "portfolio")
    >>> book.settle(trial)
    True
    >>> trial.state, trial.score = TrialState.FINISHED, 0.01
    >>> book.end(trial), book.earlier_trials()
    (True, 0)
    >>> book.close()
    """

    def __init__(
        self,
        database: Database,
        study: StudyRows,
        identity: Mapping[str, Any],
        spaces: Spaces,
        *,
        seed: int,
        queue: Callable[[], Queue] = tuple,
        name: str | None = None,
        lost_after: float = LOST_AFTER,
    ) -> None:
        if not lost_after > 0:
            raise ConfigError(f"lost_after is {lost_after!r}; seconds above 0 were expected.")
        self.name = name or f"study-{identity_hash(identity)[:16]}"
        self._log, self._spaces, self._lost_after = StudyLog(database), spaces, lost_after
        self._study = self._log.open(self.name, facts_of(study, identity, seed), identity, lambda: list(map(list, queue())))
        unlike = differences(self._study.identity, identity)
        if unlike:
            raise ConfigError(
                f"the study '{self.name}' in {database.where} cannot go on with this call: {'; '.join(unlike)}. "
                "Give the call another study name, or what the study was begun with."
            )
        self.queue: Queue = [(learner, _restored(spaces, learner, params), why) for learner, params, why in self._study.queue]
        self._token = self._log.enter(self._study.id)
        self._mine: set[int] = set()
        self._running: set[int] = set()
        self._next = 0
        self._over = threading.Event()
        self._signs = threading.Thread(target=self._give_signs, name=f"signs of life of {self.name}", daemon=True)
        if database.url.database not in (None, "", ":memory:"):  # one connection, which nobody else can look through
            self._signs.start()

    def reserve(self, most: int | None) -> int | None:
        """A number that nobody else has; None where the study has ``most`` trials."""
        number = self._log.reserve(self._study.id, self._token, most)
        if number is not None:
            self._mine.add(number)
        return number

    def settle(self, trial: Trial) -> bool:
        """Write down what a reserved trial tries; False where it belongs to another process by now."""
        values = {
            "learner": trial.learner,
            "params": dict(trial.params),
            "seed": trial.seed,
            "source": trial.source,
            "notes": dict(trial.notes),
        }
        return self._still_mine(trial.number, self._log.settle(self._study.id, trial.number, self._token, values))

    def end(self, trial: Trial, forget: Sequence[int] = ()) -> bool:
        """Write down how a trial ended; False where it belongs to another process by now."""
        values = {
            "state": str(trial.state),
            "score": float(trial.score) if np.isfinite(trial.score) else None,
            "fold_scores": {str(fold): mean for fold, mean in trial.fold_means().items()},
            "seconds": trial.seconds,
            "wall_seconds": trial.wall_seconds,
            "reason": trial.reason,
            "objectives": list(trial.values),
            "gains": pack(trial.gains),
            "payoff": None if trial.payoff is None else pack({0: trial.payoff}),
            "answers": pack(trial.answers) if trial.answers else None,
        }
        ended = self._log.end(self._study.id, trial.number, self._token, values, forget=forget)
        return self._still_mine(trial.number, ended)

    def orphan(self) -> Trial | None:
        """A trial whose process is gone: it is this one's now. Without a learner where it had no settings yet."""
        row = self._log.take_over(self._study.id, self._token, self._lost_after)
        if row is None:
            return None
        self._mine.add(row.number)
        self._running.discard(row.number)
        logger().info("a trial is begun again", study=self.name, trial=row.number, learner=row.learner)
        return _trial_of(row, self._spaces)

    def news(self) -> list[Trial]:
        """Trials of others, running or ended, that are new or were running when last asked."""
        rows = self._log.trials(self._study.id, since=self._next, also=self._running)
        rows = [row for row in rows if row.number not in self._mine]
        self._next = max([self._next, *(row.number + 1 for row in rows), *(number + 1 for number in self._mine)])
        self._running = {row.number for row in rows if row.state == RUNNING}
        return [_trial_of(row, self._spaces) for row in rows]

    def answers(self, numbers: Iterable[int]) -> dict[int, dict[int, NDArray[Any]]]:
        """Number -> fold -> answers."""
        found = self._log.answers(self._study.id, numbers)
        return {number: unpack(data, where=f"trial {number} of {self.name}") for number, data in found.items()}

    def earlier_trials(self) -> int:
        """Trials that other studies had on the same data, or on the same symbols and time."""
        facts = self._study.facts
        span = None if facts.span_start is None or facts.span_end is None else (facts.span_start, facts.span_end)
        found = self._log.earlier_trials(data_hash=facts.data_hash, symbols=facts.symbols, span=span, but=self.name)
        return len(found)

    def shared(self) -> bool:
        """Whether processes worked on it at the same time: then what a sampler knew, and when, is chance."""
        return self._log.overlapping(self._study.id)

    def finish(self, result: Mapping[str, Any]) -> None:
        """Write down what came of the study."""
        self._log.finish(self._study.id, result)

    def close(self) -> None:
        """This process works on the study no more; trials that it did not end may be taken over."""
        self._over.set()
        if self._signs.is_alive():
            self._signs.join()
        self._log.leave(self._token)

    def _still_mine(self, number: int, is_mine: bool) -> bool:
        if not is_mine:
            self._mine.discard(number)
            self._running.add(number)
        return is_mine

    def _give_signs(self) -> None:
        while not self._over.wait(self._lost_after / _SIGNS):
            try:
                self._log.give_sign(self._token)
            except HuracanError as error:
                logger().warning("no sign of life could be given", study=self.name, reason=str(error))


@dataclass(frozen=True)
class StoredStudy:
    """A study as a database has it: to look at, whoever works on it.

    Attributes
    ----------
    study : what it is about, and what came of it. trials : all of them, by number, without answers.
    """

    study: Study
    trials: tuple[Trial, ...]

    def to_optuna(self) -> optuna.Study:
        """A study of Optuna, in memory, with all trials: for its importances and pictures."""
        identity = self.study.identity
        return to_optuna(self.trials, spaces_of(identity), directions=identity.get("directions", ["maximize"]))


def read_study(database: Database | str, name: str) -> StoredStudy:
    """A study by its name.

    Raises
    ------
    StorageError : there is none.

    Examples
    --------
    >>> import tempfile
    >>> from huracan.automl import AutoMLEngine
    >>> X = np.random.default_rng(0).standard_normal((300, 2))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     url = f"sqlite:///{folder}/studies.db"
    ...     engine = AutoMLEngine(max_trials=2, learners=["ridge"], database=url, study="first").fit(X, X[:, 0])
    ...     stored = read_study(url, "first")
    >>> [(trial.number, trial.learner, str(trial.state)) for trial in stored.trials]
    [(0, 'ridge', 'finished'), (1, 'ridge', 'pruned')]
    >>> len(stored.to_optuna().trials)
    2
    """
    log = StudyLog(opened(database))
    study = log.get(name)
    if study is None:
        known = ", ".join(f"'{one.name}'" for one in log.find()[:5]) or "none"
        raise StorageError(f"no study '{name}' is in {log.database.where}; the newest there: {known}.")
    spaces = spaces_of(study.identity)
    return StoredStudy(study, tuple(_trial_of(row, spaces) for row in log.trials(study.id)))


def earlier_trials(database: Database, rows: TrainingSet, *, but: str | None = None) -> list[float]:
    """Scores of all trials that studies other than ``but`` had on these rows, or on rows of the same symbols and time.

    Their number is how often the data have been asked already. Symbols are told apart by name alone.

    Parameters
    ----------
    rows : those with a label count, as in a search.

    Examples
    --------
    >>> rows = TrainingSet.from_arrays(np.random.default_rng(0).standard_normal((300, 2)), np.arange(300.0))
    >>> earlier_trials(opened("sqlite://"), rows)
    []
    """
    labelled = rows.labelled_only()
    return StudyLog(database).earlier_trials(
        data_hash=labelled.data_hash(), symbols=labelled.symbols, span=span_of(labelled), but=but
    )


def _trial_of(row: sa.Row[Any], spaces: Spaces) -> Trial:
    learner, where = row.learner or "", f"trial {row.number}"
    return Trial(
        number=row.number,
        learner=learner,
        params=_restored(spaces, learner, row.params) if learner else {},
        seed=row.seed or 0,
        source=row.source or "",
        state=None if row.state == RUNNING else TrialState(row.state),
        gains={} if row.gains is None else unpack(row.gains, where=where),
        seconds=row.seconds or 0.0,
        wall_seconds=row.wall_seconds or 0.0,
        score=float("nan") if row.score is None else row.score,
        reason=row.reason or "",
        values=tuple(row.objectives or ()),
        payoff=None if row.payoff is None else unpack(row.payoff, where=where)[0].astype(np.float64),
        notes=row.notes or {},
        attempts=row.attempts,
    )


def _restored(spaces: Spaces, learner: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as they were before they became JSON: in the order of the space, a choice the very value there."""
    if learner not in spaces:
        raise ModelError(f"a stored trial is of the learner '{learner}', which is not among {', '.join(spaces)}.")
    named = [name for name in spaces[learner] if name in params]
    found = {name: params[name] for name in [*named, *(name for name in params if name not in named)]}
    for name, where in spaces[learner].items():
        if name in found and isinstance(where, OneOf):
            written = to_json(found[name])
            found[name] = next((value for value in where.values if to_json(value) == written), found[name])
    return found
