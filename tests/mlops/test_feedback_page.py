"""The page on feedback runs as it stands, and says what the code does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "feedback.md"


def test_every_block_runs_in_its_order(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("prometheus_client")
    names: dict[str, Any] = {}
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    said = capsys.readouterr().out
    assert len(blocks) == 5
    assert "the skill of btc v3 fell: 0.2" in said and "probabilities no longer say how often" in said
    assert "the scores are higher than out of fold" in said
    assert re.search(r"Wait, although the skill of btc v3 fell: .*: \d+ of 250 labelled rows since 1970-01-1", said)
    assert "skill" in said and "net" in said
