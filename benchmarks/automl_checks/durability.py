"""Searches that are killed, and searches that share a study: nothing lost, nothing twice, the same result, and twice as fast.

``kills`` ends the process of a study with ``kill -9`` again and again, at random moments, and lets the next one go on. What
was finished when it was killed must be there bit for bit and must not be fitted again, and the whole table and the model must
be those of a study that nobody disturbed. ``sharing`` lets one and then two processes work on one study in PostgreSQL.
"""

from __future__ import annotations

import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import sqlalchemy as sa
from threadpoolctl import threadpool_limits

from benchmarks import markdown_table
from benchmarks.automl_checks.own_postgresql import new_database, own_postgresql
from benchmarks.automl_checks.search_process import SearchSpec, engine_of, outcome, rows_of
from huracan.storage import Database
from huracan.storage.tables import study_trials

__all__ = ["Killed", "SearchProcess", "durability_table", "kills", "sharing", "table_of"]

LEAST_RATIO = 1.7
"""Trials per second of two processes over those of one: two cores less what both wait for."""

_SAME = (
    "number",
    "learner",
    "params",
    "seed",
    "source",
    "notes",
    "state",
    "score",
    "fold_scores",
    "reason",
    "gains",
    "answers",
)
_OF_END = ("number", "score", "gains", "attempts", "started_at", "finished_at")
_PATIENCE = 120.0


class Killed(AssertionError):
    """A process did not do what was expected of it."""


class SearchProcess:
    """One process of a search; it waits for :meth:`begin`."""

    def __init__(self, spec: SearchSpec) -> None:
        one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.automl_checks.search_process", spec.text()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **one_thread},
        )
        assert self._process.stdout is not None
        if self._process.stdout.readline().strip() != "ready":
            raise Killed(f"a search did not start: {self._process.communicate()[1][-2000:]}")

    def begin(self) -> None:
        """Let it search."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return self._process.poll() is not None

    def kill(self) -> None:
        """``kill -9``."""
        self._process.send_signal(signal.SIGKILL)
        self._process.communicate()

    def result(self) -> dict[str, Any]:
        """What it found.

        Raises
        ------
        Killed : it failed; its last words are told.
        """
        out, err = self._process.communicate(timeout=_PATIENCE)
        if self._process.returncode != 0:
            raise Killed(f"a search ended with {self._process.returncode}: {err[-2000:]}")
        return json.loads(out.strip().splitlines()[-1])


def table_of(url: str, *columns: str) -> list[tuple[Any, ...]]:
    """The trials of the one study in a database, by number: what must not depend on what befell it, or the columns named."""
    wanted = [study_trials.c[name] for name in columns or _SAME]
    with Database(url).reading() as connection:
        return [tuple(row) for row in connection.execute(sa.select(*wanted).order_by(study_trials.c.number))]


def kills(n_kills: int = 10, *, trials: int = 60, seed: int = 0, sampler: str = "tpe") -> dict[str, Any]:
    """Kill a study ``n_kills`` times at random moments, let it end, and compare it with one that was left alone.

    Returns
    -------
    dict : kills, trials, lost (finished trials that were gone or different after a kill), repeated (finished trials that were
        fitted again), begun_again, same_table and same_model (as the undisturbed study's).
    """
    draw = random.Random(seed)
    seen: dict[int, tuple[Any, ...]] = {}
    with tempfile.TemporaryDirectory() as folder:
        spec = SearchSpec(f"sqlite:///{folder}/killed.db", "killed", trials, sampler=sampler)
        quiet = replace(spec, url=f"sqlite:///{folder}/quiet.db")
        url, rows = str(spec.url), rows_of(quiet)
        with threadpool_limits(1):
            expected = outcome(engine_of(quiet).fit(rows), rows)
        Database(url).upgrade()
        for moment in sorted(draw.sample(range(1, trials), n_kills)):
            process = SearchProcess(spec)
            process.begin()
            _until(lambda at=moment, one=process: one.ended or len(table_of(url, "number")) >= at)
            time.sleep(draw.uniform(0.0, 0.03))
            if process.ended:
                raise Killed(f"the search ended before it was killed: {process.result()}")
            process.kill()
            seen |= {row[0]: row for row in table_of(url, *_OF_END) if row[-1] is not None}
        last = SearchProcess(spec)
        last.begin()
        found = last.result()
        there = {row[0]: row for row in table_of(url, *_OF_END)}
        return {
            "kills": n_kills,
            "trials": len(there),
            "lost": sum(there[number][1:3] != row[1:3] for number, row in seen.items()),
            "repeated": sum(there[number][3:] != row[3:] for number, row in seen.items()),
            "begun_again": sum(row[3] > 1 for row in there.values()),
            "same_table": table_of(url) == table_of(str(quiet.url)),
            "same_model": found == expected,
        }


def sharing(*, trials: int = 24, repeats: int = 3, n_rows: int = 20_000, rounds: int = 150) -> dict[str, Any]:
    """Trials per second of one and of two processes on one study in PostgreSQL, in turn; of each the fastest of ``repeats``.

    Every trial is the same fit with another seed, without pruning, one thread a process. Time runs from the first trial's
    beginning to the last one's end, as the table tells.

    Returns
    -------
    dict : seconds of one and two processes, ratio, fitting (share of its time that a process spends in fits, rather than with
        the database, the sampler and waiting), trial_seconds (median wall-clock time of one trial), complete (every study
        had each number once, all finished), shares (trials of each of the two processes), same_model (as both chose).
    """
    seconds: dict[int, list[float]] = {1: [], 2: []}
    fitting: dict[int, list[float]] = {1: [], 2: []}
    complete, same_model, walls, shares = True, True, [], []
    with own_postgresql() as server:
        for _ in range(repeats):
            for n in seconds:
                spec = SearchSpec(new_database(server), "shared", trials, n_rows, 20, "random", rounds, pruning=False)
                url = str(spec.url)
                Database(url).upgrade()
                processes = [SearchProcess(spec) for _ in range(n)]
                for process in processes:
                    process.begin()
                found = [process.result() for process in processes]
                table = table_of(url, "number", "state", "started_at", "finished_at", "wall_seconds", "owner")
                seconds[n].append((max(row[3] for row in table) - min(row[2] for row in table)).total_seconds())
                fitting[n].append(sum(row[4] for row in table) / (n * seconds[n][-1]))
                complete &= [row[:2] for row in table] == [(number, "finished") for number in range(trials)]
                same_model &= all(one == found[0] for one in found)
                if n == 1:
                    walls += [row[4] for row in table]
                else:
                    owners = [row[5] for row in table]
                    shares.append(sorted(owners.count(owner) for owner in set(owners)))
    best = {n: min(times) for n, times in seconds.items()}
    return {
        "trials": trials,
        "seconds": best,
        "all_seconds": seconds,
        "ratio": best[1] / best[2],
        "fitting": {n: max(parts) for n, parts in fitting.items()},
        "trial_seconds": statistics.median(walls),
        "complete": complete,
        "shares": shares,
        "same_model": same_model,
    }


def durability_table() -> tuple[str, list[str]]:
    """Both: a page, and what falls short."""
    killed, shared = kills(), sharing()
    rate = {n: shared["trials"] / seconds for n, seconds in shared["seconds"].items()}
    rows = [
        ["finished trials lost by 10 kills", "0", killed["lost"]],
        ["finished trials fitted again", "0", killed["repeated"]],
        ["table is that of an undisturbed study, bit for bit", "yes", _word(killed["same_table"])],
        ["weights and forecasts are", "yes", _word(killed["same_model"])],
        ["trials of a shared study lost or failed, lock errors", "none", "none" if shared["complete"] else "some"],
        ["both processes chose the same model", "yes", _word(shared["same_model"])],
        [
            f"trials a second, two processes over one ({shared['trial_seconds']:.2f} s a trial)",
            f">= {LEAST_RATIO}",
            f"{shared['ratio']:.2f} ({rate[2]:.2f} over {rate[1]:.2f})",
        ],
        ["share of its time that each of two processes spends in fits", "", f"{100 * shared['fitting'][2]:.0f} %"],
    ]
    short = []
    if killed["lost"] or killed["repeated"] or not (killed["same_table"] and killed["same_model"]):
        short.append("a killed search is not what an undisturbed one is")
    if not (shared["complete"] and shared["same_model"]):
        short.append("a shared study lost something")
    if shared["ratio"] < LEAST_RATIO:
        short.append(f"two processes have {shared['ratio']:.2f} times the trials of one")
    return markdown_table(["what", "bar", "measured"], rows), short


def _word(is_so: bool) -> str:
    return "yes" if is_so else "no"


def _until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not is_so():
        if time.monotonic() > deadline:
            raise Killed(f"nothing happened within {_PATIENCE:g} s")
        time.sleep(0.002)
