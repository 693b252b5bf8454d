"""``RunLog``: what was run, on what, with what outcome, and how often a hold-out was looked at."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from huracan.errors import StorageError
from huracan.storage.database import Database
from huracan.storage.processes import is_alive
from huracan.storage.tables import hold_out_uses, runs, utc_now

__all__ = ["HoldOutUse", "Run", "RunLog", "RunStatus"]


class RunStatus(StrEnum):
    """The states of a run."""

    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True)
class Run:
    """One row of the run log; times are UTC, hashes hexadecimal."""

    id: int
    run_id: str
    started_at: datetime
    finished_at: datetime | None
    status: RunStatus
    config_hash: str | None
    data_hash: str | None
    recipe_hash: str | None
    seed: int | None
    versions: Mapping[str, str]
    result_hash: str | None
    report_path: str | None
    summary: Mapping[str, Any]


@dataclass(frozen=True)
class HoldOutUse:
    """One look at a locked hold-out; symbols and span are unknown where an early version of Huracan logged it."""

    id: int
    at: datetime
    data_hash: str
    config_hash: str | None
    run_id: str | None
    why: str
    symbols: tuple[str, ...] = ()
    span_start: datetime | None = None
    span_end: datetime | None = None

    @classmethod
    def of(cls, row: sa.Row[Any]) -> HoldOutUse:
        """From a row of the table."""
        return cls(**{**row._mapping, "symbols": tuple(row.symbols or ())})

    def touches(self, data_hash: str, symbols: Sequence[str], start: datetime, end: datetime) -> bool:
        """Whether any of ``symbols`` was seen anywhere from ``start`` to ``end``."""
        if self.span_start is None or self.span_end is None:
            return self.data_hash == data_hash
        return self.span_start <= end and self.span_end >= start and not set(self.symbols).isdisjoint(symbols)


class RunLog:
    """The log of runs in a database.

    Parameters
    ----------
    database : its schema must be current (``Database.upgrade``).

    Examples
    --------
    >>> database = Database("sqlite://")
    >>> database.upgrade()
    >>> log = RunLog(database)
    >>> run_id = log.start_run(config_hash="c0ffee", seed=7)
    >>> log.update_run(run_id, data_hash="d00d")
    >>> log.finish_run(run_id, result_hash="beef", summary={"champion": "ridge"})
    >>> log.get(run_id).status.value, log.get(run_id).data_hash
    ('finished', 'd00d')
    """

    def __init__(self, database: Database) -> None:
        self.database = database

    def start_run(
        self,
        *,
        config_hash: str | None = None,
        data_hash: str | None = None,
        recipe_hash: str | None = None,
        seed: int | None = None,
        versions: Mapping[str, str] | None = None,
        run_id: str | None = None,
    ) -> str:
        """Write down that a run begins; a ``run_id`` is made of the time and eight random digits unless given.

        A run that is there already under ``run_id`` and did not finish is continued: its state becomes running again.

        Raises
        ------
        StorageError : ``run_id`` belongs to a run that finished or is still running.
        """
        now = utc_now()
        run_id = run_id or f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"
        values = {
            "status": RunStatus.RUNNING,
            "config_hash": config_hash,
            "data_hash": data_hash,
            "recipe_hash": recipe_hash,
            "seed": seed,
            "versions": dict(versions or {}),
            "host": socket.gethostname(),
            "process_id": os.getpid(),
        }
        with self.database.transaction() as connection:
            there = connection.execute(sa.select(runs.c.status).where(runs.c.run_id == run_id).with_for_update()).scalar()
            if there is None:
                connection.execute(sa.insert(runs).values(run_id=run_id, started_at=now, summary={}, **values))
            elif there in (RunStatus.INTERRUPTED, RunStatus.FAILED):
                given = {key: value for key, value in values.items() if value}
                connection.execute(sa.update(runs).where(runs.c.run_id == run_id).values(finished_at=None, **given))
            else:
                raise StorageError(f"run '{run_id}' is {there} already; only an interrupted or failed run can be continued.")
        return run_id

    def update_run(
        self,
        run_id: str,
        *,
        data_hash: str | None = None,
        recipe_hash: str | None = None,
        summary: Mapping[str, Any] | None = None,
    ) -> None:
        """Add what became known while the run goes on."""
        given = {"data_hash": data_hash, "recipe_hash": recipe_hash, "summary": None if summary is None else dict(summary)}
        self._change(run_id, {key: value for key, value in given.items() if value is not None})

    def finish_run(
        self,
        run_id: str,
        *,
        status: RunStatus | str = RunStatus.FINISHED,
        result_hash: str | None = None,
        report_path: str | None = None,
        summary: Mapping[str, Any] | None = None,
    ) -> None:
        """Write down how a run ended: ``finished``, ``failed`` or ``interrupted``."""
        given = {
            "status": RunStatus(status),
            "finished_at": utc_now(),
            "result_hash": result_hash,
            "report_path": report_path,
            "summary": None if summary is None else dict(summary),
        }
        self._change(run_id, {key: value for key, value in given.items() if value is not None})

    def mark_interrupted(self, run_id: str | None = None) -> list[str]:
        """Mark one running run as interrupted, or, without ``run_id``, every one of this host whose process is gone.

        Returns
        -------
        list of str : ids of the runs that were marked.
        """
        running = sa.select(runs.c.run_id, runs.c.process_id).where(runs.c.status == RunStatus.RUNNING)
        mine = runs.c.host == socket.gethostname() if run_id is None else runs.c.run_id == run_id
        with self.database.transaction() as connection:
            found = connection.execute(running.where(mine).order_by(runs.c.id)).all()
            dead = [row.run_id for row in found if run_id is not None or not is_alive(row.process_id)]
            connection.execute(
                sa.update(runs)
                .where(runs.c.run_id.in_(dead), runs.c.status == RunStatus.RUNNING)
                .values(status=RunStatus.INTERRUPTED, finished_at=utc_now())
            )
        return dead

    def get(self, run_id: str) -> Run:
        """One run.

        Raises
        ------
        StorageError : there is none of that id.
        """
        with self.database.reading() as connection:
            row = connection.execute(sa.select(runs).where(runs.c.run_id == run_id)).one_or_none()
        if row is None:
            raise StorageError(f"run '{run_id}' is not in {self.database.where}.")
        return _run_of(row)

    def find(
        self,
        *,
        status: RunStatus | str | None = None,
        config_hash: str | None = None,
        data_hash: str | None = None,
        recipe_hash: str | None = None,
        limit: int = 100,
    ) -> list[Run]:
        """Runs that match everything given, newest first."""
        wanted = {"status": status, "config_hash": config_hash, "data_hash": data_hash, "recipe_hash": recipe_hash}
        query = sa.select(runs).order_by(runs.c.id.desc()).limit(limit)
        for column, value in wanted.items():
            if value is not None:
                query = query.where(runs.c[column] == value)
        with self.database.reading() as connection:
            return [_run_of(row) for row in connection.execute(query)]

    def use_hold_out(
        self,
        *,
        data_hash: str,
        symbols: Sequence[str],
        start: datetime,
        end: datetime,
        why: str,
        config_hash: str | None = None,
        run_id: str | None = None,
    ) -> int:
        """Write down that a hold-out is looked at; returns how often other runs had looked at any of it before.

        A look counts if its span overlaps this one and it shares a symbol with it, whatever else differs: a bar appended to
        the candles makes no new hold-out. A run counts once, also where it is continued after a kill.

        Parameters
        ----------
        data_hash : of all candles of the run. Looks that were logged before spans were kept count where it is the same.
        symbols : in the hold-out. start, end : first and last moment of it, aware.

        Raises
        ------
        StorageError : no symbol is named, a time has no zone, or the span ends before it starts.
        """
        names = tuple(dict.fromkeys(symbols))
        if not names:
            raise StorageError("a look at a hold-out names no symbol; at least one was expected.")
        for moment in (start, end):
            if moment.tzinfo is None:
                raise StorageError(f"the time {moment} has no time zone; times are stored in UTC, give an aware one.")
        if end < start:
            raise StorageError(f"a hold-out from {start} to {end} ends before it starts.")
        row = {
            "data_hash": data_hash,
            "config_hash": config_hash,
            "run_id": run_id,
            "why": why,
            "symbols": list(names),
            "span_start": start,
            "span_end": end,
        }
        with self.database.transaction() as connection:
            if not self.database.is_sqlite:  # SQLite's transactions queue by themselves
                connection.execute(sa.text("lock table hold_out_uses in share row exclusive mode"))
            looks = [
                HoldOutUse.of(found) for found in connection.execute(sa.select(hold_out_uses).order_by(hold_out_uses.c.id))
            ]
            mine = next((look.id for look in looks if run_id is not None and look.run_id == run_id), None)
            if mine is None:
                connection.execute(sa.insert(hold_out_uses).values(at=utc_now(), **row))
        before = [look for look in looks if mine is None or look.id < mine]
        return sum(look.touches(data_hash, names, start, end) for look in before)

    def hold_out_uses(self, data_hash: str | None = None, *, symbols: Sequence[str] | None = None) -> list[HoldOutUse]:
        """Looks at hold-outs, oldest first: all, or those at some data, at any of some symbols, or both."""
        query = sa.select(hold_out_uses).order_by(hold_out_uses.c.id)
        if data_hash is not None:
            query = query.where(hold_out_uses.c.data_hash == data_hash)
        with self.database.reading() as connection:
            looks = [HoldOutUse.of(row) for row in connection.execute(query)]
        return [look for look in looks if symbols is None or set(symbols) & set(look.symbols)]

    def _change(self, run_id: str, values: dict[str, Any]) -> None:
        if not values:
            return
        with self.database.transaction() as connection:
            changed = connection.execute(sa.update(runs).where(runs.c.run_id == run_id).values(**values)).rowcount
            if changed != 1:
                raise StorageError(f"run '{run_id}' is not in {self.database.where}.")


def _run_of(row: sa.Row[Any]) -> Run:
    values = {key: value for key, value in row._mapping.items() if key not in ("host", "process_id")}
    values |= {"status": RunStatus(values["status"]), "versions": values["versions"] or {}, "summary": values["summary"] or {}}
    return Run(**values)
