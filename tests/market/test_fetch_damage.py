"""A store with a damaged file: the symbol is named, every other one is fetched, and a file moved away is fetched again."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from huracan.errors import ArtifactError
from huracan.market.fetching import fetch_candles
from huracan.market.store import CandleStore
from huracan.preprocessing.quality import quality_report

sys.path.insert(0, str(Path(__file__).parent))
from loopback_exchange import LoopbackExchange, Market, ms

NOW, SINCE = ms("2025-03-02T10:00:30"), "2025-02-27"
BOTH = ["BTC/USDT", "ETH/USDT"]


def _markets() -> list[Market]:
    return [Market("BTC/USDT", "BTCUSDT", ms("2024-12-01")), Market("ETH/USDT", "ETHUSDT", ms("2024-12-01"))]


@pytest.mark.parametrize("since", [SINCE, None])
@pytest.mark.parametrize("damage", ["cut short", "a byte of a column"])
def test_one_damaged_file_keeps_no_other_symbol_from_being_fetched(tmp_path: Path, damage: str, since: str | None) -> None:
    with LoopbackExchange(_markets(), now=NOW) as exchange:
        wanted = {"bar": "1m", "exchange_options": exchange.options}
        fetch_candles(tmp_path, "binance", BOTH, since=SINCE, until="2025-03-02", **wanted)
        file = tmp_path / "symbols" / "BTC%2FUSDT" / "1m" / ("2025-02.parquet" if damage == "cut short" else "2025-03.parquet")
        content = bytearray(file.read_bytes())
        content[200] ^= 0xFF
        file.write_bytes(content[:-50] if damage == "cut short" else content)
        with pytest.raises(
            ArtifactError, match=rf"{file.name} is damaged: .*\(1 of 2 symbols failed; the others are stored\)\.$"
        ):
            fetch_candles(tmp_path, "binance", BOTH, since=since, **wanted)
        store = CandleStore(tmp_path)
        assert store.read("ETH/USDT").equals(exchange.truth(["ETH/USDT"], ms(SINCE)))
        file.unlink()
        fetch_candles(tmp_path, "binance", BOTH, since=SINCE, **wanted)
        assert store.read().equals(exchange.truth(BOTH, ms(SINCE)))


def test_a_damaged_file_of_a_store_is_a_finding_and_the_rest_is_looked_at(tmp_path: Path) -> None:
    with LoopbackExchange(_markets(), now=NOW) as exchange:
        fetch_candles(tmp_path, "binance", BOTH, "1m", since="2025-03-01", exchange_options=exchange.options)
    file = tmp_path / "symbols" / "BTC%2FUSDT" / "1m" / "2025-03.parquet"
    file.write_bytes(b"PAR1")
    report = quality_report(tmp_path)
    (unreadable,) = [check for check in report.of("error") if check.name == "unreadable file"]
    assert unreadable.symbol == "BTC/USDT" and "2025-03.parquet is damaged" in unreadable.sentence
    assert report.sentence.startswith("2,040 bars of 1m, 1 symbol")  # 34 hours of the other one
    (tmp_path / "symbols" / "ETH%2FUSDT" / "1m" / "2025-03.parquet").write_bytes(b"PAR1")
    with pytest.raises(ArtifactError, match="is damaged"):
        quality_report(tmp_path)
