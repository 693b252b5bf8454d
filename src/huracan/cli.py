"""``huracan``: the command line, a thin face over the library.

Exit codes: 0 done, 2 bad input or environment (one sentence on standard error), 130 stopped by Ctrl-C, 1 a defect.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from huracan.config import HuracanConfig
    from huracan.integration.results import PipelineResult

__all__ = ["app", "main"]

app = typer.Typer(
    name="huracan",
    help="Machine learning for trading that you can defend: from candles to a champion, every claim with its error rate.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
config_app = typer.Typer(help="Check, show and explain the configuration.", no_args_is_help=True)
app.add_typer(config_app, name="config")

ConfigFile = Annotated[Path | None, typer.Option("--config", "-c", help="Configuration file; the defaults without it.")]


@app.command()
def run(
    candles: Annotated[Path | None, typer.Argument(help="File or folder of candles; a simulated market without it.")] = None,
    config: ConfigFile = None,
    profile: Annotated[str | None, typer.Option(help="quick, standard, full, or one of your own.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything random.")] = None,
    home: Annotated[Path | None, typer.Option(help="Folder for database, models, runs and reports.")] = None,
) -> None:
    """Run the main job: candles to a champion model and a report."""
    from huracan.integration.unified_pipeline import UnifiedMLPipeline

    pipeline = UnifiedMLPipeline(_load(config, profile=profile, seed=seed, home=home))
    signal.signal(signal.SIGINT, signal.default_int_handler)  # from here on there is work to put in order
    try:
        with _progress() as progress:
            result = pipeline.run(candles, progress=progress)
    except KeyboardInterrupt:
        raise SystemExit(_STOPPED_BY_HAND) from None
    _print_result(result)


@config_app.command()
def validate(file: Annotated[Path, typer.Argument(help="Configuration file.")]) -> None:
    """Check a configuration file: keys and values, learners and hyperparameters of all profiles, recipe, database URL."""
    from huracan.catalogue import check_learners
    from huracan.config import load_config
    from huracan.integration.preparation import load_recipe
    from huracan.storage import Database

    settings = load_config(file)
    for name, profile in settings.profiles.items():
        check_learners(profile.learners, where=f"profiles.{name}.learners")
    with _named_fault("features.recipe", settings.features.recipe):
        load_recipe(settings)
    if settings.registry.url is not None:
        with _named_fault("registry.url", settings.registry.url):
            Database(settings.registry.url)
    typer.echo(f"{file}: valid; profile {settings.profile} with {len(settings.active_profile.learners)} learners.")


@config_app.command()
def show(config: ConfigFile = None) -> None:
    """Print the configuration in force, defaults and environment included, every key explained."""
    from huracan.config import commented_yaml, load_config

    typer.echo(commented_yaml(load_config(config)), nl=False)


@config_app.command()
def schema(
    as_json: Annotated[bool, typer.Option("--json", help="JSON schema instead of a table.")] = False,
) -> None:
    """Explain every key: type, default, bounds, meaning."""
    import json

    from huracan.config import HuracanConfig, parameter_table

    typer.echo(json.dumps(HuracanConfig.model_json_schema(), indent=2) if as_json else parameter_table())


@app.command()
def version() -> None:
    """Print the version."""
    import huracan

    typer.echo(huracan.__version__)


_STOPPED_BY_HAND = 130
_STOPPED = "stopped; the same command goes on where it stopped."


def main() -> None:
    """Run a command; no traceback reaches the user."""
    signal.signal(signal.SIGINT, _stop_at_once)
    signal.signal(signal.SIGTERM, _stop)
    from huracan.errors import HuracanError

    try:
        app()
    except SystemExit as end:
        if end.code == _STOPPED_BY_HAND:
            _fail(_STOPPED, _STOPPED_BY_HAND)
        raise
    except KeyboardInterrupt:
        _fail(_STOPPED, _STOPPED_BY_HAND)
    except HuracanError as error:
        _fail(str(error), error.exit_code)
    except MemoryError:
        _fail("out of memory; fewer symbols, a shorter span or a profile with lower row caps would fit.", 2)
    except Exception as error:  # noqa: BLE001 - the outermost door: a defect is written down, not shown
        _fail(f"a defect in Huracan: {type(error).__name__}: {error}. Details are in {_write_defect()}.", 1)


def _stop(*_: Any) -> None:
    raise KeyboardInterrupt


def _stop_at_once(*_: Any) -> NoReturn:
    """End while libraries are being loaded, when an exception could be lost and there is nothing to put in order."""
    os.write(2, f"huracan: {_STOPPED}\n".encode())
    os._exit(_STOPPED_BY_HAND)


def _fail(sentence: str, code: int) -> NoReturn:
    typer.echo(f"huracan: {sentence}", err=True)
    raise SystemExit(code)


def _write_defect() -> str:
    import tempfile

    with tempfile.NamedTemporaryFile("w", prefix="huracan-defect-", suffix=".txt", delete=False) as file:
        traceback.print_exc(file=file)
    return file.name


def _load(config: Path | None, **changes: Any) -> HuracanConfig:
    """The configuration, with what the command line says on top."""
    from huracan.config import load_config

    loaded = load_config(config)
    given = {key: value for key, value in changes.items() if value is not None}
    return load_config({**_as_given(loaded), **given}, environ={}) if given else loaded


@contextmanager
def _named_fault(key: str, value: str) -> Iterator[None]:
    """Say which key a fault found elsewhere belongs to."""
    from huracan.errors import ConfigError, HuracanError

    try:
        yield
    except (HuracanError, UnicodeDecodeError) as error:
        said = str(error) if key in str(error) else f"{key} is '{value}': {error}"
        raise ConfigError(said) from error


def _as_given(config: HuracanConfig) -> dict[str, Any]:
    return config.model_dump(mode="json")


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
