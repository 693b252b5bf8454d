"""``Mechanic``: turn after turn, from new candles to who is champion; any kill leaves what the next turn goes on from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from huracan.catalogue import check_learners
from huracan.config import LearnerConfig
from huracan.config.section import milliseconds
from huracan.errors import ConfigError, LeaseLost
from huracan.integration.feedback import moments
from huracan.integration.feedback.answers import keep_answers
from huracan.integration.feedback.asking import ask_versions
from huracan.integration.feedback.candle_files import store_given
from huracan.integration.feedback.candle_intake import CandleFeed
from huracan.integration.feedback.clock import Clock, StandingClock, SystemClock
from huracan.integration.feedback.configured_feed import feed_of, is_simulated
from huracan.integration.feedback.deciding import decide
from huracan.integration.feedback.feeds import StoreFeed
from huracan.integration.feedback.lease import Lease
from huracan.integration.feedback.loop_alerts import settle_clock, settle_failure
from huracan.integration.feedback.looping import Stopped, work_on
from huracan.integration.feedback.measuring import counting_failures, measure
from huracan.integration.feedback.mechanic_report import MechanicReport, MechanicStatus
from huracan.integration.feedback.nobody import settle_nobody
from huracan.integration.feedback.promoting import promote, roll_back
from huracan.integration.feedback.publishing import OUTBOX, publish_or_tell, published_tick
from huracan.integration.feedback.reporting import report_of
from huracan.integration.feedback.scoring import score_outcomes
from huracan.integration.feedback.seeing import see
from huracan.integration.feedback.standing import standing
from huracan.integration.feedback.switch import Switch
from huracan.integration.feedback.taking_candles import take_candles
from huracan.integration.feedback.tick_log import OpenTick, TickLog, Write, last_tick, ticks_before
from huracan.integration.feedback.training import train
from huracan.integration.feedback.turn import Turn, Works
from huracan.integration.feedback.verdicts import judge
from huracan.logs import stage
from huracan.mlops.alert_channels import Channel, LogChannel, WebhookChannel
from huracan.mlops.alerts import Alerts
from huracan.mlops.metrics import Metric, Metrics
from huracan.mlops.performance import PerformanceStore
from huracan.storage.whole_files import remove_left

if TYPE_CHECKING:
    from huracan.integration.unified_pipeline import UnifiedMLPipeline
    from huracan.market.sources import CandleSource

__all__ = ["STAGES", "Mechanic", "MechanicReport", "MechanicStatus"]

STAGES: tuple[tuple[str, Callable[[Turn], Write | None]], ...] = (
    ("candles", take_candles),
    ("predictions", ask_versions),
    ("outcomes", score_outcomes),
    ("evidence", see),
    ("decision", decide),
    ("training", train),
    ("verdicts", judge),
    ("promotion", promote),
    ("rollback", roll_back),
)
"""What a turn does, in this order. A stage looks at what is kept, and gives what is to be kept together with its number."""

_MOST_BARS = 1_441
"""Bars that one turn takes at most; a longer absence is worked off in several. By this distance those are known: turns are no
such time apart otherwise, as they may be a day of minutes."""


class Mechanic:
    """Looks after the models of one name: predicts, scores, watches, retrains, promotes and rolls back, turn by turn.

    A turn is about a moment T: everything that candles closed by T tell, and what follows from it. Its stages each keep their
    rows in one transaction together with the stage's number; what lies outside the database (training, the registry, files) is
    looked for before it is done. Killed anywhere, the next turn first finishes the one that was begun.

    Parameters
    ----------
    pipeline : its configuration, registry and home folder are used. name : of the models; by default ``mechanic.name``, else
        ``registry.model_name``, with ``.simulated`` where no candles are configured and a simulated market stands in, and with
        the symbol where each has models of its own.
    source : where candles come from; by default as ``mechanic.source`` says. clock : what time it is; the host's by default.
    channels : who is told of alerts; by default the log, and ``mechanic.webhook_url``.

    Examples
    --------
    >>> import tempfile
    >>> from huracan import UnifiedMLPipeline
    >>> from huracan.market import simulate_market
    >>> candles = simulate_market(n_bars=300, n_symbols=1, seed=0).candles
    >>> mechanic = Mechanic(UnifiedMLPipeline({"home": tempfile.mkdtemp()}))
    >>> report = mechanic.tick(candles)
    >>> report.done, mechanic.tick(candles).done
    (True, False)
    """

    def __init__(
        self,
        pipeline: UnifiedMLPipeline,
        *,
        name: str | None = None,
        source: CandleFeed | None = None,
        clock: Clock | None = None,
        channels: Sequence[Channel] | None = None,
    ) -> None:
        self.pipeline = pipeline
        self._name, self._source, self._clock = name, source, clock
        url = pipeline.config.mechanic.webhook_url
        usual = (LogChannel(), *(() if url is None else (WebhookChannel(url),)))
        self._channels: tuple[Channel, ...] = usual if channels is None else tuple(channels)
        self._given = False
        self._every: int | None = None

    def __repr__(self) -> str:
        return f"Mechanic({self.name!r}, home={str(self.pipeline.config.home)!r})"

    @cached_property
    def name(self) -> str:
        """Of the models it looks after."""
        config = self.pipeline.config
        if self._name is not None or config.mechanic.name is not None:
            return self._name or str(config.mechanic.name)
        name = f"{config.registry.model_name}.simulated" if self._stands_in else config.registry.model_name
        if config.training.pooling == "pooled":
            return name
        if len(config.mechanic.symbols) != 1:
            raise ConfigError(
                "training.pooling is per_symbol: each symbol's models have a name of their own, and a Mechanic looks after one "
                "name. Set mechanic.symbols to one symbol, and start one for each; or mechanic.name."
            )
        return f"{name}.{config.mechanic.symbols[0]}"

    @cached_property
    def clock(self) -> Clock:
        """What time it is; on a simulated market, when its last bar has closed."""
        if self._clock is not None:
            return self._clock
        if self._stands_in and (newest := self.works.feed.newest) is not None:
            return StandingClock(newest + self.works.feed.bar)
        return SystemClock()

    @cached_property
    def works(self) -> Works:
        """Everything it works with; opened when first used.

        Raises
        ------
        UnknownName, ModelError : ``mechanic.learners`` names one that there is not, or that cannot be trained.
        """
        config, registry = self.pipeline.config, self.pipeline.registry
        known = config.active_profile.learners
        tried = {name: known.get(name, LearnerConfig()) for name in config.mechanic.learners}
        check_learners(tried, where="mechanic.learners")
        return Works(
            config=config,
            registry=registry,
            name=self.name,
            open_feed=self._open_feed,
            store=PerformanceStore(registry.database, self.name),
            switch=Switch(registry.database, self.name, config.home),
            alerts=Alerts(self.name, self._channels, repeat=milliseconds(config.mechanic.repeat_alerts)),
            metrics=Metrics(self.name),
        )

    @cached_property
    def lease(self) -> Lease:
        """That it alone works under its name."""
        works, seconds = self.works, self.pipeline.config.mechanic.lease_seconds

        def shown(held: bool) -> None:
            works.metrics.set(Metric.LEASE_HELD, float(held))

        return Lease(works.database, self.name, seconds=seconds, changed=shown)

    def tick(self, candles: CandleSource | None = None) -> MechanicReport:
        """One turn.

        Parameters
        ----------
        candles : are stored first, in whatever order they come, and the turn is about the close of the newest bar there is;
            without them it is about the clock's time, down to a whole bar.

        Returns
        -------
        MechanicReport : ``done`` is False where the turn was finished before, as after a clock that went back; or where it
            waits, since the clock is far ahead of all candles. Candles of further symbols at the same moment are one more turn.

        Raises
        ------
        LeaseHeld : another Mechanic works under this name. LeaseLost : another took over meanwhile.
        CandleError, NotEnoughData : none of the candles can be taken. StorageError : the database or the disk refuses.
        """
        self._given = self._given or candles is not None
        with self.working(), counting_failures(self.works.metrics):
            if candles is None:
                return self._turn_now(lambda: False)
            waits = self._append(candles)
            until = moments.close_of_newest(self.works)
            again = partial(moments.came_since, self.works, until)
            report = self._work_off(until, lambda: False, said=until, again=again)
            return report if report.done else replace(report, note=" ".join((report.note, *waits.values())))

    def run(
        self,
        every: timedelta | None = None,
        *,
        stop: Callable[[], bool] = lambda: False,
        told: Callable[[str], None] = lambda sentence: None,
    ) -> None:
        """Turn after turn on the grid of ``every`` since 1970, until ``stop()``, which is asked between stages, too.

        Waits while another Mechanic works under this name, and takes over when that one ends, dies or falls silent.

        Parameters
        ----------
        every : time between turns; ``mechanic.every`` by default. told : hears each turn's sentence, and what is waited for.
        """
        settings = self.pipeline.config.mechanic
        step = every or timedelta(milliseconds=milliseconds(settings.every))
        self._every = round(step.total_seconds() * 1_000)
        failed = lambda why: settle_failure(self.works, why, tick=self.clock.now())  # noqa: E731
        live = isinstance(self.clock, SystemClock)
        delay, wait = (milliseconds(settings.delay), milliseconds(settings.wait_for_bars)) if live else (0, 0)
        while self.lease.wait(stop, told=told):
            try:
                turn = partial(self._turn_and_follow, stop, told, delay, wait)
                work_on(turn, step, self.clock, stop, told=told, delay=delay, failed=failed)
                return
            except LeaseLost as error:  # as after a machine that slept: somebody else works, and is waited for
                self.lease.release()
                self.works.metrics.ends()
                told(str(error))
            except Stopped:
                told("stopped between two stages; the next turn goes on there.")
                return
            finally:
                self.lease.release()

    @contextmanager
    def working(self) -> Iterator[None]:
        """Hold the lease over several turns, which takes it and lets it go once instead of at each.

        Raises
        ------
        LeaseHeld : another Mechanic works under this name.
        """
        if self.lease.held:
            yield
            return
        with self.lease:
            yield

    def status(self) -> MechanicStatus:
        """How it stands, as the database tells it; whoever works goes on undisturbed."""
        return standing(self.works)

    def freeze(self, reason: str, *, actor: str) -> None:
        """Stop promotions and rollbacks from here on; predicting, scoring and training go on."""
        self.works.switch.freeze(reason, actor=actor, at=self.clock.now())

    def thaw(self, reason: str, *, actor: str) -> None:
        """Let promotions and rollbacks go on; what waited is looked at anew."""
        self.works.switch.thaw(reason, actor=actor, at=self.clock.now())

    @cached_property
    def _stands_in(self) -> bool:
        """Whether a simulated market stands in for candles; decided once, when it is first asked."""
        return self._source is None and not self._given and is_simulated(self.pipeline.config)

    @property
    def _simulated(self) -> bool:
        """Whether it turns on a simulated market, whose champions nobody is to trade by."""
        return self._stands_in and not self._given

    def _open_feed(self) -> CandleFeed:
        return feed_of(self.pipeline.config, given=self._given) if self._source is None else self._source

    def _append(self, candles: CandleSource) -> Mapping[str, str]:
        feed = self.works.feed
        if not isinstance(feed, StoreFeed):
            raise ConfigError(
                f"Mechanic '{self.name}' has a source of its own, in which no candles can be stored; tick() without "
                "candles was expected, or a Mechanic without a source."
            )
        return store_given(feed, candles)

    def _turn_now(self, stop: Callable[[], bool], *, delay: int = 0, again: bool = False) -> MechanicReport:
        """The turn of the last close before the present, unless the clock is far ahead of all candles."""
        feed, now = self.works.feed, self.clock.now()
        until = (now - delay) // feed.bar * feed.bar
        last = last_tick(self.works.database, self.name)
        why = moments.why_not_believed(feed, until) if last is not None else ""
        doubt = moments.why_in_doubt(feed, until) if last is not None and not why else ""
        settle_clock(self.works, None if last is None else last[0], until, ahead=why, doubt=doubt, tick=now)
        if why:
            return MechanicReport(self.name, until, done=False, note=f"nothing was done: {why}.")
        return self._work_off(until, stop, said=now, again=lambda: again)

    def _turn_and_follow(self, stop: Callable[[], bool], told: Callable[[str], None], delay: int, wait: int) -> None:
        """A turn, and others of the same moment while the newest bar of a symbol is missing."""
        with counting_failures(self.works.metrics):
            report = self._turn_now(stop, delay=delay)
        told(report.sentence)
        settle_failure(self.works, "", tick=self.clock.now())
        for pause in moments.pauses(delay, wait) if delay else []:
            if not (report.done and moments.missing_yet(report.bars, report.tick, self.works.feed.bar)) or stop():
                return
            self.clock.sleep_until(self.clock.now() + pause, stop)
            with counting_failures(self.works.metrics):
                report = self._turn_now(stop, delay=delay, again=True)
            told(report.sentence)

    def _work_off(self, until: int, stop: Callable[[], bool], *, said: int, again: Callable[[], bool]) -> MechanicReport:
        """Finish what was begun, then turn up to ``until``.

        Parameters
        ----------
        said : what time it is when bars are answered. again : whether to go on with a turn of this moment that is finished; it
            is one more, a millisecond later, about the same bars.
        """
        works = self.works
        log = TickLog(works.database, self.name, require=self.lease.require, fence=self.lease.fence)
        report = None
        while (begun := log.unfinished()) is not None:
            report = self._turn(log, begun, stop, said)
        last = log.last()
        if last is not None and published_tick(self._outbox, self.name) != last[0]:
            remove_left(self._outbox, self.name)
            self._publish()
        if last is not None and 0 <= last[0] - until < works.feed.bar and again():
            until = last[0] + 1
        if last is not None and until <= last[0]:
            if report is not None:
                return report
            return MechanicReport(self.name, until, done=False, note=moments.nothing_to_do(last[0], until, works.feed.bar))
        for moment in moments.slices(None if last is None else last[0], until, _MOST_BARS * works.feed.bar):
            report = self._turn(log, moment, stop, said)
        assert report is not None
        return report

    def _turn(self, log: TickLog, tick: int, stop: Callable[[], bool], said: int) -> MechanicReport:
        row = log.open(tick, started=self.clock.now())
        bar, every = self.works.feed.bar, self._every
        if every is None:
            before = ticks_before(self.works.database, self.name, tick // bar * bar)
            every = max(milliseconds(self.pipeline.config.mechanic.every), moments.rhythm(before, bar, _MOST_BARS * bar))
        within = moments.in_time_within(self.pipeline.config, bar, every)
        turn = Turn(self.works, row, in_time_from=max(said, tick) - within, catches_up=tick + bar <= said)
        for number, (name, do) in enumerate(STAGES, 1):
            if row.stage >= number:
                continue
            if stop():
                raise Stopped
            with stage(name, mechanic=self.name, tick=tick), self.works.metrics.stage(name):
                write = do(turn)
                if write is not None and name == "candles" and turn.intake.quiet:
                    row.later(number, write)
                else:
                    row.done(number, write)
        report = self._finish(turn, row)
        report = self._publish(report)
        self.works.alerts.send(self.works.database, tick=tick)
        measure(turn, report)
        self.works.bench.forget({*turn.lineup.served, *(one.version for one in turn.shadows())})
        return report

    def _finish(self, turn: Turn, row: OpenTick) -> MechanicReport:
        """Keep the report, made of what the turn has left in the database."""
        works, name, tick = self.works, self.name, row.tick
        report, nobody = report_of(turn, simulated=self._simulated)
        before = tick - milliseconds(works.config.mechanic.keep_raw)

        def write(connection: sa.Connection) -> None:
            keep_answers(connection, name, turn.lineup, tick, simulated=self._simulated)
            settle_nobody(connection, works.alerts, nobody, tick=tick, bar=turn.bar)
            if before > 0:  # rows that were settled long ago go; their sums stay
                works.store.forget(connection, before)

        row.finish(len(STAGES) + 1, write, finished=self.clock.now(), report=report.to_dict())
        return report

    def _publish(self, report: MechanicReport | None = None) -> MechanicReport:
        """Write the files of the newest finished turn; where that fails the next turn does, and the report says why."""
        why = publish_or_tell(self.works, self._outbox, require=self.lease.require)
        report = report or MechanicReport(self.name, 0)
        return replace(report, note=why) if why else report

    @property
    def _outbox(self) -> Path:
        return self.pipeline.config.home / OUTBOX
