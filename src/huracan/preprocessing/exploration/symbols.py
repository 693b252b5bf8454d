"""What is asked of each symbol: how its returns are spread, what they remember, whether they stand still."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from huracan.errors import HuracanError
from huracan.market.schema import LARGEST
from huracan.preprocessing.exploration.dependence import autocorrelations
from huracan.preprocessing.exploration.distributions import QUANTILES, return_distribution
from huracan.preprocessing.exploration.stationarity import stationarity
from huracan.preprocessing.quality.series import CandleArrays

__all__ = ["DEPENDENCE_ROWS", "NO_AUTO", "NO_LEVEL", "STATIONARITY_ROWS", "SymbolBars", "level_of"]

LAGS, DEPENDENCE_ROWS, STATIONARITY_ROWS = 24, 20_000, 2_000


@dataclass(frozen=True, eq=False)
class SymbolBars:
    """The bars of one symbol, and what is asked of them."""

    symbol: str
    bars: CandleArrays
    rows: slice
    bar: int

    @property
    def ts(self) -> NDArray[np.int64]:
        """Opens in milliseconds since 1970."""
        return self.bars.ts[self.rows]

    @property
    def returns(self) -> NDArray[np.float64]:
        """Log returns of one bar, NaN at a symbol's first bar and after a gap."""
        close = self.bars.close[self.rows]
        change = np.full(len(close), np.nan)
        sound = (close >= 1 / LARGEST) & (close <= LARGEST)
        whole = self.bars.regular[self.rows][1:] & sound[1:] & sound[:-1]
        change[1:][whole] = np.log(close[1:][whole] / close[:-1][whole])
        return change

    def described(self) -> pl.DataFrame:
        """Moments, quantiles and tails of the returns: one row."""
        found = return_distribution(self.returns)
        row: dict[str, Any] = {"symbol": self.symbol, **asdict(found)}
        for name, q in zip(QUANTILES, row.pop("quantiles")):
            row[f"q{name}"] = q
        for side in ("left", "right"):
            tail = row.pop(side)
            row |= {f"{side}_index": tail["index"], f"{side}_low": tail["low"], f"{side}_high": tail["high"]}
        a_year = 365 * 86_400_000 / self.bar if self.bar else float("nan")
        row["annualised_volatility"] = found.deviation * np.sqrt(a_year)
        kinds = {name: pl.String if name == "symbol" else pl.Int64 if name == "n" else pl.Float64 for name in row}
        return pl.DataFrame([row], schema=kinds)

    def dependence(self) -> Iterator[pl.DataFrame | str]:
        """Autocorrelation of returns and of their size; a sentence where there is none."""
        recent = self.returns[-DEPENDENCE_ROWS:]
        for of, values in (("return", recent), ("absolute return", np.abs(recent))):
            try:
                frame = autocorrelations(values, LAGS)
            except HuracanError as error:
                yield f"{self.symbol}: no autocorrelation of the {of}: {error}"
                continue
            yield frame.select(pl.lit(self.symbol).alias("symbol"), pl.lit(of).alias("of"), pl.all())

    def levels(self) -> Iterator[pl.DataFrame | str]:
        """Tests of the log price and of the return; a sentence where there is none."""
        close = self.bars.close[self.rows]
        price = np.log(np.where((close >= 1 / LARGEST) & (close <= LARGEST), close, np.nan))
        every = max(1, -(-len(price) // STATIONARITY_ROWS))
        for series, values in (("log price", price), ("return", np.diff(price[::every]))):
            yield level_of(self.symbol, series, values, every if series == "return" else 1)


def level_of(symbol: str, series: str, values: NDArray[np.float64], every: int = 1) -> pl.DataFrame | str:
    """ADF and KPSS of one series as a row of :data:`NO_LEVEL`, or why not."""
    try:
        found = stationarity(values, STATIONARITY_ROWS)
    except HuracanError as error:
        return f"{symbol}, {series}: not tested for stationarity: {error}"
    row = (symbol, series, found.n, found.every * every, found.adf, found.adf_p, found.kpss, found.kpss_p)
    return pl.DataFrame([row], schema=NO_LEVEL.schema, orient="row")


NO_LEVEL = pl.DataFrame(
    schema={
        "symbol": pl.String,
        "series": pl.String,
        "n": pl.Int64,
        "every": pl.Int64,
        "adf": pl.Float64,
        "adf_p": pl.Float64,
        "kpss": pl.Float64,
        "kpss_p": pl.Float64,
    }
)
NO_AUTO = pl.DataFrame(
    schema={
        "symbol": pl.String,
        "of": pl.String,
        "lag": pl.Int32,
        "correlation": pl.Float64,
        "band": pl.Float64,
        "ci_low": pl.Float64,
        "ci_high": pl.Float64,
        "p_value": pl.Float64,
    }
)
