"""An independent check of account and metrics: figures published by backtesting.py for a strategy on GOOG."""

from __future__ import annotations

from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2]


def test_sma_cross_gives_the_published_figures_to_the_printed_digit(market_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(_ROOT))
    from benchmarks.goog_sma import PUBLISHED, figures, read_goog

    ours = figures(read_goog(market_data))
    printed = {name: f"{ours[name]:.{len(value.partition('.')[2])}f}" for name, value in PUBLISHED.items()}
    assert printed == PUBLISHED
