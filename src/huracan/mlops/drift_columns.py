"""Whether a window has the columns of the reference: missing, new, perhaps renamed, of another kind, of another recipe."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from huracan.errors import SignatureError
from huracan.market import written_length
from huracan.mlops.drift_report import ColumnKind

__all__ = ["ColumnMatch", "matched_columns", "perhaps_renamed", "require_same_bars", "require_same_recipe"]

_ALIKE = 0.5


@dataclass(frozen=True)
class ColumnMatch:
    """Columns of the reference and of a window.

    Attributes
    ----------
    shared : in both, of one kind. other_kind : in both, numbers in one and categories in the other.
    missing : only in the reference. new : only in the window.
    """

    shared: tuple[str, ...]
    other_kind: tuple[str, ...]
    missing: tuple[str, ...]
    new: tuple[str, ...]


def matched_columns(reference: Mapping[str, ColumnKind], window: Mapping[str, ColumnKind]) -> ColumnMatch:
    """Put the columns of both side by side, in the order of the reference.

    Examples
    --------
    >>> match = matched_columns({"a": "number", "b": "number", "c": "category"}, {"a": "number", "c": "number", "d": "number"})
    >>> match.shared, match.other_kind, match.missing, match.new
    (('a',), ('c',), ('b',), ('d',))
    """
    return ColumnMatch(
        shared=tuple(name for name, kind in reference.items() if window.get(name) == kind),
        other_kind=tuple(name for name, kind in reference.items() if window.get(name, kind) != kind),
        missing=tuple(name for name in reference if name not in window),
        new=tuple(name for name in window if name not in reference),
    )


def perhaps_renamed(missing: Sequence[str], new: Sequence[str], alike: Callable[[str, str], bool]) -> dict[str, str]:
    """For each missing column the new one of similar name whose values look like its own: a hint for a person.

    Names are compared without regard to case and punctuation.

    Parameters
    ----------
    alike : whether the values of a new column (second) could be those of a missing one (first).

    Examples
    --------
    >>> perhaps_renamed(["rsi_14", "volume"], ["rsi14", "spread"], lambda missing, new: True)
    {'rsi_14': 'rsi14'}
    >>> perhaps_renamed(["RSI"], ["rsi"], lambda missing, new: True)
    {'RSI': 'rsi'}
    """
    found: dict[str, str] = {}
    for name in missing:
        free: dict[str, list[str]] = {}
        for other in new:
            if other not in found.values():
                free.setdefault(_bare(other), []).append(other)
        near = difflib.get_close_matches(_bare(name), free, n=3, cutoff=_ALIKE)
        chosen = next((other for bare in near for other in free[bare] if alike(name, other)), None)
        if chosen is not None:
            found[name] = chosen
    return found


def _bare(name: str) -> str:
    """A name without case and punctuation; as it is where it has nothing else."""
    return "".join(letter for letter in name.casefold() if letter.isalnum()) or name


def require_same_bars(reference: int | None, window: int | None) -> None:
    """Refuse to compare features of bars of one length (milliseconds) with those of another; what is not known is not compared.

    Raises
    ------
    SignatureError : both are known and differ.
    """
    if reference is not None and window is not None and reference != window:
        raise SignatureError(
            f"the window's features are of bars of {written_length(window)}, the reference's of bars of "
            f"{written_length(reference)}; bars of one length were expected."
        )


def require_same_recipe(reference: str | None, window: str | None) -> None:
    """Refuse to compare columns that were made in different ways; one that is not known is not compared.

    Raises
    ------
    SignatureError : both are known and differ.
    """
    if reference is not None and window is not None and reference != window:
        raise SignatureError(
            f"the window's features are of recipe {window[:12]}, the reference's of {reference[:12]}; equal names would mean "
            "different things. Compute both by one recipe."
        )
