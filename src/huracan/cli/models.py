"""``huracan models``: registered models listed, shown, compared, promoted, withdrawn, archived, let go and taken out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from huracan.cli.checking import DEFECTS_FOUND
from huracan.cli.freezing import asked
from huracan.cli.model_facts import facts_of, lines_of, print_candidates, print_evidence, print_history, print_versions
from huracan.cli.options import ConfigFile, load
from huracan.cli.registries import AsJson, Home, pairs, print_json, print_table, registry_of
from huracan.errors import nearest_name

if TYPE_CHECKING:
    from huracan.model_registry import ModelRegistry
    from huracan.registry.records import Expected, ModelVersion

__all__ = ["models_app"]

_STAGES = ("active", "archived", "removed", "any")

models_app = typer.Typer(help="Registered models.", no_args_is_help=True, rich_markup_mode=None)

Spec = Annotated[str, typer.Argument(help="A registered model: NAME (its champion), NAME@ALIAS or NAME@VERSION.")]
Name = Annotated[str, typer.Argument(help="Name that a model is registered under.")]
Version = Annotated[int, typer.Argument(help="Number of the version.")]
Reason = Annotated[str, typer.Option(help="Why, in words; it stays in the history.")]
Alias = Annotated[str, typer.Option(help="Which alias.")]
Symbol = Annotated[str | None, typer.Option(help="Whose alias; that of all symbols without it.")]
Regime = Annotated[str | None, typer.Option(help="Of which regime; that of all regimes without it.")]
AlthoughFrozen = Annotated[
    bool, typer.Option("--although-frozen", help="Move a champion even while promotions are frozen (huracan mechanic freeze).")
]
ExpectedHolder = Annotated[
    str | None, typer.Option(help="The version that must hold the alias now, or 'none'; not checked without it.")
]


@models_app.command("list")
def list_models(
    name: Annotated[str | None, typer.Argument(help="Versions of this name; of every name without it.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="KEY=VALUE; several: a version has all of them.")] = None,
    learner: Annotated[str | None, typer.Option(help="Made by this learner, such as ridge.")] = None,
    run: Annotated[str | None, typer.Option(help="Made by this run.")] = None,
    stage: Annotated[str, typer.Option(help="active, archived, removed, or any.")] = "active",
    regime: Annotated[str | None, typer.Option(help="Models that suit this regime, best first, instead of versions.")] = None,
    evidence: Annotated[str, typer.Option(help="With --regime, the least: significant, estimated or declared.")] = "estimated",
    limit: Annotated[int, typer.Option(help="At most so many.")] = 50,
    before: Annotated[int | None, typer.Option(help="The next page: the last id of the page before.")] = None,
    as_json: AsJson = False,
    config: ConfigFile = None,
    home: Home = None,
) -> None:
    """List versions, newest first; or, with --regime, the models that suit a regime, best first, with their evidence."""
    if stage not in _STAGES:
        raise nearest_name(stage, _STAGES, kind="stage")
    registry = registry_of(config, home)
    if regime is not None:
        print_candidates(registry.models_for_regime(regime, evidence, limit=limit), as_json=as_json)
        return
    if name is not None:
        _aliases_of(registry, name)  # says which name was meant where there is none
    wanted: dict[str, Any] = {"name": name, "learner": learner, "run_id": run, "stage": None if stage == "any" else stage}
    found = registry.find(tags=pairs(tag or [], "--tag"), limit=limit, before=before, **wanted)
    aliases = {each: _aliases_of(registry, each) for each in {item.name for item in found}}
    print_versions(found, aliases, as_json=as_json)
    if not found and not as_json:
        typer.echo("No version is as asked; --stage any shows archived ones too.")
    if len(found) == limit and not as_json:
        typer.echo(f"More may follow: --before {found[-1].id}.")


@models_app.command()
def show(spec: Spec, as_json: AsJson = False, config: ConfigFile = None, home: Home = None) -> None:
    """Show everything that is known of one version: card, metrics, evidence by regime, where it comes from, tags, export."""
    registry = registry_of(config, home)
    version = _named(registry, spec)
    facts = facts_of(registry, version)
    if as_json:
        print_json(facts)
        return
    print_table(["", version.model_id], lines_of(facts))
    print_evidence(version.info.regime_evidence)


@models_app.command()
def compare(a: Spec, b: Spec, as_json: AsJson = False, config: ConfigFile = None, home: Home = None) -> None:
    """Put what is known of two versions side by side; huracan compare tells on candles which one is better."""
    registry = registry_of(config, home)
    both = [facts_of(registry, _named(registry, spec)) for spec in (a, b)]
    if as_json:
        print_json(dict(zip(("a", "b"), both, strict=True)))
        return
    left, right = (dict(lines_of(facts)) for facts in both)
    keys = [key for key in {**left, **right} if left.get(key) != right.get(key)]
    print_table(["", a, b], [[key, left.get(key), right.get(key)] for key in keys])
    typer.echo(f"Both say the same in {len({**left, **right}) - len(keys)} further lines.")


@models_app.command()
def promote(
    name: Name,
    version: Version,
    reason: Reason,
    alias: Alias = "champion",
    symbol: Symbol = None,
    regime: Regime = None,
    expected: ExpectedHolder = None,
    evidence: Annotated[list[str] | None, typer.Option(help="Name of a run, comparison or report; several are kept.")] = None,
    although_frozen: AlthoughFrozen = False,
    as_json: AsJson = False,
    config: ConfigFile = None,
    home: Home = None,
) -> None:
    """Point an alias at a version, in one transaction with its line in the history."""
    registry = registry_of(config, home)
    before = _held_since(registry, name, alias, symbol, regime)
    registry.promote(
        name,
        version,
        alias=alias,
        symbol=symbol,
        regime=regime,
        expected=_expected(expected),
        reason=reason,
        evidence=evidence or (),
        require=asked(registry, name, alias, config, home, although_frozen=although_frozen),
    )
    stayed = before is not None and before == _held_since(registry, name, alias, symbol, regime)
    said = f"was version {version} already; nothing was written" if stayed else f"is version {version}"
    _say_moved(registry, name, alias, symbol, regime, said, as_json=as_json)


@models_app.command()
def rollback(
    name: Name,
    alias: Alias = "champion",
    symbol: Symbol = None,
    regime: Regime = None,
    reason: Reason = "rolled back",
    expected: ExpectedHolder = None,
    although_frozen: AlthoughFrozen = False,
    as_json: AsJson = False,
    config: ConfigFile = None,
    home: Home = None,
) -> None:
    """Give an alias back to the version that held it before; again goes one further back.

    A version that cannot be promoted any more is passed over. Where nobody held the alias before, nobody holds it then.
    """
    registry, held = registry_of(config, home), _expected(expected)
    ask = asked(registry, name, alias, config, home, although_frozen=although_frozen)
    now = registry.rollback(name, alias, symbol=symbol, regime=regime, reason=reason, expected=held, require=ask)
    said = "is nobody's" if now is None else f"is version {now} again"
    _say_moved(registry, name, alias, symbol, regime, said, as_json=as_json)


@models_app.command()
def withdraw(
    name: Name,
    reason: Reason,
    alias: Alias = "champion",
    symbol: Symbol = None,
    regime: Regime = None,
    expected: ExpectedHolder = None,
    although_frozen: AlthoughFrozen = False,
    as_json: AsJson = False,
    config: ConfigFile = None,
    home: Home = None,
) -> None:
    """Let nobody hold an alias; that of a symbol or regime is answered for by the next nearest. A rollback undoes it."""
    registry = registry_of(config, home)
    held, ask = _expected(expected), asked(registry, name, alias, config, home, although_frozen=although_frozen)
    registry.withdraw(name, alias, symbol=symbol, regime=regime, expected=held, reason=reason, require=ask)
    _say_moved(registry, name, alias, symbol, regime, "is nobody's", as_json=as_json)


@models_app.command()
def history(
    name: Name,
    verify: Annotated[bool, typer.Option("--verify", help="Compute the chain of hashes again; 3 where it breaks.")] = False,
    as_json: AsJson = False,
    config: ConfigFile = None,
    home: Home = None,
) -> None:
    """Show everything that happened to a name, oldest first: who moved what, when and why."""
    registry = registry_of(config, home)
    rows = registry.history(name).to_dicts()
    if as_json:
        print_json(rows)
    else:
        print_history(rows)
    if verify:
        report = registry.verify_audit(name)
        for link in report.broken:
            typer.echo(f"huracan: row {link.position} of the audit of '{name}': {link.why}", err=True)
        if report.broken:
            raise SystemExit(DEFECTS_FOUND)
        typer.echo(f"The chain of {report.rows} rows is unbroken.", err=as_json)


@models_app.command()
def archive(
    name: Name,
    version: Version,
    reason: Reason,
    restore: Annotated[bool, typer.Option("--restore", help="Bring an archived version back instead.")] = False,
    as_json: AsJson = False,
    config: ConfigFile = None,
    home: Home = None,
) -> None:
    """Take a version out of lists and forbid its promotion; nothing of it is removed."""
    registry = registry_of(config, home)
    (registry.restore if restore else registry.archive)(name, version, reason=reason)
    if as_json:
        print_json({"name": name, "version": version, "stage": registry.get(name, version=version).stage})
        return
    typer.echo(f"Version {version} of '{name}' is {'active again' if restore else 'archived'}.")


@models_app.command()
def retain(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go; change nothing.")] = False,
    as_json: AsJson = False,
    config: ConfigFile = None,
    home: Home = None,
) -> None:
    """Let versions that are old and many (registry.retention) give up their files; cards, metrics and history stay.

    What an alias points to, a rollback can reach, or such a version was made from, is kept whatever its age.
    """
    from huracan.registry import RetentionPolicy

    registry, kept = registry_of(config, home), load(config, home=home).registry.retention
    found = registry.retain(RetentionPolicy(keep_last=kept.keep_last, keep_days=kept.keep_days), dry_run=dry_run)
    freed = None if dry_run else registry.collect()
    if as_json:
        told = {} if freed is None else {name: getattr(freed, name) for name in ("waiting", "swept", "set_aside")}
        print_json({"removed": found.removed, "kept": found.kept, "bytes": None if freed is None else freed.bytes, **told})
        return
    typer.echo("\n".join(found.removed) or "Nothing is old enough.")
    if dry_run:
        typer.echo(f"{len(found.removed)} would go, {found.kept} would stay.", err=True)
    elif freed is not None:
        waiting = f"; {freed.waiting} artifacts are too young to be removed yet" if freed.waiting else ""
        swept = f"; {freed.swept} left-over or long damaged things removed" if freed.swept else ""
        aside = f"; {freed.set_aside} damaged artifacts are kept aside for a month" if freed.set_aside else ""
        typer.echo(
            f"{len(found.removed)} gone, {found.kept} kept, {freed.bytes:,} bytes freed{waiting}{swept}{aside}.", err=True
        )


@models_app.command()
def verify(spec: Spec, as_json: AsJson = False, config: ConfigFile = None, home: Home = None) -> None:
    """Hash a version's artifact and rebuild it in a fresh process; 3 where it is not the model that was registered."""
    registry = registry_of(config, home)
    version = _named(registry, spec)
    outcome = registry.verify(version.name, version.version)
    if as_json:
        told = {name: getattr(outcome, name) for name in ("digest", "n_rows", "n_answers", "reason")}
        print_json({"model_id": version.model_id, "verified": outcome.ok, **told})
    if not outcome.ok:
        typer.echo(f"huracan: {version.model_id} is not verified: {outcome.reason}", err=True)
        raise SystemExit(DEFECTS_FOUND)
    if as_json:
        return
    answered = f", {outcome.n_answers:,} answers on {outcome.n_rows:,} rows are equal bit for bit" if outcome.n_rows else ""
    typer.echo(f"{version.model_id} is verified: its artifact is whole{answered}.")


@models_app.command()
def export(
    spec: Spec,
    folder: Annotated[Path, typer.Argument(help="A folder that is not there yet.")],
    onnx: Annotated[bool, typer.Option("--onnx", help="Only the ONNX graph that serves it.")] = False,
    as_json: AsJson = False,
    config: ConfigFile = None,
    home: Home = None,
) -> None:
    """Take a version's files out of the registry, each checked against its hash, with all that is known of it beside."""
    from huracan.errors import RegistryError, StorageError
    from huracan.registry.stored_files import stored_files
    from huracan.storage import to_json
    from huracan.storage.whole_files import put_folder

    registry = registry_of(config, home)
    version = _named(registry, spec)
    if folder.exists():
        raise StorageError(f"{folder} is there already; a new folder was expected.")
    if version.stage == "removed":
        raise RegistryError(f"{version.model_id} gave up its artifact to retention; its card and history are left.")
    digest = version.serving_digest if onnx else version.digest
    if digest is None:
        reason = version.serving.get("reason") or "no rows were given to check an export on when it was registered"
        raise RegistryError(f"{version.model_id} has no ONNX graph: {reason}.")
    _, files = stored_files(registry.artifacts, version)  # what is taken out is what was registered
    files = registry.artifacts.get(digest) if onnx else files
    files = {**files, "version.json": to_json(facts_of(registry, version), indent=1).encode()}
    put_folder(folder, files)
    if as_json:
        print_json({"model_id": version.model_id, "digest": digest, "folder": str(folder.resolve()), "files": sorted(files)})
        return
    typer.echo(f"Written: {folder.resolve()}, {', '.join(sorted(files))}.")


def _named(registry: ModelRegistry, spec: str) -> ModelVersion:
    from huracan.integration.registered_models import named_version

    return named_version(registry, spec)


def _aliases_of(registry: ModelRegistry, name: str) -> dict[str, int]:
    """Alias -> version; none, and a line that says why, where the audit says otherwise."""
    from huracan.errors import AuditError

    try:
        return registry.aliases(name)
    except AuditError as error:
        typer.echo(f"huracan: {error}", err=True)
        return {}


def _held_since(
    registry: ModelRegistry, name: str, alias: str, symbol: str | None, regime: str | None
) -> tuple[int, int] | None:
    """Who holds the alias and since which move; ``None`` where that cannot be said."""
    from huracan.errors import RegistryError

    try:
        return registry.holder(name, alias, symbol=symbol, regime=regime)
    except RegistryError:
        return None


def _expected(given: str | None) -> Expected:
    from huracan.errors import RegistryError
    from huracan.registry.records import NOT_CHECKED

    if given is None:
        return NOT_CHECKED
    if given == "none":
        return None
    if not given.isdecimal():
        raise RegistryError(f"--expected is '{given}'; the number of a version, or none, was expected.")
    return int(given)


def _say_moved(
    registry: ModelRegistry, name: str, alias: str, symbol: str | None, regime: str | None, said: str, *, as_json: bool
) -> None:
    from huracan.registry.scopes import scope_of

    if not as_json:
        typer.echo(f"'{alias}' of '{name}'{_whose(symbol, regime)} {said}.")
        return
    held = registry.aliases(name).get(scope_of(symbol, regime).written(alias))
    generation = None if held is None else registry.holder(name, alias, symbol=symbol, regime=regime)[1]
    print_json({"name": name, "alias": alias, "symbol": symbol, "regime": regime, "version": held, "generation": generation})


def _whose(symbol: str | None, regime: str | None) -> str:
    return "".join(f" for {part}" for part in (symbol, regime) if part)
