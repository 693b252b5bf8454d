"""``huracan run``: the main job, with progress."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from huracan.cli.options import STOPPED_BY_HAND, ConfigFile, load
from huracan.cli.progress import progress_on_terminal

if TYPE_CHECKING:
    from huracan.integration.results import PipelineResult

__all__ = ["run"]


def run(
    candles: Annotated[Path | None, typer.Argument(help="File or folder of candles; a simulated market without it.")] = None,
    config: ConfigFile = None,
    profile: Annotated[str | None, typer.Option(help="quick, standard, full, or one of your own.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything random.")] = None,
    home: Annotated[Path | None, typer.Option(help="Folder for database, models, runs and reports.")] = None,
) -> None:
    """Run the main job: candles to a champion model and a report."""
    from huracan.integration.unified_pipeline import UnifiedMLPipeline

    pipeline = UnifiedMLPipeline(load(config, profile=profile, seed=seed, home=home))
    signal.signal(signal.SIGINT, signal.default_int_handler)  # from here on there is work to put in order
    try:
        with progress_on_terminal("reading candles") as progress:
            result = pipeline.run(candles, progress=progress)
    except KeyboardInterrupt:
        raise SystemExit(STOPPED_BY_HAND) from None
    _print_result(result)


def _print_result(result: PipelineResult) -> None:
    typer.echo(result.verdict)
    content = result["performance_report"]["content"]
    if content.planted is not None:
        edge = content.planted
        typer.echo(
            f"Of the edge planted in this simulated market {edge.share_found:.0%} was found: rank information coefficient "
            f"{edge.found_information_coefficient:.3f} of {edge.attainable_information_coefficient:.3f} attainable."
        )
    if registered := content.facts.get("registered"):
        typer.echo(f"Registry: {registered}.")
    if result.report_path is not None:
        typer.echo(f"Report: {result.report_path.resolve()}")
