"""Ready features, labels and times of three parts become rows that share one axis of time, purged between the parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from huracan.dataset import TimeSource, TrainingSet, as_matrix
from huracan.errors import DataError, ModelError, NotEnoughData
from huracan.preprocessing import EnhancedPreprocessor

__all__ = ["PARTS", "ArrayRows", "Labels", "Task", "read_labels", "read_parts"]

PARTS = ("train", "val", "test")
Task = Literal["regression", "classification"]

_KEYS = ("symbol", "ts", "segment")
_FEW = 10
_UP_WORDS = frozenset({"up", "buy", "long", "rise", "bull", "bullish", "positive", "higher", "gain", "win", "yes", "true"})


@dataclass(frozen=True)
class Labels:
    """Labels as numbers. ``classes`` is (0 stands for, 1 stands for), empty for a regression; ``reason`` says why."""

    values: Mapping[str, NDArray[np.float64]]
    task: Task
    classes: tuple[Any, ...]
    reason: str


@dataclass(frozen=True)
class ArrayRows:
    """Rows of the three parts, each following the one before; ``purged`` counts what was left out between them.

    ``whole`` is all rows, those left out too, since their features were known to whoever looks back; ``at`` says where in it
    the rows of each part are.
    """

    train: TrainingSet
    val: TrainingSet
    test: TrainingSet
    whole: TrainingSet
    at: Mapping[str, NDArray[np.intp]]
    test_prices: NDArray[np.float64] | None
    purged: Mapping[str, int]
    preprocessor: EnhancedPreprocessor

    def sizes(self) -> dict[str, int]:
        """Rows in each part."""
        return {part: len(getattr(self, part)) for part in PARTS}


def read_labels(given: Mapping[str, Any]) -> Labels:
    """Decide by the values in ``y_train``: two of any kind are classes, more numbers are a regression.

    Of two classes the larger one, or the later in the alphabet, is "up", unless only the other is a word for it ("buy").

    >>> labels = read_labels({"train": ["sell", "buy"], "val": ["buy"], "test": ["sell"]})
    >>> labels.classes, labels.values["val"].tolist()
    (('sell', 'buy'), [1.0])

    Raises
    ------
    ModelError : ``y_train`` holds one value only. DataError : more than two texts, a value that is missing or unknown.
    """
    arrays = {part: np.asarray(y.to_numpy() if hasattr(y, "to_numpy") else y).reshape(-1) for part, y in given.items()}
    values = set(arrays["train"].tolist())
    texts = any(isinstance(value, str) for value in values)
    if len(values) == 1:
        raise ModelError(f"y_train holds only the value {values.pop()!r}; at least two different ones were expected.")
    if len(values) == 2:
        return _as_classes(arrays, sorted(values, key=str) if texts else sorted(values))
    if texts:
        missing = [row for row, value in enumerate(arrays["train"].tolist()) if not isinstance(value, str)]
        if missing:
            raise DataError(
                f"y_train holds {arrays['train'][missing[0]]!r} in row {missing[0]} among texts; texts were expected."
            )
        some = ", ".join(repr(value) for value in sorted(values)[:_FEW])
        more = ", ..." if len(values) > _FEW else ""
        raise DataError(f"y_train holds {len(values)} classes ({some}{more}); two classes, or numbers, were expected.")
    numbers = {part: _as_numbers(array, part) for part, array in arrays.items()}
    some = f" ({', '.join(f'{value:g}' for value in sorted(map(float, values)))})" if len(values) <= _FEW else ""
    reason = f"y_train holds {len(values)} different numbers{some}: a regression; classes are labels of exactly two values."
    return Labels(numbers, "regression", (), reason)


def _as_classes(arrays: Mapping[str, NDArray[Any]], values: Sequence[Any]) -> Labels:
    down, up = values
    if str(down).casefold() in _UP_WORDS and str(up).casefold() not in _UP_WORDS:
        down, up = up, down
    for part, array in arrays.items():
        for row, value in enumerate(array.tolist()):
            if value is not down and value is not up and value not in (down, up):
                raise DataError(
                    f"y_{part} holds {value!r} in row {row}, which y_train does not; {down!r} or {up!r} was expected."
                )
    numbers = {part: (array == up).astype(np.float64) for part, array in arrays.items()}
    reason = f"y_train holds two values, {down!r} and {up!r}: a classification; forecasts are probabilities of {up!r}."
    return Labels(numbers, "classification", (down, up), reason)


def _as_numbers(array: NDArray[Any], part: str) -> NDArray[np.float64]:
    if array.dtype.kind in "biuf":
        return array.astype(np.float64)
    numbers = np.empty(len(array))
    for row, value in enumerate(array):
        try:
            numbers[row] = float(value)
        except (TypeError, ValueError) as error:
            raise DataError(f"y_{part} holds {value!r} in row {row}; a number was expected.") from error
    return numbers


def read_parts(
    X: Mapping[str, Any],
    y: Mapping[str, NDArray[np.float64]],
    *,
    ts: Mapping[str, ArrayLike] | None,
    label_end: Mapping[str, ArrayLike] | None,
    prices: Mapping[str, ArrayLike] | None,
    horizon: int,
    embargo_bars: int,
) -> ArrayRows:
    """Preprocess by what train teaches, put the parts on one axis of time, purge between them.

    The axis runs through all parts, so a label that ends in the next one is seen to do so. A row is left out where its
    label ends at or after the next part's first decision, less ``embargo_bars``.

    Raises
    ------
    DataError : which part, column or row is wrong, and what was expected. NotEnoughData : a part is empty, or is purged away.
    """
    for name, given in (("ts", ts), ("label_end", label_end), ("prices", prices)):
        missing = [part for part in PARTS if given is not None and part not in given]
        if missing:
            raise DataError(f"{name} lacks '{missing[0]}'; train, val and test were expected.")
    features, preprocessor = _features(X)
    parts = {}
    for part in PARTS:
        extra: dict[str, Any] = {
            k: v[part] for k, v in (("ts", ts), ("label_end", label_end), ("prices", prices)) if v is not None
        }
        try:
            parts[part] = TrainingSet.from_arrays(features[part], y[part], label_horizon=horizon, **extra)
        except DataError as error:
            raise type(error)(f"{part}: {error}") from error
        if len(parts[part].symbols) > 1:
            raise DataError(f"X_{part} has rows of {len(parts[part].symbols)} symbols; one series was expected.")
    rows = _joined(parts, label_end is not None, prices, horizon)
    stops = np.cumsum([len(parts[part]) for part in PARTS])
    at = {part: np.arange(stop - len(parts[part]), stop) for part, stop in zip(PARTS, stops)}
    cut = {part: rows.take(slice(int(numbers[0]), int(numbers[-1]) + 1)) for part, numbers in at.items()}
    purged = {}
    for part, following in (("train", "val"), ("val", "test")):
        begins = cut[following].decision_time[0]
        known = cut[part].label_end < begins - embargo_bars * rows.bar_length
        if not known.any():
            raise NotEnoughData(
                f"every row of {part} has a label that ends after {following} begins ({begins}), less an embargo of "
                f"{embargo_bars} bars; fewer bars ahead, or more rows, were expected."
            )
        at[part], cut[part], purged[part] = at[part][known], _without(cut[part], ~known), int((~known).sum())
    test_prices = None if prices is None else np.asarray(prices["test"], dtype=np.float64)
    return ArrayRows(**cut, whole=rows, at=at, test_prices=test_prices, purged=purged, preprocessor=preprocessor)


def _without(rows: TrainingSet, left_out: NDArray[np.bool_]) -> TrainingSet:
    """The other rows; what lies behind a hole between them is a segment of its own, so that no window reaches across."""
    segment = rows.segment + np.cumsum(left_out).astype(np.int32)
    return replace(rows, segment=segment).take(~left_out)


def _features(X: Mapping[str, Any]) -> tuple[dict[str, Any], EnhancedPreprocessor]:
    preprocessor = EnhancedPreprocessor()
    features: dict[str, Any] = {}
    expected: tuple[str, ...] | None = None
    width = 0
    for part in PARTS:
        frame = X[part].collect() if hasattr(X[part], "collect") else X[part]
        try:
            shape = tuple(np.shape(frame))
        except ValueError as error:
            raise DataError(f"X_{part} has rows of different lengths; rows x features was expected.") from error
        if len(shape) != 2:
            raise DataError(f"X_{part} has shape {shape}; rows x features, two dimensions, was expected.")
        if not shape[0]:
            raise NotEnoughData(f"X_{part} has no rows; at least one was expected.")
        names = tuple(map(str, frame.columns)) if hasattr(frame, "columns") else None
        if part == "train":
            expected, width = names, shape[1]
            _require_features(names, width)
        else:
            _require_same_columns(part, names, shape[1], expected, width)
        try:
            features[part] = preprocessor.fit(frame).transform(frame) if part == "train" else preprocessor.transform(frame)
        except ValueError as error:  # its own, and scikit-learn's plain ones
            raise DataError(f"X_{part}: {' '.join(str(error).split())}") from error
    return features, preprocessor


def _require_features(names: tuple[str, ...] | None, width: int) -> None:
    if not width:
        raise NotEnoughData("X_train has no columns; at least one feature was expected.")
    for name in names or ():
        if name in _KEYS:
            raise DataError(f"X_train has column '{name}', which is no feature; leave it out (times are given as ts=).")
    if names and len(set(names)) < len(names):
        twice = next(name for i, name in enumerate(names) if name in names[:i])
        raise DataError(f"X_train has two columns named '{twice}'; different names were expected.")


def _require_same_columns(
    part: str, names: tuple[str, ...] | None, width: int, expected: tuple[str, ...] | None, expected_width: int
) -> None:
    if (names is None) != (expected is None):
        named, plain = (part, "train") if names else ("train", part)
        raise DataError(f"X_{named} has named columns and X_{plain} has none; all parts of one kind were expected.")
    if names is None or expected is None:
        if width != expected_width:
            raise DataError(f"X_{part} has {width} columns where X_train has {expected_width}; the same were expected.")
        return
    missing = [name for name in expected if name not in names]
    if missing:
        raise DataError(f"X_{part} lacks column {_quoted(missing)}, which X_train has.")
    extra = [name for name in names if name not in expected]
    if extra:
        raise DataError(f"X_{part} has column {_quoted(extra)}, which X_train has not.")
    if names != expected:
        at = next((i for i, (a, b) in enumerate(zip(names, expected)) if a != b), len(expected))
        wanted = f"'{expected[at]}'" if at < len(expected) else "nothing more"
        raise DataError(f"X_{part} has '{names[at]}' as column {at} where X_train has {wanted}; the same order was expected.")


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _joined(
    parts: Mapping[str, TrainingSet], ends_given: bool, prices: Mapping[str, ArrayLike] | None, horizon: int
) -> TrainingSet:
    """All rows as one series, so that label ends and returns of a part are counted on into the next.

    A step in time from one part to the next that is longer than any within the parts is a hole, behind which a new segment
    begins: a model that looks back does not look across.
    """
    before, source = parts["train"], parts["train"].time_source
    for part in PARTS[1:]:
        rows = parts[part]
        if rows.time_source is not source:
            raise DataError(
                f"train has its times by {source}, {part} by {rows.time_source}; the same for all parts was expected."
            )
        if source is not TimeSource.ROW_ORDER and rows.ts[0] <= before.ts[-1]:
            raise DataError(
                f"{part} begins at {rows.ts[0]}, before the part in front of it ends ({before.ts[-1]}); "
                "train, validation and test must follow each other in time."
            )
        before = rows

    def together(name: str) -> NDArray[Any]:
        return np.concatenate([getattr(parts[part], name) for part in PARTS])

    joined = TrainingSet.from_arrays(
        as_matrix(together("X"))[0],
        together("y"),
        ts=None if source is TimeSource.ROW_ORDER else together("ts"),
        label_end=together("label_end") if ends_given else None,
        prices=None if prices is None else np.concatenate([np.asarray(prices[part], dtype=np.float64) for part in PARTS]),
        label_horizon=horizon,
    )
    segment = np.zeros(len(joined), np.int32)
    if source is not TimeSource.ROW_ORDER:
        steps, borders = np.diff(joined.ts).astype(np.int64), np.cumsum([len(parts[part]) for part in PARTS[:-1]])
        longest = np.delete(steps, borders - 1).max(initial=int(np.median(steps)))
        for border in borders[steps[borders - 1] > longest]:
            segment[border:] += 1
    return replace(joined, feature_names=parts["train"].feature_names, time_source=source, segment=segment)
