"""Which of these models is better, and how sure is that: A/B tests that hold on autocorrelated market data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from numpy.typing import ArrayLike

from huracan.baselines import ab_tables as tables
from huracan.baselines.ab_result import ABTestResult
from huracan.baselines.ab_returns import SharpeFindings, judge_sharpe_ratios
from huracan.baselines.aligned_losses import AlignedLosses, Keys, align_losses, told_columns
from huracan.baselines.comparing import PAIR_CORRECTIONS, PairCorrection, check_comparison, compare_aligned, compare_models
from huracan.baselines.comparison import Comparison, Dependence, PairResult
from huracan.baselines.forecast_losses import LOSSES, Loss, forecast_losses
from huracan.baselines.measured_dependence import DependenceChoice
from huracan.errors import DataError, nearest_name
from huracan.statistics import (
    Better,
    MannWhitney,
    SequentialComparison,
    TTest,
    Wilcoxon,
    diebold_mariano,
    giacomini_white,
    mann_whitney,
    sharpe_difference_test,
    t_test,
    wilcoxon,
)
from huracan.statistics.loss_table import check_level

__all__ = [
    "LOSSES",
    "PAIR_CORRECTIONS",
    "ABTestResult",
    "ABTestingFramework",
    "Better",
    "Comparison",
    "Dependence",
    "MannWhitney",
    "PairResult",
    "SequentialComparison",
    "TTest",
    "Wilcoxon",
    "compare_models",
    "diebold_mariano",
    "forecast_losses",
    "giacomini_white",
    "mann_whitney",
    "sharpe_difference_test",
    "t_test",
    "wilcoxon",
]


_OF_MEANS = "Pairs, ranks, confidence set and running differences are of mean returns; Sharpe ratios decide."
_ALLOWED_ALL_THE_SAME = (
    "Pairs were taken to be independent over time, as asked; joint intervals, confidence set, bands and regimes allow for "
    "dependence all the same, and may say less."
)


class ABTestingFramework:
    """Compare models by out-of-fold predictions, losses or returns: a table, ranks, a decision and its reason.

    All three ways end in one :class:`~huracan.baselines.ab_result.ABTestResult`, which
    :func:`huracan.report.write_comparison_page` draws. Where models run live, :meth:`sequential` decides while losses arrive.

    Parameters
    ----------
    alpha, correction, dependence : as of :func:`compare_models`. With a correction that holds the family-wise error
        ("holm", "bonferroni", "romano_wolf"; "hochberg" mostly) ``alpha`` is the chance of any false claim among the pairs.
        Regimes, the confidence set and Sharpe ratios are questions of their own, each held at ``alpha``.
    resamples, seed : of the joint null distributions (simultaneous intervals, confidence set, superior ability, Romano-Wolf)
        and the bootstrap of Sharpe ratios.

    Raises
    ------
    DataError : a setting that does not exist or is out of bounds.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> y = rng.standard_normal(600)
    >>> forecasts = {"constant": np.zeros(600), "ridge": 0.3 * y + 0.3 * rng.standard_normal(600)}
    >>> result = ABTestingFramework().compare_predictions(y, forecasts, baseline="constant")
    >>> result.decision, result.models["model"].to_list(), result.models["in_set"].to_list()
    ('ridge', ['ridge', 'constant'], [True, False])
    """

    def __init__(
        self,
        *,
        alpha: float = 0.05,
        correction: PairCorrection = "holm",
        dependence: DependenceChoice = "auto",
        resamples: int = 1999,
        seed: int = 0,
    ) -> None:
        check_comparison(correction, dependence, "two-sided", alpha)
        check_level(alpha, resamples)
        self.alpha = alpha
        self.correction: PairCorrection = correction
        self.dependence: DependenceChoice = dependence
        self.resamples = resamples
        self.seed = seed

    def __repr__(self) -> str:
        return f"ABTestingFramework(alpha={self.alpha}, correction={self.correction!r}, dependence={self.dependence!r})"

    def compare_losses(
        self,
        losses: Mapping[str, Any] | Any,
        *,
        baseline: str | None = None,
        times: Keys = None,
        symbols: Keys = None,
        regimes: ArrayLike | None = None,
        measure: str = "loss",
    ) -> ABTestResult:
        """Compare models by losses of the same rows, smaller is better.

        Parameters
        ----------
        losses, baseline, times, symbols : as of :func:`compare_models`.
        regimes : (n,) the regime of each row, known when the forecast was made; the models are compared within each too.
        measure : what the losses are, for sentences and pages.

        Raises
        ------
        DataError, NotEnoughData, UnknownName : as of :func:`compare_models`.
        """
        return self._result(align_losses(losses, times, symbols), baseline, regimes, measure)

    def compare_predictions(
        self,
        y_true: ArrayLike,
        predictions: Mapping[str, Any] | Any,
        *,
        loss: str | Loss = "squared_error",
        baseline: str | None = None,
        times: ArrayLike | None = None,
        symbols: ArrayLike | None = None,
        regimes: ArrayLike | None = None,
    ) -> ABTestResult:
        """Compare models by what their out-of-fold predictions lose.

        Parameters
        ----------
        y_true : (n,) outcomes. predictions : model -> (n,) forecasts of the same rows, or a frame; where both are pandas
            series, rows belong together by index.
        loss : "squared_error", "absolute_error", "zero_one", "brier", "log_loss", or a function of outcomes and forecasts.
        baseline, times, symbols, regimes : as of :meth:`compare_losses`.

        Raises
        ------
        DataError, NotEnoughData, UnknownName : as of :func:`compare_models` and
            :func:`~huracan.baselines.forecast_losses.forecast_losses`.
        """
        measure = loss.replace("_", " ") if isinstance(loss, str) else getattr(loss, "__name__", "loss")
        losses = forecast_losses(y_true, predictions, loss)
        if times is None:
            times, found = _keys_of(y_true, predictions)
            symbols = found if symbols is None else symbols
        return self.compare_losses(losses, baseline=baseline, times=times, symbols=symbols, regimes=regimes, measure=measure)

    def compare_returns(
        self,
        returns: Mapping[str, Any] | Any,
        *,
        baseline: str | None = None,
        times: Keys = None,
        symbols: Keys = None,
        regimes: ArrayLike | None = None,
        n_trials: int | None = None,
    ) -> ABTestResult:
        """Compare strategies by net returns of the same periods: their means, and their Sharpe ratios, which decide.

        The winner's Sharpe ratio must be shown to be above the baseline's (every other's, without one) after correction, and
        above what luck alone would show after ``n_trials`` (:func:`huracan.validation.deflated_sharpe_ratio`).

        Parameters
        ----------
        returns : strategy -> (n,) net returns, fractions, one a period, or a frame; larger is better. Several symbols of one
            time are averaged: an equally weighted account.
        baseline : strategy that all others are compared with; one of zeros means "no position".
        times, symbols, regimes : as of :meth:`compare_losses`.
        n_trials : everything that was tried to get here, also what was thrown away; by default the strategies here.

        Raises
        ------
        DataError : also where a strategy earns the same in every period, and not zero (infinite Sharpe ratio), or ``n_trials``
            is fewer than the strategies here. NotEnoughData, UnknownName : as of :func:`compare_models`.
        """
        aligned = align_losses(returns, times, symbols)
        negative = replace(aligned, losses=-aligned.losses, row_losses=-aligned.row_losses)
        by_mean = self._result(negative, baseline, regimes, "negative net return")
        sharpe = self._sharpe_ratios(aligned, baseline, n_trials)
        by_mean = replace(by_mean, notes=(_OF_MEANS, *by_mean.notes))
        return replace(_with_sharpe_ratios(by_mean, sharpe), decision=sharpe.decision, sentence=sharpe.sentence)

    def add_returns(
        self,
        result: ABTestResult,
        returns: Mapping[str, Any] | Any,
        *,
        baseline: str | None = None,
        n_trials: int | None = None,
    ) -> ABTestResult:
        """Put the Sharpe ratios of the models' accounts beside losses that decided; the decision stays.

        Parameters
        ----------
        result : of :meth:`compare_losses` or :meth:`compare_predictions`.
        returns, baseline, n_trials : as of :meth:`compare_returns`; periods need not be those of the losses.
        """
        aligned = align_losses(returns)
        for name in aligned.names:
            if name not in result.comparison.models:
                raise nearest_name(name, result.comparison.models, kind="model of this comparison")
        return _with_sharpe_ratios(result, self._sharpe_ratios(aligned, baseline, n_trials, shown=result.decision))

    def sequential(self, names: tuple[str, str] = ("champion", "challenger"), **settings: Any) -> SequentialComparison:
        """A comparison of two models that may be looked at after every loss; settings as of :class:`SequentialComparison`."""
        return SequentialComparison(self.alpha, names=names, **settings)

    def _sharpe_ratios(
        self, aligned: AlignedLosses, baseline: str | None, n_trials: int | None, shown: str | None = None
    ) -> SharpeFindings:
        return judge_sharpe_ratios(
            aligned.losses,
            aligned.names,
            baseline=baseline,
            alpha=self.alpha,
            correction="holm" if self.correction == "romano_wolf" else self.correction,
            n_trials=n_trials,
            resamples=self.resamples,
            seed=self.seed,
            shown=shown,
        )

    def _result(self, aligned: AlignedLosses, baseline: str | None, regimes: ArrayLike | None, measure: str) -> ABTestResult:
        drawn: dict[str, Any] = {"resamples": self.resamples, "seed": self.seed}
        comparison = compare_aligned(
            aligned,
            baseline=baseline,
            correction=self.correction,
            dependence=self.dependence,
            alpha=self.alpha,
            **drawn,
        )
        paths, notes = tables.paths_table(comparison)
        by_regime, conditional = tables.no_rows("by_regime"), tables.no_rows("conditional")
        if regimes is not None:
            by_regime, short = tables.by_regime_table(aligned, comparison, regimes)
            conditional, several = tables.conditional_table(aligned, comparison, regimes)
            notes += short + several
        lost = [
            f"{n:,} rows of '{name}' have no partner at their time and were left out."
            for name, n in aligned.dropped.items()
            if n
        ]
        return ABTestResult(
            measure=measure,
            decision=comparison.decision,
            sentence=comparison.sentence,
            comparison=comparison,
            pairs=tables.pairs_table(comparison, **drawn),
            models=tables.models_table(comparison, **drawn),
            paths=paths,
            by_regime=by_regime,
            conditional=conditional,
            superior_p_value=tables.superior_p_value(comparison, **drawn),
            sharpe=tables.no_rows("sharpe"),
            deflation=tables.no_rows("deflation"),
            notes=(*lost, *([_ALLOWED_ALL_THE_SAME] if self.dependence == "independent" else []), *notes),
        )


def _keys_of(y_true: Any, predictions: Any) -> tuple[Any, Any]:
    """Times and symbols that come with the outcomes, or else with the forecasts, of which each model has the same."""
    _, times, symbols = told_columns({"outcome": y_true}, "outcomes")
    if times is None:
        _, times, symbols = told_columns(predictions, "predictions")
    if isinstance(times, Mapping):
        raise DataError(
            "forecasts have different indexes and outcomes have none; outcomes with the index they share were expected."
        )
    return times, symbols


def _with_sharpe_ratios(result: ABTestResult, found: SharpeFindings) -> ABTestResult:
    return replace(
        result,
        sharpe=found.table,
        deflation=found.deflation,
        deflation_of=found.deflation_of,
        n_trials=found.n_trials,
        overfitting=found.overfitting,
        notes=(*result.notes, *found.notes),
    )
