"""Is what is in one file still what was in another, or what a registered model learned from: ``huracan drift``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from huracan.config import HuracanConfig, milliseconds
from huracan.dataset import TrainingSet
from huracan.errors import CandleError, DataError, NotEnoughData, RegistryError, SignatureError
from huracan.integration.drift_stage import drift_detector
from huracan.integration.preparation import prepare, read_source
from huracan.integration.registered_models import name_and_pointer, named_version, own_recipe
from huracan.integration.table_keys import with_keys
from huracan.market import bar_length, written_length
from huracan.market.sources import named_as_table, open_tables, symbol_of_file
from huracan.mlops.column_tests import FEWEST_WINDOW
from huracan.mlops.drift_detector import DriftDetector
from huracan.mlops.drift_report import DriftReport
from huracan.mlops.reference import REFERENCE_FILE, Reference
from huracan.model_registry import ModelRegistry
from huracan.preprocessing import FeatureRecipe
from huracan.registry.records import ModelVersion

__all__ = ["DriftCheck", "check_drift"]

_PRICES = frozenset(("open", "high", "low", "close", "volume"))
_MOST_WINDOWS = 400
_NAMED = 5


@dataclass(frozen=True)
class DriftCheck:
    """A file held against another, or against a model.

    Attributes
    ----------
    report : of all of it. windows : of its stretches of ``drift.window``, in order; none where rows have no times, or all fit
        into one. facts : label -> value: what was compared.
    """

    report: DriftReport
    windows: tuple[DriftReport, ...] = ()
    facts: dict[str, str] = field(default_factory=dict)


def check_drift(
    config: HuracanConfig, registry: Callable[[], ModelRegistry], reference: Any, current: Any, *, any_symbol: bool = False
) -> DriftCheck:
    """Hold ``current`` against ``reference`` under ``drift`` of the configuration.

    Parameters
    ----------
    registry : asked for where the reference is a model.
    reference : a file, folder or frame; or ``name`` (its champion), ``name@alias``, ``name@3`` of a registered model, which
        stands for the rows that were kept with it. A path that exists, or ends as tables do, is one; anything else is a model.
    current : a file, folder or frame. Candles become the features of the model's recipe, or of the configured one, without rows
        that lack one; any other table is compared column by column, as it is. What a model learned from is not held against it:
        of its candles those after its reference count, and the report's notes say how many did not.
    any_symbol : compare also what is of other symbols. A name that a file alone gives to its candles (``new.csv``) is taken for
        no symbol.

    Raises
    ------
    CandleError, DataError : what cannot be read or compared, such as candles with a table of features.
    NotEnoughData : which of the two is too short, and for what.
    RegistryError : no such model, or none that keeps a reference.
    SignatureError : candles of another bar length; no symbol is in both; the model's features are made by another recipe than
        it says.
    """
    if _is_a_model(reference):
        version = _version(registry(), str(reference))
        detector, recipe = _of_model(config, registry(), str(reference), version), own_recipe(str(reference), version)
        told = f"what {version.model_id} learned from"
    else:
        version, recipe, told = None, None, _named(reference)
        learned = _rows(config, reference)
        any_symbol = any_symbol or _named_by_file(reference, learned)
        detector = drift_detector(config).fit(learned)
    rows = _rows(config, current, recipe, version)
    if version is None:
        _refuse_two_kinds(reference, learned, current, rows)
    any_symbol = any_symbol or _named_by_file(current, rows)
    left_out = 0
    if version is not None:
        rows, left_out = _after(detector.reference_, rows, current, version)
    report = detector.detect(rows, any_symbol=any_symbol)
    if left_out:
        said = f"{left_out:,} rows of {_named(current)} are no later than {told}, and were left out"
        report = replace(report, notes=(said, *report.notes))
    if len(report.missing) == len(report.columns) and not report.renamed:
        raise DataError(
            f"{_named(current)} has none of the columns of {_named(reference)}: {_few(report.new)}, where "
            f"{_few(report.missing)} were expected."
        )
    windows = tuple(
        found
        for part in _cut(rows, milliseconds(config.drift.window))
        if (found := _seen(detector, part, any_symbol)) is not None
    )
    facts = {
        "reference": f"{told}, {report.n_reference:,} moments",
        "compared with it": f"{_named(current)}, {report.n_current:,} moments",
        "columns": f"{len(report.columns):,}",
        "windows": f"{len(windows)} of {config.drift.window}",
    }
    return DriftCheck(report, windows if len(windows) > 1 else (), facts)


def _is_a_model(reference: Any) -> bool:
    return isinstance(reference, str | Path) and not Path(reference).exists() and not named_as_table(reference)


def _version(registry: ModelRegistry, spec: str) -> ModelVersion:
    names = registry.names()
    if name_and_pointer(registry, spec)[0] not in names:
        known = f"registered are {', '.join(names)}" if names else "none is registered here"
        raise RegistryError(f"'{spec}' is no file or folder that exists, and no registered model; {known}.")
    return named_version(registry, spec)


def _of_model(config: HuracanConfig, registry: ModelRegistry, spec: str, version: ModelVersion) -> DriftDetector:
    kept = registry.attachments(version.name, version.version).get(REFERENCE_FILE)
    if kept is None:
        raise RegistryError(
            f"'{spec}' keeps no reference for drift; a model registered by this version of Huracan, on 200 moments at least, "
            "was expected."
        )
    settings = config.drift
    return DriftDetector.from_reference(
        Reference.from_bytes(kept), alpha=settings.alpha, correction=settings.correction, multivariate=settings.multivariate
    )


def _refuse_other_bars(version: ModelVersion, candles: pl.DataFrame) -> None:
    theirs = (version.provenance.model_extra or {}).get("bar_length_ms")
    mine = int(bar_length(candles).total_seconds() * 1_000)
    if theirs is not None and int(theirs) != mine:
        raise SignatureError(
            f"the candles are bars of {written_length(mine)}; '{version.model_id}' was trained on bars of "
            f"{written_length(int(theirs))}."
        )


def _rows(
    config: HuracanConfig, source: Any, recipe: FeatureRecipe | None = None, version: ModelVersion | None = None
) -> TrainingSet | pl.DataFrame:
    """Features of candles, or a table as it is."""
    tables = list(open_tables(source))
    if all({name.lower() for name in table.frame.columns} >= _PRICES for table in tables):
        read = read_source(config, source)
        if version is not None:
            _refuse_other_bars(version, read.candles)
        return prepare(config, read, recipe).everything
    if recipe is not None:
        raise CandleError(
            f"{_named(source)} holds no candles; those of a model's features are needed to compare it with the model."
        )
    if len(tables) != 1:
        raise CandleError(f"{_named(source)} holds {len(tables)} tables without prices; one table, or candles, was expected.")
    return with_keys(tables[0].frame, tables[0].file)


def _after(
    learned: Reference, rows: TrainingSet | pl.DataFrame, current: Any, version: ModelVersion
) -> tuple[TrainingSet | pl.DataFrame, int]:
    """The rows that were decided after a model's reference ends, and how many were not."""
    if learned.span is None or not isinstance(rows, TrainingSet) or not len(rows):
        return rows, 0
    before = int(np.searchsorted(rows.decision_time, np.datetime64(learned.span[1]), side="right"))
    moments = len(np.unique(rows.decision_time[before:]))
    if moments < FEWEST_WINDOW:
        raise NotEnoughData(
            f"{_named(current)} has {moments} moments after {learned.span[1]} UTC, until when {version.model_id} learned; at "
            f"least {FEWEST_WINDOW} are needed to compare them."
        )
    return rows.take(slice(before, None)), before


def _refuse_two_kinds(
    reference: Any, learned: TrainingSet | pl.DataFrame, current: Any, rows: TrainingSet | pl.DataFrame
) -> None:
    if isinstance(learned, TrainingSet) != isinstance(rows, TrainingSet):
        candles, table = (reference, current) if isinstance(learned, TrainingSet) else (current, reference)
        raise CandleError(
            f"{_named(candles)} holds candles and {_named(table)} holds none; two of candles, or two tables, were expected."
        )


def _few(names: Sequence[str]) -> str:
    return (", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")) or "nothing"


def _cut(rows: TrainingSet | pl.DataFrame, length: int) -> Iterator[TrainingSet | pl.DataFrame]:
    """The newest stretches of so many milliseconds, in order of time."""
    if isinstance(rows, TrainingSet):
        times = rows.decision_time.astype("datetime64[ms]").astype(np.int64)
    elif "ts" in rows.columns and isinstance(rows["ts"].dtype, pl.Datetime) and rows.height:
        times = rows["ts"].dt.epoch("ms").to_numpy()
    else:
        return
    number = (times[-1] - times) // length
    for k in range(min(int(number[0]), _MOST_WINDOWS - 1), -1, -1):
        first, last = (int(np.searchsorted(-number, -k, side=side)) for side in ("left", "right"))
        if last > first:
            yield rows.take(slice(first, last)) if isinstance(rows, TrainingSet) else rows.slice(first, last - first)


def _seen(detector: DriftDetector, rows: TrainingSet | pl.DataFrame, any_symbol: bool) -> DriftReport | None:
    """None where a stretch is too short to be compared, or has no symbol of the reference."""
    try:
        return detector.detect(rows, any_symbol=any_symbol)
    except (NotEnoughData, SignatureError):
        return None


def _named_by_file(source: Any, rows: TrainingSet | pl.DataFrame) -> bool:
    """Whether the one symbol of candles may be no more than what their file is called."""
    if not isinstance(source, str | Path) or not isinstance(rows, TrainingSet):
        return False
    name = symbol_of_file(source)
    return tuple(rows.symbols) == (name,) and name == Path(source).name.partition(".")[0]


def _named(source: Any) -> str:
    return Path(source).name or str(source) if isinstance(source, str | Path) else "a frame"
