"""Bar by bar as in batch, from any history, through ties, flat stretches, spikes and missing values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from huracan.preprocessing.streams import open_stream
from huracan.preprocessing.window_order import window_argmax, window_argmin, window_quantiles, window_rank

Array = NDArray[np.float64]
COMPARED = (window_rank, window_argmax, window_argmin)
BARS = 1_500


def series(holes: bool) -> tuple[Array, Array]:
    """A price on ticks that stands still twice and once triples for a bar; log volume, of which some is missing."""
    rng = np.random.default_rng(3)
    price = np.round(1e5 * np.exp(np.cumsum(rng.normal(0, 0.001, BARS))), 1)
    price[300:360], price[900:1050] = price[300], price[900]
    price[600] *= 3.0
    volume = np.log1p(np.floor(rng.lognormal(1, 2, BARS)))
    volume[700:730] = 0.0
    if holes:
        price[[0, 1, 400, 401, 1100]] = np.nan
        volume[[5, 402, 903, 904, 950]] = np.nan
        price[1110:1250] = np.nan
    return price, volume


def both_ways(
    operation: Callable[..., Any], inputs: tuple[Array, ...], constants: tuple[Any, ...], history: int
) -> list[Array]:
    """Batch and stream after ``history`` bars, each of shape (outputs, bars)."""
    batch = operation(*inputs, *constants)
    stream = open_stream(operation, constants, {}, [x[:history] for x in inputs])
    updates = [stream.update(*bar) for bar in zip(*(x[history:].tolist() for x in inputs))]
    batch = np.atleast_2d(batch)[:, history:]
    return [batch, np.reshape(updates, (len(updates), -1)).T]


@pytest.mark.parametrize("history", [0, 1, 40, 901])
@pytest.mark.parametrize("window", [1, 3, 41])
@pytest.mark.parametrize("holes", [False, True])
def test_order_equals_batch_bit_for_bit(holes: bool, window: int, history: int) -> None:
    price, _ = series(holes)
    for operation in COMPARED:
        batch, stream = both_ways(operation, (price,), (window,), history)
        np.testing.assert_array_equal(stream, batch)
    for shares in ((0.2, 0.8), (0.5,)):
        batch, stream = both_ways(window_quantiles, (price,), (window, *shares), history)
        np.testing.assert_array_equal(stream, batch)
