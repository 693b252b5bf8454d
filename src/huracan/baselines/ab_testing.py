"""Which of these models is better, and how sure is that: comparisons that hold on autocorrelated losses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from textwrap import shorten
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from huracan.errors import DataError, NotEnoughData, nearest_name
from huracan.statistics import CORRECTIONS, Alternative, Correction, adjust_p_values, average_by_time, ewc_t_test
from huracan.statistics.series import MINIMUM_OBSERVATIONS

__all__ = ["Comparison", "MannWhitney", "PairResult", "TTest", "compare_models", "mann_whitney", "t_test"]

Dependence = Literal["auto", "independent"]


@dataclass(frozen=True)
class PairResult:
    """One comparison: ``difference`` is the mean loss of ``model_a`` less that of ``model_b``; negative: a is better.

    ``ci_low`` and ``ci_high`` are for this pair alone; ``p_adjusted`` is corrected for all pairs of the comparison.
    ``effect_size`` is the difference in standard deviations of the differences over time (Cohen's d for pairs).
    ``n_eff`` is the number of independent differences that would be worth as much. ``note`` says why a pair could not
    be decided, where it could not.
    """

    model_a: str
    model_b: str
    difference: float
    ci_low: float
    ci_high: float
    p_value: float
    p_adjusted: float
    effect_size: float
    n_eff: float
    note: str = ""

    @property
    def pair(self) -> str:
        """The two names in the order of the subtraction."""
        return f"{self.model_a} - {self.model_b}"


@dataclass(frozen=True)
class Comparison:
    """Result of :func:`compare_models`.

    Attributes
    ----------
    pairs : every pair compared, in the order given.
    mean_loss : model -> its mean loss over time.
    decision : the winner, or None where nothing is shown. With a baseline: of the models shown to be better than it,
        the one with the lowest mean loss. Without: the model shown to be better than every other.
    sentence : the finding in one sentence.
    n_times : points in time the inference rests on.
    """

    pairs: tuple[PairResult, ...]
    mean_loss: Mapping[str, float]
    decision: str | None
    sentence: str
    alpha: float
    correction: str
    dependence: str
    n_times: int

    def __repr__(self) -> str:
        counted = f"{len(self.mean_loss)} models, {len(self.pairs)} pairs, {self.n_times:,} times"
        return shorten(f"<Comparison of {counted}: {self.sentence}", 290, placeholder=" ...") + ">"

    def to_frame(self) -> pl.DataFrame:
        """The pairs as a polars frame, one row each."""
        columns = ("difference", "ci_low", "ci_high", "p_value", "p_adjusted", "effect_size", "n_eff")
        return pl.DataFrame(
            {"pair": [item.pair for item in self.pairs]}
            | {name: [getattr(item, name) for item in self.pairs] for name in columns}
            | {name: [getattr(item, name) for item in self.pairs] for name in ("model_a", "model_b")},
            schema_overrides=dict.fromkeys(columns, pl.Float64),
        )


def compare_models(
    losses: Mapping[str, ArrayLike] | Any,
    *,
    baseline: str | None = None,
    times: ArrayLike | None = None,
    correction: Correction = "holm",
    dependence: Dependence = "auto",
    alternative: Alternative = "two-sided",
    alpha: float = 0.05,
) -> Comparison:
    """Compare models by their losses on the same rows, out of fold.

    Losses of overlapping labels, or of neighbouring bars, are autocorrelated; a plain t test on them calls 39 to 65 % of
    equal models different. The mean of each difference is tested with equal-weighted cosines instead
    (:func:`huracan.statistics.ewc_t_test`, the robust form of the Diebold-Mariano test) and the p-values are corrected
    for the number of pairs.

    Parameters
    ----------
    losses : model -> losses (n,), smaller is better; or a pandas or polars frame with a column for each model. Rows are
        in time order unless ``times`` is given.
    baseline : compare every other model with this one only (``difference = model - baseline``); by default all pairs.
    times : (n,) time of every row. Rows of one time (many symbols) are averaged into one observation.
    correction : for the number of pairs, see :func:`huracan.statistics.adjust_p_values`.
    dependence : "auto" for the robust test; "independent" for the classical paired t test, which is only right where the
        rows are known to be independent.
    alternative : "two-sided"; "less" asks whether the first of each pair has the lower loss, "greater" the higher.
    alpha : level of the decision; intervals have level ``1 - alpha``.

    Raises
    ------
    DataError : fewer than two models, lengths differ, a loss is not finite (model and row are named), or a difference
        that is the same on every row and not zero. Identical losses are no error: the pair gets p = 1 and a note.
    NotEnoughData : fewer than 20 points in time.
    UnknownName : ``baseline`` is not among the models.

    References
    ----------
    Diebold and Mariano (1995), JBES 13; Lazarus, Lewis, Stock and Watson (2018), JBES 36; Holm (1979).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> market = rng.standard_normal(500) ** 2
    >>> losses = {"constant": market, "ridge": market + rng.normal(-0.1, 0.3, 500), "knn": market + rng.normal(0, 0.3, 500)}
    >>> result = compare_models(losses, baseline="constant")
    >>> result.decision, result.to_frame()["pair"].to_list()
    ('ridge', ['ridge - constant', 'knn - constant'])
    """
    if correction not in CORRECTIONS:
        raise DataError(f"correction is '{correction}'; one of {', '.join(CORRECTIONS)} was expected.")
    if dependence not in ("auto", "independent"):
        raise DataError(f"dependence is '{dependence}'; 'auto' or 'independent' was expected.")
    if not 0.0 < alpha < 1.0:
        raise DataError(f"alpha is {alpha}; a number between 0 and 1 was expected.")
    table = _loss_table(losses)
    if baseline is not None and baseline not in table:
        raise nearest_name(baseline, table, kind="baseline")
    names = list(table)
    chosen = list(combinations(names, 2)) if baseline is None else [(name, baseline) for name in names if name != baseline]
    if times is not None:
        moments = _plain(times)
        table = {name: average_by_time(values, moments)[1] for name, values in table.items()}
    n_times = len(table[names[0]])
    fewest = MINIMUM_OBSERVATIONS if dependence == "auto" else 2
    if n_times < fewest:
        what = "rows" if times is None else "different times"
        raise NotEnoughData(f"the losses cover {n_times} {what}; at least {fewest} are needed to compare models.")
    raw = [_compare_pair(a, b, table[a], table[b], dependence, alternative, 1.0 - alpha) for a, b in chosen]
    adjusted = adjust_p_values([item.p_value for item in raw], correction)
    pairs = tuple(_with_adjusted(item, float(p)) for item, p in zip(raw, adjusted))
    mean_loss = {name: float(table[name].mean()) for name in names}
    decision = _winner(pairs, mean_loss, baseline, alpha)
    return Comparison(
        pairs=pairs,
        mean_loss=mean_loss,
        decision=decision,
        sentence=_sentence(pairs, decision, baseline, alpha, correction, n_times),
        alpha=alpha,
        correction=correction,
        dependence=dependence,
        n_times=n_times,
    )


@dataclass(frozen=True)
class TTest:
    """Result of :func:`t_test`: ``difference`` is the mean of a less the mean of b, ``cohens_d`` its standardised size."""

    difference: float
    t: float
    degrees_of_freedom: float
    p_value: float
    ci_low: float
    ci_high: float
    cohens_d: float
    paired: bool


def t_test(
    a: ArrayLike, b: ArrayLike, *, paired: bool = False, alternative: Alternative = "two-sided", confidence: float = 0.95
) -> TTest:
    """Compare two means of independent observations: Welch's test, or the paired test.

    For losses over time use :func:`compare_models`: this test is wrong on autocorrelated data.

    Parameters
    ----------
    a, b : (n,) and (m,) floats; of one length where ``paired``.
    paired : whether row i of ``a`` belongs to row i of ``b``.
    alternative : of the mean of ``a`` against that of ``b``.
    confidence : level of the interval.

    Raises
    ------
    DataError : a value is not finite, lengths differ though paired, or nothing varies.
    NotEnoughData : fewer than two observations.

    Examples
    --------
    >>> result = t_test([1.0, 2.0, 3.0, 4.0], [2.0, 4.0, 6.0, 8.0])
    >>> round(result.t, 4), round(result.degrees_of_freedom, 4), round(result.p_value, 4)
    (-1.7321, 4.4118, 0.1516)
    """
    first, second = _sample(a, "a"), _sample(b, "b")
    if paired and len(first) != len(second):
        raise DataError(f"a has {len(first)} rows and b {len(second)}; a paired test needs equally many.")
    difference = float(first.mean() - second.mean())
    if paired:
        delta = first - second
        spread = float(delta.std(ddof=1))
    else:
        n, m = len(first), len(second)
        spread = float(np.sqrt(((n - 1) * first.var(ddof=1) + (m - 1) * second.var(ddof=1)) / (n + m - 2)))
    if spread <= 64 * np.finfo(np.float64).eps * max(np.abs(first).max(), np.abs(second).max()):
        raise DataError("nothing varies " + ("between the pairs" if paired else "within a or b") + "; no t test is possible.")
    if paired:
        result = stats.ttest_rel(first, second, alternative=alternative)
    else:
        result = stats.ttest_ind(first, second, equal_var=False, alternative=alternative)
    interval = result.confidence_interval(confidence_level=confidence)
    return TTest(
        difference=difference,
        t=float(result.statistic),
        degrees_of_freedom=float(result.df),
        p_value=float(result.pvalue),
        ci_low=float(interval.low),
        ci_high=float(interval.high),
        cohens_d=difference / spread,
        paired=paired,
    )


@dataclass(frozen=True)
class MannWhitney:
    """Result of :func:`mann_whitney`; ``probability_a_larger`` counts ties as half."""

    u: float
    p_value: float
    probability_a_larger: float


def mann_whitney(a: ArrayLike, b: ArrayLike, *, alternative: Alternative = "two-sided") -> MannWhitney:
    """Compare two samples of independent observations by rank: is a value of ``a`` larger than one of ``b``?

    Robust to heavy tails, but like :func:`t_test` wrong on autocorrelated data.

    Parameters
    ----------
    a, b : (n,) and (m,) floats. alternative : of ``a`` against ``b``.

    Raises
    ------
    DataError : a value is not finite. NotEnoughData : fewer than two observations.

    References
    ----------
    Mann and Whitney (1947), Annals of Mathematical Statistics 18; computed by scipy.

    Examples
    --------
    >>> result = mann_whitney([3.0, 4.0, 5.0], [1.0, 2.0, 3.5])
    >>> result.u, round(result.probability_a_larger, 3)
    (8.0, 0.889)
    """
    first, second = _sample(a, "a"), _sample(b, "b")
    result = stats.mannwhitneyu(first, second, alternative=alternative)
    return MannWhitney(float(result.statistic), float(result.pvalue), float(result.statistic) / (len(first) * len(second)))


def _compare_pair(
    a: str,
    b: str,
    loss_a: NDArray[np.float64],
    loss_b: NDArray[np.float64],
    dependence: Dependence,
    alternative: Alternative,
    confidence: float,
) -> PairResult:
    difference = loss_a - loss_b
    rounding = 64 * np.finfo(np.float64).eps * max(np.abs(loss_a).max(), np.abs(loss_b).max())
    if np.abs(difference).max() <= rounding:
        return PairResult(a, b, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, note="the losses are the same on every row")
    if np.ptp(difference) <= rounding:
        raise DataError(
            f"'{a}' and '{b}' differ by {difference[0]:g} on every one of {len(difference)} rows; losses that do not vary "
            "cannot be tested. Were they computed row by row?"
        )
    mean, effect = float(difference.mean()), float(difference.mean() / difference.std(ddof=1))
    if dependence == "independent":
        paired = t_test(loss_a, loss_b, paired=True, alternative=alternative, confidence=confidence)
        n = float(len(difference))
        return PairResult(a, b, mean, paired.ci_low, paired.ci_high, paired.p_value, paired.p_value, effect, n)
    robust = ewc_t_test(difference, name=f"the loss difference '{a}' - '{b}'", alternative=alternative, confidence=confidence)
    note = "" if robust.decidable else f"the difference remembers too long to be tested on {robust.n} points in time"
    p = robust.p_value
    return PairResult(a, b, mean, robust.ci_low, robust.ci_high, p, p, effect, robust.n_effective, note)


def _with_adjusted(item: PairResult, p_adjusted: float) -> PairResult:
    return PairResult(**{**item.__dict__, "p_adjusted": p_adjusted})


def _winner(pairs: tuple[PairResult, ...], mean_loss: Mapping[str, float], baseline: str | None, alpha: float) -> str | None:
    shown: dict[str, int] = {}
    for item in pairs:
        if item.p_adjusted <= alpha and item.difference != 0.0:
            better = item.model_a if item.difference < 0 else item.model_b
            shown[better] = shown.get(better, 0) + 1
    shown.pop(baseline or "", None)
    needed = 1 if baseline is not None else len(mean_loss) - 1
    able = [name for name, count in shown.items() if count >= needed]
    return min(able, key=lambda name: mean_loss[name], default=None)


def _sentence(
    pairs: tuple[PairResult, ...], decision: str | None, baseline: str | None, alpha: float, correction: str, n: int
) -> str:
    rest = f"{len(pairs)} pair{'s' if len(pairs) != 1 else ''}, {correction} correction, {n} points in time"
    undecided = [item for item in pairs if item.note]
    tail = f" {undecided[0].pair}: {undecided[0].note}." if undecided else ""
    if decision is None:
        best = min(pairs, key=lambda item: item.p_adjusted)
        who = (
            f"no model is shown to be better than '{baseline}'"
            if baseline
            else "no model is shown to be better than all others"
        )
        return f"At the {alpha:.0%} level {who}: smallest adjusted p = {best.p_adjusted:.3g} ({best.pair}; {rest}).{tail}"
    decisive = [item for item in pairs if decision in (item.model_a, item.model_b)]
    worst = max(decisive, key=lambda item: item.p_adjusted)
    over = f"'{baseline}'" if baseline else "every other model"
    gain = f"mean loss lower by {abs(worst.difference):.4g}, adjusted p = {worst.p_adjusted:.3g}"
    return f"'{decision}' is better than {over}: {gain} ({rest}).{tail}"


def _loss_table(losses: Mapping[str, ArrayLike] | Any) -> dict[str, NDArray[np.float64]]:
    if not isinstance(losses, Mapping) and not hasattr(losses, "columns"):
        raise DataError(f"losses is a {type(losses).__name__}; a dict of model -> losses, or a frame, was expected.")
    names = list(losses if isinstance(losses, Mapping) else losses.columns)
    if len(names) < 2:
        raise DataError(f"losses holds {len(names)} model(s); at least two are needed for a comparison.")
    table = {}
    for name in names:
        values = _plain(losses[name])
        if values.ndim != 1 or not np.issubdtype(values.dtype, np.number):
            raise DataError(
                f"losses of '{name}' are {values.dtype} of shape {values.shape}; one number for every row was expected."
            )
        table[str(name)] = values.astype(np.float64)
    first = next(iter(table))
    for name, values in table.items():
        if len(values) != len(table[first]):
            raise DataError(
                f"'{name}' has {len(values)} losses where '{first}' has {len(table[first])}; the same rows were expected."
            )
        bad = ~np.isfinite(values)
        if bad.any():
            where = int(np.argmax(bad))
            raise DataError(f"the loss of '{name}' is {values[where]} in row {where}; finite numbers were expected.")
    return table


def _sample(values: ArrayLike, name: str) -> NDArray[np.float64]:
    sample = np.asarray(_plain(values), dtype=np.float64).reshape(-1)
    if len(sample) < 2:
        raise NotEnoughData(f"{name} has {len(sample)} observation(s); at least 2 are needed.")
    bad = ~np.isfinite(sample)
    if bad.any():
        where = int(np.argmax(bad))
        raise DataError(f"{name} holds {sample[where]} in row {where}; finite numbers were expected.")
    return sample


def _plain(values: Any) -> NDArray[Any]:
    return np.asarray(values.to_numpy() if hasattr(values, "to_numpy") else values)
