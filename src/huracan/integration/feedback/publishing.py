"""What a turn leaves for others as files: that it lives, who is champion, what was decided today, what drifted.

Files are made from the database's rows alone and from the turn's own time, so that a turn that was killed before or while it
wrote them leaves the same files once they are written again. The heartbeat is written last: what it names is all there. Each is
written aside under the Mechanic's name first; what a killed one left there is removed before the next writes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from huracan.accounting import CostModel
from huracan.config import HuracanConfig
from huracan.errors import StorageError
from huracan.integration.feedback.lineup import Lineup
from huracan.integration.feedback.tick_log import last_tick
from huracan.model_registry import ModelRegistry
from huracan.registry.statements import parsed
from huracan.storage import from_json, to_json
from huracan.storage.feedback_tables import challengers, drift_evidence, policy_decisions
from huracan.storage.whole_files import aside_of, make_folder, put_file, refusal
from huracan.version import __version__, source_hash

__all__ = ["OUTBOX", "publish", "published_tick"]

OUTBOX = "outbox"
"""Folder under home whose tree is the one that is shared."""

_HEARTBEAT = Path("heartbeats") / "mechanic.json"
_DAY = 86_400_000
_TIMES = ("date", "updated_at")


def published_tick(outbox: Path, name: str) -> int | None:
    """The turn whose files are there; None where none are, they cannot be read, or another Mechanic wrote last."""
    with suppress(OSError, ValueError, TypeError, KeyError):
        told = from_json((outbox / _HEARTBEAT).read_bytes())
        return int(told["tick"]) if told["name"] == name else None
    return None


def publish(registry: ModelRegistry, config: HuracanConfig, name: str, outbox: Path, lineup: Lineup) -> int:
    """Write the files of the newest finished turn; how many were not there in this form before.

    Raises
    ------
    StorageError : the disk is full, or the folder cannot be written; the next turn writes them again.
    """
    found = last_tick(registry.database, name)
    if found is None:
        return 0
    tick, report = found
    day = _day(tick)
    files: dict[Path, dict[str, Any]] = {}
    pointer = _pointer(registry, config, tick, lineup)
    if pointer is not None:
        files[Path("champion") / "latest.json"] = pointer
    with registry.database.reading(one_moment=True) as connection:
        files |= _drift_files(connection, name, tick, day)
        files[Path(day) / "manifest.json"] = _manifest(connection, name, tick, report)
    written = sum(_put(outbox / path, content, name) for path, content in files.items())
    heartbeat = {"name": name, "tick": tick, "at": _written(tick), "version": __version__, "report": dict(report)}
    _give_sign(outbox / _HEARTBEAT, to_json(heartbeat, indent=1).encode(), by=name)
    return written + 1


def _pointer(registry: ModelRegistry, config: HuracanConfig, tick: int, lineup: Lineup) -> dict[str, Any] | None:
    """The champion pointer as the Engine writes it; None while nobody is champion of any symbol."""
    models: dict[str, str] = {}
    run_id = None
    for symbol, route in sorted(lineup.routes.items()):
        if None not in route.answers and not route.answers:
            continue
        version, _ = route.answers.get(None) or next(iter(route.answers.values()))
        found = lineup.served[version].version
        models[symbol] = str(registry.artifacts.path(found.digest).relative_to(registry.artifacts.folder.parent))
        run_id = found.run_id
    if not models:
        return None
    return {
        "date": _day(tick),
        "run_id": run_id,
        "models": models,
        "default_costs_bps": CostModel(**config.costs.model_dump()).per_side_rate * 20_000.0,
        "code_hash": source_hash(),
        "updated_at": _written(tick),
    }


def _manifest(connection: sa.Connection, name: str, tick: int, report: Mapping[str, Any]) -> dict[str, Any]:
    """What was decided on the day of the turn, up to it."""
    first = tick - tick % _DAY
    decisions, c = policy_decisions.c, challengers.c
    decided = sa.select(decisions.tick, decisions.symbol, decisions.regime, decisions.decision, decisions.reason)
    decided = decided.where(decisions.name == name, decisions.tick >= first, decisions.tick <= tick)
    worked = sa.select(c.id, c.kind, c.state, c.version, c.reason).where(
        c.name == name, sa.or_(c.decided.is_(None), c.decided >= first)
    )
    return {
        "date": _day(tick),
        "name": name,
        "updated_at": _written(tick),
        "champions": report.get("champions", {}),
        "decisions": [
            dict(row._mapping)
            for row in connection.execute(decided.order_by(decisions.tick, decisions.symbol, decisions.regime))
        ],
        "challengers": [dict(row._mapping) for row in connection.execute(worked.order_by(c.requested, c.id))],
    }


def _drift_files(connection: sa.Connection, name: str, tick: int, day: str) -> dict[Path, dict[str, Any]]:
    """What was seen at this turn, a file a symbol; ``ALL`` for what speaks of all of them."""
    e = drift_evidence.c
    seen: dict[str, list[dict[str, Any]]] = {}
    for row in connection.execute(sa.select(drift_evidence).where(e.name == name, e.tick == tick).order_by(e.id)):
        told = {key: value for key, value in row._mapping.items() if key not in ("name", "version_id")}
        seen.setdefault(row.symbol or "ALL", []).append({**told, "details": parsed(told["details"])})
    return {
        Path("drift") / day / f"{_file_name(symbol)}.json": {"date": day, "tick": tick, "at": _written(tick), "evidence": rows}
        for symbol, rows in seen.items()
    }


def _put(path: Path, content: Mapping[str, Any], name: str) -> bool:
    """Write a file, unless it is there and says the same at another time; whether it was written."""
    with suppress(OSError, StorageError, AttributeError):
        there = from_json(path.read_bytes())
        if {**there, **dict.fromkeys(_TIMES)} == {**content, **dict.fromkeys(_TIMES)}:
            return False
    put_file(path, to_json(content, indent=1).encode(), by=name)
    return True


def _give_sign(path: Path, data: bytes, *, by: str) -> None:
    """Write the heartbeat whole, but not flushed to the disk: after a power cut it is old, which is what it says then."""
    aside = aside_of(path, by)
    try:
        make_folder(path.parent)
        aside.write_bytes(data)
        os.replace(aside, path)
    except OSError as error:
        raise refusal(path, "written", error) from error
    finally:
        with suppress(OSError):
            aside.unlink(missing_ok=True)


def _file_name(symbol: str) -> str:
    """A symbol as one name of a file: ``BTC/USDT`` is ``BTC-USDT``."""
    return "".join(letter if letter.isalnum() or letter in "._-" else "-" for letter in symbol).lstrip(".") or "-"


def _day(tick: int) -> str:
    return f"{datetime.fromtimestamp(tick // 1_000, UTC):%Y%m%d}"


def _written(tick: int) -> str:
    return datetime.fromtimestamp(tick // 1_000, UTC).isoformat()
