"""Which bars were forgotten: their sums stay, so nothing of them may be counted a second time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from huracan.registry.statements import Statement
from huracan.storage.feedback_tables import live_forgotten

__all__ = ["Scope", "forgotten_until", "remember"]

Scope = tuple[int, str]
"""Id of a version, and a symbol."""

_COLUMNS = ("version_id", "symbol", "ts")
_UNTIL = Statement(
    sa.select(live_forgotten.c.symbol, live_forgotten.c.ts).where(live_forgotten.c.version_id == sa.bindparam("version_id"))
)


def _growing(dialect: str) -> Statement:
    made = (sqlite if dialect == "sqlite" else postgresql).insert(live_forgotten)
    newest = sa.case((made.excluded.ts > live_forgotten.c.ts, made.excluded.ts), else_=live_forgotten.c.ts)
    return Statement(made.on_conflict_do_update(index_elements=["version_id", "symbol"], set_={"ts": newest}), _COLUMNS)


_GROWING = {dialect: _growing(dialect) for dialect in ("sqlite", "postgresql")}


def remember(connection: sa.Connection, keys: Sequence[tuple[Any, ...]]) -> None:
    """Keep the newest bar of each version and symbol of ``keys`` (version_id, symbol, ts), whose rows go."""
    newest: dict[Scope, int] = {}
    for version_id, symbol, ts in keys:
        newest[version_id, symbol] = max(ts, newest.get((version_id, symbol), ts))
    rows = [(*scope, ts) for scope, ts in sorted(newest.items())]
    _GROWING[connection.dialect.name].write_rows(connection, rows, _COLUMNS)


def forgotten_until(connection: sa.Connection, version_ids: Iterable[int]) -> dict[Scope, int]:
    """The newest forgotten bar of each symbol of these versions, where one is."""
    ids = sorted(set(version_ids))
    return {(one, row.symbol): int(row.ts) for one in ids for row in _UNTIL(connection, version_id=one)}
