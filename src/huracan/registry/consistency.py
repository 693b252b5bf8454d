"""Whether database and artifacts agree with each other and with themselves: everything that is wrong, at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import sqlalchemy as sa

from huracan.registry.audit_chain import verify_chains
from huracan.storage import ArtifactStore, Database
from huracan.storage.tables import aliases, audit, model_versions

__all__ = ["Consistency", "check_consistency"]

_ROW = model_versions.c


@dataclass
class Consistency:
    """What a check of a registry found.

    Attributes
    ----------
    looked_at : what was checked -> how many. defects : what is not as it was written or contradicts itself, a sentence each.
    notes : what is allowed and worth knowing.
    """

    looked_at: dict[str, int] = field(default_factory=dict)
    defects: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether there is no defect."""
        return not self.defects


def check_consistency(
    database: Database, artifacts: ArtifactStore, *, progress: Callable[[str, float], object] | None = None
) -> Consistency:
    """Check the file of the database, the audit's chains, what aliases point to, and the hash of every artifact.

    Nothing is changed and no model is parsed.

    Parameters
    ----------
    progress : called after each artifact with its digest and its share of the work.

    Raises
    ------
    StorageError : the database cannot be read, or its schema is not that of this version.

    Examples
    --------
    >>> import tempfile
    >>> database = Database("sqlite://")
    >>> database.upgrade()
    >>> check_consistency(database, ArtifactStore(tempfile.mkdtemp())).ok
    True
    """
    database.check()
    found = Consistency()
    with database.reading(one_moment=True) as connection:
        if database.is_sqlite:
            found.defects += _faults_of_the_file(connection)
        report = verify_chains(connection)
        found.looked_at |= {"names of models": report.names, "audit rows": report.rows}
        found.defects += [f"audit of '{link.name}', row {link.position}: {link.why}" for link in report.broken]
        found.defects += _stray_aliases(connection)
        wanted = _wanted(connection)
        found.looked_at["versions"] = len({model for models in wanted.values() for model in models})
        unverified = connection.execute(sa.select(sa.func.count()).where(_ROW.verified.is_(sa.false()))).scalar_one()
    if unverified:
        found.notes.append(f"{unverified} version(s) are not verified; huracan models verify NAME@VERSION tries one.")
    _check_artifacts(artifacts, wanted, found, progress)
    return found


def _faults_of_the_file(connection: sa.Connection) -> Iterator[str]:
    for (said,) in connection.exec_driver_sql("PRAGMA integrity_check").fetchall():
        if said != "ok":
            yield f"SQLite says of the file: {said}"
    for table, row, parent, _ in connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall():
        yield f"row {row} of table {table} refers to a row of {parent} that is not there"


def _stray_aliases(connection: sa.Connection) -> Iterator[str]:
    """Aliases that do not point where the audit says they were moved last."""
    scope = (audit.c.name, audit.c.alias, audit.c.symbol, audit.c.regime)
    moves = sa.select(*scope, audit.c.to_version).where(audit.c.action.in_(("promote", "rollback"))).order_by(audit.c.position)
    last = {tuple(row[:4]): row[4] for row in connection.execute(moves)}
    columns = (aliases.c.name, aliases.c.alias, aliases.c.symbol, aliases.c.regime, aliases.c.version)
    held = {tuple(row[:4]): row[4] for row in connection.execute(sa.select(*columns))}
    for key in sorted(last.keys() | held.keys()):
        if last.get(key) != held.get(key):
            name, alias, *rest = key
            whose = f" of {'/'.join(filter(None, rest))}" if any(rest) else ""
            yield f"alias '{alias}'{whose} of '{name}' points to version {held.get(key)}, the audit says {last.get(key)}"


def _wanted(connection: sa.Connection) -> dict[str, list[str]]:
    """Digest -> the versions that need it."""
    wanted: dict[str, list[str]] = {}
    query = sa.select(_ROW.model_id, _ROW.digest, _ROW.serving_digest).where(_ROW.stage != "removed").order_by(_ROW.id)
    for model_id, *digests in connection.execute(query):
        for digest in filter(None, digests):
            wanted.setdefault(digest, []).append(model_id)
    return wanted


def _check_artifacts(
    artifacts: ArtifactStore,
    wanted: dict[str, list[str]],
    found: Consistency,
    progress: Callable[[str, float], object] | None,
) -> None:
    there = set(artifacts.digests())
    first = 0
    for digest in sorted(there | wanted.keys()):
        said = artifacts.check(digest)
        needed = f"; needed by {', '.join(wanted[digest][:3])}" if digest in wanted else ""
        found.defects += [f"{sentence.rstrip('.')}{needed}" for sentence in said]
        first += not said and artifacts.manifest(digest)["format"] == 1
        if progress is not None:
            progress(digest, 1.0 / len(there | wanted.keys()))
    found.looked_at["artifacts"] = len(there | wanted.keys())
    if idle := len(there - wanted.keys()):
        found.notes.append(f"{idle} artifact(s) belong to no version, as a run that was killed leaves them; they do no harm.")
    if first:
        found.notes.append(f"{first} artifact(s) are of the first format, whose name covers their files alone.")
