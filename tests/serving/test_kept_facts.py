"""What is kept beside a model for its signals is read and tried when it is loaded, so nothing of it can fail at a candle."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

from huracan import ModelRegistry
from huracan.errors import RegistryError
from huracan.registry.kept_facts import read_facts
from huracan.serving import Predictor
from huracan.serving import served as served_module

NAME = "champion.simulated"
HOUR = 3_600_000
Change = Callable[[dict[str, Any]], None]


def put(*path: str, value: Any) -> Change:
    def change(extras: dict[str, Any]) -> None:
        place = extras
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (put("levels", value=[0.1]), r"'levels' .*it is \[0.1\]"),
        (put("levels", value={"SIM01-USD": "high"}), "'levels' .*'SIM01-USD' is 'high'"),
        (put("levels", value={"all": float("nan")}), "'levels' .*'all' is nan"),
        (put("scale", value=None), "'scale' .*it is None"),
        (put("scale", "spread", value=-1.0), "'scale' .*'spread' is -1.0"),
        (put("scale", value={"center": 0.0, "spread": 1.0, "slope": 0.1}), "'scale' .*'intercept' is missing"),
        (put("scale", "slope", value=1e6), "'scale' .*math range error"),
        (put("forecast", "slope", value="up"), "'forecast' .*'slope' is 'up'"),
        (put("policy", "mode", value="bold"), "'policy' .*mode is 'bold'"),
        (put("policy", "threshold", value="0.1"), "'policy' "),
        (put("policy", "horizon", value=5.0), "'policy' .*'horizon' is 5.0"),
        (put("policy", "horizon", value=10**9), "'policy' .*'horizon' is 1000000000"),
        (put("policy", "leverage", value=2.0), "'policy' .*leverage"),
        (put("policy", "allow_short", value="no"), "'policy' .*'allow_short' is 'no'"),
        (put("intervals", value={"state": {}}), "'intervals' .*'scale' is missing"),
        (put("intervals", "scale", value="price"), "'intervals' .*'scale' is 'price'"),
        (put("intervals", "state", "recent", value=[0.1, float("nan")]), "'intervals' .*'recent score 1' is nan"),
        (put("intervals", "state", "n_hits", value="many"), "'intervals' .*'n_hits' is 'many'"),
        (put("intervals", "state", "miss_level", value=None), "'intervals' .*'miss_level' is None"),
        (put("config", "regimes", "trend_window", value=1), "'config' .*trend_window is 1"),
        (put("config", "labels", "volatility_span", value=1), "'config' .*'volatility_span' is 1"),
        (put("config", "labels", "horizon", value=0), "'config' .*'horizon' of its labels is 0"),
        (put("recipe", value="{}"), "'recipe' "),
        (put("recipe", value=7), "'recipe' "),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(registry: ModelRegistry, change: Change, said: str) -> None:
    kept = json.loads(json.dumps(dict(registry.get(NAME).extras)))
    change(kept)
    with pytest.raises(RegistryError, match=f"its {said}"):
        read_facts(kept, HOUR)


def test_what_a_run_kept_is_read(registry: ModelRegistry) -> None:
    facts = read_facts(registry.get(NAME).extras, HOUR)
    assert None not in (facts.recipe, facts.outlook, facts.policy, facts.interval, facts.classifier, facts.labels)


def test_a_version_that_would_fail_at_a_candle_is_not_taken_over_and_signals_say_so(
    registry: ModelRegistry,
    request: pytest.FixtureRequest,
    history: pl.DataFrame,
    later: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As a version of an earlier registry, which looked at less, may be."""
    name, first = request.node.name, registry.get(NAME)
    for state in ("whole", "damaged", "whole"):
        extras = {**first.extras, "is": state}
        kept = {"provenance": first.provenance, "attachments": registry.attachments(NAME, first.version)}
        registry.register(registry.load(NAME), first.info, name=name, extras=extras, **kept)

    def damaged(extras: Any, bar: int | None) -> Any:
        return read_facts({**extras, "levels": {"all": None}} if extras.get("is") == "damaged" else extras, bar)

    monkeypatch.setattr(served_module, "read_facts", damaged)
    registry.promote(name, 1, reason="first")
    predictor = Predictor.from_registry(registry, name, history=history, refresh=None, max_age=None, stale_after=None)
    registry.promote(name, 2, reason="malformed")
    assert not predictor.refresh()
    signal = predictor.update(later[0])
    assert signal.model_id == f"{name}/1"
    assert signal.notes == predictor.notes
    assert "its 'levels' cannot be served" in signal.notes[-1]
    assert predictor.predict(history.tail(2))["notes"].to_list() == [list(predictor.notes)] * 2
    registry.promote(name, 3, reason="mended")
    assert predictor.refresh()
    assert predictor.update(later[2]).notes == ()


def test_columns_that_the_model_does_not_answer_are_refused(registry: ModelRegistry) -> None:
    first = registry.get(NAME)
    signature = first.info.signature
    assert signature is not None
    info = first.info.model_copy(
        update={"signature": signature.model_copy(update={"columns": ("a", "b"), "low": (), "high": ()})}
    )
    registry.register(registry.load(NAME), info, name="two columns")
    with pytest.raises(RegistryError, match="cannot answer a row of the 2 columns of its signature"):
        Predictor.from_registry(registry, "two columns", version=1)
