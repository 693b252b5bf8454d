"""Meta-labels: was it right to follow the primary model?"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from huracan.errors import DataError

__all__ = ["Side", "meta_labels", "side_of_rows"]

Side = pl.DataFrame | pl.Series | ArrayLike
"""A bet for every row: +1 long, -1 short, 0 or null none; a frame names its rows by ``[symbol, ts, side]``."""


def meta_labels(primary_side: Side, labels: pl.DataFrame, *, cost_bps: float = 0.0) -> pl.DataFrame:
    """Label with 1 every bet of a primary model that made money after costs, with 0 every bet that did not.

    A second model trained on these learns when to follow the first and how much to stake.

    Parameters
    ----------
    primary_side : what the primary model decided at each row: a series or array in the order of ``labels``, or a
        frame ``[symbol, ts, side]``. Positive is long, negative short; 0, null and NaN mean no bet.
    labels : a label frame with ``execution_return``.
    cost_bps : cost of the round trip; a bet is right where ``sign(side) * execution_return > cost``.

    Returns
    -------
    ``labels`` with ``label`` replaced; ``label``, ``label_end`` and ``execution_return`` are null where there is no bet,
    and ``weight`` is scaled back to mean 1 over each symbol's bets. ``execution_return`` stays the price's own: the
    money of the bet is ``sign(side) * execution_return``.

    Raises
    ------
    DataError : ``primary_side`` does not match the labels, or the labels have no ``execution_return``.

    References
    ----------
    Lopez de Prado, *Advances in Financial Machine Learning* (2018), section 3.6.

    Examples
    --------
    >>> labels = pl.DataFrame({
    ...     "symbol": "A", "ts": range(4), "label": [1.0, -1.0, 1.0, None], "label_end": [2, 3, 4, None],
    ...     "execution_return": [0.010, -0.020, 0.001, None], "weight": 1.0,
    ... })
    >>> meta_labels([1, 1, 1, 1], labels, cost_bps=20)["label"].to_list()
    [1.0, 0.0, 0.0, None]
    >>> meta_labels([0, -1, None, -1], labels, cost_bps=20)["label"].to_list()
    [None, 1.0, None, None]
    """
    missing = [name for name in ("symbol", "label", "label_end", "execution_return", "weight") if name not in labels.columns]
    if missing:
        raise DataError(f"labels lack the column(s) {', '.join(missing)}; a frame of a label function was expected.")
    if not (np.isfinite(cost_bps) and cost_bps >= 0):
        raise DataError(f"cost_bps is {cost_bps!r}; a finite number of basis points, 0 or more, was expected.")
    side = pl.Series("side", np.sign(side_of_rows(primary_side, labels)))
    bet = (side != 0) & labels["label"].is_not_null()
    earned = side * labels["execution_return"] > cost_bps * 1e-4
    weight = pl.col("weight")
    return labels.with_columns(
        label=pl.when(bet).then(earned.cast(pl.Float64)),
        label_end=pl.when(bet).then(pl.col("label_end")),
        execution_return=pl.when(bet).then(pl.col("execution_return")),
        weight=pl.when(bet).then(weight),
    ).with_columns(weight=(weight / weight.mean().over("symbol")).fill_null(0.0))


def side_of_rows(side: Side, keys: pl.DataFrame) -> NDArray[np.float64]:
    """The side of every row of ``keys`` as float64; 0 where there is none."""
    if isinstance(side, pl.DataFrame):
        missing = [name for name in ("symbol", "ts", "side") if name not in side.columns]
        if missing:
            raise DataError(f"the side frame lacks the column(s) {', '.join(missing)}; symbol, ts and side were expected.")
        twice = side.select("symbol", "ts").is_duplicated()
        if twice.any():
            row = side.row(int(twice.arg_max() or 0), named=True)
            raise DataError(f"the side of {row['symbol']} at {row['ts']} is given twice; once was expected.")
        joined = keys.select("symbol", "ts").join(
            side.select("symbol", pl.col("ts").cast(keys.schema["ts"]), "side"),
            on=["symbol", "ts"],
            how="left",
            maintain_order="left",
        )
        values: Any = joined["side"]
    else:
        values = side
    series = values if isinstance(values, pl.Series) else pl.Series("side", np.asarray(values, dtype=np.float64).reshape(-1))
    if series.len() != keys.height:
        raise DataError(f"the side has {series.len()} rows where there are {keys.height}; one for every row was expected.")
    return series.cast(pl.Float64).fill_null(0.0).fill_nan(0.0).to_numpy()
