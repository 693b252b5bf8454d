"""The GAN as an estimator: fit on candles or returns, sample windows, draw price paths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from huracan.errors import DataError, ModelError, NotEnoughData
from huracan.models.gan.card import GAN, GAN_DEFAULTS
from huracan.models.gan.conditions import Conditions
from huracan.models.gan.price_paths import price_paths
from huracan.models.gan.return_windows import ReturnWindows, as_windows
from huracan.models.torch_use import require_torch
from huracan.models.unsupervised_network import UnsupervisedNetwork

if TYPE_CHECKING:
    from huracan.models.gan.task import GeneratorAndCritic

__all__ = ["ReturnGAN"]

_FEWEST_WINDOWS = 200
_AT_ONCE = 4_096


class ReturnGAN(UnsupervisedNetwork):
    """Windows of returns that a market might have shown, conditional on its regime (WGAN-GP).

    A window is in units of the volatility known before it, and its condition is the regime known before it, so that samples
    of one fit serve a coin of any price and volatility. For this model regimes are no recommendation but its input.

    Parameters
    ----------
    window : bars of a window. reference : bars before it whose mean absolute return is its unit.
    conditional : learn by regime; without, all windows are one kind.
    tick_jitter : move closes of candles within their price step before learning, since generated returns are not discrete.
    hidden, latent, critic_hidden : sizes of the networks.
    max_steps, batch_size, critic_steps, penalty, critic_rate, generator_rate, averaging : of the training.
    device : ``"cpu"``, ``"cuda"`` or ``"auto"``. random_state, n_jobs : seed and threads.

    Attributes
    ----------
    regimes_ : names of the regimes that can be sampled. n_windows_ : regime -> training windows; those of a regime with fewer
        than 50 were left out. volatility_ : regime -> median volatility of one bar, a fraction, over its training windows.
    network_ : generator and critic. training_ : how the training went.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> returns = 0.01 * rng.standard_normal(3_000)
    >>> regimes = np.repeat(["ranging", "volatile"], 1_500)
    >>> model = ReturnGAN(window=16, reference=64, max_steps=12).fit(returns, regimes)
    >>> model.sample(4, regime="volatile", random_state=1).shape
    (4, 16)
    >>> paths = model.stress_scenarios(3, "volatile", volatility=0.02, price=100.0)
    >>> paths.shape, paths[:, 0].tolist()
    ((3, 17), [100.0, 100.0, 100.0])
    """

    card = GAN
    format = 2

    def __init__(
        self,
        *,
        window: int = GAN_DEFAULTS["window"],
        reference: int = GAN_DEFAULTS["reference"],
        conditional: bool = GAN_DEFAULTS["conditional"],
        tick_jitter: bool = GAN_DEFAULTS["tick_jitter"],
        hidden: int = GAN_DEFAULTS["hidden"],
        critic_hidden: int = GAN_DEFAULTS["critic_hidden"],
        latent: int = GAN_DEFAULTS["latent"],
        max_steps: int = GAN_DEFAULTS["max_steps"],
        batch_size: int = GAN_DEFAULTS["batch_size"],
        critic_steps: int = GAN_DEFAULTS["critic_steps"],
        penalty: float = GAN_DEFAULTS["penalty"],
        critic_rate: float = GAN_DEFAULTS["critic_rate"],
        generator_rate: float = GAN_DEFAULTS["generator_rate"],
        averaging: float = GAN_DEFAULTS["averaging"],
        device: str = GAN_DEFAULTS["device"],
        random_state: int = 0,
        n_jobs: int = 1,
    ) -> None:
        self.window = window
        self.reference = reference
        self.conditional = conditional
        self.tick_jitter = tick_jitter
        self.hidden = hidden
        self.critic_hidden = critic_hidden
        self.latent = latent
        self.max_steps = max_steps
        self.batch_size = batch_size
        self.critic_steps = critic_steps
        self.penalty = penalty
        self.critic_rate = critic_rate
        self.generator_rate = generator_rate
        self.averaging = averaging
        self.device = device
        self.random_state = random_state
        self.n_jobs = n_jobs

    # --- fitting ---------------------------------------------------------------------------------------------------

    def fit(self, X: Any, regimes: Any = None) -> Self:
        """Learn from the windows of ``X``.

        Parameters
        ----------
        X : canonical candles; a ``TrainingSet`` with regimes and a column of log or simple returns of one bar, not divided by
            a volatility; log returns (n,) of one series in time order; or windows (n, window) that are scaled already.
        regimes : for candles a frame ``[symbol, ts, regime]`` (default: ``RegimeClassifier().classify(candles)``); for
            returns and windows a name or None each. A window's regime is that of the bar before it.

        Raises
        ------
        DataError : a return is not finite (place named), or regimes do not fit.
        NotEnoughData : fewer than 200 windows, or no unbroken run is long enough.
        ModelError : all windows are of one regime, or training exploded.
        """
        return self._fit(X, regimes)

    def _learn(self, X: Any, regimes: Any) -> None:
        require_torch()
        import torch

        from huracan.models.gan.start import start_generator
        from huracan.models.gan.task import WassersteinGame
        from huracan.training.loop import TrainingLoop
        from huracan.training.randomness import built_with_seed
        from huracan.training.runtime import Runtime
        from huracan.training.settings import LoopSettings
        from huracan.training.windows import WindowTable

        self._check_parameters()
        seed = self._seed
        windows = self.windows(X, regimes)
        if len(windows) < _FEWEST_WINDOWS:
            raise NotEnoughData(
                f"the GAN got {len(windows)} windows of {self.window} returns; at least {_FEWEST_WINDOWS} are needed."
            )
        self._set_conditions(Conditions.of(windows.regime, conditional=self.conditional))
        windows = windows.take(np.isin(windows.regime, self.conditions_.codes))
        condition = np.searchsorted(self.conditions_.codes, windows.regime)
        self.volatility_ = {name: float(np.median(windows.volatility[condition == i])) for i, name in enumerate(self.regimes_)}
        with self._threads():
            with built_with_seed(seed):
                network = self._network()
            start_generator(network.generator, windows.scaled(), condition, seed=seed)
            table = WindowTable(
                torch.from_numpy(windows.table),
                torch.from_numpy(windows.last.astype(np.int32)),
                self.window,
                condition=torch.from_numpy(condition),
            )
            settings = LoopSettings(
                max_epochs=self.max_steps,
                max_steps=self.max_steps,
                batch_size=self.batch_size,
                learning_rate=self.generator_rate,
                weight_decay=0.0,
                schedule="constant",
                warmup_share=0.02,
                clip_norm=None,
                patience=None,
                averaging=self.averaging,
                seed=seed,
            )
            game = WassersteinGame(self.critic_steps, self.penalty, self.critic_rate, self.generator_rate)
            self.training_ = TrainingLoop(network, game, table, settings=settings, runtime=Runtime(self.device)).run()
        self.network_ = network.to("cpu").eval()

    def windows(self, X: Any, regimes: Any = None) -> ReturnWindows:
        """The windows :meth:`fit` would learn from, in the same units: what samples are to be compared with."""
        jitter = self._seed if self.tick_jitter else None
        return ReturnWindows.of(
            X,
            regimes,
            length=self.window,
            reference=self.reference,
            conditional=self.conditional,
            jitter_seed=jitter,
        )

    def _check_parameters(self) -> None:
        for name, least in (("window", 16), ("reference", 2), ("max_steps", 1), ("critic_steps", 1)):
            self._require(name, getattr(self, name) >= least, f"at least {least} was")
        for name in ("penalty", "critic_rate", "generator_rate"):
            self._require(name, 0.0 < getattr(self, name) < float("inf"), "a number above 0 was")

    def _set_conditions(self, conditions: Conditions) -> None:
        self.conditions_ = conditions
        self.regimes_, self.n_windows_ = conditions.names, conditions.counts

    def _network(self) -> GeneratorAndCritic:
        from huracan.models.gan.task import GeneratorAndCritic
        from huracan.models.networks.critic import ReturnCritic
        from huracan.models.networks.generator import ReturnGenerator

        n = len(self.conditions_.names)
        return GeneratorAndCritic(
            ReturnGenerator(self.window, n, hidden=self.hidden, latent=self.latent),
            ReturnCritic(self.window, n, hidden=self.critic_hidden),
        )

    # --- sampling --------------------------------------------------------------------------------------------------

    def sample(self, n: int, regime: str | Sequence[str] | None = None, *, random_state: int = 0) -> NDArray[np.float64]:
        """Draw windows of returns in units of the volatility before them, (n, window).

        Parameters
        ----------
        regime : known before the window: a name, n names, or None for the mixture of the training windows.
        random_state : same seed, same windows.

        Raises
        ------
        UnknownName : no such regime, or none that was trained; the nearest is offered.
        """
        check_is_fitted(self, "network_")
        import torch

        condition = self.conditions_.wanted(n, regime, random_state)
        generator = torch.Generator().manual_seed(int(random_state))
        network, parts = self.network_.generator, []
        if not n:
            return np.empty((0, self.window))
        with torch.no_grad(), self._threads():
            for codes in torch.from_numpy(condition).split(_AT_ONCE):
                parts.append(network(torch.randn(len(codes), network.noise_size, generator=generator), codes))
        return torch.cat(parts).numpy().astype(np.float64)

    def stress_scenarios(
        self,
        n: int,
        regime: str | None = None,
        *,
        price: float,
        volatility: float | None = None,
        severity: float = 1.0,
        random_state: int = 0,
    ) -> NDArray[np.float64]:
        """Draw price paths from ``price`` on, (n, window + 1).

        Parameters
        ----------
        regime : that the market is in; None for the training mixture.
        price : the last close. volatility : standard deviation of one bar's return now, a fraction, measured as in training
            (mean absolute return of the last ``reference`` bars times 1.25); None is the training median of the regime.
        severity : share of the drawn paths that is kept, those with the deepest drawdown: .05 gives the worst in twenty.

        Raises
        ------
        ModelError : price, volatility or severity is out of bounds. UnknownName : as :meth:`sample`.
        """
        check_is_fitted(self, "network_")
        if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 0:
            raise ModelError(f"n is {n!r}; a whole number of paths from 0 was expected.")
        if regime is not None and not isinstance(regime, str):
            raise ModelError(f"regime is {regime!r}; one name for all paths, or None for the training mixture, was expected.")
        if volatility is None:
            known = self.volatility_
            name = None if regime is None else self.regimes_[self.conditions_.position(regime)]
            volatility = float(np.median(list(known.values()))) if name is None else known[name]
        for name, value in (("price", price), ("volatility", volatility)):
            if not isinstance(value, int | float | np.number) or not 0.0 < value < float("inf"):
                raise ModelError(f"{name} is {value!r}; a finite number above 0 was expected.")
        if not isinstance(severity, int | float | np.number) or not 0.0 < severity <= 1.0:
            raise ModelError(f"severity is {severity!r}; a share above 0 and at most 1 was expected.")
        drawn = self.sample(int(np.ceil(n / severity)), regime, random_state=random_state)
        return price_paths(drawn, price=price, volatility=volatility, keep=n)

    def augment(
        self,
        windows: ReturnWindows | NDArray[np.floating],
        regimes: Sequence[Any] | NDArray[Any] | None = None,
        *,
        share: float = 1.0,
        random_state: int = 0,
    ) -> tuple[NDArray[np.float64], NDArray[Any], NDArray[np.bool_]]:
        """Real windows (n, window), and ``share * n`` generated ones of the same regimes after them.

        Parameters
        ----------
        windows : what :meth:`windows` gives, or scaled windows (n, window).
        regimes : of each window, by name or by its place in ``REGIME_ORDER``; None takes those that ``windows`` knows, and
            leaves out windows of regimes that the GAN has not learned. A GAN that is not conditional needs none.
        share : generated windows for each real one.

        Returns
        -------
        windows, names of their regimes, and whether each is generated: validate and test on real ones only.

        Raises
        ------
        DataError : windows or regimes do not fit each other or the model. ModelError : ``share`` is out of bounds.
        UnknownName : as :meth:`sample`.
        """
        check_is_fitted(self, "network_")
        if isinstance(windows, ReturnWindows):
            known = windows.take(np.isin(windows.regime, self.conditions_.codes)) if regimes is None else windows
            real, regimes = known.scaled(), known.regime if regimes is None else regimes
        else:
            real = as_windows(windows)
        if real.shape[1:] != (self.window,):
            raise DataError(f"windows have shape {real.shape}; (n, {self.window}) was expected.")
        names = self.conditions_.named(regimes, len(real))
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0.0 <= share < float("inf"):
            raise ModelError(f"share is {share!r}; a finite number from 0 was expected.")
        count = round(share * len(real))
        chosen = names[np.random.default_rng(random_state).permutation(np.arange(count) % max(len(names), 1))]
        made = self.sample(count, chosen.tolist(), random_state=random_state)
        joined = np.concatenate((real, made))
        return joined, np.concatenate((names, chosen)), np.arange(len(joined)) >= len(real)

    # --- storage ---------------------------------------------------------------------------------------------------

    def _learned(self) -> dict[str, Any]:
        known = self.conditions_
        learned = {"regimes": list(known.names), "windows": known.counts, "codes": list(known.codes)}
        return {**learned, "volatility": self.volatility_}

    def _take_in(self, state: Mapping[str, Any]) -> None:
        self._set_conditions(Conditions(tuple(state["regimes"]), state["windows"], tuple(state["codes"])))
        self.volatility_ = state["volatility"]
        self.network_ = self._network().eval()
