"""What a search found, put into words and tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl

from huracan.automl import AutoMLEngine
from huracan.automl.objectives import DIRECTIONS
from huracan.automl.trials import Trial, TrialState
from huracan.config import HuracanConfig
from huracan.integration.closing import HoldOutLook
from huracan.integration.evidence import RunFacts
from huracan.integration.judging import mean_with_interval
from huracan.integration.plan import Plan
from huracan.integration.preparation import Prepared
from huracan.integration.reporting import label_in_words
from huracan.integration.search_importance import importances, slices
from huracan.market import written_length
from huracan.model_info import ModelInfo
from huracan.report import SearchContent, SearchJudgement, SearchMember

__all__ = ["Found", "earned", "search_content"]

_HISTORY = {
    "trial": pl.Int64,
    "learner": pl.String,
    "state": pl.String,
    "score": pl.Float64,
    "best": pl.Float64,
    "seconds": pl.Float64,
}


@dataclass(frozen=True)
class Found:
    """What a search comes to.

    Attributes
    ----------
    engine : fitted. judgement : its verdict on the hold-out. champion : name of what is crowned, or None.
    look : positions on the hold-out; None where there are none, for the reason ``why_none``.
    looked_before : other runs that had looked at the same hold-out.
    """

    engine: AutoMLEngine
    judgement: Any
    champion: str | None
    look: HoldOutLook | None
    why_none: str
    deserves_money: bool
    looked_before: int

    @property
    def sentence(self) -> str:
        """The verdict."""
        said = self.judgement.sentence
        start = "Keep the baseline: what the search chose is" if self.champion is None else "What the search chose is"
        return f"{start} {said[:1].lower()}{said[1:]}"

    def card(self) -> ModelInfo:
        """The card of what was chosen, with what was measured on the hold-out."""
        low, high = self.judgement.interval
        measured = {"skill": self.judgement.skill, "p_value": self.judgement.p_value}
        measured |= {"gain": self.judgement.gain, "gain_low": low, "gain_high": high}
        if self.look is not None:
            measured |= {"net_return": self.look.result.net_return, "net_sharpe": self.look.result.net_sharpe}
        finite = {name: float(value) for name, value in measured.items() if math.isfinite(value)}
        return self.engine.best_model_.model_info().model_copy(update={"performance_metrics": finite})


def earned(look: HoldOutLook | None, champion: str | None, alpha: float) -> bool:
    """Whether something is crowned whose positions on the hold-out had skill, and a mean net return above zero beyond doubt."""
    if look is None or champion is None:
        return False
    net = mean_with_interval(look.account.returns, confidence=1.0 - alpha)
    return look.result.skill > 0.0 and net.mean > 0.0 and net.p_value < alpha


def search_content(
    config: HuracanConfig,
    prepared: Prepared,
    plan: Plan,
    found: Found,
    facts: RunFacts,
    *,
    duration: float,
    created_at: datetime,
    run_id: str,
    registered: str,
) -> SearchContent:
    """Everything the page of a search shows."""
    engine, candles, development = found.engine, prepared.source.candles, plan.development
    history = engine.history_
    scored, spaces = [_with_first_objective(trial, engine.objectives) for trial in history], engine.spaces
    minimised = DIRECTIONS[engine.objectives[0]] == "minimize"
    mattered = importances(scored, spaces, seed=config.seed, minimised=minimised)
    bar = written_length(int(development.bar_length.astype("timedelta64[ms]").astype(int)))
    notes = [note.sentence for note in prepared.source.notes]
    notes += [prepared.source.cleaning] if prepared.source.cleaning else []
    notes += [f"{said}." for said in engine.notes_]
    notes += [f"{said}." for said in (found.judgement.luck.reasons if found.judgement.luck is not None else ())]
    notes += [f"{count:,} rows left out: {reason}." for reason, count in prepared.rows.dropped.items() if count]
    if found.looked_before:
        notes.append(
            f"This hold-out had been looked at {found.looked_before} time{'s' if found.looked_before > 1 else ''} before this "
            "run; what it says is worth less each time."
        )
    return SearchContent(
        title="Search",
        created_at=created_at,
        verdict=found.sentence,
        reasons=_reasons(found, plan),
        champion=found.champion,
        deserves_money=found.deserves_money,
        facts={
            "data": prepared.source.name,
            "span": f"{_written(candles['ts'].min())} to {_written(candles['ts'].max())} UTC",
            "symbols": f"{candles['symbol'].n_unique()}",
            "bars": f"{candles.height:,} of {bar}",
            "searched on": f"{len(development):,} rows x {len(development.feature_names)} features",
            "label": label_in_words(config),
            "task": engine.task,
            "learners": ", ".join(engine.learners),
            "folds": f"{config.automl.n_splits} walk-forward, purged",
            "seed": str(config.seed),
            "run": run_id,
            "registered": registered,
            "duration": f"{duration:.0f} s",
        },
        judgement=_judgement(found),
        history=history_frame(scored, minimised=minimised),
        leaderboard=_leaderboard(engine),
        members=_members(engine),
        importances=mattered,
        slices=slices(scored, spaces, mattered, minimised=minimised),
        budget=_budget(config, engine),
        reproducible=engine.reproducible_,
        provenance={
            "data SHA-256": facts.data_hash,
            "configuration SHA-256": facts.config_hash,
            "recipe SHA-256": prepared.recipe.hash,
            **{f"{library}": number for library, number in facts.versions.items()},
        },
        notes=tuple(notes),
        hold_out=found.look.result if found.look else None,
        equity=_equity(found.look) if found.look else None,
        scores_are_shares=engine.objectives[0] == "gain",
        not_run={"positions": found.why_none} if found.why_none else {},
    )


def history_frame(trials: list[Trial], *, minimised: bool = False) -> pl.DataFrame:
    """``[trial, learner, state, score, best, seconds]`` in the order trials ended; ``best`` may be the smallest."""
    rows, best, spent = [], None, 0.0
    for trial in trials:
        score = float(trial.score) if math.isfinite(trial.score) else None
        if trial.state is TrialState.FINISHED and score is not None:
            best = score if best is None else (min if minimised else max)(best, score)
        spent += trial.wall_seconds
        rows.append((trial.number, trial.learner, str(trial.state), score, best, spent))
    return pl.DataFrame(rows, schema=_HISTORY, orient="row")


def _with_first_objective(trial: Trial, objectives: Sequence[str]) -> Trial:
    """The trial with a score that is the first of its objectives."""
    if objectives[0] == "gain":
        return trial
    return replace(trial, score=float(trial.values[0]) if trial.values else math.nan)


def _reasons(found: Found, plan: Plan) -> tuple[str, ...]:
    states = [trial.state for trial in found.engine.history_]
    tried = (
        f"Searched: {len(states):,} trials, {states.count(TrialState.FINISHED):,} of them to the end, on "
        f"{len(plan.development):,} rows before the hold-out; the hold-out was no part of it."
    )
    times = "once" if not found.looked_before else f"by this run and {found.looked_before} before it"
    reasons = [tried, f"The hold-out was looked at {times}."]
    if found.look is None:
        reasons.append(f"No account: {found.why_none}.")
        return tuple(reasons)
    result = found.look.result
    if found.look.account.metrics["turnover"] == 0.0:
        reasons.append("No position was worth its costs on the hold-out, so it stayed out of the market.")
    else:
        reasons.append(
            f"Net of costs its positions returned {result.net_return:+.1%} on the hold-out, Sharpe ratio "
            f"{result.net_sharpe:.2f}{_interval(result.sharpe_low, result.sharpe_high)}; "
            "the baseline holds nothing and earns nothing."
        )
    return tuple(reasons)


def _interval(low: float, high: float) -> str:
    if not (math.isfinite(low) and math.isfinite(high)):
        return ""
    return f" (95 % interval {low:.2f} to {high:.2f})"


def _judgement(found: Found) -> SearchJudgement:
    judgement = found.judgement
    low, high = judgement.interval
    start, end = judgement.span
    return SearchJudgement(
        crowned=bool(judgement.crowned),
        skill=float(judgement.skill),
        skill_low=float(judgement.skill_interval[0]),
        skill_high=float(judgement.skill_interval[1]),
        gain=float(judgement.gain),
        low=float(low),
        high=float(high),
        p_value=float(judgement.p_value),
        n_moments=int(judgement.n_moments),
        start=_moment(start),
        end=_moment(end),
        n_trials=int(judgement.n_trials),
        n_earlier_trials=int(judgement.n_earlier_trials),
        deflated_sharpe=judgement.deflated_sharpe,
        overfitting=judgement.overfitting,
    )


def _leaderboard(engine: AutoMLEngine) -> pl.DataFrame:
    """The engine's own, with settings in words; a score is what trials were chosen by."""
    board = engine.leaderboard_
    others = [name for name in engine.objectives if name in board.columns]
    said = {trial.number: settings_in_words(trial.params) for trial in engine.history_}
    folds = [name for name in board.columns if name.startswith("fold_")]
    settings = pl.Series("settings", [said[number] for number in board["trial"].to_list()], dtype=pl.String)
    kept = ["trial", "learner", "state", "score", "weight", "seconds", "source", "reason"]
    if engine.objectives[0] != "gain":  # folds are gains, which scores are not
        return board.select(*kept, *others[1:]).with_columns(settings, score=board[others[0]])
    return board.select(*kept, *folds, *others).with_columns(settings)


def _members(engine: AutoMLEngine) -> tuple[SearchMember, ...]:
    trials = {f"trial {trial.number}": trial for trial in engine.history_}
    models = getattr(engine.best_model_, "members_", {})
    members = []
    for name, weight in engine.weights_.items():
        if name in trials:
            trial = trials[name]
            members.append(SearchMember(trial.number, trial.learner, weight, settings_in_words(trial.params)))
        else:  # fitted without a trial, for want of time
            model = models.get(name, engine.best_model_)
            members.append(SearchMember(None, model.model_info().name, weight, ""))
    rest = 1.0 - sum(engine.weights_.values())
    if rest > 1e-9:
        members.append(SearchMember(None, "constant", rest, ""))
    return tuple(sorted(members, key=lambda member: -member.weight))


def settings_in_words(params: Mapping[str, Any]) -> str:
    """Settings that differ from a learner's defaults.

    >>> settings_in_words({"n_rounds": 150, "reg_lambda": 0.123456789, "max_features": None})
    'n_rounds 150, reg_lambda 0.1235, max_features none'
    """
    return ", ".join(f"{name} {_said(value)}" for name, value in params.items())


def _said(value: Any) -> str:
    if value is None:
        return "none"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _budget(config: HuracanConfig, engine: AutoMLEngine) -> dict[str, str]:
    wanted, history = config.automl, engine.history_
    fitting = sum(trial.wall_seconds for trial in history)
    workers = (
        "this process" if wanted.n_workers is None else f"{wanted.n_workers} process{'es' if wanted.n_workers > 1 else ''}"
    )
    return {
        "allowed": ", ".join(
            [
                *([f"{wanted.time_budget:g} s"] if wanted.time_budget is not None else []),
                *([f"{wanted.most_trials:,} trials"] if wanted.most_trials is not None else []),
            ]
        ),
        "used": f"{engine.seconds_:.1f} s for search and final fit, {len(history):,} trials",
        "fitting": f"{fitting:.1f} s of trials, by {workers}",
        "sampler": wanted.sampler + (", after settings known to be good" if wanted.portfolio else ""),
    }


def _equity(look: HoldOutLook) -> pl.DataFrame:
    mine = look.account.equity.select("ts", net="equity_net", gross="equity_gross")
    market = look.buy_and_hold.equity.select("ts", buy_and_hold="equity_net")
    frame = mine.join(market, on="ts", how="left", maintain_order="left")
    return frame.with_columns(pl.col("buy_and_hold").fill_null(strategy="forward"))


def _moment(time: Any) -> datetime:
    if isinstance(time, datetime):
        return time if time.tzinfo is not None else time.replace(tzinfo=UTC)
    return datetime.fromtimestamp(np.datetime64(time, "ms").astype(np.int64) / 1000, tz=UTC)


def _written(time: Any) -> str:
    return f"{time:%Y-%m-%d %H:%M}"
