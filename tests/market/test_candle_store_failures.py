"""The candle store under kills, rivals, damage and full disks: whole before, whole after, and one sentence."""

from __future__ import annotations

import errno
import os
import random
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow
import pyarrow.parquet
import pytest
from polars.testing import assert_frame_equal

from huracan.errors import StorageError
from huracan.market import CANDLE_SCHEMA, CandleStore, read_candles

NAME = "BTC/USDT:USDT"
MONTHS = 5


def make_bars(days: int = 30 * MONTHS, *, symbol: str = NAME, seed: int = 0) -> pl.DataFrame:
    n = days * 288
    close = 100 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, 0.001, n)))
    start = pl.datetime(2025, 1, 1, time_unit="ms", time_zone="UTC")
    return (
        pl.select(pl.lit(symbol).alias("symbol"), ts=start + pl.duration(minutes=5) * pl.int_range(n))
        .select(
            "symbol",
            pl.col("ts").cast(pl.Datetime("ms", "UTC")),
            *(pl.Series(name, close) for name in ("open", "high", "low", "close")),
            pl.Series("volume", np.ones(n)),
        )
        .cast(dict(CANDLE_SCHEMA))
    )


def partitions_of(frame: pl.DataFrame) -> dict[str, pl.DataFrame]:
    return {str(name): part for (name,), part in frame.group_by(pl.col("ts").dt.strftime("%Y-%m"), maintain_order=True)}


APPEND = """
import sys, polars as pl
from huracan.market import CandleStore
bars = pl.read_parquet(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
for page in bars.iter_slices(int(sys.argv[3])):
    CandleStore(sys.argv[1]).append(page, bar="5m", source="child")
print("done", flush=True)
"""


def appending(store: Path, bars: Path, page: int = 1_000_000) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", APPEND, str(store), str(bars), str(page)]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None and child.stdout.readline() == "ready\n"
    return child


def go(child: subprocess.Popen[str]) -> None:
    assert child.stdin is not None
    child.stdin.write("\n")
    child.stdin.flush()


def kill_and_compare(tmp_path: Path, kills: int, seed: int) -> int:
    """Kill an append that adds and revises, at random moments; returns how many kills found it in the middle."""
    chance = random.Random(seed)
    bars = make_bars()
    before = bars.filter(pl.int_range(pl.len()) % 3 != 0)
    after = bars.with_columns(volume=pl.when(pl.int_range(pl.len()) % 2 == 0).then(7.0).otherwise(pl.col("volume")))
    after.write_parquet(tmp_path / "after.parquet")
    old, new = partitions_of(before), partitions_of(after)
    in_the_middle = 0
    longest = 0.5
    for attempt in range(kills):
        root = tmp_path / f"store{attempt}"
        store = CandleStore(root)
        store.append(before, bar="5m", source="parent")
        child = appending(root, tmp_path / "after.parquet")
        go(child)
        began = time.perf_counter()
        time.sleep(chance.uniform(0, longest))
        child.kill()
        finished = "done" in child.communicate()[0]
        longest = min(longest, time.perf_counter() - began) if finished else longest
        found = partitions_of(store.read())
        assert found.keys() == old.keys()
        states = {
            "old" if part.equals(old[name]) else "new" if part.equals(new[name]) else "torn" for name, part in found.items()
        }
        assert "torn" not in states, f"kill {attempt} left a partition that is neither before nor after"
        in_the_middle += not finished
        report = store.append(after, bar="5m", source="parent")
        assert report.added + report.unchanged + report.revised == after.height
        assert_frame_equal(store.read(), after, check_exact=True)
        revised = before.join(after, on="ts").filter(pl.col("volume") != pl.col("volume_right"))
        assert store.revisions()["ts"].to_list() == revised["ts"].to_list()
        assert not [path for path in root.rglob("*") if path.name.endswith(".aside")]
    return in_the_middle


def test_a_kill_leaves_every_partition_before_or_after_and_a_repetition_completes_it(tmp_path: Path) -> None:
    kill_and_compare(tmp_path, kills=3, seed=0)


@pytest.mark.slow
def test_thirty_kills(tmp_path: Path) -> None:
    assert kill_and_compare(tmp_path, kills=30, seed=1) >= 20


@pytest.mark.parametrize("step", ["open", "fsync", "replace"])
def test_death_at_each_step_of_writing_a_file_leaves_the_old_one(tmp_path: Path, step: str) -> None:
    """The process ends by itself exactly before a file is opened, flushed or renamed, at the second partition."""
    bars = make_bars(60)
    store = CandleStore(tmp_path / "store")
    store.append(bars, source="parent")
    changed = bars.with_columns(volume=pl.lit(3.0))
    changed.write_parquet(tmp_path / "changed.parquet")
    program = textwrap.dedent(f"""
        import os, sys, pathlib, polars as pl
        from huracan.market import CandleStore
        bars, store = pl.read_parquet({str(tmp_path / "changed.parquet")!r}), CandleStore({str(tmp_path / "store")!r})
        import pyarrow.parquet
        home = pathlib.Path if {step!r} == "open" else os
        real, count = getattr(home, {step!r}), 0
        def deadly(*args, **kwargs):
            global count
            count += "2025-02" in str(args[0]) if {step!r} != "fsync" else not os.path.isdir(f"/proc/self/fd/{{args[0]}}")
            if count == (2 if {step!r} == "fsync" else 1):
                os.kill(os.getpid(), 9)
            return real(*args, **kwargs)
        setattr(home, {step!r}, deadly)
        store.append(bars)
    """)
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -9
    found = partitions_of(store.read())
    assert found["2025-01"].equals(partitions_of(changed)["2025-01"])
    assert found["2025-02"].equals(partitions_of(bars)["2025-02"])
    store.append(changed)
    assert_frame_equal(store.read(), changed)
    assert store.revisions().height == changed.height
    assert not [path for path in (tmp_path / "store").rglob("*") if path.name.endswith(".aside")]


@pytest.mark.parametrize("same", [True, False])
def test_two_processes_append_at_once_and_nothing_is_lost(tmp_path: Path, same: bool) -> None:
    root = tmp_path / "store"
    first = make_bars(40)
    second = make_bars(40) if same else make_bars(40, symbol="ETH", seed=1)
    if same:  # interleaved halves, so that both write every partition
        first, second = first.gather_every(2), second.gather_every(2, 1)
    first.write_parquet(tmp_path / "first.parquet")
    second.write_parquet(tmp_path / "second.parquet")
    children = [appending(root, tmp_path / f"{name}.parquet", 500) for name in ("first", "second")]
    for child in children:
        go(child)
    for child in children:
        assert "done" in child.communicate(timeout=60)[0] and child.returncode == 0
    assert_frame_equal(CandleStore(root).read(), pl.concat([first, second]).sort("symbol", "ts"))


def test_threads_append_to_one_symbol_and_read_meanwhile(tmp_path: Path) -> None:
    store, bars = CandleStore(tmp_path), make_bars(20)
    failures: list[BaseException] = []

    def guarded(pages: list[pl.DataFrame]) -> None:
        try:
            for page in pages:
                store.append(page, bar="5m")
                assert store.read().height >= page.height
        except BaseException as error:  # noqa: BLE001 - handed to the test below
            failures.append(error)

    pages = list(bars.iter_slices(480))
    threads = [threading.Thread(target=guarded, args=(pages[i::3],)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert_frame_equal(store.read(), bars)


def test_a_damaged_partition_is_named_and_other_symbols_and_months_still_read(tmp_path: Path) -> None:
    store, bars = CandleStore(tmp_path), make_bars(60)
    store.append(bars)
    store.append(make_bars(10, symbol="ETH", seed=1))
    path = tmp_path / "symbols" / "BTC%2FUSDT%3AUSDT" / "5m" / "2025-01.parquet"
    whole = path.read_bytes()
    chance = random.Random(0)
    for damage in (
        whole[: len(whole) // 2],
        b"",
        b"PAR1" + bytes(200) + b"PAR1",
        bytes(chance.randrange(256) for _ in range(5000)),
    ):
        path.write_bytes(damage)
        for reading in (store.read, store.coverage, lambda: read_candles(tmp_path), lambda: store.append(bars)):
            with pytest.raises(StorageError, match=r"is damaged: .*Other symbols are not concerned") as caught:
                reading()
            assert str(path) in str(caught.value) and "\n" not in str(caught.value)
        assert store.read("ETH").height == 2880 and read_candles(tmp_path, symbol="ETH").height == 2880
        assert store.read(NAME, start="2025-02-01").height == bars.filter(pl.col("ts").dt.month() >= 2).height
    later = bars.tail(10).with_columns(ts=pl.col("ts") + pl.duration(minutes=50))
    assert store.append(later, bar="5m").added == 10 and store.last_time(NAME, "5m") == later["ts"][-1]  # life goes on
    bars = pl.concat([bars, later])
    path.unlink()  # moved away: what is missing is known, and comes back
    ((begin, stop),) = store.missing_spans(NAME, "5m", "2025-01-01", bars["ts"][-1])
    store.append(bars.filter(pl.col("ts").is_between(begin, stop, closed="left")))
    assert_frame_equal(store.read(NAME), bars)


def test_one_damaged_symbol_keeps_no_other_from_being_stored(tmp_path: Path) -> None:
    store, names = CandleStore(tmp_path), ["AAA", "MMM", "ZZZ"]
    panel = pl.concat(make_bars(20, symbol=name, seed=i) for i, name in enumerate(names))
    store.append(panel.filter(pl.col("ts").dt.day() < 10))
    next((tmp_path / "symbols" / "AAA").rglob("*.parquet")).write_bytes(b"PAR1")
    with pytest.raises(StorageError, match=r"AAA/5m/2025-01.parquet is damaged"):
        store.append(panel)
    assert_frame_equal(store.read(names[1:]), panel.filter(pl.col("symbol") != "AAA"))


def test_a_flipped_bit_anywhere_is_refused_or_harmless(tmp_path: Path) -> None:
    """Checked at a few hundred places, each of the footer's own facts among them.

    The value read is the value written, or the file is named as damaged.
    """
    store, bars = CandleStore(tmp_path), make_bars(1)
    store.append(bars, source="a")
    store.append(bars[:3].with_columns(volume=pl.lit(2.0)), bar="5m", source="b")
    good, log = store.read(), store.revisions()
    path = next(tmp_path.rglob("*.parquet"))
    whole = path.read_bytes()
    chance = random.Random(0)
    refused = 0
    facts = whole.index(b'"times"')
    for place in [*(chance.randrange(len(whole)) for _ in range(300)), *range(facts, facts + 120)]:
        content = bytearray(whole)
        content[place] ^= 1 << chance.randrange(3)  # a digit becomes another one
        path.write_bytes(content)
        try:
            assert store.read().equals(good) and store.revisions().equals(log)
            assert store.last_time(NAME, "5m") == bars["ts"][-1]
            assert store.coverage()["missing"].item() == 0
        except StorageError as error:
            assert str(path) in str(error)
            refused += 1
    assert refused > 270


def test_a_file_that_another_program_changed_is_refused(tmp_path: Path) -> None:
    """Well-formed parquet with our own footer: only the checksum of the column tells."""
    store = CandleStore(tmp_path)
    store.append(make_bars(2))
    path = next(tmp_path.rglob("*.parquet"))
    table = pyarrow.parquet.read_table(path)
    volume = table.column_names.index("volume")
    for changed in (
        table.set_column(volume, "volume", pyarrow.array([2.0] * table.num_rows)),
        table.set_column(volume, "volume", pyarrow.array([None] * table.num_rows, pyarrow.float64())),
        table.slice(1),
        table.drop_columns("volume"),
        table.set_column(volume, "volume", table["volume"].cast(pyarrow.float32())),
    ):
        pyarrow.parquet.write_table(changed, path)
        with pytest.raises(StorageError, match="is damaged"):
            store.read()
    pyarrow.parquet.write_table(table, path, compression="snappy")  # the same content is the same
    assert_frame_equal(store.read(), make_bars(2))


def test_a_file_in_the_wrong_place_is_refused(tmp_path: Path) -> None:
    store = CandleStore(tmp_path)
    store.append(make_bars(60))
    store.append(make_bars(60, symbol="ETH", seed=1))
    mine, other = (tmp_path / "symbols" / name / "5m" for name in ("BTC%2FUSDT%3AUSDT", "ETH"))
    content = (other / "2025-01.parquet").read_bytes()
    original = (mine / "2025-01.parquet").read_bytes()
    (mine / "2025-01.parquet").write_bytes(content)
    with pytest.raises(StorageError, match="holds 5m of ETH, its place says 5m of BTC/USDT:USDT"):
        store.read()
    (mine / "2025-01.parquet").write_bytes(original)
    (mine / "2025-01.parquet").rename(mine / "2024-11.parquet")
    with pytest.raises(StorageError, match=r"holds 5m since 2025-01-01 00:00 UTC; it was renamed"):
        store.read()


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (errno.ENOSPC, "the disk is full; what was stored before is untouched, and the same call completes"),
        (errno.EROFS, "Read-only file system"),
        (errno.EIO, "Input/output error"),
    ],
)
def test_a_full_or_failing_disk_is_one_sentence_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, sentence: str
) -> None:
    store, bars = CandleStore(tmp_path), make_bars(40)
    store.append(bars.head(5000))

    def failing(handle: int) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", failing)
        with pytest.raises(StorageError, match=sentence):
            store.append(bars)
    assert_frame_equal(store.read(), bars.head(5000))
    assert not [path for path in tmp_path.rglob("*") if path.name.endswith(".aside")]
    store.append(bars)
    assert_frame_equal(store.read(), bars)


def test_a_lock_that_is_never_given_back_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huracan.market.store import files

    store, bars = CandleStore(tmp_path), make_bars(2)
    store.append(bars)
    monkeypatch.setattr(files, "_LOCK_WAIT_S", 0.05)
    with files.locked(tmp_path / "symbols" / "BTC%2FUSDT%3AUSDT"):
        with pytest.raises(StorageError, match="is being written by another process"):
            store.append(bars)
        assert store.read().height == bars.height  # reading never waits


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write to read-only folders")
def test_a_read_only_store_reads_and_refuses_to_append(tmp_path: Path) -> None:
    CandleStore(tmp_path).append(make_bars(2))
    folders = [tmp_path, *(path for path in tmp_path.rglob("*") if path.is_dir())]
    for path in folders:
        path.chmod(0o555)
    try:
        store = CandleStore(tmp_path)
        assert store.read().height == 576
        with pytest.raises(StorageError, match="Permission denied"):
            store.append(make_bars(2, symbol="ETH"))
    finally:
        for path in folders:
            path.chmod(0o755)
