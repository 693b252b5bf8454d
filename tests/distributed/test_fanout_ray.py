"""Fan-out on Ray: the same values as on processes, and nothing lost where workers or whole machines are."""

from __future__ import annotations

import os
import signal
import sys
import time
from importlib.util import find_spec

import numpy as np
import pytest

from huracan.distributed import FanoutExecutor
from huracan.distributed.fanout import FailureKind
from huracan.errors import DependencyMissing, FanoutError

SYMBOLS = [f"S{n}" for n in range(12)]

needs_ray = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("ray") is None, reason="the extra 'ray' is not installed"),
]


@pytest.fixture(scope="module")
def executor():
    """One Ray for all tests here; its start takes seconds."""
    with FanoutExecutor("ray", workers=2) as started:
        started.map(abs, [0])
        yield lambda **settings: FanoutExecutor("ray", **({"workers": 2} | settings))


class TestOnThisMachine:
    pytestmark = needs_ray

    def test_values_are_those_of_processes(self, executor):
        def walk(symbol, seed, shared):
            return symbol, np.random.default_rng(seed).standard_normal(20) + shared

        shared = np.arange(20.0)
        here = FanoutExecutor("processes", workers=2, seed=4).run(walk, SYMBOLS, shared=shared)
        there = executor(seed=4).run(walk, SYMBOLS, shared=shared)
        assert list(there) == SYMBOLS
        for symbol in SYMBOLS:
            np.testing.assert_array_equal(there[symbol][1], here[symbol][1])

    def test_every_result_exactly_once_under_random_kills(self, executor, tmp_path):
        rng = np.random.default_rng(0)
        plan = {name: list(rng.choice(["kill", "raise"], size=rng.integers(0, 3))) for name in SYMBOLS}

        def task(name):
            with open(tmp_path / name, "ab", buffering=0) as file:
                file.write(b".")
            attempt = os.stat(tmp_path / name).st_size
            fate = plan[name][attempt - 1] if attempt <= len(plan[name]) else "none"
            if fate == "raise":
                raise RuntimeError(name)
            if fate == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            return name * 2

        results = list(executor().stream(task, SYMBOLS))
        assert sorted(r.key for r in results) == sorted(SYMBOLS)
        assert {r.key: r.value for r in results} == {name: name * 2 for name in SYMBOLS}
        assert {r.key: r.attempts for r in results} == {name: len(plan[name]) + 1 for name in SYMBOLS}

    def test_failures_are_those_of_processes(self, executor):
        def task(name):
            if name == "raises":
                raise KeyError("no candles of BTC")
            if name == "dies":
                os.kill(os.getpid(), signal.SIGKILL)
            if name == "sleeps":
                time.sleep(60)
            return (n for n in ()) if name == "generates" else name

        names = ["raises", "dies", "sleeps", "generates", "works"]
        results = executor(retries=1, timeout=1.5, worker_deaths=2).collect(task, names)
        kinds = [FailureKind.EXCEPTION, FailureKind.WORKER_DIED, FailureKind.TIMEOUT, FailureKind.NOT_SENDABLE]
        assert [results[name].failure.kind for name in names[:4]] == kinds
        assert [results[name].attempts for name in names] == [2, 2, 2, 1, 1]
        with pytest.raises(KeyError, match="no candles of BTC"):
            results["raises"].get()
        assert "killed or crashed" in results["dies"].failure.message
        assert results["works"].value == "works"

    def test_shared_arrays_are_read_only_and_threads_are_one(self, executor):
        def task(_, shared):
            return shared["table"].flags.writeable, float(shared["table"].sum()), os.environ["OMP_NUM_THREADS"]

        assert executor().map(task, [0, 1], shared={"table": np.ones(1_000_000)}) == [(False, 1e6, "1")] * 2


class TestOnManyMachines:
    pytestmark = needs_ray

    def test_a_machine_that_leaves_takes_no_result_with_it(self):
        """Two Ray nodes (processes of their own here); the one that is not the head is removed midway."""
        import ray
        from ray.cluster_utils import Cluster

        if ray.is_initialized():
            ray.shutdown()
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        try:
            second = cluster.add_node(num_cpus=1)
            cluster.wait_for_nodes()

            def task(number):
                time.sleep(0.25)
                return number, ray.get_runtime_context().get_node_id()

            seen = []
            with FanoutExecutor("ray", address=cluster.address, worker_deaths=5) as executor:
                for done in executor.stream(task, range(40)):
                    seen.append(done)
                    if len({r.value[1] for r in seen}) == 2 and second is not None:
                        cluster.remove_node(second, allow_graceful=False)
                        second = None
            assert second is None, "tasks never ran on both nodes"
            assert sorted(r.key for r in seen) == list(range(40))
            assert all(r.value[0] == r.key for r in seen)
        finally:
            ray.shutdown()
            cluster.shutdown()


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(DependencyMissing, match=r"pip install 'huracan\[ray\]'"):
        FanoutExecutor("ray").map(abs, [1])


class FakeRay:
    """Ray as far as starting it goes, refusing."""

    def is_initialized(self):
        return False

    def init(self, *_, **__):
        raise ConnectionError("no such host")


def test_a_cluster_that_cannot_be_reached_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", FakeRay())
    with pytest.raises(FanoutError, match="Ray at 'nowhere:6379' cannot be used: no such host"):
        FanoutExecutor("ray", address="nowhere:6379").map(abs, [1])
