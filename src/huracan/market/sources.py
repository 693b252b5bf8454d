"""Open whatever holds candles: files, folders, pandas and polars frames. Nothing is interpreted here but the container."""

from __future__ import annotations

import datetime as dt
import os
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import polars as pl
from polars.exceptions import PanicException, PolarsError

from huracan.errors import CandleError
from huracan.market.columns import shown
from huracan.market.store.files import is_store, store_around

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow

__all__ = ["CandleSource", "Table", "named_as_table", "named_as_text", "open_tables", "symbol_of_file", "text_table"]

CandleSource: TypeAlias = "str | os.PathLike[str] | pl.DataFrame | pl.LazyFrame | pd.DataFrame"

_READERS: dict[str, Callable[[Path], pl.DataFrame]] = {
    ".parquet": lambda path: _read_parquet(path),
    ".pq": lambda path: _read_parquet(path),
    ".csv": lambda path: _read_csv(path),
    ".csv.gz": lambda path: _read_csv(path),
    ".feather": lambda path: _read_ipc(path),
    ".arrow": lambda path: _read_ipc(path),
    ".ipc": lambda path: _read_ipc(path),
}
_TIMEFRAME = re.compile(r"^(?P<symbol>.+?)[_\-. ](?P<frame>\d+(?:s|sec|m|min|h|d|w|M|mo))(?:[_\-. ].*)?$")


@dataclass(frozen=True)
class Table:
    """A frame as it was found, where it came from, and the symbol its file name gives."""

    frame: pl.DataFrame
    where: str
    file: str | None = None
    symbol: str | None = None


def open_tables(source: Any, *, bar: str | dt.timedelta | None = None, symbol: str | None = None) -> Iterator[Table]:
    """Yield the table(s) of a source, files in the order of their names; of a candle store, one table.

    ``bar`` and ``symbol`` say what is read of a candle store; other sources do not know before they are read.

    Raises
    ------
    CandleError : the path does not exist, is not a format that is read, cannot be read, or the folder holds no candle
        file; the frame cannot be turned into columns.
    """
    if isinstance(source, pl.DataFrame):
        yield Table(source, "the frame")
    elif isinstance(source, pl.LazyFrame):
        try:
            frame = source.collect()
        except PolarsError as error:
            raise CandleError(f"the lazy frame cannot be computed: {_first_line(error)}.") from error
        yield Table(frame, "the lazy frame")
    elif _is_pandas(source):
        yield Table(_from_pandas(source), "the frame")
    elif isinstance(source, (str, os.PathLike)):
        path = Path(source)
        if is_store(path):
            yield _open_store(path, bar, symbol)
        else:
            yield from _open_path(path)
    else:
        raise CandleError(
            f"the source is a {type(source).__name__}; a path to a parquet, CSV or Feather file, a folder of them, a "
            "candle store, or a pandas or polars frame was expected."
        )


def named_as_table(path: str | Path) -> bool:
    """Whether a file so named would be read as a table.

    >>> named_as_table("btc_1h.parquet"), named_as_table("champion.simulated")
    (True, False)
    """
    return _suffix(Path(path)) in _READERS


def named_as_text(path: str | Path) -> bool:
    """Whether a file so named is text, whose beginning can be read while its end is still being written.

    >>> named_as_text("btc_1h.CSV"), named_as_text("btc_1h.csv.gz"), named_as_text("btc_1h.parquet")
    (True, False, False)
    """
    return _suffix(Path(path)) == ".csv"


def text_table(path: Path, content: bytes) -> Table:
    """The table of a text file, of which ``content`` is what is to be read: its whole lines, say.

    Raises
    ------
    CandleError : there is nothing in it, or it cannot be read as a table.

    Examples
    --------
    >>> text_table(Path("BTC-USD_1h.csv"), b"ts,close\\n1,2.5\\n").symbol
    'BTC-USD'
    """
    if not content:
        raise CandleError(f"{path} is empty (0 bytes); a {_suffix(path)} file with candles was expected.")
    return Table(_readable(path, lambda: _csv_of(content, content[:4096])), str(path), str(path), symbol_of_file(path))


def symbol_of_file(path: str | Path) -> str:
    """The symbol a file name gives: what stands before the length of the bars, else the whole stem.

    >>> symbol_of_file("SOL-USDT_1m.parquet"), symbol_of_file("BTC_USDT-1h-2024.csv"), symbol_of_file("GOOG.csv.gz")
    ('SOL-USDT', 'BTC_USDT', 'GOOG')
    """
    name = Path(path).name
    stem = name[: -len(_suffix(Path(path))) or None]
    found = _TIMEFRAME.match(stem)
    return found["symbol"] if found else stem


def _open_store(path: Path, bar: str | dt.timedelta | None, symbol: str | None) -> Table:
    from huracan.market.store import CandleStore

    store = CandleStore(path)
    frame = store.read(symbol, bar=bar, funding=True)
    if not frame["funding_rate"].count():
        frame = frame.drop("funding_rate")
    return Table(frame, f"the candle store {path}", str(path))


def _open_path(path: Path) -> Iterator[Table]:
    around = store_around(path)
    if around is not None:
        raise CandleError(
            f"{path} lies inside the candle store {around}; read the store, symbol= and bar= say which part of it."
        )
    try:
        if path.is_dir():
            files = sorted(child for child in path.iterdir() if child.is_file() and _suffix(child) in _READERS)
            if not files:
                raise CandleError(f"folder {path} holds no candle file; {_formats()} were expected directly in it.")
        elif path.exists():
            files = [path]
        else:
            raise CandleError(f"{path} does not exist; a file or folder with candles was expected.")
    except (OSError, ValueError) as error:
        raise CandleError(f"{path} cannot be read: {_first_line(error)}.") from error
    for file in files:
        yield Table(_read_file(file), str(file), str(file), symbol_of_file(file))


def _read_file(path: Path) -> pl.DataFrame:
    suffix = _suffix(path)
    if suffix not in _READERS:
        raise CandleError(f"{path} ends in '{suffix or path.name}'; {_formats()} are read.")

    def read() -> pl.DataFrame:
        if path.stat().st_size == 0:
            raise CandleError(f"{path} is empty (0 bytes); a {suffix} file with candles was expected.")
        return _READERS[suffix](path)

    return _readable(path, read)


def _readable(path: Path, read: Callable[[], pl.DataFrame]) -> pl.DataFrame:
    try:
        return read()
    except (PolarsError, PanicException, OSError, UnicodeDecodeError, MemoryError) as error:
        kind = _suffix(path).removeprefix(".")
        raise CandleError(
            f"{path} cannot be read as {kind}, it is damaged or not of that format: {_first_line(error)}."
        ) from error


def _read_csv(path: Path) -> pl.DataFrame:
    with path.open("rb") as opened:
        head = opened.read(4096)
    return _csv_of(path, head)


def _csv_of(source: Path | bytes, head: bytes) -> pl.DataFrame:
    first = b"" if head[:2] == b"\x1f\x8b" else head.split(b"\n", 1)[0]
    separator = max(b",;\t", key=lambda code: first.count(bytes([code])))
    return pl.read_csv(source, separator=chr(separator) if first else ",", infer_schema_length=None)


def _read_parquet(path: Path) -> pl.DataFrame:
    import pyarrow.parquet

    return _from_arrow(lambda: pyarrow.parquet.ParquetFile(path).read())


def _read_ipc(path: Path) -> pl.DataFrame:
    import pyarrow

    def read() -> pyarrow.Table:
        with path.open("rb") as opened:
            is_file = opened.read(6) == b"ARROW1"
            opened.seek(0)
            reader = pyarrow.ipc.open_file(opened) if is_file else pyarrow.ipc.open_stream(opened)
            return reader.read_all()

    return _from_arrow(read)


def _from_arrow(read: Callable[[], pyarrow.Table]) -> pl.DataFrame:
    """Read through pyarrow and check every buffer: on some damaged files polars' own reader ends the process."""
    import pyarrow

    try:
        table = read()
        table.validate(full=True)
    except pyarrow.ArrowException as error:
        raise OSError(_first_line(error)) from error
    if len(set(table.column_names)) < table.num_columns:
        raise OSError("two columns have the same name")
    return pl.DataFrame([pl.Series(name, pl.from_arrow(column)) for name, column in zip(table.column_names, table.columns)])


def _is_pandas(source: Any) -> bool:
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(source, pandas.DataFrame)


def _from_pandas(frame: pd.DataFrame) -> pl.DataFrame:
    """Copy a pandas frame, the index too where it has a name or holds times."""
    import pandas as pd

    if isinstance(frame.columns, pd.MultiIndex):
        raise CandleError(f"the frame's columns have {frame.columns.nlevels} levels; plain names such as 'open' were expected.")
    columns: dict[str, Any] = {}
    for level in range(frame.index.nlevels):
        values = frame.index.get_level_values(level)
        if values.name is not None or isinstance(values, pd.DatetimeIndex):
            columns[str(values.name) if values.name is not None else "index"] = pd.Series(values)
    for position, name in enumerate(map(str, frame.columns)):
        if name in columns and name not in frame.index.names:
            raise CandleError(f"the frame has two columns {shown(name)}; one of each was expected.")
        columns[name] = frame.iloc[:, position]
    return pl.DataFrame([_pandas_column(name, values) for name, values in columns.items()])


def _pandas_column(name: str, values: Any) -> pl.Series:
    import pandas as pd

    if isinstance(values.dtype, pd.PeriodDtype):
        values = values.dt.start_time
    try:
        return pl.from_pandas(values, nan_to_null=False).alias(name)
    except (TypeError, ValueError, OverflowError, PolarsError) as error:  # pyarrow's errors are among these
        raise CandleError(
            f"column {shown(name)} holds values of mixed or unknown types ({_first_line(error)}); one type was expected."
        ) from error


def _suffix(path: Path) -> str:
    name = path.name.lower()
    return ".csv.gz" if name.endswith(".csv.gz") else path.suffix.lower()


def _formats() -> str:
    return ", ".join(sorted(_READERS))


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__).rstrip(".")[:200]
