"""An A/B test as the templates want it: one place for the page of its own and the section of the report."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from markupsafe import Markup
from numpy.typing import NDArray

from huracan.baselines.ab_result import ABTestResult
from huracan.baselines.comparison import Comparison
from huracan.report.charts.deflation import deflation_chart, expected_maximum_chart
from huracan.report.charts.loss_paths import LossPath, loss_path
from huracan.report.charts.model_pairs import claim_bars, pair_matrix
from huracan.report.comparison_tables import (
    Unit,
    forest_rows,
    model_rows,
    pair_rows,
    regime_difference_rows,
    sharpe_rows,
)
from huracan.report.formatting import bounds, count, is_number, number, p_value, percent, plural

__all__ = ["comparison_view"]

_MOST_PATHS, _MOST_NAMED = 12, 6
_CORRECTIONS = {
    "holm": "Holm",
    "hochberg": "Hochberg",
    "bonferroni": "Bonferroni",
    "romano_wolf": "Romano and Wolf",
    "fdr_bh": "Benjamini and Hochberg",
    "fdr_by": "Benjamini and Yekutieli",
    "none": "no correction",
}
_NOT_ASKED = (
    "A paired t test was asked for: the p-values allow for no dependence over time; joint intervals, set, bands and regimes do."
)


def comparison_view(result: ABTestResult) -> dict[str, Any]:
    """What the parts of ``comparison_parts.html.j2`` show of ``result``."""
    pairs = result.pairs
    unit = Unit.of(pairs["difference"].to_list())
    claims = _claims(result)
    return {
        "measure": result.measure,
        "alpha": result.alpha,
        "level": percent(1.0 - result.alpha, 0 if abs(100 * result.alpha - round(100 * result.alpha)) < 1e-9 else 1),
        "baseline": result.baseline,
        "decision": result.decision,
        "sentence": result.sentence,
        "correction": _CORRECTIONS.get(result.comparison.correction, result.comparison.correction),
        "unit": unit.said,
        "n_pairs": pairs.height,
        "n_models": result.models.height,
        "tiles": _tiles(result, claims),
        "dependence": _dependence(result),
        "claims": claims,
        "forest": forest_rows(result, unit),
        "matrix": _matrix(result),
        "models": model_rows(result),
        "paths": _paths(result),
        "regimes": regime_difference_rows(result),
        "sharpe": sharpe_rows(result),
        "deflation": _deflation(result),
        "overfitting": None if result.overfitting is None else percent(result.overfitting),
        "pairs": pair_rows(result, unit),
        "notes": result.notes,
    }


def _claims(result: ABTestResult) -> dict[str, Any]:
    """How many differences each test claims: the textbook's, the one that allows for dependence, and after correction."""
    said, alone, shown = (
        (pl.col(column) <= result.alpha).fill_null(False) for column in ("p_independent", "p_value", "p_adjusted")
    )
    n = result.pairs.height

    def number_of(condition: pl.Expr) -> int:
        return int(result.pairs.select(condition.sum()).item())

    textbook, robust, left = number_of(said), number_of(alone), number_of(shown)
    only, asked = number_of(said & ~alone), result.comparison.dependence.asked
    second = "allowing for dependence" if asked != "independent" else "the test here, a paired t test too"
    bars = [("a textbook paired t test", textbook, "textbook"), (second, robust, "")]
    if n > 1:
        bars.append((f"and for {n:,} comparisons", left, "good"))
    sentence = _NOT_ASKED if asked == "independent" else _one_said(textbook > 0, left > 0) if n == 1 else None
    return {
        "n": n,
        "textbook": textbook,
        "shown": left,
        "only_textbook": only,
        "bars": claim_bars(bars, n) if n > 1 else None,
        "sentence": sentence or _claims_said(n, textbook, only, number_of(said & alone & ~shown), left),
    }


def _one_said(textbook: bool, shown: bool) -> str:
    if textbook and shown:
        return "A textbook t test calls the two different, and so does the test that allows for dependence."
    if textbook:
        return "A textbook t test would call the two different; the test that allows for dependence does not."
    if shown:
        return "The test that allows for dependence sees a difference that a textbook t test does not."
    return "Neither a textbook t test nor the test that allows for dependence sees a difference."


def _claims_said(n: int, textbook: int, only: int, uncorrected: int, shown: int) -> str:
    lost = []
    if only:
        lost.append(f"{only:,} {'rests' if only == 1 else 'rest'} on taking moments for independent")
    if uncorrected:
        verb = "" if lost else "rests " if uncorrected == 1 else "rest "
        lost.append(f"{uncorrected:,} {verb}on not counting how many comparisons were made")
    parts = [f"A textbook t test would claim {textbook:,} of {n:,} differences", ", ".join(lost)]
    return "; ".join([*filter(None, parts), f"{shown:,} {'is' if shown == 1 else 'are'} shown."])


def _tiles(result: ABTestResult, claims: dict[str, Any]) -> list[dict[str, str]]:
    comparison, kept = result.comparison, int(result.models["in_set"].sum())
    level = percent(1.0 - result.alpha, 0)
    one = result.pairs.row(0, named=True) if result.pairs.height == 1 else None
    tiles = [
        {
            "name": "Shown to be better",
            "value": result.decision if result.decision is not None else "none",
            "note": f"than '{result.baseline}'" if result.baseline is not None else "than every other model",
        },
        {
            "name": "Confidence set",
            "value": f"{kept:,} of {result.models.height:,}",
            "note": f"{'is' if kept == 1 else 'hold'} the best with {level} confidence",
        },
        {
            "name": "Textbook claims",
            "value": _equal_to(one["p_independent"]) if one else f"{claims['textbook']:,} of {claims['n']:,}",
            "note": f"the test here says {_equal_to(one['p_value'])}"
            if one
            else f"differ; {claims['shown']:,} {'is' if claims['shown'] == 1 else 'are'} shown here",
        },
        {
            "name": "Points in time",
            "value": count(comparison.n_times),
            "note": f"worth about {count(_middle(_worth(comparison)))} independent ones",
        },
    ]
    if result.superior_p_value is not None:
        tiles.append(
            {
                "name": "Hansen's test",
                "value": _equal_to(result.superior_p_value),
                "note": f"that no model is better than '{result.baseline}'",
            }
        )
    if result.sharpe.height and result.deflation_of is not None:
        deflated = result.sharpe.filter(pl.col("model") == result.deflation_of)["deflated"].to_list()
        if deflated:
            tiles.append(
                {
                    "name": "Deflated Sharpe",
                    "value": percent(deflated[0]),
                    "note": f"{result.deflation_of}, after {plural(result.n_trials or 0, 'trial')}",
                }
            )
    if result.overfitting is not None:
        tiles.append({"name": "Backtest overfitting", "value": percent(result.overfitting), "note": "probability, by CSCV"})
    return tiles


def _equal_to(p: float) -> str:
    return f"p = {p_value(p)}".replace("= <", "< ")


def _dependence(result: ABTestResult) -> dict[str, Any]:
    found, comparison = result.comparison.dependence, result.comparison
    facts = {
        "Test": found.method,
        "Autocorrelation one moment apart": _range(found.autocorrelation, 2, signed=True),
        "Independent moments worth as much": f"{_range(_worth(comparison), 0)} of {comparison.n_times:,}",
    }
    if np.any(found.n_cosines > 0):
        facts["Cosines averaged"] = _range(found.n_cosines, 0)
    if comparison.n_rows != comparison.n_times:
        facts["Rows averaged into moments"] = count(comparison.n_rows)
    dropped = {model: n for model, n in comparison.dropped.items() if n}
    if dropped:
        named = ", ".join(f"{model} {count(n)}" for model, n in list(dropped.items())[:_MOST_NAMED])
        more = f" and {plural(len(dropped) - _MOST_NAMED, 'more model')}" if len(dropped) > _MOST_NAMED else ""
        facts["Rows left out, another model has none at that time"] = named + more
    return {"sentence": found.sentence, "facts": facts}


def _matrix(result: ABTestResult) -> Markup | None:
    """Who is better than whom, where all pairs of three and more models were compared."""
    names = [str(name) for name in result.models["model"]]
    if result.baseline is not None or len(names) < 3:
        return None
    place = {name: i for i, name in enumerate(names)}
    shown, claimed, undecided = [], [], []
    for row in result.pairs.iter_rows(named=True):
        a, b = place[row["model_a"]], place[row["model_b"]]
        cell = (min(a, b), max(a, b))
        if not is_number(row["joint_low"]):
            undecided.append(cell)
        if row["p_adjusted"] is not None and row["p_adjusted"] <= result.alpha:
            shown.append(cell)
        if row["p_independent"] is not None and row["p_independent"] <= result.alpha:
            claimed.append(cell)
    return pair_matrix(names, shown, claimed, undecided)


def _paths(result: ABTestResult) -> dict[str, Any] | None:
    if result.paths.is_empty():
        return None
    rank = {str(name): i for i, name in enumerate(result.models["model"])}
    models = sorted((str(m) for m in result.paths["model"].unique()), key=lambda m: (rank.get(m, len(rank)), m))
    drawn = models[:_MOST_PATHS]
    frame = result.paths.filter(pl.col("model").is_in(drawn))
    unit = Unit.of(frame["cumulative"].to_list())
    charts: list[LossPath] = [loss_path(frame.filter(pl.col("model") == model), unit=unit.size) for model in drawn]
    return {
        "against": str(result.paths["against"][0]),
        "unit": unit.said,
        "charts": charts,
        "left_out": len(models) - len(drawn),
        "dated": result.paths["ts"].null_count() == 0,
    }


def _deflation(result: ABTestResult) -> dict[str, Any] | None:
    if result.deflation.is_empty():
        return None
    own = result.sharpe.filter(pl.col("model") == result.deflation_of)["sharpe_ratio"].to_list()
    found = own[0] if own else None
    return {
        "of": result.deflation_of or "the best model",
        "n_trials": None if result.n_trials is None else plural(result.n_trials, "trial"),
        "curve": deflation_chart(result.deflation, result.n_trials, result.alpha),
        "maximum": expected_maximum_chart(result.deflation, result.n_trials, found),
    }


def _range(values: Any, decimals: int, *, signed: bool = False) -> str:
    finite = np.asarray(values, dtype=np.float64)
    finite = finite[np.isfinite(finite)]
    if not finite.size:
        return number(None)
    low, high = float(finite.min()), float(finite.max())
    one = number(low, decimals, signed=signed)
    return one if one == number(high, decimals, signed=signed) else bounds(low, high, decimals, signed=signed)


def _worth(comparison: Comparison) -> NDArray[np.float64]:
    """Independent moments that those of each pair are worth, no more than there are, even where neighbours cancel out."""
    return np.minimum(comparison.dependence.n_eff, comparison.n_times)


def _middle(values: Any) -> float | None:
    finite = np.asarray(values, dtype=np.float64)
    finite = finite[np.isfinite(finite)]
    return float(np.median(finite)) if finite.size else None
