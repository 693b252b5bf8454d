"""Dropout, mixed precision and compiled kernels on two processes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("benchmarks.distributed_checks")

_HERE = Path(__file__).resolve().parent
_ROUNDINGS_IN_A_ROW = 16
"""From inputs to loss: 7 in each of two blocks (scale, query, scores, mixture, out, up, down), stem and head."""
_ROUNDING = 2.0**-9 / 3**0.5
"""Standard deviation of the relative error of one: bfloat16 has 8 significant bits."""
_BATCH = 32
_ERROR_OF_LOSS = 2 * (_ROUNDINGS_IN_A_ROW / _BATCH) ** 0.5 * _ROUNDING
"""Of the mean square of a batch's outputs, whose errors are as good as independent."""


@pytest.fixture(scope="module")
def told(once: Callable[..., Any], torchrun: Callable[..., None]) -> list[dict[str, Any]]:
    """Of each process: case -> what it came to."""
    drawing = [f"dropout-{strategy}{again}" for strategy in ("ddp", "fsdp2", "tp", "pp") for again in ("", "-again")]
    rounded = [f"{kind}-bfloat16-{strategy}" for kind in ("lstm", "transformer") for strategy in ("none", "ddp", "fsdp2")]
    exact = [f"{kind}-float32-none" for kind in ("lstm", "transformer")]

    def measure(folder: Path) -> list[dict[str, Any]]:
        torchrun(2, str(_HERE / "variants.py"), str(folder), *drawing, *rounded, *exact)
        return [json.loads((folder / f"{rank}.json").read_text()) for rank in (0, 1)]

    return once("variants", measure)


@pytest.mark.parametrize("strategy", ["ddp", "fsdp2", "tp", "pp"])
def test_the_same_seed_drops_the_same_on_as_many_processes(told: list[dict[str, Any]], strategy: str) -> None:
    for process in told:
        first, again = process[f"dropout-{strategy}"], process[f"dropout-{strategy}-again"]
        assert first["drawn"]
        assert first == again  # losses, parameters and draws, to the last bit


@pytest.mark.parametrize("strategy", ["ddp", "fsdp2", "pp"])
def test_processes_that_compute_different_things_draw_different_numbers(told: list[dict[str, Any]], strategy: str) -> None:
    """Different rows (data parallel), or different layers (pipeline)."""
    first, second = (process[f"dropout-{strategy}"]["drawn"] for process in told)
    assert not set(first) & set(second)


def test_processes_that_share_a_matrix_drop_the_same(told: list[dict[str, Any]]) -> None:
    """Else each would add up another network: with the same batch and the same draws losses are the same everywhere."""
    first, second = (process["dropout-tp"] for process in told)
    assert first["drawn"] == second["drawn"]
    assert first["losses"] == second["losses"]


def test_dropout_drops_its_share(told: list[dict[str, Any]]) -> None:
    draws = [draw.split() for process in told for draw in process["dropout-ddp"]["drawn"]]
    total, dropped = (sum(int(draw[at]) for draw in draws) for at in (0, 2))
    assert dropped / total == pytest.approx(0.3, abs=4 * (0.3 * 0.7 / total) ** 0.5)  # four standard errors


@pytest.mark.parametrize("kind", ["lstm", "transformer"])
@pytest.mark.parametrize("strategy", ["none", "ddp", "fsdp2"])
def test_mixed_precision_is_as_near_to_float32_as_its_roundings_allow(
    told: list[dict[str, Any]], kind: str, strategy: str
) -> None:
    exact, rounded = told[0][f"{kind}-float32-none"]["losses"], told[0][f"{kind}-bfloat16-{strategy}"]["losses"]
    assert rounded == pytest.approx(exact, rel=4 * _ERROR_OF_LOSS)
    assert rounded != pytest.approx(exact, rel=1e-5)  # float32 would be as near as this
    assert rounded == told[1][f"{kind}-bfloat16-{strategy}"]["losses"]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_compiled_kernels_compute_what_plain_ones_do(tmp_path: Path, torchrun: Callable[..., None]) -> None:
    cases = [f"{how}-{strategy}" for how in ("plain", "compiled") for strategy in ("none", "ddp", "fsdp2")]
    torchrun(2, str(_HERE / "variants.py"), str(tmp_path), *cases)
    done = json.loads((tmp_path / "0.json").read_text())
    for strategy in ("none", "ddp", "fsdp2"):
        assert done[f"compiled-{strategy}"]["losses"] == pytest.approx(done["plain-none"]["losses"], abs=1e-12)
