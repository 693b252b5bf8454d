"""``huracan models`` and ``huracan db``: a thin face, every end with its code and one sentence."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from sklearn.linear_model import Ridge
from typer.testing import CliRunner, Result

from huracan.cli import app
from huracan.errors import AuditError, HuracanError, PromotionConflict, PromotionsFrozen, RegistryError, StorageError
from huracan.integration.feedback.switch import Switch
from huracan.model_info import MarketRegime, ModelInfo, RegimeSkill
from huracan.model_registry import ModelRegistry
from huracan.registry.consistency import check_consistency
from huracan.storage.tables import runs

X = np.random.default_rng(0).standard_normal((80, 3)).astype(np.float32)
Cli = Callable[..., Result]


def card(name: str, **more: Any) -> ModelInfo:
    return ModelInfo(
        name=name,
        purpose="forecast",
        ideal_dataset_shape="(1_000+ rows, 5-500 features)",
        feature_requirements=("numeric",),
        output_schema={"prediction": "forecast of the label"},
        task="regression",
        **more,
    )


@pytest.fixture
def registry(tmp_path: Path) -> ModelRegistry:
    skill = RegimeSkill(
        regime=MarketRegime.TRENDING,
        skill=0.2,
        ci_low=0.1,
        ci_high=0.3,
        p_adjusted=0.01,
        n_effective=90.0,
        n_rows=100,
        n_spells=4,
    )
    made = ModelRegistry(f"sqlite:///{tmp_path}/huracan.db", artifacts=tmp_path / "artifacts")
    for slope, name in ((1.0, "ridge"), (2.0, "ridge"), (3.0, "lasso")):
        model = Ridge().fit(X, slope * X[:, 0])
        info = card(name, regime_evidence=(skill,) if name == "lasso" else ())
        made.register(model, info, name="btc", metrics={"sharpe": slope}, tags={"desk": name}, probe=X)
    return made


@pytest.fixture
def cli(registry: ModelRegistry, tmp_path: Path) -> Cli:
    def call(*words: str, fails: type[HuracanError] | None = None, code: int = 0) -> Result:
        result = CliRunner().invoke(app, [*words, "--home", str(tmp_path)])
        if fails is not None:
            assert isinstance(result.exception, fails), (result.exception, result.output)
        else:
            assert result.exit_code == code, (result.output, result.exception)
        return result

    return call


def test_versions_are_listed_newest_first_a_page_at_a_time_and_by_what_they_are(cli: Cli, registry: ModelRegistry) -> None:
    registry.promote("btc", 2, reason="first")
    rows = json.loads(cli("models", "list", "--json").stdout)
    assert [row["version"] for row in rows] == [3, 2, 1]
    assert [row["aliases"] for row in rows] == [[], ["champion"], []]
    page = cli("models", "list", "btc", "--limit", "2").stdout
    assert "btc@3" in page and "btc@1" not in page
    assert f"More may follow: --before {rows[1]['id']}." in page
    assert [r["version"] for r in json.loads(cli("models", "list", "--before", str(rows[1]["id"]), "--json").stdout)] == [1]
    assert cli("models", "list", "--learner", "lstm").stdout.endswith(
        "No version is as asked; --stage any shows archived ones too.\n"
    )
    for words in (("--tag", "desk=lasso"), ("--learner", "lasso"), ("--regime", "trending", "--evidence", "significant")):
        assert [row["version"] for row in json.loads(cli("models", "list", *words, "--json").stdout)] == [3]
    assert "+0.2" in cli("models", "list", "--regime", "trending").stdout
    cli("models", "archive", "btc", "1", "--reason", "old")
    assert [r["version"] for r in json.loads(cli("models", "list", "--stage", "archived", "--json").stdout)] == [1]
    cli("models", "archive", "btc", "1", "--reason", "needed", "--restore")
    assert len(json.loads(cli("models", "list", "--json").stdout)) == 3


def test_a_version_is_shown_whole_and_two_side_by_side(cli: Cli) -> None:
    shown = cli("models", "show", "btc@3").stdout
    for words in ("btc/3", "lasso", "metrics sharpe", "tags desk", "trending", "+0.1 to +0.3", "verified"):
        assert words in shown
    assert json.loads(cli("models", "show", "btc@3", "--json").stdout)["card"]["regime_evidence"][0]["n_spells"] == 4
    both = cli("models", "compare", "btc@1", "btc@3").stdout
    assert "metrics sharpe" in both and "card purpose" not in both
    assert "Both say the same in" in both
    assert json.loads(cli("models", "compare", "btc@1", "btc@3", "--json").stdout)["b"]["learner"] == "lasso"


def test_an_alias_is_withdrawn_and_the_last_rollback_leaves_it_to_nobody(cli: Cli, registry: ModelRegistry) -> None:
    cli("models", "promote", "btc", "1", "--reason", "first")
    cli("models", "promote", "btc", "2", "--reason", "its own", "--symbol", "BTC", "--regime", "trending")
    cli("models", "withdraw", "btc", "--reason", "r", "--expected", "3", fails=PromotionConflict)
    gone = cli(*("models", "withdraw", "btc", "--reason", "it broke", "--symbol", "BTC", "--regime", "trending"))
    assert gone.stdout == "'champion' of 'btc' for BTC for trending is nobody's.\n"
    assert registry.aliases("btc") == {"champion": 1}
    told = json.loads(cli("models", "rollback", "btc", "--json").stdout)
    assert told == {"name": "btc", "alias": "champion", "symbol": None, "regime": None, "version": None, "generation": None}
    cli("models", "withdraw", "btc", "--reason", "r", fails=RegistryError)
    cli("models", "rollback", "btc", fails=RegistryError)


def test_a_list_names_an_alias_that_was_changed_and_lists_on(cli: Cli, registry: ModelRegistry) -> None:
    registry.promote("btc", 1, reason="first")
    with registry.database.transaction() as connection:
        connection.execute(sa.text("update aliases set version = 2"))
    listed = cli("models", "list")
    assert "btc@3" in listed.stdout and "champion" not in listed.stdout
    assert "alias 'champion' of model 'btc' points to version 2, the audit says version 1" in listed.stderr
    cli("models", "show", "btc", fails=AuditError)


def test_a_champion_that_is_frozen_is_moved_by_hand_only_where_that_is_said(cli: Cli, registry: ModelRegistry) -> None:
    cli("models", "promote", "btc", "1", "--reason", "first")
    Switch(registry.database, "btc").freeze("flash crash", actor="ann", at=0)
    moves = (("promote", "btc", "2"), ("rollback", "btc"), ("withdraw", "btc"))
    for words in moves:
        refused = cli("models", *words, "--reason", "r", fails=PromotionsFrozen)
        said = str(refused.exception)
        assert "frozen since 1970-01-01 00:00 UTC by ann: flash crash" in said and "--although-frozen" in said
    assert registry.holder("btc")[0] == 1
    cli("models", "promote", "btc", "2", "--alias", "canary", "--reason", "no champion's")
    for words in moves:
        cli("models", *words, "--reason", "r", "--although-frozen")
    assert registry.history("btc").filter(alias="champion")["action"].to_list() == [
        "promote",
        "promote",
        "rollback",
        "withdraw",
    ]


def test_promotion_compares_before_it_sets_and_history_tells_of_it(cli: Cli, registry: ModelRegistry) -> None:
    first = cli("models", "promote", "btc", "1", "--reason", "first", "--expected", "none", "--evidence", "run-7")
    assert first.stdout == "'champion' of 'btc' is version 1.\n"
    cli("models", "promote", "btc", "2", "--reason", "r", "--expected", "none", fails=PromotionConflict)
    cli("models", "promote", "btc", "2", "--reason", "better", "--expected", "1")
    cli("models", "promote", "btc", "3", "--reason", "its own", "--symbol", "BTC", "--regime", "trending")
    assert (
        "for BTC for trending was version 3 already; nothing was written"
        in cli(*("models", "promote", "btc", "3", "--reason", "again", "--symbol", "BTC", "--regime", "trending")).stdout
    )
    assert cli("models", "rollback", "btc", "--reason", "it broke").stdout == "'champion' of 'btc' is version 1 again.\n"
    assert registry.aliases("btc")["champion"] == 1
    told = cli("models", "history", "btc", "--verify").stdout
    for words in ("register", "promote", "rollback", "it broke", "BTC trending", "rows is unbroken"):
        assert words in told
    rows = json.loads(cli("models", "history", "btc", "--json").stdout)
    assert "run-7" in next(row for row in rows if row["action"] == "promote")["evidence"]


def test_a_version_is_verified_and_taken_out_with_its_files(cli: Cli, registry: ModelRegistry, tmp_path: Path) -> None:
    assert "is verified: its artifact is whole, 80 answers on 80 rows are equal" in cli("models", "verify", "btc@3").stdout
    cli("models", "export", "btc@3", str(tmp_path / "out"))
    written = {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()}
    facts = json.loads(written.pop("version.json"))
    assert written == registry.artifacts.get(facts["digest"])
    cli("models", "export", "btc@3", str(tmp_path / "out"), fails=StorageError)
    told = json.loads(cli("models", "export", "btc@3", str(tmp_path / "graph"), "--onnx", "--json").stdout)
    assert (told["model_id"], told["files"]) == ("btc/3", ["serving.onnx", "version.json"])
    assert (tmp_path / "graph" / "serving.onnx").stat().st_size > 0
    registry.register(Ridge().fit(X, X[:, 1]), card("ridge"), name="btc")
    said = str(cli("models", "export", "btc@4", str(tmp_path / "none"), "--onnx", fails=RegistryError).exception)
    assert said == "btc/4 has no ONNX graph: no rows were given to check an export on when it was registered."
    file = registry.artifacts.path(registry.get("btc", version=2).digest) / "model.skops"
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    assert "btc/2 is not verified" in cli("models", "verify", "btc@2", code=3).output
    cli("models", "promote", "btc", "2", "--reason", "r", fails=RegistryError)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("list", "btd"), "did you mean 'btc'"),
        (("list", "--stage", "activ"), "did you mean 'active'"),
        (("list", "--tag", "desk"), "--tag is 'desk'; KEY=VALUE was expected"),
        (("list", "--regime", "trendy"), "trendy"),
        (("show", "btc@9"), "has no version 9"),
        (("show", "btc@challengr"), "alias"),
        (
            ("promote", "btc", "1", "--reason", "r", "--expected", "two"),
            "--expected is 'two'; the number of a version",
        ),
        (("promote", "btc", "1", "--reason", " "), "needs a reason"),
        (("rollback", "btc"), "alias"),
    ],
)
def test_bad_input_is_a_sentence(cli: Cli, words: tuple[str, ...], said: str) -> None:
    assert said in str(cli("models", *words, fails=HuracanError).exception)


def test_what_is_changed_is_told_to_programs(cli: Cli, registry: ModelRegistry) -> None:
    def told(*words: str, code: int = 0) -> dict[str, Any]:
        return json.loads(cli("models", *words, "--json", code=code).stdout)

    first = told("promote", "btc", "1", "--reason", "r", "--symbol", "ETH", "--regime", "trending")
    assert first.pop("generation") > 0
    assert first == {"name": "btc", "alias": "champion", "symbol": "ETH", "regime": "trending", "version": 1}
    told("promote", "btc", "2", "--reason", "r", "--symbol", "ETH", "--regime", "trending")
    assert told("rollback", "btc", "--symbol", "ETH", "--regime", "trending")["version"] == 1
    assert told("archive", "btc", "2", "--reason", "old") == {"name": "btc", "version": 2, "stage": "archived"}
    assert told("archive", "btc", "2", "--reason", "new", "--restore")["stage"] == "active"
    assert told("show", "btc@3")["probe_rows"] == 80
    file = registry.artifacts.path(registry.get("btc", version=2).digest) / "model.skops"
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    found = told("verify", "btc@2", code=3)
    assert (found["model_id"], found["verified"]) == ("btc/2", False)
    assert "is damaged" in found["reason"]


def test_an_export_that_fails_leaves_nothing(
    cli: Cli, registry: ModelRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "deep" / "out"
    with monkeypatch.context() as failing:

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        failing.setattr("huracan.storage.whole_files.os.rename", full)
        said = str(cli("models", "export", "btc@3", str(out), fails=StorageError).exception)
        assert f"{out} cannot be written: the disk is full" in said
        assert list(out.parent.iterdir()) == []
    cli("models", "export", "btc@3", str(out))
    assert [file.name for file in out.parent.iterdir()] == ["out"]
    with registry.database.transaction() as connection:
        connection.execute(sa.text("""update model_versions set metrics = '{"sharpe": 9}' where version = 2"""))
    cli("models", "export", "btc@2", str(tmp_path / "changed"), fails=AuditError)
    assert not (tmp_path / "changed").exists()


def test_who_reads_only_the_first_lines_of_an_export_is_no_failure(registry: ModelRegistry, tmp_path: Path) -> None:
    with registry.database.transaction() as connection:  # more than a pipe holds
        rows = [{"run_id": f"r{number}", "status": "done", "summary": {"said": "x" * 1_000}} for number in range(300)]
        connection.execute(sa.insert(runs), rows)
    words = [sys.executable, "-m", "huracan", "db", "export", "-", "--home", str(tmp_path)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline().startswith(b'{"schema"')
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(60) == 0


def test_a_home_without_a_registry_is_said_and_not_filled(tmp_path: Path) -> None:
    for words in (("models", "list"), ("db", "check"), ("db", "export", "-")):
        result = CliRunner().invoke(app, [*words, "--home", str(tmp_path / "none")])
        assert "there is no registry at" in str(result.exception)
    assert not (tmp_path / "none").exists()


def test_the_database_is_made_and_brought_up_to_date(tmp_path: Path) -> None:
    first, again = (CliRunner().invoke(app, ["db", "upgrade", "--home", str(tmp_path / "new")]) for _ in range(2))
    assert "brought from schema none to" in first.stdout
    assert "was up to date at schema" in again.stdout


def test_a_backup_is_whole_while_others_write_and_a_lost_end_is_told(cli: Cli, registry: ModelRegistry, tmp_path: Path) -> None:
    with registry.database.engine.connect() as busy:  # somebody has it open, so the newest transactions are not in its file
        busy.exec_driver_sql("select 1")
        registry.promote("btc", 1, reason="first")
        said = cli("db", "backup", str(tmp_path / "copy.db"))
        (tmp_path / "heads.json").write_text(cli("db", "heads").stdout)
    assert "copy that folder now" in said.stdout
    cli("db", "backup", str(tmp_path / "copy.db"), fails=StorageError)
    cli("db", "check", "--heads", str(tmp_path / "heads.json"))
    copy = ModelRegistry(f"sqlite:///{tmp_path}/copy.db", artifacts=tmp_path / "artifacts")
    assert copy.get("btc").version == 1
    assert copy.history("btc").equals(registry.history("btc"))
    registry.promote("btc", 2, reason="better")
    later = json.loads(cli("db", "heads").stdout)
    [lost] = check_consistency(copy.database, copy.artifacts, heads=later).defects
    assert lost == "audit of 'btc' had 5 rows when its head was kept and has fewer now: what came last is lost"
    copy.database.close()
    (tmp_path / "heads.json").write_text(json.dumps({"btc": {**later["btc"], "hash": "f"}}))
    assert "it is not the row that was there" in cli("db", "check", "--heads", str(tmp_path / "heads.json"), code=3).stdout
    (tmp_path / "heads.json").write_text("[]")
    cli("db", "check", "--heads", str(tmp_path / "heads.json"), fails=StorageError)


def test_every_defect_of_a_registry_is_found_at_once(cli: Cli, registry: ModelRegistry) -> None:
    registry.promote("btc", 1, reason="first")
    registry.artifacts.put({"left": b"behind"})
    whole = cli("db", "check").stdout
    assert "note: 1 artifact(s) belong to no version" in whole
    assert "0 defect(s); checked: names of models 1, " in whole
    file = registry.artifacts.path(registry.get("btc", version=2).digest) / "model.skops"
    file.write_bytes(b"rot")
    with registry.database.transaction() as connection:
        connection.execute(sa.text("update aliases set version = 3"))
    found = json.loads(cli("db", "check", "--json", code=3).stdout)
    assert len(found["defects"]) == 2
    assert "alias 'champion' of 'btc' points to version 3, the audit says 1" in found["defects"]
    assert any("'model.skops'" in said and "needed by btc/2" in said for said in found["defects"])
    assert "2 defect(s); " in cli("db", "check", code=3).stdout


def test_the_whole_database_is_written_a_row_a_line(cli: Cli, registry: ModelRegistry, tmp_path: Path) -> None:
    registry.promote("btc", 1, reason="first")
    assert "rows of" in cli("db", "export", str(tmp_path / "all.ndjson")).stdout
    lines = [json.loads(line) for line in (tmp_path / "all.ndjson").read_text().splitlines()]
    assert set(lines[0]) == {"schema"}
    counted: dict[str, int] = {}
    for line in lines[1:]:
        counted[line["table"]] = counted.get(line["table"], 0) + 1
    assert (counted["model_versions"], counted["aliases"], counted["audit"], counted["models"]) == (3, 1, 4, 3)
    assert cli("db", "export", "-").stdout.splitlines() == (tmp_path / "all.ndjson").read_text().splitlines()
    cli("db", "export", str(tmp_path), fails=StorageError)


def test_old_versions_give_up_their_files_and_keep_their_history(cli: Cli, registry: ModelRegistry, tmp_path: Path) -> None:
    keep = tmp_path / "keep.yaml"
    keep.write_text("registry: {retention: {keep_last: 1, keep_days: 0}}\n")
    registry.promote("btc", 1, reason="first")
    assert cli("models", "retain", "--dry-run", "-c", str(keep)).stdout.split() == ["btc/2"]
    assert cli("models", "retain").stdout.startswith("Nothing is old enough.")
    assert json.loads(cli("models", "retain", "--json", "-c", str(keep)).stdout)["removed"] == ["btc/2"]
    assert "btc/2" in cli("models", "show", "btc@2").stdout
    with pytest.raises(RegistryError, match="gave up its artifact"):
        registry.load("btc", version=2)
    registry.load("btc", version=1)
