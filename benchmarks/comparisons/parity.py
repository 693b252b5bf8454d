"""Equality with oracles and published examples: the largest difference that each check finds."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["CHECKS", "EQUAL", "Check"]

EQUAL = 1e-10
SIDES = ("two-sided", "less", "greater")
SEEDS = range(8)
RESAMPLES = 199

Pair = tuple[float, float]
"""Ours and theirs."""


@dataclass(frozen=True)
class Check:
    """Numbers of ours beside those of an oracle: ``bar`` is the largest difference (relative beyond 1) that is equality."""

    what: str
    oracle: str
    pairs: Callable[[], Iterable[Pair]]
    bar: float = EQUAL

    def difference(self) -> tuple[float, int]:
        """The largest difference, and how many numbers were compared."""
        ours, theirs = np.array(list(self.pairs()), dtype=np.float64).T
        assert not np.isnan([ours, theirs]).any(), f"{self.what} against {self.oracle} compares what is no number"
        differ = ours != theirs  # the infinite ends of one-sided intervals are equal, or infinitely far apart
        apart = np.abs(ours[differ] - theirs[differ]) / np.maximum(1.0, np.abs(theirs[differ]))
        return float(apart.max(initial=0.0)), len(ours)


def _t_tests(paired: bool) -> Iterator[Pair]:
    from scipy import stats

    from huracan.statistics.two_samples import t_test

    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        n = int(rng.integers(3, 200))
        a, b = rng.normal(3, 2, n), rng.standard_t(4, n if paired else n + 7)
        for side in SIDES:
            mine = t_test(a, b, paired=paired, alternative=side, confidence=0.9)
            theirs = (
                stats.ttest_rel(a, b, alternative=side) if paired else stats.ttest_ind(a, b, equal_var=False, alternative=side)
            )
            interval = theirs.confidence_interval(0.9)
            yield from zip(
                (mine.t, mine.degrees_of_freedom, mine.p_value, mine.ci_low, mine.ci_high),
                (theirs.statistic, theirs.df, theirs.pvalue, interval.low, interval.high),
                strict=True,
            )


def _welch_interval() -> Iterator[Pair]:
    from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

    from huracan.statistics.two_samples import t_test

    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        a, b = rng.normal(3, 2, 5 + 20 * seed), rng.standard_t(4, 9 + 10 * seed)
        mine, theirs = t_test(a, b), CompareMeans(DescrStatsW(a), DescrStatsW(b))
        yield from zip((mine.ci_low, mine.ci_high), theirs.tconfint_diff(usevar="unequal"), strict=True)
        yield (mine.p_value, theirs.ttest_ind(usevar="unequal")[1])
        yield (mine.difference / mine.standard_error, theirs.ttest_ind(usevar="unequal")[0])


def _mann_whitney() -> Iterator[Pair]:
    from scipy import stats

    from huracan.statistics.two_samples import mann_whitney

    for n, m, digits, seed in ((2, 3, 9, 0), (8, 8, 9, 1), (8, 40, 9, 2), (8, 8, 0, 3), (9, 9, 9, 4), (60, 90, 1, 5)):
        rng = np.random.default_rng(seed)
        a, b = rng.normal(0, 2, n).round(digits), rng.normal(0.4, 2, m).round(digits)
        for side in SIDES:
            mine, theirs = mann_whitney(a, b, alternative=side), stats.mannwhitneyu(a, b, alternative=side)
            yield from ((mine.u, theirs.statistic), (mine.p_value, theirs.pvalue))


def _wilcoxon() -> Iterator[Pair]:
    from scipy import stats

    from huracan.statistics.two_samples import wilcoxon

    for n, digits, seed in ((3, 9, 0), (8, 9, 1), (13, 0, 2), (14, 0, 3), (50, 9, 4), (51, 9, 5), (200, 1, 6)):
        delta = np.random.default_rng(seed).normal(0.3, 2, n).round(digits)
        for side in SIDES:
            mine, theirs = wilcoxon(delta, alternative=side), stats.wilcoxon(delta, alternative=side)
            yield (mine.p_value, theirs.pvalue)


def _corrections() -> Iterator[Pair]:
    from statsmodels.stats.multitest import multipletests

    from huracan.statistics import adjust_p_values

    known = {"holm": "holm", "bonferroni": "bonferroni", "hochberg": "simes-hochberg", "fdr_bh": "fdr_bh", "fdr_by": "fdr_by"}
    for method, theirs in known.items():
        for seed in SEEDS:
            rng = np.random.default_rng(seed)
            p = rng.random(int(rng.integers(1, 60))) ** 3
            yield from zip(adjust_p_values(p, method), multipletests(p, method=theirs)[1], strict=True)


def _power() -> Iterator[Pair]:
    from statsmodels.stats.power import TTestIndPower, TTestPower

    from huracan.statistics.power import t_test_power

    names = {"two-sided": "two-sided", "less": "smaller", "greater": "larger"}
    for size in (0.05, 0.3, 0.8):
        for n in (5, 40, 300):
            for side, theirs in names.items():
                yield (
                    t_test_power(size, n, alternative=side),
                    TTestIndPower().power(size, n, 0.05, alternative=theirs),
                )
                yield (
                    t_test_power(size, n, paired=True, alternative=side),
                    TTestPower().power(size, n, 0.05, alternative=theirs),
                )


def _bartlett() -> Iterator[Pair]:
    import statsmodels.api as sm

    from huracan.statistics.forecast_comparison import diebold_mariano

    for seed in SEEDS:
        # neighbours that cancel leave the rectangular kernel without a variance; Newey and West's takes over
        d = np.tile([1.0, -1.0], 20) + 0.1 * np.random.default_rng(seed).standard_normal(40) + 0.05
        mine = diebold_mariano(d, np.zeros(40), 2, correction="none")
        theirs = sm.OLS(d, np.ones(40)).fit(cov_type="HAC", cov_kwds={"maxlags": 1})
        assert mine.kernel == "bartlett", mine.kernel
        yield from (
            (mine.standard_error, theirs.bse[0]),
            (mine.statistic, theirs.tvalues[0]),
            (mine.p_value, theirs.pvalues[0]),
        )


def _losses(seed: int, models: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(40, 300))
    shock = rng.standard_normal((n + 1, models))
    return shock[1:] + 0.5 * shock[:-1] + rng.standard_normal((n, 1)) + rng.normal(0, 0.2, models)


def _drawn_by_arch(n: int, block_length: int, seed: int) -> object:
    from arch.bootstrap import StationaryBootstrap

    from huracan.statistics.bootstrap import Blocks

    draws = StationaryBootstrap(block_length, np.arange(n), seed=seed).bootstrap(RESAMPLES)
    return Blocks.from_indices(np.stack([data[0][0] for data in draws]))


def _superior_ability() -> Iterator[Pair]:
    from arch.bootstrap import SPA

    from huracan.statistics.superior_ability import superior_ability

    for seed in SEEDS:
        losses, length = _losses(seed, 3 + seed), 1 + 2 * seed
        theirs = SPA(losses[:, 0], losses[:, 1:], block_size=length, reps=RESAMPLES, seed=seed)
        theirs.compute()
        drawn = _drawn_by_arch(len(losses), length, seed)
        mine = superior_ability(losses, 0, null="bootstrap", studentised=False, block_length=length, blocks=drawn)
        yield from zip(map(_as_arch, (mine.p_lower, mine.p_consistent, mine.p_upper)), theirs.pvalues, strict=True)
        for recentring in ("lower", "consistent", "upper"):
            yield (mine.critical_value(0.1, recentring), theirs.critical_values(0.1)[recentring])


def _step_m() -> Iterator[Pair]:
    from arch.bootstrap import StepM

    from huracan.statistics.superior_ability import superior_ability

    for seed in SEEDS:
        losses, length = _losses(100 + seed, 3 + seed), 1 + 2 * seed
        losses[:, 0] += 0.2
        losses[:, 1] += 1.0  # arch fails where every model is found superior
        theirs = StepM(losses[:, 0], losses[:, 1:], size=0.1, block_size=length, reps=RESAMPLES, seed=seed)
        theirs.compute()
        drawn = _drawn_by_arch(len(losses), length, seed)
        mine = superior_ability(losses, 0, null="bootstrap", studentised=False, block_length=length, blocks=drawn)
        found = {mine.models.index(name) for name in mine.superior(0.1)}
        yield from ((float(i in found), float(i in theirs.superior_models)) for i in range(len(mine.models)))


def _confidence_set() -> Iterator[Pair]:
    from arch.bootstrap import MCS

    from huracan.statistics.confidence_set import model_confidence_set

    for seed in SEEDS:
        losses, length = _losses(seed, 2 + seed), 1 + 2 * seed
        drawn = _drawn_by_arch(len(losses), length, seed)
        for statistic, method in (("range", "R"), ("max", "max")):
            theirs = MCS(losses, 0.1, reps=RESAMPLES, block_size=length, method=method, seed=seed)
            theirs.compute()
            mine = model_confidence_set(losses, alpha=0.1, statistic=statistic, null="bootstrap", blocks=drawn)
            expected = theirs.pvalues.Pvalue.sort_index()
            yield from zip((_as_arch(p) if p < 1.0 else p for p in mine.p_value), expected, strict=True)
            yield from ((float(f"model {i}" in mine.included), float(i in theirs.included)) for i in range(losses.shape[1]))


def _as_arch(p_value: float) -> float:
    """arch counts resamples at least as extreme; ours adds the sample itself, so that no p-value is 0."""
    return (p_value * (RESAMPLES + 1) - 1) / RESAMPLES


def _block_length() -> Iterator[Pair]:
    from arch.bootstrap import optimal_block_length as arch_block_length

    from huracan.statistics.bootstrap import optimal_block_length

    for seed in SEEDS:
        series = _losses(seed, 1)[:, 0]
        mine, theirs = optimal_block_length(series), arch_block_length(series)
        yield from ((mine.stationary, theirs["stationary"].iloc[0]), (mine.circular, theirs["circular"].iloc[0]))


def _sharpe_ratios() -> Iterator[Pair]:
    from skfolio import measures

    from huracan.validation.sharpe_inference import probabilistic_sharpe_ratio, sharpe_ratio_inference

    for seed in SEEDS:
        returns = np.random.default_rng(seed).standard_t(5, 50 + 100 * seed) * 0.01 + 0.001
        for benchmark in (0.0, 0.05):
            mine = sharpe_ratio_inference(returns, benchmark=benchmark, dependence="independent")
            theirs = measures.probabilistic_sharpe_ratio(returns, benchmark)
            yield (mine.probability, theirs)
            moments = {"skewness": mine.skewness, "kurtosis": mine.kurtosis}
            again = probabilistic_sharpe_ratio(mine.sharpe_ratio, len(returns), benchmark=benchmark, **moments)
            yield (again, theirs)


def _deflated_sharpe_ratios() -> Iterator[Pair]:
    from skfolio import measures

    from huracan.validation import deflated_sharpe_ratio, expected_maximum_sharpe

    for seed in SEEDS:
        tried = np.random.default_rng(seed).normal(0.0, 0.01, (300 + 100 * seed, 2 + 10 * seed))
        sharpes = tried.mean(axis=0) / tried.std(axis=0, ddof=1)
        best = tried[:, sharpes.argmax()]
        mine = deflated_sharpe_ratio(best, trial_sharpe_ratios=sharpes, dependence="independent")
        yield (mine.probability, measures.deflated_sharpe_ratio(best, sharpes))
        expected = measures.expected_max_sharpe_ratio(len(sharpes), float(sharpes.std(ddof=1)))
        yield (expected_maximum_sharpe(len(sharpes), float(sharpes.var(ddof=1))), expected)


def _published_against_r() -> Iterator[Pair]:
    """Two examples of ``dieboldmariano`` 1.1 (PyPI), computed with R's ``forecast::dm.test``."""
    from huracan.statistics.forecast_comparison import diebold_mariano

    one = diebold_mariano(np.array([0, 1, 2, 3, 4, 5]) ** 2, np.array([0, 2, 3, 3, 5, 6]) ** 2)
    yield from ((round(one.statistic, 4), -2.4905), (round(one.p_value, 5), 0.05513))
    a = [0.3675225224615024, 0.5450608127223211, 0.22044990720021074, 0.8688743471040006, 0.6072512228948467,
         0.8582283746501538, 0.41662295816718187, 0.3812100211114714, 0.7185133356116706, 0.30827323290318875,
         0.4297093624074402, 0.8615974488577858, 0.7240514514808826, 0.3450839595261038, 0.19675301374013598]  # fmt: skip
    b = [0.12794132529988733, 0.3679643204341153, 0.768715420996091, 0.09972248964114683, 0.27197653636654284,
         0.28797629010039505, 0.9160213458582482, 0.6112628048698798, 0.5452873235576241, 0.06785907231746158,
         0.6072666485541124, 0.6241575753989782, 0.39998026828867217, 0.19895665605941748, 0.8094941215215619]  # fmt: skip
    three = diebold_mariano(a, b, 3, alternative="less")
    yield from ((round(three.statistic, 4), 1.2109), (round(three.p_value, 3), 0.877))


def _published_to_the_last_digit() -> Iterator[Pair]:
    """README of johntwk/Diebold-Mariano-Test, seed 123: powers 1, 2, 4 of the errors."""
    from huracan.statistics.forecast_comparison import diebold_mariano

    printed = {
        1: (1.3275742446369585, 0.18737195617455585),
        2: (1.2112523589452902, 0.22868210381769466),
        4: (0.9124498079287283, 0.36374861695187799),
    }
    generator = random.Random(123)
    actual, first, second = (_shuffled_numbers(generator) for _ in range(3))
    for power, (statistic, p_value) in printed.items():
        mine = diebold_mariano(np.abs(actual - first) ** power, np.abs(actual - second) ** power)
        yield from ((mine.statistic, statistic), (mine.p_value, p_value))


def _shuffled_numbers(generator: random.Random) -> NDArray[np.float64]:
    """``random.sample(range(100), 100)`` as Python 2 drew it, in which that example was computed."""
    pool, drawn = list(range(100)), []
    for taken in range(100):
        place = int(generator.random() * (100 - taken))
        drawn.append(pool[place])
        pool[place] = pool[99 - taken]
    return np.array(drawn, dtype=np.float64)


CHECKS: tuple[Check, ...] = (
    Check("Welch's t test", "scipy", lambda: _t_tests(paired=False)),
    Check("Welch's t test and its interval", "statsmodels", _welch_interval),
    Check("paired t test", "scipy", lambda: _t_tests(paired=True)),
    Check("Mann-Whitney U", "scipy", _mann_whitney),
    Check("Wilcoxon", "scipy", _wilcoxon),
    Check("Bonferroni, Holm, Hochberg, Benjamini-Hochberg, Benjamini-Yekutieli", "statsmodels", _corrections),
    Check("power of t tests", "statsmodels", _power),
    Check("Diebold-Mariano with Bartlett weights", "statsmodels (Newey-West)", _bartlett),
    Check("superior predictive ability, same indices", "arch SPA", _superior_ability),
    Check("stepwise selection, same indices", "arch StepM", _step_m),
    Check("model confidence set, same indices", "arch MCS", _confidence_set),
    Check("block length", "arch", _block_length),
    Check("probabilistic Sharpe ratio", "skfolio", _sharpe_ratios),
    Check("deflated Sharpe ratio, expected maximum", "skfolio", _deflated_sharpe_ratios),
    Check("Diebold-Mariano, two published examples", "R's forecast, to the printed digit", _published_against_r, 0.0),
    Check("Diebold-Mariano, a published example", "printed to 16 digits", _published_to_the_last_digit),
)
"""Every oracle."""
