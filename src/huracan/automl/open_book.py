"""Where a search writes its trials down: in memory, or as a study in a database, begun or gone on with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from huracan.automl.optuna_terms import Spaces
from huracan.automl.study_rows import StudyRows
from huracan.automl.trial_book import LEADERS, OwnBook, TrialBook
from huracan.errors import ConfigError

if TYPE_CHECKING:
    from huracan.storage import Database

__all__ = ["open_book"]


def open_book(
    database: Database | str | None,
    study: StudyRows,
    spaces: Spaces,
    portfolio: Sequence[tuple[str, Mapping[str, Any], str]],
    *,
    name: str | None,
    warm_start: bool,
    lost_after: float,
    seed: int,
    members: int,
    **settings: Any,
) -> TrialBook:
    """The book of a search.

    Parameters
    ----------
    database : None for memory. study, spaces : what is searched. portfolio : learner, settings and source of the first trials.
    name, lost_after : see :class:`~huracan.automl.study_store.StudyStore`.
    warm_start : where the study begins, put what earlier studies found good after the first entries of the portfolio;
        nothing for rows without times of their own, of which nobody knows whether they are older.
    seed, settings : what else trials depend on. members : models that may be chosen; the answers of as many are kept, at least.

    Raises
    ------
    ConfigError : a name or a warm start without a database, or a study that was begun with something else.
    StorageError : the database cannot be used.
    """
    if database is None:
        if name is not None or warm_start:
            given = f"study is {name!r}" if name is not None else "warm_start is True"
            raise ConfigError(f"{given} without a database; database= was expected, the URL of what keeps studies.")
        return OwnBook(portfolio)
    from huracan.automl.study_identity import facts_of, identity_of, searched_until
    from huracan.automl.study_store import StudyStore, opened
    from huracan.automl.warm_start import good_settings, with_history

    store = opened(database)
    first = [[learner, dict(params)] for learner, params, _ in portfolio]
    kept = max(LEADERS, members)
    identity = identity_of(study, spaces, seed=seed, **settings, portfolio=first, **{"answers kept": kept})

    def queue() -> Sequence[tuple[str, Mapping[str, Any], str]]:
        until = searched_until(study)
        if not warm_start or until is None:
            return portfolio
        found = good_settings(store, facts_of(study, identity, seed), spaces, searched_until=until)
        return with_history(portfolio, found, spaces)

    return StudyStore(store, study, identity, spaces, seed=seed, queue=queue, name=name, lost_after=lost_after)
