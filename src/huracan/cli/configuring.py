"""``huracan config``: check, show and explain the configuration."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from huracan.cli.options import ConfigFile

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["config_app"]

config_app = typer.Typer(help="Check, show and explain the configuration.", no_args_is_help=True)


@config_app.command()
def validate(file: Annotated[Path, typer.Argument(help="Configuration file.")]) -> None:
    """Check a configuration file: keys and values, learners and hyperparameters of all profiles, recipe, database URL."""
    from huracan.config import AutoMLConfig, load_config

    settings = load_config(file)
    from huracan.catalogue import check_learners  # what is loaded from here on takes seconds; a key is not worth them
    from huracan.config import LearnerConfig
    from huracan.integration.candidates import check_candidates
    from huracan.integration.preparation import load_recipe
    from huracan.storage import Database

    for name, profile in settings.profiles.items():
        check_learners(profile.learners, where=f"profiles.{name}.learners")
    check_learners({name: LearnerConfig() for name in settings.mechanic.learners}, where="mechanic.learners")
    check_candidates(settings)
    if settings.automl != AutoMLConfig():
        from huracan.integration.automl_job import check_learners_of_search

        check_learners_of_search(settings)
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


@contextmanager
def _named_fault(key: str, value: str) -> Iterator[None]:
    """Say which key a fault found elsewhere belongs to."""
    from huracan.errors import ConfigError, HuracanError

    try:
        yield
    except (HuracanError, UnicodeDecodeError) as error:
        said = str(error) if key in str(error) else f"{key} is '{value}': {error}"
        raise ConfigError(said) from error
