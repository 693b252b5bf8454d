"""Panels: a symbol that falls silent, is new, or seldom there changes the mixture, and not what is said of the columns."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from huracan.errors import ArtifactError, SignatureError
from huracan.mlops import DriftDetector, DriftReport, Reference

NAMES = [f"S{i}" for i in range(8)]
SCALE = np.exp(np.linspace(-0.7, 0.7, 8))


def panel(seed: int, n: int, names: list[str] = NAMES, *, first: int = 0, shift: float = 0.0) -> pl.DataFrame:
    """Symbols of different volatility that move together, each with a category whose shares are its own."""
    rng = np.random.default_rng(seed)
    common = rng.standard_normal((n, 1))
    moves: NDArray[np.float64] = (0.6 * common + 0.8 * rng.standard_normal((n, 8)) + shift) * SCALE
    frame = pl.DataFrame(
        {
            "ts": np.repeat(np.arange(first, first + n), 8),
            "symbol": NAMES * n,
            "range": np.abs(moves).ravel(),
            "move": moves.ravel(),
            "wild": np.where(rng.random((n, 8)) < np.linspace(0.1, 0.9, 8), "yes", "no").ravel(),
        }
    )
    return frame.filter(pl.col("symbol").is_in(names))


@pytest.fixture(scope="module")
def detector() -> DriftDetector:
    """Stored and read back, as with a model."""
    fitted = DriftDetector().fit(panel(0, 1_500))
    return DriftDetector.from_reference(Reference.from_bytes(fitted.reference_.to_bytes()))


def alarms(detector: DriftDetector, names: list[str], windows: int = 12, **changes: float) -> list[DriftReport]:
    reports = [detector.detect(panel(seed, 150, names, first=2_000, **changes)) for seed in range(1, windows + 1)]
    return [report for report in reports if report.drifted]


@pytest.mark.parametrize("names", [NAMES[:7], NAMES[2:], NAMES[:1], NAMES[-1:]], ids=len)
def test_symbols_that_fall_silent_are_no_drift_and_a_move_of_the_others_is(detector: DriftDetector, names: list[str]) -> None:
    assert len(alarms(detector, names)) <= 3  # of 12 at 5 %: more come once in 500 runs
    assert len(alarms(detector, names, windows=4, shift=1.2)) == 4


def test_the_silent_and_the_new_are_named(detector: DriftDetector) -> None:
    assert detector.detect(panel(1, 150, first=2_000)).notes == ()
    (said,) = detector.detect(panel(1, 150, NAMES[:7], first=2_000)).notes
    assert said == "the window has no row of S7: compared over the 7 symbols of both"
    listed = pl.concat(
        [panel(1, 150, NAMES[:2], first=2_000), panel(2, 150, ["S2"], first=2_000).with_columns(symbol=pl.lit("N"))]
    )
    (said,) = detector.detect(listed.sort("ts")).notes
    assert said.startswith("the window has no row of S2, S3, S4, S5, S6 and 1 more, the reference has no row of N: compared")
    assert detector.detect(listed.sort("ts")).n_current == 150


def test_a_symbol_that_is_seldom_there_is_left_out_and_named(detector: DriftDetector) -> None:
    window = panel(1, 150, first=2_000).filter((pl.col("symbol") != "S7") | (pl.col("ts") < 2_060))
    report = detector.detect(window)
    (said,) = report.notes
    assert said == (
        "S7 has a row at 40% of the window's moments and at 100% of the reference's: compared over the 7 symbols of both"
    )
    assert report.columns == detector.detect(window.filter(pl.col("symbol") != "S7")).columns


def test_another_symbol_altogether_is_refused_unless_asked_for(detector: DriftDetector) -> None:
    other = panel(1, 150, ["S7"], first=2_000).with_columns(symbol=pl.lit("Z"))
    with pytest.raises(
        SignatureError, match="the window is of Z, the reference of S0, S1, S2, S3, S4 and 3 more; a symbol that"
    ):
        detector.detect(other)
    report = detector.detect(other, any_symbol=True)
    assert report.drifted and report.notes[0].endswith("a difference may be no more than that")


def test_a_reference_of_all_its_symbols_is_the_reference(detector: DriftDetector) -> None:
    """Where every symbol is there at every moment, the mixture is their mean."""
    whole, again = detector.reference_, detector.reference_.of_symbols(NAMES)
    for name in ("range", "move"):
        one, other = whole.columns[name], again.columns[name]
        assert np.allclose(one.indicators.shares, other.indicators.shares, atol=1e-12)  # type: ignore[union-attr]
        assert np.allclose(one.indicators.covariance, other.indicators.covariance)  # type: ignore[union-attr]
    assert np.allclose(whole.columns["wild"].shares, again.columns["wild"].shares)  # type: ignore[union-attr]


@pytest.mark.filterwarnings("error")
def test_symbols_that_fill_few_of_the_common_bins_are_compared_by_those() -> None:
    """A calm one among wild ones, and one of two values: nearly all their values lie between two common quantiles."""
    rng = np.random.default_rng(0)

    def draw(n: int, first: int) -> pl.DataFrame:
        values = np.column_stack([rng.standard_normal(n), 30.0 * rng.standard_normal((n, 3)).T[0], rng.integers(0, 2, n) * 9.0])
        ts = np.repeat(np.arange(first, first + n), 3)
        return pl.DataFrame({"ts": ts, "symbol": ["calm", "wild", "coin"] * n, "x": values.ravel()})

    detector, window = DriftDetector().fit(draw(2_000, 0)), draw(200, 3_000)
    for names in (["calm"], ["coin"], ["calm", "coin"], ["wild", "coin"]):
        report = detector.detect(window.filter(pl.col("symbol").is_in(names)))
        assert not report.drifted and report.column("x").psi is not None


def test_a_reference_without_rows_of_each_symbol_compares_all_and_says_so() -> None:
    rng = np.random.default_rng(0)
    alone = DriftDetector(dependence="independent").fit(panel(0, 300, NAMES[:2]))
    (said,) = alone.detect(panel(1, 50, NAMES[:1], first=400)).notes
    assert said == "the window has no row of S1: a difference may be no more than that"
    one = DriftDetector().fit({"symbol": ["A"] * 500, "x": rng.standard_normal(500)})
    window = pl.DataFrame({"ts": np.repeat(np.arange(600, 700), 2), "symbol": ["A", "B"] * 100, "x": [0.5, 9.0] * 100})
    report = one.detect(window.with_columns(x=pl.Series(rng.standard_normal(200)) + (pl.col("symbol") == "B") * 9.0))
    assert report.notes == ("the reference has no row of B: compared over the symbol of both",) and not report.drifted


def test_parts_that_do_not_fit_the_symbols_are_refused(detector: DriftDetector) -> None:
    told = json.loads(detector.reference_.to_bytes())
    for damage in ({"symbols": NAMES[:3]}, {"presence": [1.0]}, {"by_symbol": told["by_symbol"][:1]}):
        with pytest.raises(ArtifactError, match="symbols have"):
            Reference.from_bytes(json.dumps(told | damage).encode())
