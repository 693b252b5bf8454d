"""What a version says of new bars, as it would have said it one bar after the other: rows of ``live_predictions``."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huracan.dataset import REGIME_ORDER
from huracan.errors import SignatureError
from huracan.integration.feedback.feature_feed import FeatureFeed
from huracan.model_info import MarketRegime
from huracan.regimes import RegimeClassifier
from huracan.serving.batch import answered_rows, said_of
from huracan.serving.served import Served, require_bar
from huracan.serving.signal import VetoKind

__all__ = ["NO_SCORE", "Predictions", "predict", "veto_mask", "vetoes_in"]

Floats = NDArray[np.float64]
_BIT = {kind: 1 << place for place, kind in enumerate(VetoKind)}
_REGIMES = np.array([*map(str, REGIME_ORDER), ""])
NO_SCORE = sum(
    _BIT[kind]
    for kind in (
        *(VetoKind.WARMING_UP, VetoKind.GAP, VetoKind.MISSING_VALUE, VetoKind.INFINITE_FEATURE),
        *(VetoKind.REFUSED, VetoKind.NO_CHAMPION),
    )
)
"""Mask of the vetoes that leave no score."""


def veto_mask(vetoes: Mapping[VetoKind, NDArray[np.bool_]]) -> NDArray[np.int64]:
    """Which kinds apply to each row, as a number: bit i for the i-th of :class:`VetoKind`.

    >>> veto_mask({VetoKind.GAP: np.array([True, False]), VetoKind.WARMING_UP: np.array([True, True])}).tolist()
    [3, 1]
    """
    length = len(next(iter(vetoes.values())))
    mask = np.zeros(length, np.int64)
    for kind, holds in vetoes.items():
        mask |= holds.astype(np.int64) * _BIT[kind]
    return mask


def vetoes_in(mask: int) -> tuple[VetoKind, ...]:
    """The kinds in a mask.

    >>> vetoes_in(3)
    (<VetoKind.WARMING_UP: 'warming_up'>, <VetoKind.GAP: 'gap'>)
    """
    return tuple(kind for kind, bit in _BIT.items() if mask & bit)


@dataclass(frozen=True, eq=False)
class Predictions:
    """What one version says of bars, sorted by ``(symbol, ts)``.

    Attributes
    ----------
    version_id : row of the version in the database. symbols : that ``code`` (n,) counts. ts : int64 (n,), milliseconds UTC.
    regime : (n,) codes of ``REGIME_ORDER``, -1 while unknown. score, forecast, probability, position, volatility : float64
        (n,), NaN where there is none. vetoes : int64 (n,), see :func:`veto_mask`.
    """

    version_id: int
    symbols: tuple[str, ...]
    code: NDArray[np.int32]
    ts: NDArray[np.int64]
    regime: NDArray[np.int64]
    score: Floats
    forecast: Floats
    probability: Floats
    position: Floats
    volatility: Floats
    vetoes: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ts)

    def take(self, rows: NDArray[Any]) -> Predictions:
        """Some of the rows, by mask or index."""
        cut = {name: value[rows] for name, value in vars(self).items() if isinstance(value, np.ndarray)}
        return Predictions(version_id=self.version_id, symbols=self.symbols, **cut)

    def within(self, answers: Mapping[str, Collection[MarketRegime | None]]) -> NDArray[np.bool_]:
        """Whether each row's symbol and regime are among ``answers``: symbol -> regimes, None for one that is unknown."""
        codes = {regime: code for code, regime in enumerate(REGIME_ORDER)} | {None: -1}
        table = np.zeros((len(self.symbols), len(REGIME_ORDER) + 1), np.bool_)
        for i, symbol in enumerate(self.symbols):
            table[i, [codes[regime] for regime in answers.get(symbol, ())]] = True
        return table[self.code, self.regime]

    def rows(self, *, role: str, tick: int) -> list[tuple[Any, ...]]:
        """Rows of ``live_predictions``, values in the order of its columns."""
        names = np.asarray(self.symbols, dtype=object)[self.code].tolist() if len(self) else []
        numbers = (self.score, self.forecast, self.probability, self.position, self.volatility)
        return [
            (self.version_id, *row)
            for row in zip(
                names,
                self.ts.tolist(),
                (role,) * len(names),
                (tick,) * len(names),
                _REGIMES[self.regime].tolist(),
                *(_nullable(values) for values in numbers),
                self.vetoes.tolist(),
            )
        ]


def predict(
    served: Served,
    feed: FeatureFeed,
    symbols: Sequence[str],
    first: int,
    until: int,
    *,
    version_id: int,
    rules: RegimeClassifier | None = None,
) -> Predictions:
    """What a version says of every bar of ``symbols`` that opens from ``first`` on and is closed by ``until``.

    The bars before that a window reads, and that decisions which are still held were taken at, are looked at, too: what is said
    of a bar does not depend on where ``first`` lies, but for the rounding of sums over as many rows as are asked at once.

    Parameters
    ----------
    first, until : milliseconds UTC. version_id : row of the version in the database.
    rules : by which the regime is named that is written down; the model's own where None. Its answers read its own in any case.

    Raises
    ------
    SignatureError : the version was registered without its recipe, or on bars of another length.
    """
    bar, recipe = feed.candles.bar, served.recipe
    if recipe is None:
        raise SignatureError(f"'{served.model_id}' was registered without its recipe; its features cannot be computed.")
    require_bar(served, bar)
    behind = served.reach - 1 + served.horizon - 1
    rows = feed.at(
        recipe, symbols, first - behind * bar, until, rules=served.classifier, volatility_span=served.volatility_span
    )
    volatility = rows.volatility
    answered = answered_rows(
        served, rows.X, rows.symbols, rows.code, rows.segment, volatility, rows.regime, rows.ts + bar, rows.age
    )
    said = said_of(served, answered)
    regime = rows.regime
    if rules is not None and (served.classifier is None or rules.hash != served.classifier.hash):
        regime = feed.regime_of(rules, rows)
    every = Predictions(
        version_id,
        rows.symbols,
        rows.code,
        rows.ts,
        regime,
        answered.score,
        said.forecast,
        said.probability,
        said.position,
        volatility,
        veto_mask(answered.vetoes),
    )
    return every.take(rows.ts >= first)


def _nullable(values: Floats) -> list[float | None]:
    return [value if value == value else None for value in values.tolist()]
