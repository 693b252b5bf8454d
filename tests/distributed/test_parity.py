"""Every strategy computes what one process computes: four processes, then two, in float64.

Sums are the same up to their order, so losses of order 1 agree to 1e-12 over a few steps; AdamW divides by the root of a
sum of squares, which makes parameters agree to 1e-10.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("benchmarks.distributed_checks")

_STEPS, _EVERY = 5, 3
_LOSS, _PARAMETERS = 1e-12, 1e-10

_SINGLE = ("ddp", "ddp-transformer", "fsdp2", "fsdp2-transformer", "tp", "pp-1f1b", "pp-gpipe", "fsdp2-tp")
_ACCUMULATED = ("ddp-accumulated", "fsdp2-accumulated", "pp-accumulated")
_CONTINUED = ("ddp-on-ddp", "ddp-on-pp", "fsdp2-on-ddp", "fsdp2-on-fsdp2", "pp-1f1b-on-fsdp2", "fsdp2-tp-on-tp")


@pytest.fixture(scope="session")
def found(once: Callable[..., Any], python: Callable[..., None]) -> dict[str, dict[str, Any]]:
    """World -> case -> differences."""

    def measure(folder: Path) -> dict[str, Any]:
        python("parity_forked.py", str(folder), f"--steps={_STEPS}", f"--every={_EVERY}")
        return {world: json.loads((folder / f"parity-{world}.json").read_text()) for world in ("4", "2")}

    return once("parity", measure)


@pytest.mark.parametrize("case", [*_SINGLE, *_ACCUMULATED])
def test_four_processes_compute_what_one_does(found: dict[str, dict[str, Any]], case: str) -> None:
    measured = found["4"][case]
    assert measured["same_names"]
    assert measured["losses"] <= _LOSS
    assert measured["validation"] <= _LOSS
    assert measured["parameters"] <= _PARAMETERS


@pytest.mark.parametrize("case", ["ddp", "pp-1f1b"])
def test_two_processes_compute_what_one_does(found: dict[str, dict[str, Any]], case: str) -> None:
    assert found["2"][case]["losses"] <= _LOSS
    assert found["2"][case]["parameters"] <= _PARAMETERS


def test_the_same_processes_twice_are_the_same_bit_for_bit(found: dict[str, dict[str, Any]]) -> None:
    assert found["4"]["ddp"]["hash"] == found["4"]["ddp-again"]["hash"]


@pytest.mark.parametrize("case", ["ddp", "fsdp2", "pp-1f1b", "fsdp2-tp"])
def test_what_goes_on_from_a_checkpoint_is_what_was_never_stopped_bit_for_bit(
    found: dict[str, dict[str, Any]], case: str
) -> None:
    """Four processes: with two, sums are the same in any order."""
    assert found["4"][f"{case}-resumed"]["resumed_from"] == _EVERY
    assert found["4"][f"{case}-resumed"]["hash"] == found["4"][case]["hash"]


@pytest.mark.parametrize("case", _CONTINUED)
def test_a_checkpoint_of_four_processes_is_gone_on_with_by_two(found: dict[str, dict[str, Any]], case: str) -> None:
    measured = found["2"][case]
    assert measured["resumed_from"] == _EVERY
    assert measured["losses"] <= _LOSS
    assert measured["parameters"] <= _PARAMETERS


@pytest.mark.parametrize("case", ["ddp", "fsdp2", "pp-1f1b", "fsdp2-tp"])
def test_a_checkpoint_of_four_processes_is_gone_on_with_by_one(found: dict[str, dict[str, Any]], case: str) -> None:
    measured = found["4"][f"{case}-on-one"]
    assert measured["resumed_from"] == _EVERY
    assert measured["losses"] <= _LOSS
    assert measured["parameters"] <= _PARAMETERS
