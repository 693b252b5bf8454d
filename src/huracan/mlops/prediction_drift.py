"""Prediction drift: are the scores of a version distributed as they were out of fold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from huracan.errors import DataError
from huracan.mlops.drift_detector import DriftDetector
from huracan.mlops.drift_report import ColumnDrift, DriftReport
from huracan.mlops.drift_rows import as_polars
from huracan.mlops.evidence import Evidence, EvidenceKind
from huracan.mlops.reference import Reference

__all__ = ["SCORES_FILE", "PredictionDrift", "detect_prediction_drift", "score_reference"]

SCORES_FILE = "scores.json"
"""Name under which the reference of scores is kept with a version (``Reference.to_bytes``)."""

_SCORE = "score"


@dataclass(frozen=True)
class PredictionDrift:
    """What :func:`detect_prediction_drift` found: ``report`` has the one column ``score``; ``unanswered`` rows had none."""

    report: DriftReport
    unanswered: int

    @property
    def score(self) -> ColumnDrift:
        """The test of the scores."""
        return self.report.column(_SCORE)

    @property
    def drifted(self) -> bool:
        """Whether the scores are distributed otherwise."""
        return self.score.drifted

    @property
    def sentence(self) -> str:
        """What was found."""
        score = self.score
        rest = f" ({score.note})" if score.note else ""
        if score.p_value is None:
            if self.drifted:
                return f"the scores are as they never were out of fold: {score.note} ({self.report.n_current} moments)."
            return f"the scores could not be compared{rest}."
        seen = f"largest distance {score.statistic:.3f}, p = {score.p_value:.3g}, {self.report.n_current} moments"
        if not self.drifted:
            return f"the scores are not shown to be distributed otherwise ({seen}){rest}."
        way = f"{score.direction} than" if score.direction else "otherwise than"
        return f"the scores are {way} out of fold ({seen}){rest}."

    def evidence(
        self, *, name: str, tick: int, symbol: str = "", regime: str = "", version_id: int | None = None
    ) -> tuple[Evidence, ...]:
        """One of kind ``prediction`` where they drifted; it counts together with drift of the data."""
        if not self.drifted:
            return ()
        score = self.score
        scope: dict[str, Any] = {"name": name, "tick": tick, "symbol": symbol, "regime": regime, "version_id": version_id}
        details: dict[str, Any] = {"psi": score.psi, "wasserstein": score.wasserstein, "n": self.report.n_current}
        seen: dict[str, Any] = {"statistic": score.statistic, "p_value": score.p_value, "q_value": score.q_value}
        return (Evidence.of(EvidenceKind.PREDICTION, self.sentence, details=details, **seen, **scope),)


def score_reference(scores: Any) -> Reference:
    """What is kept of the scores a version gave out of fold.

    Parameters
    ----------
    scores : frame or columns by name, with ``score``, and ``ts`` and ``symbol`` where there are several symbols; or (n,) in
        order of time. At least 200 moments; rows without a score are left out.

    Raises
    ------
    NotEnoughData : fewer than 200 moments. DataError : no column ``score``, or one of no numbers.
    """
    rows, _ = _answered(scores)
    return DriftDetector(multivariate=False).fit(rows, columns=[_SCORE]).reference_


def detect_prediction_drift(reference: Reference, scores: Any, *, alpha: float = 0.01) -> PredictionDrift:
    """Compare the scores of a window with those out of fold, by the test of :class:`huracan.mlops.DriftDetector`.

    A model that was fitted on all rows may be somewhat surer than it was out of fold; that alone is no reason to train it
    again, and the policy hears this evidence only together with drift of the data.

    Parameters
    ----------
    reference : of :func:`score_reference`. scores : of a window, as there; at least 20 moments. alpha : level.

    Raises
    ------
    NotEnoughData : fewer than 20 moments. DataError : no column ``score``, or one of no numbers.

    Examples
    --------
    >>> draw = np.random.default_rng(0)
    >>> reference = score_reference(draw.standard_normal(2000))
    >>> detect_prediction_drift(reference, draw.standard_normal(300)).drifted
    False
    >>> detect_prediction_drift(reference, draw.standard_normal(300) + 0.5).sentence
    'the scores are higher than out of fold (largest distance 0.210, p = 0.000787, 300 moments).'
    """
    rows, unanswered = _answered(scores)
    detector = DriftDetector.from_reference(reference, alpha=alpha, multivariate=False)
    return PredictionDrift(detector.detect(rows), unanswered)


def _as_frame(scores: Any) -> pl.DataFrame:
    """A frame as it is, of polars or pandas, or columns by name; (n,) numbers as the column of scores."""
    if isinstance(scores, Mapping | pl.LazyFrame) or hasattr(scores, "columns"):
        return as_polars(scores, "the table of scores")
    try:
        values = np.asarray(scores, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"scores are no numbers: {error}.") from error
    if values.ndim != 1:
        raise DataError(f"scores are an array of shape {values.shape}; one number a row was expected.")
    return pl.DataFrame({_SCORE: values})


def _answered(scores: Any) -> tuple[pl.DataFrame, int]:
    """The rows that have a score, and how many have none."""
    frame = _as_frame(scores)
    if _SCORE not in frame.columns:
        raise DataError(f"scores have the columns {', '.join(frame.columns)}; one called '{_SCORE}' was expected.")
    kept = [name for name in ("symbol", "ts", _SCORE) if name in frame.columns]
    if not frame[_SCORE].dtype.is_numeric() and frame[_SCORE].dtype != pl.Null:
        raise DataError(f"scores are {frame[_SCORE].dtype}; numbers were expected.")
    rows = frame.select(kept).filter(pl.col(_SCORE).is_finite())  # null is none either
    return rows, len(frame) - len(rows)
