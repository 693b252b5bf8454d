"""Simulated markets whose edge changes: does the Mechanic retrain when it should, only then, and does it pay.

Beside it live the first champion alone, and a model that is trained again every 250 bars, at once in use, on all bars before or
on the last 1,000: the one of the two that earned more in hindsight is what the Mechanic is held against.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import stdtrit

from benchmarks import Section, markdown_table
from benchmarks.mechanic_checks.markets import HOUR, ChangingMarket, changing_market
from huracan.accounting import CostModel, backtest
from huracan.config import HuracanConfig, load_config
from huracan.integration.feedback.other_ways import Way, retrained_always
from huracan.integration.feedback.replay import replay
from huracan.integration.feedback.replay_report import LIVED, NEVER, ReplayResult
from huracan.preprocessing import FeatureRecipe, feature
from huracan.statistics import ewc_t_test

__all__ = ["check", "lived"]

SEEDS, _PROCESSES = 10, 2
WITHIN, QUIET = 500, 1_500
"""Bars after a change within which a retraining is asked for in time, and before a request within which a change excuses it."""
LEAST_SHARE, MOST_NEEDLESS, LEAST_RETRAININGS = 0.8, 2.0, 20
_LEARNED, _EVERY_BARS, _SHORT = 2_000, 250, 1_000
_FEATURES = (
    feature("log_return_scaled", horizon=1),
    feature("log_return_scaled", horizon=5),
    feature("log_return_scaled", horizon=24),
    feature("volatility_ratio", estimator="realised", window=12, long_window=48),
    feature("rsi_scaled", window=14),
    feature("range_position", window=24),
)


@dataclass(frozen=True, eq=False)
class Life:
    """What came of one market.

    Attributes
    ----------
    in_time, missed : changes after which a retraining was asked for within 500 bars, or not. needless : requests without a
        change before them. requests, promoted, rolled_back : how many. bars : lived.
    net, payoff : way -> ``[ts, value]``, net return of a bar and mean payoff of a moment.
    """

    kind: str
    seed: int
    delays: tuple[float | None, ...]
    needless: int
    requests: int
    promoted: int
    rolled_back: int
    bars: int
    net: dict[str, pl.DataFrame]
    payoff: dict[str, pl.DataFrame]


def lived(kind: str, seed: int, folder: Path) -> Life:
    """Live through one market with the Mechanic and in the other ways."""
    market = changing_market(kind, seed)  # type: ignore[arg-type]
    config = _config(folder)
    start = int(market.candles["ts"].dt.epoch("ms")[0]) + _LEARNED * HOUR
    result = ReplayResult(replay(config, market.candles, every="24h", start=start, folder=folder / "lived"))
    ts = result.lived.positions["ts"].dt.epoch("ms")
    first, last = int(ts.min()), int(ts.max())  # type: ignore[arg-type]
    ways = dict(result.ways)
    for reach in (None, _SHORT):
        name = f"every {_EVERY_BARS} bars on {'all bars' if reach is None else f'the last {reach:,}'}"
        ways[name] = retrained_always(result.replay, first, last, every=_EVERY_BARS, reach=reach)
    requests = [round(row["requested"].timestamp() * 1_000) for row in _asked_again(result).iter_rows(named=True)]
    states = result.challengers["state"].to_list()
    return Life(
        kind=kind,
        seed=seed,
        delays=tuple(_delay(change, requests) for change in market.changes if change >= first),
        needless=sum(not any(0 <= request - change <= QUIET * HOUR for change in market.changes) for request in requests),
        requests=len(requests),
        promoted=states.count("promoted"),
        rolled_back=result.trials["state"].to_list().count("rolled_back"),
        bars=(last - first) // HOUR + 1,
        net={name: _net(market, way) for name, way in ways.items()},
        payoff={name: way.payoffs.select("ts", value="payoff") for name, way in ways.items()},
    )


def check(seeds: int = SEEDS) -> Section:
    """All markets, on two processes."""
    tasks = [(kind, seed) for seed in range(seeds) for kind in ("flips", "moves")]
    with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor(_PROCESSES, mp_context=get_context("spawn")) as pool:
        lives = list(pool.map(_one, [(kind, seed, folder) for kind, seed in tasks]))
    return section(lives)


def section(lives: Sequence[Life]) -> Section:
    """The table, and what falls short."""
    delays = [delay for life in lives for delay in life.delays]
    share = sum(delay is not None and delay <= WITHIN for delay in delays) / len(delays)
    bars = sum(life.bars for life in lives)
    needless = 10_000 * sum(life.needless for life in lives) / bars
    requests = sum(life.requests for life in lives)
    short = []
    if share < LEAST_SHARE:
        short.append(f"retrained in time after {share:.0%} of changes, {LEAST_SHARE:.0%} were asked")
    if needless > MOST_NEEDLESS:
        short.append(f"{needless:.1f} needless retrainings in 10,000 bars, {MOST_NEEDLESS:g} are allowed")
    if requests < LEAST_RETRAININGS:
        short.append(f"{requests} retrainings in all, {LEAST_RETRAININGS} were asked")
    rows, compared = _compared(lives)
    if compared["never"][0] <= 0.0:
        short.append("net return is not shown to be above that of never retraining")
    if compared["always"][1] < 0.0:
        short.append("net return is shown to be below that of always retraining")
    found = [delay for delay in delays if delay is not None and delay <= WITHIN]
    text = (
        f"{len(lives)} markets of 2 symbols and 12,000 hourly bars, the attainable correlation .25, three changes each; turns "
        f"every 24 bars, ridge on six features, doubling and age off. After {share:.0%} of {len(delays)} changes a retraining "
        f"was asked for within {WITHIN} bars (median {np.median(found) if found else np.nan:.0f}); {needless:.2f} needless "
        f"ones in 10,000 bars; {requests} in all, {sum(life.promoted for life in lives)} promotions (first champions among "
        f"them), {sum(life.rolled_back for life in lives)} rollbacks.\n\n"
    )
    header = ("net of costs, against", "kind", "difference a bar, bps", "95 % over markets", "95 % over moments")
    return Section("Markets that change", text + markdown_table(header, rows), tuple(short))


def _one(task: tuple[str, int, str]) -> Life:
    kind, seed, folder = task
    where = Path(folder) / f"{kind}-{seed}"
    where.mkdir()
    return lived(kind, seed, where)


def _config(folder: Path) -> HuracanConfig:
    recipe = folder / "recipe.json"
    recipe.write_text(json.dumps(json.loads(FeatureRecipe(list(_FEATURES)).to_json())))
    return load_config(
        {
            "home": str(folder),
            "features": {"recipe": str(recipe)},
            "serving": {"max_age_days": None},
            "retrain": {"max_age": None},
            "mechanic": {"learners": ["ridge"], "replay_synchronous": "normal"},
        },
        environ={},
    )


def _asked_again(result: ReplayResult) -> pl.DataFrame:
    return result.challengers.filter(pl.col("kind") != "first")


def _delay(change: int, requests: Iterable[int]) -> float | None:
    """Bars from a change to the first request after it."""
    after = [request - change for request in requests if request > change]
    return min(after) / HOUR if after else None


def _net(market: ChangingMarket, way: Way) -> pl.DataFrame:
    account = backtest(market.candles, way.positions, CostModel())
    return account.equity.select("ts", value="return_net")


def _compared(lives: Sequence[Life]) -> tuple[list[tuple[str, ...]], dict[str, tuple[float, float]]]:
    """Rows of the table; and of never and always the interval over markets."""
    rows: list[tuple[str, ...]] = []
    found = {}
    for against in ("never", "always"):
        for kind in ("all", "flips", "moves"):
            mine = [life for life in lives if kind in ("all", life.kind)]
            if not mine:
                continue
            means, moments = [], []
            for life in mine:
                both = life.net[LIVED].join(life.net[_other(life, against)], on="ts", suffix="_other")
                difference = (both["value"] - both["value_other"]).to_numpy()
                means.append(float(difference.mean()))
                moments.append(difference)
            low, high = _t_interval(np.array(means))
            test = ewc_t_test(np.concatenate(moments))
            if kind == "all":
                found[against] = (low, high)
            over = "–" if not np.isfinite(low) else f"{1e4 * low:+.2f} to {1e4 * high:+.2f}"
            pooled = f"{1e4 * test.ci_low:+.2f} to {1e4 * test.ci_high:+.2f}"
            rows.append((f"{against} retraining", kind, f"{1e4 * np.mean(means):+.2f}", over, pooled))
    return rows, found


def _other(life: Life, against: str) -> str:
    if against == "never":
        return NEVER
    always = [name for name in life.net if name.startswith("every ")]
    return max(always, key=lambda name: float(life.net[name]["value"].mean()))  # type: ignore[arg-type]


def _t_interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """95 % interval of the mean of independent markets."""
    n = len(values)
    if n < 2:
        return float("-inf"), float("inf")
    reach = float(stdtrit(n - 1, 0.975) * values.std(ddof=1) / np.sqrt(n))
    return float(values.mean()) - reach, float(values.mean()) + reach
