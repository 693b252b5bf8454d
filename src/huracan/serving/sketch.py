"""What the training rows looked like, small enough to be kept with the model: how far is a new row from them?"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from huracan.errors import ArtifactError, NotEnoughData
from huracan.statistics.spread_rows import spread_rows
from huracan.statistics.whitening import whitening_matrix

__all__ = ["SKETCH_FILE", "TrainingSketch"]

SKETCH_FILE = "sketch.json"
"""Its name among the files of a model."""

_FORMAT = 1
_MOST_ROWS = 50_000
_FEWEST_ROWS = 100
_CLIP = 8.0
_KEPT_BACK = 0.1
_APART = 0.01


@dataclass(frozen=True, eq=False)
class TrainingSketch:
    """Where training rows lie, column by column and together.

    The distance of a row is ``sqrt(sum((whitening @ (x - median))**2))``: Mahalanobis', with robust location and scale and the
    covariance of Ledoit and Wolf, which can be inverted with any number of columns. The limit is a quantile of the distances of
    the newest tenth of the training rows, which the covariance has not seen: on the rows that made it every row is near.

    Attributes
    ----------
    columns : d names. median, spread, low, high : (d,), spread is the interquartile range over 1.349, 0 for a column that
        stands still. whitening : (d, d). limit : distance that a share ``outside_share`` of the newest tenth exceeded.
    n_rows : rows it was made from.

    References
    ----------
    Ledoit and Wolf (2004), "A well-conditioned estimator for large-dimensional covariance matrices".

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> sketch = TrainingSketch.of(rng.standard_normal((2_000, 3)).astype(np.float32), ("a", "b", "c"), outside_share=0.01)
    >>> bool(sketch.distance(np.zeros(3)) < sketch.limit < sketch.distance(np.full(3, 5.0)))
    True
    >>> TrainingSketch.from_bytes(sketch.to_bytes()).limit == sketch.limit
    True
    """

    columns: tuple[str, ...]
    median: NDArray[np.float32]
    spread: NDArray[np.float32]
    low: NDArray[np.float32]
    high: NDArray[np.float32]
    whitening: NDArray[np.float32]
    limit: float
    outside_share: float
    n_rows: int

    @classmethod
    def of(cls, X: NDArray[np.float32], columns: Sequence[str], *, outside_share: float = 0.001) -> TrainingSketch:
        """From training rows (n, d) in time order, finite; of many, 50,000 spread over all of them.

        Raises
        ------
        NotEnoughData : fewer than 100 rows.
        """
        if len(X) < _FEWEST_ROWS:
            raise NotEnoughData(f"{len(X)} training rows were given; a sketch of them takes at least {_FEWEST_ROWS}.")
        some = spread_rows(len(X), _MOST_ROWS)
        rows = (X if some is None else X[some]).astype(np.float64)
        n = len(rows)
        newest = int(n * (1.0 - _KEPT_BACK))
        older = rows[: int(n * (1.0 - _KEPT_BACK - _APART))]  # features of neighbours share bars
        quarter, median, three = np.percentile(older, [25, 50, 75], axis=0)
        spread = (three - quarter) / 1.349
        deviation = older.std(axis=0)
        spread = np.where(spread > 1e-3 * deviation, spread, deviation)  # a column that is mostly one value
        unit = np.divide(1.0, spread, out=np.zeros_like(spread), where=spread > 1e-9 * (np.abs(median) + 1e-12))
        whitening = whitening_matrix(np.clip((older - median) * unit, -_CLIP, _CLIP)) * unit
        far = np.sqrt((((rows[newest:] - median) @ whitening.T) ** 2).sum(axis=1))
        limit = float(np.quantile(far, 1.0 - outside_share, method="higher"))
        return cls(
            columns=tuple(columns),
            median=median.astype(np.float32),
            spread=np.where(unit > 0, spread, 0.0).astype(np.float32),
            low=X.min(axis=0),
            high=X.max(axis=0),
            whitening=whitening.astype(np.float32),
            limit=limit,
            outside_share=outside_share,
            n_rows=len(X),
        )

    def distance(self, x: NDArray[np.float32]) -> float:
        """Of one row (d,); NaN where it has no value somewhere."""
        apart = self.whitening @ (x - self.median)
        return float(apart @ apart) ** 0.5

    def distances(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """Of rows (n, d)."""
        return np.sqrt((((X - self.median) @ self.whitening.T) ** 2).sum(axis=1, dtype=np.float64))

    def to_bytes(self) -> bytes:
        """As JSON; the whitening as base64 of little-endian float32, row by row."""
        vectors = {name: [float(x) for x in getattr(self, name)] for name in ("median", "spread", "low", "high")}
        matrix = base64.b64encode(self.whitening.astype("<f4").tobytes()).decode()
        told = {"format": _FORMAT, "columns": list(self.columns), **vectors, "whitening": matrix}
        told |= {"limit": self.limit, "outside_share": self.outside_share, "n_rows": self.n_rows}
        return json.dumps(told, allow_nan=False).encode()

    @classmethod
    def from_bytes(cls, content: bytes) -> TrainingSketch:
        """The inverse of :meth:`to_bytes`.

        Raises
        ------
        ArtifactError : it is no sketch of this format.
        """
        try:
            told = json.loads(content)
            if told["format"] != _FORMAT:
                raise ValueError(f"format {told['format']} is not {_FORMAT}")
            d = len(told["columns"])
            vectors = {name: np.array(told[name], np.float32) for name in ("median", "spread", "low", "high")}
            whitening = np.frombuffer(base64.b64decode(told["whitening"], validate=True), "<f4").reshape(d, d)
            if any(vector.shape != (d,) for vector in vectors.values()):
                raise ValueError(f"a column is described by other than {d} numbers")
            return cls(
                columns=tuple(told["columns"]),
                **vectors,
                whitening=whitening.astype(np.float32),
                limit=float(told["limit"]),
                outside_share=float(told["outside_share"]),
                n_rows=int(told["n_rows"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactError(f"{SKETCH_FILE} is no sketch of training rows: {error}.") from error
