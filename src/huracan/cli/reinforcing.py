"""``huracan rl``: agents that learn to trade."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Annotated

import typer

from huracan.cli.options import STOPPED_BY_HAND, ConfigFile, load
from huracan.cli.progress import progress_on_terminal

__all__ = ["rl_app"]

rl_app = typer.Typer(help="Agents that learn to trade.", no_args_is_help=True, rich_markup_mode=None)


@rl_app.callback()
def _rl() -> None:
    """Agents that learn to trade."""


@rl_app.command("train")
def train(
    candles: Annotated[
        Path | None, typer.Argument(help="File or folder of candles; data.source of the configuration, or a simulated market.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Steps of all copies of the environment together.")] = None,
    config: ConfigFile = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything random.")] = None,
    home: Annotated[Path | None, typer.Option(help="Folder for database, models, runs and reports.")] = None,
) -> None:
    """Train an agent on candles, all but the locked hold-out; the same command goes on where it was stopped."""
    from huracan.config import load_config
    from huracan.integration.unified_pipeline import UnifiedMLPipeline

    settings = load(config, seed=seed, home=home)
    if steps is not None:
        values = settings.model_dump(mode="json")
        settings = load_config({**values, "rl": {**values["rl"], "total_steps": steps}}, environ={})
    signal.signal(signal.SIGINT, signal.default_int_handler)  # from here on there is work to put in order
    try:
        with progress_on_terminal("reading candles") as progress:
            trained = UnifiedMLPipeline(settings).train_agent(candles, progress=progress)
    except KeyboardInterrupt:
        raise SystemExit(STOPPED_BY_HAND) from None
    agent = trained.agent
    how = "what every action would have earned on each bar" if trained.learned_from_all else "what it tried"
    typer.echo(f"dqn: {agent.steps_:,} steps on {int(trained.market.decidable.sum()):,} bars, learning from {how}.")
    if agent.stopped_:
        typer.echo(f"Stopped early: {agent.stopped_}")
    typer.echo(f"Training: {trained.folder.resolve()}")
    typer.echo(f"Registered: version {trained.version} of '{trained.name}'; champion of nothing, since nothing has judged it.")
