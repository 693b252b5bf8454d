"""The GAN as an estimator: fit on candles or returns, sample windows, draw price paths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from huracan.dataset import REGIME_ORDER
from huracan.errors import ModelError, NotEnoughData, nearest_name
from huracan.model_info import ModelInfo
from huracan.models.gan.card import GAN, GAN_DEFAULTS
from huracan.models.gan.return_windows import ReturnWindows
from huracan.models.torch_use import require_torch, torch_threads

if TYPE_CHECKING:
    import torch
    from torch import nn

    from huracan.models.gan.task import GeneratorAndCritic

__all__ = ["ReturnGAN"]

_FORMAT = 1
_FEWEST_WINDOWS = 200
_FEWEST_OF_A_REGIME = 50
_AT_ONCE = 4_096
_NAMES = tuple(str(regime) for regime in REGIME_ORDER)


class ReturnGAN(BaseEstimator):
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
        X : canonical candles; a ``TrainingSet`` with a column of returns and regimes; returns (n,) of one series in time
            order; or windows (n, window) that are scaled already.
        regimes : for candles a frame ``[symbol, ts, regime]`` (default: ``RegimeClassifier().classify(candles)``); for
            returns and windows a name or None each. A window's regime is that of the bar before it.

        Raises
        ------
        DataError : a return is not finite (place named), or regimes do not fit.
        NotEnoughData : fewer than 200 windows, or no unbroken run is long enough.
        ModelError : all windows are of one regime, or training exploded.
        """
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
        seed = int(self.random_state or 0)
        windows = self.windows(X, regimes)
        windows = windows.take(np.isin(windows.regime, self._take_regimes(windows)))
        position = {regime: i for i, regime in enumerate(self._codes)}
        condition = np.array([position[regime] for regime in windows.regime.tolist()], np.int64)
        shares = np.bincount(condition, minlength=len(position)) / len(condition)
        self.shares_ = dict(zip(self.regimes_, shares.tolist()))
        self.volatility_ = {name: float(np.median(windows.volatility[condition == i])) for i, name in enumerate(self.regimes_)}
        with torch_threads(int(self.n_jobs or 1)):
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
        return self

    def windows(self, X: Any, regimes: Any = None) -> ReturnWindows:
        """The windows :meth:`fit` would learn from, in the same units: what samples are to be compared with."""
        jitter = int(self.random_state or 0) if self.tick_jitter else None
        return ReturnWindows.of(
            X,
            regimes,
            length=self.window,
            reference=self.reference,
            conditional=self.conditional,
            jitter_seed=jitter,
        )

    def _check_parameters(self) -> None:
        for name, least in (("window", 8), ("reference", 2), ("max_steps", 1), ("critic_steps", 1)):
            if getattr(self, name) < least:
                raise ModelError(f"{name} is {getattr(self, name)!r}; at least {least} was expected.")
        for name in ("penalty", "critic_rate", "generator_rate"):
            if not 0.0 < getattr(self, name) < float("inf"):
                raise ModelError(f"{name} is {getattr(self, name)!r}; a number above 0 was expected.")

    def _take_regimes(self, windows: ReturnWindows) -> list[int]:
        if len(windows) < _FEWEST_WINDOWS:
            raise NotEnoughData(
                f"the GAN got {len(windows)} windows of {self.window} returns; at least {_FEWEST_WINDOWS} are needed."
            )
        if not self.conditional:
            self._codes, self.n_windows_ = [0], {"all": len(windows)}
            self.regimes_: tuple[str, ...] = ("all",)
            return self._codes
        counts = np.bincount(windows.regime, minlength=len(_NAMES))
        self.n_windows_ = {name: int(count) for name, count in zip(_NAMES, counts) if count}
        self._codes = [code for code, count in enumerate(counts) if count >= _FEWEST_OF_A_REGIME]
        self.regimes_ = tuple(_NAMES[code] for code in self._codes)
        if len(self._codes) < 2:
            told = ", ".join(f"{count} {name}" for name, count in self.n_windows_.items())
            raise ModelError(
                f"the GAN needs at least {_FEWEST_OF_A_REGIME} windows of each of two regimes and got {told}; give longer "
                "history, regimes= of your own, or conditional=False."
            )
        return self._codes

    def _network(self) -> GeneratorAndCritic:
        from huracan.models.gan.task import GeneratorAndCritic
        from huracan.models.networks.critic import ReturnCritic
        from huracan.models.networks.generator import ReturnGenerator

        n = len(self.regimes_)
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

        condition = self._conditions(n, regime, random_state)
        generator = torch.Generator().manual_seed(int(random_state))
        network, parts = self.network_.generator, []
        with torch.no_grad(), torch_threads(int(self.n_jobs or 1)):
            for codes in torch.from_numpy(condition).split(_AT_ONCE):
                parts.append(network(torch.randn(len(codes), network.noise_size, generator=generator), codes))
        return torch.cat(parts).numpy().astype(np.float64) if parts else np.empty((0, self.window))

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
        if volatility is None:
            volatility = self._usual_volatility(regime)
        for name, value in (("price", price), ("volatility", volatility)):
            if not 0.0 < value < float("inf"):
                raise ModelError(f"{name} is {value!r}; a finite number above 0 was expected.")
        if not 0.0 < severity <= 1.0:
            raise ModelError(f"severity is {severity!r}; a share above 0 and at most 1 was expected.")
        drawn = self.sample(int(np.ceil(n / severity)), regime, random_state=random_state)
        path = np.concatenate((np.zeros((len(drawn), 1)), np.cumsum(volatility * drawn, axis=1)), axis=1)
        if len(path) > n:
            drawdown = (path - np.maximum.accumulate(path, axis=1)).min(axis=1)
            path = path[np.argsort(drawdown, kind="stable")[:n]]
        return price * np.exp(path)

    def augment(
        self, windows: NDArray[np.floating], regimes: Sequence[str], *, share: float = 1.0, random_state: int = 0
    ) -> tuple[NDArray[np.float64], NDArray[Any], NDArray[np.bool_]]:
        """Real windows (n, window), and ``share * n`` generated ones of the same regimes after them.

        Returns
        -------
        windows, their regimes, and whether each is generated: validate and test on real ones only.
        """
        names = np.asarray(regimes, dtype=object)
        count = round(share * len(windows))
        chosen = names[np.random.default_rng(random_state).permutation(np.arange(count) % max(len(names), 1))]
        made = self.sample(count, chosen.tolist(), random_state=random_state)
        joined = np.concatenate((np.asarray(windows, np.float64), made))
        return joined, np.concatenate((names, chosen)), np.arange(len(joined)) >= len(windows)

    def _usual_volatility(self, regime: str | None) -> float:
        if regime is None:
            return float(np.median(list(self.volatility_.values())))
        return self.volatility_[self.regimes_[self._position(regime)]]

    def _conditions(self, n: int, regime: str | Sequence[str] | None, random_state: int) -> NDArray[np.int64]:
        if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 0:
            raise ModelError(f"n is {n!r}; a whole number of windows from 0 was expected.")
        if regime is None:
            shares = [self.shares_[name] for name in self.regimes_]
            return np.random.default_rng(random_state).choice(len(shares), n, p=shares).astype(np.int64)
        if isinstance(regime, str):
            return np.full(n, self._position(regime), np.int64)
        if len(regime) != n:
            raise ModelError(f"{len(regime)} regimes were given for {n} windows; one each was expected.")
        known = {name: self._position(name) for name in set(map(str, regime))}
        return np.array([known[str(name)] for name in regime], np.int64)

    def _position(self, regime: str) -> int:
        if str(regime) in REGIME_ORDER and str(regime) not in self.regimes_:
            raise ModelError(
                f"no training window began in '{regime}', so that this GAN cannot show one; it knows "
                f"{', '.join(self.regimes_)}. Fit it on a longer history."
            )
        if str(regime) not in self.regimes_:
            raise nearest_name(str(regime), self.regimes_, kind="regime of this GAN")
        return self.regimes_.index(str(regime))

    # --- what it is, and storage -----------------------------------------------------------------------------------

    def model_info(self) -> ModelInfo:
        """The card; for this model regimes are its condition."""
        params = {name: value for name, value in self.get_params().items() if name in GAN_DEFAULTS}
        return GAN.info("generation", hyperparameters=params)

    def to_parts(self) -> tuple[dict[str, Any], nn.Module]:
        """State (plain JSON values) and the networks."""
        check_is_fitted(self, "network_")
        learned = ("n_windows_", "shares_", "volatility_")
        state = {"name": "gan", "task": "generation", "format": _FORMAT, "params": self.get_params()}
        return {**state, "regimes": list(self.regimes_), **{name: getattr(self, name) for name in learned}}, self.network_

    @classmethod
    def from_parts(cls, state: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> Self:
        """Put together what :meth:`to_parts` took apart.

        Raises
        ------
        ModelError : the parts do not fit each other or this version.
        """
        require_torch()
        if state.get("format") != _FORMAT:
            raise ModelError(f"the stored GAN has format {state.get('format')!r}; format {_FORMAT} was expected.")
        try:
            model = cls(**state["params"])
            model.regimes_ = tuple(state["regimes"])
            model.n_windows_, model.shares_, model.volatility_ = state["n_windows_"], state["shares_"], state["volatility_"]
            model.network_ = model._network().eval()
            model.network_.load_state_dict(dict(tensors))
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise ModelError(f"the stored GAN's parts do not fit: {error}.") from error
        return model
