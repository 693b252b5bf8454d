"""Processes that promote at once: nobody fails, the audit's chain holds, and of those that compare one wins a round."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.registry_speed.against_mlflow import registration, stored_with
from huracan.model_registry import ModelRegistry

__all__ = ["PROCESSES", "PROMOTIONS", "ROUNDS", "Race", "race"]

PROCESSES, PROMOTIONS, ROUNDS = 4, 100, 25

_RACER = """
import json, sys
sys.path[:0] = {path!r}
from huracan.errors import HuracanError, PromotionConflict
from huracan.model_registry import ModelRegistry

def say(word):
    print(json.dumps(word), flush=True)

registry, me = ModelRegistry(sys.argv[1], artifacts=sys.argv[2]), int(sys.argv[3])
say("ready")
sys.stdin.readline()
errors = []
for count in range({promotions}):
    try:
        registry.promote("m", 1 + (me + count) % 3, reason=f"process {{me}}, {{count}}")
    except HuracanError as error:
        errors.append(str(error))
say(errors)
for _ in range({rounds}):
    sys.stdin.readline()
    held = registry.holder("m")[0]
    say("set")
    sys.stdin.readline()
    try:
        registry.promote("m", 1 + held % 3, expected=held, reason="round")
        say("won")
    except PromotionConflict:
        say("lost")
    except HuracanError as error:
        say(str(error))
"""


@dataclass(frozen=True)
class Race:
    """``errors`` of free promotions; rounds of compare-and-set with one winner; rows of the audit, and whether it holds."""

    errors: int
    fair_rounds: int
    rows: int
    intact: bool


def race(url: str, folder: Path) -> Race:
    """Four processes promote a hundred times each, then race for 25 rounds.

    Raises
    ------
    AssertionError : the history does not tell what the processes did.
    """
    registry = ModelRegistry(url, artifacts=folder / "artifacts")
    stored = stored_with(registry)
    for _ in range(3):
        made = registration({})
        registry.database.run(lambda connection, made=made: made.make_known(connection, stored, None))
    registry.promote("m", 1, expected=None, reason="first")
    program = _RACER.format(path=sys.path, promotions=PROMOTIONS, rounds=ROUNDS)
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    words = [sys.executable, "-c", program, url, str(folder / "artifacts")]
    racers = [
        subprocess.Popen([*words, str(number)], env={**os.environ, "OMP_NUM_THREADS": "1"}, **pipes)
        for number in range(PROCESSES)
    ]

    def heard() -> list[Any]:
        return [json.loads(racer.stdout.readline() or '"it ended"') for racer in racers]

    def call() -> list[Any]:
        for racer in racers:
            racer.stdin.write("go\n")
            racer.stdin.flush()
        return heard()

    try:
        assert heard() == ["ready"] * PROCESSES, "a process did not start"
        errors = call()
        fair = 0
        for _ in range(ROUNDS):
            assert call() == ["set"] * PROCESSES, "a process is lost"
            fair += sorted(call()) == ["lost"] * (PROCESSES - 1) + ["won"]
    finally:
        for racer in racers:
            racer.kill()
            racer.communicate()
    report = registry.verify_audit()
    moves = registry.history("m").filter(action="promote")
    links = moves["from_version"].to_list() == [None, *moves["to_version"].to_list()[:-1]]
    won = moves.filter(reason="round").height
    registry.database.close()
    assert won == fair == ROUNDS or fair < ROUNDS, f"{won} rounds were won, {fair} seen"
    return Race(sum(map(len, errors)), fair, report.rows, report.intact and links)
