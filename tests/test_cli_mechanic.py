"""``huracan mechanic``: a thin face; words that name no command are the work, and every refusal is one sentence."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

import polars as pl
import pytest
from sklearn.linear_model import Ridge
from typer.testing import CliRunner

from huracan.cli import app
from huracan.market import simulate_market
from huracan.model_info import ModelInfo
from huracan.model_registry import ModelRegistry

Cli = Callable[..., subprocess.CompletedProcess[str]]
QUICK = """
features: {recipe: minimal}
data: {simulation: {n_bars: 700, n_symbols: 1}}
mechanic: {learners: [ridge], train: 10d}
"""


@pytest.fixture
def mechanic(huracan: Cli, tmp_path: Path) -> Cli:
    (tmp_path / "c.yaml").write_text(QUICK)

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return huracan("mechanic", *words, "--config", "c.yaml")

    return run


@pytest.fixture(scope="module")
def candles() -> pl.DataFrame:
    return simulate_market(n_bars=300, n_symbols=1, seed=0).candles


def test_the_help_of_all_has_the_options_of_the_work() -> None:
    told = CliRunner().invoke(app, ["mechanic", "--help"]).output
    assert all(word in told for word in ("--once", "--every", "--metrics-port", "--config", "status", "replay"))


def test_one_turn_on_a_file_and_how_it_stands_then(mechanic: Cli, tmp_path: Path, candles: pl.DataFrame) -> None:
    candles.write_parquet(tmp_path / "candles.parquet")
    before = mechanic("status")
    assert before.returncode == 0
    assert before.stdout == f"No Mechanic has worked in {tmp_path} yet.\n"
    assert not (tmp_path / "huracan.db").exists()  # who only looks leaves nothing
    done = mechanic("candles.parquet", "--once")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Mechanic 'champion' at 2024-01-13 12:00 UTC: ")
    again = mechanic("candles.parquet", "--once")
    assert "nothing was to be done" in again.stdout
    [told] = json.loads(mechanic("status", "--json").stdout)
    assert told["name"] == "champion"
    assert told["last"]["bars"].keys() == {"SIM01-USD"}
    assert told["working"] is None


@pytest.fixture
def worked(mechanic: Cli, tmp_path: Path, candles: pl.DataFrame) -> Cli:
    """Where a Mechanic has worked."""
    candles.write_parquet(tmp_path / "candles.parquet")
    assert mechanic("candles.parquet", "--once").returncode == 0
    return mechanic


def test_promotions_are_frozen_and_thawed_with_a_reason(worked: Cli, tmp_path: Path) -> None:
    frozen = worked("freeze", "the exchange migrates").stdout
    assert frozen == f"Promotions and rollbacks of every Mechanic of {tmp_path}/huracan.db are frozen: the exchange migrates.\n"
    assert re.search("Promotions are frozen since [-0-9: ]+ UTC by .*: the exchange migrates[.]", worked("status").stdout)
    [told] = json.loads(worked("status", "--json").stdout)
    assert told["frozen"]["reason"] == "the exchange migrates" and told["frozen"]["at"] and told["frozen"]["actor"]
    assert worked("thaw", "done").returncode == 0
    assert "are frozen" not in worked("status").stdout
    unsaid = worked("freeze", " ")
    assert unsaid.returncode == 2
    assert "reason" in unsaid.stderr


@pytest.mark.parametrize("word", ["freeze", "thaw"])
def test_where_nobody_is_nothing_is_frozen_and_nothing_made(huracan: Cli, mechanic: Cli, tmp_path: Path, word: str) -> None:
    """As in another folder than the Mechanic's: whoever is told that all is frozen goes to bed."""
    refused = mechanic(word, "flash crash")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert f"there is no registry at {tmp_path}/huracan.db" in refused.stderr and "--home or --config names" in refused.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["c.yaml"]
    huracan("db", "upgrade")
    for named in ((), ("--name", "champion")):
        empty = mechanic(word, "flash crash", *named)
        assert (empty.returncode, empty.stdout) == (2, "")
        assert f"no Mechanic has worked in {tmp_path}/huracan.db" in empty.stderr and "a file FREEZE" in empty.stderr


def test_a_name_that_is_nobodys_is_not_frozen(worked: Cli) -> None:
    for word in ("freeze", "thaw"):
        misspelt = worked(word, "stop", "--name", "champoin")
        assert (misspelt.returncode, misspelt.stdout) == (2, "")
        assert "unknown Mechanic 'champoin'; did you mean 'champion'?" in misspelt.stderr
    assert worked("freeze", "stop", "--name", "champion").stdout == "Promotions and rollbacks of 'champion' are frozen: stop.\n"
    assert worked("thaw", "go", "--name", "champion").returncode == 0


def test_models_of_a_run_are_frozen_by_name_and_status_says_so(huracan: Cli, mechanic: Cli, tmp_path: Path) -> None:
    registry = ModelRegistry(f"sqlite:///{tmp_path}/huracan.db", artifacts=tmp_path / "artifacts")
    card = ModelInfo(
        name="ridge",
        purpose="forecast",
        ideal_dataset_shape="(1_000+ rows, 5-500 features)",
        feature_requirements=("numeric",),
        output_schema={"prediction": "forecast"},
        task="regression",
    )
    registry.register(Ridge().fit([[0.0], [1.0]], [0.0, 1.0]), card, name="btc")
    assert mechanic("freeze", "delisted", "--name", "btc").returncode == 0
    said = mechanic("status").stdout.splitlines()
    assert re.fullmatch(
        "Of 'btc', under which no Mechanic has worked, promotions are frozen since .* by .*: delisted[.]", said[-1]
    )
    refused = huracan("models", "promote", "btc", "1", "--reason", "now")
    assert refused.returncode == 2 and refused.stderr.count("\n") == 1 and "--although-frozen" in refused.stderr


def test_what_is_frozen_before_the_first_turn_is_frozen_at_it(mechanic: Cli, tmp_path: Path, candles: pl.DataFrame) -> None:
    candles.write_parquet(tmp_path / "candles.parquet")
    (tmp_path / "FREEZE").write_text("not yet")
    assert "promotions are frozen" in mechanic("candles.parquet", "--once").stdout


def test_a_misspelt_learner_is_refused_before_anything_is_trained(huracan: Cli, tmp_path: Path, candles: pl.DataFrame) -> None:
    candles.write_parquet(tmp_path / "candles.parquet")
    (tmp_path / "c.yaml").write_text(QUICK.replace("[ridge]", "[rigde]"))
    for words in (("mechanic", "candles.parquet", "--once"), ("mechanic", "candles.parquet", "--every", "1h")):
        refused = huracan(*words, "--config", "c.yaml")
        assert refused.returncode == 2
        assert "mechanic.learners.rigde: unknown learner 'rigde'; did you mean 'ridge'?" in refused.stderr


def test_a_replay_leaves_a_page_and_the_models_there_are_alone(mechanic: Cli, tmp_path: Path) -> None:
    done = mechanic("replay", "--every", "24h", "--from", "2024-01-20", "--to", "2024-01-25")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("In 5 days the Mechanic asked for ")
    page = Path(done.stdout.splitlines()[-1].removeprefix("Report: "))
    assert page.read_text().rstrip().endswith("</html>")
    assert page.parent.parent == tmp_path / "replays"
    assert not (tmp_path / "huracan.db").exists()
    told = mechanic("replay", "--every", "24h", "--from", "2024-01-20", "--to", "2024-01-25", "--json", "-")
    found = json.loads(told.stdout)
    assert found["last"] - found["first"] == 5 * 86_400_000
    assert len(found["content_hash"]) == 64


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("candles.parquet",), "either --once or --every"),
        (("--once", "--every", "1h"), "either --once or --every"),
        (("--every", "1x"), "--every is '1x'"),
        (("nothing.parquet", "--once"), "nothing.parquet does not exist"),
        (("replay", "--from", "yesterday"), "--from is 'yesterday'"),
        (("replay", "--from", "2030-01-01"), "no turn lies between"),
        (("replay", "--html", "no/folder.html"), "a file in a folder that exists"),
        (("freeze",), "reason"),
        (("status", "--name", "btc"), "No Mechanic has worked in"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(mechanic: Cli, words: tuple[str, ...], said: str) -> None:
    done = mechanic(*words)
    assert done.returncode == 2
    assert said.lower() in done.stderr.lower()
    assert "Traceback" not in done.stderr


def test_help_names_the_commands(huracan: Cli) -> None:
    for words in ((), ("--help",)):
        done = partial(huracan, "mechanic")(*words)
        assert all(name in done.stdout + done.stderr for name in ("status", "freeze", "thaw", "replay"))
