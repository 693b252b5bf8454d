"""Processes that register and promote are killed at random moments: nothing half-visible, and the next one goes on."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.registry_checks.kills import kill_at_random_moments


@pytest.mark.slow
def test_a_killed_process_leaves_everything_whole_and_the_retry_succeeds(database_url: str, tmp_path: Path) -> None:
    found = kill_at_random_moments(database_url, tmp_path / "artifacts", 8, seed=3)
    assert found.defects == []
    assert found.count == 8
    assert found.during == {"register": 4, "promote": 4}
    assert found.versions > 8
