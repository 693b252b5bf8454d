"""What a run found, put into words and tables."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl

from huracan.accounting import BacktestResult, sharpe_interval
from huracan.baselines.ab_testing import ABTestResult
from huracan.baselines.comparing import written_p
from huracan.config import HuracanConfig
from huracan.integration.candidates import candidates_of
from huracan.integration.closing import Accounts, HoldOutLook
from huracan.integration.drift_stage import told_since
from huracan.integration.evidence import Evidence, RunFacts
from huracan.integration.forecast_intervals import forecast_intervals
from huracan.integration.judging import Judged
from huracan.integration.preparation import Prepared
from huracan.market import written_length
from huracan.report.content import PlantedEdge, ReportContent
from huracan.validation import calibration_table, rank_information_coefficient

__all__ = ["Verdict", "label_in_words", "leaderboard", "planted_edge", "report_content", "verdict"]


@dataclass(frozen=True)
class Verdict:
    """The finding in one sentence, and the sentences behind it."""

    sentence: str
    reasons: tuple[str, ...]
    deserves_money: bool


def verdict(evidence: Evidence, accounts: Accounts, look: HoldOutLook | None) -> Verdict:
    """Say which model, if any, deserves money, and how sure that is.

    Money needs all of: a champion; a mean net return above zero beyond doubt, corrected for every learner whose account was
    looked at; a hold-out on which skill and net return are above zero.
    """
    n = len(evidence.judged)
    if evidence.finalist is None or evidence.comparison is None:
        return Verdict("Keep the baseline: every learner that could be trained says the same about every bar.", (), False)
    name = evidence.finalist
    pair = next(p for p in evidence.comparison.pairs if p.model_a == name)
    found, account = evidence.skills[name], accounts.by_learner[name]
    skill = (
        f"its mean payoff is {found.mean:+.4f} a bar ({_interval(found.ci_low, found.ci_high, '+.4f')}, "
        f"adjusted p {written_p(pair.p_adjusted, 2)})"
    )
    idle = account.metrics["turnover"] == 0.0
    low, high = _sharpe_interval(account, evidence)
    net = (
        "no position was worth its costs, so it stayed out of the market"
        if idle
        else f"net of costs its positions returned {account.metrics['total_return']:+.1%} out of fold, Sharpe ratio "
        f"{account.metrics['sharpe']:.2f} ({_interval(low, high, '.2f')})"
    )
    compared = (
        f"{len(evidence.comparison.pairs)} learners were compared with the baseline at {evidence.comparison.n_times:,} moments "
        f"in time; p-values ({evidence.comparison.correction}) and intervals allow for having looked at all of them."
    )
    reasons = [f"{name}: {skill}.", f"{name}: {net}.", compared]
    earns = not idle and accounts.net[name].mean > 0.0 and accounts.p_adjusted[name] < evidence.alpha
    agrees = look is not None and look.result.net_return > 0.0 and look.result.skill > 0.0
    if look is not None:
        held = look.result
        times = "once" if not look.looked_before else f"by this run and {look.looked_before} before it"
        reasons.append(
            f"Hold-out, looked at {times}: mean payoff {held.skill:+.4f} a bar "
            f"({_interval(held.ci_low, held.ci_high, '+.4f')}), net return {held.net_return:+.1%}."
        )
    if evidence.champion is None:
        sentence = (
            f"Keep the baseline: none of {n} learners is shown to beat it; the best, {name}, is not sure enough ({skill})."
        )
        return Verdict(sentence, tuple(reasons), False)
    if earns and agrees:
        return Verdict(f"{name} deserves money: {skill}, and {net}.", tuple(reasons), True)
    if earns:
        missing = "no hold-out was set aside to confirm it" if look is None else "the hold-out does not confirm it"
        return Verdict(f"{name} beats the baseline and earned its costs, but {missing}: {skill}.", tuple(reasons), False)
    sentence = f"{name} beats the baseline, but is not shown to earn its costs: {skill}; {net}."
    return Verdict(sentence, tuple(reasons), False)


def _interval(low: float, high: float, style: str) -> str:
    if not (math.isfinite(low) and math.isfinite(high)):
        return "too few moments for an interval"
    return f"95 % interval {low:{style}} to {high:{style}}"


def _sharpe_interval(account: BacktestResult, evidence: Evidence) -> tuple[float, float]:
    """Interval of the Sharpe ratio that holds for all learners together."""
    return sharpe_interval(account.returns, bars_per_year=account.bars_per_year, confidence=evidence.single_confidence)


def leaderboard(evidence: Evidence, accounts: Accounts) -> pl.DataFrame:
    """One row a learner, best skill first; columns as in :class:`ReportContent`."""
    pairs = {pair.model_a: pair for pair in evidence.comparison.pairs} if evidence.comparison else {}
    at = evidence.plan.judged
    y, code = evidence.plan.rows.y[at], evidence.plan.rows.symbol_code[at]
    up = y > 0
    entries = []
    for name, one in evidence.judged.items():
        pair, skill, money = pairs.get(name), evidence.skills.get(name), accounts.by_learner[name].metrics
        sharpe_low, sharpe_high = _sharpe_interval(accounts.by_learner[name], evidence)
        entries.append(
            {
                "learner": name,
                "task": one.run.task,
                "rank_ic": rank_information_coefficient(one.z, y, code) if pair else None,
                "skill": skill.mean if skill else None,
                "ci_low": skill.ci_low if skill else None,
                "ci_high": skill.ci_high if skill else None,
                "p_value": pair.p_value if pair else None,
                "p_adjusted": pair.p_adjusted if pair else None,
                "accuracy": float(np.mean((one.probability > 0.5) == up)),
                "auc": _auc(one.z, up) if pair else None,
                "net_return": money["total_return"],
                "net_sharpe": money["sharpe"],
                "sharpe_low": sharpe_low,
                "sharpe_high": sharpe_high,
                "max_drawdown": money["max_drawdown"],
                "turnover_per_year": money["turnover_per_year"],
                "break_even_bps": money["break_even_cost_bps"],
                "train_rows": one.run.train_rows,
                "fit_seconds": one.run.fit_seconds,
                "crowned": name == evidence.champion,
            }
        )
    numbers = [c for c in entries[0] if c not in ("learner", "task", "train_rows", "crowned")]
    frame = pl.DataFrame(entries, schema_overrides=dict.fromkeys(numbers, pl.Float64))
    return frame.with_columns(pl.col(numbers).fill_nan(None)).sort("skill", descending=True, nulls_last=True)


def planted_edge(prepared: Prepared, evidence: Evidence) -> PlantedEdge | None:
    """On a simulated market: the optimal filter and the finalist on the very same out-of-fold rows."""
    truth = prepared.source.truth
    if truth is None or evidence.finalist is None:
        return None
    one, span = evidence.judged[evidence.finalist], evidence.plan.times.take(evidence.plan.judged)
    keys = pl.DataFrame({"symbol": span.symbol.astype(str), "ts": span.ts}).with_columns(
        pl.col("ts").cast(pl.Datetime("ms")).dt.replace_time_zone("UTC")
    )
    best = keys.join(truth.best_scores, on=["symbol", "ts"], how="left", maintain_order="left")["score"].to_numpy()
    return PlantedEdge(
        attainable_information_coefficient=rank_information_coefficient(best, span.y, span.symbol_code),
        found_information_coefficient=rank_information_coefficient(one.z, span.y, span.symbol_code),
        attainable_accuracy=float(np.mean((best > 0) == (span.y > 0))),
        found_accuracy=float(np.mean((one.probability > 0.5) == (span.y > 0))),
    )


def report_content(
    config: HuracanConfig,
    prepared: Prepared,
    evidence: Evidence,
    accounts: Accounts,
    ab_test: ABTestResult | None,
    look: HoldOutLook | None,
    outcome: Verdict,
    table: pl.DataFrame,
    facts: RunFacts,
    *,
    duration: float,
    created_at: datetime,
    run_id: str,
    registered: str,
    since: Mapping[str, Any],
) -> ReportContent:
    """Everything the report shows.

    since : ``drift_detection``, ``should_retrain`` and ``feedback`` of :func:`~huracan.integration.drift_stage.drift_stages`.
    """
    candles, rows = prepared.source.candles, prepared.rows
    shown = evidence.finalist or next(iter(evidence.judged))
    one = evidence.judged[shown]
    importance_of, importance = _importance(evidence, shown)
    profile = config.active_profile
    failed = {name: run.failure for name, run in evidence.runs.items() if run.failure}
    notes = [note.sentence for note in prepared.source.notes]
    notes += [prepared.source.cleaning] if prepared.source.cleaning else []
    notes += [f"{count:,} rows left out: {reason}." for reason, count in rows.dropped.items() if count]
    notes += [f"{name} could not be trained: {reason}" for name, reason in failed.items()]
    looked_before = look.looked_before if look else 0
    unserved = sorted({symbol for run in evidence.runs.values() for symbol in run.unserved})
    notes += [
        f"{symbol} had too little history for a model of its own in some folds and got no position there."
        for symbol in unserved
    ]
    if looked_before:
        notes.append(
            f"This hold-out had been looked at {looked_before} time{'s' if looked_before > 1 else ''} before this "
            "run; what it says is worth less each time."
        )
    notes += [
        f"{name} went without {member} in some fold: {reason}"
        for name, run in evidence.runs.items()
        for member, reason in run.left_out.items()
    ]
    candidates = candidates_of(config)
    ensembles = [name for name in candidates if name not in profile.learners]
    caps = {n: c.max_train_rows for n, c in candidates.items() if c.max_train_rows is not None}
    cut = [f"{n} {cap:,}" for n, cap in caps.items() if cap < len(evidence.plan.folds[-1].train)]
    n_pairs = len(evidence.comparison.pairs) if evidence.comparison else 0
    tried = {
        "learners": f"{len(profile.learners)}: {', '.join(profile.learners)}",
        **({"ensembles of them": f"{len(ensembles)}: {', '.join(ensembles)}"} if ensembles else {}),
        "walk-forward folds": f"{profile.n_splits}, and one before them that only tunes",
        "position policies looked at": f"{sum(j.n_policies for j in evidence.judged.values()):,}",
        "comparisons corrected for": f"{n_pairs} ({config.comparison.correction})",
        "training rows capped (most recent kept)": ", ".join(cut) or "none",
        "hold-out looks before this one": str(looked_before),
    }
    bar = written_length(int(rows.bar_length.astype("timedelta64[ms]").astype(int)))
    return ReportContent(
        title="Candles to champion",
        created_at=created_at,
        verdict=outcome.sentence,
        reasons=outcome.reasons,
        champion=evidence.champion,
        deserves_money=outcome.deserves_money,
        facts={
            "data": prepared.source.name,
            "span": f"{_written(candles['ts'].min())} to {_written(candles['ts'].max())} UTC",
            "symbols": f"{candles['symbol'].n_unique()}",
            "bars": f"{candles.height:,} of {bar}",
            "training rows": f"{len(rows):,} x {len(rows.feature_names)} features",
            "judged out of fold": f"{len(evidence.plan.judged):,} rows",
            "label": label_in_words(config),
            "costs per side": f"{config.costs.fee_bps + config.costs.half_spread_bps + config.costs.slippage_bps:g} bps",
            "profile": f"{config.profile}, {profile.n_splits} folds",
            "models": config.training.pooling.replace("_", " "),
            "seed": str(config.seed),
            "run": run_id,
            "registered": registered,
            "duration": f"{duration:.0f} s",
        },
        notes=tuple(notes),
        quality=prepared.quality,
        alpha=config.comparison.alpha,
        candles=candles,
        regimes=prepared.regimes,
        leaderboard=table,
        equity=_equity(accounts, shown, look),
        equity_of=shown,
        hold_out=look.result if look else None,
        regime_skill=_regime_frame(evidence),
        importance=importance,
        importance_of=importance_of,
        calibration=_calibration(evidence, one),
        calibration_of=shown,
        tried=tried,
        provenance={
            "data SHA-256": facts.data_hash,
            "configuration SHA-256": facts.config_hash,
            "recipe SHA-256": prepared.recipe.hash,
            "training set SHA-256": rows.data_hash(),
            **{f"{library}": number for library, number in facts.versions.items()},
        },
        planted=planted_edge(prepared, evidence),
        ab_test=ab_test,
        intervals=forecast_intervals(evidence, shown),
        since=told_since(since),
    )


def label_in_words(config: HuracanConfig) -> str:
    """What is predicted, for the head of a page."""
    labels = config.labels
    scaled = ", volatility-scaled" if labels.kind == "forward_return" and labels.volatility_scaled else ""
    return f"{labels.kind.replace('_', ' ')} over {labels.horizon} bar{'s' if labels.horizon > 1 else ''}{scaled}"


def _written(time: Any) -> str:
    return f"{time:%Y-%m-%d %H:%M}"


def _equity(accounts: Accounts, name: str, look: HoldOutLook | None) -> pl.DataFrame:
    """Growth of one unit of capital, out of fold and, after it, on the hold-out."""
    parts = [(accounts.by_learner[name], accounts.buy_and_hold)]
    if look is not None:
        parts.append((look.account, look.buy_and_hold))
    frames: list[pl.DataFrame] = []
    level = {"net": 1.0, "gross": 1.0, "buy_and_hold": 1.0}
    for mine, market in parts:
        frame = mine.equity.select("ts", net="equity_net", gross="equity_gross").join(
            market.equity.select("ts", buy_and_hold="equity_net"), on="ts", how="left", maintain_order="left"
        )
        frame = frame.with_columns(pl.col("buy_and_hold").fill_null(strategy="forward"))
        frame = frame.with_columns(pl.col(column) * start for column, start in level.items())
        level = {column: float(frame[column][-1]) for column in level}
        frames.append(frame)
    return pl.concat(frames)


def _regime_frame(evidence: Evidence) -> pl.DataFrame:
    entries = [
        {
            "learner": name,
            **skill.model_dump(mode="json", include={"regime", "skill", "ci_low", "ci_high", "p_adjusted", "n_rows"}),
        }
        for name, skills in evidence.skills_by_regime.items()
        for skill in skills
    ]
    schema = {"learner": pl.String, "regime": pl.String, "skill": pl.Float64, "ci_low": pl.Float64, "ci_high": pl.Float64}
    return pl.DataFrame(entries, schema={**schema, "p_adjusted": pl.Float64, "n_rows": pl.Int64})


def _importance(evidence: Evidence, shown: str) -> tuple[str, pl.DataFrame]:
    """Importance in the learner shown, or in the best learner that has any."""
    order = sorted(evidence.judged, key=lambda n: (n != shown, -float(np.mean(evidence.judged[n].payoff))))
    name = next((n for n in order if evidence.runs[n].importance), shown)
    importance = evidence.runs[name].importance
    schema = {"feature": pl.String, "importance": pl.Float64}
    return name, pl.DataFrame({"feature": list(importance), "importance": list(importance.values())}, schema=schema)


def _calibration(evidence: Evidence, one: Judged) -> pl.DataFrame:
    table = calibration_table(one.probability, evidence.plan.rows.y[evidence.plan.judged] > 0).to_frame()
    return table.select("mean_probability", "observed", "ci_low", "ci_high", "n")


def _auc(score: np.ndarray, up: np.ndarray) -> float | None:
    from sklearn.metrics import roc_auc_score

    value = roc_auc_score(up, score) if up.any() and not up.all() else math.nan
    return None if math.isnan(value) else float(value)
