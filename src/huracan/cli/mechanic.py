"""``huracan mechanic``: looks after the champion, turn after turn; says how it stands, and replays history."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from huracan.cli.freezing import frozen_names, switch_of
from huracan.cli.options import STOPPED_BY_HAND, ConfigFile, load, require_folder
from huracan.cli.progress import progress_on_terminal
from huracan.cli.registries import AsJson, Home, database_and_artifacts, print_json, print_table, registry_of

if TYPE_CHECKING:
    from huracan.integration.feedback.mechanic_report import MechanicStatus
    from huracan.integration.feedback.replay_report import ReplayResult
    from huracan.integration.mechanic import Mechanic

__all__ = ["mechanic_app"]

_WORK = "work"
_Every = Annotated[str | None, typer.Option(help="Time between turns, such as 1h; mechanic.every by default.")]
_Name = Annotated[str | None, typer.Option(help="Of one Mechanic; every Mechanic of the database without it.")]
_Reason = Annotated[str, typer.Argument(help="Why, in words.")]


class _OrWork(TyperGroup):
    """Words that name no command are those of the work itself: ``huracan mechanic candles.parquet --once``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ("--help", "-h"):
            args = [_WORK, *args]
        return super().parse_args(ctx, args)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Those of the work first, then which commands there are."""
        told = [record for one in self.commands[_WORK].params if (record := one.get_help_record(ctx)) is not None]
        with formatter.section("Without a command"):
            formatter.write_dl(told)
        super().format_options(ctx, formatter)


mechanic_app = typer.Typer(
    cls=_OrWork,
    help="Look after the champion: predict, score, watch, retrain, promote, roll back. "
    "huracan mechanic [CANDLES] --once does one turn, --every 1h one after the other until it is stopped.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@mechanic_app.command(_WORK, hidden=True)
def work(
    candles: Annotated[
        Path | None, typer.Argument(help="File or folder of candles; mechanic.source of the configuration without it.")
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="One turn, then end.")] = False,
    every: _Every = None,
    metrics_port: Annotated[int | None, typer.Option(help="Port of the Prometheus metrics; none for none.")] = None,
    config: ConfigFile = None,
    home: Home = None,
) -> None:
    """One turn (--once), or one after the other (--every 1h) until Ctrl-C or SIGTERM, which end it between two stages."""
    from huracan.errors import ConfigError
    from huracan.integration.feedback.looping import stop_on_signals

    if once == (every is not None):
        raise ConfigError("either --once or --every, such as --every 1h, was expected, one of the two.")
    step = None if every is None else _length(every)
    mechanic = _mechanic(config, home, candles if not once else None, metrics_port)
    if once:
        typer.echo(mechanic.tick(candles).sentence)
        return
    port = mechanic.pipeline.config.mechanic.metrics_port
    if port is not None:
        typer.echo(f"Metrics: http://127.0.0.1:{mechanic.works.metrics.serve(port)}/metrics")
    try:
        with stop_on_signals() as stop:
            mechanic.run(step, stop=stop, told=typer.echo)
    finally:
        mechanic.works.metrics.close()


@mechanic_app.command()
def status(name: _Name = None, as_json: AsJson = False, config: ConfigFile = None, home: Home = None) -> None:
    """Who works, what the last turn did, who is champion, what is under way, and whether promotions are frozen.

    Of every Mechanic that ever worked on the database, or of one. Nothing is written.
    """
    found = _statuses(name, config, home)
    if as_json:
        print_json([one.to_dict() for one in found])
        return
    for number, one in enumerate(found):
        if number:
            typer.echo("")
        _print_status(one)
    if not found:
        typer.echo(_nobody(config, home))
    for other, said in _frozen_otherwise(found, name, config, home).items():
        typer.echo(f"Of '{other}', under which no Mechanic has worked, {said}.")


@mechanic_app.command()
def freeze(reason: _Reason, name: _Name = None, config: ConfigFile = None, home: Home = None) -> None:
    """Stop promotions and rollbacks of every Mechanic, or of one; predicting, scoring and training go on.

    huracan run, huracan automl and huracan models promote ask it, too. Nothing is frozen where there is no database.
    """
    typer.echo(
        f"Promotions and rollbacks of {_switch(name, config, home, reason, freeze=True)} are frozen: {reason.rstrip('.')}."
    )


@mechanic_app.command()
def thaw(reason: _Reason, name: _Name = None, config: ConfigFile = None, home: Home = None) -> None:
    """Let promotions and rollbacks go on; what waited is looked at anew at the next turn."""
    typer.echo(f"Promotions and rollbacks of {_switch(name, config, home, reason, freeze=False)} go on: {reason.rstrip('.')}.")


@mechanic_app.command()
def replay(
    candles: Annotated[Path | None, typer.Argument(help="File or folder of candles; a simulated market without it.")] = None,
    every: _Every = None,
    start: Annotated[str | None, typer.Option("--from", help="Time of the first turn, UTC, such as 2025-10-01T00:00.")] = None,
    until: Annotated[str | None, typer.Option("--to", help="Time of the last turn, UTC.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write the page here, instead of into the replay's folder.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write what came of it as JSON; - prints it instead of the tables.")] = None,
    config: ConfigFile = None,
    home: Home = None,
) -> None:
    """Live through history with the Mechanic as it would have been, and say what it would have done and earned.

    It begins with nobody being champion, in a folder of its own; the models there are stay untouched.
    """
    import signal

    from huracan.integration.unified_pipeline import UnifiedMLPipeline
    from huracan.report.mechanic_page import write_mechanic_page
    from huracan.storage import to_json
    from huracan.storage.whole_files import put_file

    for target in (html, json):
        require_folder(target)
    if every is not None:
        _length(every)
    span: Mapping[str, Any] = {"start": _moment("--from", start), "until": _moment("--to", until)}
    pipeline = UnifiedMLPipeline(load(config, home=home))
    signal.signal(signal.SIGINT, signal.default_int_handler)  # from here on there is work to put in order
    try:
        with progress_on_terminal("reading candles") as progress:
            result = pipeline.replay_mechanic(candles, every=every, progress=progress, **span)
    except KeyboardInterrupt:
        raise SystemExit(STOPPED_BY_HAND) from None
    page = write_mechanic_page(result.content(), html or result.replay.folder / "replay.html")
    if json is not None and str(json) != "-":
        put_file(json, to_json(result.to_dict(), indent=1).encode())
    if str(json) == "-":
        print_json(result.to_dict())
        return
    _print_replay(result)
    typer.echo(f"Report: {page.resolve()}")


def _switch(name: str | None, config: Path | None, home: Path | None, reason: str, *, freeze: bool) -> str:
    """Freeze or thaw; in words, whom."""
    from huracan.integration.feedback.clock import SystemClock
    from huracan.registry.audit_chain import this_actor

    switch, whom = switch_of(name, config, home, thaw=not freeze)
    (switch.freeze if freeze else switch.thaw)(reason, actor=this_actor(), at=SystemClock().now())
    return whom


def _statuses(name: str | None, config: Path | None, home: Path | None) -> list[MechanicStatus]:
    """How every Mechanic that ever worked stands, or one of them."""
    from huracan.errors import RegistryError, nearest_name
    from huracan.integration.feedback.lease import names_that_worked
    from huracan.integration.mechanic import Mechanic
    from huracan.integration.unified_pipeline import UnifiedMLPipeline

    names: list[str] = []
    pipeline = UnifiedMLPipeline(load(config, home=home))
    if _is_there(config, home):
        names = names_that_worked(pipeline.registry.database)
    if name is not None and name not in names:
        raise nearest_name(name, names, kind="Mechanic") if names else RegistryError(_nobody(config, home))
    return [Mechanic(pipeline, name=one).status() for one in names if name in (None, one)]


def _frozen_otherwise(found: list[MechanicStatus], name: str | None, config: Path | None, home: Path | None) -> dict[str, str]:
    """Names of models that are frozen, and that no Mechanic has worked under."""
    if name is not None or not _is_there(config, home):
        return {}
    worked = {one.name for one in found}
    return {name: said for name, said in frozen_names(registry_of(config, home)).items() if name not in worked}


def _is_there(config: Path | None, home: Path | None) -> bool:
    """Whether there is a database: who only looks makes none."""
    from huracan.errors import RegistryError

    try:
        database_and_artifacts(config, home)[0].close()
    except RegistryError:
        return False
    return True


def _nobody(config: Path | None, home: Path | None) -> str:
    """That no Mechanic has worked yet, and whether the first one may promote."""
    from huracan.integration.feedback.switch import EVERY_NAME, Switch
    from huracan.integration.unified_pipeline import UnifiedMLPipeline

    pipeline = UnifiedMLPipeline(load(config, home=home))
    said = f"No Mechanic has worked in {pipeline.config.home} yet."
    if not _is_there(config, home):
        return said
    frozen = Switch(pipeline.registry.database, EVERY_NAME, pipeline.config.home).state()
    return f"{said} {_sentence(frozen.sentence)}" if frozen.frozen else said


def _mechanic(config: Path | None, home: Path | None, candles: Path | None = None, metrics_port: int | None = None) -> Mechanic:
    from huracan.config import load_config
    from huracan.integration.mechanic import Mechanic
    from huracan.integration.unified_pipeline import UnifiedMLPipeline

    settings = load(config, home=home)
    told = settings.model_dump(mode="json")
    if candles is not None:
        told["data"]["source"] = str(candles)
    if metrics_port is not None:
        told["mechanic"]["metrics_port"] = metrics_port
    changed = candles is not None or metrics_port is not None
    return Mechanic(UnifiedMLPipeline(load_config(told, environ={}) if changed else settings))


def _length(every: str) -> timedelta:
    from huracan.config import milliseconds
    from huracan.errors import ConfigError

    try:
        return timedelta(milliseconds=milliseconds(every))
    except ValueError as error:
        raise ConfigError(f"--every is '{every}'; {error}.") from error


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."


def _moment(option: str, text: str | None) -> int | None:
    from huracan.errors import ConfigError

    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"{option} is '{text}'; a time was expected, such as 2025-10-01 or 2025-10-01T08:00.") from error
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    return round(moment.timestamp() * 1_000)


def _print_status(found: MechanicStatus) -> None:
    from huracan.market.schema import written_time

    if found.working is None:
        typer.echo(f"No Mechanic works under '{found.name}'.")
    else:
        typer.echo(f"Mechanic '{found.name}' works: process {found.working.process_id} on {found.working.host}.")
    if found.unfinished is not None:
        typer.echo(f"The turn of {written_time(found.unfinished)} was begun; the next one finishes it first.")
    typer.echo("No turn was finished yet." if found.last is None else found.last.sentence)
    if found.frozen.frozen:
        typer.echo(_sentence(found.frozen.sentence))
    if found.champions:
        answers = {} if found.last is None else found.last.champions
        rows = [(alias, version, answers.get(alias, "nobody")) for alias, version in found.champions.items()]
        print_table(("alias", "version", "answered at the last turn"), rows)
    else:
        typer.echo("Nobody is champion.")
    if found.challengers:
        under_way = [(one.id, one.kind, one.state, one.version, one.reason) for one in found.challengers]
        print_table(("challenger", "kind", "state", "version", "reason"), under_way)
    if found.trials:
        tried = [(one.scope.written("champion"), one.version, one.before_version, one.state) for one in found.trials]
        print_table(("on trial", "version", "before", "state"), tried)
    for sentence in found.bot.sentences:
        typer.echo(sentence)
    for level, sentence in found.alerts:
        typer.echo(f"{level}: {sentence}")


def _print_replay(result: ReplayResult) -> None:
    from huracan.report.formatting import bounds, number, p_value, percent

    typer.echo(result.sentence)
    typer.echo(result.beginning)
    if result.accounts:
        print_table(
            ("way", "net return", "Sharpe ratio", "drawdown", "turnover a year"),
            [
                (
                    name,
                    percent(account.metrics["total_return"], signed=True),
                    number(account.metrics["sharpe"]),
                    percent(account.metrics["max_drawdown"]),
                    number(account.metrics["turnover_per_year"], 0),
                )
                for name, account in result.accounts.items()
            ],
        )
    for one in result.differences:
        interval = bounds(one.low, one.high, 6, signed=True)
        typer.echo(f"{one.measure} less that of {one.against}: {one.mean:+.6f} (95 % {interval}, p = {p_value(one.p_value)}).")
    told = result.challengers.select("requested", "scope", "kind", "state", "version", "reason")
    if told.height:
        rows = [(f"{row[0]:%Y-%m-%d %H:%M}", *row[1:]) for row in told.iter_rows()]
        print_table(("asked for, UTC", "scope", "kind", "became", "version", "reason"), rows)
