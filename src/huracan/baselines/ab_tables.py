"""The tables of an A/B test: pairs with joint intervals, the confidence set, loss differences over time, regimes."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from huracan.baselines.aligned_losses import AlignedLosses, plain_array
from huracan.baselines.comparison import Comparison
from huracan.errors import DataError
from huracan.statistics import adjust_p_values, average_by_time, ewc_t_test_pairs, giacomini_white, loss_path, superior_ability
from huracan.statistics.series import MINIMUM_OBSERVATIONS

__all__ = [
    "EVERY",
    "by_regime_table",
    "conditional_table",
    "models_table",
    "no_rows",
    "pairs_table",
    "paths_table",
    "superior_p_value",
]

EVERY = "the mean of all models"
"""What models are drawn against over time where there is no baseline."""
_MOST_PATHS = 30
_POINTS = 400

_SCHEMAS: dict[str, dict[str, Any]] = {
    "paths": {
        "model": pl.String,
        "against": pl.String,
        "row": pl.Int64,
        "ts": pl.Datetime("ms", "UTC"),
        "cumulative": pl.Float64,
        "band": pl.Float64,
    },
    "by_regime": {
        "model_a": pl.String,
        "model_b": pl.String,
        "regime": pl.String,
        "n_times": pl.Int64,
        **dict.fromkeys(("difference", "ci_low", "ci_high", "p_value", "p_adjusted"), pl.Float64),
    },
    "conditional": {"model_a": pl.String, "model_b": pl.String, "p_value": pl.Float64, "p_adjusted": pl.Float64},
    "sharpe": {
        "model": pl.String,
        **dict.fromkeys(
            (
                *("sharpe_ratio", "ci_low", "ci_high", "difference", "p_adjusted", "probability_positive", "deflated"),
                "minimum_track_record",
            ),
            pl.Float64,
        ),
    },
    "deflation": {"n_trials": pl.Int64, "expected_maximum": pl.Float64, "deflated": pl.Float64},
}


def no_rows(name: str) -> pl.DataFrame:
    """The table of that name without any rows.

    >>> no_rows("deflation").columns
    ['n_trials', 'expected_maximum', 'deflated']
    """
    return pl.DataFrame(schema=_SCHEMAS[name])


def pairs_table(comparison: Comparison, *, resamples: int, seed: int) -> pl.DataFrame:
    """Every pair with its own and the joint interval, columns as in :class:`huracan.baselines.ab_result.ABTestResult`."""
    joint = comparison.intervals(resamples=resamples, seed=seed)
    names = comparison.models
    ends = {
        (names[a], names[b]): (low, high)
        for a, b, low, high in zip(joint.first, joint.second, joint.ci_low.tolist(), joint.ci_high.tolist())
    }
    rows = []
    for item in comparison.pairs:
        low, high = ends[item.model_a, item.model_b]
        # one that cannot be decided has no ends, whatever the joint interval of the others
        undecided = bool(item.note) and item.difference != 0.0
        rows.append(
            {
                "model_a": item.model_a,
                "model_b": item.model_b,
                "difference": item.difference,
                "joint_low": -np.inf if undecided else low,
                "joint_high": np.inf if undecided else high,
                **{
                    key: getattr(item, key)
                    for key in ("ci_low", "ci_high", "p_value", "p_adjusted", "p_independent", "effect_size", "n_eff", "note")
                },
            }
        )
    return pl.DataFrame(rows)


def models_table(comparison: Comparison, *, resamples: int, seed: int) -> pl.DataFrame:
    """Every model, lowest mean loss first: its place, and whether it is in the confidence set."""
    chosen = comparison.confidence_set(resamples=resamples, seed=seed)
    better = {
        item.model_a: item.p_adjusted <= comparison.alpha and item.difference < 0
        for item in comparison.pairs
        if item.model_b == comparison.baseline
    }
    frame = pl.DataFrame(
        {
            "model": list(chosen.names),
            "mean_loss": [comparison.mean_loss[name] for name in chosen.names],
            "set_p_value": chosen.p_value,
            "in_set": [name in chosen.included for name in chosen.names],
            "better_than_baseline": pl.Series([better.get(name) for name in chosen.names], dtype=pl.Boolean),
            "note": list(chosen.notes),
        }
    )
    frame = frame.with_columns(rank=pl.col("mean_loss").rank("min").cast(pl.Int64)).sort("rank", "model")
    return frame.select("model", "mean_loss", "rank", "set_p_value", "in_set", "better_than_baseline", "note")


def paths_table(comparison: Comparison) -> tuple[pl.DataFrame, list[str]]:
    """Running loss differences and what was left out: against the baseline; without one, of two models between them, of
    more each against the mean of all, since against the best of them the luckiest would be the measure.
    """
    names, losses = comparison.models, comparison.losses
    measure, against = losses.mean(axis=1), EVERY
    if comparison.baseline is not None or len(names) == 2:
        against = comparison.baseline or names[1]
        measure = losses[:, names.index(against)]
    ranked = sorted((name for name in names if name != against), key=lambda name: comparison.mean_loss[name])
    notes = [f"Only the {_MOST_PATHS} best of {len(ranked)} models are drawn over time."] if len(ranked) > _MOST_PATHS else []
    n = len(losses)
    even = np.linspace(0, n - 1, min(n, _POINTS)).round().astype(np.int64)
    dated = comparison.times is not None and comparison.times.dtype.kind == "M"
    frames = [no_rows("paths")]
    for name in ranked[:_MOST_PATHS]:
        difference = losses[:, names.index(name)] - measure
        if np.ptp(difference) <= 128 * np.finfo(np.float64).eps * np.abs(losses).max():
            continue
        found = loss_path(difference, alpha=comparison.alpha)
        # the moment at which the band is left is told whatever is thinned out
        row = even if found.first_left is None else np.union1d(even, found.first_left)
        ts = comparison.times[row].astype("datetime64[ms]") if dated and comparison.times is not None else [None] * len(row)
        told = {"row": row, "cumulative": found.cumulative[row], "band": found.band[row]}
        path = pl.DataFrame({**told, "ts": pl.Series(ts, dtype=pl.Datetime("ms"))})
        named = path.with_columns(pl.col("ts").dt.replace_time_zone("UTC"), model=pl.lit(name), against=pl.lit(against))
        frames.append(named.select(frames[0].columns))
    return pl.concat(frames), notes


def by_regime_table(aligned: AlignedLosses, comparison: Comparison, regimes: ArrayLike) -> tuple[pl.DataFrame, list[str]]:
    """The pairs within each regime, corrected for all of them (Holm), and which regimes were too short to say anything.

    Rows of one regime and moment are averaged; the moments outside the regime are left out.
    """
    names, held = aligned.names, _checked_regimes(regimes, aligned)
    place = {name: i for i, name in enumerate(names)}
    pairs = np.array([(place[item.model_a], place[item.model_b]) for item in comparison.pairs], dtype=np.int64)
    frames, notes = [], []
    for regime in sorted(set(held.tolist())):
        inside = held == regime
        losses = aligned.row_losses[inside]
        if aligned.row_times is not None:
            _, losses = average_by_time(losses, aligned.row_times[inside])
        if len(losses) < MINIMUM_OBSERVATIONS:
            notes.append(f"Regime '{regime}' has {len(losses)} moments; at least {MINIMUM_OBSERVATIONS} are needed.")
            continue
        _, test = ewc_t_test_pairs(losses.T, pairs=pairs, confidence=1.0 - comparison.alpha, names=names)
        frames.append(
            pl.DataFrame(
                {
                    "model_a": [item.model_a for item in comparison.pairs],
                    "model_b": [item.model_b for item in comparison.pairs],
                    "regime": regime,
                    "n_times": pl.Series([len(losses)] * len(pairs), dtype=pl.Int64),
                    "difference": test.mean,
                    "ci_low": test.ci_low,
                    "ci_high": test.ci_high,
                    "p_value": test.p_value,
                }
            )
        )
    if not frames:
        return no_rows("by_regime"), notes
    table = pl.concat(frames)
    return table.with_columns(p_adjusted=adjust_p_values(table["p_value"].to_numpy())), notes


def conditional_table(aligned: AlignedLosses, comparison: Comparison, regimes: ArrayLike) -> tuple[pl.DataFrame, list[str]]:
    """Giacomini and White's test of each pair that neither model is better in any regime, corrected (Holm)."""
    held = _checked_regimes(regimes, aligned)
    if len(aligned.row_losses) != len(aligned.losses):
        return no_rows("conditional"), ["With several symbols a time, regimes are tested one by one, not together."]
    if aligned.row_times is not None:
        held = held[np.argsort(aligned.row_times, kind="stable")]
    kinds, counts = np.unique(held, return_counts=True)
    kinds = kinds[counts >= MINIMUM_OBSERVATIONS]
    if not len(kinds):
        return no_rows("conditional"), []
    instruments = (held[:, None] == kinds).astype(np.float64)
    place = {name: i for i, name in enumerate(aligned.names)}
    rows = []
    for item in comparison.pairs:
        if item.note:
            continue
        a, b = (aligned.losses[:, place[name]] for name in (item.model_a, item.model_b))
        differs = np.array([np.any(a[inside] != b[inside]) for inside in (instruments > 0).T])
        if differs.any():
            found = giacomini_white(a, b, instruments[:, differs])
            rows.append({"model_a": item.model_a, "model_b": item.model_b, "p_value": found.p_value})
    if not rows:
        return no_rows("conditional"), []
    table = pl.DataFrame(rows)
    return table.with_columns(p_adjusted=adjust_p_values(table["p_value"].to_numpy())), []


def superior_p_value(comparison: Comparison, *, resamples: int, seed: int) -> float | None:
    """Hansen's p-value that none is better than the baseline; None without a baseline."""
    if comparison.baseline is None:
        return None
    at = comparison.models.index(comparison.baseline)
    return superior_ability(comparison.losses, at, names=comparison.models, resamples=resamples, seed=seed).p_consistent


def _checked_regimes(regimes: ArrayLike, aligned: AlignedLosses) -> NDArray[Any]:
    if aligned.joined:
        raise DataError("regimes go with rows that all models share; join models that have times of their own before.")
    held = plain_array(regimes)
    if held.shape != (len(aligned.row_losses),):
        raise DataError(
            f"regimes have shape {held.shape} for {len(aligned.row_losses)} losses; one for every row was expected."
        )
    missing = np.array([one is None or one != one for one in held.tolist()])
    if missing.any():
        raise DataError(f"the regime is missing in row {int(np.argmax(missing))}; one for every row was expected.")
    return held.astype(str)
