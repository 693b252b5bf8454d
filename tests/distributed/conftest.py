"""What is measured on several processes is measured once, however many workers run the tests."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

_HERE = Path(__file__).resolve().parent
_ROOT = _HERE.parents[1]


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Callable[[str, Callable[[Path], Any]], Any]:
    """``once(name, measure)``: what ``measure(folder)`` gave (as JSON can hold it), to whoever asked first."""
    base = tmp_path_factory.getbasetemp()
    shared = base if worker_id == "master" else base.parent

    def ask(name: str, measure: Callable[[Path], Any]) -> Any:
        folder = shared / name
        folder.mkdir(exist_ok=True)
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            told = folder / "told.json"
            if not told.is_file():
                told.write_text(json.dumps(measure(folder)))
            return json.loads(told.read_text())

    return ask


@pytest.fixture(scope="session")
def torchrun() -> Callable[..., None]:
    """``torchrun(processes, *words)``: a script of this folder, or ``-m module``, on so many processes."""

    def run(processes: int, *words: str) -> None:
        _run_python("-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", *words)

    return run


@pytest.fixture(scope="session")
def python() -> Callable[..., None]:
    """``python(script, *words)``: a script of this folder in a process of its own."""
    return lambda script, *words: _run_python(str(_HERE / script), *words)


def _run_python(*words: str) -> None:
    path = os.pathsep.join([str(_HERE), str(_ROOT), str(_ROOT / "src"), *(path for path in sys.path if path)])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
