"""``huracan check``: every defect in one go, an exit code for scripts, and whole files or none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import polars as pl
import pytest

from huracan.market import resample_candles, simulate_market
from huracan.market.store import CandleStore

Check = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def check(huracan: Callable[..., subprocess.CompletedProcess[str]]) -> Check:
    """``huracan check`` in the test's own folder."""
    return partial(huracan, "check")


@pytest.fixture(scope="module")
def candles() -> pl.DataFrame:
    return simulate_market(n_bars=400, n_symbols=2, seed=0).candles


def test_clean_candles_exit_with_0(check: Check, tmp_path: Path, candles: pl.DataFrame) -> None:
    candles.write_parquet(tmp_path / "fine.parquet")
    done = check("fine.parquet")
    assert (done.returncode, done.stderr) == (0, "")
    assert "0 errors" in done.stdout


def test_all_defects_are_listed_and_the_exit_code_is_3(check: Check, tmp_path: Path, candles: pl.DataFrame) -> None:
    """A file that the reader refuses three times over."""
    row = pl.int_range(pl.len())
    dirty = candles.with_columns(
        high=pl.when(row == 5).then(0.1).otherwise("high"),
        open=pl.when(row == 9).then(pl.lit("?")).otherwise(pl.col("open").cast(pl.String)),
    )
    pl.concat([dirty, dirty[20:22]]).write_csv(tmp_path / "dirty.csv")
    done = check("dirty.csv", "--html", "page.html", "--json", "all.json")
    assert (done.returncode, done.stderr) == (3, "")
    for name in ("high below low", "unreadable open", "duplicates", "unsorted"):
        assert name in done.stdout
    document = json.loads((tmp_path / "all.json").read_text())
    assert document["ok"] is False and {"duplicates", "unreadable open"} <= {one["name"] for one in document["checks"]}
    assert document["exploration"]["returns"]
    assert (tmp_path / "page.html").read_text().startswith("<!doctype html>")
    assert {file.name for file in tmp_path.iterdir()} == {"dirty.csv", "page.html", "all.json"}


def test_json_on_standard_output_of_a_process_is_json_alone(tmp_path: Path, candles: pl.DataFrame) -> None:
    candles.write_parquet(tmp_path / "fine.parquet")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("HURACAN")} | {"HURACAN_HOME": str(tmp_path)}
    words = [sys.executable, "-m", "huracan", "check", "fine.parquet", "--json", "-"]
    done = subprocess.run(words, capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["ok"] is True


def test_another_venue_against_a_reference_is_a_defect(check: Check, tmp_path: Path, candles: pl.DataFrame) -> None:
    candles.write_parquet(tmp_path / "right.parquet")
    candles.with_columns(pl.col("volume") * 0.2, pl.col("high") * 1.001).write_parquet(tmp_path / "other.parquet")
    assert check("right.parquet", "--reference", "right.parquet").returncode == 0
    done = check("other.parquet", "--reference", "right.parquet")
    assert done.returncode == 3 and "another venue" in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nowhere.parquet",), "nowhere.parquet does not exist"),
        (("noise.parquet",), "cannot be read as parquet"),
        ((), "no candles were named"),
        (("noise.parquet", "--html", "no/such/page.html"), "no/such/page.html cannot be written"),
        (("timeless.csv",), "has no column 'ts'"),
    ],
)
def test_what_cannot_be_read_is_one_sentence_and_2(check: Check, tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    (tmp_path / "noise.parquet").write_bytes(b"noise")
    (tmp_path / "timeless.csv").write_text("open,high,low,close,volume\n1,1,1,1,1\n")
    done = check(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr and done.stderr.startswith("huracan: ") and done.stderr.count("\n") == 1


def test_the_quirks_are_named(check: Check, tmp_path: Path, market_data: Path) -> None:
    folder = market_data / "candles"
    found = check(folder / "quirks" / "SOL-USDT_1m_AS_FOUND_ts1970.parquet")
    assert found.returncode == 3 and "epoch" in found.stdout
    other = folder / "quirks" / "SOL-USDT_1m_OTHER_VENUE.parquet"
    done = check(other, "--reference", folder / "SOL-USDT_1m.parquet")
    assert done.returncode == 3 and "another" in done.stdout


def test_a_store_of_two_bar_lengths_names_the_option_that_chooses(check: Check, tmp_path: Path, candles: pl.DataFrame) -> None:
    store = CandleStore(tmp_path / "store")
    store.append(candles, source="simulated")
    store.append(resample_candles(candles, "4h"), source="simulated")
    done = check("store")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "huracan: store holds bars of 1h and 4h; --bar must say which, such as --bar 1h.\n"
    assert "200 bars of 4h, 2 symbols" in check("store", "--bar", "4h").stdout
