"""The folder of a training: what is in it decides whether it begins, goes on, or is refused; nothing damaged is used."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from benchmarks.distributed_checks.problem import Problem, train
from benchmarks.distributed_checks.step_notes import step_under_way

from huracan.catalogue import build_model
from huracan.distributed import DistributedConfig, DistributedTrainer
from huracan.distributed.run_home import RunHome
from huracan.errors import ArtifactError, ModelError
from huracan.training import CheckpointFolder, Runtime


def _fit(folder: Path, **changed: Any) -> Problem:
    how = DistributedConfig(strategy="none", processes=1, folder=folder)
    return DistributedTrainer(how).fit(Problem(max_steps=30, checkpoint_every=9, **changed), None)


def test_a_training_killed_before_its_outcome_was_there_goes_on_from_its_newest_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _keep_all(monkeypatch)
    first = _fit(tmp_path).told
    shutil.rmtree(tmp_path / "outcome")
    shutil.rmtree(tmp_path / "checkpoints" / "step-00000030")
    again = _fit(tmp_path).told
    assert (first.pop("resumed_from"), again.pop("resumed_from")) == (None, 27)
    assert again == first


def test_a_process_that_writes_down_its_steps_writes_the_one_it_computes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the steps that a kill costs are counted by: numbers go on where the checkpoint ends."""
    _keep_all(monkeypatch)
    run, notes = tmp_path / "run", tmp_path / "steps"
    _fit(run, notes=str(notes))
    assert _numbers(notes)[-30:] == list(range(1, 31))
    shutil.rmtree(run / "outcome")
    shutil.rmtree(run / "checkpoints" / "step-00000030")
    _fit(run, notes=str(notes))
    assert _numbers(notes)[-3:] == [28, 29, 30]
    assert step_under_way(notes, os.getpid()) == 30


def test_of_a_finished_training_the_outcome_is_kept_and_found_again(tmp_path: Path) -> None:
    """Data and checkpoints go; a sample of windows says which inputs the network listens to, as all of them did."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((4_000, 2))
    y = x[:, 0] + np.roll(x[:, 1], 1)
    given = {"window": 2, "max_epochs": 2, "device": "cpu"}
    trainer = DistributedTrainer(DistributedConfig(strategy="none", processes=1, folder=tmp_path))
    first = trainer.fit(build_model("linear_network", **given), x, y)
    assert not (tmp_path / "checkpoints").exists() and not (tmp_path / "job").exists()
    size = sum(file.stat().st_size for file in (tmp_path / "kept").iterdir())
    assert size < 1_024 * (2 * 2 * 4 + 4 + 4 + 4) + 4_096  # a window of two bars, its row, its target; and their headers
    again = trainer.fit(build_model("linear_network", **given), x, y)
    np.testing.assert_array_equal(again.predict(x), first.predict(x))
    plain = build_model("linear_network", **given).fit(x, y)
    for model in (first, again):
        assert model.feature_importance() == plain.feature_importance()
    shutil.rmtree(tmp_path / "outcome")
    anew = trainer.fit(build_model("linear_network", **given), x, y)  # from the data in hand, not from the sample
    np.testing.assert_array_equal(anew.predict(x), first.predict(x))


def _keep_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RunHome, "_tidy", lambda home: None)


def _numbers(notes: Path) -> list[int]:
    return [int(word) for word in (notes / str(os.getpid())).read_text().split()]


def test_a_damaged_checkpoint_is_passed_over_and_the_one_before_is_taken(tmp_path: Path) -> None:
    first, _ = train("lstm", Runtime(), CheckpointFolder(tmp_path), max_steps=30, checkpoint_every=9)
    _damage(tmp_path / "step-00000030")
    again, _ = train("lstm", Runtime(), CheckpointFolder(tmp_path), max_steps=30, checkpoint_every=9)
    assert again.resumed_from == 27
    assert again.step_losses == first.step_losses
    _damage(tmp_path / "step-00000030")
    _damage(tmp_path / "step-00000027")
    with pytest.raises(ArtifactError, match=r"no checkpoint in .* can be used"):
        train("lstm", Runtime(), CheckpointFolder(tmp_path), max_steps=30, checkpoint_every=9)


def test_a_checkpoint_of_another_architecture_is_refused(tmp_path: Path) -> None:
    train("lstm", Runtime(), CheckpointFolder(tmp_path), max_steps=9, checkpoint_every=9)
    with pytest.raises(ModelError, match="is a checkpoint of another training"):
        train("transformer", Runtime(), CheckpointFolder(tmp_path), max_steps=9, checkpoint_every=9)


def test_a_folder_of_another_training_and_a_damaged_outcome_are_refused(tmp_path: Path) -> None:
    _fit(tmp_path)
    with pytest.raises(ModelError, match="holds another training; give this one a folder of its own"):
        _fit(tmp_path, learning_rate=0.02)
    (tmp_path / "outcome" / "parameters.safetensors").write_bytes(b"nothing")
    with pytest.raises(ArtifactError, match=r"the outcome in .* is damaged"):
        _fit(tmp_path)
    with pytest.raises(ArtifactError, match="holds no training for many processes"):
        RunHome(tmp_path / "elsewhere").config()


def test_the_outcome_is_that_of_fit_and_a_warm_start_begins_where_the_last_fit_ended() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((400, 2))
    y = x[:, 0] + np.roll(x[:, 1], 1)
    given = {"window": 2, "max_epochs": 2, "warm_start": True, "device": "cpu"}
    trainer = DistributedTrainer(DistributedConfig(strategy="none", processes=1))
    plain, ours = build_model("linear_network", **given), build_model("linear_network", **given)
    for _ in range(2):
        plain.fit(x, y)
        trainer.fit(ours, x, y)
        for name, value in plain.estimator_.state_dict().items():
            torch.testing.assert_close(ours.estimator_.state_dict()[name], value, rtol=0, atol=0)
    with pytest.raises(ModelError, match="warm_start: the network has other sizes than in the last fit"):
        trainer.fit(ours.set_params(window=3), x, y)


def _damage(checkpoint: Path) -> None:
    file = next(checkpoint.glob("*.distcp"))
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(bytes(content))
