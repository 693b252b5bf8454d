"""Versions in the database: given a number, found by number or by alias, listed; one statement or two each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from huracan.errors import AuditError, RegistryError, nearest_name
from huracan.registry.audit_chain import Entry, Head, Request, append
from huracan.registry.records import ModelVersion
from huracan.registry.registered_facts import JSON_FACTS, told_of
from huracan.registry.scopes import Scope
from huracan.registry.statements import Statement, insert_into, moment_in, moment_out
from huracan.storage import to_json
from huracan.storage.tables import aliases, audit, model_metrics, model_versions, models, registered_models, utc_now

__all__ = [
    "ENGINE_METRICS",
    "ENGINE_WINDOW",
    "VERSION_COLUMNS",
    "add_version",
    "audit_lengths",
    "find_version",
    "lock_name",
    "names",
    "no_version",
    "require_name",
    "version_of",
    "versions_of",
]

ENGINE_METRICS = ("sharpe", "hit_rate", "drawdown", "net_bps", "cost_bps")
ENGINE_WINDOW = "out_of_fold"
_UNIT, _END = "\x1f", "\x1e"  # separators that no printable label holds

_VERSION = model_versions.c
_NAME = registered_models.c

_CREATE_NAME = {
    dialect: Statement(made.insert(registered_models).on_conflict_do_nothing(), ["name", "created_at"])
    for dialect, made in (("sqlite", sqlite), ("postgresql", postgresql))
}
_LOCK_NAME = Statement(
    sa.select(_NAME.last_version, _NAME.audit_length, _NAME.audit_hash)
    .where(_NAME.name == sa.bindparam("of"))
    .with_for_update()
)
_HAS_NAME = Statement(sa.select(_NAME.name).where(_NAME.name == sa.bindparam("of")))
_LENGTHS = Statement(sa.select(_NAME.name, _NAME.audit_length))
_COUNT_VERSION = Statement(
    sa.update(registered_models).where(_NAME.name == sa.bindparam("of")).values(last_version=sa.bindparam("number"))
)
_VALUES: tuple[str, ...] = (
    "name",
    "version",
    "model_id",
    "parent_id",
    "kind",
    "digest",
    "info",
    "metrics",
    "provenance",
    "extras",
    "created_at",
)
_VALUES += ("learner", "run_id", "verified", "serving_digest", "serving")
_ADD_VERSION = insert_into(model_versions, _VALUES, returning="id")
_MIRRORED = {
    models: ("model_id", "parent_id", "kind", "created_at", "s3_path", "features_used", "params"),
    model_metrics: ("model_id", "window", "promoted", *ENGINE_METRICS),
}
_MIRROR = {
    (table.name, dialect): Statement(made.insert(table).on_conflict_do_nothing(), list(columns))
    for table, columns in _MIRRORED.items()
    for dialect, made in (("sqlite", sqlite), ("postgresql", postgresql))
}

_PLAIN: tuple[str, ...] = (
    "name",
    "version",
    "model_id",
    "kind",
    "learner",
    "digest",
    "parent_id",
    "run_id",
    "created_at",
    "stage",
    "verified",
)
_PLAIN += ("serving_digest",)
_held = aliases.alias("held")
_registration = audit.alias("registration")
_length = sa.select(_NAME.audit_length).where(_NAME.name == _registration.c.name).correlate(_registration).scalar_subquery()
_between: Any = sa.literal_column(f"'{_END}'")
VERSION_COLUMNS = [
    *(_VERSION[name] for name in _PLAIN),
    *(sa.cast(_VERSION[name], sa.Text).label(name) for name in JSON_FACTS),
    sa.select(sa.func.aggregate_strings(_held.c.alias + _UNIT + _held.c.symbol + _UNIT + _held.c.regime, _between))
    .where(_held.c.name == _VERSION.name, _held.c.version == _VERSION.version)
    .scalar_subquery()
    .label("held"),
    sa.select(sa.func.coalesce(sa.cast(_registration.c.details, sa.Text), "null"))
    .where(
        _registration.c.name == _VERSION.name,
        _registration.c.to_version == _VERSION.version,
        _registration.c.action == sa.literal_column("'register'"),  # as the index of these rows has it
        (_registration.c.position + 0).between(1, _length),  # what the chain does not hold tells nothing; + 0: no index of it
    )
    .order_by(_registration.c.position + 0)
    .limit(1)
    .scalar_subquery()
    .label("told"),
]
_OF_NAME = sa.select(*VERSION_COLUMNS).where(_VERSION.name == sa.bindparam("of"))
_ONE = Statement(_OF_NAME.where(_VERSION.version == sa.bindparam("number")))
_ALL_OF_NAME = Statement(_OF_NAME.order_by(_VERSION.id))
_NUMBERS = Statement(
    sa.select(_VERSION.version).where(_VERSION.name == sa.bindparam("of")).order_by(_VERSION.version.desc()).limit(10)
)


def lock_name(connection: sa.Connection, name: str, *, create: bool = False) -> tuple[int, Head]:
    """Hold the row of ``name`` until the transaction ends, so that one process at a time changes what belongs to it.

    Returns
    -------
    (int, Head) : the last version's number, and the end of its audit.
    """
    row = _LOCK_NAME.one(connection, of=name)
    if row is None and create:
        _CREATE_NAME[connection.dialect.name].write(connection, name=name, created_at=moment_in(connection, utc_now()))
        row = _LOCK_NAME.one(connection, of=name)
    if row is None:
        raise _unknown_name(connection, name)
    return int(row[0]), Head(name, int(row[1]), str(row[2]))


def require_name(connection: sa.Connection, name: str) -> None:
    """Make sure that ``name`` is registered; a :class:`RegistryError` offers the nearest that is."""
    if _HAS_NAME.one(connection, of=name) is None:
        raise _unknown_name(connection, name)


def _unknown_name(connection: sa.Connection, name: str) -> RegistryError:
    known = connection.execute(sa.select(_NAME.name)).scalars().all()
    if not known:
        return RegistryError(f"model '{name}' is not registered; the registry is empty.")
    return RegistryError(str(nearest_name(name, known, kind="model")))


def add_version(
    connection: sa.Connection,
    name: str,
    values: Mapping[str, Any],
    request: Request,
) -> tuple[int, int]:
    """Insert the next version of ``name``, mirror it into the Engine's tables and audit it.

    Parameters
    ----------
    values : ``kind, digest, parent_id, info, metrics, provenance, extras, verified, serving_digest, serving`` as plain values,
        ``rows``, how many it was asked about, and ``tags``, which the audit repeats.

    Returns
    -------
    (int, int) : its number, and the number of its row.

    Raises
    ------
    RegistryError : another program has written a row of this version into the tables that are shared with it.
    """
    last, head = lock_name(connection, name, create=True)
    version, moment = last + 1, utc_now()
    _COUNT_VERSION.write(connection, of=name, number=version)
    model_id, now = f"{name}/{version}", moment_in(connection, moment)
    shared = {"model_id": model_id, "parent_id": values["parent_id"], "kind": values["kind"], "created_at": now}
    signature = values["info"].get("signature")
    told_engine = {
        **shared,
        "s3_path": f"sha256:{values['digest']}",
        "features_used": None if signature is None else to_json(signature["columns"]),
        "params": to_json(values["info"]["hyperparameters"]),
    }
    _mirror(connection, models, name, version, told_engine)
    measured = {key: values["metrics"].get(key) for key in ENGINE_METRICS}
    where = {"model_id": model_id, "window": ENGINE_WINDOW, "promoted": False}
    _mirror(connection, model_metrics, name, version, {**where, **measured})
    texts = {key: None if values[key] is None else to_json(values[key]) for key in JSON_FACTS}
    own = {key: values[key] for key in ("digest", "verified", "serving_digest")}
    own |= {"learner": values["info"]["name"], "run_id": values["provenance"].get("run_id")}
    row = _ADD_VERSION.one(connection, name=name, version=version, **shared, **texts, **own)
    facts = told_of({**shared, **own, "created_at": moment.isoformat()}, texts)
    details = {"facts": facts, "rows": values["rows"], "tags": values["tags"]}
    append(connection, head, Entry("register", to_version=version, details=details), request)
    return version, int(row.id)


def _mirror(connection: sa.Connection, table: sa.Table, name: str, version: int, values: Mapping[str, Any]) -> None:
    """Write a row into a table of the Engine; a :class:`RegistryError` where there is one of that key."""
    if _MIRROR[table.name, connection.dialect.name].write(connection, **values):
        return
    if _ONE.one(connection, of=name, number=version) is not None:
        raise AuditError(
            f"'{name}' says that its last version is {version - 1}, and version {version} is there already; the database was "
            "changed: restore it from a backup."
        )
    raise RegistryError(
        f"version {version} of '{name}' cannot be registered: another program has written a row '{name}/{version}' into the "
        f"table {table.name}, which is shared with it; register under another name, or take that row away."
    )


def find_version(connection: sa.Connection, name: str, version: int) -> ModelVersion:
    """One version; a :class:`RegistryError` names the newest that exist."""
    row = _ONE.one(connection, of=name, number=version)
    if row is None:
        raise no_version(connection, name, version)
    return version_of(row)


def no_version(connection: sa.Connection, name: str, version: int) -> RegistryError:
    """Why there is no version of that number."""
    require_name(connection, name)
    listed = ", ".join(str(row[0]) for row in reversed(_NUMBERS(connection, of=name))) or "none"
    return RegistryError(f"model '{name}' has no version {version}; it has {listed}.")


def names(connection: sa.Connection) -> list[str]:
    """Every registered name, sorted."""
    return list(connection.execute(sa.select(_NAME.name).order_by(_NAME.name)).scalars())


def audit_lengths(connection: sa.Connection) -> dict[str, int]:
    """Name -> rows of its audit: where that is as before, nothing has happened under the name."""
    return {row.name: row.audit_length for row in _LENGTHS(connection)}


def versions_of(connection: sa.Connection, name: str) -> list[ModelVersion]:
    """Every version of ``name``, in the order they were registered."""
    return [version_of(row) for row in _ALL_OF_NAME(connection, of=name)]


def version_of(row: Any, alias: str = "") -> ModelVersion:
    """A version from a row that begins with :data:`VERSION_COLUMNS`, found by ``alias`` where one is given."""
    values = dict(zip((*_PLAIN, *JSON_FACTS), row, strict=False))
    held = [part.split(_UNIT) for part in row.held.split(_END)] if row.held else []
    scope = {"symbol": row.of_symbol, "regime": row.of_regime, "generation": row.generation} if alias else {}
    return ModelVersion(
        **{name: values[name] for name in _PLAIN if name not in ("created_at", "verified")},
        created_at=moment_out(values["created_at"]),
        verified=bool(values["verified"]),
        texts={name: values[name] for name in JSON_FACTS},
        told=row.told,
        aliases=tuple(sorted(Scope(symbol, regime).written(name) for name, symbol, regime in held)),
        alias=alias,
        **scope,
    )
