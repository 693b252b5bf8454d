"""What a turn leaves for others as files: that it lives, who is champion, what was decided today, what drifted.

Files are made from the database's rows alone and from the turn's own time, so that a turn that was killed before or while it
wrote them leaves the same files once they are written again. Who reads them need not know how many Mechanics there are: what is
told of champions, of the day and of drift is told of all names of the database, written by whoever turned last, one at a time.
Only signs of life are each Mechanic's own. A model is there before it is pointed at, and goes a week after that.
The heartbeat is written last: what it names is all there. Each file is written aside under the Mechanic's name first; what a
killed one left there is removed before the next writes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa

from huracan.accounting import CostModel
from huracan.config import HuracanConfig
from huracan.errors import FolderInUse, StorageError
from huracan.integration.feedback.alerting import holds, settle_alerts
from huracan.integration.feedback.answers import answers_there, names_since, versions_wanted
from huracan.integration.feedback.tick_log import Write, last_tick
from huracan.integration.feedback.turn import Works
from huracan.logs import logger
from huracan.market.schema import written_time
from huracan.mlops.alerts import AlertLevel
from huracan.model_registry import ModelRegistry
from huracan.registry.statements import Statement, parsed
from huracan.storage import ArtifactStore, from_json, to_json
from huracan.storage.feedback_tables import challengers, drift_evidence, mechanic_ticks, policy_decisions
from huracan.storage.folder_lock import held
from huracan.storage.tables import model_versions
from huracan.storage.whole_files import aside_of, make_folder, put_file, refusal
from huracan.version import __version__, source_hash

__all__ = ["MODELS", "OUTBOX", "heartbeat_of", "publish", "publish_or_tell", "published_tick"]

OUTBOX = "outbox"
"""Folder under home whose tree is the one that is shared."""

MODELS = "models"
"""Folder in it with the artifacts of whoever answers, or did lately, as the registry has them."""
_TURNS = ".publishing"
"""Folder beside it by whose lock one Mechanic at a time writes."""
_FILES = "files"
_POINTER = Path("champion") / "latest.json"
_ROOT = ".."
"""Where paths of models begin, seen from the folder of the pointer: the root of the shared tree."""
_DAY = 86_400_000
_TIMES = ("date", "updated_at")
_OF = sa.bindparam("of", type_=sa.Text)
_SINCE, _UNTIL = (sa.bindparam(name, type_=sa.BigInteger) for name in ("since", "until"))
_T, _D, _C, _V = mechanic_ticks.c, policy_decisions.c, challengers.c, model_versions.c
_NEWEST = Statement(
    sa.select(_T.report)
    .where(_T.name == _OF, _T.tick >= _SINCE, _T.tick < _UNTIL, _T.finished.is_not(None))
    .order_by(_T.tick.desc())
    .limit(1)
)
_DECIDED = Statement(
    sa.select(_D.tick, _D.symbol, _D.regime, _D.decision, _D.reason)
    .where(_D.name == _OF, _D.tick >= _SINCE, _D.tick < _UNTIL)
    .order_by(_D.tick, _D.symbol, _D.regime)
)
_WORKED = Statement(
    sa.select(_C.id, _C.kind, _C.state, _C.version, _C.reason)
    .where(_C.name == _OF, sa.or_(_C.decided.is_(None), _C.decided >= _SINCE))
    .order_by(_C.requested, _C.id)
)
_VERSION = Statement(
    sa.select(_V.digest, _V.run_id).where(_V.name == _OF, _V.version == sa.bindparam("number", type_=sa.Integer))
)


def heartbeat_of(name: str) -> Path:
    """Where a Mechanic gives its signs of life, from the outbox on; two names never share one.

    >>> heartbeat_of("champion.BTC/USDT").as_posix()
    'heartbeats/mechanic.champion.BTC%2FUSDT.json'
    """
    return Path("heartbeats") / f"mechanic.{quote(name, safe='')}.json"


def published_tick(outbox: Path, name: str) -> int | None:
    """The turn of a Mechanic whose files are there; None where none are, or they cannot be read."""
    with suppress(OSError, ValueError, TypeError, KeyError):
        told = from_json((outbox / heartbeat_of(name)).read_bytes())
        return int(told["tick"]) if told["name"] == name else None
    return None


def publish_or_tell(works: Works, outbox: Path, *, require: Write) -> str:
    """:func:`publish`; where it could not be done why, which is an alert until it can be.

    Parameters
    ----------
    require : raises in a transaction that may not be kept, since another Mechanic works by now.
    """
    why = ""
    try:
        publish(works.registry, works.config, works.name, outbox)
    except StorageError as error:
        why = str(error)
        logger().warning("files of the turn were not written", mechanic=works.name, reason=why)
    found = last_tick(works.database, works.name)
    tick = 0 if found is None else found[0]
    now = {"outbox": (AlertLevel.ERROR, f"files of the turn of {written_time(tick)} were not written: {why}")} if why else {}

    def write(connection: sa.Connection) -> None:
        require(connection)
        settle_alerts(connection, works.alerts, _FILES, now, tick=tick)

    if now or holds(works.database, works.alerts, _FILES):
        works.database.run(write)
    return f"its files were not written: {why}" if why else ""


def publish(registry: ModelRegistry, config: HuracanConfig, name: str, outbox: Path) -> int:
    """Write the files of the newest finished turn; how many were not there in this form before.

    Raises
    ------
    StorageError : the disk is full, or the folder cannot be written, or another Mechanic is writing for very long; the next
        turn writes them again.
    """
    found = last_tick(registry.database, name)
    if found is None:
        return 0
    tick, report = found
    try:
        with held(outbox.with_name(_TURNS)):  # read under the lock: who writes last has seen what the others kept
            with registry.database.reading(one_moment=True) as connection:
                files = _drift_files(connection, name, tick)
                files[Path(_day(tick)) / "manifest.json"] = _manifest(connection, tick)
                pointer, pointed = _pointer(connection, registry, config, tick)
                wanted = pointed | _digests(connection, versions_wanted(connection))
            shared = ArtifactStore(outbox / MODELS)
            for digest in sorted(pointed):
                registry.artifacts.copy(digest, shared)
            if pointer["models"] or (outbox / _POINTER).exists():
                files[_POINTER] = pointer
            written = sum(_put(outbox / path, content, name) for path, content in files.items())
            for digest in set(shared.digests()) - wanted:
                shared.remove(digest)
            shared.sweep(timedelta(0), damaged_after=timedelta(0))
    except FolderInUse as error:
        raise StorageError(f"another Mechanic writes to {outbox} and does not end.") from error
    heartbeat = {"name": name, "tick": tick, "at": _written(tick), "version": __version__, "report": dict(report)}
    _give_sign(outbox / heartbeat_of(name), to_json(heartbeat, indent=1).encode(), by=name)
    return written + 1


def _pointer(
    connection: sa.Connection, registry: ModelRegistry, config: HuracanConfig, tick: int
) -> tuple[dict[str, Any], set[str]]:
    """The champion pointer as the Engine writes it: every symbol that some name's champion answers for, and no other.

    Beside it the digests of the artifacts that it points at.
    """
    models: dict[str, str] = {}
    pointed: set[str] = set()
    run_id = None
    answers = sorted(answers_there(connection).items())
    kept = {one: _VERSION.one(connection, of=one[0], number=one[1]) for one in {told for _, told in answers}}
    for symbol, told in answers:
        if (row := kept[told]) is not None:
            models[symbol] = registry.artifacts.path(row.digest).relative_to(registry.artifacts.folder).as_posix()
            models[symbol] = f"{MODELS}/{models[symbol]}"
            pointed.add(row.digest)
            run_id = row.run_id
    pointer = {
        "date": _day(tick),
        "run_id": run_id,
        "models": models,
        "models_from": _ROOT,
        "default_costs_bps": CostModel(**config.costs.model_dump()).per_side_rate * 20_000.0,
        "code_hash": source_hash(),
        "updated_at": _written(tick),
    }
    return pointer, pointed


def _digests(connection: sa.Connection, versions: Iterable[tuple[str, int]]) -> set[str]:
    rows = [_VERSION.one(connection, of=name, number=version) for name, version in versions]
    return {row.digest for row in rows if row is not None}


def _manifest(connection: sa.Connection, tick: int) -> dict[str, Any]:
    """What was decided on the day of the turn under every name that turned on it."""
    first, last = _day_of(tick)
    mechanics: dict[str, Any] = {}
    for name in names_since(connection, first):
        row = _NEWEST.one(connection, of=name, since=first, until=last)
        if row is not None:
            mechanics[name] = {
                "champions": parsed(row.report).get("champions", {}),
                "decisions": [one._asdict() for one in _DECIDED(connection, of=name, since=first, until=last)],
                "challengers": [one._asdict() for one in _WORKED(connection, of=name, since=first)],
            }
    return {"date": _day(tick), "updated_at": _written(tick), "mechanics": mechanics}


def _drift_files(connection: sa.Connection, name: str, tick: int) -> dict[Path, dict[str, Any]]:
    """What was seen, a file for each symbol of which something was at this turn; ``ALL`` for what speaks of all of them.

    Each tells what every name saw of it last on the day.
    """
    e = drift_evidence.c
    first, last = _day_of(tick)
    now = sa.select(e.symbol).where(e.name == name, e.tick == tick).distinct().order_by(e.symbol)
    files: dict[Path, dict[str, Any]] = {}
    for symbol in connection.execute(now).scalars().all():
        seen: list[dict[str, Any]] = []
        for each in names_since(connection, first):
            mine = (e.name == each, e.symbol == symbol, e.tick >= first, e.tick < last)
            newest = sa.select(sa.func.max(e.tick)).where(*mine).scalar_subquery()
            rows = connection.execute(sa.select(drift_evidence).where(*mine, e.tick == newest).order_by(e.id))
            for row in rows:
                told = {key: value for key, value in row._mapping.items() if key != "version_id"}
                seen.append({**told, "details": parsed(row.details)})
        content = {"date": _day(tick), "tick": tick, "at": _written(tick), "evidence": seen}
        files[Path("drift") / _day(tick) / f"{_file_name(symbol or 'ALL')}.json"] = content
    return files


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


def _day_of(tick: int) -> tuple[int, int]:
    """Begin of the day of a moment and of the next one, UTC."""
    first = tick - tick % _DAY
    return first, first + _DAY


def _day(tick: int) -> str:
    return f"{datetime.fromtimestamp(tick // 1_000, UTC):%Y%m%d}"


def _written(tick: int) -> str:
    return datetime.fromtimestamp(tick // 1_000, UTC).isoformat()
