"""What a Mechanic knows from one turn to the next, as JSON by key: cursors, monitors, when what was last looked at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa

from huracan.registry.statements import Statement, parsed
from huracan.storage import to_json
from huracan.storage.feedback_tables import mechanic_state

__all__ = ["drop_state", "put_state", "read_state"]

_C = mechanic_state.c
_OF = _C.name == sa.bindparam("of", type_=sa.Text)
_KEY = _C.key == sa.bindparam("called", type_=sa.Text)
_ALL = Statement(sa.select(_C.key, _C.value).where(_OF).order_by(_C.key))
_CHANGE = Statement(
    sa.update(mechanic_state)
    .where(_OF, _KEY)
    .values(value=sa.bindparam("given", type_=sa.JSON), tick=sa.bindparam("at", type_=sa.BigInteger))
)


def read_state(connection: sa.Connection, name: str) -> dict[str, Any]:
    """Every key of ``name`` with its value."""
    return {row.key: parsed(row.value) for row in _ALL(connection, of=name)}


def put_state(connection: sa.Connection, name: str, values: Mapping[str, Any], tick: int) -> None:
    """Set some keys, as of ``tick``."""
    for key, value in values.items():
        given = to_json(value, where=key)
        if not _CHANGE.write(connection, of=name, called=key, given=given, at=tick):
            connection.execute(sa.insert(mechanic_state).values(name=name, key=key, value=value, tick=tick))


def drop_state(connection: sa.Connection, name: str, keys: Iterable[str]) -> None:
    """Forget some keys."""
    connection.execute(sa.delete(mechanic_state).where(_C.name == name, _C.key.in_(list(keys))))
