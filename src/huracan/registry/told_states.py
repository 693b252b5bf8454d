"""Which stage versions are in and whether they are verified, as the audit tells it, which their rows are held against."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from huracan.registry.statements import Statement, parsed
from huracan.storage.tables import audit, registered_models

__all__ = ["AS_REGISTERED", "told_state", "told_states"]

AS_REGISTERED = ("active", True)
"""Stage of a version, and whether it is verified, while the audit tells no change of them."""

_TELLS_STATE: Any = sa.literal_column("action IN ('archive', 'restore', 'retain', 'verify')")  # word for word as in the index
_COLUMNS = [audit.c.name, audit.c.action, audit.c.to_version, sa.cast(audit.c.details, sa.Text)]
_OF = sa.bindparam("of", type_=sa.Text)
_LENGTH = sa.select(registered_models.c.audit_length).where(registered_models.c.name == _OF).scalar_subquery()
_ORDER = (audit.c.name, audit.c.position)
_OF_ONE = sa.select(*_COLUMNS).where(_TELLS_STATE, audit.c.name == _OF, audit.c.position.between(1, _LENGTH)).order_by(*_ORDER)
_ITS_OWN = Statement(_OF_ONE.where(audit.c.to_version == sa.bindparam("number", type_=sa.Integer)))
_DETAILS = sa.cast(audit.c.details, sa.Text)
_DIGITS = sa.bindparam("digits", type_=sa.Text)
_OF_SEVERAL = Statement(  # LIKE would be planned anew in SQLite for every version
    _OF_ONE.where(audit.c.to_version.is_(None), sa.func.replace(_DETAILS, _DIGITS, "") != _DETAILS)
)
_ALL = Statement(sa.select(*_COLUMNS).where(_TELLS_STATE).order_by(*_ORDER))


def told_state(connection: sa.Connection, name: str, version: int) -> tuple[str, bool]:
    """Stage of one version, and whether it is verified."""
    own = _states(_ITS_OWN(connection, of=name, number=version)).get((name, version), AS_REGISTERED)
    several = _states(_OF_SEVERAL(connection, of=name, digits=str(version)))
    return several[name, version][0] if (name, version) in several else own[0], own[1]  # what retention took stays taken


def told_states(connection: sa.Connection) -> dict[tuple[str, int], tuple[str, bool]]:
    """Stage and whether it is verified, of every version of which the audit tells a change of them."""
    return _states(_ALL(connection))


def _states(rows: list[Any]) -> dict[tuple[str, int], tuple[str, bool]]:
    states: dict[tuple[str, int], tuple[str, bool]] = {}
    for name, action, number, details in rows:
        for version in parsed(details)["removed"] if action == "retain" else (number,):
            stage, verified = states.get((name, version), AS_REGISTERED)
            if action == "verify":
                states[name, version] = (stage, bool(parsed(details)["verified"]))
            else:
                states[name, version] = ({"archive": "archived", "restore": "active", "retain": "removed"}[action], verified)
    return states
