"""The feature engine against pandas-ta-classic and pandas by hand, on 216,000 one-minute bars: parity, then time and memory.

The set has 80 columns: thirty usual indicators and fifty lags of ten of them. ``benchmarks/peers/pandas_features.py`` computes
the same in an environment of its own, without TA-Lib (which pandas-ta-classic can use instead of its own code). Every side
works on one thread; seconds are of the processor, medians over rounds that alternate between the sides. Huracan tells the
allocator to keep freed memory; the peers are run as they come, and once more with the same advantage, through glibc's
environment variables.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks import markdown_table, market_data
from benchmarks.peers import KEEPS_FREED_MEMORY, peer_python, run_peer
from benchmarks.peers.pandas_features import LAGGED, LAGS
from huracan.market import read_candles
from huracan.preprocessing import FeatureRecipe, feature

__all__ = ["eighty_columns", "main", "thirty_features"]

REQUIREMENTS = ["pandas-ta-classic==0.8.32", "pandas==3.1.1", "pyarrow==26.0.1"]
SETTLED = 3_000
"""Rows after which averages that fade, which pandas starts differently, agree."""
PARITY = 1e-6
"""Largest difference from a peer that counts as equal, in standard deviations of the column."""
PEERS = ("pandas-ta-classic", "pandas by hand")
BARS = {("as views", PEERS[0]): 25.0, ("as views", PEERS[1]): 3.0, ("materialised", PEERS[0]): 18.0}
MOST_CPU_20, MOST_MEMORY = 1.6, 200.0
ALTERNATIONS, ROUNDS = 3, 5


def thirty_features() -> FeatureRecipe:
    """The base set."""
    return FeatureRecipe(
        [
            *(feature("log_return", window=h) for h in (1, 2, 3, 6, 12, 24)),
            *(feature("simple_return", window=h) for h in (1, 12)),
            *(feature("sma", window=n) for n in (20, 50)),
            *(feature("ema", window=n) for n in (12, 26)),
            feature("wma", window=20),
            feature("rsi", window=14),
            feature("macd"),
            feature("bollinger", window=20),
            feature("atr", window=14),
            feature("adx", window=14),
            feature("stochastic", window=14),
            feature("cci", window=20),
            feature("williams_r", window=14),
            feature("mfi", window=14),
            feature("obv_change", window=12),
        ]
    )


def eighty_columns() -> FeatureRecipe:
    """The base set and five lags of ten of its columns."""
    base = thirty_features()
    lagged = [spec for spec in base.features if set(spec.columns) & set(LAGGED)]
    lags = [spec.followed_by("lag", bars=k) for spec in lagged for k in LAGS]
    return FeatureRecipe([*base.features, *lags])


def main() -> str:
    """Check parity, time every side in one run, and hold the results against their bars."""
    folder = market_data() / "candles"
    candles = read_candles(next(iter(sorted(folder.glob("*BTC*1m*.parquet")))))
    with tempfile.TemporaryDirectory() as scratch:
        seconds, columns = _measure(candles, Path(scratch))
    rows, missed = [], []
    for form in ("as views", "materialised"):
        for peer in PEERS:
            for how in (peer, f"{peer}, keeping freed memory"):
                bar = BARS.get((form, how))
                ratio = median(seconds[how]) / median(seconds[form])
                missed += [f"{form} against {how}: {ratio:.1f}x of {bar:.0f}x"] if bar and ratio < bar else []
                rows.append([f"80 columns {form}", how, _ms(seconds[form]), _ms(seconds[how]), f"{ratio:.1f}x", _bar(bar)])
    many = _twenty_symbols(folder)
    memory = _peak_memory(candles)
    missed += [f"20 symbols took {many['cpu']:.2f} CPU s"] if many["cpu"] > MOST_CPU_20 else []
    missed += [f"{form} took {mib:.0f} MiB more" for form, mib in memory.items() if mib > MOST_MEMORY]
    text = [
        "# Features: 80 columns on 216,000 one-minute bars of BTC",
        f"Parity first: all {columns} columns equal both peers' within {PARITY:g} standard deviations from row {SETTLED} on "
        "(pandas starts fading averages differently). Two defects of the peers are told apart: pandas' rolling variance loses "
        "digits in still windows, where Bollinger's bands are held against 80-bit arithmetic instead; and money flow follows "
        "typical prices that moved by rounding only, in under 0.1 % of the rows. CPU milliseconds, medians of alternating "
        "warm rounds, as many on every side, one thread; pandas-ta-classic by its own code, without TA-Lib; from candle frame "
        "to feature frame, ours in float32, checks included. The bars are for peers as they come; how they would fare if they "
        "too kept freed memory, as Huracan tells glibc to, is shown beside.",
        markdown_table(["set", "peer", "Huracan", "peer's", "ratio", "bar"], rows),
        f"TA-Lib and numpy alone, called by hand, for the thirty base columns in float32: {_ms(seconds['bare'])} ms; "
        "the difference to ours is checks, nulls and the frame.",
        f"20 symbols x 216,000 rows, 80 columns as views, both cores: {many['cpu']:.2f} CPU s, median of "
        f"seven (bar {MOST_CPU_20}), {many['wall']:.2f} s wall; {many['traffic']:.2f} GB read and "
        f"written, {many['share']:.0%} of what a plain copy on two threads reaches here ({many['copy']:.1f} GB/s).",
        "Extra peak memory, one symbol: "
        + ", ".join(f"{form} {mib:.0f} MiB" for form, mib in memory.items())
        + f" (bar {MOST_MEMORY:.0f}).",
    ]
    assert not missed, "; ".join(missed)
    return "\n\n".join(text)


def _measure(candles: pl.DataFrame, scratch: Path) -> tuple[dict[str, list[float]], int]:
    """CPU seconds of every side, and the number of columns found equal."""
    python = peer_python("pandas-ta-classic", REQUIREMENTS)
    given, made = scratch / "candles.parquet", scratch / "peer.parquet"
    candles.select("open", "high", "low", "close", "volume").write_parquet(given)
    recipe = eighty_columns()
    ways: dict[str, Callable[[], Any]] = {
        "as views": lambda: recipe.compute(candles, threads=1),
        "materialised": lambda: recipe.compute(candles, threads=1, materialise=True),
        "bare": lambda: _bare(candles),
    }
    sides = {"": {}, ", keeping freed memory": KEEPS_FREED_MEMORY}
    seconds: dict[str, list[float]] = {name: [] for name in (*ways, *(peer + how for peer in PEERS for how in sides))}
    columns = 0
    for _ in range(ALTERNATIONS):
        for how, environment in sides.items():
            words = (str(given), str(made), str(ROUNDS))
            said = json.loads(run_peer(python, "pandas_features.py", *words, environment=environment))
            for peer, measured in said["seconds"].items():
                seconds[peer + how] += measured
        columns = columns or _equal_to_peers(recipe, candles, pl.read_parquet(made))
        for name, way in ways.items():
            way()
            for _ in range(ROUNDS):
                started = time.process_time()
                way()
                seconds[name].append(time.process_time() - started)
    return seconds, columns


def _equal_to_peers(recipe: FeatureRecipe, candles: pl.DataFrame, peers: pl.DataFrame) -> int:
    ours = recipe.compute(candles, dtype=pl.Float64)
    narrow = recipe.compute(candles)
    exact = _long_double_bands(candles["close"].to_numpy())
    for name in recipe.columns:
        mine = ours[name].to_numpy()[SETTLED:]
        assert np.array_equal(narrow[name].to_numpy()[SETTLED:], mine.astype(np.float32), equal_nan=True), name
        for peer in PEERS:
            theirs = peers[f"{name}|{peer}"].to_numpy()[SETTLED:]
            if name.startswith("mfi_14"):
                theirs = np.where(_rounding_decides(candles, name)[SETTLED:], mine, theirs)
            apart = np.nanmax(np.abs(mine - theirs)) / np.nanstd(theirs)
            assert np.isfinite(apart), f"{name} of {peer} holds what is no number"
            if (
                apart > PARITY and name.partition("__lag_")[0] in exact
            ):  # pandas' rolling variance fails in still windows: who is right?
                apart = np.nanmax(np.abs(mine - _lagged(exact, name)[SETTLED:])) / np.nanstd(theirs)
            assert apart <= PARITY, f"{name} is {apart:.1e} standard deviations from {peer}'s"
    assert len(recipe.columns) == 80
    return len(recipe.columns)


def _lagged(columns: dict[str, NDArray[np.float64]], name: str) -> NDArray[np.float64]:
    base, _, lag = name.partition("__lag_")
    values = columns[base]
    return np.r_[np.full(int(lag), np.nan), values[: -int(lag)]] if lag else values


def _rounding_decides(candles: pl.DataFrame, name: str) -> NDArray[np.bool_]:
    """Rows whose money flow holds a typical price that moved by rounding only: still to TA-Lib, a move to pandas."""
    high, low, close = (candles[column].to_numpy() for column in ("high", "low", "close"))
    typical = (high + low + close) / 3.0
    moved = np.abs(np.diff(typical, prepend=typical[0])) / typical
    tie = ((moved > 0.0) & (moved < 1e-12)).astype(np.float64)
    within = np.convolve(tie, np.ones(14), "full")[: len(tie)] > 0.5
    return _lagged({"mfi_14": within.astype(np.float64)}, name) == 1.0


def _long_double_bands(close: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Bollinger's bands of 20 bars computed anew for every window in 80 bits."""
    windows = np.lib.stride_tricks.sliding_window_view(close, 20).astype(np.longdouble)
    mean = windows.mean(axis=1)
    deviation = np.sqrt(((windows - mean[:, None]) ** 2).mean(axis=1))
    place = (close[19:] - mean + 2 * deviation) / (4 * deviation)
    bands = {"upper": mean + 2 * deviation, "lower": mean - 2 * deviation, "percent_b": place, "width": 4 * deviation / mean}
    return {f"bollinger_20_{name}": np.r_[np.full(19, np.nan), values.astype(np.float64)] for name, values in bands.items()}


def _bare(candles: pl.DataFrame) -> list[Any]:
    """The thirty columns with TA-Lib and numpy, nothing around them."""
    import talib

    h, low, c, v = (candles[name].to_numpy() for name in ("high", "low", "close", "volume"))
    made = [np.log(c[k:] / c[:-k]) for k in (1, 2, 3, 6, 12, 24)]
    made += [talib.ROCP(c, k) for k in (1, 12)] + [talib.SMA(c, k) for k in (20, 50)] + [talib.EMA(c, k) for k in (12, 26)]
    upper, middle, lower = talib.BBANDS(c, 20, 2.0, 2.0)
    made += [talib.WMA(c, 20), talib.RSI(c, 14), *talib.MACD(c), upper, middle, lower]
    made += [(c - lower) / (upper - lower), (upper - lower) / middle]
    made += [talib.ATR(h, low, c, 14), talib.ADX(h, low, c, 14), *talib.STOCH(h, low, c, 14, 3, 0, 3, 0)]
    obv = talib.OBV(c, v)
    made += [talib.CCI(h, low, c, 20), talib.WILLR(h, low, c, 14), talib.MFI(h, low, c, v, 14), obv[12:] - obv[:-12]]
    return [x.astype(np.float32) for x in made]


def _twenty_symbols(folder: Path) -> dict[str, float]:
    files = sorted(folder.glob("*_1m.parquet"))
    parts = [read_candles(file) for file in files]
    candles = pl.concat([parts[i % len(parts)].with_columns(symbol=pl.lit(f"S{i:02d}")) for i in range(20)], rechunk=True)
    recipe = eighty_columns()
    recipe.compute(candles.head(1_000))
    cpu, wall = [], []
    for _ in range(7):
        started, clock = time.process_time(), time.perf_counter()
        recipe.compute(candles, threads=2)
        cpu.append(time.process_time() - started)
        wall.append(time.perf_counter() - clock)
    traffic = candles.height * (5 * 8 + len(thirty_features().columns) * 4) / 1e9
    copy = _copy_bandwidth()
    return {
        "cpu": median(cpu),
        "wall": median(wall),
        "traffic": traffic,
        "copy": copy,
        "share": traffic / median(wall) / copy,
    }


def _copy_bandwidth() -> float:
    """GB/s read and written by a plain copy of 512 MiB on two threads."""
    from concurrent.futures import ThreadPoolExecutor

    source = np.ones(2**26)
    target = np.empty_like(source)
    half = len(source) // 2
    with ThreadPoolExecutor(2) as pool:
        best = float("inf")
        for _ in range(5):
            started = time.perf_counter()
            list(pool.map(lambda part: np.copyto(target[part], source[part]), (slice(0, half), slice(half, None))))
            best = min(best, time.perf_counter() - started)
    return 2 * source.nbytes / best / 1e9


_PROGRAM = """
import sys
sys.path[:0] = {path!r}
import polars as pl
from benchmarks.features import eighty_columns
candles = pl.read_parquet({file!r})
recipe = eighty_columns()
recipe.compute(candles.head(500))
def status(key):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(key)) / 1024
open("/proc/self/clear_refs", "w").write("5")
before = status("VmRSS")
made = recipe.compute(candles, threads=1, materialise={materialise})
print(status("VmHWM") - before)
"""


def _peak_memory(candles: pl.DataFrame) -> dict[str, float]:
    """MiB that the peak of a fresh process rises by, its result included."""
    found = {}
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "candles.parquet"
        candles.write_parquet(file)
        for form, materialise in (("as views", False), ("materialised", True)):
            program = _PROGRAM.format(path=sys.path, file=str(file), materialise=materialise)
            done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=os.environ)
            found[form] = float(done.stdout)
    return found


def _ms(seconds: list[float]) -> str:
    return f"{1000 * median(seconds):.0f}"


def _bar(bar: float | None) -> str:
    return f">= {bar:.0f}x" if bar else ""


if __name__ == "__main__":
    print(main())
