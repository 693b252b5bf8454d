"""What the public endpoints that ccxt calls answer, exchange by exchange."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Callable
from typing import Any

__all__ = ["DIALECTS", "addresses"]

_LENGTHS = {"1m": 60_000, "5m": 300_000, "1h": 3_600_000, "1d": 86_400_000}


def addresses(dialect: str, url: str) -> dict[str, Any]:
    """Options that lead ccxt's class to ``url`` and nowhere else."""
    if dialect != "binance":
        return {"urls": {"api": {"public": url, "private": url}}}
    paths = {"public": "/api/v3", "fapiPublic": "/fapi/v1", "dapiPublic": "/dapi/v1", "sapi": "/sapi/v1"}
    return {
        "urls": {"api": {name: url + path for name, path in paths.items()}},
        "options": {"fetchMarkets": {"types": ["spot", "linear"]}},
    }


def _binance(exchange: Any, path: str, query: dict[str, str], fault: str) -> tuple[int, Any]:
    if path.endswith("/time"):
        return 200, {"serverTime": exchange.now}
    if path.endswith("/exchangeInfo"):
        listed = [*exchange.markets.values(), *exchange.delisted]
        return 200, {"symbols": [_listing(market) for market in listed if (market.kind == "swap") == path.startswith("/fapi")]}
    market = exchange.markets.get(("PERP:" if path.startswith("/fapi") else "") + query.get("symbol", ""))
    if market is None:
        return 400, {"code": -1121, "msg": "Invalid symbol."}
    start, asked = int(query.get("startTime", exchange.now)), int(query.get("limit", 500))
    limit = min(asked, exchange.page)
    if path.endswith("/fundingRate"):
        rates = [row for row in exchange.rates(market) if row[0] >= start][:limit]
        return 200, [{"symbol": query["symbol"], "fundingTime": ts, "fundingRate": str(rate)} for ts, rate in rates]
    length = _LENGTHS[query["interval"]]
    start -= 3 * length if fault == "early" else 0
    limit = max(1, limit // 3) if fault == "short" else limit
    if exchange.manner == "newest":
        bars = list(market.between(start, start + (asked - 1) * length, length, exchange.now))[-limit:]
    elif exchange.manner == "latest":
        bars = list(market.between(exchange.now - 2 * limit * length, exchange.now, length, exchange.now))[-limit:]
    else:
        bars = list(itertools.islice(market.between(start, exchange.now, length, exchange.now), limit))
    return 200, [_kline(market.broken.get(bar[0], bar) if length == 60_000 else bar, length) for bar in bars]


def _coinbase(exchange: Any, path: str, query: dict[str, str], fault: str) -> tuple[int, Any]:
    """Newest first, 300 bars a window, nothing where nobody traded, another order of columns."""
    if path == "/time":
        return 200, {"iso": "", "epoch": exchange.now / 1000}
    if path == "/currencies":
        return 200, [{"id": code, "name": code, "details": {}} for code in ("BTC", "USD")]
    if path == "/products":
        return 200, [
            {"id": id, "status": "online", "base_increment": "0.001", "quote_increment": "0.01"} for id in exchange.markets
        ]
    market = exchange.markets.get(path.split("/")[2])
    if market is None:
        return 404, {"message": "NotFound"}
    length = int(query["granularity"]) * 1000
    start, end = (int(dt.datetime.fromisoformat(query[name]).timestamp() * 1000) for name in ("start", "end"))
    if (end - start) // length >= 300:
        return 400, {"message": "granularity too small for the requested time range."}
    bars = list(market.between(start, end, length, exchange.now))
    return 200, [[ts // 1000, low, high, first, close, volume] for ts, first, high, low, close, volume in reversed(bars)]


def _kraken(exchange: Any, path: str, query: dict[str, str], fault: str) -> tuple[int, Any]:
    """Errors with status 200, names of its own, and the latest 720 bars whatever is asked."""
    if fault == "refused softly":
        return 200, {"error": ["EGeneral:Too many requests"]}
    what = path.rsplit("/", 1)[1]
    if what == "Time":
        return 200, {"error": [], "result": {"unixtime": exchange.now // 1000}}
    if what == "Assets":
        coins = {"XXBT": {"altname": "XBT", "decimals": 10}, "ZUSD": {"altname": "USD", "decimals": 4}}
        return 200, {"error": [], "result": coins}
    if what == "AssetPairs":
        pair = {"altname": "XBTUSD", "wsname": "XBT/USD", "base": "XXBT", "quote": "ZUSD", "pair_decimals": 1}
        pair |= {"lot_decimals": 8, "fees": [], "fees_maker": [], "leverage_buy": [], "status": "online"}
        return 200, {"error": [], "result": dict.fromkeys(exchange.markets, pair)}
    market, length = exchange.markets[query["pair"]], int(query["interval"]) * 60_000
    bars = list(market.between(exchange.now - 1500 * length, exchange.now, length, exchange.now))[-720:]
    rows = [
        [ts // 1000, *map(str, (first, high, low, close)), "0", str(volume), 1]
        for ts, first, high, low, close, volume in bars
        if ts // 1000 > int(query.get("since", 0))
    ]
    return 200, {"error": [], "result": {query["pair"]: rows, "last": exchange.now // 1000}}


DIALECTS: dict[str, Callable[..., tuple[int, Any]]] = {"binance": _binance, "coinbaseexchange": _coinbase, "kraken": _kraken}
"""ccxt's name -> ``(exchange, path, query, fault) -> (status, body)``."""


def _kline(bar: list[Any], length: int) -> list[Any]:
    ts, *numbers = bar
    return [ts, *(None if number is None else str(number) for number in numbers), ts + length - 1, "0", 1, "0", "0", "0"]


def _listing(market: Any) -> dict[str, Any]:
    base, quote = market.symbol.split(":")[0].split("/")
    said = {"symbol": market.id.removeprefix("PERP:"), "status": "TRADING", "filters": []}
    said |= {"baseAsset": base, "quoteAsset": quote}
    if market.kind == "swap":
        return said | {"contractType": "PERPETUAL", "deliveryDate": 4133404800000, "marginAsset": quote}
    return said | {"permissions": ["SPOT"], "isSpotTradingAllowed": True}
