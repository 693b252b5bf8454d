"""A process that works on its files is waited for as long as it takes, and one that gives no sign of life is not."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

_HERE = Path(__file__).resolve().parent


@pytest.fixture(scope="module")
def told(once: Callable[..., Any], torchrun: Callable[..., None]) -> list[dict[str, Any]]:
    """What each process says."""

    def measure(folder: Path) -> list[dict[str, Any]]:
        torchrun(2, str(_HERE / "slow_store.py"), str(folder))
        return [json.loads((folder / f"{rank}.json").read_text()) for rank in (0, 1)]

    return once("slow-store", measure)


@pytest.mark.slow
def test_a_store_slower_than_the_time_out_ends_no_training(told: list[dict[str, Any]]) -> None:
    for process in told:
        assert process["resumed_from"] == 9
        assert process["again"] == process["first"] == told[0]["first"]


@pytest.mark.slow
def test_every_file_is_hashed_by_one_process_and_each_has_its_share(told: list[dict[str, Any]]) -> None:
    common = [".metadata", "__0_0.distcp", "progress.json"]
    for when in ("written", "read"):
        assert sorted(told[0][when]) == common
        assert told[1][when] == ["__1_0.distcp"]


@pytest.mark.slow
def test_a_process_that_is_stopped_is_missed_after_the_time_out(told: list[dict[str, Any]]) -> None:
    said = re.fullmatch(r"process 1 gave no sign of life for 3 s ([\d.]+)", told[0]["silent"])
    assert said is not None, told[0]["silent"]
    assert 3.0 <= float(said[1]) < 6.0
    assert told[1]["silent"] == ""
