"""A challenger is trained once, of what was known, to the same bits; or there is a reason, and the champion stays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from huracan import ModelRegistry
from huracan.config import HuracanConfig
from huracan.errors import StorageError
from huracan.integration.feedback.before_use import require_usable
from huracan.integration.feedback.candle_window import FrameWindow
from huracan.integration.feedback.challengers import Order, Trained, train_challenger
from huracan.integration.feedback.content_hash import content_digests
from huracan.integration.feedback.feature_feed import FeatureFeed
from huracan.integration.feedback.predicting import predict
from huracan.market import simulate_market
from huracan.mlops.live_expectation import EXPECTATION, LiveExpectation
from huracan.registry.kept_facts import read_facts
from huracan.serving.served import load_served

HOUR = 3_600_000
NAME = "desk"
ID = "desk:*:*:1000"
SETTINGS: dict[str, Any] = {
    "features": {"recipe": "minimal"},
    "labels": {"horizon": 2},
    "regimes": {"lookback": 200},
    "profile": "tiny",
    "profiles": {"tiny": {"learners": {"ridge": {}}}},
    "mechanic": {"train": "60d", "learners": ["ridge"]},
    "seed": 5,
}


@pytest.fixture(scope="module")
def market() -> pl.DataFrame:
    return simulate_market(n_bars=2_000, n_symbols=2, seed=0, signal_strength=2.0).candles


@pytest.fixture(scope="module")
def end(market: pl.DataFrame) -> int:
    return int(market["ts"].dt.epoch("ms").max()) + HOUR  # type: ignore[operator]


@pytest.fixture
def desk(tmp_path: Path) -> Callable[[], ModelRegistry]:
    """Registries that know nothing of each other."""
    made: list[ModelRegistry] = []

    def another() -> ModelRegistry:
        folder = tmp_path / str(len(made))
        folder.mkdir()
        made.append(ModelRegistry(f"sqlite:///{folder}/huracan.db", artifacts=folder / "artifacts"))
        made[-1].database.upgrade()
        return made[-1]

    return another


def config(**changes: Any) -> HuracanConfig:
    merged = {**SETTINGS, **{k: {**SETTINGS.get(k, {}), **v} if isinstance(v, dict) else v for k, v in changes.items()}}
    return HuracanConfig.model_validate(merged)


def trained(registry: ModelRegistry, candles: pl.DataFrame, order: Order, **changes: Any) -> Trained:
    return train_challenger(registry, config(**changes), FrameWindow(candles, HOUR), order)


def with_champion(registry: ModelRegistry, market: pl.DataFrame, until: int) -> int:
    """Version 1, a first champion that learned from what was known until then."""
    first = trained(registry, market, Order("desk:*:*:0", NAME, "first", until))
    assert first.version == 1 and first.crowned
    return 1


def test_a_first_champion_is_the_best_learner_whose_skill_is_shown(
    desk: Callable[[], ModelRegistry], market: pl.DataFrame, end: int
) -> None:
    registry = desk()
    made = trained(registry, market, Order(ID, NAME, "first", end))
    version = registry.get(NAME, version=1)
    assert made.version == 1 and made.crowned and version.kind == "challenger" and version.run_id == ID
    assert made.reason.startswith("ridge, the best of ridge, of 2") and "skill out of fold" in made.reason
    served = load_served(registry, version, alias=None, generation=0)
    require_usable(served, bar=HOUR, labels=config().labels)
    promised = LiveExpectation.from_dict(made.expected)
    assert 0 < promised.expected < promised.skill.mean == pytest.approx(version.metrics["skill"]) and promised.net is not None
    assert set(made.expected["mean_label"]) == set(market["symbol"].unique())
    assert registry.aliases(NAME) == {}


def test_where_there_is_no_edge_the_first_champion_is_the_constant(desk: Callable[[], ModelRegistry], end: int) -> None:
    noise = simulate_market(n_bars=1_500, n_symbols=1, seed=1, signal_strength=0.0).candles
    registry = desk()
    made = trained(registry, noise, Order(ID, NAME, "first", int(noise["ts"].dt.epoch("ms").max()) + HOUR))  # type: ignore[operator]
    assert made.version == 1 and not made.crowned and registry.get(NAME, version=1).kind == "baseline"
    assert "none of ridge is shown to have skill (the best, ridge:" in made.reason


def test_a_challenger_has_its_parents_settings_and_learns_from_what_was_known(
    desk: Callable[[], ModelRegistry], market: pl.DataFrame, end: int
) -> None:
    registry = desk()
    until = end - 200 * HOUR
    parent = with_champion(registry, market, until - 400 * HOUR)
    made = trained(registry, market, Order(ID, NAME, "full", until, parent=parent), labels={"horizon": 7})
    version = registry.get(NAME, version=2)
    assert made.version == 2 and version.parent_id == "desk/1" and "learned anew with the settings of version 1" in made.reason
    assert version.extras["config"]["labels"]["horizon"] == 2  # its parent's, not the Mechanic's of today
    assert version.info.hyperparameters == registry.get(NAME, version=1).info.hyperparameters
    assert made.rows_until is not None and until - 2 * HOUR <= made.rows_until <= until - HOUR
    assert made.rows_from is not None and made.rows_from >= until - 60 * 24 * HOUR


def test_what_came_after_changes_no_bit_and_another_registry_gets_the_same(
    desk: Callable[[], ModelRegistry], market: pl.DataFrame, end: int
) -> None:
    until, digests, extras = end - 200 * HOUR, [], []
    for candles in (market, market.filter(pl.col("ts").dt.epoch("ms") < until)):
        registry = desk()
        parent = with_champion(registry, market, until - 400 * HOUR)
        trained(registry, candles, Order(ID, NAME, "full", until, parent=parent))
        version = registry.get(NAME, version=2)
        digests.append(version.digest)
        extras.append({key: value for key, value in version.extras.items() if key != "beside"})
    assert digests[0] == digests[1] and extras[0] == extras[1]


def test_it_is_trained_once(desk: Callable[[], ModelRegistry], market: pl.DataFrame, end: int) -> None:
    """As where the process was killed between the registration and the row that tells of it."""
    registry = desk()
    order = Order(ID, NAME, "first", end)
    made = trained(registry, market, order)
    nothing = market.clear()
    assert trained(registry, nothing, order) == made
    assert len(registry.versions(NAME)) == 1


def test_after_a_change_few_rows_keep_the_policy_of_the_parent(
    desk: Callable[[], ModelRegistry], market: pl.DataFrame, end: int
) -> None:
    registry = desk()
    parent = with_champion(registry, market, end - 450 * HOUR)
    made = trained(registry, market, Order(ID, NAME, "full", end, parent=parent, train_from=end - 400 * HOUR))
    assert made.version == 2 and made.rows_from == end - 400 * HOUR
    assert "its position policy is kept, for 79" in made.reason
    before, after = (read_facts(registry.get(NAME, version=version).extras) for version in (1, 2))
    assert before.policy is not None and after.policy is not None and before.outlook is not None and after.outlook is not None
    ratio = after.outlook.spread / before.outlook.spread
    assert after.policy.spread == pytest.approx(before.policy.spread * ratio)
    assert (after.policy.mode, after.policy.threshold, after.policy.scale) == (
        before.policy.mode,
        before.policy.threshold,
        before.policy.scale,
    )


@pytest.mark.parametrize("bars", [160, 600, 1_500])
def test_scores_are_as_wide_live_as_their_scale_says(
    desk: Callable[[], ModelRegistry], market: pl.DataFrame, end: int, bars: int
) -> None:
    """However much few rows shrink it: else it would be taken for better, or worse, than another of equal skill. Within what
    480 scores of two symbols in other volatility may differ."""
    registry = desk()
    until = end - 240 * HOUR
    parent = with_champion(registry, market, until)
    trained(registry, market, Order(ID, NAME, "full", until, parent=parent, train_from=until - bars * HOUR))
    served = load_served(registry, registry.get(NAME, version=2), alias=None, generation=0)
    window = FrameWindow(market, HOUR)
    said = predict(served, FeatureFeed(window, window.symbols, chunk=720 * HOUR), window.symbols, until, end, version_id=2)
    assert served.outlook is not None
    assert np.nanstd(said.score) == pytest.approx(served.outlook.spread, rel=0.25)


def test_what_cannot_be_trained_leaves_a_reason_and_nothing_else(
    desk: Callable[[], ModelRegistry], market: pl.DataFrame, end: int
) -> None:
    registry = desk()
    parent = with_champion(registry, market, end)
    none = trained(registry, market, Order(ID, NAME, "full", end + 5_000 * HOUR, parent=parent, train_from=end + 4_000 * HOUR))
    few = trained(registry, market, Order(ID, NAME, "full", end, parent=parent, train_from=end - 12 * HOUR))
    price = 1.01 ** pl.int_range(pl.len()).over("symbol").mod(1_000)
    up = market.with_columns(open=price, high=price * 1.02, low=price * 0.99, close=price * 1.01)
    one_way = trained(registry, up, Order(ID, NAME, "full", end, parent=parent, train_from=end - 200 * HOUR))
    unknown = trained(registry, market, Order(ID, NAME, "full", end, parent=9))
    assert [made.version for made in (none, few, one_way, unknown)] == [None] * 4
    assert "there are no candles from" in none.reason and "9" in unknown.reason
    assert "labels are above zero; a market that moves both ways was expected" in one_way.reason
    assert all(made.reason.startswith("it could not be trained: ") for made in (none, few, one_way, unknown))
    assert len(registry.versions(NAME)) == 1


def test_a_parent_that_cannot_be_loaded_gives_way_to_the_learners(
    desk: Callable[[], ModelRegistry], market: pl.DataFrame, end: int, tmp_path: Path
) -> None:
    registry = desk()
    parent = with_champion(registry, market, end - 300 * HOUR)
    for file in (tmp_path / "0" / "artifacts").rglob("*"):
        if file.is_file():
            file.chmod(0o644)
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    made = trained(registry, market, Order(ID, NAME, "full", end, parent=parent))
    assert made.version == 2 and "ridge, the best of ridge, since the champion before cannot be loaded" in made.reason


def test_the_constant_prediction_is_followed_by_a_learner(
    desk: Callable[[], ModelRegistry], market: pl.DataFrame, end: int
) -> None:
    registry = desk()
    noise = simulate_market(n_bars=1_500, n_symbols=1, seed=1, signal_strength=0.0).candles
    trained(registry, noise, Order("desk:*:*:0", NAME, "first", int(noise["ts"].dt.epoch("ms").max()) + HOUR))  # type: ignore[operator]
    symbols = tuple(market["symbol"].unique().sort())
    made = trained(registry, market, Order(ID, NAME, "full", end, parent=1, symbols=symbols))
    assert made.version == 2 and made.crowned and "since the champion before is the constant prediction" in made.reason


def test_a_database_that_is_gone_decides_nothing(
    desk: Callable[[], ModelRegistry], market: pl.DataFrame, end: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = desk()

    def gone(*args: Any, **kwargs: Any) -> Any:
        raise StorageError("the database is gone.")

    monkeypatch.setattr(ModelRegistry, "register", gone)
    with pytest.raises(StorageError, match="gone"):
        trained(registry, market, Order(ID, NAME, "first", end))


def test_a_network_goes_on_from_its_parameters(desk: Callable[[], ModelRegistry], market: pl.DataFrame, end: int) -> None:
    pytest.importorskip("torch")
    network = {"params": {"max_epochs": 2, "hidden": 4}}
    settings = {"profiles": {"tiny": {"learners": {"mlp": network}}}, "mechanic": {"learners": ["mlp"]}}
    registry = desk()
    before, symbols = end - 300 * HOUR, tuple(market["symbol"].unique().sort())
    noise = simulate_market(n_bars=1_500, n_symbols=1, seed=1, signal_strength=0.0).candles
    constant = trained(registry, noise, Order("desk:*:*:0", NAME, "first", int(noise["ts"].dt.epoch("ms")[-1]) + HOUR)).version
    order = Order("desk:*:*:1", NAME, "full", before, parent=constant, symbols=symbols)
    parent = trained(registry, market, order, **settings).version
    warm = trained(registry, market, Order(ID, NAME, "warm", end, parent=parent), **settings)
    cold = trained(registry, market, Order("desk:*:*:2", NAME, "full", end, parent=parent), **settings)
    assert "mlp went on from the parameters of version" in warm.reason and "learned anew" in cold.reason
    states = [registry.load(NAME, version=version).estimator_.state_dict() for version in (parent, warm.version, cold.version)]
    before_it, went_on, anew = (np.concatenate([value.numpy().ravel() for value in state.values()]) for state in states)
    # two epochs from the same seed lead about as far from the beginning twice; two more lead further
    begins = np.linalg.norm(anew - before_it)
    assert 0 < begins < np.linalg.norm(went_on - before_it)
    assert registry.load(NAME, version=warm.version).get_params()["warm_start"] is False


def test_a_network_trained_again_is_the_same_by_every_bit(
    desk: Callable[[], ModelRegistry], market: pl.DataFrame, end: int
) -> None:
    """Files, card and graph: a life that was killed and lived again has the hash of one that was not."""
    pytest.importorskip("torch")
    network = {"params": {"max_epochs": 1, "hidden": 4}}
    settings = {"profiles": {"tiny": {"learners": {"mlp": network}}}, "mechanic": {"learners": ["mlp"]}}
    two = [desk(), desk()]
    for registry in two:
        made = trained(registry, market, Order(ID, NAME, "first", end), **settings)
        assert registry.get(NAME, version=made.version).learner == "mlp"
    one, other = (content_digests(registry.database) for registry in two)
    assert one == other
    assert two[0].get(NAME, version=1).digest == two[1].get(NAME, version=1).digest


def test_other_learners_learn_anew_where_a_warm_start_is_asked_for(
    desk: Callable[[], ModelRegistry], market: pl.DataFrame, end: int
) -> None:
    registry = desk()
    parent = with_champion(registry, market, end - 300 * HOUR)
    made = trained(registry, market, Order(ID, NAME, "warm", end, parent=parent))
    assert "learned anew with the settings of version 1, since it cannot go on from its parameters" in made.reason


def test_expectations_are_kept_by_runs_too(champion) -> None:
    version = champion.registry.get("champion.simulated", alias="champion")
    promised = LiveExpectation.from_dict(version.extras[EXPECTATION])
    assert promised.skill.mean == pytest.approx(version.metrics["skill"]) and promised.net is not None
