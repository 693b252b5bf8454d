"""``python -m benchmarks.registry_checks.kill_process URL FOLDER``: registers and promotes until it is killed.

After its imports it forks a process for every line on standard input, so that the next victim is ready in milliseconds. A line
says what it does over and over, ``register`` or ``promote``; it says so each time on standard output, and ``dead`` once it is.
"""

from __future__ import annotations

import itertools
import os
import random
import sys
from typing import Any

import numpy as np
from sklearn.linear_model import Ridge

from benchmarks.ridge_card import CARD
from huracan.model_registry import ModelRegistry
from huracan.registry import dump_model

__all__ = ["NAME", "line", "main"]

NAME = "btc"


def line(slope: float) -> Any:
    """A fitted model whose artifact is its own for every slope."""
    rows = np.arange(10.0)[:, None]
    return Ridge(1e-9).fit(rows, slope * rows[:, 0])


def main(url: str, folder: str) -> None:
    """Fork a victim for every line on standard input."""
    dump_model(line(1.0))  # what it imports is there before the fork
    _say("ready")
    for number, word in enumerate(sys.stdin):
        child = os.fork()
        if child == 0:
            _work(url, folder, number, word.strip())
        _say(f"child {child}")
        os.waitpid(child, 0)
        _say("dead")


def _work(url: str, folder: str, number: int, what: str) -> None:
    try:
        registry = ModelRegistry(url, artifacts=folder)
        choice = random.Random(number)
        # the first time much is done once only, and would be all that is interrupted: it is not spoken of
        version = registry.register(line(number), CARD, name=NAME)
        registry.promote(NAME, version, reason="before the loop")
        for step in itertools.count(1):
            _say(what)
            if what == "register":
                version = registry.register(line(number + step / 1_000), CARD, name=NAME, metrics={"sharpe": 1.0})
            else:
                registry.promote(NAME, choice.randint(max(1, version - 3), version), reason="a loop")
    except BaseException as error:  # noqa: BLE001 - a forked process must not go on with its parent's loop
        _say(f"failed {type(error).__name__}: {error}")
    os._exit(1)


def _say(word: str) -> None:
    os.write(1, f"{word}\n".encode())


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
