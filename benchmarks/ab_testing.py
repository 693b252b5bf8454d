"""A/B tests against oracles, then how often they err and find on losses that remember, then what they cost.

Every row is the same call with its defaults. Beside each rate stands what the textbook's test says of the same worlds.
Rates rest on 10,000 worlds each, from fixed seeds: the table comes out the same each time, but for seconds and memory.
"""

from __future__ import annotations

import sys

from benchmarks import markdown_table, write_result
from benchmarks.comparisons.parity import CHECKS, Check
from benchmarks.comparisons.rates import RATES, REPETITIONS, Measured, Rate, measure
from benchmarks.comparisons.speed import CALLS, all_pairs

__all__ = ["main"]

WORKERS = 2
MOST_SECONDS = {"Holm": 1.0, "Romano-Wolf": 5.0}
MOST_MIB = 1024.0


def main() -> str:
    """Parity, rates and costs; every row is measured and the table written before any that misses its bar is named."""
    missed: list[str] = []
    parity = [_parity_row(check, missed) for check in CHECKS]
    costs = [row for what in CALLS for row in _cost_rows(what, missed)]
    rates = [_rate_row(found, missed) for found in measure(range(len(RATES)), WORKERS)]
    text = "\n\n".join(
        [
            "# A/B tests on losses that remember",
            "Parity first: the largest difference from each oracle (relative beyond 1).",
            markdown_table(["what", "oracle", "numbers", "bar", "largest difference"], parity),
            f"How often a verdict falls, at nominal 5 %, in {REPETITIONS:,} worlds a row: `compare_models` and "
            "`SequentialComparison` on losses, `sharpe_difference_test` on returns, all with their defaults. Beside it, on the "
            "same worlds, the textbook's test: a paired t test (at every look, on every row of a panel, with Holm's correction "
            "for many models), and for Sharpe ratios that of Jobson and Korkie. Its power is bought with its false claims.",
            markdown_table(["what", "bar", "measured", "standard error", "textbook"], rates),
            "Fifty models x 100,000 losses, all 1,225 pairs: seconds of the processor on one thread, median of five; memory is "
            "the peak of the whole process, losses and libraries included.",
            markdown_table(["correction", "what", "bar", "measured"], costs),
        ]
    )
    write_result("ab_testing", text + "".join(f"\n\nMISSED: {row}" for row in missed))
    assert not missed, "; ".join(missed)
    return text


def _parity_row(check: Check, missed: list[str]) -> list[object]:
    apart, numbers = check.difference()
    if apart > check.bar:
        missed.append(f"{check.what} against {check.oracle}: {apart:.2g} apart, the bar is {check.bar:g}")
    return [check.what, check.oracle, numbers, f"<= {check.bar:g}" if check.bar else "equal", f"{apart:.1g}" if apart else "0"]


def _rate_row(found: Measured, missed: list[str]) -> list[object]:
    rate = found.rate
    if not found.kept:
        missed.append(f"{rate.what}: {found.share:.2%} (standard error {found.standard_error:.2%}), the bar is {_bar(rate)}")
    beside = f"{found.textbook:.1%} ({rate.textbook})"
    print(f"{rate.what}: {found.share:.2%}", file=sys.stderr, flush=True)  # a quarter of an hour is long without a word
    return [rate.what, _bar(rate), f"{found.share:.2%}", f"{found.standard_error:.2%}", beside]


def _bar(rate: Rate) -> str:
    if rate.high == 1.0:
        return f">= {_percent(rate.low)}"
    return f"<= {_percent(rate.high)}" if rate.low == 0.0 else f"{100 * rate.low:g} to {_percent(rate.high)}"


def _percent(share: float) -> str:
    return f"{100 * share:g} %"


def _cost_rows(what: str, missed: list[str]) -> list[list[object]]:
    bar = MOST_SECONDS[what]
    try:
        cost = all_pairs(CALLS[what])
    except AssertionError as failure:
        missed.append(str(failure))
        return [[what, "seconds, memory", f"<= {bar:g}, <= {MOST_MIB:.0f} MiB", "failed"]]
    if cost.seconds > bar:
        missed.append(f"50 models x 100,000 losses, {what}: {cost.seconds:.2f} CPU s, the bar is {bar:g} s")
    if cost.mib > MOST_MIB:
        missed.append(f"50 models x 100,000 losses, {what}: {cost.mib:.0f} MiB, the bar is {MOST_MIB:.0f} MiB")
    return [
        [what, "seconds", f"<= {bar:g}", f"{cost.seconds:.2f} (slowest {cost.slowest:.2f})"],
        [what, "peak memory, MiB", f"<= {MOST_MIB:.0f}", f"{cost.mib:.0f}"],
    ]


if __name__ == "__main__":
    print(main())
