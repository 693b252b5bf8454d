"""``UnifiedMLPipeline``: one object that joins everything."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from huracan.config import HuracanConfig, load_config
from huracan.integration.evidence import Progress
from huracan.integration.results import PipelineResult
from huracan.model_info import MarketRegime, ModelInfo
from huracan.model_registry import ModelRegistry

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

    def run_complete_pipeline(self, **data: Any) -> PipelineResult:
        """Run on ready features: ``X_train, y_train, X_val, y_val, X_test, y_test``.

        See :func:`huracan.integration.array_job.run_on_arrays` for what is done with each part and which further inputs
        (times, label ends, prices) can be given.
        """
        from huracan.integration.array_job import run_on_arrays

        return run_on_arrays(self.config, **data)

    def get_all_models_info(self) -> dict[str, dict[str, Any]]:
        """The card of every learner in the catalogue, with what the latest finished run measured."""
        return {name: info.model_dump(mode="json") for name, info in self._cards().items()}

    def get_models_for_regime(self, regime: MarketRegime | str) -> list[str]:
        """Names of learners for a regime, best first.

        Learners whose skill in this regime was measured come first, by skill, provided it is positive; then those
        whose card declares the regime and that were not measured in it.
        """
        wanted = MarketRegime(regime)
        measured: list[tuple[float, str]] = []
        declared: list[str] = []
        for name, info in self._cards().items():
            skill = next((s for s in info.regime_evidence if s.regime is wanted), None)
            if skill is not None:
                if skill.skill > 0:
                    measured.append((skill.skill, name))
            elif info.suits(wanted):
                declared.append(name)
        return [name for _, name in sorted(measured, reverse=True)] + declared

    def _cards(self) -> dict[str, ModelInfo]:
        from huracan.catalogue import MODEL_CATALOGUE, build_model
        from huracan.storage import RunLog, RunStatus

        cards = {name: build_model(name).model_info() for name in MODEL_CATALOGUE}
        if self.config.registry.url is None and not (self.config.home / "huracan.db").exists():
            return cards
        for run in RunLog(self.registry.database).find(status=RunStatus.FINISHED, limit=1):
            for name, card in run.summary.get("models", {}).items():
                cards[name] = ModelInfo.model_validate(card)
        return cards
