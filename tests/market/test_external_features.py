"""External features: the last value known at the decision time, by a slow search; never one that came later."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from huracan.errors import CandleError, FeatureError, LeakageError
from huracan.market import join_external, join_external_report
from huracan.validation import assert_causal

START = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)
MS = pl.Datetime("ms", "UTC")
HOUR = dt.timedelta(hours=1)
join, join_report = partial(join_external, bar="1h"), partial(join_external_report, bar="1h")


def hours(n: int, symbols: Sequence[str] = ("A",)) -> pl.DataFrame:
    rows = [(symbol, START + i * HOUR, float(i)) for symbol in symbols for i in range(n)]
    return pl.DataFrame(rows, schema={"symbol": pl.String(), "ts": MS, "close": pl.Float64()}, orient="row")


def known(minutes: Sequence[float], values: Sequence[float | None], **more: Sequence[object]) -> pl.DataFrame:
    """External rows known so many minutes after START, to the microsecond."""
    times = [START + dt.timedelta(microseconds=round(minute * 60e6)) for minute in minutes]
    return pl.DataFrame({"known_at": pl.Series(times, dtype=pl.Datetime("us", "UTC")), "value": values, **more})


def slow_join(frame: pl.DataFrame, external: pl.DataFrame, tolerance: dt.timedelta | None) -> list[float | None]:
    found = []
    for symbol, ts in frame.select("symbol", "ts").iter_rows():
        decided = ts + HOUR
        best: tuple[dt.datetime, float | None] | None = None
        for row in external.iter_rows(named=True):
            mine = row.get("symbol", symbol) == symbol
            if mine and row["known_at"] <= decided and (best is None or row["known_at"] > best[0]):
                best = (row["known_at"], row["value"])
        too_old = best is not None and tolerance is not None and decided - best[0] > tolerance
        found.append(None if best is None or too_old else best[1])
    return found


# moments on the grid, just before and just after it: the edges where a join looks ahead or misses
moments = st.one_of(st.integers(-3, 15).map(lambda hour: hour * 60), st.integers(-3 * 60, 15 * 60)).flatmap(
    lambda minute: st.sampled_from([minute, minute + 1e-6 / 60, minute - 1e-6 / 60])
)


@settings(max_examples=150, deadline=None)
@given(data=st.data(), by_symbol=st.booleans(), tolerance=st.sampled_from([None, dt.timedelta(0), HOUR, 3 * HOUR]))
def test_every_row_gets_what_a_slow_search_finds(data: st.DataObject, by_symbol: bool, tolerance: dt.timedelta | None) -> None:
    minutes = data.draw(st.lists(moments, min_size=1, max_size=12, unique_by=lambda m: round(m * 60e6)))
    numbers = data.draw(
        st.lists(
            st.one_of(st.none(), st.floats(allow_infinity=False, allow_nan=False)), min_size=len(minutes), max_size=len(minutes)
        )
    )
    whose = data.draw(st.lists(st.sampled_from(["A", "B", "Z"]), min_size=len(minutes), max_size=len(minutes)))
    external = known(minutes, numbers, **({"symbol": whose} if by_symbol else {})).cast({"value": pl.Float64()})
    frame = hours(12, ("A", "B", "C"))
    report = join_report(frame, external, tolerance=tolerance)
    assert report.frame["value"].to_list() == slow_join(frame, external, tolerance)
    assert_frame_equal(report.frame.drop("value"), frame)
    unmatched = slow_join(frame, external.with_columns(value=pl.lit(1.0)), tolerance).count(None)
    assert report.missing == unmatched
    if by_symbol:
        spoken = set(whose)
        assert report.other_symbol == 12 * sum(symbol not in spoken for symbol in ("A", "B", "C"))


@settings(max_examples=50, deadline=None)
@given(data=st.data(), cut=st.integers(1, 11))
def test_cutting_away_the_future_changes_nothing(data: st.DataObject, cut: int) -> None:
    """Rows and external data of the future are both cut; what was joined before stays, bit for bit."""
    minutes = data.draw(st.lists(moments, min_size=1, max_size=12, unique_by=lambda m: round(m * 60e6)))
    external = known(minutes, [float(i) for i in range(len(minutes))])
    frame = hours(12, ("A", "B"))
    decided = START + cut * HOUR
    past = frame.filter(pl.col("ts") + HOUR <= decided)
    whole = join(frame, external).filter(pl.col("ts") + HOUR <= decided)
    published = external.filter(pl.col("known_at") <= decided)
    assert_frame_equal(join(past, published), whole, check_exact=True)


def test_the_look_ahead_detector_passes_the_join_and_catches_the_same_data_used_too_early() -> None:
    frame = hours(200, ("A", "B"))
    frame = frame.with_columns(close=pl.Series(np.random.default_rng(0).normal(size=frame.height)))

    def features(prefix: pl.DataFrame, wait: dt.timedelta) -> pl.DataFrame:
        # a daily mean, dated by its day, known when the day is over
        daily = prefix.group_by("symbol", date=pl.col("ts").dt.truncate("1d"), maintain_order=True).agg(
            pl.col("close").mean().alias("mean"), pl.len().alias("n")
        )
        daily = daily.filter(pl.col("n") == 24).drop("n") if wait else daily.drop("n")
        return join(prefix, daily, delay=wait).select("symbol", "ts", "mean")

    assert assert_causal(lambda prefix: features(prefix, dt.timedelta(days=1)), frame).n_values > 1000
    with pytest.raises(LeakageError, match="'mean' reads the future"):
        assert_causal(lambda prefix: features(prefix, dt.timedelta(0)), frame)


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_thinning_out_rows_changes_no_value_and_no_length_is_taken_from_their_steps(data: st.DataObject) -> None:
    """Any rows of whole candles, days of hours among them, get what they get among all; a length too long is refused."""
    candles = hours(72, ("A", "B")).with_columns(
        *(pl.col("close").alias(name) for name in ("open", "high", "low")), volume=pl.lit(1.0)
    )
    external = known([60.0 * hour for hour in range(80)], [float(hour) for hour in range(80)])
    every = data.draw(st.sampled_from([1, 2, 24]))
    kept = data.draw(st.sets(st.sampled_from(range(0, candles.height, every)), min_size=1))
    rows = candles[sorted(kept)]
    if data.draw(st.booleans()):
        rows = rows.sort("ts", "symbol")
    expected = join(candles, external).select("symbol", "ts", "value")
    assert_frame_equal(join(rows, external), rows.join(expected, on=["symbol", "ts"], how="left", maintain_order="left"))
    with pytest.raises(FeatureError, match=r"bar= is not given, and a row is decided at ts \+ bar: .*thinned out"):
        join_external(rows, external)
    steps = rows.sort("symbol", "ts").select(pl.col("ts").diff().over("symbol")).to_series().drop_nulls()
    if len(steps):
        least = steps.min()
        assert join_external(rows, external, bar=least).height == rows.height
        with pytest.raises(FeatureError, match=r"apart at 2025-01-0.* they would be decided after later bars had opened"):
            join_external(rows, external, bar=least + dt.timedelta(milliseconds=1))


def test_a_symbol_of_other_bars_does_not_lend_its_length() -> None:
    """400 days of A outnumber 300 minutes of B; neither steps nor a day given for all may decide B's rows."""
    rows = [("A", START + i * dt.timedelta(days=1)) for i in range(400)]
    rows += [("B", START + i * dt.timedelta(minutes=1)) for i in range(300)]
    frame = pl.DataFrame(rows, schema={"symbol": pl.String(), "ts": MS}, orient="row")
    external = known([60.0 * hour for hour in range(9000)], [float(hour) for hour in range(9000)])
    with pytest.raises(FeatureError, match=r"the rows of B 1m and A 1d lie so far apart, but rows that were thinned out"):
        join_external(frame, external)
    with pytest.raises(FeatureError, match=r"bar is 1d, and B has rows 1m apart at 2025-01-01 00:01 UTC"):
        join_external(frame, external, bar="1d")
    assert join_external(frame, external, bar="1m").filter(symbol="B")["value"][0] == 0.0


def test_the_boundary_is_the_decision_time_to_the_microsecond() -> None:
    frame = hours(2)
    at = [60.0, 60 + 1e-6 / 60, 60 - 1e-6 / 60]
    assert join(frame, known(at[:1], [1.0]))["value"].to_list() == [1.0, 1.0]  # known when it is decided: usable
    assert join(frame, known(at[1:2], [1.0]))["value"].to_list() == [None, 1.0]  # a microsecond later: not
    assert join(frame, known(at[2:], [1.0]))["value"].to_list() == [1.0, 1.0]
    for form in ("2025-01-01T01:00:00.000001Z", "2025-01-01T01:00:00.0001Z"):
        assert join(frame, pl.DataFrame({"known_at": [form], "value": [1.0]}))["value"].to_list() == [None, 1.0]
    assert join(frame, pl.DataFrame({"known_at": ["2025-01-01T01:00:00.000000Z"], "value": [1.0]}))["value"][0] == 1.0
    second = int((START + HOUR).timestamp())
    seen = (second, second * 10**6, float(second), str(second))
    late = (second * 10**6 + 1, second * 10**9 + 1, second + 0.0002, str(second * 10**6 + 1))
    for number in (*seen, *late):
        joined = join(frame, pl.DataFrame({"known_at": [number], "value": [1.0]}))
        assert joined["value"].to_list() == [1.0 if number in seen else None, 1.0], repr(number)


def test_a_value_is_too_old_when_it_is_older_than_the_tolerance_and_not_before() -> None:
    assert join(hours(3), known([60], [1.0]), tolerance="1h")["value"].to_list() == [1.0, 1.0, None]
    assert join(hours(3), known([60 - 1e-6 / 60], [1.0]), tolerance="1h")["value"].to_list() == [1.0, None, None]
    assert join(hours(3), known([60], [1.0]), tolerance="0h")["value"].to_list() == [1.0, None, None]


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Tokyo", None])
def test_time_zones_are_converted_and_naive_times_are_said_to_be_utc(zone: str | None) -> None:
    external = known([30, 90, 150], [1.0, 2.0, 3.0])
    if zone is None:
        moved = external.with_columns(pl.col("known_at").dt.replace_time_zone(None))
    else:
        moved = external.with_columns(pl.col("known_at").dt.convert_time_zone(zone))
    report = join_report(hours(4), moved)
    assert report.frame["value"].to_list() == [1.0, 2.0, 3.0, 3.0]
    assert any("names no time zone and is read as UTC" in note for note in report.notes) == (zone is None)


def test_it_must_be_said_when_values_became_known() -> None:
    frame, external = hours(50), known([0, 60], [1.0, 2.0])
    observed = external.rename({"known_at": "ts"})
    with pytest.raises(
        FeatureError, match=r"no column 'known_at', and column 'ts' may be when values were observed; pass on='ts'"
    ):
        join(frame, observed)
    with pytest.raises(FeatureError, match=r"no column 'known_at' that says when a value became known; columns are value"):
        join(frame, external.drop("known_at"), delay="1h")
    with pytest.raises(FeatureError, match=r"no column 'published'"):
        join(frame, external, on="published")
    assert join(frame, observed, delay="90m")["value"][:3].to_list() == [None, 1.0, 2.0]
    assert join(frame, observed, on="ts")["value"][:2].to_list() == [2.0, 2.0]
    assert join(frame, observed, delay=dt.timedelta(0))["value"][:2].to_list() == [2.0, 2.0]
    with pytest.raises(CandleError, match="delay is '-1h'"):
        join(frame, observed, delay="-1h")


@pytest.mark.parametrize("dates", [[dt.date(2025, 1, 1), dt.date(2025, 1, 2)], ["2025-01-01", "2025-01-02"]])
def test_dates_without_time_of_day_need_a_delay(dates: list[object]) -> None:
    external = pl.DataFrame({"known_at": dates, "value": [1.0, 2.0]})
    with pytest.raises(FeatureError, match=r"holds dates without time of day, such as 2025-01-01; delay= must say"):
        join(hours(50), external)
    joined = join(hours(50), external, delay="1d")["value"]
    assert joined[:23].null_count() == 23 and set(joined[23:47]) == {1.0} and set(joined[47:]) == {2.0}
    midnights = external.with_columns(pl.Series("known_at", [START, START + 24 * HOUR]))
    assert any("is a midnight, UTC" in note for note in join_report(hours(50), midnights).notes)


def test_unsorted_rows_are_sorted_and_said() -> None:
    external = known([90, 30, 150], [2.0, 1.0, 3.0])
    report = join_report(hours(3), external)
    assert report.frame["value"].to_list() == [1.0, 2.0, 3.0]
    assert report.notes == ("the external data were not in order of 'known_at' and were sorted.",)
    by_symbol = known([30, 90, 30, 90], [1.0, 2.0, 3.0, 4.0], symbol=["B", "B", "A", "A"])
    report = join_report(hours(3, ("A", "B")), by_symbol)
    assert report.frame["value"].to_list() == [3.0, 4.0, 4.0, 1.0, 2.0, 2.0] and report.notes == ()


def test_rows_known_at_the_same_moment_must_agree() -> None:
    twice = known([30, 30, 90], [1.0, 1.0, 2.0])
    report = join_report(hours(2), twice)
    assert report.frame["value"].to_list() == [1.0, 2.0]
    assert report.notes == ("1 rows that are there more than once with the same values were left out.",)
    for values in ([1.0, 5.0, 2.0], [1.0, None, 2.0]):
        with pytest.raises(
            FeatureError, match=r"different values known at 2025-01-01 00:30 UTC in column 'known_at' \(1 such rows\)"
        ):
            join(hours(2), known([30, 30, 90], values))
    apart = known([30, 30], [1.0, 5.0], symbol=["A", "B"])
    assert join(hours(1, ("A", "B")), apart)["value"].to_list() == [1.0, 5.0]


def test_a_late_revision_of_an_old_observation_does_not_replace_a_newer_one() -> None:
    quarter = [1, 2, 1, 2, 3]
    external = known([30, 90, 150, 210, 211], [10.0, 20.0, 11.0, 21.0, 30.0]).with_columns(
        quarter=pl.Series([START + (q - 5) * dt.timedelta(days=90) for q in quarter])
    )
    report = join_report(hours(5), external, observed="quarter")
    assert report.columns == ("value",)
    assert report.frame["value"].to_list() == [10.0, 20.0, 20.0, 30.0, 30.0]
    assert report.notes == ("1 revisions of observations older than the newest one known were left out.",)
    plain = join(hours(5), external.drop("quarter"))["value"].to_list()
    assert plain == [10.0, 20.0, 11.0, 30.0, 30.0]


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_with_revisions_the_newest_observation_known_wins_in_its_last_revision(data: st.DataObject) -> None:
    """Also where a whole history becomes known at one moment."""
    pairs = data.draw(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 5)), min_size=1, max_size=15, unique=True))
    external = known([60.0 * hour for hour, _ in pairs], [float(i) for i in range(len(pairs))]).with_columns(
        observed=pl.Series([START - dt.timedelta(days=30 - day) for _, day in pairs])
    )
    joined = join(hours(9), external, observed="observed")["value"].to_list()
    for row, value in enumerate(joined):
        past = [(day, hour, i) for i, (hour, day) in enumerate(pairs) if hour <= row + 1]
        assert value == (float(max(past)[2]) if past else None)


def test_nulls_and_nan_that_were_published_stay_and_are_not_counted_as_missing() -> None:
    report = join_report(hours(3), known([30, 90, 150], [1.0, None, float("nan")]))
    assert report.frame["value"].to_list()[:2] == [1.0, None] and np.isnan(report.frame["value"][2])
    assert report.missing == 0 and report.sentence == "3 of 3 rows have an external value."


def test_what_is_missing_is_counted_by_reason() -> None:
    external = known([90, 100], [1.0, 2.0], symbol=["A", "ZZ"])
    report = join_report(hours(4, ("A", "B")), external, tolerance="40m")
    assert (report.rows, report.missing, report.not_yet_known, report.too_old, report.other_symbol) == (8, 7, 1, 2, 4)
    assert report.sentence == (
        "1 of 8 rows have an external value; 1 before anything was known, 2 with values too old, "
        "4 of symbols the external data lack."
    )
    assert report.notes == ("the external data speak of 1 symbols that the frame lacks, such as ZZ.",)


def test_names_types_and_files(tmp_path: Path) -> None:
    frame = hours(3)
    external = known([30, 90], [1, 2]).with_columns(mood=pl.Series(["fear", "greed"]), close=pl.lit(5.0))
    with pytest.raises(FeatureError, match="the frame has a column 'close' already; prefix="):
        join(frame, external)
    joined = join(frame, external, prefix="x_")
    assert joined.columns == ["symbol", "ts", "close", "x_value", "x_mood", "x_close"]
    assert joined.schema["x_value"] == pl.Int64 and joined["x_mood"].to_list() == ["fear", "greed", "greed"]
    assert join(frame, external, columns=["mood"]).columns == ["symbol", "ts", "close", "mood"]
    external.write_csv(tmp_path / "mood.csv")
    assert_frame_equal(join(frame, tmp_path / "mood.csv", prefix="x_"), joined)
    assert_frame_equal(join(frame, external.to_pandas(), prefix="x_"), joined)
    with pytest.raises(FeatureError, match="no column 'moood'"):
        join(frame, external, columns=["moood"])
    with pytest.raises(FeatureError, match="no column of values"):
        join(frame, external.select("known_at"))


@pytest.mark.parametrize(
    ("external", "sentence"),
    [
        (
            known([30], [1.0]).with_columns(known_at=pl.lit(None, MS)),
            "column 'known_at' of the external data has no time in row 0",
        ),
        (pl.DataFrame({"known_at": ["soon"], "value": [1.0]}), "says 'soon' in row 0"),
        (pl.DataFrame({"known_at": [12], "value": [1.0]}), "holds numbers from 12"),
        (
            known([30], [1.0], symbol=[None]).cast({"symbol": pl.String()}),
            "column 'symbol' of the external data is empty in row 0",
        ),
    ],
)
def test_external_data_that_cannot_be_placed_in_time_are_refused(external: pl.DataFrame, sentence: str) -> None:
    with pytest.raises(FeatureError, match=sentence) as caught:
        join(hours(3), external)
    assert "\n" not in str(caught.value)


def test_frames_that_are_not_bars_are_refused_and_empty_ones_join() -> None:
    external = known([30], [1.0])
    with pytest.raises(FeatureError, match="has no column 'ts'"):
        join(hours(3).drop("ts"), external)
    with pytest.raises(FeatureError, match="column 'ts' of the frame is Datetime"):
        join(hours(3).cast({"ts": pl.Datetime("us", "UTC")}), external)
    assert join(hours(1), external.clear())["value"].to_list() == [None]
    assert join(hours(3).clear(), external).columns == ["symbol", "ts", "close", "value"]
