"""Metrics: as Prometheus reads them, nothing without its client, the same mistakes refused in both cases."""

from __future__ import annotations

import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from huracan.errors import ConfigError, DataError, DependencyMissing, UnknownName
from huracan.mlops import Metric, Metrics
from huracan.mlops.metrics import _ALL


@pytest.fixture(params=["with the client", "without"])
def metrics(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Metrics:
    if request.param == "without":
        monkeypatch.setitem(sys.modules, "prometheus_client", None)
    else:
        pytest.importorskip("prometheus_client")
    return Metrics("btc")


def used(metrics: Metrics) -> Metrics:
    """Everything there is, used once."""
    for metric, (kind, _, names) in _ALL.items():
        labels = dict.fromkeys(names, "x")
        if kind == "Counter":
            metrics.add(metric, 2, **labels)
        elif kind == "Gauge":
            metrics.set(metric, 0.25, **labels)
        else:
            with metrics.stage("x"):
                pass
    return metrics


def test_everything_can_be_used_and_is_shown_where_it_is_kept(metrics: Metrics) -> None:
    text = used(metrics).text()
    assert bool(text) == metrics.kept
    if metrics.kept:
        parser = pytest.importorskip("prometheus_client.parser")
        families = {family.name: family for family in parser.text_string_to_metric_families(text)}
        shown = {name for name in families if not name.endswith("_created")}
        assert shown == {str(metric) for metric in Metric} and set(_ALL) == set(Metric)
        assert all(sample.labels["name"] == "btc" for family in families.values() for sample in family.samples)
        assert families["huracan_decisions"].samples[0].value == 2 and families["huracan_skill"].samples[0].value == 0.25


@pytest.mark.parametrize(
    ("use", "said"),
    [
        (lambda one: one.add(Metric.BARS, symbol="BTC"), "huracan_bars is a counter with labels symbol, state; .* with symbol"),
        (lambda one: one.set(Metric.TICKS, 1, result="done"), "huracan_ticks is a counter .* used as a gauge"),
        (lambda one: one.add(Metric.FROZEN), "huracan_frozen is a gauge with labels none; it was used as a counter with none"),
        (lambda one: one.add(Metric.TICKS, -1, result="done"), "grow by -1; a counter never falls"),
        (lambda one: one.add(Metric.TICKS, float("nan"), result="done"), "grow by nan; a counter never falls"),
        (lambda one: one.set(Metric.FROZEN, "yes"), "huracan_frozen was given 'yes'; a number was expected"),
    ],
)
def test_what_is_used_wrongly_is_a_sentence_in_both_cases(metrics: Metrics, use: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        use(metrics)


def fail(metrics: Metrics) -> None:
    with metrics.stage("outcomes"):
        raise ZeroDivisionError


def test_a_stage_that_fails_is_measured_and_fails(metrics: Metrics) -> None:
    with pytest.raises(ZeroDivisionError):
        fail(metrics)
    assert ('huracan_stage_seconds_count{name="btc",stage="outcomes"} 1.0' in metrics.text()) == metrics.kept


def test_prometheus_is_answered(metrics: Metrics) -> None:
    if not metrics.kept:
        with pytest.raises(DependencyMissing, match=r"pip install 'huracan\[metrics\]'"):
            metrics.serve(0)
        return
    metrics.add(Metric.TICKS, result="done")
    port = metrics.serve(0)
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            assert b'huracan_ticks_total{name="btc",result="done"} 1.0' in answer.read()
        with pytest.raises(ConfigError, match=f"metrics cannot be served at 127.0.0.1:{port}: Address already in use"):
            Metrics("eth").serve(port)
    finally:
        metrics.close()
        metrics.close()


def test_two_mechanics_of_one_process_do_not_mix() -> None:
    pytest.importorskip("prometheus_client")
    first, second = Metrics("btc"), Metrics("btc")
    first.add(Metric.TICKS, result="done")
    assert "huracan_ticks" in first.text() and "huracan_ticks" not in second.text()


def test_the_client_is_loaded_only_by_who_measures() -> None:
    import subprocess

    code = "import huracan.mlops, sys; huracan.mlops.RetrainPolicy; assert 'prometheus_client' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("port", [99_999, -1, True, "9108", None])
def test_a_port_that_is_none_is_refused(port: Any) -> None:
    with pytest.raises(ConfigError, match=r"the port for metrics is .*; a whole number from 0 to 65535 was expected"):
        Metrics("btc").serve(port)


def test_served_twice_is_refused_and_the_first_goes_on() -> None:
    metrics = Metrics("btc")
    port = metrics.serve(0)
    try:
        with pytest.raises(ConfigError, match=f"metrics of 'btc' are served at port {port} already"):
            metrics.serve(0)
    finally:
        metrics.close()
    assert metrics.serve(0) > 0
    metrics.close()


def test_a_metric_that_there_is_not_names_the_nearest() -> None:
    metrics = Metrics("btc")
    with pytest.raises(UnknownName, match="huracan_bars"):
        metrics.add("huracan_bar")  # type: ignore[arg-type]
    with pytest.raises(UnknownName, match="bogus"):
        metrics.set("bogus", 1.0)  # type: ignore[arg-type]


def test_what_is_not_known_is_absent_and_a_label_of_nobody_is_empty() -> None:
    """A series that reads NaN is one that ``absent()`` in Prometheus does not find; an empty label is no label there."""
    pytest.importorskip("prometheus_client")
    metrics = Metrics("btc")
    metrics.set(Metric.SKILL, float("nan"), symbol="A", regime="calm")
    metrics.set(Metric.FROZEN, float("nan"))
    assert "NaN" not in metrics.text()
    for symbol in ("A", None):
        metrics.set(Metric.SKILL, 0.5, symbol=symbol, regime="calm")
    assert 'symbol="A"' in metrics.text() and 'symbol=""' in metrics.text() and "None" not in metrics.text()
    metrics.set(Metric.SKILL, float("nan"), symbol="A", regime="calm")
    assert 'symbol="A"' not in metrics.text() and 'symbol=""' in metrics.text()


def test_what_is_gone_is_shown_no_more_and_what_was_counted_stays(metrics: Metrics) -> None:
    used(metrics)
    for symbol in ("A", "B"):
        metrics.set(Metric.SKILL, 0.5, symbol=symbol, regime="calm")
    metrics.keep_only(Metric.SKILL, [{"symbol": "B", "regime": "calm"}, {"symbol": "C", "regime": "calm"}])
    shown = [line for line in metrics.text().splitlines() if line.startswith("huracan_skill{")]
    assert shown == (['huracan_skill{name="btc",regime="calm",symbol="B"} 0.5'] if metrics.kept else [])
    metrics.ends()
    left = {line.split("{")[0] for line in metrics.text().splitlines() if not line.startswith("#")}
    gauges = {str(metric) for metric, (kind, *_) in _ALL.items() if kind == "Gauge"}
    assert left & gauges == ({"huracan_lease_held"} if metrics.kept else set())
    assert not metrics.kept or {"huracan_ticks_total", "huracan_stage_seconds_count"} <= left
    with pytest.raises(DataError, match="huracan_ticks is a counter"):
        metrics.keep_only(Metric.TICKS, [{"result": "x"}])


def test_the_page_lists_every_metric_with_its_kind_and_labels() -> None:
    page = (Path(__file__).parents[2] / "docs" / "feedback.md").read_text()
    listed = [[cell.strip() for cell in line.split("|")[1:4]] for line in page.splitlines() if line.startswith("| `huracan_")]
    expected = [
        [f"`{metric}`", kind.lower(), ", ".join(f"`{name}`" for name in names)] for metric, (kind, _, names) in _ALL.items()
    ]
    assert listed == expected
