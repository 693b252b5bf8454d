"""``huracan train``: from candles to a stored network; the same command again finds its work done."""

from __future__ import annotations

import csv
import gc
import os
import signal
import subprocess
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

_CONFIG = """
data: {simulation: {n_bars: 1500, n_symbols: 1}}
features: {recipe: minimal}
profiles: {mine: {learners: {lstm: {max_train_rows: 400}}}}
"""
Huracan = Callable[..., subprocess.CompletedProcess[str]]

_SMALL = ["--set", "max_epochs=3", "--set", "window=8", "--set", "hidden=8", "--set", "dropout=0.0"]


def _train(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    (home / "small.yaml").write_text(_CONFIG)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("HURACAN")} | {"HURACAN_HOME": str(home)}
    return subprocess.run(
        [sys.executable, "-m", "huracan", "train", "-c", "small.yaml", *words],
        capture_output=True,
        text=True,
        env=environment,
        cwd=home,
        timeout=120,
        check=False,
    )


def test_a_network_is_trained_on_two_processes_and_stored(huracan: Huracan, tmp_path: Path) -> None:
    done = _train(tmp_path, "--processes", "2", *_SMALL)
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert said[0].startswith("lstm: 3 epoch(s)")
    assert "windows a second on 2 process(es), ddp." in done.stdout
    (where,) = (tmp_path / "trainings").iterdir()
    assert where.name.startswith("lstm-")
    with (where / "losses.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]

    from huracan.registry.formats import load_model

    model = load_model({path.name: path.read_bytes() for path in (where / "model").iterdir()})
    assert model.spec.name == "lstm"
    again = huracan("train", "-c", "small.yaml", "--processes", "2", *_SMALL)
    assert (again.returncode, again.stdout) == (0, done.stdout)
    assert "epoch" not in again.stderr
    assert not (where / "job").exists() and not (where / "checkpoints").exists()  # of the data, a sample of windows is kept


@pytest.mark.slow
def test_the_plain_command_trains_with_what_is_usual(huracan: Huracan, tmp_path: Path) -> None:
    from huracan.market import simulate_market

    simulate_market(n_bars=300, n_symbols=1, seed=1).candles.write_parquet(tmp_path / "c.parquet")
    done = huracan("train", "c.parquet")
    assert (done.returncode, done.stdout.startswith("lstm: ")) == (0, True), done.stderr
    assert "Registered: version 1 of 'champion.trained.lstm'" in done.stdout


def test_a_trained_network_is_registered_and_the_lines_it_prints_forecast_new_candles(huracan: Huracan, tmp_path: Path) -> None:
    from huracan import UnifiedMLPipeline
    from huracan.dataset import TrainingSet
    from huracan.labels import forward_return_labels
    from huracan.market import simulate_market
    from huracan.preprocessing import FeatureRecipe

    (tmp_path / "small.yaml").write_text(_CONFIG)
    for _ in range(2):  # a training that was registered before is not registered again
        done = huracan("train", "-c", "small.yaml", *_SMALL)
        assert done.returncode == 0, done.stderr
    candles = simulate_market(n_bars=1_900, n_symbols=1, seed=9).candles.tail(400)
    candles.write_parquet(tmp_path / "new_candles.parquet")
    lines = [line.strip() for line in done.stdout.splitlines()[-2:]]
    scope: dict[str, Any] = {}
    exec(lines[0], scope)
    said = eval(lines[1].replace("new_candles.parquet", str(tmp_path / "new_candles.parquet")), scope)

    registry = UnifiedMLPipeline({"home": str(tmp_path)}).registry
    (version,) = registry.versions("champion.simulated.trained.lstm")
    assert (version.aliases, version.kind) == ((), "challenger")
    assert version.provenance.trained_until < candles["ts"].max()
    assert version.extras["config"]["labels"]["horizon"] >= 1
    rows = TrainingSet.from_candles(
        candles, recipe=FeatureRecipe.minimal(), labels=forward_return_labels(candles, horizon=1), keep_unlabelled=True
    )
    model = registry.load(version.name, version=1)
    assert version.provenance.n_rows == model.n_train_rows_
    forecast = model.predict(rows)
    assert said.columns == ["symbol", "ts", "decision_time", "score"]
    assert said["ts"].max() == candles["ts"].max()
    np.testing.assert_array_equal(said["score"].to_numpy(), forecast)


def _train_here(home: Path, *words: str) -> Any:
    """The same in this process; what was refused is in ``exception``."""
    from typer.testing import CliRunner

    from huracan.cli import app

    (home / "small.yaml").write_text(_CONFIG)
    before = signal.getsignal(signal.SIGINT)
    try:
        return CliRunner().invoke(app, ["train", "-c", str(home / "small.yaml"), "--home", str(home), *words])
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_finished_training_is_gone_on_with_in_a_folder_of_its_own_at_fresh_rates(tmp_path: Path) -> None:
    """A longer training has other rates from its first step on, so it is not what a finished one would go on to."""
    first, second = tmp_path / "first", tmp_path / "second"
    last_epoch_is_kept = [*_SMALL, "--set", "validation_share=0", "--set", "learning_rate=0.01"]
    assert _train_here(tmp_path, "--folder", str(first), *last_epoch_is_kept).exit_code == 0
    refused = _train_here(tmp_path, "--folder", str(first), *last_epoch_is_kept, "--set", "max_epochs=5")
    assert str(refused.exception) == (
        f"{first} holds another training (max_epochs is 3 there and 5 here); give this one a folder of its own, and to train "
        "it further, begin with what it came to (warm_start=True, or huracan train --from MODEL)."
    )
    longer = _train_here(tmp_path, "--from", str(first / "model"), "--set", "max_epochs=2", "--folder", str(second))
    assert longer.exit_code == 0, longer.output
    assert "lstm: 2 epoch(s)" in longer.output
    before, after = _losses(first), _losses(second)
    assert float(after[0]["train"]) < float(before[0]["train"])  # it begins with what was learned
    rates = [float(row["learning_rate"]) for row in (before[-1], *after)]
    assert rates[0] < rates[1] > rates[2]  # the rate, which had fallen, is up again, and falls over these two epochs
    other = _train_here(tmp_path, "--from", str(first / "model"), "--learner", "gru")
    assert str(other.exception) == f"--learner is 'gru', but {first / 'model'} holds 'lstm'."


def _losses(folder: Path) -> list[dict[str, str]]:
    with (folder / "losses.csv").open() as file:
        return list(csv.DictReader(file))


def test_rows_are_prepared_once_and_are_out_of_memory_while_processes_train(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huracan.distributed import worker
    from huracan.models.neural_learner import NeuralLearner

    prepare, train_here = NeuralLearner.prepare, worker.train_here
    seen: list[Any] = []
    alive: list[bool] = []

    def noted(self: Any, X: Any, *more: Any) -> Any:
        job = prepare(self, X, *more)
        seen.append((weakref.ref(X), weakref.ref(job)))
        return job

    def looked(*given: Any, **named: Any) -> None:
        gc.collect()
        alive.extend(reference() is not None for reference in seen[0])
        train_here(*given, **named)

    monkeypatch.setattr(NeuralLearner, "prepare", noted)
    monkeypatch.setattr(worker, "train_here", looked)
    done = _train_here(tmp_path, *_SMALL)
    assert done.exit_code == 0, done.output
    assert len(seen) == 1
    assert alive == [False, False]


@pytest.mark.slow
def test_a_profile_caps_the_rows_and_what_is_used_is_told(tmp_path: Path) -> None:
    told = []
    for words in ([], ["--profile", "mine"]):
        done = _train(tmp_path, *_SMALL, *words)
        assert done.returncode == 0, done.stderr
        (line,) = (line for line in done.stdout.splitlines() if line.startswith("Rows: "))
        used, given = line.removeprefix("Rows: ").split(" with a label")[0].split(" of ")
        told.append((int(used.replace(",", "")), int(given.replace(",", ""))))
    (all_used, given), (capped, same) = told
    assert given == same and 0 <= given - all_used < 20  # the first rows have no window, and labels are purged
    assert 390 < capped <= 400


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--learner", "ridge"], "'ridge' is no network; train one of lstm"),
        (["--learner", "lsmt"], "unknown learner 'lsmt'; did you mean 'lstm'?"),
        (["--set", "window"], "--set got 'window'; name=value was expected"),
        (["--strategy", "none", "--processes", "2"], "the strategy is none, which is one process, not 2"),
        (["--task", "ranking"], "unknown task 'ranking'"),
        (["--from", "nowhere"], "--from is nowhere: No such file or directory; the model folder of a training was expected."),
        (["--set", "batch_size=255", "--processes", "2"], "batch_size is 255, which cannot be divided by 2"),
        (["--learner", "gru", "--strategy", "tp", "--processes", "2"], "the matrices of GRUNetwork cannot be divided"),
    ],
)
def test_what_cannot_be_trained_is_one_sentence_before_anything_is_read(
    huracan: Huracan, tmp_path: Path, words: list[str], said: str
) -> None:
    (tmp_path / "small.yaml").write_text(_CONFIG)
    done = huracan("train", "-c", "small.yaml", *words)
    assert done.returncode == 2
    assert done.stderr.startswith(f"huracan: {said}") and done.stderr.count("\n") == 1
