"""``huracan run``: the main job, with progress."""

from __future__ import annotations

import signal
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from huracan.cli.options import STOPPED_BY_HAND, ConfigFile, load

if TYPE_CHECKING:
    from collections.abc import Iterator

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
        with _progress() as progress:
            result = pipeline.run(candles, progress=progress)
    except KeyboardInterrupt:
        raise SystemExit(STOPPED_BY_HAND) from None
    _print_result(result)


@contextmanager
def _progress() -> Iterator[Any]:
    """A bar with the time left on a terminal; elsewhere a plain line each tenth of the way."""
    if not sys.stderr.isatty():
        yield _PlainProgress()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description:<34}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True, speed_estimate_period=120) as bars:
        task = bars.add_task("reading candles", total=1.0)
        yield lambda description, share: bars.update(task, description=description, advance=share)


class _PlainProgress:
    """Lines for a log file or a pipe."""

    def __init__(self) -> None:
        self.done = 0.0
        self.tenths = 0

    def __call__(self, description: str, share: float) -> None:
        self.done += share
        if int(self.done * 10 + 1e-6) > self.tenths:
            self.tenths = int(self.done * 10 + 1e-6)
            typer.echo(f"huracan: {self.tenths * 10} % done, {description}", err=True)


def _print_result(result: PipelineResult) -> None:
    typer.echo(result.verdict)
    content = result["performance_report"]["content"]
    if content.planted is not None:
        edge = content.planted
        typer.echo(
            f"Of the edge planted in this simulated market {edge.share_found:.0%} was found: rank information coefficient "
            f"{edge.found_information_coefficient:.3f} of {edge.attainable_information_coefficient:.3f} attainable."
        )
    if result.report_path is not None:
        typer.echo(f"Report: {result.report_path.resolve()}")
