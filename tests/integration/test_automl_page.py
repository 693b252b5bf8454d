"""The page about searches: its code runs, top to bottom."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from huracan.config import load_config

PAGE = Path(__file__).resolve().parents[2] / "docs" / "automl.md"


def test_the_code_of_the_page_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("HURACAN_HOME", str(tmp_path))
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    assert len(blocks) == 3
    names: dict[str, Any] = {"__name__": "page"}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    assert np.corrcoef(names["forecast"], names["rows"].y)[0, 1] > 0.2
    assert names["result"].verdict in capsys.readouterr().out
    assert names["result"].report_path.is_relative_to(tmp_path)


def test_the_configurations_of_the_page_are_valid() -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        load_config(yaml.safe_load(block), environ={})
