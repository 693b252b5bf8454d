"""The textbook tests of two samples, exact, with intervals: for independent observations only.

All of them count every row as one more piece of evidence. On autocorrelated data (losses over time, overlapping labels)
they call 25 to 70 % of equal models different; there use :func:`huracan.statistics.ewc_t_test` on the differences, or
``compare_models``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri, stdtr, stdtrit

from huracan.errors import DataError
from huracan.statistics.ewc import Alternative
from huracan.statistics.pairwise_order import ordered_differences, ordered_walsh_averages
from huracan.statistics.rank_distributions import mann_whitney_cdf, signed_rank_cdf
from huracan.statistics.sample_checks import (
    as_pairs,
    as_sample,
    check_alternative,
    check_differences,
    check_open_unit,
    never_zero,
    rounding,
)

__all__ = ["MannWhitney", "TTest", "Wilcoxon", "mann_whitney", "t_test", "wilcoxon"]

_EXACT_SMALLER = 8
_EXACT_PRODUCT = 200_000
_EXACT_PAIRS = 50
_EXACT_TIED_PAIRS = 13


@dataclass(frozen=True)
class TTest:
    """Result of :func:`t_test`.

    Attributes
    ----------
    difference : mean of a less mean of b. standard_error : of the difference.
    t, degrees_of_freedom, p_value : of the test, for the alternative asked.
    ci_low, ci_high : interval of the difference of the means; a one-sided alternative leaves one end infinite.
    cohens_d : the difference in standard deviations, pooled, or of the differences where ``paired``.
    n_a, n_b, confidence, alternative : what was asked.
    """

    difference: float
    t: float
    degrees_of_freedom: float
    p_value: float
    ci_low: float
    ci_high: float
    cohens_d: float
    paired: bool
    standard_error: float
    n_a: int
    n_b: int
    confidence: float = 0.95
    alternative: Alternative = "two-sided"


@dataclass(frozen=True)
class MannWhitney:
    """Result of :func:`mann_whitney`.

    Attributes
    ----------
    u : pairs in which a is the larger; ties count as half. probability_a_larger : the same as a share of all pairs.
    p_value : for the alternative asked. exact : by enumeration; otherwise the normal approximation, corrected for ties.
    median_difference : Hodges-Lehmann, the median of all differences ``a[i] - b[j]``.
    ci_low, ci_high : its distribution-free interval (Moses), right where b has the shape of a, shifted; infinite ends
        where the samples are too small for the confidence asked (``note`` says so).
    """

    u: float
    p_value: float
    probability_a_larger: float
    median_difference: float
    ci_low: float
    ci_high: float
    n_a: int
    n_b: int
    exact: bool
    confidence: float = 0.95
    alternative: Alternative = "two-sided"
    note: str = ""


@dataclass(frozen=True)
class Wilcoxon:
    """Result of :func:`wilcoxon`.

    Attributes
    ----------
    rank_sum_positive, rank_sum_negative : of the ranks of ``|a - b|``, pairs without a difference left out.
    p_value : for the alternative asked. exact : by enumeration; otherwise the normal approximation, corrected for ties.
    median_difference : Hodges-Lehmann pseudo-median, the median of the averages of all two differences.
    ci_low, ci_high : its distribution-free interval (Tukey), right where the differences are symmetric; infinite ends
        where there are too few pairs for the confidence asked (``note`` says so).
    n, n_zero : pairs, and those among them without a difference.
    """

    rank_sum_positive: float
    rank_sum_negative: float
    p_value: float
    median_difference: float
    ci_low: float
    ci_high: float
    n: int
    n_zero: int
    exact: bool
    confidence: float = 0.95
    alternative: Alternative = "two-sided"
    note: str = ""


def t_test(
    a: ArrayLike, b: ArrayLike, *, paired: bool = False, alternative: Alternative = "two-sided", confidence: float = 0.95
) -> TTest:
    """Compare two means of independent observations: Welch's test, or the paired test.

    Wrong on autocorrelated data, such as losses over time: use :func:`huracan.statistics.ewc_t_test` on the differences,
    or ``compare_models``.

    Parameters
    ----------
    a, b : (n,) and (m,) floats, at least 2 each; of one length where ``paired``.
    paired : whether row i of ``a`` belongs to row i of ``b``.
    alternative : of the mean of ``a`` against that of ``b``.
    confidence : level of the interval.

    Raises
    ------
    DataError : a value is not finite, lengths differ though paired, nothing varies, or a setting is out of bounds.
    NotEnoughData : fewer than two observations.

    References
    ----------
    Welch (1947), Biometrika 34; Student (1908), Biometrika 6.

    Examples
    --------
    >>> result = t_test([1.0, 2.0, 3.0, 4.0], [2.0, 4.0, 6.0, 8.0])
    >>> round(result.t, 4), round(result.degrees_of_freedom, 4), round(result.p_value, 4)
    (-1.7321, 4.4118, 0.1516)
    """
    check_alternative(alternative)
    check_open_unit(confidence, "confidence")
    if paired:
        first, second = as_pairs(a, b, purpose="a t test")
        delta = first - second
        difference, spread, degrees = float(delta.mean()), float(delta.std(ddof=1)), len(delta) - 1.0
        error = spread / np.sqrt(len(delta))
    else:
        first, second = as_sample(a, "a", purpose="a t test"), as_sample(b, "b", purpose="a t test")
        n, m = len(first), len(second)
        one, two = first.var(ddof=1), second.var(ddof=1)
        difference, spread = float(first.mean() - second.mean()), float(np.sqrt(((n - 1) * one + (m - 1) * two) / (n + m - 2)))
        error = np.sqrt(one / n + two / m)
    if spread <= rounding(first, second):
        raise DataError("nothing varies " + ("between the pairs" if paired else "within a or b") + "; no t test is possible.")
    if not paired:
        share = one / n / (one / n + two / m)
        degrees = 1.0 / float(share**2 / (n - 1) + (1.0 - share) ** 2 / (m - 1))
    t = difference / float(error)
    towards = {"two-sided": -abs(t), "less": t, "greater": -t}[alternative]
    p_value = float(stdtr(degrees, towards)) * (2.0 if alternative == "two-sided" else 1.0)
    reach = float(error * stdtrit(degrees, 0.5 + confidence / 2.0 if alternative == "two-sided" else confidence))
    return TTest(
        difference=difference,
        t=t,
        degrees_of_freedom=degrees,
        p_value=never_zero(p_value),
        ci_low=-np.inf if alternative == "less" else difference - reach,
        ci_high=np.inf if alternative == "greater" else difference + reach,
        cohens_d=difference / spread,
        paired=paired,
        standard_error=float(error),
        n_a=len(first),
        n_b=len(second),
        confidence=confidence,
        alternative=alternative,
    )


def mann_whitney(
    a: ArrayLike, b: ArrayLike, *, alternative: Alternative = "two-sided", confidence: float = 0.95
) -> MannWhitney:
    """Compare two samples of independent observations by rank: is a value of ``a`` larger than one of ``b``?

    Robust to heavy tails, but wrong on autocorrelated data, such as losses over time: use
    :func:`huracan.statistics.ewc_t_test` on the differences, or ``compare_models``. The p-value is exact where there are
    no ties and one sample has at most 8 values; otherwise normal with corrections for ties and continuity. It is that of
    samples of one shape: where spreads differ, "equally often larger" is rejected too often.

    Parameters
    ----------
    a, b : (n,) and (m,) floats, at least 2 each. alternative : of ``a`` against ``b``. confidence : of the interval.

    Raises
    ------
    DataError : a value is not finite, no value differs within a or b, or a setting is out of bounds.
    NotEnoughData : fewer than two observations.

    References
    ----------
    Mann and Whitney (1947), Annals of Mathematical Statistics 18; Hodges and Lehmann (1963), ibid. 34; Moses (1965),
    Technometrics 7; Hollander and Wolfe (1999), Nonparametric Statistical Methods, sections 4.1 to 4.3.

    Examples
    --------
    >>> result = mann_whitney([3.0, 4.0, 5.0], [1.0, 2.0, 3.5])
    >>> result.u, round(result.probability_a_larger, 3), result.median_difference
    (8.0, 0.889, 2.0)
    """
    from scipy import stats

    check_alternative(alternative)
    check_open_unit(confidence, "confidence")
    first, second = as_sample(a, "a"), as_sample(b, "b")
    n, m = len(first), len(second)
    if max(np.ptp(first), np.ptp(second)) <= rounding(first, second):
        raise DataError(f"a is {first[0]:g} and b {second[0]:g} in every row; ranks need values that differ within a or b.")
    both = np.sort(np.concatenate([first, second]))
    exact = min(n, m) <= _EXACT_SMALLER and n * m <= _EXACT_PRODUCT and not np.any(both[1:] == both[:-1])
    u = float(stats.rankdata(np.concatenate([first, second]))[:n].sum()) - n * (n + 1) / 2
    if exact:
        at_most = mann_whitney_cdf(n, m)
        p_value = _exact_p_value(at_most, int(u), alternative)
        order = int(np.searchsorted(at_most, _tail(alternative, confidence), side="right"))
    else:
        p_value = float(stats.mannwhitneyu(first, second, alternative=alternative, method="asymptotic").pvalue)
        order = _normal_order(n * m / 2.0, np.sqrt(n * m * (n + m + 1) / 12.0), alternative, confidence)
    centre, low, high, note = _interval(n * m, order, alternative, confidence, lambda r: ordered_differences(first, second, r))
    p_value = never_zero(p_value)
    return MannWhitney(u, p_value, u / (n * m), centre, low, high, n, m, exact, confidence, alternative, note)


def wilcoxon(
    a: ArrayLike, b: ArrayLike | None = None, *, alternative: Alternative = "two-sided", confidence: float = 0.95
) -> Wilcoxon:
    """Compare pairs of independent observations by the ranks of their differences (signed-rank test).

    Robust to heavy tails, but wrong on autocorrelated data, such as losses over time: use
    :func:`huracan.statistics.ewc_t_test` on the differences, or ``compare_models``. Pairs without a difference are left
    out of the test (Wilcoxon's rule; they are counted), not out of estimate and interval. The p-value is exact up to 50
    pairs without ties or zeros, and up to 13 with them; otherwise normal with a correction for ties.

    Parameters
    ----------
    a, b : (n,) floats, row i of ``a`` belonging to row i of ``b``; or ``a`` alone, the differences.
    alternative : of ``a`` against ``b``. confidence : of the interval.

    Raises
    ------
    DataError : a value is not finite, lengths differ, no pair differs, all pairs differ by one number, or a setting is out
        of bounds. NotEnoughData : fewer than two pairs.

    References
    ----------
    Wilcoxon (1945), Biometrics Bulletin 1; Hodges and Lehmann (1963), Annals of Mathematical Statistics 34; Hollander
    and Wolfe (1999), Nonparametric Statistical Methods, sections 3.1 to 3.3.

    Examples
    --------
    >>> result = wilcoxon([1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30],
    ...                   [0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29], alternative="greater")
    >>> result.rank_sum_positive, round(result.p_value, 5), round(result.median_difference, 3)
    (40.0, 0.01953, 0.46)
    """
    from scipy import stats

    check_alternative(alternative)
    check_open_unit(confidence, "confidence")
    if b is None:
        delta = as_sample(a, "a")
        check_differences(delta, rounding(delta))
    else:
        first, second = as_pairs(a, b)
        delta = first - second
        check_differences(delta, rounding(first, second))
    moved = delta[delta != 0.0]
    n = len(delta)
    rank = stats.rankdata(np.abs(moved))
    positive = float(rank[moved > 0].sum())
    untied = len(moved) == n and len(np.unique(rank)) == n
    exact = n <= (_EXACT_PAIRS if untied else _EXACT_TIED_PAIRS)
    if exact:
        doubled = np.rint(2 * rank).astype(np.int64)  # ranks of ties are halves
        p_value = _exact_p_value(signed_rank_cdf(doubled), round(2 * positive), alternative)
    else:
        p_value = float(stats.wilcoxon(delta, alternative=alternative, method="asymptotic").pvalue)
    if n <= _EXACT_PAIRS:
        order = int(np.searchsorted(signed_rank_cdf(np.arange(1, n + 1)), _tail(alternative, confidence), side="right"))
    else:
        scale = np.sqrt(n * (n + 1) * (2 * n + 1) / 24.0)
        order = _normal_order(n * (n + 1) / 4.0, scale, alternative, confidence)
    pairs = n * (n + 1) // 2
    centre, low, high, note = _interval(pairs, order, alternative, confidence, lambda r: ordered_walsh_averages(delta, r))
    negative = float(rank[moved < 0].sum())
    n_zero = n - len(moved)
    p_value = never_zero(p_value)
    return Wilcoxon(positive, negative, p_value, centre, low, high, n, n_zero, exact, confidence, alternative, note)


def _exact_p_value(at_most: NDArray[np.float64], statistic: int, alternative: Alternative) -> float:
    less, greater = float(at_most[statistic]), float(at_most[len(at_most) - 1 - statistic])  # symmetric
    if alternative == "two-sided":
        return min(1.0, 2.0 * min(less, greater))
    return less if alternative == "less" else greater


def _tail(alternative: Alternative, confidence: float) -> float:
    # one rounding error above the level, so that a tail of exactly 2.5 % is not lost
    return (1.0 - confidence) / (2.0 if alternative == "two-sided" else 1.0) * (1.0 + 1e-12)


def _normal_order(centre: float, scale: float, alternative: Alternative, confidence: float) -> int:
    return max(0, int(np.floor(centre + 0.5 + ndtri(_tail(alternative, confidence)) * scale)))


def _interval(
    size: int,
    order: int,
    alternative: Alternative,
    confidence: float,
    ordered: Callable[[Sequence[int]], NDArray[np.float64]],
) -> tuple[float, float, float, str]:
    """The median of ``size`` ordered values, and the ``order``-th from below and above, with a note where there is none."""
    ranks = [(size - 1) // 2, size // 2, *([] if order < 1 else [order - 1, size - order])]
    values = ordered(ranks)
    centre = float(values[0] + (values[1] - values[0]) / 2.0)
    if order < 1:
        note = f"the samples are too small for a distribution-free interval of {confidence:.4g}; it is the whole line"
        return centre, -np.inf, np.inf, note
    low = -np.inf if alternative == "less" else float(values[2])
    high = np.inf if alternative == "greater" else float(values[3])
    return centre, low, high, ""
