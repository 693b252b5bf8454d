"""What several commands share: the configuration file, and what the command line says on top of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from huracan.config import HuracanConfig

__all__ = ["STOPPED_BY_HAND", "ConfigFile", "load", "require_folder"]

STOPPED_BY_HAND = 130
"""Exit code after Ctrl-C."""

ConfigFile = Annotated[Path | None, typer.Option("--config", "-c", help="Configuration file; the defaults without it.")]


def load(config: Path | None, **changes: Any) -> HuracanConfig:
    """The configuration, with what the command line says on top."""
    from huracan.config import load_config

    loaded = load_config(config)
    given = {key: value for key, value in changes.items() if value is not None}
    return load_config({**loaded.model_dump(mode="json"), **given}, environ={}) if given else loaded


def require_folder(target: Path | None) -> None:
    """Say before the work that its result could not be written."""
    from huracan.errors import StorageError

    if target is None or str(target) == "-":
        return
    if target.is_dir() or not target.resolve().parent.is_dir():
        raise StorageError(f"{target} cannot be written: a file in a folder that exists was expected.")
