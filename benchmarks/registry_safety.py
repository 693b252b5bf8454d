"""Safety of stored models: single-bit damage, hostile files and folders, and processes killed while they register.

Every figure is a count that must be met exactly: flips are refused before a parser sees them, attacks run nothing and leave
nothing outside the store, and after each kill database and artifacts agree and the same work succeeds.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks import ShortOfBar, markdown_table
from benchmarks.automl_checks.own_postgresql import NoPostgreSQL, new_database, own_postgresql
from benchmarks.registry_checks.attacks import Attack, attack_everything
from benchmarks.registry_checks.flips import Flips, flip_every_kind
from benchmarks.registry_checks.kills import Kills, kill_at_random_moments

FLIPS, KILLS = 500, 200


def main() -> str:
    """Damage, attack and kill; the page."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        flips = flip_every_kind(folder / "flips")
        attacks = attack_everything(folder / "attacks")
        kills = {"SQLite": kill_at_random_moments(f"sqlite:///{folder}/kills.db", folder / "sqlite", KILLS // 2)}
        missing = ""
        try:
            with own_postgresql() as server:
                kills["PostgreSQL"] = kill_at_random_moments(new_database(server), folder / "postgresql", KILLS // 2, seed=1)
        except NoPostgreSQL as reason:
            missing = f"PostgreSQL was not tried: {reason}."
    page = "\n\n".join(["# Safety of stored models", _flip_page(flips), _attack_page(attacks), _kill_page(kills), missing])
    short = [*_short_flips(flips), *_short_attacks(attacks), *_short_kills(kills)]
    if short:
        raise ShortOfBar(short, page)
    return page


def _flip_page(flips: list[Flips]) -> str:
    rows = [[item.kind, f"{item.n_bytes:,}", item.flips, item.refused, item.parsed] for item in flips]
    total = [sum(column) for column in zip(*((i.flips, i.refused, i.parsed) for i in flips), strict=True)]
    table = markdown_table(["file", "bytes", "bits flipped", "refused", "seen by a parser"], [*rows, ["all", "", *total]])
    return f"One bit at a time, at random places; at least {FLIPS} in all, each refused before parsing:\n\n{table}"


def _attack_page(attacks: list[Attack]) -> str:
    rows = [[item.kind, item.attempts, item.refused, item.executions, item.escaped] for item in attacks]
    header = ["attack", "attempts", "refused in a sentence", "executions", "files outside the store"]
    said = (
        "Executions are what Python's audit hooks report: processes, connections, classes fetched by a pickle. Files come with "
        "a hash that is right, as if the attacker had written the manifest too:"
    )
    return f"{said}\n\n{markdown_table(header, rows)}"


def _kill_page(kills: dict[str, Kills]) -> str:
    header = [
        "database",
        "kills",
        "during register",
        "during promote",
        "versions",
        "defects",
        "artifacts without one",
        "swept",
    ]
    rows = []
    for name, found in kills.items():
        during = [found.count, found.during["register"], found.during["promote"]]
        rows.append([name, *during, found.versions, len(found.defects), found.unreferenced, found.half_written])
    said = (
        "`kill -9` at uniformly random moments of processes that register, and of others that promote. After each, versions, "
        "artifacts, aliases, audit and the Engine's tables are compared, and the same work is done again:"
    )
    return f"{said}\n\n{markdown_table(header, rows)}"


def _short_flips(flips: list[Flips]) -> list[str]:
    count = sum(item.flips for item in flips)
    short = [f"{count} bits were flipped, {FLIPS} were wanted"] if count < FLIPS else []
    return short + [f"damage in {item.kind} was not refused" for item in flips if item.refused < item.flips or item.parsed]


def _short_attacks(attacks: list[Attack]) -> list[str]:
    return [item.kind for item in attacks if item.executions or item.escaped or item.refused < item.attempts]


def _short_kills(kills: dict[str, Kills]) -> list[str]:
    count = sum(found.count for found in kills.values())
    short = [f"{count} processes were killed, {KILLS} were wanted"] if count < KILLS else []
    for name, found in kills.items():
        short += [f"{name}: {said}" for said in found.defects]
        if not (found.during["register"] and found.during["promote"]):
            short.append(f"{name}: no kill during register, or none during promote: {dict(found.during)}")
    return short
