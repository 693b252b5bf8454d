"""The autoencoder beside a champion: it says how strange the window is that the champion is asked about."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from huracan.errors import ModelError, RegistryError
from huracan.model_registry import ModelRegistry
from huracan.registry.exports import AnomalyScorer
from huracan.registry.round_trip import PROBE
from huracan.serving.signal import Veto, VetoKind

__all__ = ["Companion", "load_companion"]


class Companion:
    """An autoencoder and the share of usual windows that it may call strange."""

    def __init__(self, scorer: AnomalyScorer, most: float, model_id: str) -> None:
        self._share, self.window, self._most, self.model_id = scorer.share, scorer.window, most, model_id

    def veto(self, window: NDArray[np.float32]) -> Veto | None:
        """Against a window (window, d) that at most so small a share of usual ones is as strange as."""
        share = self._share(window)
        if not share <= self._most:
            return None
        return Veto(
            VetoKind.ANOMALY, f"{share:.2g} of usual windows are as strange, by {self.model_id}; {self._most:g} is the limit"
        )


def load_companion(registry: ModelRegistry, name: str, number: int, columns: Sequence[str], most: float) -> Companion:
    """Load the autoencoder that a champion names in ``extras["anomaly_model"]``.

    Parameters
    ----------
    name, number : of its version. columns : of the champion, which must be the autoencoder's. most : share of usual windows.

    Raises
    ------
    RegistryError : it is no autoencoder of these columns, or was registered without rows to check its graph on.
    """
    version = registry.get(name, version=number)
    model, model_id = registry.load(name, version=number), version.model_id
    if not hasattr(model, "anomaly_share"):
        raise RegistryError(f"anomaly_model '{model_id}' is a {type(model).__name__}; an autoencoder was expected.")
    if tuple(model.feature_names_) not in (tuple(columns), tuple(f"x{i}" for i in range(len(columns)))):
        raise RegistryError(f"anomaly_model '{model_id}' reads other columns than the champion beside it.")
    files = registry.artifacts.get(version.digest)
    if PROBE not in files:
        raise RegistryError(f"anomaly_model '{model_id}' was registered without probe=rows, on which its graph is checked.")
    rows = np.load(io.BytesIO(files[PROBE]), allow_pickle=False).astype(np.float32)
    whole = len(rows) // model.window * model.window
    windows = rows if rows.ndim == 3 else rows[:whole].reshape(-1, model.window, rows.shape[1])
    try:
        return Companion(AnomalyScorer(model, windows), most, model_id)
    except ModelError as error:
        raise RegistryError(f"anomaly_model '{model_id}' cannot stand beside a champion: {error}") from error
