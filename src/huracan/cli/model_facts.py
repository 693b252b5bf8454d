"""What the command line says of stored models: lists, facts, evidence, history, as rows of text and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from huracan.cli.registries import print_json, print_table

if TYPE_CHECKING:
    from huracan.model_info import RegimeSkill
    from huracan.model_registry import ModelRegistry
    from huracan.registry.evidence import RegimeCandidate
    from huracan.registry.records import ModelVersion, VersionSummary

__all__ = ["facts_of", "lines_of", "print_candidates", "print_evidence", "print_history", "print_versions"]

_LONGEST = 160
_FOR_PROGRAMS = ("extras", "regime_evidence", "probe", "expected")


def facts_of(registry: ModelRegistry, version: ModelVersion) -> dict[str, Any]:
    """All that is known of a version, as JSON."""
    plain = (
        "model_id",
        "learner",
        "kind",
        "stage",
        "verified",
        "probe_rows",
        "parent_id",
        "created_at",
        "digest",
        "serving_digest",
    )
    return {
        **{name: getattr(version, name) for name in plain},
        "aliases": list(version.aliases),
        "tags": registry.tags(version.name, version.version),
        "metrics": dict(version.metrics),
        "provenance": version.provenance.model_dump(mode="json"),
        "card": version.info.model_dump(mode="json"),
        "serving": dict(version.serving),
        "extras": dict(version.extras),
    }


def lines_of(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Facts as lines of a table: nested ones by their path, empty ones left out, long ones cut (JSON has them whole).

    >>> lines_of({"learner": "ridge", "card": {"task": "regression", "max_train_rows": None}, "aliases": ["champion"]})
    [('learner', 'ridge'), ('card task', 'regression'), ('aliases', 'champion')]
    """
    found: list[tuple[str, str]] = []
    for key, value in facts.items():
        if key in _FOR_PROGRAMS or value in (None, "", []):
            continue
        if isinstance(value, dict):
            found += [(f"{key} {inner}", said) for inner, said in lines_of(value)]
        else:
            said = _said(value)
            found.append((key, said if len(said) <= _LONGEST else f"{said[: _LONGEST - 3]}..."))
    return found


def print_versions(found: Iterable[VersionSummary], aliases: Mapping[str, Mapping[str, int]], *, as_json: bool) -> None:
    """A page of a list. ``aliases`` : name -> alias -> version."""
    plain = ("id", "name", "version", "learner", "kind", "stage", "verified", "run_id", "created_at")
    rows: list[dict[str, Any]] = []
    for item in found:
        held = [alias for alias, version in aliases[item.name].items() if version == item.version]
        rows.append({**{name: getattr(item, name) for name in plain}, "aliases": held})
    if as_json:
        print_json(rows)
        return
    cells = []
    for row in rows:
        model, verified = f"{row['name']}@{row['version']}", "yes" if row["verified"] else "no"
        tail = [", ".join(row["aliases"]) or None, f"{row['created_at']:%Y-%m-%d %H:%M:%S}"]
        cells.append([row["id"], model, row["learner"], row["kind"], row["stage"], verified, *tail])
    print_table(["id", "model", "learner", "kind", "stage", "verified", "aliases", "registered, UTC"], cells)


def print_candidates(found: Iterable[RegimeCandidate], *, as_json: bool) -> None:
    """Models that suit a regime, with how it is known."""
    if as_json:
        plain = ("name", "version", "learner", "evidence", "reason")
        measured = [None if item.measured is None else item.measured.model_dump(mode="json") for item in found]
        rows = [{name: getattr(item, name) for name in plain} for item in found]
        print_json([{**row, "measured": skill} for row, skill in zip(rows, measured, strict=True)])
        return
    cells = []
    for item in found:
        skill = [None] * 5 if item.measured is None else _skill(item.measured)
        cells.append([f"{item.name}@{item.version}", item.learner, item.evidence, *skill, item.reason])
    print_table(["model", "learner", "evidence", *_SKILL, "declared because"], cells)


def print_evidence(skills: Iterable[RegimeSkill]) -> None:
    """What was measured of one model, regime by regime."""
    rows = [[skill.regime, *_skill(skill)] for skill in skills]
    if rows:
        print_table(["regime", *_SKILL], rows)


def print_history(rows: Iterable[Mapping[str, Any]]) -> None:
    """Everything that happened to a name, a line each."""
    cells = []
    for row in rows:
        whose = " ".join(filter(None, (row["symbol"], row["regime"])))
        what = [row["action"], row["alias"] or None, whose or None, row["from_version"], row["to_version"]]
        cells.append([f"{row['at']:%Y-%m-%d %H:%M:%S}", *what, row["actor"], row["reason"]])
    print_table(["at, UTC", "action", "alias", "whose", "from", "to", "who", "why"], cells)


_SKILL = ("skill", "interval", "adjusted p", "rows", "spells")


def _skill(skill: RegimeSkill) -> list[Any]:
    interval = f"{skill.ci_low:+.4g} to {skill.ci_high:+.4g}"
    return [f"{skill.skill:+.4g}", interval, f"{skill.p_adjusted:.3g}", skill.n_rows, skill.n_spells or None]


def _said(value: Any) -> str:
    from huracan.storage import to_json

    if isinstance(value, list):
        return ", ".join(map(_said, value))
    return value if isinstance(value, str) else to_json(value).strip('"')
