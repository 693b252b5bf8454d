"""``huracan drift``: is what is in one file still what was in another, or what a model learned from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from huracan.cli.options import ConfigFile, load, require_folder

if TYPE_CHECKING:
    from huracan.integration.drift_check import DriftCheck

__all__ = ["DRIFTED", "drift"]

DRIFTED = 3
"""Exit code where drift is shown."""

_SHOWN = 20


def drift(
    reference: Annotated[
        str, typer.Argument(help="File or folder of candles or features; or a model: NAME, NAME@ALIAS, NAME@VERSION.")
    ],
    current: Annotated[Path, typer.Argument(help="File or folder that is held against it.")],
    html: Annotated[Path | None, typer.Option(help="Write a page with plots.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write everything as JSON; - prints it instead of the table.")] = None,
    any_symbol: Annotated[bool, typer.Option("--any-symbol", help="Compare also what is of other symbols.")] = False,
    config: ConfigFile = None,
    home: Annotated[Path | None, typer.Option(help="Folder for database, models, runs and reports.")] = None,
) -> None:
    """Say which columns are distributed unlike the reference, at an error rate that holds where rows remember.

    Candles become features of the configured recipe, or of the model's; other tables are compared as they are.
    Exits with 0 where no drift is shown, 3 where one is, 2 where nothing could be compared.
    """
    from huracan.integration.unified_pipeline import UnifiedMLPipeline

    for target in (html, json):
        require_folder(target)
    found = UnifiedMLPipeline(load(config, home=home)).check_drift(reference, current, any_symbol=any_symbol)
    if html is not None:
        _write_page(html, found, f"{current.name} against {reference}")
    if json is not None:
        _write_json(json, found)
    if str(json) != "-":
        _print(found)
        for target in (html, json):
            if target is not None:
                typer.echo(f"Written: {target.resolve()}")
    if found.report.drifted:
        raise SystemExit(DRIFTED)


def _print(found: DriftCheck) -> None:
    from huracan.cli.registries import print_table
    from huracan.report.drift_content import by_strength
    from huracan.report.formatting import number, p_value

    typer.echo(found.report.sentence)
    typer.echo(f"The p-values rest on this: {found.report.assumption}.")
    columns = by_strength(found.report)
    shared = _shared_notes(column.note for column in columns)
    rows = [
        (
            column.feature,
            "drifted" if column.drifted else "",
            p_value(column.q_value),
            p_value(column.p_value),
            number(column.statistic, 3),
            number(column.psi, 3),
            number(column.wasserstein, 2),
            "-" if column.n_eff is None else f"{column.n_eff:,.0f}",
            "; ".join(part for part in column.note.split("; ") if part not in shared),
        )
        for column in columns
    ]
    header = ("column", "", "q", "p", "statistic", "index", "moved, sd", "worth", "note")
    print_table(header, rows[:_SHOWN])
    for note, count in shared.items():
        typer.echo(f"{count:,} of {len(rows):,} columns: {note}.")
    joint = found.report.joint
    if joint is not None and joint.p_value is not None:
        typer.echo(f"All columns together: q {p_value(joint.q_value)}, p {p_value(joint.p_value)}, most in {joint.where}.")
    elif joint is not None:
        typer.echo(f"All columns together were not tested: {joint.note}.")
    if len(rows) > _SHOWN:
        typer.echo(f"and {len(rows) - _SHOWN:,} more columns with weaker evidence; --json and --html have them all.")
    for before, after in found.report.renamed.items():
        typer.echo(f"Perhaps renamed: {before} is missing, and {after} is distributed like it.")
    unknown = [name for name in found.report.new if name not in found.report.renamed.values()]
    if unknown:
        rest = f" and {len(unknown) - _SHOWN:,} more" if len(unknown) > _SHOWN else ""
        typer.echo(f"New, held against nothing: {', '.join(unknown[:_SHOWN])}{rest}.")
    if found.windows:
        drifted = sum(window.drifted for window in found.windows)
        typer.echo(f"{drifted} of its {len(found.windows)} windows drifted, each looked at by itself.")
    for note in found.report.notes:
        typer.echo(note)


def _shared_notes(notes: Iterable[str]) -> dict[str, int]:
    """Notes of more than half of the columns, and of how many: said once, and not in each row.

    >>> _shared_notes(["by quantiles; few rows", "by quantiles", "it is constant"])
    {'by quantiles': 2}
    """
    told = [note.split("; ") if note else [] for note in notes]
    counted = Counter(part for parts in told for part in parts)
    return {part: count for part, count in counted.items() if count > max(1, len(told) // 2)}


def _write_json(target: Path, found: DriftCheck) -> None:
    from json import dumps, loads

    from huracan.storage.whole_files import put_file

    told = {**loads(found.report.to_json()), "drifted": found.report.drifted, "sentence": found.report.sentence}
    told["windows"] = [loads(window.to_json()) for window in found.windows]
    text = dumps(told, indent=1, allow_nan=False)
    if str(target) == "-":
        typer.echo(text)
    else:
        put_file(target, text.encode())


def _write_page(target: Path, found: DriftCheck, title: str) -> None:
    from datetime import UTC, datetime

    from huracan.report.drift_content import DriftContent
    from huracan.report.drift_page import write_drift_page

    write_drift_page(DriftContent(found.report, title, datetime.now(UTC), found.windows, found.facts), target)
