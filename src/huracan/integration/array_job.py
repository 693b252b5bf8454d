"""Ready features instead of candles: train, calibrate on validation, judge on test."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from huracan.baselines.ab_testing import ABTestResult
from huracan.config import HuracanConfig
from huracan.errors import DataError
from huracan.integration.array_drift import drift_of_arrays
from huracan.integration.array_judging import (
    ArrayAccounts,
    Forecasts,
    compare_forecasts,
    forecast_leaderboard,
    run_accounts,
    train,
)
from huracan.integration.array_rows import ArrayRows, read_labels, read_parts
from huracan.integration.ensemble_candidates import ensembles_of
from huracan.integration.judging import BASELINE
from huracan.integration.model_comparison import add_accounts
from huracan.integration.results import NotRun, PipelineResult
from huracan.logs import stage

__all__ = ["run_on_arrays"]


def run_on_arrays(
    config: HuracanConfig,
    *,
    X_train: Any,
    y_train: Any,
    X_val: Any,
    y_val: Any,
    X_test: Any,
    y_test: Any,
    ts: Mapping[str, ArrayLike] | None = None,
    label_end: Mapping[str, ArrayLike] | None = None,
    prices: Mapping[str, ArrayLike] | None = None,
    label_horizon: int | None = None,
) -> PipelineResult:
    """Run on ready features; see :meth:`huracan.UnifiedMLPipeline.run_complete_pipeline`. Nothing is written anywhere."""
    horizon = config.labels.horizon if label_horizon is None else label_horizon
    if isinstance(horizon, bool) or not isinstance(horizon, int | np.integer) or horizon < 1:
        raise DataError(f"label_horizon is {horizon!r}; a whole number of at least 1 bar was expected.")
    horizon = int(horizon)
    labels = read_labels({"train": y_train, "val": y_val, "test": y_test})
    with stage("preprocessing"):
        rows = read_parts(
            {"train": X_train, "val": X_val, "test": X_test},
            labels.values,
            ts=ts,
            label_end=label_end,
            prices=prices,
            horizon=horizon,
            embargo_bars=config.validation.embargo_bars,
        )
    with stage("training"):
        judged, failures = train(config, rows, labels.task)
    # the constant that the calibration itself comes down to where a score says nothing
    constant = float(np.mean(rows.val.y))
    with stage("judging"):
        board = forecast_leaderboard(judged, rows, labels.task, constant)
        comparison = compare_forecasts(config, judged, rows, constant)
        accounts = run_accounts(config, judged, rows, horizon)
    if isinstance(comparison, ABTestResult) and isinstance(accounts, ArrayAccounts):
        comparison = add_accounts(config, comparison, accounts.results)
    decision = comparison.decision if isinstance(comparison, ABTestResult) else None
    champion = decision if decision in judged else None
    net = accounts.table() if isinstance(accounts, ArrayAccounts) else accounts
    verdict = _verdict(comparison, champion)
    return PipelineResult(
        stages={
            "preprocessing": {
                "task": labels.task,
                "task_reason": labels.reason,
                "classes": labels.classes,
                "rows": rows.sizes(),
                "purged": dict(rows.purged),
                "columns": list(rows.train.feature_names),
                "time_source": rows.train.time_source.value,
                "label_horizon": horizon,
                "embargo_bars": config.validation.embargo_bars,
                "preprocessor": rows.preprocessor,
            },
            "training": {
                name: {"model": judged[name].model if name in judged else None, "failure": failures.get(name)}
                for name in (*config.active_profile.learners, *ensembles_of(config, task=labels.task))
            },
            "evaluation": {"leaderboard": board, "net": net},
            "ab_testing": comparison,
            "predictions": _predictions(rows, judged, champion, labels.classes, constant, accounts),
            **drift_of_arrays(config, rows, judged, champion, horizon=horizon),
            "performance_report": {"verdict": verdict, "leaderboard": board},
        },
        verdict=verdict,
        champion=champion,
        deserves_money=isinstance(net, pl.DataFrame) and _earns(net, champion),
        result_hash=_hash(judged, champion, accounts),
    )


def _predictions(
    rows: ArrayRows,
    judged: Mapping[str, Forecasts],
    champion: str | None,
    classes: tuple[Any, ...],
    constant: float,
    accounts: ArrayAccounts | NotRun,
) -> pl.DataFrame:
    """What the champion, or the baseline where none is crowned, says about every row of test."""
    n = len(rows.test)
    forecast = judged[champion].test if champion else np.full(n, constant)
    frame = pl.DataFrame(
        {
            "ts": pl.Series(rows.test.ts).dt.replace_time_zone("UTC"),
            "model": pl.repeat(champion or BASELINE, n, eager=True),
            "forecast": forecast,
        }
    )
    if classes:
        said = pl.Series("predicted", [classes[int(p > 0.5)] for p in forecast.tolist()])
        frame = frame.with_columns(said, pl.Series("probability", forecast))
    if isinstance(accounts, ArrayAccounts):
        held: NDArray[np.float64] = accounts.positions[champion] if champion else np.zeros(n)
        frame = frame.with_columns(pl.Series("position", held))
    return frame


def _earns(net: pl.DataFrame, champion: str | None) -> bool:
    low = [] if champion is None else net.filter(pl.col("learner") == champion)["sharpe_ci_low"].drop_nulls().to_list()
    return bool(low and low[0] > 0)


def _verdict(comparison: ABTestResult | NotRun, champion: str | None) -> str:
    if not isinstance(comparison, ABTestResult):
        return f"Keep the baseline: nothing can be compared ({comparison['reason']})."
    return comparison.sentence if champion else f"Keep the baseline: {comparison.sentence}"


def _hash(judged: Mapping[str, Forecasts], champion: str | None, accounts: ArrayAccounts | NotRun) -> str:
    digest = hashlib.sha256(str(champion).encode())
    for name in sorted(judged):
        digest.update(name.encode() + np.ascontiguousarray(judged[name].test).tobytes())
        if isinstance(accounts, ArrayAccounts):
            digest.update(np.ascontiguousarray(accounts.results[name].returns).tobytes())
    return digest.hexdigest()
