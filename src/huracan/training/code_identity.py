"""What code does, as one hash: a network whose code was changed is another network."""

from __future__ import annotations

import dis
import inspect
import sys
import sysconfig
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cached_property, lru_cache, partial
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

__all__ = ["code_of"]

_PLAIN = (bool, int, float, complex, str, bytes, type(None))


def code_of(things: Iterable[Any]) -> str:
    """SHA-256 of classes and functions, and of what they use of their own project: bases, functions, classes, constants.

    What is hashed is what Python compiled and will run, not what a file says by now; comments and line numbers are no part of
    it. PyTorch, the standard library and other installed packages are known by their names alone.

    Examples
    --------
    >>> class Twice:
    ...     def of(self, x): return 2 * x
    >>> before = code_of([Twice])
    >>> Twice.of = lambda self, x: 3 * x
    >>> code_of([Twice]) == before
    False
    """
    waiting = deque(_code_behind(thing) for thing in things)
    roots = frozenset(map(_root, waiting))
    known: dict[int, tuple[str, list[Any]]] = {}
    while waiting:
        thing = waiting.popleft()
        if id(thing) in known or _is_library(_root(thing), but=roots):
            continue
        parts = list(_of_function(thing) if isinstance(thing, FunctionType) else _of_class(thing))
        known[id(thing)] = _name(thing), [told for told, _ in parts]
        waiting.extend(used for _, uses in parts for used in uses)
    return sha256(repr(sorted(set(map(repr, known.values())))).encode()).hexdigest()


def _of_class(thing: type) -> Iterator[tuple[Any, list[Any]]]:
    """What is told of a class, part by part, and the classes and functions that each uses."""
    yield list(map(_name, thing.__mro__)), list(thing.__mro__[1:])
    for name, value in sorted(vars(thing).items()):
        found = _unwrapped(value)
        if isinstance(found, FunctionType):
            yield from (([name, told], uses) for told, uses in _of_function(found))
        elif not name.startswith("__"):  # what Python notes there comes and goes
            yield [name, _in_words(value)], _reached(value)


def _of_function(function: FunctionType) -> Iterator[tuple[Any, list[Any]]]:
    yield _of_code(function.__code__), []
    given = [*enumerate(function.__defaults__ or ()), *sorted((function.__kwdefaults__ or {}).items())]
    for name, value in [*given, *_around(function)]:
        yield [name, _in_words(value)], _reached(value)


def _around(function: FunctionType) -> Iterator[tuple[str, Any]]:
    """Name -> value of what a function finds outside itself: in its module, in modules of its project, in functions around."""
    names = sorted(_names(function.__code__) - _written(function.__code__))
    for name in names:
        value = function.__globals__.get(name)
        if isinstance(value, ModuleType) and not _is_library(value.__name__.partition(".")[0]):
            yield from ((f"{name}.{inner}", vars(value)[inner]) for inner in names if inner in vars(value))
        elif value is not None:
            yield name, value
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        with suppress(ValueError):  # a cell that is still empty
            yield name, cell.cell_contents


def _of_code(code: CodeType) -> list[Any]:
    constants = [_of_code(one) if isinstance(one, CodeType) else _in_words(one) for one in code.co_consts]
    return [code.co_code.hex(), code.co_names, code.co_varnames, code.co_freevars, constants]


def _written(code: CodeType) -> set[str]:
    """Names of the module that code sets as it runs: they are no constants."""
    return {one.argval for one in dis.get_instructions(code) if one.opname == "STORE_GLOBAL"}


def _names(code: CodeType) -> set[str]:
    nested = [_names(one) for one in code.co_consts if isinstance(one, CodeType)]
    return set(code.co_names).union(*nested)


def _code_behind(thing: Any) -> Any:
    """The function or class that is called; of any other object, its class."""
    found = _unwrapped(thing)
    return found if isinstance(found, FunctionType | type) else type(found)


def _unwrapped(value: Any) -> Any:
    """The function or class behind a decorator, a property or a bound method."""
    while True:
        if isinstance(value, staticmethod | classmethod):
            value = value.__func__
        elif isinstance(value, property):
            value = value.fget
        elif isinstance(value, partial | cached_property):
            value = value.func
        elif inspect.ismethod(value):
            value = value.__func__
        elif isinstance(value, FunctionType) and hasattr(value, "__wrapped__"):
            value = value.__wrapped__
        else:
            return value


def _is_constant(value: Any) -> bool:
    """Whether a value is made of numbers, texts, functions and classes alone: a cache of tensors, say, comes and goes."""
    if isinstance(value, dict):
        return all(_is_constant(part) for pair in value.items() for part in pair)
    if isinstance(value, tuple | list | set | frozenset):
        return all(map(_is_constant, value))
    return isinstance(value, _PLAIN) or isinstance(_unwrapped(value), FunctionType | type)


def _in_words(value: Any) -> str:
    """The same in every process: sets have an order of their own in each."""
    found = _unwrapped(value)
    if not _is_constant(value):
        return type(value).__name__
    if isinstance(found, FunctionType | type):
        return _name(found)
    if isinstance(value, dict):
        return f"dict of {[(_in_words(key), _in_words(one)) for key, one in value.items()]}"
    if isinstance(value, set | frozenset):
        return f"set of {sorted(map(_in_words, value))}"
    return f"{type(value).__name__} of {list(map(_in_words, value))}" if isinstance(value, tuple | list) else repr(value)


def _reached(value: Any) -> list[Any]:
    """Functions and classes that a value is or holds."""
    if not _is_constant(value):
        return []
    parts = [*value, *value.values()] if isinstance(value, dict) else value
    if isinstance(value, dict | tuple | list | set | frozenset):
        return [found for part in parts for found in _reached(part)]
    found = _unwrapped(value)
    return [found] if isinstance(found, FunctionType | type) else []


def _name(thing: Any) -> str:
    return f"{thing.__module__}.{thing.__qualname__}"


def _root(thing: Any) -> str:
    return str(getattr(thing, "__module__", None) or "builtins").partition(".")[0]


def _is_library(root: str, *, but: frozenset[str] = frozenset()) -> bool:
    """Whether a package is PyTorch, of the standard library, or installed beside it and not one of ``but``."""
    if root in sys.stdlib_module_names or root in ("torch", "numpy"):
        return True
    return root not in but and _is_installed(root)


@lru_cache
def _is_installed(root: str) -> bool:
    try:
        spec = find_spec(root)
    except (ImportError, ValueError):  # a module without a file, such as __main__
        return False
    if spec is None or not spec.origin:
        return False
    installed = {Path(sysconfig.get_path(which)).resolve() for which in ("purelib", "platlib")}
    return any(place in Path(spec.origin).resolve().parents for place in installed)
