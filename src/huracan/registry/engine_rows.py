"""What the tables shared with the Engine say of our models, held against our own rows and the audit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Set
from typing import Any

import sqlalchemy as sa

from huracan.registry.alias_moves import CHAMPION, MOVES
from huracan.registry.versions import ENGINE_METRICS, ENGINE_WINDOW
from huracan.storage.tables import audit, model_metrics, model_versions, models, promotions

__all__ = ["told_otherwise"]

_ROW = model_versions.c
_MODELS = (
    sa.select(
        *(_ROW.name, _ROW.version, _ROW.model_id, _ROW.kind, _ROW.parent_id, _ROW.digest),
        *(models.c[name].label(f"their_{name}") for name in ("model_id", "kind", "parent_id", "s3_path")),
    )
    .select_from(model_versions.outerjoin(models, models.c.model_id == _ROW.model_id))
    .order_by(_ROW.id)
)
_FIGURES = (
    sa.select(
        _ROW.model_id, _ROW.metrics, model_metrics.c.model_id.label("there"), *(model_metrics.c[m] for m in ENGINE_METRICS)
    )
    .select_from(
        model_versions.outerjoin(
            model_metrics, sa.and_(model_metrics.c.model_id == _ROW.model_id, model_metrics.c.window == ENGINE_WINDOW)
        )
    )
    .order_by(_ROW.id)
)


def told_otherwise(connection: sa.Connection, champions: Set[tuple[str, int]]) -> Iterator[str]:
    """What is not in ``models``, ``model_metrics`` and ``promotions`` as we wrote it there, a sentence each.

    ``champions`` : name and version of all that hold an alias of that name, in whichever scope, as the audit tells.
    Rows of other programs are their own affair, and so are ``features_used`` and ``params``, which they may write anew.
    """
    for row in connection.execute(_MODELS):
        kind = CHAMPION if (row.name, row.version) in champions else row.kind
        expected = {"kind": kind, "parent_id": row.parent_id, "s3_path": f"sha256:{row.digest}"}
        if row.their_model_id is None:
            yield f"table models has no row of {row.model_id}"
            continue
        for column, value in expected.items():
            if (found := getattr(row, f"their_{column}")) != value:
                mend = f"; promoting who is {CHAMPION} again puts it right" if column == "kind" else ""
                yield f"table models says that {column} of {row.model_id} is {found}, the registry says {value}{mend}"
    for row in connection.execute(_FIGURES):
        if row.there is None:
            yield f"table model_metrics has no row of {row.model_id} and {ENGINE_WINDOW}"
        elif changed := [name for name in ENGINE_METRICS if getattr(row, name) != row.metrics.get(name)]:
            yield f"table model_metrics says otherwise of {row.model_id} than the registry: {', '.join(changed)}"
    yield from _promotions_gone(connection)


def _promotions_gone(connection: sa.Connection) -> Iterator[str]:
    """Moves of a champion that the audit tells and ``promotions`` does not."""
    moves = sa.select(audit.c.name, audit.c.from_version, audit.c.to_version, audit.c.reason)
    moves = moves.where(audit.c.alias == CHAMPION, audit.c.action.in_(MOVES))
    told = Counter(
        (_id(row.name, row.from_version), _id(row.name, row.to_version), row.reason) for row in connection.execute(moves)
    )
    columns = (promotions.c.from_model_id, promotions.c.to_model_id, promotions.c.reason)
    there: Counter[Any] = Counter(tuple(row) for row in connection.execute(sa.select(*columns)))
    for (old, new, reason), count in (told - there).items():
        times = "" if count == 1 else f", {count} times"
        yield f"table promotions does not tell of the move from {old or 'nobody'} to {new or 'nobody'} ({reason}){times}"


def _id(name: str, version: int | None) -> str | None:
    return None if version is None else f"{name}/{version}"
