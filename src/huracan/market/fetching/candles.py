"""``fetch_candles``: from an exchange into the store, and on from where it stopped."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from huracan.errors import DataError
from huracan.market.bar_lengths import length_label
from huracan.market.fetching.download import Download, Progress
from huracan.market.fetching.exchange import Exchange
from huracan.market.fetching.patience import Patience
from huracan.market.fetching.plan import Moment, read_moment
from huracan.market.fetching.report import FetchReport
from huracan.market.fetching.workers import Crew, Notice
from huracan.market.store import CandleStore

__all__ = ["fetch_candles"]


def fetch_candles(
    store: CandleStore | str | os.PathLike[str],
    exchange: str = "binance",
    symbols: str | Sequence[str] = (),
    bar: str = "1m",
    *,
    since: Moment | None = None,
    until: Moment | None = None,
    funding: bool = False,
    again: bool = False,
    workers: int = 4,
    progress: Progress | None = None,
    exchange_options: Mapping[str, Any] | None = None,
) -> FetchReport:
    """Bring a store up to date with an exchange: every closed bar of a span, each once.

    What is stored already is not asked for again, but for the last few bars, which shows revisions; holes that an earlier
    run left are filled. Pages are stored as they arrive, so a run that is killed at any moment loses a few pages at most
    and the same call completes it.

    Bars the exchange does not have are reported. A few holes in a page are asked for twice at once; what is absent in two
    runs, or in two pages, and more than a day old is remembered beside the store and left alone for a week, then asked for
    again, then after two weeks, four, and so on: what an exchange restores is found.

    Parameters
    ----------
    store : a candle store or its folder, made if missing.
    exchange : ccxt's id, such as ``"binance"``, ``"kraken"``, ``"okx"``.
    symbols : as users write them: ``BTC/USDT``, ``BTC-USDT`` and ``BTCUSDT`` are the spot market (the perpetual where there
        is no spot market), ``BTC/USDT:USDT`` is the perpetual. They are stored under ccxt's unified symbol.
    bar : bar length, one the exchange has. Volume comes in the unit ccxt gives it: coins on spot markets, contracts on
        some exchanges' perpetuals.
    since : first open, inclusive: datetime, date, ISO text (UTC unless it says otherwise), or ``"90d"`` back from now.
        Without it every symbol goes on from what is stored of it.
    until : last open, exclusive; without it, or where it is to come, up to the present. The bar that is still open by the
        exchange's clock is never stored.
    funding : fetch funding rates as well; for perpetuals only.
    again : ask for the whole span, stored or not: shows what was revised longer ago, and what came back.
    workers : requests under way at a time. They share the exchange's rate limit, which ccxt knows.
    progress : told what is going on.
    exchange_options : handed to ccxt's exchange class, for instance ``{"timeout": 30000, "httpsProxy": "http://..."}``.

    Raises
    ------
    DependencyMissing : ccxt is not installed.
    UnknownName : an exchange, symbol or bar that does not exist; the nearest is offered.
    DataError : ``since`` or ``until`` cannot be read, ``since`` lies in the future, funding is asked of a spot market.
    CandleError : the store holds this symbol from another exchange.
    ExchangeError : the exchange cannot be reached, or refused; what arrived before is stored.
    StorageError : the store cannot be written.

    Examples
    --------
    >>> report = fetch_candles("candles/", "binance", ["BTC/USDT", "ETH/USDT"], "1m", since="90d")  # doctest: +SKIP
    >>> print(report.sentence)  # doctest: +SKIP
    binance, 1m bars of 2 symbols before 2025-11-12 10:41 UTC: 259,200 added, 0 unchanged, 0 revised (264 requests, none
    repeated).
    """
    tell = progress or (lambda _description, _share: None)
    written = [symbols] if isinstance(symbols, str) else list(symbols)
    if not written:
        raise DataError("no symbols were given; at least one such as 'BTC/USDT' was expected.")
    if workers < 1:
        raise DataError(f"workers is {workers}; 1 or more was expected.")
    patience = Patience()
    source = Exchange(exchange, exchange_options, patience=patience)
    timeframe = source.timeframe(bar)
    for what, value in (("since", since), ("until", until)):
        if value is not None:
            read_moment(value, now=source.now(), what=what)  # what cannot be read is said before the network is used
    kept = store if isinstance(store, CandleStore) else CandleStore(store)
    patience.notice = lambda said: tell(f"{exchange}: {said}", 0.0)
    source.connect()
    stored_as = {name: source.symbol(name) for name in written}
    names = list(dict.fromkeys(stored_as.values()))
    for name in names if funding else ():
        source.require_funding(name)
    job = Download(kept, source, length_label(bar), timeframe, tell)
    job.plan(names, since, until, funding=funding, again=again)
    crew = Crew(source, workers)
    patience.notice = lambda said: crew.tell(Notice(f"{exchange}: {said}"))
    with crew.at_work():
        job.run(crew)
    return replace(job.report(patience), stored_as=stored_as)
