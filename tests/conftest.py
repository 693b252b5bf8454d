"""Shared fixtures: where the real market data lies, an empty database of each kind, and the command in this process."""

from __future__ import annotations

import gc
import io
import logging
import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import NoReturn

import pytest
from benchmarks.automl_checks.own_postgresql import NoPostgreSQL, new_database, own_postgresql

_ROOT = Path(__file__).resolve().parent.parent


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is collected stays until the end; the garbage collector would spend a third of the time of collecting on it."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


@pytest.fixture(scope="session")
def market_data() -> Path:
    """Folder with real candles and published benchmarks; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("HURACAN_TEST_DATA", _ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real market data is not at {folder}; set HURACAN_TEST_DATA to run this test")
    return folder


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """Folder of the Unix socket of a fresh cluster; it listens on nothing else."""
    pytest.importorskip("psycopg", reason="psycopg is not installed (huracan[postgres])")
    try:
        with own_postgresql() as folder:
            yield folder
    except NoPostgreSQL as reason:
        pytest.skip(str(reason))


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of an empty database, once of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/huracan.db"
    return new_database(request.getfixturevalue("postgresql_server"))


@pytest.fixture
def huracan(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """``python -m huracan`` run to its end in this process, without the seconds a fresh one takes to import everything.

    It begins in ``tmp_path``, which is its home unless ``home`` is another. What only a process has (signals, kills, a
    terminal, the order of imports) is tested on processes.
    """

    def ended(*words: str | Path, home: Path = tmp_path) -> subprocess.CompletedProcess[str]:
        from huracan.__main__ import main

        shown, complained = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
        code: object = 0
        with _as_it_was(), pytest.MonkeyPatch.context() as patch:
            for name in [name for name in os.environ if name.startswith("HURACAN")]:
                patch.delenv(name)
            patch.setenv("HURACAN_HOME", str(home))
            patch.chdir(tmp_path)
            patch.setattr("sys.argv", ["huracan", *map(str, words)])
            patch.setattr("huracan.cli.os", SimpleNamespace(_exit=_leave, write=os.write))  # the tests go on
            patch.setattr("sys.stdout", shown)
            patch.setattr("sys.stderr", complained)
            try:
                main()
            except SystemExit as end:
                code = end.code or 0
        assert isinstance(code, int), code
        for said in (shown, complained):
            said.seek(0)
        return subprocess.CompletedProcess(list(words), code, shown.read(), complained.read())

    return ended


def _leave(code: int) -> NoReturn:
    raise SystemExit(code)


@contextmanager
def _as_it_was() -> Iterator[None]:
    """What a command sets for its whole process is put back: signal handlers, loggers, warnings, threads of torch."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    loggers = [(logger, logger.level, logger.handlers[:]) for logger in (logging.root, logging.getLogger("huracan"))]
    torch = sys.modules.get("torch")
    threads = torch.get_num_threads() if torch else None
    try:
        with warnings.catch_warnings():
            yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for logger, level, before in loggers:
            logger.setLevel(level)
            logger.handlers[:] = before
        if torch and threads != torch.get_num_threads():
            torch.set_num_threads(threads)
