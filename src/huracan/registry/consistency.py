"""Whether database and artifacts agree with each other and with themselves: everything that is wrong, at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from huracan.registry.audit_chain import verify_chains
from huracan.registry.regime_rows import kept_rows, told_rows
from huracan.registry.registered_facts import in_manifest_otherwise
from huracan.registry.versions import find_version
from huracan.storage import ArtifactStore, Database, from_json
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
    """Check the file of the database, the audit's chains, what aliases and versions say, and the hash of every artifact.

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
        wanted = _check_versions(connection, found)
    _check_artifacts(database, artifacts, wanted, found, progress)
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


def _check_versions(connection: sa.Connection, found: Consistency) -> dict[str, list[tuple[str, int]]]:
    """Hold the row of every version against the audit; digest of an artifact -> the versions that need it."""
    wanted: dict[str, list[tuple[str, int]]] = {}
    told, kept, later = _told_states(connection), kept_rows(connection), _measured_later(connection)
    unverified = unbound = 0
    for name, number in connection.execute(sa.select(_ROW.name, _ROW.version).order_by(_ROW.id)).all():
        version = find_version(connection, name, number)
        stage, verified = told.get((name, number), ("active", True))
        changed = [*version.changed(), *["stage"] * (version.stage != stage), *["verified"] * (version.verified != verified)]
        if not changed and kept.get((name, number), {}) != told_rows(
            from_json(str(version.texts["info"])), later.get((name, number), ())
        ):
            changed = ["evidence by regime"]
        if changed:
            found.defects.append(f"version {version.model_id}: {', '.join(changed)} of its row differ from what the audit says")
        unverified += not version.verified
        unbound += not version.is_bound
        for digest in filter(None, (version.digest, version.serving_digest) if version.stage != "removed" else ()):
            wanted.setdefault(digest, []).append((name, number))
    found.looked_at["versions"] = len({version for versions in wanted.values() for version in versions})
    if unverified:
        found.notes.append(f"{unverified} version(s) are not verified; huracan models verify NAME@VERSION tries one.")
    if unbound:
        found.notes.append(
            f"{unbound} version(s) were registered before the audit told what each is; their artifacts alone vouch for them."
        )
    return wanted


def _measured_later(connection: sa.Connection) -> dict[tuple[str, int], list[Any]]:
    """Skills by regime that were recorded of versions after they were registered, in order."""
    found: dict[tuple[str, int], list[Any]] = {}
    columns = (audit.c.name, audit.c.to_version, audit.c.details)
    for name, number, details in connection.execute(
        sa.select(*columns).where(audit.c.action == "measure").order_by(audit.c.name, audit.c.position)
    ):
        found.setdefault((name, number), []).extend(details["skills"])
    return found


def _told_states(connection: sa.Connection) -> dict[tuple[str, int], tuple[str, bool]]:
    """Stage and whether it is verified, of every version of which the audit tells a change of them."""
    states: dict[tuple[str, int], tuple[str, bool]] = {}
    told = ("archive", "restore", "retain", "verify")
    columns = (audit.c.name, audit.c.action, audit.c.to_version, audit.c.details)
    for name, action, number, details in connection.execute(
        sa.select(*columns).where(audit.c.action.in_(told)).order_by(audit.c.name, audit.c.position)
    ):
        for version in details["removed"] if action == "retain" else (number,):
            stage, verified = states.get((name, version), ("active", True))
            if action == "verify":
                states[name, version] = (stage, bool(details["verified"]))
            else:
                states[name, version] = ({"archive": "archived", "restore": "active", "retain": "removed"}[action], verified)
    return states


def _check_artifacts(
    database: Database,
    artifacts: ArtifactStore,
    wanted: Mapping[str, Sequence[tuple[str, int]]],
    found: Consistency,
    progress: Callable[[str, float], object] | None,
) -> None:
    there = set(artifacts.digests())
    first = 0
    for digest in sorted(there | wanted.keys()):
        said = artifacts.check(digest)
        versions = wanted.get(digest, ())
        needed = f"; needed by {', '.join(f'{name}/{number}' for name, number in versions[:3])}" if versions else ""
        found.defects += [f"{sentence.rstrip('.')}{needed}" for sentence in said]
        if not said:
            manifest = artifacts.manifest(digest)
            first += manifest["format"] == 1
            for name, number in versions:
                found.defects += _otherwise(database, name, number, digest, manifest)
        if progress is not None:
            progress(digest, 1.0 / len(there | wanted.keys()))
    found.looked_at["artifacts"] = len(there | wanted.keys())
    if idle := len(there - wanted.keys()):
        found.notes.append(f"{idle} artifact(s) belong to no version, as a run that was killed leaves them; they do no harm.")
    if first:
        found.notes.append(f"{first} artifact(s) are of the first format, whose name covers their files alone.")
    if aside := len(artifacts.set_aside()):
        found.notes.append(
            f"{aside} damaged artifact(s) were replaced and are kept in {artifacts.folder / '.damaged'} for a month."
        )


def _otherwise(database: Database, name: str, number: int, digest: str, manifest: Mapping[str, Any]) -> Iterator[str]:
    """What a version's row says otherwise than the manifest of its artifact; that of a graph tells nothing of the version."""
    version = database.read(lambda connection: find_version(connection, name, number))
    if version.digest == digest and (other := in_manifest_otherwise(manifest, version.kind, version.texts)):
        yield f"version {version.model_id}: {', '.join(other)} of its row differ from the manifest of its artifact {digest}"
