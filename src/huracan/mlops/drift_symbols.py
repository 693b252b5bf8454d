"""Which symbols a window is compared over: those that it has as often as the reference had them."""

from __future__ import annotations

from collections.abc import Sequence

from huracan.errors import SignatureError
from huracan.mlops.drift_rows import DriftRows
from huracan.mlops.reference import Reference

__all__ = ["common_symbols"]

_LEAST = 0.75
_NAMED = 5


def common_symbols(reference: Reference, rows: DriftRows, *, any_symbol: bool) -> tuple[tuple[str, ...] | None, list[str]]:
    """The symbols to compare over, None for all as they are, and what a reader must know of the others.

    A panel is a mixture of its symbols: one that falls silent, or is new, changes the mixture while every symbol keeps its law.
    So does one that has a row at less than three quarters of the moments at which it had, in window or reference.

    Parameters
    ----------
    any_symbol : compare everything with everything, also where no symbol is in both.

    Raises
    ------
    SignatureError : no symbol is in both, and ``any_symbol`` is false.
    """
    before, now = dict(zip(reference.symbols, reference.presence, strict=True)), rows.presence()
    shared = [symbol for symbol in before if symbol in now]
    if not before or not now:
        return None, []
    if not shared and not any_symbol:
        raise SignatureError(
            f"the window is of {_few(list(now))}, the reference of {_few(list(before))}; a symbol that is in both was expected "
            "(any_symbol=True, --any-symbol, compares them all the same)."
        )
    gone, new = [symbol for symbol in before if symbol not in now], [symbol for symbol in now if symbol not in before]
    seldom = [s for s in shared if min(now[s], before[s]) < _LEAST * max(now[s], before[s])]
    told = [f"the {one} has no row of {_few(names)}" for one, names in (("window", gone), ("reference", new)) if names]
    told += [f"{s} has a row at {now[s]:.0%} of the window's moments and at {before[s]:.0%} of the reference's" for s in seldom]
    if not told:
        return None, []
    said = ", ".join(told)
    chosen = tuple(symbol for symbol in shared if symbol not in seldom)
    known = bool(reference.by_symbol) or set(chosen) == set(before)
    if any_symbol or not chosen or not known:
        return None, [f"{said}: a difference may be no more than that"]
    return chosen, [f"{said}: compared over {'the symbol' if len(chosen) == 1 else f'the {len(chosen)} symbols'} of both"]


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
