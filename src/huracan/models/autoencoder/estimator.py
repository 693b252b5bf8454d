"""The autoencoder as a scikit-learn transformer."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import TransformerMixin
from sklearn.utils.validation import check_is_fitted

from huracan.baselines.inputs import InputScaler, other_columns
from huracan.errors import DataError, NotEnoughData
from huracan.models.autoencoder.card import AUTOENCODER, AUTOENCODER_DEFAULTS
from huracan.models.autoencoder.rows import BarRows
from huracan.models.autoencoder.still_columns import StillColumns
from huracan.models.torch_use import require_torch
from huracan.models.unsupervised_network import UnsupervisedNetwork
from huracan.statistics.spread_rows import spread_rows

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
    max_train_windows : windows of a fit, drawn at random over the span learned from.
    calibration_share : of the windows, the latest and purged, that nothing is learned from but :meth:`anomaly_share`.
        validation_share : of the windows, those before them, purged, that choose the epoch.
    max_epochs, batch_size, learning_rate, weight_decay, patience : of the training loop.
    device : ``"cpu"``, ``"cuda"`` or ``"auto"``. random_state, n_jobs : seed and threads.

    Attributes
    ----------
    network_ : the fitted network. scaler_ : of its inputs. still_ : columns that stood still. calibration_ : of the score.
    shares_ : of :meth:`anomaly_share`; ``shares_.least`` is the least that is told. feature_names_ : columns.
    check_names_ : what is checked. training_ : how the training went.
    n_train_windows_, n_validation_windows_, n_calibration_windows_ : windows used.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> model = Autoencoder(window=8, latent=2, max_epochs=2).fit(rng.standard_normal((2_000, 3)))
    >>> fresh = rng.standard_normal((100, 3)); fresh[60, 1] = 12.0
    >>> model.transform(fresh).shape, int(np.nanargmax(model.anomaly_score(fresh))) in range(60, 68)
    ((100, 2), True)
    """

    card = AUTOENCODER
    format = 2

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
        calibration_share: float = AUTOENCODER_DEFAULTS["calibration_share"],
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
        self.calibration_share = calibration_share
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

        from huracan.models.autoencoder.checks import CHECKS, TailCalibration
        from huracan.models.autoencoder.shares import ToldShares
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
        usable, kept = rows.calibration_tail(
            usable, share=self.calibration_share, window=self.window, fewest=_FEWEST_WINDOWS // 2, most=_CALIBRATED
        )
        train, late = rows.validation_tail(
            usable,
            share=self.validation_share / (1.0 - self.calibration_share),
            window=self.window,
            fewest=_FEWEST_WINDOWS // 2,
            most=self.max_train_windows,
            seed=self._seed,
        )
        self.feature_names_, self.n_features_in_ = rows.names, rows.values.shape[1]
        self.lookback_ = rows.lookback
        self.views_ = rows.checked_views(self.views)
        self.scaler_ = InputScaler.fit(rows.values, clip=math.inf, rows=rows.numbers(train))
        self.still_ = StillColumns.of(rows.values[rows.numbers(train)], self.scaler_)
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
            self.n_train_windows_, self.n_validation_windows_, self.n_calibration_windows_ = len(train), len(late), len(kept)
            sample = spread_rows(len(train), _CALIBRATED)
            judged = ends[: len(train)] if sample is None else ends[sample]
            self.calibration_ = TailCalibration(len(CHECKS) * self.n_features_in_)
            self.calibration_.learn(self._checks(replace(windows, last=torch.from_numpy(judged))))
            self.shares_ = ToldShares()
            if not len(kept):
                warnings.warn(
                    f"the autoencoder got {len(usable)} windows, too few to calibrate on their last "
                    f"{self.calibration_share:.0%}: anomaly_share says 1 of everything; give more history.",
                    stacklevel=4,
                )
            else:
                score = self._surprise(rows, kept.rows).max(axis=1)
                self.shares_.learn(score, kept.moment, window=self.window, spacing=kept.spacing)

    def _check_parameters(self) -> None:
        most = self.max_train_windows
        self._require("window", self.window >= 2, "at least 2 bars were")
        self._require("learning_clip", self.learning_clip > 0, "a number above 0 was")
        self._require("validation_share", 0.0 <= self.validation_share < 0.9, "a share from 0 to below 0.9 was")
        rest = 0.9 - self.validation_share
        self._require("calibration_share", 0.0 < self.calibration_share < rest, f"a share above 0 and below {rest:.2g} was")
        self._require("max_train_windows", most is None or most >= _FEWEST_WINDOWS, f"at least {_FEWEST_WINDOWS} were")

    def _network(self) -> WindowAutoencoder:
        from huracan.models.networks.autoencoder import WindowAutoencoder

        return WindowAutoencoder(
            self.n_features_in_, self.window, latent=self.latent, hidden=self.hidden, cross_hidden=self.cross_hidden
        )

    # --- answering -------------------------------------------------------------------------------------------------

    def transform(self, X: Any) -> NDArray[np.float64]:
        """Latent features of the window that ends in each row, (n, latent); NaN where there is no whole window."""
        rows, usable = self._read(X)
        import torch

        found = np.full((len(usable), self.latent), np.nan)
        if not usable.any():
            return found
        windows = self._windows(rows, np.flatnonzero(usable))
        with torch.no_grad(), self._threads():
            parts = [
                self.network_.encode(batch.x.clamp(-self.learning_clip, self.learning_clip))
                for batch in windows.in_order(_AT_ONCE)
            ]
        found[usable] = torch.cat(parts).numpy()
        return found

    def anomaly_score(self, X: Any) -> NDArray[np.float64]:
        """How unlike usual windows the window ending in each row is, (n,): the surprise of its worst check.

        In nats: minus the logarithm of the share of training windows in which that check is as bad, 1e9 for a column that moved
        though it never had. Larger is stranger: to rank by. How often usual windows reach a score says :meth:`anomaly_share`.
        """
        return self.anomaly_checks(X).max(axis=1)

    def anomaly_share(self, X: Any) -> NDArray[np.float64]:
        """Share of usual windows with a score at least as large, (n,), and no less than the calibration windows can tell.

        An alarm at ``anomaly_share(X) <= a`` rings in at most a share ``a`` of usual windows, as long as the market goes on
        like the calibration windows; below ``shares_.least``, about 1 / (independent calibration windows + 1), it never rings.
        See :class:`~huracan.models.autoencoder.shares.ToldShares`.
        """
        score = self.anomaly_score(X)
        return np.where(np.isnan(score), np.nan, self.shares_.of(score))

    def anomaly_threshold(self, share: float) -> float:
        """The score that at most ``share`` of usual windows exceed.

        Raises
        ------
        ModelError : ``share`` is less than the calibration windows can tell.
        """
        check_is_fitted(self, "network_")
        return self.shares_.threshold(share)

    def anomaly_checks(self, X: Any) -> NDArray[np.float64]:
        """Surprise of every check, (n, checks) in the order of ``check_names_``: why a window is strange."""
        rows, usable = self._read(X)
        found = np.full((len(usable), len(self.check_names_)), np.nan)
        if usable.any():
            with self._threads():
                found[usable] = self._surprise(rows, np.flatnonzero(usable))
        return found

    @property
    def check_names_(self) -> tuple[str, ...]:
        """What is checked: each of four in each column, and whether each column that stood still still does."""
        from huracan.models.autoencoder.checks import check_names

        return check_names(self.feature_names_) + self.still_.names(self.feature_names_)

    @property
    def history_bars(self) -> int:
        """Bars before a row that its score looks at: a window's others and, for candles, those they are measured by."""
        check_is_fitted(self, "network_")
        return self.lookback_ + self.window - 1

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:
        """Names of the latent features."""
        return np.asarray([f"latent{i}" for i in range(self.latent)], dtype=object)

    def _read(self, X: Any) -> tuple[BarRows, NDArray[np.bool_]]:
        """The rows, and which of them have a whole window."""
        check_is_fitted(self, "network_")
        rows = BarRows.read(X, reference=self.reference)
        if len(rows.names) != self.n_features_in_:
            raise DataError(f"X has {len(rows.names)} features; the autoencoder was fitted on {self.n_features_in_}.")
        unnamed = rows.names == tuple(f"x{i}" for i in range(self.n_features_in_))
        if not unnamed and rows.names != self.feature_names_:
            raise other_columns("the autoencoder", rows.names, self.feature_names_)
        usable = rows.complete(self.window)
        newest = rows.newest()
        missing = int((~usable[newest]).sum())
        if missing:
            warnings.warn(
                f"the autoencoder says NaN, which exceeds no threshold, of {missing} of the {len(newest)} latest row(s): they "
                f"have no window of {self.window} unbroken bars; give at least {self.history_bars} unbroken bars before them.",
                stacklevel=4,
            )
        return rows, usable

    def _windows(self, rows: BarRows, which: NDArray[np.int64]) -> WindowTable:
        import torch

        from huracan.training.windows import WindowTable

        values, last = rows.table(which, self.window, self.scaler_)
        return WindowTable(torch.from_numpy(values), torch.from_numpy(last), self.window)

    def _surprise(self, rows: BarRows, which: NDArray[np.int64]) -> NDArray[np.float64]:
        """Every check of the windows of these rows, (n, checks)."""
        learned = self.calibration_.surprise(self._checks(self._windows(rows, which)))
        return np.column_stack((learned, self.still_.surprise(rows, which, self.window)))

    def _checks(self, windows: WindowTable) -> NDArray[np.float64]:
        from huracan.models.autoencoder.checks import network_checks

        return network_checks(self.network_, windows, self.views_, clip=self.learning_clip)

    # --- storage ---------------------------------------------------------------------------------------------------

    def _learned(self) -> dict[str, Any]:
        still = self.still_
        return {
            "features": list(self.feature_names_),
            "views": [list(view) for view in self.views_],
            "center": self.scaler_.center.tolist(),
            "precision": (1.0 / self.scaler_.scale).tolist(),
            "still": [still.columns.tolist(), still.low.tolist(), still.high.tolist()],
            "lookback": self.lookback_,
            "windows": [self.n_train_windows_, self.n_validation_windows_, self.n_calibration_windows_],
        }

    def _take_in(self, state: Mapping[str, Any]) -> None:
        from huracan.models.autoencoder.checks import CHECKS, TailCalibration
        from huracan.models.autoencoder.shares import ToldShares

        self.feature_names_ = tuple(state["features"])
        self.n_features_in_ = len(self.feature_names_)
        self.views_ = tuple(tuple(view) for view in state["views"])
        center, precision = (np.asarray(state[name], np.float64) for name in ("center", "precision"))
        with np.errstate(divide="ignore"):
            self.scaler_ = InputScaler(center, 1.0 / precision, math.inf)
        columns, low, high = state["still"]
        self.still_ = StillColumns(np.asarray(columns, np.int64), np.asarray(low, np.float64), np.asarray(high, np.float64))
        self.lookback_ = int(state["lookback"])
        self.n_train_windows_, self.n_validation_windows_, self.n_calibration_windows_ = state["windows"]
        self.network_, self.shares_ = self._network().eval(), ToldShares()
        self.calibration_ = TailCalibration(len(CHECKS) * self.n_features_in_)

    def _module(self) -> nn.Module:
        from torch import nn

        return nn.ModuleDict({"network": self.network_, "calibration": self.calibration_, "shares": self.shares_})
