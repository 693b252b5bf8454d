"""The end of the data is looked at once."""

from __future__ import annotations

import json

import numpy as np
import pytest

from huracan.dataset import TrainingSet
from huracan.errors import DataError, LeakageError, NotEnoughData
from huracan.validation import assert_purged, lock_hold_out


@pytest.fixture
def rows() -> TrainingSet:
    rng = np.random.default_rng(0)
    return TrainingSet.from_arrays(rng.normal(size=(400, 2)), rng.normal(size=400), label_horizon=7)


@pytest.mark.parametrize("embargo", [0, 5, 0.05])
def test_no_development_label_reaches_in(rows, embargo):
    development, hold_out = lock_hold_out(rows, share=0.2, embargo=embargo)
    assert development.label_end.max() < hold_out.start
    assert hold_out.n_rows == 80
    assert hold_out.n_rows + hold_out.n_purged + len(development) == 400
    assert hold_out.n_purged == 7 + {0: 0, 5: 5, 0.05: 20}[embargo]
    assert np.shares_memory(development.X, rows.X)
    assert_purged(rows, np.arange(len(development)), np.arange(320, 400))


def test_opens_once(rows):
    _, hold_out = lock_hold_out(rows)
    assert not hold_out.is_open
    held = hold_out.open("final report")
    assert held.decision_time[0] == hold_out.start
    assert held.decision_time[-1] == hold_out.end
    assert hold_out.is_open
    with pytest.raises(LeakageError, match="was opened before, for 'final report'"):
        hold_out.open("one more look")


def test_stays_opened_in_a_later_run(rows):
    _, hold_out = lock_hold_out(rows)
    locked = json.loads(json.dumps(hold_out.state()))
    _, again = lock_hold_out(rows, state=locked)
    assert not again.is_open
    again.open("final report")
    opened = json.loads(json.dumps(again.state()))
    _, third = lock_hold_out(rows, state=opened)
    with pytest.raises(LeakageError, match="final report"):
        third.open("a second run")


def test_state_of_other_rows_is_refused(rows):
    _, hold_out = lock_hold_out(rows)
    with pytest.raises(DataError, match="state of the hold-out says start"):
        lock_hold_out(rows, share=0.3, state=hold_out.state())


def test_impossible_shares_are_refused(rows):
    with pytest.raises(DataError, match="share is 1"):
        lock_hold_out(rows, share=1)
    with pytest.raises(NotEnoughData, match="leaves no row"):
        lock_hold_out(rows, share=0.99)
    with pytest.raises(DataError, match="for no reason"):
        lock_hold_out(rows)[1].open("  ")


def test_reason_survives_in_its_words(rows):
    _, hold_out = lock_hold_out(rows)
    hold_out.open("final report")
    assert hold_out.state()["reason"] == "final report"
