"""What a drift check says of two tables beside its tests: times, holes, lengths of bars; one thing written in two forms."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.typing import NDArray

from huracan.errors import DataError
from huracan.mlops import DriftDetector, Reference, detect_prediction_drift
from huracan.mlops.drift_rows import read_rows

HOUR = 3_600_000
START = 1_760_000_400_000  # ms
N, M = 400, 100
FORMS: dict[str, Callable[[NDArray[np.bool_]], Any]] = {
    "truth": lambda up: pl.Series(up),
    "numbers": lambda up: up.astype(np.int64),
    "words": lambda up: np.where(up, "true", "false").tolist(),
    "words of Python": lambda up: np.where(up, "True", "False").tolist(),
}


def table(ts: Any, seed: int = 0) -> pl.DataFrame:
    return pl.DataFrame({"ts": ts, "a": np.random.default_rng(seed).standard_normal(len(ts))})


def hours(first: int, n: int) -> NDArray[np.int64]:
    return START + HOUR * np.arange(first, first + n)


@pytest.mark.parametrize("reference", FORMS)
def test_truth_is_the_same_in_whatever_form_it_is_written(reference: str) -> None:
    """A file of truth values against one that another program wrote of the same rows: no form changes what is found."""
    rng = np.random.default_rng(0)
    before, now = rng.random(N) < 0.5, rng.random(M) < 0.6
    detector = DriftDetector().fit({"up": FORMS[reference](before)})
    found = {form: detector.detect({"up": made(now)}).column("up") for form, made in FORMS.items()}
    assert len({(column.p_value, column.psi, column.drifted, column.note) for column in found.values()}) == 1
    assert found["truth"].p_value is not None


def test_what_is_not_truth_is_left_as_it_is_and_said() -> None:
    up = np.arange(N) % 2 == 0
    detector = DriftDetector().fit({"up": pl.Series(up), "level": np.arange(N) % 7})
    report = detector.detect({"up": np.arange(M) % 3, "level": pl.Series(up[:M])})
    assert report.column("up").note == "a category in the reference, such as 'false', and a number in the window"
    assert report.column("level").note == "a number in the reference and text in the window, such as 'true'"
    words = detector.detect({"up": ["up", "down"] * (M // 2), "level": ["1,5", None] * (M // 2)})
    assert "never seen in the reference: 'up', 'down'" in words.column("up").note and words.column("up").drifted
    assert words.column("level").note == "a number in the reference and text in the window, such as '1,5'"


def test_a_column_of_text_is_not_said_to_be_missing_of_all_together() -> None:
    rng = np.random.default_rng(0)
    detector = DriftDetector().fit({"a": rng.standard_normal(N), "b": rng.standard_normal(N)})
    report = detector.detect({"a": ["n/a"] * M, "b": rng.standard_normal(M)})
    assert report.column("a").note == "a number in the reference and text in the window, 'n/a' throughout"
    assert report.joint is not None and report.joint.note == "column 'a' has no numbers here; all 2 are needed"


@pytest.mark.parametrize(("offset", "noted"), [(0, False), (2**52, False), (2**60, True)])
def test_whole_numbers_that_floats_do_not_tell_apart_are_noted(offset: int, noted: bool) -> None:
    values = np.random.default_rng(0).integers(0, 100, N + M) + offset
    report = DriftDetector().fit(pl.DataFrame({"a": values[:N]})).detect(pl.DataFrame({"a": values[N:]}))
    assert any("less than 256 apart count as equal" in note for note in report.notes) == noted


def test_bars_of_another_length_are_noted_however_times_are_written() -> None:
    """One note for hours against minutes, whether the reference was stored or not; none for hours against hours."""
    detector = DriftDetector().fit(table(hours(0, N)))
    stored = DriftDetector.from_reference(Reference.from_bytes(detector.reference_.to_bytes()))
    minutes = START + N * HOUR + 60_000 * np.arange(M)
    for ts in (minutes, minutes // 1_000, minutes * 1_000_000, pl.from_epoch(pl.Series(minutes), time_unit="ms")):
        for one in (detector, stored):
            (note,) = one.detect(table(ts, 1)).notes
            assert note.startswith("rows of the window are 1m apart, those of the reference 1h")
    assert detector.detect(table(hours(N, M), 1)).notes == ()


def test_a_hole_in_either_is_noted_and_nights_and_weekends_are_not() -> None:
    detector = DriftDetector().fit(table(hours(0, N)))
    broken = np.concatenate([hours(N, M // 2), hours(N + M // 2 + 365 * 24, M // 2)])
    (note,) = detector.detect(table(broken, 1)).notes
    assert note.startswith("the window has no row between") and "(365 days)" in note
    short = np.concatenate([hours(N, M // 2), hours(N + M // 2 + 4, M // 2)])
    assert detector.detect(table(short, 1)).notes == ()
    twice = np.concatenate([hours(-9_000, N // 2), hours(0, N // 2)])
    (note,) = DriftDetector().fit(table(twice)).detect(table(hours(N, M), 1)).notes
    assert note.startswith("the reference has no row between")
    market = np.array([d * 24 + h for d in range(120) if d % 7 < 5 for h in range(9, 16)]) * HOUR + START
    closing = DriftDetector().fit(table(market[:N]))
    assert closing.detect(table(market[N : N + M], 1)).notes == ()


def test_events_that_come_unevenly_are_of_no_length() -> None:
    rng = np.random.default_rng(0)
    events = START + np.cumsum(rng.exponential(HOUR, N + M)).astype(np.int64)
    later = events[-1] + np.cumsum(rng.exponential(60_000, M)).astype(np.int64) + 1
    detector = DriftDetector().fit(table(events[:N]))
    assert detector.reference_.steps is None
    assert detector.detect(table(later, 1)).notes == ()


def test_a_panel_is_as_even_as_its_moments() -> None:
    panel = table(np.repeat(hours(0, N), 2)).with_columns(symbol=pl.Series(["A", "B"] * N))
    steps = read_rows(panel).steps
    assert steps is not None and steps.step == HOUR and steps.moments == N


def test_times_may_be_objects_of_python_and_of_pandas() -> None:
    """The same rows and the same note on what overlaps, whatever brings the times."""
    dates = [datetime.fromtimestamp(int(ms) / 1_000, UTC) for ms in hours(0, N)]
    plain = DriftDetector().fit(table(pl.Series(dates)))
    window = table(hours(N - 50, M), 1)["a"].to_numpy()
    at = [dates[0] + timedelta(hours=N - 50 + k) for k in range(M)]
    stamps = [pd.Timestamp(one) for one in at]
    expected = plain.detect(pl.DataFrame({"ts": at, "a": window}))
    assert len(expected.notes) == 1
    given = (
        {"ts": np.array(at, dtype=object), "a": window},
        {"ts": np.array(stamps, dtype=object), "a": window},
        pd.DataFrame({"ts": pd.Series(at, dtype=object), "a": window}),
        pd.DataFrame({"ts": pd.Series(stamps, dtype=object), "a": window}),
        pd.DataFrame({"a": window}, index=pd.DatetimeIndex(at)),
    )
    for rows in given:
        report = plain.detect(rows)
        assert report.column("a") == expected.column("a") and len(report.notes) == 1


@pytest.mark.parametrize("times", [[None] * M, [object()] * M, ["x", datetime(2026, 1, 1)] * (M // 2), [1.5] * M])
def test_objects_that_are_no_times_are_one_sentence(times: list[Any]) -> None:
    detector = DriftDetector().fit({"a": np.arange(float(N))})
    with pytest.raises(DataError, match=r"no time \(ts\) in 100|are objects of"):
        detector.detect(pl.DataFrame({"ts": pl.Series(times, dtype=pl.Object), "a": np.arange(float(M))}))


def test_levels_of_a_pandas_index_are_columns() -> None:
    """A panel that is indexed by symbol and time, symbol after symbol, is the same panel as one with columns."""
    panel = table(np.repeat(hours(0, N), 2)).with_columns(symbol=pl.Series(["A", "B"] * N)).to_pandas()
    indexed = panel.sort_values(["symbol", "ts"]).set_index(["symbol", "ts"])
    mine, theirs = read_rows(indexed), read_rows(panel.sort_values(["ts", "symbol"]))
    assert mine.moments.n == theirs.moments.n == N and mine.symbols == ("A", "B") and list(mine.columns) == ["a"]
    np.testing.assert_array_equal(np.asarray(mine.columns["a"]), np.asarray(theirs.columns["a"]))
    np.testing.assert_array_equal(mine.codes, theirs.codes)


def test_what_is_masked_is_missing() -> None:
    values = np.random.default_rng(0).standard_normal((N, 1))
    masked = np.ma.masked_array(values, mask=values > 1.0)
    np.testing.assert_array_equal(read_rows(masked).columns["x0"], np.where(values > 1.0, np.nan, values)[:, 0])


def test_epochs_that_came_as_floats_are_whole_numbers_and_one_that_is_none_is_said() -> None:
    detector = DriftDetector().fit(table(hours(0, N)))
    (note,) = detector.detect(table(hours(N - M, M).astype(np.float64), 1)).notes
    assert "overlap in time" in note
    with pytest.raises(DataError, match=r"no time \(ts\) in 1 of 100 rows"):
        detector.detect(table(np.where(np.arange(M) == 5, np.nan, hours(N, M)), 1))


def test_what_is_no_reference_no_truth_and_no_one_kind_is_one_sentence() -> None:
    detector = DriftDetector().fit({"a": np.arange(float(N))})
    with pytest.raises(DataError, match="reference is a DriftDetector; a Reference"):
        DriftDetector.from_reference(detector)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="reference is a ndarray; a Reference"):
        detect_prediction_drift(np.zeros(N), np.zeros(M))  # type: ignore[arg-type]
    with pytest.raises(DataError, match="multivariate is 'no'; True or False"):
        DriftDetector(multivariate="no").fit({"a": np.arange(float(N))})  # type: ignore[arg-type]
    with pytest.raises(DataError, match="the window has a column of several kinds"):
        detector.detect(pd.DataFrame({"a": [1, "a"] * (M // 2)}))
