"""Tasks: their keys, the seed of each, and what a function asks for beside its task."""

from __future__ import annotations

import functools
import hashlib
import inspect
from collections.abc import Callable, Iterable, Mapping
from numbers import Integral
from typing import Any, TypeAlias

from huracan.errors import ConfigError

__all__ = ["Key", "offers", "task_seed", "tasks_by_key"]

Key: TypeAlias = str | int | tuple[Any, ...]
"""A symbol, a number, or a tuple of these."""

_OFFERED = ("seed", "shared")


def tasks_by_key(tasks: Mapping[Key, Any] | Iterable[Any]) -> dict[Key, Any]:
    """Key -> task. Strings of a list are their own keys; anything else of a list is known by its position.

    Raises
    ------
    ConfigError : a key occurs twice, or is neither text, a whole number nor a tuple of these.

    Examples
    --------
    >>> tasks_by_key(["BTC", "ETH"])
    {'BTC': 'BTC', 'ETH': 'ETH'}
    >>> tasks_by_key([{"depth": 3}, {"depth": 5}])
    {0: {'depth': 3}, 1: {'depth': 5}}
    >>> tasks_by_key(["BTC", "ETH", "BTC"])
    Traceback (most recent call last):
    ...
    huracan.errors.ConfigError: task 'BTC' is given twice, at positions 0 and 2; every task needs a key of its own.
    """
    if isinstance(tasks, Mapping):
        for key in tasks:
            _written_out(key)
        return dict(tasks)
    if isinstance(tasks, str) or not isinstance(tasks, Iterable):
        raise ConfigError(f"the tasks are {tasks!r}; expected a list or a mapping of key to task.")
    items = list(tasks)
    if not items or not all(isinstance(item, str) for item in items):
        return dict(enumerate(items))
    found: dict[Key, Any] = {}
    for position, item in enumerate(items):
        if item in found:
            first = items.index(item)
            raise ConfigError(
                f"task {item!r} is given twice, at positions {first} and {position}; every task needs a key of its own."
            )
        found[item] = item
    return found


def task_seed(seed: int, key: Key) -> int:
    """The task's own seed in [0, 2^31), from the executor's seed and the key alone.

    >>> task_seed(0, "BTC") == task_seed(0, "BTC") != task_seed(0, "ETH")
    True
    """
    digest = hashlib.sha256(f"{seed}|{_written_out(key)}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def offers(function: Callable[..., Any], *, shared: bool) -> frozenset[str]:
    """Which of ``seed`` and ``shared`` the function has a parameter for, beside its first, which is the task.

    Raises
    ------
    ConfigError : it is no function of a task, or something is shared that it has no parameter for.
    """
    if not callable(function):
        raise ConfigError(f"{function!r} is not a function; expected one that takes a task.")
    try:
        parameters = list(inspect.signature(function).parameters.values())[1:]
    except (TypeError, ValueError):  # functions written in C may not say what they take
        parameters = []
    bound = set(function.keywords) if isinstance(function, functools.partial) else set()
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    asked = {p.name for p in parameters if p.name in _OFFERED and p.kind in by_name} - bound
    if shared and "shared" not in asked:
        raise ConfigError(f"{named(function)} has no parameter 'shared', but something is shared; add it after the task.")
    return frozenset(asked if shared else asked - {"shared"})


def named(function: Callable[..., Any]) -> str:
    """The function as a message calls it.

    >>> named(len)
    "function 'len'"
    """
    return f"function '{getattr(function, '__qualname__', None) or repr(function)}'"


def _written_out(key: Any) -> str:
    if isinstance(key, str):
        return f"text {str.__str__(key)}"
    if isinstance(key, Integral):
        return f"number {int(key)}"
    if isinstance(key, tuple):
        return f"({', '.join(map(_written_out, key))})"
    raise ConfigError(
        f"task key {key!r} is of type '{type(key).__name__}'; expected text, a whole number or a tuple of these, "
        "so that its seed is the same in every process."
    )
