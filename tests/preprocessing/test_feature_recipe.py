"""A recipe is a value: equal, hashed, stored, read again, and refused when it would mean something else."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from huracan.errors import FeatureError, UnknownName
from huracan.preprocessing import FeatureRecipe, FeatureSpec, feature, get_indicator, indicator_table, with_lags
from huracan.preprocessing.indicators import indicator, known_indicators, registry, window
from huracan.preprocessing.spec import STEPS


def walk(n: int, symbols: tuple[str, ...] = ("A",)) -> pl.DataFrame:
    parts = []
    for i, symbol in enumerate(symbols):
        rng = np.random.default_rng(i)
        close = 10.0 * np.exp(np.cumsum(rng.normal(0, 0.01, n)))
        hours = pl.datetime_range(pl.datetime(2024, 1, 1), pl.datetime(2024, 1, 1) + pl.duration(hours=n - 1), "1h", eager=True)
        parts.append(
            pl.DataFrame(
                {
                    "symbol": symbol,
                    "ts": hours.dt.replace_time_zone("UTC").cast(pl.Datetime("ms", "UTC")),
                    "open": close,
                    "high": close * 1.01,
                    "low": close * 0.99,
                    "close": close,
                    "volume": rng.lognormal(size=n),
                }
            )
        )
    return pl.concat(parts)


@st.composite
def specs(draw: st.DrawFn) -> FeatureSpec:
    entry = get_indicator(draw(st.sampled_from(known_indicators())))
    values = {}
    for p in entry.parameters:
        if p.choices:
            values[p.name] = draw(st.sampled_from(p.choices))
        elif isinstance(p.default, float):
            values[p.name] = draw(st.floats(p.low, min(p.high, 4.0)))
        else:
            low, high = (150, 300) if p.name in ("long_window", "slow") else (3, 100)
            values[p.name] = draw(st.integers(min(low, int(p.high)), min(high, int(p.high))))
    refusal = entry.refusal_of(**values) if entry.refusal_of else None
    assume(refusal is None)
    spec = feature(entry.name, **values)
    for step in draw(st.lists(st.sampled_from(sorted(STEPS)), max_size=2)):
        spec = spec.followed_by(step, **{STEPS[step].parameter.name: draw(st.integers(2, 40))})
    return spec


@settings(max_examples=60, deadline=None)
@given(st.lists(specs(), min_size=1, max_size=5, unique_by=lambda s: s.columns))
def test_json_gives_back_the_same_recipe(chosen: list[FeatureSpec]) -> None:
    recipe = FeatureRecipe(chosen)
    again = FeatureRecipe.from_json(recipe.to_json())
    assert (again, again.hash, again.columns, again.warmup) == (recipe, recipe.hash, recipe.columns, recipe.warmup)
    assert len({recipe, again}) == 1
    assert recipe.lookback == max(recipe.lookbacks().values())


def test_the_hash_is_the_same_in_another_process() -> None:
    code = "from huracan.preprocessing import FeatureRecipe as F; print(F.default().hash, F.default().engine_hash)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert said == [FeatureRecipe.default().hash, FeatureRecipe.default().engine_hash]
    assert [len(s) for s in said] == [64, 16]


def test_the_hash_sees_parameters_order_steps_and_version(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = feature("rsi", window=14), feature("cci", window=20)
    recipes = [[a], [feature("rsi", window=15)], [a, b], [b, a], [a.followed_by("lag", bars=1)], [a.followed_by("lag", bars=2)]]
    assert len({FeatureRecipe(r).hash for r in recipes}) == len(recipes)
    hidden = FeatureRecipe([feature("log_return_scaled", horizon=1, volatility_window=50)])
    assert hidden.hash != FeatureRecipe([feature("log_return_scaled", horizon=1)]).hash
    assert hidden.columns == ("log_return_scaled_1_volatility_window50",)


def test_a_formula_that_changed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = FeatureRecipe([feature("rsi")]).to_json()
    before = FeatureRecipe([feature("rsi")]).hash
    changed = json.loads(stored)
    changed["features"][0]["version"] = 7
    with pytest.raises(FeatureError, match="'rsi' was stored with version 7 of its formula and is now at version 1"):
        FeatureRecipe.from_json(json.dumps(changed))
    import dataclasses

    newer = {**registry._REGISTER, "rsi": dataclasses.replace(registry._REGISTER["rsi"], version=2)}
    monkeypatch.setattr(registry, "_REGISTER", newer)
    assert FeatureRecipe([feature("rsi")]).hash != before


def test_addition_keeps_order_and_doubles_nothing() -> None:
    left = FeatureRecipe([feature("rsi"), feature("cci")])
    right = FeatureRecipe([feature("cci"), feature("adx")])
    assert (left + right).columns == ("rsi_14", "cci_20", "adx_14")
    assert left + left == left
    together = (left + right).compute(walk(100))
    assert together.drop("rsi_14").equals(right.compute(walk(100)))


def test_unknown_names_offer_the_nearest() -> None:
    with pytest.raises(UnknownName, match="unknown indicator 'bolinger'; did you mean 'bollinger'"):
        feature("bolinger")
    with pytest.raises(UnknownName, match="parameter of indicator 'rsi' 'windwo'; did you mean 'window'"):
        feature("rsi", windwo=3)
    with pytest.raises(FeatureError, match="takes no parameters; 'window' was given"):
        feature("candle_shape", window=3)
    with pytest.raises(UnknownName, match="unknown step 'zscor'; did you mean 'zscore'"):
        feature("rsi").followed_by("zscor")


@pytest.mark.parametrize("value", [1, 0, -5, 2.5, "14", None, True, 10**9, float("inf"), float("nan")])
def test_a_parameter_out_of_bounds_names_the_bounds(value: object) -> None:
    with pytest.raises(FeatureError, match=r"window is .*; a whole number from 2 to 100000 was expected"):
        feature("rsi", window=value)


def test_numpys_numbers_are_numbers() -> None:
    assert feature("bollinger", window=np.int64(30), deviations=np.float32(2.5)) == feature(
        "bollinger", window=30, deviations=2.5
    )
    assert feature("rsi").followed_by("zscore", window=np.int32(50)).on(np.int64(4)) == feature("rsi").followed_by(
        "zscore", window=50
    ).on(4)
    assert FeatureRecipe([feature("rsi", window=np.int64(14))]).hash == FeatureRecipe([feature("rsi", window=14)]).hash


@pytest.mark.parametrize("name", [None, 3, ["rsi"]])
def test_an_indicator_without_a_name(name: object) -> None:
    with pytest.raises(FeatureError, match=r"indicator is .*; a name such as 'rsi' was expected"):
        feature(name)  # type: ignore[arg-type]


def test_senseless_combinations_are_refused() -> None:
    for name, values in (
        ("macd", {"fast": 26, "slow": 12}),
        ("volatility_ratio", {"window": 50, "long_window": 50}),
        ("atr_ratio", {"window": 97}),
        ("volume_ratio", {"window": 60}),
        ("amihud", {"window": 200}),
        ("ema_cross", {"fast": 50, "slow": 40}),
    ):
        with pytest.raises(FeatureError, match="must be shorter than"):
            feature(name, **values)
    with pytest.raises(FeatureError, match="estimator is 'gk'; one of realised, parkinson"):
        feature("volatility_level", estimator="gk")


def test_recipes_that_are_none_are_refused() -> None:
    with pytest.raises(FeatureError, match="without features"):
        FeatureRecipe([])
    with pytest.raises(FeatureError, match="'rsi_14' comes from two features"):
        FeatureRecipe([feature("rsi"), feature("rsi", window=14)])
    with pytest.raises(FeatureError, match="'rsi' is not a feature"):
        FeatureRecipe(["rsi"])  # type: ignore[list-item]
    for no_list in (feature("rsi"), "rsi", None):
        with pytest.raises(
            FeatureError, match=r"was given; a list of features was expected, as in \[feature\('rsi', window=14\)\]"
        ):
            FeatureRecipe(no_list)  # type: ignore[arg-type]
    for text in (
        "",
        b"\xff",
        "[" * 100_000,
        "[]",
        "{}",
        '{"format": 2, "features": []}',
        '{"format": 1, "features": [3]}',
        '{"format": 1, "features": []}',
    ):
        with pytest.raises(FeatureError):
            FeatureRecipe.from_json(text)


def test_lags_are_the_same_in_recipe_and_on_frames() -> None:
    candles = walk(300, ("A", "B"))
    candles = pl.concat([candles[:200], candles[205:]])  # a gap in A
    recipe = FeatureRecipe([feature("rsi"), feature("adx")])
    lagged = recipe.with_lags([1, 5], ["rsi_14"])
    assert lagged.columns == (*recipe.columns, "rsi_14__lag_1", "rsi_14__lag_5")
    assert lagged.compute(candles).equals(with_lags(recipe.compute(candles), [1, 5], ["rsi_14"]))
    assert lagged.lookback == max(27, 14 + 5)
    for bad in (0, -1, 1.5, True):
        with pytest.raises(FeatureError, match=r"lag .* from 1 was expected"):
            with_lags(recipe.compute(candles), [bad])  # type: ignore[list-item]
    with pytest.raises(FeatureError, match="column 'rsi' is not among"):
        recipe.with_lags([1], ["rsi"])


def test_rows_stay_as_the_candles_are_and_a_given_segment_counts() -> None:
    candles = walk(100, ("A", "B"))
    features = FeatureRecipe.minimal().compute(candles)
    assert features.select("symbol", "ts").equals(candles.select("symbol", "ts"))
    assert features.schema["segment"] == pl.Int32
    assert all(features.schema[c] == pl.Float32 for c in FeatureRecipe.minimal().columns)
    halved = candles.with_columns((pl.int_range(100).over("symbol") // 50).cast(pl.Int32).alias("segment"))
    rsi = FeatureRecipe([feature("rsi")]).compute(halved)
    assert rsi["rsi_14"].null_count() == 4 * 14


def test_required_columns_are_all_that_is_read() -> None:
    for name in known_indicators():
        recipe = FeatureRecipe([feature(name)])
        only = walk(400).select(recipe.required_columns)
        assert recipe.compute(only).columns == ["symbol", "ts", "segment", *recipe.columns]
    assert FeatureRecipe([feature("rsi")]).required_columns == ("symbol", "ts", "close")
    assert FeatureRecipe.calendar().required_columns == ("symbol", "ts")


def test_a_users_indicator_takes_ten_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_REGISTER", dict(registry._REGISTER))

    @indicator(
        family="mine", parameters=(window("window", 20),), lookback=lambda window: window, formula="close / close[t-w] - 1"
    )
    def my_own_return(bars, window):
        """Simple return over a window."""
        return np.r_[np.full(window, np.nan), bars.close[window:] / bars.close[:-window] - 1]

    recipe = FeatureRecipe([feature("my_own_return", period=5)])
    values, close = recipe.compute(walk(30)), walk(30)["close"]
    np.testing.assert_allclose(values["my_own_return_5"][5:], (close / close.shift(5) - 1)[5:], rtol=1e-6)
    assert "my_own_return" in indicator_table()["indicator"].to_list()
    with pytest.raises(FeatureError, match="'my_own_return' is registered already"):
        indicator(family="mine", lookback=lambda: 0, formula="")(my_own_return)


def test_a_users_mistake_is_named_and_harms_no_other_feature(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_REGISTER", dict(registry._REGISTER))

    @indicator(family="mine", lookback=lambda: 0, formula="high")
    def undeclared(bars):
        return bars.high

    @indicator(family="mine", lookback=lambda: 0, formula="nothing")
    def nothing(bars):
        return None

    @indicator(family="mine", lookback=lambda: 0, formula="1")
    def overwriting(bars):
        bars.close[:] = 1.0
        return bars.close

    with pytest.raises(FeatureError, match="an indicator reads 'high' and was registered without it: columns are close"):
        FeatureRecipe([feature("undeclared")]).compute(walk(30))
    with pytest.raises(
        FeatureError, match=r"indicator 'nothing' returned arrays of shape \(\); 1 of shape \(30,\) were expected"
    ):
        FeatureRecipe([feature("nothing")]).compute(walk(30))
    with pytest.raises(ValueError, match="read-only"):
        FeatureRecipe([feature("overwriting"), feature("simple_return")]).compute(walk(30))


def test_every_indicator_is_documented() -> None:
    table = indicator_table()
    assert table["indicator"].to_list() == list(known_indicators())
    for column in ("family", "purpose", "formula", "columns", "outputs"):
        assert (table[column].str.len_chars() > 0).all(), column


def test_forty_thousand_rows_take_less_than_a_second() -> None:
    candles, recipe = walk(40_000), FeatureRecipe.default()
    recipe.compute(candles[:1000])
    fastest = min(_seconds(lambda: recipe.compute(candles)) for _ in range(3))
    assert fastest < 1.0


def _seconds(work) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def test_a_recipe_changed_after_it_was_written_is_refused() -> None:
    text = FeatureRecipe.minimal().to_json()
    with pytest.raises(FeatureError, match=r"the recipe states hash '[0-9a-f]{64}'; its content has '[0-9a-f]{64}'"):
        FeatureRecipe.from_json(text.replace('"horizon": 24', '"horizon": 25'))
    without = json.dumps({k: v for k, v in json.loads(text).items() if k != "hash"})
    assert FeatureRecipe.from_json(without) == FeatureRecipe.minimal(), "a recipe written by hand needs no hash"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"parameters": [1]}, r"'parameters' of the stored feature 'rsi' is \[1\]; an object was expected"),
        ({"parameters": None}, "'parameters' of the stored feature 'rsi' is None"),
        ({"then": None}, "'then' of the stored feature 'rsi' is None; a list was expected"),
        ({"then": [[["lag"], 1]]}, "is not one of lag, zscore"),
        ({"then": [["lag", "x"]]}, "step 'lag': bars is 'x'"),
        ({"bar": "1h"}, "'bar' of the stored feature 'rsi' is '1h'; milliseconds was expected"),
        ({"every": 4.5}, r"on\(4.5\): a whole number of bars"),
        ({"across": [1]}, "unknown comparison across symbols"),
        ({"thne": [["lag", 1]]}, "unknown key of the stored feature 'rsi', 'thne'; did you mean 'then'"),
    ],
)
def test_a_stored_feature_is_read_whole_or_not_at_all(change: dict, said: str) -> None:
    """A key that is not known could be a step left out: the hash cannot tell, for it is that of what was understood."""
    document = json.loads(FeatureRecipe([feature("rsi")]).to_json())
    document["features"][0] |= change
    with pytest.raises((FeatureError, UnknownName), match=said):
        FeatureRecipe.from_json(json.dumps(document))
    with pytest.raises(UnknownName, match="unknown key of a recipe 'fetures'; did you mean 'features'"):
        FeatureRecipe.from_json(json.dumps({**json.loads(FeatureRecipe.minimal().to_json()), "fetures": []}))


def test_a_recipe_shows_itself_in_a_line() -> None:
    shown = repr(FeatureRecipe.default())
    assert "48 columns, complete after 179 bars" in shown and "log_return_scaled_1" in shown and len(shown) < 250
    spec = feature("rsi", window=7).followed_by("lag", bars=2).across("rank")
    assert eval(repr(spec), {"feature": feature}) == spec
