"""Whether database and artifacts agree with each other and with themselves: everything that is wrong, at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from huracan.registry.alias_moves import CHAMPION, MOVES
from huracan.registry.audit_chain import otherwise_than, verify_chains
from huracan.registry.engine_rows import told_otherwise
from huracan.registry.regime_rows import kept_rows, told_rows
from huracan.registry.registered_facts import in_manifest_otherwise
from huracan.registry.told_states import AS_REGISTERED, told_states
from huracan.registry.versions import find_version
from huracan.storage import ArtifactStore, Database, from_json
from huracan.storage.tables import aliases, audit, model_tags, model_versions, registered_models

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
    database: Database,
    artifacts: ArtifactStore,
    *,
    heads: Mapping[str, Mapping[str, Any]] | None = None,
    progress: Callable[[str, float], object] | None = None,
) -> Consistency:
    """Check the file of the database, the audit's chains, every row that the audit tells of, and the hash of every artifact.

    Nothing is changed and no model is parsed.

    Parameters
    ----------
    heads : what ``heads_of`` told earlier; the audit must still hold it.
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
        found.defects += otherwise_than(connection, heads or {})
        moves = _last_moves(connection)
        found.defects += _stray_aliases(connection, moves)
        found.defects += _broken_moves(connection)
        found.defects += _miscounted(connection)
        wanted = _check_versions(connection, found)
        found.defects += told_otherwise(
            connection, {(key[0], to) for key, (to, _) in moves.items() if key[1] == CHAMPION and to}
        )
    _check_artifacts(database, artifacts, wanted, found, progress)
    return found


def _faults_of_the_file(connection: sa.Connection) -> Iterator[str]:
    for (said,) in connection.exec_driver_sql("PRAGMA integrity_check").fetchall():
        if said != "ok":
            yield f"SQLite says of the file: {said}"
    for table, row, parent, _ in connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall():
        yield f"row {row} of table {table} refers to a row of {parent} that is not there"


def _last_moves(connection: sa.Connection) -> dict[tuple[str, ...], tuple[int | None, int]]:
    """Name, alias, symbol and regime -> whom the audit says it was moved to last, and by which row."""
    scope = (audit.c.name, audit.c.alias, audit.c.symbol, audit.c.regime)
    moves = sa.select(*scope, audit.c.to_version, audit.c.id).where(audit.c.action.in_(MOVES))
    return {tuple(row[:4]): (row[4], row[5]) for row in connection.execute(moves.order_by(audit.c.position))}


def _stray_aliases(connection: sa.Connection, last: Mapping[tuple[str, ...], tuple[int | None, int]]) -> Iterator[str]:
    """Aliases that do not point where the audit says they were moved last, or not since then."""
    columns = (aliases.c.name, aliases.c.alias, aliases.c.symbol, aliases.c.regime, aliases.c.version, aliases.c.moved_by)
    held = {tuple(row[:4]): tuple(row[4:]) for row in connection.execute(sa.select(*columns))}
    for key in sorted(last.keys() | held.keys()):
        version, told = held.get(key, (None, None))[0], last.get(key, (None, None))[0]
        name, alias, *rest = key
        whose = f" of {'/'.join(filter(None, rest))}" if any(rest) else ""
        what = f"alias '{alias}'{whose} of '{name}'"
        if version != told:
            yield f"{what} points to version {version}, the audit says {told}"
        elif version is not None and held[key] != last[key]:
            yield f"{what} says that audit row {held[key][1]} moved it, the audit says row {last[key][1]}"


def _broken_moves(connection: sa.Connection) -> Iterator[str]:
    """Moves that took an alias from somebody else than the move before had given it to."""
    scope = (audit.c.name, audit.c.alias, audit.c.symbol, audit.c.regime)
    moves = sa.select(audit.c.position, audit.c.from_version, audit.c.to_version, *scope)
    holders: dict[tuple[str, ...], int | None] = {}
    for position, old, new, *whose in connection.execute(moves.where(audit.c.action.in_(MOVES)).order_by(audit.c.position)):
        key = tuple(whose)
        if holders.get(key) != old:
            took = f"audit of '{whose[0]}', row {position}: alias '{whose[1]}' is taken from {old}"
            yield f"{took}, the move before had given it to {holders.get(key)}"
        holders[key] = new


def _miscounted(connection: sa.Connection) -> Iterator[str]:
    """Names whose row says another last version than their versions and the audit."""
    newest = {row[0]: row[1] for row in connection.execute(sa.select(_ROW.name, sa.func.max(_ROW.version)).group_by(_ROW.name))}
    registered = sa.select(audit.c.name, sa.func.max(audit.c.to_version)).where(audit.c.action == "register")
    told = {row[0]: row[1] for row in connection.execute(registered.group_by(audit.c.name))}
    for name, last in connection.execute(sa.select(registered_models.c.name, registered_models.c.last_version)):
        if (expected := max(newest.get(name, 0), told.get(name) or 0)) != last:
            yield f"'{name}' says that its last version is {last}, its versions and the audit say {expected}"


def _check_versions(connection: sa.Connection, found: Consistency) -> dict[str, list[tuple[str, int]]]:
    """Hold the row of every version against the audit; digest of an artifact -> the versions that need it."""
    wanted: dict[str, list[tuple[str, int]]] = {}
    told, kept, later = told_states(connection), kept_rows(connection), _measured_later(connection)
    tagged, speakers = _Tags.of(connection), _speakers(connection, told)
    unverified = unbound = untold_tags = 0
    for name, number in connection.execute(sa.select(_ROW.name, _ROW.version).order_by(_ROW.id)).all():
        key = name, number
        version = find_version(connection, name, number)
        stage, verified = told.get(key, AS_REGISTERED)
        changed = [*version.changed(), *["stage"] * (version.stage != stage), *["verified"] * (version.verified != verified)]
        speaks = speakers.get((name, version.learner)) == number
        if not changed and kept.get(key, {}) != told_rows(
            from_json(str(version.texts["info"])), later.get(key, ()), version.learner, speaks
        ):
            changed = ["evidence by regime"]
        if version.told is None:
            found.defects.append(f"version {name}/{number} was never registered, as far as the audit tells")
        if changed:
            found.defects.append(f"version {name}/{number}: {', '.join(changed)} of its row differ from what the audit says")
        if wrong := tagged.otherwise(key, version.told_tags):
            found.defects.append(f"version {name}/{number}: tags {', '.join(wrong)} are not as the audit says")
        untold_tags += version.told_tags is None and tagged.beyond(key)
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
    if untold_tags:
        found.notes.append(f"{untold_tags} version(s) have tags of a registration that the audit does not repeat.")
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


def _speakers(connection: sa.Connection, told: Mapping[tuple[str, int], tuple[str, bool]]) -> dict[tuple[str, str], int]:
    """Of each name and learner the newest version that the audit lets be promoted."""
    rows = connection.execute(sa.select(_ROW.name, _ROW.learner, _ROW.version).order_by(_ROW.version))
    return {(row[0], row[1]): row[2] for row in rows if told.get((row[0], row[2]), AS_REGISTERED) == AS_REGISTERED}


@dataclass
class _Tags:
    """Tags that versions have, and those that the audit tells were set or taken away (``None``) after they were registered."""

    kept: dict[tuple[str, int], dict[str, str]] = field(default_factory=dict)
    later: dict[tuple[str, int], dict[str, str | None]] = field(default_factory=dict)

    @classmethod
    def of(cls, connection: sa.Connection) -> _Tags:
        tags = cls()
        columns = [model_tags.c[name] for name in ("name", "version", "key", "value")]
        for name, version, key, value in connection.execute(sa.select(*columns)):
            tags.kept.setdefault((name, version), {})[key] = value
        moves = sa.select(audit.c.name, audit.c.to_version, audit.c.details).where(audit.c.action == "tag")
        for name, version, details in connection.execute(moves.order_by(audit.c.name, audit.c.position)):
            tags.later.setdefault((name, version), {}).update(details or {})
        return tags

    def otherwise(self, version: tuple[str, int], registered: Mapping[str, str] | None) -> list[str]:
        """Keys whose value is not as told; where nobody told what it was registered with, of those that were set later."""
        kept, later = self.kept.get(version, {}), self.later.get(version, {})
        told = {**(registered or {}), **later}
        keys = later.keys() if registered is None else told.keys() | kept.keys()
        return sorted(key for key in keys if kept.get(key) != told.get(key))

    def beyond(self, version: tuple[str, int]) -> bool:
        """Whether it has tags that were not set later."""
        return bool(self.kept.get(version, {}).keys() - self.later.get(version, {}).keys())


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
        found.notes.append(
            f"{idle} artifact(s) belong to no version, as killed runs leave them; a lost end of the database does too."
        )
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
