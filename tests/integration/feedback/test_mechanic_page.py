"""The page on the Mechanic runs as it stands, and says what its comments say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from huracan.integration.mechanic import STAGES

PAGE = Path(__file__).parents[3] / "docs" / "mechanic.md"


def test_the_example_on_the_page_does_what_its_comments_say(capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    first, later, same, *_ = capsys.readouterr().out.splitlines()
    assert (
        first.startswith("Mechanic 'champion' at ") and "0 predictions, 0 outcomes; champion: Train a first champion" in first
    )
    assert later == next(re.finditer(r"later\.champions\)\s+# (.*)", blocks[0])).group(1)
    assert same == "True"


def test_every_stage_is_on_the_page_in_its_order() -> None:
    table = [row.split("|")[1].strip() for row in PAGE.read_text().splitlines() if row.startswith("| ")]
    told = [name.strip() for cell in table for name in cell.split(",")]
    names = [name for name, _ in STAGES]
    assert [name for name in told if name in names] == names
