"""``huracan rl evaluate``: the hold-out untouched, finished runs kept, and what was found on the card of what is trained."""

import json
import signal

import polars as pl
import pytest
import yaml
from typer.testing import CliRunner

from huracan import UnifiedMLPipeline
from huracan.cli import app
from huracan.config import load_config
from huracan.errors import ConfigError, NotEnoughData
from huracan.integration import rl_evaluation_job
from huracan.integration.preparation import read_source
from huracan.integration.rl_evidence import evaluations_beside, evidence_for
from huracan.integration.rl_job import before_the_hold_out, market_of, training_key
from huracan.storage import RunLog, RunStatus


def settings(home, evaluation=None, **rl):
    return {
        "home": str(home),
        "features": {"recipe": "minimal"},
        "training": {"n_jobs": 1},
        "data": {"simulation": {"n_bars": 900, "n_symbols": 2, "signal_strength": 3.0}},
        "rl": {
            "total_steps": 1_000,
            "n_envs": 4,
            "episode_length": 50,
            "agent": {"hidden": [8], "learning_rate": 0.01, "weight_decay": 0.0},
            "evaluation": {"n_windows": 1, "seeds": 2, **(evaluation or {})},
            **rl,
        },
    }


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def found(home):
    return UnifiedMLPipeline(settings(home)).evaluate_agent()


def test_nothing_of_the_hold_out_is_decided_on(found, home):
    config = load_config(settings(home))
    seen = before_the_hold_out(market_of(config, read_source(config)), config)
    last = seen.ts[seen.decidable].max()
    played = found.evaluation.bars["ts"].dt.replace_time_zone(None).max()
    assert played <= last.item()
    assert found.evaluation.windows["test_end"].max().replace(tzinfo=None) <= (last + seen.bar_length).item()


def test_tables_json_and_page_say_the_same(found):
    told = json.loads((found.folder / "evaluation.json").read_text())
    assert told["verdict"]["sentence"] == found.verdict.sentence
    assert [row["strategy"] for row in told["summary"]] == list(found.evaluation.strategies)
    summary = pl.read_csv(found.folder / "summary.csv")
    assert summary["mean_bps"].to_list() == pytest.approx(found.summary["mean_bps"].to_list())
    assert pl.read_csv(found.folder / "runs.csv").height == found.evaluation.runs.height == 14
    assert pl.read_parquet(found.folder / "bars.parquet").equals(found.evaluation.bars)
    assert {"by_symbol.csv", "by_regime.csv", "learning_curves.csv"} <= {file.name for file in found.folder.iterdir()}
    page = found.report_path.read_text()
    assert found.verdict.sentence.partition(": ")[0] in page and "before the locked hold-out" in page


def test_more_seeds_cost_only_themselves(found, home, monkeypatch):
    trained = []
    real = rl_evaluation_job.new_agent

    def counted(config, seed):
        trained.append(seed)
        return real(config, seed)

    monkeypatch.setattr(rl_evaluation_job, "new_agent", counted)
    wider = UnifiedMLPipeline(settings(home, {"seeds": 3})).evaluate_agent()
    assert trained == [0, 2]  # the first was looked at, and not trained
    assert wider.folder == found.folder
    assert wider.evaluation.bars.filter(pl.col("seed") < 2).equals(found.evaluation.bars.filter(pl.col("seed") < 2))


def test_what_was_found_stands_on_the_card_of_the_agent_that_is_trained(found, home):
    pipeline = UnifiedMLPipeline(settings(home))
    told = found.folder / "evaluation.json"
    content = told.read_bytes()
    told.unlink()
    before = pipeline.train_agent()
    told.write_bytes(content)
    after, again = pipeline.train_agent(), pipeline.train_agent()
    assert before.evidence is None
    assert (before.version, after.version, again.version) == (1, 2, 2)
    kept = json.loads(content)
    version = pipeline.registry.versions(after.name)[-1]
    assert after.agent.model_info().regime_evidence == version.info.regime_evidence
    assert before.agent.model_info().regime_evidence == ()
    assert [skill.model_dump(mode="json") for skill in version.info.regime_evidence] == kept["regime_evidence"] != []
    assert version.metrics["mean_bps"] == kept["summary"][0]["mean_bps"]
    assert version.extras["evidence"]["sentence"] == kept["verdict"]["sentence"]
    assert all("bars" in said and "interval" in said for said in version.extras["evidence"]["regimes"])
    assert evidence_for(home / "evaluations", "another training") is None
    told.write_text("{")
    assert evidence_for(home / "evaluations", before.folder.name) is None
    told.write_bytes(content)


def test_agents_that_learned_for_another_time_or_alone_are_no_evidence(home):
    config = load_config(settings(home))
    own = rl_evaluation_job._speaks_of(config, "data")
    assert own == training_key(config, "data")
    longer = load_config(settings(home, {"total_steps": 5_000}))
    assert rl_evaluation_job._speaks_of(longer, "data") == training_key(load_config(settings(home, total_steps=5_000)), "data")
    assert rl_evaluation_job._speaks_of(load_config(settings(home, {"one_agent_per_symbol": True})), "data") is None


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"agent": {"learning_rte": 1.0}}, ConfigError, r"rl\.agent: unknown"),
        ({"max_leverage": 0.5}, ConfigError, "rl: max_leverage"),
        ({"observe": ["time_left"], "rebalance": False}, ConfigError, "nobody knows how long"),
        ({"episode_length": 5_000}, NotEnoughData, "longer than the data"),
        ({"evaluation": {"seeds": 0}}, ConfigError, "'rl.evaluation.seeds' is 0"),
        ({"evaluation": {"train": "shrinking"}}, ConfigError, "rl.evaluation.train"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_no_trace(tmp_path, changes, error, said):
    with pytest.raises(error, match=said):
        UnifiedMLPipeline(settings(tmp_path / "home", **changes)).evaluate_agent()
    assert not (tmp_path / "home").exists()


def test_the_command_prints_a_table_or_json(found, tmp_path, monkeypatch):
    asked = []

    def known(pipeline, candles, *, progress):
        asked.append(pipeline.config.rl.evaluation)
        return found

    monkeypatch.setattr(UnifiedMLPipeline, "evaluate_agent", known)
    before = signal.getsignal(signal.SIGINT)
    target = tmp_path / "found.json"
    try:
        options = ["--seeds", "7", "--windows", "3", "--steps", "99", "--json", str(target)]
        table = CliRunner().invoke(app, ["rl", "evaluate", *options])
        plain = CliRunner().invoke(app, ["rl", "evaluate", "--json", "-"])
        refused = CliRunner().invoke(app, ["rl", "evaluate", "--json", str(tmp_path / "no" / "x.json")])
    finally:
        signal.signal(signal.SIGINT, before)
    assert table.exit_code == 0, table.output
    assert table.stdout.startswith(found.verdict.sentence)
    for word in ("agent", "flat", "buy_and_hold", "random", "myopic", "over seeds", "drawdown", "turnover", "exposed"):
        assert word in table.stdout
    assert str(found.report_path) in table.stdout
    assert (asked[0].seeds, asked[0].n_windows, asked[0].total_steps) == (7, 3, 99)
    assert json.loads(target.read_text()) == json.loads(plain.stdout) == found.to_dict()
    assert "a folder that exists was expected" in str(refused.exception)


def test_ctrl_c_leaves_finished_runs_and_the_code_of_a_stop(tmp_path, monkeypatch):
    told = tmp_path / "c.yaml"
    told.write_text(yaml.safe_dump(settings(tmp_path / "home")))
    real, made = rl_evaluation_job.new_agent, []

    def stopped(config, seed):
        made.append(seed)
        if len(made) == 3:  # once looked at, one trained
            raise KeyboardInterrupt
        return real(config, seed)

    monkeypatch.setattr(rl_evaluation_job, "new_agent", stopped)
    before = signal.getsignal(signal.SIGINT)
    try:
        done = CliRunner().invoke(app, ["rl", "evaluate", "-c", str(told)])
    finally:
        signal.signal(signal.SIGINT, before)
    assert done.exit_code == 130
    (folder,) = (tmp_path / "home" / "evaluations").iterdir()
    assert len(list(folder.glob("runs/window-*/told.json"))) == 1
    assert not (folder / "report.html").exists()
    log = RunLog(UnifiedMLPipeline(settings(tmp_path / "home")).registry.database)
    (stopped,) = log.find()
    assert (stopped.status, stopped.summary["error"]) == (RunStatus.INTERRUPTED, "stopped by the user")
    monkeypatch.undo()
    CliRunner().invoke(app, ["rl", "evaluate", "--config", str(told)])
    (finished,) = log.find()  # in the same line
    assert (finished.run_id, finished.status) == (stopped.run_id, RunStatus.FINISHED)
    assert finished.report_path == str(folder / "report.html")


def test_the_log_of_runs_has_a_line_for_an_evaluation(found, home):
    log = RunLog(UnifiedMLPipeline(settings(home)).registry.database)
    run = log.find()[-1]
    assert run.status is RunStatus.FINISHED
    assert run.data_hash == json.loads((found.folder / "evaluation.json").read_bytes())["data_hash"]
    told = {"job": "rl evaluate", "evaluation": found.folder.name, "verdict": found.verdict.sentence, "tried": 1}
    assert told.items() <= run.summary.items()
    before = len(log.find())
    UnifiedMLPipeline(settings(home)).evaluate_agent()
    again = log.find()
    assert len(again) == before + 1
    assert again[0].result_hash == run.result_hash


def test_evaluations_of_the_same_candles_are_counted(tmp_path):
    def evaluated(**changes):
        return UnifiedMLPipeline(settings(tmp_path, total_steps=200, **changes)).evaluate_agent()

    first, again = evaluated(), evaluated()
    second = evaluated(downside_penalty=0.5)
    assert [found.evaluation.tried for found in (first, again, second)] == [1, 1, 2]
    told = json.loads((second.folder / "evaluation.json").read_text())
    assert told["data_hash"] == json.loads((first.folder / "evaluation.json").read_text())["data_hash"]
    assert told["tried"] == 2
    assert any("2 evaluations were made on these candles" in reason for reason in told["reasons"])
    assert "2 evaluations were made on these candles" in second.report_path.read_text()
    pipeline = UnifiedMLPipeline(settings(tmp_path, total_steps=200, downside_penalty=0.5))
    trained = pipeline.train_agent()
    assert trained.evidence.tried == 2
    assert pipeline.registry.get(trained.name, version=trained.version).extras["evidence"]["tried"] == 2
    own = training_key(load_config(settings(tmp_path, total_steps=200)), told["data_hash"])
    early = evidence_for(tmp_path / "evaluations", own)
    kept = json.loads((first.folder / "evaluation.json").read_text())
    assert early.tried == 2  # who trains has seen the second, too
    assert "evaluated once more" in early.sentence
    ps = [min(1.0, 2 * skill["p_adjusted"]) for skill in kept["regime_evidence"]]
    assert [skill.p_adjusted for skill in early.regimes] == ps
    (first.folder / "evaluation.json").write_text("{")
    assert evaluations_beside(second.folder, told["data_hash"]) == 0
