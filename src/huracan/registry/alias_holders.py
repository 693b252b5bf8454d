"""Who holds an alias, as its row and the audit both say; where they differ, nobody is answered with."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import sqlalchemy as sa

from huracan.errors import AuditError, RegistryError, nearest_name
from huracan.registry.records import ModelVersion
from huracan.registry.scopes import Scope
from huracan.registry.statements import Statement
from huracan.registry.versions import VERSION_COLUMNS, require_name, version_of
from huracan.storage.tables import aliases, audit, model_versions, registered_models

__all__ = ["Held", "Holder", "alias_rows", "held_version", "last_move", "no_alias", "version_by_alias", "was_held"]

_ALIAS, _VERSION, _NAME, _MOVE = aliases.c, model_versions.c, registered_models.c, audit.c
_NOBODY = 0


def _told_move(name: Any, alias: Any, symbol: Any, regime: Any) -> Any:
    """``row/version`` of the last move of an alias that is in the chain; version 0: nobody was to hold it from there on."""
    length = sa.select(_NAME.audit_length).where(_NAME.name == name).scalar_subquery()
    return (
        sa.select(sa.cast(_MOVE.id, sa.Text) + "/" + sa.cast(sa.func.coalesce(_MOVE.to_version, _NOBODY), sa.Text))
        .where(_MOVE.name == name, _MOVE.alias == alias, _MOVE.symbol == symbol, _MOVE.regime == regime)
        .where(_MOVE.position <= length)
        .order_by(_MOVE.position.desc())
        .limit(1)
        .scalar_subquery()
    )


_OF, _CALLED = sa.bindparam("of", type_=sa.Text), sa.bindparam("called", type_=sa.Text)
_ASKED = {"symbol": sa.bindparam("symbol_", type_=sa.Text), "regime": sa.bindparam("regime_", type_=sa.Text)}
_FOUND_IN = [_ALIAS.symbol.label("of_symbol"), _ALIAS.regime.label("of_regime")]
_FOUND_IN += [sa.func.coalesce(_ALIAS.moved_by, 0).label("generation")]


def _nearest(columns: list[Any], source: Any, scope: Scope) -> Statement:
    """Of the nearest scope that has the alias, the columns, and what the audit says of each scope, nearest first."""
    told = [
        _told_move(_OF, _CALLED, _ASKED["symbol"] if each.symbol else "", _ASKED["regime"] if each.regime else "")
        for each in _nearest_first(scope)
    ]
    here = [
        sa.or_(_ALIAS[key] == "", _ALIAS[key] == _ASKED[key]) if getattr(scope, key) else _ALIAS[key] == "" for key in _ASKED
    ]
    query = sa.select(*columns, *_FOUND_IN, *(move.label(f"told{place}") for place, move in enumerate(told)))
    query = query.select_from(source).where(_ALIAS.name == _OF, _ALIAS.alias == _CALLED, *here)
    return Statement(query.order_by(_ALIAS.symbol.desc(), _ALIAS.regime.desc()).limit(1))


@lru_cache(maxsize=4_096)
def _nearest_first(scope: Scope) -> tuple[Scope, ...]:
    return tuple(dict.fromkeys((scope, Scope(scope.symbol), Scope("", scope.regime), Scope())))


_KINDS = [Scope(symbol, regime) for symbol in ("", "s") for regime in ("", "r")]
_WITH_VERSION = aliases.join(model_versions, sa.and_(_VERSION.name == _ALIAS.name, _VERSION.version == _ALIAS.version))
_BY_ALIAS = {kind: _nearest(VERSION_COLUMNS, _WITH_VERSION, kind) for kind in _KINDS}
_HOLDER = {kind: _nearest([_ALIAS.version], aliases, kind) for kind in _KINDS}
_ALIASES = Statement(
    sa.select(
        _ALIAS.alias,
        _ALIAS.symbol,
        _ALIAS.regime,
        _ALIAS.version,
        sa.func.coalesce(_ALIAS.moved_by, 0).label("generation"),
    )
    .where(_ALIAS.name == _OF)
    .order_by(_ALIAS.alias, _ALIAS.symbol, _ALIAS.regime)
)
_LAST = (
    sa.select(_MOVE.name, sa.func.max(_MOVE.position).label("position"))
    .join_from(audit, registered_models, _NAME.name == _MOVE.name)
    .where(_MOVE.name == _OF, _MOVE.alias.is_not(None), _MOVE.position <= _NAME.audit_length)
    .group_by(_MOVE.name, _MOVE.alias, _MOVE.symbol, _MOVE.regime)
    .subquery()
)
_TOLD = Statement(
    sa.select(_MOVE.alias, _MOVE.symbol, _MOVE.regime, _MOVE.id, _MOVE.to_version).join_from(
        _LAST, audit, sa.and_(_MOVE.name == _LAST.c.name, _MOVE.position == _LAST.c.position)
    )
)
_WAS_HELD = Statement(sa.select(_MOVE.id).where(_MOVE.name == _OF, _MOVE.alias == _CALLED).limit(1))
_HERE = (_ALIAS.name == _OF, _ALIAS.alias == _CALLED, *(_ALIAS[key] == asked for key, asked in _ASKED.items()))
_ONE_MOVE = Statement(
    sa.select(
        _told_move(_OF, _CALLED, *_ASKED.values()).label("told"),
        sa.select(_ALIAS.version).where(*_HERE).scalar_subquery().label("pointed"),
    )
)


class Held(NamedTuple):
    """Who holds an alias: ``version``, since audit row ``generation``, and the scope in which it was found."""

    version: int
    generation: int
    scope: Scope


class Holder(NamedTuple):
    """A row of an alias: whose it is, who holds it, and since which audit row."""

    alias: str
    symbol: str
    regime: str
    version: int
    generation: int


def version_by_alias(connection: sa.Connection, name: str, alias: str, scope: Scope) -> ModelVersion:
    """The version that ``alias`` points to, for the nearest scope that has it: symbol and regime, symbol, regime, all.

    Raises
    ------
    RegistryError : nobody holds it. AuditError : the audit says otherwise.
    """
    row = _found(_BY_ALIAS, connection, name, alias, scope)
    found = version_of(row, alias)
    _require_told(row, name, alias, scope, found.version)
    return found


def held_version(connection: sa.Connection, name: str, alias: str, scope: Scope) -> Held:
    """Who holds ``alias``, for the nearest scope that has it; raises as :func:`version_by_alias`."""
    row = _found(_HOLDER, connection, name, alias, scope)
    _require_told(row, name, alias, scope, row.version)
    return Held(row.version, row.generation, Scope(row.of_symbol, row.of_regime))


def last_move(connection: sa.Connection, name: str, alias: str, scope: Scope) -> tuple[int | None, int | None]:
    """The audit's row of an alias's last move, and whom it moved it to; each None where there is none."""
    return _last_move(connection, name, alias, scope)[:2]


def _last_move(connection: sa.Connection, name: str, alias: str, scope: Scope) -> tuple[int | None, int | None, int | None]:
    """:func:`last_move`, and whom the alias's row points to at the same moment."""
    values = {"of": name, "called": alias, "symbol_": scope.symbol, "regime_": scope.regime}
    told, pointed = _ONE_MOVE.one(connection, **values)
    row, version = (None, None) if told is None else map(int, told.split("/"))
    return row, version or None, pointed


def alias_rows(connection: sa.Connection, name: str, alias: str | None = None) -> list[Holder]:
    """Every holder of every alias of a name, or of one, sorted; ``connection`` sees one moment.

    Raises
    ------
    AuditError : the audit says otherwise of one.
    """
    found = [Holder._make(row) for row in _ALIASES(connection, of=name) if alias in (None, row.alias)]
    told = {row[:3]: row[3:] for row in _TOLD(connection, of=name) if alias in (None, row.alias)}
    held = {row[:3]: (row.generation, row.version) for row in found}
    for key in sorted(held.keys() | {key for key, (_, version) in told.items() if version is not None}):
        if held.get(key) != told.get(key):
            version = held[key][1] if key in held else None
            raise _changed(name, key[0], Scope(*key[1:]), version, told[key][1] if key in told else None)
    return found


def was_held(connection: sa.Connection, name: str, alias: str) -> bool:
    """Whether anybody ever held the alias, in any scope."""
    return _WAS_HELD.one(connection, of=name, called=alias) is not None


def no_alias(connection: sa.Connection, name: str, alias: str, scope: Scope) -> RegistryError:
    """Why nobody holds the alias; the nearest that is held is named."""
    require_name(connection, name)
    for each in _nearest_first(scope):
        _, told, pointed = _last_move(connection, name, alias, each)
        if told is not None and pointed is None:
            return _changed(name, alias, each, None, told)
    known = {row.alias for row in _ALIASES(connection, of=name)}
    if not known:
        ever = "is promoted any more" if was_held(connection, name, alias) else "was promoted yet"
        return RegistryError(f"model '{name}' has no alias '{alias}'; no version of it {ever}.")
    if alias in known:
        return RegistryError(f"model '{name}' has no alias '{scope.written(alias)}', and none for all symbols and regimes.")
    unknown = str(nearest_name(alias, known, kind="alias")).removeprefix("unknown alias ")
    return RegistryError(f"model '{name}' has no alias {unknown}")


def _found(statements: dict[Scope, Statement], connection: sa.Connection, name: str, alias: str, scope: Scope) -> Any:
    kind = _KINDS[2 * bool(scope.symbol) + bool(scope.regime)]
    row = statements[kind].one(connection, of=name, called=alias, symbol_=scope.symbol, regime_=scope.regime)
    if row is None:
        raise no_alias(connection, name, alias, scope)
    return row


def _require_told(row: Any, name: str, alias: str, asked: Scope, version: int) -> None:
    """Make sure that the audit says of the scope found what its row says, and that nobody holds a nearer one."""
    found, nearest = Scope(row.of_symbol, row.of_regime), _nearest_first(asked)
    for scope, told in zip(nearest, row[-len(nearest) :], strict=True):
        if scope == found and told != f"{row.generation}/{version}":
            raise _changed(name, alias, scope, version, None if told is None else int(told.partition("/")[2]))
        if scope == found:
            return
        if told is not None and not told.endswith(f"/{_NOBODY}"):
            raise _changed(name, alias, scope, None, int(told.partition("/")[2]))


def _changed(name: str, alias: str, scope: Scope, version: int | None, told: int | None) -> AuditError:
    said = f"says version {told}" if told else "says that nobody holds it"
    if version is not None and version == told:
        said = f"says so of another move than its row, and which one it was is what streams go by: version {told}"
    points = "has no row" if version is None else f"points to version {version}"
    mend = f"promote version {told} again, which puts it right" if told else "withdraw it, which puts it right"
    return AuditError(
        f"alias '{scope.written(alias)}' of model '{name}' {points}, the audit {said}; the database was changed: restore it "
        f"from a backup, or {mend}."
    )
