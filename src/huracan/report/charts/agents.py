"""Agents beside what they have to beat: how they learned, growth of capital with the band of seeds, and shares of runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl
from markupsafe import Markup
from numpy.typing import NDArray

from huracan.report.charts.frame import Crosshair, Tick, dot, plot, polyline
from huracan.report.charts.scales import Scale, nice_ticks, time_ticks
from huracan.report.display import thinned
from huracan.report.formatting import count, number, percent, tick_decimals

__all__ = ["NAMES", "capital_chart", "depth_chart", "learning_chart", "profile_chart", "strategy_legend"]

NAMES: Mapping[str, str] = {
    "agent": "Agent",
    "flat": "Doing nothing",
    "buy_and_hold": "Buy and hold",
    "random": "Chance of equal turnover",
    "myopic": "Forecast one bar ahead",
}
"""What strategies are called on a page."""

_WIDTH, _TALL, _POINTS = 2000, 1000, 500
_FEW = 3
"""So many looks are points: a line between them would tell of a course that nobody saw."""
_ORDER = ("flat", "random", "buy_and_hold", "myopic", "agent")
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class _Across:
    """The horizontal axis: times, or bars where a market has none."""

    at: Floats
    dated: bool

    @classmethod
    def of(cls, frame: pl.DataFrame) -> _Across:
        dated = "ts" in frame.columns
        at = frame["ts"].dt.epoch("ms").to_numpy() / 1000.0 if dated else frame["row"].cast(pl.Float64).to_numpy()
        return cls(at.astype(np.float64), dated)

    @property
    def span(self) -> float:
        return float(self.at[-1] - self.at[0]) or 1.0

    @property
    def place(self) -> Floats:
        return (self.at - self.at[0]) / self.span

    def ticks(self) -> list[Tick]:
        first, last = float(self.at[0]), float(self.at[-1])
        marks = time_ticks(first, last) if self.dated else [(t, count(t)) for t in nice_ticks(first, last, 6)]
        return [Tick((at - first) / self.span, text) for at, text in marks]

    def begins(self, starts: Sequence[datetime | int]) -> Markup:
        """A line where each window but the first begins."""
        at = [s.timestamp() if isinstance(s, datetime) else float(s) for s in starts]
        places = [(a - float(self.at[0])) / self.span for a in at]
        path = "".join(f"M{_WIDTH * p:.5g} 0V{_TALL}" for p in places if 0.01 < p < 0.99)
        return Markup('<path class="begins" d="{}"/>').format(path) if path else Markup("")

    def crosshair(self, series: Mapping[str, Floats], kind: str) -> Crosshair:
        values: dict[str, Sequence[float | None]] = {
            name: [float(f"{v:.5g}") if np.isfinite(v) else None for v in line.tolist()] for name, line in series.items()
        }
        times = self.at.astype(np.int64).tolist()
        return Crosshair(self.place.tolist(), times, values, dict.fromkeys(values, kind), counted=None if self.dated else "bar")


def strategy_legend(strategies: Sequence[str], said: Mapping[str, str]) -> Markup:
    """Each strategy with its line, the agent first, and what ``said`` holds of it."""
    keys = Markup("").join(
        Markup(
            '<li><svg viewBox="0 0 28 8" aria-hidden="true"><path class="curve {c}" d="M0 4H28"/></svg>{n} <b>{s}</b></li>'
        ).format(c=_css(name), n=NAMES.get(name, name), s=said.get(name, ""))
        for name in strategies
    )
    return Markup('<ul class="legend">{}</ul>').format(keys)


def capital_chart(equity: pl.DataFrame, starts: Sequence[datetime | int]) -> Markup:
    """Draw what 1 has become: of the agent the median of its seeds and the band from the worst to the best.

    Parameters
    ----------
    equity : ``[strategy, seed, ts or row, equity]``, with a curve for each seed and one without. starts : of the windows.
    """
    lines, low, high, across = _curves(equity)
    every = np.concatenate([*lines.values(), low, high, [1.0]])
    every = every[np.isfinite(every)]
    least, most = float(every.min()), float(every.max())
    scale = Scale.around(least, most, log=least > 0.0 and most / max(least, 1e-9) > 4.0)

    def y(value: float) -> float:
        return _TALL * (1.0 - scale.clipped(value))

    place = across.place.tolist()
    top = [f"{_WIDTH * x:.5g} {y(v):.5g}" for x, v in zip(place, high.tolist())]
    bottom = [f"{_WIDTH * x:.5g} {y(v):.5g}" for x, v in zip(place[::-1], low.tolist()[::-1])]
    marks = Markup('<path class="band seeds" d="M{}z"/>').format("L".join(top + bottom))
    marks += Markup('<path class="one" d="M0 {}H{}"/>').format(f"{y(1.0):.5g}", _WIDTH)
    drawn = [name for name in _drawing_order(lines) if name != "flat"]
    marks += Markup("").join(
        polyline(
            [(_WIDTH * x, y(v)) if np.isfinite(v) else None for x, v in zip(place, lines[name].tolist())], f"curve {_css(name)}"
        )
        for name in drawn
    )
    ends = {name: percent(float(line[-1]) - 1.0, signed=True) for name, line in lines.items()}
    chart = plot(
        marks,
        under=across.begins(starts),
        size=(_WIDTH, _TALL),
        label="Growth of one unit of capital; at the end "
        + ", ".join(f"{NAMES.get(name, name).lower()} {ends[name]}" for name in lines),
        x_ticks=across.ticks(),
        y_ticks=[Tick(1 - scale(v), f"{v:,.4g}×") for v in scale.ticks() if 0.02 < scale(v) < 0.98],
        height="20rem",
        crosshair=across.crosshair(
            {NAMES.get(name, name): line for name, line in lines.items()} | {"Worst seed": low, "Best seed": high}, "multiple"
        ),
    )
    return strategy_legend(list(lines), ends) + chart


def depth_chart(equity: pl.DataFrame, starts: Sequence[datetime | int]) -> Markup:
    """Draw how far below its peak each account stood, in equal parts in all seeds: the agent's as an area."""
    time = "ts" if "ts" in equity.columns else "row"
    whole = equity.filter(pl.col("seed").is_null()).pivot(on="strategy", index=time, values="equity").sort(time)
    names = [name for name in _reading_order(equity["strategy"].unique().to_list()) if name != "flat"]
    depth = whole.select(time, *((pl.col(n) / pl.max_horizontal(pl.col(n).cum_max(), pl.lit(1.0)) - 1.0) for n in names))
    size = max(1, -(-depth.height // _POINTS))
    few = (
        depth.with_row_index("part")
        .with_columns(pl.col("part") // size)
        .group_by("part", maintain_order=True)
        .agg(pl.col(time).last(), pl.col(names).min())
    )
    across = _Across.of(few)
    lines = {name: few[name].cast(pl.Float64).to_numpy() for name in names}
    scale = Scale(min(min(float(np.nanmin(line)) for line in lines.values()) * 1.05, -0.001), 0.0)

    def points(name: str) -> list[tuple[float, float]]:
        return [(_WIDTH * x, _TALL * (1 - scale.clipped(v))) for x, v in zip(across.place.tolist(), lines[name].tolist())]

    inner = "L".join(f"{x:.5g} {y:.5g}" for x, y in points("agent"))
    marks = Markup('<path class="depth" d="M0 0L{}V0z"/>').format(inner)
    marks += Markup("").join(polyline(points(name), f"curve {_css(name)}") for name in _drawing_order(lines))
    deepest = ", ".join(f"{NAMES.get(n, n).lower()} {percent(float(np.nanmin(line)))}" for n, line in lines.items())
    return plot(
        marks,
        under=across.begins(starts),
        size=(_WIDTH, _TALL),
        label=f"Drawdown; deepest {deepest}",
        x_ticks=across.ticks(),
        y_ticks=[Tick(1 - scale(v), percent(v, 0 if scale.low < -0.05 else 1)) for v in scale.ticks(3) if scale(v) > 0.05],
        height="9rem",
        crosshair=across.crosshair({NAMES.get(name, name): line for name, line in lines.items()}, "percent"),
    )


def learning_chart(curves: pl.DataFrame, figure: str, *, name: str) -> Markup:
    """Draw ``[seed, step, figure]``: every seed as a thin line, their median as a thick one; few looks as points."""
    known = curves.filter(pl.col(figure).is_finite().fill_null(False))
    if known["step"].n_unique() < 2:
        return Markup('<p class="empty">Too few looks for a curve.</p>')
    table = known.pivot(on="seed", index="step", values=figure, aggregate_function="first").sort("step")
    shown = thinned(table, 200)
    step = shown["step"].cast(pl.Float64).to_numpy()
    lines = {seed: shown[seed].cast(pl.Float64).fill_null(np.nan).to_numpy() for seed in shown.columns if seed != "step"}
    each = np.stack(list(lines.values()))
    middle = np.array([np.median(v[np.isfinite(v)]) for v in each.T])
    low, high = (float(v) for v in np.nanquantile(each, [0.005, 0.995]))
    scale = Scale.around(min(low, float(middle.min())), max(high, float(middle.max())), margin=0.06)
    across = Scale(0.0, float(step[-1]))

    def drawn(line: Floats, css: str) -> Markup:
        points = [
            (_WIDTH * across(s), _TALL * (1 - scale.clipped(v))) if np.isfinite(v) else None
            for s, v in zip(step.tolist(), line.tolist())
        ]
        if len(step) > _FEW:
            return polyline(points, f"curve {css}")
        return Markup("").join(dot(*point, css) for point in points if point is not None)

    zero = Markup("")
    if scale.low < 0.0 < scale.high:
        zero = Markup('<path class="one" d="M0 {}H{}"/>').format(f"{_TALL * (1 - scale(0.0)):.5g}", _WIDTH)
    marks = zero + Markup("").join(drawn(line, "seed") for line in lines.values())
    ticks = scale.ticks(4)
    decimals = tick_decimals(ticks)
    return plot(
        marks + drawn(middle, "agent"),
        size=(_WIDTH, _TALL),
        label=f"{name} over {count(float(step[-1]))} steps, {len(lines)} seeds; the median ends at {middle[-1]:.4g}",
        x_ticks=[Tick(across(t), count(t)) for t in nice_ticks(0.0, float(step[-1]), 3)],
        y_ticks=[Tick(1 - scale(t), number(t, decimals)) for t in ticks if 0.04 < scale(t) < 0.96],
        height="9.5rem",
        crosshair=Crosshair(
            [across(s) for s in step.tolist()],
            step.astype(np.int64).tolist(),
            {"median": [float(f"{v:.4g}") for v in middle.tolist()]}
            | {
                f"seed {seed}": [float(f"{v:.4g}") if np.isfinite(v) else None for v in line.tolist()]
                for seed, line in lines.items()
            },
            counted="step",
        ),
    )


def profile_chart(profiles: pl.DataFrame) -> Markup:
    """Draw ``[strategy, threshold, share, ci_low, ci_high]``: the share of runs above each score, with the agent's band."""
    low, high = float(profiles["threshold"].min()), float(profiles["threshold"].max())  # type: ignore[arg-type]
    across = Scale.around(low, high, margin=0.02)

    def points(x: Floats, share: Floats) -> list[tuple[float, float]]:
        """A staircase: a share holds from its threshold to the next."""
        at, up = np.repeat(x, 2)[1:], np.repeat(share, 2)[:-1]
        return [(_WIDTH * across(a), _TALL * (1 - 0.96 * s)) for a, s in zip(at.tolist(), up.tolist())]

    tables = {str(name): profiles.filter(strategy=name) for name in profiles["strategy"].unique(maintain_order=True)}
    marks = Markup("")
    for name in _drawing_order(tables):
        table = tables[name]
        x, share = table["threshold"].to_numpy(), table["share"].to_numpy()
        if name == "agent" and table["ci_low"].is_finite().all():
            edge = points(x, table["ci_high"].to_numpy()) + points(x, table["ci_low"].to_numpy())[::-1]
            marks += Markup('<path class="band seeds" d="M{}z"/>').format("L".join(f"{a:.5g} {b:.5g}" for a, b in edge))
        marks += polyline(points(x, share), f"curve {_css(name)}")
    if low < 0.0 < high:
        marks += Markup('<path class="one" d="M{x} 0V{h}"/>').format(x=f"{_WIDTH * across(0.0):.5g}", h=_TALL)
    ticks = nice_ticks(low, high, 5)
    decimals = tick_decimals(ticks)
    above = {name: table.filter(pl.col("threshold") >= 0.0)["share"] for name, table in tables.items()}
    said = ", ".join(f"{NAMES.get(n, n).lower()} {percent(float(s[0]), 0)}" for n, s in above.items() if len(s))
    x = tables["agent"]["threshold"].to_numpy()
    read: dict[str, Sequence[str]] = {"runs above": [number(a, 3, signed=True) for a in x.tolist()]}
    read |= {NAMES.get(n, n): [percent(s, 0) for s in table["share"].to_list()] for n, table in tables.items()}
    return plot(
        marks,
        size=(_WIDTH, _TALL),
        label=f"Share of runs above each net log return of a window; above zero {said}",
        x_ticks=[Tick(across(t), number(t, decimals if t else 0, signed=True)) for t in ticks],
        y_ticks=[Tick(1 - 0.96 * s, percent(s, 0)) for s in (0.25, 0.5, 0.75, 1.0)],
        height="16rem",
        crosshair=Crosshair(
            [across(a) for a in x.tolist()],
            range(len(x)),
            read,
            dict.fromkeys(read, "word"),
            counted="threshold",
        ),
    )


def _curves(equity: pl.DataFrame) -> tuple[dict[str, Floats], Floats, Floats, _Across]:
    """A line a strategy (of those with seeds the median), the agent's worst and best seed, and the axis."""
    time = "ts" if "ts" in equity.columns else "row"
    apart = equity.filter(pl.col("seed").is_not_null())
    seeded = apart.group_by("strategy", time).agg(
        pl.col("equity").median(), low=pl.col("equity").min(), high=pl.col("equity").max()
    )
    names = _reading_order(equity["strategy"].unique().to_list())
    alone = equity.filter(~pl.col("strategy").is_in(seeded["strategy"].unique().to_list()))
    lines = pl.concat([seeded.select("strategy", time, "equity"), alone.select("strategy", time, "equity")])
    table = lines.pivot(on="strategy", index=time, values="equity").sort(time)
    band = seeded.filter(strategy="agent").select(time, "low", "high")
    few = thinned(table.join(band, on=time, how="left", maintain_order="left").fill_null(strategy="forward"), _POINTS)
    values = {name: few[name].cast(pl.Float64).fill_null(1.0).to_numpy() for name in names}
    low, high = (few[side].cast(pl.Float64).fill_null(1.0).to_numpy() for side in ("low", "high"))
    return values, low, high, _Across.of(few)


def _reading_order(names: Sequence[str]) -> list[str]:
    known = list(NAMES)
    return sorted(names, key=lambda name: (known.index(name) if name in known else len(known), name))


def _drawing_order(names: Mapping[str, object]) -> list[str]:
    """The agent last, so that it lies on top."""
    return sorted(names, key=lambda name: _ORDER.index(name) if name in _ORDER else -1)


def _css(strategy: str) -> str:
    return strategy if strategy in NAMES else "other"
