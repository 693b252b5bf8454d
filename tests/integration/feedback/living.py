"""A copy of the small run's home, and a Mechanic that lives through what came after, bar by bar."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path
from typing import Any, Protocol

import polars as pl
import sqlalchemy as sa

from huracan import Mechanic, ModelRegistry, UnifiedMLPipeline
from huracan.config import HuracanConfig
from huracan.integration.feedback.candle_intake import CandleFeed
from huracan.integration.feedback.challenger_log import Challenger, ChallengerState, add_challenger
from huracan.integration.feedback.clock import SimulatedClock
from huracan.integration.feedback.feeds import FrameFeed

HOUR = 3_600_000
NAME = "champion.simulated"


class SmallRun(Protocol):
    """What the fixture ``champion`` gives."""

    config: HuracanConfig
    candles: pl.DataFrame

    @property
    def end_of_training(self) -> int: ...


def alive(
    run: SmallRun, home: Path, *, source: CandleFeed | None = None, channels: Any = (), **sections: dict[str, Any]
) -> Mechanic:
    """A Mechanic over a copy of the run's home, its clock at the end of training."""
    if not home.exists():
        shutil.copytree(run.config.home, home)
    told = run.config.model_dump(mode="json") | {"home": str(home)}
    told["retrain"] |= {"max_age": None}
    told["mechanic"] |= {"every": "30d"}  # however far apart turns are, they come in time
    for section, values in sections.items():
        told[section] = told[section] | values
    pipeline = UnifiedMLPipeline(told)
    feed = FrameFeed(run.candles) if source is None else source
    return Mechanic(pipeline, name=NAME, source=feed, clock=SimulatedClock(run.end_of_training), channels=channels)


def turn(mechanic: Mechanic, run: SmallRun, bars: int) -> Any:
    """The turn so many bars after the end of training."""
    assert isinstance(mechanic.clock, SimulatedClock)
    mechanic.clock.set(run.end_of_training + bars * HOUR)
    return mechanic.tick()


def rows(mechanic: Mechanic, query: str, **values: Any) -> list[tuple[Any, ...]]:
    """Rows of a query on the Mechanic's database."""
    with mechanic.works.database.reading() as connection:
        return [tuple(row) for row in connection.execute(sa.text(query), values)]


def by_hand(mechanic: Mechanic, version: int, run: SmallRun, **values: Any) -> Challenger:
    """A challenger in shadow, as if it had been trained at the end of training."""
    settings: dict[str, Any] = {
        "state": ChallengerState.SHADOW,
        "requested": run.end_of_training,
        "reason": "asked for by hand.",
        "parent_version": 1,
        "shadow_from": run.end_of_training,
        "version": version,
        "version_id": mechanic.works.bench.id_of(version),
    }
    made = Challenger("by hand", NAME, "", "", "full", **(settings | values))
    mechanic.works.database.run(lambda connection: add_challenger(connection, made))
    return made


def opposite(registry: ModelRegistry, name: str, version: int) -> int:
    """A version that says the opposite of one that is a linear model."""
    return _again(registry, name, version, -1.0)


def same_again(registry: ModelRegistry, name: str, version: int) -> int:
    """A version that says the same as another."""
    return _again(registry, name, version, 1.0)


def lifted(registry: ModelRegistry, name: str, version: int) -> int:
    """A version whose scores are higher, by more than they vary, than those that are kept with it as its own."""
    return _again(registry, name, version, 1.0, by=0.5)


def _again(registry: ModelRegistry, name: str, version: int, times: float, by: float = 0.0) -> int:
    found, model = registry.get(name, version=version), registry.load(name, version=version)
    turned = copy.deepcopy(model)
    turned.estimator_.coef_ = times * model.estimator_.coef_
    levels = {symbol: times * level - by for symbol, level in found.extras["levels"].items()}
    return registry.register(
        turned,
        found.info,
        name=name,
        metrics=found.metrics,
        provenance=found.provenance,
        extras={**found.extras, "levels": levels},
        attachments=registry.attachments(name, version),
    )
