"""A fit holds one table of what its windows reach, eight bytes a window, and nothing else that grows with the data."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

from huracan.baselines.given_rows import as_rows, is_own_copy
from huracan.baselines.inputs import InputScaler
from huracan.catalogue import build_model
from huracan.models.windowed_rows import WindowedRows

ROWS, FEATURES = 864_000, 32

_SCRIPT = """
import ctypes, sys
from pathlib import Path

import numpy as np
import torch

from huracan.catalogue import build_model

torch.set_num_threads(1)


def resident(field):
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) * 1024


def data(rows):
    rng = np.random.default_rng(0)
    return rng.standard_normal(({features}, rows), dtype=np.float32).T.astype(np.{dtype}, order="C"), rng.standard_normal(rows)


def model():
    return build_model("linear_network", window=32, max_epochs=1, max_steps=20, max_train_rows=None)


model().fit(*data(4_000))  # what is loaded at first use is no data
X, y = data({rows})
kept = X[::1_000].copy()
ctypes.CDLL(None).malloc_trim(0)
before = resident("VmRSS")
Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
model().fit(X, y)
assert np.array_equal(X[::1_000], kept)
print((resident("VmHWM") - before) / X.nbytes)
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="resident memory is read from /proc, as of Linux")
@pytest.mark.parametrize(("dtype", "most"), [("float32", 1.25), pytest.param("float64", 0.8, marks=pytest.mark.slow)])
def test_a_fit_takes_little_more_than_one_table(dtype: str, most: float) -> None:
    """A float32 table is copied once; of a float64 table half is needed for the same in float32.

    To that come the place of each window, its target, and the order of an epoch, four bytes each (12 / 128 of a table of 32
    features), and what does not grow with the rows: batches.
    """
    script = _SCRIPT.format(rows=ROWS, features=FEATURES, dtype=dtype)
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    assert float(found.stdout) < most


@pytest.mark.parametrize("gap", [False, True])
def test_a_table_in_the_place_of_its_rows_is_the_same_table(gap: bool) -> None:
    X = np.random.default_rng(0).standard_normal((50_000, 2)).astype(np.float32)
    which = np.arange(7, 50_000)
    which = which[(which < 20_000) | (which > 20_400)] if gap else which
    scaler = InputScaler.fit(X, clip=8.0)
    expected, last = WindowedRows.of(X).table(which, 8, scaler)
    own = X.copy()
    table, again = WindowedRows.of(own).source(which, own=True).table(8, scaler)
    np.testing.assert_array_equal(table, expected)
    np.testing.assert_array_equal(again, last)
    assert np.shares_memory(table, own)


def test_few_rows_of_many_are_copied_so_that_the_many_are_not_kept() -> None:
    own = np.zeros((1_000, 2), np.float32)
    table, _ = WindowedRows.of(own).source(np.arange(900, 1_000), own=True).table(8, None)
    assert len(table) == 107 and not np.shares_memory(table, own)


@pytest.mark.parametrize("kind", ["float32", "float64", "fortran", "pandas", "polars", "list", "windows"])
def test_what_the_user_gave_is_not_changed(kind: str) -> None:
    X = np.random.default_rng(0).standard_normal((300, 3)).astype(np.float32 if kind == "float32" else np.float64)
    given = {
        "fortran": np.asfortranarray(X),
        "pandas": pd.DataFrame(X),
        "polars": pl.DataFrame(X),
        "list": X.tolist(),
        "windows": np.repeat(X[:, None], 4, axis=1).astype(np.float32),
    }.get(kind, X)
    before = np.array(given, copy=True)
    matrix = as_rows(np.asarray(given).reshape(-1, 3) if kind == "windows" else given)
    assert not (is_own_copy(matrix, given) and isinstance(given, np.ndarray) and np.shares_memory(matrix, given))
    build_model("linear_network", window=4, max_epochs=1).fit(given, X[:, 0])
    np.testing.assert_array_equal(np.asarray(given), before)
