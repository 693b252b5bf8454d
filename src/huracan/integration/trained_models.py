"""Networks of ``huracan train`` in the registry, and what a registered model says of new candles."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from huracan.catalogue import signal_score
from huracan.config import HuracanConfig, config_hash
from huracan.dataset import TrainingSet
from huracan.errors import RegistryError
from huracan.integration.preparation import Prepared, prepare, read_source
from huracan.integration.registered_models import named_version, own_levels, own_recipe
from huracan.integration.registration import provenance_of
from huracan.integration.serving_facts import attached_files, probe_rows, serving_signature
from huracan.market import candles_hash
from huracan.model_info import FeatureSignature
from huracan.model_registry import ModelRegistry
from huracan.registry.records import Provenance
from huracan.storage.artifacts import library_versions

__all__ = ["TrainedOn", "forecast_registered", "register_trained"]


@dataclass(frozen=True)
class TrainedOn:
    """What a network was trained on, told before its rows go.

    Attributes
    ----------
    name : that it is registered under, ``<registry.model_name>.trained.<learner>``; on the simulated market ``.simulated`` is
        before it. signature, provenance, extras : as a run registers them: columns, recipe, labels, data, span, seed, versions.
    attachments, probe : files to keep with it, and rows to check the stored model on.
    """

    name: str
    signature: FeatureSignature
    provenance: Provenance
    extras: Mapping[str, Any]
    attachments: Mapping[str, bytes]
    probe: TrainingSet

    @classmethod
    def of(cls, config: HuracanConfig, prepared: Prepared, rows: TrainingSet, model: Any) -> TrainedOn:
        """``rows`` are those of ``prepared`` that a model has prepared its training with."""
        simulated = prepared.source.truth is not None
        origin = {
            "data_hash": candles_hash(prepared.source.candles),
            "config_hash": config_hash(config),
            "recipe_hash": prepared.recipe.hash,
            "seed": config.seed,
            "versions": library_versions(),
            "simulated": simulated,
        }
        return cls(
            name=".".join([config.registry.model_name, *["simulated"] * simulated, "trained", model.spec.name]),
            signature=serving_signature(model, rows, prepared.recipe.hash),
            provenance=provenance_of(model, rows, origin),
            extras={
                "config": config.told(),
                "recipe": prepared.recipe.to_json(),
            },
            attachments=attached_files(config, model, rows),
            probe=probe_rows(model, rows),
        )


def register_trained(registry: ModelRegistry, model: Any, on: TrainedOn, *, training: str) -> int:
    """The version a fitted network is registered as, beside others and never as champion: nothing has judged it.

    Parameters
    ----------
    training : what the training is known by; a training that was registered before keeps its version.
    """
    known = registry.versions(on.name) if on.name in registry.names() else []
    for version in known:
        if version.provenance.run_id == training:
            return version.version
    result = model.training_
    measured = {"validation_loss": result.best_loss} if result.validation_losses and math.isfinite(result.best_loss) else {}
    return registry.register(
        model,
        model.model_info().model_copy(update={"signature": on.signature}),
        name=on.name,
        metrics=measured,
        provenance=on.provenance.model_copy(update={"run_id": training, "n_rows": model.n_train_rows_}),
        extras=dict(on.extras),
        attachments=on.attachments,
        probe=on.probe,
    )


def forecast_registered(registry: ModelRegistry, spec: str, candles: Any) -> pl.DataFrame:
    """What a registered model says of every bar of candles that has its features, by its own recipe and its own cleaning.

    Parameters
    ----------
    spec : ``name`` (its champion), ``name@alias`` or ``name@3``. candles : as of :meth:`UnifiedMLPipeline.run`; they should
        begin early enough to warm up the features.

    Returns
    -------
    ``[symbol, ts, decision_time, score]``; the score is a regressor's forecast of the label, a classifier's probability of up
    less one half (see :func:`huracan.catalogue.signal_score`), of a run's model less its mean on its own training rows.

    Raises
    ------
    RegistryError : no such model, or one that was registered without its recipe.
    """
    version = named_version(registry, spec)
    told = version.extras.get("config")
    if told is None:
        raise RegistryError(
            f"'{spec}' was registered without its configuration; a model of a run or of huracan train was expected."
        )
    settings = HuracanConfig.model_validate({**told, "data": {**told["data"], "symbols": []}})
    rows = prepare(settings, read_source(settings, candles), own_recipe(spec, version)).everything
    asked = version.info.signature.columns if version.info.signature is not None else rows.feature_names
    if tuple(asked) != rows.feature_names:
        raise RegistryError(f"'{spec}' takes other columns than its own recipe gives; it was registered inconsistently.")
    score = signal_score(registry.load(version.name, version=version.version), rows) - own_levels(version, rows)
    times = {name: getattr(rows, name).astype("datetime64[ms]") for name in ("ts", "decision_time")}
    answers = pl.DataFrame({"symbol": rows.symbol.astype(str), **times, "score": score})
    return answers.with_columns(pl.col("ts", "decision_time").dt.replace_time_zone("UTC"))
