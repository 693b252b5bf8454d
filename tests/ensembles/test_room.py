"""The room: quick to enter, nothing heavy at the door."""

from __future__ import annotations

import subprocess
import sys

import huracan.ensembles as room


def test_every_name_is_there() -> None:
    for name in room.__all__:
        assert getattr(room, name).__doc__
    assert set(room.__all__) <= set(dir(room))


def test_importing_it_loads_neither_torch_nor_scikit_learn() -> None:
    code = "import sys, huracan.ensembles as e; print([m for m in ('torch', 'sklearn', 'scipy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_piece_loads_torch() -> None:
    code = "import sys, huracan.ensembles as e; [getattr(e, n) for n in e.__all__]; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
