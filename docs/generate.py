"""Write the generated pages: the configuration with its parameter table, learners, indicators. Run by ``make docs``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from huracan.baselines.search_space import Between, Dimension
from huracan.catalogue import MODEL_CATALOGUE, PROFILES, LearnerSpec
from huracan.config import commented_yaml, parameter_table
from huracan.models.neural_settings import NEURAL_ALIASES, NEURAL_DEFAULTS, NEURAL_MEANINGS
from huracan.preprocessing import indicator_table

ROOT = Path(__file__).resolve().parent.parent
CONFIGURATION = """# Configuration

Every key of `config/ml_framework.yaml`. Any may be left out, also in a profile that exists by default; only a list of
learners that is given replaces the default list as a whole. The environment overrides the file: `HURACAN_HOME` sets `home`,
`HURACAN__LABELS__HORIZON=4` sets `labels.horizon` (two underscores a level). The hyperparameters that go under `params` are
in [learners.md](learners.md). This page is generated (`make docs`).

"""
LEARNERS = """# Learners

Every learner of the catalogue with its hyperparameters. In Python: `build_model("ridge", expected_ic=0.1)`. In the
configuration:

```yaml
profiles:
  quick:
    learners:
      ridge: {params: {expected_ic: 0.1}, max_train_rows: 100000}
```

Well-known names of scikit-learn, LightGBM and XGBoost are understood where they mean the same; they stand under "also".
Where a hyperparameter is none by default, another one decides, and a value given replaces that. All learners also take
`clip` (inputs are cut at this many standard deviations; 8) and, for regression, `winsorize` (share of the label cut at each
end; 0.005). A row cap is the number of most recent training rows used in a fit, by profile. Your own learner joins them as
in [your_own_learner.md](your_own_learner.md). This page is generated (`make docs`).

"""
NETWORKS = """## Networks

Networks see a window of bars, the row itself the last. A window never crosses a symbol, a gap or a missing bar; rows without a
whole window get the constant forecast. All networks are trained by one loop (AdamW) and stop when the last, purged share of
the time says so; the parameters that did best there are kept. They need the extra `neural` (PyTorch). The same seed gives the
same bits for the same `n_jobs`. How to use them: [networks.md](networks.md). These hyperparameters are common to all of them;
below stand only those that a network adds or sets otherwise.
"""
INDICATORS = """# Indicators

Every indicator of the register, by family. In Python:

```python
from huracan.preprocessing import FeatureRecipe, feature

recipe = FeatureRecipe([feature("rsi", window=14), feature("macd"), feature("realised_volatility", window=48)])
features = recipe.compute(candles)
```

**Unit.** Where one is given, values are counted in it and do not compare between symbols; the others are pure numbers.
Names that end in `_scaled`, and the families trend, oscillators and shape, are made to look alike for every symbol: in
volatilities, in logs, between -1 and 1. The plain names are the field's own, with TA-Lib's values.

**Warm-up** is two numbers for the default parameters, in bars: rows without a value at the start of a segment, and, where a
formula is recursive, the history after which a value no longer depends on where it began, to 1e-7 of its standard deviation
("never" where there is no such number). Seeds and warm-up are TA-Lib's.

**TA-Lib** names the function of TA-Lib (0.8) that gives the same; "bitwise" is tested from the first valid bar on, on
simulated and real candles from bitcoin to a coin of 1e-8, at the bounds of every parameter. What differs says why. Measured
on 216,000 real minutes of three coins against long double, in standard deviations: `obv_change` and `ad_change` err by less
than 5e-14, the difference of TA-Lib's running line by up to 4e-13. TA-Lib's own deviations (Bollinger's bands, variance)
were held against long double as well and err by less than 1e-11 of the price.
Sums of volume (`vwap`, `vwma`, `mfi`, `chaikin_money_flow`) are taken anew for each window and err by less than 1e-11.

**Ticks.** Prices are decimals, and floats only near them. TA-Lib's directional movement (`adx`, `adxr`, `dx`, `plus_di`,
`minus_di`) asks whether the high rose farther than the low fell; where both moved by as many ticks, the rounding of the floats
answers. That is one bar in sixty of a coin in few ticks, and moves `adx_14` by more than a tenth of its deviation in one row of
ten. These indicators are TA-Lib's to the bit, rounding included; `adx_scaled` is the same index with equal moves counted as
equal, and so are `money_flow` and `mfi` where the typical price only seems to move.

**Parameters** are also understood under the names other libraries use: `period`, `length`, `timeperiod` for `window`,
`fast_period` for `fast`, and so on. Windows count bars. What is given where a formula has no value stands after
"undefined"; null is a missing value. Times are UTC and those of the bar's open. Your own indicator takes one decorated
function: `help(huracan.preprocessing.indicator)`. This page is generated (`make docs`).

"""
HEADER = ("| indicator | meaning | parameters | of | unit | warm-up | TA-Lib |", "|---|---|---|---|---|---|---|")
FAMILIES = {
    "returns": "Returns as they are, and in units of volatility.",
    "averages": "Moving averages and lines through the price, as TA-Lib has them.",
    "momentum": "Oscillators and rates of change, as TA-Lib has them.",
    "direction": "Strength and side of a trend, as TA-Lib has them.",
    "channels": "Bands around the price.",
    "volatility": "Ranges and estimators of volatility, in their own units, in logs and against their own past.",
    "volume": "What was traded, which way, and what moving the price cost.",
    "trend": "Trend in units of volatility, alike for every symbol.",
    "oscillators": "Oscillators around 0, alike for every symbol.",
    "shape": "The form of the candle, and where the price stands against its extremes.",
    "patterns": "Candlestick patterns, as TA-Lib has them.",
    "cycles": "Cycles by Hilbert transform, as TA-Lib has them.",
    "calendar": "Time as points on a circle and as plain numbers, and the sessions of the day.",
    "decomposition": "Trend, cycle and remainder, of the past alone.",
    "alpha158": "The features of Microsoft's Qlib under their published names.",
}


def indicators_page() -> str:
    """The page about the indicators, made from the register."""
    table = indicator_table()
    families = [*FAMILIES, *(name for name in table["family"].unique(maintain_order=True) if name not in FAMILIES)]
    lines: list[str] = []
    for family in families:
        rows = [_indicator(row) for row in table.sort("indicator").iter_rows(named=True) if row["family"] == family]
        lines += (f"## {family}", "", *((FAMILIES[family], "") if family in FAMILIES else ()))
        lines += (
            "| indicator | meaning | parameters | of | unit | warm-up | TA-Lib |",
            "|---|---|---|---|---|---|---|",
            *rows,
            "",
        )
    return INDICATORS + "\n".join(lines)


def _indicator(row: dict[str, Any]) -> str:
    name = f"`{row['indicator']}`" + (f"<br>also {row['aliases']}" if row["aliases"] else "")
    said = [_plain(row["purpose"].replace("``", "`")), f"`{row['formula']}`"]
    said += [f"Undefined: {_plain(row['undefined'])}."] if row["undefined"] else []
    said += [f"Source: {_plain(row['source'])}."] if row["source"] else []
    warm_up = str(row["lookback"])
    if row["memory"] != "window":
        warm_up += f" / {'never' if row['settle'] is None else row['settle']}"
    cells = [name, "<br>".join(said), row["parameters"].replace("=", " "), row["columns"], row["unit"], warm_up, row["talib"]]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _plain(text: str) -> str:
    return text.replace("*", "\\*")


def learners_page() -> str:
    """The page about the learners, made from the catalogue."""
    lines: list[str] = []
    for spec in MODEL_CATALOGUE.values():
        if spec.network is not None and NETWORKS not in lines:
            lines += [NETWORKS, *_table(NEURAL_DEFAULTS, NEURAL_MEANINGS, NEURAL_ALIASES)]
        lines += _learner(spec)
    return LEARNERS + "\n".join(lines)


def _learner(spec: LearnerSpec) -> Iterator[str]:
    caps = ", ".join(f"{profile} {_rows(spec.row_cap(profile))}" for profile in PROFILES)
    yield from (f"## {spec.name}", "", spec.purpose, "")
    yield f"* tasks: {', '.join(spec.tasks)}"
    yield f"* best on: {spec.ideal_dataset_shape}"
    yield f"* needs features: {'; '.join(spec.feature_requirements)}"
    yield f"* row caps: {caps}"
    yield f"* declared for: {'; '.join(f'{regime} ({why})' for regime, why in spec.market_regimes.items())}"
    if spec.search_space:
        yield f"* searched: {', '.join(f'`{name}` {_dimension(where)}' for name, where in spec.search_space.items())}"
    yield ""
    shared = NEURAL_DEFAULTS if spec.network is not None else {}
    own = {name: value for name, value in spec.defaults.items() if name not in shared or shared[name] != value}
    if own:
        yield from _table(own, spec.meanings, spec.aliases)
    else:
        yield from ("No hyperparameters" + (" but those of all networks." if shared else "."), "")


def _dimension(where: Dimension) -> str:
    """In words."""
    if isinstance(where, Between):
        return f"{where.low:g} to {where.high:g}" + (" (by factors)" if where.log else "")
    return " or ".join(map(str, where.values))


def _table(defaults: Mapping[str, Any], meanings: Mapping[str, str], aliases: Mapping[str, str]) -> Iterator[str]:
    yield from ("| hyperparameter | default | also | meaning |", "|---|---|---|---|")
    for name, default in defaults.items():
        also = ", ".join(f"`{alias}`" for alias, meant in aliases.items() if meant == name)
        yield f"| `{name}` | {_value(default)} | {also} | {meanings[name]} |"
    yield ""


def _rows(cap: int | None) -> str:
    return "all" if cap is None else f"{cap:,}"


def _value(default: Any) -> str:
    return "none" if default is None else f"`{default}`"


def main() -> None:
    """Write all pages."""
    (ROOT / "config" / "ml_framework.yaml").write_text(commented_yaml(), encoding="utf-8")
    (ROOT / "docs" / "configuration.md").write_text(CONFIGURATION + parameter_table(), encoding="utf-8")
    (ROOT / "docs" / "learners.md").write_text(learners_page(), encoding="utf-8")
    (ROOT / "docs" / "indicators.md").write_text(indicators_page(), encoding="utf-8")


if __name__ == "__main__":
    main()
