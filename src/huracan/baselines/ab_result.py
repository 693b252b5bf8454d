"""What an A/B test of models found: tables, a decision and its reason, as plain data that a page can show."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from textwrap import shorten
from typing import Any

import polars as pl

from huracan.baselines.comparison import Comparison

__all__ = ["ABTestResult"]


@dataclass(frozen=True, eq=False)
class ABTestResult:
    """Result of :class:`huracan.baselines.ABTestingFramework`; frames carry exactly the columns named.

    Attributes
    ----------
    measure : what was compared, such as "squared error"; smaller is better. For returns it is the negative return.
    decision : the model shown to be better, or None. sentence : the decision and its reason.
    comparison : the pairwise tests behind it.
    pairs : ``[model_a, model_b, difference, joint_low, joint_high, ci_low, ci_high, p_value, p_adjusted, p_independent,
        effect_size, n_eff, note]``: ``difference`` is the mean loss of a less that of b; ``joint_*`` hold for all pairs
        together, ``ci_*`` for the pair alone; ``p_independent`` is what a textbook paired t test would have said. An
        undecidable pair has infinite ends and a ``note``.
    models : ``[model, mean_loss, rank, set_p_value, in_set, better_than_baseline, note]``, best first: the model confidence
        set holds the best model with probability ``1 - alpha``; ``better_than_baseline`` is null for the baseline and where
        there is none.
    paths : ``[model, against, row, ts, cumulative, band]``: the loss difference summed up to and with moment ``row``
        (counted from 0), thinned; against the baseline, without one against the other model, or the mean of all. ``ts`` (UTC)
        is null where times are no dates. Equal models leave ``-band`` to ``band`` anywhere with probability ``alpha``.
    by_regime : ``[model_a, model_b, regime, n_times, difference, ci_low, ci_high, p_value, p_adjusted]``; no rows where no
        regimes were given. conditional : ``[model_a, model_b, p_value, p_adjusted]`` of the test that neither is better in
        any regime.
    superior_p_value : Hansen's p-value that no model is better than the baseline; None without a baseline.
    sharpe : for returns, ``[model, sharpe_ratio, ci_low, ci_high, difference, p_adjusted, probability_positive, deflated,
        minimum_track_record]``, per period; ``difference`` and ``p_adjusted`` are against the baseline (null without).
        No rows where losses were compared.
    deflation : for returns, ``[n_trials, expected_maximum, deflated]`` of ``deflation_of``: what the best of so many trials
        without skill would show, and the probability that this model is above it. n_trials : the true number of trials.
    overfitting : for returns of two models and more, the probability of backtest overfitting; else None.
    notes : what was dropped or could not be done, each a sentence.
    """

    measure: str
    decision: str | None
    sentence: str
    comparison: Comparison
    pairs: pl.DataFrame
    models: pl.DataFrame
    paths: pl.DataFrame
    by_regime: pl.DataFrame
    conditional: pl.DataFrame
    superior_p_value: float | None
    sharpe: pl.DataFrame
    deflation: pl.DataFrame
    deflation_of: str | None = None
    n_trials: int | None = None
    overfitting: float | None = None
    notes: tuple[str, ...] = field(default_factory=tuple)

    def __repr__(self) -> str:
        return shorten(f"<ABTestResult on {self.measure}: {self.sentence}", 290, placeholder=" ...") + ">"

    @property
    def alpha(self) -> float:
        """Level of the decision."""
        return self.comparison.alpha

    @property
    def baseline(self) -> str | None:
        """The model all others were compared with, or None where every pair was."""
        return self.comparison.baseline

    def to_frame(self) -> pl.DataFrame:
        """The pairs as :meth:`huracan.baselines.Comparison.to_frame` gives them."""
        return self.comparison.to_frame()

    def to_dict(self) -> dict[str, Any]:
        """Plain values only: frames as lists of rows, times as ISO strings, what is not finite as None."""
        frames = ("pairs", "models", "paths", "by_regime", "conditional", "sharpe", "deflation")
        plain = ("measure", "decision", "sentence", "superior_p_value", "deflation_of", "n_trials", "overfitting")
        comparison = {
            key: getattr(self.comparison, key) for key in ("alpha", "correction", "baseline", "n_times", "n_rows", "dropped")
        }
        made = {name: getattr(self, name) for name in plain} | comparison | {"notes": list(self.notes)}
        made["dependence"] = self.comparison.dependence.sentence
        made |= {name: getattr(self, name).to_dicts() for name in frames}
        return {key: _plain(value) for key, value in made.items()}

    def to_json(self, *, indent: int | None = None) -> str:
        """:meth:`to_dict` as JSON."""
        return json.dumps(self.to_dict(), indent=indent, allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
