"""Data drift: what is said of windows that did not change, of those that did, and of those that cannot be compared."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from scipy.signal import lfilter
from scipy.stats import binom

from huracan.dataset import TrainingSet
from huracan.errors import ArtifactError, DataError, NotEnoughData, SignatureError, UnknownName
from huracan.mlops import DriftDetector, DriftReport, Reference

M, N = 2_000, 200


def slow(rng: np.random.Generator, n: int, rho: float = 0.9) -> NDArray[np.float64]:
    return lfilter([np.sqrt(1 - rho**2)], [1.0, -rho], rng.standard_normal(n + 500))[500:]


@pytest.fixture(scope="module")
def reference() -> dict[str, NDArray[np.float64]]:
    rng = np.random.default_rng(0)
    base = rng.standard_normal(M)
    return {"a": base, "b": 0.8 * base + 0.6 * rng.standard_normal(M), "c": slow(rng, M)}


@pytest.fixture(scope="module")
def fitted(reference: dict[str, NDArray[np.float64]]) -> DriftDetector:
    return DriftDetector().fit(reference)


def window(seed: int = 1) -> dict[str, NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    base = rng.standard_normal(N)
    return {"a": base, "b": 0.8 * base + 0.6 * rng.standard_normal(N), "c": slow(rng, N)}


# What did not change


def clustered(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    """GARCH(.08, .90) with normal shocks: (n, 300)."""
    values, variance = rng.standard_normal((n + 300, 300)), np.ones(300)
    for row in values:
        row *= np.sqrt(variance)
        variance = 0.02 + 0.08 * row**2 + 0.9 * variance
    return values[300:]


@pytest.mark.parametrize("kind", ["independent", "slow", "clustered"])
def test_alarms_on_what_did_not_change_are_as_rare_as_asked(kind: str) -> None:
    rng = np.random.default_rng(2)
    if kind == "clustered":
        series = clustered(rng, 5_500)
    else:
        series = np.column_stack([slow(rng, 5_500, 0.9 if kind == "slow" else 0.0) for _ in range(300)])
    report = DriftDetector(multivariate=False, correction="none").fit(series[:5_000]).detect(series[5_000:])
    assert len(report.drifted_features) <= binom.ppf(0.999, 300, 0.06)


def test_a_report_of_dozens_of_columns_is_as_rarely_wrong_as_asked() -> None:
    """Four weeks of hours against one: with columns and joint test each at 5 % of their own, half of such reports were."""
    shocks, wrong = np.random.default_rng(5), 0
    values = np.sqrt(0.5) * (shocks.standard_t(5, (1_140, 15, 30)) + shocks.standard_t(5, (1_140, 15, 1))) * np.sqrt(0.6)
    variance = np.ones((15, 30))
    for row in values:
        row *= np.sqrt(variance)
        variance = 0.02 + 0.08 * row**2 + 0.9 * variance
    for table in np.abs(values[300:]).transpose(1, 0, 2):
        wrong += DriftDetector().fit(table[:672]).detect(table[672:]).drifted
    assert wrong <= binom.ppf(0.999, 15, 0.07)


def test_the_naive_test_alarms_on_what_remembers() -> None:
    """The reason for all this: with rows taken as independent, most windows of an AR(.9) 'drift'."""
    rng = np.random.default_rng(3)
    alarms = 0
    for _ in range(50):
        x = slow(rng, 5_500)
        made = DriftDetector(multivariate=False, dependence="independent").fit({"x": x[:5_000]})
        alarms += made.detect({"x": x[5_000:]}).drifted
    assert alarms > 25


def test_nothing_drifted_is_said_so(fitted: DriftDetector) -> None:
    report = fitted.detect(window())
    assert not report.drifted and report.drifted_features == () and report.share == 0.0
    assert report.sentence == (
        "none of 3 columns drifted; all columns together did not drift: 200 moments against 2,000, level 0.05 (fdr_by)."
    )


# What changed


def test_a_shift_is_found_with_its_direction_and_size(fitted: DriftDetector) -> None:
    moved = window()
    moved["a"] = moved["a"] + 1.0
    column = fitted.detect(moved).column("a")
    assert column.drifted and column.direction == "higher" and column.q_value is not None and column.q_value < 1e-4
    assert column.wasserstein == pytest.approx(1.0, abs=0.25)  # a shift by one standard deviation
    assert column.psi is not None and column.psi_critical is not None and column.psi > column.psi_critical


def test_a_correlation_that_turns_is_found_by_all_columns_together(fitted: DriftDetector) -> None:
    turned = window()
    turned["b"] = -turned["b"]  # each column keeps its law
    report = fitted.detect(turned)
    assert report.joint is not None and report.joint.drifted and report.drifted and report.drifted_features == ()
    assert "a" in report.joint.where and "b" in report.joint.where


def test_q_values_are_never_below_p_values_and_keep_their_order(fitted: DriftDetector) -> None:
    moved = {name: values + shift for (name, values), shift in zip(window().items(), (0.1, 0.3, 0.5), strict=True)}
    columns = sorted(fitted.detect(moved).columns, key=lambda column: column.p_value or 0.0)
    q_values = [column.q_value for column in columns]
    assert q_values == sorted(q_values) and all(column.q_value >= column.p_value for column in columns)


# Invariances


def test_p_values_see_ranks_alone(reference: dict[str, NDArray[np.float64]], fitted: DriftDetector) -> None:
    current = window()
    stretched = DriftDetector().fit({name: np.exp(values) for name, values in reference.items()})
    one, other = fitted.detect(current), stretched.detect({name: np.exp(values) for name, values in current.items()})
    for first, second in zip(one.columns, other.columns, strict=True):
        assert (first.p_value, first.statistic, first.psi) == (second.p_value, second.statistic, second.psi)


def test_without_memory_the_order_of_rows_says_nothing(reference: dict[str, NDArray[np.float64]]) -> None:
    settings = {"dependence": "independent", "multivariate": False}
    current, shuffled = window(), np.random.default_rng(4).permutation(N)
    plain = DriftDetector(**settings).fit(reference).detect(current)
    again = DriftDetector(**settings).fit({k: v[::-1] for k, v in reference.items()})
    assert again.detect({name: values[shuffled] for name, values in current.items()}).columns == plain.columns


def test_the_exact_test_is_scipys(reference: dict[str, NDArray[np.float64]]) -> None:
    from scipy.stats import ks_2samp

    current = window()
    report = DriftDetector(dependence="independent", multivariate=False).fit(reference).detect(current)
    for column in report.columns:
        theirs = ks_2samp(reference[column.feature], current[column.feature], method="exact")
        assert column.statistic == pytest.approx(theirs.statistic, abs=1e-15)
        assert column.p_value == pytest.approx(theirs.pvalue, abs=1e-12)


def test_equal_symbols_count_once(reference: dict[str, NDArray[np.float64]], fitted: DriftDetector) -> None:
    def panel(columns: dict[str, NDArray[np.float64]], symbols: int) -> pl.DataFrame:
        one = pl.DataFrame(columns).with_row_index("ts")
        return pl.concat([one.with_columns(symbol=pl.lit(f"S{i}")) for i in range(symbols)])

    alone = fitted.detect(window())
    made = DriftDetector().fit(panel(reference, 3)).detect(panel(window(), 5))
    assert (made.n_reference, made.n_current) == (M, N)
    for first, second in zip(alone.columns, made.columns, strict=True):
        assert second.p_value == pytest.approx(first.p_value, rel=1e-9)
        assert second.statistic == pytest.approx(first.statistic, abs=1e-12)
        assert second.psi == pytest.approx(first.psi, rel=1e-9)


def test_symbols_that_come_and_go_leave_moments_of_equal_weight(reference: dict[str, NDArray[np.float64]]) -> None:
    """A second symbol, listed half-way and the same as the first, changes nothing."""
    one = pl.DataFrame(reference).with_row_index("ts").with_columns(symbol=pl.lit("A"))
    late = one.filter(pl.col("ts") >= M // 2).with_columns(symbol=pl.lit("B"))
    alone = DriftDetector().fit(one).detect(window())
    both = DriftDetector().fit(pl.concat([one, late])).detect(window())
    for first, second in zip(alone.columns, both.columns, strict=True):
        assert second.p_value == pytest.approx(first.p_value, rel=1e-6)
        assert second.wasserstein == pytest.approx(first.wasserstein, rel=1e-6)


def test_detecting_leaves_the_detector_as_it_was(fitted: DriftDetector) -> None:
    before = fitted.reference_.to_bytes()
    fitted.detect(window(5))
    assert fitted.reference_.to_bytes() == before


# Kept with a model


def test_a_stored_reference_tests_to_the_same_bits(fitted: DriftDetector) -> None:
    stored = Reference.from_bytes(fitted.reference_.to_bytes())
    moved = {name: values + 0.2 for name, values in window().items()}
    now, later = fitted.detect(moved), DriftDetector.from_reference(stored).detect(moved)
    for first, second in zip(now.columns, later.columns, strict=True):
        assert (first.p_value, first.q_value, first.psi, first.psi_p_value) == (
            second.p_value,
            second.q_value,
            second.psi,
            second.psi_p_value,
        )
        assert second.statistic == pytest.approx(first.statistic, abs=0.01)
        assert second.wasserstein == pytest.approx(first.wasserstein, abs=0.02)
        assert "401 quantiles" in second.note
    assert now.joint == later.joint


@pytest.mark.parametrize("content", [b"", b"{}", b'{"format": 9}', b'{"format": 1, "columns": 3}'])
def test_what_is_no_reference_is_refused(content: bytes) -> None:
    with pytest.raises(ArtifactError, match=r"drift\.json is no reference of drift checks"):
        Reference.from_bytes(content)


@pytest.mark.parametrize("value", [None, -1, 1.5, "", "x", [], {}, True, "AAAAAAAA8D8="])
def test_a_damaged_reference_is_refused_or_still_tests(value: object) -> None:
    """Whatever part of it is replaced by whatever: one sentence, or a report; never another exception."""
    rng = np.random.default_rng(8)
    frame = pl.DataFrame({"x": rng.standard_normal(450), "y": rng.standard_normal(450), "k": ["a", "b", "b"] * 150})
    whole = DriftDetector().fit(frame).reference_.to_bytes()
    for path in _paths(json.loads(whole)):
        damaged = json.loads(whole)
        holder = damaged
        for step in path[:-1]:
            holder = holder[step]
        holder[path[-1]] = value
        try:
            with np.errstate(all="ignore"):
                DriftDetector.from_reference(Reference.from_bytes(json.dumps(damaged).encode())).detect(frame[:40])
        except (ArtifactError, DataError):
            continue


def _paths(told: object, above: tuple[object, ...] = ()) -> Iterator[tuple[object, ...]]:
    """Parts of a document, of each list the first alone."""
    parts = told.items() if isinstance(told, dict) else list(enumerate(told))[:1] if isinstance(told, list) else ()
    for name, part in parts:
        yield (*above, name)
        yield from _paths(part, (*above, name))


def test_a_reference_says_what_it_was_made_with(fitted: DriftDetector) -> None:
    with pytest.raises(DataError, match="n_cosines is 20, and the reference was made with 28; fit anew for another"):
        DriftDetector.from_reference(fitted.reference_, n_cosines=20)
    with pytest.raises(DataError, match="dependence is 'independent', and the reference was made with 'auto'"):
        DriftDetector.from_reference(fitted.reference_, dependence="independent")


# The report


def test_the_frame_and_the_json_say_the_same(fitted: DriftDetector) -> None:
    moved = window()
    moved["a"] = moved["a"] + 1.0
    report = fitted.detect(moved)
    frame = report.to_frame()
    wanted = ["feature", "statistic", "p_value", "q_value", "psi", "psi_p_value", "n_eff", "drifted"]
    assert frame.columns[:8] == wanted and frame["drifted"].to_list() == [True, False, False]
    assert DriftReport.from_json(report.to_json()) == report
    with pytest.raises(DataError, match="this is no drift report"):
        DriftReport.from_json('{"columns": []}')


def test_distributions_can_be_drawn(fitted: DriftDetector) -> None:
    pair = fitted.detect(window()).pairs("a")
    assert np.all(np.diff(pair.values) >= 0) and np.all(np.diff(pair.reference) >= 0) and np.all(np.diff(pair.current) >= 0)
    assert pair.reference_bins == pytest.approx(np.full(10, 0.1)) and pair.current_bins.sum() == pytest.approx(1.0)
    assert len(pair.edges) == 9
    with pytest.raises(UnknownName, match="unknown column 'z'"):
        fitted.detect(window()).pairs("z")


# What cannot be compared


def test_too_few_rows_are_said_with_their_number(fitted: DriftDetector) -> None:
    with pytest.raises(NotEnoughData, match="the window has 12 moments; at least 20 are needed"):
        fitted.detect({name: values[:12] for name, values in window().items()})
    with pytest.raises(NotEnoughData, match="the reference has 150 moments; at least 200 are needed"):
        DriftDetector().fit(np.zeros((150, 2)))


def test_a_column_that_stands_still_is_not_tested_until_it_moves() -> None:
    rng = np.random.default_rng(6)
    made = DriftDetector(multivariate=False).fit({"x": np.full(M, 3.0), "y": rng.standard_normal(M)})
    same = made.detect({"x": np.full(N, 3.0), "y": rng.standard_normal(N)}).column("x")
    assert same.p_value is None and not same.drifted and same.note == "stands still at 3 in both; there is nothing to test"
    moves = made.detect({"x": rng.standard_normal(N), "y": rng.standard_normal(N)}).column("x")
    assert moves.drifted and moves.direction == "lower" and (moves.p_value, moves.q_value) == (None, None)  # certain
    assert moves.note == "stood still at 3 in the reference and is another value at 200 moments"


def test_missing_values_are_a_change_of_their_own(reference: dict[str, NDArray[np.float64]]) -> None:
    rng = np.random.default_rng(7)
    holes = rng.random(M) < 0.1
    made = DriftDetector(multivariate=False).fit({"x": np.where(holes, np.nan, reference["a"]), "y": reference["b"]})
    few, many = (np.where(rng.random(N) < share, np.nan, rng.standard_normal(N)) for share in (0.1, 0.5))
    plain = rng.standard_normal(N)
    assert not made.detect({"x": few, "y": plain}).column("x").drifted
    assert made.detect({"x": many, "y": plain}).column("x").drifted
    never = made.detect({"x": few, "y": np.where(rng.random(N) < 0.05, np.nan, plain)}).column("y")
    assert never.drifted and never.note.startswith("missing: ") and never.note.endswith("0.0% of the reference")


def test_a_column_without_values_is_told_on_either_side(reference: dict[str, NDArray[np.float64]]) -> None:
    nothing = DriftDetector().fit({"x": np.full(M, np.nan), "y": reference["a"]})
    column = nothing.detect({"x": np.zeros(N), "y": window()["a"]}).column("x")
    assert column.p_value is None and "the reference has a value at 0 moments, 200 are needed" in column.note
    made = DriftDetector().fit({"x": reference["b"], "y": reference["a"]})
    report = made.detect({"x": np.full(N, np.nan), "y": window()["a"]})
    assert report.column("x").drifted and "the window has a value at 0 moments, 20 are needed" in report.column("x").note
    assert report.joint is not None and report.joint.note == "0 moments of the window have all columns; 20 are needed"


def test_infinite_values_lie_beyond_every_threshold(reference: dict[str, NDArray[np.float64]], fitted: DriftDetector) -> None:
    absurd, infinite = window(), window()
    absurd["a"], infinite["a"] = absurd["a"].copy(), infinite["a"].copy()
    absurd["a"][7], infinite["a"][7] = 1e300, np.inf
    one, other = fitted.detect(absurd).column("a"), fitted.detect(infinite).column("a")
    assert one.p_value == other.p_value and one.psi == other.psi and other.wasserstein is None
    assert "infinite values" in other.note
    assert DriftReport.from_json(fitted.detect(infinite).to_json()).column("a").psi == other.psi


def test_columns_that_are_missing_new_or_renamed_are_named(fitted: DriftDetector) -> None:
    current = {name: values for name, values in window().items() if name != "c"}
    report = fitted.detect(current | {"c_": window()["c"], "d": window()["a"]})
    assert report.missing == ("c",) and report.new == ("c_", "d") and report.renamed == {"c": "c_"}
    assert report.drifted and report.column("c").note == "missing in the window"
    elsewhere = fitted.detect(current | {"c_": window()["c"] + 50.0})
    assert elsewhere.renamed == {}  # a near name, and not the same values


def test_a_column_of_another_kind_is_a_change(fitted: DriftDetector) -> None:
    column = fitted.detect(window() | {"a": ["x"] * N}).column("a")
    assert column.drifted and column.note == "a number in the reference and text in the window, 'x' throughout"


@pytest.mark.parametrize("dtype", [pl.Null, pl.String, pl.Float64])
def test_a_column_without_a_value_is_of_the_kind_of_the_reference(dtype: type[pl.DataType]) -> None:
    """An empty column of a CSV is read as text, of a frame as nothing at all."""
    rng = np.random.default_rng(0)
    detector = DriftDetector().fit({"number": rng.standard_normal(500), "word": rng.choice(["x", "y"], 500)})
    empty = pl.Series([None] * 100, dtype=dtype)
    report = detector.detect({"number": empty, "word": empty})
    for column in report.columns:
        assert column.drifted and "missing" in column.note and "100.0% of the window" in column.note
    assert not report.missing
    never = DriftDetector().fit({"a": pl.Series([None] * 500, dtype=dtype), "b": rng.standard_normal(500)})
    column = never.detect({"a": ["x"] * 100, "b": rng.standard_normal(100)}).column("a")
    assert column.drifted and column.note == "no value at all in the reference and text in the window, 'x' throughout"


def test_features_of_another_recipe_are_refused(reference: dict[str, NDArray[np.float64]]) -> None:
    X = np.column_stack(list(reference.values()))
    rows = TrainingSet.from_arrays(X, np.zeros(M), label_horizon=1)
    made = DriftDetector().fit(rows, recipe_hash="a" * 64)
    assert made.detect(X[:N], recipe_hash="a" * 64).n_current == N
    with pytest.raises(SignatureError, match="features are of recipe bbbbbbbbbbbb, the reference's of aaaaaaaaaaaa"):
        made.detect(X[:N], recipe_hash="b" * 64)


def test_rows_that_go_back_in_time_are_refused(fitted: DriftDetector) -> None:
    frame = pl.DataFrame(window()).with_columns(ts=pl.Series([*range(N - 1), 5]))
    with pytest.raises(DataError, match=r"row 199 of the window is of 5, before the row above it \(198\)"):
        fitted.detect(frame)


def test_columns_that_are_not_tested_may_hold_anything(fitted: DriftDetector) -> None:
    frame = pl.DataFrame(window()).with_columns(label_end=pl.date(2025, 1, 1), parts=pl.concat_list("a", "b"))
    assert fitted.detect(frame).new == ("label_end", "parts") and not fitted.detect(frame).drifted


def test_symbols_without_times_are_refused(fitted: DriftDetector) -> None:
    one = pl.DataFrame(window()).with_columns(symbol=pl.lit("A"))
    assert fitted.detect(one).n_current == N
    with pytest.raises(DataError, match="the window has 2 symbols and no times; a column ts was expected"):
        fitted.detect(pl.concat([one, one.with_columns(symbol=pl.lit("B"))]))


def test_tables_that_are_none_and_unknown_columns_are_refused(fitted: DriftDetector) -> None:
    with pytest.raises(DataError, match="the window is a str; a TrainingSet, a frame"):
        fitted.detect("candles.parquet")
    with pytest.raises(DataError, match=r"the window is an array of shape \(3,\)"):
        fitted.detect(np.zeros(3))
    with pytest.raises(UnknownName, match="unknown column 'q'"):
        DriftDetector().fit(window(), columns=["q"])
    with pytest.raises(DataError, match="column 't' of the reference is Date"):
        DriftDetector().fit(pl.DataFrame({"t": pl.date_range(pl.date(2020, 1, 1), pl.date(2021, 1, 1), eager=True)}))
    with pytest.raises(DataError, match="no column to test"):
        DriftDetector().fit(pl.DataFrame({"ts": range(M)}))
    with pytest.raises(DataError, match="has no reference yet"):
        DriftDetector().detect(window())


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"alpha": 1.0}, "alpha is 1.0; a number between 0 and 1"),
        ({"correction": "fdr"}, "correction is 'fdr'; one of holm"),
        ({"dependence": "none"}, "dependence is 'none'; 'auto' or 'independent'"),
        ({"n_cosines": 4}, "n_cosines is 4; a whole number of at least 8"),
        ({"psi_bins": 7}, "n_thresholds is 19 with 7 bins; one less than a multiple of psi_bins"),
        ({"min_share": 2.0}, "min_share is 2.0; a share from 0 to 1"),
    ],
)
def test_settings_out_of_bounds_are_refused(settings: dict[str, object], sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        DriftDetector(**settings).fit(window())


def test_pandas_frames_are_taken_and_a_name_twice_is_not(reference: dict[str, NDArray[np.float64]]) -> None:
    pd = pytest.importorskip("pandas")
    index = pd.date_range("2025-01-01", periods=M, freq="h")
    made = DriftDetector().fit(pd.DataFrame(reference, index=index))
    assert made.reference_.span == ("2025-01-01 00:00:00", "2025-03-25 07:00:00")
    assert made.detect(pd.DataFrame(window())).columns == DriftDetector().fit(reference).detect(window()).columns
    with pytest.raises(DataError, match="the reference has 2 columns named 'x'"):
        DriftDetector().fit(pd.DataFrame(np.zeros((M, 2)), columns=["x", "x"]))


def test_the_documented_path_gives_the_very_same_class() -> None:
    from src.cloud.training.ml_framework.mlops import DriftDetector as exported
    from src.cloud.training.ml_framework.mlops.drift_detector import DriftDetector as module_level

    assert exported is DriftDetector and module_level is DriftDetector


def test_threads_change_nothing(reference: dict[str, NDArray[np.float64]], fitted: DriftDetector) -> None:
    report = DriftDetector(n_jobs=2).fit(reference).detect(window())
    assert report == fitted.detect(window())


def test_what_nests_too_deep_or_rests_on_no_moments_is_no_reference(fitted: DriftDetector) -> None:
    deep = "[" * 100_000
    with pytest.raises(ArtifactError, match="no reference of drift checks"):
        Reference.from_bytes(deep.encode())
    with pytest.raises(DataError, match="no drift report"):
        DriftReport.from_json(deep)
    told = json.loads(fitted.reference_.to_bytes())
    for moments in (0, -5, 199, told["n_rows"] + 1):
        with pytest.raises(ArtifactError, match=f"{moments} moments of"):
            Reference.from_bytes(json.dumps(told | {"n_moments": moments}).encode())


@pytest.mark.parametrize("written", ["dates", "seconds", "milliseconds", "nanoseconds"])
def test_a_window_out_of_its_reference_is_noted_however_times_are_written(written: str) -> None:
    rng, hours = np.random.default_rng(2), np.datetime64("2026-01-01T00", "h") + np.arange(400)
    unit = {"dates": "ms", "seconds": "s", "milliseconds": "ms", "nanoseconds": "ns"}[written]
    ts = hours.astype(f"datetime64[{unit}]")
    table = pl.DataFrame({"ts": hours.astype("datetime64[ms]"), "x": rng.standard_normal(400)})
    other = table.with_columns(ts=pl.Series(ts if written == "dates" else ts.astype(np.int64)))
    detector = DriftDetector().fit(table[100:])
    for rows, said in ((slice(200, 400), "overlap in time"), (slice(0, 100), "lies before the reference")):
        notes = detector.detect(other[rows]).notes
        assert any(said in note for note in notes), notes
