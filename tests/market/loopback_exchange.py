"""An exchange on 127.0.0.1 that speaks the public dialects of Binance, Coinbase and Kraken, with every fault of a bad day.

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
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse

import polars as pl

from huracan.market import CANDLE_SCHEMA

sys.path.insert(0, str(Path(__file__).parent))
from loopback_dialects import DIALECTS, addresses

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
EIGHT_HOURS = 8 * HOUR
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

    def between(self, start: int, end: int, length: int, now: int) -> Iterator[list[float]]:
        """Bars that open in ``[start, end]`` and have begun by ``now``."""
        start = max(start, self.listed - length)
        for ts in range(start + -start % length, min(end, now) + 1, length):
            bar = self.bar(ts, length, now)
            if bar is not None:
                yield bar


def _chance(*key: object) -> float:
    return int.from_bytes(hashlib.blake2b(repr(key).encode(), digest_size=6).digest(), "big") / 2**48


class LoopbackExchange:
    """The server. Use as a context manager; ``url`` is where it listens.

    Parameters
    ----------
    markets : what it lists. now : its clock, milliseconds since 1970; it stands still until it is set anew.
    faults : fault -> share of requests. seed : of the plan of faults.
    page : most bars a page holds. dialect : one of ``DIALECTS``.
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

        self.defects: list[BaseException] = []
        self.server = _Server(("127.0.0.1", 0), Handler)
        self.server.loopback = self
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self) -> LoopbackExchange:
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        if self.defects:
            raise AssertionError("the loopback exchange itself failed") from self.defects[0]

    @property
    def options(self) -> dict[str, Any]:
        """Exchange options that lead ccxt here and nowhere else."""
        return {"rateLimit": 1, "timeout": 2000, **addresses(self.dialect, self.url)}

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


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    loopback: LoopbackExchange

    def handle_error(self, *_: object) -> None:
        """Clients that are killed reset their connections; anything else is a defect here, and fails the test."""
        error = sys.exc_info()[1]
        if error is not None and not isinstance(error, ConnectionError | TimeoutError):
            self.loopback.defects.append(error)


class _Handler(BaseHTTPRequestHandler):
    loopback: LoopbackExchange
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def log_message(self, *_: object) -> None:
        """Keep quiet."""

    def date_time_string(self, timestamp: float | None = None) -> str:
        """The ``Date`` of an answer is by the clock of the exchange."""
        return super().date_time_string(self.loopback.now / 1000)

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
        exchange = self.loopback
        if fault in ("429", "418"):
            wait = "0" if fault == "429" else "0.05"
            return self._send(int(fault), {"code": -1003, "msg": "Too many requests."}, {"Retry-After": wait})
        if fault.startswith("ban"):
            return self._send(418, {"code": -1003, "msg": "Way too many requests."}, {"Retry-After": fault[3:]})
        if fault.startswith("wait"):
            return self._send(429, {"code": -1003, "msg": "Too many requests."}, {"Retry-After": fault[4:]})
        if fault == "maintenance":
            return self._send(200, {"status": "maintenance"}, {})
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
        status, body = DIALECTS[exchange.dialect](exchange, path, query, fault)
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
