"""Progress of a long command: a bar with the time left on a terminal, plain lines in a pipe."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["progress_on_terminal"]


@contextmanager
def progress_on_terminal(first: str) -> Iterator[Any]:
    """Give a function ``(description, share)`` that shows how far the work is; shares add up to one.

    Parameters
    ----------
    first : what is done at the beginning.
    """
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
        task = bars.add_task(first, total=1.0)
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
