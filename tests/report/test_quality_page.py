"""The quality page: it says what was found, is whole, harmless and small, and draws what can be drawn of anything."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from huracan.errors import NotEnoughData
from huracan.market import simulate_market
from huracan.preprocessing import FeatureRecipe, explore
from huracan.preprocessing.quality import quality_report, read_as_found
from huracan.report.charts.coverage import Coverage, coverage_chart
from huracan.report.charts.exploration import autocorrelation_chart, correlation_matrix, distribution_chart, profile_chart
from huracan.report.quality_page import render_quality_page

HOSTILE = "<script>document.title='owned'</script>\"'&"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Balanced(HTMLParser):
    """Counts elements and refuses ends that do not fit their begins."""

    VOID = frozenset({"meta", "link", "br", "path"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.count: dict[str, int] = {}

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.count[tag] = self.count.get(tag, 0) + 1
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.count[tag] = self.count.get(tag, 0) + 1

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def page_of(candles: Any, *, features: Any = None, reference: Any = None, title: str = "a file") -> str:
    found = read_as_found(candles, now=NOW)
    report = quality_report(found, reference=reference, now=NOW)
    try:
        exploration = explore(found, features)
    except NotEnoughData:
        exploration = None
    return render_quality_page(found, report, exploration, title=title, created_at=NOW)


@pytest.mark.parametrize("seed", range(12))
def test_whatever_stands_in_the_cells_there_is_a_page(seed: int) -> None:
    """Zero, negative, missing, infinite, enormous and tiny values in any column: no error, and no warning of numpy's."""
    generator = np.random.default_rng(seed)
    candles = simulate_market(n_bars=400, n_symbols=2, seed=seed).candles
    hostile = [0.0, -1.0, np.nan, np.inf, -np.inf, None, 1e308, -1e308, 1e-310, 5e-324, 1e120, 1e100, 1e-100, 2.0**63]
    for name in generator.choice(["open", "high", "low", "close", "volume"], 5):
        rows = generator.choice(candles.height, generator.choice([1, 3, 500]), replace=False).tolist()
        value = pl.lit(hostile[generator.integers(len(hostile))], pl.Float64)
        here = pl.int_range(pl.len()).is_in(rows)
        candles = candles.with_columns(pl.when(here).then(value).otherwise(name).alias(str(name)))
    assert not parsed(page_of(candles)).open


def parsed(page: str) -> Balanced:
    reader = Balanced()
    reader.feed(page)
    reader.close()
    assert not reader.open
    return reader


@pytest.fixture(scope="module")
def market() -> pl.DataFrame:
    candles = simulate_market(n_bars=700, n_symbols=3, seed=0).candles
    return candles.with_columns(pl.col("ts") - (candles["ts"].max() - (NOW - timedelta(days=2))))  # type: ignore[operator]


def test_a_clean_market_is_said_to_be_clean_and_every_section_is_there(market: pl.DataFrame) -> None:
    page = page_of(market)
    parsed(page)
    for section in ("findings", "coverage", "symbols", "look", "correlation", "stationarity", "notes"):
        assert f'id="{section}"' in page
    assert 'class="verdict bad"' not in page
    twice = pl.concat([market, market.filter(pl.col("symbol") == market["symbol"][0]).with_columns(symbol=pl.lit("ZZZ"))])
    assert f"<li>{market['symbol'][0]}, ZZZ</li>" in page_of(twice)  # clusters of the symbols' returns
    for symbol in market["symbol"].unique():
        assert page.count(f'">{symbol}</option>') == 1


def test_defects_are_in_the_verdict_the_table_and_the_lanes(market: pl.DataFrame) -> None:
    row = pl.int_range(pl.len())
    dirty = market.with_columns(
        high=pl.when(row.is_in([100, 101])).then(0.5).otherwise("high"), close=pl.when(row == 300).then(None).otherwise("close")
    ).filter(~row.is_between(200, 240))
    page = page_of(pl.concat([dirty, dirty[5:9]]))
    parsed(page)
    head = page[page.index('class="verdict bad"') : page.index("</section>")]
    for name in ("unsorted", "missing close", "high below low", "duplicates"):
        assert name in head
    lane = re.search(r'<path class="flag error" d="([^"]+)"', page)
    assert lane is not None and lane[1].count("M") >= 4
    assert '<path class="hole" d="M' in page


def test_nothing_in_the_data_becomes_markup(market: pl.DataFrame) -> None:
    hostile = market.with_columns(symbol=pl.lit(HOSTILE) + pl.col("symbol"))
    features = FeatureRecipe.minimal().compute(market)
    features = features.rename({features.columns[-1]: HOSTILE})
    for page in (page_of(hostile, title=HOSTILE), page_of(market, features=features)):
        assert "<script>document" not in page
        assert parsed(page).count["script"] == page.count("<script")


def test_it_loads_nothing_and_runs_no_script_but_its_own(market: pl.DataFrame) -> None:
    page = page_of(market)
    assert "default-src 'none'" in page and "script-src 'sha256-" in page
    assert not re.findall(r'(?:src|href)="(?!#|data:)[^"]', page)
    assert len(re.findall(r"<script>", page)) == 1


@pytest.mark.parametrize(
    "kind", ["one bar", "two bars", "constant", "no volume column", "huge prices", "all null closes but two", "weekly"]
)
def test_anything_that_can_be_read_becomes_a_page(market: pl.DataFrame, kind: str) -> None:
    one = market.filter(symbol=market["symbol"][0])
    frame = {
        "one bar": one[:1],
        "two bars": one[:2],
        "constant": one.with_columns(pl.lit(5.0).alias(c) for c in ("open", "high", "low", "close")),
        "no volume column": one.drop("volume"),
        "huge prices": one.with_columns(pl.col("open", "high", "low", "close") * 1e300),
        "all null closes but two": one.with_columns(close=pl.when(pl.int_range(pl.len()) < 2).then("close")),
        "weekly": one.with_columns(ts=pl.lit(datetime(2010, 1, 4, tzinfo=UTC)) + pl.int_range(pl.len()) * timedelta(days=7)),
    }[kind]
    page = page_of(frame.with_columns(pl.col("ts").cast(pl.Datetime("ms", "UTC"))))
    parsed(page)
    assert "nan" not in re.findall(r' d="[^"]*nan[^"]*"', page)


def test_features_have_their_table_and_matrix(market: pl.DataFrame) -> None:
    features = FeatureRecipe.minimal().compute(market)
    page = page_of(market, features=features)
    names = [c for c in features.columns if c not in ("symbol", "ts", "segment")]
    table = page[page.index('id="features"') : page.index('id="correlation"')]
    assert all(name in table for name in names)


def test_a_gap_stands_where_it_is_and_is_never_too_thin_to_see() -> None:
    drawn = coverage_chart([Coverage("A", 0.0, 1000.0, [(500.0, 500.1)], 1, 0.9999), Coverage("B", 250.0, 1000.0, [], 0, 1.0)])
    assert 'class="hole-edge" d="M1000.1 0V20"' in drawn  # the middle of 2,000 units, drawn as a line that does not scale
    assert 'd="M500.0 3H2000.0' in drawn  # B begins a quarter in
    assert "99.99%" in drawn and "1 gap<" in drawn


def test_bars_of_the_distribution_reach_as_high_as_their_share() -> None:
    histogram = pl.DataFrame({"left": [-8.0, 0.0], "right": [0.0, 8.0], "share": [0.5, 0.5]})
    drawn = distribution_chart(histogram, 50)
    height = 600 * np.log(1 / 0.5) / np.log(1 / 0.01)  # from the top, on a logarithmic scale from half an observation to all
    assert f"V{height:.1f}H500.0V600z" in drawn


def test_bands_cells_and_slots_are_all_there() -> None:
    lags = pl.DataFrame(
        {"lag": [1, 2], "correlation": [0.2, -0.1], "band": [0.05, 0.05], "ci_low": [0.1, None], "ci_high": [0.3, None]}
    )
    drawn = autocorrelation_chart(lags)
    assert drawn.count("h0") == 2 and len(re.findall(r'class="whisker" d="M[^M"]+"', drawn)) == 1
    matrix = correlation_matrix(["a", "b"], np.array([[1.0, np.nan], [-0.55, 1.0]]))
    assert 'class="cell minus" style="opacity:0.55" d="M0 1h1v1h-1z"' in matrix and 'class="cell unknown" d="M1 0' in matrix
    hours = pl.DataFrame({"of": ["hour"] * 24, "slot": range(24), "relative_volatility": [1.0] * 24})
    assert re.search(r'class="depth solid" d="([^"]+)"', profile_chart(hours))[1].count("M") == 24  # type: ignore[index]


@pytest.mark.slow
def test_forty_symbols_and_eight_times_216000_bars_stay_small_and_quick(market_data: Path) -> None:
    files = sorted((market_data / "candles").glob("*_1m.parquet"))
    eight = pl.concat([pl.read_parquet(file).with_columns(pl.col("symbol").cast(pl.String)) for file in files])
    for candles in (market_data / "candles" / "daily_40.parquet", eight):
        began = time.process_time()
        page = page_of(candles)
        assert time.process_time() - began < 20
        assert len(page.encode()) < 3_000_000
        parsed(page)
