"""What a checkpoint costs does not grow with the training, and losses of steps are whole or the checkpoint is not used."""

from __future__ import annotations

import math
import random
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch

from huracan.errors import ArtifactError
from huracan.training import CheckpointFolder, Runtime
from huracan.training.step_losses import StepLosses


def _write(kept: CheckpointFolder, losses: list[float]) -> None:
    step = len(losses)
    kept.write(step, {"network": {"a": torch.zeros(2)}}, {"step": step}, Runtime(), losses)


def test_a_checkpoint_writes_the_losses_that_are_new_alone(tmp_path: Path) -> None:
    draw = random.Random(0)
    losses = [draw.gauss(0.0, 1.0) for _ in range(200_000)]
    kept = CheckpointFolder(tmp_path)
    sizes = []
    for step in (1_000, 100_000, 100_500):
        _write(kept, losses[:step])
        sizes.append((tmp_path / f"step-{step:08d}" / "progress.json").stat().st_size)
        assert (tmp_path / "losses.f64").stat().st_size == 8 * step
    assert max(sizes) - min(sizes) <= 4  # digits of the numbers of steps
    found = CheckpointFolder(tmp_path).newest()
    assert found is not None
    assert CheckpointFolder(tmp_path).losses(found) == losses[:100_500]  # to the last bit


def test_what_was_written_before_stays_as_it_is(tmp_path: Path) -> None:
    losses = StepLosses(tmp_path / "losses.f64")
    told = losses.put([1.0, math.pi])
    (tmp_path / "losses.f64").open("ab").write(b"of a training that was killed")
    again = StepLosses(tmp_path / "losses.f64")
    assert again.read(told) == [1.0, math.pi]
    more = again.put([1.0, math.pi, 1e-300, math.inf])
    assert again.read(told) == [1.0, math.pi]
    assert again.read(more) == [1.0, math.pi, 1e-300, math.inf]


@pytest.mark.parametrize("damage", ["flipped", "cut", "gone"])
def test_a_checkpoint_whose_losses_are_damaged_is_passed_over(tmp_path: Path, damage: str) -> None:
    for step in (10, 20):
        _write(CheckpointFolder(tmp_path), [0.5] * step)
    path = tmp_path / "losses.f64"
    content = bytearray(path.read_bytes())
    if damage == "gone":
        path.unlink()
        with pytest.raises(ArtifactError, match=r"no checkpoint in .* can be used; the oldest: .*losses.f64 cannot be read"):
            CheckpointFolder(tmp_path).newest()
        return
    if damage == "flipped":
        content[8 * 15] ^= 1
    path.write_bytes(content[: 8 * 15] if damage == "cut" else content)
    found = CheckpointFolder(tmp_path).newest()
    assert found is not None
    assert found.step == 10


@pytest.mark.slow
def test_a_network_is_fitted_where_there_are_no_locks_of_unix_and_checkpoints_are_refused_there(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['fcntl'] = None  # as on Windows\n"
        "import numpy as np; from huracan.catalogue import build_model; from huracan.errors import StorageError\n"
        "x = np.random.default_rng(0).standard_normal((100, 2))\n"
        "build_model('linear_network', window=2, max_epochs=1).fit(x, x[:, 0])\n"
        "try:\n"
        f"    build_model('linear_network', window=2, max_epochs=1, checkpoints={str(tmp_path)!r}).fit(x, x[:, 0])\n"
        "except StorageError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "cannot be locked: this system has no fcntl; Linux or macOS was expected" in done.stdout
