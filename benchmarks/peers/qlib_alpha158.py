"""Qlib's own engine computes Alpha158; runs in Qlib's environment: ``python qlib_alpha158.py CANDLES.npz FOLDER ROUNDS``.

``CANDLES.npz`` holds ``open, high, low, close, volume, vwap``, each float64 of shape (symbols, days). Qlib's binary store is
written to ``FOLDER`` as its data format describes it: a calendar, a list of instruments, and one file of little-endian float32
per field, the first value being the row at which the series begins. Two runs follow.

* As shipped, timed ``ROUNDS`` times: ``D.features`` over all symbols and columns with one kernel and all caches empty.
* For parity: the same expression objects fed the prices as float64. As shipped, single steps and the result are rounded
  to float32, which alone is up to 1e-5 of a column's standard deviation (HIGH0 is near 1 and moves little).

Prints JSON: CPU seconds of each timed round, names of the columns, versions. Writes ``FOLDER/float64.npy`` and
``FOLDER/shipped.npy``, each of shape (columns, symbols, days).
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd


def write_store(candles: dict[str, np.ndarray], folder: Path) -> list[str]:
    """Qlib's store of one folder; gives the instruments."""
    symbols, days = candles["close"].shape
    names = [f"S{i:03d}" for i in range(symbols)]
    calendar = [str(day.date()) for day in pd.date_range("2015-01-01", periods=days, freq="D")]
    (folder / "calendars").mkdir(parents=True)
    (folder / "instruments").mkdir()
    (folder / "calendars" / "day.txt").write_text("\n".join(calendar) + "\n")
    lines = [f"{name}\t{calendar[0]}\t{calendar[-1]}" for name in names]
    (folder / "instruments" / "all.txt").write_text("\n".join(lines) + "\n")
    for i, name in enumerate(names):
        place = folder / "features" / name.lower()
        place.mkdir(parents=True)
        for field, values in candles.items():
            np.concatenate([[0.0], values[i]]).astype("<f4").tofile(place / f"{field}.day.bin")
    return names


def cpu_seconds() -> float:
    """User and system time of this process and its children."""
    return sum(os.times()[:4])


def main(candles_file: str, folder: str, rounds: str) -> None:
    """Write the store, time Qlib as shipped, compute in float64."""
    with np.load(candles_file) as stored:
        candles = {name: stored[name] for name in stored.files}
    place = Path(folder)
    names = write_store(candles, place)

    import qlib
    from qlib.contrib.data.loader import Alpha158DL
    from qlib.data import D
    from qlib.data.cache import H
    from qlib.data.data import ExpressionD
    from qlib.data.storage.file_storage import FileFeatureStorage

    qlib.init(provider_uri=str(place), region="cn", kernels=1, expression_cache=None, dataset_cache=None)
    fields, columns = Alpha158DL.get_feature_config()
    seconds, table = [], None
    for _ in range(int(rounds)):
        H.clear()
        began = cpu_seconds()
        table = D.features(names, fields, freq="day")
        seconds.append(cpu_seconds() - began)
    days = candles["close"].shape[1]
    shipped = np.stack([table.loc[name].to_numpy() for name in names])
    assert shipped.shape == (len(names), days, len(fields)), shipped.shape
    np.save(place / "shipped.npy", shipped.transpose(2, 0, 1))

    number = {name.lower(): i for i, name in enumerate(names)}

    def read_float64(self: FileFeatureStorage, rows: slice) -> pd.Series:
        values = candles[self.field.lower()][number[self.instrument.lower()]]
        return pd.Series(values, index=pd.RangeIndex(len(values))).iloc[rows]

    FileFeatureStorage.__getitem__ = read_float64
    H.clear()
    exact = np.empty((len(fields), len(names), days))
    for at, field in enumerate(fields):
        expression = ExpressionD.get_expression_instance(field)
        for i, name in enumerate(names):
            exact[at, i] = expression.load(name, 0, days - 1, "day").to_numpy()
    np.save(place / "float64.npy", exact)
    versions = {"pyqlib": qlib.__version__, "pandas": pd.__version__, "numpy": np.__version__}
    print(json.dumps({"seconds": seconds, "columns": columns, "versions": versions}))


if __name__ == "__main__":
    main(*sys.argv[1:])
