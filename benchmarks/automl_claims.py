"""What searches claim and endure: noise, trials a second, kills, and processes that share a study."""

from __future__ import annotations

from benchmarks import ShortOfBar
from benchmarks.automl_checks.durability import durability_table
from benchmarks.automl_checks.noise import noise_table
from benchmarks.automl_checks.throughput import throughput_table

__all__ = ["main"]


def main() -> str:
    """Durability and throughput first: they are timed."""
    durability, lost = durability_table()
    throughput, slow = throughput_table()
    noise, untrue = noise_table()
    page = "\n\n".join(
        [
            "# What searches claim and endure",
            f"## Noise\n\n{noise}",
            f"## Kills, and processes that share a study\n\n{durability}",
            f"## Trials a second\n\n{throughput}",
        ]
    )
    if short := [*lost, *slow, *untrue]:
        raise ShortOfBar(short, page)
    return page
