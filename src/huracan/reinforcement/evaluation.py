"""What a walk-forward evaluation found: the agent beside what it has to beat, with what seeds and time leave uncertain."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from huracan.accounting import performance_metrics
from huracan.errors import DataError, ModelError
from huracan.model_info import RegimeSkill
from huracan.reinforcement.regime_results import evidence_of, regime_table
from huracan.reinforcement.uncertain_means import adjusted_for_all, bootstrapped_over_time, tested_over_time
from huracan.reinforcement.verdicts import AgentVerdict, verdict_of
from huracan.statistics import (
    interquartile_mean,
    performance_profile,
    probability_of_improvement,
    stratified_bootstrap_interval,
)

__all__ = ["AGENT", "WalkForwardEvaluation"]

Floats = NDArray[np.float64]

AGENT = "agent"
"""What the agent is called among the strategies."""

_ORDER = (AGENT, "flat", "buy_and_hold", "random", "myopic")
_FEWEST_DAYS = 60
_FEWEST_BARS = 20
_LEAD = ("lead_bps", "lead_low", "lead_high", "lead_p_value")
_RUN = ("seed", "window", "symbol", "strategy")


@dataclass(frozen=True, eq=False)
class WalkForwardEvaluation:
    """Result of :func:`huracan.reinforcement.walk_forward_evaluation`.

    Attributes
    ----------
    bars : what every strategy did, as :class:`~huracan.reinforcement.Played` has it, after ``[strategy, seed, window]``;
        strategies that learn nothing by chance have no seed.
    runs : figures of each run, see :meth:`to_frame`. windows : spans of each window, for training and for play.
    learning_curves : ``[seed, window, symbol, step, loss, episode_return, epsilon, score, held_back]``, see
        :class:`~huracan.reinforcement.agent_settings.LearningPoint`; ``symbol`` is null where one agent learned all symbols.
    action_maps : cells of an action map of every trained agent, ``[seed, window, symbol, x_name, y_name, x, y, action,
        action_name, advantage]``.
    stopped : (window, seed, symbol) -> why a training ended before its time; symbol is None where one agent learned all.
    skipped : (window, symbol) -> why nobody learned or played it, where every symbol has agents of its own.
    tried : evaluations made on these data so far, this one among them; adjusted p-values, of leads and of regimes, are
        multiplied by it.
    bars_per_year : by which ratios are annualised; 1 where the market has no times.
    regimes : ``[symbol, ts, regime]``, the state of the market when the bar of ``ts`` had closed; None where nobody knows.
    """

    bars: pl.DataFrame
    runs: pl.DataFrame
    windows: pl.DataFrame
    learning_curves: pl.DataFrame
    action_maps: pl.DataFrame
    stopped: Mapping[tuple[int, int, str | None], str] = field(default_factory=dict)
    bars_per_year: float = 1.0
    regimes: pl.DataFrame | None = None
    skipped: Mapping[tuple[int, str], str] = field(default_factory=dict)
    tried: int = 1

    def __repr__(self) -> str:
        seeds = self.runs["seed"].drop_nulls().n_unique()
        symbols = self.runs["symbol"].n_unique()
        return (
            f"<WalkForwardEvaluation: {seeds} seeds x {self.windows.height} windows x {symbols} symbols, "
            f"{len(self.strategies)} strategies>"
        )

    @cached_property
    def strategies(self) -> tuple[str, ...]:
        """Names, the agent first, then from the simplest to the cleverest."""
        found = self.runs["strategy"].unique(maintain_order=True).to_list()
        return tuple(sorted(found, key=lambda name: _ORDER.index(name) if name in _ORDER else len(_ORDER)))

    @cached_property
    def symbols(self) -> tuple[str, ...]:
        """What was traded, in order."""
        return tuple(sorted(self.runs["symbol"].unique().to_list()))

    def of_symbol(self, symbol: str) -> WalkForwardEvaluation:
        """What was found of one symbol; spans of windows, curves and maps of agents that learned others too stay whole.

        Raises
        ------
        DataError : it was not traded.
        """
        if symbol not in self.symbols:
            raise DataError(f"symbol '{symbol}' is not among {', '.join(self.symbols)}.")

        def own(table: pl.DataFrame) -> pl.DataFrame:
            return (
                table.filter(pl.col("symbol").is_null() | (pl.col("symbol") == symbol)) if "symbol" in table.columns else table
            )

        return replace(
            self,
            bars=own(self.bars),
            runs=own(self.runs),
            learning_curves=own(self.learning_curves),
            action_maps=own(self.action_maps),
            stopped={key: why for key, why in self.stopped.items() if key[2] in (None, symbol)},
            skipped={key: why for key, why in self.skipped.items() if key[1] == symbol},
        )

    def to_frame(self) -> pl.DataFrame:
        """One row per seed, window, symbol and strategy: ``net_log_return``, ``sharpe``, ``turnover``, ``exposure``,
        ``max_drawdown``, ``trades`` and the other figures of :attr:`huracan.reinforcement.Played.per_symbol`."""
        return self.runs.select(*_RUN, pl.exclude(_RUN)).sort("strategy", "window", "symbol", "seed")

    def scores(self, strategy: str, figure: str = "net_log_return") -> Floats:
        """A figure as runs x tasks: a row a seed (one for strategies without), a column a window and symbol."""
        own = self.runs.filter(pl.col("strategy") == strategy)
        table = own.sort("window", "symbol", "seed").pivot(on=["window", "symbol"], index="seed", values=figure)
        return table.drop("seed").to_numpy().astype(np.float64)

    def summary(self, *, confidence: float = 0.95, resamples: int = 2000, seed: int = 0) -> pl.DataFrame:
        """One row per strategy.

        ``score``, ``score_low``, ``score_high`` : interquartile mean over runs (seeds x windows x symbols) of a window's net
        log return, and its stratified bootstrap interval: what other seeds would have given in the same windows. Null ends
        where there is nothing but one run a window; too short with fewer than five seeds.

        ``mean_bps``, ``mean_low``, ``mean_high`` : mean net log return per bar in basis points, seeds and symbols averaged
        first, with the interval of the equal-weighted-cosine t test over time; ``bootstrap_low`` and ``bootstrap_high`` are of
        the stationary block bootstrap, for all strategies at once: what other times might have given. ``p_value`` is of a
        mean of 0.

        ``lead_bps``, ``lead_low``, ``lead_high``, ``lead_p_value``, ``lead_p_adjusted`` : mean of the agent less that of this
        strategy, bar by bar, by the same test; adjusted after Holm for all strategies it is compared with, times :attr:`tried`.
        ``improvement`` : chance that a run of the agent earns more than one of this strategy in the same window and symbol;
        a tie counts as half, so an agent that never trades has one half against doing nothing.

        ``sharpe``, ``max_drawdown`` : median over seeds, each an account of its own in equal parts in all symbols, set equal
        again at every bar; ``worst_drawdown`` is that of the worst seed. Nobody holds all seeds at once.
        ``turnover`` (mean per bar), ``exposure``, ``trades`` and ``cost_bps`` (per run) : means over runs.

        Over time, means of days are used where there are at least 60, else bars.

        Parameters
        ----------
        confidence : of all intervals, each by itself. resamples, seed : of the bootstraps.

        Raises
        ------
        NotEnoughData : fewer than 20 bars were played.

        References
        ----------
        Agarwal et al. (2021), "Deep reinforcement learning at the edge of the statistical precipice"; Lazarus et al. (2018),
        "HAR Inference"; Holm (1979).
        """
        return self._once(("summary", confidence, resamples, seed), lambda: self._summary(confidence, resamples, seed))

    def _summary(self, confidence: float, resamples: int, seed: int) -> pl.DataFrame:
        over_time = self.over_time()
        series = {name: over_time[name].to_numpy() for name in self.strategies}
        against_zero = tested_over_time(series, [(name, None) for name in self.strategies], confidence)
        rivals = [name for name in self.strategies if name != AGENT]
        leads = tested_over_time(series, [(AGENT, name) for name in rivals], confidence)
        adjusted = adjusted_for_all(leads["p_value"], self.tried)
        bootstrapped = bootstrapped_over_time(series, confidence, resamples, seed)
        rows = []
        for i, name in enumerate(self.strategies):
            row: dict[str, Any] = {"strategy": name, **self._score(name, confidence, resamples, seed)}
            row |= dict(zip(("mean_bps", "mean_low", "mean_high", "p_value"), against_zero.row(i)))
            row |= bootstrapped[name]
            if name in rivals:
                k = rivals.index(name)
                row |= dict(zip(_LEAD, leads.row(k)))
                row["lead_p_adjusted"] = float(adjusted[k])
                row["improvement"] = probability_of_improvement(self.scores(AGENT), self.scores(name))
            else:
                row |= dict.fromkeys((*_LEAD, "lead_p_adjusted", "improvement"))
            rows.append(row | self._account(name))
        return pl.DataFrame(rows, infer_schema_length=None)

    def summary_by_symbol(self, *, confidence: float = 0.95, resamples: int = 2000, seed: int = 0) -> pl.DataFrame:
        """:meth:`summary` of each symbol alone, after ``symbol``; ``lead_p_adjusted`` holds for all symbols and strategies.

        Figures are those of :meth:`of_symbol`, so ``score`` is over seeds and windows. Symbols with fewer than 20 bars are left
        out.
        """
        asked = (confidence, resamples, seed)
        return self._once(("summary_by_symbol", *asked), lambda: self._summary_by_symbol(*asked))

    def _summary_by_symbol(self, confidence: float, resamples: int, seed: int) -> pl.DataFrame:
        parts = [
            self.of_symbol(name)
            .summary(confidence=confidence, resamples=resamples, seed=seed)
            .with_columns(symbol=pl.lit(name))
            for name in self._long_enough()
        ]
        table = pl.concat(parts, how="vertical_relaxed").with_row_index("row")
        tested = table.filter(pl.col("lead_p_value").is_not_null())
        adjusted = adjusted_for_all(tested["lead_p_value"], self.tried)
        every = tested.select("row", pl.Series("lead_p_adjusted", adjusted))
        joined = table.drop("lead_p_adjusted").join(every, on="row", how="left", maintain_order="left")
        return joined.select("symbol", *(c for c in table.columns if c not in ("row", "symbol")))

    def _long_enough(self) -> list[str]:
        bars = self.bars.group_by("symbol").agg(pl.col("row").n_unique())
        return sorted(bars.filter(pl.col("row") >= _FEWEST_BARS)["symbol"].to_list())

    def over_time(self) -> pl.DataFrame:
        """``[time, a column a strategy]``: mean net log return per bar over seeds and symbols, of each day or bar."""
        time = self._time
        days = time == "ts" and self.bars.select(pl.col("ts").dt.date().n_unique()).item() >= _FEWEST_DAYS
        moment = pl.col("ts").dt.truncate("1d") if days else pl.col(time)
        return (
            self.bars.group_by(moment.alias("time"), "strategy")
            .agg(pl.col("log_return").mean())
            .pivot(on="strategy", index="time", values="log_return")
            .sort("time")
            .select("time", *self.strategies)
        )

    def profiles(
        self,
        thresholds: ArrayLike | None = None,
        *,
        figure: str = "net_log_return",
        confidence: float = 0.95,
        resamples: int = 2000,
        seed: int = 0,
    ) -> pl.DataFrame:
        """Performance profiles: ``[strategy, threshold, share, ci_low, ci_high]``, the share of runs above each threshold.

        Parameters
        ----------
        thresholds : by default 0 and 51 from the lowest to the highest score. figure : a column of :meth:`to_frame`.
        confidence, resamples, seed : of the bands, see :func:`huracan.statistics.performance_profile`.
        """
        scores = {name: self.scores(name, figure) for name in self.strategies}
        if thresholds is None:
            every = np.concatenate([table.ravel() for table in scores.values()])
            thresholds = np.union1d(np.linspace(every.min(), every.max(), 51), [0.0])
        found = []
        for name, table in scores.items():
            profile = performance_profile(table, thresholds, resamples=resamples, confidence=confidence, seed=seed)
            columns = {part: getattr(profile, part) for part in ("threshold", "share", "ci_low", "ci_high")}
            found.append(pl.DataFrame(columns).select(pl.lit(name).alias("strategy"), pl.all()))
        return pl.concat(found)

    def by_regime(
        self, strategy: str = AGENT, *, confidence: float = 0.95, resamples: int = 2000, seed: int = 0
    ) -> pl.DataFrame:
        """One row per regime that was met: what a strategy earned there, net, more than by doing nothing.

        ``bars``, ``moments``, ``share`` : bars of all symbols decided in this regime, at how many moments, and their share.

        ``mean_bps``, ``mean_low``, ``mean_high`` : mean net log return per bar in basis points, seeds and symbols averaged
        first, with the interval of the equal-weighted-cosine t test over the moments of the regime; ``bootstrap_low`` and
        ``bootstrap_high`` are of the stationary block bootstrap. ``p_value`` is of a mean of 0, which is what doing nothing
        earns; ``p_adjusted`` after Holm for all regimes, times :attr:`tried`. Null with fewer than 100 moments.

        ``n_effective`` : independent moments that would be worth as much. ``exposure``, ``turnover`` : share of bars with a
        position, and mean turnover.

        Raises
        ------
        ModelError : regimes are not known; see ``regimes`` of :func:`~huracan.reinforcement.walk_forward_evaluation`.
        """
        if self.regimes is None:
            raise ModelError("regimes of this market are not known; walk_forward_evaluation(..., regimes=) takes them.")
        own = self.bars.filter(pl.col("strategy") == strategy)
        if own.is_empty():
            raise ModelError(f"strategy '{strategy}' was not played; {', '.join(self.strategies)} were.")
        regimes = self.regimes
        return self._once(
            ("by_regime", strategy, confidence, resamples, seed),
            lambda: regime_table(own, regimes, tried=self.tried, confidence=confidence, resamples=resamples, seed=seed),
        )

    def regime_evidence(self) -> tuple[RegimeSkill, ...]:
        """What :meth:`by_regime` found of the agent, as a card holds it: net log return a bar; nothing where nobody knows."""
        return () if self.regimes is None else evidence_of(self.by_regime())

    def verdict(self, *, alpha: float = 0.05, resamples: int = 2000, seed: int = 0) -> AgentVerdict:
        """What all this allows to say in a sentence.

        Parameters
        ----------
        alpha : level of the tests after Holm, over all yardsticks. resamples, seed : as of :meth:`summary`.
        """
        return verdict_of(
            self.summary(confidence=1.0 - alpha, resamples=resamples, seed=seed),
            agent=AGENT,
            alpha=alpha,
            n_seeds=self.runs["seed"].drop_nulls().n_unique(),
            n_windows=self.windows.height,
            stopped=self.stopped,
            skipped=self.skipped,
            tried=self.tried,
        )

    def equity(self) -> pl.DataFrame:
        """``[strategy, seed, ts, equity]`` (``row`` without times): what 1 has become, window after window.

        In equal parts in all symbols, set equal again at every bar; one curve for each seed, and one without seed in equal
        parts in all seeds, which is smoother than any account that somebody could hold.
        """
        return pl.concat([self._curves("seed"), self._curves()])

    def _once(self, key: Any, make: Callable[[], pl.DataFrame]) -> pl.DataFrame:
        """A table with bootstraps in it is made once; asked again with the same settings, it is there."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    @cached_property
    def _made(self) -> dict[Any, pl.DataFrame]:
        return {}

    def _curves(self, *by: str) -> pl.DataFrame:
        seed = pl.col("seed") if by else pl.lit(None, dtype=pl.Int64).alias("seed")
        return (
            (self._grown_by_seed if by else self._grown())
            .filter(pl.col("seed").is_not_null() if by else True)
            .with_columns(((1.0 + pl.col("grown")).cum_prod().over("strategy", *by)).alias("equity"))
            .select("strategy", seed, self._time, "equity")
        )

    def _grown(self, *by: str) -> pl.DataFrame:
        """What an account in equal parts in all symbols grew by at every bar; strategies without seed have one."""
        return (
            self.bars.group_by("strategy", *by, self._time)
            .agg((pl.col("log_return").exp() - 1.0).mean().alias("grown"))
            .sort("strategy", *by, self._time)
        )

    @cached_property
    def _grown_by_seed(self) -> pl.DataFrame:
        return self._grown("seed")

    @property
    def _time(self) -> str:
        return "row" if self.bars["ts"].null_count() else "ts"

    def _score(self, name: str, confidence: float, resamples: int, seed: int) -> dict[str, float | None]:
        table = self.scores(name)
        if len(table) < 2:
            return {"score": float(interquartile_mean(table)), "score_low": None, "score_high": None}
        found = stratified_bootstrap_interval(table, resamples=resamples, confidence=confidence, seed=seed)
        return {"score": found.estimate, "score_low": found.ci_low, "score_high": found.ci_high}

    def _account(self, name: str) -> dict[str, float]:
        seeds = self._grown_by_seed.filter(pl.col("strategy") == name).partition_by("seed", maintain_order=True)
        returns = [account["grown"].to_numpy() for account in seeds]
        found = [performance_metrics(path, bars_per_year=self.bars_per_year, confidence=None) for path in returns]
        sharpe, drawdown = (np.array([figures[key] for figures in found]) for key in ("sharpe", "max_drawdown"))
        own = self.runs.filter(pl.col("strategy") == name)
        means = own.select("turnover", "exposure", "trades", "cost_bps").mean().row(0, named=True)
        return {
            "sharpe": float(np.median(sharpe)),
            "max_drawdown": float(np.median(drawdown)),
            "worst_drawdown": float(drawdown.min()),
            **means,
        }
