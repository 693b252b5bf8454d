"""The autoencoder as a scikit-learn transformer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import TransformerMixin
from sklearn.utils.validation import check_is_fitted

from huracan.baselines.inputs import InputScaler, other_columns, spread_rows
from huracan.errors import DataError, NotEnoughData
from huracan.models.autoencoder.card import AUTOENCODER, AUTOENCODER_DEFAULTS
from huracan.models.autoencoder.rows import BarRows
from huracan.models.torch_use import require_torch
from huracan.models.unsupervised_network import UnsupervisedNetwork

if TYPE_CHECKING:
    from torch import nn

    from huracan.models.networks.autoencoder import WindowAutoencoder
    from huracan.training.windows import WindowTable

__all__ = ["Autoencoder"]

_FEWEST_WINDOWS = 50
_CALIBRATED = 50_000
_AT_ONCE = 1_024


class Autoencoder(TransformerMixin, UnsupervisedNetwork):
    """Latent features of the last bars, and how unlike usual windows they are.

    Rows are answered for one by one: row t speaks of the ``window`` bars that end at t, of its own symbol and segment, and of
    nothing after t. Rows with less history get NaN.

    Read as ``X``: canonical candles (turned into features of :func:`~huracan.models.autoencoder.rows.candle_recipe`); a
    feature frame ``[symbol, ts, segment, ...]``, sorted, whose nulls break windows; a
    :class:`~huracan.dataset.TrainingSet`; rows (n, d) of one series in time order; or windows (n, bars, d).

    Parameters
    ----------
    window : bars of a window. latent : features that :meth:`transform` gives. hidden, cross_hidden : widths of the network.
    reference : bars that candles are compared with (their usual volatility, range and volume).
    views : groups of column numbers that are forecast from all others; None takes price and volume for candles, else every
        column by itself (neighbours together, where they are more than 16).
    learning_clip : standard deviations at which values are cut for learning and encoding; residuals are judged uncut.
    max_train_windows : windows of a fit, drawn at random over the whole span. validation_share : of the windows, the latest
        and purged, that choose the epoch.
    max_epochs, batch_size, learning_rate, weight_decay, patience : of the training loop.
    device : ``"cpu"``, ``"cuda"`` or ``"auto"``. random_state, n_jobs : seed and threads.

    Attributes
    ----------
    network_ : the fitted network. scaler_ : of its inputs. calibration_ : of the score. feature_names_ : columns.
    check_names_ : what is checked. training_ : how the training went. n_train_windows_, n_validation_windows_ : windows used.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> model = Autoencoder(window=8, latent=2, max_epochs=2).fit(rng.standard_normal((2_000, 3)))
    >>> fresh = rng.standard_normal((100, 3)); fresh[60, 1] = 12.0
    >>> model.transform(fresh).shape, int(np.nanargmax(model.anomaly_score(fresh))) in range(60, 68)
    ((100, 2), True)
    """

    card = AUTOENCODER

    def __init__(
        self,
        *,
        window: int = AUTOENCODER_DEFAULTS["window"],
        latent: int = AUTOENCODER_DEFAULTS["latent"],
        hidden: int = AUTOENCODER_DEFAULTS["hidden"],
        cross_hidden: int = AUTOENCODER_DEFAULTS["cross_hidden"],
        reference: int = AUTOENCODER_DEFAULTS["reference"],
        views: Sequence[Sequence[int]] | None = AUTOENCODER_DEFAULTS["views"],
        learning_clip: float = AUTOENCODER_DEFAULTS["learning_clip"],
        max_train_windows: int | None = AUTOENCODER_DEFAULTS["max_train_windows"],
        validation_share: float = AUTOENCODER_DEFAULTS["validation_share"],
        max_epochs: int = AUTOENCODER_DEFAULTS["max_epochs"],
        batch_size: int = AUTOENCODER_DEFAULTS["batch_size"],
        learning_rate: float = AUTOENCODER_DEFAULTS["learning_rate"],
        weight_decay: float = AUTOENCODER_DEFAULTS["weight_decay"],
        patience: int | None = AUTOENCODER_DEFAULTS["patience"],
        device: str = AUTOENCODER_DEFAULTS["device"],
        random_state: int = 0,
        n_jobs: int = 1,
    ) -> None:
        self.window = window
        self.latent = latent
        self.hidden = hidden
        self.cross_hidden = cross_hidden
        self.reference = reference
        self.views = views
        self.learning_clip = learning_clip
        self.max_train_windows = max_train_windows
        self.validation_share = validation_share
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.patience = patience
        self.device = device
        self.random_state = random_state
        self.n_jobs = n_jobs

    # --- fitting ---------------------------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn what windows are usually like; ``y`` is ignored.

        Raises
        ------
        DataError : a value is not finite (column, row and time are named).
        NotEnoughData : fewer than 50 whole windows.
        ModelError : a parameter is out of bounds.
        """
        return self._fit(X)

    def _learn(self, X: Any) -> None:
        require_torch()
        import torch

        from huracan.models.autoencoder.checks import TailCalibration, check_names
        from huracan.models.autoencoder.task import Reconstruction
        from huracan.training.loop import TrainingLoop
        from huracan.training.randomness import built_with_seed
        from huracan.training.runtime import Runtime
        from huracan.training.settings import LoopSettings
        from huracan.training.windows import WindowTable

        self._check_parameters()
        rows = BarRows.read(X, reference=self.reference)
        usable = np.flatnonzero(rows.complete(self.window))
        if len(usable) < _FEWEST_WINDOWS:
            longest = int(rows.before.max(initial=-1)) + 1
            raise NotEnoughData(
                f"the autoencoder got {len(usable)} windows of {self.window} unbroken bars; at least {_FEWEST_WINDOWS} "
                f"are needed, and the longest unbroken run has {longest} bars. Shorten window, or give more history."
            )
        train, late = rows.validation_tail(
            usable,
            share=self.validation_share,
            window=self.window,
            fewest=_FEWEST_WINDOWS // 2,
            most=self.max_train_windows,
            seed=self._seed,
        )
        self.feature_names_, self.n_features_in_ = rows.names, rows.values.shape[1]
        self.check_names_ = check_names(rows.names)
        self.views_ = rows.checked_views(self.views)
        self.scaler_ = InputScaler.fit(rows.values, clip=math.inf, rows=rows.numbers(train))
        with built_with_seed(self._seed):
            network = self._network()
        values, ends = rows.table(np.concatenate((train, late)), self.window, self.scaler_)
        windows = WindowTable(torch.from_numpy(values), torch.from_numpy(ends), self.window)
        settings = LoopSettings(
            max_epochs=self.max_epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            patience=self.patience,
            seed=self._seed,
        )
        with self._threads():
            loop = TrainingLoop(
                network,
                Reconstruction(self.views_, self.learning_clip),
                replace(windows, last=windows.last[: len(train)]),
                replace(windows, last=windows.last[len(train) :]) if len(late) else None,
                settings=settings,
                runtime=Runtime(self.device),
            )
            self.training_ = loop.run()
            self.network_ = network.to("cpu").eval()
            self.n_train_windows_, self.n_validation_windows_ = len(train), len(late)
            sample = spread_rows(len(train), _CALIBRATED)
            judged = ends[: len(train)] if sample is None else ends[sample]
            self.calibration_ = TailCalibration(len(self.check_names_))
            self.calibration_.learn(self._checks(replace(windows, last=torch.from_numpy(judged))))

    def _check_parameters(self) -> None:
        most = self.max_train_windows
        self._require("window", self.window >= 2, "at least 2 bars were")
        self._require("learning_clip", self.learning_clip > 0, "a number above 0 was")
        self._require("validation_share", 0.0 <= self.validation_share < 0.9, "a share from 0 to below 0.9 was")
        self._require("max_train_windows", most is None or most >= _FEWEST_WINDOWS, f"at least {_FEWEST_WINDOWS} were")

    def _network(self) -> WindowAutoencoder:
        from huracan.models.networks.autoencoder import WindowAutoencoder

        return WindowAutoencoder(
            self.n_features_in_, self.window, latent=self.latent, hidden=self.hidden, cross_hidden=self.cross_hidden
        )

    # --- answering -------------------------------------------------------------------------------------------------

    def transform(self, X: Any) -> NDArray[np.float64]:
        """Latent features of the window that ends in each row, (n, latent); NaN where there is no whole window."""
        usable, windows = self._read(X)
        import torch

        found = np.full((len(usable), self.latent), np.nan)
        with torch.no_grad(), self._threads():
            parts = [
                self.network_.encode(batch.x.clamp(-self.learning_clip, self.learning_clip))
                for batch in windows.in_order(_AT_ONCE)
            ]
        if parts:
            found[usable] = torch.cat(parts).numpy()
        return found

    def anomaly_score(self, X: Any) -> NDArray[np.float64]:
        """How unlike usual windows the window ending in each row is, (n,): the surprise of its worst check.

        In nats: minus the logarithm of the share of training windows in which that check is as bad. Larger is stranger.
        """
        return self.anomaly_checks(X).max(axis=1)

    def anomaly_share(self, X: Any) -> NDArray[np.float64]:
        """Share of training windows with a score at least as large, (n,): .001 is as strange as the strangest in a thousand.

        No less than 1e-5 is told.
        """
        score = self.anomaly_score(X)
        return np.where(np.isnan(score), np.nan, self.calibration_.share(score))

    def anomaly_checks(self, X: Any) -> NDArray[np.float64]:
        """Surprise of every check, (n, checks) in the order of ``check_names_``: why a window is strange."""
        usable, windows = self._read(X)
        found = np.full((len(usable), len(self.check_names_)), np.nan)
        if len(windows):
            with self._threads():
                found[usable] = self.calibration_.surprise(self._checks(windows))
        return found

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:
        """Names of the latent features."""
        return np.asarray([f"latent{i}" for i in range(self.latent)], dtype=object)

    def _read(self, X: Any) -> tuple[NDArray[np.bool_], WindowTable]:
        """Which rows have a whole window, and those windows."""
        check_is_fitted(self, "network_")
        import torch

        from huracan.training.windows import WindowTable

        rows = BarRows.read(X, reference=self.reference)
        if len(rows.names) != self.n_features_in_:
            raise DataError(f"X has {len(rows.names)} features; the autoencoder was fitted on {self.n_features_in_}.")
        unnamed = rows.names == tuple(f"x{i}" for i in range(self.n_features_in_))
        if not unnamed and rows.names != self.feature_names_:
            raise other_columns("the autoencoder", rows.names, self.feature_names_)
        usable = rows.complete(self.window)
        values, last = rows.table(np.flatnonzero(usable), self.window, self.scaler_)
        return usable, WindowTable(torch.from_numpy(values), torch.from_numpy(last), self.window)

    def _checks(self, windows: WindowTable) -> NDArray[np.float64]:
        from huracan.models.autoencoder.checks import network_checks

        return network_checks(self.network_, windows, self.views_, clip=self.learning_clip)

    # --- storage ---------------------------------------------------------------------------------------------------

    def _learned(self) -> dict[str, Any]:
        return {
            "features": list(self.feature_names_),
            "views": [list(view) for view in self.views_],
            "center": self.scaler_.center.tolist(),
            "precision": (1.0 / self.scaler_.scale).tolist(),
            "windows": [self.n_train_windows_, self.n_validation_windows_],
        }

    def _take_in(self, state: Mapping[str, Any]) -> None:
        from huracan.models.autoencoder.checks import TailCalibration, check_names

        self.feature_names_ = tuple(state["features"])
        self.n_features_in_ = len(self.feature_names_)
        self.check_names_ = check_names(self.feature_names_)
        self.views_ = tuple(tuple(view) for view in state["views"])
        center, precision = (np.asarray(state[name], np.float64) for name in ("center", "precision"))
        with np.errstate(divide="ignore"):
            self.scaler_ = InputScaler(center, 1.0 / precision, math.inf)
        self.n_train_windows_, self.n_validation_windows_ = state["windows"]
        self.network_, self.calibration_ = self._network().eval(), TailCalibration(len(self.check_names_))

    def _module(self) -> nn.Module:
        from torch import nn

        return nn.ModuleDict({"network": self.network_, "calibration": self.calibration_})
