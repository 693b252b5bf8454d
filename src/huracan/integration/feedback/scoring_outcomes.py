"""What came of what was said, once it is known: rows of ``live_outcomes``.

A payoff is what judging calls one (:mod:`huracan.integration.judging`): the standardised score times the label less the
symbol's mean label in training, so that live skill stands beside the skill that was shown out of fold. What a position earns is
one bar of it, from the open after the decision to the next one, net of what changing it cost: summed up it is the account of
:func:`huracan.accounting.backtest` over the same positions, but for the drift of weights between two fills.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import sqlalchemy as sa
from numpy.typing import NDArray

from huracan.accounting import CostModel
from huracan.config import LabelConfig
from huracan.integration.feedback.cleaned_window import without_filled
from huracan.integration.feedback.feature_feed import FeatureFeed, LabelSlice
from huracan.registry.statements import Statement
from huracan.serving.served import Served
from huracan.serving.signal import VetoKind
from huracan.storage.feedback_tables import live_outcomes, live_predictions
from huracan.validation.metrics import directional_payoff

__all__ = ["OUTCOMES", "Rubric", "outcomes_of", "scored"]

Floats = NDArray[np.float64]
OUTCOMES: tuple[str, ...] = tuple(column.name for column in live_outcomes.columns)
"""Columns of outcomes, in order."""

_SMALLEST = 1e-12
_EXPIRED = 1 << list(VetoKind).index(VetoKind.EXPIRED)
_SCHEMA = {
    "version_id": pl.Int64,
    "symbol": pl.String,
    "ts": pl.Int64,
    "state": pl.String,
    "label_end": pl.Int64,
    **dict.fromkeys(
        ("label", "execution_return", "payoff", "squared", "log_loss", "turnover", "cost", "net_return"), pl.Float64
    ),
    "tick": pl.Int64,
}
_said = live_predictions.c
_BEFORE = Statement(
    sa.select(_said.ts, _said.position)
    .where(
        _said.version_id == sa.bindparam("version", type_=sa.BigInteger),
        _said.symbol == sa.bindparam("of", type_=sa.Text),
        _said.ts < sa.bindparam("at", type_=sa.BigInteger),
    )
    .order_by(_said.ts.desc())
    .limit(1)
)


@dataclass(frozen=True)
class Rubric:
    """What a version is scored by.

    Attributes
    ----------
    labels : that it forecasts. center, spread : of its scores out of fold; a spread of 0, or None, holds nothing.
    mean_label : symbol -> mean label in training, 0 for others. costs : of trading.
    baseline : whether it is the constant prediction, whose payoff is 0 whatever comes.
    """

    labels: LabelConfig
    center: float
    spread: float | None
    mean_label: Mapping[str, float]
    costs: CostModel
    baseline: bool = False

    @classmethod
    def of(cls, served: Served, costs: CostModel, labels: LabelConfig) -> Rubric:
        """Of a version as it was registered; ``labels`` where it does not say its own."""
        extras = served.version.extras
        told = extras.get("config", {}).get("labels")
        expected = extras.get("live_expectation") or {}
        return cls(
            labels if told is None else LabelConfig.model_validate(told),
            0.0 if served.outlook is None else served.outlook.center,
            None if served.outlook is None else served.outlook.spread,
            {str(symbol): float(mean) for symbol, mean in expected.get("mean_label", {}).items()},
            costs,
            served.baseline,
        )


def outcomes_of(
    connection: sa.Connection, rubric: Rubric, pending: pl.DataFrame, feed: FeatureFeed, *, until: int, tick: int
) -> pl.DataFrame:
    """What came of predictions of one version, of those whose label was known by ``until``.

    Parameters
    ----------
    connection : is only read from. pending : columns of ``live_predictions``, one version, sorted by ``(symbol, ts)``.
    until, tick : milliseconds UTC.

    Returns
    -------
    Columns of ``live_outcomes``, sorted likewise.
    """
    if pending.is_empty():
        return pl.DataFrame(schema=_SCHEMA)
    symbols = pending["symbol"].unique().to_list()
    told = feed.labels(rubric.labels, symbols, int(pending["ts"].min()), until)  # type: ignore[arg-type]
    return scored(rubric, pending, _positions_before(connection, pending, feed), told, tick=tick)


def scored(rubric: Rubric, said: pl.DataFrame, before: Floats, told: LabelSlice, *, tick: int) -> pl.DataFrame:
    """Score predictions against labels, where these are known.

    Parameters
    ----------
    said : columns of ``live_predictions``, one version, sorted by ``(symbol, ts)``. before : (n,) position held when each was
        said. told : labels of (at least) the same bars. tick : written into each row, milliseconds UTC.

    Returns
    -------
    Columns of ``live_outcomes``. ``payoff``, ``squared`` and ``log_loss`` are null where the model gave no score or advised
    against acting on it, for another reason than its age: only while an expired champion is scored can a newer model be shown
    to be better. ``turnover``, ``cost`` and ``net_return`` (fractions of equity) where it has no position policy.
    """
    symbol = said["symbol"].to_list()
    ts = said["ts"].to_numpy()
    at = _places(symbol, ts, told)
    known = np.flatnonzero(at >= 0)
    known = known[np.isfinite(told.label[at[known]])]
    at, symbol = at[known], [symbol[i] for i in known.tolist()]
    label = told.label[at]
    score, forecast, probability, position = (
        _numbers(said[name])[known] for name in ("score", "forecast", "probability", "position")
    )
    acted = (said["vetoes"].to_numpy()[known] & ~_EXPIRED) == 0
    numbers = {
        "label": label,
        "execution_return": told.execution_return[at],
        "payoff": _payoff(rubric, symbol, score, label, acted),
        "squared": np.where(acted, (forecast - label) ** 2, np.nan),
        "log_loss": np.where(acted, _log_loss(probability, label > 0), np.nan),
        **_account(rubric.costs, position, before[known], told.bar_return[at], told.bars[at]),
    }
    columns = {
        "version_id": said["version_id"].to_numpy()[known],
        "symbol": symbol,
        "ts": ts[known],
        "state": ["known"] * len(known),
        "label_end": told.label_end[at],
        **{name: pl.Series(values, dtype=pl.Float64, nan_to_null=True) for name, values in numbers.items()},
        "tick": np.full(len(known), tick, np.int64),
    }
    return pl.DataFrame({name: columns[name] for name in OUTCOMES}, schema=_SCHEMA)


def _places(symbol: Sequence[str], ts: NDArray[np.int64], told: LabelSlice) -> NDArray[np.int64]:
    """Row of ``told`` of each prediction's bar; -1 where it is not there."""
    if not len(told):
        return np.full(len(ts), -1)
    code = {name: i for i, name in enumerate(told.symbols)}
    mine = np.array([code.get(name, -1) for name in symbol], np.int64)
    shift = np.int64(max(int(told.ts.max()), int(ts.max(initial=0))) + 1)
    keys, wanted = told.code.astype(np.int64) * shift + told.ts, mine * shift + ts
    at = np.searchsorted(keys, wanted)
    at[at == len(keys)] = 0
    return np.where((keys[at] == wanted) & (mine >= 0), at, -1)


def _numbers(column: pl.Series) -> Floats:
    """Float64, NaN for null."""
    return np.asarray(column.cast(pl.Float64).to_numpy(), np.float64)


def _payoff(rubric: Rubric, symbol: Sequence[str], score: Floats, label: Floats, acted: NDArray[np.bool_]) -> Floats:
    if rubric.baseline:
        return np.zeros(len(label))
    payoff = np.full(len(label), np.nan)
    if rubric.spread is None:
        return payoff
    mean = np.array([rubric.mean_label.get(name, 0.0) for name in symbol])
    at = np.flatnonzero(acted & np.isfinite(score))
    if len(at):
        payoff[at] = directional_payoff(score[at], label[at] - mean[at], center=rubric.center, spread=rubric.spread)
    return payoff


def _log_loss(probability: Floats, up: NDArray[np.bool_]) -> Floats:
    right = np.where(up, probability, 1.0 - probability)
    return -np.log(np.maximum(right, _SMALLEST))


def _account(costs: CostModel, position: Floats, before: Floats, bar_return: Floats, bars: Floats) -> dict[str, Floats]:
    """One bar of a position: what changing it turned over and cost, and what is left of what it earned."""
    turnover = np.abs(position - before)
    cost = turnover * costs.per_side_rate + np.maximum(-position, 0.0) * costs.borrow_rate * bars
    return {"turnover": turnover, "cost": cost, "net_return": position * bar_return - cost + 0.0}  # SQLite keeps no -0.0


def _positions_before(connection: sa.Connection, pending: pl.DataFrame, feed: FeatureFeed) -> Floats:
    """The position that stood when each was said: that of the candle before; 0 where the version said nothing of that one."""
    symbol, ts = pending["symbol"].to_list(), pending["ts"].to_list()
    position = pending["position"].to_list()
    before = np.zeros(len(ts))
    for i in range(len(ts)):
        if i and symbol[i] == symbol[i - 1] and ts[i] - ts[i - 1] == feed.candles.bar:
            held: float | None = position[i - 1]
        else:
            held = _held_before(connection, int(pending["version_id"][i]), symbol[i], ts[i], feed)
        before[i] = 0.0 if held is None else held
    return before


def _held_before(connection: sa.Connection, version: int, symbol: str, ts: int, feed: FeatureFeed) -> float | None:
    row = _BEFORE.one(connection, version=version, of=symbol, at=ts)
    if row is None:
        return None
    bar = feed.candles.bar
    apart = row.ts < ts - bar and not _nothing_between(feed, symbol, row.ts + 1, ts - 1)
    return None if apart else row.position


def _nothing_between(feed: FeatureFeed, symbol: str, first: int, last: int) -> bool:
    """Whether no candle lies between: then a position was held over the gap, else others answered meanwhile."""
    names: Sequence[str] = (symbol,)
    return without_filled(feed.candles.bars(first, last, names)).is_empty()
