"""Two hosts (network namespaces): one is killed altogether and comes back, and nothing of the result changes."""

from __future__ import annotations

import os
import shutil

import pytest

pytest.importorskip("torch")

from benchmarks.distributed import EVERY, fitted, without_a_host
from benchmarks.distributed_checks.two_hosts import two_hosts

pytestmark = [
    pytest.mark.root,
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0 or shutil.which("ip") is None, reason="network namespaces need root and iproute2"),
]


def test_a_host_that_was_killed_comes_back() -> None:
    problem = {"max_steps": 40, "checkpoint_every": EVERY}
    undisturbed = fitted(problem, 1)
    with two_hosts() as hosts:
        told, lost = without_a_host(hosts, problem, 15, back=True, port=29_500)
    assert 0 <= lost <= EVERY
    assert told["losses"] == pytest.approx(undisturbed["losses"], abs=1e-12)
    assert told["parameter_sum"] == pytest.approx(undisturbed["parameter_sum"], abs=1e-10)
