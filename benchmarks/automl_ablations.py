"""What each part of a search is worth: the same search with the part off, on the sets of ``automl.py``, 20 s and 60 s each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.automl import SECONDS, SHORT, searched
from benchmarks.automl_checks.comparison import pair, pooled_table
from benchmarks.automl_checks.early_stopping import early_stopping_table
from benchmarks.automl_checks.sets import SearchSet, real_sets, simulated_sets

__all__ = ["ABLATIONS", "OF_MANY_TRIALS", "ablated", "main"]

ABLATIONS: dict[str, dict[str, Any]] = {
    "without portfolio": {"portfolio": False},
    "without shared bins": {"shared_bins": False},
    "without pruning": {"pruning": False},
    "best trial alone": {"ensemble": False},
}
"""Part that is off -> settings."""

OF_MANY_TRIALS = ("without portfolio", "without pruning")
"""Parts that say which trials are made, and are looked at where there is time for many, too."""


def main() -> str:
    """Search with everything, and with each part off."""
    sets = [*simulated_sets(), *real_sets()]
    few = ablated(sets, SHORT, ABLATIONS)
    many = ablated(sets, SECONDS, {name: ABLATIONS[name] for name in OF_MANY_TRIALS})
    return (
        f"# What parts of a search are worth\n\nEach part off, on {len(sets)} sets: how much less is lost with it, in percent "
        f"of the constant forecast's loss.\n\n{few}\n\n{many}\n\nWhat a part would be worth that is left out, early stopping "
        f"of boosters:\n\n{early_stopping_table()}"
    )


def ablated(sets: Sequence[SearchSet], seconds: float, parts: Mapping[str, Mapping[str, Any]]) -> str:
    """The parts' worth in searches of so many seconds."""
    whole = searched(sets, seconds)
    pairs = {name: pair(name, sets, whole, searched(sets, seconds, **off)) for name, off in parts.items()}
    trials = sum(answered.note["trials"] for answered in whole) / len(whole)
    return f"{seconds:g} s, {trials:.0f} trials in the mean:\n\n{pooled_table(pairs)}"
