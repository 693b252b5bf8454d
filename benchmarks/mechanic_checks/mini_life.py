"""A miniature life that goes through every step of the Mechanic, and a process that lets such lives be killed.

``python -m benchmarks.mechanic_checks.mini_life [store]`` reads lines ``HOME DEATH`` from standard input and starts a process
for each from what is imported already. ``DEATH`` is ``never``, ``before:N`` or ``after:N`` (on that side of its N-th commit it
kills itself), ``aside:N`` (before the N-th file that it wrote aside gets its name), or ``SECONDS`` after which it is killed. It
answers ``killed``, or ``lived COMMITS FILES SECONDS CHALLENGERS TRIALS DIGESTS``: what states challengers and trials came to,
separated by commas, and the parts of the content hash as JSON. With ``store`` a life is given its candles turn by turn, late
and revised ones among them, and keeps them in a store of its own; else it has them all in a frame whose future is hidden.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import polars as pl
import sqlalchemy as sa

from benchmarks.mechanic_checks.markets import HOUR, flipping_candles
from huracan import UnifiedMLPipeline
from huracan.config import load_config
from huracan.integration.feedback.challenger_log import (
    Challenger,
    ChallengerState,
    TrialState,
    add_challenger,
    challengers_in,
    change_trial,
    trials_in,
)
from huracan.integration.feedback.clock import SimulatedClock
from huracan.integration.feedback.content_hash import content_digests
from huracan.integration.feedback.feeds import FrameFeed, StoreFeed
from huracan.integration.feedback.publishing import OUTBOX
from huracan.integration.mechanic import Mechanic
from huracan.storage import Database, to_json
from huracan.storage.feedback_tables import champion_trials
from huracan.version import source_hash

__all__ = ["live", "states_of"]

_STEP = 24
_BARS = range(312, 790, _STEP)
_FLIP, _EDGE, _N_BARS = 420, 0.6, 900
_FAILS, _FREEZES, _THAWS, _ROLLS_BACK = _BARS[3], _BARS[12], _BARS[14], _BARS[17]
_LATE = (_BARS[18], _BARS[19])
_MOMENTS = ("before", "after", "aside")
_USED = ("onnx", "onnxruntime", "skops.io", "huracan.registry.exports", "huracan.serving")


def live(home: Path, *, stored: bool = False) -> Mechanic:
    """All turns from where an earlier process stopped: a first champion, an edge that turns, a challenger that takes over after
    a freeze, one that cannot be trained, and a champion that is rolled back.
    """
    candles = flipping_candles(_N_BARS, [_FLIP], edge=_EDGE)
    begin = int(candles["ts"].dt.epoch("ms")[0])
    told = {
        "home": str(home),
        "features": {"recipe": "minimal"},
        "mechanic": {"every": "24h", "learners": ["ridge"], "train": "40d", "shadow_bars": 300, "trial_bars": 300},
        "retrain": {"min_new_rows": 72, "cool_down": "1d", "max_age": None},
    }
    clock = SimulatedClock(begin)
    feed = StoreFeed(home / "candles") if stored else FrameFeed(candles)
    mechanic = Mechanic(UnifiedMLPipeline(load_config(told, environ={})), source=feed, clock=clock)
    after = begin
    for bar in _BARS:
        news, after = _news(candles, after, begin + bar * HOUR), begin + bar * HOUR
        moment = after
        before = mechanic.status()
        done = -1 if before.last is None else before.last.tick
        if done > moment or (stored and (feed.newest or 0) >= moment):
            continue  # what a later turn brought is there already; nobody is told again what has been revised since
        clock.set(moment)
        if done < moment and before.unfinished is None:
            _meddle(mechanic, bar)
        mechanic.tick(news if stored else None)
    return mechanic


def _news(candles: pl.DataFrame, after: int, until: int) -> pl.DataFrame:
    """What comes at a turn: the bars since the last. Some days' first bar comes a turn late, and the second is then revised."""
    ts = pl.col("ts").dt.epoch("ms")
    begin = int(candles["ts"].dt.epoch("ms")[0])
    first = [begin + (bar - _STEP) * HOUR for bar in _LATE]
    since = candles.filter(ts >= after, ts < until, ~ts.is_in(first))
    late = candles.filter(ts == after - _STEP * HOUR, ts.is_in(first))
    revised = candles.filter(ts == after - (_STEP - 1) * HOUR, (ts - HOUR).is_in(first))
    return pl.concat([since, late, revised.with_columns(close=pl.col("close") * 0.3 + pl.col("open") * 0.7)])


def states_of(mechanic: Mechanic) -> tuple[set[str], set[str]]:
    """What became of challengers, and of trials."""
    with mechanic.pipeline.registry.database.reading() as connection:
        asked = {str(one.state) for one in challengers_in(connection, mechanic.name)}
        return asked, set(connection.execute(sa.select(champion_trials.c.state)).scalars())


def _meddle(mechanic: Mechanic, bar: int) -> None:
    """What people do meanwhile; doing it again after a death does nothing more."""
    if bar == _FREEZES:
        mechanic.freeze("the exchange migrates", actor="ann")
    if bar == _THAWS:
        mechanic.thaw("done", actor="ann")
    name, database = mechanic.name, mechanic.pipeline.registry.database
    if bar == _ROLLS_BACK:
        wanted = {"state": TrialState.TO_ROLL_BACK.value, "reason": "it is not trusted."}
        for trial in database.read(lambda connection: trials_in(connection, name)):
            if trial.state is TrialState.ON_TRIAL:
                database.run(lambda connection, trial=trial: change_trial(connection, trial, **wanted))  # type: ignore[misc]
    if bar == _FAILS:
        known = {one.id for one in database.read(lambda connection: challengers_in(connection, name))}
        state, reason = ChallengerState.REQUESTED, "asked for by hand."
        made = Challenger("by hand", name, "M01-USD", "", "full", state, 1, reason, parent_version=99)
        if made.id not in known:
            database.run(lambda connection: add_challenger(connection, made))


class _Moments:
    """Counts commits and files that get their name, and ends the process at one of them."""

    def __init__(self, moment: str = "", number: int = 0) -> None:
        self.last = (moment, number)
        self.commits = self.files = 0

    @contextmanager
    def around(self, begun: Callable[[Database], Iterator[sa.Connection]], database: Database) -> Iterator[sa.Connection]:
        with begun(database) as connection:  # type: ignore[attr-defined]
            yield connection
            self.commits += 1
            if self.last == ("before", self.commits):
                _die()
        if self.last == ("after", self.commits):
            _die()

    def named(self, rename: Callable[..., None], *paths: Any, **folders: Any) -> None:
        self.files += 1
        if self.last == ("aside", self.files):
            _die()
        rename(*paths, **folders)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60.0)


def _child(home: Path, death: str, answer: int, stored: bool) -> None:
    moment, _, number = death.partition(":")
    moments = _Moments(moment, int(number)) if moment in _MOMENTS else _Moments()
    begun = Database.transaction
    Database.transaction = lambda self: moments.around(begun, self)  # type: ignore[assignment, method-assign]
    for name in ("rename", "replace"):  # of files, and of artifacts' folders
        setattr(os, name, partial(moments.named, getattr(os, name)))
    started = time.monotonic()
    mechanic = live(home, stored=stored)
    told = to_json(content_digests(mechanic.pipeline.registry.database, home / OUTBOX))
    asked, trials = (",".join(sorted(states)) for states in states_of(mechanic))
    seconds = time.monotonic() - started
    os.write(answer, f"lived {moments.commits} {moments.files} {seconds:.3f} {asked} {trials} {told}".encode())
    os._exit(0)


def _one(home: Path, death: str, *, stored: bool) -> str:
    heard, answer = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(heard)
        try:
            _child(home, death, answer, stored)
        except BaseException as error:  # noqa: BLE001 - the parent is told whatever it was
            os.write(answer, f"failed {type(error).__name__}: {error}".replace("\n", " ").encode())
        finally:
            os._exit(1)
    os.close(answer)
    timer = None
    if death.replace(".", "", 1).isdigit():
        timer = threading.Timer(float(death), os.kill, (process, signal.SIGKILL))
        timer.start()
    with os.fdopen(heard) as pipe:
        said = pipe.read()
    _, status = os.waitpid(process, 0)  # the dead are buried before the next one looks whether they live
    if timer is not None:
        timer.cancel()
    return said or ("killed" if os.WIFSIGNALED(status) else f"failed without a word, status {status}")


def main() -> None:
    """Serve lives until standard input ends."""
    for name in _USED:  # a life of seconds should not spend them on importing
        import_module(name)
    stored = sys.argv[1:] == ["store"]
    source_hash()  # of what was imported, for all lives, whatever is edited meanwhile
    for line in sys.stdin:
        home, death = line.split()
        print(_one(Path(home), death, stored=stored), flush=True)


if __name__ == "__main__":
    main()
