"""SEA: a stream whose rule changes three times; are the changes found on a learner's losses, and only they.

``python -m benchmarks.drift_checks.sea`` prints this part alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold, cross_val_predict

from benchmarks import Section, markdown_table, market_data
from huracan.mlops import DDM, Cusum, PageHinkley, StreamingDetector

__all__ = ["check", "watched"]

DRIFTS = (12_500, 25_000, 37_500)
LONGEST_DELAY, MOST_FALSE = 1_500, 1
LEARNED_ON, CALIBRATED_ON, RUN_LENGTH = 1_000, 5_000, 300_000


def _cusum(losses: NDArray[np.float64]) -> StreamingDetector:
    """Two standard errors above the rate of errors that was seen: one seen too low by luck must not alarm again and again."""
    rate = losses.mean()
    target = float(rate + 2.0 * np.sqrt(rate * (1.0 - rate) / len(losses)))
    return Cusum.calibrated(losses, run_length=RUN_LENGTH, mode="up", slack=0.1, target=target)


WATCHES: dict[str, Callable[[NDArray[np.float64]], StreamingDetector]] = {
    "Cusum": _cusum,
    "PageHinkley": lambda losses: PageHinkley.calibrated(losses, run_length=RUN_LENGTH, mode="up"),
    "DDM": lambda losses: DDM.calibrated(losses, run_length=RUN_LENGTH),
}

_SAID = """
50,000 rows, the rule changes at rows 12,500, 25,000 and 37,500, one label in ten is wrong. A logistic regression learns from
{learned:,} rows. Its out-of-fold losses (0 or 1) on them calibrate the detector to one false alarm in {run_length:,}, so it
watches at once; after {calibrated:,} rows it is calibrated anew on the losses of these. After an alarm {learned:,} new rows
are learned from, and so on. The bar is held by Cusum: slack 0.1 for what is looked for, a rise of the rate of errors by 6
points from 10 % (0.2 standard deviations); target two standard errors above the rate that was seen, since one seen too low by
luck would alarm again and again. About 45,000 losses are watched: 0.15 false alarms are to be expected of such a run length,
and more than one in one stream of a hundred. Rows to learn and calibrate on were chosen on simulated streams of this kind with
the rules in random order. Designs that were left were measured on this stream as well: learning on 500 or 1,000 rows without
watching meanwhile (a drift found late), and run lengths of 100,000 with a target one or two standard errors above (delays
492, 182, 136 and 495, 143, 138; three and five false alarms: even of the stream's own noise, without any learner, three
bursts alarm at about that threshold). The other detectors are shown beside it.

{table}
""".strip()


@dataclass(frozen=True)
class Watched:
    """What a detector did on one stream: rows of alarms and the error rate of the learner it looked after."""

    alarms: tuple[int, ...]
    error_rate: float

    def delays(self, drifts: tuple[int, ...]) -> list[int | None]:
        """Rows from each drift to the first alarm before the next one; None where there is none."""
        until = (*drifts[1:], 10**9)
        found = [[row - drift for row in self.alarms if drift <= row < end] for drift, end in zip(drifts, until)]
        return [min(delays) if delays else None for delays in found]

    def false_alarms(self, drifts: tuple[int, ...]) -> int:
        """Alarms but for the first after each drift."""
        return len(self.alarms) - sum(delay is not None for delay in self.delays(drifts))


def check() -> Section:
    """Watch the stored stream."""
    frame = pl.read_parquet(market_data() / "benchmarks" / "sea_drift.parquet")
    X, y = frame.select("f1", "f2", "f3").to_numpy(), frame["label"].to_numpy()
    rows, short = [], []
    for name, calibrated in WATCHES.items():
        found = watched(X, y, calibrated)
        delays, false = found.delays(DRIFTS), found.false_alarms(DRIFTS)
        told = ["missed" if delay is None else f"{delay:,}" for delay in delays]
        rows.append([name, *told, false, f"{found.error_rate:.2%}"])
        if name == "Cusum":
            short += [f"SEA: drift {i + 1} is {told[i]}" for i, d in enumerate(delays) if d is None or d > LONGEST_DELAY]
            short += [f"SEA: {false} false alarms"] if false > MOST_FALSE else []
    header = ["detector", *(f"rows to drift {i} (bar: <= 1,500)" for i in (1, 2, 3)), "false alarms (bar: <= 1)", "errors"]
    fixed = watched(X, y, None)
    rows.append(["never learned anew", "", "", "", "", f"{fixed.error_rate:.2%}"])
    text = _SAID.format(learned=LEARNED_ON, calibrated=CALIBRATED_ON, run_length=RUN_LENGTH, table=markdown_table(header, rows))
    return Section("SEA: drifts found on a learner's losses", text, tuple(short))


def watched(
    X: NDArray[np.float64], y: NDArray[np.int64], calibrated: Callable[[NDArray[np.float64]], StreamingDetector] | None
) -> Watched:
    """Learn, calibrate, watch, and begin again at each alarm.

    Parameters
    ----------
    X, y : rows in time order. calibrated : losses -> detector; None: learn once and never again.
    """
    alarms: list[int] = []
    losses = np.full(len(y), np.nan)
    learned = LEARNED_ON
    while learned < len(y):
        given = slice(learned - LEARNED_ON, learned)
        model = LogisticRegression(C=100.0)
        out_of_fold = (cross_val_predict(model, X[given], y[given], cv=KFold(5)) != y[given]).astype(np.float64)
        losses[learned:] = model.fit(X[given], y[given]).predict(X[learned:]) != y[learned:]
        if calibrated is None:
            break
        watch = calibrated(out_of_fold)
        for row in range(learned, len(y)):
            if row == learned + CALIBRATED_ON:
                watch = calibrated(losses[learned:row])
            if watch.update(losses[row]).drift_detected:
                break
        else:
            break
        alarms.append(row)
        learned = row + 1 + LEARNED_ON
    return Watched(tuple(alarms), float(np.nanmean(losses)))


if __name__ == "__main__":
    part = check()
    print(f"## {part.title}\n\n{part.text}\n\n{'; '.join(part.short)}")
