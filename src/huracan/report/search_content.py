"""What the page of a search says, apart from how it looks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

import polars as pl

from huracan.report.content import HoldOutResult

if TYPE_CHECKING:
    from huracan.validation.deflated_sharpe import DeflatedSharpe
    from huracan.validation.overfitting import OverfittingReport

__all__ = ["HyperparameterImportance", "SearchContent", "SearchJudgement", "SearchMember", "Slice"]


@dataclass(frozen=True)
class SearchJudgement:
    """The chosen model on rows that no trial has seen: skill, which decides, and how much less it loses than the constant.

    Attributes
    ----------
    skill, skill_low, skill_high, p_value : mean payoff a moment of a position as large as its forecast, in units of the label.
    gain, low, high : mean gain a moment, in shares of the constant's loss. start, end : of the rows judged, UTC.
    n_trials, n_earlier_trials : settings tried on these rows, and how many of them by searches before this one.
    deflated_sharpe, overfitting : what the best trial is worth after so many; None where that cannot be told.
    """

    crowned: bool
    skill: float
    skill_low: float
    skill_high: float
    gain: float
    low: float
    high: float
    p_value: float
    n_moments: int
    start: datetime
    end: datetime
    n_trials: int
    n_earlier_trials: int
    deflated_sharpe: DeflatedSharpe | None = None
    overfitting: OverfittingReport | None = None


@dataclass(frozen=True)
class SearchMember:
    """One model of what was chosen.

    Attributes
    ----------
    trial : that it comes from; None for the constant, and for what was fitted without one. learner : or "constant".
    settings : in words; "" for its defaults.
    """

    trial: int | None
    learner: str
    weight: float
    settings: str

    @property
    def is_constant(self) -> bool:
        """Whether it forecasts the mean of the training labels."""
        return self.trial is None and self.learner == "constant"


@dataclass(frozen=True)
class HyperparameterImportance:
    """How much each choice had to do with a trial being among the best.

    Attributes
    ----------
    of : the learner whose hyperparameters these are; "" for the choice of the learner itself. n_trials : finished ones it is
        made from. importance : ``[name, importance]``, largest first; empty where there is none.
    noise : importance that the largest of as many choices without any effect exceeds in one search of twenty.
    reason : why there is none; "" where there is one.
    """

    of: str
    n_trials: int
    importance: pl.DataFrame
    noise: float | None = None
    reason: str = ""


@dataclass(frozen=True)
class Slice:
    """Scores against one hyperparameter of one learner.

    Attributes
    ----------
    trials : ``[trial, value, score, state]``; ``value`` is a number, or for a choice its place in ``labels``.
    log : whether the search is even in the logarithm. labels : of a choice, what each value stands for; else empty.
    """

    learner: str
    name: str
    trials: pl.DataFrame
    log: bool = False
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class SearchContent:
    """Everything the page of one search shows. Frames carry exactly the columns named; times are UTC.

    Attributes
    ----------
    verdict : one sentence: whether what was found beats the constant on rows no trial has seen. reasons : sentences behind it.
    champion : what was crowned, or None for "keep the baseline". deserves_money : whether its positions earned their costs
        there beyond doubt as well.
    facts : label -> value for the head of the page. notes : what preparing the data and fitting had to say.
    judgement : None where nothing was held out.
    history : ``[trial, learner, state, score, best, seconds]`` in the order trials ended; ``score`` null where a trial did not
        answer, ``best`` the best finished score so far, ``seconds`` of fitting so far, all workers together.
    leaderboard : ``[trial, learner, state, score, weight, seconds, settings, source, reason]``, a ``fold_k`` for each fold and
        ``net_sharpe``, ``turnover`` where they were objectives, best first.
    scores_are_shares : whether scores are gains in shares of the constant's loss; else they are plain numbers.
    members : of what was chosen, heaviest first. importances : the choice of the learner first, then each learner.
    slices : of the hyperparameters that matter most.
    hold_out : what its positions made of the rows judged, with ``equity`` ``[ts, net, gross, buy_and_hold]``; None where there
        are no positions. not_run : stage -> reason.
    budget : label -> what was allowed and what was used. reproducible : whether the same search gives the same bits.
    provenance : label -> hash or version.
    """

    title: str
    created_at: datetime
    verdict: str
    reasons: tuple[str, ...]
    champion: str | None
    deserves_money: bool
    facts: Mapping[str, str]
    judgement: SearchJudgement | None
    history: pl.DataFrame
    leaderboard: pl.DataFrame
    members: tuple[SearchMember, ...]
    importances: tuple[HyperparameterImportance, ...]
    slices: tuple[Slice, ...]
    budget: Mapping[str, str]
    reproducible: bool
    provenance: Mapping[str, str]
    notes: tuple[str, ...] = ()
    hold_out: HoldOutResult | None = None
    equity: pl.DataFrame | None = None
    scores_are_shares: bool = True
    not_run: Mapping[str, str] = field(default_factory=dict)
