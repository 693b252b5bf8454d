"""``DistributedTrainer``: what processes come to is what one comes to, whoever dies on the way; a failure is one sentence."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("benchmarks.distributed_checks")

import torch

from huracan.catalogue import build_model
from huracan.distributed import DistributedConfig, DistributedTrainer
from huracan.distributed.distributed_trainer import starting_parameters
from huracan.distributed.run_home import RunHome
from huracan.errors import HuracanError, ModelError, StorageError, WorkerError
from huracan.training import EpochRecord

_HERE = Path(__file__).resolve().parent
_RNG = np.random.default_rng(0)
X = _RNG.standard_normal((200, 2))
Y = X[:, 0]


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes import the network of these tests from here."""
    monkeypatch.syspath_prepend(str(_HERE))


def _estimator(**given: Any) -> Any:
    from unlucky import Estimator

    return Estimator(**given)


def _config(folder: Path | None, **given: Any) -> DistributedConfig:
    return DistributedConfig(**{"processes": 2, "timeout": 20.0, "folder": folder, **given})


def _alone(**given: Any) -> Any:
    return DistributedTrainer(DistributedConfig(strategy="none", processes=1)).fit(_estimator(**given), X, Y)


def _failure(folder: Path, *, config: dict[str, Any] | None = None, **given: Any) -> HuracanError:
    with pytest.raises(HuracanError) as failed:
        DistributedTrainer(_config(folder, **(config or {}))).fit(_estimator(**given), X, Y)
    return failed.value


def test_a_learner_is_fitted_as_on_one_process_and_is_not_fitted_twice(tmp_path: Path) -> None:
    settings = {"window": 4, "max_epochs": 3, "hidden": 8, "dropout": 0.0, "batch_size": 64, "precision": "float64"}
    x = _RNG.standard_normal((600, 3))
    y = 0.01 * np.roll(x[:, 0], 2)
    alone = build_model("gru", device="cpu", **settings).fit(x, y)
    told: list[EpochRecord] = []
    trainer = DistributedTrainer(_config(tmp_path / "run"), on_epoch=told.append)
    together = trainer.fit(build_model("gru", device="cpu", **settings), x, y)
    np.testing.assert_allclose(together.predict(x), alone.predict(x), rtol=0, atol=1e-9)
    assert [record.epoch for record in told] == [1, 2, 3]
    assert together.training_.losses == pytest.approx(alone.training_.losses, abs=1e-12)
    began = time.monotonic()
    again = trainer.fit(build_model("gru", device="cpu", **settings), x, y)
    assert time.monotonic() - began < 1.0
    np.testing.assert_array_equal(again.predict(x), together.predict(x))
    with pytest.raises(ModelError, match="holds another training; give this one a folder of its own"):
        trainer.fit(build_model("gru", device="cpu", **settings), x, -y)


@pytest.mark.parametrize("given", [{}, {"warm_start": False}, {"warm_start": True}], ids=str)
def test_a_fit_goes_on_from_the_last_one_where_that_is_asked_for_and_only_there(given: dict[str, bool]) -> None:
    model = build_model("linear_network", window=4, max_epochs=1) if given else build_model("linear_network")
    assert starting_parameters(model) is None  # never fitted
    model.estimator_ = torch.nn.Linear(2, 1)
    model.set_params(**given)
    assert (starting_parameters(model) is not None) == given.get("warm_start", False)


def test_after_a_kill_the_result_is_that_of_an_undisturbed_training(tmp_path: Path) -> None:
    from benchmarks.distributed_checks.problem import Problem
    from benchmarks.distributed_checks.step_notes import killed_at

    every, home = 7, RunHome(tmp_path)
    at: list[int] = []

    def kill() -> None:
        note = home.processes / "1.json"
        while not note.is_file():
            time.sleep(0.05)
        at.append(killed_at(tmp_path / "steps", json.loads(note.read_bytes())["pid"], step=20))

    threading.Thread(target=kill, daemon=True).start()
    told: list[str] = []
    problem = {"max_steps": 50, "checkpoint_every": every}
    trainer = DistributedTrainer(_config(tmp_path), on_restart=told.append)
    disturbed = trainer.fit(Problem(**problem, seconds=0.03, notes=str(tmp_path / "steps")), None)
    undisturbed = DistributedTrainer(DistributedConfig(strategy="none", processes=1)).fit(Problem(**problem), None)
    resumed_from = disturbed.result.resumed_from
    assert told == [f"a process was lost; all began again (1 of 3) after step {resumed_from}"]
    assert 0 <= at[0] - resumed_from <= every  # not more is lost than lies between two checkpoints
    np.testing.assert_allclose(disturbed.result.step_losses, undisturbed.result.step_losses, rtol=0, atol=1e-12)
    for name, value in undisturbed.parameters.items():
        torch.testing.assert_close(disturbed.parameters[name], value, rtol=0, atol=1e-10)


@pytest.mark.slow
def test_memory_that_runs_out_on_one_process_ends_all_with_its_sentence(tmp_path: Path) -> None:
    failure = _failure(tmp_path, network={"what": "out of memory"})
    assert isinstance(failure, ModelError)
    assert str(failure) == "process 1 of 2 ran out of memory at step 3: lower batch_size, or raise accumulate."


@pytest.mark.slow
def test_a_loss_that_explodes_ends_all_with_one_sentence(tmp_path: Path) -> None:
    failure = _failure(tmp_path, learning_rate=1e9, clip_norm=None)
    assert isinstance(failure, ModelError)
    assert str(failure).startswith("training exploded: at step 10 (epoch 1)")


@pytest.mark.slow
def test_a_temporary_folder_stays_where_processes_failed_and_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(ModelError, match=r"shapes do not match\. Kept for a look or to go on, until you remove it") as failed:
        DistributedTrainer(_config(None)).fit(_estimator(network={"what": "defect", "when": 20}), X, Y)
    (folder,) = tmp_path.glob("huracan-training-*")
    assert f"folder={str(folder)!r}" in str(failed.value)
    printed = "".join(file.read_text() for file in folder.glob("logs/**/stderr.log"))
    assert "shapes do not match" in printed
    assert sorted(path.name for path in folder.glob("checkpoints/step-*")) == ["step-00000007", "step-00000014"]


def test_a_temporary_folder_goes_with_success_and_with_what_was_refused_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    _alone()
    with pytest.raises(HuracanError):
        DistributedTrainer(_config(None)).fit(_estimator(batch_size=25), X, Y)
    assert not list(tmp_path.glob("huracan-training-*"))


@pytest.mark.slow
def test_a_process_that_hangs_is_named(tmp_path: Path) -> None:
    failure = _failure(tmp_path, network={"what": "hang"}, config={"timeout": 3.0, "max_restarts": 0})
    assert isinstance(failure, WorkerError)
    assert str(failure).startswith(f"process 1 of 2 ({socket.gethostname()}, pid ")
    assert "does not answer at step 3" in str(failure)


def test_a_process_that_never_comes_is_named(tmp_path: Path) -> None:
    DistributedTrainer(_config(tmp_path, timeout=2.0)).prepare(_estimator(), X, Y)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    told = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    path = os.pathsep.join([str(_HERE), *sys.path])
    done = subprocess.run(
        [sys.executable, "-m", "huracan.distributed", str(tmp_path)],
        env={**os.environ, **told, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1] == "huracan: process 1 of 2 did not come within 2 s."


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="a disk of its own, to be filled, needs root")
def test_a_full_disk_ends_all_with_one_sentence_and_keeps_the_checkpoint_before(tmp_path: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path)], check=True)
    try:
        failure = _failure(tmp_path, network={"seconds": 0.02, "fill": str(tmp_path / "filler")})
        assert isinstance(failure, StorageError)
        assert "cannot be written: the disk is full" in str(failure)
        kept = sorted(path.name for path in (tmp_path / "checkpoints").glob("step-*"))
        assert kept == ["step-00000007", "step-00000014"]
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_script_that_torchrun_started_takes_part(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*command, str(_HERE / "joined.py"), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(_HERE), *sys.path]), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    first, second = (tuple(map(float, line.split())) for line in done.stdout.splitlines())
    assert first == second  # each process has the whole result
    alone = _alone()
    assert first == pytest.approx((alone.result.step_losses[-1], float(alone.parameters["map.weight"].sum())), abs=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp2"])
def test_what_a_network_with_running_statistics_is_said_to_lose_is_what_the_one_kept_loses(strategy: Any) -> None:
    from running_statistics import Estimator

    x = _RNG.standard_normal((200, 2)) * [1.0, 7.0] + np.linspace(0.0, 5.0, 200)[:, None]
    model = DistributedTrainer(_config(None, strategy=strategy)).fit(Estimator(), x, x[:, 0])
    assert model.validated() == pytest.approx(model.result.best_loss, rel=1e-12)


def test_torch_distributed_is_not_imported_before_it_is_needed() -> None:
    code = "import sys, huracan.distributed, huracan.catalogue, huracan.distributed.config; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
