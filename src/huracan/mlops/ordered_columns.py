"""What columns cost most: putting each in its own order, and comparing two of them; shared out to threads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from huracan.mlops.column_tests import in_order
from huracan.statistics.moments import Moments
from huracan.statistics.sample_distance import SampleDistance
from huracan.statistics.weighted_sample import WeightedSample

__all__ = ["compared_columns", "each_by_threads", "ordered_columns"]

S = TypeVar("S")
T = TypeVar("T")


def each_by_threads(work: Callable[[S], T], items: Sequence[S], n_jobs: int) -> list[T]:
    """Work on each, in order; every thread has one stretch of the items, so that none waits for another between two of them.

    >>> each_by_threads(abs, [-1, 2, -3], 2)
    [1, 2, 3]
    """
    first, *others = _shares(len(items), n_jobs) or [slice(0)]
    if not others:
        return [work(item) for item in items]

    def done(share: slice) -> list[T]:
        return [work(item) for item in items[share]]

    with ThreadPoolExecutor(len(others)) as threads:
        elsewhere = threads.map(done, others)
        return [result for part in (done(first), *elsewhere) for result in part]


def ordered_columns(columns: Mapping[str, NDArray[np.floating]], moments: Moments, n_jobs: int) -> dict[str, WeightedSample]:
    """Every column in its own order, NaN last.

    Parameters
    ----------
    columns : by name, equally long, of float32 or float64.

    Examples
    --------
    >>> found = ordered_columns({"a": np.array([2.0, 1.0]), "b": np.array([0.0, 3.0])}, Moments.each_row(2), 2)
    >>> {name: sample.values.tolist() for name, sample in found.items()}
    {'a': [1.0, 2.0], 'b': [0.0, 3.0]}
    """
    names = list(columns)
    if not moments.even:
        return dict(zip(names, each_by_threads(lambda name: in_order(columns[name], moments), names, n_jobs), strict=True))
    stretches = [names[share] for share in _shares(len(names), n_jobs)]
    parts = each_by_threads(lambda stretch: _in_blocks({name: columns[name] for name in stretch}), stretches, n_jobs)
    found = {name: sample for part in parts for name, sample in part.items()}
    return {name: found[name] for name in names}


def _in_blocks(columns: Mapping[str, NDArray[np.floating]]) -> dict[str, WeightedSample]:
    """Each in its own order, those of one type in one piece of memory, which is faster to have than many."""
    found: dict[str, WeightedSample] = {}
    for kind in {values.dtype for values in columns.values()}:
        alike = [name for name, values in columns.items() if values.dtype == kind]
        block = np.stack([columns[name] for name in alike])
        block.sort(axis=1)
        found |= {name: WeightedSample(values) for name, values in zip(alike, block, strict=True)}
    return found


def compared_columns(
    references: Mapping[str, WeightedSample], windows: Mapping[str, WeightedSample], n_jobs: int
) -> dict[str, SampleDistance]:
    """How far the columns that are in both are apart; of those that hold NaN or no value, nothing.

    >>> one, two = ({"a": WeightedSample(np.arange(start, start + 4.0))} for start in (0, 1))
    >>> compared_columns(one, two, 1)
    {'a': SampleDistance(largest=0.25, steps=1, moved=1.0)}
    """
    both = [name for name in references if name in windows]
    usable = [name for name in both if _comparable(references[name]) and _comparable(windows[name])]
    apart = each_by_threads(lambda name: SampleDistance.of(references[name], windows[name]), usable, n_jobs)
    return dict(zip(usable, apart, strict=True))


def _comparable(sample: WeightedSample) -> bool:
    return len(sample.values) > 0 and not sample.holds_nan


def _shares(n: int, n_jobs: int) -> list[slice]:
    """Stretches of about the same length, none empty."""
    bounds = [n * i // n_jobs for i in range(n_jobs + 1)]
    return [slice(first, last) for first, last in pairwise(bounds) if first < last]
