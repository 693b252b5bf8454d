"""The sketch of training rows: what is like them is near, at the rate that was asked for, and what is not is far."""

from __future__ import annotations

import numpy as np
import pytest

from huracan.errors import ArtifactError, NotEnoughData
from huracan.serving import TrainingSketch

COLUMNS = tuple(f"x{i}" for i in range(6))


def correlated(n: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    common = rng.standard_normal((n, 1))
    return (common + 0.3 * rng.standard_normal((n, 6))).astype(np.float32)


def test_new_rows_of_the_same_kind_are_far_as_often_as_was_asked_for() -> None:
    """Binomial: 1 % of 20,000 rows and 4,000 calibration rows; four standard errors are .7 points."""
    sketch = TrainingSketch.of(correlated(40_000, 0), COLUMNS, outside_share=0.01)
    share = float((sketch.distances(correlated(20_000, 1)) > sketch.limit).mean())
    assert abs(share - 0.01) < 0.007


def test_a_row_against_the_correlation_is_far_though_each_value_is_usual() -> None:
    sketch = TrainingSketch.of(correlated(5_000, 0), COLUMNS)
    against = np.array([1, -1, 1, -1, 1, -1], np.float32)
    assert sketch.distance(against) > sketch.limit
    assert sketch.distance(np.ones(6, np.float32)) < sketch.limit


def test_it_comes_back_from_its_bytes_to_the_bit() -> None:
    sketch, rows = TrainingSketch.of(correlated(500, 0), COLUMNS), correlated(50, 1)
    again = TrainingSketch.from_bytes(sketch.to_bytes())
    assert again.to_bytes() == sketch.to_bytes()
    assert np.array_equal(again.distances(rows), sketch.distances(rows))


def test_columns_that_stand_still_or_jump_do_not_decide() -> None:
    rows = correlated(2_000, 0)
    rows[:, 0] = 7.0
    rows[::50, 1] = 1e6
    sketch = TrainingSketch.of(rows, COLUMNS)
    assert np.isfinite(sketch.distances(rows)).all()
    usual = rows[1].copy()
    usual[0] = 8.0
    assert sketch.distance(usual) == sketch.distance(rows[1])


@pytest.mark.parametrize("content", [b"", b"[]", b'{"format": 9}', b"\xff"])
def test_what_is_no_sketch_is_refused(content: bytes) -> None:
    with pytest.raises(ArtifactError, match="no sketch"):
        TrainingSketch.from_bytes(content)


def test_damaged_numbers_are_refused() -> None:
    content = TrainingSketch.of(correlated(500, 0), COLUMNS).to_bytes().replace(b'"x5"', b'"x5", "x6"')
    with pytest.raises(ArtifactError, match="no sketch"):
        TrainingSketch.from_bytes(content)


def test_few_rows_are_no_sketch() -> None:
    with pytest.raises(NotEnoughData, match="99 training rows"):
        TrainingSketch.of(correlated(99, 0), COLUMNS)
