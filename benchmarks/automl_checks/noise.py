"""Studies of pure noise: what they crown, and what they say of their own luck."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from benchmarks import markdown_table
from huracan.automl import AutoMLEngine
from huracan.baselines.spec import SupervisedTask
from huracan.dataset import TrainingSet
from huracan.distributed.fanout import FanoutExecutor

__all__ = ["STUDIES", "TRIALS", "NoiseStudy", "noise_rows", "noise_table", "one_study"]

STUDIES, TRIALS = 50, 40
MOST, OVERFITTING = 5, (0.4, 0.6)
_ROWS, _FEATURES, _HORIZON = 2_500, 12, 5


@dataclass(frozen=True)
class NoiseStudy:
    """What one study of noise claimed: crowned, deflated Sharpe probability and probability of overfitting (nan: not told)."""

    crowned: bool
    deflated: float
    overfitting: float


def noise_rows(seed: int) -> TrainingSet:
    """Features with memory that tell nothing of overlapping labels with fat tails."""
    rng = np.random.default_rng([31, seed])
    x = rng.standard_normal((_ROWS, _FEATURES))
    memory = rng.choice([0.0, 0.8, 0.95], _FEATURES)
    for i in range(1, _ROWS):
        x[i] = memory * x[i - 1] + np.sqrt(1.0 - memory**2) * x[i]
    walk = np.cumsum(rng.standard_t(5, _ROWS + _HORIZON))
    return TrainingSet.from_arrays(x.astype(np.float32), walk[_HORIZON:] - walk[:-_HORIZON], label_horizon=_HORIZON)


def one_study(seed: int) -> NoiseStudy:
    """Search, and say what is claimed."""
    task: SupervisedTask = "regression" if seed % 2 else "classification"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        found = AutoMLEngine(max_trials=TRIALS, task=task, random_state=seed).fit(noise_rows(seed))
    verdict = found.verdict_
    assert verdict is not None
    assert verdict.n_trials == sum(bool(trial.gains) for trial in found.history_)
    deflated, overfitting = verdict.deflated_sharpe, verdict.overfitting
    return NoiseStudy(
        verdict.crowned,
        float("nan") if deflated is None else deflated.probability,
        float("nan") if overfitting is None else overfitting.probability,
    )


def noise_table() -> tuple[str, list[str]]:
    """All studies: a page, and what falls short."""
    with FanoutExecutor("processes", workers=2) as executor:
        studies: list[NoiseStudy] = executor.map(one_study, range(STUDIES))
    crowned = sum(one.crowned for one in studies)
    significant = sum(one.deflated > 0.95 for one in studies)
    pbo = np.array([one.overfitting for one in studies])
    told = pbo[np.isfinite(pbo)]
    rows = [
        ["anything but the baseline crowned", f"{crowned} of {STUDIES}", f"<= {MOST}"],
        ["deflated Sharpe ratio significant", f"{significant} of {STUDIES}", f"<= {MOST}"],
        [f"probability of overfitting, mean of {len(told)}", f"{told.mean():.3f}", f"{OVERFITTING[0]} to {OVERFITTING[1]}"],
    ]
    short = []
    if crowned > MOST:
        short.append(f"{crowned} studies of noise crowned something")
    if significant > MOST:
        short.append(f"{significant} deflated Sharpe ratios of noise are significant")
    if not OVERFITTING[0] <= told.mean() <= OVERFITTING[1]:
        short.append(f"the probability of overfitting is {told.mean():.3f} in the mean")
    return f"{STUDIES} studies of noise, {TRIALS} trials each.\n\n{markdown_table(['claim', 'measured', 'bar'], rows)}", short
