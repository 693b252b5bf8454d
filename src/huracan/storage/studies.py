"""``StudyLog``: searches that outlive their process: what a study is about, its trials, and who works on which."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from huracan.storage.database import Database
from huracan.storage.processes import is_alive, this_host
from huracan.storage.tables import studies, study_owners, study_trials, utc_now

__all__ = ["RUNNING", "Study", "StudyFacts", "StudyLog", "StudyStatus"]

RUNNING = "running"
"""State of a trial that somebody works on."""

_TOLD = tuple(column for column in study_trials.columns if column.name not in ("study_id", "answers"))
_HERE: set[str] = set()
"""Owners that live in this process: several may."""


class StudyStatus(StrEnum):
    """The states of a study."""

    RUNNING = "running"
    FINISHED = "finished"


@dataclass(frozen=True)
class StudyFacts:
    """What a study is about.

    Attributes
    ----------
    span_start, span_end : first and last decision, aware; None where rows have no times of their own.
    """

    data_hash: str
    symbols: tuple[str, ...]
    span_start: datetime | None
    span_end: datetime | None
    task: str
    metric: str
    n_rows: int
    n_features: int
    bar_seconds: float
    seed: int
    versions: Mapping[str, str]


@dataclass(frozen=True)
class Study:
    """One row of the table of studies; times are UTC.

    Attributes
    ----------
    identity : everything the outcome depends on: of a call that goes on with this study it must be the same.
    queue : settings that come before what a sampler proposes.
    """

    id: int
    name: str
    facts: StudyFacts
    identity: Mapping[str, Any]
    queue: Sequence[Any]
    started_at: datetime
    finished_at: datetime | None
    status: StudyStatus
    result: Mapping[str, Any] | None

    @classmethod
    def of(cls, row: sa.Row[Any]) -> Study:
        """From a row of the table."""
        values = dict(row._mapping)
        facts = {key: values.pop(key) for key in StudyFacts.__dataclass_fields__}
        facts |= {"symbols": tuple(facts["symbols"])}
        return cls(facts=StudyFacts(**facts), **{**values, "status": StudyStatus(values["status"])})

    def touches(self, data_hash: str, symbols: Iterable[str], start: datetime | None, end: datetime | None) -> bool:
        """Whether it learned from the same data, or of any of ``symbols`` anywhere from ``start`` to ``end``."""
        mine = self.facts
        if mine.data_hash == data_hash:
            return True
        if start is None or end is None or mine.span_start is None or mine.span_end is None:
            return False
        return mine.span_start <= end and mine.span_end >= start and not set(mine.symbols).isdisjoint(symbols)


class StudyLog:
    """Studies and their trials in a database; several processes, on several hosts, may work on one study.

    A *trial* is reserved by the one insert of its number that succeeds, belongs to its *owner* (a process) until it ends, and
    ends in one transaction. An owner gives signs of life; a trial of one that is gone is taken over by whoever asks first.

    Parameters
    ----------
    database : its schema must be current (``Database.upgrade``).

    Examples
    --------
    >>> database = Database("sqlite://")
    >>> database.upgrade()
    >>> log = StudyLog(database)
    >>> facts = StudyFacts("d00d", ("BTC",), None, None, "regression", "squared_error", 100, 3, 60.0, 0, {})
    >>> study = log.open("first", facts, {"sampler": "tpe"}, queue=list)
    >>> me = log.enter(study.id)
    >>> log.reserve(study.id, me, most=1), log.reserve(study.id, me, most=1)
    (0, None)
    >>> log.end(study.id, 0, me, {"state": "finished", "score": 0.5})
    True
    >>> [(row.number, row.state, row.score) for row in log.trials(study.id)]
    [(0, 'finished', 0.5)]
    """

    def __init__(self, database: Database) -> None:
        self.database = database

    # --- studies ---------------------------------------------------------------------------------------------------

    def open(self, name: str, facts: StudyFacts, identity: Mapping[str, Any], queue: Callable[[], Sequence[Any]]) -> Study:
        """The study of a name; begun where there is none, with what ``queue`` gives then."""
        found = self.get(name)
        if found is not None:
            return found
        row = {
            **asdict(facts),
            "symbols": list(facts.symbols),
            "name": name,
            "identity": dict(identity),
            "queue": list(queue()),
            "started_at": utc_now(),
            "status": StudyStatus.RUNNING,
        }
        with self.database.transaction() as connection:
            self.database.insert_new(connection, studies, row)
        begun = self.get(name)
        assert begun is not None
        return begun

    def get(self, name: str) -> Study | None:
        """The study of a name, or None."""
        with self.database.reading() as connection:
            row = connection.execute(sa.select(studies).where(studies.c.name == name)).one_or_none()
        return None if row is None else Study.of(row)

    def find(self, *, task: str | None = None, status: StudyStatus | None = None) -> list[Study]:
        """Studies that match everything given, newest first."""
        query = sa.select(studies).order_by(studies.c.id.desc())
        for column, value in {"task": task, "status": status}.items():
            if value is not None:
                query = query.where(studies.c[column] == value)
        with self.database.reading() as connection:
            return [Study.of(row) for row in connection.execute(query)]

    def finish(self, study_id: int, result: Mapping[str, Any]) -> None:
        """Write down what came of a study; one that goes on later is running again."""
        with self.database.transaction() as connection:
            connection.execute(
                sa.update(studies)
                .where(studies.c.id == study_id)
                .values(status=StudyStatus.FINISHED, finished_at=utc_now(), result=dict(result))
            )

    def earlier_trials(
        self,
        *,
        data_hash: str,
        symbols: Sequence[str],
        span: tuple[datetime, datetime] | None,
        but: str | None = None,
    ) -> list[float]:
        """Scores of the trials that any study had on the same data: the more there were, the luckier the best of them is.

        A study counts if its data are the same, or if it shares a symbol and its span overlaps, as a look at a hold-out does:
        a bar appended to the candles makes no new data. Trials that failed before they had a score do not count.

        Parameters
        ----------
        data_hash : ``TrainingSet.data_hash`` of the labelled rows. symbols : in them. span : first and last decision, aware;
            None where rows have no times of their own.
        but : name of a study that is left out.
        """
        start, end = (None, None) if span is None else span
        touched = [study.id for study in self.find() if study.name != but and study.touches(data_hash, symbols, start, end)]
        query = sa.select(study_trials.c.score).where(
            study_trials.c.study_id.in_(touched), study_trials.c.score.is_not(None), study_trials.c.state != RUNNING
        )
        with self.database.reading() as connection:
            return list(connection.execute(query.order_by(study_trials.c.study_id, study_trials.c.number)).scalars())

    # --- owners ----------------------------------------------------------------------------------------------------

    def enter(self, study_id: int) -> str:
        """Token of a new owner: this process, working on a study."""
        token = secrets.token_hex(8)
        with self.database.transaction() as connection:
            row = {"token": token, "study_id": study_id, "host": this_host(), "process_id": os.getpid()}
            now = self.database.now(connection)
            connection.execute(sa.insert(study_owners).values(started_at=now, seen_at=now, **row))
        _HERE.add(token)
        return token

    def give_sign(self, token: str) -> None:
        """A sign of life of an owner."""
        with self.database.transaction() as connection:
            now = self.database.now(connection)
            connection.execute(sa.update(study_owners).where(study_owners.c.token == token).values(seen_at=now))

    def leave(self, token: str) -> None:
        """An owner ends its work: trials that it has not ended may be taken over at once."""
        _HERE.discard(token)
        with self.database.transaction() as connection:
            connection.execute(sa.update(study_owners).where(study_owners.c.token == token).values(seen_at=None))

    # --- trials ----------------------------------------------------------------------------------------------------

    def reserve(self, study_id: int, token: str, most: int | None) -> int | None:
        """The number of a new trial, which nobody else has; None where the study has ``most`` trials."""
        count = sa.select(sa.func.count()).select_from(study_trials).where(study_trials.c.study_id == study_id)
        while True:
            with self.database.transaction() as connection:
                number = connection.execute(count).scalar_one()
                if most is not None and number >= most:
                    return None
                row = {"study_id": study_id, "number": number, "state": RUNNING, "owner": token, "attempts": 1}
                if self.database.insert_new(connection, study_trials, {**row, "started_at": utc_now()}):
                    again = sa.update(studies).where(studies.c.id == study_id, studies.c.status != StudyStatus.RUNNING)
                    connection.execute(again.values(status=StudyStatus.RUNNING, finished_at=None))
                    return int(number)

    def settle(self, study_id: int, number: int, token: str, values: Mapping[str, Any]) -> bool:
        """Write down what a reserved trial tries; False where another owner has taken it over."""
        with self.database.transaction() as connection:
            mine = _of_owner(study_id, number, token)
            return bool(connection.execute(sa.update(study_trials).where(*mine).values(**values)).rowcount)

    def end(self, study_id: int, number: int, token: str, values: Mapping[str, Any], *, forget: Sequence[int] = ()) -> bool:
        """End a trial, and drop the answers of others that are not needed any more; all of it or nothing.

        Returns
        -------
        bool : False where another owner has taken the trial over; nothing is written then.
        """
        with self.database.transaction() as connection:
            mine = _of_owner(study_id, number, token)
            ended = sa.update(study_trials).where(*mine).values(finished_at=utc_now(), **values)
            if not connection.execute(ended).rowcount:
                return False
            if forget:
                here = study_trials.c.study_id == study_id, study_trials.c.number.in_(forget)
                free = sa.select(study_trials.c.number).where(*here, study_trials.c.answers.is_not(None))
                chosen = free.with_for_update(skip_locked=True)  # whoever has one locked is dropping it, too
                numbers = connection.execute(chosen).scalars().all()
                dropped = study_trials.c.study_id == study_id, study_trials.c.number.in_(numbers)
                connection.execute(sa.update(study_trials).where(*dropped).values(answers=None))
        return True

    def trials(self, study_id: int, *, since: int = 0, also: Iterable[int] = ()) -> list[sa.Row[Any]]:
        """Trials from number ``since`` on, and those of ``also``, by number; without their answers."""
        wanted = sa.or_(study_trials.c.number >= since, study_trials.c.number.in_(list(also)))
        query = sa.select(*_TOLD).where(study_trials.c.study_id == study_id, wanted).order_by(study_trials.c.number)
        with self.database.reading() as connection:
            return list(connection.execute(query))

    def overlapping(self, study_id: int) -> bool:
        """Whether two processes ever worked on the study at the same time: one began a trial before another's had ended."""
        one, other = study_trials.alias(), study_trials.alias()
        query = (
            sa.select(one.c.number)
            .join(other, sa.and_(other.c.study_id == one.c.study_id, other.c.owner != one.c.owner))
            .where(one.c.study_id == study_id, one.c.started_at <= other.c.started_at, other.c.started_at < one.c.finished_at)
            .limit(1)
        )
        with self.database.reading() as connection:
            return connection.execute(query).first() is not None

    def answers(self, study_id: int, numbers: Iterable[int]) -> dict[int, bytes]:
        """Number -> answers as they were written; those that were dropped are missing."""
        query = sa.select(study_trials.c.number, study_trials.c.answers).where(
            study_trials.c.study_id == study_id,
            study_trials.c.number.in_(list(numbers)),
            study_trials.c.answers.is_not(None),
        )
        with self.database.reading() as connection:
            return {row.number: row.answers for row in connection.execute(query)}

    def best_settings(self, study_id: int, most: int = 50) -> list[tuple[str, Mapping[str, Any]]]:
        """Learner and settings of finished trials that scored above 0, best first."""
        query = (
            sa.select(study_trials.c.learner, study_trials.c.params)
            .where(study_trials.c.study_id == study_id, study_trials.c.state == "finished", study_trials.c.score > 0)
            .order_by(study_trials.c.score.desc(), study_trials.c.number)
            .limit(most)
        )
        with self.database.reading() as connection:
            return [(row.learner, row.params) for row in connection.execute(query)]

    def take_over(self, study_id: int, token: str, lost_after: float) -> sa.Row[Any] | None:
        """Take over the first trial whose owner is gone, or None where there is none.

        Gone is who has left; whose process is not there any more, on this host; who gave no sign of life for ``lost_after``
        seconds, by the database's clock.
        """
        query = (
            sa.select(*_TOLD, study_owners.c.host, study_owners.c.process_id, study_owners.c.seen_at)
            .join(study_owners, study_owners.c.token == study_trials.c.owner)
            .where(study_trials.c.study_id == study_id, study_trials.c.state == RUNNING, study_trials.c.owner != token)
            .order_by(study_trials.c.number)
        )
        with self.database.reading() as connection:
            running: list[sa.Row[Any]] = list(connection.execute(query))
            now = self.database.now(connection) if running else utc_now()
        for row in running:
            if _is_gone(row, now, lost_after) and self._taken(study_id, row.number, row.owner, token):
                return row
        return None

    def _taken(self, study_id: int, number: int, owner: str, token: str) -> bool:
        with self.database.transaction() as connection:
            values = {"owner": token, "attempts": study_trials.c.attempts + 1, "started_at": utc_now()}
            mine = _of_owner(study_id, number, owner)
            return bool(connection.execute(sa.update(study_trials).where(*mine).values(**values)).rowcount)


def _of_owner(study_id: int, number: int, token: str) -> tuple[sa.ColumnElement[bool], ...]:
    here = study_trials.c.study_id == study_id, study_trials.c.number == number
    return *here, study_trials.c.owner == token, study_trials.c.state == RUNNING


def _is_gone(row: sa.Row[Any], now: datetime, lost_after: float) -> bool:
    if row.seen_at is None or (now - row.seen_at).total_seconds() > lost_after:
        return True
    if row.host != this_host():
        return False
    if row.process_id == os.getpid():
        return row.owner not in _HERE
    return not is_alive(row.process_id)
