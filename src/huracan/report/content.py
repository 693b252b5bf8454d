"""What a report says, apart from how it looks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import polars as pl

from huracan.baselines.ab_result import ABTestResult
from huracan.preprocessing.quality import QualityReport

__all__ = ["HoldOutResult", "PlantedEdge", "ReportContent"]


@dataclass(frozen=True)
class HoldOutResult:
    """The one look at the locked end of the data; ``skill`` and its interval as in the leaderboard."""

    start: datetime
    end: datetime
    n_rows: int
    skill: float
    ci_low: float
    ci_high: float
    rank_information_coefficient: float
    net_return: float
    net_sharpe: float
    sharpe_low: float
    sharpe_high: float


@dataclass(frozen=True)
class PlantedEdge:
    """On a simulated market: what a filter that knows the market reaches on the same rows, and what was found."""

    attainable_information_coefficient: float
    found_information_coefficient: float
    attainable_accuracy: float
    found_accuracy: float

    @property
    def share_found(self) -> float:
        """Found over attainable, 0 where nothing is attainable."""
        attainable = self.attainable_information_coefficient
        return self.found_information_coefficient / attainable if attainable > 0 else 0.0


@dataclass(frozen=True)
class ReportContent:
    """Everything one report shows. Frames carry exactly the columns named; times are UTC.

    Attributes
    ----------
    verdict : one sentence: which model, if any, deserves money, and how sure that is. reasons : sentences behind it.
    champion : name of the crowned learner, or None for "keep the baseline". deserves_money : whether its net return, out of
        fold, is above zero beyond doubt as well.
    facts : label -> value for the head of the page (data span, symbols, bars, profile, folds, duration ...).
    notes : what reading the data had to say. quality : the checks. alpha : level at which an adjusted p-value is evidence.
    candles : ``[symbol, ts, open, high, low, close, volume]``; regimes : ``[symbol, ts, regime]``.
    leaderboard : ``[learner, task, rank_ic, skill, ci_low, ci_high, p_value, p_adjusted, accuracy, auc, net_return, net_sharpe,
        sharpe_low, sharpe_high, max_drawdown, turnover_per_year, break_even_bps, train_rows, fit_seconds, crowned]``, best
        first; intervals are 95 %;
        skill is the mean payoff of the standardised score per bar, in units of the label; null where it does not apply.
    equity : ``[ts, net, gross, buy_and_hold]``, multiples of the starting capital, for the champion (or the best learner when
        none is crowned), out of fold and then on the hold-out. hold_out : the one look, None where nothing was held out.
    regime_skill : ``[learner, regime, skill, ci_low, ci_high, p_adjusted, n_rows]``. importance : ``[feature, importance]``, of
        ``importance_of``. calibration : ``[mean_probability, observed, ci_low, ci_high, n]`` of ``calibration_of``.
    intervals : ``[symbol, year, rows, coverage, mean_width]`` of 90 % intervals around what ``calibration_of`` forecast;
        None or no rows where it forecasts no label.
    tried : label -> number or sentence: how many learners, folds, position policies, rows and caps.
    provenance : label -> hash or version. planted : on a simulated market only.
    not_run : stage -> reason. since : question -> sentence, what the newest bars say of the champion.
    ab_test : the learners compared by their losses; None where they were not.
    """

    title: str
    created_at: datetime
    verdict: str
    reasons: tuple[str, ...]
    champion: str | None
    deserves_money: bool
    facts: Mapping[str, str]
    notes: tuple[str, ...]
    quality: QualityReport
    alpha: float
    candles: pl.DataFrame
    regimes: pl.DataFrame
    leaderboard: pl.DataFrame
    equity: pl.DataFrame
    equity_of: str
    hold_out: HoldOutResult | None
    regime_skill: pl.DataFrame
    importance: pl.DataFrame
    importance_of: str
    calibration: pl.DataFrame
    calibration_of: str
    tried: Mapping[str, str]
    provenance: Mapping[str, str]
    planted: PlantedEdge | None = None
    not_run: Mapping[str, str] = field(default_factory=dict)
    since: Mapping[str, str] = field(default_factory=dict)
    ab_test: ABTestResult | None = None
    intervals: pl.DataFrame | None = None
