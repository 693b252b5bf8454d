"""Registered models side by side, on candles that none of them has learned from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Sized
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from huracan.accounting import CostModel, PositionPolicy, backtest_many, targets_frame
from huracan.baselines.ab_testing import ABTestResult
from huracan.catalogue import score_span
from huracan.config import HuracanConfig, LabelConfig
from huracan.dataset import TrainingSet
from huracan.errors import NotEnoughData, RegistryError
from huracan.integration.judging import decisions
from huracan.integration.model_comparison import MEASURE, ab_testing_framework
from huracan.integration.preparation import Prepared, Source, prepare, read_source
from huracan.market import bar_length, candles_hash, written_length
from huracan.model_registry import ModelRegistry
from huracan.preprocessing import FeatureRecipe
from huracan.registry.records import ModelVersion
from huracan.registry.scopes import Scope
from huracan.statistics.series import MINIMUM_OBSERVATIONS
from huracan.storage import RunLog
from huracan.validation.metrics import directional_payoff

__all__ = ["compare_registered", "name_and_pointer", "named_version", "own_levels", "own_recipe"]

Floats = NDArray[np.float64]


def named_version(registry: ModelRegistry, spec: str) -> ModelVersion:
    """The version that ``name`` (its champion), ``name@alias``, ``name@alias@symbol/regime`` or ``name@3`` means.

    Raises
    ------
    RegistryError : there is no such model, alias or version.
    """
    name, which = name_and_pointer(registry, spec)
    if which.isdecimal():
        return registry.get(name, version=int(which))
    alias, scope = Scope.read(which)
    found = registry.get(name, alias=alias, symbol=scope.symbol or None, regime=scope.regime or None)
    if Scope(found.symbol, found.regime) != scope:
        theirs = Scope(found.symbol, found.regime).written(alias)
        raise RegistryError(
            f"nobody is {scope.written(alias)} of '{name}'; {theirs}, who answers there too, is {found.version}."
        )
    return found


def name_and_pointer(registry: ModelRegistry, spec: str) -> tuple[str, str]:
    """The name in ``spec``, which may have an ``@`` in it, and what stands behind it; ``champion`` where nothing does."""
    names = registry.names()
    if "@" not in spec or spec in names:
        return spec, "champion"
    known = [name for name in names if spec.startswith(f"{name}@")]
    name = max(known, key=len) if known else spec.partition("@")[0]
    return name, spec[len(name) + 1 :]


def compare_registered(
    config: HuracanConfig, registry: ModelRegistry, specs: Sequence[str], candles: Any = None
) -> ABTestResult:
    """Compare registered models on what came after all of them were trained.

    Every model answers with its own recipe, scale and position policy, as when it was judged. Losses are the negative payoffs
    of standardised scores on the labels that the models were trained for, which must be the same; returns are net of the
    configured costs. Each symbol's label is taken less its mean before the comparison begins. The look is written down: a later
    run whose hold-out lies in this span says that it was looked at before.

    Parameters
    ----------
    config : costs, cleaning, regimes and level of the tests. specs : two or more of ``name``, ``name@alias``, ``name@3``.
    candles : as of :meth:`UnifiedMLPipeline.run`; they should begin early enough to warm up the features.

    Raises
    ------
    RegistryError : no such model; one version named twice; a model without recipe or scale; labels or bars that differ.
    NotEnoughData : fewer than 20 moments after the models were trained, or no symbol that all of them know.
    """
    versions = [named_version(registry, spec) for spec in specs]
    _refuse_twice(specs, versions)
    labels = _common_labels(specs, versions)
    symbols = _common_symbols(specs, versions)
    settings = config.model_copy(update={"labels": labels})
    source = read_source(settings, candles)
    _refuse_other_bars(specs, versions, source)
    start = _start(specs, versions, source, embargo_bars=config.validation.embargo_bars)
    ready: dict[str, Prepared] = {}
    entrants: dict[str, _Entrant] = {}
    for spec, version in zip(specs, versions):
        recipe = own_recipe(spec, version)
        if recipe.hash not in ready:
            ready[recipe.hash] = prepare(settings, source, recipe)
        entrants[spec] = _Entrant.of(registry, spec, version, ready[recipe.hash], symbols, start)
        _refuse_few(np.unique(entrants[spec].rows.decision_time[entrants[spec].rows.labelled]), specs, start)
    judged = {spec: entrant.payoffs() for spec, entrant in entrants.items()}
    targets = {spec: entrant.targets() for spec, entrant in entrants.items()}
    together = _side_by_side(judged)
    _refuse_few(together["decision_time"].unique(), specs, start)
    framework = ab_testing_framework(config)
    result = framework.compare_losses(
        {spec: -together[f"payoff {i}"].to_numpy() for i, spec in enumerate(specs)},
        times=together["decision_time"].to_numpy(),
        regimes=together["regime"].to_numpy(),
        measure=MEASURE,
    )
    accounts = backtest_many(source.candles, targets, CostModel(**config.costs.model_dump()))
    result = framework.add_returns(result, {spec: account.returns for spec, account in accounts.items()})
    looked = _write_down(registry, specs, source, symbols, start, together["decision_time"].max())
    lost = [
        f"{len(frame) - len(together):,} rows of '{spec}' have no partner."
        for spec, frame in judged.items()
        if len(frame) > len(together)
    ]
    seen = []
    if looked:
        times = f"{looked} time{'s' if looked > 1 else ''}"
        seen.append(
            f"This span had been looked at {times} before, for which nothing here is corrected; to look again and again as "
            "candles arrive, let a SequentialComparison watch the losses."
        )
    span = f"Compared on {len(together):,} rows from {start:%Y-%m-%d %H:%M} UTC on, which none of the models has learned from."
    return replace(result, notes=(span, *lost, *seen, *result.notes))


@dataclass(frozen=True)
class _Entrant:
    """One model, with what it was judged by, and the rows it answers on: those of the symbols, from ``start`` on.

    A baseline has no scale: it says a constant, which is no payoff and no position.
    """

    version: ModelVersion
    rows: TrainingSet
    score: Floats
    earlier: dict[str, float]

    @classmethod
    def of(
        cls,
        registry: ModelRegistry,
        spec: str,
        version: ModelVersion,
        prepared: Prepared,
        symbols: Sequence[str],
        start: datetime,
    ) -> _Entrant:
        model = registry.load(version.name, version=version.version)
        rows, begin = prepared.everything, np.datetime64(start.replace(tzinfo=None), "ms")
        asked = version.info.signature.columns if version.info.signature is not None else rows.feature_names
        if tuple(asked) != rows.feature_names:
            raise RegistryError(f"'{spec}' takes other columns than its own recipe gives; it was registered inconsistently.")
        known = np.isin(rows.symbol_code, [rows.symbols.index(symbol) for symbol in symbols if symbol in rows.symbols])
        past = rows.take(known & rows.labelled & (rows.label_end <= begin))
        means = {symbol: float(past.of_symbol(symbol).y.mean()) for symbol in symbols if symbol in past.symbol}
        ours = rows.take(known)
        span = slice(int(np.searchsorted(ours.decision_time, begin)), None)
        later = ours.take(span)
        own = own_levels(version, later)
        if version.extras.get("scale", {}).get("spread", 0.0) > 0.0:
            return cls(version, later, score_span(model, ours, span) - own, means)
        return cls(version, later, np.zeros(len(later)), means)

    @property
    def spread(self) -> float:
        return float(self.version.extras.get("scale", {}).get("spread", 0.0))

    def payoffs(self) -> pl.DataFrame:
        """``[symbol, decision_time, regime, payoff]`` of every row whose label is known."""
        there, score = self.rows.labelled, self.score
        rows = self.rows.without_features().take(there)
        label = rows.y - np.array([self.earlier.get(symbol, 0.0) for symbol in rows.symbols])[rows.symbol_code]
        payoff = directional_payoff(score[there], label, center=0.0, spread=self.spread or 1.0)
        return pl.DataFrame(
            {
                "symbol": rows.symbol.astype(str),
                "decision_time": rows.decision_time,
                "regime": pl.Series([regime or "unknown" for regime in rows.regime.tolist()], dtype=pl.String),
                "payoff": payoff,
            }
        )

    def targets(self) -> pl.DataFrame:
        """``[symbol, ts, target]`` by the model's own position policy."""
        if self.spread == 0.0:
            return targets_frame(self.rows, np.zeros(len(self.rows)))
        policy = PositionPolicy.from_dict(self.version.extras["policy"])
        decided = decisions(policy, self.rows, self.score)
        held = policy.held(decided, symbol_code=self.rows.symbol_code, segment=self.rows.segment)
        return targets_frame(self.rows, held)


def _refuse_twice(specs: Sequence[str], versions: Sequence[ModelVersion]) -> None:
    if len(versions) < 2:
        raise RegistryError(f"{len(versions)} model(s) were named; at least two are needed for a comparison.")
    first: dict[str, str] = {}
    for spec, version in zip(specs, versions):
        if version.model_id in first:
            raise RegistryError(f"'{first[version.model_id]}' and '{spec}' are the same model, {version.model_id}.")
        first[version.model_id] = spec


def _refuse_few(times: Sized, specs: Sequence[str], start: datetime) -> None:
    if len(times) < MINIMUM_OBSERVATIONS:
        raise NotEnoughData(
            f"the candles hold {len(times)} labelled moments after {start:%Y-%m-%d %H:%M} UTC, until when {' or '.join(specs)} "
            f"learned; at least {MINIMUM_OBSERVATIONS} are needed for a comparison."
        )


def _common_labels(specs: Sequence[str], versions: Sequence[ModelVersion]) -> LabelConfig:
    """The labels all of them were trained for."""
    found = []
    for spec, version in zip(specs, versions):
        told = version.extras.get("config", {}).get("labels")
        if told is None or (version.kind != "baseline" and not {"scale", "policy"} <= set(version.extras)):
            raise RegistryError(
                f"'{spec}' was registered without labels, scale or position policy; a model that a run registered was expected."
            )
        found.append(LabelConfig.model_validate(told))
    for spec, labels in zip(specs, found):
        if labels != found[0]:
            theirs = ", ".join(
                f"{key} {getattr(labels, key)} where '{specs[0]}' has {getattr(found[0], key)}"
                for key in LabelConfig.model_fields
                if getattr(labels, key) != getattr(found[0], key)
            )
            raise RegistryError(f"'{spec}' was trained for other labels: {theirs}; payoffs on different labels do not compare.")
    return found[0]


def _common_symbols(specs: Sequence[str], versions: Sequence[ModelVersion]) -> tuple[str, ...]:
    """What all of them were trained on; a model that does not say is taken to know every symbol."""
    told = [set(version.provenance.symbols) for version in versions if version.provenance.symbols]
    common = tuple(sorted(set.intersection(*told))) if told else ()
    if not common:
        raise RegistryError(f"{' and '.join(map(repr, specs))} were trained on no symbol in common.")
    return common


def _refuse_other_bars(specs: Sequence[str], versions: Sequence[ModelVersion], source: Source) -> None:
    mine = int(bar_length(source.candles).total_seconds() * 1000)
    for spec, version in zip(specs, versions):
        theirs = (version.provenance.model_extra or {}).get("bar_length_ms")
        if theirs is not None and int(theirs) != mine:
            said = f"{written_length(int(theirs))}, these candles are bars of {written_length(mine)}"
            raise RegistryError(f"'{spec}' was trained on bars of {said}.")


def _start(specs: Sequence[str], versions: Sequence[ModelVersion], source: Source, *, embargo_bars: int) -> datetime:
    """The first moment that none of them can have learned from."""
    until = []
    for spec, version in zip(specs, versions):
        moment = version.provenance.trained_until
        if moment is None:
            raise RegistryError(f"'{spec}' does not say until when it was trained; what it has not seen cannot be told.")
        until.append(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    return max(until) + embargo_bars * bar_length(source.candles)


def own_levels(version: ModelVersion, rows: TrainingSet) -> Floats:
    """What a model says of its own training rows in the mean, for each row's symbol; 0 where it was registered without."""
    levels = version.extras.get("levels", {})
    return np.array([float(levels.get(symbol, levels.get("all", 0.0))) for symbol in rows.symbols])[rows.symbol_code]


def own_recipe(spec: str, version: ModelVersion) -> FeatureRecipe:
    """The recipe that a model was registered with."""
    told = version.extras.get("recipe")
    if told is None:
        raise RegistryError(f"'{spec}' was registered without its recipe; its features cannot be computed.")
    return FeatureRecipe.from_json(told)


def _side_by_side(judged: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """``[symbol, decision_time, regime, payoff 0, payoff 1, ...]`` of the rows that every model has."""
    on = ["symbol", "decision_time", "regime"]
    first, *others = (frame.rename({"payoff": f"payoff {i}"}) for i, frame in enumerate(judged.values()))
    for frame in others:
        first = first.join(frame, on=on, how="inner", maintain_order="left")
    return first


def _write_down(
    registry: ModelRegistry, specs: Sequence[str], source: Source, symbols: Sequence[str], start: datetime, end: Any
) -> int:
    """Log the look, so that a hold-out in this span counts it; returns how often it had been looked at before."""
    return RunLog(registry.database).use_hold_out(
        data_hash=candles_hash(source.candles),
        symbols=symbols,
        start=start,
        end=end.replace(tzinfo=UTC),
        why=f"comparison of {', '.join(specs)}",
    )
