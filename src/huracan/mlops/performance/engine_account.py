"""``EngineAccount``: what the trading bot's fills, fees and equity amount to, beside what its model was to earn."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from huracan.mlops.performance.engine_tables import EngineRows

__all__ = ["EngineAccount", "engine_account", "equity_span"]

_BPS = 10_000.0
_DAY = 86_400_000


@dataclass(frozen=True)
class EngineAccount:
    """The bot's own figures. Whatever cannot be told of what its tables hold is None.

    Attributes
    ----------
    trades : how many can be used. net_pnl, fees : their sums, in the account's currency. fees_bps : fees in basis points of
        what was bought or sold at entry. slippage_bps : by how much entries were worse than the open of their bar, which a
        backtest assumes, in basis points, on average; over ``n_slipped`` trades of symbols whose candles are there.
    first_day, last_day : of the equity. equity_return : what it grew by between them. worst_drawdown : the
        bot's deepest, above 0 whichever sign it writes.
    model_return : net return that the positions of whoever was champion made in that time, symbols in equal parts, bar on bar.
        model_since : the day from which on it is known, where that is later than the first.
    notes : rows that cannot be used, and why.

    Examples
    --------
    >>> EngineAccount(trades=3, net_pnl=12.5, fees=1.5, fees_bps=4.0).sentences
    ['The bot made 3 trades: net 12.5, fees 1.5 (4 bps of what was entered).']
    """

    trades: int = 0
    net_pnl: float | None = None
    fees: float | None = None
    fees_bps: float | None = None
    slippage_bps: float | None = None
    n_slipped: int = 0
    first_day: str | None = None
    last_day: str | None = None
    equity_return: float | None = None
    worst_drawdown: float | None = None
    model_return: float | None = None
    model_since: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def sentences(self) -> list[str]:
        """What there is, for a page; empty where the bot wrote nothing."""
        said = []
        if self.trades:
            earned = ", ".join(
                f"{what} {value:.6g}" for what, value in (("net", self.net_pnl), ("fees", self.fees)) if value is not None
            )
            share = "" if self.fees_bps is None else f" ({self.fees_bps:.3g} bps of what was entered)"
            said.append(f"The bot made {self.trades:,} trades{': ' + earned if earned else ''}{share}.")
        if self.slippage_bps is not None:
            way = "worse" if self.slippage_bps >= 0.0 else "better"
            by = f"{abs(self.slippage_bps):.3g} bps {way}"
            said.append(f"Its entries were {by} than the open of their bar ({self.n_slipped:,} trades).")
        if self.equity_return is not None:
            since = "" if self.model_since is None else f" from {self.model_since} on, before which single bars are not known"
            beside = "" if self.model_return is None else f"; what champions said made {self.model_return:+.2%} net{since}"
            said.append(f"Its equity changed by {self.equity_return:+.2%} from {self.first_day} to {self.last_day}{beside}.")
        return [*said, *self.notes]

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values, with ``sentences``."""
        return {**asdict(self), "notes": list(self.notes), "sentences": self.sentences}


def equity_span(equity: EngineRows) -> tuple[int, int] | None:
    """From the end of its first day to the end of its last, milliseconds UTC; None where there are no two days."""
    days = equity.frame["date"]
    if len(days) < 2:
        return None
    first, last = (datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1) for day in (days[0], days[-1]))
    return round(first.timestamp() * 1_000), round(last.timestamp() * 1_000)


def engine_account(
    trades: EngineRows, equity: EngineRows, *, answered: pl.DataFrame | None = None, opens: pl.DataFrame | None = None
) -> EngineAccount:
    """What the bot's tables amount to.

    Parameters
    ----------
    trades, equity : of :func:`read_trades` and :func:`read_equity`. A trade's time is taken as that of its entry.
    answered : ``[ts, net]``, what champions' positions made of every bar in :func:`equity_span`.
    opens : ``symbol, ts, open`` of bars, ``ts`` in milliseconds UTC.
    """
    notes = tuple(rows.sentence for rows in (trades, equity) if rows.refused)
    made, days = trades.frame, equity.frame
    sized = made.filter(pl.col("fees").is_not_null() & (pl.col("size") * pl.col("entry") != 0.0))
    entered = float((sized["size"] * sized["entry"]).abs().sum())
    slipped = _slippage(made, opens)
    span = equity_span(equity)
    drawdown = days["max_dd"].drop_nulls().abs()  # some write what was lost as less than 0
    model_return, model_since = (None, None) if span is None else _of_positions(answered, span[0])
    return EngineAccount(
        trades=made.height,
        net_pnl=_sum(made["net_pnl"]),
        fees=_sum(made["fees"]),
        fees_bps=_BPS * float(sized["fees"].sum()) / entered if entered > 0.0 else None,
        slippage_bps=float(slipped.mean()) if len(slipped) else None,  # type: ignore[arg-type]
        n_slipped=len(slipped),
        first_day=None if span is None else str(days["date"][0]),
        last_day=None if span is None else str(days["date"][-1]),
        equity_return=None if span is None else float(days["nav"][-1] / days["nav"][0] - 1.0),
        worst_drawdown=float(drawdown.max()) if len(drawdown) else None,  # type: ignore[arg-type]
        model_return=model_return,
        model_since=model_since,
        notes=notes,
    )


def _sum(values: pl.Series) -> float | None:
    known = values.drop_nulls()
    return float(known.sum()) if len(known) else None


def _slippage(trades: pl.DataFrame, opens: pl.DataFrame | None) -> pl.Series:
    """Of each trade whose bar is there, by how many basis points its entry was worse than the bar's open."""
    told = trades.drop_nulls(["side", "entry"]).select("symbol", "side", "entry", ts=pl.col("time").dt.epoch("ms"))
    if opens is None or not told.height or not opens.height:
        return pl.Series("slippage", [], dtype=pl.Float64)
    bars = opens.select("symbol", "open", pl.col("ts").cast(pl.Int64), opened=pl.col("ts").cast(pl.Int64)).sort("ts")
    steps = bars.sort("symbol", "ts").select(pl.col("ts").diff().over("symbol")).to_series().drop_nulls()
    length = int(steps.min()) if len(steps) else 0  # type: ignore[arg-type]
    found = told.sort("ts").join_asof(bars, on="ts", by="symbol", strategy="backward", check_sortedness=False)
    found = found.filter(pl.col("open").is_not_null() & (pl.col("ts") - pl.col("opened") < max(length, 1)))
    sign = pl.when(pl.col("side") == "long").then(1.0).otherwise(-1.0)
    return found.select(slippage=_BPS * sign * (pl.col("entry") / pl.col("open") - 1.0)).to_series()


def _of_positions(answered: pl.DataFrame | None, begin: int) -> tuple[float | None, str | None]:
    """What the positions grew by, bar on bar, and from which day on where that is after the span's begin."""
    if answered is None or not answered.height:
        return None, None
    grown = float((1.0 + answered["net"]).clip(lower_bound=0.0).product())
    first = int(answered["ts"].min())  # type: ignore[arg-type]
    later = str(datetime.fromtimestamp(first / 1_000, UTC).date()) if first >= begin + _DAY else None
    return grown - 1.0, later
