"""A planted signal that only the order of bars carries: what sequence models find of it, and what trees on a row cannot.

Values are independent draws. The label of a row asks of the 16 bars before it: did the larger moves come first, that is, is
the sum of squares of the older eight above that of the newer eight? It is flipped with a known probability. Turned round, the
same 16 values have the other label, and both orders are equally likely: their mean, extremes, sorted values, and the row
itself, which is none of the 16, say exactly nothing, nor does any linear map of the bars, since a label does not change with
their signs. Whoever knows order and size knows the label but for the flips: the attainable AUC is one less their probability.
Every network is the catalogue's, trained and stopped by its own validation tail, and judged on a fresh series.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from benchmarks import markdown_table
from huracan.catalogue import build_model

__all__ = ["SETTINGS", "Planted", "found_by", "main", "planted", "sorted_bars"]

BARS = 16
FLIPPED = 0.25
ROWS, FRESH = 40_000, 30_000
FEATURES = 2
SHARE = 0.9
NOTHING = 0.02
SETTINGS: Mapping[str, Mapping[str, Any]] = {name: {"max_epochs": 10} for name in ("transformer", "cnn", "lstm", "gru")}
"""What differs from the catalogue's defaults."""

TREES = ("lightgbm", "random_forest", "extra_trees")


@dataclass(frozen=True)
class Planted:
    """A series of rows (n, 2), the label of each (n,), and the label before flips; the first 16 rows have none (0)."""

    x: NDArray[np.float32]
    label: NDArray[np.int64]
    truth: NDArray[np.int64]


def planted(rows: int, seed: int, *, flipped: float = FLIPPED) -> Planted:
    """Draw a series: column 0 holds the bars, the other nothing."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, FEATURES)).astype(np.float32)
    before = np.lib.stride_tricks.sliding_window_view(x[:-1, 0], BARS)
    truth = np.zeros(rows, np.int64)
    squares = np.square(before.astype(np.float64))
    truth[BARS:] = squares[:, : BARS // 2].sum(axis=1) > squares[:, BARS // 2 :].sum(axis=1)
    return Planted(x, np.where(rng.random(rows) < flipped, 1 - truth, truth), truth)


def sorted_bars(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """The 16 bars before each row, sorted: all that is known of them without their order; zeros for the first 16 rows."""
    values = np.zeros((len(x), BARS), np.float32)
    values[BARS:] = np.sort(np.lib.stride_tricks.sliding_window_view(x[:-1, 0], BARS), axis=1)
    return values


def found_by(name: str, train: Planted, fresh: Planted, seed: int = 0, **settings: Any) -> tuple[float, float, float, int]:
    """AUC of a network on the fresh rows, AUC of the rule itself on them, CPU seconds of the fit, and the epoch kept."""
    model = build_model(name, task="classification", random_state=seed, **settings)
    began = time.process_time()
    model.fit(train.x, train.label)
    cpu = time.process_time() - began
    judged = slice(max(BARS, model.history_bars), None)
    score = model.predict_proba(fresh.x)[judged, 1]
    label = fresh.label[judged]
    return (
        float(roc_auc_score(label, score)),
        float(roc_auc_score(label, fresh.truth[judged])),
        cpu,
        model.training_.best_epoch,
    )


def main() -> str:
    """Train every network on one series, judge on another, and see that nothing shows without the order."""
    train, fresh = planted(ROWS, 1), planted(FRESH, 2)
    rows, missed = [], []
    for name, settings in SETTINGS.items():
        auc, attainable, cpu, epoch = found_by(name, train, fresh, **settings)
        share = (auc - 0.5) / (attainable - 0.5)
        changed = ", ".join(f"{key} {value}" for key, value in settings.items()) or "nothing"
        print(f"sequence_signal: {name} finds {share:.3f} in {cpu:.0f} CPU seconds", flush=True)
        rows.append([name, changed, f"{auc:.4f}", f"{attainable:.4f}", f"{share:.3f}", epoch, f"{cpu:.0f}"])
        if share < SHARE:
            missed.append(f"{name} finds {share:.3f} of what there is")
    blind = []
    for name in TREES:
        found = []
        for of, x in (("row", train.x), ("sorted", sorted_bars(train.x))):
            model = build_model(name, task="classification").fit(x, train.label)
            judged = fresh.x if of == "row" else sorted_bars(fresh.x)
            score = model.predict_proba(judged)[BARS:, 1]
            found.append(float(roc_auc_score(fresh.label[BARS:], score)))
            if abs(found[-1] - 0.5) > NOTHING:
                missed.append(f"{name} has AUC {found[-1]:.4f} on the {of}, where nothing can be known")
        blind.append([name, *(f"{auc:.4f}" for auc in found)])
    text = "\n\n".join(
        (
            "# Planted sequence signal",
            f"Did the larger moves of the {BARS} bars before a row come first? Labels are flipped with probability "
            f"{FLIPPED:g}, so the attainable AUC is {1 - FLIPPED:g}; in the table it is that of the rule itself on the same "
            f"{FRESH:,} fresh rows. {ROWS:,} rows to learn from, validation tail included. Bar: {SHARE:g} of what is "
            "attainable above 0.5.",
            markdown_table(["network", "changed", "AUC", "attainable", "share found", "best epoch", "CPU s"], rows),
            f"What is known without the order, bar 0.5 +- {NOTHING:g}: the row itself, and the {BARS} bars sorted.",
            markdown_table(["trees", "AUC on the row", "AUC on sorted bars"], blind),
        )
    )
    assert not missed, f"{'; '.join(missed)}\n\n{text}"
    return text
