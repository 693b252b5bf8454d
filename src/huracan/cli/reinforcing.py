"""``huracan rl``: agents that learn to trade."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from huracan.cli.options import STOPPED_BY_HAND, ConfigFile, load, require_folder
from huracan.cli.progress import progress_on_terminal

if TYPE_CHECKING:
    from huracan.config import HuracanConfig
    from huracan.integration.rl_evaluation_job import EvaluatedAgent

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
    from huracan.integration.unified_pipeline import UnifiedMLPipeline

    settings = _with_rl(load(config, seed=seed, home=home), total_steps=steps)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # from here on there is work to put in order
    try:
        with progress_on_terminal("reading candles") as progress:
            trained = UnifiedMLPipeline(settings).train_agent(candles, progress=progress)
    except KeyboardInterrupt:
        raise SystemExit(STOPPED_BY_HAND) from None
    agent = trained.agent
    how = "what every action would have earned on each bar" if trained.learned_from_all else "what it tried"
    typer.echo(f"dqn: {agent.steps_:,} steps on {int(trained.market.decidable.sum()):,} bars, learning from {how}.")
    _print_assumed(trained.assumed)
    typer.echo(f"Training: {trained.folder.resolve()}")
    typer.echo(f"Report: {trained.report_path.resolve()}")
    typer.echo(f"Registered: version {trained.version} of '{trained.name}'; champion of nothing, since nothing has judged it.")
    typer.echo(
        f"Load it: UnifiedMLPipeline(...).registry.load('{trained.name}', version={trained.version}); "
        "docs/reinforcement.md, 'Live', says how it decides on candles."
    )
    if trained.evidence is not None:
        typer.echo(f"On its card, of agents like it, walk-forward: {trained.evidence.sentence}")
        if trained.evidence.tried > 1:
            typer.echo(f"  one of {trained.evidence.tried} evaluations on these candles")
        for said in trained.evidence.said:
            typer.echo(f"  {said}")
    else:
        typer.echo("huracan rl evaluate, on the same candles, says whether agents like it are any good.")


@rl_app.command("evaluate")
def evaluate(
    candles: Annotated[
        Path | None, typer.Argument(help="File or folder of candles; data.source of the configuration, or a simulated market.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(help="Steps of one training; rl.evaluation.total_steps, or rl.total_steps.")
    ] = None,
    seeds: Annotated[int | None, typer.Option(help="Agents trained for each window.")] = None,
    windows: Annotated[int | None, typer.Option(help="Spans that are played, each behind a span to learn from.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write everything as JSON; - prints it instead of the table.")] = None,
    config: ConfigFile = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything random.")] = None,
    home: Annotated[Path | None, typer.Option(help="Folder for database, models, runs and reports.")] = None,
) -> None:
    """Train on the past, play what comes next, again and again, and say whether an agent beats doing nothing and more.

    All before the locked hold-out; the same command goes on where it was stopped.
    """
    from huracan.integration.unified_pipeline import UnifiedMLPipeline

    require_folder(json)
    said = {"total_steps": steps, "seeds": seeds, "n_windows": windows}
    settings = _with_rl(load(config, seed=seed, home=home), evaluation=said)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # from here on there is work to put in order
    try:
        with progress_on_terminal("reading candles") as progress:
            found = UnifiedMLPipeline(settings).evaluate_agent(candles, progress=progress)
    except KeyboardInterrupt:
        raise SystemExit(STOPPED_BY_HAND) from None
    if json is not None and str(json) != "-":
        from huracan.storage.whole_files import put_file

        put_file(json, found.to_json(indent=1).encode())
    if str(json) == "-":
        typer.echo(found.to_json(indent=1))
        return
    _print_evaluation(found, settings.comparison.alpha)
    if json is not None:
        typer.echo(f"Written: {json.resolve()}")


def _with_rl(settings: HuracanConfig, *, evaluation: dict[str, Any] | None = None, **said: Any) -> HuracanConfig:
    """The configuration with what the command line says of agents and of their evaluation."""
    from huracan.config import load_config

    given = {key: value for key, value in said.items() if value is not None}
    judged = {key: value for key, value in (evaluation or {}).items() if value is not None}
    if not given and not judged:
        return settings
    values = settings.model_dump(mode="json")
    rl = {**values["rl"], **given, "evaluation": {**values["rl"]["evaluation"], **judged}}
    return load_config({**values, "rl": rl}, environ={})


def _print_evaluation(found: EvaluatedAgent, alpha: float) -> None:
    from math import expm1

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    typer.echo(found.verdict.sentence)
    for reason in found.verdict.reasons:
        typer.echo(reason)
    level = f"{100 * (1 - alpha):g} %"
    earned, habits = Table(box=None, pad_edge=False), Table(box=None, pad_edge=False)
    for name in ("strategy", "bp a bar", f"{level} over time", "a window", f"{level} over seeds"):
        earned.add_column(name, justify="left" if name == "strategy" else "right", no_wrap=True)
    for name in ("strategy", "agent's lead", "p adj.", "turnover", "exposed", "drawdown", "trades"):
        habits.add_column(name, justify="left" if name == "strategy" else "right", no_wrap=True)
    for row in found.summary.iter_rows(named=True):
        seeds = "-" if row["score_low"] is None else f"{expm1(row['score_low']):+.2%} to {expm1(row['score_high']):+.2%}"
        over_time = f"{row['mean_low']:+.2f} to {row['mean_high']:+.2f}".replace("-inf to +inf", "unknown")
        earned.add_row(Text(row["strategy"]), f"{row['mean_bps']:+.2f}", over_time, f"{expm1(row['score']):+.2%}", seeds)
        p = row["lead_p_adjusted"]
        habits.add_row(
            Text(row["strategy"]),
            "-" if p is None else f"{row['lead_bps']:+.2f}",
            "-" if p is None else f"{p:.2g}" if p >= 1e-4 else "<0.0001",
            f"{row['turnover']:.2%}",
            f"{row['exposure']:.0%}",
            f"{row['max_drawdown']:.1%}",
            f"{row['trades']:,.0f}",
        )
    for table in (earned, habits):
        Console().print(table)
    typer.echo(
        "A window: interquartile mean of what runs earned in one. p adj.: of the agent's lead, after Holm for all strategies"
        + (f", times {found.evaluation.tried} evaluations." if found.evaluation.tried > 1 else ".")
    )
    typer.echo("Drawdown: median of the seeds' own accounts" + _worst(found) + ".")
    _print_assumed(found.assumed)
    typer.echo(f"Tables: {found.folder.resolve()}")
    typer.echo(f"Report: {found.report_path.resolve()}")


def _print_assumed(assumed: tuple[str, ...]) -> None:
    for said in assumed:
        typer.echo(f"Assumed: {said}")


def _worst(found: EvaluatedAgent) -> str:
    """The worst seed of the agent, where there are several."""
    several = found.evaluation.runs["seed"].drop_nulls().n_unique() > 1
    return f"; the agent's worst seed {found.summary.row(0, named=True)['worst_drawdown']:.1%}" if several else ""
