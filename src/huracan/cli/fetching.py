"""``huracan fetch``: candles from an exchange into a store, and on from where it stopped."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from huracan.cli.options import STOPPED_BY_HAND
from huracan.cli.progress import progress_on_terminal

if TYPE_CHECKING:
    from huracan.market.fetching import FetchReport

__all__ = ["fetch"]


def fetch(
    symbols: Annotated[list[str], typer.Argument(help="Such as BTC/USDT ETH/USDT, or BTC/USDT:USDT for the perpetual.")],
    store: Annotated[Path, typer.Option(help="Folder of the candle store; made if missing.")],
    exchange: Annotated[str, typer.Option(help="ccxt's name of the exchange.")] = "binance",
    bar: Annotated[str, typer.Option(help="Bar length the exchange has.")] = "1m",
    since: Annotated[
        str | None, typer.Option(help="First open, UTC: 2025-01-01, 2025-01-01T12:00 or 90d; what is stored without it.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Last open, exclusive; the last closed bar without it.")] = None,
    funding: Annotated[bool, typer.Option("--funding", help="Funding rates as well; perpetuals only.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Ask for stored bars too, to see what was revised.")] = False,
    workers: Annotated[int, typer.Option(help="Requests under way at a time.", min=1)] = 4,
    exchange_options: Annotated[
        Path | None, typer.Option(help="JSON file for ccxt's exchange class: timeout, httpsProxy, options, urls.")
    ] = None,
) -> None:
    """Download candles into a store; the same command goes on where it stopped."""
    from huracan.market.fetching import fetch_candles, read_exchange_options

    options = read_exchange_options(exchange_options)

    signal.signal(signal.SIGINT, signal.default_int_handler)  # from here on there is work to put in order
    try:
        with progress_on_terminal(f"asking {exchange} for its markets") as progress:
            report = fetch_candles(
                store,
                exchange,
                [name for word in symbols for name in word.split(",") if name],
                bar,
                since=since,
                until=until,
                funding=funding,
                again=again,
                workers=workers,
                progress=_Telling(progress),
                exchange_options=options,
            )
    except KeyboardInterrupt:
        raise SystemExit(STOPPED_BY_HAND) from None
    _print_report(report)


class _Telling:
    """Shows progress, and writes waits down where there is no terminal to show them on."""

    def __init__(self, progress: Any) -> None:
        self.progress = progress
        self.terminal = sys.stderr.isatty()

    def __call__(self, description: str, share: float) -> None:
        self.progress(description, share)
        if share == 0 and not self.terminal:
            typer.echo(f"huracan: {description}", err=True)


def _print_report(report: FetchReport) -> None:
    if len(report.symbols) > 1:
        for entry in report.symbols:
            typer.echo(entry.sentence)
        typer.echo(report.sentence)
    else:
        typer.echo(f"{report.exchange}, {report.bar}: {report.symbols[0].sentence}")
