"""``huracan compare``: registered models side by side, on candles that none of them has learned from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from huracan.cli.options import ConfigFile, load, require_folder

if TYPE_CHECKING:
    from huracan.baselines.ab_result import ABTestResult

__all__ = ["compare"]


def compare(
    a: Annotated[str, typer.Argument(help="A registered model: NAME (its champion), NAME@ALIAS or NAME@VERSION.")],
    b: Annotated[str, typer.Argument(help="Another one.")],
    candles: Annotated[
        Path | None, typer.Argument(help="File or folder of candles; data.source of the configuration, or a simulated market.")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Write a page with plots.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write everything as JSON; - prints it instead of the table.")] = None,
    config: ConfigFile = None,
    home: Annotated[Path | None, typer.Option(help="Folder for database, models, runs and reports.")] = None,
) -> None:
    """Compare two registered models on what came after both were trained, and say which is better, if either is."""
    from huracan.integration.unified_pipeline import UnifiedMLPipeline

    for target in (html, json):
        require_folder(target)
    result = UnifiedMLPipeline(load(config, home=home)).compare(a, b, candles=candles)
    if html is not None:
        from huracan.report import write_comparison_page

        write_comparison_page(result, html, title=f"{a} against {b}")
    if json is not None and str(json) != "-":
        from huracan.storage.whole_files import put_file

        put_file(json, result.to_json(indent=1).encode())
    if str(json) == "-":
        typer.echo(result.to_json(indent=1))
        return
    _print_result(result)
    for target in (html, json):
        if target is not None:
            typer.echo(f"Written: {target.resolve()}")


def _print_result(result: ABTestResult) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from huracan.baselines.comparing import written_p

    typer.echo(result.sentence)
    typer.echo(f"The loss is the {result.measure}. {result.comparison.dependence.sentence}")
    table = Table(box=None, pad_edge=False)
    interval = f"{100 * (1 - result.alpha):g} % interval"
    for name in ("model", "mean loss", "net Sharpe a bar", interval, "in the confidence set"):
        table.add_column(name)
    sharpe = {row["model"]: row for row in result.sharpe.iter_rows(named=True)}
    for row in result.models.iter_rows(named=True):
        ratio = sharpe.get(row["model"], {})
        known = ratio.get("sharpe_ratio") is not None
        net = f"{ratio['sharpe_ratio']:+.4f}" if known else "-"
        ends = f"{ratio['ci_low']:+.4f} to {ratio['ci_high']:+.4f}" if known else "-"
        table.add_row(Text(row["model"]), f"{row['mean_loss']:+.5g}", net, ends, "yes" if row["in_set"] else "no")
    Console().print(table)
    for row in result.pairs.iter_rows(named=True):
        said = f"joint interval {row['joint_low']:+.4g} to {row['joint_high']:+.4g}, adjusted p {written_p(row['p_adjusted'])}"
        textbook = f"textbook t test {written_p(row['p_independent'])}"
        typer.echo(f"{row['model_a']} - {row['model_b']}: {row['difference']:+.4g}, {said}; {textbook}.")
    for note in result.notes:
        typer.echo(note)
