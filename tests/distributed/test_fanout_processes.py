"""Worker processes: they end with the process that started them, and take a script's own functions."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from huracan.distributed import FanoutExecutor
from huracan.errors import FanoutError

pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="whether a process runs is read from /proc")


def runs(pid):
    """Whether a process runs; one that ended and was not yet asked for its exit code does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until(condition, seconds=10.0):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


def started_script(tmp_path, body):
    """Run a script without a main guard, in a session of its own; its tasks write their process ids to ``pids``."""
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent("""
        import os, signal, subprocess, sys, time
        from huracan.distributed import FanoutExecutor

        signal.signal(signal.SIGINT, signal.default_int_handler)  # tests in the background inherit that it is ignored

        def note(pid):
            with open("pids", "a") as file:
                file.write(f"{pid}\\n")

        """)
        + textwrap.dedent(body)
    )
    return subprocess.Popen(
        [sys.executable, str(script)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


ENDLESS = """
def task(number):
    note(os.getpid())
    note(subprocess.Popen(["sleep", "300"]).pid)
    time.sleep(300)

FanoutExecutor(workers=2).map(task, range(4))
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_workers_and_what_they_started_end_with_the_script(tmp_path, how):
    script = started_script(tmp_path, ENDLESS)
    noted = tmp_path / "pids"
    assert wait_until(lambda: noted.exists() and len(noted.read_text().split()) == 4, 120)
    pids = [int(pid) for pid in noted.read_text().split()]
    assert all(map(runs, pids))
    os.killpg(script.pid, how)  # what Ctrl-C does: the whole foreground group is told
    _, said = script.communicate(timeout=20)
    assert wait_until(lambda: not any(map(runs, pids))), "a worker outlived its script"
    if how == signal.SIGINT:
        assert said.rstrip().endswith("KeyboardInterrupt")


def test_functions_classes_and_globals_of_a_script_need_no_main_guard(tmp_path):
    script = started_script(
        tmp_path,
        """
        from dataclasses import dataclass

        HORIZON = 3

        @dataclass
        class Forecast:
            symbol: str
            bars: int

        class NoCandles(Exception):
            pass

        def forecast(symbol):
            if symbol == "ETH":
                raise NoCandles(symbol)
            return Forecast(symbol, HORIZON)

        results = FanoutExecutor(workers=2, retries=0).collect(forecast, ["BTC", "ETH"])
        assert results["BTC"].value == Forecast("BTC", 3)
        assert type(results["ETH"].failure.exception) is NoCandles
        print("once", results["ETH"].failure.message)
        """,
    )
    out, said = script.communicate(timeout=60)
    assert (out, said) == ("once raised __main__.NoCandles: ETH\n", "")


def test_stopping_early_ends_workers_at_once():
    def task(seconds):
        time.sleep(seconds)
        return os.getpid()

    results = FanoutExecutor(workers=2).stream(task, [0.0, 60.0, 60.0])
    first = next(results).value
    started = time.monotonic()
    results.close()
    assert time.monotonic() - started < 1
    assert not runs(first)


def test_a_progress_function_that_raises_ends_workers_first():
    pids = []

    def complain(finished, total, result):
        pids.append(result.value)
        raise OSError("the screen is gone")

    with pytest.raises(OSError, match="the screen is gone") as kept:
        FanoutExecutor(workers=2, progress=complain).map(lambda seconds: time.sleep(seconds) or os.getpid(), [0.0, 60.0])
    assert kept.tb is not None and not runs(pids[0])


def test_what_a_task_started_ends_when_its_time_is_up(tmp_path):
    def task(_):
        child = subprocess.Popen(["sleep", "300"])
        (tmp_path / "child").write_text(str(child.pid))
        child.wait()

    result = FanoutExecutor(workers=1, retries=0, timeout=1.0).collect(task, ["a"])["a"]
    assert result.failure.message == "took longer than 1 s and was ended"
    assert wait_until(lambda: not runs(int((tmp_path / "child").read_text())))


def test_a_child_that_keeps_the_socket_open_does_not_hide_a_death():
    def task(number):
        if number == 0 and os.fork():
            os._exit(1)
        if number == 0:
            time.sleep(300)
        return number

    results = FanoutExecutor(workers=1, worker_deaths=1).collect(task, [0, 1])
    assert "the worker exited with code 1" in results[0].failure.message
    assert results[1].value == 1


def test_a_function_whose_module_workers_cannot_import_is_said(tmp_path, monkeypatch):
    (tmp_path / "only_here.py").write_text("def task(x):\n    return x\n")
    monkeypatch.syspath_prepend(tmp_path)
    import only_here

    results = FanoutExecutor().stream(only_here.task, [1])
    (tmp_path / "only_here.py").unlink()
    with pytest.raises(FanoutError, match=r"workers cannot load the function: ModuleNotFoundError: .*only_here"):
        list(results)


def test_workers_that_never_become_ready_are_said(tmp_path, monkeypatch):
    (tmp_path / "deadly.py").write_text("import os\nHOME = os.getpid()\ndef task(x):\n    return x\n")
    monkeypatch.syspath_prepend(tmp_path)
    import deadly

    (tmp_path / "deadly.py").write_text("import os\nos._exit(7)\n")
    with pytest.raises(FanoutError, match="3 workers in a row died before they were ready; the last one exited with code 7"):
        FanoutExecutor(workers=1).run(deadly.task, [1])


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_what_tasks_print_comes_in_whole_lines(capfd, monkeypatch, unbuffered):
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)

    class SlowlySaid(int):
        def __str__(self):
            time.sleep(0.001)  # the other worker prints meanwhile
            return repr(int(self))

    def task(number):
        for repeat in range(20):
            print("line", number, SlowlySaid(repeat))
        return number

    assert FanoutExecutor(workers=2).map(task, range(4)) == [0, 1, 2, 3]
    lines = [f"line {number} {repeat}" for number in range(4) for repeat in range(20)]
    assert sorted(capfd.readouterr().out.split("\n")) == sorted(["", *lines])


def test_large_tasks_and_results_travel_whole():
    sizes = FanoutExecutor(workers=2).map(lambda block: block + b"!", [bytes(n) for n in (0, 1, 5_000_000, 20_000_000)])
    assert [len(block) for block in sizes] == [1, 2, 5_000_001, 20_000_001]
