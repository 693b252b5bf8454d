"""Sizes of networks, checked where they are given."""

from __future__ import annotations

from huracan.errors import ModelError

__all__ = ["check_sizes"]


def check_sizes(**sizes: int) -> None:
    """Refuse sizes that are not whole numbers of at least one, by their names."""
    for name, size in sizes.items():
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise ModelError(f"{name} must be a whole number of at least 1, not {size!r}.")
