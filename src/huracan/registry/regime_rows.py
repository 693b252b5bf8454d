"""Evidence by regime as rows: one a version and regime, so that asking which models suit a regime reads an index."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from huracan.errors import RegistryError
from huracan.model_info import MarketRegime, RegimeSkill
from huracan.registry.audit_chain import Entry, Request, append
from huracan.registry.evidence import Evidence, RegimeCandidate
from huracan.registry.statements import Statement, insert_into
from huracan.registry.versions import find_version, lock_name
from huracan.storage.tables import model_regimes, model_versions

__all__ = ["add_regimes", "candidates", "kept_rows", "let_newest_speak", "measure", "replace_skills", "told_rows"]

_ROW, _VERSION = model_regimes.c, model_versions.c
_NEWEST = sa.text("newest")  # word for word as in the partial index, which SQLite takes for no other spelling
_MEASURED = ("skill", "ci_low", "ci_high", "p_adjusted", "n_effective", "n_rows", "n_spells")
_FIELDS = {"regime", *_MEASURED}
_KNOWN = ("version_id", "regime", "name", "version", "learner", "reason", "newest")
_ADD = insert_into(model_regimes, (*_KNOWN, *_MEASURED))
_AGE = Statement(
    sa.update(model_regimes)
    .where(_ROW.name == sa.bindparam("of"), _ROW.learner == sa.bindparam("by"), _ROW.newest)
    .values(newest=sa.false())
)
_SPEAKER = Statement(
    sa.select(_VERSION.version)
    .where(_VERSION.name == sa.bindparam("of"), _VERSION.learner == sa.bindparam("by"))
    .where(_VERSION.stage == "active", _VERSION.verified)
    .order_by(_VERSION.version.desc())
    .limit(1)
)
_SPEAKS = _ROW.version == sa.bindparam("speaks", type_=sa.Integer)
_SPEAK = Statement(
    sa.update(model_regimes)
    .where(_ROW.name == sa.bindparam("of"), _ROW.learner == sa.bindparam("by"), _ROW.newest != _SPEAKS)
    .values(newest=_SPEAKS)
)
_BEST_FIRST = (_ROW.skill.desc(), _ROW.name, _ROW.version.desc())
_LIMIT = sa.bindparam("most", type_=sa.Integer)
_COLUMNS = [_ROW[name] for name in ("name", "version", "learner", "reason", *_MEASURED)]
_POSITIVE = sa.select(*_COLUMNS).where(_NEWEST, _ROW.regime == sa.bindparam("wanted"), _ROW.skill > 0)
_BY_EVIDENCE = {
    Evidence.SIGNIFICANT: Statement(
        _POSITIVE.where(_ROW.p_adjusted <= sa.bindparam("alpha", type_=sa.Double)).order_by(*_BEST_FIRST).limit(_LIMIT)
    ),
    Evidence.ESTIMATED: Statement(_POSITIVE.order_by(*_BEST_FIRST).limit(_LIMIT)),
}
_ONLY_DECLARED = Statement(
    sa.select(*_COLUMNS)
    .where(_NEWEST, _ROW.regime == sa.bindparam("wanted"), _ROW.reason.is_not(None))
    .where(sa.or_(_ROW.skill.is_(None), _ROW.skill <= 0))
    .order_by(sa.func.coalesce(_ROW.skill, 0.0).desc(), _ROW.name, _ROW.version.desc())
    .limit(_LIMIT)
)
_ALL = 2**31 - 1


def add_regimes(connection: sa.Connection, name: str, version: int, version_id: int, info: Mapping[str, Any]) -> None:
    """Write the rows of a new version's card (plain JSON); earlier versions of the learner no longer speak for it."""
    learner = info["name"]
    _AGE.write(connection, of=name, by=learner)
    declared = info.get("market_regimes") or {}
    measured = _measured_on(info)
    known = {"version_id": version_id, "name": name, "version": version, "learner": learner, "newest": True}
    for regime in sorted({*declared, *measured}):
        found = measured.get(regime)
        values = {key: None if found is None else found[key] for key in _MEASURED}
        _ADD.write(connection, **known, **values, regime=regime, reason=declared.get(regime))


def let_newest_speak(connection: sa.Connection, name: str, learners: Iterable[str]) -> None:
    """Of each learner let the newest version speak that can be promoted: neither archived nor removed, and verified."""
    for learner in learners:
        _SPEAK.write(connection, of=name, by=learner, speaks=speaker_of(connection, name, learner))


def speaker_of(connection: sa.Connection, name: str, learner: str) -> int:
    """The newest version of a learner that can be promoted; 0 where there is none."""
    row = _SPEAKER.one(connection, of=name, by=learner)
    return 0 if row is None else int(row[0])


def measure(
    connection: sa.Connection, name: str, version: int, skills: Sequence[RegimeSkill], reason: str, request: Request
) -> None:
    """:func:`replace_skills` with its audit row."""
    if odd := [skill for skill in skills if not isinstance(skill, RegimeSkill)]:
        raise RegistryError(f"a skill is {odd[0]!r:.60}; what was measured in a regime, a RegimeSkill, was expected.")
    _, head = lock_name(connection, name)
    if request.done_before(connection) is None:
        find_version(connection, name, version)
        replace_skills(connection, name, version, skills)
        told = {"skills": [skill.model_dump(mode="json") for skill in skills]}
        append(connection, head, Entry("measure", to_version=version, reason=reason, details=told), request)


def replace_skills(connection: sa.Connection, name: str, version: int, skills: Iterable[RegimeSkill]) -> None:
    """Put later measurements of a version in the place of earlier ones; its declared reasons stay.

    An older version of a learner does not speak for it, whatever is measured of it later.

    Raises
    ------
    RegistryError : a measurement is no number where one is needed, or there are two of one regime.
    """
    skills = _checked(skills)
    mine = _VERSION.name == name, _VERSION.version == version
    version_id, learner = connection.execute(sa.select(_VERSION.id, _VERSION.learner).where(*mine)).one()
    known = {"version_id": version_id, "name": name, "version": version, "learner": learner}
    known["newest"] = speaker_of(connection, name, learner) == version
    there = set(connection.execute(sa.select(_ROW.regime).where(_ROW.version_id == version_id)).scalars())
    for skill in skills:
        values = skill.model_dump(mode="json")
        if values["regime"] in there:
            here = (_ROW.version_id == version_id, _ROW.regime == values.pop("regime"))
            connection.execute(sa.update(model_regimes).where(*here).values(**values))
        else:
            connection.execute(sa.insert(model_regimes).values(**known, **values))


def _checked(skills: Iterable[RegimeSkill]) -> list[RegimeSkill]:
    """Skills that can be compared; what is not known of an interval may be infinite."""
    found: dict[MarketRegime, RegimeSkill] = {}
    for one in skills:
        faults = {"skill": math.isfinite(one.skill), "p_adjusted": 0.0 <= one.p_adjusted <= 1.0}
        faults |= {"ci_low": one.ci_low <= one.ci_high, "n_effective": 0.0 <= one.n_effective < math.inf}
        faults |= {"n_rows": one.n_rows >= 0, "n_spells": one.n_spells >= 0}
        if (fault := next((name for name, good in faults.items() if not good), None)) is not None:
            raise RegistryError(
                f"{fault} in regime '{one.regime}' is {getattr(one, fault)}; a finite skill, a p-value from 0 to 1, an "
                "interval from low to high and counts from 0 were expected; leave out a regime where nothing could be measured."
            )
        if one.regime in found:
            raise RegistryError(f"regime '{one.regime}' was measured twice in one call; one skill of each was expected.")
        found[one.regime] = one
    return list(found.values())


def _measured_on(info: Mapping[str, Any]) -> dict[str, Any]:
    """What a card says was measured, by regime; what is no number cannot be compared and is left on the card."""
    return {one["regime"]: one for one in info.get("regime_evidence") or () if _is_comparable(one)}


def _is_comparable(skill: Mapping[str, Any]) -> bool:
    return math.isfinite(skill["skill"]) and math.isfinite(skill["p_adjusted"])


def kept_rows(connection: sa.Connection) -> dict[tuple[str, int], dict[str, tuple[Any, ...]]]:
    """What is kept by regime of every version: name and version -> regime -> learner, whether it speaks, reason and numbers."""
    found: dict[tuple[str, int], dict[str, tuple[Any, ...]]] = {}
    columns = [_ROW[name] for name in ("name", "version", "regime", "learner", "newest", "reason", *_MEASURED)]
    for name, version, regime, *values in connection.execute(sa.select(*columns)):
        found.setdefault((name, version), {})[regime] = tuple(values)
    return found


def told_rows(
    info: Mapping[str, Any], later: Iterable[Mapping[str, Any]], learner: str, speaks: bool
) -> dict[str, tuple[Any, ...]]:
    """What :func:`kept_rows` should say of a version by its card and by what the audit says was measured later, in order."""
    declared = info.get("market_regimes") or {}
    measured = _measured_on(info)
    measured |= {skill["regime"]: skill for skill in later}
    measured = {regime: skill for regime, skill in measured.items() if _is_comparable(skill)}
    nothing = dict.fromkeys(_MEASURED)
    told = {regime: measured.get(regime, nothing) for regime in {*declared, *measured}}
    return {
        regime: (learner, speaks, declared.get(regime), *(skill.get(name, 0) for name in _MEASURED))
        for regime, skill in told.items()
    }


def candidates(
    connection: sa.Connection, regime: MarketRegime, least: Evidence, alpha: float, limit: int | None
) -> list[RegimeCandidate]:
    """Models with at least ``least`` for ``regime``: measured ones by skill, best first, then those only declared."""
    most = _ALL if limit is None else limit
    values: dict[str, Any] = {"wanted": regime.value}
    if least is Evidence.SIGNIFICANT:
        values["alpha"] = alpha
    measured = _BY_EVIDENCE[Evidence.SIGNIFICANT if least is Evidence.SIGNIFICANT else Evidence.ESTIMATED]
    found = [_candidate(row, regime, alpha) for row in measured(connection, **values, most=most)]
    if least is Evidence.DECLARED and len(found) < most:
        rest = _ONLY_DECLARED(connection, wanted=regime.value, most=most - len(found))
        found += [_candidate(row, regime, alpha) for row in rest]
    return found


def _candidate(row: Any, regime: MarketRegime, alpha: float) -> RegimeCandidate:
    name, version, learner, reason, *numbers = row
    measured = None if numbers[0] is None else _skill_of(regime, numbers)
    if measured is None or measured.skill <= 0:
        level = Evidence.DECLARED
    else:
        level = Evidence.SIGNIFICANT if measured.p_adjusted <= alpha else Evidence.ESTIMATED
    return RegimeCandidate(name, version, learner, level, measured, reason)


def _skill_of(regime: MarketRegime, numbers: Sequence[Any]) -> RegimeSkill:
    """A skill of our own rows, which were checked when they were registered."""
    return RegimeSkill.model_construct(_FIELDS, regime=regime, **dict(zip(_MEASURED, numbers, strict=True)))
