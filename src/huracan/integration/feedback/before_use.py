"""Whether a version can answer here: looked at before it is asked for the first time, not found out at a bar."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from huracan.config import CleaningConfig, LabelConfig
from huracan.errors import SignatureError
from huracan.serving.served import Served, require_bar

__all__ = ["cleaned_otherwise", "require_usable"]

_SCORES = {
    "regression": ("prediction",),
    "classification": ("probability", "margin"),
    "rule": ("prediction", "probability", "margin"),
}
"""Task -> outputs that a score is made of, one of which a card has to promise."""
_KNOWN = ("numeric", "finite", "any", "effects", "unbroken windows", "a column with the most recent one-bar return", "no nulls")
"""How requirements begin that hold for rows of a recipe: numbers, complete, in unbroken windows, or that training looked at."""
_TRIED = 64
_ROUNDING = 1e-4


def require_usable(served: Served, *, bar: int, labels: LabelConfig | None = None) -> None:
    """Refuse a version whose card, columns or outputs are not those of the task.

    Parameters
    ----------
    served : as loaded, which has made sure that its columns are those of its recipe. bar : milliseconds of the candles here.
    labels : that it will be judged by; None does not look at them.

    Raises
    ------
    SignatureError : it has no recipe to make its columns by; it was trained on bars of another length, or for other labels; its
        card asks for something that rows of features are not, or promises no output that a score is made of; its answers to 64
        rows from its training range are not one finite row of numbers each, or are probabilities outside of 0 to 1.
    """
    info, name = served.version.info, served.model_id
    if served.recipe is None:
        raise SignatureError(f"'{name}' was registered without its recipe; its features cannot be computed from candles.")
    require_bar(served, bar)
    if labels is not None and not served.baseline:
        _require_labels(served, labels)
    for asked in info.feature_requirements:
        if not asked.startswith(_KNOWN):
            raise SignatureError(
                f"'{name}' requires of its features: {asked:.80}; rows of a recipe are complete, finite numbers in unbroken "
                "windows, and nothing else of them is known."
            )
    scores = _SCORES.get(info.task, ())
    if info.output_schema and not set(scores) & set(info.output_schema):
        promised = ", ".join(info.output_schema)
        raise SignatureError(
            f"'{name}' is for {info.task} and promises {promised}; a score takes {' or '.join(scores) or 'a forecast'}."
        )
    _try_out(served)


def cleaned_otherwise(served: Served, cleaning: CleaningConfig) -> str:
    """That a version learned from candles whose bars were altered in another way than those here; empty where they were not.

    It is asked all the same: features of few bars differ, and whether it earns what it promised is watched. What is done with
    rows that are there twice, or that no market makes, alters no bar.
    """
    told = served.version.extras.get("config", {}).get("cleaning")
    if told is None or served.baseline:
        return ""
    theirs, ours = _altering(CleaningConfig.model_validate(told)), _altering(cleaning)
    if theirs == ours:
        return ""
    return (
        f"'{served.model_id}' was trained on candles cleaned with {_written(theirs)}; here they are cleaned with "
        f"{_written(ours)}: what it learned need not hold of them. Set cleaning as it was, or train one as it is."
    )


def _altering(cleaning: CleaningConfig) -> dict[str, Any]:
    """The settings that say how bars are altered."""
    found: dict[str, Any] = {}
    if cleaning.outliers in ("clip", "winsorise", "drop"):
        limits = ("outlier_quantiles",) if cleaning.outliers == "winsorise" else ("outlier_width", "outlier_floor")
        offline = () if cleaning.outliers == "drop" else ("offline",)
        found |= {name: getattr(cleaning, name) for name in ("outliers", "outlier_window", *limits, *offline)}
    if cleaning.gaps != "split":
        length = "fill_limit" if cleaning.gaps == "forward_fill" else "min_segment"
        found |= {name: getattr(cleaning, name) for name in ("gaps", length)}
    return found


def _written(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.items()) or "nothing that alters a bar"


def _require_labels(served: Served, labels: LabelConfig) -> None:
    told = served.version.extras.get("config", {}).get("labels")
    if told is None:
        raise SignatureError(f"'{served.model_id}' does not say for which labels it was trained; it cannot be judged here.")
    theirs = LabelConfig.model_validate(told)
    other = [key for key in LabelConfig.model_fields if getattr(theirs, key) != getattr(labels, key) and key != "weights"]
    if other:
        key = other[0]
        raise SignatureError(
            f"'{served.model_id}' was trained for labels with {key} {getattr(theirs, key)}; {getattr(labels, key)} was "
            "expected."
        )


def _try_out(served: Served) -> None:
    """Ask about rows spread over the training range: one row of finite numbers each, the same on a second try."""
    low = np.maximum(np.nan_to_num(served.screen.low, neginf=-1.0, posinf=1.0), np.float32(-1e30))
    high = np.minimum(np.nan_to_num(served.screen.high, neginf=-1.0, posinf=1.0), np.float32(1e30))
    share = (np.arange(_TRIED * served.window * len(low), dtype=np.float64) * 0.6180339887498949) % 1.0
    rows = low + (high - low) * share.reshape(_TRIED * served.window, -1).astype(np.float32)
    asked = rows if served.window == 1 else rows.reshape(_TRIED, served.window, -1)
    regime = np.full(_TRIED, -1, np.int64)
    raw = served.scorer.many(np.ascontiguousarray(asked, np.float32), regime)
    name, task = served.model_id, served.version.info.task
    if raw.shape != (_TRIED, served.scorer.n_outputs):
        raise SignatureError(f"'{name}' answers {_TRIED} rows by {raw.shape}; one answer a row was expected.")
    scores = np.array([served.signal(one) for one in raw], np.float64)
    if not (np.isfinite(raw).all() and np.isfinite(scores).all()):
        worst = raw[~np.isfinite(raw)][0] if not np.isfinite(raw).all() else scores[~np.isfinite(scores)][0]
        raise SignatureError(f"'{name}' answers {worst} to a row from its training range; a finite number was expected.")
    if task == "classification" and "probability" in served.version.info.output_schema:
        outside = (raw < -_ROUNDING) | (raw > 1.0 + _ROUNDING)
        if outside.any():
            raise SignatureError(f"'{name}' gives a probability of {raw[outside][0]:g}; 0 to 1 was expected.")
