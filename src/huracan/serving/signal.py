"""What a predictor answers about one bar, and why it may advise against acting on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from huracan.model_info import MarketRegime
from huracan.preprocessing.online_candles import moment_of

__all__ = ["Signal", "Veto", "VetoKind", "refusal"]


class VetoKind(StrEnum):
    """Why a prediction should not be acted on.

    ``warming_up``, ``gap`` : features, or the window of a model that looks back, have too few bars since the history began, or
    since bars were missing. ``missing_value``, ``infinite_feature`` : a feature has no value, or none that is finite.
    ``refused`` : the candle could not be taken. ``no_champion`` : nobody is champion of the symbol in its regime. These six
    leave no score. ``out_of_range`` : a feature is beyond all it was in training.
    ``far_from_training`` : the features together are. ``anomaly`` : the autoencoder beside the model finds the window strange.
    ``stale`` : the bar closed more than two bars ago. ``expired`` : the model's newest label is older than allowed.
    """

    WARMING_UP = "warming_up"
    GAP = "gap"
    MISSING_VALUE = "missing_value"
    INFINITE_FEATURE = "infinite_feature"
    REFUSED = "refused"
    NO_CHAMPION = "no_champion"
    OUT_OF_RANGE = "out_of_range"
    FAR_FROM_TRAINING = "far_from_training"
    ANOMALY = "anomaly"
    STALE = "stale"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Veto:
    """One reason against acting, and the figures behind it in words."""

    kind: VetoKind
    why: str


@dataclass(frozen=True, slots=True)
class Signal:
    """What the champion says of one symbol at one bar's close.

    Attributes
    ----------
    symbol : whose bar it is. ts : its open. decision_time : its close, from which on the answer can be known. Both UTC; of a
        candle that was refused both as it came, None where it came without a time that is one.
    score : as :func:`huracan.catalogue.signal_score`, less the model's level on its own training rows; None where a veto says
        that there is none.
    forecast : of the label, in its unit, from scores out of fold; None where the model was stored without. probability : that
        the label is above zero. low, high : interval around the forecast that should hold the label with probability ``level``.
    regime : state of the market, None while it is not known or not asked for.
    position : weight to hold by the model's own policy, between -cap and cap; a vetoed bar decides nothing, so it is 0 unless
        earlier decisions are still held. None where the model was stored without a policy.
    do_predict : whether nothing speaks against acting. vetoes : what does.
    model_id, alias : of the model that gave all of these. engine : ``onnx``, ``native`` or ``constant``.
    notes : what else to know.
    """

    symbol: str
    ts: datetime | None
    decision_time: datetime | None
    score: float | None
    forecast: float | None
    probability: float | None
    low: float | None
    high: float | None
    level: float | None
    regime: MarketRegime | None
    position: float | None
    do_predict: bool
    vetoes: tuple[Veto, ...]
    model_id: str
    alias: str | None
    engine: str
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON: times in ISO 8601, vetoes as ``{kind, why}``."""
        plain: dict[str, Any] = {name: getattr(self, name) for name in self.__slots__}
        for name in ("ts", "decision_time"):
            plain[name] = None if plain[name] is None else plain[name].isoformat()
        plain["regime"] = None if self.regime is None else str(self.regime)
        plain["vetoes"] = [{"kind": str(veto.kind), "why": veto.why} for veto in self.vetoes]
        plain["notes"] = list(self.notes)
        return plain


def refusal(
    symbol: Any,
    candle: Mapping[str, Any],
    why: str,
    bar: int,
    *,
    model_id: str = "",
    alias: str | None = None,
    engine: str = "",
    notes: tuple[str, ...] = (),
) -> Signal:
    """The signal of a candle that could not be taken: it bears the symbol and the time that the candle came with.

    Parameters
    ----------
    symbol : as it came. bar : length of a bar in milliseconds. model_id, alias, engine, notes : of the version that was to
        answer, where there is one.
    """
    moment, opened, closes = moment_of(candle.get("ts")), None, None
    if moment is not None:
        try:
            opened = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=moment)
            closes = opened + timedelta(milliseconds=bar)
        except OverflowError:  # at the end of the year 9999
            opened = None
    name = symbol if isinstance(symbol, str) else ""
    nothing = (None,) * 8
    return Signal(name, opened, closes, *nothing, False, (Veto(VetoKind.REFUSED, why),), model_id, alias, engine, notes)
