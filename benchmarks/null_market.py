"""How often a market that nothing predicts gets a champion: strength 0, 100 seeds, profile quick, one symbol x 3,000 bars."""

from __future__ import annotations

import tempfile
from concurrent.futures import ProcessPoolExecutor

import numpy as np
from scipy import stats

from benchmarks import markdown_table

SEEDS = 100
ALLOWED = 9  # of 100: the 99th percentile of a binomial with p = .05 is 11; 9 leaves room for no more than 5 % and luck


def one_seed(seed: int) -> tuple[str | None, int]:
    """The learner crowned, and how many learners an uncorrected t test would have called better than nothing."""
    from huracan import UnifiedMLPipeline

    with tempfile.TemporaryDirectory() as home:
        config = {
            "home": home,
            "seed": seed,
            "profile": "quick",
            "training": {"n_jobs": 1},
            "data": {"simulation": {"n_symbols": 1, "n_bars": 3_000, "signal_strength": 0.0}},
        }
        result = UnifiedMLPipeline(config).run()
    pairs = result["ab_testing"].comparison.pairs
    naive = sum(-pair.difference > 0 and pair.p_value < 0.05 for pair in pairs)
    return result.champion, naive


def main() -> str:
    """Run all seeds, two at a time."""
    with ProcessPoolExecutor(2) as pool:
        found = list(pool.map(one_seed, range(SEEDS)))
    crowned = [champion for champion, _ in found if champion is not None]
    uncorrected = int(np.sum([naive > 0 for _, naive in found]))
    low, high = stats.binomtest(len(crowned), SEEDS).proportion_ci(method="wilson")
    assert len(crowned) <= ALLOWED, f"{len(crowned)} of {SEEDS} null markets got a champion: {crowned}"
    table = markdown_table(
        ["of 100 markets", "bar", "measured"],
        [
            ["anything but the baseline crowned", f"<= {ALLOWED}", f"{len(crowned)} (95 % interval {low:.1%} to {high:.1%})"],
            ["at least one learner better at 5 % without correction", "", uncorrected],
        ],
    )
    title = f"Signal strength 0, {SEEDS} seeds, profile `quick`, one symbol x 3,000 hourly bars."
    return f"# A market that nothing predicts\n\n{title}\n\n{table}\n"
