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
from huracan.catalogue import build_model, signal_score
from huracan.config import HuracanConfig
from huracan.dataset import REGIME_ORDER, TrainingSet
from huracan.integration.evidence import Evidence
from huracan.integration.judging import Judged, skill_of, targets
from huracan.integration.out_of_fold import fit_learner
from huracan.integration.preparation import Prepared
from huracan.report.content import HoldOutResult
from huracan.validation.metrics import directional_payoff, rank_information_coefficient

__all__ = ["BUY_AND_HOLD", "Accounts", "HoldOutLook", "fit_final", "latest_predictions", "look_at_hold_out", "run_accounts"]

BUY_AND_HOLD = "buy and hold"
"""Name of the benchmark account."""

FinalModels = Mapping[str | None, Any]
"""Symbol -> fitted model; the one key None where a model serves all symbols."""


@dataclass(frozen=True)
class Accounts:
    """One account a learner over the rows judged, all over the same bars, beside buy and hold."""

    by_learner: Mapping[str, BacktestResult]
    buy_and_hold: BacktestResult


@dataclass(frozen=True)
class HoldOutLook:
    """The finalist on the locked end of the data: figures, and the accounts behind them."""

    result: HoldOutResult
    account: BacktestResult
    buy_and_hold: BacktestResult


def run_accounts(candles: pl.DataFrame, rows: TrainingSet, judged: Mapping[str, Judged], costs: CostModel) -> Accounts:
    """Backtest every learner's out-of-fold positions, net of costs, beside buying and holding."""
    at = next(iter(judged.values())).at
    span = rows.take(at)
    frames = {name: targets_frame(span, _positions(one, at)) for name, one in judged.items()}
    frames[BUY_AND_HOLD] = targets_frame(span, np.ones(len(span)))
    results = backtest_many(candles, frames, costs)
    return Accounts({k: v for k, v in results.items() if k != BUY_AND_HOLD}, results[BUY_AND_HOLD])


def _positions(one: Judged, at: NDArray[np.intp]) -> NDArray[np.float64]:
    """Positions of a learner; one that says the same about every row holds what it says: long, nothing or short."""
    return np.sign(one.run.score[at]) if one.run.is_constant else one.target


def fit_final(config: HuracanConfig, rows: TrainingSet, name: str) -> dict[str | None, Any]:
    """Fit one learner on all development rows: one model, or one a symbol as configured."""
    settings = config.active_profile.learners[name]
    if config.training.pooling == "pooled":
        return {None: fit_learner(name, settings, rows, seed=config.seed)}
    return {s: fit_learner(name, settings, rows.of_symbol(s), seed=config.seed) for s in rows.symbols}


def fit_baseline(rows: TrainingSet, seed: int) -> Any:
    """The constant prediction, as a model that can be registered and served."""
    return build_model("majority", task="regression", random_state=seed).fit(rows)


def score_with(models: FinalModels, rows: TrainingSet) -> NDArray[np.float64]:
    """Scores of the rows by the model, or by the model of their symbol."""
    if None in models:
        return signal_score(models[None], rows.X)
    score = np.full(len(rows), np.nan)
    for symbol, model in models.items():
        if symbol in rows.symbols:
            mine = rows.symbol_code == rows.symbols.index(symbol)
            score[mine] = signal_score(model, rows.X[mine])
    return score


def look_at_hold_out(
    candles: pl.DataFrame, evidence: Evidence, finalist: Judged, models: FinalModels, costs: CostModel
) -> HoldOutLook:
    """Open the hold-out, once, and judge the finalist with the scale and policy its out-of-fold scores taught."""
    assert evidence.hold_out is not None
    rows = evidence.hold_out.open(f"the report judges {finalist.run.name}")
    score = score_with(models, rows)
    mean_label = float(np.mean(evidence.development.y))
    payoff = directional_payoff(score, rows.y - mean_label, center=finalist.scale.center, spread=finalist.scale.spread)
    test = skill_of(payoff, rows.decision_time)
    frames = {"finalist": targets_frame(rows, targets(finalist.policy, rows, score))}
    frames[BUY_AND_HOLD] = targets_frame(rows, np.ones(len(rows)))
    accounts = backtest_many(candles, frames, costs)
    metrics = accounts["finalist"].metrics
    result = HoldOutResult(
        start=_moment(rows.decision_time[0]),
        end=_moment(rows.label_end.max()),
        n_rows=len(rows),
        skill=test.mean,
        ci_low=test.ci_low,
        ci_high=test.ci_high,
        rank_information_coefficient=rank_information_coefficient(score, rows.y, rows.symbol_code),
        net_return=metrics["total_return"],
        net_sharpe=metrics["sharpe"],
        sharpe_low=metrics["sharpe_ci_low"],
        sharpe_high=metrics["sharpe_ci_high"],
    )
    return HoldOutLook(result, accounts["finalist"], accounts[BUY_AND_HOLD])


def latest_predictions(prepared: Prepared, evidence: Evidence, finalist: Judged | None, models: FinalModels) -> pl.DataFrame:
    """What is said now: one row a symbol for its last closed bar, ``[symbol, ts, regime, score, probability_up, position]``.

    Without a champion the answer is the baseline's: no score, no position.
    """
    like = evidence.development
    keys = ["symbol", "ts"]
    last = (
        prepared.features.group_by("symbol", maintain_order=True)
        .last()
        .join(prepared.regimes.select(*keys, "regime"), on=keys, how="left")
        .join(prepared.labels.select(*keys, "volatility"), on=keys, how="left")
        .sort("ts", "symbol")
    )
    needed = [pl.col(n).is_not_null() & pl.col(n).is_not_nan() for n in (*like.feature_names, "volatility")]
    known = last.select(pl.col("symbol").is_in(list(like.symbols)) & pl.all_horizontal(needed)).to_series().to_numpy()
    score, probability = np.full(last.height, np.nan), np.full(last.height, np.nan)
    position = np.zeros(last.height)
    if finalist is not None and known.any():
        rows = _unlabelled(last.filter(known), like)
        score[known] = score_with(models, rows)
        probability[known] = finalist.scale.probability(score[known])
        position[known] = targets(finalist.policy, rows, score[known])
    columns = {"score": score, "probability_up": probability, "position": position}
    return last.select(*keys, "regime").with_columns(pl.Series(k, v).fill_nan(None) for k, v in columns.items())


def _unlabelled(frame: pl.DataFrame, like: TrainingSet) -> TrainingSet:
    """Feature rows whose label lies in the future; ``y`` is 0 and never read."""
    ts = frame["ts"].dt.replace_time_zone(None).cast(pl.Datetime("ms")).to_numpy()
    symbols = {s: i for i, s in enumerate(like.symbols)}
    regimes = {str(r): i for i, r in enumerate(REGIME_ORDER)}
    return TrainingSet(
        X=np.ascontiguousarray(frame.select(pl.col(like.feature_names).cast(pl.Float32)).to_numpy()),
        y=np.zeros(frame.height),
        ts=ts,
        decision_time=(ts + like.bar_length).astype("datetime64[ms]"),
        label_end=(ts + 2 * like.bar_length).astype("datetime64[ms]"),
        feature_names=like.feature_names,
        symbol_code=frame["symbol"].replace_strict(symbols, return_dtype=pl.Int32).to_numpy(),
        segment=frame["segment"].to_numpy().astype(np.int32),
        regime_code=frame["regime"].replace_strict(regimes, default=-1, return_dtype=pl.Int8).fill_null(-1).to_numpy(),
        weight=np.ones(frame.height),
        volatility=frame["volatility"].to_numpy(),
        symbols=like.symbols,
        bar_length=like.bar_length,
    )


def _moment(time: np.datetime64) -> datetime:
    return datetime.fromtimestamp(time.astype("datetime64[ms]").astype(np.int64) / 1000, tz=UTC)
