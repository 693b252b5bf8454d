"""Freed memory is kept for the next step, and given back when that is asked for, whichever thread had it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from huracan.memory import give_back_freed_memory

_PROGRAM = """
import threading
import numpy as np
from huracan.memory import give_back_freed_memory, keep_freed_memory

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

def work(barrier):
    kept = [np.ones(2**17) for _ in range(24)]
    barrier.wait()  # all threads hold theirs at once, each in the arena it has

if not keep_freed_memory():
    raise SystemExit("not here")
before = resident()
barrier = threading.Barrier(6)
threads = [threading.Thread(target=work, args=(barrier,)) for _ in range(6)]
[one.start() for one in threads]
[one.join() for one in threads]
give_back_freed_memory()
print((resident() - before) / 2**20)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux") or not give_back_freed_memory(), reason="glibc on Linux is asked")
def test_what_threads_freed_is_given_back() -> None:
    """Six threads hold 24 MiB each at once."""
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=False)
    if "not here" in done.stderr:
        pytest.skip("the allocator is set by the environment")
    assert float(done.stdout) < 24, done.stderr
