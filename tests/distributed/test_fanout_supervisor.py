"""The supervisor over a crew that does what a plan says: whatever the order of events, every task ends as its plan implies."""

from __future__ import annotations

import pickle
import random

import cloudpickle
from hypothesis import given, settings
from hypothesis import strategies as st

from huracan.distributed.fanout.crew import Event, Seen
from huracan.distributed.fanout.ledger import Ledger
from huracan.distributed.fanout.results import FailureKind, FanoutFailure
from huracan.distributed.fanout.supervisor import Supervisor

OK, RAISE, DIE = "ok", "raise", "die"


class PlannedCrew:
    """Attempt i of a task does what its plan says at i, and succeeds beyond it; idle workers die now and then."""

    def __init__(self, plans, seed, idle_deaths):
        self.plans = plans
        self.chance = random.Random(seed)
        self.idle_deaths = idle_deaths
        self.events = []
        self.started = 0
        self.alive = set()
        self.running = {}
        self.attempts = []  # (key, worker, keys running beside it)
        self.closed = False

    def start(self):
        self.started += 1
        self.alive.add(self.started)
        self.events.append(Event(self.started, Seen.READY, f"box:{self.started}"))
        return self.started

    def send(self, worker, job):
        assert worker in self.alive and worker not in self.running, "a worker has one job at a time"
        key, _ = pickle.loads(job)  # noqa: S301 - made by the supervisor
        turn = sum(1 for done, _, _ in self.attempts if done == key)
        self.attempts.append((key, worker, set(self.running.values())))
        self.running[worker] = key
        fate = self.plans[key][turn] if turn < len(self.plans[key]) else OK
        if fate == DIE:
            self.events.append(Event(worker, Seen.DIED, "was killed"))
        elif fate == RAISE:
            failure = FanoutFailure(FailureKind.EXCEPTION, "raised ValueError", "ValueError")
            self.events.append(Event(worker, Seen.REPLIED, pickle.dumps((b"", (failure, b""), 0.0, True))))
        else:
            self.events.append(Event(worker, Seen.REPLIED, pickle.dumps((cloudpickle.dumps(key * 2), None, 0.0, False))))

    def wait(self, seconds):
        self.chance.shuffle(self.events)
        count = self.chance.randint(1, len(self.events)) if self.events else 0
        now, self.events = self.events[:count], self.events[count:]
        for event in now:
            if event.seen is not Seen.READY:
                self.running.pop(event.worker)
            if event.seen is Seen.DIED:
                self.alive.discard(event.worker)
        starting = {event.worker for event in self.events}
        idle = sorted(self.alive - set(self.running) - starting - {event.worker for event in now})
        if idle and self.idle_deaths and self.chance.random() < 0.2:
            self.alive.discard(idle[0])
            now.append(Event(idle[0], Seen.DIED, "was killed"))
        return now

    def stop(self, worker):
        self.alive.discard(worker)
        self.running.pop(worker, None)
        self.events = [event for event in self.events if event.worker != worker]

    def close(self):
        self.closed = True


def outcome(plan, retries, deaths):
    """What a plan implies, told without a supervisor: (kind of failure or None, attempts)."""
    failed = died = 0
    for attempt, fate in enumerate([*plan, OK], 1):
        failed += fate == RAISE
        died += fate == DIE
        if fate == OK:
            return None, attempt
        if died == deaths:
            return FailureKind.WORKER_DIED, attempt
        if failed > retries:
            return FailureKind.EXCEPTION, attempt
    raise AssertionError("a plan ends in success")


@settings(max_examples=300, deadline=None)
@given(
    plans=st.lists(st.lists(st.sampled_from([OK, RAISE, DIE]), max_size=6), min_size=1, max_size=12),
    workers=st.integers(1, 5),
    retries=st.integers(0, 3),
    deaths=st.integers(1, 4),
    seed=st.integers(0, 2**16),
    idle_deaths=st.booleans(),
)
def test_every_task_ends_once_as_its_plan_implies(plans, workers, retries, deaths, seed, idle_deaths):
    crew = PlannedCrew(plans, seed, idle_deaths)
    ledger = Ledger(dict(enumerate(plans)), retries=retries, deaths=deaths)
    results = list(Supervisor(crew, ledger, workers=workers, timeout=None, start_timeout=60).results())

    assert sorted(r.key for r in results) == list(range(len(plans)))
    for result in results:
        kind, attempts = outcome(plans[result.key], retries, deaths)
        assert (result.failure.kind if result.failure else None) == kind
        assert result.attempts == attempts
        assert result.value == (result.key * 2 if kind is None else None)
    assert crew.closed

    for key in range(len(plans)):
        mine = [(worker, beside) for done, worker, beside in crew.attempts if done == key]
        raised_on = [worker for (worker, _), fate in zip(mine, plans[key]) if fate == RAISE]
        for worker in raised_on:
            assert [w for w, _ in mine].count(worker) == 1, "tried again in the worker it failed on"
        if deaths > 1 and plans[key][: len(mine)].count(DIE) == deaths:
            assert mine[-1][1] == set(), "the last death had another task beside it"
