"""``huracan automl``: models and settings searched under a budget, judged once on rows no trial has seen."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from huracan.cli.options import STOPPED_BY_HAND, ConfigFile, load
from huracan.cli.progress import progress_on_terminal

if TYPE_CHECKING:
    from huracan.config import HuracanConfig
    from huracan.integration.automl_job import AutoMLResult

__all__ = ["automl"]


def automl(
    candles: Annotated[
        Path | None, typer.Argument(help="File or folder of candles; data.source of the configuration, or a simulated market.")
    ] = None,
    source: Annotated[Path | None, typer.Option(help="The same, as an option.")] = None,
    time_budget: Annotated[
        float | None,
        typer.Option(
            help="Seconds for search and final fit together; reading candles, positions, judging and the report come on top."
        ),
    ] = None,
    max_trials: Annotated[int | None, typer.Option(help="Settings tried; 100 where no budget is set anywhere.")] = None,
    learners: Annotated[str | None, typer.Option(help="Names of the catalogue, with commas between them.")] = None,
    task: Annotated[str | None, typer.Option(help="regression (of the label) or classification (of its direction).")] = None,
    sampler: Annotated[str | None, typer.Option(help="tpe, random, cma_es, gp, qmc or nsga_ii.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that fit.")] = None,
    study: Annotated[str | None, typer.Option(help="Go on with the search of this name in the database, or begin it.")] = None,
    warm_start: Annotated[bool | None, typer.Option(help="Begin with the best settings of earlier searches.")] = None,
    config: ConfigFile = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything random.")] = None,
    home: Annotated[Path | None, typer.Option(help="Folder for database, models, runs and reports.")] = None,
) -> None:
    """Search models and settings under a budget, and say whether what was found beats a constant; it is written as a report."""
    from huracan.errors import ConfigError
    from huracan.integration.unified_pipeline import UnifiedMLPipeline

    if candles is not None and source is not None:
        raise ConfigError(f"candles are named twice, {candles} and --source {source}; one was expected.")
    settings = _with_search(
        load(config, seed=seed, home=home),
        time_budget=time_budget,
        max_trials=max_trials,
        learners=None if learners is None else [name.strip() for name in learners.split(",") if name.strip()],
        task=task,
        sampler=sampler,
        n_workers=workers,
        warm_start=warm_start,
    )
    pipeline = UnifiedMLPipeline(settings)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # from here on there is work to put in order
    try:
        with progress_on_terminal("reading candles") as progress:
            result = pipeline.run_automl(candles or source, study=study, progress=progress)
    except KeyboardInterrupt:
        raise SystemExit(STOPPED_BY_HAND) from None
    _print_result(result)


def _with_search(settings: HuracanConfig, **said: Any) -> HuracanConfig:
    """The configuration with what the command line says of the search; a budget given there replaces the configured one."""
    from huracan.config import load_config

    given = {key: value for key, value in said.items() if value is not None}
    if not given:
        return settings
    if "time_budget" in given or "max_trials" in given:
        given = {"time_budget": None, "max_trials": None, **given}
    values = settings.model_dump(mode="json")
    return load_config({**values, "automl": {**values["automl"], **given}}, environ={})


def _print_result(result: AutoMLResult) -> None:
    typer.echo(result.verdict)
    for reason in result.content.reasons:
        typer.echo(reason)
    chosen = [
        f"{m.weight:.0%} {m.learner}" + ("" if m.trial is None else f" (trial {m.trial})") for m in result.content.members
    ]
    typer.echo(f"Chosen: {', '.join(chosen)}.")
    typer.echo(f"Registry: {result.registered}.")
    typer.echo(f"Report: {result.report_path.resolve()}")
