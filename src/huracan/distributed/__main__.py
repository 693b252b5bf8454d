"""``python -m huracan.distributed FOLDER``: take part in the training of a folder; ``torchrun ... -m`` on many processes."""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import suppress
from dataclasses import replace
from typing import Any

from huracan.distributed.orphans import end_with
from huracan.errors import HuracanError, WorkerError

_CHANGEABLE = ("strategy", "tensor_parallel", "micro_batches", "schedule", "timeout")


def main() -> int:
    """Exit code 0 where the outcome is there, 2 with one sentence on standard error where it is not.

    Under our own agent what no new start would cure ends with 0 and a note in the folder: an agent starts everything else
    again.
    """
    options = _options()
    launcher = options.launched_by
    if launcher is not None:
        end_with(launcher)
    lasting_code = 2 if launcher is None else 0
    try:
        from huracan.distributed.placement import Placement
        from huracan.distributed.run_home import RunHome
        from huracan.distributed.worker import train_here

        home = RunHome(options.folder)
        config = home.config()
        given = {name: value for name, value in vars(options).items() if name in _CHANGEABLE and value is not None}
        placement = Placement.of_environment() or Placement()
        if given:
            anew = {"tensor_parallel": None, "micro_batches": None} if "strategy" in given else {}
            config = replace(config, processes=placement.world, hosts=1, fewest_hosts=None, **{**anew, **given})
        show = _show if launcher is None else None
        train_here(home, config, placement, exit_code=lasting_code, launcher=launcher, on_epoch=show)
    except WorkerError as error:
        return _say(error, 1)
    except HuracanError as error:
        return _say(error, lasting_code)
    return 0


def _show(record: Any) -> None:
    validation = "" if record.validation_loss is None else f", validation {record.validation_loss:.6g}"
    losses = ", ".join(f"{name} {loss:.6g}" for name, loss in record.losses.items())
    print(f"epoch {record.epoch}: {losses}{validation}, {record.windows_per_second:,.0f} windows/s", flush=True)


def _say(error: HuracanError, code: int) -> int:
    with suppress(OSError):  # a log on a full disk
        print(f"huracan: {error}", file=sys.stderr, flush=True)
    return code


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m huracan.distributed", description=__doc__)
    parser.add_argument("folder", help="folder of the training, shared by all processes")
    parser.add_argument("--strategy", help="none, ddp, fsdp2, tp, pp or fsdp2_tp; as prepared unless given")
    parser.add_argument("--tensor-parallel", type=int, help="processes that share a matrix")
    parser.add_argument("--micro-batches", type=int, help="pieces of a batch in a pipeline")
    parser.add_argument("--schedule", help="gpipe or 1f1b")
    parser.add_argument("--timeout", type=float, help="seconds after which a process that does not answer is missing")
    parser.add_argument("--launched-by", type=int, metavar="PID", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    code = main()
    with suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)  # a group whose other processes are gone cannot be closed
