"""What an evaluation allows to say in a sentence, and no more than that."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any

import polars as pl

__all__ = ["AgentVerdict", "Standing", "verdict_of"]

_FEWEST_SEEDS = 5
_NOTHING: Mapping[tuple[int, str], str] = MappingProxyType({})
_CALLED = {
    "flat": "doing nothing",
    "buy_and_hold": "buy and hold",
    "random": "chance of equal turnover",
    "myopic": "a forecast one bar ahead",
}


class Standing(StrEnum):
    """How far an agent got."""

    BEATS_ALL = "beats all"
    EARNS = "earns its costs"
    STAY_OUT = "stay out"


@dataclass(frozen=True)
class AgentVerdict:
    """Where an agent stands after an evaluation.

    Attributes
    ----------
    standing : how far it got. sentence : that, and the figures behind it. reasons : more sentences, caveats among them.
    """

    standing: Standing
    sentence: str
    reasons: tuple[str, ...]


def verdict_of(
    summary: pl.DataFrame,
    *,
    agent: str,
    alpha: float,
    n_seeds: int,
    n_windows: int,
    stopped: Mapping[Any, str],
    skipped: Mapping[tuple[int, str], str] = _NOTHING,
    tried: int = 1,
) -> AgentVerdict:
    """Judge an agent by its lead over each yardstick, tested over time and adjusted for all of them.

    To beat all, other seeds must be known to earn too: five or more, and their interval above zero.

    Parameters
    ----------
    summary : of an evaluation, its intervals at ``1 - alpha``. agent : its name there. alpha : level of the tests.
    tried : evaluations on the same data; the summary's adjusted p-values allow for them.
    """
    rows = {row["strategy"]: row for row in summary.iter_rows(named=True)}
    own = rows.pop(agent)
    ahead = [name for name, row in rows.items() if _sure(row, alpha) and row["lead_bps"] > 0]
    behind = [name for name, row in rows.items() if _sure(row, alpha) and row["lead_bps"] < 0]
    level = f"{100 * (1 - alpha):g} % interval"
    times = f" and {tried} evaluations" if tried > 1 else ""
    earned = (
        f"net of costs it earned {own['mean_bps']:+.2f} basis points a bar ({level} {_between(own)}; "
        f"p = {_p(rows['flat']['lead_p_adjusted'])} against doing nothing, adjusted for {len(rows)} yardsticks{times})"
    )
    sure = n_seeds >= _FEWEST_SEEDS and own["score_low"] is not None and own["score_low"] > 0.0
    reasons = list(_compared(ahead, behind, rows))
    if own["exposure"] == 0.0:
        standing, sentence = Standing.STAY_OUT, "Stay out, as the agent did: it never took a position."
        reasons = []
    elif "flat" in behind:
        standing, sentence = Standing.STAY_OUT, f"Stay out, the agent is shown to lose money: {earned}."
    elif "flat" not in ahead:
        standing, sentence = Standing.STAY_OUT, f"Stay out, the agent is not shown to earn anything: {earned}."
    elif len(ahead) == len(rows) and sure:
        standing, sentence = Standing.BEATS_ALL, f"The agent earns more than all it was held against: {earned}."
    elif len(ahead) == len(rows):
        standing = Standing.EARNS
        few = f"{n_seeds} seed{'s' * (n_seeds > 1)} cannot say whether another would"
        but = few if n_seeds < _FEWEST_SEEDS else "another seed may not"
        sentence = f"The agent earned more than all it was held against, but {but}: {earned}."
    else:
        others = _named([name for name in rows if name not in ahead])
        standing = Standing.EARNS
        sentence = f"The agent earns its costs, but is not shown to earn more than {others}: {earned}."
    caveats = _caveats(own, n_seeds, n_windows, level, stopped)
    return AgentVerdict(standing, sentence, (*reasons, *_looked(tried), *caveats, *_left_out(skipped)))


def _sure(row: Mapping[str, Any], alpha: float) -> bool:
    return row["lead_p_adjusted"] is not None and row["lead_p_adjusted"] <= alpha


def _compared(ahead: Sequence[str], behind: Sequence[str], rows: Mapping[str, Any]) -> list[str]:
    open_ = [name for name in rows if name not in ahead and name not in behind]
    said = []
    if ahead:
        said.append(f"Shown to earn more than {_named(ahead)}.")
    if behind:
        said.append(f"Shown to earn less than {_named(behind)}.")
    if open_:
        said.append(f"Cannot be told from {_named(open_)} on these data.")
    return said


def _caveats(own: Mapping[str, Any], n_seeds: int, n_windows: int, level: str, stopped: Mapping[Any, str]) -> list[str]:
    said = []
    if own["score_low"] is None:
        said.append("One seed was trained: how much of this is the luck of training is not known.")
    else:
        said.append(
            f"Other seeds in the same windows: a run's net return, interquartile mean, {math.expm1(own['score']):+.2%} "
            f"({level} {math.expm1(own['score_low']):+.2%} to {math.expm1(own['score_high']):+.2%})."
        )
        if n_seeds < _FEWEST_SEEDS:
            said.append(f"Intervals over {n_seeds} seeds are too short; five or more were expected.")
    if n_windows == 1:
        said.append("One window was played: what another time would have given is known from its bars alone.")
    if stopped:
        first = next(iter(stopped.values()))
        said.append(f"{len(stopped)} training(s) stopped before their time and were played as they stood; {first}")
    return said


def _looked(tried: int) -> list[str]:
    if tried == 1:
        return []
    return [
        f"{tried} evaluations were made on these candles so far, this one among them: looking is choosing, so p-values of "
        f"leads are multiplied by {tried}."
    ]


def _left_out(skipped: Mapping[tuple[int, str], str]) -> list[str]:
    said = []
    for symbol in dict.fromkeys(symbol for _, symbol in skipped):
        numbers = [number for number, of in skipped if of == symbol]
        windows = f"window{'s' * (len(numbers) > 1)} {', '.join(str(number + 1) for number in numbers)}"
        said.append(f"{symbol} was neither learned nor played in {windows}: {skipped[numbers[0], symbol]}")
    return said


def _named(names: Sequence[str]) -> str:
    called = [_CALLED.get(name, name) for name in names]
    return called[0] if len(called) == 1 else f"{', '.join(called[:-1])} and {called[-1]}"


def _between(row: Mapping[str, Any]) -> str:
    low, high = row["mean_low"], row["mean_high"]
    return f"{low:+.2f} to {high:+.2f}" if math.isfinite(high - low) else "unknown: it moves too slowly"


def _p(p: float) -> str:
    return f"{p:.2g}" if p >= 1e-4 else "<0.0001"
