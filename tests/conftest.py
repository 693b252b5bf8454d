"""Shared fixtures: where the real market data lies, and a small simulated market."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def market_data() -> Path:
    """Folder with real candles and published benchmarks; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("HURACAN_TEST_DATA", _ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real market data is not at {folder}; set HURACAN_TEST_DATA to run this test")
    return folder
