"""What a training is known by: everything that decides what it computes, as one hash."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import partial
from hashlib import sha256
from typing import Any

import numpy as np
import torch

from huracan.training.code_identity import code_of
from huracan.training.windows import WindowTable
from huracan.version import __version__

__all__ = ["identity_of"]


def identity_of(
    told: Sequence[Any], train: WindowTable, validation: WindowTable | None, parameters: Mapping[str, torch.Tensor]
) -> str:
    """SHA-256 of settings, windows, parameters and this package's version; a table that both windows share is read once.

    Parameters
    ----------
    told : values such as the network's name and arguments, the loss and the decisive settings. A data class is known by its
        name and fields, a function by its name and code; anything else that JSON has no word for by what ``repr`` says.
    parameters : those it begins with.

    Examples
    --------
    >>> rows = WindowTable(torch.zeros(3, 1), torch.arange(3, dtype=torch.int32), 1)
    >>> identity_of(["lstm"], rows, None, {}) == identity_of(["gru"], rows, None, {})
    False
    """
    digest = sha256(json.dumps([__version__, torch.__version__, *told], sort_keys=True, default=_in_words).encode())
    for windows in (train, validation):
        if windows is None:
            digest.update(b"no windows")
            continue
        digest.update(f"windows {windows.length}".encode())
        for name in ("table", "last", "y", "weight", "condition"):
            value = getattr(windows, name)
            same = windows is validation and value is train.table
            _take_in(digest, name, None if same else value)
    for name, value in sorted(parameters.items()):
        _take_in(digest, name, value)
    return digest.hexdigest()


def _take_in(digest: Any, name: str, value: torch.Tensor | None) -> None:
    digest.update(f"{name} {None if value is None else (tuple(value.shape), value.dtype)}".encode())
    if value is not None:
        digest.update(np.ascontiguousarray(value.detach().cpu().numpy()).reshape(-1).data)


def _in_words(value: Any) -> Any:
    """The same in every process: no address of memory."""
    if isinstance(value, partial):
        return [_in_words(value.func), value.args, value.keywords]
    if is_dataclass(value) and not isinstance(value, type):
        return [_name(type(value)), {field.name: getattr(value, field.name) for field in fields(value)}]
    return [_name(value), code_of([value])] if callable(value) and hasattr(value, "__qualname__") else repr(value)


def _name(value: Any) -> str:
    return f"{value.__module__}.{value.__qualname__}"
