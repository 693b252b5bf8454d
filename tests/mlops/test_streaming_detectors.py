"""Streaming detectors: one number or many, states that go on, resets, and the alarms of River on River's settings."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks.peers.alarm_streams import streams

from huracan.errors import DataError
from huracan.mlops import DDM, Adwin, Cusum, PageHinkley, StreamingDetector
from huracan.mlops.streaming import replaying

_RIVER = json.loads((Path(__file__).parent / "river_alarms.json").read_text(encoding="utf-8"))
_KINDS = {"PageHinkley": PageHinkley, "Adwin": Adwin, "DDM": DDM}
_MAKERS = {
    "page-hinkley": lambda: PageHinkley(threshold=8.0),
    "page-hinkley down": lambda: PageHinkley(threshold=8.0, mode="down"),
    "adwin": lambda: Adwin(delta=0.2, clock=4, max_buckets=3),
    "cusum": lambda: Cusum(target=0.2, slack=0.1, threshold=6.0, scale=0.4),
    "ddm": lambda: DDM(drift_threshold=2.5),
}
maker = pytest.mark.parametrize("make", _MAKERS.values(), ids=_MAKERS)


@pytest.fixture(scope="module")
def given() -> dict[str, np.ndarray]:
    return {name: np.array(stream) for name, stream in streams().items()}


@pytest.fixture(scope="module")
def errors() -> np.ndarray:
    random = np.random.default_rng(11)
    return (random.random(3_000) < np.repeat([0.2, 0.5, 0.1, 0.4], 750)).astype(np.float64)


def _updated(watch: StreamingDetector, x: np.ndarray) -> list[int]:
    return [row for row, value in enumerate(x.tolist()) if watch.update(value).drift_detected]


@pytest.mark.parametrize("name", _RIVER["streams"])
def test_alarms_and_warnings_are_those_of_river(name: str, given: dict[str, np.ndarray]) -> None:
    """The fixture is what ``benchmarks/peers/river_alarms.py`` printed; its hash says that the stream is the same."""
    stream = given[name]
    assert hashlib.sha256(stream.astype("<f8").tobytes()).hexdigest() == _RIVER["streams"][name]
    for run in _RIVER["runs"][name]:
        watch = _KINDS[run["detector"]](**run["settings"])
        assert watch.replay(stream).tolist() == run["alarms"], (run["detector"], run["settings"])
        if run["detector"] == "DDM":
            watch, warned = watch.fresh(), np.zeros(len(stream), dtype=bool)
            for row, x in enumerate(stream.tolist()):
                warned[row] = watch.update(x).warning_detected
            expected = np.zeros(len(stream), dtype=bool)
            for begin, end in run["warnings"]:
                expected[begin:end] = True
            assert np.array_equal(warned, expected)


@maker
def test_an_array_is_as_many_updates_to_the_bit(make: Any, errors: np.ndarray) -> None:
    one, many, halves = make(), make(), make()
    alarms = _updated(one, errors)
    assert many.replay(errors).tolist() == alarms
    assert alarms  # there is something to compare
    first = halves.replay(errors[:1_234]).tolist()
    assert first + [1_234 + row for row in halves.replay(errors[1_234:])] == alarms
    assert one.to_json() == many.to_json() == halves.to_json()


@maker
def test_compiled_and_plain_loops_give_the_same_bits(make: Any, errors: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numba")
    plain, compiled = make(), make()
    alarms = plain.replay(errors)
    monkeypatch.setattr(replaying, "_WORTH_COMPILING", 1)
    monkeypatch.setattr(replaying, "_in_use", set())
    assert replaying.ready_loop(compiled._loop, errors)[2]
    assert np.array_equal(compiled.replay(errors), alarms)
    assert compiled.to_json() == plain.to_json()


@maker
@pytest.mark.parametrize("until", [0, 1, 700, 1_500])
def test_a_stored_state_goes_on_to_the_same_bits(make: Any, until: int, errors: np.ndarray) -> None:
    watch = make()
    watch.replay(errors[:until])
    again = StreamingDetector.from_json(watch.to_json())
    assert type(again) is type(watch)
    assert np.array_equal(again.replay(errors[until:]), watch.replay(errors[until:]))
    assert again.to_json() == watch.to_json()


@maker
def test_a_state_stored_at_an_alarm_says_what_the_alarm_said(make: Any, errors: np.ndarray) -> None:
    watch = make()
    watch.replay(errors[: int(make().replay(errors)[0]) + 1])
    again = type(watch).from_json(watch.to_json())
    assert watch.drift_detected and again.drift_detected
    assert (again.direction, again.changed_at, again.n) == (watch.direction, watch.changed_at, watch.n)
    assert watch.direction in ("up", "down") and watch.changed_at is not None and 1 <= watch.changed_at <= watch.n


@maker
def test_after_an_alarm_nothing_is_remembered(make: Any, errors: np.ndarray) -> None:
    watch = make()
    at = int(make().replay(errors)[0]) + 1
    watch.replay(errors[:at])
    watch.update(errors[at])
    new = watch.fresh().update(errors[at])
    assert watch.to_json() == new.to_json()
    assert (watch.n, watch.drift_detected, watch.direction, watch.changed_at) == (1, False, "", None)


@maker
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf"), 1e200, None, "high"])
def test_what_is_no_number_is_refused_and_nothing_changes(make: Any, bad: Any, errors: np.ndarray) -> None:
    watch = make()
    watch.replay(errors[:100])
    before = watch.to_json()
    with pytest.raises(DataError):
        watch.update(bad)
    with pytest.raises(DataError):
        watch.replay([0.0, 1.0, bad])
    assert watch.to_json() == before


def test_a_rate_of_errors_takes_0_and_1_only() -> None:
    with pytest.raises(DataError, match=r"DDM was given 0\.5 at row 1; 0 \(right\) or 1 \(wrong\) was expected\."):
        DDM().replay([0, 0.5])
    assert DDM().update(True).n == DDM().update(np.float32(1.0)).n == 1


@maker
def test_nothing_is_no_news(make: Any) -> None:
    watch = make()
    assert watch.replay([]).shape == (0,)
    assert watch.n == 0 and not watch.drift_detected and not watch.warning_detected


@pytest.mark.parametrize(
    "watch",
    [PageHinkley(threshold=30.0, delta=0.25), Adwin(), Cusum(target=0.0, slack=0.5, threshold=10.0)],
    ids=["page-hinkley", "adwin", "cusum"],
)
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_way_and_the_time_of_a_change_are_told(watch: StreamingDetector, sign: float) -> None:
    """A shift of 2 standard deviations at row 320: no alarm before, one soon after, and it points back to about there."""
    x = np.random.default_rng(4).standard_normal(420)
    x[320:] += 2.0 * sign
    at = int(watch.fresh().replay(x)[0])
    assert 320 <= at < 384
    told = watch.fresh()
    told.replay(x[: at + 1])
    assert told.direction == ("up" if sign > 0 else "down")
    assert told.changed_at is not None
    assert abs(at + 1 - told.changed_at - 320) <= 40


@pytest.mark.parametrize("kind", [PageHinkley, Cusum])
def test_a_detector_of_one_way_is_deaf_to_the_other(kind: type[StreamingDetector]) -> None:
    x = np.r_[np.zeros(100), np.ones(200)]
    settings: dict[str, Any] = {"threshold": 5.0} if kind is PageHinkley else {"threshold": 5.0, "target": 0.0, "slack": 0.2}
    assert kind(**settings, mode="down").replay(x).size == 0
    assert kind(**settings, mode="up").replay(-x).size == 0
    up, down = kind(**settings, mode="up").replay(x), kind(**settings, mode="down").replay(-x)
    assert up.size and np.array_equal(up, down)


def test_cusum_follows_its_formula() -> None:
    """Page's recursion, written out."""
    x = np.random.default_rng(2).standard_normal(400)
    watch, high, low = Cusum(target=0.1, slack=0.3, threshold=1e9, scale=2.0), 0.0, 0.0
    for value in x.tolist():
        z = (value - 0.1) / 2.0
        high, low = max(0.0, high + (z - 0.3)), max(0.0, low + (-z - 0.3))
        state = json.loads(watch.update(value).to_json())["state"]
        assert (state[1], state[3]) == pytest.approx((high, low))


def test_the_window_of_adwin_holds_what_it_says() -> None:
    """Count and mean are those of all numbers since the last alarm, or of what an alarm kept, whatever the stretches are."""
    x = np.random.default_rng(3).standard_normal(5_000)
    watch = Adwin(scale=3.0)
    assert watch.replay(x).size == 0
    assert watch.width == 5_000 and watch.mean == pytest.approx(x.mean())
    assert len(json.loads(watch.to_json())["state"]["rows"]) <= 12


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: PageHinkley(min_instances=0), "min_instances is 0; a whole number of at least 1 was expected."),
        (lambda: PageHinkley(alpha=1.5), "alpha is 1.5; a number above 0, at most 1, was expected."),
        (lambda: PageHinkley(delta=-1.0), "delta is -1.0; a number of at least 0 was expected."),
        (lambda: PageHinkley(mode="sideways"), "mode is 'sideways'; 'up', 'down' or 'both' was expected."),  # type: ignore[arg-type]
        (lambda: Adwin(delta=0.0), "delta is 0.0; a number above 0 was expected."),
        (lambda: Adwin(delta=2.0), "delta is 2.0; a number above 1e-299, at most 1, was expected."),
        (lambda: Adwin(max_buckets=1), "max_buckets is 1; a whole number of at least 2 was expected."),
        (lambda: Cusum(float("nan"), 0.1, 1.0), "target is nan; a finite number was expected."),
        (lambda: Cusum(0.0, 0.1, 1.0, scale=0.0), "scale is 0.0; a number above 0 was expected."),
        (lambda: Cusum(10**400, 0.1, 1.0), "target is a number that no float holds; a finite number was expected."),
        (lambda: Adwin().update(10**5000), "Adwin was given a number that no float holds; a finite one was expected."),
        (lambda: DDM().replay([0, 10**400]), "the stream holds a number that no float holds; finite numbers were expected."),
        (lambda: DDM(warning_threshold=4.0), "drift_threshold is 3.0; a number of at least 4 was expected."),
    ],
)
def test_settings_out_of_bounds_are_said(make: Any, said: str) -> None:
    with pytest.raises(DataError) as told:
        make()
    assert str(told.value) == said


@pytest.mark.parametrize(
    "damage",
    [
        lambda state: state.pop("state"),
        lambda state: state.update(kind="huracan.Nothing"),
        lambda state: state.update(version=2),
        lambda state: state["state"].pop(),
        lambda state: state["state"].__setitem__(0, -3.0),
        lambda state: state["settings"].update(threshold="high"),
        lambda state: state["settings"].update(colour="red"),
    ],
)
def test_what_is_no_state_is_refused(damage: Any) -> None:
    state = json.loads(PageHinkley().update(1.0).to_json())
    damage(state)
    with pytest.raises(DataError):
        PageHinkley.from_json(json.dumps(state))


def test_a_state_is_read_by_its_own_kind_or_by_all() -> None:
    text = Adwin().update(1.0).to_json()
    with pytest.raises(DataError, match="this is not the state of a DDM"):
        DDM.from_json(text)
    assert isinstance(StreamingDetector.from_json(text), Adwin)
    state = json.loads(text)
    state["state"]["rows"][0]["sums"].append(1.0)
    with pytest.raises(DataError):
        Adwin.from_json(json.dumps(state))


def test_the_room_loads_no_compiler_and_no_network() -> None:
    code = "import sys, huracan.mlops as m; m.PageHinkley; print(*({'torch', 'numba', 'scipy.signal'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == ""
