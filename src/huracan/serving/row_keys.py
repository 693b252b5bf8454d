"""Which row is which: the key columns of a frame of features, each checked before anything is computed from it.

================= ============================= ===============================================
column            what is taken                 without it
================= ============================= ===============================================
``symbol``        names, in every row           all rows are of one symbol
``ts``            times or dates, or integers   no order is checked, unless by ``decision_time``
``decision_time`` times, in every row           no row is vetoed as expired
``segment``       integers, in every row        no window is cut
``volatility``    numbers from 0, or null       a policy with a volatility target holds nothing
``regime``        regimes by name, or null      no regime is known
================= ============================= ===============================================
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from huracan.dataset import REGIME_ORDER
from huracan.errors import SignatureError

__all__ = ["KEYS", "RowKeys", "coded", "regime_code", "regime_codes"]

KEYS = ("symbol", "ts", "decision_time", "segment", "volatility", "regime")
"""Columns that say which row it is, or what its market is like; never features."""

_CODES: dict[str, int] = {str(regime): code for code, regime in enumerate(REGIME_ORDER)}
_NAMES = (pl.String, pl.Categorical, pl.Enum)


@dataclass(frozen=True, eq=False)
class RowKeys:
    """Keys of n rows.

    Attributes
    ----------
    told : the columns ``symbol, ts, decision_time`` that were given, as they came. symbols : names that ``code`` (n,) counts.
    decision : (n,) milliseconds since 1970, or None. segment, regime : (n,), regimes as codes, -1 for unknown.
    volatility : (n,), NaN where it is not known.

    Examples
    --------
    >>> RowKeys.of(pl.DataFrame({"x": [0.5, 0.1], "symbol": ["b", "a"]}), 2).code.tolist()
    [0, 1]
    >>> RowKeys.of(pl.DataFrame({"x": [0.5, 0.1], "symbol": ["b", None]}), 2)
    Traceback (most recent call last):
    huracan.errors.SignatureError: column 'symbol' is empty in row 1; a name was expected in every row.
    """

    told: dict[str, pl.Series]
    symbols: tuple[str, ...]
    code: NDArray[np.int32]
    decision: NDArray[np.int64] | None
    segment: NDArray[np.int32]
    regime: NDArray[np.int64]
    volatility: NDArray[np.float64]

    @classmethod
    def of(cls, frame: pl.DataFrame, n: int) -> Self:
        """Read them from a frame of n rows; one without columns has none.

        Raises
        ------
        SignatureError : one of them is not what is taken, or the rows of a symbol do not go from old to new.
        """
        names = [name for name in ("symbol", "ts", "decision_time") if name in frame.columns]
        symbols, code = coded(_names(frame["symbol"])) if "symbol" in names else (("asset",), np.zeros(n, np.int32))
        opened = _times(frame["ts"], whole_numbers=True) if "ts" in names else None
        decision = _times(frame["decision_time"]) if "decision_time" in names else None
        for name, times in (("ts", opened), ("decision_time", decision)):
            if times is not None:
                _require_order(name, frame[name], times, symbols, code)
        return cls(
            told={name: frame[name] for name in names},
            symbols=symbols,
            code=code,
            decision=decision,
            segment=_segments(frame["segment"]) if "segment" in frame.columns else np.zeros(n, np.int32),
            regime=_known_regimes(frame["regime"]) if "regime" in frame.columns else np.full(n, -1),
            volatility=_volatilities(frame["volatility"]) if "volatility" in frame.columns else np.full(n, np.nan),
        )


def regime_code(regime: str | None) -> int:
    """As in ``TrainingSet.regime_code``: -1 for unknown."""
    return -1 if regime is None else _CODES[regime]


def regime_codes(regime: pl.Series) -> NDArray[np.int64]:
    """The codes of a column of regimes."""
    return np.array([regime_code(one) for one in regime.to_list()], np.int64)


def coded(symbol: pl.Series) -> tuple[tuple[str, ...], NDArray[np.int32]]:
    """The names of a column in the order in which they come first, and which of them each row has."""
    names = tuple(symbol.cast(pl.String).unique(maintain_order=True).to_list())
    code = symbol.cast(pl.String).replace_strict(list(names), range(len(names)), return_dtype=pl.Int32)
    return names, code.to_numpy()


def _require_values(column: pl.Series, expected: str) -> None:
    if column.null_count():
        row = column.is_null().arg_max()
        raise SignatureError(f"column '{column.name}' is empty in row {row}; {expected} was expected in every row.")


def _refuse_first(column: pl.Series, wrong: NDArray[np.bool_], expected: str) -> None:
    if wrong.any():
        row = int(np.argmax(wrong))
        raise SignatureError(f"column '{column.name}' is {column[row]!r:.60} in row {row}; {expected} was expected.")


def _require_kind(column: pl.Series, fits: bool, expected: str) -> None:
    if not fits:
        raise SignatureError(f"column '{column.name}' is {column.dtype}; {expected} were expected.")


def _names(symbol: pl.Series) -> pl.Series:
    _require_kind(symbol, symbol.dtype in _NAMES or symbol.dtype.is_integer(), "names")
    _require_values(symbol, "a name")
    return symbol


def _times(column: pl.Series, *, whole_numbers: bool = False) -> NDArray[np.int64]:
    """Milliseconds since 1970; a time without a zone is UTC."""
    kind = column.dtype
    if whole_numbers and kind.is_integer():
        _require_values(column, "a time")
        return column.cast(pl.Int64).to_numpy()
    _require_kind(column, isinstance(kind, pl.Datetime) or kind in (pl.Datetime, pl.Date), "times")
    _require_values(column, "a time")
    return column.cast(pl.Datetime("us")).dt.epoch("ms").to_numpy() if kind == pl.Date else column.dt.epoch("ms").to_numpy()


def _require_order(
    name: str, column: pl.Series, times: NDArray[np.int64], symbols: tuple[str, ...], code: NDArray[np.int32]
) -> None:
    order = np.argsort(code, kind="stable")
    back = (np.diff(times[order]) <= 0) & (np.diff(code[order]) == 0)
    if back.any():
        first = int(np.argmax(back))
        before, row = int(order[first]), int(order[first + 1])
        raise SignatureError(
            f"row {row} of {symbols[code[row]]} has {name} {column[row]}, which does not come after {column[before]} of row "
            f"{before}; rows of a symbol from old to new, each time once, were expected."
        )


def _segments(column: pl.Series) -> NDArray[np.int32]:
    _require_kind(column, column.dtype.is_integer(), "whole numbers")
    _require_values(column, "a whole number")
    numbers = column.cast(pl.Int64, strict=False).fill_null(-1).to_numpy()
    _refuse_first(column, (numbers < 0) | (numbers > np.iinfo(np.int32).max), "a whole number from 0 to 2147483647")
    return numbers.astype(np.int32)


def _volatilities(column: pl.Series) -> NDArray[np.float64]:
    _require_kind(column, column.dtype.is_numeric() or column.dtype == pl.Null, "numbers")
    numbers = column.cast(pl.Float64).fill_null(np.nan).to_numpy()
    _refuse_first(column, (numbers < 0) | np.isinf(numbers), "a finite number from 0, or null,")
    return numbers


def _known_regimes(column: pl.Series) -> NDArray[np.int64]:
    _require_kind(column, column.dtype in _NAMES or column.dtype == pl.Null, "names of regimes")
    told = column.cast(pl.String)
    strange = told.is_not_null() & ~told.is_in(list(_CODES))
    _refuse_first(told, strange.to_numpy(), f"{', '.join(_CODES)}, or null,")
    return regime_codes(told)
