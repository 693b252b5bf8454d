"""What was earned by whoever answered: the positions of champions, whichever version that was at the time."""

from __future__ import annotations

import polars as pl
import sqlalchemy as sa

from huracan.mlops.performance.ownership import versions_of
from huracan.registry.statements import Statement
from huracan.storage.feedback_tables import live_outcomes, live_predictions, live_versions

__all__ = ["ANSWERED", "answered_returns"]

ANSWERED = "champion"
"""Role of a prediction that was the answer."""

_P, _O = live_predictions.c, live_outcomes.c
_LIVED = live_versions.alias("lived")
_SINCE, _UNTIL = (sa.bindparam(name, type_=sa.BigInteger) for name in ("since", "until"))
_ROWS = live_outcomes.join(live_predictions, sa.and_(_P.version_id == _O.version_id, _P.symbol == _O.symbol, _P.ts == _O.ts))
_WHICH = (
    _P.role == ANSWERED,
    _O.net_return.is_not(None),
    _O.state != "never",
    _O.version_id.in_(sa.select(_LIVED.c.version_id).where(versions_of(_LIVED.c.version_id))),
    _O.ts >= _SINCE,
    _O.ts < _UNTIL,
)
_EARNED = Statement(  # summed up where the rows lie: hundreds of symbols have millions
    sa.select(_O.ts, sa.func.sum(_O.net_return).label("net")).select_from(_ROWS).where(*_WHICH).group_by(_O.ts).order_by(_O.ts)
)
_SYMBOLS = Statement(sa.select(sa.func.count(_O.symbol.distinct()).label("n")).select_from(_ROWS).where(*_WHICH))


def answered_returns(connection: sa.Connection, name: str, *, since: int, until: int) -> pl.DataFrame:
    """``[ts, net]``: net return of every bar, symbols in equal parts, of versions of a name while their answer was the answer.

    Of rows that are still there: single predictions are let go after a time. Each version's costs are those of its own
    positions, so a change of champion costs nothing here.

    Parameters
    ----------
    since, until : bars from one time to before another, milliseconds UTC.
    """
    which = {"name": name, "since": since, "until": until}
    rows = [(row.ts, row.net) for row in _EARNED(connection, **which)]
    found = pl.DataFrame(rows, schema={"ts": pl.Int64, "net": pl.Float64}, orient="row")
    return found.with_columns(pl.col("net") / max(int(_SYMBOLS(connection, **which)[0].n), 1))
