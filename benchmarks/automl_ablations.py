"""What each part of a search is worth: the same search with the part off, on the sets of ``automl.py``, 20 s each."""

from __future__ import annotations

from typing import Any

from benchmarks.automl import SHORT, searched
from benchmarks.automl_checks.comparison import pair, pooled_table
from benchmarks.automl_checks.early_stopping import early_stopping_table
from benchmarks.automl_checks.sets import real_sets, simulated_sets

__all__ = ["ABLATIONS", "main"]

ABLATIONS: dict[str, dict[str, Any]] = {
    "without portfolio": {"portfolio": False},
    "without shared bins": {"shared_bins": False},
    "without pruning": {"pruning": False},
    "best trial alone": {"ensemble": False},
}
"""Part that is off -> settings."""


def main() -> str:
    """Search with everything, and with each part off."""
    sets = [*simulated_sets(), *real_sets()]
    whole = searched(sets, SHORT)
    ablated = {name: pair(name, sets, whole, searched(sets, SHORT, **off)) for name, off in ABLATIONS.items()}
    trials = sum(answered.note["trials"] for answered in whole) / len(whole)
    return (
        f"# What parts of a search are worth\n\nEach part off, {SHORT:g} s, {len(sets)} sets, {trials:.0f} trials in the mean: "
        f"how much less is lost with it, in percent of the constant forecast's loss.\n\n{pooled_table(ablated)}\n\n"
        f"What a part would be worth that is left out, early stopping of boosters:\n\n{early_stopping_table()}"
    )
