"""Walk-forward: train on the past, play what comes next, again and again, for several seeds."""

from __future__ import annotations

import datetime as dt
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from huracan.dataset.candle_rows import Recipe
from huracan.errors import ModelError
from huracan.market import validate_candles
from huracan.regimes import classify_regimes
from huracan.reinforcement.action_maps import action_map
from huracan.reinforcement.batch_env import BatchTradingEnv
from huracan.reinforcement.evaluation import AGENT, WalkForwardEvaluation
from huracan.reinforcement.kept_runs import YARDSTICKS, EvaluatedRun, Kept, Key, PlayedYardsticks
from huracan.reinforcement.market_table import MarketTable
from huracan.reinforcement.playable_windows import playable_windows
from huracan.reinforcement.playing import Played, play
from huracan.reinforcement.rules import TradingRules
from huracan.reinforcement.yardsticks import BuyAndHold, Flat, Myopic, RandomOfSameHabits
from huracan.validation import PurgedWalkForward
from huracan.validation.row_times import Embargo

__all__ = ["Executor", "Window", "walk_forward_evaluation", "walk_forward_windows"]


class Executor(Protocol):
    """Whatever runs many trainings: :class:`~huracan.distributed.FanoutExecutor`, :class:`~huracan.reinforcement.KeptRuns`."""

    def run(self, function: Callable[..., Kept], tasks: Mapping[Any, Any], *, shared: Any = None) -> dict[Any, Any]:
        """Key -> what the function gave for that task."""
        ...


@dataclass(frozen=True, eq=False)
class Window:
    """One step of a walk: the same market twice, to decide on what is past, and on what comes next.

    Features before a span stay visible in it; ``decidable`` of the two markets never meet.
    """

    number: int
    train: MarketTable
    test: MarketTable

    def of_symbol(self, symbol: str) -> tuple[MarketTable, MarketTable]:
        """Both markets with decisions on one symbol only; on all where the name is empty."""
        return (self.train.of_symbol(symbol), self.test.of_symbol(symbol)) if symbol else (self.train, self.test)

    def told(self) -> dict[str, Any]:
        """Its spans: first and last decision of either part (row numbers where the market has no times), and how many."""
        spans: dict[str, Any] = {}
        for part, market in (("train", self.train), ("test", self.test)):
            rows = np.flatnonzero(market.decidable)
            first, last = int(rows.min()), int(rows.max())
            if market.ts is not None and market.bar_length is not None:
                decided = market.ts[rows] + market.bar_length
                first, last = (at.item().replace(tzinfo=dt.UTC) for at in (decided.min(), decided.max()))
            spans |= {f"{part}_start": first, f"{part}_end": last, f"{part}_decisions": len(rows)}
        return {"window": self.number, **spans}


def walk_forward_windows(
    market: MarketTable,
    n_windows: int = 4,
    *,
    train: Literal["growing", "rolling"] = "growing",
    embargo: Embargo = 0,
    min_train_share: float | None = None,
) -> Iterator[Window]:
    """Cut a market into consecutive spans that are played, each behind a span to learn from.

    A decision is learned from only if its position was valued before the first decision that is played, less the embargo.

    Parameters
    ----------
    market : with or without times; without, its rows are one series. n_windows : spans that are played, equally long.
    train : "growing": learn from all that came before; "rolling": from as much as before the first span.
    embargo, min_train_share : as of :class:`huracan.validation.PurgedWalkForward`.

    Raises
    ------
    NotEnoughData : a window would have nothing to learn from or to play.

    Examples
    --------
    >>> market = MarketTable.from_prices(np.zeros((13, 1)), np.full(13, 10.0))
    >>> [np.flatnonzero(w.train.decidable)[[0, -1]].tolist() + np.flatnonzero(w.test.decidable)[[0, -1]].tolist()
    ...  for w in walk_forward_windows(market, 2)]
    [[0, 2, 4, 7], [0, 6, 8, 11]]
    """
    if train not in ("growing", "rolling"):
        raise ModelError(f"train is '{train}'; 'growing' or 'rolling' was expected.")
    rows = np.flatnonzero(market.decidable)
    splitter = PurgedWalkForward(
        n_splits=n_windows, embargo=embargo, expanding=train == "growing", min_train_share=min_train_share
    )
    times: dict[str, Any] = {}
    if market.ts is not None and market.bar_length is not None:
        decision = market.ts[rows] + market.bar_length
        times = {"decision_time": decision, "label_end": decision + market.bar_length * market.bars[rows].astype(np.int64)}
    elif len(market.symbols) > 1:
        raise ModelError("a market of several symbols without times was given; without times nobody knows what comes first.")
    for number, fold in enumerate(splitter.folds(rows[:, None], **times)):
        yield Window(number, _deciding_on(market, rows[fold.train]), _deciding_on(market, rows[fold.test]))


def walk_forward_evaluation(
    market: Any,
    make_agent: Callable[[int], Any],
    rules: TradingRules,
    *,
    recipe: Recipe | None = None,
    n_windows: int = 4,
    train: Literal["growing", "rolling"] = "growing",
    seeds: int | Sequence[int] = 5,
    total_steps: int = 50_000,
    n_envs: int = 16,
    embargo: Embargo = 0,
    min_train_share: float | None = None,
    one_agent_per_symbol: bool = False,
    maps: bool = True,
    regimes: pl.DataFrame | None = None,
    executor: Executor | None = None,
) -> WalkForwardEvaluation:
    """Train agents on the past and play what comes next, beside strategies that any agent has to beat.

    For every window and seed a fresh agent learns what came before the window and plays the window once, greedily, as it is at
    the end of its training. On the same accounts play: ``flat``, ``buy_and_hold``, ``random`` (switches as often as this agent
    did, at random moments) and ``myopic`` (a ridge forecast one bar ahead, learned from the same past).

    Parameters
    ----------
    market : a :class:`~huracan.reinforcement.MarketTable`; or candles, with ``recipe`` (by default the minimal one).
    make_agent : from a seed to an agent with ``fit(env, total_steps)`` and ``predict(state, mask)``, such as
        ``lambda seed: DQNAgent(random_state=seed)``.
    rules : of the game; they hold in training and in play, see :func:`play`.
    n_windows, train, embargo, min_train_share : see :func:`walk_forward_windows`.
    seeds : how many, or which. At least five say something of luck; see ``.summary()``.
    total_steps, n_envs : of a training.
    one_agent_per_symbol : train for each symbol alone instead of for all together. Windows in which a symbol has nothing to
        learn from or to play are left out for that symbol, yardsticks included, and told in ``skipped`` of the result.
    maps : draw an action map of every agent; its ``predict`` must give values for that.
    regimes : ``[symbol, ts, regime]``, for :meth:`~huracan.reinforcement.WalkForwardEvaluation.by_regime`; where candles are
        given, by default what :func:`huracan.regimes.classify_regimes` says of them.
    executor : runs trainings (one a seed and window) and yardsticks on other cores or machines, or keeps them
        (:class:`~huracan.reinforcement.KeptRuns`); None runs them here. The result is the same for the same number of threads.

    Raises
    ------
    NotEnoughData : too few rows for so many windows, or episodes. ModelError : what the agent or the rules refuse.

    Examples
    --------
    >>> from huracan.accounting import CostModel
    >>> from huracan.reinforcement import ActionLadder, DQNAgent
    >>> from huracan.reinforcement.solved_markets import ornstein_uhlenbeck_market
    >>> market, _ = ornstein_uhlenbeck_market(n_points=11).sample(600, seed=0)
    >>> rules = TradingRules(rebalance=True, observe=("level",), costs=CostModel(fee_bps=20), episode_length=50)
    >>> found = walk_forward_evaluation(market, lambda seed: DQNAgent(random_state=seed, hidden=(8,), gamma=0.9), rules,
    ...                                 n_windows=2, seeds=2, total_steps=400)
    >>> found.to_frame().select("strategy", "seed", "window", "symbol").height
    14
    """
    if not isinstance(market, MarketTable):
        candles = validate_candles(market)
        market = MarketTable.from_candles(candles, recipe=recipe or _minimal())
        regimes = classify_regimes(candles) if regimes is None else regimes
    chosen = tuple(range(seeds)) if isinstance(seeds, int) else tuple(int(s) for s in seeds)
    if not chosen or len(set(chosen)) < len(chosen):
        raise ModelError(f"seeds are {seeds}; at least one, each once, was expected.")
    windows = list(walk_forward_windows(market, n_windows, train=train, embargo=embargo, min_train_share=min_train_share))
    work = _Work(
        market, tuple((w.train.decidable, w.test.decidable) for w in windows), make_agent, rules, total_steps, n_envs, maps
    )
    kept, skipped = playable_windows(windows, rules, market.symbols if one_agent_per_symbol else [""])
    tasks: list[Key] = [(w.number, seed, symbol) for w in windows for seed in chosen for n, symbol in kept if n == w.number]
    tasks += [(number, YARDSTICKS, symbol) for number, symbol in kept]
    if executor is None:
        done: Mapping[Key, Any] = {key: _one_task(key, shared=work) for key in tasks}
    else:
        done = executor.run(_one_task, {key: key for key in tasks}, shared=work)
    runs = {(key[0], seed, key[2]): done[key] for key in tasks if isinstance(seed := key[1], int)}
    parts = [_Part(played, seed, number) for (number, seed, _), run in runs.items() for played in (run.agent, run.random)]
    parts += [_Part(played, None, key[0]) for key in tasks if key[1] == YARDSTICKS for played in done[key].played]
    played_windows = [window for window in windows if any(number == window.number for number, _ in kept)]
    return WalkForwardEvaluation(
        bars=pl.concat([part.labelled(part.played.bars) for part in parts]),
        runs=pl.concat([part.labelled(part.played.per_symbol) for part in parts]),
        windows=pl.DataFrame([window.told() for window in played_windows]),
        learning_curves=pl.concat([_about(key, run.history) for key, run in runs.items()], how="diagonal"),
        action_maps=pl.concat([_about(key, run.action_map) for key, run in runs.items()]) if maps else pl.DataFrame(),
        stopped={(number, seed, symbol or None): run.stopped for (number, seed, symbol), run in runs.items() if run.stopped},
        skipped=skipped,
        bars_per_year=parts[0].played.bars_per_year,
        regimes=regimes,
    )


@dataclass(frozen=True, eq=False)
class _Work:
    """What all trainings share."""

    market: MarketTable
    spans: tuple[tuple[NDArray[np.bool_], NDArray[np.bool_]], ...]
    make_agent: Callable[[int], Any]
    rules: TradingRules
    total_steps: int
    n_envs: int
    maps: bool


@dataclass(frozen=True, eq=False)
class _Part:
    """What a strategy did in a window; yardsticks that learn nothing by chance have no seed."""

    played: Played
    seed: int | None
    window: int

    def labelled(self, frame: pl.DataFrame) -> pl.DataFrame:
        return frame.select(
            pl.lit(self.played.name).alias("strategy"),
            pl.lit(self.seed, dtype=pl.Int64).alias("seed"),
            pl.lit(self.window, dtype=pl.Int64).alias("window"),
            pl.all(),
        )


def _one_task(task: Key, shared: _Work) -> Kept:
    """What one agent did in a window, or what yardsticks did."""
    number, seed, symbol = task
    past, now = (replace(shared.market, decidable=decidable) for decidable in shared.spans[number])
    if symbol:
        past, now = past.of_symbol(symbol), now.of_symbol(symbol)
    if not isinstance(seed, int):
        return PlayedYardsticks(tuple(_yardsticks(past, now, shared.rules)))
    return _train_and_play(past, now, seed, shared)


def _train_and_play(past: MarketTable, now: MarketTable, seed: int, shared: _Work) -> EvaluatedRun:
    """One agent: trained on the past of a window, played in the window."""
    agent = shared.make_agent(seed)
    with warnings.catch_warnings():  # what is shared cannot be written to, and nothing here writes to it
        warnings.filterwarnings("ignore", "The given NumPy array is not writable", UserWarning)
        agent.fit(BatchTradingEnv(past, shared.n_envs, shared.rules), shared.total_steps)
    played = play(agent, now, shared.rules, name=AGENT)
    random = play(RandomOfSameHabits(played, now, shared.rules, seed=seed), now, shared.rules, name="random")
    points = [asdict(point) for point in getattr(agent, "history_", [])]
    return EvaluatedRun(
        played,
        random,
        pl.DataFrame(points, schema=_CURVE),
        action_map(agent, past, shared.rules).to_frame() if shared.maps else pl.DataFrame(),
        getattr(agent, "stopped_", ""),
    )


def _yardsticks(past: MarketTable, now: MarketTable, rules: TradingRules) -> Iterator[Played]:
    """What needs no seed, played in a window, on what agents play there."""
    yield play(Flat(rules.actions), now, rules, name="flat")
    if max(rules.actions.weights) > 0:
        yield play(BuyAndHold(rules.actions), now, rules, name="buy_and_hold")
    yield play(Myopic(past, rules), now, rules, name="myopic")


_CURVE = {
    "step": pl.Int64,
    **dict.fromkeys(("loss", "episode_return", "epsilon", "score"), pl.Float64),
    "held_back": pl.Boolean,
}


def _about(key: tuple[int, int, str], frame: pl.DataFrame) -> pl.DataFrame:
    number, seed, symbol = key
    return frame.select(
        pl.lit(seed, dtype=pl.Int64).alias("seed"),
        pl.lit(number, dtype=pl.Int64).alias("window"),
        pl.lit(symbol or None, dtype=pl.String).alias("symbol"),
        pl.all(),
    )


def _deciding_on(market: MarketTable, rows: NDArray[np.int64]) -> MarketTable:
    inside = np.zeros(len(market), bool)
    inside[rows] = True
    return replace(market, decidable=inside)


def _minimal() -> Recipe:
    from huracan.preprocessing import FeatureRecipe

    return FeatureRecipe.minimal()
