"""Open whatever may hold candles, table by table; one that cannot be opened among others is a finding, not the end."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

from huracan.errors import ArtifactError, CandleError
from huracan.market.sources import Table, open_tables
from huracan.market.store import CandleStore, is_store
from huracan.preprocessing.quality.findings import QualityCheck, Severity, row_check

__all__ = ["tables_of", "with_texts"]


def tables_of(source: Any, checks: list[QualityCheck], bar: str | None) -> Iterator[Table]:
    """The tables of a source; in a folder, a file that cannot be opened is a finding and the others are read."""
    if not isinstance(source, (str, Path)) or not Path(source).is_dir():
        yield from open_tables(source, bar=bar)
        return
    if is_store(Path(source)):
        yield from _tables_of_store(Path(source), checks, bar)
        return
    first: CandleError | None = None
    opened = False
    for path in sorted(child for child in Path(source).iterdir() if child.is_file()):
        try:
            tables = list(open_tables(path))
        except CandleError as error:
            if " are read." in str(error):  # of no format that holds candles
                continue
            first = first or error
            checks.append(row_check("unreadable file", Severity.ERROR, 0, 1.0, str(error)))
            continue
        opened = True
        yield from tables
    if not opened:
        if first is not None:
            raise first
        yield from open_tables(source)


def with_texts(source: Any) -> Any:
    """A pandas frame whose columns of mixed types are texts; what else comes in goes out."""
    pandas = sys.modules.get("pandas")
    if pandas is None or not isinstance(source, pandas.DataFrame):
        return source
    mixed = {}
    for name in source.columns[[kind.kind == "O" for kind in source.dtypes]]:
        if pandas.api.types.infer_dtype(source[name], skipna=True).startswith("mixed"):
            mixed[name] = source[name].astype("string")
    return source.assign(**mixed) if mixed else source


def _tables_of_store(root: Path, checks: list[QualityCheck], bar: str | None) -> Iterator[Table]:
    """A candle store as one table; where a partition is damaged, symbol by symbol, and what cannot be read is a finding."""
    try:
        yield from open_tables(root, bar=bar)
        return
    except ArtifactError as error:
        first = error
    sound = []
    for symbol in CandleStore(root).symbols(bar):
        try:
            sound += list(open_tables(root, bar=bar, symbol=symbol))
        except ArtifactError as error:
            checks.append(replace(row_check("unreadable file", Severity.ERROR, 0, 1.0, str(error)), symbol=symbol))
    if not sound:
        raise first
    yield replace(sound[0], frame=pl.concat([table.frame for table in sound], how="diagonal"))
