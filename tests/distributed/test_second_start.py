"""A training that is started twice, or whose launcher is killed: one goes on, whole and alone, and the other is refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from huracan.distributed import DistributedConfig, DistributedTrainer
from huracan.distributed.run_home import RunHome
from huracan.errors import FolderInUse
from huracan.storage import folder_lock

_HERE = Path(__file__).resolve().parent
_STEPS = 100
_STARTED = """
import sys
import numpy as np
from huracan.distributed import DistributedConfig, DistributedTrainer
from unlucky import Estimator

folder, strategy, processes, seconds = sys.argv[1:]
x = np.random.default_rng(0).standard_normal((200, 2))
config = DistributedConfig(strategy=strategy, processes=int(processes), folder=folder, timeout=20.0)
model = DistributedTrainer(config).fit(Estimator(network={"seconds": float(seconds)}), x, x[:, 0])
print(model.result.resumed_from, repr(float(model.parameters["map.weight"].sum())))
"""
X = np.random.default_rng(0).standard_normal((200, 2))


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes import the network of these tests from here."""
    monkeypatch.syspath_prepend(str(_HERE))


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a script that trains; it is ended with the test."""
    started: list[subprocess.Popen[str]] = []

    def begin(folder: Path, strategy: str, processes: int, seconds: float) -> subprocess.Popen[str]:
        words = [str(folder), strategy, str(processes), str(seconds)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(_HERE), *sys.path]), "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(
            [sys.executable, "-c", _STARTED, *words], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def _trainer(folder: Path, strategy: str, processes: int) -> tuple[DistributedTrainer, Any]:
    from unlucky import Estimator

    config = DistributedConfig(strategy=strategy, processes=processes, folder=folder, timeout=20.0)  # type: ignore[arg-type]
    return DistributedTrainer(config), Estimator


def _steps(folder: Path, world: int) -> list[dict[str, Any]]:
    """What every process says of itself, once all have made steps."""
    deadline = time.monotonic() + 60.0
    while time.monotonic() < deadline:
        files = [folder / "processes" / f"{rank}.json" for rank in range(world)]
        notes = [json.loads(file.read_bytes()) for file in files if file.is_file()]
        if len(notes) == world and all(note["step"] >= 15 for note in notes):
            return notes
        time.sleep(0.1)
    raise AssertionError(f"no steps in {folder}")


def _is_there(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.slow
@pytest.mark.parametrize(("strategy", "processes"), [("none", 1), ("ddp", 2)])
def test_a_second_start_is_refused_and_the_first_goes_on_undisturbed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: Callable[..., Any], strategy: str, processes: int
) -> None:
    monkeypatch.setattr(folder_lock, "PATIENCE", 0.2)
    first = start(tmp_path, strategy, processes, 0.1)
    _steps(tmp_path, processes)
    kept = {path: path.read_bytes() for path in (tmp_path / "failures").iterdir()}
    trainer, estimator = _trainer(tmp_path, strategy, processes)
    with pytest.raises(FolderInUse, match="is in use by another training; let it end, or take another folder"):
        trainer.fit(estimator(network={"seconds": 0.1}), X, X[:, 0])
    time.sleep(5.0)  # longer than a process waits before it ends for another one's failure
    assert first.poll() is None
    assert {path: path.read_bytes() for path in (tmp_path / "failures").iterdir()} == kept
    said, errors = first.communicate(timeout=120)
    assert first.returncode == 0, errors
    alone, estimator = _trainer(tmp_path / "alone", "none", 1)
    undisturbed = alone.fit(estimator(network={"seconds": 0.0}), X, X[:, 0])
    resumed, weight = said.split()
    assert (resumed, float(weight)) == ("None", pytest.approx(float(undisturbed.parameters["map.weight"].sum()), abs=1e-10))


def test_a_second_start_that_gets_as_far_as_training_is_refused_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody may take the folder between preparing and training."""
    from huracan.distributed.placement import Placement
    from huracan.distributed.worker import train_here

    monkeypatch.setattr(folder_lock, "PATIENCE", 0.2)
    trainer, estimator = _trainer(tmp_path, "none", 1)
    trainer.prepare(estimator(), X, X[:, 0])
    home = RunHome(tmp_path)
    with folder_lock.held(tmp_path):
        run = home.begin(1)
        with pytest.raises(FolderInUse):
            train_here(home, trainer.config, Placement())
        assert (home.run(), home.failure(run)) == (run, None)
        assert not home.processes.exists()


def test_a_note_of_another_run_concerns_nobody(tmp_path: Path) -> None:
    home = RunHome(tmp_path)
    earlier = home.begin(1)
    run = home.begin(1)
    home.note_failure(0, {"run": earlier, "kind": "ModelError", "sentence": "an orphan's", "lasting": True, "time": 0.0})
    assert home.failure(run) is None
    assert home.failure(earlier) is not None


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_processes_end_with_the_one_that_started_them_and_the_same_call_goes_on(
    tmp_path: Path, start: Callable[..., Any]
) -> None:
    launcher = start(tmp_path, "ddp", 2, 0.1)
    pids = [note["pid"] for note in _steps(tmp_path, 2)]
    os.kill(launcher.pid, signal.SIGKILL)
    launcher.communicate()
    deadline = time.monotonic() + 5.0
    while any(map(_is_there, pids)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(map(_is_there, pids))
    trainer, estimator = _trainer(tmp_path, "ddp", 2)
    again = trainer.fit(estimator(network={"seconds": 0.1}), X, X[:, 0])
    assert again.result.resumed_from >= 14  # 15 steps were made, and every seventh is kept
    assert len(again.result.step_losses) == _STEPS


def test_without_the_help_of_the_system_an_orphan_finds_out_by_itself(tmp_path: Path) -> None:
    """A process whose launcher is another one than it was told: that one is gone."""
    trainer, estimator = _trainer(tmp_path, "none", 1)
    trainer.prepare(estimator(network={"seconds": 0.1}), X, X[:, 0])
    code = (
        "import os; from huracan.distributed.placement import Placement; from huracan.distributed.run_home import RunHome\n"
        "from huracan.distributed.worker import train_here\n"
        f"home = RunHome({str(tmp_path)!r}); train_here(home, home.config(), Placement(), launcher=os.getpid())"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(_HERE), *sys.path]), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, timeout=60, check=False)
    assert done.returncode == 1
    assert RunHome(tmp_path).read_outcome() is None
