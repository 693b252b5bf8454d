"""The GAN: what windows it learns from, that its condition matters, that seeds fix it, and that storage loses nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from sklearn.base import clone

torch = pytest.importorskip("torch")

from huracan.catalogue import build_model  # noqa: E402
from huracan.dataset import TrainingSet  # noqa: E402
from huracan.errors import CandleError, DataError, ModelError, NotEnoughData, UnknownName  # noqa: E402
from huracan.market import simulate_market  # noqa: E402
from huracan.models.gan.estimator import ReturnGAN  # noqa: E402
from huracan.models.gan.return_windows import ReturnWindows, price_step, regime_codes  # noqa: E402
from huracan.models.gan.start import start_generator, window_kurtosis  # noqa: E402
from huracan.models.gan.task import GeneratorAndCritic, WassersteinGame  # noqa: E402
from huracan.models.networks.critic import ReturnCritic  # noqa: E402
from huracan.models.networks.generator import ReturnGenerator  # noqa: E402
from huracan.registry.formats import dump_model, load_model  # noqa: E402
from huracan.training import Batch, Phase  # noqa: E402

TINY: dict[str, Any] = {"window": 16, "reference": 32, "hidden": 8, "critic_hidden": 8, "max_steps": 24, "batch_size": 32}
SIZE = {"ranging": 0.6, "volatile": 1.8}


def windows_by_regime(n: int = 1_200, seed: int = 0) -> tuple[NDArray[np.float64], list[str]]:
    """Scaled windows whose size depends on their regime."""
    rng = np.random.default_rng(seed)
    regimes = rng.choice(list(SIZE), n).tolist()
    return rng.standard_t(5, (n, 16)) * np.array([SIZE[name] for name in regimes])[:, None], regimes


@pytest.fixture(scope="module")
def model() -> ReturnGAN:
    return build_model("gan", **TINY).fit(*windows_by_regime())


# --- windows --------------------------------------------------------------------------------------------------------


def test_windows_never_cross_a_gap_or_a_symbol_and_are_measured_by_the_past_before_them() -> None:
    candles = simulate_market(n_bars=300, n_symbols=2, seed=1).candles
    hole = candles["ts"][150]
    cut = candles.filter(pl.col("ts") != hole)
    regimes = cut.select("symbol", "ts", regime=pl.lit("ranging"))
    found = ReturnWindows.of(cut, regimes, length=16, reference=32)
    at = cut.with_row_index()
    for last in found.last.tolist():
        rows = at[last - 16 - 32 : last + 1]  # its bars, the reference before them, and the bar the first return begins at
        assert rows["symbol"].n_unique() == 1
        assert rows["ts"].diff().drop_nulls().n_unique() == 1
    close = cut["close"].to_numpy()
    first = int(found.last[5]) - 15
    expected = np.sqrt(np.pi / 2) * np.abs(np.diff(np.log(close[first - 33 : first]))).mean()
    assert found.volatility[5] == pytest.approx(expected, rel=1e-5)
    unbroken = 2 * (150 - 48) + 2 * (149 - 48)  # bars of each run less the first, its reference and its window
    assert len(found) == unbroken


def test_a_window_carries_the_regime_of_the_bar_before_it() -> None:
    returns = 0.01 * np.random.default_rng(2).standard_normal(400)
    regimes = ["ranging"] * 200 + ["volatile"] * 200
    found = ReturnWindows.of(returns, regimes, length=16, reference=32)
    before = found.last - 16
    np.testing.assert_array_equal(found.regime, regime_codes(regimes, 400)[before])


def test_windows_of_a_prefix_are_those_of_the_whole() -> None:
    candles = simulate_market(n_bars=400, n_symbols=1, seed=3).candles
    regimes = candles.select("symbol", "ts", regime=pl.lit("trending"))
    whole, prefix = (ReturnWindows.of(part, regimes, length=16, reference=32) for part in (candles, candles.head(250)))
    np.testing.assert_array_equal(prefix.scaled(), whole.scaled()[: len(prefix)])


def test_the_price_step_is_found_and_jitter_stays_within_it() -> None:
    close = np.round(100.0 + np.random.default_rng(4).standard_normal(500).cumsum(), 2)
    assert price_step(close) == pytest.approx(0.01)
    assert price_step(np.ones(5)) == 0.0


# --- what is learned ------------------------------------------------------------------------------------------------


def test_an_untrained_generator_is_the_stochastic_volatility_process_that_the_windows_ask_for() -> None:
    """Level by regime and kurtosis are those of the windows: t(5) has log size lower than Gauss's, and heavier tails."""
    windows, names = windows_by_regime(4_000)
    code = np.array([list(SIZE).index(name) for name in names])
    generator = ReturnGenerator(16, 2)
    start_generator(generator, windows, code, seed=0)
    noise = torch.randn(8_000, generator.noise_size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        made = generator(noise, torch.arange(8_000) % 2).numpy()
    for number in (0, 1):
        size = np.log(np.abs(made[number::2]) + 0.01).mean()
        assert size == pytest.approx(np.log(np.abs(windows[code == number]) + 0.01).mean(), abs=0.05)
    assert window_kurtosis(made) == pytest.approx(window_kurtosis(windows), abs=0.25)


def test_generated_bars_do_not_depend_on_later_noise() -> None:
    generator = ReturnGenerator(16, 2)
    torch.nn.init.normal_(generator.head.weight)
    noise = torch.randn(4, generator.noise_size)
    length = (generator.noise_size - 1 - generator.latent) // 6
    changed = noise.clone()
    changed[:, :-5].view(4, 6, length)[:, :, -6:] += 1.0  # the last six bars of every path
    regime = torch.zeros(4, dtype=torch.long)
    with torch.no_grad():
        one, two = generator(noise, regime), generator(changed, regime)
    np.testing.assert_allclose(one[:, :10], two[:, :10], atol=1e-6)
    assert (one[:, 10:] - two[:, 10:]).abs().min() > 0


def test_a_window_is_made_of_its_own_noise_and_its_own_past_shocks() -> None:
    generator = ReturnGenerator(16, 2)
    torch.nn.init.normal_(generator.head.weight)
    noise, regime = torch.randn(4, generator.noise_size), torch.zeros(4, dtype=torch.long)
    changed = noise.clone()
    shocks = changed[0, :-5].view(6, -1)[-2]
    shocks[-12] += 1.0  # five of the sixteen bars are made before this one
    with torch.no_grad():
        one, two = generator(noise, regime), generator(changed, regime)
        alone = torch.cat([generator(noise[i : i + 1], regime[:1]) for i in range(4)])
    np.testing.assert_allclose(alone, one, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(one[1:], two[1:])
    np.testing.assert_array_equal(one[0, :4], two[0, :4])
    assert (one[0, 5:] - two[0, 5:]).abs().min() > 0  # directly at its own bar, by the convolution at all later ones


def test_bursts_keep_the_memory_of_volatility_and_give_its_exponential_a_power_law() -> None:
    """Autoregressions stay of variance 1 and half-life 2; w + b * (w**2 - 1) has skewness (6b + 8b**3) / (1 + 2b**2)**1.5."""
    generator = ReturnGenerator(64, 1)
    torch.nn.init.constant_(generator.burst, 0.5)
    noise = torch.randn(4_000, 4, generator.memory.shape[1], generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        path = generator._components(noise)[:, 0].numpy().astype(np.float64)
    assert path.var() == pytest.approx(1.0, abs=0.05)
    assert (path[:, 2:] * path[:, :-2]).mean() == pytest.approx(0.5, abs=0.04)
    rho, skewness = 0.5**0.5, (3.0 + 1.0) / 1.5**1.5
    expected = skewness * (1.0 - rho**2) ** 1.5 / (1.0 - rho**3)
    assert (path[:, 40:] ** 3).mean() == pytest.approx(expected, rel=0.1)


def test_the_penalty_is_the_one_of_the_paper() -> None:
    """A critic that is w.y has slope |w| everywhere, so its penalty is (|w| - 1)**2 for every window."""

    class Linear(ReturnCritic):
        def forward(self, y: torch.Tensor, regime: torch.Tensor) -> torch.Tensor:
            return 3.0 * y.sum(dim=1)

    pair = GeneratorAndCritic(ReturnGenerator(16, 1), Linear(16, 1))
    x = torch.randn(6, 16, 2)
    x[:, :, 1] = 1.0
    batch = Batch(x, None, None, torch.zeros(6, dtype=torch.long))
    draw = lambda: torch.Generator().manual_seed(0)  # noqa: E731
    without, with_penalty = (WassersteinGame(penalty=weight)._critic(pair, batch, draw()) for weight in (0.0, 10.0))
    slope = 3.0 * 16**0.5
    torch.testing.assert_close(with_penalty - without, torch.full((6,), 10.0 * (slope - 1.0) ** 2))


def test_five_critic_steps_come_before_each_of_the_generator() -> None:
    phases = WassersteinGame().phases
    assert [(phase.name, phase.steps) for phase in phases] == [("critic", 5), ("generator", 1)]
    pair = GeneratorAndCritic(ReturnGenerator(16, 2), ReturnCritic(16, 2))
    mine = [{id(p) for p in phase.parameters(pair)} for phase in phases]
    assert not mine[0] & mine[1] and len(mine[0] | mine[1]) == len(list(pair.parameters()))


def test_each_phase_moves_its_own_side_of_the_game() -> None:
    """Critic steps tell real from made better; a generator step against that critic makes the same noise look more real."""
    torch.manual_seed(0)
    pair = GeneratorAndCritic(ReturnGenerator(16, 1), ReturnCritic(16, 1, hidden=8))
    x = torch.ones(64, 16, 2)
    x[:, :, 0] = 2.0 * torch.randn(64, 1) * torch.ones(16)  # every bar of a window is the same: nothing the start can make
    batch = Batch(x, None, None, torch.zeros(64, dtype=torch.long))
    noise = torch.randn(64, pair.generator.noise_size)

    def scores() -> tuple[float, float]:
        with torch.no_grad():
            made = pair.critic(pair.critic.soften(pair.generator(noise, batch.condition)), batch.condition).mean()
            real = pair.critic(pair.critic.soften(x[:, :, 0]), batch.condition).mean()
        return float(real), float(made)

    critic, generator = WassersteinGame().phases
    before = scores()
    _steps(critic, pair, batch, 30)
    after = scores()
    assert after[0] - after[1] > before[0] - before[1] + 0.5
    _steps(generator, pair, batch, 5)
    assert scores()[0] == after[0]  # the critic stood still
    assert scores()[1] > after[1]


def _steps(phase: Phase, pair: GeneratorAndCritic, batch: Batch, count: int) -> None:
    optimizer = torch.optim.AdamW(list(phase.parameters(pair)), lr=2e-3, betas=phase.betas)
    for step in range(count):
        optimizer.zero_grad()
        phase.losses(pair, batch, torch.Generator().manual_seed(step)).mean().backward()
        optimizer.step()


def test_the_condition_orders_volatility(model: ReturnGAN) -> None:
    size = {name: np.abs(model.sample(2_000, name, random_state=2)).mean() for name in model.regimes_}
    assert size["volatile"] / size["ranging"] == pytest.approx(SIZE["volatile"] / SIZE["ranging"], rel=0.15)
    mixed = np.abs(model.sample(4_000, random_state=3)).mean()
    assert size["ranging"] < mixed < size["volatile"]


# --- sampling -------------------------------------------------------------------------------------------------------


def test_samples_are_fixed_by_their_seed_and_by_that_of_training(model: ReturnGAN) -> None:
    np.testing.assert_array_equal(model.sample(20, "ranging", random_state=1), model.sample(20, "ranging", random_state=1))
    assert not np.array_equal(model.sample(20, "ranging", random_state=1), model.sample(20, "ranging", random_state=2))
    again = ReturnGAN(**TINY).fit(*windows_by_regime())
    np.testing.assert_array_equal(again.sample(20, random_state=4), model.sample(20, random_state=4))
    other = ReturnGAN(**TINY, random_state=1).fit(*windows_by_regime())
    assert not np.array_equal(other.sample(20, random_state=4), model.sample(20, random_state=4))


def test_paths_begin_at_the_price_and_scale_with_volatility(model: ReturnGAN) -> None:
    calm, wild = (model.stress_scenarios(50, "volatile", price=250.0, volatility=v, random_state=5) for v in (0.001, 0.004))
    assert calm.shape == (50, 17) and (calm > 0).all()
    assert (calm[:, 0] == 250.0).all()
    np.testing.assert_allclose(np.log(wild / 250.0), 4.0 * np.log(calm / 250.0), rtol=1e-9, atol=1e-12)


def test_severity_keeps_the_deepest_drawdowns(model: ReturnGAN) -> None:
    def drawdown(paths: NDArray[np.float64]) -> NDArray[np.float64]:
        return (1.0 - paths / np.maximum.accumulate(paths, axis=1)).max(axis=1)

    every = drawdown(model.stress_scenarios(1_000, "volatile", price=1.0, volatility=0.01, random_state=6))
    worst = drawdown(model.stress_scenarios(50, "volatile", price=1.0, volatility=0.01, severity=0.05, random_state=6))
    np.testing.assert_allclose(np.sort(worst), np.sort(every)[-50:])


def test_augmented_data_says_what_is_generated_and_keeps_the_mix_of_regimes(model: ReturnGAN) -> None:
    windows, names = windows_by_regime(400, seed=7)
    joined, regimes, generated = model.augment(windows, names, share=2.0)
    assert len(joined) == 1_200 and generated.sum() == 800
    np.testing.assert_array_equal(joined[~generated], windows)
    assert (regimes[generated] == "volatile").mean() == pytest.approx(np.mean(np.array(names) == "volatile"))


def test_a_stored_model_draws_the_same_windows(model: ReturnGAN) -> None:
    again = load_model(dump_model(model))
    np.testing.assert_array_equal(again.sample(30, random_state=8), model.sample(30, random_state=8))
    assert dump_model(again) == dump_model(model)
    assert again.volatility_ == model.volatility_


def test_its_card_calls_regimes_a_condition_and_scikit_learn_can_clone_it(model: ReturnGAN) -> None:
    info = model.model_info()
    assert info.task == "generation" and info.hyperparameters["window"] == 16
    assert all("condition" in reason for reason in info.market_regimes.values()) and len(info.market_regimes) == 4
    assert clone(model).get_params() == model.get_params()


def test_a_training_set_brings_returns_and_regimes() -> None:
    rng = np.random.default_rng(9)
    rows = TrainingSet.from_arrays(0.01 * rng.standard_normal((900, 2)), np.zeros(900))
    rows = replace(rows, feature_names=("rsi_14", "log_return_1"), regime_code=np.repeat([0, 1, -1], 300).astype(np.int8))
    fitted = ReturnGAN(**{**TINY, "max_steps": 6}).fit(rows)
    assert set(fitted.regimes_) == {"trending", "ranging"}
    for names in (("a", "b"), ("log_return_24", "return_12"), ("log_return_scaled_24", "log_return_scaled_12_240")):
        with pytest.raises(DataError, match="no column of one bar's returns"):
            ReturnGAN(**TINY).fit(replace(rows, feature_names=names))


# --- bad input ------------------------------------------------------------------------------------------------------


def test_what_cannot_be_learned_from_is_refused_in_one_sentence() -> None:
    windows, names = windows_by_regime()
    broken = windows.copy()
    broken[7, 3] = np.nan
    returns = windows.reshape(-1)
    with pytest.raises(DataError, match="column 'bar 3' holds NaN in row 7"):
        ReturnGAN(**TINY).fit(broken, names)
    with pytest.raises(ModelError, match="two regimes and got 1200 ranging"):
        ReturnGAN(**TINY).fit(windows, ["ranging"] * 1_200)
    with pytest.raises(ModelError, match="needs regimes="):
        ReturnGAN(**TINY).fit(windows)
    with pytest.raises(UnknownName, match="unknown regime 'volatil'; did you mean 'volatile'"):
        ReturnGAN(**TINY).fit(windows, ["volatil"] * 1_200)
    with pytest.raises(NotEnoughData, match="got 100 windows"):
        ReturnGAN(**TINY).fit(windows[:100], names[:100])
    with pytest.raises(NotEnoughData, match="longest unbroken run has 40"):
        ReturnGAN(**TINY).fit(returns[:40], ["ranging"] * 40)
    with pytest.raises(DataError, match="windows of 16 returns; the model's window is 32"):
        ReturnGAN(**{**TINY, "window": 32}).fit(windows, names)
    with pytest.raises(DataError, match="regimes has 3 rows where X has 1200"):
        ReturnGAN(**TINY).fit(windows, names[:3])
    with pytest.raises(ModelError, match="window is 4; at least 16"):
        ReturnGAN(window=4).fit(windows, names)


def test_candles_with_a_bad_price_are_refused_with_symbol_and_time() -> None:
    candles = simulate_market(n_bars=300, n_symbols=1, seed=1).candles
    broken = candles.with_columns(close=pl.when(pl.int_range(pl.len()) == 9).then(float("nan")).otherwise("close"))
    with pytest.raises(CandleError, match=r"close of .* at 20.* is nan"):
        ReturnGAN(**TINY).fit(broken)
    with pytest.raises(DataError, match="does not come after the row before it"):
        ReturnGAN(**TINY, conditional=False).fit(candles.reverse())


def test_what_cannot_be_sampled_is_refused_in_one_sentence(model: ReturnGAN) -> None:
    with pytest.raises(UnknownName, match="regime of this GAN 'volatille'; did you mean 'volatile'"):
        model.sample(3, "volatille")
    with pytest.raises(ModelError, match=r"no training window began in 'illiquid'.*; it knows ranging, volatile"):
        model.stress_scenarios(3, "illiquid", price=1.0)
    with pytest.raises(ModelError, match="n is -1"):
        model.sample(-1)
    with pytest.raises(ModelError, match="price is 0"):
        model.stress_scenarios(3, "ranging", price=0.0)
    with pytest.raises(ModelError, match="severity is 0"):
        model.stress_scenarios(3, "ranging", price=1.0, severity=0.0)
    with pytest.raises(ModelError, match="2 regimes were given for 3 windows"):
        model.sample(3, ["ranging", "volatile"])
