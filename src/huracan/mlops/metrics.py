"""``Metrics``: what a Mechanic does, for Prometheus; nothing at all where its client is not installed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from enum import StrEnum
from math import isnan
from typing import Any

from huracan.errors import ConfigError, DataError, DependencyMissing, nearest_name

__all__ = ["Metric", "Metrics"]


class Metric(StrEnum):
    """Everything that is measured; names as Prometheus shows them, counters with ``_total`` behind."""

    TICKS = "huracan_ticks"
    STAGE_SECONDS = "huracan_stage_seconds"
    BARS = "huracan_bars"
    PREDICTIONS = "huracan_predictions"
    VETOES = "huracan_vetoes"
    OUTCOMES = "huracan_outcomes"
    PENDING = "huracan_pending_outcomes"
    SKILL = "huracan_skill"
    NET = "huracan_net_return"
    DRIFT_SHARE = "huracan_drift_share"
    EVIDENCE = "huracan_evidence"
    DECISIONS = "huracan_decisions"
    CHALLENGERS = "huracan_challengers"
    TRAININGS = "huracan_trainings"
    PROMOTIONS = "huracan_promotions"
    ALERTS = "huracan_alerts"
    LAST_TICK = "huracan_last_tick_seconds"
    LEASE_HELD = "huracan_lease_held"
    FROZEN = "huracan_frozen"
    UNANSWERED = "huracan_unanswered_bars"


_COUNTER, _GAUGE, _HISTOGRAM = "Counter", "Gauge", "Histogram"
_ALL: Mapping[Metric, tuple[str, str, tuple[str, ...]]] = {
    Metric.TICKS: (_COUNTER, "Turns that were finished, or failed.", ("result",)),
    Metric.STAGE_SECONDS: (_HISTOGRAM, "How long a stage of a turn took, in seconds.", ("stage",)),
    Metric.BARS: (_COUNTER, "Bars: taken, late or revised; and turns that refused candles.", ("symbol", "state")),
    Metric.PREDICTIONS: (_COUNTER, "Predictions of champions and challengers.", ("symbol", "role")),
    Metric.VETOES: (_COUNTER, "Predictions that should not be acted on, by reason.", ("kind",)),
    Metric.OUTCOMES: (_COUNTER, "Outcomes: known, same, revised, too_late, never.", ("state",)),
    Metric.PENDING: (_GAUGE, "Predictions whose outcome is not known yet.", ("role",)),
    Metric.SKILL: (_GAUGE, "Mean payoff a moment of who answers there, live, in the drift window.", ("symbol", "regime")),
    Metric.NET: (_GAUGE, "Mean net return a bar of who answers there, live, in the drift window.", ("symbol", "regime")),
    Metric.DRIFT_SHARE: (_GAUGE, "Share of features that drifted at the latest look.", ("symbol",)),
    Metric.EVIDENCE: (_COUNTER, "Evidence that was seen, by kind.", ("kind",)),
    Metric.DECISIONS: (_COUNTER, "Answers of the policy.", ("decision",)),
    Metric.CHALLENGERS: (_GAUGE, "Challengers by state.", ("state",)),
    Metric.TRAININGS: (_COUNTER, "Trainings of challengers: trained or failed.", ("result",)),
    Metric.PROMOTIONS: (_COUNTER, "Moves of champions: promoted, rolled_back, conflict, held_back.", ("kind",)),
    Metric.ALERTS: (_GAUGE, "Alerts that hold, by level.", ("level",)),
    Metric.LAST_TICK: (_GAUGE, "Time of the latest finished turn, seconds since 1970.", ()),
    Metric.LEASE_HELD: (_GAUGE, "1 while this process holds the lease.", ()),
    Metric.FROZEN: (_GAUGE, "1 while promotions are frozen.", ()),
    Metric.UNANSWERED: (_GAUGE, "Bars of which nobody said anything, up to the newest; 0 where somebody answers.", ()),
}
_MOST_PORT = 65_535
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)


class Metrics:
    """Counts, gauges and durations of one Mechanic, kept in a registry of its own.

    Without ``prometheus_client`` (extra ``metrics``) everything is taken and nothing is kept. A label that is None is an empty
    one, which Prometheus takes for none.

    Parameters
    ----------
    name : of the Mechanic; the label ``name`` of everything.

    Examples
    --------
    >>> metrics = Metrics("btc")
    >>> metrics.add(Metric.BARS, 60, symbol="BTC", state="taken")
    >>> with metrics.stage("predictions"):
    ...     metrics.set(Metric.PENDING, 7, role="champion")
    >>> [line for line in metrics.text().splitlines() if line.startswith("huracan_bars_total")]
    ['huracan_bars_total{name="btc",state="taken",symbol="BTC"} 60.0']
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._client: Any = _client()
        self._kept: dict[Metric, Any] = {}
        self._server: Any = None
        if self._client is not None:
            self._registry = self._client.CollectorRegistry()

    @property
    def kept(self) -> bool:
        """Whether anything is kept: ``prometheus_client`` is installed."""
        return self._client is not None

    def add(self, metric: Metric, amount: float = 1, **labels: str | None) -> None:
        """Add to a counter.

        Raises
        ------
        UnknownName : there is no such metric.
        DataError : it is no counter, has other labels, or the amount is negative or no number.
        """
        if not _number(metric, amount) >= 0:
            raise DataError(f"{metric} was to grow by {amount}; a counter never falls.")
        self._of(metric, _COUNTER, labels, lambda one: one.inc(amount))

    def set(self, metric: Metric, value: float, **labels: str | None) -> None:
        """Set a gauge. NaN takes it away until it is set again, since what is not known is shown as absent.

        Raises
        ------
        UnknownName : there is no such metric.
        DataError : it is no gauge, or has other labels; the value is no number.

        Examples
        --------
        >>> metrics = Metrics("btc")
        >>> metrics.set(Metric.DRIFT_SHARE, 0.25, symbol="BTC")
        >>> metrics.set(Metric.DRIFT_SHARE, float("nan"), symbol="BTC")
        >>> "0.25" in metrics.text(), "NaN" in metrics.text()
        (False, False)
        """
        number = _number(metric, value)
        if isnan(number):
            self._of(metric, _GAUGE, labels, None)
        else:
            self._of(metric, _GAUGE, labels, lambda one: one.set(number))

    def keep_only(self, metric: Metric, shown: Iterable[Mapping[str, str | None]] = ()) -> None:
        """Take a gauge away under all labels but these: what it was of is gone, and its last value says nothing any more.

        Raises
        ------
        UnknownName : there is no such metric. DataError : it is no gauge, or has other labels.

        Examples
        --------
        >>> metrics = Metrics("btc")
        >>> for symbol in ("BTC", "LUNA"):
        ...     metrics.set(Metric.DRIFT_SHARE, 0.25, symbol=symbol)
        >>> metrics.keep_only(Metric.DRIFT_SHARE, [{"symbol": "BTC"}])
        >>> "LUNA" in metrics.text()
        False
        """
        kept = {self._values(metric, _GAUGE, labels) for labels in shown}
        if metric not in self._kept:
            return
        [family] = self._kept[metric].collect()
        _, _, names = _ALL[metric]
        for sample in family.samples:
            values = tuple(sample.labels[label] for label in ("name", *names))
            if values not in kept:
                self._kept[metric].remove(*values)

    def ends(self) -> None:
        """Take all gauges but the lease's away: who works no more knows nothing of what is now. What was counted stays."""
        for metric, (is_a, _, _) in _ALL.items():
            if is_a == _GAUGE and metric != Metric.LEASE_HELD:
                self.keep_only(metric)

    @contextmanager
    def stage(self, stage: str) -> Iterator[None]:
        """Measure how long a stage takes, whether it succeeds or not."""
        started = time.perf_counter()
        try:
            yield
        finally:
            taken = time.perf_counter() - started
            self._of(Metric.STAGE_SECONDS, _HISTOGRAM, {"stage": stage}, lambda one: one.observe(taken))

    def text(self) -> str:
        """Everything as Prometheus reads it; empty where nothing is kept."""
        return "" if self._client is None else str(self._client.generate_latest(self._registry).decode())

    def serve(self, port: int, address: str = "127.0.0.1") -> int:
        """Answer Prometheus at ``http://address:port/metrics`` until :meth:`close`; the port, which is a free one for port 0.

        Raises
        ------
        DependencyMissing : ``prometheus_client`` is not installed.
        ConfigError : the port is none or taken, the address is not of this machine, or it is served already.
        """
        if self._client is None:
            raise DependencyMissing("metrics need prometheus_client; install it with: pip install 'huracan[metrics]'.")
        if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port <= _MOST_PORT:
            raise ConfigError(f"the port for metrics is {port!r}; a whole number from 0 to {_MOST_PORT} was expected.")
        if self._server is not None:
            raise ConfigError(
                f"metrics of '{self.name}' are served at port {self._server.server_port} already; close() was expected before."
            )
        try:
            self._server, _ = self._client.start_http_server(port, addr=address, registry=self._registry)
        except OSError as error:
            raise ConfigError(f"metrics cannot be served at {address}:{port}: {error.strerror or error}.") from error
        return int(self._server.server_port)

    def close(self) -> None:
        """Answer no longer."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def _of(self, metric: Metric, kind: str, labels: Mapping[str, str | None], act: Callable[[Any], None] | None) -> None:
        """Do something to what is kept under labels, or take it away."""
        values = self._values(metric, kind, labels)
        if self._client is None:
            return
        metric = Metric(metric)
        is_a, what, names = _ALL[metric]
        if metric not in self._kept:
            made = getattr(self._client, is_a)
            more = {"buckets": _SECONDS} if is_a == _HISTOGRAM else {}
            self._kept[metric] = made(str(metric), what, ("name", *names), registry=self._registry, **more)
        if act is not None:
            act(self._kept[metric].labels(*values))
        else:
            with suppress(KeyError):  # nothing was kept
                self._kept[metric].remove(*values)

    def _values(self, metric: Metric, kind: str, labels: Mapping[str, str | None]) -> tuple[str, ...]:
        """Of all labels, that of the Mechanic's name first; a metric that is used as another kind is refused."""
        if metric not in _ALL:
            raise nearest_name(str(metric), map(str, Metric), kind="metric")
        is_a, _, names = _ALL[Metric(metric)]
        if is_a != kind or set(labels) != set(names):
            given = ", ".join(sorted(labels)) or "none"
            expected = ", ".join(names) or "none"
            raise DataError(
                f"{metric} is a {is_a.lower()} with labels {expected}; it was used as a {kind.lower()} with {given}."
            )
        return (self.name, *("" if labels[name] is None else str(labels[name]) for name in names))


def _number(metric: Metric, value: float) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise DataError(f"{metric} was given {value!r}; a number was expected.") from None


def _client() -> Any:
    """The client's module, or ``None`` where it is not installed."""
    try:
        import prometheus_client
    except ImportError:
        return None
    return prometheus_client
