"""A long life needs no more memory and no longer turns than a short one: only the database on disk grows."""

from __future__ import annotations

import gc
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

import numpy as np
import pytest
from tests.integration.feedback.living import SmallRun, alive, turn

from huracan.integration.feedback import measuring
from huracan.mlops.metrics import Metrics
from huracan.mlops.performance import writing
from huracan.registry.statements import Statement
from huracan.storage import Database

_SHARED = (ModuleType, type, FunctionType, BuiltinFunctionType)
_BOUNDED = (sqlite3.Connection, Metrics)
"""What goes up and down: references to cursors, cleared once in 200 statements, and a gauge for each regime seen."""
_DAY = 24


@pytest.fixture(scope="module")
def empty() -> Database:
    database = Database("sqlite://")
    database.upgrade()
    return database


def test_what_a_mechanic_holds_does_not_grow_with_its_turns(champion: SmallRun, tmp_path: Path) -> None:
    mechanic = alive(champion, tmp_path / "home", mechanic={"every": "1h", "chunk": "1d"})
    held = []
    for hour in range(2 * _DAY + 1):
        turn(mechanic, champion, hour)
        if hour in (_DAY, 2 * _DAY):
            held.append(_held(mechanic))
    (objects, size), (objects_later, size_later) = held
    assert objects_later - objects < _DAY, "less than one a turn"
    assert size_later - size < _DAY * sys.getsizeof(0), "less than a number a turn"


@pytest.mark.parametrize("name", ["measuring._PENDING", "writing._PENDING", "writing._GIVEN_UP"])
def test_what_waits_is_looked_for_among_the_newest_turns_alone(empty: Database, name: str) -> None:
    """Not among all that a version ever said, which takes longer from turn to turn."""
    module, attribute = name.split(".")
    statement: Statement = getattr({"measuring": measuring, "writing": writing}[module], attribute)
    text: Any = statement.statement.compile(dialect=empty.engine.dialect)  # type: ignore[attr-defined]
    with empty.reading() as connection:
        plan = [row[3] for row in connection.exec_driver_sql(f"explain query plan {text}", tuple(0 for _ in text.positiontup))]
    assert "ix_live_predictions_tick" in next(step for step in plan if "live_predictions" in step)


def _held(root: object) -> tuple[int, int]:
    """How many objects are reached from one, and their bytes, without what all share, or is bounded."""
    gc.collect()
    seen: dict[int, object] = {}
    todo = [root]
    while todo:
        one = todo.pop()
        if id(one) in seen or isinstance(one, _SHARED + _BOUNDED):
            continue
        seen[id(one)] = one
        todo += gc.get_referents(one)
    size: Callable[[object], int] = lambda one: one.nbytes if isinstance(one, np.ndarray) else sys.getsizeof(one)  # noqa: E731
    return len(seen), sum(map(size, seen.values()))
