"""``huracan drift``: drift has an exit code, everything is said in a table, a page and JSON, bad input is one sentence."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from huracan.cli.drift import _print
from huracan.integration.drift_check import DriftCheck
from huracan.market import simulate_market
from huracan.mlops import DriftDetector
from huracan.mlops.reference import Reference

Drift = Callable[..., subprocess.CompletedProcess[str]]
QUICK = "{profile: one, profiles: {one: {n_splits: 2, learners: {ridge: {}}}}, features: {recipe: minimal}, "


@pytest.fixture
def drift(huracan: Callable[..., subprocess.CompletedProcess[str]]) -> Drift:
    return partial(huracan, "drift")


def features(n: int, *, seed: int, shift: float = 0.0, first: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    start = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=first)
    return pl.DataFrame(
        {
            "ts": [start + timedelta(hours=i) for i in range(n)],
            "spread": rng.standard_normal(n) + shift,
            "depth": rng.standard_normal(n),
            "venue": rng.choice(["spot", "perpetual"], n),
        }
    )


@pytest.fixture
def files(tmp_path: Path) -> Path:
    features(1_500, seed=0).write_parquet(tmp_path / "reference.parquet")
    features(500, seed=1, first=1_500).write_csv(tmp_path / "same.csv")
    features(500, seed=2, shift=0.6, first=1_500).write_parquet(tmp_path / "other.parquet")
    return tmp_path


def test_what_did_not_drift_exits_with_0_and_what_did_with_3(drift: Drift, files: Path) -> None:
    same = drift("reference.parquet", "same.csv")
    assert (same.returncode, same.stderr) == (0, "")
    assert same.stdout.startswith("none of 3 columns drifted")
    other = drift("reference.parquet", "other.parquet")
    assert (other.returncode, other.stderr) == (3, "")
    assert other.stdout.startswith("1 of 3 columns drifted (spread)")
    assert "of its 3 windows drifted" in other.stdout  # 500 hours are two weeks and the end of another


def test_a_window_that_overlaps_the_reference_is_said_to(drift: Drift, files: Path) -> None:
    features(1_500, seed=0).tail(400).write_csv(files / "inside.csv")
    inside = drift("reference.parquet", "inside.csv")
    assert inside.returncode == 0
    assert "the window and the reference overlap in time, from 2026-02-15 20:00:00" in inside.stdout
    assert "overlap" not in drift("reference.parquet", "same.csv").stdout


def test_page_and_json_say_the_same_as_the_table(drift: Drift, files: Path) -> None:
    done = drift("reference.parquet", "other.parquet", "--html", "page.html", "--json", "found.json")
    found = json.loads((files / "found.json").read_text())
    assert found["drifted"]
    assert [column["feature"] for column in found["columns"] if column["drifted"]] == ["spread"]
    assert len(found["windows"]) == 3
    # whole weeks back from the last hour, 25 March 07:00; the first row is of 4 March 12:00
    begins = ["2026-03-04 12", "2026-03-11 08", "2026-03-18 08"]
    assert [window["span"][0][:13] for window in found["windows"]] == begins
    page = (files / "page.html").read_text()
    assert found["sentence"][1:] in page and 'id="when"' in page
    assert done.stdout.count("Written: ") == 2
    printed = drift("reference.parquet", "other.parquet", "--json", "-")
    assert json.loads(printed.stdout) == found


def test_what_holds_of_most_columns_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    kept = DriftDetector().fit(features(500, seed=0).drop("ts")).reference_
    assert kept is not None
    model = DriftDetector.from_reference(Reference.from_bytes(kept.to_bytes()))
    _print(DriftCheck(model.detect(features(100, seed=1).drop("ts"))))
    told = " ".join(capsys.readouterr().out.split())
    assert told.count("401 quantiles") == 1
    assert "2 of 3 columns: statistic and distance at 401 quantiles kept of the reference." in told


def test_candles_become_features_and_a_model_stands_for_what_it_learned_from(
    drift: Drift, huracan: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    market = simulate_market(n_bars=1_600, n_symbols=2, seed=0).candles
    cut = market["ts"].unique().sort()[1_300]
    before, after = market.filter(pl.col("ts") < cut), market.filter(pl.col("ts") >= cut - timedelta(days=5))
    before.write_parquet(tmp_path / "before.parquet")
    wilder = ("open", "high", "low", "close")
    calm = pl.col("close").mean().over("symbol")
    after.with_columns((pl.col(price) / calm) ** 3 * calm for price in wilder).write_parquet(tmp_path / "wild.parquet")
    (tmp_path / "c.yaml").write_text(QUICK + "validation: {hold_out_share: 0.0}}")
    files = drift("before.parquet", "wild.parquet", "--config", "c.yaml", "--json", "-")
    assert files.returncode in (0, 3), files.stderr
    columns = {column["feature"] for column in json.loads(files.stdout)["columns"]}
    assert "volatility_ratio_realised_12_48" in columns
    assert huracan("run", "before.parquet", "--config", "c.yaml").returncode == 0
    model = drift("champion", "wild.parquet", "--config", "c.yaml", "--json", "-")
    assert {column["feature"] for column in json.loads(model.stdout)["columns"]} == columns
    itself = drift("champion", "before.parquet", "--config", "c.yaml")
    assert itself.returncode == 2
    assert "until when champion/1 learned; at least 20 are needed" in itself.stderr
    market.write_parquet(tmp_path / "whole.parquet")
    whole = json.loads(drift("champion", "whole.parquet", "--config", "c.yaml", "--json", "-").stdout)
    assert 300 <= whole["n_current"] <= 304  # the bars after the cut, and before it those whose label was not known
    assert "learned from, and were left out" in whole["notes"][0]
    nobody = drift("champion@9", "wild.parquet", "--config", "c.yaml")
    assert nobody.returncode == 2 and "9" in nobody.stderr
    table = drift("champion", "nothing.csv", "--config", "c.yaml")
    assert table.returncode == 2
    nameless = drift("challenger.x", "wild.parquet", "--config", "c.yaml")
    assert nameless.returncode == 2
    assert (
        "'challenger.x' is no file or folder that exists, and no registered model; registered are champion" in nameless.stderr
    )
    with_minutes = after.with_columns(ts=pl.col("ts").min() + (pl.col("ts") - pl.col("ts").min()) / 60)
    with_minutes.write_parquet(tmp_path / "minutes.parquet")
    minutes = drift("champion", "minutes.parquet", "--config", "c.yaml")
    assert minutes.returncode == 2
    assert "the candles are bars of 1m; 'champion/1' was trained on bars of 1h" in minutes.stderr
    other_bars = drift("before.parquet", "minutes.parquet", "--config", "c.yaml")
    assert other_bars.returncode == 2
    assert "of bars of 1m, the reference's of bars of 1h" in other_bars.stderr


def test_another_symbol_is_refused_unless_asked_for_and_a_file_name_is_no_symbol(drift: Drift, tmp_path: Path) -> None:
    market = simulate_market(n_bars=700, n_symbols=1, seed=0).candles.drop("symbol")
    for name in ("SOL_1h", "ETH_1h", "old", "new"):
        market.write_parquet(tmp_path / f"{name}.parquet")
    (tmp_path / "c.yaml").write_text(QUICK + "validation: {hold_out_share: 0.0}}")
    refused = drift("SOL_1h.parquet", "ETH_1h.parquet", "--config", "c.yaml")
    assert refused.returncode == 2 and "the window is of ETH, the reference of SOL; a symbol that is in both" in refused.stderr
    for allowed in (("SOL_1h.parquet", "ETH_1h.parquet", "--any-symbol"), ("old.parquet", "new.parquet")):
        assert drift(*allowed, "--config", "c.yaml").returncode == 0


def test_a_name_with_a_point_is_a_model_where_no_such_file_is(
    drift: Drift, huracan: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    (tmp_path / "c.yaml").write_text(QUICK + "data: {simulation: {n_bars: 1200, n_symbols: 2}}}")
    assert huracan("run", "--config", "c.yaml").returncode == 0  # without candles, champion.simulated is registered
    later = simulate_market(n_bars=600, n_symbols=2, seed=5).candles.with_columns(pl.col("ts") + timedelta(days=900))
    later.write_parquet(tmp_path / "later.parquet")
    for spec in ("champion.simulated", "champion.simulated@1", "champion.simulated@champion"):
        done = drift(spec, "later.parquet", "--config", "c.yaml")
        assert done.returncode in (0, 3), done.stderr


def test_columns_that_seem_renamed_and_new_ones_are_named(drift: Drift, files: Path) -> None:
    other = pl.read_csv(files / "same.csv").rename({"spread": "Spread"}).with_columns(funding=pl.lit(0.1))
    other.write_csv(files / "renamed.csv")
    done = drift("reference.parquet", "renamed.csv")
    assert done.returncode == 3
    assert "Perhaps renamed: spread is missing, and Spread is distributed like it." in done.stdout
    assert "New, held against nothing: funding." in done.stdout


def test_times_of_a_table_are_read_as_those_of_candles_are(drift: Drift, files: Path) -> None:
    """A day before or after its month is not guessed; row and value are told."""
    given = pl.read_csv(files / "same.csv")
    for name, bad in (("wrong", "2024-13-99 99:00"), ("other", "02/06/2024 10:00")):
        given.with_columns(ts=pl.when(pl.int_range(pl.len()) == 7).then(pl.lit(bad)).otherwise("ts")).write_csv(
            files / f"{name}.csv"
        )
        done = drift("reference.parquet", f"{name}.csv")
        assert done.returncode == 2
        assert bad in done.stderr and "7" in done.stderr.replace(bad, "")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("reference.parquet", "short.parquet"), "the window has 12 moments; at least 20 are needed"),
        (("short.parquet", "same.csv"), "the reference has 12 moments; at least 200 are needed"),
        (("nowhere.parquet", "same.csv"), "nowhere.parquet"),
        (("reference.parquet", "nowhere.csv"), "nowhere.csv"),
        (("reference.parquet", "same.csv", "--html", "no/folder.html"), "a file in a folder that exists"),
        (("reference.parquet", "candles.parquet"), "candles.parquet holds candles and reference.parquet holds none"),
        (("candles.parquet", "same.csv"), "candles.parquet holds candles and same.csv holds none"),
        (
            ("reference.parquet", "strange.csv"),
            "none of the columns of reference.parquet: level, where spread, depth, venue were",
        ),
    ],
)
def test_what_cannot_be_compared_is_one_sentence(drift: Drift, files: Path, words: tuple[str, ...], said: str) -> None:
    features(12, seed=3).write_parquet(files / "short.parquet")
    features(300, seed=3).select("ts", level=pl.col("spread") + 1_000).write_csv(files / "strange.csv")
    if "candles.parquet" in words:
        simulate_market(n_bars=500, n_symbols=1, seed=0).candles.write_parquet(files / "candles.parquet")
    done = drift(*words)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
