"""The page about ensembles: its code runs, top to bottom."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

PAGE = Path(__file__).resolve().parents[2] / "docs" / "ensembles.md"


def test_the_code_of_the_page_runs() -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    assert len(blocks) == 2
    names: dict[str, Any] = {"__name__": "page"}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    assert np.corrcoef(names["forecast"], names["rows"].y)[0, 1] > 0.1
    assert abs(names["coverage"] - 0.9) < 0.02
    assert names["low"] < names["high"]
