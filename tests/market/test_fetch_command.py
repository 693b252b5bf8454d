"""``huracan fetch`` as a process: killed at any moment it loses nothing, and every end is one sentence."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from huracan.market.store import CandleStore

sys.path.insert(0, str(Path(__file__).parent))
from loopback_exchange import BAD_DAY, MINUTE, LoopbackExchange, Market, ms

SINCE = "2025-02-28"
NOW = ms("2025-03-02T10:00:30")
SYMBOLS = ["BTC/USDT", "BTC/USDT:USDT", "ETH/USDT"]
Huracan = Callable[..., subprocess.CompletedProcess[str]]

STOPPED = "huracan: stopped; the same command goes on where it stopped.\n"


def _markets() -> list[Market]:
    halts = [(ms("2025-02-28T01:00"), ms("2025-02-28T03:30")), (ms("2025-02-28T12:00"), ms("2025-03-01T12:00"))]
    return [
        Market("BTC/USDT", "BTCUSDT", ms("2024-12-01"), halts=halts),
        Market("ETH/USDT", "ETHUSDT", ms("2025-02-28T20:07"), thin=True),
        Market("BTC/USDT:USDT", "PERP:BTCUSDT", ms("2025-02-20"), kind="swap"),
    ]


def _words(folder: Path, exchange: LoopbackExchange, *words: str) -> list[str]:
    """What stands behind ``huracan fetch``, in that folder."""
    (folder / "options.json").write_text(json.dumps(exchange.options))
    return [*(words or (*SYMBOLS, "--since", SINCE)), "--store", "candles", "--exchange-options", "options.json"]


def _start(folder: Path, exchange: LoopbackExchange, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "huracan", "fetch", *_words(folder, exchange, *words)],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={name: value for name, value in os.environ.items() if not name.startswith("HURACAN")},
    )


def _killed(process: subprocess.Popen[str], exchange: LoopbackExchange, after: int, delay: float) -> bool:
    """Kill the process once it has made so many requests more; False where it ended before."""
    target = len(exchange.log) + after
    while len(exchange.log) < target and process.poll() is None:
        time.sleep(0.002)
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return process.returncode == -signal.SIGKILL


def _stored(folder: Path) -> int:
    """Bars in the store; 0 where there is none yet."""
    return int(CandleStore(folder / "candles").coverage()["bars"].sum()) if (folder / "candles").exists() else 0


@pytest.mark.parametrize(
    ("kills", "page"), [(3, 250), pytest.param(20, 40, marks=pytest.mark.slow)], ids=["3 kills", "20 kills"]
)
def test_killed_at_any_moment_it_loses_nothing(tmp_path: Path, kills: int, page: int) -> None:
    """Twenty times in the midst of the work, on a day of every fault; then once to the end."""
    chance = random.Random(kills)
    killed = in_the_midst = 0
    with LoopbackExchange(_markets(), now=NOW, faults=BAD_DAY, page=page) as exchange:
        while killed < kills:
            process = _start(tmp_path, exchange)
            killed += _killed(process, exchange, after=chance.randint(3, 36), delay=chance.uniform(0.0, 0.05))
            truth = exchange.truth(SYMBOLS, ms(SINCE))
            in_the_midst += _stored(tmp_path) < truth.height
            stored = CandleStore(tmp_path / "candles").read() if _stored(tmp_path) else truth.clear()
            assert stored.join(truth, on=truth.columns, how="anti").is_empty()  # half of the work, and nothing untrue
            exchange.now += chance.randint(0, 5) * MINUTE  # bars that were open have closed meanwhile, at other values
        process = _start(tmp_path, exchange)
        said, complained = process.communicate(timeout=120)
        assert process.returncode == 0, complained
        store = CandleStore(tmp_path / "candles")
        truth = exchange.truth(SYMBOLS, ms(SINCE))
        assert store.read().equals(truth)
        assert store.revisions().height == 0
        assert store.coverage()["bars"].sum() == truth.height
        files = [file for file in (tmp_path / "candles" / "symbols").rglob("*") if file.is_file()]
        assert sum(pl.read_parquet(file).height for file in files if file.suffix == ".parquet") == truth.height
        assert {file.name for file in files if file.suffix != ".parquet"} == {".lock"}  # what was written aside is gone
        if kills == 20:
            assert in_the_midst == kills
            failed = {entry[3] for entry in exchange.log}
            assert failed >= {"429", "418", "500", "502", "503", "drop", "cut", "cut_quietly", "html", "short", "early"}
        assert f"3 symbols before {'2025-03-02'}" in said


@pytest.mark.slow
def test_killed_while_funding_rates_arrive_it_loses_none(tmp_path: Path) -> None:
    command = ("BTC/USDT:USDT", "--since", "2025-02-20", "--funding")
    chance = random.Random(0)
    with LoopbackExchange(_markets(), now=NOW, faults=BAD_DAY, page=250) as exchange:
        for _ in range(3):
            _killed(
                _start(tmp_path, exchange, *command), exchange, after=chance.randint(4, 30), delay=chance.uniform(0.0, 0.05)
            )
        process = _start(tmp_path, exchange, *command)
        _, complained = process.communicate(timeout=120)
        assert process.returncode == 0, complained
        store = CandleStore(tmp_path / "candles")
        assert store.read().equals(exchange.truth(["BTC/USDT:USDT"], ms("2025-02-20")))
        rates = store.read_funding().select(pl.col("ts").dt.epoch("ms"), "funding_rate").rows()
        assert rates == exchange.rates(exchange.markets["PERP:BTCUSDT"])


def test_symbols_may_be_separated_by_commas(huracan: Huracan, tmp_path: Path) -> None:
    with LoopbackExchange(_markets(), now=NOW) as exchange:
        done = huracan("fetch", *_words(tmp_path, exchange, "BTC/USDT,ETH/USDT", "--since", "2025-03-02T09:00"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("60 bars added") == 1 and done.stdout.startswith("BTC/USDT: ")


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_stopped_by_hand_it_says_one_sentence_and_keeps_what_it_has(tmp_path: Path, how: signal.Signals) -> None:
    command = ("ETH/USDT", "--since", "2025-03-01")
    with LoopbackExchange(_markets(), now=NOW, page=20) as exchange:
        process = _start(tmp_path, exchange, *command)
        while not any((tmp_path / "candles").rglob("*.parquet")):
            time.sleep(0.002)
        process.send_signal(how)
        _, complained = process.communicate(timeout=10)
        assert process.returncode == 130
        assert complained.endswith(STOPPED)
        assert "Traceback" not in complained
        stored = CandleStore(tmp_path / "candles").read()
        assert 0 < stored.height < exchange.truth(["ETH/USDT"], ms("2025-03-01")).height
        assert stored.equals(exchange.truth(["ETH/USDT"], ms("2025-03-01")).join(stored, on="ts", how="semi"))


def test_python_is_not_torn_down_under_a_thread_at_work() -> None:
    """A thread that Python ends by force inside a library aborts the process: one stop in a hundred ended with SIGABRT."""
    script = """if True:
        import atexit, threading, time
        from huracan import cli
        atexit.register(print, "torn down")
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
        cli._fail("stopped.", 130)
    """
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "huracan: stopped.\n")


def test_in_a_pipe_it_writes_plain_lines_and_says_what_it_waits_for(tmp_path: Path) -> None:
    with LoopbackExchange(_markets(), now=NOW) as exchange:
        exchange.script = ["", "", "", "", "wait1"]
        process = _start(tmp_path, exchange)
        said, complained = process.communicate(timeout=60)
    assert process.returncode == 0
    lines = complained.splitlines()
    assert "huracan: binance: HTTP 429; again in 1 s" in lines
    assert lines[-1].startswith("huracan: 100 % done, ")
    assert said.splitlines()[-1].startswith("binance, 1m bars of 3 symbols before 2025-03-02 10:00 UTC: ")
    assert "\x1b" not in said + complained


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("BTC/USDR", "--since", SINCE), "huracan: binance has no market 'BTC/USDR' among its 3; did you mean 'BTC/USDT'"),
        (("BTC/USDT", "--since", SINCE, "--funding"), "huracan: BTC/USDT is no perpetual and pays no funding"),
        (("BTC/USDT",), "huracan: candles holds no 1m bars of BTC/USDT to go on from; since must say from when."),
    ],
)
def test_bad_input_ends_with_code_2_and_one_sentence(
    huracan: Huracan, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    with LoopbackExchange(_markets(), now=NOW) as exchange:
        done = huracan("fetch", *_words(tmp_path, exchange, *words))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(said) and done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "No such file"), ("{", "a JSON object was expected."), ("[1]", "holds a list; a JSON object")],
)
def test_exchange_options_that_cannot_be_read_are_refused(
    huracan: Huracan, tmp_path: Path, content: str | None, said: str
) -> None:
    file = tmp_path / "mine.json"
    if content is not None:
        file.write_text(content)
    done = huracan("fetch", "BTC/USDT", "--store", "candles", "--exchange-options", "mine.json")
    assert done.returncode == 2
    assert done.stderr.startswith("huracan: mine.json") and said in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.slow
def test_two_commands_on_one_store_do_not_disturb_each_other(tmp_path: Path) -> None:
    with LoopbackExchange(_markets(), now=NOW, faults=BAD_DAY) as exchange:
        rivals = [_start(tmp_path, exchange, "ETH/USDT", "--since", SINCE) for _ in range(2)]
        ends = [(rival.communicate(timeout=60)[1], rival.returncode) for rival in rivals]
        assert [code for _, code in ends] == [0, 0], ends
        store = CandleStore(tmp_path / "candles")
        assert store.read().equals(exchange.truth(["ETH/USDT"], ms(SINCE)))
        assert store.revisions().height == 0
