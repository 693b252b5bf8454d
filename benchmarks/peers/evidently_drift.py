"""Kolmogorov-Smirnov and PSI of every column by Evidently. Runs in a peer's environment.

``python evidently_drift.py reference.parquet current.parquet rounds``: prints, as JSON, seconds of each round from two pandas
frames to values, and the p-values of the first test, column by column.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import pandas as pd
from evidently import DataDefinition, Dataset, Report
from evidently.presets import DataDriftPreset


def _compared(reference: pd.DataFrame, current: pd.DataFrame) -> list[dict[str, Any]]:
    kinds = DataDefinition(numerical_columns=list(reference.columns))
    tables = [Dataset.from_pandas(table, data_definition=kinds) for table in (current, reference)]
    found = Report([DataDriftPreset(method="ks"), DataDriftPreset(method="psi")]).run(*tables)
    metrics: list[dict[str, Any]] = found.dict()["metrics"]
    return metrics


def main() -> None:
    """Compare, several times."""
    reference, current = (pd.read_parquet(path) for path in sys.argv[1:3])
    seconds, metrics = [], []
    for _ in range(int(sys.argv[3])):
        started = time.perf_counter()
        metrics = _compared(reference, current)
        seconds.append(time.perf_counter() - started)
    tested = [(metric["config"], metric["value"]) for metric in metrics if metric["config"].get("method") == "ks"]
    p_values = {config["column"]: float(value) for config, value in tested if "column" in config}
    json.dump({"seconds": seconds, "p_values": p_values}, sys.stdout)


if __name__ == "__main__":
    main()
