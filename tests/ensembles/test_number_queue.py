"""A queue of numbers is a deque of tuples that takes eight bytes a number."""

from __future__ import annotations

import copy
from collections import deque

import numpy as np
import pytest

from huracan.ensembles.number_queue import NumberQueue


@pytest.mark.parametrize("width", [1, 2, 5])
def test_it_gives_what_a_deque_gives(width: int) -> None:
    rng = np.random.default_rng(width)
    queue, expected, put = NumberQueue(width), deque[tuple[float, ...]](), 0
    for grows in rng.random(3_000) < np.repeat([0.7, 0.4, 0.55], 1_000):
        if grows:
            row = (float(put), *rng.standard_normal(width - 1).tolist())
            expected.append(row)
            assert queue.append(row) == len(expected)
            put += 2
        elif expected:
            assert queue.first == expected[0]
            assert queue.popleft() == expected.popleft()
        assert len(queue) == len(expected)
        some = float(rng.integers(0, put + 2))
        assert queue.holds(some) == any(row[0] == some for row in expected)
    assert list(queue) == list(expected)
    assert list(copy.deepcopy(queue)) == list(expected)
    while expected:
        assert queue.popleft() == expected.popleft()
    assert queue.first is None
    with pytest.raises(IndexError):
        queue.popleft()


def test_what_was_taken_out_is_given_back() -> None:
    queue = NumberQueue(width=3, rows=[(i, i, i) for i in range(100)])
    for i in range(100, 10_000):
        queue.append((i, i, i))
        queue.popleft()
    assert len(queue._numbers) <= 3 * (100 + 34)
