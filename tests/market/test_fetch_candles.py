"""``fetch_candles`` over real HTTP: the store is the truth, whatever the day is like, and no request is wasted."""

from __future__ import annotations

import datetime as dt
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from huracan.errors import CandleError, DataError, DependencyMissing, ExchangeError, HuracanError, StorageError, UnknownName
from huracan.market.fetching import FetchReport, fetch_candles
from huracan.market.fetching.exchange import Exchange
from huracan.market.store import CandleStore

sys.path.insert(0, str(Path(__file__).parent))
from loopback_exchange import BAD_DAY, DAY, HOUR, MINUTE, LoopbackExchange, Market, ms

NOW = ms("2025-03-02T10:00:30")
SINCE = "2025-02-27"


def _markets() -> list[Market]:
    halts = [(ms("2025-02-28T01:00"), ms("2025-02-28T03:30")), (ms("2025-02-28T12:00"), ms("2025-03-01T20:00"))]
    return [
        Market("BTC/USDT", "BTCUSDT", ms("2024-12-01"), halts=halts),
        Market("ETH/USDT", "ETHUSDT", ms("2025-02-28T05:07")),
        Market("LTC/USDT", "LTCUSDT", ms("2024-12-01"), thin=True),
        Market("BTC/USDT:USDT", "PERP:BTCUSDT", ms("2025-02-20"), kind="swap"),
    ]


ALL = ["BTC/USDT", "BTC/USDT:USDT", "ETH/USDT", "LTC/USDT"]


def _fetch(store: Path, exchange: LoopbackExchange, symbols: Any = "BTC/USDT", **wanted: Any) -> FetchReport:
    wanted = {"since": SINCE, "bar": "1m", "exchange_options": exchange.options} | wanted
    return fetch_candles(store, exchange.dialect, symbols, **wanted)


def _utc(milliseconds: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(milliseconds / 1000, dt.UTC)


def _assert_true(store: Path, exchange: LoopbackExchange, symbols: list[str], since: str = SINCE) -> None:
    assert CandleStore(store).read(symbols).equals(exchange.truth(symbols, ms(since)))


@pytest.mark.parametrize(("seed", "page"), [(0, 1000), (1, 300)])
def test_the_store_is_the_truth_on_a_bad_day(tmp_path: Path, seed: int, page: int) -> None:
    with LoopbackExchange(_markets(), now=NOW, faults=BAD_DAY, seed=seed, page=page) as exchange:
        report = _fetch(tmp_path, exchange, ALL)
        _assert_true(tmp_path, exchange, ALL)
        assert report.added == exchange.truth(ALL, ms(SINCE)).height
        failed = [entry for entry in exchange.log if entry[3] not in ("", "slow", "short", "early")]
        assert report.retries == len(failed) > 0
        assert report.requests == len(exchange.log)


@pytest.mark.parametrize("manner", ["newest", "from"])
def test_pages_of_the_newest_bars_are_as_good(tmp_path: Path, manner: str) -> None:
    with LoopbackExchange(_markets(), now=NOW, page=400, manner=manner) as exchange:
        _fetch(tmp_path, exchange, ALL)
        _assert_true(tmp_path, exchange, ALL)


def test_a_long_span_is_shared_among_threads_only_once_its_start_is_settled(tmp_path: Path) -> None:
    with LoopbackExchange(_markets(), now=NOW, page=150, manner="newest") as exchange:
        _fetch(tmp_path, exchange, "BTC/USDT:USDT", since="2025-02-24", workers=3)
        _assert_true(tmp_path, exchange, ["BTC/USDT:USDT"], "2025-02-24")


def test_an_exchange_that_keeps_only_the_latest_bars_says_so_in_the_report(tmp_path: Path) -> None:
    with LoopbackExchange(_markets(), now=NOW, page=720, manner="latest") as exchange:
        report = _fetch(tmp_path, exchange, "BTC-USDT")
        (entry,) = report.symbols
        assert report.stored_as == {"BTC-USDT": "BTC/USDT"}
        start = dt.datetime(2025, 3, 1, 22, 1, tzinfo=dt.UTC)
        assert entry.missing == ((dt.datetime(2025, 2, 27, tzinfo=dt.UTC), start),)
        assert (entry.added, entry.first) == (719, start)  # the 720th is still open


def test_another_dialect_windows_newest_first_and_bars_only_where_somebody_traded(tmp_path: Path) -> None:
    market = Market("BTC/USD", "BTC-USD", ms("2025-02-27T07:00"), thin=True)
    faults = {"429": 0.05, "502": 0.05, "cut": 0.05, "drop": 0.05}
    with LoopbackExchange([market], now=NOW, dialect="coinbaseexchange", faults=faults) as exchange:
        first = _fetch(tmp_path, exchange, "btc-usd", since="2023-01-01")
        _assert_true(tmp_path, exchange, ["BTC/USD"], "2023-01-01")
        assert first.requests - first.retries < 60  # paging alone would take 3,800 empty pages
        assert first["BTC/USD"].first == exchange.truth(["BTC/USD"], market.listed)["ts"][0]


def test_a_second_run_adds_nothing_and_hardly_asks(tmp_path: Path) -> None:
    with LoopbackExchange(_markets(), now=NOW) as exchange:
        asked = []
        for _ in range(3):
            before = len(exchange.asked("/klines"))
            report = _fetch(tmp_path, exchange, ["BTC/USDT", "ETH/USDT"])
            asked.append(len(exchange.asked("/klines")) - before)
        assert (report.added, report.revised) == (0, 0)
        assert asked[1] <= 7  # the overlap of each, and two halts that one answer each spoke of
        assert asked[2] <= 4  # the overlap of each, and the halt that ended today


def test_holes_that_an_earlier_run_left_are_filled(tmp_path: Path) -> None:
    with LoopbackExchange(_markets(), now=NOW) as exchange:
        _fetch(tmp_path, exchange, until="2025-02-27T09:00")
        _fetch(tmp_path, exchange, since="2025-02-27T15:00", until="2025-02-27T16:00")
        assert CandleStore(tmp_path).coverage()["missing"].item() == 360
        report = _fetch(tmp_path, exchange, "BTC/USDT")
        _assert_true(tmp_path, exchange, ["BTC/USDT"])
        assert report["BTC/USDT"].missing_bars == 150 + 32 * 60


def test_without_since_a_symbol_goes_on_from_what_is_stored(tmp_path: Path) -> None:
    with LoopbackExchange(_markets(), now=NOW) as exchange:
        _fetch(tmp_path, exchange, since="2025-03-02", until="2025-03-02T02:00")
        _fetch(tmp_path, exchange, since=None)
        _assert_true(tmp_path, exchange, ["BTC/USDT"], "2025-03-02")
        with pytest.raises(DataError, match=r"holds no 1m bars of ETH/USDT to go on from; since must say from when"):
            _fetch(tmp_path, exchange, "ETH/USDT", since=None)


def test_since_and_until_are_opens_and_until_is_exclusive(tmp_path: Path) -> None:
    with LoopbackExchange(_markets(), now=NOW) as exchange:
        report = _fetch(tmp_path, exchange, since="2025-03-02T00:00:01", until=dt.datetime(2025, 3, 2, 0, 10))
        times = CandleStore(tmp_path).read()["ts"].dt.minute().to_list()
        assert times == list(range(1, 10))
        assert (report.start.minute, report.end.minute) == (1, 10)
        report = _fetch(tmp_path, exchange, since="2025-03-02T00:00:01", until="2999-01-01")
        assert report.end == dt.datetime(2025, 3, 2, 10, tzinfo=dt.UTC)
        assert report["BTC/USDT"].last == dt.datetime(2025, 3, 2, 9, 59, tzinfo=dt.UTC)


def test_the_open_bar_is_never_stored_by_the_clock_of_the_exchange(tmp_path: Path) -> None:
    with LoopbackExchange(_markets(), now=NOW) as exchange:
        for step in (0, 10, 20, 29, 30, 31, 60):
            exchange.now = NOW + step * 1000
            _fetch(tmp_path, exchange, since="2025-03-02T09:00")
            stored = CandleStore(tmp_path).read()
            closed = exchange.truth(["BTC/USDT"], ms("2025-03-02T09:00"), closed_by=exchange.now - 1000)
            assert stored.equals(closed)


def test_a_revised_bar_is_counted_and_its_old_values_are_kept(tmp_path: Path) -> None:
    with LoopbackExchange(_markets(), now=NOW) as exchange:
        _fetch(tmp_path, exchange)
        old = exchange.truth(["BTC/USDT"], ms(SINCE))
        exchange.markets["BTCUSDT"].revised[ms("2025-03-02T09:57")] = 0.5
        exchange.now += 5000
        report = _fetch(tmp_path, exchange)
        assert (report.added, report.revised) == (0, 1)
        _assert_true(tmp_path, exchange, ["BTC/USDT"])
        revision = CandleStore(tmp_path).revisions("BTC/USDT").row(0, named=True)
        was, now = revision["old_close"], revision["new_close"]
        said = f"0 bars added, 10 unchanged, 1 revised (close {was} became {now} at 2025-03-02 09:57 UTC; old values are kept)"
        assert said in report["BTC/USDT"].sentence
        assert revision["old_close"] == old.filter(pl.col("ts") == revision["ts"])["close"].item()


def test_asked_again_it_shows_what_was_revised_long_ago_and_what_came_back(tmp_path: Path) -> None:
    market = Market("BTC/USDT", "BTCUSDT", ms("2025-01-01"), halts=[(ms("2025-02-28T01:00"), ms("2025-02-28T03:00"))])
    with LoopbackExchange([market], now=NOW) as exchange:
        for _ in range(2):
            _fetch(tmp_path, exchange)
        market.revised[ms("2025-02-27T00:30")] = 0.5
        market.halts.clear()
        exchange.now += 5000
        assert (_fetch(tmp_path, exchange).revised, _fetch(tmp_path, exchange).added) == (0, 0)  # out of its sight
        report = _fetch(tmp_path, exchange, again=True)
        assert (report.revised, report.added) == (1, 120)
        assert report["BTC/USDT"].unchanged == exchange.truth(["BTC/USDT"], ms(SINCE)).height - 121
        _assert_true(tmp_path, exchange, ["BTC/USDT"])


def test_bars_that_the_exchange_fills_in_late_are_found_for_a_day(tmp_path: Path) -> None:
    market = Market("BTC/USDT", "BTCUSDT", ms("2025-01-01"), halts=[(ms("2025-03-02T03:00"), ms("2025-03-02T06:00"))])
    with LoopbackExchange([market], now=NOW) as exchange:
        assert _fetch(tmp_path, exchange)["BTC/USDT"].missing_bars == 180
        market.halts.clear()
        assert _fetch(tmp_path, exchange)["BTC/USDT"].missing_bars == 0
        _assert_true(tmp_path, exchange, ["BTC/USDT"])


def test_what_was_absent_twice_is_left_alone_for_a_week_and_found_when_it_comes_back(tmp_path: Path) -> None:
    market = Market("BTC/USDT", "BTCUSDT", ms("2025-01-01"), halts=[(ms("2025-03-01T03:00"), ms("2025-03-02T06:00"))])
    with LoopbackExchange([market], now=NOW) as exchange:
        for _ in range(2):
            assert _fetch(tmp_path, exchange)["BTC/USDT"].missing_bars == 27 * 60
        market.halts.clear()
        for later in (0, 7 * DAY - 1):
            exchange.now = NOW + later
            (entry,) = _fetch(tmp_path, exchange).symbols
            ((start, end),) = entry.missing
            assert (start, end) == (_utc(ms("2025-03-01T03:00")), _utc(ms("2025-03-01T10:01")))  # a day before now
        exchange.now = NOW + 7 * DAY
        assert _fetch(tmp_path, exchange)["BTC/USDT"].missing == ()
        _assert_true(tmp_path, exchange, ["BTC/USDT"])


@pytest.mark.slow
def test_an_absence_that_lasts_is_asked_for_ever_more_rarely(tmp_path: Path) -> None:
    halt = ms("2025-02-27T12:00"), ms("2025-02-27T18:00")
    market = Market("BTC/USDT", "BTCUSDT", ms("2025-01-01"), halts=[halt])
    days = []
    with LoopbackExchange([market], now=NOW) as exchange:
        for day in range(60):
            exchange.now = NOW + day * DAY
            before = len(exchange.log)
            _fetch(tmp_path, exchange, until="2025-02-28")
            if any(
                int(entry[2].get("startTime", 0)) < halt[1] for entry in exchange.log[before:] if entry[1].endswith("/klines")
            ):
                days.append(day)
    assert days == [0, 1, 8, 22, 50]  # believed from the second answer on: for 7 days, then 14, 28


class _Lagging(Market):
    """A market some of whose bars are left out of the first answers that should hold them."""

    lacks: tuple[int, int] = (0, 0)
    answers = 0

    def between(self, start: int, end: int, length: int, now: int) -> Iterator[list[float]]:
        bars = list(super().between(start, end, length, now))
        left = [bar for bar in bars if not self.lacks[0] <= bar[0] < self.lacks[1]]
        if length == MINUTE and len(left) < len(bars) and self.answers > 0:
            self.answers -= 1
            bars = left
        yield from bars


@pytest.mark.parametrize(("answers", "runs"), [(1, 1), (2, 2)])
def test_bars_that_one_answer_left_out_are_no_absence(tmp_path: Path, answers: int, runs: int) -> None:
    """Five bars two days old: another look finds them, and where that does not, the next run."""
    market = _Lagging("BTC/USDT", "BTCUSDT", ms("2024-12-01"))
    market.lacks, market.answers = (ms("2025-02-27T12:00"), ms("2025-02-27T12:05")), answers
    with LoopbackExchange([market], now=NOW) as exchange:
        missing = [_fetch(tmp_path, exchange)["BTC/USDT"].missing_bars for _ in range(runs)]
        assert missing == [5] * (runs - 1) + [0]
        _assert_true(tmp_path, exchange, ["BTC/USDT"])


def test_rows_that_cannot_be_true_are_set_aside_named_and_asked_for_again(tmp_path: Path) -> None:
    market = Market("BTC/USDT", "BTCUSDT", ms("2025-01-01"))
    at = ms("2025-02-28T00:05")
    market.broken = {at: [at, 3.0, 2.0, 4.0, 3.0, 1.0], at + MINUTE: [at + MINUTE, 3.0, 4.0, 2.0, 3.0, None]}
    with LoopbackExchange([market], now=NOW) as exchange:
        (entry,) = _fetch(tmp_path, exchange).symbols
        _assert_true(tmp_path, exchange, ["BTC/USDT"])
        assert entry.set_aside == (
            "BTC/USDT: high 2.0 is below low 4.0 at 2025-02-28 00:05 UTC",
            "BTC/USDT: 'volume' is missing at 2025-02-28 00:06 UTC",
        )
        assert entry.missing_bars == 2
        assert "2 rows set aside (BTC/USDT: high 2.0 is below low 4.0" in entry.sentence
        market.broken.clear()
        assert _fetch(tmp_path, exchange).added == 2
        _assert_true(tmp_path, exchange, ["BTC/USDT"])


def test_funding_rates_are_paged_and_kept(tmp_path: Path) -> None:
    perpetual, store = "BTC/USDT:USDT", CandleStore(tmp_path)
    with LoopbackExchange(_markets(), now=NOW, faults=BAD_DAY, page=4) as exchange:
        rates = [(_utc(ts), rate) for ts, rate in exchange.rates(exchange.markets["PERP:BTCUSDT"])]
        _fetch(tmp_path, exchange, perpetual, since="2025-02-24", until="2025-02-24T16:00", bar="1h", funding=True)
        assert store.read_funding().select("ts", "funding_rate").rows() == [row for row in rates if row[0].day == 24][:2]
        report = _fetch(tmp_path, exchange, perpetual, since="2025-02-18", bar="1h", funding=True)
        assert store.read_funding().select("ts", "funding_rate").rows() == rates
        assert (report[perpetual].funding_added, report[perpetual].funding_revised) == (len(rates) - 2, 0)
        exchange.faults = {}
        before = len(exchange.asked("/fundingRate"))
        again = _fetch(tmp_path, exchange, perpetual, since="2025-02-18", bar="1h", funding=True)
        assert again[perpetual].funding_added == 0
        assert len(exchange.asked("/fundingRate")) - before <= 6
        with_rates = store.read(funding=True, bar="1h").filter(pl.col("funding_rate").is_not_null())
        assert with_rates["ts"].dt.hour().unique().sort().to_list() == [0, 8, 16]


def test_symbols_are_resolved_as_users_write_them(tmp_path: Path) -> None:
    with LoopbackExchange(_markets(), now=NOW) as exchange:
        for written in ("BTC/USDT", "btc-usdt", "BTCUSDT", "btc_usdt"):
            report = _fetch(tmp_path, exchange, [written, "BTC/USDT"], since="2025-03-02")
            assert [entry.symbol for entry in report.symbols] == ["BTC/USDT"]
        for written in ("BTC/USDT:USDT", "BTC-USDT:USDT", "btcusdt:usdt"):
            assert _fetch(tmp_path, exchange, written, since="2025-03-02").symbols[0].symbol == "BTC/USDT:USDT"
        exchange.markets = {"PERP:BTCUSDT": exchange.markets["PERP:BTCUSDT"]}
        assert _fetch(tmp_path, exchange, "BTC/USDT", since="2025-03-02").symbols[0].symbol == "BTC/USDT:USDT"


def test_an_exchange_that_says_how_long_to_wait_is_not_asked_by_anybody_meanwhile(tmp_path: Path) -> None:
    with LoopbackExchange(_markets(), now=NOW) as exchange:
        exchange.script = [""] * 4 + ["wait1"]  # two lists of markets, the clock, a page; then the ban
        report = _fetch(tmp_path, exchange, ALL, workers=4)
        times = [(at, fault) for at, _, _, fault in exchange.log]
        banned = next(at for at, fault in times if fault == "wait1")
        after = [at - banned for at, _ in times if at > banned]
        assert report.retries == 1
        assert sum(wait < 0.95 for wait in after) <= 3  # one of each other worker that was under way, however late it came
        _assert_true(tmp_path, exchange, ALL)


def test_all_workers_share_one_rate_limit(tmp_path: Path) -> None:
    with LoopbackExchange(_markets(), now=NOW, page=100) as exchange:
        options = exchange.options | {"rateLimit": 50}  # a page of spot candles costs 0.4 of it
        _fetch(tmp_path, exchange, ["BTC/USDT", "LTC/USDT"], since="2025-03-01T20:00", workers=4, exchange_options=options)
        times = [entry[0] for entry in exchange.asked("/klines")]
        assert len(times) > 15
        assert times[-1] - times[0] >= 0.9 * 0.020 * (len(times) - 1)


def test_what_an_exchange_refuses_is_not_asked_twice(tmp_path: Path) -> None:
    with LoopbackExchange(_markets(), now=NOW) as exchange:
        exchange.script = ["451"]
        with pytest.raises(ExchangeError, match=r"^binance refused its list of markets: .*restricted location"):
            _fetch(tmp_path, exchange)
        assert len(exchange.log) == 1


def test_a_long_ban_is_said_instead_of_waited_for(tmp_path: Path) -> None:
    with LoopbackExchange(_markets(), now=NOW) as exchange:
        exchange.script = ["", "", "", "", "ban7200"]
        with pytest.raises(ExchangeError, match=r"^binance answered HTTP 418 and asks to wait 7200 s; what arrived before"):
            _fetch(tmp_path, exchange, "BTC/USDT:USDT", since="2025-02-21", workers=1)
        assert CandleStore(tmp_path).read().height > 0
        _fetch(tmp_path, exchange, "BTC/USDT:USDT", since="2025-02-21")
        _assert_true(tmp_path, exchange, ["BTC/USDT:USDT"], "2025-02-21")


def test_one_refused_symbol_does_not_keep_the_others(tmp_path: Path) -> None:
    with LoopbackExchange(_markets(), now=NOW) as exchange:
        exchange.delisted = [exchange.markets.pop("ETHUSDT")]
        with pytest.raises(
            ExchangeError, match=r"^binance refused 1m candles of ETH/USDT: .*Invalid symbol.*\(1 of 2 symbols failed"
        ):
            _fetch(tmp_path, exchange, ["ETH/USDT", "BTC/USDT"])
        _assert_true(tmp_path, exchange, ["BTC/USDT"])


def test_progress_adds_up_to_the_whole(tmp_path: Path) -> None:
    told: list[tuple[str, float]] = []
    with LoopbackExchange(_markets(), now=NOW) as exchange:
        _fetch(tmp_path, exchange, ["BTC/USDT:USDT"], funding=True, progress=lambda *said: told.append(said))
    assert sum(share for _, share in told) == pytest.approx(1.0)
    assert any("BTC/USDT:USDT, 2025-02-27" in description for description, _ in told)


def test_the_report_is_a_frame_too(tmp_path: Path) -> None:
    with LoopbackExchange(_markets(), now=NOW) as exchange:
        report = _fetch(tmp_path, exchange, ["ETH/USDT", "BTC/USDT"])
    row = report.to_frame().row(0, named=True)
    truth = exchange.truth(["ETH/USDT"], ms(SINCE))
    assert (row["symbol"], row["added"], row["first"], row["last"]) == (
        "ETH/USDT",
        truth.height,
        truth["ts"][0],
        truth["ts"][-1],
    )
    assert (row["missing"], row["missing_spans"], row["set_aside"]) == ((24 + 5) * 60 + 7, 1, 0)


@pytest.mark.parametrize(
    ("wanted", "kind", "said"),
    [
        ({"exchange": "binanse"}, UnknownName, r"^unknown exchange 'binanse'; did you mean 'binance'"),
        ({"symbols": ["BTC/USDR"]}, UnknownName, r"^binance has no market 'BTC/USDR' among its 4; did you mean 'BTC/USDT'"),
        ({"symbols": [""]}, UnknownName, r"^binance has no market ''"),
        ({"symbols": ["DOGE/USDT"]}, UnknownName, r"^binance has no market 'DOGE/USDT' among its 4\.$"),  # nothing is near
        ({"symbols": []}, DataError, r"^no symbols were given"),
        ({"bar": "7m"}, UnknownName, r"^binance has no bars of 7m; did you mean '5m'\? Known: 1s, 1m, 3m, 5m"),
        ({"bar": "1M"}, CandleError, r"months have no fixed length"),
        ({"bar": "soon"}, CandleError, r"^bar is 'soon'; a length such as"),
        (
            {"since": "last year"},
            DataError,
            r"^since is 'last year'; a time such as '2025-06-01', '2025-06-01T12:00Z' or '90d'",
        ),
        ({"since": "2025-03-03"}, DataError, r"^since is 2025-03-03 00:00 UTC, and it is 2025-03-02 10:00.* now; a time past"),
        ({"since": "2999-01-01"}, DataError, r"^since is 2999-01-01 00:00 UTC, and it is "),
        ({"since": "1969-07-20"}, DataError, r"^since is 1969-07-20, before 1970"),
        ({"until": "2025-02-26"}, DataError, r"^since is 2025-02-27 00:00 UTC and until is 2025-02-26 00:00 UTC"),
        ({"workers": 0}, DataError, r"^workers is 0; 1 or more was expected"),
        ({"funding": True}, DataError, r"^BTC/USDT is no perpetual .* a perpetual such as BTC/USDT:USDT was expected"),
        ({"exchange_options": {"urls": 3}}, ExchangeError, r"^binance|^ccxt refuses the exchange options"),
    ],
)
def test_bad_input_is_one_sentence(tmp_path: Path, wanted: dict[str, Any], kind: type[HuracanError], said: str) -> None:
    with LoopbackExchange(_markets(), now=NOW) as exchange:
        arguments = {
            "exchange": "binance",
            "symbols": ["BTC/USDT"],
            "since": SINCE,
            "exchange_options": exchange.options,
        } | wanted
        with pytest.raises(kind, match=said) as caught:
            fetch_candles(tmp_path / "store", **arguments)
    assert str(caught.value).endswith((".", "?")) and "\n" not in str(caught.value)


def test_no_network_is_said_within_seconds(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        urls = {"api": {"public": f"http://127.0.0.1:{unused.getsockname()[1]}/api/v3"}}
    with pytest.raises(
        ExchangeError, match=r"^no connection to binance in 4 attempts \(connection refused\); a network was expected"
    ):
        fetch_candles(tmp_path, "binance", ["BTC/USDT"], since="1d", exchange_options={"urls": urls})


def test_a_store_that_cannot_be_written_is_said_before_anything_is_asked(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with LoopbackExchange(_markets(), now=NOW) as exchange:
        with pytest.raises(StorageError, match="file"):
            _fetch(tmp_path / "file", exchange)
        assert exchange.log == []


def test_bars_of_two_exchanges_are_not_mixed(tmp_path: Path) -> None:
    with LoopbackExchange(_markets(), now=NOW) as exchange:
        truth = exchange.truth(["BTC/USDT"], ms("2025-03-02"))
        CandleStore(tmp_path).append(truth, bar="1m", source="kraken")
        with pytest.raises(
            CandleError, match=r"holds 1m bars of BTC/USDT from kraken; .* another folder was expected for binance"
        ):
            _fetch(tmp_path, exchange)


def test_without_ccxt_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ccxt", None)
    with pytest.raises(DependencyMissing, match=r"huracan\[exchange\]"):
        fetch_candles(tmp_path, "binance", ["BTC/USDT"], since="1d")


def test_longer_bars_start_where_the_exchange_starts_them(tmp_path: Path) -> None:
    with LoopbackExchange(_markets(), now=NOW) as exchange:
        report = _fetch(tmp_path, exchange, "BTC/USDT", bar="60m", since="2025-02-27T00:30")
        times = CandleStore(tmp_path).read(bar="1h")["ts"]
        assert report.bar == "1h"
        assert times[0] == dt.datetime(2025, 2, 27, 1, tzinfo=dt.UTC)
        assert times[-1] == dt.datetime(2025, 3, 2, 9, tzinfo=dt.UTC)
        assert (times.diff().drop_nulls().dt.total_milliseconds() % HOUR == 0).all()
        assert (
            _fetch(tmp_path, exchange, "BTC/USDT", bar="1d", since="2025-01-01").added
            == (ms("2025-03-02") - ms("2025-01-01")) // DAY
        )


def test_errors_in_good_answers_are_tried_again_and_the_latest_720_are_all_there_is(tmp_path: Path) -> None:
    market = Market("BTC/USD", "XXBTZUSD", ms("2025-01-01"))
    with LoopbackExchange([market], now=NOW, dialect="kraken", faults={"refused softly": 0.2}, seed=3) as exchange:
        for written in ("BTC/USD", "XBT-USD", "btcusd"):
            report = _fetch(tmp_path, exchange, written)
        latest = exchange.truth(["BTC/USD"], NOW - 720 * MINUTE)
        assert CandleStore(tmp_path).read().equals(latest)
        assert report["BTC/USD"].missing_bars == (ms("2025-03-02T10:00") - ms(SINCE)) // MINUTE - 719
        assert any(entry[3] for entry in exchange.log)


def test_an_answer_that_is_no_list_is_not_taken_for_a_market_without_bars(tmp_path: Path) -> None:
    with LoopbackExchange(_markets(), now=NOW) as exchange:
        exchange.script = ["", "", "", "maintenance"]
        with pytest.raises(
            ExchangeError, match=r"answered \{'status': 'maintenance'\} where 1m candles of BTC/USDT were expected"
        ):
            _fetch(tmp_path, exchange)
        _fetch(tmp_path, exchange)
        _assert_true(tmp_path, exchange, ["BTC/USDT"])


def test_every_exchange_of_ccxt_can_be_opened_or_says_that_it_has_no_candles() -> None:
    import ccxt

    opened = 0
    for name in ccxt.exchanges:
        try:
            exchange = Exchange(name)
        except ExchangeError as error:
            assert "has no candles to download" in str(error)
        else:
            opened += 1
            assert any(exchange.has_bar(bar) for bar in ("1m", "5m", "1h", "1d")), name
    assert opened > 80
