"""How strange one window is: an autoencoder's answer about the newest bars, by ONNX Runtime where that says the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from huracan.errors import ArtifactError, DependencyMissing, ModelError
from huracan.models.autoencoder.still_columns import IMPOSSIBLE
from huracan.registry.exports.graph import ExportRefused
from huracan.registry.exports.networks import traced
from huracan.registry.exports.sessions import open_session

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["AnomalyScorer"]

_NEAR = 1e-3
"""Largest difference of the logarithm of a check, of which the share that is told takes 512 steps over all windows."""


class AnomalyScorer:
    """An autoencoder's ``anomaly_share`` of one window.

    Parameters
    ----------
    model : fitted :class:`~huracan.models.autoencoder.estimator.Autoencoder`, of columns as they are (one that was fitted on
        candles computes features of its own and is refused).
    windows : real windows, float32 (m, window, d), on which the graph is compared with the model; the first 16 are.

    Attributes
    ----------
    window : bars. engine : "onnx" or "native". reason : why it is not "onnx", else None.

    Raises
    ------
    ModelError : the autoencoder reads candles, or no window was given.

    Examples
    --------
    >>> from huracan.catalogue import build_model
    >>> X = np.random.default_rng(0).standard_normal((1_500, 3)).astype(np.float32)
    >>> model = build_model("autoencoder", window=8, latent=2, max_epochs=1).fit(X)
    >>> scorer = AnomalyScorer(model, X[:160].reshape(-1, 8, 3))
    >>> scorer.engine, 0.0 < scorer.share(X[:8]) <= 1.0
    ('onnx', True)
    """

    def __init__(self, model: Any, windows: NDArray[np.float32]) -> None:
        from huracan.models.autoencoder.checks import _TAIL  # which imports PyTorch

        if model.lookback_:
            raise ModelError("the autoencoder was fitted on candles; one fitted on the champion's own features was expected.")
        if not len(windows):
            raise ModelError("no window was given to compare the autoencoder's graph on; at least one was expected.")
        self.window, self.reason, self.engine = int(model.window), None, "native"
        self._model, self._run, self._scaler = model, None, model.scaler_
        self._reached = 1.0 - _TAIL
        self._levels, self._rate = model.calibration_.levels.numpy(), model.calibration_.rate.numpy()
        try:
            session = open_session(traced(_checks_of(model), (self.window, model.n_features_in_)))
            self._run, self.engine = session.run, "onnx"
            difference = max(self._difference(window) for window in windows[:16])
            if not difference <= _NEAR:
                raise ExportRefused(f"the graph differs by {difference:.1e}; at most {_NEAR:g} was expected")
        except (ExportRefused, ArtifactError, DependencyMissing) as refused:
            self._run, self.engine, self.reason = None, "native", str(refused)

    def share(self, x: NDArray[np.float32]) -> float:
        """Share of usual windows at least as strange as ``x`` (window, d); an alarm rings where it is small."""
        if self._run is None:
            return float(self._model.anomaly_share(x[None])[0])
        still = self._model.still_
        outside = (x[:, still.columns] < still.low) | (x[:, still.columns] > still.high)
        score = IMPOSSIBLE if outside.any() else float(self._surprise(x).max())
        return float(self._model.shares_.of(np.array([score]))[0])

    def _surprise(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """``TailCalibration.surprise`` of each check of one window (checks,): all interpolated at once."""
        assert self._run is not None
        checks = self._run(["y"], {"x": self._scaler(x)[None]})[0][0].astype(np.float64)
        last = self._levels.shape[1] - 1
        below = (self._levels <= checks[:, None]).sum(axis=1) - 1
        each, at = np.arange(len(checks)), np.clip(below, 0, last - 1)
        low, high = self._levels[each, at], self._levels[each, at + 1]
        part = np.divide(checks - low, high - low, out=np.ones(len(checks)), where=high > low)
        share = (at + np.clip(part, 0.0, 1.0)) / last * self._reached
        return np.maximum(checks - self._levels[:, -1], 0.0) * self._rate - np.log1p(-share)

    def _difference(self, x: NDArray[np.float32]) -> float:
        own = self._model.anomaly_checks(x[None])[0, : len(self._levels)]
        return float(np.abs(self._surprise(x) - own).max())


def _checks_of(model: Any) -> nn.Module:
    """What ``network_checks`` says of one window (1, window, d), as a module: all views in one batch."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    from huracan.models.autoencoder.checks import _FLOOR, _LARGEST
    from huracan.models.autoencoder.task import hidden_columns

    network, width = model.network_, model.n_features_in_
    hidden = hidden_columns(model.views_, width)
    last_view = [max(v for v in range(len(hidden)) if hidden[v, column]) for column in range(width)]  # which has the last word
    run = min(max(2, model.window // 4), model.window)

    class Checks(nn.Module):
        hidden: Tensor
        chosen: Tensor

        def __init__(self) -> None:
            super().__init__()
            self.network = network
            self.register_buffer("hidden", hidden)
            self.register_buffer("chosen", torch.tensor(last_view)[None, None, :].expand(1, model.window, width).contiguous())

        def forward(self, x: Tensor) -> Tensor:
            cut = x.clamp(-model.learning_clip, model.learning_clip)
            many = cut[:1].expand(len(hidden), -1, -1)
            forecast, log_scale = self.network.cross_check(many, self.hidden)
            residual = (x[:1] - forecast) * torch.exp(-log_scale)
            cross = residual.gather(0, self.chosen).clamp(-_LARGEST, _LARGEST)
            bottleneck = (x[:1] - self.network(cut[:1])).clamp(-_LARGEST, _LARGEST)
            square = cross.square()
            means = [F.avg_pool1d(part.transpose(1, 2), run, stride=1) for part in (square, cross)]
            found = (square.amax(dim=1), means[0].amax(dim=2), means[1].square().amax(dim=2), bottleneck.square().amax(dim=1))
            return torch.log(torch.cat(found, dim=1) + _FLOOR)

    return Checks().eval()
