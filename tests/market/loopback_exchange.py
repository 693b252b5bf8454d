"""An exchange on 127.0.0.1 that speaks Binance's and Coinbase Exchange's public dialect, with every fault of a bad day.

Its bars are a function of symbol and time, so the truth is known without asking it. It answers a real HTTP server's way,
and misbehaves by a seeded plan: a plan of faults by share of requests, or a list of faults for the next requests.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import json
import random
import socket
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlparse

import polars as pl

from huracan.market import CANDLE_SCHEMA

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
EIGHT_HOURS = 8 * HOUR
LENGTHS = {"1m": MINUTE, "5m": 5 * MINUTE, "1h": HOUR, "1d": DAY}

FAULTS = ("429", "418", "500", "502", "503", "drop", "cut", "cut_quietly", "html", "slow", "short", "early")
"""What may happen to a request. ``cut`` ends in the middle of a body of known length, ``cut_quietly`` in one of unknown
length; ``short`` gives a third of a page, ``early`` begins before what was asked."""

BAD_DAY = dict.fromkeys(FAULTS, 0.025)
"""Three requests in ten go wrong."""


def ms(text: str) -> int:
    """Milliseconds since 1970 of an ISO time, UTC."""
    return int(dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC).timestamp() * 1000)


@dataclass
class Market:
    """One market: when it was listed, when it halted, and what was revised since."""

    symbol: str
    id: str
    listed: int
    kind: str = "spot"
    halts: list[tuple[int, int]] = field(default_factory=list)
    revised: dict[int, float] = field(default_factory=dict)
    broken: dict[int, list[Any]] = field(default_factory=dict)
    thin: bool = False

    def trades(self, minute: int) -> bool:
        """Whether there is a bar for a minute."""
        if minute < self.listed or any(start <= minute < end for start, end in self.halts):
            return False
        return not (self.thin and _chance(self.id, minute, "quiet") < 0.3)

    def bar(self, ts: int, length: int, now: int) -> list[float] | None:
        """``[ts, open, high, low, close, volume]``; a bar that is still open at ``now`` says something else each time."""
        if length == MINUTE:
            if not self.trades(ts):
                return None
            close = 100 + 20 * _chance(self.id, ts, "close") + self.revised.get(ts, 0.0)
            start = 100 + 20 * _chance(self.id, ts, "open")
            volume = round(1000 * _chance(self.id, ts, "volume"), 3)
            if ts + length > now:
                close, volume = close + random.random(), round(volume * random.random(), 3)
            prices = [round(start, 2), round(max(start, close) + 1, 2), round(min(start, close) - 1, 2), round(close, 2)]
            return [ts, *prices, volume]
        if not any(self.trades(minute) for minute in range(max(ts, self.listed), min(ts + length, now), MINUTE)):
            return None
        price = round(100 + 20 * _chance(self.id, ts, "long"), 2)
        return [ts, price, price + 1, price - 1, price, 5000.0]


def _chance(*key: object) -> float:
    return int.from_bytes(hashlib.blake2b(repr(key).encode(), digest_size=6).digest(), "big") / 2**48


class LoopbackExchange:
    """The server. Use as a context manager; ``url`` is where it listens.

    Parameters
    ----------
    markets : what it lists. now : its clock, milliseconds since 1970; it stands still until it is set anew.
    faults : fault -> share of requests. seed : of the plan of faults.
    page : most bars a page holds. dialect : ``"binance"`` or ``"coinbaseexchange"``.
    script : faults of the next requests, before the plan; ``""`` is none.
    delisted : markets that are still listed, and no longer served.
    manner : a page is ``"from"`` a time on wherever bars are, as Binance does it, the ``"newest"`` of a window of as
        many as were asked for, or only the ``"latest"`` whatever was asked.
    """

    def __init__(
        self,
        markets: list[Market],
        *,
        now: int,
        faults: dict[str, float] | None = None,
        seed: int = 0,
        page: int = 1000,
        dialect: str = "binance",
        manner: str = "from",
    ) -> None:
        self.markets = {market.id: market for market in markets}
        self.now = now
        self.faults = faults or {}
        self.script: list[str] = []
        self.delisted: list[Market] = []
        self.page = page
        self.dialect = dialect
        self.manner = manner
        self.random = random.Random(seed)
        self.lock = threading.Lock()
        self.log: list[tuple[float, str, dict[str, str], str]] = []
        exchange = self

        class Handler(_Handler):
            loopback = exchange

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self) -> LoopbackExchange:
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    @property
    def options(self) -> dict[str, Any]:
        """Exchange options that lead ccxt here and nowhere else."""
        if self.dialect == "coinbaseexchange":
            return {"urls": {"api": {"public": self.url}}, "rateLimit": 1, "timeout": 2000}
        paths = {"public": "/api/v3", "fapiPublic": "/fapi/v1", "dapiPublic": "/dapi/v1", "sapi": "/sapi/v1"}
        return {
            "urls": {"api": {name: self.url + path for name, path in paths.items()}},
            "rateLimit": 1,
            "timeout": 2000,
            "options": {"fetchMarkets": {"types": ["spot", "linear"]}},
        }

    def truth(self, symbols: list[str], start: int, *, closed_by: int | None = None, end: int = 2**62) -> pl.DataFrame:
        """The minute bars that open in ``[start, end)`` and have closed, as the store should hold them."""
        now = self.now if closed_by is None else closed_by
        rows = []
        for market in sorted(self.markets.values(), key=lambda market: market.symbol):
            if market.symbol not in symbols:
                continue
            for ts in range(start + -start % MINUTE, min(end, now - MINUTE + 1), MINUTE):
                bar = market.bar(ts, MINUTE, now)
                if bar is not None and ts not in market.broken:
                    rows.append([market.symbol, *bar])
        frame = pl.DataFrame(rows, schema={**CANDLE_SCHEMA, "ts": pl.Int64}, orient="row")
        return frame.with_columns(pl.col("ts").cast(pl.Datetime("ms", "UTC")))

    def rates(self, market: Market) -> list[tuple[int, float]]:
        """Funding rates settled so far."""
        first = market.listed + -market.listed % EIGHT_HOURS
        return [(ts, round(_chance(market.id, ts, "funding") / 1000, 8)) for ts in range(first, self.now + 1, EIGHT_HOURS)]

    def asked(self, path: str) -> list[tuple[float, str, dict[str, str], str]]:
        """Requests whose path ends so: time, path, query, fault."""
        return [entry for entry in self.log if entry[1].endswith(path)]

    def fault_for(self, path: str) -> str:
        """The fault of the next request, or nothing."""
        with self.lock:
            if self.script:
                return self.script.pop(0)
            draw = self.random.random()
            for name, share in self.faults.items():
                draw -= share
                if draw < 0:
                    return name
        return ""


class _Handler(BaseHTTPRequestHandler):
    loopback: LoopbackExchange
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def log_message(self, *_: object) -> None:
        """Keep quiet."""

    def do_GET(self) -> None:
        exchange = self.loopback
        url = urlparse(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        fault = exchange.fault_for(url.path)
        with exchange.lock:
            exchange.log.append((time.monotonic(), url.path, query, fault))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._answer(url.path, query, fault)

    def _answer(self, path: str, query: dict[str, str], fault: str) -> None:
        if fault in ("429", "418"):
            wait = "0" if fault == "429" else "0.05"
            return self._send(int(fault), {"code": -1003, "msg": "Too many requests."}, {"Retry-After": wait})
        if fault.startswith("ban"):
            return self._send(418, {"code": -1003, "msg": "Way too many requests."}, {"Retry-After": fault[3:]})
        if fault.startswith("wait"):
            return self._send(429, {"code": -1003, "msg": "Too many requests."}, {"Retry-After": fault[4:]})
        if fault in ("500", "502", "503"):
            return self._send(int(fault), "<html><body><h1>Bad day</h1></body></html>", {})
        if fault == "451":
            return self._send(451, {"code": 0, "msg": "Service unavailable from a restricted location."}, {})
        if fault == "html":
            return self._send(200, "<html><body>Please enable JavaScript</body></html>", {})
        if fault == "drop":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            return self.connection.close()
        if fault == "slow":
            time.sleep(0.3)
        if fault == "hang":
            time.sleep(2.5)
        status, body = self._content(path, query, fault)
        return self._send(status, body, {}, cut=fault if fault.startswith("cut") else "")

    def _send(self, status: int, body: Any, headers: dict[str, str], cut: str = "") -> None:
        content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html" if isinstance(body, str) else "application/json")
        for name, value in headers.items():
            self.send_header(name, value)
        if cut:
            self.close_connection = True
            self.send_header("Connection", "close")
        if cut != "cut_quietly":
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if cut else content)
        self.wfile.flush()

    def _content(self, path: str, query: dict[str, str], fault: str) -> tuple[int, Any]:
        exchange = self.loopback
        if exchange.dialect == "coinbaseexchange":
            return self._coinbase(path, query)
        if path.endswith("/time"):
            return 200, {"serverTime": exchange.now}
        if path.endswith("/exchangeInfo"):
            listed = [*exchange.markets.values(), *exchange.delisted]
            return 200, {"symbols": [_listing(market) for market in listed if _lives_at(market, path)]}
        market = exchange.markets.get(("PERP:" if path.startswith("/fapi") else "") + query.get("symbol", ""))
        if market is None:
            return 400, {"code": -1121, "msg": "Invalid symbol."}
        start, limit = int(query.get("startTime", exchange.now)), min(int(query.get("limit", 500)), exchange.page)
        if path.endswith("/fundingRate"):
            rates = [row for row in exchange.rates(market) if row[0] >= start][:limit]
            return 200, [{"symbol": query["symbol"], "fundingTime": ts, "fundingRate": str(rate)} for ts, rate in rates]
        length = LENGTHS[query["interval"]]
        if fault == "early":
            start -= 3 * length
        if fault == "short":
            limit = max(1, limit // 3)
        if exchange.manner == "newest":
            last = start + (int(query.get("limit", 500)) - 1) * length
            bars = list(_between(market, start, last, length, exchange.now))[-limit:]
        elif exchange.manner == "latest":
            bars = list(_between(market, exchange.now - 2 * limit * length, exchange.now, length, exchange.now))[-limit:]
        else:
            bars = list(_from(market, start, length, exchange.now, limit))
        return 200, [_kline(market.broken.get(bar[0], bar) if length == MINUTE else bar, length) for bar in bars]

    def _coinbase(self, path: str, query: dict[str, str]) -> tuple[int, Any]:
        exchange = self.loopback
        if path == "/time":
            return 200, {"iso": "", "epoch": exchange.now / 1000}
        if path == "/currencies":
            return 200, [{"id": "BTC", "name": "Bitcoin", "details": {}}, {"id": "USD", "name": "Dollar", "details": {}}]
        if path == "/products":
            return 200, [
                {"id": id, "status": "online", "base_increment": "0.001", "quote_increment": "0.01", "min_market_funds": "1"}
                for id in exchange.markets
            ]
        market = exchange.markets.get(path.split("/")[2])
        if market is None:
            return 404, {"message": "NotFound"}
        length = int(query["granularity"]) * 1000
        start, end = (ms(query[name].rstrip("Z")) for name in ("start", "end"))
        if (end - start) // length >= 300:
            return 400, {"message": "granularity too small for the requested time range."}
        bars = list(_between(market, start, end, length, exchange.now))
        return 200, [[ts // 1000, low, high, first, close, volume] for ts, first, high, low, close, volume in reversed(bars)]


def _between(market: Market, start: int, end: int, length: int, now: int) -> Iterator[list[float]]:
    for ts in range(start + -start % length, min(end, now) + 1, length):
        bar = market.bar(ts, length, now)
        if bar is not None:
            yield bar


def _from(market: Market, start: int, length: int, now: int, limit: int) -> Iterator[list[float]]:
    start = max(start, market.listed - length)
    for count, bar in enumerate(_between(market, start, now, length, now)):
        if count >= limit:
            return
        yield bar


def _kline(bar: list[Any], length: int) -> list[Any]:
    ts, *numbers = bar
    return [ts, *(None if number is None else str(number) for number in numbers), ts + length - 1, "0", 1, "0", "0", "0"]


def _lives_at(market: Market, path: str) -> bool:
    return (market.kind == "swap") == path.startswith("/fapi") and not path.startswith("/dapi")


def _listing(market: Market) -> dict[str, Any]:
    base, quote = market.symbol.split(":")[0].split("/")
    said = {
        "symbol": market.id.removeprefix("PERP:"),
        "status": "TRADING",
        "baseAsset": base,
        "quoteAsset": quote,
        "filters": [],
    }
    if market.kind == "swap":
        return said | {"contractType": "PERPETUAL", "deliveryDate": 4133404800000, "marginAsset": quote}
    return said | {"permissions": ["SPOT"], "isSpotTradingAllowed": True}
