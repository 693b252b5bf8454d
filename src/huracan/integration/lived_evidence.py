"""What the database knows about a champion in use: outcomes against what was promised, and what a Mechanic saw of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from huracan.errors import DataError
from huracan.integration.feedback.challenger_log import AT_WORK, challengers_in, requests_of
from huracan.integration.feedback.deciding import last_change_key
from huracan.integration.feedback.evidence_log import latest_evidence
from huracan.integration.feedback.loop_state import read_state
from huracan.integration.feedback.seeing import looks_key
from huracan.integration.feedback.watching import monitor_key
from huracan.mlops.evidence import Evidence, EvidenceKind
from huracan.mlops.performance import PerformanceStore
from huracan.mlops.skill_monitor import SkillMonitor
from huracan.registry import ModelVersion
from huracan.registry.scopes import ALL
from huracan.statistics.sample_checks import p_value_text
from huracan.storage import Database
from huracan.storage.tables import model_versions

__all__ = ["Lived", "lived_evidence"]

_V = model_versions.c
_ALPHA = 0.01
_SKILL = (EvidenceKind.SKILL_FALL, EvidenceKind.NO_SKILL)


@dataclass(frozen=True)
class Lived:
    """What speaks about a champion from its life.

    Attributes
    ----------
    version_id : row of the champion in the database. evidence : what stands. looks : of a Mechanic, by kind.
    asked_once : kinds that were looked for here, once.
    requests, under_way, last_change : as :class:`huracan.mlops.PolicyHistory` takes them.
    looked_at : what was looked at -> what was seen, in a sentence.
    """

    version_id: int
    evidence: tuple[Evidence, ...] = ()
    looks: Mapping[EvidenceKind, int] = field(default_factory=dict)
    asked_once: frozenset[EvidenceKind] = frozenset()
    requests: tuple[int, ...] = ()
    under_way: str = ""
    last_change: int | None = None
    looked_at: Mapping[str, str] = field(default_factory=dict)


def lived_evidence(database: Database, held: ModelVersion, *, tick: int) -> Lived:
    """What outcomes and a Mechanic say of the champion of all symbols and regimes.

    Skill is what the Mechanic's monitor says of it. Where no Mechanic looks after it, its outcomes are held against what it
    promised, once, at the level 1 % (:meth:`huracan.mlops.PerformanceStore.against_backtest`).

    Parameters
    ----------
    held : the champion. tick : now, milliseconds UTC.
    """

    def read(connection: sa.Connection) -> tuple[Any, ...]:
        id = connection.execute(
            sa.select(_V.id).where(_V.name == held.name, _V.version == held.version)  # it was just found there
        ).scalar_one()
        under_way = [one.id for one in challengers_in(connection, held.name, AT_WORK) if one.scope == ALL]
        past = requests_of(connection, held.name, ALL)
        seen = latest_evidence(connection, held.name, ALL, id)
        return id, read_state(connection, held.name), seen, past, under_way[0] if under_way else ""

    id, state, stored, requests, under_way = database.read(read)
    monitor = _kept(state, monitor_key(ALL), held)
    counts = _kept(state, looks_key(ALL), held)
    looks = {one.kind: times for one, times in stored}
    if counts is not None:  # what its last look did not see stands no longer
        looks = {EvidenceKind(kind): int(times) for kind, times in counts["counts"].items()}
    standing = [one for one, _ in stored if one.kind in looks]
    if monitor is None:
        skill, said = _outcomes(database, held, id, tick)
    else:
        watch = SkillMonitor.from_json(monitor["state"])
        skill, said = watch.evidence(name=held.name, tick=tick, version_id=id), watch.sentence
    if monitor is not None or skill:
        standing = [one for one in standing if one.kind not in _SKILL]
    once = frozenset() if monitor is not None else frozenset(one.kind for one in skill)
    return Lived(
        id,
        evidence=(*skill, *standing),
        looks=looks,
        asked_once=once,
        requests=requests,
        under_way=under_way,
        last_change=state.get(last_change_key(ALL)),
        looked_at={"skill": said, "mechanic": _told(stored, counts, looks)},
    )


def _kept(state: Mapping[str, Any], key: str, held: ModelVersion) -> Mapping[str, Any] | None:
    """What a Mechanic keeps under a key, where it is about this version."""
    kept = state.get(key)
    return kept if kept is not None and kept["version"] == held.version else None


def _told(stored: Any, counts: Any, looks: Mapping[EvidenceKind, int]) -> str:
    if counts is None and not stored:
        return "no Mechanic has seen anything that speaks against it."
    if not looks:
        return "nothing that a Mechanic saw stands."
    times = ", ".join(f"{kind} ({count} look{'' if count == 1 else 's'})" for kind, count in looks.items())
    return f"what a Mechanic saw stands: {times}."


def _outcomes(database: Database, held: ModelVersion, id: int, tick: int) -> tuple[tuple[Evidence, ...], str]:
    """Outcomes against the promise, and against no skill at all."""
    who = f"version {held.version} of '{held.name}'"
    store = PerformanceStore(database, held.name)
    try:
        figures = store.against_backtest(id, confidence=1.0 - 2.0 * _ALPHA)
    except DataError as error:
        return (), f"the outcomes of {who} were not judged: {error}"
    row = figures.row(0, named=True)
    if row["live"] is None or row["live_high"] is None:
        return (), f"the skill of {who} was not judged: {row['note']}."
    scope: dict[str, Any] = {"name": held.name, "tick": tick, "version_id": id}
    live = f"its mean payoff over {row['n']:,} outcomes is {row['live']:.3g}"
    found = []
    if row["live_high"] < 0.0:
        said = f"{who} is shown to have no skill: {live}, below {row['live_high']:.3g} at {1 - _ALPHA:.0%}."
        found.append(Evidence.of(EvidenceKind.NO_SKILL, said, strong=True, **scope))
    if row["p_value"] is not None and row["p_value"] <= _ALPHA and row["difference"] < 0.0:
        said = f"the skill of {who} fell: {live} where {row['promised']:.3g} was promised ({p_value_text(row['p_value'])})."
        seen: dict[str, Any] = {"statistic": row["difference"], "p_value": row["p_value"]}
        found.append(Evidence.of(EvidenceKind.SKILL_FALL, said, strong=True, **seen, **scope))
    known = " ".join(one.sentence for one in found)
    return tuple(found), known or f"nothing speaks against the skill of {who}: {live}."
