"""``huracan db``: the database of models, runs and audit: brought up to date, checked, written out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from huracan.cli.checking import DEFECTS_FOUND
from huracan.cli.options import ConfigFile, require_folder
from huracan.cli.progress import progress_on_terminal
from huracan.cli.registries import AsJson, Home, database_and_artifacts, print_json

__all__ = ["database_app"]

database_app = typer.Typer(help="The database of models, runs and audit.", no_args_is_help=True, rich_markup_mode=None)


@database_app.command()
def upgrade(config: ConfigFile = None, home: Home = None) -> None:
    """Make the tables, or bring those of an earlier version up to date; nothing is lost, and twice does no harm."""
    from huracan.storage.schema import revision_of

    database, _ = database_and_artifacts(config, home, make=True)
    before = None
    if not database.is_sqlite or Path(database.url.database or "").exists():
        with database.reading() as connection:
            before = revision_of(connection)
    database.upgrade()
    with database.reading() as connection:
        now = revision_of(connection)
    did = f"was up to date at schema {now}" if before == now else f"brought from schema {before or 'none'} to {now}"
    typer.echo(f"{database.where}: {did}.")


@database_app.command()
def backup(
    file: Annotated[Path, typer.Argument(help="File to write, which is not there yet.")],
    config: ConfigFile = None,
    home: Home = None,
) -> None:
    """Copy a SQLite database whole while others use it; copy the folder of artifacts after it."""
    from huracan.storage.backup import back_up

    require_folder(file)
    database, artifacts = database_and_artifacts(config, home)
    size = back_up(database, file)
    typer.echo(f"Written: {file.resolve()}, {size:,} bytes. Its artifacts are in {artifacts}; copy that folder now.")


@database_app.command()
def heads(config: ConfigFile = None, home: Home = None) -> None:
    """Print where the audit of each name ends, to be kept elsewhere: db check --heads tells whether it still holds that."""
    from huracan.registry.audit_chain import heads_of

    database, _ = database_and_artifacts(config, home)
    database.check()
    print_json(database.read(heads_of))


@database_app.command()
def check(
    heads: Annotated[Path | None, typer.Option(help="What db heads printed earlier; the audit must still hold it.")] = None,
    as_json: AsJson = False,
    config: ConfigFile = None,
    home: Home = None,
) -> None:
    """Check the database's file, the audit's chains, what aliases point to, and the hash of every artifact.

    Exits with 0 where all agrees, 3 where something does not, 2 where nothing could be read.
    """
    from huracan.registry.consistency import check_consistency
    from huracan.storage import ArtifactStore

    database, folder = database_and_artifacts(config, home)
    kept = None if heads is None else _heads_in(heads)
    with progress_on_terminal("hashing artifacts") as progress:
        found = check_consistency(
            database, ArtifactStore(folder), heads=kept, progress=lambda digest, share: progress(digest[:12], share)
        )
    if as_json:
        print_json({"looked_at": found.looked_at, "defects": found.defects, "notes": found.notes})
    else:
        for kind, sentences in (("defect", found.defects), ("note", found.notes)):
            for sentence in sentences:
                typer.echo(f"{kind}: {sentence.rstrip('.')}.")
        counted = ", ".join(f"{what} {count:,}" for what, count in found.looked_at.items())
        typer.echo(f"{database.where}: {len(found.defects)} defect(s); checked: {counted}.")
    if not found.ok:
        raise SystemExit(DEFECTS_FOUND)


@database_app.command()
def export(
    file: Annotated[Path, typer.Argument(help="File to write, a JSON object a line; - for standard output.")],
    config: ConfigFile = None,
    home: Home = None,
) -> None:
    """Write every row of every table, all as they were at one moment."""
    from huracan.storage.exporting import export_database, exported_lines

    require_folder(file)
    database, _ = database_and_artifacts(config, home)
    database.check()
    if str(file) == "-":
        for line in exported_lines(database, {}):
            typer.echo(line)
        return
    counts = export_database(database, file)
    typer.echo(f"Written: {file.resolve()}, {sum(counts.values()):,} rows of {len(counts)} tables.")


def _heads_in(file: Path) -> dict[str, dict[str, Any]]:
    from huracan.errors import StorageError
    from huracan.storage import from_json

    try:
        heads = from_json(file.read_bytes())
        return {str(name): {"length": int(head["length"]), "hash": str(head["hash"])} for name, head in heads.items()}
    except OSError as error:
        raise StorageError(f"{file} cannot be read: {error.strerror}.") from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise StorageError(f"{file} does not hold what huracan db heads prints.") from error
