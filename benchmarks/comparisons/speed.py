"""Fifty models with 100,000 losses each, all pairs: seconds of one thread, and the memory of a whole process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from statistics import median

__all__ = ["CALLS", "Cost", "all_pairs"]

CALLS = {
    "Holm": "compare_models(losses)",
    "Romano-Wolf": 'compare_models(losses, correction="romano_wolf")',
}
"""What is timed; ``losses`` is a dict of model -> losses."""

_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

_PROGRAM = """
import json, sys, time
sys.path[:0] = {path!r}
import numpy as np
from huracan.baselines import compare_models
rng = np.random.default_rng(0)
market = rng.standard_normal(100_000)
every = {{f"model {{i}}": market + rng.standard_normal(100_000) for i in range(50)}}
losses = {{name: values[:1000] for name, values in every.items()}}
{call}
losses, seconds = every, []
for _ in range({rounds}):
    started = time.process_time()
    found = {call}
    seconds.append(time.process_time() - started)
peak = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) / 1024
print(json.dumps({{"seconds": seconds, "mib": peak, "pairs": len(found.pairs)}}))
"""


@dataclass(frozen=True)
class Cost:
    """``seconds`` of the processor, median of the rounds, and the ``slowest``; ``mib``, the peak of the process, all told."""

    seconds: float
    slowest: float
    mib: float


def all_pairs(call: str, *, rounds: int = 5) -> Cost:
    """Time one of :data:`CALLS` in a fresh process, on one thread."""
    program = _PROGRAM.format(path=sys.path, call=call, rounds=rounds)
    environment = {**os.environ, **_ONE_THREAD}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, f"{call} of 50 models x 100,000 losses failed: {done.stderr.strip().splitlines()[-1:]}"
    said = json.loads(done.stdout)
    assert said["pairs"] == 1225, f"{call} compared {said['pairs']} pairs of 50 models; 1,225 were expected"
    return Cost(median(said["seconds"]), max(said["seconds"]), said["mib"])
