"""A/B test results made from simulated losses with the tests of ``huracan.statistics``, and readers of pages."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from itertools import combinations, zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from scipy import stats

from huracan.baselines.ab_result import ABTestResult
from huracan.baselines.comparison import Comparison, Dependence, PairResult
from huracan.statistics import adjust_p_values
from huracan.statistics.all_pairs import ewc_t_test_pairs
from huracan.statistics.confidence_set import model_confidence_set
from huracan.statistics.ewc import ewc_t_test
from huracan.statistics.simultaneous import simultaneous_intervals
from huracan.validation import deflated_sharpe_ratio
from huracan.validation.deflated_sharpe import expected_maximum_sharpe
from huracan.validation.sharpe_inference import minimum_track_record_length, sharpe_ratio_inference

START = datetime(2025, 1, 1, tzinfo=UTC)
SCHEMAS = {
    "by_regime": {"model_a": pl.String, "model_b": pl.String, "regime": pl.String, "n_times": pl.Int64}
    | dict.fromkeys(("difference", "ci_low", "ci_high", "p_value", "p_adjusted"), pl.Float64),
    "conditional": {"model_a": pl.String, "model_b": pl.String, "p_value": pl.Float64, "p_adjusted": pl.Float64},
    "sharpe": {"model": pl.String}
    | dict.fromkeys(("sharpe_ratio", "ci_low", "ci_high", "difference", "p_adjusted"), pl.Float64)
    | dict.fromkeys(("probability_positive", "deflated", "minimum_track_record"), pl.Float64),
    "deflation": {"n_trials": pl.Int64, "expected_maximum": pl.Float64, "deflated": pl.Float64},
}


def market_losses(means: Sequence[float], *, n: int = 1000, persistence: float = 0.5, seed: int = 0) -> NDArray[np.float64]:
    """(n, k) losses that share most of their variation and whose differences are autoregressive."""
    rng = np.random.default_rng(seed)
    own = rng.standard_normal((n, len(means)))
    for i in range(1, n):
        own[i] += persistence * own[i - 1]
    return 3.0 + rng.gamma(2.0, 0.5, (n, 1)) + np.asarray(means) + 0.5 * own * np.sqrt(1 - persistence**2)


def result_of(
    losses: NDArray[np.float64],
    names: Sequence[str],
    *,
    baseline: str | None = None,
    dated: bool = True,
    alpha: float = 0.05,
    measure: str = "squared error",
    returns: bool = False,
    regimes: Sequence[str] | None = None,
    n_trials: int = 40,
    scale: float = 1.0,
    notes: tuple[str, ...] = (),
) -> ABTestResult:
    """Compare the columns of ``losses`` (of negative returns, with ``returns``)."""
    losses = losses * scale
    n, k = losses.shape
    times = [START + timedelta(hours=i) for i in range(n)]
    place = None if baseline is None else list(names).index(baseline)
    chosen = list(combinations(range(k), 2)) if place is None else [(i, place) for i in range(k) if i != place]
    joint = simultaneous_intervals(losses, names=names, baseline=place, confidence=1 - alpha)
    at = {(int(a), int(b)): i for i, (a, b) in enumerate(zip(joint.first, joint.second))}
    order = [at[pair] for pair in chosen]
    _, test = ewc_t_test_pairs(losses.T, pairs=np.array(chosen), confidence=1 - alpha)
    adjusted = adjust_p_values(test.p_value)
    pairs = []
    for i, (a, b) in enumerate(chosen):
        difference = losses[:, a] - losses[:, b]
        same = not difference.any()
        pairs.append(
            {
                "model_a": names[a],
                "model_b": names[b],
                "difference": float(test.mean[i]),
                "joint_low": float(joint.ci_low[order[i]]),
                "joint_high": float(joint.ci_high[order[i]]),
                "ci_low": float(test.ci_low[i]),
                "ci_high": float(test.ci_high[i]),
                "p_value": float(test.p_value[i]),
                "p_adjusted": float(adjusted[i]),
                "p_independent": 1.0 if same else float(stats.ttest_1samp(difference, 0.0).pvalue),
                "effect_size": 0.0 if same else float(difference.mean() / difference.std(ddof=1)),
                "n_eff": float(test.n_effective[i]),
                "note": joint.notes[order[i]],
            }
        )
    table = pl.DataFrame(pairs, schema_overrides={"note": pl.String})
    results = tuple(PairResult(**{key: row[key] for key in row if not key.startswith("joint")}) for row in pairs)
    mean = losses.mean(axis=0)
    kept = model_confidence_set(losses, names=names, alpha=alpha)
    better = {p.model_a: p.difference < 0 and p.p_adjusted <= alpha for p in results} if baseline else {}
    ranking = np.argsort(mean, kind="stable")
    models = pl.DataFrame(
        {
            "model": [names[i] for i in ranking],
            "mean_loss": mean[ranking],
            "rank": range(1, k + 1),
            "set_p_value": kept.p_value[ranking],
            "in_set": [names[i] in kept.included for i in ranking],
            "better_than_baseline": pl.Series([better.get(names[i]) for i in ranking], dtype=pl.Boolean),
            "note": [kept.notes[i] for i in ranking],
        }
    )
    decision = _winner(results, models, baseline, alpha)
    compared = f"{len(pairs)} pair{'s' if len(pairs) > 1 else ''}, {n:,} times"
    if decision is None:
        over = f"'{baseline}'" if baseline else "all others"
        sentence = f"At the {alpha:.0%} level no model is shown to be better than {over}: {compared}."
    else:
        mine = [p for p in results if decision in (p.model_a, p.model_b)]
        over = f"'{baseline}'" if baseline else "every other model"
        sentence = (
            f"'{decision}' is better than {over}: mean loss lower by "
            f"{abs(max(mine, key=lambda p: p.p_adjusted).difference):.4g}, adjusted p = "
            f"{max(p.p_adjusted for p in mine):.3g} (Holm, {compared})."
        )
    centred = np.stack([losses[:, a] - losses[:, b] for a, b in chosen]).T
    centred = centred - centred.mean(axis=0)
    power = (centred**2).sum(axis=0)
    one_apart = (centred[1:] * centred[:-1]).sum(axis=0) / np.where(power > 0, power, 1.0)
    dependence = Dependence(
        asked="auto",
        method="equal-weighted cosines",
        autocorrelation=one_apart,
        n_eff=np.asarray(test.n_effective),
        n_cosines=np.asarray(test.n_cosines),
        sentence=f"The loss differences remember: their autocorrelation one moment apart is {np.median(one_apart):.2f} in the "
        f"middle, so that {n:,} times are worth {np.median(test.n_effective):,.0f} independent ones; each mean is tested "
        "with equal-weighted cosines, which allow for that.",
    )
    against = baseline or models["model"][0]
    comparison = Comparison(
        pairs=results,
        mean_loss=dict(zip(names, mean.tolist())),
        decision=decision,
        sentence=sentence,
        alpha=alpha,
        correction="holm",
        dependence=dependence,
        n_times=n,
        n_rows=n,
        baseline=baseline,
        losses=losses,
        times=np.array(times) if dated else None,
        dropped={names[0]: 12},
    )
    sharpe, deflation, of = _sharpes(-losses, names, results, baseline, decision, n_trials) if returns else (None, None, None)
    by_regime, conditional = _regimes(losses, names, chosen, regimes, alpha)
    return ABTestResult(
        measure=measure,
        decision=decision,
        sentence=sentence,
        comparison=comparison,
        pairs=table,
        models=models,
        paths=_paths(losses, names, against, times if dated else None, alpha),
        by_regime=by_regime,
        conditional=conditional,
        superior_p_value=0.0123 if baseline else None,
        sharpe=pl.DataFrame(schema=SCHEMAS["sharpe"]) if sharpe is None else sharpe,
        deflation=pl.DataFrame(schema=SCHEMAS["deflation"]) if deflation is None else deflation,
        deflation_of=of,
        n_trials=n_trials if returns else None,
        overfitting=0.27 if returns else None,
        notes=notes,
    )


def _winner(pairs: Sequence[PairResult], models: pl.DataFrame, baseline: str | None, alpha: float) -> str | None:
    for name in models["model"]:
        mine = [p for p in pairs if name in (p.model_a, p.model_b)]
        ahead = [p.p_adjusted <= alpha and (p.difference < 0) == (p.model_a == name) for p in mine]
        if name != baseline and ahead and all(ahead):
            return str(name)
    return None


def _paths(
    losses: NDArray[np.float64], names: Sequence[str], against: str, times: list[datetime] | None, alpha: float
) -> pl.DataFrame:
    frames = []
    base = losses[:, list(names).index(against)]
    rows = np.unique(np.linspace(0, len(losses) - 1, 400).round().astype(int))
    for i, name in enumerate(names):
        difference = losses[:, i] - base
        if name == against or not difference.any():
            continue
        test = ewc_t_test(difference)
        # the largest of a random walk is beyond c with probability 4 (1 - Phi(c)) at most
        reach = np.full(len(losses), float(stats.norm.ppf(1 - alpha / 4)) * test.standard_error * len(losses))
        frames.append(
            pl.DataFrame(
                {
                    "model": [name] * len(rows),
                    "against": [against] * len(rows),
                    "row": rows,
                    "ts": pl.Series([times[r] if times else None for r in rows], dtype=pl.Datetime("us", "UTC")),
                    "cumulative": np.cumsum(difference)[rows],
                    "band": (reach if test.decidable else np.full(len(losses), np.inf))[rows],
                }
            )
        )
    return pl.concat(frames)


def _sharpes(
    returns: NDArray[np.float64],
    names: Sequence[str],
    pairs: Sequence[PairResult],
    baseline: str | None,
    of: str | None,
    tried: int,
) -> tuple[pl.DataFrame, pl.DataFrame, str]:
    adjusted = {p.model_a: p.p_adjusted for p in pairs} if baseline else {}
    ratios = returns.mean(axis=0) / returns.std(axis=0, ddof=1)
    variance = float(ratios.var(ddof=1))
    best = expected_maximum_sharpe(tried, variance)
    own = ratios[list(names).index(baseline)] if baseline else None
    rows = []
    for i, name in enumerate(names):
        found = sharpe_ratio_inference(returns[:, i])
        deflated = deflated_sharpe_ratio(returns[:, i], n_trials=tried, trial_variance=variance)
        rows.append(
            {
                "model": name,
                "sharpe_ratio": found.sharpe_ratio,
                "ci_low": found.ci_low,
                "ci_high": found.ci_high,
                "difference": found.sharpe_ratio - own if own is not None and name != baseline else None,
                "p_adjusted": adjusted.get(name),
                "probability_positive": found.probability,
                "deflated": deflated.probability,
                "minimum_track_record": minimum_track_record_length(
                    found.sharpe_ratio, benchmark=best, skewness=found.skewness, kurtosis=found.kurtosis
                ),
            }
        )
    rows.sort(key=lambda row: -row["sharpe_ratio"])
    of = of or rows[0]["model"]
    series = returns[:, list(names).index(of)]
    counts = sorted({1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000, tried})
    deflation = pl.DataFrame(
        {
            "n_trials": counts,
            "expected_maximum": [expected_maximum_sharpe(m, variance) for m in counts],
            "deflated": [deflated_sharpe_ratio(series, n_trials=m, trial_variance=variance).probability for m in counts],
        }
    )
    return pl.DataFrame(rows, schema=SCHEMAS["sharpe"]), deflation, of


def _regimes(
    losses: NDArray[np.float64],
    names: Sequence[str],
    chosen: Sequence[tuple[int, int]],
    regimes: Sequence[str] | None,
    alpha: float,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    if regimes is None:
        return pl.DataFrame(schema=SCHEMAS["by_regime"]), pl.DataFrame(schema=SCHEMAS["conditional"])
    state = np.asarray(regimes)
    rows, overall = [], []
    for a, b in chosen:
        for regime in sorted(set(regimes)):
            inside = state == regime
            test = ewc_t_test((losses[:, a] - losses[:, b]) * inside / inside.mean(), confidence=1 - alpha)
            key = {"model_a": names[a], "model_b": names[b], "regime": regime, "n_times": int(inside.sum())}
            rows.append(
                key | {"difference": test.mean, "ci_low": test.ci_low, "ci_high": test.ci_high, "p_value": test.p_value}
            )
        p = min(1.0, len(set(regimes)) * min(row["p_value"] for row in rows[-len(set(regimes)) :]))
        overall.append({"model_a": names[a], "model_b": names[b], "p_value": p})
    for frame in (rows, overall):
        for row, p in zip(frame, adjust_p_values([row["p_value"] for row in frame])):
            row["p_adjusted"] = float(p)
    return pl.DataFrame(rows, schema=SCHEMAS["by_regime"]), pl.DataFrame(overall, schema=SCHEMAS["conditional"])


class Reader(HTMLParser):
    """Collects text and attributes, and insists that every element is closed in order."""

    VOID = frozenset({"meta", "link", "br", "img", "input", "hr"})

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.ids: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == [], f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id" and value]

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag, f"</{tag}> at {self.getpos()} closes another element"

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("script", "style"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def _chromium() -> str:
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    pytest.skip("no chromium on this machine; the page is not looked at in a browser")


def _dumped(page: Path, profile: Path) -> str:
    """The DOM of a page after its scripts ran."""
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-dev-shm-usage"]
    options += ["--allow-file-access-from-files", f"--user-data-dir={profile}", "--virtual-time-budget=4000", "--dump-dom"]
    environment = {**os.environ, "HOME": str(profile)}
    done = subprocess.run(
        [_chromium(), *options, page.as_uri()], capture_output=True, text=True, timeout=90, env=environment, check=True
    )
    return done.stdout


@pytest.fixture(scope="session")
def compared() -> Callable[..., ABTestResult]:
    """:func:`result_of`."""
    return result_of


@pytest.fixture(scope="session")
def losses_of() -> Callable[..., Any]:
    """:func:`market_losses`."""
    return market_losses


@pytest.fixture(scope="session")
def read() -> Callable[[str], Reader]:
    """:class:`Reader`."""
    return Reader


@pytest.fixture(scope="session")
def dumped() -> Callable[[Path, Path], str]:
    """Open a page in a browser, with a folder for its profile, and get what became of it."""
    return _dumped


@pytest.fixture
def heard_on_phones(tmp_path: Path, dumped: Callable[[Path, Path], str]) -> Callable[[Sequence[str], str], list[Any]]:
    """Open pages in frames 390 pixels wide, the first ones as wide as ``widths`` says, a script in place of each one's policy,
    and get what it posted, page by page."""

    def heard(pages: Sequence[str], probe: str, *, widths: Sequence[int] = ()) -> list[Any]:
        for i, page in enumerate(pages):
            policy = re.search(r'<meta http-equiv="Content-Security-Policy"[^>]*>', page)
            assert policy is not None
            (tmp_path / f"page{i}.html").write_text(page.replace(policy.group(), probe), encoding="utf-8")
        frames = "".join(
            f'<iframe src="page{i}.html" style="width:{width}px;height:800px;border:0"></iframe>'
            for i, (_, width) in enumerate(zip_longest(pages, widths, fillvalue=390))
        )
        listen = """<script>addEventListener("message", (event) => {
          const heard = document.createElement("pre");
          heard.textContent = JSON.stringify(event.data);
          document.body.append(heard);
        });</script>"""
        around = tmp_path / "around.html"
        around.write_text(f"<!doctype html><body>{listen}{frames}</body>", encoding="utf-8")
        dom = dumped(around, tmp_path / "profile")
        told = [json.loads(html.unescape(said)) for said in re.findall(r"<pre>(.*?)</pre>", dom, re.S)]
        assert len(told) == len(pages)
        return told

    return heard
