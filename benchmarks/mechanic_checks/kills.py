"""``kill -9`` at random moments of a miniature life: what is left at its end is what an undisturbed one leaves."""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import Section, markdown_table
from huracan.storage import from_json

__all__ = ["Killed", "check", "kill_lives"]

KILLS, A_LIFE = 200, 4
"""Deaths in all, and how often one life is killed before it may end."""
_BY_TIME, _BY_COMMIT = 0.5, 0.4
_EXPECTED = ({"failed", "promoted"}, {"rolled_back"})


@dataclass
class Killed:
    """What lives that were killed left.

    Attributes
    ----------
    deaths : kind of moment -> how often. lives : that were lived to their end. survived : deaths that came too late.
    digests, commits, files, seconds : of the undisturbed one, whose digests are the parts of its content hash.
    other : home of a life that left another content -> tables and files that differ. defects : what else went wrong.
    """

    deaths: Counter[str] = field(default_factory=Counter)
    lives: int = 0
    survived: int = 0
    digests: Mapping[str, str] = field(default_factory=dict)
    commits: int = 0
    files: int = 0
    seconds: float = 0.0
    other: dict[str, tuple[str, ...]] = field(default_factory=dict)
    defects: list[str] = field(default_factory=list)

    @property
    def count(self) -> int:
        """Deaths in all."""
        return sum(self.deaths.values())


def kill_lives(folder: Path, kills: int, *, a_life: int = A_LIFE, seed: int = 0, stored: bool = False) -> Killed:
    """Live again and again, each life killed ``a_life`` times, until so many were: at times, on both sides of commits, and
    with files half-way to their names.

    Times, commits and files are uniform over what is left of a life, judged by the undisturbed one.

    Parameters
    ----------
    stored : whether lives are given their candles turn by turn, late and revised ones among them, and keep them in a store.
    """
    rng, found = random.Random(seed), Killed()
    with _Nursery(stored) as nursery:
        found.digests, found.commits, found.files, found.seconds, states = _told(nursery.life(folder / "undisturbed", "never"))
        missing = [want - have for want, have in zip(_EXPECTED, states)]
        found.defects += [f"the undisturbed life never came to {sorted(lacking)}" for lacking in missing if lacking]
        while found.count < kills and len(found.defects) < 10:
            home = folder / f"life-{found.lives}"
            for death in range(a_life):
                if found.count >= kills:
                    break
                _die_once(nursery, home, found, rng, share=1.0 / (a_life - death))
            said = nursery.life(home, "never")
            found.lives += 1
            if not said.startswith("lived"):
                found.defects.append(f"life {found.lives} could not be ended: {said}")
            elif (told := _told(said)[0]) != found.digests:
                differ = (name for name in sorted({*told, *found.digests}) if told.get(name) != found.digests.get(name))
                found.other[home.name] = tuple(differ)
    return found


def check(kills: int = KILLS) -> Section:
    """The figures as a part of the page: lives over a frame, and half as many deaths of lives with a store."""
    short: list[str] = []
    parts, columns = [], []
    for what, wanted, stored in (("a frame", kills, False), ("a store", kills // 2, True)):
        with tempfile.TemporaryDirectory() as folder:
            found = kill_lives(Path(folder), wanted, stored=stored)
        short += [f"candles in {what}: {defect}" for defect in _short(found, wanted)]
        columns.append(found)
        parts.append(f"{found.commits} commits, {found.files} files and {found.seconds:.1f} s with candles in {what}")
    survived = sum(found.survived for found in columns)
    text = (
        f"A life of {', of '.join(parts)} that grows turn by turn, late and revised bars among them: a first champion, an edge "
        "that turns, a freeze, a challenger that takes over, one that cannot be trained, a rollback. Each life was killed "
        f"{A_LIFE} times before it was let to its end; {survived} deaths came too late. The hash is that of all tables and "
        "published files, without clocks, hosts and row numbers.\n\n"
    )
    kinds = sorted({kind for found in columns for kind in found.deaths})
    rows = [(kind, *(found.deaths[kind] for found in columns)) for kind in kinds]
    rows += [("in all", *(found.count for found in columns)), ("lives", *(found.lives for found in columns))]
    rows += [("left another hash", *(len(found.other) for found in columns))]
    table = markdown_table(("deaths", "candles in a frame", "candles in a store"), rows)
    return Section("Killed at random moments", text + table, tuple(short))


def _short(found: Killed, kills: int) -> list[str]:
    """What falls short of every life leaving the same."""
    short = list(found.defects)
    if found.other:
        where = ", ".join(sorted({name for names in found.other.values() for name in names}))
        short.append(
            f"{len(found.other)} of {found.lives} lives that were killed left another content than the undisturbed one: {where}"
        )
    if found.count < kills:
        short.append(f"{found.count} deaths, {kills} were asked")
    return short


def _die_once(nursery: _Nursery, home: Path, found: Killed, rng: random.Random, *, share: float) -> None:
    drawn = rng.random()
    if drawn < _BY_TIME:
        death, kind = f"{rng.uniform(0.01, share * found.seconds):.4f}", "at any time"
    elif drawn < _BY_TIME + _BY_COMMIT:
        side = rng.choice(("before", "after"))
        death, kind = f"{side}:{1 + rng.randrange(max(1, round(share * found.commits)))}", f"{side} a commit"
    else:
        death, kind = f"aside:{1 + rng.randrange(max(1, round(share * found.files)))}", "before a file has its name"
    said = nursery.life(home, death)
    if said == "killed":
        found.deaths[kind] += 1
    elif said.startswith("lived"):
        found.survived += 1
    else:
        found.defects.append(f"a life that was to die {kind} ({death}): {said}")


def _told(said: str) -> tuple[dict[str, str], int, int, float, tuple[set[str], set[str]]]:
    word, commits, files, seconds, asked, trials, digests = said.split(" ", 6)
    if word != "lived":
        raise AssertionError(f"the undisturbed life did not end: {said}")
    return from_json(digests), int(commits), int(files), float(seconds), (set(asked.split(",")), set(trials.split(",")))


class _Nursery:
    """The process that starts lives, with everything imported."""

    def __init__(self, stored: bool) -> None:
        self._kind = ["store"] if stored else []

    def __enter__(self) -> _Nursery:
        command = [sys.executable, "-m", "benchmarks.mechanic_checks.mini_life", *self._kind]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)

    def life(self, home: Path, death: str) -> str:
        """What became of a life at ``home``."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{home} {death}\n")
        self._process.stdin.flush()
        said = self._process.stdout.readline().strip()
        if not said:
            raise AssertionError("the process that starts lives has ended.")
        return said
