"""What follows the evidence: positions in the market, the one look at the hold-out, the model that is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from huracan.accounting import BacktestResult, CostModel, backtest_many, targets_frame
from huracan.catalogue import build_model
from huracan.config import HuracanConfig
from huracan.dataset import TrainingSet
from huracan.integration.candidates import candidates_of
from huracan.integration.evidence import Evidence
from huracan.integration.judging import Judged, Skill, decisions, mean_with_interval, skill_of
from huracan.integration.out_of_fold import FittedLearner, fit_learner
from huracan.integration.preparation import Prepared
from huracan.report.content import HoldOutResult
from huracan.statistics import adjust_p_values
from huracan.validation.metrics import directional_payoff, rank_information_coefficient

__all__ = [
    "BUY_AND_HOLD",
    "Accounts",
    "HoldOutLook",
    "account_of_hold_out",
    "fit_baseline",
    "fit_final",
    "latest_predictions",
    "look_at_hold_out",
    "run_accounts",
]

_RECENT = 3

BUY_AND_HOLD = "buy and hold"
"""Name of the benchmark account."""


@dataclass(frozen=True)
class Accounts:
    """One account a learner over the judged span, all over the same bars, beside buy and hold.

    ``net`` says of each learner's mean net return a bar what can be said: intervals that hold together, and ``p_adjusted``
    corrected for all of them (Holm).
    """

    by_learner: Mapping[str, BacktestResult]
    buy_and_hold: BacktestResult
    net: Mapping[str, Skill]
    p_adjusted: Mapping[str, float]


@dataclass(frozen=True)
class HoldOutLook:
    """The finalist on the locked end of the data: figures, and the accounts behind them; looks of other runs before it."""

    result: HoldOutResult
    account: BacktestResult
    buy_and_hold: BacktestResult
    looked_before: int


def run_accounts(candles: pl.DataFrame, evidence: Evidence, costs: CostModel) -> Accounts:
    """Backtest every learner's out-of-fold positions, net of costs, beside buying and holding."""
    span = evidence.plan.times.take(evidence.plan.judged_span)
    frames = {name: targets_frame(span, one.target) for name, one in evidence.judged.items()}
    frames[BUY_AND_HOLD] = _always_long(candles, span)
    results = backtest_many(candles, frames, costs)
    benchmark = results.pop(BUY_AND_HOLD)
    confidence = evidence.single_confidence
    net = {name: mean_with_interval(results[name].returns, confidence=confidence) for name in evidence.skills}
    p_adjusted = {}
    if net:
        p_adjusted = dict(zip(net, adjust_p_values([test.p_value for test in net.values()], method="holm").tolist()))
    return Accounts(results, benchmark, net, p_adjusted)


def _always_long(candles: pl.DataFrame, span: TrainingSet) -> pl.DataFrame:
    """Long every symbol on every candle of the span, features or not: what buying and holding is."""
    first, last = (pl.lit(t).cast(pl.Datetime("ms")).dt.replace_time_zone("UTC") for t in (span.ts[0], span.ts[-1]))
    return candles.filter(pl.col("ts").is_between(first, last)).select("symbol", "ts", target=pl.lit(1.0))


def fit_final(config: HuracanConfig, rows: TrainingSet, name: str) -> FittedLearner:
    """Fit one candidate on all development rows: one model, or one a symbol as configured."""
    per_symbol = config.training.pooling == "per_symbol"
    return fit_learner(candidates_of(config)[name], rows, seed=config.seed, per_symbol=per_symbol)


def fit_baseline(rows: TrainingSet, seed: int) -> Any:
    """The constant prediction, as a model that can be registered and served."""
    return build_model("majority", task="regression", random_state=seed).fit(rows)


def look_at_hold_out(
    candles: pl.DataFrame, evidence: Evidence, fitted: FittedLearner, costs: CostModel, *, horizon: int, looked_before: int
) -> HoldOutLook:
    """Open the hold-out, once, and judge the finalist with the spread and policy its out-of-fold scores taught."""
    plan = evidence.plan
    assert plan.hold_out is not None
    held = plan.hold_out.open(f"the report judges {evidence.finalist}").without_features()
    return account_of_hold_out(candles, evidence, fitted, costs, held, horizon=horizon, looked_before=looked_before)


def account_of_hold_out(
    candles: pl.DataFrame,
    evidence: Evidence,
    fitted: FittedLearner,
    costs: CostModel,
    held: TrainingSet,
    *,
    horizon: int,
    looked_before: int,
) -> HoldOutLook:
    """What the finalist says of the rows of a hold-out that is open, and what its positions there make of it."""
    plan = evidence.plan
    assert evidence.finalist is not None
    finalist = evidence.judged[evidence.finalist]
    score, target, rows = _answer(plan.rows, plan.spans[-1].stop, fitted, finalist, horizon)
    score = score[rows.labelled]
    label = held.y - plan.mean_label(len(plan.folds))[held.symbol_code]
    payoff = directional_payoff(score, label, center=0.0, spread=finalist.scale.spread or 1.0)
    test = skill_of(payoff, held.decision_time)
    frames = {"finalist": targets_frame(rows, target), BUY_AND_HOLD: _always_long(candles, rows)}
    accounts = backtest_many(candles, frames, costs)
    metrics = accounts["finalist"].metrics
    result = HoldOutResult(
        start=_moment(held.decision_time[0]),
        end=_moment(held.label_end.max()),
        n_rows=len(held),
        skill=test.mean,
        ci_low=test.ci_low,
        ci_high=test.ci_high,
        rank_information_coefficient=rank_information_coefficient(score, held.y, held.symbol_code),
        net_return=metrics["total_return"],
        net_sharpe=metrics["sharpe"],
        sharpe_low=metrics["sharpe_ci_low"],
        sharpe_high=metrics["sharpe_ci_high"],
    )
    return HoldOutLook(result, accounts["finalist"], accounts[BUY_AND_HOLD], looked_before)


def latest_predictions(prepared: Prepared, evidence: Evidence, fitted: FittedLearner | None, *, horizon: int) -> pl.DataFrame:
    """What is said now: one row a symbol for its last closed bar, ``[symbol, ts, regime, score, probability_up, position]``.

    Without a champion the answer is the baseline's: no score, no position. A symbol whose features are not known on its
    last bar gets no score and no position either.
    """
    keys = ["symbol", "ts"]
    last = prepared.regimes.select(*keys, "regime").group_by("symbol", maintain_order=True).last()
    if fitted is None or evidence.champion is None:
        empty = pl.lit(None, pl.Float64)
        return last.with_columns(score=empty, probability_up=empty, position=pl.lit(0.0))
    champion, rows = evidence.judged[evidence.champion], prepared.everything
    first = int(np.searchsorted(rows.decision_time, rows.decision_time[-1] - rows.bar_length * _RECENT))
    score, position, rows = _answer(rows, first, fitted, champion, horizon)
    said = pl.DataFrame(
        {
            "symbol": pl.Series(list(rows.symbols), dtype=pl.String).gather(rows.symbol_code),
            "ts": pl.Series(rows.ts).dt.replace_time_zone("UTC"),
            "score": score,
            "probability_up": champion.scale.probability(score),
            "position": position,
        }
    )
    return last.join(said, on=keys, how="left", maintain_order="left").with_columns(pl.col("position").fill_null(0.0))


def _answer(
    rows: TrainingSet, first: int, fitted: FittedLearner, judged: Judged, horizon: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], TrainingSet]:
    """Scores and positions from row ``first`` on, and those rows; decisions still held from before count in."""
    lead = int(np.searchsorted(rows.decision_time, rows.decision_time[first] - rows.bar_length * (horizon - 1)))
    span = rows.take(slice(lead, None))
    score = fitted.score(rows, slice(lead, None))
    decided = decisions(judged.policy, span, score)
    target = judged.policy.held(decided, symbol_code=span.symbol_code, segment=span.segment)
    cut = slice(first - lead, None)
    return score[cut], target[cut], span.without_features().take(cut)


def _moment(time: np.datetime64) -> datetime:
    return datetime.fromtimestamp(time.astype("datetime64[ms]").astype(np.int64) / 1000, tz=UTC)
