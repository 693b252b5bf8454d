"""``AutoMLEngine`` with a verdict on rows it never saw, in a few lines of its own: the job around it is what is tested here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from inspect import signature
from typing import Any

import numpy as np

from huracan.automl import AutoMLEngine
from huracan.dataset import TrainingSet
from huracan.statistics import average_by_time, ewc_t_test

__all__ = ["JudgingEngine"]


@dataclass(frozen=True)
class PlainVerdict:
    """What the job reads of a verdict."""

    crowned: bool
    gain: float
    interval: tuple[float, float]
    p_value: float
    n_moments: int
    span: tuple[datetime, datetime]
    n_trials: int
    sentence: str
    n_earlier_trials: int = 0
    deflated_sharpe: Any = None
    overfitting: Any = None
    luck: Any = None


class JudgingEngine(AutoMLEngine):
    """Keeps what it is told and does not know yet in ``told``, and judges by a t test on gains where it has no verdict."""

    def __init__(self, **settings: Any) -> None:
        known = signature(AutoMLEngine.__init__).parameters
        super().__init__(**{name: value for name, value in settings.items() if name in known})
        self.told = {name: value for name, value in settings.items() if name not in known}
        self.objectives, self.feature_selection = settings["objectives"], settings["feature_selection"]
        self.notes_: list[str] = []

    def fit(self, X: Any, y: Any = None, *, label_horizon: int = 1) -> JudgingEngine:
        super().fit(X, y, label_horizon=label_horizon)
        self.seen = X
        return self

    def judge(self, rows: TrainingSet) -> Any:
        if hasattr(AutoMLEngine, "judge"):
            return super().judge(rows)
        assert rows.decision_time[0] > self.seen.label_end.max(), "judged on rows that it has not seen"
        if self.task == "regression":
            constant = float(self.seen.y.mean())
            better = (rows.y - constant) ** 2 - (rows.y - self.predict(rows)) ** 2
            unit = float(np.mean((rows.y - constant) ** 2))
        else:
            constant, up = float(self.seen.direction().mean()), rows.direction()
            p = self.predict_proba(rows)[:, 1]
            better = np.log(np.where(up == 1, p, 1 - p) / np.where(up == 1, constant, 1 - constant))
            unit = 0.69
        gains = average_by_time(better / unit, rows.decision_time)[1]
        test = ewc_t_test(gains)
        crowned = test.mean > 0 and test.p_value < 0.05
        said = "Better than the constant" if crowned else "Not shown to be better than the constant"
        times = tuple(t.astype("datetime64[ms]").astype(datetime) for t in (rows.decision_time[0], rows.decision_time[-1]))
        return PlainVerdict(
            crowned=bool(crowned),
            gain=test.mean,
            interval=(test.ci_low, test.ci_high),
            p_value=test.p_value,
            n_moments=len(gains),
            span=(times[0], times[1]),
            n_trials=len(self.history_),
            sentence=f"{said}: gain {test.mean:+.4f}, p = {test.p_value:.2g}.",
        )
