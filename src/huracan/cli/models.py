"""``huracan models``: registered models listed, shown, compared, promoted, rolled back, archived and taken out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from huracan.cli.checking import DEFECTS_FOUND
from huracan.cli.options import ConfigFile
from huracan.cli.registries import AsJson, Home, pairs, print_json, print_table, registry_of

if TYPE_CHECKING:
    from huracan.model_registry import ModelRegistry
    from huracan.registry.records import Expected, ModelVersion

__all__ = ["models_app"]

models_app = typer.Typer(help="Registered models.", no_args_is_help=True, rich_markup_mode=None)

Spec = Annotated[str, typer.Argument(help="A registered model: NAME (its champion), NAME@ALIAS or NAME@VERSION.")]
Name = Annotated[str, typer.Argument(help="Name that a model is registered under.")]
Version = Annotated[int, typer.Argument(help="Number of the version.")]
Reason = Annotated[str, typer.Option(help="Why, in words; it stays in the history.")]
Alias = Annotated[str, typer.Option(help="Which alias.")]
Symbol = Annotated[str | None, typer.Option(help="Whose alias; that of all symbols without it.")]
Regime = Annotated[str | None, typer.Option(help="Of which regime; that of all regimes without it.")]
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
    registry = registry_of(config, home)
    if regime is not None:
        _list_for_regime(registry, regime, evidence, limit, as_json)
        return
    if name is not None:
        registry.aliases(name)  # says which name was meant where there is none
    wanted: dict[str, Any] = {"name": name, "learner": learner, "run_id": run, "stage": None if stage == "any" else stage}
    found = registry.find(tags=pairs(tag or [], "--tag"), limit=limit, before=before, **wanted)
    held = {each: _by_version(registry.aliases(each)) for each in {item.name for item in found}}
    rows = [
        {
            **{"id": item.id, "model": f"{item.name}@{item.version}", "learner": item.learner, "kind": item.kind},
            **{"stage": item.stage, "verified": item.verified, "aliases": held[item.name].get(item.version, [])},
            "created_at": item.created_at,
        }
        for item in found
    ]
    if as_json:
        print_json(rows)
        return
    print_table(
        ["id", "model", "learner", "kind", "stage", "verified", "aliases", "registered, UTC"],
        [
            [
                *(row["id"], row["model"], row["learner"], row["kind"], row["stage"], "yes" if row["verified"] else "no"),
                *(", ".join(row["aliases"]) or None, f"{row['created_at']:%Y-%m-%d %H:%M:%S}"),
            ]
            for row in rows
        ],
    )
    if len(found) == limit:
        typer.echo(f"More may follow: --before {found[-1].id}.")


@models_app.command()
def show(spec: Spec, as_json: AsJson = False, config: ConfigFile = None, home: Home = None) -> None:
    """Show everything that is known of one version: card, metrics, evidence by regime, where it comes from, tags, export."""
    registry = registry_of(config, home)
    version = _named(registry, spec)
    facts = _facts(registry, version)
    if as_json:
        print_json(facts)
        return
    print_table(["", version.model_id], _lines(facts))
    if version.info.regime_evidence:
        header = ["regime", "skill", "interval", "adjusted p", "rows", "spells"]
        print_table(
            header,
            [
                [
                    *(s.regime, f"{s.skill:+.4g}", f"{s.ci_low:+.4g} to {s.ci_high:+.4g}"),
                    *(f"{s.p_adjusted:.3g}", s.n_rows, s.n_spells or None),
                ]
                for s in version.info.regime_evidence
            ],
        )


@models_app.command()
def compare(a: Spec, b: Spec, as_json: AsJson = False, config: ConfigFile = None, home: Home = None) -> None:
    """Put what is known of two versions side by side; huracan compare tells on candles which one is better."""
    registry = registry_of(config, home)
    both = [_facts(registry, _named(registry, spec)) for spec in (a, b)]
    if as_json:
        print_json(dict(zip(("a", "b"), both, strict=True)))
        return
    left, right = (dict(_lines(facts)) for facts in both)
    rows = [[key, left.get(key), right.get(key)] for key in {**left, **right} if left.get(key) != right.get(key)]
    print_table(["", a, b], rows)
    typer.echo(f"{len(left.keys() & right.keys()) - len([1 for row in rows if None not in row])} further facts are equal.")


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
    config: ConfigFile = None,
    home: Home = None,
) -> None:
    """Point an alias at a version, in one transaction with its line in the history."""
    scope = {"symbol": symbol, "regime": regime}
    registry_of(config, home).promote(
        name, version, alias=alias, expected=_expected(expected), reason=reason, evidence=evidence or (), **scope
    )
    typer.echo(f"'{alias}' of '{name}'{_whose(symbol, regime)} is version {version}.")


@models_app.command()
def rollback(
    name: Name,
    alias: Alias = "champion",
    symbol: Symbol = None,
    regime: Regime = None,
    reason: Reason = "rolled back",
    expected: ExpectedHolder = None,
    config: ConfigFile = None,
    home: Home = None,
) -> None:
    """Give an alias back to the version that held it before; again goes one further back."""
    scope = {"symbol": symbol, "regime": regime}
    now = registry_of(config, home).rollback(name, alias, reason=reason, expected=_expected(expected), **scope)
    typer.echo(f"'{alias}' of '{name}'{_whose(symbol, regime)} is version {now} again.")


@models_app.command()
def history(
    name: Name,
    verify: Annotated[bool, typer.Option("--verify", help="Compute the audit's chain of hashes again; 3 where it breaks.")] = False,
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
        header = ["at, UTC", "action", "alias", "whose", "from", "to", "who", "why"]
        print_table(
            header,
            [
                [
                    *(f"{row['at']:%Y-%m-%d %H:%M:%S}", row["action"], row["alias"]),
                    *(" ".join(filter(None, (row["symbol"], row["regime"]))) or None, row["from_version"], row["to_version"]),
                    *(row["actor"], row["reason"]),
                ]
                for row in rows
            ],
        )
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
    config: ConfigFile = None,
    home: Home = None,
) -> None:
    """Take a version out of lists and forbid its promotion; nothing of it is removed."""
    registry = registry_of(config, home)
    (registry.restore if restore else registry.archive)(name, version, reason=reason)
    typer.echo(f"Version {version} of '{name}' is {'active again' if restore else 'archived'}.")


@models_app.command()
def verify(spec: Spec, config: ConfigFile = None, home: Home = None) -> None:
    """Hash a version's artifact and rebuild it in a fresh process; 3 where it is not the model that was registered."""
    registry = registry_of(config, home)
    version = _named(registry, spec)
    outcome = registry.verify(version.name, version.version)
    if not outcome.ok:
        typer.echo(f"huracan: {version.model_id} is not verified: {outcome.reason}", err=True)
        raise SystemExit(DEFECTS_FOUND)
    answered = f", {outcome.n_answers:,} answers on {outcome.n_rows:,} rows are equal bit for bit" if outcome.n_rows else ""
    typer.echo(f"{version.model_id} is verified: its artifact is whole{answered}.")


@models_app.command()
def export(
    spec: Spec,
    folder: Annotated[Path, typer.Argument(help="A folder that is not there yet.")],
    onnx: Annotated[bool, typer.Option("--onnx", help="Only the ONNX graph that serves it.")] = False,
    config: ConfigFile = None,
    home: Home = None,
) -> None:
    """Take a version's files out of the registry, each checked against its hash, with all that is known of it beside."""
    from huracan.errors import RegistryError, StorageError
    from huracan.storage import to_json
    from huracan.storage.whole_files import put_file

    registry = registry_of(config, home)
    version = _named(registry, spec)
    if folder.exists():
        raise StorageError(f"{folder} is there already; a new folder was expected.")
    digest = version.serving_digest if onnx else version.digest
    if digest is None:
        reason = version.serving.get("reason") or "no rows were given to check an export on when it was registered"
        raise RegistryError(f"{version.model_id} has no ONNX graph: {reason}.")
    files = {**registry.artifacts.get(digest), "version.json": to_json(_facts(registry, version), indent=1).encode()}
    for name, content in files.items():
        put_file(folder / name, content)
    typer.echo(f"Written: {folder.resolve()}, {', '.join(sorted(files))}.")


def _named(registry: ModelRegistry, spec: str) -> ModelVersion:
    from huracan.integration.registered_models import named_version

    return named_version(registry, spec)


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


def _whose(symbol: str | None, regime: str | None) -> str:
    return "".join(f" for {part}" for part in (symbol, regime) if part)


def _by_version(aliases: dict[str, int]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for alias, version in aliases.items():
        found.setdefault(version, []).append(alias)
    return found


def _list_for_regime(registry: ModelRegistry, regime: str, evidence: str, limit: int, as_json: bool) -> None:
    found = registry.models_for_regime(regime, evidence, limit=limit)
    if as_json:
        rows = [
            {
                **{"model": f"{item.name}@{item.version}", "learner": item.learner, "evidence": item.evidence},
                **{"reason": item.reason, "measured": item.measured.model_dump(mode="json") if item.measured else None},
            }
            for item in found
        ]
        print_json(rows)
        return
    cells = []
    for item in found:
        skill = item.measured
        measured = [None] * 3 if skill is None else [
            f"{skill.skill:+.4g}", f"{skill.ci_low:+.4g} to {skill.ci_high:+.4g}", f"{skill.p_adjusted:.3g}"
        ]
        cells.append([f"{item.name}@{item.version}", item.learner, item.evidence, *measured, item.reason])
    print_table(["model", "learner", "evidence", "skill", "interval", "adjusted p", "declared because"], cells)


def _facts(registry: ModelRegistry, version: ModelVersion) -> dict[str, Any]:
    """All that is known of a version, as JSON."""
    return {
        **{"model_id": version.model_id, "learner": version.learner, "kind": version.kind, "stage": version.stage},
        **{"verified": version.verified, "aliases": list(version.aliases), "parent_id": version.parent_id},
        **{"created_at": version.created_at, "digest": version.digest, "serving_digest": version.serving_digest},
        "tags": registry.tags(version.name, version.version),
        "metrics": dict(version.metrics),
        "provenance": version.provenance.model_dump(mode="json"),
        "card": version.info.model_dump(mode="json"),
        "serving": dict(version.serving),
        "extras": dict(version.extras),
    }


def _lines(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """Facts as lines: nested ones by their path, empty ones left out; long ones are for ``--json``."""
    from huracan.storage import to_json

    found: list[tuple[str, str]] = []
    for key, value in facts.items():
        if isinstance(value, dict):
            if key not in ("extras", "regime_evidence"):
                found += [(f"{key} {inner}", said) for inner, said in _lines(value)]
        elif value not in (None, "", [], ()) and key != "regime_evidence":
            said = ", ".join(map(str, value)) if isinstance(value, list) else value if isinstance(value, str) else to_json(value)
            found.append((key, said if len(said) <= 160 else f"{said[:157]}..."))
    return found
