"""Alpha158 against Qlib's own engine: equal first, then CPU seconds for 158 columns over 50 symbols x 2,000 days.

Qlib runs in an environment of its own (:mod:`benchmarks.peers`) on the same prices, and gets the typical price as the
average price paid, which our candles do not carry. Its definitions are checked in float64: as shipped it rounds single
steps and results to float32, which by itself is up to 1e-5 of a column's standard deviation.
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks import markdown_table, market_data
from benchmarks.peers import KEEPS_FREED_MEMORY, peer_python, run_peer
from huracan.market import simulate_market
from huracan.preprocessing import FeatureRecipe

__all__ = ["REQUIREMENTS", "Parity", "candles_with_quirks", "cpu_seconds_of_ours", "main", "parity"]

REQUIREMENTS = ["pyqlib==0.9.7", "pandas==3.1.1", "numpy==2.4.6"]
SYMBOLS, DAYS, ROUNDS = 50, 2_000, 3
TOLERANCE = 1e-6
_FLAT, _THIN = 5, 2
_PRICES = ("open", "high", "low", "close")
_BY_VOLUME = ("VMA", "VSTD")
_BY_SPREAD = ("RSQR", "CORR", "CORD")
_DEVIATIONS = ("STD", "WVMA")


@dataclass(frozen=True)
class Parity:
    """How one column compares, after its warm-up.

    Attributes
    ----------
    difference : largest difference in standard deviations of the column.
    rows : rows both have.
    only_ours, only_qlib : rows one has and the other has not.
    still : rows left out of the comparison because no close of the window differs from another, so that 0 is exact.
    residue : the largest value Qlib gives in them.
    """

    column: str
    difference: float
    rows: int
    only_ours: int
    only_qlib: int
    still: int
    residue: float


def candles_with_quirks(symbols: int = SYMBOLS, days: int = DAYS, seed: int = 158) -> pl.DataFrame:
    """A simulated market; five symbols stand still for 100 days, in two a tenth of the days has neither move nor trade.

    Prices and volumes are rounded to float32, in which Qlib stores them.
    """
    candles = simulate_market(n_bars=days, n_symbols=symbols, seed=seed, bar="1d").candles
    values = {name: candles[name].to_numpy().reshape(symbols, days).copy() for name in (*_PRICES, "volume")}
    rng = np.random.default_rng(seed)
    for symbol in range(_FLAT + _THIN):
        still = np.zeros(days, dtype=bool)
        if symbol < _FLAT:
            still[days // 2 : days // 2 + 100] = True
        else:
            still[1:] = rng.random(days - 1) < 0.1
            values["volume"][symbol, still] = 0.0
        last = np.maximum.accumulate(np.where(still, 0, np.arange(days)))  # the close that holds on
        for name in _PRICES:
            values[name][symbol, still] = values["close"][symbol, last[still]]
    rounded = {name: x.astype(np.float32).astype(np.float64).ravel() for name, x in values.items()}
    return candles.select("symbol", "ts").with_columns(pl.Series(name, x) for name, x in rounded.items())


def parity(
    ours: NDArray[np.float64], theirs: NDArray[np.float64], recipe: FeatureRecipe, close: NDArray[np.float64]
) -> list[Parity]:
    """Compare arrays of shape (columns, symbols, days), each column from its first complete row.

    A deviation of what does not move is 0. Sums that slide keep a residue there, which ``WVMA`` then divides by 1e-12.
    """
    found = []
    for at, (column, lookback) in enumerate(recipe.lookbacks().items()):
        still = np.zeros(close.shape, dtype=bool)
        if column.startswith(_DEVIATIONS):
            windows = np.lib.stride_tricks.sliding_window_view(close, lookback + 1, axis=1)
            still[:, lookback:] = windows.max(axis=2) == windows.min(axis=2)
            assert (ours[at][still] == 0.0).all(), f"{column} is not 0 where nothing moved"
        residue = float(np.abs(theirs[at][still]).max(initial=0.0))
        a, b = (np.where(still, 0.0, x[at])[:, lookback:] for x in (ours, theirs))
        has_a, has_b = ~np.isnan(a), np.isfinite(b)
        both = has_a & has_b
        largest = float(np.abs(a[both] - b[both]).max() / a[both].std()) if both.any() else 0.0
        missing = int((has_a & ~has_b).sum()), int((has_b & ~has_a).sum())
        found.append(Parity(column, largest, int(both.sum()), *missing, int(still.sum()), residue))
    return found


def cpu_seconds_of_ours(candles: pl.DataFrame, rounds: int = ROUNDS) -> float:
    """Candle frame to feature frame, the best of so many rounds; user and system time of all threads."""
    recipe, best = FeatureRecipe.alpha158(), float("inf")
    for _ in range(rounds):
        began = sum(os.times()[:4])
        recipe.compute(candles)
        best = min(best, sum(os.times()[:4]) - began)
    return best


def main() -> str:
    """Check parity on the simulated market and, where they are, on real days; time both; write the table."""
    candles, recipe = candles_with_quirks(), FeatureRecipe.alpha158()
    python = peer_python("qlib", REQUIREMENTS)
    before = cpu_seconds_of_ours(candles)
    said, exact, shipped = _qlib(python, candles, rounds=2 * ROUNDS)
    ours_seconds = min(before, cpu_seconds_of_ours(candles))
    assert said["columns"] == list(recipe.columns), "Qlib's names or their order are not ours"
    wide, prices = _array(recipe.compute(candles, dtype=pl.Float64)), _prices(candles)
    found = parity(wide, exact, recipe, prices)
    rounded = parity(_array(recipe.compute(candles)), shipped, recipe, prices)
    worst, residue = max(found, key=lambda p: p.difference), max(found, key=lambda p: p.residue)
    assert worst.difference <= TOLERANCE, f"{worst.column} differs by {worst.difference:.1e} of its standard deviation"
    _check_missing(found, candles, wide, exact, recipe)
    still = f"{sum(p.still for p in found):,} rows, 0 here, in Qlib up to {residue.residue:.1e} ({residue.column})"
    ratio = min(said["seconds"]) / ours_seconds
    rows = [
        ["columns equal, in float64", "158 within 1e-6 of their sd", f"{len(found)}, worst {_named(worst)}"],
        ["values compared", "", f"{sum(p.rows for p in found):,}"],
        ["Qlib as shipped (float32 throughout)", "", f"worst {_named(max(rounded, key=lambda p: p.difference))}"],
        ["only ours has a value", "", _counts(found, "only_ours")],
        ["only Qlib has a value", "", _counts(found, "only_qlib")],
        ["STD, WVMA where nothing moved (exact: 0)", "", still],
        *_on_real_days(python, recipe),
        ["CPU seconds, Qlib", "", f"{min(said['seconds']):.2f}"],
        ["CPU seconds, Huracan", "", f"{ours_seconds:.3f}"],
        ["ratio", ">= 5", f"{ratio:.1f}"],
    ]
    versions = ", ".join(f"{name} {version}" for name, version in said["versions"].items())
    text = f"# Alpha158, {SYMBOLS} symbols x {DAYS:,} days, against Qlib\n\n"
    text += markdown_table(["what", "bar", "measured"], rows) + "\n\n"
    text += (
        f"Qlib's side: {versions}; `D.features` with one kernel and empty caches, from its binary store to the frame, "
        f"best of {len(said['seconds'])}; import, `qlib.init` and writing the store are not counted; its allocator keeps "
        "freed memory, as ours does. Our side: "
        f"`FeatureRecipe.alpha158().compute` from candle frame to feature frame, checks included, best of {2 * ROUNDS}. Both "
        "compute the same simulated market: five symbols stand still for 100 days, in two a tenth of the days is without "
        "move and trade. Where the two differ by intention: a bar without trades has no VMA and VSTD here (Qlib: 1e12 times "
        "the mean); Qlib adds 1e-12 to denominators whatever the unit of price, and gives up RSQR, CORR and CORD where a "
        "standard deviation is below 2e-5, we where it is 0, which shows on coins that cost a hundredth of a cent.\n"
    )
    assert ratio >= 5.0, text
    return text


def _qlib(python: Path, candles: pl.DataFrame, rounds: int) -> tuple[dict, NDArray[np.float64], NDArray[np.float64]]:
    """What Qlib's script printed, and its columns in float64 and as shipped, each of shape (columns, symbols, days)."""
    symbols = candles["symbol"].n_unique()
    arrays = {name: candles[name].to_numpy().reshape(symbols, -1) for name in (*_PRICES, "volume")}
    arrays["vwap"] = (arrays["high"] + arrays["low"] + arrays["close"]) / 3.0
    with tempfile.TemporaryDirectory() as folder:
        inputs, store = Path(folder) / "candles.npz", Path(folder) / "store"
        np.savez(inputs, **arrays)
        said = json.loads(
            run_peer(python, "qlib_alpha158.py", str(inputs), str(store), str(rounds), environment=KEEPS_FREED_MEMORY)
        )
        return said, np.load(store / "float64.npy"), np.load(store / "shipped.npy").astype(np.float64)


def _on_real_days(python: Path, recipe: FeatureRecipe) -> list[list[str]]:
    """Parity coin by coin on real daily candles, and which coins differ; nothing where the data is absent."""
    try:
        file = market_data() / "candles" / "daily_40.parquet"
    except FileNotFoundError:
        return []
    days = pl.read_parquet(file).with_columns(pl.col("symbol").cast(pl.String)).sort("symbol", "ts")
    floats = pl.col(*_PRICES, "volume").cast(pl.Float32).cast(pl.Float64)
    candles = days.select("symbol", "ts", *_PRICES, "volume").with_columns(floats)
    _, exact, _ = _qlib(python, candles, rounds=1)
    wide, prices = _array(recipe.compute(candles, dtype=pl.Float64)), _prices(candles)
    symbols = candles["symbol"].unique(maintain_order=True).to_list()
    differing = []
    for i, symbol in enumerate(symbols):
        found = parity(wide[:, i : i + 1], exact[:, i : i + 1], recipe, prices[i : i + 1])
        worst = max(found, key=lambda p: p.difference)
        if worst.difference > TOLERANCE:
            differing.append(f"{symbol} at {np.median(prices[i]):.1e}: {_named(worst)}")
    equal = f"{len(symbols) - len(differing)} of {len(symbols)}"
    return [["real days, coins equal in every column", "", "; ".join([equal, *differing])]]


def _prices(candles: pl.DataFrame) -> NDArray[np.float64]:
    return candles["close"].to_numpy().reshape(candles["symbol"].n_unique(), -1)


def _array(features: pl.DataFrame) -> NDArray[np.float64]:
    symbols, columns = features["symbol"].n_unique(), features.columns[3:]
    return np.stack([features[c].cast(pl.Float64).fill_null(np.nan).to_numpy().reshape(symbols, -1) for c in columns])


def _check_missing(
    found: list[Parity],
    candles: pl.DataFrame,
    ours: NDArray[np.float64],
    theirs: NDArray[np.float64],
    recipe: FeatureRecipe,
) -> None:
    """Rows that one side lacks are those that the notes name, and no others."""
    quiet = (candles["volume"].to_numpy() == 0.0).reshape(ours.shape[1:])
    for at, (p, lookback) in enumerate(zip(found, recipe.lookbacks().values(), strict=True)):
        operator = p.column.rstrip("0123456789")
        missing = (np.isnan(ours[at]) & np.isfinite(theirs[at]))[:, lookback:]
        allowed = quiet[:, lookback:] if operator in _BY_VOLUME else np.zeros_like(missing)
        assert (missing <= allowed).all(), f"{p.column}: {int((missing & ~allowed).sum())} rows are missing here only"
        assert p.only_ours == 0 or operator in _BY_SPREAD, f"{p.column}: {p.only_ours} rows are missing in Qlib only"


def _named(p: Parity) -> str:
    return f"{p.column} {p.difference:.1e} of its sd"


def _counts(found: list[Parity], what: str) -> str:
    counts: dict[str, int] = {}
    for p in found:
        operator = p.column.rstrip("0123456789")
        counts[operator] = counts.get(operator, 0) + int(getattr(p, what))
    return ", ".join(f"{operator} {count:,}" for operator, count in counts.items() if count) or "none"
