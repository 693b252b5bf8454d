"""The registry's reads and writes, one statement or two each, inside a transaction that the caller holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from huracan.errors import RegistryError, nearest_name
from huracan.registry.records import ModelVersion
from huracan.storage import to_json
from huracan.storage.tables import aliases, audit, model_metrics, model_versions, models, promotions, registered_models, utc_now

__all__ = [
    "add_version",
    "alias_map",
    "find_version",
    "holder_of",
    "lock_name",
    "previous_holder",
    "require_name",
    "set_alias",
    "versions_of",
]

_ENGINE_METRICS = ("sharpe", "hit_rate", "drawdown", "net_bps", "cost_bps")
_WINDOW = "out_of_fold"


def lock_name(connection: sa.Connection, name: str, *, create: bool = False) -> None:
    """Hold the row of ``name`` until the transaction ends, so that one process at a time changes what belongs to it."""
    if create:
        insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
        connection.execute(insert(registered_models).values(name=name, created_at=utc_now()).on_conflict_do_nothing())
    connection.execute(sa.select(registered_models.c.name).where(registered_models.c.name == name).with_for_update())
    require_name(connection, name)


def require_name(connection: sa.Connection, name: str) -> None:
    """Make sure that ``name`` is registered; a :class:`RegistryError` offers the nearest that is."""
    if connection.execute(sa.select(registered_models.c.name).where(registered_models.c.name == name)).scalar() is None:
        known = connection.execute(sa.select(registered_models.c.name)).scalars().all()
        if not known:
            raise RegistryError(f"model '{name}' is not registered; the registry is empty.")
        raise RegistryError(str(nearest_name(name, known, kind="model")))


def add_version(connection: sa.Connection, name: str, values: Mapping[str, Any], features: list[str] | None) -> int:
    """Insert the next version of ``name`` (held by :func:`lock_name`) and mirror it into the Engine's tables."""
    version = connection.execute(
        sa.update(registered_models)
        .where(registered_models.c.name == name)
        .values(last_version=registered_models.c.last_version + 1)
        .returning(registered_models.c.last_version)
    ).scalar_one()
    model_id, now = f"{name}/{version}", utc_now()
    connection.execute(
        sa.insert(models).values(
            model_id=model_id,
            parent_id=values["parent_id"],
            kind=values["kind"],
            created_at=now,
            s3_path=f"sha256:{values['digest']}",
            features_used=features,
            params=values["info"]["hyperparameters"],
        )
    )
    shared = {key: float(values["metrics"][key]) for key in _ENGINE_METRICS if values["metrics"].get(key) is not None}
    connection.execute(sa.insert(model_metrics).values(model_id=model_id, window=_WINDOW, promoted=False, **shared))
    connection.execute(
        sa.insert(model_versions).values(name=name, version=version, model_id=model_id, created_at=now, **values)
    )
    connection.execute(sa.insert(audit).values(at=now, action="register", name=name, to_version=version, actor=_actor()))
    return version


def _actor() -> str:
    """Who acts: the user and host of this process."""
    import getpass
    import socket

    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "unknown"
    return f"{user}@{socket.gethostname()}"


def versions_of(connection: sa.Connection, name: str | None = None) -> list[ModelVersion]:
    """Every version of ``name``, or of every name, in the order they were registered."""
    holders: dict[tuple[str, int], list[str]] = {}
    for row in connection.execute(sa.select(aliases).order_by(aliases.c.alias)):
        holders.setdefault((row.name, row.version), []).append(row.alias)
    query = sa.select(model_versions).order_by(model_versions.c.id)
    if name is not None:
        query = query.where(model_versions.c.name == name)
    return [_version_of(row, holders.get((row.name, row.version), [])) for row in connection.execute(query)]


def alias_map(connection: sa.Connection, name: str) -> dict[str, int]:
    """Alias -> version, for one name."""
    query = sa.select(aliases.c.alias, aliases.c.version).where(aliases.c.name == name).order_by(aliases.c.alias)
    return {row.alias: row.version for row in connection.execute(query)}


def find_version(connection: sa.Connection, name: str, version: int) -> ModelVersion:
    """One version; a :class:`RegistryError` names those that exist."""
    query = sa.select(model_versions).where(model_versions.c.name == name, model_versions.c.version == version)
    row = connection.execute(query).one_or_none()
    if row is None:
        numbers = sa.select(model_versions.c.version).where(model_versions.c.name == name).order_by(model_versions.c.version)
        known = connection.execute(numbers).scalars().all()
        listed = ", ".join(map(str, known[-10:])) or "none"
        raise RegistryError(f"model '{name}' has no version {version}; it has {listed}.")
    held = [alias for alias, number in alias_map(connection, name).items() if number == version]
    return _version_of(row, held)


def holder_of(connection: sa.Connection, name: str, alias: str) -> int:
    """The version that ``alias`` points to."""
    known = alias_map(connection, name)
    if alias in known:
        return known[alias]
    if not known:
        raise RegistryError(f"model '{name}' has no alias '{alias}'; no version of it was promoted yet.")
    raise RegistryError(str(nearest_name(alias, known, kind=f"alias of model '{name}'")))


def set_alias(
    connection: sa.Connection,
    name: str,
    alias: str,
    version: int,
    *,
    action: str,
    reason: str,
    previous: int | None,
    details: Mapping[str, Any],
) -> None:
    """Point ``alias`` at ``version``; audit it, and for ``champion`` tell the Engine's tables."""
    now = utc_now()
    if previous is None:
        connection.execute(sa.insert(aliases).values(name=name, alias=alias, version=version, updated_at=now))
    else:
        where = (aliases.c.name == name, aliases.c.alias == alias)
        connection.execute(sa.update(aliases).where(*where).values(version=version, updated_at=now))
    connection.execute(
        sa.insert(audit).values(
            at=now,
            action=action,
            name=name,
            alias=alias,
            from_version=previous,
            to_version=version,
            reason=reason,
            actor=_actor(),
            details=dict(details),
        )
    )
    if alias == "champion":
        _tell_engine(connection, name, version, previous, reason, {"alias": alias, "action": action, **details})


def _tell_engine(
    connection: sa.Connection, name: str, version: int, previous: int | None, reason: str, snapshot: Mapping[str, Any]
) -> None:
    model_id = f"{name}/{version}"
    old_id = None if previous is None else f"{name}/{previous}"
    connection.execute(
        sa.insert(promotions).values(
            from_model_id=old_id, to_model_id=model_id, reason=reason, at=utc_now(), snapshot=dict(snapshot)
        )
    )
    if old_id is not None:
        kind = sa.select(model_versions.c.kind).where(model_versions.c.model_id == old_id).scalar_subquery()
        connection.execute(sa.update(models).where(models.c.model_id == old_id).values(kind=kind))
    connection.execute(sa.update(models).where(models.c.model_id == model_id).values(kind="champion"))
    connection.execute(sa.update(model_metrics).where(model_metrics.c.model_id == model_id).values(promoted=True))


def previous_holder(connection: sa.Connection, name: str, alias: str) -> int | None:
    """Who held ``alias`` before the present holder, earlier roll-backs taken off."""
    query = (
        sa.select(audit.c.action, audit.c.to_version)
        .where(audit.c.name == name, audit.c.alias == alias, audit.c.action.in_(("promote", "rollback")))
        .order_by(audit.c.id)
    )
    held: list[int] = []
    for row in connection.execute(query):
        if row.action == "promote":
            held.append(row.to_version)
        elif held:
            held.pop()
    return held[-2] if len(held) > 1 else None


def _version_of(row: sa.Row[Any], held: list[str]) -> ModelVersion:
    return ModelVersion(
        name=row.name,
        version=row.version,
        model_id=row.model_id,
        kind=row.kind,
        learner=row.learner,
        digest=row.digest,
        parent_id=row.parent_id,
        run_id=row.run_id,
        created_at=row.created_at,
        stage=row.stage,
        verified=row.verified,
        serving_digest=row.serving_digest,
        texts={key: to_json(getattr(row, key)) for key in ("info", "metrics", "provenance", "extras", "serving")},
        aliases=tuple(held),
    )
