"""Finding versions: by name, tag, kind, learner, run and stage, newest first, a page at a time; and whence a version came."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from huracan.errors import RegistryError
from huracan.registry.audit_chain import Entry, Request, append
from huracan.registry.records import ModelVersion, VersionSummary
from huracan.registry.scopes import check_label
from huracan.registry.statements import Statement, insert_into, moment_out
from huracan.registry.versions import find_version, lock_name
from huracan.storage.tables import model_tags, model_versions

__all__ = ["add_tags", "checked_tags", "find_versions", "lineage_of", "set_tags", "tags_of"]

_ROW, _TAG = model_versions.c, model_tags.c
_LISTED = ("id", "name", "version", "learner", "kind", "stage", "verified", "run_id", "created_at")
_MOST = 10_000
_DROP_TAG = Statement(
    sa.delete(model_tags).where(
        _TAG.name == sa.bindparam("of"), _TAG.version == sa.bindparam("number"), _TAG.key == sa.bindparam("called")
    )
)
_ADD_TAG = insert_into(model_tags, ("name", "version", "key", "value"))
_TAGS = Statement(
    sa.select(_TAG.key, _TAG.value)
    .where(_TAG.name == sa.bindparam("of"), _TAG.version == sa.bindparam("number"))
    .order_by(_TAG.key)
)
_BY_ID = Statement(sa.select(_ROW.name, _ROW.version).where(_ROW.model_id == sa.bindparam("model")))
_queries: dict[tuple[tuple[str, ...], int], Statement] = {}


def find_versions(
    connection: sa.Connection,
    equal: Mapping[str, str],
    tags: Mapping[str, str],
    *,
    limit: int,
    before: int | None,
) -> list[VersionSummary]:
    """Versions whose columns and tags are as given, newest first, at most ``limit``, with row numbers below ``before``."""
    if not 1 <= limit <= _MOST:
        raise RegistryError(f"a page of {limit} versions cannot be listed; 1 to {_MOST} were expected.")
    if before is not None and not 0 < before < 2**63:
        raise RegistryError(f"before is {before}; the id of a version was expected.")
    columns = (*sorted(equal), *(["before"] if before is not None else []))
    key = (columns, len(tags))
    if key not in _queries:
        _queries[key] = _query(columns, len(tags))
    values: dict[str, object] = {f"{name}_": value for name, value in equal.items()} | {"most": limit}
    if before is not None:
        values["before_"] = before
    for i, (tag, value) in enumerate(tags.items()):
        values |= {f"key{i}": tag, f"value{i}": value}
    return [_summary(row) for row in _queries[key](connection, **values)]


def _query(columns: tuple[str, ...], n_tags: int) -> Statement:
    query = sa.select(*(_ROW[name] for name in _LISTED))
    source: sa.FromClause = model_versions
    for i in range(n_tags):
        tag = model_tags.alias(f"tag{i}")
        source = source.join(tag, sa.and_(tag.c.name == _ROW.name, tag.c.version == _ROW.version))
        query = query.where(tag.c.key == sa.bindparam(f"key{i}"), tag.c.value == sa.bindparam(f"value{i}"))
    for name in columns:
        given = sa.bindparam(f"{name}_", type_=_ROW.id.type if name == "before" else sa.Text)
        query = query.where(_ROW.id < given if name == "before" else _ROW[name] == given)
    return Statement(query.select_from(source).order_by(_ROW.id.desc()).limit(sa.bindparam("most", type_=sa.Integer)))


def _summary(row: Any) -> VersionSummary:
    id_, name, version, learner, kind, stage, verified, run_id, created_at = row
    return VersionSummary(id_, name, version, learner, kind, stage, bool(verified), run_id, moment_out(created_at))


def add_tags(connection: sa.Connection, name: str, version: int, tags: Mapping[str, str | None], *, new: bool = False) -> None:
    """Set tags of a version that is there; ``None`` takes one away. A ``new`` version has none yet."""
    for key, value in tags.items():
        if not new:
            _DROP_TAG.write(connection, of=name, number=version, called=key)
        if value is not None:
            _ADD_TAG.write(connection, name=name, version=version, key=key, value=value)


def set_tags(connection: sa.Connection, name: str, version: int, tags: Mapping[str, str | None], request: Request) -> None:
    """:func:`add_tags` with its audit row."""
    _, head = lock_name(connection, name)
    if request.done_before(connection) is None:
        find_version(connection, name, version)
        add_tags(connection, name, version, tags)
        append(connection, head, Entry("tag", to_version=version, details=tags), request)


def checked_tags(tags: Mapping[str, object]) -> dict[str, str | None]:
    """Tags as text.

    Raises
    ------
    RegistryError : a key or value is no text of 1 to 200 printable characters.
    """
    checked: dict[str, str | None] = {}
    for key, value in tags.items():
        check_label(key, "tag")
        if value is not None:
            value = str(value) if isinstance(value, int | float) else value
            check_label(value, f"the value of tag '{key}',")  # type: ignore[arg-type]
        checked[key] = value  # type: ignore[assignment]
    return checked


def tags_of(connection: sa.Connection, name: str, version: int) -> dict[str, str]:
    """Key -> value, of one version."""
    return {row[0]: row[1] for row in _TAGS(connection, of=name, number=version)}


def lineage_of(connection: sa.Connection, name: str, version: int) -> list[ModelVersion]:
    """The version, what it was derived from, and so on back; ends where a parent is not registered here."""
    found = [find_version(connection, name, version)]
    seen = {found[0].model_id}
    while (parent := found[-1].parent_id) is not None and parent not in seen:
        row = _BY_ID.one(connection, model=parent)
        if row is None:
            break
        seen.add(parent)
        found.append(find_version(connection, row[0], row[1]))
    return found
