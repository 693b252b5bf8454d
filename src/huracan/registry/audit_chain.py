"""The audit of a name: rows in a chain of hashes, written in the transaction of what they tell, checked from end to end."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import sqlalchemy as sa

from huracan.registry.records import AuditReport, BrokenLink
from huracan.registry.statements import Statement, insert_into, moment_in, moment_out, parsed
from huracan.storage import from_json, to_json
from huracan.storage.tables import audit, registered_models, utc_now

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Entry", "Head", "Request", "append", "heads_of", "history_of", "otherwise_than", "this_actor", "verify_chains"]

_JSON = ("details", "evidence", "metrics_before", "metrics_after")
_HASHED = tuple(column.name for column in audit.columns if column.name not in ("id", "hash"))
_INSERT = insert_into(audit, (*_HASHED, "hash"), returning="id")
_MOVE_HEAD = Statement(
    sa.update(registered_models)
    .where(registered_models.c.name == sa.bindparam("of"))
    .values(audit_length=sa.bindparam("length"), audit_hash=sa.bindparam("last"))
)
_SHOWN: tuple[str, ...] = ("id", "at", "action", "alias", "from_version", "to_version", "reason", "actor", "details")
_SHOWN += ("symbol", "regime", "evidence", "metrics_before", "metrics_after")
_HISTORY = sa.select(*(audit.c[name] for name in _SHOWN)).where(audit.c.name == sa.bindparam("of")).order_by(audit.c.position)
_CHAIN_ORDER = (audit.c.name, audit.c.position.is_(None), audit.c.position, audit.c.id)
_FIND_REQUEST = Statement(sa.select(audit.c.to_version).where(audit.c.request_id == sa.bindparam("request")))


@dataclass(frozen=True)
class Head:
    """Where the chain of ``name`` ends, as the row of the name says; read under its lock."""

    name: str
    length: int
    last: str


@dataclass
class Request:
    """One call that changes something, told from every other, so that it is done once though it may be tried again.

    A connection lost during commit leaves open what was kept; the next attempt looks for the audit row of the first.
    """

    id: str = field(default_factory=lambda: uuid4().hex)
    tries: int = 0

    def done_before(self, connection: sa.Connection) -> Any:
        """The audit row ``(to_version,)`` of an earlier attempt at this request, where that was kept after all."""
        self.tries += 1
        return None if self.tries == 1 else _FIND_REQUEST.one(connection, request=self.id)


@dataclass(frozen=True)
class Entry:
    """What an audit row tells; who and when are added when it is written."""

    action: str
    alias: str | None = None
    symbol: str = ""
    regime: str = ""
    from_version: int | None = None
    to_version: int | None = None
    reason: str | None = None
    actor: str | None = None
    details: Mapping[str, Any] | None = None
    evidence: list[str] | None = None
    metrics_before: Mapping[str, Any] | None = None
    metrics_after: Mapping[str, Any] | None = None


def append(connection: sa.Connection, head: Head, entry: Entry, request: Request | None = None) -> int:
    """Write an entry behind ``head``, whose name the transaction holds, and move the head.

    Returns
    -------
    int : the row's number.
    """
    now = utc_now()
    row: dict[str, Any] = {name: getattr(entry, name, None) for name in _HASHED}
    row |= {"at": now, "name": head.name, "actor": entry.actor or this_actor(), "request_id": request and request.id}
    row |= {"position": head.length + 1, "previous_hash": head.last}
    texts = {name: to_json(row[name], where=name) for name in _JSON if row[name] is not None}
    row |= {name: from_json(text) for name, text in texts.items()}
    row["hash"] = _hash_of(row)
    values = {**row, **texts, "at": moment_in(connection, now)}
    number = _INSERT.one(connection, **values).id
    _MOVE_HEAD.write(connection, of=head.name, length=row["position"], last=row["hash"])
    return int(number)


@cache
def this_actor() -> str:
    """Who acts: the user and host of this process."""
    import getpass
    import socket

    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "unknown"
    return f"{user}@{socket.gethostname()}"


def history_of(connection: sa.Connection, name: str) -> pl.DataFrame:
    """The audit of a name as a frame, oldest first; see :meth:`ModelRegistry.history`."""
    import polars as pl

    schema: dict[str, Any] = dict.fromkeys(_SHOWN, pl.String)
    schema |= {"id": pl.Int64, "at": pl.Datetime("us", "UTC"), "from_version": pl.Int64, "to_version": pl.Int64}
    rows = connection.execute(_HISTORY, {"of": name}).mappings()
    records = [{**row, **{key: to_json(row[key]) if row[key] else None for key in _JSON}} for row in rows]
    return pl.DataFrame(records, schema=schema)


def heads_of(connection: sa.Connection) -> dict[str, dict[str, Any]]:
    """Name -> how many rows its audit has, and the hash of the last: to be kept where nobody can change it with the rest."""
    names = sa.select(registered_models).order_by(registered_models.c.name)
    return {row.name: {"length": row.audit_length, "hash": row.audit_hash} for row in connection.execute(names)}


def otherwise_than(connection: sa.Connection, heads: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """What :func:`heads_of` told at an earlier time and the audit does not hold any more, a sentence each."""
    for name, head in heads.items():
        here = sa.select(audit.c.hash).where(audit.c.name == name, audit.c.position == head["length"])
        found = connection.execute(here).scalar_one_or_none()
        if found is None and head["length"]:
            had = f"audit of '{name}' had {head['length']} rows when its head was kept"
            yield f"{had} and has fewer now: what came last is lost"
        elif head["length"] and found != head["hash"]:
            yield f"audit of '{name}', row {head['length']}: it is not the row that was there when the head was kept"


def verify_chains(connection: sa.Connection, name: str | None = None) -> AuditReport:
    """Compute every hash again, of one name or of all, and compare with what is stored and with the heads.

    A row that was changed, taken out, put in between or cut off the end is found. Who may write the whole database can
    compute all hashes anew: to notice that, keep a head (``audit_hash``) elsewhere.
    """
    heads = sa.select(registered_models.c.name, registered_models.c.audit_length, registered_models.c.audit_hash)
    rows = sa.select(audit).where(audit.c.name.is_not(None)).order_by(*_CHAIN_ORDER)
    if name is not None:
        heads, rows = heads.where(registered_models.c.name == name), rows.where(audit.c.name == name)
    found: dict[str, list[Mapping[str, Any]]] = {row.name: [] for row in connection.execute(heads)}
    count = 0
    for row in connection.execute(rows).mappings():
        found.setdefault(row["name"], []).append(dict(row))
        count += 1
    ends = {row.name: (row.audit_length, row.audit_hash) for row in connection.execute(heads)}
    broken = [link for key in found for link in _broken_links(key, found[key], *ends.get(key, (0, "")))]
    return AuditReport(len(found), count, tuple(broken))


def _broken_links(name: str, rows: list[Mapping[str, Any]], length: int, last: str) -> list[BrokenLink]:
    broken: list[BrokenLink] = []
    previous = ""
    for place, row in enumerate(rows, start=1):
        if row["position"] != place:
            broken.append(BrokenLink(name, place, None, f"position {place} was expected, {row['position']} follows"))
            return broken
        if row["previous_hash"] != previous:
            broken.append(BrokenLink(name, place, row["id"], "it does not follow the row before it"))
        if row["hash"] != _hash_of(row):
            broken.append(BrokenLink(name, place, row["id"], "it was changed after it was written"))
        previous = row["hash"]
    if len(rows) != length:
        broken.append(BrokenLink(name, len(rows) + 1, None, f"{length} rows were written, {len(rows)} are there"))
    elif previous != last:
        broken.append(BrokenLink(name, length, None, "the last row is not the one that was written last"))
    return broken


def _hash_of(row: Mapping[str, Any]) -> str:
    facts = {name: row[name] for name in _HASHED}
    at: datetime = moment_out(row["at"])
    facts["at"] = at.strftime("%Y-%m-%dT%H:%M:%S.%f")
    facts |= {name: parsed(row[name]) for name in _JSON}
    return hashlib.sha256(to_json(facts).encode()).hexdigest()
