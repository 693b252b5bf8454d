"""``python -m benchmarks.registry_checks.kill_process URL FOLDER``: registers and promotes until it is killed.

After its imports it forks a process for every line on standard input, so that the next victim is ready in milliseconds.
What a victim is about to do stands on standard output: ``register``, ``promote``; ``dead`` once it is.
"""

from __future__ import annotations

import itertools
import os
import random
import sys
from typing import Any

import numpy as np
from sklearn.linear_model import Ridge

from huracan.model_info import ModelInfo
from huracan.model_registry import ModelRegistry
from huracan.registry import dump_model

__all__ = ["CARD", "NAME", "line", "main"]

NAME = "btc"
CARD = ModelInfo(
    name="ridge",
    purpose="linear forecast of the next return",
    ideal_dataset_shape="(1_000+ rows, 5-500 features)",
    feature_requirements=("numeric",),
    output_schema={"prediction": "forecast of the label"},
    task="regression",
)


def line(slope: float) -> Any:
    """A fitted model whose artifact is its own for every slope."""
    rows = np.arange(10.0)[:, None]
    return Ridge(1e-9).fit(rows, slope * rows[:, 0])


def main(url: str, folder: str) -> None:
    """Fork a victim for every line on standard input."""
    dump_model(line(1.0))  # what it imports is there before the fork
    _say("ready")
    for number, _ in enumerate(sys.stdin):
        child = os.fork()
        if child == 0:
            _work(url, folder, number)
        _say(f"child {child}")
        os.waitpid(child, 0)
        _say("dead")


def _work(url: str, folder: str, number: int) -> None:
    try:
        registry = ModelRegistry(url, artifacts=folder)
        choice = random.Random(number)
        for step in itertools.count():
            if step:  # the first time much is done once only, and would be all that is interrupted
                _say("register")
            version = registry.register(line(number + step / 1_000), CARD, name=NAME, metrics={"sharpe": 1.0})
            for _ in range(4):
                if step:
                    _say("promote")
                registry.promote(NAME, choice.randint(max(1, version - 3), version), reason="a loop")
    except BaseException as error:  # noqa: BLE001 - a forked process must not go on with its parent's loop
        _say(f"failed {type(error).__name__}: {error}")
    os._exit(1)


def _say(word: str) -> None:
    os.write(1, f"{word}\n".encode())


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
