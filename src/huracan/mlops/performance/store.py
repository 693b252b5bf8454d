"""``PerformanceStore``: every prediction, what came of it, and what that amounts to."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from numbers import Integral

import polars as pl
import sqlalchemy as sa

from huracan.errors import DataError
from huracan.mlops.live_expectation import EXPECTATION, LiveExpectation
from huracan.mlops.performance import reading, writing
from huracan.mlops.performance.against_backtest import beside_backtest
from huracan.mlops.performance.answered import answered_returns
from huracan.mlops.performance.engine_account import EngineAccount, engine_account, equity_span
from huracan.mlops.performance.engine_tables import EngineRows, read_equity, read_trades
from huracan.mlops.performance.ownership import check_buckets
from huracan.mlops.performance.reading import LiveMetric
from huracan.mlops.performance.rows import Rows
from huracan.mlops.performance.summary import summary
from huracan.mlops.performance.writing import Received
from huracan.mlops.whole_milliseconds import whole_milliseconds
from huracan.statistics.sample_checks import check_open_unit
from huracan.storage import Database
from huracan.storage.tables import model_versions

__all__ = ["PerformanceStore"]

_FOUR_HOURS = 4 * 3_600_000


class PerformanceStore:
    """Predictions, outcomes and their sums in the database.

    What writes takes the ``connection`` of a transaction that the caller ends, and touches nothing else: a prediction and the
    number of the stage it belongs to are kept together or not at all. Everything can be given again: what is there stays.

    Parameters
    ----------
    database : upgraded. name : of the model whose evidence this is.
    bucket : milliseconds of the stretches of time in which outcomes are summed up. The database keeps it by version, with the
        name, and a store that is opened with another is refused where it writes or gives windows.

    Raises
    ------
    DataError : the bucket has no length in whole milliseconds.

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
        self.database = database
        self.name = name
        self.bucket = whole_milliseconds(bucket, "the length of a bucket is")
        if self.bucket <= 0:
            raise DataError(f"a bucket is {bucket} ms long; a length above 0 was expected.")

    def predicted(self, connection: sa.Connection, rows: Rows) -> int:
        """Keep what versions said of bars, each once; what was forgotten (:meth:`forget`), or is older, is not kept again.

        Parameters
        ----------
        rows : columns of ``live_predictions`` by name, or tuples in their order
            (:data:`huracan.mlops.performance.rows.PREDICTION_COLUMNS`); times in milliseconds UTC.

        Returns
        -------
        How many were new.

        Raises
        ------
        DataError : a column is missing, or a value of the wrong kind; a version that lives under another name, or with buckets
            of another length.
        """
        return writing.write_predictions(connection, rows, self.name, self.bucket)

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
        return writing.write_outcomes(connection, rows, self.name, self.bucket)

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

        Up to which bar is kept by version and symbol: what is given again of it, or of a bar before it, is in the sums already
        and counts no second time.

        Returns
        -------
        How many outcomes went, each with its prediction.
        """
        if at_most < 0:
            raise DataError(f"at most {at_most} rows are to be forgotten; a number of at least 0 was expected.")
        return writing.forget(connection, whole_milliseconds(before, "rows are forgotten up to"), at_most)

    def rolling(
        self,
        metric: LiveMetric | str,
        window: int,
        *,
        by: Sequence[str] = ("version_id", "symbol", "regime"),
        since: int = 0,
        every: int | None = None,
        confidence: float = 0.95,
    ) -> pl.DataFrame:
        """A metric in moving windows, each ending with a bucket, with bands.

        The bands are equal-weighted-cosine intervals (:func:`huracan.statistics.ewc_t_test`) over the buckets of the window, in
        time order, so autocorrelation widens them. At each moment they hold for all groups together with the chance
        ``confidence`` (Bonferroni); windows of one group overlap, so its band is not one for all moments together.

        Parameters
        ----------
        metric : of :class:`LiveMetric`. window : milliseconds. by : groups; a scope that is left out is added up.
        since : buckets from this time on. every : milliseconds between the ends of windows; None for each bucket.

        Returns
        -------
        ``by``, then ``from`` and ``until`` (milliseconds UTC), ``value``, ``low``, ``high`` (null with fewer than 20 buckets,
        or where they do not vary) and ``n``, the outcomes that the mean is of.

        Raises
        ------
        UnknownName : there is no such metric.
        DataError : the window is shorter than a bucket, ``by`` names no scope, or what is kept is in buckets of another length.
        """
        check_open_unit(confidence, "confidence")
        by = (by,) if isinstance(by, str) else by
        since, window = whole_milliseconds(since, "windows begin at"), whole_milliseconds(window, "the length of a window is")
        every = None if every is None else whole_milliseconds(every, "the time between ends of windows is")

        def look(connection: sa.Connection) -> pl.DataFrame:
            check_buckets(connection, self.name, self.bucket)
            return reading.read_buckets(connection, self.name, since=since)

        buckets = self.database.read(look)
        return reading.rolling(buckets, metric, window, self.bucket, by=by, confidence=confidence, every=every)

    def against_backtest(
        self, version_id: int, *, since: int = 0, confidence: float = 0.95, promised: LiveExpectation | None = None
    ) -> pl.DataFrame:
        """Live skill and net return a bar of a version beside what it promised, and whether they differ.

        Both are means of dependent series, so each has the error that its cosines give; the difference is tested with a t whose
        degrees come from both (Satterthwaite), adjusted for the two figures (Holm). A few live buckets do not show how long
        they remember: their error is never less than the promise's own spread gives for as many moments, and, where they are
        worth fewer than 50 independent ones, than the upper end of their own memory gives. What cannot be decided says what it
        is worth.

        Parameters
        ----------
        version_id : id of the version. since : buckets from this time on.
        promised : by default what the version keeps under ``live_expectation``.

        Returns
        -------
        Two rows, ``skill`` and ``net``: ``figure, live, live_low, live_high, promised, promised_low, promised_high, difference,
        low, high, p_value, p_adjusted, n, note``; ``note`` says why something could not be tested.
        """
        check_open_unit(confidence, "confidence")
        if isinstance(version_id, bool) or not isinstance(version_id, Integral):
            raise DataError(f"the id of a version is {version_id!r}; a whole number was expected.")
        since = whole_milliseconds(since, "buckets are counted from")

        def look(connection: sa.Connection) -> tuple[pl.DataFrame, LiveExpectation | None]:
            extras = connection.execute(sa.select(model_versions.c.extras).where(model_versions.c.id == version_id)).scalar()
            kept = (extras or {}).get(EXPECTATION)
            buckets = reading.read_buckets(connection, self.name, since=since)
            return buckets.filter(pl.col("version_id") == version_id), None if kept is None else LiveExpectation.from_dict(kept)

        buckets, kept = self.database.read(look)
        return beside_backtest(buckets, promised or kept, confidence=confidence)

    def summary(self) -> pl.DataFrame:
        """What there is of each version, symbol and regime.

        Returns
        -------
        ``version_id, symbol, regime``; of all outcomes ever ``n, answered, vetoed, skill, hit_rate, net, cost``; of rows that
        are still kept how many are ``pending``, ``never`` came, or were ``revised``.
        """
        return self.database.read(lambda connection: summary(connection, self.name))

    def trades(self, since: datetime | None = None) -> EngineRows:
        """The trading bot's trades, as its table ``live_trades`` holds them; rows that cannot be used are counted."""
        return self.database.read(lambda connection: read_trades(connection, since))

    def equity(self) -> EngineRows:
        """The account's worth by day, as the bot's table ``daily_equity`` holds it; rows that cannot be used are counted."""
        return self.database.read(read_equity)

    def account(self, *, opens: pl.DataFrame | None = None) -> EngineAccount:
        """What the bot's trades and equity amount to, beside the net return of whoever was champion in the same days.

        Parameters
        ----------
        opens : ``symbol, ts, open`` of bars (``ts`` in milliseconds UTC), by which entries are judged.
        """

        def look(connection: sa.Connection) -> tuple[EngineRows, EngineRows, pl.DataFrame | None]:
            equity = read_equity(connection)
            span = equity_span(equity)
            earned = None if span is None else answered_returns(connection, self.name, since=span[0], until=span[1])
            return read_trades(connection), equity, earned

        trades, equity, earned = self.database.read(look)
        return engine_account(trades, equity, answered=earned, opens=opens)

    def frames(self, window: int) -> dict[str, pl.DataFrame]:
        """What a report shows: ``summary``, ``skill`` and ``net`` by version in moving windows, ``trades``, ``equity``."""
        moving = {
            str(metric): self.rolling(metric, window, by=("version_id",)) for metric in (LiveMetric.SKILL, LiveMetric.NET)
        }
        return {"summary": self.summary(), **moving, "trades": self.trades().frame, "equity": self.equity().frame}
