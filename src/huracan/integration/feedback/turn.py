"""What the stages of a turn work with, and what the turn is about."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from huracan.config import HuracanConfig
from huracan.integration.feedback.before_use import require_usable
from huracan.integration.feedback.candle_intake import CandleFeed, Intake
from huracan.integration.feedback.candle_window import CandleWindow
from huracan.integration.feedback.cleaned_window import chunk_of, cleaned, require_known_in_time
from huracan.integration.feedback.feature_feed import FeatureFeed
from huracan.integration.feedback.lineup import Bench, Lineup
from huracan.integration.feedback.loop_state import read_state
from huracan.integration.feedback.shadows import Shadow, shadows_of
from huracan.integration.feedback.switch import Switch
from huracan.integration.feedback.tick_log import OpenTick
from huracan.mlops.alerts import Alerts
from huracan.mlops.metrics import Metrics
from huracan.mlops.performance import PerformanceStore
from huracan.mlops.retraining import RetrainPolicy
from huracan.model_registry import ModelRegistry
from huracan.regimes import RegimeClassifier
from huracan.registry.scopes import ALL
from huracan.serving.served import Served
from huracan.storage import Database

__all__ = ["CURSOR", "INTAKE", "Turn", "Works"]

INTAKE = "intake"
"""Key of what was taken of the candles at the newest turn."""
CURSOR = "cursor"
"""Key of the open of each symbol's newest bar that was predicted."""


@dataclass(eq=False)
class Works:
    """Everything one Mechanic works with; what costs something is opened when it is first used.

    Attributes
    ----------
    name : of the models it looks after. store : of predictions and outcomes. switch : that stops promotions.
    alerts, metrics : who hears of it. feed : where candles come from. bench : loaded versions. policy : that says when to
        retrain.

    Raises
    ------
    ConfigError : cleaning is configured to look ahead.
    """

    config: HuracanConfig
    registry: ModelRegistry
    name: str
    open_feed: Callable[[], CandleFeed]
    store: PerformanceStore
    switch: Switch
    alerts: Alerts
    metrics: Metrics
    _features: FeatureFeed | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        require_known_in_time(self.config)

    @property
    def database(self) -> Database:
        """Of registry, outcomes and turns alike."""
        return self.registry.database

    @cached_property
    def feed(self) -> CandleFeed:
        """Where candles come from."""
        return self.open_feed()

    @cached_property
    def candles(self) -> CandleWindow:
        """Those of the feed, cleaned: what models answer on, learn from, and are scored by."""
        return cleaned(self.feed, self.config)

    @cached_property
    def bench(self) -> Bench:
        """Versions that were loaded and can answer here."""

        def check(served: Served) -> None:
            require_usable(served, bar=self.feed.bar, labels=self.config.labels)

        return Bench(self.registry, self.config, self.name, check)

    @cached_property
    def policy(self) -> RetrainPolicy:
        """When to retrain."""
        return RetrainPolicy(**self.config.retrain.in_bars(self.feed.bar))

    def features(self, symbols: tuple[str, ...]) -> FeatureFeed:
        """Features of these symbols, and those computed before of the same ones."""
        if self._features is None or self._features.symbols != symbols:
            chunk = chunk_of(self.config, self.feed.bar)
            self._features = FeatureFeed(self.candles, symbols, chunk=chunk)
        return self._features


class Turn:
    """One turn: what the candles closed by ``tick`` (milliseconds UTC) say, and what follows from it.

    Parameters
    ----------
    in_time_from : bars that closed before this moment are answered too late to act on, milliseconds UTC.
    catches_up : whether bars have closed since its moment, so that other turns follow at once.
    """

    def __init__(self, works: Works, row: OpenTick, in_time_from: int = 0, *, catches_up: bool = False) -> None:
        self.works, self.row, self.in_time_from, self.catches_up = works, row, in_time_from, catches_up
        self._intake: Intake | None = None
        self._lineup: Lineup | None = None

    @property
    def tick(self) -> int:
        """The moment it is about."""
        return self.row.tick

    @property
    def bar(self) -> int:
        """Length of a bar, milliseconds."""
        return self.works.feed.bar

    @property
    def intake(self) -> Intake:
        """What was taken of the candles; the first stage keeps it."""
        if self._intake is None:
            kept = self.state()[INTAKE]
            self._intake = Intake(kept["newest"], kept["late"], kept["revised"], kept["refused"])
        return self._intake

    @intake.setter
    def intake(self, taken: Intake) -> None:
        self._intake = taken

    @property
    def symbols(self) -> tuple[str, ...]:
        """Symbols that have candles."""
        return tuple(sorted(self.intake.newest))

    @property
    def features(self) -> FeatureFeed:
        """Features of these symbols."""
        return self.works.features(self.symbols)

    @property
    def lineup(self) -> Lineup:
        """Who answers for whom, as it was when a stage first asked; :meth:`moved` has it looked up again."""
        if self._lineup is None:
            self._lineup = self.works.bench.lineup(self.symbols)
        return self._lineup

    def moved(self) -> None:
        """Somebody became champion, or is no more."""
        self._lineup = None

    @property
    def rules(self) -> RegimeClassifier:
        """By which regimes decide: those of the champion for all, else of the first that has some, else as configured."""
        lineup = self.lineup
        versions = [lineup.able[ALL]] if ALL in lineup.able else []
        for version in (*versions, *lineup.served):
            if version in lineup.served and (rules := lineup.served[version].classifier) is not None:
                return rules
        return RegimeClassifier(**self.works.config.regimes.model_dump())

    def state(self) -> Mapping[str, Any]:
        """What the Mechanic knows from turn to turn, as it is kept now."""
        return self.works.database.read(lambda connection: read_state(connection, self.works.name))

    def shadows(self) -> list[Shadow]:
        """Who is asked beside those that answer, as it is kept now."""
        return self.works.database.read(lambda connection: shadows_of(connection, self.works.name))
