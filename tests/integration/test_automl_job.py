"""``run_automl``: nothing unjudged is crowned, nothing uncrowned serves, the hold-out is looked at once, and a page says so."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from huracan import UnifiedMLPipeline
from huracan.catalogue import signal_score
from huracan.config import config_hash, load_config
from huracan.errors import ConfigError, ModelError, UnknownName
from huracan.integration.automl_job import NAME, AutoMLResult
from huracan.integration.run_folder import RunFolder
from huracan.storage import RunLog, RunStatus

SEARCH = {"learners": ["ridge", "lightgbm"], "max_trials": 4, "n_splits": 2}
PLANTED = {"simulation": {"n_bars": 2000, "n_symbols": 2, "signal_strength": 3.0}}
NOISE = {"simulation": {"n_bars": 900, "n_symbols": 2, "signal_strength": 0.0}}


def search(small_config: Any, home: Path, **changes: Any) -> tuple[UnifiedMLPipeline, AutoMLResult]:
    pipeline = UnifiedMLPipeline(small_config(home, **{"automl": SEARCH, **changes}))
    return pipeline, pipeline.run_automl()


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory, small_config: Any) -> tuple[UnifiedMLPipeline, AutoMLResult]:
    """One finished search on a market with a strong edge."""
    return search(small_config, tmp_path_factory.mktemp("home"), data=PLANTED)


def test_a_planted_edge_is_crowned_on_rows_no_trial_has_seen_and_served(planted: Any) -> None:
    pipeline, result = planted
    assert result.champion == NAME and result.judgement.crowned
    entry = pipeline.registry.get("champion.simulated", alias="champion")
    assert entry.version == result.model_version
    assert entry.metrics["gain"] == pytest.approx(result.judgement.gain)
    assert "policy" in entry.extras and entry.extras["automl"]["weights"] == result.engine.weights_
    served = pipeline.registry.load("champion.simulated")
    rows = np.random.default_rng(0).standard_normal((20, len(entry.info.signature.columns))).astype(np.float32)
    np.testing.assert_array_equal(signal_score(served, rows), signal_score(result.engine.best_model_, rows))
    assert result.predictions.columns == ["symbol", "ts", "regime", "score", "probability_up", "position"]
    assert result.predictions["score"].is_not_null().all()


def test_the_registered_model_knows_nothing_of_the_hold_out(planted: Any) -> None:
    pipeline, result = planted
    entry = pipeline.registry.get("champion.simulated", alias="champion")
    assert entry.provenance.trained_until < result.content.judgement.start
    assert result.content.judgement.end > result.content.judgement.start


def test_the_look_is_counted_and_the_run_is_in_the_database(planted: Any) -> None:
    pipeline, result = planted
    log = RunLog(pipeline.registry.database)
    run = log.get(result.run_id)
    assert (run.status, run.result_hash, run.summary["job"]) == (RunStatus.FINISHED, result.result_hash, NAME)
    (look,) = log.hold_out_uses(run.data_hash or "")
    assert (look.run_id, look.why) == (result.run_id, f"report on {NAME}")


def test_the_page_says_what_was_searched_chosen_and_judged(planted: Any) -> None:
    _, result = planted
    content, page = result.content, result.report_path.read_text()
    assert content.verdict == result.verdict and content.verdict in page
    assert content.history.height == content.leaderboard.height == 4
    assert sum(member.weight for member in content.members) == pytest.approx(1.0)
    best = content.history["best"].drop_nulls().to_list()
    assert best == sorted(best), "the best so far never falls"
    assert content.budget["allowed"] == "4 trials" and content.reproducible
    assert all(one.reason for one in content.importances), "four trials tell nothing of what mattered"
    assert content.hold_out is not None and content.equity is not None and content.equity.columns[0] == "ts"


def test_noise_is_not_crowned_and_the_baseline_serves(tmp_path: Path, small_config: Any) -> None:
    pipeline, result = search(small_config, tmp_path, data=NOISE)
    assert result.champion is None and not result.deserves_money
    entry = pipeline.registry.get("champion.simulated", alias="champion")
    assert entry.info.name == "majority"
    assert result.predictions["position"].to_list() == [0.0, 0.0]
    again = UnifiedMLPipeline(small_config(tmp_path, automl=SEARCH, data=NOISE)).run_automl()
    assert again.result_hash == result.result_hash, "the same seed and trials give the same bits"
    assert again.registered.startswith(("version 1", "the earlier champion")), "one baseline is enough"
    assert any("had been looked at 1 time before" in note for note in again.content.notes)


@pytest.mark.slow
def test_markets_without_an_edge_crown_nobody(tmp_path: Path, small_config: Any) -> None:
    """A crown needs a whole 95 % interval above zero: one noise market in forty, so that 4 of 20 have p < .002."""
    crowned = 0
    for seed in range(20):
        wanted = {**SEARCH, "max_trials": 6}
        crowned += search(small_config, tmp_path / str(seed), data=NOISE, seed=seed, automl=wanted)[1].champion is not None
    assert crowned <= 3


def test_classification_is_searched_and_judged_by_probability(tmp_path: Path, small_config: Any) -> None:
    wanted = {**SEARCH, "learners": ["logistic_regression"], "task": "classification", "max_trials": 2}
    _, result = search(small_config, tmp_path, data=PLANTED, automl=wanted)
    assert result.champion == NAME
    assert result.engine.best_model_.model_info().task == "classification"


def test_a_stopped_search_keeps_its_run_and_the_same_command_goes_on_under_its_name(
    tmp_path: Path, small_config: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huracan.integration import automl_job

    config = small_config(tmp_path, automl=SEARCH, data=NOISE)
    told: list[str] = []

    class Stopped(automl_job.AutoMLEngine):  # type: ignore[name-defined,misc]
        def fit(self, *args: Any, **kwargs: Any) -> Any:
            if len(told) == 1:
                raise KeyboardInterrupt
            return super().fit(*args, **kwargs)

        def __init__(self, **settings: Any) -> None:
            super().__init__(**settings)
            if settings.get("study") is not None:
                told.append(settings["study"])

    monkeypatch.setattr(automl_job, "AutoMLEngine", Stopped)
    with pytest.raises(KeyboardInterrupt):
        UnifiedMLPipeline(config).run_automl()
    (folder,) = (tmp_path / "runs").iterdir()
    result = UnifiedMLPipeline(config).run_automl()
    assert result.run_id == folder.name
    assert told == [folder.name, folder.name], "the study has the run's name"
    assert UnifiedMLPipeline(config).run_automl(study="mine").run_id != folder.name
    assert told[-1] == "mine"


def test_what_failed_while_it_was_fitted_on_less_leaves_an_account_out_and_says_so(
    tmp_path: Path, small_config: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huracan.integration import refitting

    def fails(self: Any, rows: Any, *, seed: int) -> Any:
        raise ModelError("not on so few rows")

    monkeypatch.setattr(refitting.Refitting, "fit", fails)
    _, result = search(small_config, tmp_path, data=PLANTED, automl={**SEARCH, "max_trials": 1})
    assert result.hold_out is None and not result.deserves_money
    assert "not on so few rows" in result.content.not_run["positions"]
    assert "not on so few rows" in result.report_path.read_text()
    assert result.predictions["position"].to_list() == [0.0, 0.0], "nobody says how its scores become positions"


@pytest.mark.parametrize(
    ("changes", "kind", "said"),
    [
        ({"automl": {"learners": ["rigde"]}}, UnknownName, "automl: unknown learner 'rigde'; did you mean 'ridge'?"),
        (
            {"automl": {"learners": ["naive_bayes"]}},
            ModelError,
            "automl: learners holds naive_bayes, which does not do regression",
        ),
        ({"training": {"pooling": "per_symbol"}}, ConfigError, "training.pooling is per_symbol"),
        ({"validation": {"hold_out_share": 0.0}}, ConfigError, "validation.hold_out_share is 0"),
    ],
)
def test_a_search_that_cannot_be_is_refused_before_anything_is_written(
    tmp_path: Path, small_config: Any, changes: dict[str, Any], kind: type[Exception], said: str
) -> None:
    home = tmp_path / "home"
    with pytest.raises(kind) as caught:
        UnifiedMLPipeline(small_config(home, **changes)).run_automl()
    assert str(caught.value).startswith(said)
    assert not home.exists()


def test_a_main_job_and_a_search_know_only_their_own_settings() -> None:
    default = load_config({}, environ={})
    searching = load_config({"automl": {"max_trials": 7}}, environ={})
    combining = load_config({"ensemble": {"methods": ["voting"]}}, environ={})
    assert config_hash(searching) == config_hash(default) != config_hash(combining)
    assert config_hash(combining, search=True) == config_hash(default, search=True) != config_hash(searching, search=True)


def test_evidence_of_a_main_run_outlives_a_search(tmp_path: Path, small_config: Any) -> None:
    pipeline = UnifiedMLPipeline(small_config(tmp_path, automl={**SEARCH, "max_trials": 1}, data=NOISE))
    pipeline.run()
    measured = pipeline.get_all_models_info()
    pipeline.run_automl()
    assert pipeline.get_all_models_info() == measured


def _command(home: Path, *words: str) -> Any:
    from huracan.cli import app

    return CliRunner().invoke(app, ["automl", *words], env={"HURACAN_HOME": str(home)}, catch_exceptions=True)


def test_the_command_prints_verdict_choice_registry_and_report(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(
        "features: {recipe: minimal}\ndata: {simulation: {n_bars: 900, n_symbols: 2}}\n"
        "automl: {time_budget: 600, n_splits: 2}\n"
    )
    done = _command(tmp_path, "--config", str(tmp_path / "c.yaml"), "--max-trials", "2", "--learners", "ridge, lightgbm")
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0].startswith(("What the search chose is better", "Keep the baseline: what the search chose is not shown"))
    assert any(line.startswith("Chosen: ") and "ridge" in line for line in lines)
    assert lines[-1].startswith("Report: ") and Path(lines[-1].removeprefix("Report: ")).exists()
    assert "best so far" in done.stderr and "100 % done" in done.stderr
    (state,) = (tmp_path / "runs").glob("*/state.json")
    assert "2 trials" in state.with_name("report.html").read_text(), "a budget on the command line replaces the configured one"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--time-budget", "-3"), "'automl.time_budget' is -3.0: input should be greater than 0"),
        (("--sampler", "tpee"), "'automl.sampler' is 'tpee'"),
        (("--learners", "ridge,ridge"), "'automl.learners'"),
        (("a.parquet", "--source", "b.parquet"), "candles are named twice, a.parquet and --source b.parquet"),
        (("--source", "nowhere.parquet"), "nowhere.parquet"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    done = _command(tmp_path, *words)
    assert said in str(done.exception)
    assert getattr(done.exception, "exit_code", 1) == 2
    assert not (tmp_path / "runs").exists()


def _start(home: Path, config: Path) -> subprocess.Popen[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("HURACAN")} | {"HURACAN_HOME": str(home)}
    words = [sys.executable, "-m", "huracan", "automl", "--config", str(config), "--learners", "ridge,lightgbm"]
    return subprocess.Popen(
        [*words, "--max-trials", "10"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_command_goes_on_with_its_trials_and_ends_as_if_undisturbed(tmp_path: Path, how: signal.Signals) -> None:
    config = tmp_path / "c.yaml"
    config.write_text("features: {recipe: minimal}\ndata: {simulation: {n_bars: 1500, n_symbols: 2}}\nautoml: {n_splits: 2}\n")
    stopped = _start(tmp_path / "stopped", config)
    assert stopped.stderr is not None
    while not stopped.stderr.readline().startswith("huracan: 30 % done"):
        assert stopped.poll() is None
    stopped.send_signal(how)
    _, said = stopped.communicate(timeout=60)
    if how == signal.SIGINT:
        assert (stopped.returncode, said.splitlines()[-1]) == (
            130,
            "huracan: stopped; the same command goes on where it stopped.",
        )
    told = [_start(tmp_path / home, config).communicate(timeout=120)[0].splitlines() for home in ("stopped", "calm")]
    assert told[0][0] == told[1][0], "the same verdict"
    assert [line for line in told[0] if line.startswith("Chosen")] == [line for line in told[1] if line.startswith("Chosen")]
    (folder,) = (tmp_path / "stopped" / "runs").iterdir()
    ended = (folder / "log.jsonl").read_text().count('"a trial ended"')
    assert ended in (10, 11), "trials that had ended are not made again; one may have ended and not been told"


def test_a_folder_that_is_to_be_kept_stays(tmp_path: Path) -> None:
    folder = RunFolder.open(tmp_path, "k" * 64)
    folder.fail("stopped", keep=True)
    folder.close()
    again = RunFolder.open(tmp_path, "k" * 64)
    assert again.resumed
    again.fail("stopped")
    again.close()
    assert not RunFolder.open(tmp_path, "k" * 64).resumed
