"""Drift of categories: shares, dependence, categories that are rare, missing or new."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from scipy.stats import binom, chi2_contingency

from huracan.mlops import DriftDetector, Reference

M, N = 3_000, 400


def drawn(rng: np.random.Generator, n: int, shares: tuple[float, ...] = (0.5, 0.3, 0.2)) -> pl.DataFrame:
    return pl.DataFrame({"side": rng.choice(["up", "down", "flat"], n, p=shares)})


def lasting(rng: np.random.Generator, n: int, stays: float) -> pl.DataFrame:
    """A chain that keeps its state with probability ``stays`` and else draws one of three."""
    fresh = rng.random(n) > stays
    fresh[0] = True
    states = rng.integers(0, 3, n)
    return pl.DataFrame({"regime": np.array(["a", "b", "c"])[states[np.maximum.accumulate(np.where(fresh, np.arange(n), 0))]]})


def test_without_memory_it_is_the_test_of_two_samples() -> None:
    """With both samples' shares known the reference's alone are pooled: equal to scipy's up to the sampling error of that."""
    rng = np.random.default_rng(0)
    before, now = drawn(rng, 20_000), drawn(rng, N, (0.45, 0.3, 0.25))
    made = DriftDetector(dependence="independent").fit(before).detect(now).column("side")
    names = ["up", "down", "flat"]
    table = [[int((frame["side"] == name).sum()) for name in names] for frame in (before, now)]
    assert made.statistic == pytest.approx(chi2_contingency(table)[0], rel=0.1)
    assert made.kind == "category" and made.psi is not None


def test_states_that_last_do_not_alarm_and_do_without_it() -> None:
    rng = np.random.default_rng(1)
    robust = naive = 0
    for _ in range(60):
        both = lasting(rng, M + N, 0.95)
        robust += DriftDetector().fit(both[:M]).detect(both[M:]).columns[0].p_value <= 0.05
        naive += DriftDetector(dependence="independent").fit(both[:M]).detect(both[M:]).columns[0].p_value <= 0.05
    assert robust <= 9 and naive >= 30  # 9 is exceeded with probability .001 at 6 %


def test_a_share_that_changed_is_found() -> None:
    rng = np.random.default_rng(2)
    report = DriftDetector().fit(drawn(rng, M)).detect(drawn(rng, N, (0.3, 0.3, 0.4)))
    assert report.drifted_features == ("side",)


def test_a_category_never_seen_is_named() -> None:
    rng = np.random.default_rng(3)
    now = drawn(rng, N).with_columns(side=pl.when(pl.int_range(pl.len()) % 40 == 0).then(pl.lit("halt")).otherwise("side"))
    column = DriftDetector().fit(drawn(rng, M)).detect(now).column("side")
    assert column.drifted and column.note == "never seen in the reference: 'halt', 2.5% of the window"


def test_a_category_never_seen_is_drawn_beside_those_that_were() -> None:
    rng = np.random.default_rng(3)
    now = pl.DataFrame({"side": ["sideways"] * 300 + ["up"] * 100})
    drawn_pair = DriftDetector().fit(drawn(rng, M)).detect(now).distributions["side"]
    shares = dict(zip(drawn_pair.edges, drawn_pair.current_bins.tolist(), strict=True))
    assert shares == {"up": 0.25, "down": 0.0, "flat": 0.0, "(never seen)": 0.75}
    assert drawn_pair.reference_bins[-1] == 0.0 and drawn_pair.current[-1] == 1.0


def test_one_row_of_a_new_category_is_told_and_is_no_drift() -> None:
    rng = np.random.default_rng(4)
    now = drawn(rng, N)
    now[7, "side"] = "halt"
    column = DriftDetector().fit(drawn(rng, M)).detect(now).column("side")
    assert not column.drifted and "'halt'" in column.note


def test_missing_is_a_category() -> None:
    rng = np.random.default_rng(5)
    now = drawn(rng, N).with_columns(side=pl.when(pl.int_range(pl.len()) % 5 == 0).then(None).otherwise("side"))
    column = DriftDetector().fit(drawn(rng, M)).detect(now).column("side")
    assert column.drifted and "(missing)" in column.note


def test_many_rare_categories_share_a_bin_and_come_back_from_bytes() -> None:
    rng = np.random.default_rng(6)
    before = pl.DataFrame({"id": [f"k{i}" for i in rng.zipf(1.3, M)]})
    now = pl.DataFrame({"id": [f"k{i}" for i in rng.zipf(1.3, N)]})
    made = DriftDetector().fit(before)
    report = made.detect(now)
    again = DriftDetector.from_reference(Reference.from_bytes(made.reference_.to_bytes())).detect(now)
    edges = report.pairs("id").edges
    assert again.columns == report.columns and edges[-2:] == ("(others)", "(never seen)") and len(edges) == 51
    assert report.pairs("id").reference_bins.sum() == pytest.approx(1.0)


def test_declared_kinds_are_categories_and_whole_numbers_are_not() -> None:
    rng = np.random.default_rng(7)
    codes = rng.integers(0, 3, M)
    frame = pl.DataFrame({"number": codes, "flag": codes == 1, "kind": [str(c) for c in codes]}).cast({"kind": pl.Categorical})
    report = DriftDetector().fit(frame).detect(frame[:N])
    assert [column.kind for column in report.columns] == ["number", "category", "category"]


def test_one_category_leaves_nothing_to_test() -> None:
    made = DriftDetector().fit(pl.DataFrame({"venue": ["x"] * M}))
    column = made.detect(pl.DataFrame({"venue": ["x"] * N})).column("venue")
    assert column.p_value is None and not column.drifted and "no share to test" in column.note


@pytest.mark.parametrize("exponent", [1.5, 2.0, 3.0])
def test_categories_without_end_are_as_rarely_called_drifted_as_asked(exponent: float) -> None:
    """Zipf's law: new values come for ever, and a window that has some is what is to be expected; at 5 %, 40 windows."""
    drifted = 0
    for seed in range(40):
        values = np.random.default_rng(seed).zipf(exponent, 1_200).astype(str).tolist()
        detector = DriftDetector(multivariate=False).fit({"venue": values[:1_000]})
        drifted += detector.detect({"venue": values[1_000:]}).column("venue").drifted
    assert drifted <= binom.ppf(0.999, 40, 0.05)


def test_of_categories_without_end_one_that_comes_anew_and_often_is_found_and_ids_are_not() -> None:
    values = np.random.default_rng(0).zipf(1.5, 1_200).astype(str)
    detector = DriftDetector(multivariate=False).fit({"venue": values[:1_000].tolist()})
    stored = DriftDetector.from_reference(Reference.from_bytes(detector.reference_.to_bytes()), multivariate=False)
    for one in (detector, stored):
        for where in (np.arange(200) % 4 == 0, np.arange(200) < 50):  # now and then, and in one spell
            column = one.detect({"venue": np.where(where, "new", values[1_000:]).tolist()}).column("venue")
            assert column.drifted and "'new'" in column.note
    ids = [f"order {i}" for i in range(1_200)]
    assert not DriftDetector(multivariate=False).fit({"id": ids[:1_000]}).detect({"id": ids[1_000:]}).column("id").drifted
