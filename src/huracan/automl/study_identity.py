"""What a study's outcome depends on: a call that differs in any of it may not go on with the study."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import numpy as np

from huracan.automl.optuna_terms import Spaces
from huracan.automl.study_rows import StudyRows
from huracan.baselines.learner_identity import learner_identity
from huracan.baselines.search_space import Between, Dimension, OneOf
from huracan.catalogue import find_learner
from huracan.dataset import TimeSource, TrainingSet
from huracan.storage import StudyFacts, from_json, library_versions, to_json
from huracan.version import source_hash

__all__ = ["differences", "facts_of", "identity_hash", "identity_of", "searched_until", "spaces_of", "span_of"]

_LONG = 60


def identity_of(study: StudyRows, spaces: Spaces, **settings: Any) -> dict[str, Any]:
    """Everything that the trials of a study are computed from, as JSON.

    Parameters
    ----------
    study : rows and folds. spaces : of the learners. settings : what else matters: seed, sampler, ...; whatever JSON can hold.
    """
    until = searched_until(study)
    learners = {
        name: {"space": _space_json(space), "code": learner_identity(find_learner(name))} for name, space in spaces.items()
    }
    plain = {
        "data": study.rows.data_hash(),
        "task": study.task,
        "metric": study.metric,
        "learners": learners,
        "order of learners": list(spaces),
        "folds": _hash_of_folds(study),
        "searched until": None if until is None else until.isoformat(),
        **settings,
        "versions": {**library_versions(), "optuna": version("optuna")},
        "code of huracan": source_hash(),
    }
    return from_json(to_json(plain, where="the settings of the study"))


def identity_hash(identity: Mapping[str, Any]) -> str:
    """SHA-256 of what :func:`identity_of` gives."""
    return hashlib.sha256(to_json(identity).encode()).hexdigest()


def differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """In a few words each, what is different.

    >>> differences({"sampler": "tpe", "seed": 1, "data": "ab" * 32}, {"sampler": "gp", "seed": 1, "data": "cd" * 32})
    ["sampler is 'gp' here and 'tpe' there", 'other data']
    """
    told = []
    for name in [*here, *(name for name in there if name not in here)]:
        mine, its = here.get(name), there.get(name)
        if mine == its:
            continue
        if isinstance(mine, Mapping) and isinstance(its, Mapping):
            parts = [key for key in {**mine, **its} if mine.get(key) != its.get(key)]
            told.append(f"other {name} ({', '.join(parts)})")
        elif len(repr(mine)) > _LONG or len(repr(its)) > _LONG:
            told.append(f"other {name}")
        else:
            told.append(f"{name} is {mine!r} here and {its!r} there")
    return told


def facts_of(study: StudyRows, identity: Mapping[str, Any], seed: int) -> StudyFacts:
    """What a study is about, as its table tells."""
    rows = study.rows
    start, end = span_of(rows) or (None, None)
    return StudyFacts(
        data_hash=identity["data"],
        symbols=rows.symbols,
        span_start=start,
        span_end=end,
        task=study.task,
        metric=study.metric,
        n_rows=len(rows),
        n_features=len(rows.feature_names),
        bar_seconds=float(rows.bar_length / np.timedelta64(1, "s")),
        seed=seed,
        versions=identity["versions"],
    )


def span_of(rows: TrainingSet) -> tuple[datetime, datetime] | None:
    """First and last decision, aware; None where rows have no times of their own."""
    if rows.time_source is TimeSource.ROW_ORDER or not len(rows):
        return None
    first, last = (moment.astype("datetime64[us]").item() for moment in rows.decision_time[[0, -1]])
    return first.replace(tzinfo=UTC), last.replace(tzinfo=UTC)


def searched_until(study: StudyRows) -> datetime | None:
    """The last decision that a search of these rows knows of; None where rows have no times of their own."""
    span = span_of(study.rows if study.judged is None else study.rows.take(study.judged.train_rows))
    return None if span is None else span[1]


def spaces_of(identity: Mapping[str, Any]) -> dict[str, dict[str, Dimension]]:
    """The spaces that :func:`identity_of` was given."""
    return {
        learner: {name: _dimension(where) for name, where in identity["learners"][learner]["space"]}
        for learner in identity["order of learners"]
    }


def _space_json(space: Mapping[str, Dimension]) -> list[Any]:
    """In the order of the space, on which what a sampler draws depends."""
    return [[name, _dimension_json(where)] for name, where in space.items()]


def _dimension_json(where: Dimension) -> dict[str, Any]:
    if isinstance(where, Between):
        return {"between": [where.low, where.high], "log": where.log, "whole": where.whole}
    return {"one_of": list(where.values)}


def _dimension(told: Mapping[str, Any]) -> Dimension:
    if "one_of" in told:
        return OneOf(tuple(_hashable(value) for value in told["one_of"]))
    low, high = told["between"]
    return Between(low, high, log=told["log"], whole=told["whole"])


def _hashable(value: Any) -> Any:
    return tuple(map(_hashable, value)) if isinstance(value, list) else value


def _hash_of_folds(study: StudyRows) -> str:
    digest = hashlib.sha256()
    for fold in study.folds:
        for rows in (fold.train, fold.test):
            digest.update(np.int64(len(rows)).tobytes() + np.ascontiguousarray(rows, np.int64).tobytes())
    return digest.hexdigest()
