"""The documented import path of Huracan: ``src.cloud.training.ml_framework.X`` *is* ``huracan.X``.

Works from the repository root. Every module reached through this path is the very same object as the one in
``huracan``, so classes compare equal whichever path they were imported by.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

if find_spec("huracan") is None:  # a checkout that was not installed
    sys.path.insert(0, str(Path(__file__).resolve().parents[3]))


class _Alias(MetaPathFinder, Loader):
    """Answers an import below this package with the module of the same name below ``huracan``."""

    def __init__(self) -> None:
        self._specs: dict[str, ModuleSpec | None] = {}

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if not fullname.startswith(__name__ + "."):
            return None
        if find_spec(self._real_name(fullname)) is None:
            return None
        return ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = import_module(self._real_name(spec.name))
        self._specs[spec.name] = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Nothing to execute; the import system has put its own spec on the module, which goes back to what it was."""
        assert module.__spec__ is not None
        module.__spec__ = self._specs.pop(module.__spec__.name)

    @staticmethod
    def _real_name(fullname: str) -> str:
        return "huracan" + fullname.removeprefix(__name__)


if not any(type(finder).__qualname__ == "_Alias" and type(finder).__module__ == __name__ for finder in sys.meta_path):
    sys.meta_path.insert(0, _Alias())


def __getattr__(name: str) -> Any:
    return getattr(import_module("huracan"), name)
