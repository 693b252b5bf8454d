"""The main program of a worker process; started as a file, so that it imports nothing before it knows the path.

A thread reads the connection. Its end means that the process which started this one is gone: then this one goes too, with
whatever it started, even in the middle of a task.
"""

import io
import os
import pickle
import queue
import signal
import sys
import threading
from multiprocessing.connection import Connection
from typing import Any

__all__: list[str] = []


def _main(connection: Connection) -> None:
    for stream in (sys.stdout, sys.stderr):
        assert isinstance(stream, io.TextIOWrapper)
        stream.reconfigure(line_buffering=True, write_through=False)  # whole lines, even where Python writes unbuffered
    sys.path[:] = pickle.loads(connection.recv_bytes())  # noqa: S301 - from the process that started this one
    start = connection.recv_bytes()
    jobs: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(connection, jobs), daemon=True).start()
    problem, work = _prepared(start)
    connection.send_bytes(pickle.dumps(problem))
    while job := jobs.get():
        reply = work.perform(job)
        del job
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        connection.send_bytes(reply)
        del reply


def _prepared(start: bytes) -> tuple[str, Any]:
    try:
        from huracan.distributed.fanout.shared import read_back
        from huracan.distributed.fanout.work import Work

        layout, descriptor, order = pickle.loads(start)  # noqa: S301
        shared = None if layout is None else read_back(layout, descriptor)
        return "", Work(order.function, shared, order.asked, order.seed)
    except Exception as error:  # noqa: BLE001 - whatever importing the user's modules raises
        return f"{type(error).__name__}: {error}", None


def _read(connection: Connection, jobs: "queue.SimpleQueue[bytes]") -> None:
    try:
        while job := connection.recv_bytes():
            jobs.put(job)
        jobs.put(b"")
    except (EOFError, OSError):
        os.killpg(os.getpgid(0), signal.SIGKILL)


if __name__ == "__main__":
    _main(Connection(int(sys.argv[1])))
