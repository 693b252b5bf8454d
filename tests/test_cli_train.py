"""``huracan train``: from candles to a stored network; the same command again finds its work done."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

_CONFIG = """
data: {simulation: {n_bars: 1500, n_symbols: 1}}
features: {recipe: minimal}
profiles: {mine: {learners: {lstm: {max_train_rows: 400}}}}
"""
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


def test_a_network_is_trained_on_two_processes_and_stored(tmp_path: Path) -> None:
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
    again = _train(tmp_path, "--processes", "2", *_SMALL)
    assert (again.returncode, again.stdout) == (0, done.stdout)
    assert "epoch" not in again.stderr


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
        (["--set", "batch_size=255", "--processes", "2"], "batch_size is 255, which cannot be divided by 2"),
        (["--learner", "gru", "--strategy", "tp", "--processes", "2"], "the matrices of GRUNetwork cannot be divided"),
    ],
)
def test_what_cannot_be_trained_is_one_sentence_before_anything_is_read(tmp_path: Path, words: list[str], said: str) -> None:
    done = _train(tmp_path, *words)
    assert done.returncode == 2
    assert done.stderr.startswith(f"huracan: {said}") and done.stderr.count("\n") == 1
