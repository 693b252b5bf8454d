"""Audit rows in a chain of hashes that nobody changes, aliases by symbol and regime, tags, evidence by regime as rows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from alembic import op

from huracan.storage.json_values import to_json

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_MOMENT = sa.DateTime(timezone=True)
_MEASURED = ("skill", "ci_low", "ci_high", "p_adjusted", "n_effective", "n_rows", "n_spells")


def upgrade() -> None:
    """Add columns and tables, fill them from what is there, then forbid changes of audit rows.

    Every version that is there counts as verified, since it was loaded by earlier code; an audit row ``migrate`` of each
    name says so.
    """
    _add_columns()
    _make_aliases(scoped=True)
    _make_tables()
    connection = op.get_bind()
    _fill_versions(connection)
    _fill_chains(connection)
    _make_indexes()
    _make_triggers()


def downgrade() -> None:
    """Take it back. Aliases of one symbol or regime, tags, stages, the chain, evidence and metrics of promotions are lost.

    Audit rows of such aliases keep their words and say in ``action`` whose they were, so that earlier code does not take
    them for moves of the alias of all.
    """
    _drop_triggers()
    for name in ("ix_audit_name_alias_symbol_regime_id", "uq_audit_request_id", "uq_audit_name_position"):
        op.drop_index(name, "audit")
    op.create_index("ix_audit_name", "audit", ["name"])
    for statement in (
        "delete from audit where action = 'migrate'",
        "update audit set action = action || ' of ' || symbol || '/' || regime where symbol <> '' or regime <> ''",
    ):
        op.execute(statement)
    _make_aliases(scoped=False)
    op.drop_table("model_regimes")
    op.drop_table("model_tags")
    for column in ("stage_id", "learner_id", "serving_digest", "run_id"):
        op.drop_index(f"ix_model_versions_{column}", "model_versions")
    for table, columns in _columns().items():
        for column in reversed(columns):
            op.drop_column(table, column.name)


def _columns() -> dict[str, list[sa.Column[Any]]]:
    return {
        "registered_models": [_count("audit_length"), _label("audit_hash")],
        "model_versions": [
            _label("learner"),
            sa.Column("run_id", sa.Text()),
            _label("stage", "active"),
            sa.Column("verified", sa.Boolean(), nullable=False, server_default=sa.false()),
            sa.Column("serving_digest", sa.Text()),
            sa.Column("serving", sa.JSON()),
        ],
        "audit": [
            sa.Column("position", sa.Integer()),
            _label("symbol"),
            _label("regime"),
            *(sa.Column(name, sa.JSON()) for name in ("evidence", "metrics_before", "metrics_after")),
            *(sa.Column(name, sa.Text()) for name in ("request_id", "previous_hash", "hash")),
        ],
    }


def _label(name: str, default: str = "") -> sa.Column[Any]:
    return sa.Column(name, sa.Text(), nullable=False, server_default=default)


def _count(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Integer(), nullable=False, server_default="0")


def _add_columns() -> None:
    for table, columns in _columns().items():
        for column in columns:
            op.add_column(table, column)


def _make_aliases(*, scoped: bool) -> None:
    """Make ``aliases`` anew with its rows, since SQLite cannot change a primary key."""
    connection = op.get_bind()
    old = sa.Table("aliases", sa.MetaData(), autoload_with=connection, resolve_fks=False)
    rows = [dict(row) for row in connection.execute(sa.select(old)).mappings()]
    op.drop_table("aliases")
    scope = ["symbol", "regime"] if scoped else []
    moved_by = [sa.Column("moved_by", sa.BigInteger())] if scoped else []
    new = op.create_table(
        "aliases",
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("name", "alias")),
        *(_label(name) for name in scope),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("updated_at", _MOMENT, nullable=False, server_default=sa.func.current_timestamp()),
        *moved_by,
        sa.PrimaryKeyConstraint("name", "alias", *scope, name="pk_aliases"),
        sa.ForeignKeyConstraint(
            ["name", "version"], ["model_versions.name", "model_versions.version"], name="fk_aliases_name_version"
        ),
    )
    kept = [row for row in rows if not row.get("symbol") and not row.get("regime")]
    names = {column.name for column in new.columns}
    if kept:
        connection.execute(sa.insert(new), [{key: row[key] for key in row if key in names} for row in kept])


def _make_tables() -> None:
    op.create_table(
        "model_tags",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", "version", "key", name="pk_model_tags"),
        sa.ForeignKeyConstraint(
            ["name", "version"], ["model_versions.name", "model_versions.version"], name="fk_model_tags_name_version"
        ),
    )
    op.create_table(
        "model_regimes",
        sa.Column("version_id", _ID, nullable=False, autoincrement=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("regime", "name")),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("learner", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text()),
        *(sa.Column(name, sa.Double()) for name in _MEASURED[:5]),
        *(sa.Column(name, sa.Integer()) for name in _MEASURED[5:]),
        sa.Column("newest", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("version_id", "regime", name="pk_model_regimes"),
        sa.ForeignKeyConstraint(["version_id"], ["model_versions.id"], name="fk_model_regimes_version_id"),
    )


def _make_indexes() -> None:
    op.drop_index("ix_audit_name", "audit")
    op.create_index("uq_audit_name_position", "audit", ["name", "position"], unique=True)
    op.create_index("uq_audit_request_id", "audit", ["request_id"], unique=True)
    scope = ["name", "alias", "symbol", "regime", "id"]
    op.create_index("ix_audit_name_alias_symbol_regime_id", "audit", scope)
    for columns in (["run_id"], ["serving_digest"], ["learner", "id"], ["stage", "id"]):
        op.create_index(f"ix_model_versions_{'_'.join(columns)}", "model_versions", columns)
    op.create_index("ix_model_tags_key_value_name_version", "model_tags", ["key", "value", "name", "version"])
    op.create_index("ix_model_regimes_name_learner", "model_regimes", ["name", "learner"])
    newest = sa.text("newest")
    op.create_index(
        "ix_model_regimes_newest", "model_regimes", ["regime", "skill"], sqlite_where=newest, postgresql_where=newest
    )


def _table(name: str, /, **types: Any) -> sa.TableClause:
    return sa.table(name, *(sa.column(column, kind) for column, kind in types.items()))


_VERSIONS = _table(
    "model_versions",
    id=sa.BigInteger,
    name=sa.Text,
    version=sa.Integer,
    info=sa.JSON,
    provenance=sa.JSON,
    learner=sa.Text,
    run_id=sa.Text,
    verified=sa.Boolean,
)
_REGIMES = _table(
    "model_regimes",
    version_id=sa.BigInteger,
    regime=sa.Text,
    name=sa.Text,
    version=sa.Integer,
    learner=sa.Text,
    reason=sa.Text,
    newest=sa.Boolean,
    **dict.fromkeys(_MEASURED[:5], sa.Double),
    **dict.fromkeys(_MEASURED[5:], sa.Integer),
)
_NAMES = _table("registered_models", name=sa.Text, audit_length=sa.Integer, audit_hash=sa.Text)
_ALIASES = _table("aliases", name=sa.Text, alias=sa.Text, moved_by=sa.BigInteger)
_AUDIT = _table(
    "audit",
    id=sa.BigInteger,
    at=_MOMENT,
    **dict.fromkeys(("action", "name", "alias", "symbol", "regime", "reason", "actor"), sa.Text),
    **dict.fromkeys(("from_version", "to_version", "position"), sa.Integer),
    **dict.fromkeys(("details", "evidence", "metrics_before", "metrics_after"), sa.JSON),
    **dict.fromkeys(("request_id", "previous_hash", "hash"), sa.Text),
)


def _fill_versions(connection: sa.Connection) -> None:
    newest: dict[tuple[str, str], int] = {}
    rows = connection.execute(sa.select(_VERSIONS).order_by(_VERSIONS.c.id)).all()
    for row in rows:
        newest[row.name, row.info["name"]] = row.id
    for row in rows:
        learner = row.info["name"]
        values = {"learner": learner, "run_id": (row.provenance or {}).get("run_id"), "verified": True}
        connection.execute(sa.update(_VERSIONS).where(_VERSIONS.c.id == row.id).values(**values))
        known = {"version_id": row.id, "name": row.name, "version": row.version, "learner": learner}
        known["newest"] = newest[row.name, learner] == row.id
        for found in _regimes_of(row.info):
            connection.execute(sa.insert(_REGIMES).values(**known, **found))


def _regimes_of(info: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    declared = info.get("market_regimes") or {}
    measured = {skill["regime"]: skill for skill in info.get("regime_evidence") or ()}
    for regime in sorted({*declared, *measured}):
        found = measured.get(regime)
        values = {name: None if found is None else found.get(name, 0) for name in _MEASURED}
        yield {"regime": regime, "reason": declared.get(regime), **values}


def _fill_chains(connection: sa.Connection) -> None:
    heads: dict[str, tuple[int, str]] = {}
    for row in connection.execute(sa.select(_AUDIT).where(_AUDIT.c.name.is_not(None)).order_by(_AUDIT.c.id)).mappings().all():
        values = _chained(dict(row), *heads.get(row["name"], (0, "")))
        connection.execute(sa.update(_AUDIT).where(_AUDIT.c.id == row["id"]).values(**values))
        heads[row["name"]] = (values["position"], values["hash"])
    for name in connection.execute(sa.select(_VERSIONS.c.name).distinct().order_by(_VERSIONS.c.name)).scalars().all():
        heads[name] = _say_migrated(connection, name, *heads.get(name, (0, "")))
    for name, (length, last) in heads.items():
        values = {"audit_length": length, "audit_hash": last}
        connection.execute(sa.update(_NAMES).where(_NAMES.c.name == name).values(**values))
    moved = sa.select(sa.func.max(_AUDIT.c.id)).where(
        _AUDIT.c.name == _ALIASES.c.name, _AUDIT.c.alias == _ALIASES.c.alias, _AUDIT.c.action.in_(("promote", "rollback"))
    )
    connection.execute(sa.update(_ALIASES).values(moved_by=moved.scalar_subquery()))


def _say_migrated(connection: sa.Connection, name: str, length: int, last: str) -> tuple[int, str]:
    now = datetime.now(UTC)
    row: dict[str, Any] = dict.fromkeys(column.name for column in _AUDIT.columns if column.name != "id")
    row |= {"at": now, "action": "migrate", "name": name, "symbol": "", "regime": ""}
    row |= {"reason": f"{length} earlier rows were put in a chain; versions that were there count as verified"}
    row |= _chained(row, length, last)
    row["at"] = now.replace(tzinfo=None) if connection.dialect.name == "sqlite" else now
    connection.execute(sa.insert(_AUDIT).values(**{key: sa.null() if value is None else value for key, value in row.items()}))
    return int(row["position"]), str(row["hash"])


def _chained(row: dict[str, Any], length: int, last: str) -> dict[str, Any]:
    """Position and hashes of a row that follows one of hash ``last``, as ``huracan.registry.audit_chain`` computes them."""
    facts = {key: value for key, value in row.items() if key not in ("id", "hash")}
    moment = row["at"] if row["at"].tzinfo is not None else row["at"].replace(tzinfo=UTC)
    facts |= {"at": moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f"), "position": length + 1, "previous_hash": last}
    digest = hashlib.sha256(to_json(facts).encode()).hexdigest()
    return {"position": length + 1, "previous_hash": last, "hash": digest}


def _make_triggers() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for event in ("update", "delete"):
            op.execute(
                f"create trigger audit_never_{event}d before {event} on audit "
                "begin select raise(abort, 'audit rows are never changed'); end"
            )
        return
    op.execute(
        "create function huracan_audit_is_final() returns trigger language plpgsql as "
        "$$ begin raise exception 'audit rows are never changed'; end $$"
    )
    for event, each in (("update", "row"), ("delete", "row"), ("truncate", "statement")):
        op.execute(
            f"create trigger audit_never_{event}d before {event} on audit for each {each} "
            "execute function huracan_audit_is_final()"
        )


def _drop_triggers() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for event in ("update", "delete"):
            op.execute(f"drop trigger audit_never_{event}d")
        return
    op.execute("drop function huracan_audit_is_final() cascade")
