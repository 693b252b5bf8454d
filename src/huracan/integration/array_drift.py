"""Ready features: what test says of models that learned from train, and whether that asks for another training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huracan.config import HuracanConfig
from huracan.dataset import TimeSource
from huracan.errors import DataError
from huracan.integration.array_judging import Forecasts
from huracan.integration.array_rows import ArrayRows
from huracan.integration.drift_stage import detected, drift_evidence, in_ms
from huracan.integration.results import NotRun, not_run
from huracan.mlops.column_tests import FEWEST_WINDOW
from huracan.mlops.evidence import Evidence, EvidenceKind
from huracan.mlops.live_expectation import LiveExpectation
from huracan.mlops.policy_history import PolicyHistory, time_text
from huracan.mlops.prediction_drift import detect_prediction_drift, score_reference
from huracan.mlops.retraining import RetrainPolicy
from huracan.mlops.skill_monitor import SkillMonitor
from huracan.validation.metrics import directional_payoff

__all__ = ["drift_of_arrays"]

_NAME = "test"
_SHOWN = 0.95
_LEAST_FIRST_LOOK = 60
_TIMES_AS_LONG = 4
"""Length of a reference in windows, from which on the test of scores that remember holds its level."""


@dataclass(frozen=True)
class _Axis:
    """Moments of rows: milliseconds UTC where times were given, else the number of the row, train, validation and test
    counted on."""

    rows: ArrayRows

    @property
    def counts_rows(self) -> bool:
        return self.rows.whole.time_source is TimeSource.ROW_ORDER

    @property
    def bar(self) -> int:
        return 1 if self.counts_rows else in_ms(self.rows.whole.bar_length)

    def of(self, times: NDArray[np.datetime64]) -> NDArray[np.int64]:
        if not self.counts_rows:
            return times.astype("datetime64[ms]").astype(np.int64)
        whole = self.rows.whole
        return np.asarray((times - whole.decision_time[0]) // whole.bar_length, np.int64)

    def written(self, moment: int) -> str:
        return f"row {moment:,}" if self.counts_rows else time_text(moment)


def drift_of_arrays(
    config: HuracanConfig, rows: ArrayRows, judged: Mapping[str, Forecasts], champion: str | None, *, horizon: int = 1
) -> dict[str, Any]:
    """``drift_detection``, ``should_retrain`` and ``feedback`` of a run on ready features.

    Three things are looked for, each once: features of test against those of train, the newest scores of test (a fourth as many
    as there are of validation) against those of validation, and payoffs on test against what those on validation promise.
    Scores and payoffs are those of the champion; where none is crowned, of the learner that was best on validation. Without
    times, moments are numbers of rows.

    Of unchanged data a retraining was asked for in 0 of 200 runs of 600, 300 and 300 independent rows, in 4 of 200 whose
    features remember (AR .9), and in 2 of 100 of simulated markets, whose regimes do change.

    Parameters
    ----------
    judged : learners with their scores. horizon : bars that a label looks ahead.

    Returns
    -------
    ``should_retrain`` is a decision as plain values, and ``looked_at``: what was looked at -> what was seen.
    """
    found = detected(config, rows.train, rows.test)
    lived = not_run("nothing was registered, and nothing lives: huracan mechanic looks after registered models")
    axis = _Axis(rows)
    tick = int(axis.of(rows.test.decision_time[-1:])[0])
    seen: list[Evidence] = [] if isinstance(found, NotRun) else list(drift_evidence(found, name=_NAME, tick=tick))
    looked_at = {"features": found["reason"] if isinstance(found, NotRun) else found.sentence}
    name, promised, why = _learner(rows, judged, champion)
    for what, look in (("scores", _scores), ("skill", _skill)):
        evidence, looked_at[what] = look(rows, judged[name], name, promised, axis, tick, horizon)
        seen += evidence
    looked_at["skill"] += why
    history = PolicyHistory(
        bar=axis.bar,
        trained_until=int(axis.of(rows.train.label_end).max()),
        labelled_until=int(axis.of(rows.test.label_end).max()),
        asked_once=frozenset(EvidenceKind),
        written=axis.written,
    )
    settings = config.retrain.in_bars(history.bar) | {"max_age_bars": None}  # rows need not be bars of a clock
    decision = RetrainPolicy(**settings).decide(seen, history, tick=tick)
    return {"drift_detection": found, "should_retrain": {**decision.to_dict(), "looked_at": looked_at}, "feedback": lived}


def _learner(rows: ArrayRows, judged: Mapping[str, Forecasts], champion: str | None) -> tuple[str, LiveExpectation | None, str]:
    """Whose scores and payoffs are looked at, what validation promises of it, and why it promises nothing, if so."""
    promises: dict[str, LiveExpectation] = {}
    reason = ""
    for name, one in judged.items():
        try:
            promises[name] = LiveExpectation.of(_payoff(rows, one, "val"))
        except DataError as error:  # too few rows, or scores that stand still
            reason = reason or f"; validation promises nothing: {error}"
    if not promises:
        return champion or next(iter(judged)), None, reason
    tried = 1 if champion else len(judged)
    low = {name: promised.skill.interval(1.0 - (1.0 - _SHOWN) / tried)[0] for name, promised in promises.items()}
    chosen = champion or max(low, key=lambda name: low[name])
    if low.get(chosen, -np.inf) > 0.0:
        return chosen, promises[chosen], ""
    return chosen, None, "; validation shows no skill of it that could have fallen"


def _payoff(rows: ArrayRows, one: Forecasts, part: str) -> NDArray[np.float64]:
    """Of each row of a part, the score standardised and the label less its mean by what validation says of both."""
    score, label = (one.val_score, rows.val.y) if part == "val" else (one.test_score, rows.test.y)
    center, spread = float(np.mean(one.val_score)), float(np.std(one.val_score))
    return directional_payoff(score, label - float(np.mean(rows.val.y)), center=center, spread=spread)


def _scores(
    rows: ArrayRows, one: Forecasts, name: str, promised: LiveExpectation | None, axis: _Axis, tick: int, horizon: int
) -> tuple[tuple[Evidence, ...], str]:
    try:
        newest = one.test_score[-max(FEWEST_WINDOW, len(one.val_score) // _TIMES_AS_LONG) :]
        found = detect_prediction_drift(score_reference(one.val_score), newest)
    except DataError as error:
        return (), f"the scores of {name} on test were not held against those on validation: {error}"
    said = found.sentence.replace("out of fold", "on validation")
    return found.evidence(name=_NAME, tick=tick), f"{name}: {said}"


def _skill(
    rows: ArrayRows, one: Forecasts, name: str, promised: LiveExpectation | None, axis: _Axis, tick: int, horizon: int
) -> tuple[tuple[Evidence, ...], str]:
    settings: dict[str, Any] = {"name": f"{name} on test", "first_look": max(_LEAST_FIRST_LOOK, 10 * horizon)}
    settings["written"] = axis.written
    if promised is None:
        watch = SkillMonitor(expected=0.0, spread=1.0, **settings)
    else:
        watch = SkillMonitor.of(promised, **settings)
    for moment, payoff in zip(axis.of(rows.test.decision_time).tolist(), _payoff(rows, one, "test").tolist()):
        watch.update(payoff, moment=moment)
    return watch.evidence(name=_NAME, tick=tick), watch.sentence.rstrip(".")
