"""What an agent would earn as it is now: its greedy play of the last bars of its span, net of all costs."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from huracan.errors import ModelError, NotEnoughData
from huracan.reinforcement.batch_env import BatchTradingEnv
from huracan.reinforcement.experience import Experience, MarketExperience
from huracan.reinforcement.market_table import MarketTable
from huracan.reinforcement.playing import mean_log_return
from huracan.reinforcement.rules import TradingRules
from huracan.reinforcement.tensor_env import TensorTradingEnv

if TYPE_CHECKING:
    from huracan.reinforcement.agent_settings import AgentSettings

__all__ = ["GreedyScore", "LastBars", "last_bars", "scored_experience"]

_SPAN = 100
"""Bars of a span that is played."""
_MOST_SPANS = 60
"""Spans played at a time: few enough that nothing is compiled for them."""
_WITHOUT_HOLDING_BACK = 0.1
"""Share of the bars that is scored where none is held back."""
_SCORES, _LEAST_APART = 20, 500
"""Scores of a training, and updates that lie between two of them at least."""
_LOOKED_AT = 0.05
"""Bars that are scored, of those that updates look at: an update costs several times as much a bar."""


@dataclass(frozen=True, eq=False)
class LastBars:
    """Bool (rows,) each: ``scored``, the last decisions; ``before``, those settled before the scored ones see a bar."""

    scored: NDArray[np.bool_]
    before: NDArray[np.bool_]


def last_bars(market: MarketTable, rules: TradingRules, share: float) -> LastBars:
    """Split the decisions of a market by time: the last moments, and what has nothing in common with them.

    Every bar and price that a decision of ``before`` reads, to learn what it earned and what was seen next, comes before the
    first bar that a window of ``scored`` shows. All symbols are cut at the same moment.

    Examples
    --------
    >>> market = MarketTable.from_prices(np.zeros((21, 1)), np.full(21, 10.0))
    >>> found = last_bars(market, TradingRules(window=3), 0.25)
    >>> np.flatnonzero(found.scored)[[0, -1]].tolist(), np.flatnonzero(found.before)[[0, -1]].tolist()
    ([15, 19], [0, 10])
    """
    bar: Any = 1
    moment: Any = np.arange(len(market))
    if market.ts is not None and market.bar_length is not None:
        bar, moment = market.bar_length, market.ts
    usable = market.decidable & (market.history >= rules.window - 1)
    moments = np.unique(moment[usable])
    if not len(moments):
        raise NotEnoughData(f"no row of the market can be decided on behind a window of {rules.window} bars.")
    begin = moments[len(moments) - max(1, math.ceil(share * len(moments)))]
    settled = moment + bar * (1 + market.bars.astype(np.int64))
    return LastBars(usable & (moment >= begin), market.decidable & (settled < begin - bar * (rules.window - 1)))


class GreedyScore:
    """Plays what an agent would do now on the last bars, in spans spread evenly over them.

    Every span is an account of its own, which begins and ends without a position and pays for both.

    Parameters
    ----------
    market, rules : of the game. scored : bool (rows,), see :class:`LastBars`. held_back : whether nothing was learned from
        them. settings : of the agent. total_steps : of its training; scores come about twenty times in it.
    """

    def __init__(
        self,
        market: MarketTable,
        rules: TradingRules,
        scored: NDArray[np.bool_],
        *,
        held_back: bool,
        settings: AgentSettings,
        total_steps: int,
    ) -> None:
        self.market, self.rules, self.held_back = market, rules, held_back
        updates = total_steps // settings.train_every * settings.gradient_steps
        self.every = max(_LEAST_APART, math.ceil(updates / _SCORES))
        bars = _LOOKED_AT * settings.batch_size * min(self.every, updates)
        self.first, self.length = _spans(market, scored, most=min(_MOST_SPANS, max(1, int(bars / _SPAN))))

    def of(self, agent: Any) -> float:
        """Net mean log return a bar."""
        return mean_log_return(agent, self.market, self.rules, self.first, self.length)


def scored_experience(
    experience: Experience, settings: AgentSettings, total_steps: int
) -> tuple[Experience, GreedyScore | None]:
    """What an agent learns from, without the bars that are held back, and its score; None where it cannot be played.

    Raises
    ------
    ModelError : bars are to be held back, and there is no market, or nobody knows which come last. NotEnoughData : so few are
        left that no episode can be begun.
    """
    share, market, rules = settings.validation, experience.market, experience.rules
    if market is None or rules is None:
        if share:
            raise ModelError(f"validation is {share}, and the environment has no market whose last bars could be held back.")
        return experience, None
    if share and market.ts is None and len(market.symbols) > 1:
        raise ModelError("a market of several symbols without times was given; without times nobody knows what comes last.")
    bars = last_bars(market, rules, share or _WITHOUT_HOLDING_BACK)
    if share:
        experience = _learning_on(experience, replace(market, decidable=bars.before))
    if "time_left" in rules.observe:  # a span is no episode
        return experience, None
    return experience, GreedyScore(
        market, rules, bars.scored, held_back=share > 0.0, settings=settings, total_steps=total_steps
    )


def _learning_on(experience: Experience, market: MarketTable) -> MarketExperience:
    """The same environment with decisions on other rows."""
    assert isinstance(experience, MarketExperience)
    env = experience.env
    if isinstance(env, TensorTradingEnv):
        return MarketExperience(TensorTradingEnv(market, env.num_envs, env.rules, device=env.device))
    return MarketExperience(BatchTradingEnv(market, env.num_envs, env.rules))


def _spans(market: MarketTable, scored: NDArray[np.bool_], most: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First rows and lengths of at most so many spans of rows that follow each other, spread evenly."""
    rows = np.flatnonzero(scored)
    breaks = np.flatnonzero((np.diff(rows) != 1) | (np.diff(market.run[rows]) != 0)) + 1
    pieces = [piece for stretch in np.split(rows, breaks) for piece in np.array_split(stretch, math.ceil(len(stretch) / _SPAN))]
    chosen = np.linspace(len(pieces) - 1, 0, min(most, len(pieces))).round().astype(int)[::-1]
    return np.array([pieces[i][0] for i in chosen]), np.array([len(pieces[i]) for i in chosen])
