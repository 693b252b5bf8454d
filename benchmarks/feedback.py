"""The feedback loop's own error rates: monitors of skill, calibration, live against backtest, and what a run asks for."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import sqrt
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import ndtr

from benchmarks import Section, markdown_table, page_of
from benchmarks.drift_checks.processes import Process, autoregression, garch, independent, two_volatilities
from huracan import UnifiedMLPipeline
from huracan.errors import DataError
from huracan.mlops import Adwin, Cusum, LiveExpectation, SkillMonitor, detect_calibration_drift
from huracan.mlops.performance.against_backtest import beside_backtest
from huracan.mlops.skill_monitor import alarm_threshold

__all__ = ["main"]

Numbers = NDArray[np.float64]
Rng = np.random.Generator

RUN_LENGTH, PATHS = 2_000, 300
SKILLS = (0.05, 0.1, 0.2, 0.3)
LIVES, BARS_KNOWN, BARS_WELL, LONGEST = 200, 165, 1_500, 1_500
REPETITIONS = 300
BUCKET = 4
RUNS = 200


def main() -> str:
    """How often each errs where nothing happened, and how soon it finds what did."""
    return page_of("Feedback", (monitors, calibration, against_backtest, streams, runs))


def monitors() -> Section:
    """The monitor of skill: run lengths, delays, and what it makes of versions that were judged on few rows."""
    rng = np.random.default_rng(0)
    spreads: dict[str, tuple[Process, float]] = {
        "independent": (independent, 1.0),
        "t(3)": (_student, 1.0),
        "AR(.5)": (autoregression(0.5), sqrt(3.0)),
        "AR(.9)": (autoregression(0.9), sqrt(19.0)),
        "labels that overlap by five": (_overlapping, sqrt(5.0)),
        "GARCH(.08, .90)": (garch(0.08, 0.90), 1.0),
        "volatility .7 or 2.5, spells of 500": (two_volatilities(0.7, 2.5, 500.0), sqrt((0.7**2 + 2.5**2) / 2)),
    }
    rows = [
        [name, *(f"{_realised(rng, process, skill, spread) / RUN_LENGTH:.2f}" for skill in SKILLS)]
        for name, (process, spread) in spreads.items()
    ]
    delays = [[f"to {after:g}", f"{_delay(rng, after):.0f}"] for after in (0.0, -0.2)]
    follows = [[name, *_on_few_rows(follow)] for name, follow in (("it follows what is earned", True), ("it stays", False))]
    text = (
        f"Page's CUSUM of payoffs against half of what was promised. Realised run lengths as multiples of a wanted "
        f"{RUN_LENGTH:,}, by the mean payoff promised and kept, a long-run deviation that is known; {PATHS} paths each, noise "
        f"{1 / sqrt(PATHS):.0%}.\n\n{markdown_table(['payoffs', *map(str, SKILLS)], rows)}\n\n"
        f"Moments until a fall is found, on average, .2 promised, spread 1, one false alarm in 20,000.\n\n"
        f"{markdown_table(['skill falls from .2', 'moments'], delays)}\n\n"
        f"A version of skill .2 that was judged on {BARS_KNOWN} moments earns it for {BARS_WELL:,} and then loses as much: "
        f"moments until that is found, median and nine of ten cases of {LIVES} lives, and false alarms in 10,000 moments that "
        f"earn what was promised.\n\n{markdown_table(['what is expected', 'median', '90 %', 'false alarms'], follows)}"
    )
    return Section("Skill", text)


def calibration() -> Section:
    """Right probabilities called wrong."""
    rng = np.random.default_rng(1)
    cases: dict[str, Callable[[], tuple[Numbers, Numbers]]] = {
        f"near .5, {n:,} moments, {_overlap(h)}": partial(_signs, rng, n, h) for n in (250, 500, 2_000) for h in (1, 5, 20)
    }
    cases |= {
        f"events of mean {a / (a + b):.2g}, {n:,} moments": partial(_events, rng, n, a, b)
        for n in (500, 2_000)
        for a, b in ((0.5, 20.0), (1.0, 19.0), (2.0, 8.0))
    }
    rows = []
    for name, draw in cases.items():
        p_values = []
        for _ in range(REPETITIONS):
            try:
                p_values.append(detect_calibration_drift(*draw()).p_value)
            except DataError:  # too few events, which it says
                continue
        found = np.array(p_values)
        rows.append([name, *(f"{100 * float((found <= alpha).mean()):.1f} %" for alpha in (0.05, 0.01)), len(found)])
    text = (
        f"Share of {REPETITIONS} samples of right probabilities that are called wrong, at a nominal 5 % and 1 %; where events "
        "are too few to be judged that is said, and the sample is left out.\n\n"
        + markdown_table(["what", "at 5 %", "at 1 %", "judged"], rows)
    )
    return Section("Calibration", text)


def against_backtest() -> Section:
    """Live skill beside what was promised, of versions that keep it."""
    rows = []
    for name, rho, hidden in (
        ("independent", 0.0, False),
        ("AR(.5)", 0.5, False),
        ("AR(.9)", 0.9, False),
        ("AR(.97)", 0.97, False),
        ("AR(.97) under as much noise", 0.97, True),
    ):
        told = []
        for n in (25, 50, 100, 200):
            called, judged = _called_different(rho, n, hidden=hidden)
            told.append(f"{100 * called / judged:.1f} % of {judged}" if judged else "not decided")
        rows.append([name, *told])
    text = (
        f"Versions that keep what they promised on 1,500 moments, called different at a nominal 5 %: share of those of "
        f"{REPETITIONS} lives that could be decided, by buckets of {BUCKET} moments lived.\n\n"
        + markdown_table(["payoffs", "25 buckets", "50", "100", "200"], rows)
    )
    return Section("Live against backtest", text)


def streams() -> Section:
    """What calibrated detectors do on streams that no autoregression is."""
    rng = np.random.default_rng(3)
    wanted, rows = 500, []
    for name, process in (
        ("independent", independent),
        ("GARCH(.08, .90)", garch(0.08, 0.90)),
        ("GARCH(.15, .84), t of 4", garch(0.15, 0.84, degrees=4.0)),
        ("a cycle of 24 as large as the noise", _daily),
    ):
        rows.append([name, f"{_run_length(rng, process, wanted):.0f}"])
    eager = []
    for seed in range(10):
        reference = np.random.default_rng(seed).standard_normal(3_000)
        shortest = 50
        while shortest < 2_000:
            try:
                Adwin.calibrated(reference, run_length=shortest)
                break
            except DataError:
                shortest += 20
        eager.append(shortest)
    text = (
        f"`Cusum.calibrated(run_length={wanted})` on references of 3,000 numbers, mean realised over 20 references of 8 fresh "
        f"streams each.\n\n{markdown_table(['stream', 'run length'], rows)}\n\n"
        f"Shortest run length, to 20, that `Adwin` can be calibrated to on ten references of 3,000 independent numbers: "
        f"{', '.join(map(str, sorted(eager)))}."
    )
    return Section("Streams that are no autoregression", text)


def runs() -> Section:
    """What a run on ready features asks for where nothing changed."""
    rows = []
    for name, rho in (("independent", 0.0), ("AR(.9)", 0.9)):
        asked: dict[str, int] = {}
        for seed in range(RUNS):
            decision = _decided(seed, rho)
            asked[decision] = asked.get(decision, 0) + 1
        rows.append([name, *(asked.get(what, 0) for what in ("keep", "wait", "retrain_warm", "retrain_full"))])
    text = (
        f"`should_retrain` of `run_complete_pipeline` on 600, 300 and 300 rows of one law, three features of which one tells "
        f"something, {RUNS} runs each.\n\n" + markdown_table(["features", "keep", "wait", "retrain warm", "retrain full"], rows)
    )
    return Section("A run on ready features", text)


def _realised(rng: Rng, process: Process, skill: float, spread: float) -> float:
    payoff = skill + process(rng, PATHS, 6 * RUN_LENGTH)
    over = _sums(payoff, skill, spread) > alarm_threshold(skill / 2 / spread, RUN_LENGTH)
    passed = over.any(axis=1)
    first = np.where(passed, over.argmax(axis=1) + 1, over.shape[1])
    return float(first.sum() / max(passed.sum(), 1))  # of an exponential law that is cut off


def _sums(payoff: Numbers, expected: float, spread: float) -> Numbers:
    walk = np.cumsum((expected / 2 - payoff) / spread, axis=-1)
    return np.asarray(walk - np.minimum.accumulate(np.minimum(walk, 0.0), axis=-1))


def _delay(rng: Rng, after: float) -> float:
    line = SkillMonitor(expected=0.2, spread=1.0).threshold
    return float(((_sums(after + rng.standard_normal((2_000, 3_000)), 0.2, 1.0) > line).argmax(axis=1) + 1).mean())


def _on_few_rows(follow: bool) -> list[str]:
    """Median and 90 % of the delay, and false alarms in 10,000 moments."""
    rng = np.random.default_rng(4)
    delays, alarms, watched = [], 0, 0
    for _ in range(LIVES):
        promised = LiveExpectation.of(0.2 + rng.standard_normal(BARS_KNOWN))
        watch = _monitor(promised, follow)
        well, lost = 0.2 + rng.standard_normal(BARS_WELL), rng.standard_normal(LONGEST) - 0.2
        for moment, payoff in enumerate(well.tolist()):
            watched += 1
            if watch.update(payoff, moment=moment).fallen:
                alarms += 1
                watch = _monitor(promised, follow)
        begun = next((i for i, payoff in enumerate(lost.tolist()) if watch.update(payoff, moment=BARS_WELL + i).fallen), None)
        delays.append(LONGEST if begun is None else begun + 1)
    return [f"{np.median(delays):.0f}", f"{np.quantile(delays, 0.9):.0f}", f"{1e4 * alarms / watched:.1f}"]


def _monitor(promised: LiveExpectation, follow: bool) -> SkillMonitor:
    if follow:
        return SkillMonitor.of(promised)
    return SkillMonitor(expected=promised.expected, spread=promised.spread)


def _overlap(horizon: int) -> str:
    return "labels of their own" if horizon == 1 else f"labels that overlap by {horizon}"


def _signs(rng: Rng, n: int, horizon: int) -> tuple[Numbers, Numbers]:
    """True probabilities of the sign of labels that are sums over ``horizon`` bars."""
    score = 0.4 * autoregression(0.9)(rng, 1, n)[0]
    noise = np.convolve(rng.standard_normal(n + horizon - 1), np.ones(horizon), "valid") / sqrt(horizon)
    return ndtr(score), (score + noise > 0.0).astype(np.float64)


def _events(rng: Rng, n: int, a: float, b: float) -> tuple[Numbers, Numbers]:
    said = rng.beta(a, b, n)
    return said, (rng.uniform(size=n) < said).astype(np.float64)


def _called_different(rho: float, n: int, *, hidden: bool) -> tuple[int, int]:
    called = judged = 0
    draw = autoregression(rho)
    for seed in range(REPETITIONS):
        rng = np.random.default_rng(seed)

        def payoffs(size: int, rng: Rng = rng) -> Numbers:
            values = draw(rng, 1, size)[0]
            return sqrt(0.5) * (values + rng.standard_normal(size)) if hidden else values

        promised = LiveExpectation.of(payoffs(1_500))
        payoff = payoffs(n * BUCKET).reshape(n, BUCKET).sum(axis=1)
        plain = {"version_id": 1, "symbol": "X", "regime": "", "n": BUCKET, "answered": BUCKET, "hits": 2, "vetoed": 0}
        sums = dict.fromkeys(("payoff_squared", "squared", "log_loss", "gross", "net"), payoff) | {"cost": 0.0}
        lived = pl.DataFrame({**plain, "bucket": np.arange(n) * 14_400_000, "payoff": payoff, **sums})
        p_value = beside_backtest(lived, promised)["p_value"][0]
        if p_value is not None:
            judged, called = judged + 1, called + (p_value <= 0.05)
    return called, judged


def _student(rng: Rng, repetitions: int, n: int) -> Numbers:
    return np.asarray(rng.standard_t(3, (repetitions, n)) / sqrt(3.0))


def _overlapping(rng: Rng, repetitions: int, n: int) -> Numbers:
    shocks = np.cumsum(rng.standard_normal((repetitions, n + 5)), axis=1)
    return np.asarray((shocks[:, 5:] - shocks[:, :-5]) / sqrt(5.0))


def _daily(rng: Rng, repetitions: int, n: int) -> Numbers:
    phase = rng.uniform(0, 24, (repetitions, 1))
    return np.asarray(np.sin(2 * np.pi * (np.arange(n) + phase) / 24) * sqrt(2.0) + rng.standard_normal((repetitions, n)))


def _run_length(rng: Rng, process: Process, wanted: int) -> float:
    watched = alarms = 0
    longest = 20 * wanted
    for _ in range(20):
        watch = Cusum.calibrated(process(rng, 1, 3_000)[0], run_length=wanted)
        for stream in process(rng, 8, longest):
            found = watch.fresh().replay(stream)
            alarms += bool(len(found))
            watched += int(found[0]) + 1 if len(found) else longest
    return watched / max(alarms, 1)


def _decided(seed: int, rho: float) -> str:
    rng = np.random.default_rng(seed)
    X = autoregression(rho)(rng, 3, 1_200).T
    y = 0.3 * X[:, 0] + rng.standard_normal(1_200)
    parts = {"train": slice(0, 600), "val": slice(600, 900), "test": slice(900, 1_200)}
    told: dict[str, Any] = {
        f"{name}_{part}": values[rows] for part, rows in parts.items() for name, values in (("X", X), ("y", y))
    }
    with TemporaryDirectory() as home:
        settings = {
            "home": home,
            "profile": "one",
            "profiles": {"one": {"n_splits": 2, "learners": {"ridge": {}}}},
            "features": {"recipe": "minimal"},
        }
        return str(UnifiedMLPipeline(settings).run_complete_pipeline(**told, label_horizon=1)["should_retrain"]["decision"])
