"""``PerformanceStore``: every prediction, what came of it, and what that amounts to."""

from __future__ import annotations

import polars as pl
import sqlalchemy as sa

from huracan.errors import DataError
from huracan.mlops.performance import writing
from huracan.mlops.performance.rows import Rows
from huracan.mlops.performance.writing import Received
from huracan.storage import Database

__all__ = ["PerformanceStore"]

_FOUR_HOURS = 4 * 3_600_000


class PerformanceStore:
    """Predictions, outcomes and their sums in the database.

    What writes takes the ``connection`` of a transaction that the caller ends, and touches nothing else: a prediction and the
    number of the stage it belongs to are kept together or not at all. Everything can be given again: what is there stays.

    Parameters
    ----------
    database : upgraded. name : of the model whose evidence this is.
    bucket : milliseconds of the stretches of time in which outcomes are summed up; the same for the whole life of a database.

    Raises
    ------
    DataError : the bucket has no length.

    Examples
    --------
    >>> database = Database("sqlite://")
    >>> database.upgrade()
    >>> store = PerformanceStore(database, "btc")
    >>> said = pl.DataFrame({"version_id": [1], "symbol": ["BTC"], "ts": [0], "role": ["champion"], "tick": [60_000],
    ...                      "regime": ["trending"], "score": [0.7], "position": [1.0], "vetoes": [0]})
    >>> came = pl.DataFrame({"version_id": [1], "symbol": ["BTC"], "ts": [0], "state": ["known"], "label_end": [120_000],
    ...                      "label": [0.01], "payoff": [0.4], "net_return": [0.009], "cost": [0.001], "tick": [120_000]})
    >>> with database.transaction() as connection:
    ...     store.predicted(connection, said), store.predicted(connection, said)
    ...     store.pending(connection, 1, before=120_000).height
    ...     store.known(connection, came).known.height, store.known(connection, came).same
    ...     store.pending(connection, 1, before=120_000).height
    (1, 0)
    1
    (1, 1)
    0
    """

    def __init__(self, database: Database, name: str, *, bucket: int = _FOUR_HOURS) -> None:
        if bucket <= 0:
            raise DataError(f"a bucket is {bucket} ms long; a length above 0 was expected.")
        self.database = database
        self.name = name
        self.bucket = bucket

    def predicted(self, connection: sa.Connection, rows: Rows) -> int:
        """Keep what versions said of bars, each once.

        Parameters
        ----------
        rows : columns of ``live_predictions`` by name, or tuples in their order
            (:data:`huracan.mlops.performance.rows.PREDICTION_COLUMNS`); times in milliseconds UTC.

        Returns
        -------
        How many were new.

        Raises
        ------
        DataError : a column is missing, or a value of the wrong kind.
        """
        return writing.write_predictions(connection, rows)

    def known(self, connection: sa.Connection, rows: Rows) -> Received:
        """Keep what came of predictions, each once, and add it to its bucket.

        An outcome that came before and is equal changes nothing; where it is another, the first one stays, and
        :meth:`Received.evidence` says so. One whose wait was given up comes too late.

        Parameters
        ----------
        rows : columns of ``live_outcomes`` by name, or tuples in their order
            (:data:`huracan.mlops.performance.rows.OUTCOME_COLUMNS`). A payoff that is no number is null, and not in any mean.

        Raises
        ------
        DataError : as :meth:`predicted`.
        """
        return writing.write_outcomes(connection, rows, self.bucket)

    def pending(self, connection: sa.Connection, version_id: int, before: int, *, since: int = 0) -> pl.DataFrame:
        """What a version said of bars with ``ts < before`` of which nothing came yet, by symbol and time.

        Parameters
        ----------
        since : ticks before this one are not looked at; give it, or everything the version ever said is read.

        Returns
        -------
        Columns of ``live_predictions``.
        """
        return writing.pending(connection, version_id, before, since)

    def give_up(self, connection: sa.Connection, version_id: int, before: int, *, tick: int, since: int = 0) -> int:
        """Wait no longer for what comes of bars with ``ts < before``: their state is ``never``, and they are in no mean.

        Returns
        -------
        How many they are. ``since`` as in :meth:`pending`.
        """
        return writing.give_up(connection, version_id, before, tick, since)

    def forget(self, connection: sa.Connection, before: int, *, at_most: int = 50_000) -> int:
        """Delete rows that were settled at ticks before ``before``, oldest first; their sums stay in the buckets.

        Returns
        -------
        How many outcomes went, each with its prediction.
        """
        return writing.forget(connection, before, at_most)
