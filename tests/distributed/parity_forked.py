"""``python parity_forked.py FOLDER --steps N --every M``: the parity of four processes, then of two that go on from theirs.

``torchrun`` starts each process anew, which takes more time to import than to train; these are forked once all is imported.
"""

from __future__ import annotations

import os
import socket
import sys
from importlib import import_module

from benchmarks.distributed_checks import parity


def together(processes: int, *words: str) -> None:
    """Run parity on so many processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    began = [_started(rank, processes, port, words) for rank in range(processes)]
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in began]
    if any(codes):
        raise SystemExit(f"{processes} processes ended with {codes}")


def _started(rank: int, processes: int, port: int, words: tuple[str, ...]) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        os.environ.update(where, RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(processes))
        sys.argv[1:] = words
        parity.main()
        code = 0
    except BaseException:  # noqa: BLE001 - whatever it is, this process ends with it and does not go on as the one it was
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    for name in (
        "_dynamo",
        "distributed.checkpoint",
        "distributed.fsdp",
        "distributed.pipelining",
        "distributed.tensor.parallel",
    ):
        import_module(f"torch.{name}")  # what torch imports at first use, which would be in every process
    common = tuple(sys.argv[1:])
    together(4, *common)
    together(2, *common, "--continue-from=4", "--cases=ddp,pp-1f1b")
