"""What the commands on stored models share: which registry is meant, and how tables and JSON are printed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from huracan.cli.options import load

if TYPE_CHECKING:
    from huracan.model_registry import ModelRegistry
    from huracan.storage import Database

__all__ = ["AsJson", "Home", "database_and_artifacts", "pairs", "print_json", "print_table", "registry_of"]

Home = Annotated[Path | None, typer.Option(help="Folder for database, models, runs and reports.")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON instead of a table.")]


def database_and_artifacts(config: Path | None, home: Path | None, *, make: bool = False) -> tuple[Database, Path]:
    """The configured database, as it is, and the folder of its artifacts.

    Raises
    ------
    RegistryError : it is a SQLite file that is not there, and it is not to be made.
    """
    from huracan.errors import RegistryError
    from huracan.storage import Database

    settings = load(config, home=home)
    database = Database(settings.registry.url or f"sqlite:///{settings.home / 'huracan.db'}")
    file = database.url.database
    if not make and database.is_sqlite and file and not Path(file).exists():
        place = Path(file).absolute()
        raise RegistryError(f"there is no registry at {place}; huracan run makes one, --home or --config names another.")
    return database, settings.home / "artifacts"


def registry_of(config: Path | None, home: Path | None) -> ModelRegistry:
    """The registry that commands work on, its schema brought up to date."""
    from huracan.model_registry import ModelRegistry

    database, artifacts = database_and_artifacts(config, home)
    return ModelRegistry(database, artifacts=artifacts)


def pairs(given: Sequence[str], option: str) -> dict[str, str]:
    """``key=value`` words as a dictionary.

    >>> pairs(["desk=rates", "note=a=b"], "--tag")
    {'desk': 'rates', 'note': 'a=b'}
    """
    from huracan.errors import RegistryError

    found = {}
    for word in given:
        key, sign, value = word.partition("=")
        if not (key and sign):
            raise RegistryError(f"{option} is '{word}'; KEY=VALUE was expected.")
        found[key] = value
    return found


def print_table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Columns as wide as they need: folded at the width of the terminal, or at 200 in a pipe."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 200
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in header:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(Text("-" if cell is None else str(cell)) for cell in row))
    console.print(table)


def print_json(value: Mapping[str, Any] | Sequence[Any]) -> None:
    """For programs: what :func:`huracan.storage.from_json` reads."""
    from huracan.storage import to_json

    typer.echo(to_json(value, indent=1))
