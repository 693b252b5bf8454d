"""``huracan rl evaluate``: is an agent under the configured rules and costs any good? Walk-forward, the hold-out untouched.

1. Candles become a market exactly as in ``huracan rl train`` (``rl_job.py``); all decisions lie before the locked hold-out.
2. For every window and seed an agent learns what came before and plays what comes next, beside what it has to beat. Each
   finished run is kept, so that an evaluation that was killed goes on, and more seeds cost only themselves. The log of runs has
   a line for each time the command was given; one that was stopped goes on in the same line.
3. Other evaluations of the same candles under this home are counted, and p-values of leads allow for them.
4. What was found is written as tables, as JSON and as a page; ``huracan rl train`` puts it on the card of an agent that is
   trained on the same data with the same settings.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from huracan.config import HuracanConfig, config_hash
from huracan.distributed import FanoutExecutor
from huracan.errors import ConfigError, NotEnoughData
from huracan.integration.evidence import Progress
from huracan.integration.preparation import Source, load_recipe, read_source
from huracan.integration.rl_evaluation_log import logged_evaluation
from huracan.integration.rl_evidence import evaluations_beside
from huracan.integration.rl_job import market_to_decide_on, new_agent, rules_of, training_key
from huracan.integration.rl_training_page import assumptions, game_facts
from huracan.logs import stage
from huracan.market import candles_hash
from huracan.regimes import RegimeClassifier
from huracan.reinforcement import KeptRuns, MarketTable, TradingRules, walk_forward_evaluation, walk_forward_windows
from huracan.reinforcement.playable_windows import playable_windows
from huracan.report import write_agent_page
from huracan.storage.artifacts import library_versions
from huracan.storage.folder_lock import held
from huracan.storage.whole_files import put_file
from huracan.version import source_hash

if TYPE_CHECKING:
    from huracan.model_registry import ModelRegistry
    from huracan.reinforcement import WalkForwardEvaluation
    from huracan.reinforcement.verdicts import AgentVerdict

__all__ = ["EvaluatedAgent", "evaluate_agent"]

_FEWEST_MOMENTS = 20
_OF_THE_WHOLE = 0.97
"""Share of an evaluation that its trainings are."""


@dataclass(frozen=True)
class EvaluatedAgent:
    """An evaluation, and where it is.

    Attributes
    ----------
    evaluation : everything that was found. verdict : what may be said of it. summary, by_symbol, by_regime : its tables.
    folder : of tables, ``evaluation.json`` and ``report_path``. assumed : what the candles did not say and what was taken for
        it.
    """

    evaluation: WalkForwardEvaluation
    verdict: AgentVerdict
    summary: pl.DataFrame
    by_symbol: pl.DataFrame
    by_regime: pl.DataFrame
    folder: Path
    report_path: Path
    assumed: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"EvaluatedAgent({self.verdict.sentence!r}, report={str(self.report_path)!r})"

    def to_dict(self) -> dict[str, Any]:
        """Plain values only: tables as lists of rows, times as ISO strings, what is not finite as None."""
        told = {
            "verdict": {"standing": str(self.verdict.standing), "sentence": self.verdict.sentence},
            "reasons": list(self.verdict.reasons),
            "tried": self.evaluation.tried,
            "assumed": self.assumed,
            "summary": self.summary.to_dicts(),
            "by_symbol": self.by_symbol.to_dicts(),
            "by_regime": self.by_regime.to_dicts(),
            "regime_evidence": [skill.model_dump(mode="json") for skill in self.evaluation.regime_evidence()],
            "windows": self.evaluation.windows.to_dicts(),
            "stopped": [
                {"window": window, "seed": seed, "symbol": symbol, "reason": reason}
                for (window, seed, symbol), reason in self.evaluation.stopped.items()
            ],
            "skipped": [
                {"window": window, "symbol": symbol, "reason": reason}
                for (window, symbol), reason in self.evaluation.skipped.items()
            ],
        }
        return {key: _plain(value) for key, value in told.items()}

    def to_json(self, *, indent: int | None = None) -> str:
        """:meth:`to_dict` as JSON."""
        return json.dumps(self.to_dict(), indent=indent, allow_nan=False)


def evaluate_agent(
    config: HuracanConfig,
    registry: Callable[[], ModelRegistry],
    candles: Any = None,
    progress: Progress | None = None,
) -> EvaluatedAgent:
    """See :meth:`huracan.integration.unified_pipeline.UnifiedMLPipeline.evaluate_agent`."""
    rules, wanted = rules_of(config), config.rl.evaluation
    if "time_left" in rules.observe:
        raise ConfigError("rl.observe holds 'time_left'; a window is played to its end, and nobody knows how long that is.")
    settings = new_agent(config, config.seed).settings
    source = read_source(config, candles)
    market = market_to_decide_on(config, source)
    with stage("regimes"):
        regimes = RegimeClassifier(**config.regimes.model_dump()).classify(source.candles).select("symbol", "ts", "regime")
    cuts: dict[str, Any] = {
        "n_windows": wanted.n_windows,
        "train": wanted.train,
        "embargo": config.validation.embargo_bars,
        "min_train_share": config.validation.min_train_share,
    }
    _require_enough(market, rules, cuts, apart=wanted.one_agent_per_symbol)
    data_hash = candles_hash(source.candles)
    key = _key(config, data_hash)
    folder = config.home / "evaluations" / key
    with (
        held(folder),
        logged_evaluation(config, registry(), folder, data_hash) as finish,
        stage("evaluation", evaluation=key),
    ):
        evaluation = walk_forward_evaluation(
            market,
            partial(new_agent, config),
            rules,
            seeds=[1_000 * config.seed + i for i in range(wanted.seeds)],
            total_steps=wanted.total_steps or config.rl.total_steps,
            n_envs=config.rl.n_envs,
            one_agent_per_symbol=wanted.one_agent_per_symbol,
            regimes=regimes,
            executor=KeptRuns(folder / "runs", key, executor=_workers(config), progress=_part_of(progress, _OF_THE_WHOLE)),
            **cuts,
        )
        evaluation = replace(evaluation, tried=1 + evaluations_beside(folder, data_hash))
        facts = _facts(config, game_facts(market, rules, settings))
        found = _kept(config, source, market, evaluation, folder, facts, {"data SHA-256": data_hash}, progress)
        finish(found)
        return found


def _kept(
    config: HuracanConfig,
    source: Source,
    market: MarketTable,
    evaluation: WalkForwardEvaluation,
    folder: Path,
    facts: Mapping[str, str],
    data: Mapping[str, str],
    progress: Progress | None,
) -> EvaluatedAgent:
    """Judge, and write down what was found."""
    alpha = config.comparison.alpha
    summary = evaluation.summary(confidence=1.0 - alpha)
    by_symbol = evaluation.summary_by_symbol(confidence=1.0 - alpha)
    verdict, by_regime = evaluation.verdict(alpha=alpha), evaluation.by_regime(confidence=1.0 - alpha)
    report = folder / "report.html"
    found = EvaluatedAgent(evaluation, verdict, summary, by_symbol, by_regime, folder, report, assumptions(market.assumed))
    tables = {
        "summary": summary,
        "by_symbol": by_symbol,
        "by_regime": by_regime,
        "runs": evaluation.to_frame(),
        "learning_curves": evaluation.learning_curves,
    }
    for name, table in tables.items():
        put_file(folder / f"{name}.csv", table.write_csv().encode())
    with (folder / ".bars").open("wb") as aside:
        evaluation.bars.write_parquet(aside)
    (folder / ".bars").replace(folder / "bars.parquet")
    write_agent_page(
        evaluation,
        report,
        title=f"Agent on {source.name}",
        created_at=datetime.now(UTC),
        alpha=alpha,
        facts=facts,
        provenance={
            **data,
            "configuration SHA-256": config_hash(config),
            "recipe SHA-256": load_recipe(config).hash,
            **library_versions(),
        },
    )
    sha256 = data["data SHA-256"]
    told = {"training": _speaks_of(config, sha256), "data_hash": sha256, **found.to_dict()}
    put_file(folder / "evaluation.json", json.dumps(told, indent=1, allow_nan=False).encode())
    if progress is not None:
        progress("report written", 1.0 - _OF_THE_WHOLE)
    return found


def _require_enough(market: MarketTable, rules: TradingRules, cuts: dict[str, Any], *, apart: bool) -> None:
    """Refuse what could not be trained or judged, before hours of training."""
    windows = list(walk_forward_windows(market, **cuts))
    kept, _ = playable_windows(windows, rules, market.symbols if apart else [""])
    assert market.ts is not None
    played: dict[int, list[np.ndarray]] = {}
    for number, symbol in kept:
        played.setdefault(number, []).append(windows[number].of_symbol(symbol)[1].decidable)
    moments = sum(len(np.unique(market.ts[np.logical_or.reduce(rows)])) for rows in played.values())
    if moments < _FEWEST_MOMENTS:
        raise NotEnoughData(f"the windows hold {moments} moments to play; at least {_FEWEST_MOMENTS} were expected.")


def _facts(config: HuracanConfig, game: Mapping[str, str]) -> dict[str, str]:
    """What the page says of the game in its head."""
    wanted = config.rl.evaluation
    return {
        **game,
        "training": f"{wanted.total_steps or config.rl.total_steps:,} steps, {wanted.train} past, "
        + ("an agent for each symbol" if wanted.one_agent_per_symbol else "one agent for all symbols"),
        "seeds": f"{wanted.seeds}, from {1_000 * config.seed} on",
        "embargo": f"{config.validation.embargo_bars} bars",
    }


def _workers(config: HuracanConfig) -> FanoutExecutor | None:
    n = config.training.n_jobs
    return FanoutExecutor("processes", workers=n, retries=0) if n > 1 else None


def _part_of(progress: Progress | None, share: float) -> Progress | None:
    return None if progress is None else lambda said, done: progress(said, share * done)


def _key(config: HuracanConfig, data_hash: str) -> str:
    """What an evaluation is known by; not by its seeds, so that those which were run stay when others join them."""
    rl = config.rl.model_dump(mode="json", exclude={"checkpoint_every": True, "evaluation": {"seeds"}})
    content = json.dumps([config_hash(config), rl, data_hash, source_hash()], sort_keys=True)
    return f"dqn-{hashlib.sha256(content.encode()).hexdigest()[:12]}"


def _speaks_of(config: HuracanConfig, data_hash: str) -> str | None:
    """The key of the training whose agents these were; None where ``huracan rl train`` makes no such agents."""
    wanted = config.rl.evaluation
    if wanted.one_agent_per_symbol:
        return None
    steps = wanted.total_steps or config.rl.total_steps
    return training_key(config.model_copy(update={"rl": config.rl.model_copy(update={"total_steps": steps})}), data_hash)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
