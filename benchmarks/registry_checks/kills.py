"""``kill -9`` at random moments of registering and promoting: what is left is whole, and the next one goes on."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from benchmarks.registry_checks.kill_process import NAME, line
from benchmarks.ridge_card import CARD
from huracan.errors import HuracanError
from huracan.model_registry import ModelRegistry
from huracan.storage.tables import aliases, audit, model_metrics, model_versions, models, promotions

__all__ = ["Kills", "kill_at_random_moments"]


@dataclass
class Kills:
    """What ``kill -9`` left behind.

    Attributes
    ----------
    during : what was interrupted -> how often. versions : registered in all, by victims and by the retries after them.
    unreferenced : whole artifacts that no version refers to. half_written : folders aside, swept at the end.
    defects : everything that was not consistent, a sentence each.
    """

    during: Counter[str] = field(default_factory=Counter)
    versions: int = 0
    unreferenced: int = 0
    half_written: int = 0
    defects: list[str] = field(default_factory=list)

    @property
    def count(self) -> int:
        """Processes that were killed."""
        return sum(self.during.values())


def kill_at_random_moments(url: str, folder: Path, count: int, *, seed: int = 0) -> Kills:
    """Kill ``count`` processes, in turn while they register and while they promote, and look after each.

    The moment is uniform over twice the time that the work took when nothing was killed.

    After every kill versions, artifacts, aliases, audit and the Engine's tables are compared, and the same work is done
    again by this process, which must succeed.
    """
    registry = ModelRegistry(url, artifacts=folder)
    moments, found, seen = random.Random(seed), Kills(), set[str]()
    spans = _spans(registry)
    with _Victims(url, folder) as process:
        for number in range(count):
            what = ("register", "promote")[number % 2]
            found.during[_kill_one(process, what, moments.uniform(0.0, spans[what]))] += 1
            found.defects += [f"kill {number + 1}: {said}" for said in (*_defects(registry, seen), *_retried(registry, number))]
    numbers = [version.version for version in registry.versions(NAME)]
    found.versions = len(numbers)
    found.defects += [str(broken) for broken in registry.verify_audit().broken]
    found.unreferenced = len(set(registry.artifacts.digests()) - {version.digest for version in registry.versions(NAME)})
    found.half_written = registry.artifacts.sweep(timedelta(0))
    return found


class _Victims:
    """The process that forks victims."""

    def __init__(self, url: str, folder: Path) -> None:
        command = [sys.executable, "-m", "benchmarks.registry_checks.kill_process", url, str(folder)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
        )

    def __enter__(self) -> subprocess.Popen[str]:
        assert self._heard() == "ready"
        return self._process

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def _heard(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


def _spans(registry: ModelRegistry) -> dict[str, float]:
    """Seconds in which a victim is killed; long enough for it to be anywhere in its work."""
    taken = {}
    for slope in (-1.0, -1.5):  # the first is slower than any after it
        started = time.perf_counter()
        version = registry.register(line(slope), CARD, name=NAME)
        registered = time.perf_counter()
        registry.promote(NAME, version, reason="before the kills")
        taken = {"register": 2 * (registered - started), "promote": 2 * (time.perf_counter() - registered)}
    return taken


def _kill_one(process: subprocess.Popen[str], what: str, after: float) -> str:
    """Kill a victim ``after`` seconds from its first step; what it was doing."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{what}\n")
    process.stdin.flush()
    child, last = 0, ""
    while not (child and last):  # the two may come in either order
        word = process.stdout.readline().strip()
        if word.startswith("child"):
            child = int(word.split()[1])
        else:
            last = word
    time.sleep(after)
    with suppress(ProcessLookupError):  # it ended by itself, and said why
        os.kill(child, signal.SIGKILL)
    for word in iter(lambda: process.stdout.readline().strip() if process.stdout else "dead", "dead"):
        last = word
    return last


def _defects(registry: ModelRegistry, seen: set[str]) -> list[str]:
    """What is not whole; artifacts that were hashed before are not hashed again."""
    with registry.database.reading() as connection:
        rows = connection.execute(sa.select(model_versions.c.version, model_versions.c.digest, model_versions.c.model_id)).all()
        counts = {table.name: _count(connection, table) for table in (models, model_metrics)}
        counts["audit of registering"] = _count(connection, audit, audit.c.action == "register")
        moves = connection.execute(_moves()).scalars().all()
        held = connection.execute(sa.select(aliases.c.version)).scalars().all()
        told = _count(connection, promotions)
    found = [f"{len(rows)} versions, but {count} rows in {where}" for where, count in counts.items() if count != len(rows)]
    if held != moves[-1:]:
        found.append(f"the alias points to {held}, the audit says {moves[-1:]}")
    if told != len(moves):
        found.append(f"{len(moves)} promotions in the audit, {told} in the Engine's table")
    if {*held, *moves} - {row.version for row in rows}:
        found.append(f"a version was promoted that is not there: {sorted({*held, *moves})}")
    for row in rows:
        if row.digest not in seen:
            found += registry.artifacts.check(row.digest)
            seen.add(row.digest)
    return found


def _moves() -> Any:
    return sa.select(audit.c.to_version).where(audit.c.action == "promote").order_by(audit.c.position)


def _count(connection: sa.Connection, table: sa.Table, *where: Any) -> int:
    return int(connection.execute(sa.select(sa.func.count()).select_from(table).where(*where)).scalar_one())


def _retried(registry: ModelRegistry, number: int) -> list[str]:
    """What is wrong when the same work is done again."""
    held = registry.aliases(NAME).get("champion")
    try:
        version = registry.register(line(-2.0 - number), CARD, name=NAME)
        registry.promote(NAME, version, expected=held, reason="again after a kill")
        coefficient = float(registry.load(NAME).coef_[0])
    except HuracanError as error:
        return [f"the retry failed: {error}"]
    return [] if abs(coefficient + 2.0 + number) < 1e-6 else [f"the retry's champion answers {coefficient}"]
