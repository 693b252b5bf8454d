"""Bad input: one sentence that says what, where and what was expected, exit code 2, and nothing half-written."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from huracan import UnifiedMLPipeline
from huracan.errors import HuracanError
from huracan.market import simulate_market

Break = Callable[[pl.DataFrame], pl.DataFrame]


@pytest.fixture(scope="module")
def good() -> pl.DataFrame:
    return simulate_market(n_bars=900, n_symbols=1, seed=3).candles


def _set(column: str, row: int, value: float) -> Break:
    return lambda f: f.with_columns(pl.when(pl.int_range(pl.len()) == row).then(value).otherwise(pl.col(column)).alias(column))


FAULTS: dict[str, tuple[Break, str]] = {
    "missing column": (lambda f: f.drop("close"), "close"),
    "misnamed column": (lambda f: f.rename({"volume": "volme"}), "volum"),
    "NaN price": (_set("close", 77, float("nan")), "close"),
    "infinite price": (_set("high", 77, float("inf")), "high"),
    "negative price": (_set("low", 77, -1.0), "low"),
    "high below low": (_set("high", 77, 1e-6), "high"),
    "duplicate time": (lambda f: pl.concat([f, f[5:6]]).sort("ts"), "twice|duplicate|same time"),
    "unsorted times": (lambda f: f.reverse(), "sort|order|before"),
    "mixed frequencies": (lambda f: pl.concat([f[:400], f[400:].gather_every(4)]), "bar|frequenc|step"),
    "one bar": (lambda f: f[:1], "one|1 "),
    "no bars": (lambda f: f[:0], "no |empty|0 "),
    "constant prices": (
        lambda f: f.with_columns(pl.lit(5.0).alias(c) for c in ("open", "high", "low", "close")),
        "price that moves",
    ),
    "zero volume everywhere": (lambda f: f.with_columns(volume=pl.lit(0.0)), "volume"),
    "fewer rows than the warm-up": (lambda f: f[:30], "warm|more than"),
    "rows and no future": (
        lambda f: f[:50],
        "none of 50 candles gives a training row: 2 have all features, and none of these a",
    ),
    "one class only": (
        lambda f: f.with_columns(
            (pl.lit(1.01) ** pl.int_range(pl.len()) * factor).alias(c)
            for c, factor in (("open", 1.0), ("high", 1.02), ("low", 0.99), ("close", 1.01))
        ),
        "moves both ways",
    ),
}


def _huracan(*words: str, home: Path, limit: int | None = None) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("HURACAN")} | {"HURACAN_HOME": str(home)}
    return subprocess.run(
        [sys.executable, "-m", "huracan", *words],
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
        check=False,
        preexec_fn=None if limit is None else lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )


@pytest.mark.parametrize("fault", FAULTS)
def test_faulty_candles_are_refused_in_a_sentence_and_leave_no_trace(
    tmp_path: Path, small_config: Any, good: pl.DataFrame, fault: str
) -> None:
    broken, said = FAULTS[fault]
    home = tmp_path / "home"
    pipeline = UnifiedMLPipeline(small_config(home))
    with pytest.raises(HuracanError, match=f"(?i){said}") as caught:
        pipeline.run(broken(good))
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2
    assert not home.exists(), "bad input leaves nothing behind"


def test_gaps_are_survived_and_counted(tmp_path: Path, small_config: Any, good: pl.DataFrame) -> None:
    gappy = good.filter(~pl.int_range(pl.len()).is_between(300, 320))
    result = UnifiedMLPipeline(small_config(tmp_path)).run(gappy)
    assert any(check.name == "gaps" and check.count for check in result["preprocessing"]["quality"].checks)


def test_times_of_another_zone_are_converted_and_noted(tmp_path: Path, small_config: Any, good: pl.DataFrame) -> None:
    abroad = good.with_columns(pl.col("ts").dt.convert_time_zone("Asia/Tokyo"))
    one = UnifiedMLPipeline(small_config(tmp_path / "a")).run(abroad)
    two = UnifiedMLPipeline(small_config(tmp_path / "b")).run(good)
    assert one.result_hash == two.result_hash
    assert any("Tokyo" in note for note in one["performance_report"]["content"].notes)


def test_command_line_says_one_sentence_and_exits_with_2(
    huracan: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path, good: pl.DataFrame
) -> None:
    home = tmp_path / "home"
    bad = tmp_path / "bad.parquet"
    good.with_columns(close=pl.lit(float("nan"))).write_parquet(bad)
    corrupt = tmp_path / "corrupt.parquet"
    corrupt.write_bytes(b"PAR1" + bytes(50) + b"PAR1")
    config = tmp_path / "config.yaml"
    config.write_text("labels:\n  horizn: 3\n")
    for words in (["run", str(bad)], ["run", str(corrupt)], ["run", str(tmp_path / "none.csv")], ["run", "-c", str(config)]):
        done = huracan(*words, home=home)
        assert done.returncode == 2, done
        assert done.stderr.startswith("huracan: ") and done.stderr.count("\n") == 1
        assert "Traceback" not in done.stderr
        assert done.stdout == ""
    assert not home.exists()


@pytest.mark.slow
def test_a_full_disk_is_one_sentence_and_the_next_run_goes_on(tmp_path: Path, small_config: Any) -> None:
    config = tmp_path / "config.yaml"
    settings_ = small_config(tmp_path / "home")
    del settings_["home"]
    config.write_text(yaml.safe_dump(settings_))
    full = _huracan("run", "-c", str(config), home=tmp_path / "home", limit=20_000)
    assert full.returncode == 2, full.stderr
    assert "Traceback" not in full.stderr
    assert full.stderr.startswith("huracan: ")
    again = _huracan("run", "-c", str(config), home=tmp_path / "home")
    assert again.returncode == 0, again.stderr
    assert "Report: " in again.stdout


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_home_is_one_sentence(tmp_path: Path, small_config: Any) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(HuracanError, match="cannot be"):
        UnifiedMLPipeline(small_config(tmp_path / "home")).run()


def test_a_home_that_is_a_file_is_one_sentence(tmp_path: Path, small_config: Any) -> None:
    (tmp_path / "home").write_text("not a folder")
    with pytest.raises(HuracanError) as caught:
        UnifiedMLPipeline(small_config(tmp_path / "home")).run()
    assert "\n" not in str(caught.value)


cell = st.one_of(st.floats(allow_nan=True, allow_infinity=True), st.floats(0.5, 2.0), st.just(1.0), st.just(0.0))


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    n=st.integers(0, 400),
    seed=st.integers(0, 2**16),
    faults=st.lists(
        st.tuples(st.sampled_from(["open", "high", "low", "close", "volume"]), st.integers(0, 399), cell), max_size=3
    ),
)
def test_random_frames_run_or_are_refused(
    tmp_path: Path, small_config: Any, n: int, seed: int, faults: list[tuple[str, int, float]]
) -> None:
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, n)))
    start = datetime(2024, 1, 1)
    frame = pl.DataFrame(
        {
            "ts": pl.datetime_range(start, start, "1h", eager=True).head(0)
            if n == 0
            else pl.Series(np.datetime64("2024-01-01", "ms") + np.arange(n) * np.timedelta64(3_600_000, "ms")),
            "open": close,
            "high": close * 1.01,
            "low": close * 0.99,
            "close": close,
            "volume": rng.lognormal(size=n),
            "symbol": ["X"] * n,
        }
    )
    for column, row, value in faults:
        frame = _set(column, row, value)(frame)
    try:
        UnifiedMLPipeline(small_config(tmp_path / "home")).run(frame)
    except HuracanError as error:
        assert "\n" not in str(error)
