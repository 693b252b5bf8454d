"""A study in a database: whatever happens to its processes, its trials are those of a study that nobody disturbed."""

from __future__ import annotations

import random
import threading
import zlib
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from huracan.automl import search as search_module
from huracan.automl.crew import SameProcess
from huracan.automl.packed import pack, unpack
from huracan.automl.study_store import StudyStore, opened, read_study
from huracan.automl.trials import Trial, TrialState
from huracan.errors import ConfigError, StorageError
from huracan.storage import StudyLog
from huracan.storage.tables import study_owners, study_trials, utc_now


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/studies.db"


def told(trials: list[Trial]) -> list[Any]:
    """What must not depend on what happened to the process."""
    return [
        (
            *(trial.number, trial.learner, repr(dict(trial.params)), trial.seed, trial.source, trial.state, repr(trial.score)),
            *(trial.reason, {fold: gain.tobytes() for fold, gain in sorted(trial.gains.items())}),
            {fold: answer.tobytes() for fold, answer in sorted(trial.answers.items())},
        )
        for trial in sorted(trials, key=lambda trial: trial.number)
    ]


class _Killed(BaseException):
    """What nothing catches."""


class _Mortal(StudyStore):
    """Dies at its n-th write, before or after it is done."""

    writes, done = 0, False

    def _dying(self, write: Any, *args: Any) -> Any:
        self.writes -= 1
        if self.writes == 0 and not self.done:
            raise _Killed
        result = write(*args)
        if self.writes == 0:
            raise _Killed
        return result

    def reserve(self, most: int | None) -> int | None:
        return self._dying(super().reserve, most)

    def settle(self, trial: Trial) -> bool:
        return self._dying(super().settle, trial)

    def end(self, trial: Trial, forget: Any = ()) -> bool:
        return self._dying(super().end, trial, forget)


def killed_again_and_again(searches: Any, url: str, seed: int, sampler: str, trials: int) -> tuple[list[Trial], int]:
    draw, kills = random.Random(seed), 0
    while True:
        store = searches.store(url, kind=_Mortal, sampler=sampler)
        store.writes, store.done = draw.randint(1, 9), draw.random() < 0.5
        try:
            return searches.search(store, trials=trials, sampler=sampler).run(), kills
        except _Killed:
            kills += 1
        finally:
            store.close()


@pytest.mark.parametrize(
    ("sampler", "seed"),
    [("tpe", 0), ("tpe", 1), ("random", 2), ("qmc", 3), ("nsga_ii", 4), pytest.param("gp", 5, marks=pytest.mark.slow)],
)
def test_a_search_killed_at_any_write_ends_as_one_that_was_left_alone(searches: Any, url: str, sampler: str, seed: int) -> None:
    if sampler == "gp":
        pytest.importorskip("torch", reason="Optuna's Gaussian processes need PyTorch (huracan[neural])")
    alone = searches.search(sampler=sampler, trials=16).run()
    killed, kills = killed_again_and_again(searches, url, seed, sampler, 16)
    assert kills > 5
    assert told(killed) == told(alone)
    assert {trial.state for trial in alone} >= {TrialState.FINISHED, TrialState.FAILED}


def test_a_study_that_has_ended_goes_on_with_more_trials_as_if_it_had_never_stopped(searches: Any, url: str) -> None:
    for trials in (7, 7, 16):
        store = searches.store(url)
        found = searches.search(store, trials=trials).run()
        store.close()
        assert told(found) == told(searches.search(trials=trials).run())


def test_nothing_is_fitted_again_where_nothing_is_left_to_do(searches: Any, url: str) -> None:
    ended = []
    for _ in range(2):
        store = searches.store(url)
        searches.search(store, trials=5, progress=lambda trial, _best: ended.append(trial.number)).run()
        store.close()
    assert ended == [0, 1, 2, 3, 4]


def test_only_the_answers_of_leaders_are_kept_whoever_reads_them(
    searches: Any, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_module, "LEADERS", 3)
    for trials in (9, 16):
        store = searches.store(url)
        found = searches.search(store, trials=trials, members=2).run()
        store.close()
        finished = sorted((t for t in found if t.state is TrialState.FINISHED), key=lambda t: (-t.score, t.number))
        best = {trial.number for trial in finished[:3]}
        assert {trial.number for trial in found if trial.answers} == best
        with opened(url).reading() as connection:
            kept = connection.execute(sa.select(study_trials.c.number).where(study_trials.c.answers.is_not(None)))
            assert set(kept.scalars()) == best


def test_searches_at_the_same_time_share_one_study(searches: Any, database_url: str) -> None:
    found: dict[int, list[Trial]] = {}
    opened(database_url)

    def work(place: int) -> None:
        store = searches.store(database_url)
        try:
            found[place] = searches.search(store, trials=40).run()
        finally:
            store.close()

    threads = [threading.Thread(target=work, args=(place,)) for place in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(found) == 3
    assert [trial.number for trial in sorted(found[0], key=lambda trial: trial.number)] == list(range(40))
    assert told(found[0]) == told(found[1]) == told(found[2])
    store = searches.store(database_url)
    assert store.shared()
    store.close()


def test_one_process_after_another_does_not_share(searches: Any, url: str) -> None:
    for trials in (4, 8):
        store = searches.store(url)
        searches.search(store, trials=trials).run()
        assert not store.shared()
        store.close()


def test_what_others_try_is_known_to_the_sampler(searches: Any, url: str) -> None:
    one, two = searches.store(url), searches.store(url)
    number = one.reserve(None)
    one.settle(Trial(number, "ridge", {"expected_ic": 0.3}, 1, "sampler"))
    unsettled = one.reserve(None)
    seen = two.news()
    assert [(trial.number, trial.learner, dict(trial.params), trial.state) for trial in seen] == [
        (number, "ridge", {"expected_ic": 0.3}, None),
        (unsettled, "", {}, None),
    ]
    search = searches.search(two)
    for trial in seen:
        search.proposals.told(trial)
    assert search.proposals.next(2)[0] in searches.spaces
    one.close()
    two.close()


def _set_owner(url: str, store: StudyStore, **values: Any) -> None:
    with opened(url).transaction() as connection:
        connection.execute(sa.update(study_owners).where(study_owners.c.token == store._token).values(**values))


@pytest.mark.parametrize("how", ["it has left", "its process is gone", "it gave no sign"])
def test_a_trial_of_a_process_that_is_gone_is_taken_over_once(searches: Any, database_url: str, how: str) -> None:
    first = searches.store(database_url)
    number = first.reserve(None)
    trial = Trial(number, "ridge", {"expected_ic": 0.3}, 77, "sampler")
    first.settle(trial)
    second, third = searches.store(database_url, lost_after=30.0), searches.store(database_url, lost_after=30.0)
    assert second.orphan() is None, "its owner lives"
    if how == "it has left":
        first.close()
    elif how == "its process is gone":
        _set_owner(database_url, first, process_id=2**22 + 1)
    else:
        _set_owner(database_url, first, host="another", seen_at=utc_now() - timedelta(seconds=90))
    taken = second.orphan()
    assert taken is not None
    assert (taken.number, taken.learner, dict(taken.params), taken.seed) == (number, "ridge", {"expected_ic": 0.3}, 77)
    assert third.orphan() is None, "somebody has it"
    trial.state = TrialState.FAILED
    assert not first.end(trial), "what was taken over is not ended by who had it"
    assert second.end(taken_as_failed(taken))
    assert [one.state for one in first.news()] == [TrialState.FAILED]
    for store in (first, second, third):
        store.close()


def taken_as_failed(trial: Trial) -> Trial:
    trial.state, trial.reason = TrialState.FAILED, "taken over"
    return trial


@pytest.mark.slow
def test_a_trial_that_takes_its_process_down_is_failed_the_fifth_time(searches: Any, url: str) -> None:
    class Crash(SameProcess):
        def wait(self, until: float | None = None) -> Any:
            raise KeyboardInterrupt

    for _ in range(4):
        store = searches.store(url)
        search = searches.search(store, trials=3)
        search.crew = Crash(searches.study)
        with pytest.raises(KeyboardInterrupt):
            search.run()
        store.close()
    store = searches.store(url)
    trials = searches.search(store, trials=3).run()
    store.close()
    assert [trial.number for trial in trials] == [0, 1, 2]
    assert trials[0].reason == "it was begun 4 times, and each time its process ended" and trials[1].reason == ""


def test_a_process_of_another_host_that_gives_signs_keeps_its_trial(searches: Any, url: str) -> None:
    first, second = searches.store(url, lost_after=1.5), searches.store(url, lost_after=1.5)
    first.reserve(None)
    _set_owner(url, first, host="another")
    for _ in range(4):
        threading.Event().wait(0.5)
        assert second.orphan() is None
    first._over.set()  # no signs any more
    threading.Event().wait(2.5)
    taken = second.orphan()
    assert taken is not None and taken.learner == "", "it had no settings yet"
    first.close()
    second.close()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sampler": "random"}, "sampler is 'random' here and 'tpe' there"),
        ({"more rows": True}, "other data; other folds"),
    ],
)
def test_a_study_does_not_go_on_with_something_else(searches: Any, url: str, change: dict[str, Any], said: str) -> None:
    searches.store(url).close()
    if "more rows" in change:
        searches = type(searches)()
        searches.study = type(searches.study).of(searches.study.rows.take(slice(0, 280)), "regression")
        change = {}
    with pytest.raises(ConfigError, match=f"the study 's' in sqlite:.* cannot go on with this call: {said}") as refused:
        searches.store(url, **change)
    assert str(refused.value).count(". ") == 1


def test_without_a_name_other_settings_are_another_study(searches: Any, url: str) -> None:
    names = []
    for sampler in ("tpe", "random", "tpe"):
        store = searches.store(url, sampler=sampler, name=None)
        names.append(store.name)
        store.close()
    assert names[0] == names[2] != names[1]


def test_a_study_is_read_as_it_was_and_shown_to_optuna(searches: Any, url: str) -> None:
    store = searches.store(url)
    found = searches.search(store, trials=12).run()
    store.finish({"weights": {"trial 0": 1.0}})
    store.close()
    stored = read_study(url, "s")
    assert stored.study.result == {"weights": {"trial 0": 1.0}} and stored.study.status == "finished"
    for trial in found:
        trial.answers = {}
    assert told(list(stored.trials)) == told(found)
    shown = stored.to_optuna()
    best = max((trial for trial in found if trial.state is TrialState.FINISHED), key=lambda trial: trial.score)
    assert (shown.best_trial.number, shown.best_value) == (best.number, best.score)
    assert shown.best_params["learner"] == best.learner
    assert [trial.user_attrs["source"] for trial in shown.trials] == [trial.source for trial in found]
    with pytest.raises(StorageError, match=r"no study 'x' is in sqlite.*newest there: 's'"):
        read_study(url, "x")


@given(
    st.dictionaries(
        st.integers(0, 40), st.lists(st.floats(width=32), max_size=30).map(lambda values: np.array(values, np.float32))
    )
)
def test_numbers_come_back_bit_for_bit(arrays: dict[int, Any]) -> None:
    back = unpack(pack(arrays))
    assert list(back) == list(arrays)
    assert all(back[fold].tobytes() == values.tobytes() for fold, values in arrays.items())


@pytest.mark.parametrize("damage", [lambda data: data[:-3], lambda data: b"?" + data[1:], lambda data: zlib.compress(b"1")])
def test_damaged_numbers_are_a_sentence(damage: Any) -> None:
    with pytest.raises(StorageError, match="the numbers of trial 3 are damaged"):
        unpack(damage(pack({0: np.ones(4, np.float32)})), where="trial 3")


def test_no_number_is_given_twice(searches: Any, database_url: str) -> None:
    log = StudyLog(opened(database_url))
    stores = [searches.store(database_url) for _ in range(3)]
    got: list[int] = []

    def take(store: StudyStore) -> None:
        while (number := store.reserve(60)) is not None:
            got.append(number)

    threads = [threading.Thread(target=take, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(got) == list(range(60))
    study = log.get("s")
    assert study is not None and len(log.trials(study.id)) == 60
    for store in stores:
        store.close()
