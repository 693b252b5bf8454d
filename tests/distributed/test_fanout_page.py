"""``docs/many_symbols.md``: its code for one machine runs as it stands, as a script."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

_PAGE = Path(__file__).resolve().parents[2] / "docs" / "many_symbols.md"


def test_the_page_runs(tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", _PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    script = tmp_path / "page.py"
    script.write_text(
        "\n".join(block for block in blocks if '"ray"' not in block) + "\nprint(sorted(models) == list(rows.symbols))\n"
    )
    path = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(
        [sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
        preexec_fn=_on_one_core,
    )
    assert done.returncode == 0, done.stderr
    *trials, models_are_all_there = done.stdout.splitlines()
    assert models_are_all_there == "True"
    assert len(trials) == 3
    failed = [line for line in trials if "failed after 3 attempts" in line]
    assert len(failed) == 1 and failed[0].startswith("alpha -1.0") and "ModelError" in failed[0]


def _on_one_core():
    """The page asks for one worker a core; one is enough to see it run."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
