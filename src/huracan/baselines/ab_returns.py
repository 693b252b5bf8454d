"""The Sharpe ratios of strategies that are compared: each alone, against the baseline, and deflated for what was tried."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from huracan.baselines.ab_tables import no_rows
from huracan.baselines.comparing import written_p
from huracan.errors import DataError
from huracan.statistics import Correction, adjust_p_values, sharpe_difference_test
from huracan.statistics.sample_checks import never_zero, rounding
from huracan.statistics.series import MINIMUM_OBSERVATIONS
from huracan.statistics.sharpe_difference import SharpeMethod
from huracan.validation.deflated_sharpe import DeflatedSharpe, deflated_sharpe_ratio, expected_maximum_sharpe
from huracan.validation.overfitting import probability_of_backtest_overfitting
from huracan.validation.sharpe_inference import SharpeRatio, sharpe_ratio_inference

__all__ = ["SharpeFindings", "judge_sharpe_ratios"]

_BOOTSTRAPPED = 500_000
"""Rows times pairs up to which Sharpe ratios are compared by the bootstrap; beyond, samples are large enough without."""
_BLOCKS = 16
_GRID = 40

Floats = NDArray[np.float64]
_Ratios = Mapping[int, SharpeRatio]
_Deflated = Mapping[int, DeflatedSharpe]
_Shown = Mapping[tuple[int, int], tuple[float, float]]


@dataclass(frozen=True)
class SharpeFindings:
    """What the Sharpe ratios say; ``table`` and ``deflation`` as in :class:`huracan.baselines.ab_result.ABTestResult`."""

    table: pl.DataFrame
    deflation: pl.DataFrame
    deflation_of: str | None
    n_trials: int
    overfitting: float | None
    decision: str | None
    sentence: str
    notes: tuple[str, ...]


def judge_sharpe_ratios(
    returns: Floats,
    names: Sequence[str],
    *,
    baseline: str | None,
    alpha: float,
    correction: Correction,
    n_trials: int | None,
    resamples: int,
    seed: int,
    shown: str | None = None,
) -> SharpeFindings:
    """Compare Sharpe ratios, correct for the comparisons made, and deflate for everything that was tried.

    The winner has a Sharpe ratio shown to be above the baseline's (above every other's, without one), and one that is above
    what the best of ``n_trials`` strategies without skill would show, with probability ``1 - alpha``.

    Parameters
    ----------
    returns : (n, models), a row a period, in time order. names : of the models. baseline : one of them; one that never moves
        (no position) is a Sharpe ratio of 0.
    n_trials : everything that was tried, at least the number of models that trade, which is the default.
    shown : whose deflation is tabulated over the number of trials; by default the winner's, or that of the best ratio.

    Raises
    ------
    DataError : fewer trials than models, or a model that earns the same in every period, and not 0.

    Examples
    --------
    >>> returns = np.random.default_rng(0).normal([0.0, 0.002], 0.01, (1000, 2))
    >>> found = judge_sharpe_ratios(returns, ["flat", "good"], baseline="flat", alpha=0.05, correction="holm", n_trials=None,
    ...                             resamples=499, seed=0)
    >>> found.decision
    'good'
    """
    field, ratios, left_out = _entered(returns, tuple(names), baseline, alpha)
    pairs = _pairs(field)
    tests, notes = _tests(field, ratios, pairs, alpha, resamples, seed)
    adjusted = adjust_p_values([p for _, p in tests], correction).tolist() if tests else []
    found = {pair: (difference, p) for pair, (difference, _), p in zip(pairs, tests, adjusted)}
    trials = _checked_trials(n_trials, len(field.tried))
    deflated, unknown = _deflated(field, ratios, trials)
    overfitting, split = _overfitting(returns[:, field.tried], trials)
    winner = _winner(field, ratios, found, alpha)
    real = winner is not None and winner in deflated and deflated[winner].probability >= 1.0 - alpha
    best = winner if winner is not None else max(deflated, key=lambda i: ratios[i].sharpe_ratio, default=None)
    asked = next((i for i in deflated if names[i] == shown), best)
    drawn = deflated.get(asked) if asked is not None else None
    return SharpeFindings(
        table=_table(field, ratios, found, deflated),
        deflation=no_rows("deflation") if drawn is None else _deflation(returns[:, asked], drawn.trial_variance, trials),
        deflation_of=None if drawn is None or asked is None else names[asked],
        n_trials=trials,
        overfitting=overfitting,
        decision=names[winner] if winner is not None and real else None,
        sentence=_sentence(field, ratios, found, winner, deflated, trials, alpha),
        notes=(*left_out, *notes, *unknown, *split),
    )


@dataclass(frozen=True)
class _Field:
    """The strategies: which trade, and which of those were tried (all but the baseline)."""

    returns: Floats
    names: tuple[str, ...]
    baseline: int | None
    trading: list[int]

    @property
    def tried(self) -> list[int]:
        return [i for i in self.trading if i != self.baseline]


def _entered(
    returns: Floats, names: tuple[str, ...], baseline: str | None, alpha: float
) -> tuple[_Field, dict[int, SharpeRatio], list[str]]:
    """The strategies whose Sharpe ratio can be judged, what it is, and why others are left out."""
    ratios: dict[int, SharpeRatio] = {}
    notes: list[str] = []
    for i, name in enumerate(names):
        series = returns[:, i]
        moves = int((series != 0.0).sum())
        reason = ""
        if np.ptp(series) <= rounding(series):
            if moves:
                raise DataError(
                    f"'{name}' earns {series[0]:g} in every period, so its Sharpe ratio is infinite; returns in excess of it "
                    "were expected."
                )
            reason = "" if name == baseline else f"'{name}' never moves; it has no Sharpe ratio."
        elif moves < MINIMUM_OBSERVATIONS:
            seen = f"moves in {moves} of {len(series)} periods; at least {MINIMUM_OBSERVATIONS} are needed"
            reason = f"'{name}' {seen} to judge its Sharpe ratio."
        else:
            try:
                ratios[i] = sharpe_ratio_inference(series, confidence=1.0 - alpha)
            except DataError as error:
                reason = f"The Sharpe ratio of '{name}' cannot be judged: {error}"
        if reason and name == baseline:
            raise DataError(f"{reason} Nothing can be compared with such a baseline.")
        notes += [reason] if reason else []
    at = None if baseline is None else names.index(baseline)
    return _Field(returns, names, at, sorted(ratios)), ratios, notes


def _checked_trials(n_trials: int | None, tried: int) -> int:
    if n_trials is None:
        return max(1, tried)
    if isinstance(n_trials, bool) or not isinstance(n_trials, (int, np.integer)) or n_trials < max(1, tried):
        raise DataError(f"n_trials is {n_trials}; a whole number, {max(1, tried)} or more (the strategies here), was expected.")
    return int(n_trials)


def _pairs(field: _Field) -> list[tuple[int, int]]:
    if field.baseline is None:
        return list(combinations(field.trading, 2))
    return [(i, field.baseline) for i in field.tried]


def _tests(
    field: _Field, ratios: _Ratios, pairs: list[tuple[int, int]], alpha: float, resamples: int, seed: int
) -> tuple[list[tuple[float, float]], list[str]]:
    """Difference and two-sided p-value of each pair; a baseline without a position has Sharpe ratio 0."""
    small = len(field.returns) * len(pairs) <= _BOOTSTRAPPED
    # corrected for many pairs, the smallest p-value that resamples can give must be able to decide
    method: SharpeMethod = "bootstrap" if small and len(pairs) / (resamples + 1) <= alpha / 4 else "hac"
    found, notes = [], []
    for a, b in pairs:
        if b not in field.trading:
            above = ratios[a].probability
            found.append((ratios[a].sharpe_ratio, never_zero(2.0 * min(above, 1.0 - above))))
            continue
        try:
            test = sharpe_difference_test(
                field.returns[:, a], field.returns[:, b], method=method, resamples=resamples, confidence=1.0 - alpha, seed=seed
            )
            found.append((test.difference, test.p_value))
        except DataError as error:
            notes.append(f"'{field.names[a]}' and '{field.names[b]}' cannot be told apart: {error}")
            found.append((ratios[a].sharpe_ratio - ratios[b].sharpe_ratio, 1.0))
    return found, notes


def _deflated(field: _Field, ratios: _Ratios, n_trials: int) -> tuple[_Deflated, list[str]]:
    sharpes = [ratios[i].sharpe_ratio for i in field.tried]
    if n_trials > 1 and len(sharpes) < 2:
        note = (
            f"{n_trials} trials were made and the returns of {len(sharpes)} are here: how much their Sharpe ratios vary is not "
            "known, so none can be deflated."
        )
        return {}, [note]
    deflated = {
        i: deflated_sharpe_ratio(field.returns[:, i], trial_sharpe_ratios=sharpes, n_trials=n_trials) for i in field.tried
    }
    return deflated, list(dict.fromkeys(one.note for one in deflated.values() if one.note))


def _winner(field: _Field, ratios: _Ratios, shown: _Shown, alpha: float) -> int | None:
    """The best of those above the baseline; without one, the one above every other."""
    if field.baseline is not None:
        able = [a for (a, _), (difference, p) in shown.items() if p <= alpha and difference > 0.0]
        return max(able, key=lambda i: ratios[i].sharpe_ratio, default=None)
    wins = Counter(a if difference > 0.0 else b for (a, b), (difference, p) in shown.items() if p <= alpha)
    return next((i for i, count in wins.items() if count == len(field.trading) - 1), None)


def _table(field: _Field, ratios: _Ratios, shown: _Shown, deflated: _Deflated) -> pl.DataFrame:
    rows = []
    for i, name in enumerate(field.names):
        one, real = ratios.get(i), deflated.get(i)
        difference, p_adjusted = shown.get((i, field.baseline), (None, None)) if field.baseline is not None else (None, None)
        rows.append(
            {
                "model": name,
                "sharpe_ratio": one and one.sharpe_ratio,
                "ci_low": one and one.ci_low,
                "ci_high": one and one.ci_high,
                "difference": difference,
                "p_adjusted": p_adjusted,
                "probability_positive": one and one.probability,
                "deflated": real and real.probability,
                "minimum_track_record": real and real.minimum_track_record_length,
            }
        )
    table = pl.DataFrame(rows, schema=no_rows("sharpe").schema)
    return table.sort("sharpe_ratio", "model", descending=[True, False], nulls_last=True)


def _deflation(returns: Floats, trial_variance: float, n_trials: int) -> pl.DataFrame:
    """What the number of trials does to one strategy, from 1 to ten times as many as were made."""
    grid = np.unique(np.append(np.geomspace(1, max(10 * n_trials, 1000), _GRID).round(), n_trials)).astype(np.int64)
    expected = [expected_maximum_sharpe(float(n), trial_variance) for n in grid]
    above = [sharpe_ratio_inference(returns, benchmark=level).probability for level in expected]
    return pl.DataFrame({"n_trials": grid, "expected_maximum": expected, "deflated": above})


def _overfitting(returns: Floats, n_trials: int) -> tuple[float | None, list[str]]:
    if returns.shape[1] < 2:
        return None, []
    try:
        probability = probability_of_backtest_overfitting(returns, n_blocks=_BLOCKS).probability
    except DataError as error:
        return None, [f"The probability of backtest overfitting cannot be given: {error}"]
    here = returns.shape[1]
    partly = (
        f"The probability of backtest overfitting is that of picking among {here} strategies, not among all {n_trials} tried."
    )
    return probability, [partly] if n_trials > here else []


def _sentence(
    field: _Field, ratios: _Ratios, shown: _Shown, winner: int | None, deflated: _Deflated, n_trials: int, alpha: float
) -> str:
    names, at = field.names, field.baseline
    over = "every other's" if at is None else f"that of '{names[at]}'"
    if not shown:
        return "No two Sharpe ratios can be compared."
    if winner is None:
        (a, b), (_, p) = min(shown.items(), key=lambda item: item[1][1])
        closest = f"smallest adjusted p {written_p(p)} ('{names[a]}' and '{names[b]}')"
        return f"At the {alpha:.3g} level no Sharpe ratio is shown to be above {over}: {closest}."
    least = written_p(max(p for pair, (_, p) in shown.items() if winner in pair))
    height = f"a Sharpe ratio of {ratios[winner].sharpe_ratio:.4g} a period"
    said = f"'{names[winner]}' has {height}, above {over} (adjusted p {least})"
    trials = f"{n_trials} trial{'s' if n_trials != 1 else ''}"
    if winner not in deflated:
        return f"{said}, but it cannot be said what the best of {trials} would show by luck."
    real = deflated[winner]
    luck = f"after {trials} luck alone is expected to show {real.expected_maximum:.4g}, and it is above that with probability"
    join = "and" if real.probability >= 1.0 - alpha else "but"
    return f"{said}, {join} {luck} {real.probability:.3g}."
