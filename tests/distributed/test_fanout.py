"""Fan-out: every task has one result, whatever happens to workers, and the same on every backend."""

from __future__ import annotations

import functools
import os
import signal
import threading
import time
from itertools import pairwise

import numpy as np
import pytest

from huracan.dataset import TrainingSet
from huracan.distributed import FanoutExecutor, TasksFailed
from huracan.distributed.fanout import FailureKind
from huracan.distributed.fanout.tasks import task_seed
from huracan.errors import ConfigError, FanoutError, UnknownName

SYMBOLS = [f"S{n}" for n in range(12)]


def executor(backend="processes", **settings):
    return FanoutExecutor(backend, **({"workers": 2, "start_timeout": 60} | settings))


def marks_in(folder, name):
    """How often a task of this name was begun: one byte an attempt, written so that a kill cannot lose it."""
    path = folder / str(name)
    return path.stat().st_size if path.exists() else 0


def begin(folder, name):
    with open(folder / str(name), "ab", buffering=0) as file:
        file.write(b".")
    return os.stat(folder / str(name)).st_size


def make_walk(length):
    def walk(symbol, seed):
        return symbol, np.random.default_rng(seed).standard_normal(length)

    return walk


# --- the properties -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("draw", range(3))
def test_every_result_exactly_once_under_random_kills(tmp_path, draw):
    """A random plan: some attempts raise, some are killed before, some after the work. No task exceeds its budget."""
    rng = np.random.default_rng(draw)
    plan = {name: list(rng.choice(["kill", "raise", "late kill"], size=rng.integers(0, 3))) for name in SYMBOLS}

    def task(name):
        attempt = begin(tmp_path, name)
        fate = plan[name][attempt - 1] if attempt <= len(plan[name]) else "none"
        if fate == "raise":
            raise RuntimeError(name)
        if fate == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        value = name * 2
        if fate == "late kill":
            os.kill(os.getpid(), signal.SIGKILL)
        return value

    results = list(executor(workers=3).stream(task, SYMBOLS))
    assert sorted(r.key for r in results) == sorted(SYMBOLS)
    assert {r.key: r.value for r in results} == {name: name * 2 for name in SYMBOLS}
    assert {r.key: r.attempts for r in results} == {name: len(plan[name]) + 1 for name in SYMBOLS}
    assert all(marks_in(tmp_path, name) == len(plan[name]) + 1 for name in SYMBOLS)


def test_workers_killed_from_outside_lose_nothing():
    """kill -9 from another thread at random moments; a finished result is never done again, a lost one is."""
    rng = np.random.default_rng(1)
    pids: set[int] = set()
    killed = []

    def kill_two():
        while len(killed) < 2:
            time.sleep(float(rng.uniform(0.05, 0.2)))
            if pids - set(killed):
                victim = min(pids - set(killed))
                killed.append(victim)
                os.kill(victim, signal.SIGKILL)

    def task(number):
        time.sleep(0.05)
        return number * number, os.getpid()

    killer = threading.Thread(target=kill_two)
    killer.start()
    results = []
    for result in executor(worker_deaths=5).stream(task, range(40)):
        results.append(result)
        pids.add(result.value[1])
    killer.join()
    assert len(killed) == 2
    assert sorted(r.key for r in results) == list(range(40))
    assert all(r.value[0] == r.key**2 for r in results)
    assert sum(r.attempts - 1 for r in results) <= 2


@pytest.mark.parametrize("other", ["processes with one worker", "inline", "the other order"])
def test_values_depend_neither_on_backend_nor_on_order_nor_on_workers(other):
    expected = executor(seed=5).run(make_walk(50), SYMBOLS)
    tasks, backend, workers = SYMBOLS, "processes", 1
    if other == "inline":
        backend = "inline"
    if other == "the other order":
        tasks, workers = SYMBOLS[::-1], 3
    found = executor(backend, seed=5, workers=workers).run(make_walk(50), tasks)
    assert list(found) == tasks
    for symbol in SYMBOLS:
        assert found[symbol][0] == symbol
        np.testing.assert_array_equal(found[symbol][1], expected[symbol][1])


def test_a_poison_task_is_given_up_and_charges_nobody_else(tmp_path):
    def task(name):
        begin(tmp_path, name)
        if name == "S3":
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.01)
        return name

    results = executor(worker_deaths=3, retries=7).collect(task, SYMBOLS)
    assert list(results) == SYMBOLS
    poison = results.pop("S3")
    assert poison.failure.kind is FailureKind.WORKER_DIED
    assert poison.attempts == marks_in(tmp_path, "S3") == 3
    assert poison.failure.message == (
        "ended its worker 3 times, the last time with no other task running, and was given up "
        "(the worker was killed by SIGKILL, as happens to processes when memory runs out)"
    )
    assert all(r.value == name and r.attempts == marks_in(tmp_path, name) == 1 for name, r in results.items())


def test_the_death_of_a_worker_without_a_task_is_charged_to_none(tmp_path):
    def task(name):
        if name == "quick":
            (tmp_path / "quick").write_text(str(os.getpid()))
            return name
        while not (tmp_path / "quick").exists() or not (tmp_path / "quick").read_text():
            time.sleep(0.01)
        time.sleep(0.3)
        os.kill(int((tmp_path / "quick").read_text()), signal.SIGKILL)
        time.sleep(0.8)
        return name

    results = executor(worker_deaths=1).collect(task, ["slow", "quick"])
    assert [(r.value, r.attempts) for r in results.values()] == [("slow", 1), ("quick", 1)]


def test_what_runs_alone_has_nothing_beside_it(tmp_path):
    """Its last attempt begins after every other task has ended."""

    def task(name):
        attempt = begin(tmp_path, name)
        if name == "S0" and attempt < 3:
            os._exit(9)
        started = time.time()
        time.sleep(0.02)
        return started, time.time()

    spans = executor(workers=3).run(task, SYMBOLS)
    alone = spans.pop("S0")
    assert alone[0] >= max(ended for _, ended in spans.values())


def test_a_retry_runs_in_another_worker(tmp_path):
    def task(name):
        with open(tmp_path / name, "a") as file:
            file.write(f"{os.getpid()}\n")
        raise ValueError(name)

    results = executor(retries=2).collect(task, SYMBOLS[:4])
    for name, result in results.items():
        pids = (tmp_path / name).read_text().split()
        assert result.attempts == len(pids) == len(set(pids)) == 3


def test_one_worker_is_enough_for_a_retry_in_another(tmp_path):
    def task(name):
        if begin(tmp_path, name) == 1:
            raise ValueError
        return os.getpid()

    results = executor(workers=1).collect(task, ["a", "b"])
    assert [r.attempts for r in results.values()] == [2, 2]


# --- failures -----------------------------------------------------------------------------------------------------------


class TwoArguments(Exception):
    """An exception that its own arguments cannot rebuild."""

    def __init__(self, place, reason):
        super().__init__(f"{place}: {reason}")


@pytest.mark.parametrize("backend", ["inline", "processes"])
def test_an_exception_keeps_type_message_and_traceback(backend):
    def inner_step(symbol):
        raise KeyError(f"no candles of {symbol}")

    def task(symbol):
        return inner_step(symbol)

    result = executor(backend, retries=1).collect(task, ["BTC"])["BTC"]
    assert result.attempts == 2
    assert result.failure.kind is FailureKind.EXCEPTION
    assert result.failure.error_type == "KeyError"
    assert result.failure.exception.args == ("no candles of BTC",)
    assert "inner_step" in result.failure.traceback and "huracan/distributed" not in result.failure.traceback
    with pytest.raises(KeyError, match="no candles of BTC"):
        result.get()


def test_an_exception_that_cannot_travel_keeps_type_message_and_traceback():
    kind = type("Rebuilt", (TwoArguments,), {"__module__": "candles"})

    def task(_):
        raise kind("BTC", "no candles")

    failure = executor(retries=0).collect(task, ["BTC"])["BTC"].failure
    assert failure.error_type == "candles.Rebuilt"
    assert failure.message == "raised candles.Rebuilt: BTC: no candles"
    assert "no candles" in failure.traceback
    assert failure.exception is None


def test_leaving_python_in_a_task_is_its_failure_not_ours():
    def task(name):
        if name == "S1":
            raise SystemExit("done")
        return name

    result = executor(retries=0).collect(task, SYMBOLS[:3])["S1"]
    assert result.failure.message == "raised SystemExit: done"
    with pytest.raises(FanoutError, match="task 'S1' raised SystemExit: done"):
        result.get()


def test_run_finishes_everything_before_it_raises():
    def task(number):
        return 10 // number

    with pytest.raises(TasksFailed, match=r"2 of 6 tasks failed: 'a' raised ZeroDivisionError: .*'d' raised") as caught:
        executor(retries=0).run(task, {"a": 0, "b": 1, "c": 2, "d": 0, "e": 5, "f": 10})
    assert [r.value for r in caught.value.results.values()] == [None, 10, 5, None, 2, 1]
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_a_task_that_takes_too_long_is_ended_and_said():
    def task(name):
        time.sleep(60 if name == "S1" else 0.01)
        return name

    started = time.monotonic()
    results = executor(timeout=0.5, retries=1).collect(task, SYMBOLS[:4])
    assert time.monotonic() - started < 15
    assert results["S1"].failure.kind is FailureKind.TIMEOUT
    assert results["S1"].failure.message == "took longer than 0.5 s and was ended"
    assert results["S1"].attempts == 2
    assert [results[name].value for name in ("S0", "S2", "S3")] == ["S0", "S2", "S3"]


def test_what_cannot_be_sent_is_named():
    lock = threading.Lock()
    with pytest.raises(FanoutError, match=r"function '.*<lambda>' cannot be pickled .*lock"):
        executor().run(lambda _: lock, ["a"])
    results = executor().collect(lambda task: task, {"a": lock, "b": 1})
    assert results["a"].failure.kind is FailureKind.NOT_SENDABLE and results["a"].attempts == 0
    assert results["a"].failure.message.startswith("is given a 'lock', which cannot be pickled")
    assert results["b"].value == 1
    result = executor().collect(lambda _: (n for n in ()), ["a"])["a"]
    assert result.failure.message.startswith("returned a 'generator', which cannot be pickled") and result.attempts == 1
    with pytest.raises(FanoutError, match="what is shared, a 'lock', cannot be pickled"):
        executor().run(lambda _, shared: shared, ["a"], shared=lock)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"workers": 0}, "workers is 0; expected a whole number of at least 1"),
        ({"retries": -1}, "retries is -1"),
        ({"retries": 1.5}, "retries is 1.5"),
        ({"timeout": 0}, "timeout is 0; expected seconds above 0"),
        ({"timeout": float("nan")}, "timeout is nan"),
        ({"worker_deaths": 0}, "worker_deaths is 0"),
        ({"address": "box:6379"}, "address is given, but backend 'processes' has none"),
        ({"backend": "inline", "timeout": 3}, "timeout is 3 s, but backend 'inline' cannot end a task"),
    ],
)
def test_settings_out_of_bounds(settings, message):
    with pytest.raises(ConfigError, match=message):
        FanoutExecutor(**settings)


def test_unknown_backend_offers_the_nearest():
    with pytest.raises(UnknownName, match="unknown fan-out backend 'process'; did you mean 'processes'"):
        FanoutExecutor("process")


def test_keys_and_functions_are_checked_before_anything_starts():
    with pytest.raises(ConfigError, match="'BTC' is given twice, at positions 0 and 2"):
        executor().run(abs, ["BTC", "ETH", "BTC"])
    with pytest.raises(ConfigError, match=r"task key 1\.5 is of type 'float'"):
        executor().run(abs, {1.5: 2})
    with pytest.raises(ConfigError, match="the tasks are 'BTC'; expected a list"):
        executor().run(abs, "BTC")
    with pytest.raises(ConfigError, match="the tasks are 7; expected a list"):
        executor().run(abs, 7)
    with pytest.raises(ConfigError, match="3 is not a function"):
        executor().run(3, ["BTC"])
    with pytest.raises(ConfigError, match="has no parameter 'shared'"):
        executor().run(abs, [1], shared=np.zeros(3))


@pytest.mark.parametrize("backend", ["inline", "processes", "ray"])
def test_no_tasks_no_results_and_nothing_started(backend):
    assert executor(backend).run(abs, []) == {}
    assert executor(backend).map(abs, []) == []
    assert list(executor(backend).stream(abs, {})) == []


# --- seeds, sharing, progress -------------------------------------------------------------------------------------------


def test_seeds_come_from_the_executors_seed_and_the_key_alone():
    seeds = {(seed, key): task_seed(seed, key) for seed in range(3) for key in ("1", 1, (1,), ("1",), "BTC")}
    assert len(set(seeds.values())) == len(seeds)
    assert all(0 <= value < 2**31 for value in seeds.values())
    assert task_seed(0, np.int64(7)) == task_seed(0, 7)
    bound = functools.partial(make_walk(3), seed=11)
    np.testing.assert_array_equal(executor("inline").run(bound, ["a"])["a"][1], np.random.default_rng(11).standard_normal(3))


@pytest.mark.parametrize("backend", ["inline", "processes"])
def test_shared_arrays_are_read_only_and_equal(backend):
    rng = np.random.default_rng(0)
    rows = TrainingSet.from_arrays(rng.standard_normal((500, 4)).astype(np.float32), rng.standard_normal(500))
    shared = {"rows": rows, "table": rng.standard_normal((30, 7)), "empty": np.zeros(0), "transposed": np.ones((3, 5)).T}

    def task(_, shared):
        writeable = [shared["table"].flags.writeable, shared["rows"].X.flags.writeable]
        return shared["rows"].data_hash(), shared["table"].sum(), shared["transposed"].shape, writeable

    for value in executor(backend).map(task, range(3), shared=shared):
        assert value == (rows.data_hash(), shared["table"].sum(), (5, 3), [False, False])


def test_what_is_shared_is_not_copied_for_each_worker():
    """The memory of its own that a worker has, reading all of 200 MB, stays far below 200 MB."""
    big = np.ones(25_000_000)

    def task(_, shared):
        total = float(shared.sum())
        with open("/proc/self/smaps_rollup") as file:
            own = next(int(line.split()[1]) for line in file if line.startswith("Anonymous:"))
        return total, own / 1024

    if not os.path.exists("/proc/self/smaps_rollup"):
        pytest.skip("a process's own memory is read from /proc/self/smaps_rollup, which this system does not have")
    for total, megabytes in executor().map(task, range(4), shared=big):
        assert total == 25e6
        assert megabytes < 100


def test_progress_counts_every_task_once():
    seen = []
    values = executor(progress=lambda done, total, result: seen.append((done, total, result.key))).map(abs, range(5))
    assert values == list(range(5))
    assert [done for done, _, _ in seen] == [1, 2, 3, 4, 5]
    assert {total for _, total, _ in seen} == {5}
    assert sorted(key for _, _, key in seen) == list(range(5))


def test_results_come_before_the_slowest_task_is_done():
    def task(seconds):
        time.sleep(seconds)
        return seconds

    results = executor().stream(task, {"slow": 1.0, "quick": 0.0, "quicker": 0.0})
    assert [r.key for r in results][-1] == "slow"


def test_numerical_libraries_have_one_thread_a_worker_unless_asked():
    def threads(_):
        from threadpoolctl import threadpool_info

        np.ones((2, 2)) @ np.ones((2, 2))
        return {pool["num_threads"] for pool in threadpool_info()}

    assert executor().map(threads, [0]) == [{1}]
    assert executor("inline").map(threads, [0]) == [{1}]
    assert executor(threads_per_worker=2).map(lambda _: os.environ["OMP_NUM_THREADS"], [0]) == ["2"]


def test_sets_have_one_order_in_all_workers():
    orders = executor(workers=3).map(lambda _: list({"BTC", "ETH", "SOL", "ADA"}), range(3))
    assert all(a == b for a, b in pairwise(orders))
