"""The host's clock, which may be set while a turn is waited for."""

from __future__ import annotations

import time

import pytest

from huracan.integration.feedback.clock import SystemClock


def test_a_clock_that_is_put_back_meanwhile_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    hours = iter([10_800_000] + [0] * 100)
    clock = SystemClock()
    monkeypatch.setattr(clock, "now", lambda: next(hours))
    naps = 0

    def stop() -> bool:
        nonlocal naps
        naps += 1
        return naps > 5

    clock.sleep_until(10_800_100, stop)
    assert naps <= 3


def test_a_clock_that_is_put_on_meanwhile_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0, 0, 10_000])
    clock = SystemClock()
    monkeypatch.setattr(clock, "now", lambda: next(times))
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    clock.sleep_until(5_000, lambda: False)
    assert next(times, None) is None
