"""``UnifiedMLPipeline``: one object that joins everything."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from huracan.config import HuracanConfig, load_config
from huracan.integration.evidence import Progress
from huracan.integration.results import PipelineResult
from huracan.model_info import MarketRegime, ModelInfo
from huracan.model_registry import ModelRegistry

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import ArrayLike

    from huracan.baselines.ab_result import ABTestResult
    from huracan.integration.automl_job import AutoMLResult
    from huracan.integration.drift_check import DriftCheck
    from huracan.integration.feedback.replay_report import ReplayResult
    from huracan.integration.regime_evidence import RegimeModel
    from huracan.integration.rl_evaluation_job import EvaluatedAgent
    from huracan.integration.rl_job import TrainedAgent

__all__ = ["UnifiedMLPipeline"]


class UnifiedMLPipeline:
    """From candles to a champion model, or to the honest answer that nothing beats the baseline.

    Parameters
    ----------
    config : path of a YAML file, a mapping, a ``HuracanConfig``, or None for the defaults. ``HURACAN_HOME`` and
        ``HURACAN__SECTION__KEY`` in the environment override it.

    Examples
    --------
    >>> pipeline = UnifiedMLPipeline({"profile": "quick"})
    >>> pipeline.config.active_profile.n_splits
    5
    """

    def __init__(self, config: str | Path | Mapping[str, Any] | HuracanConfig | None = None) -> None:
        self.config = load_config(config)

    @cached_property
    def registry(self) -> ModelRegistry:
        """The registry in the configured database; the home folder is made when it is first used."""
        home = self.config.home
        url = self.config.registry.url or f"sqlite:///{home / 'huracan.db'}"
        return ModelRegistry(url, artifacts=home / "artifacts")

    def run(self, candles: Any = None, *, progress: Progress | None = None) -> PipelineResult:
        """Run the main job.

        Quality checks, features, labels and regimes; out-of-fold scores of every learner of the profile by purged
        walk-forward; positions and their net result; comparison with the baseline; one look at the locked hold-out;
        registration of the champion; the report. A run that was killed goes on where it stopped when it is started
        again with the same data, configuration and versions.

        Parameters
        ----------
        candles : file, folder, pandas or polars frame; None takes ``data.source``, and without that a simulated market.
        progress : called after each finished piece with its description and its share of the work.

        Raises
        ------
        HuracanError : what is wrong with data, configuration or environment, in one sentence.
        """
        from huracan.integration.main_job import run_on_candles

        return run_on_candles(self.config, lambda: self.registry, candles, progress)

    def run_automl(self, candles: Any = None, *, study: str | None = None, progress: Progress | None = None) -> AutoMLResult:
        """Search models and their settings under the budget of ``automl``, and judge what was found once.

        Rows are prepared as in :meth:`run`. Everything before the hold-out is searched; the hold-out, which no trial has seen,
        says whether the choice beats the constant forecast, and the look is counted. What is crowned is registered and promoted
        by the rules of :meth:`run`; else the baseline stays. A search that was killed goes on with its trials when it is
        started again with the same data, configuration and versions.

        Parameters
        ----------
        candles : as of :meth:`run`.
        study : name of the search in the database; a search under a name that is there goes on with its trials. By default each
            run has its own.
        progress : called after each trial with the best score so far and the share of the work that was done since.

        Raises
        ------
        HuracanError : what is wrong with data, configuration or environment, in one sentence.
        """
        from huracan.integration.automl_job import search_on_candles

        return search_on_candles(self.config, lambda: self.registry, candles, progress, study=study)

    def train_agent(self, candles: Any = None, *, progress: Progress | None = None) -> TrainedAgent:
        """Train an agent in the market of these candles, under the rules of ``rl`` and the costs of ``costs``.

        The hold-out is left out, as in :meth:`run`. A training that was killed goes on where its last checkpoint was when it is
        started again with the same data, configuration and versions. The agent is registered, and champion of nothing: nothing
        has judged it. Where :meth:`evaluate_agent` has evaluated agents of this making, what it found stands on the card.

        Parameters
        ----------
        candles, progress : as of :meth:`run`.

        Raises
        ------
        HuracanError : what is wrong with data, configuration or environment, in one sentence.
        """
        from huracan.integration.rl_job import train_agent

        return train_agent(self.config, lambda: self.registry, candles, progress)

    def evaluate_agent(self, candles: Any = None, *, progress: Progress | None = None) -> EvaluatedAgent:
        """Say whether an agent under the rules of ``rl`` and the costs of ``costs`` is any good, walk-forward.

        For every window and seed of ``rl.evaluation`` an agent learns what came before and plays what comes next, beside doing
        nothing, buy and hold, chance of equal turnover and a forecast one bar ahead. The hold-out is left out, as in
        :meth:`run`. Tables and a report are written under ``home``; an evaluation that was killed goes on with its finished
        runs when it is started again with the same data, configuration and versions.

        Parameters
        ----------
        candles, progress : as of :meth:`run`.

        Raises
        ------
        HuracanError : what is wrong with data, configuration or environment, in one sentence.
        """
        from huracan.integration.rl_evaluation_job import evaluate_agent

        return evaluate_agent(self.config, lambda: self.registry, candles, progress)

    def run_complete_pipeline(
        self,
        *,
        X_train: Any,
        y_train: Any,
        X_val: Any,
        y_val: Any,
        X_test: Any,
        y_test: Any,
        ts: Mapping[str, ArrayLike] | None = None,
        label_end: Mapping[str, ArrayLike] | None = None,
        prices: Mapping[str, ArrayLike] | None = None,
        label_horizon: int | None = None,
    ) -> PipelineResult:
        """Run on ready features of one series: train every learner of the profile, calibrate on validation, judge on test.

        The three parts follow each other in time. Rows whose label is not known before the next part begins, less
        ``validation.embargo_bars``, are left out. The baseline is a constant, the mean label of validation; every learner's
        forecast is a line in its score, fitted on validation, with that same level. Squared errors on test (for classes
        Brier scores) decide, corrected for the number of learners. Nothing is written to disk.

        Parameters
        ----------
        X_train, X_val, X_test : pandas or polars frames, or arrays, (n, d), the same columns in each; missing values are
            filled by what the training part teaches.
        y_train, y_val, y_test : (n,). Two different values of any kind are classes; more numbers, -1, 0 and 1 among them,
            are a regression.
        ts, label_end : ``{"train": ..., "val": ..., "test": ...}``, open time of each row's bar and the time its label is
            known, UTC. Without ``ts`` a pandas time index is used, else the order of the rows; without ``label_end`` a
            label ends when the bar ``label_horizon`` rows after the next one opens.
        prices : the same keys, open price of each row's bar; they give a backtest net of all configured costs.
        label_horizon : bars a label looks ahead; by default ``labels.horizon`` of the configuration.

        Returns
        -------
        PipelineResult. ``result["preprocessing"]`` says what the label was taken for and what was left out;
        ``result["training"]`` has each learner's model or its failure; ``result["evaluation"]`` the ``leaderboard`` on test
        and ``net``, one row a learner; ``result["predictions"]`` what the champion (the baseline where none is crowned)
        says about test: ``[ts, model, forecast]``, for classes ``predicted`` and ``probability``, with prices ``position``.

        Raises
        ------
        DataError, ModelError : which part, column or row is wrong, and what was expected.

        Examples
        --------
        >>> import numpy as np
        >>> pipeline = UnifiedMLPipeline({"profile": "mine", "profiles": {"mine": {"learners": {"ridge": {}}}}})
        >>> X = np.random.default_rng(0).normal(size=(600, 3))
        >>> y = X[:, 0] + np.random.default_rng(1).normal(size=600)
        >>> result = pipeline.run_complete_pipeline(
        ...     X_train=X[:300], y_train=y[:300], X_val=X[300:450], y_val=y[300:450], X_test=X[450:], y_test=y[450:]
        ... )
        >>> result.champion, result["predictions"].columns, result["evaluation"]["leaderboard"]["learner"].to_list()
        ('ridge', ['ts', 'model', 'forecast'], ['ridge', 'baseline'])
        """
        from huracan.integration.array_job import run_on_arrays

        return run_on_arrays(
            self.config,
            X_train=X_train,
            y_train=y_train,
            X_val=X_val,
            y_val=y_val,
            X_test=X_test,
            y_test=y_test,
            ts=ts,
            label_end=label_end,
            prices=prices,
            label_horizon=label_horizon,
        )

    def compare(self, *models: str, candles: Any = None) -> ABTestResult:
        """Compare registered models on candles that came after all of them were trained.

        Parameters
        ----------
        models : two or more of ``name`` (its champion), ``name@alias`` and ``name@3`` (a version).
        candles : as of :meth:`run`; with enough history before the comparison to warm up the features.

        Raises
        ------
        RegistryError : no such model, or models that cannot be compared. NotEnoughData : too little came after them.
        """
        from huracan.integration.registered_models import compare_registered

        return compare_registered(self.config, self.registry, models, candles)

    def check_drift(self, reference: Any, current: Any, *, any_symbol: bool = False) -> DriftCheck:
        """Say which columns of ``current`` are distributed unlike those of ``reference``, under ``drift`` of the configuration.

        Parameters
        ----------
        reference : file, folder or frame of candles or features; or a registered model (``name``, ``name@alias``, ``name@3``),
            which stands for the rows it learned from. current : file, folder or frame.
        any_symbol : compare also what is of other symbols.

        Raises
        ------
        HuracanError : what cannot be read or compared, in one sentence.
        """
        from huracan.integration.drift_check import check_drift

        return check_drift(self.config, lambda: self.registry, reference, current, any_symbol=any_symbol)

    def replay_mechanic(
        self,
        candles: Any = None,
        *,
        every: str | None = None,
        start: int | None = None,
        until: int | None = None,
        progress: Progress | None = None,
    ) -> ReplayResult:
        """Live through candles with the :class:`~huracan.integration.mechanic.Mechanic`, turn after turn, as lived.

        It begins with nobody being champion, in a folder of its own under ``home/replays``; nothing else is touched. A replay
        that was killed goes on where it stopped when it is asked for again.

        Parameters
        ----------
        candles : as of :meth:`run`. every : time between turns (``1h``), ``mechanic.every`` by default.
        start, until : of the first and the last turn, milliseconds UTC. progress : called after each turn.

        Raises
        ------
        HuracanError : what is wrong with data, configuration or environment, in one sentence.
        """
        from huracan.integration.feedback.replay import replay
        from huracan.integration.feedback.replay_report import ReplayResult

        return ReplayResult(replay(self.config, candles, every=every, start=start, until=until, progress=progress))

    def forecast(self, model: str, candles: Any) -> pl.DataFrame:
        """What a registered model says of every bar of candles: its last row of a symbol is what it says now.

        Parameters
        ----------
        model : ``name`` (its champion), ``name@alias`` or ``name@3`` (a version); of a run or of ``huracan train``.
        candles : as of :meth:`run`; with enough history to warm up the features.

        Returns
        -------
        ``[symbol, ts, decision_time, score]``, where a larger score means "up".

        Raises
        ------
        RegistryError : no such model, or one that was registered without its recipe.
        """
        from huracan.integration.trained_models import forecast_registered

        return forecast_registered(self.registry, model, candles)

    def get_all_models_info(self) -> dict[str, dict[str, Any]]:
        """The card of every learner in the catalogue, and of the latest run's ensembles, with what that run measured.

        ``evidence`` of a card is regime -> ``{"evidence", "measured", "reason"}``, for regimes it may suit: see
        :class:`~huracan.integration.regime_evidence.RegimeModel`.
        """
        from huracan.integration.regime_evidence import evidence_of, told

        cards = {}
        for name, info in self._cards().items():
            known = {str(regime): evidence_of(info, regime, alpha=self.config.comparison.alpha) for regime in MarketRegime}
            evidence = {regime: told(one) for regime, one in known.items() if one is not None}
            cards[name] = {**info.model_dump(mode="json"), "evidence": evidence}
        return cards

    @overload
    def get_models_for_regime(
        self, regime: MarketRegime | str, evidence: str = ..., *, with_evidence: Literal[False] = ...
    ) -> list[str]: ...

    @overload
    def get_models_for_regime(
        self, regime: MarketRegime | str, evidence: str = ..., *, with_evidence: Literal[True]
    ) -> list[RegimeModel]: ...

    def get_models_for_regime(
        self, regime: MarketRegime | str, evidence: str = "declared", *, with_evidence: bool = False
    ) -> list[str] | list[RegimeModel]:
        """Learners, and ensembles of the latest run, for a regime, best first.

        Those whose skill in this regime was measured come first, by skill, provided it is positive; then those
        whose card declares the regime and that were not measured in it.

        Parameters
        ----------
        regime : ``trending``, ``ranging``, ``volatile`` or ``illiquid``.
        evidence : the least that is accepted: ``declared``, ``estimated`` (a positive skill was measured out of fold) or
            ``significant`` (and its p-value, adjusted for every learner and regime of the run, is at most
            ``comparison.alpha``).
        with_evidence : what is known of each, in place of its name alone.

        Raises
        ------
        UnknownName : no such regime or evidence; the nearest is offered.
        """
        from huracan.integration.regime_evidence import models_for_regime

        found = models_for_regime(self._cards(), regime, evidence=evidence, alpha=self.config.comparison.alpha)
        return found if with_evidence else [one.name for one in found]

    def current_regime(self, candles: Any = None) -> dict[str, MarketRegime | None]:
        """Regime of every symbol at its last closed bar, by the configured classifier; None while it is not known yet.

        Parameters
        ----------
        candles : as of :meth:`run`; as many bars as the classifier's ``lookback`` and warm-up, better more.

        Raises
        ------
        CandleError, NotEnoughData : what is wrong with the candles, and where.

        Examples
        --------
        >>> from huracan.market import simulate_market
        >>> candles = simulate_market(n_bars=900, n_symbols=2, seed=0).candles
        >>> sorted(UnifiedMLPipeline().current_regime(candles))
        ['SIM01-USD', 'SIM02-USD']
        """
        from huracan.integration.preparation import read_source
        from huracan.regimes import RegimeClassifier

        classifier = RegimeClassifier(**self.config.regimes.model_dump())
        return classifier.current_regime(read_source(self.config, candles).candles)

    def _cards(self) -> dict[str, ModelInfo]:
        from huracan.catalogue import MODEL_CATALOGUE, build_model
        from huracan.storage import RunLog, RunStatus

        cards = {name: build_model(name).model_info() for name in MODEL_CATALOGUE}
        if self.config.registry.url is None and not (self.config.home / "huracan.db").exists():
            return cards
        finished = RunLog(self.registry.database).find(status=RunStatus.FINISHED)
        latest: Mapping[str, Any] = next((run.summary["models"] for run in finished if "models" in run.summary), {})
        return cards | {name: ModelInfo.model_validate(card) for name, card in latest.items()}
