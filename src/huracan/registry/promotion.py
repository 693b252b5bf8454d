"""Moving an alias: promotion, rollback and withdrawal, each one transaction with its audit row and the Engine's tables.

Who holds an alias now is read from the audit, so what was changed in its row behind the registry's back moves on no further.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import sqlalchemy as sa

from huracan.errors import ArtifactError, AuditError, PromotionConflict, RegistryError
from huracan.registry.alias_holders import no_alias
from huracan.registry.alias_moves import CHAMPION, Move, Side, holder_of, place_of, put_right, take_off, write_move
from huracan.registry.audit_chain import Head, Request
from huracan.registry.records import NOT_CHECKED, Expected
from huracan.registry.statements import Statement, parsed
from huracan.registry.told_states import AS_REGISTERED, told_state
from huracan.registry.versions import find_version, lock_name
from huracan.storage import ArtifactStore
from huracan.storage.tables import audit

__all__ = ["CHAMPION", "Back", "Move", "give_back", "move_alias", "take_away", "version_number"]

_MOVE = audit.c
_MOVES = Statement(
    sa.select(_MOVE.position, _MOVE.action, _MOVE.from_version, _MOVE.details)
    .where(
        _MOVE.name == sa.bindparam("of"),
        _MOVE.alias == sa.bindparam("called"),
        _MOVE.symbol == sa.bindparam("symbol_"),
        _MOVE.regime == sa.bindparam("regime_"),
        _MOVE.position < sa.bindparam("before"),
    )
    .order_by(_MOVE.position.desc())
    .limit(100)
)


def version_number(given: Any, what: str) -> int:
    """A version's number as Python's own; what is stored is what is hashed."""
    try:
        if isinstance(given, bool):
            raise TypeError
        number = operator.index(given)
    except TypeError:
        raise RegistryError(f"{what} is {given!r}; the number of a version was expected.") from None
    if not 0 < number < 2**31:
        raise RegistryError(f"{what} is {number}; the number of a version, from 1, was expected.")
    return number


def move_alias(
    connection: sa.Connection, artifacts: ArtifactStore, move: Move, version: int, expected: Expected, request: Request
) -> None:
    """Point the alias at ``version``, if ``expected`` holds it.

    Where ``version`` holds it already, no move is written; its row and the Engine's kinds are put right, should they differ.

    Raises
    ------
    PromotionConflict : somebody else moved the alias first.
    RegistryError : there is no such model or version, it is archived, removed, unverified or was changed, or its artifact is
        not there.
    """
    _, head = lock_name(connection, move.name)
    if request.done_before(connection) is not None:
        return
    before, after = holder_of(connection, move), _promotable(connection, artifacts, move.name, version)
    _compare(move, before.version, expected)
    if before.version == version:
        put_right(connection, move, version, before.row)
    else:
        write_move(connection, head, move, "promote", before, Side(version, after), request)


class Back(NamedTuple):
    """What came of a rollback: who holds the alias now, and whom it passed over, each with the reason."""

    version: int | None
    passed: list[dict[str, Any]]


def give_back(connection: sa.Connection, artifacts: ArtifactStore, move: Move, expected: Expected, request: Request) -> Back:
    """Point the alias at the version that held it before the present one, earlier roll-backs taken off.

    Versions that cannot be promoted are passed over, which the audit row tells. Where nobody held it before, it is withdrawn.

    Raises
    ------
    PromotionConflict : somebody else moved the alias first.
    RegistryError : nobody holds it and nobody did before; or none of those that did can be promoted.
    """
    _, head = lock_name(connection, move.name)
    if (done := request.done_before(connection)) is not None:
        return Back(None if done[0] is None else int(done[0]), [])
    held = holder_of(connection, move)
    if held.row is None:
        raise no_alias(connection, move.name, move.alias, move.scope)
    _compare(move, held.version, expected)
    after, passed = _earlier(connection, artifacts, head, move, held.version)
    if passed:
        move = replace(move, details={**move.details, "passed": passed})
    write_move(connection, head, move, "rollback", held, after, request)
    return Back(after.version, passed)


def take_away(connection: sa.Connection, move: Move, expected: Expected, request: Request) -> None:
    """Let nobody hold the alias from here on.

    Raises
    ------
    PromotionConflict : somebody else moved the alias first.
    RegistryError : there is no such model, or nobody holds the alias.
    """
    _, head = lock_name(connection, move.name)
    if request.done_before(connection) is not None:
        return
    held = holder_of(connection, move)
    _compare(move, held.version, expected)
    if held.version is not None:
        write_move(connection, head, move, "withdraw", held, Side(None, None), request)
    elif not take_off(connection, move):
        written = move.scope.written(move.alias)
        raise RegistryError(f"nobody holds the alias '{written}' of model '{move.name}'; there is nothing to withdraw.")


def _promotable(connection: sa.Connection, artifacts: ArtifactStore, name: str, version: int) -> Mapping[str, Any]:
    """Metrics of a version that may be promoted: as it was registered, and its artifacts are there.

    Of an artifact the manifest is hashed, and each file must have its size. Hashing all of it takes as long as it is large:
    that is done when it is loaded, and by ``verify``.
    """
    found = find_version(connection, name, version)
    if found.stage == "archived":
        raise RegistryError(f"version {version} of '{name}' is archived; restore it before it is promoted.")
    if found.stage == "removed":
        raise RegistryError(f"version {version} of '{name}' gave up its artifact to retention; it cannot be promoted.")
    if not found.verified:
        raise RegistryError(
            f"version {version} of '{name}' is not verified: nobody has rebuilt it from its artifact yet, or that failed; "
            f"call verify('{name}', {version}) first."
        )
    found.require_unchanged()
    if (told := told_state(connection, name, version)) != AS_REGISTERED:
        raise AuditError(
            f"version {version} of '{name}' is {told[0]} and {'' if told[1] else 'not '}verified, the audit says, but active "
            "and verified in its row; the database was changed: restore it from a backup, or archive or verify it again."
        )
    try:
        for digest in filter(None, (found.digest, found.serving_digest)):
            artifacts.glance(digest)
    except ArtifactError as error:
        raise RegistryError(f"version {version} of '{name}' cannot be promoted: {error}") from error
    return found.metrics


def _compare(move: Move, held: int | None, expected: Expected) -> None:
    if expected is not NOT_CHECKED and held != expected:
        raise PromotionConflict(
            f"alias '{move.scope.written(move.alias)}' of model '{move.name}' points to {_in_words(held)}, "
            f"{_in_words(expected)} was expected; somebody promoted first: look at the history, then decide again."
        )


def _earlier(
    connection: sa.Connection, artifacts: ArtifactStore, head: Head, move: Move, held: int | None
) -> tuple[Side, list[dict[str, Any]]]:
    """The newest of those that held the alias before and can be promoted, or nobody; and whom that passes over."""
    passed: list[dict[str, Any]] = []
    cannot = f"alias '{move.scope.written(move.alias)}' of model '{move.name}' cannot be rolled back"
    for version in _holders_before(connection, head, move):
        if version is None and not passed:
            return Side(None, None), []
        if version is None:
            why = "; ".join(f"{one['version']}: {one['why'].rstrip('.')}" for one in passed)
            raise RegistryError(f"{cannot}: of those that held it before, none can be promoted ({why}); withdraw it instead.")
        if version == held:
            passed.append({"version": version, "why": "it holds it now"})
            continue
        try:
            return Side(version, _promotable(connection, artifacts, move.name, version)), passed
        except RegistryError as error:
            passed.append({"version": version, "why": str(error)})
    raise RegistryError(f"{cannot}: nobody held it before, and nobody holds it now.")


def _holders_before(connection: sa.Connection, head: Head, move: Move) -> Iterator[int | None]:
    """From whom each move that was not taken back took the alias, newest first; reads the audit backwards, as far as needed."""
    taken_back, before = 0, head.length + 1
    while True:
        rows = _MOVES(connection, **place_of(move), before=before)
        for row in rows:
            if row.action == "rollback":
                taken_back += 1 + len((parsed(row.details) or {}).get("passed", ()))
            elif row.action in ("promote", "withdraw") and taken_back:
                taken_back -= 1
            elif row.action in ("promote", "withdraw"):
                yield None if row.from_version is None else int(row.from_version)
        if len(rows) < 100:
            return
        before = rows[-1].position


def _in_words(version: Any) -> str:
    return "nobody" if version is None else f"version {version}"
