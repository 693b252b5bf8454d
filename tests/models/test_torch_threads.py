"""PyTorch's number of threads is one for the whole process: whoever changes it gives it back, whatever happens."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event

import numpy as np
import pytest
import torch

from huracan.catalogue import build_model
from huracan.errors import ModelError
from huracan.models.torch_use import torch_threads


@pytest.fixture(autouse=True)
def _three() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def told_in_a_new_thread() -> int:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(torch.get_num_threads).result()


def test_the_number_is_given_back_and_scopes_may_lie_in_each_other() -> None:
    with torch_threads(2):
        assert torch.get_num_threads() == 2
        with torch_threads(1):
            assert torch.get_num_threads() == told_in_a_new_thread() == 1
        assert torch.get_num_threads() == 2
    assert torch.get_num_threads() == told_in_a_new_thread() == 3


def test_it_is_given_back_after_an_error() -> None:
    with pytest.raises(ZeroDivisionError), torch_threads(1):
        _ = 1 / 0
    assert torch.get_num_threads() == told_in_a_new_thread() == 3
    with pytest.raises(ModelError, match="n_jobs is 0"), torch_threads(0):
        pass
    assert torch.get_num_threads() == 3


def test_threads_that_come_and_go_in_any_order_leave_what_was_there() -> None:
    """The first to come goes first: what the second found when it came is not what was there before both."""
    second_is_in, first_is_out = Event(), Event()

    def first() -> None:
        with torch_threads(1):
            second_is_in.wait(10)
        first_is_out.set()

    def second() -> int:
        with torch_threads(2):
            second_is_in.set()
            first_is_out.wait(10)
            return torch.get_num_threads()

    with ThreadPoolExecutor(2) as pool:
        one, two = pool.submit(first), pool.submit(second)
        one.result()
        assert two.result() == 2
    assert torch.get_num_threads() == told_in_a_new_thread() == 3


def test_a_thread_that_left_while_another_was_within_brings_nothing_of_it_along_when_it_comes_again() -> None:
    another_is_in, may_leave = Event(), Event()

    def another() -> None:
        with torch_threads(1):
            another_is_in.set()
            may_leave.wait(10)

    with ThreadPoolExecutor(1) as theirs, ThreadPoolExecutor(1) as mine:

        def come_and_go() -> int:
            with torch_threads(2):
                pass
            return torch.get_num_threads()

        stays = theirs.submit(another)
        another_is_in.wait(10)
        assert mine.submit(come_and_go).result() == 3
        assert told_in_a_new_thread() == 1
        may_leave.set()
        stays.result()
        assert mine.submit(come_and_go).result() == 3
    assert torch.get_num_threads() == told_in_a_new_thread() == 3


def test_fits_and_forecasts_side_by_side_and_failed_ones_leave_it() -> None:
    X = np.random.default_rng(0).standard_normal((200, 2)).astype(np.float32)
    at_once = Barrier(2)

    def fitted(n_jobs: int) -> None:
        at_once.wait(10)
        model = build_model("linear_network", window=2, max_epochs=2, n_jobs=n_jobs).fit(X, X[:, 0])
        model.predict(X)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(fitted, [1, 2]))
    assert torch.get_num_threads() == told_in_a_new_thread() == 3
    with pytest.raises(ModelError, match="training exploded"):
        build_model("linear_network", learning_rate=1e12, clip_norm=None, schedule="constant", n_jobs=2).fit(1e3 * X, X[:, 0])
    assert torch.get_num_threads() == told_in_a_new_thread() == 3
