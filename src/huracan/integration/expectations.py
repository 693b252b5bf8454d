"""What a model's figures out of fold promise of its life, kept with it so that life can be held against it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import ArrayLike

from huracan.errors import DataError
from huracan.integration.judging import Judged
from huracan.integration.plan import Plan
from huracan.mlops.live_expectation import EXPECTATION, LiveExpectation
from huracan.mlops.prediction_drift import SCORES_FILE, score_reference
from huracan.statistics import average_by_time

__all__ = ["attached_scores", "live_expectation"]


def live_expectation(plan: Plan, judged: Judged, *, symbol: str | None = None, net: ArrayLike | None = None) -> dict[str, Any]:
    """What the figures out of fold promise of life, to be kept as extras: ``{live_expectation: {...}}``.

    Beside the values of :class:`~huracan.mlops.LiveExpectation` there is ``mean_label``, symbol -> mean label in training,
    which live payoffs are less. Where too few moments were judged, or their payoff remembers too long to be judged, nothing
    else is promised.

    Parameters
    ----------
    symbol : whose payoffs count; all of them where None, averaged at each moment.
    net : (m,) net returns a bar of the positions out of fold, in time order.
    """
    symbols, rows = plan.rows.symbols, plan.times.take(plan.judged)
    mine = slice(None) if symbol is None else rows.symbol_code == symbols.index(symbol)
    told: dict[str, Any] = {"mean_label": dict(zip(symbols, map(float, plan.mean_label(len(plan.folds)))))}
    try:
        promised = LiveExpectation.of(average_by_time(judged.payoff[mine], rows.decision_time[mine])[1], net=net)
    except DataError:  # a constant payoff, or too few
        return {EXPECTATION: told}
    if not math.isfinite(promised.skill.error):
        return {EXPECTATION: told}
    if promised.net is not None and not math.isfinite(promised.net.error):
        promised = replace(promised, net=None)
    return {EXPECTATION: {**told, **promised.to_dict()}}


def attached_scores(plan: Plan, judged: Judged, *, symbol: str | None = None) -> dict[str, bytes]:
    """How the scores out of fold were distributed, as a file to keep with the model; none of fewer than 200 moments.

    Parameters
    ----------
    symbol : whose scores; those of all where None.
    """
    at = plan.known_before(len(plan.folds))
    rows = plan.times.take(at)
    names = np.asarray(rows.symbols, dtype=object)[rows.symbol_code]
    said = pl.DataFrame({"symbol": names.tolist(), "ts": rows.ts, "score": judged.run.score[at]})
    if symbol is not None:
        said = said.filter(pl.col("symbol") == symbol)
    try:
        return {SCORES_FILE: score_reference(said).to_bytes()}
    except DataError:  # too few moments, or scores that do not vary
        return {}
