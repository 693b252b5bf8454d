"""``kill -9`` at random moments of processes that live with the Mechanic: they end as one that nobody killed."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.mechanic_checks.kills import kill_lives


@pytest.mark.slow
@pytest.mark.parametrize("stored", [False, True], ids=["candles in a frame", "candles in a store"])
def test_processes_that_were_killed_leave_what_an_undisturbed_one_leaves(tmp_path: Path, stored: bool) -> None:
    found = kill_lives(tmp_path, 6, a_life=3, seed=1, stored=stored)
    assert found.defects == []
    assert found.count == 6
    assert found.lives >= 2
    assert found.other == {}
