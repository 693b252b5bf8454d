"""Trials of a search: how the best score came about, and scores against one hyperparameter."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from markupsafe import Markup

from huracan.report.charts.frame import Crosshair, Tick, dot, plot, polyline
from huracan.report.charts.scales import Scale, nice_ticks
from huracan.report.display import thinned
from huracan.report.formatting import count, is_number, number, percent, suitable_decimals

__all__ = ["TONES", "ScoreScale", "history_chart", "slice_chart", "trial_legend"]

TONES = 7
"""Learners that have a colour of their own; those after them begin again."""

_WIDTH, _TALL, _DRAWN = 1000, 600, 600


@dataclass(frozen=True)
class ScoreScale:
    """Where scores stand on every chart of a search; the few that are far below the rest are drawn at its lower edge.

    Attributes
    ----------
    scale : of scores. as_share : whether they are written as percentages. below : trials under the edge.
    """

    scale: Scale
    as_share: bool
    below: int

    @classmethod
    def of(cls, scores: Sequence[float | None], *, as_share: bool) -> ScoreScale:
        """The scale that shows zero, the best score, and what lies no more than three times as far below zero.

        >>> ScoreScale.of([0.01, 0.02, -0.01, -9.0], as_share=True).below
        1
        """
        known = np.array([s for s in scores if s is not None and math.isfinite(s)], dtype=np.float64)
        if not known.size:
            return cls(Scale(-1.0, 1.0), as_share, 0)
        best = float(known.max())
        floor = min(0.0, best) - 3.0 * max(abs(best), 1e-9)
        scale = Scale.around(min(max(float(known.min()), floor), 0.0), max(best, 0.0), margin=0.07)
        return cls(scale, as_share, int((known < scale.low).sum()))

    def height(self, score: float) -> float:
        """From 0 (top) to 1 (bottom)."""
        return 1.0 - self.scale.clipped(score)

    def written(self, score: float | None) -> str:
        """A score in words."""
        if not is_number(score):
            return number(None)
        return percent(score, self._decimals, signed=True) if self.as_share else number(score, self._decimals + 1, signed=True)

    def ticks(self, about: int = 4) -> list[Tick]:
        """Labels along the side."""
        at = nice_ticks(self.scale.low, self.scale.high, about)
        factor = 100.0 if self.as_share else 1.0
        decimals = suitable_decimals([factor * t for t in at], 1)
        if any(abs(round(factor * t, decimals) - factor * t) > 1e-9 * max(map(abs, at), default=1.0) * factor for t in at):
            decimals += 1
        said: Callable[[float], str] = (
            (lambda t: percent(t, decimals if t else 0)) if self.as_share else (lambda t: number(t, decimals if t else 0))
        )
        return [Tick(1.0 - self.scale(t), said(t)) for t in at if 0.03 < self.scale(t) < 0.97]

    @property
    def _decimals(self) -> int:
        factor = 100.0 if self.as_share else 1.0
        return suitable_decimals([factor * max(abs(self.scale.high), 1e-12)], 3, least=2)


def history_chart(history: pl.DataFrame, scores: ScoreScale, tones: Mapping[str, int], *, over: str) -> Markup:
    """Draw every trial and the best finished one so far, over the trials or over the seconds of fitting.

    Parameters
    ----------
    history : ``[trial, learner, state, score, best, seconds]`` in the order trials ended.
    tones : learner -> number of its colour.
    over : "trial" or "second".
    """
    if history.is_empty():
        return Markup('<p class="empty">No trial has ended.</p>')
    frame = history.with_row_index("place", offset=1)
    frame = frame.with_columns(at=pl.col("place") if over == "trial" else pl.col("seconds")).with_columns(
        pl.col("at").cast(pl.Float64)
    )
    first, last = (1.0, float(frame.height)) if over == "trial" else (0.0, float(frame["at"][-1]))
    across = Scale.around(first, max(last, first + 1e-9), margin=0.03)
    line, best = [], None
    for at, value in frame.select("at", "best").iter_rows():
        if value is None or not math.isfinite(value):
            continue
        x, y = _WIDTH * across(at), _TALL * scores.height(value)
        line += [(x, y)] if best is None else [(x, best), (x, y)]
        best = y
    if best is not None:
        line.append((_WIDTH * across(last), best))
    shown = thinned(frame, _DRAWN)
    marks = Markup('<path class="one" d="M0 {}H{}"/>').format(f"{_TALL * scores.height(0.0):.5g}", _WIDTH)
    marks += polyline(line, "curve best")
    marks += Markup("").join(_mark(row, _WIDTH * across(row["at"]), scores, tones) for row in shown.iter_rows(named=True))
    end = frame["best"].drop_nulls()
    said = f"best score {scores.written(float(end[-1]))}" if len(end) else "none finished"
    ticks = [t for t in across.ticks(6) if first <= t <= last and (over == "second" or t == int(t))]
    decimals = suitable_decimals(ticks, 1) if over == "second" else 0
    return plot(
        marks,
        size=(_WIDTH, _TALL),
        label=f"{frame.height:,} trials over {'their number' if over == 'trial' else 'seconds of fitting'}; {said}",
        x_ticks=[Tick(across(t), number(t, decimals) + (" s" if over == "second" else "")) for t in ticks],
        y_ticks=scores.ticks(5),
        height="16rem",
        crosshair=Crosshair(
            [across(at) for at in shown["at"].to_list()],
            shown["trial"].to_list(),
            {
                "learner": shown["learner"].to_list(),
                "what became of it": shown["state"].to_list(),
                "score": [scores.written(v) for v in shown["score"].to_list()],
                "best so far": [scores.written(v) for v in shown["best"].to_list()],
                "fitted so far": [f"{number(v, 1)} s" for v in shown["seconds"].to_list()],
            },
            dict.fromkeys(("learner", "what became of it", "score", "best so far", "fitted so far"), "word"),
            counted="trial",
        ),
    )


def slice_chart(
    trials: pl.DataFrame, scores: ScoreScale, *, tone: int, name: str, log: bool = False, labels: Sequence[str] = ()
) -> Markup:
    """Draw ``[trial, value, score, state]``: scores of trials against one hyperparameter.

    Parameters
    ----------
    name : of the hyperparameter. tone : number of the learner's colour. log : draw the values on a logarithmic scale.
    labels : of a choice, what each value stands for.
    """
    frame = trials.filter(pl.col("score").is_finite().fill_null(False)).sort("value", "trial")
    if frame.is_empty():
        return Markup('<p class="empty">No score.</p>')
    value = frame["value"].cast(pl.Float64)
    low, high = float(value.min()), float(value.max())  # type: ignore[arg-type]
    if labels:
        across = Scale(-0.5, len(labels) - 0.5)
        ticks = [Tick(across(i), label, "choice") for i, label in enumerate(labels)]
    else:
        across = Scale.around(low, high, margin=0.06, log=log and low > 0.0)
        ticks = [Tick(across(t), _short(t)) for t in across.ticks(4)]
    tones = {"": tone}
    marks = Markup('<path class="one" d="M0 {}H{}"/>').format(f"{_TALL * scores.height(0.0):.5g}", _WIDTH)
    drawn = thinned(frame, _DRAWN)
    spread = _spread(drawn) if labels else [0.0] * drawn.height
    marks += Markup("").join(
        _mark({**row, "learner": ""}, _WIDTH * across(row["value"] + aside), scores, tones)
        for row, aside in zip(drawn.iter_rows(named=True), spread)
    )
    said = [labels[int(v)] for v in drawn["value"].to_list()] if labels else [f"{v:.4g}" for v in drawn["value"].to_list()]
    best = frame.filter(state="finished").sort("score", descending=True).head(1)
    top = "" if best.is_empty() else f"; best at {labels[int(best['value'][0])] if labels else format(best['value'][0], '.4g')}"
    return plot(
        marks,
        size=(_WIDTH, _TALL),
        label=f"Scores of {frame.height:,} trials against {name}{top}",
        x_ticks=ticks,
        y_ticks=scores.ticks(3),
        height="9.5rem",
        kind="slice",
        crosshair=Crosshair(
            [across(v + aside) for v, aside in zip(drawn["value"].to_list(), spread)],
            drawn["trial"].to_list(),
            {
                name: said,
                "score": [scores.written(v) for v in drawn["score"].to_list()],
                "what became of it": drawn["state"].to_list(),
            },
            dict.fromkeys((name, "score", "what became of it"), "word"),
            counted="trial",
        ),
    )


def trial_legend(history: pl.DataFrame, tones: Mapping[str, int]) -> Markup:
    """Each learner with its colour and how many trials it had, and what the marks mean."""
    counts = dict(history.group_by("learner").len().iter_rows())
    keys = Markup("").join(
        Markup('<li><i class="key tone{}"></i>{} <b>{}</b></li>').format(tone, learner, count(counts.get(learner, 0)))
        for learner, tone in tones.items()
    )
    states = set(history["state"].to_list())
    if "pruned" in states:
        keys += Markup('<li><i class="key ring"></i>stopped early</li>')
    if states - {"finished", "pruned"}:
        keys += Markup('<li><i class="key cross-mark" aria-hidden="true">×</i>failed or cut short</li>')
    return Markup('<ul class="legend">{}</ul>').format(keys)


def _mark(row: Mapping[str, object], x: float, scores: ScoreScale, tones: Mapping[str, int]) -> Markup:
    """A filled dot for a finished trial, a ring for a pruned one, a cross at the lower edge for one without a score."""
    score, state, tone = row["score"], str(row["state"]), tones.get(str(row["learner"]), 0)
    said = f"trial {row['trial']}{', ' + str(row['learner']) if row['learner'] else ''}, {state}"
    if not isinstance(score, float) or not math.isfinite(score):
        return Markup('<path class="failed" d="M{a} {t}L{b} {u}M{a} {u}L{b} {t}"><title>{s}</title></path>').format(
            a=f"{x - 5:.5g}", b=f"{x + 5:.5g}", t=_TALL - 24, u=_TALL - 8, s=said
        )
    y = min(_TALL * scores.height(score), _TALL - 8.0)
    ring = Markup("") if state == "finished" else dot(x, y, "hole")
    return dot(x, y, f"tone{tone}", f"{said}: {scores.written(score)}") + ring


def _spread(frame: pl.DataFrame) -> list[float]:
    """Beside each other what would lie on top of each other: places of one choice, evenly from -0.28 to 0.28."""
    place = frame.select(i=pl.int_range(pl.len()).over("value"), n=pl.len().over("value"))
    return [0.0 if n < 2 else -0.28 + 0.56 * i / (n - 1) for i, n in place.iter_rows()]


def _short(value: float) -> str:
    """A tick in few signs.

    >>> [_short(v) for v in (0.0, 0.001, 0.25, 16.0, 3000.0, 2e-7)]
    ['0', '0.001', '0.25', '16', '3,000', '2e−7']
    """
    if value == 0.0:
        return "0"
    if not 1e-5 <= abs(value) < 1e7:
        return f"{value:.0e}".replace("e-0", "e−").replace("e-", "e−").replace("e+0", "e").replace("e+", "e")
    text = f"{value:,.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text).replace("-", "−")
