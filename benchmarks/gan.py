"""Are generated return windows like real ones: facts of markets, a boosted judge, and a forecaster trained on them."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks import markdown_table, market_data
from benchmarks.generative.comparing import Bands, difference_of_days
from benchmarks.generative.judging import FACTS, facts_of, judge_places, mean_log_size, volatility_skill
from benchmarks.generative.rival_samples import block_bootstrap, garch_windows
from huracan.dataset import REGIME_ORDER
from huracan.market import read_candles, resample_candles
from huracan.models.gan.return_windows import ReturnWindows, price_step

BAR = "5m"
LEARN_UNTIL = np.datetime64("2025-10-01", "ms")
STRIDE = 16
COARSEST = 1 / 3
AUC_BAR, SKILL_BAR, CPU_BAR, BAND = 0.80, 0.80, 600.0, (0.05, 0.95)
SEED, BOOTSTRAPS, WHOLE_SETS, JUDGES = 7, 300, 9, 3
GAN_ROW, START_ROW, REAL_ROW = "WGAN-GP", "its start, untrained", "earlier real windows"

Windows = NDArray[np.float64]


@dataclass(frozen=True)
class Verdict:
    """What was found of one way to make windows.

    Attributes
    ----------
    day, whole : facts of sets as large as a day, and as large as the whole later span; medians over sets.
    places : for each late real window the share of made ones that look less real to the judge. skill : share that is kept.
    """

    day: Mapping[str, float]
    whole: Mapping[str, float]
    places: Windows
    skill: float

    @property
    def judge(self) -> float:
        """The judge's AUC."""
        return float(self.places.mean())


@dataclass(frozen=True)
class Real:
    """Real windows in order of time: values, regimes, and first and last moment of each."""

    x: Windows
    regime: NDArray[np.int64]
    first: NDArray[np.datetime64]
    last: NDArray[np.datetime64]

    def take(self, which: NDArray[Any]) -> Real:
        """Some of them."""
        return Real(self.x[which], self.regime[which], self.first[which], self.last[which])

    @property
    def day(self) -> NDArray[np.datetime64]:
        """Day each begins on."""
        return self.first.astype("datetime64[D]")


def main() -> str:
    """Train once, draw from everything that competes, judge on later windows only."""
    from huracan.catalogue import build_model

    candles, left_out = _coins()
    early = candles.filter(pl.col("ts") < pl.lit(LEARN_UNTIL.astype(dt.datetime)).dt.replace_time_zone("UTC"))
    model = build_model("gan", random_state=0)
    began = time.process_time()
    model.fit(early)
    seconds = time.process_time() - began
    _check_parity(model)

    windows = model.windows(candles)
    ts = candles["ts"].dt.replace_time_zone(None).to_numpy()
    past = _real(windows, ts, ts[windows.last] < LEARN_UNTIL)
    later = _real(windows, ts, ts[windows.last - windows.length + 1] >= LEARN_UNTIL)
    draws = _draws(model, early, past)
    day, whole = _bands(later)
    found = {name: _judged(draw, past, later) for name, draw in draws.items()}
    learned = _learned(found, later)
    text = _report(model, seconds, candles, left_out, past, later, day, whole, found, learned)
    gan, start = found[GAN_ROW], found[START_ROW]
    for fact in FACTS:
        assert day.inside(fact, gan.day[fact]), f"{fact}\n{text}"
    assert gan.judge <= AUC_BAR, text
    assert gan.skill >= SKILL_BAR, text
    assert seconds <= CPU_BAR, text
    assert learned[1] > 0.0, text
    assert whole.total(gan.whole) < whole.total(start.whole), text
    return text


def _coins() -> tuple[pl.DataFrame, list[str]]:
    """5-minute candles of the coins whose price step is at most a third of a bar's median absolute return times 1.48."""
    kept, left_out = [], []
    for path in sorted((market_data() / "candles").glob("*_1m.parquet")):
        candles = resample_candles(read_candles(path), BAR)
        close = candles["close"].to_numpy()
        usual = 1.48 * np.median(np.abs(np.diff(np.log(close))))
        if price_step(close) / np.median(close) <= COARSEST * usual:
            kept.append(candles)
        else:
            left_out.append(candles["symbol"][0].split("-")[0])
    return pl.concat(kept).sort("symbol", "ts"), left_out


def _check_parity(model: Any) -> None:
    """Same seed, same windows; a stored model draws the same; every regime can be drawn."""
    from huracan.registry.formats import dump_model, load_model

    again = load_model(dump_model(model))
    for regime in model.regimes_:
        one = model.sample(50, regime, random_state=3)
        np.testing.assert_array_equal(one, model.sample(50, regime, random_state=3))
        np.testing.assert_array_equal(one, again.sample(50, regime, random_state=3))
        assert np.isfinite(one).all()
    assert len(model.regimes_) == len(REGIME_ORDER)


def _real(windows: ReturnWindows, ts: NDArray[np.datetime64], wanted: NDArray[np.bool_]) -> Real:
    """Every 16th window of each coin."""
    chosen = windows.take(np.flatnonzero(wanted & (windows.last % STRIDE == 0)))
    real = Real(chosen.scaled(), chosen.regime, ts[chosen.last - chosen.length + 1], ts[chosen.last])
    return real.take(np.argsort(real.first, kind="stable"))


def _draws(model: Any, early: pl.DataFrame, past: Real) -> Mapping[str, Callable[[NDArray[np.int64], int], Windows]]:
    """Name -> function that draws one window for each regime asked for, with a seed."""
    from huracan.catalogue import build_model

    untrained = build_model("gan", random_state=0, max_steps=1, critic_rate=1e-12, generator_rate=1e-12).fit(early)
    names = np.array([str(regime) for regime in REGIME_ORDER])

    def earlier(wanted: NDArray[np.int64], seed: int) -> Windows:
        rng = np.random.default_rng(seed)
        picked = np.empty(len(wanted), np.int64)
        for code in np.unique(wanted):
            picked[wanted == code] = rng.choice(np.flatnonzero(past.regime == code), int((wanted == code).sum()))
        return past.x[picked]

    garch = garch_windows(past.x[:: max(1, len(past.x) // 2_000)], 30_000, seed=SEED)
    return {
        GAN_ROW: lambda wanted, seed: model.sample(len(wanted), names[wanted].tolist(), random_state=seed),
        START_ROW: lambda wanted, seed: untrained.sample(len(wanted), names[wanted].tolist(), random_state=seed),
        "block bootstrap": lambda wanted, seed: block_bootstrap(past.x, past.regime, wanted, seed),
        "GARCH(1,1)-t": lambda wanted, seed: garch[np.random.default_rng(seed).integers(0, len(garch), len(wanted))],
        REAL_ROW: earlier,
    }


def _bands(later: Real) -> tuple[Bands, Bands]:
    """90 % bands of the facts of real windows: over days; and over resampled spans as long as the whole, made of its days."""
    days = [np.flatnonzero(later.day == day) for day in np.unique(later.day)]
    rng = np.random.default_rng(SEED)
    spans = [np.concatenate([days[d] for d in rng.integers(0, len(days), len(days))]) for _ in range(BOOTSTRAPS)]
    of_days, of_spans = ([facts_of(later.x[chosen]) for chosen in sets] for sets in (days, spans))
    return Bands.of(of_days, BAND), Bands.of(of_spans, BAND)


def _halves(later: Real) -> tuple[Real, Real]:
    """The first and the second half of the later span; no window is in both."""
    middle = later.first[len(later.first) // 2]
    return later.take(later.last < middle), later.take(later.first >= middle)


def _judged(draw: Callable[[NDArray[np.int64], int], Windows], past: Real, later: Real) -> Verdict:
    """Facts of sets of the sizes and regimes of real ones; the judge, mean over sets; and share of skill kept."""
    days = [later.regime[later.day == day] for day in np.unique(later.day)]
    sets = [draw(later.regime, SEED + i) for i in range(WHOLE_SETS)]
    early, late = _halves(later)
    mean = mean_log_size(past.x)
    return Verdict(
        _medians([facts_of(draw(regimes, 1_000 + i)) for i, regimes in enumerate(days)]),
        _medians([facts_of(made) for made in sets]),
        np.mean([judge_places(early.x, late.x, made) for made in sets[:JUDGES]], axis=0),
        volatility_skill(sets[0], later.x, mean) / volatility_skill(past.x, later.x, mean),
    )


def _medians(sets: list[Mapping[str, float]]) -> dict[str, float]:
    return {fact: float(np.median([found[fact] for found in sets])) for fact in FACTS}


def _learned(found: Mapping[str, Verdict], later: Real) -> tuple[float, float, float]:
    """By how much training lowers the judge's AUC, and the 95 % interval over days of the span that is judged."""
    late = _halves(later)[1]
    return difference_of_days(found[START_ROW].places, found[GAN_ROW].places, late.day, samples=2_000, seed=SEED)


def _falls_short(whole: Bands, found: Mapping[str, Verdict]) -> str:
    """Where the GAN lies further beyond the stricter band than real windows of the months before."""
    gan, real = found[GAN_ROW].whole, found[REAL_ROW].whole
    told = [
        f"{fact} ({whole.excess(fact, gan[fact]):.2f} half widths beyond; {REAL_ROW} {whole.excess(fact, real[fact]):.2f})"
        for fact in FACTS
        if whole.excess(fact, gan[fact]) > whole.excess(fact, real[fact])
    ]
    if not told:
        return f"In no fact does the GAN lie further beyond the stricter band than {REAL_ROW}."
    return f"The GAN falls short of {REAL_ROW} in: {'; '.join(told)}."


def _report(
    model: Any,
    seconds: float,
    candles: pl.DataFrame,
    left_out: list[str],
    past: Real,
    later: Real,
    day: Bands,
    whole: Bands,
    found: Mapping[str, Verdict],
    learned: tuple[float, float, float],
) -> str:
    def table(bands: Bands, facts: Callable[[Verdict], Mapping[str, float]], *, distance: bool) -> str:
        rows = [["real, band", *(f"{low:.3g} to {high:.3g}" for low, _, high in bands.ends.values()), ""]]
        for name, verdict in found.items():
            values = facts(verdict)
            told = [f"{values[fact]:.3g}" + ("" if bands.inside(fact, values[fact]) else " (out)") for fact in FACTS]
            rows.append([name, *told, f"{bands.total(values):.2f}"])
        columns = ["", *FACTS, "distance"]
        return markdown_table(columns if distance else columns[:-1], rows if distance else [row[:-1] for row in rows])

    judged = markdown_table(
        ["", "judge's AUC", "skill kept"], [[name, f"{row.judge:.3f}", f"{row.skill:.2f}"] for name, row in found.items()]
    )
    skill = volatility_skill(past.x, later.x, mean_log_size(past.x))
    days = len(np.unique(later.day))
    dropped = (
        f" {', '.join(left_out)} is left out: its price step is more than a third of a bar's usual move." if left_out else ""
    )
    gain, low, high = learned
    return f"""# GAN: are generated return windows like real ones

{candles["symbol"].n_unique()} coins, bars of {BAR}, windows of {model.window} bars (5.3 hours) in units of the mean absolute
return of the {model.reference} bars before. Five minutes, because on shorter bars the price step is a large part of a move, and
longer ones leave few windows; closes are moved at random within their price step.{dropped} Learned
from {sum(model.n_windows_.values()):,} overlapping windows before {str(LEARN_UNTIL)[:10]} in {seconds:.0f} CPU seconds.
Choices were made on September, with fits that ended before it. Judged on {len(later.x):,} later windows (every {STRIDE}th),
with the flash crash of 2025-10-10 among them. Samples have the regimes of the real windows they are compared with.

## Facts of markets

Kurtosis: mean over windows of each one's own; pooled: all returns of a set as one sample. Size, lag k: correlation of
absolute returns k bars apart within windows, over a set. Leverage: correlation of a return with the absolute returns of 1 to
10 bars later.

**Band of the bar**: 5 to 95 % of {days} real days (all windows that begin on one, {len(later.x) / days:.0f} on average).
Samples: median over sets of the same sizes and regimes.

{table(day, lambda verdict: verdict.day, distance=False)}

**Stricter**, no bar: 5 to 95 % of {BOOTSTRAPS} spans made of resampled days, each as long as the whole. Samples: median over
{WHOLE_SETS} sets as large as that. Distance: sum over facts of that from the middle of the band, in half widths of it
(kurtoses by their logarithms). Markets change: what is out for the last row is out for real windows of the months before.

{table(whole, lambda verdict: verdict.whole, distance=True)}

{_falls_short(whole, found)}

## Judge and forecaster

Judge: LightGBM on raw windows and summaries of them, trained on the first half of the later span and judged on the second, no
window in both, mean over {JUDGES} sets (bar <= {AUC_BAR:.2f}; .5 is a guess). Skill kept: R squared over the mean, on real
windows, of a volatility forecaster (next 16 bars from the last 4, 16 and 48) trained on samples, over that of one trained on
earlier real windows, which is {skill:.3f} (bar >= {SKILL_BAR:.2f}).

{judged}

## Does training teach anything

Against the same generator before its first step, training lowers the judge's AUC by {gain:.3f} (95 % interval {low:.3f} to
{high:.3f}, days of the judged half drawn again; bar: above 0) and the distance of the facts from
{whole.total(found[START_ROW].whole):.2f} to {whole.total(found[GAN_ROW].whole):.2f} (bar: lower).
"""
