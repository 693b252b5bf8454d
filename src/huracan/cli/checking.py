"""``huracan check``: everything that is wrong or unusual in candles, in one go."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from huracan.cli.options import ConfigFile, load, require_folder

if TYPE_CHECKING:
    from huracan.preprocessing.exploration import Exploration
    from huracan.preprocessing.quality import FoundCandles, QualityReport

__all__ = ["DEFECTS_FOUND", "check"]

DEFECTS_FOUND = 3
"""Exit code where something was found that cannot be true; warnings and notes alone exit with 0."""

_STYLE = {"error": "bold red", "warning": "yellow", "note": "cyan"}


def check(
    candles: Annotated[
        Path | None, typer.Argument(help="File, folder or store of candles; data.source of the configuration without it.")
    ] = None,
    reference: Annotated[Path | None, typer.Option(help="Candles of the same symbols from a venue that is trusted.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write a page with plots.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write everything as JSON; - prints it instead of the table.")] = None,
    bar: Annotated[str | None, typer.Option(help="Which bars of a candle store, such as 1h.")] = None,
    config: ConfigFile = None,
) -> None:
    """List everything that is wrong or unusual in candles, also where a run would refuse them at the first fault.

    Exits with 0 where nothing impossible was found, 3 where something was, 2 where nothing could be read.
    """
    from huracan.errors import ConfigError
    from huracan.preprocessing.quality import quality_report, read_as_found

    source = candles if candles is not None else load(config).data.source
    if source is None:
        raise ConfigError("no candles were named; a file, a folder or a candle store was expected, or data.source.")
    for target in (html, json):
        require_folder(target)
    if bar is None:
        _require_one_length(source)
    found = read_as_found(source, bar=bar)
    report = quality_report(found, reference=read_as_found(reference, bar=bar) if reference is not None else None)
    exploration = _explored(found) if html is not None or json is not None else None
    if json is not None:
        _write_json(json, report, exploration)
    if html is not None:
        _write_page(html, found, report, exploration, str(source))
    if json is None or str(json) != "-":
        _print_table(report)
        for target in (html, json):
            if target is not None:
                typer.echo(f"Written: {target.resolve()}")
    if not report.ok:
        raise SystemExit(DEFECTS_FOUND)


def _require_one_length(source: Path) -> None:
    """Say in the words of the command line that a store holds several bar lengths."""
    from huracan.errors import CandleError
    from huracan.market.store import CandleStore, is_store

    if is_store(Path(source)) and len(bars := CandleStore(source).bars()) > 1:
        raise CandleError(f"{source} holds bars of {' and '.join(bars)}; --bar must say which, such as --bar {bars[0]}.")


def _explored(found: FoundCandles) -> Exploration | None:
    from huracan.errors import NotEnoughData
    from huracan.preprocessing.exploration import explore

    try:
        return explore(found)
    except NotEnoughData:  # the page says that there is nothing to explore
        return None


def _print_table(report: QualityReport) -> None:
    """Findings by severity and kind, worst first, and the summary."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from huracan.report.tables import quality_rows

    rows = quality_rows(report)
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 160
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("severity")
    table.add_column("check", max_width=24)
    for name in ("symbols", "bars", "share"):
        table.add_column(name, justify="right")
    table.add_column("first, UTC", min_width=16)
    table.add_column("in words", overflow="fold", ratio=1)
    for row in rows["findings"]:
        more = f" (and {len(row['more'])} more)" if row["more"] else ""
        cells = (row["name"], row["symbols"], row["bars"], row["share"], row["first"], row["sentence"] + more)
        table.add_row(Text(row["severity"], style=_STYLE[row["severity"]]), *(Text(cell) for cell in cells))
    if rows["findings"]:
        console.print(table)
    looked_at = report.sentence.partition(": ")[0]
    console.print(Text(f"{looked_at}. {_counted(rows)} {len(rows['passed'])} checks found nothing."))


def _counted(rows: dict[str, Any]) -> str:
    from huracan.report.formatting import plural

    return ", ".join(plural(count, severity) for severity, count in rows["tally"].items()) + "."


def _write_json(target: Path, report: QualityReport, exploration: Exploration | None) -> None:
    from json import dumps

    document = {**report.to_dict(), "exploration": exploration.to_dict() if exploration is not None else None}
    text = dumps(document, indent=1, allow_nan=False)
    if str(target) == "-":
        typer.echo(text)
    else:
        _write(target, text)


def _write_page(target: Path, found: FoundCandles, report: QualityReport, exploration: Exploration | None, source: str) -> None:
    from datetime import UTC, datetime

    from huracan.report.quality_page import render_quality_page

    page = render_quality_page(found, report, exploration, title=Path(source).name or source, created_at=datetime.now(UTC))
    _write(target, page)


def _write(target: Path, text: str) -> None:
    """A reader never sees half a file."""
    from huracan.storage.whole_files import put_file

    put_file(target, text.encode())
