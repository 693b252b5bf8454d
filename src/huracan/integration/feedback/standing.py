"""How a Mechanic stands now, as the database tells it: whoever works goes on undisturbed."""

from __future__ import annotations

import polars as pl

from huracan.errors import HuracanError, LeaseLost
from huracan.integration.feedback.challenger_log import AT_WORK, challengers_in, trials_in
from huracan.integration.feedback.lease import lease_holder
from huracan.integration.feedback.mechanic_report import MechanicReport, MechanicStatus
from huracan.integration.feedback.tick_log import TickLog, last_tick
from huracan.integration.feedback.turn import Works
from huracan.mlops.performance.engine_account import EngineAccount

__all__ = ["standing"]


def standing(works: Works) -> MechanicStatus:
    """How the Mechanic of these works stands."""
    name = works.name
    held = lease_holder(works.database, name)
    last = last_tick(works.database, name)
    champions = works.bench.holders()
    with works.database.reading(one_moment=True) as connection:
        now = int(works.database.now(connection).timestamp() * 1_000)
        holding = works.alerts.holding(connection)
        under_way = challengers_in(connection, name, AT_WORK)
        trials = trials_in(connection, name)
    return MechanicStatus(
        name=name,
        working=held if held is not None and held.holds(now) else None,
        last=None if last is None else MechanicReport.from_dict(last[1]),
        unfinished=TickLog(works.database, name, require=_never, fence=0).unfinished(),
        frozen=works.switch.state(),
        champions={scope.written("champion"): version for scope, version in champions.items()},
        challengers=under_way,
        trials=trials,
        alerts=[(str(one.level), one.sentence) for one in holding],
        bot=_account(works),
    )


def _account(works: Works) -> EngineAccount:
    """What the trading bot wrote, its entries judged by the candles that are there."""
    trades = works.store.trades().frame
    return works.store.account(opens=_opens(works, trades) if trades.height else None)


def _opens(works: Works, trades: pl.DataFrame) -> pl.DataFrame | None:
    """Opens of the bars in which the bot entered; None where no candles can be read, which is no trouble of the Mechanic's."""
    times = trades["time"].dt.epoch("ms")
    day = 86_400_000
    symbols = trades["symbol"].unique().to_list()
    try:
        bars = works.feed.bars(int(times.min()) - day, int(times.max()), symbols)  # type: ignore[arg-type]
    except HuracanError:
        return None
    ts = pl.col("ts") if bars.schema["ts"].is_integer() else pl.col("ts").dt.epoch("ms")
    return bars.select("symbol", "open", ts=ts)


def _never(connection: object) -> None:
    raise LeaseLost("who only looks writes nothing.")
