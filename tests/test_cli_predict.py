"""``huracan predict``: a file and a stream are answered alike; bad input and signals end cleanly."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import typer
from typer.testing import CliRunner

from huracan import ModelRegistry, UnifiedMLPipeline
from huracan.cli.predicting import predict
from huracan.errors import ConfigError, HuracanError
from huracan.integration.registered_models import named_version
from huracan.market import simulate_market

NAME = "champion.simulated"
app = typer.Typer()
app.command()(predict)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a champion, ``history.parquet`` and ``later.parquet``."""
    folder = tmp_path_factory.mktemp("home")
    settings = {
        "home": str(folder),
        "profile": "tiny",
        "profiles": {"tiny": {"n_splits": 3, "learners": {"ridge": {}}}},
        "features": {"recipe": "minimal"},
        "data": {"simulation": {"n_bars": 1_500, "n_symbols": 2, "signal_strength": 2.0}},
    }
    UnifiedMLPipeline(settings).run()
    candles = simulate_market(n_bars=1_520, n_symbols=2, seed=0, signal_strength=2.0).candles
    candles.write_parquet(folder / "all.parquet")
    candles.filter(pl.int_range(pl.len()).over("symbol") < 1_500).write_parquet(folder / "history.parquet")
    return folder


def lines_of(home: Path) -> str:
    later = pl.read_parquet(home / "all.parquet").filter(pl.int_range(pl.len()).over("symbol") >= 1_500).sort("ts", "symbol")
    return "".join(json.dumps({**bar, "ts": bar["ts"].isoformat()}) + "\n" for bar in later.iter_rows(named=True))


def run(*arguments: str, **given: Any) -> str:
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False, **given)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_stream_says_what_a_file_says(home: Path, tmp_path: Path) -> None:
    out = tmp_path / "answers.parquet"
    run(NAME, str(home / "all.parquet"), "--home", str(home), "--replay", "--out", str(out))
    told = run(
        NAME, "--stream", "--replay", "--history", str(home / "history.parquet"), "--home", str(home), input=lines_of(home)
    )
    batch = {(row["symbol"], row["ts"].isoformat()): row for row in pl.read_parquet(out).iter_rows(named=True)}
    signals = [json.loads(line) for line in told.splitlines()]
    assert len(signals) == 40
    assert set(signals[0]) == set(pl.read_parquet_schema(out))
    for one in signals:
        row = batch[one["symbol"], one["ts"]]
        assert one["score"] == pytest.approx(row["score"], abs=1e-6)
        assert one["position"] == pytest.approx(row["position"], abs=1e-6)
        assert one["regime"] == row["regime"]


def test_the_newest_answers_are_printed(home: Path, tmp_path: Path) -> None:
    table = run(NAME, str(home / "all.parquet"), "--home", str(home), "--replay")
    assert "SIM01-USD" in table
    assert "champion.simulated/1" in table
    told = run(f"{NAME}@1", str(home / "all.parquet"), "--home", str(home), "--json")
    answers = [json.loads(line) for line in told.splitlines()]
    assert [answer["symbol"] for answer in answers] == ["SIM01-USD", "SIM02-USD"]
    assert answers[0]["do_predict"] == (answers[0]["vetoes"] == [])
    first = tmp_path / "first.parquet"
    pl.read_parquet(home / "all.parquet").head(5).write_parquet(first)
    told = run(NAME, str(first), "--home", str(home), "--replay", "--json")
    assert json.loads(told)["vetoes"] == [{"kind": "warming_up", "why": None}]
    csv = run(f"{NAME}@champion", str(home / "all.parquet"), "--home", str(home), "--out", "-")
    assert csv.splitlines()[0].startswith("symbol,ts,decision_time,score")


def test_each_symbol_is_answered_by_its_own_champion(home: Path, tmp_path: Path) -> None:
    registry = ModelRegistry(f"sqlite:///{home}/huracan.db", artifacts=home / "artifacts")
    registry.promote(NAME, 1, alias="scoped", reason="for all")
    registry.promote(NAME, 1, alias="scoped", symbol="SIM01-USD", regime="ranging", reason="for one")
    out = tmp_path / "answers.parquet"
    asked = [f"{NAME}@scoped", "--by-symbol", "--replay", "--home", str(home)]
    table = run(*asked, str(home / "all.parquet"), "--out", str(out))
    assert f"By {NAME}/1." in table
    told = run(*asked, "--stream", "--history", str(home / "history.parquet"), input=lines_of(home))
    batch = {(row["symbol"], row["ts"].isoformat()): row for row in pl.read_parquet(out).iter_rows(named=True)}
    for one in map(json.loads, told.splitlines()):
        own = (one["symbol"], one["regime"]) == ("SIM01-USD", "ranging")
        assert one["alias"] == ("scoped@SIM01-USD/ranging" if own else "scoped")
        assert batch[one["symbol"], one["ts"]]["alias"] == one["alias"]
    assert "scoped@SIM01-USD/ranging" in {row["alias"] for row in batch.values()}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([NAME], "either a file of candles or --stream"),
        ([NAME, "x.csv", "--stream"], "one of the two"),
        (["champoin.simulated", "{all}"], "did you mean 'champion.simulated'"),
        ([f"{NAME}@7", "{all}"], "7"),
        ([f"{NAME}@challenger", "{all}"], "challenger"),
        ([NAME, "{all}", "--out", "answers.xlsx"], r"a .parquet or .csv file"),
        ([NAME, "missing.csv"], "missing.csv"),
        ([NAME, "--stream", "--symbol", "SIM01-USD", "--out", "answers.csv"], "> answers.csv was expected"),
        ([NAME, "--stream"], "neither --history FILE, to go on from, nor --symbol NAME"),
        ([NAME, "--stream", "--by-symbol"], "neither --history FILE"),
        ([f"{NAME}@champion@SIM01-USD", "{all}", "--by-symbol"], "follows an alias for all"),
        ([f"{NAME}@champion@SIM01-USD/tending", "{all}"], "champion@SIM01-USD/tending"),
        ([NAME, "{all}", "--history", "{all}"], "--history is for --stream"),
        ([NAME, "{all}", "--symbol", "SIM01-USD"], "--symbol is for --stream"),
        ([NAME, "{all}", "--bar", "1h"], "--bar is for --stream"),
        ([NAME, "{all}", "--learn"], "--learn is for --stream"),
        ([NAME, "{all}", "--out", "-", "--json"], "one of the two was expected"),
        ([f"{NAME}@1", "{all}", "--by-symbol"], "follows an alias"),
    ],
)
def test_bad_input_gets_one_sentence(home: Path, arguments: list[str], said: str) -> None:
    given = [argument.format(all=home / "all.parquet") for argument in arguments]
    with pytest.raises(HuracanError) as caught:
        run(*given, "--home", str(home))
    assert said in str(caught.value)


def test_the_champion_of_a_scope_is_named_as_lists_write_it(home: Path) -> None:
    registry = ModelRegistry(f"sqlite:///{home}/huracan.db", artifacts=home / "artifacts")
    registry.promote(NAME, 1, alias="written", symbol="BTC/USDT", regime="ranging", reason="for one")
    registry.promote(NAME, 1, alias="written", regime="trending", reason="for all that trend")
    for scope in ("BTC/USDT/ranging", "*/trending"):
        told = run(f"{NAME}@written@{scope}", str(home / "all.parquet"), "--home", str(home), "--json")
        assert {json.loads(line)["model_id"] for line in told.splitlines()} == {f"{NAME}/1"}
        assert named_version(registry, f"{NAME}@written@{scope}").version == 1
    for scope, said in (
        ("BTC/USDT/volatile", "written@BTC/USDT/volatile"),
        ("BTC/USDT/trending", r"written@\*/trending, who answers there too, is 1"),
    ):
        with pytest.raises(HuracanError, match=said):
            named_version(registry, f"{NAME}@written@{scope}")


def test_how_late_a_bar_may_come_is_configured(home: Path, tmp_path: Path) -> None:
    """These candles closed years ago."""
    for bars, kinds in (("1.0", ["stale"]), ("null", [])):
        file = tmp_path / "config.yaml"
        file.write_text(f"serving:\n  stale_after_bars: {bars}\n  max_age_days: null\n")
        asked = [NAME, "--stream", "--history", str(home / "history.parquet"), "--home", str(home), "--config", str(file)]
        first = json.loads(run(*asked, input=lines_of(home).splitlines()[0]))
        assert [veto["kind"] for veto in first["vetoes"]] == kinds


def test_a_home_that_is_not_there_is_told_and_not_made(home: Path, tmp_path: Path) -> None:
    with pytest.raises(HuracanError, match="there is no registry at"):
        run(NAME, str(home / "all.parquet"), "--home", str(tmp_path / "mistyped"))
    assert not (tmp_path / "mistyped").exists()


def test_a_stream_without_standard_input_is_refused_in_one_sentence(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a supervisor may start it; Python then has no ``sys.stdin``."""
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(ConfigError, match="standard input is closed"):
        app(["NAME", "--stream", "--history", str(home / "history.parquet")], standalone_mode=False)


def test_a_stream_ends_cleanly_when_it_is_asked_to(home: Path) -> None:
    code = "import typer; from huracan.cli.predicting import predict; app = typer.Typer(); app.command()(predict); app()"
    arguments = [NAME, "--stream", "--replay", "--history", str(home / "history.parquet"), "--home", str(home)]
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(lines_of(home).splitlines()[0] + "\n")
    process.stdin.flush()
    assert json.loads(process.stdout.readline())["model_id"] == f"{NAME}/1"
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    process.stdin.close()
    process.stdout.close()
