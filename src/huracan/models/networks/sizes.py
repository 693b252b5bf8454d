"""Sizes of networks, checked where they are given."""

from __future__ import annotations

from huracan.errors import ModelError

__all__ = ["check_shares", "check_sizes"]


def check_sizes(*, at_least: int = 1, **sizes: int) -> None:
    """Refuse what is no whole number or too small, by its name.

    >>> check_sizes(window=0)
    Traceback (most recent call last):
    huracan.errors.ModelError: window must be a whole number of at least 1, not 0.
    """
    for name, size in sizes.items():
        if not isinstance(size, int) or isinstance(size, bool) or size < at_least:
            raise ModelError(f"{name} must be a whole number of at least {at_least}, not {size!r}.")


def check_shares(**shares: float) -> None:
    """Refuse what is no share from 0 to below 1, by its name.

    >>> check_shares(dropout=1.5)
    Traceback (most recent call last):
    huracan.errors.ModelError: dropout must be a share from 0 to below 1, not 1.5.
    """
    for name, share in shares.items():
        if not 0 <= share < 1:
            raise ModelError(f"{name} must be a share from 0 to below 1, not {share!r}.")
