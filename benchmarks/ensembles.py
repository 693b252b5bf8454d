"""The meta-layer: planted leaks are found, intervals cover, regret stays below its bound, and weights are worth their while."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from math import log, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from scipy.stats import beta, t
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import KFold
from sklearn.neighbors import KNeighborsRegressor

from benchmarks import markdown_table, market_data
from huracan.dataset import TrainingSet
from huracan.ensembles import (
    AdaptiveConformal,
    Hedge,
    OutOfFold,
    TimeOrderedStackingRegressor,
    assert_out_of_fold,
    equal_weights,
    foresight_test,
    greedy_weights,
    inverse_loss_weights,
    out_of_fold_predictions,
)
from huracan.errors import LeakageError
from huracan.validation import PurgedKFold, PurgedWalkForward

HORIZON, ROWS, SIMULATIONS = 10, 1_500, 100
ALPHA = 0.01
MEMBERS: dict[str, Any] = {
    "ridge": Ridge(1_000.0),
    "extra trees": ExtraTreesRegressor(20, min_samples_leaf=20, random_state=0),
    "nearest neighbours": KNeighborsRegressor(20),
}


def slow_rows(seed: int, *, signal: bool, n: int = ROWS, level: bool = False) -> TrainingSet:
    """A random walk with labels of 10 overlapping bars and slow features; with a signal one of them foretells a little.

    With ``level`` the walk itself is a feature: it tells where in time a row lies, which is what a leak through folds lives on.
    """
    rng = np.random.default_rng([17, seed, int(signal)])
    bar = rng.standard_normal(n + 40)
    persistent = np.empty(n + 40)
    persistent[0] = rng.standard_normal()
    for i in range(1, n + 40):
        persistent[i] = 0.95 * persistent[i - 1] + sqrt(1 - 0.95**2) * rng.standard_normal()
    if signal:
        bar[1:] += 0.1 * persistent[:-1]
    walk = bar.cumsum()
    now = np.arange(20, 20 + n)
    X = np.stack([walk[now] - walk[now - 10], walk[now] - walk[now - 5], persistent[now], rng.standard_normal(n)], axis=1)
    X = np.column_stack([X, walk[now]]) if level else X
    return TrainingSet.from_arrays(X, walk[now + HORIZON] - walk[now], label_horizon=HORIZON)


def without_origin(made: OutOfFold) -> OutOfFold:
    return replace(made, known_until=np.full(len(made), np.datetime64("NaT", "ms")))


# --- leaks -----------------------------------------------------------------------------------------------------------


def leaks() -> str:
    """How often planted leaks are found and honest members accused, by times and without them."""
    kinds = ("honest: walk-forward", "honest: other purged k-fold", "planted: shuffled folds")
    by_time = dict.fromkeys(kinds, 0)
    accused: dict[str, list[tuple[str, ...]]] = {kind: [] for kind in kinds}
    for seed in range(SIMULATIONS):
        rows = slow_rows(seed, signal=seed % 2 == 1)
        splitters = dict(
            zip(kinds, (PurgedWalkForward(5), PurgedKFold(5, embargo=HORIZON), KFold(5, shuffle=True, random_state=seed)))
        )
        for kind, splitter in splitters.items():
            made = out_of_fold_predictions(MEMBERS, rows, splitter)
            try:
                assert_out_of_fold(made, rows)
            except LeakageError:
                by_time[kind] += 1
            accused[kind].append(foresight_test(without_origin(made), MEMBERS, rows, alpha=ALPHA).foresighted)
    lines = []
    for kind in kinds:
        found = sum(bool(names) for names in accused[kind])
        each = [f"{sum(name in names for names in accused[kind]) / SIMULATIONS:.0%}" for name in MEMBERS]
        low, high = exact_interval(found, SIMULATIONS)
        lines.append(
            [kind, f"{by_time[kind] / SIMULATIONS:.0%}", f"{found / SIMULATIONS:.0%} ({low:.0%} to {high:.0%})", *each]
        )
    honest, other = (sum(bool(names) for names in accused[kind]) for kind in kinds[:2])
    assert by_time[kinds[0]] == 0, by_time
    assert by_time[kinds[2]] == SIMULATIONS, by_time
    assert exact_interval(honest, SIMULATIONS)[0] <= ALPHA, honest
    assert exact_interval(other, SIMULATIONS)[0] <= ALPHA, other
    header = ["predictions", "refused by their times", f"accused without times, at {ALPHA:.0%}", *MEMBERS]
    return (
        f"{SIMULATIONS} random walks of {ROWS:,} bars, labels of {HORIZON} overlapping bars, half of them with a signal. "
        "With times the check is a comparison; purged k-folds are refused there, since their models learn from later rows. "
        "Without times members are refitted and the losses tested (all members together, then each); in brackets the exact "
        "95 % interval.\n\n" + markdown_table(header, lines)
    )


def exact_interval(hits: int, n: int) -> tuple[float, float]:
    """Clopper and Pearson's 95 % interval of a share."""
    low = beta.ppf(0.025, hits, n - hits + 1) if hits else 0.0
    return float(low), float(beta.ppf(0.975, hits + 1, n - hits) if hits < n else 1.0)


def stacking() -> str:
    """A stack on shuffled folds against the time-ordered one, and the latter with and without the leaky member, on new rows."""
    sets, losses, weights = 20, [], []
    members = {"ridge": Ridge(1_000.0), "saw the future": KNeighborsRegressor(10)}
    for seed in range(sets):
        rows = slow_rows(10_000 + seed, signal=True, n=3_000, level=True)
        past, future = rows.take(slice(0, 2_000)), rows.take(slice(2_000 + HORIZON, None))
        leaky = out_of_fold_predictions(members, past, KFold(5, shuffle=True, random_state=seed))
        fooled = LinearRegression(positive=True).fit(leaky.predictions, past.y)
        ordered = TimeOrderedStackingRegressor(members, "nnls").fit(past)
        without = TimeOrderedStackingRegressor({"ridge": members["ridge"]}, "nnls").fit(past)
        answers = np.column_stack([model.predict(future.X.astype(float)) for model in ordered.members_.values()])
        said = (fooled.predict(answers), ordered.predict(future), without.predict(future), np.full(len(future), past.y.mean()))
        losses.append([np.mean((one - future.y) ** 2) / HORIZON for one in said])
        weights.append([fooled.coef_[1], ordered.final_.coef_[1]])
    loss, weight = np.array(losses), np.mean(weights, axis=0)
    worse, unaffected = paired(loss[:, 0] - loss[:, 1]), paired(loss[:, 1] - loss[:, 2])
    assert worse[1] > 0, worse
    assert unaffected[1] <= 0, unaffected
    assert weight[1] < 0.2 < 0.5 < weight[0], weight
    names = ("stack on shuffled folds", "time-ordered stack", "time-ordered stack without the leaky member", "mean of the past")
    shares = (f"{weight[0]:.2f}", f"{weight[1]:.2f}", "", "")
    table = markdown_table(
        ["model", "weight of the leaky member", "squared error on later rows"],
        [[name, share, f"{mean:.3f}"] for name, share, mean in zip(names, shares, loss.mean(axis=0))],
    )
    return (
        f"{sets} walks with a signal, 2,000 rows to learn from and 990 later ones; squared error over ten bars' variance. "
        f"Shuffled less time-ordered {shown(worse)}; time-ordered with less without the leaky member {shown(unaffected)}, 95 %."
        f"\n\n{table}"
    )


# --- intervals -------------------------------------------------------------------------------------------------------


def conformal() -> str:
    """90 % intervals of real daily returns, by symbol and calendar year."""
    from huracan.labels import forward_return_labels
    from huracan.market import read_candles

    candles = read_candles(market_data() / "candles" / "daily_40.parquet")
    lines, worst = [], []
    for horizon in (1, 5):
        labels = forward_return_labels(candles, horizon=horizon).drop_nulls("label")
        symbol, year = labels["symbol"].to_numpy().astype(str), labels["ts"].dt.year().to_numpy()
        y, n = labels["label"].to_numpy(), labels.height
        decided = labels["ts"].dt.replace_time_zone(None).to_numpy() + np.timedelta64(1, "D")
        known = labels["label_end"].dt.replace_time_zone(None).to_numpy()
        forecast = mean_known(y, symbol, decided, known)
        began = time.process_time()
        made = AdaptiveConformal(0.9).run(forecast, y, known, decision_time=decided, group=symbol)
        seconds = time.process_time() - began
        fixed = fixed_intervals(y - forecast, symbol)
        for one in np.unique(year):
            mine = made.counted & (year == one)
            by_symbol = made.coverage_by(np.where(mine, symbol, ""))
            shares = [share for key, (share, count) in by_symbol.items() if key and count > 300]
            if not shares:
                continue
            width = np.median((made.high - made.low)[mine]) / 2
            still = [np.mean(fixed[mine & (symbol == s)]) for s in np.unique(symbol)]
            spread = f"{min(shares):.1%} to {max(shares):.1%}"
            fixed_spread = f"{min(still):.1%} to {max(still):.1%}"
            lines.append([f"{horizon} d", one, len(shares), f"{np.mean(shares):.1%}", spread, fixed_spread, f"{width:.1%}"])
            worst += [min(shares), max(shares)]
    assert min(worst) >= 0.87, lines
    assert max(worst) <= 0.93, lines
    header = ["label", "year", "symbol-years", "mean coverage", "lowest to highest", "the same, fixed quantile", "half width"]
    return (
        "90 % intervals around the mean of the returns known, 40 symbols, daily; the bar is 87 to 93 % in every symbol-year. "
        "Labels count once known (over 5 days they overlap, and each is known six days after its decision). For comparison the "
        "quantile of the absolute residuals of the symbol's first 90 days, kept for good. 2022 has 48 days and is warm-up. "
        f"{n:,} rows took {seconds:.2f} s.\n\n" + markdown_table(header, lines)
    )


def mean_known(y: NDArray[np.float64], symbol: NDArray[Any], decided: NDArray[Any], known: NDArray[Any]) -> NDArray[np.float64]:
    """Mean of each symbol's labels that ended before the decision; 0 before the first."""
    forecast = np.zeros(len(y))
    for one in np.unique(symbol):
        mine = np.flatnonzero(symbol == one)
        total = np.concatenate(([0.0], y[mine].cumsum()))
        count = np.searchsorted(known[mine], decided[mine], side="left")
        forecast[mine] = total[count] / np.maximum(count, 1)
    return forecast


def fixed_intervals(residual: NDArray[np.float64], symbol: NDArray[Any]) -> NDArray[np.bool_]:
    covered = np.zeros(len(residual), bool)
    for one in np.unique(symbol):
        mine = np.flatnonzero(symbol == one)
        covered[mine] = np.abs(residual[mine]) <= np.quantile(np.abs(residual[mine[:90]]), 0.9)
    return covered


# --- Hedge -----------------------------------------------------------------------------------------------------------


def sequences(rounds: int, members: int) -> dict[str, Callable[[Hedge], NDArray[np.float64]]]:
    """Ways to choose losses, some of them after a look at the weights."""
    rng = np.random.default_rng(3)

    def in_turn(hedge: Hedge) -> NDArray[np.float64]:
        return hedge.run(np.eye(members)[np.arange(rounds) % members])

    def coins(hedge: Hedge) -> NDArray[np.float64]:
        return hedge.run(rng.integers(0, 2, (rounds, members)).astype(float))

    def switching(hedge: Hedge) -> NDArray[np.float64]:
        table = np.tile(np.linspace(0, 1, members), (rounds, 1))
        table[rounds // 2 :] = table[rounds // 2 :, ::-1]
        return hedge.run(table)

    def blocks(hedge: Hedge) -> NDArray[np.float64]:
        """The leader loses for as long as the delay hides it."""
        return hedge.run(np.repeat(np.eye(members)[np.arange(rounds) % members], hedge.delay + 1, axis=0)[:rounds])

    def heaviest_half(hedge: Hedge) -> NDArray[np.float64]:
        seen = [hedge.weights] * (hedge.delay + 1)
        for i in range(rounds):
            loss = np.zeros(members)
            loss[np.argsort(-seen[i], kind="stable")[: members // 2]] = 1.0
            hedge.update(loss)
            seen.append(hedge.weights)
        return np.array(seen[:rounds])

    def worse_than_mean(hedge: Hedge) -> NDArray[np.float64]:
        """Member 0 is best by as little as can hardly be told: the losses that make the bound tight in its order."""
        table = (rng.random((rounds, members)) < 0.5).astype(float)
        table[:, 0] = (rng.random(rounds) < 0.5 - sqrt(log(members) / rounds) / 2).astype(float)
        return hedge.run(table)

    return {
        "each member loses in turn": in_turn,
        "fair coins": coins,
        "the best turns worst half-way": switching,
        "losses in blocks of the delay": blocks,
        "the heaviest half loses, weights seen": heaviest_half,
        "one member better by what cannot be told": worse_than_mean,
    }


def hedge() -> str:
    """Regret against its bound, with and without delay."""
    rounds, members, lines = 20_000, 10, []
    for delay in (0, 5, 24):
        for name, play in sequences(rounds, members).items():
            game = Hedge(members, delay=delay)
            play(game)
            assert game.regret <= game.bound, (name, delay, game)
            lines.append([delay, name, f"{game.regret:.1f}", f"{game.bound:.1f}", f"{game.regret / game.bound:.0%}"])
    return f"{rounds:,} rounds, {members} members, losses of 0 to 1.\n\n" + markdown_table(
        ["delay", "losses", "regret", "bound", "of the bound"], lines
    )


# --- weights ---------------------------------------------------------------------------------------------------------


def library(seed: int, kind: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Forecasts of 12 members and labels, 4,000 rows in time order: skills, biases and errors that members share by family."""
    rng = np.random.default_rng([23, seed])
    n, m = 4_000, 12
    y = rng.standard_normal(n)
    signal = 0.3 * y + sqrt(0.3 - 0.09) * rng.standard_normal((3, n))
    family = rng.integers(0, 3, m)
    skill = rng.uniform(0.3, 1.0, m) if kind != "equal members" else np.full(m, 0.8)
    own = np.full(m, 0.25) if kind == "equal members" else rng.uniform(0.1, 0.6, m)
    table = skill[:, None] * 0.3 * signal[family] + own[:, None] * rng.standard_normal((m, n))
    if kind == "half of them noise":
        table[m // 2 :] = 0.8 * rng.standard_normal((m - m // 2, n))
    return table.T, y


def weights() -> str:
    """Greedy selection against the best single member, equal and inverse-loss weights, by squared error on later rows."""
    sets, lines = 40, []
    checked = 0
    for kind in ("unequal members", "equal members", "half of them noise"):
        losses = []
        for seed in range(sets):
            table, y = library(seed, kind)
            learn, judge = slice(0, 1_000), slice(1_000, None)
            single = np.mean((table[learn] - y[learn, None]) ** 2, axis=0)
            chosen = {
                "greedy": greedy_weights(table[learn], y[learn]),
                "best single": np.eye(len(single))[single.argmin()],
                "equal": equal_weights(len(single)),
                "inverse loss": inverse_loss_weights(single),
            }
            losses.append([np.mean((table[judge] @ w - y[judge]) ** 2) for w in chosen.values()])
        loss = np.array(losses)
        intervals = [paired(loss[:, i] - loss[:, 0]) for i in range(1, 4)]
        lines.append([kind, f"{loss[:, 0].mean():.4f}", *map(shown, intervals)])
        checked += intervals[0][1] > 0
        if kind != "equal members":
            assert intervals[1][1] > 0, lines
    assert checked == 3, lines
    table, y = library(0, "unequal members")
    large = np.tile(table, (5, 3))[:, :30] + np.random.default_rng(0).standard_normal((20_000, 30)) * 0.1
    seconds = []
    for loss_name, p, target in (
        ("squared_error", large, np.tile(y, 5)),
        ("log_loss", expit(large), (np.tile(y, 5) > 0).astype(float)),
    ):
        took = []
        for _ in range(3):
            began = time.process_time()
            greedy_weights(p, target, loss_name)  # type: ignore[arg-type]
            took.append(time.process_time() - began)
        seconds.append(min(took))
    assert max(seconds) < 1.0, seconds
    header = ["12 members", "greedy, squared error", "best single less greedy", "equal less greedy", "inverse loss less greedy"]
    return (
        f"{sets} simulated sets, weights from 1,000 rows, judged on 3,000 later ones; mean difference and its paired 95 % "
        f"interval, above 0 where greedy is better.\n\n{markdown_table(header, lines)}\n\n30 members on 20,000 rows: "
        f"{seconds[0]:.2f} s by squared error, {seconds[1]:.2f} s by log-loss (CPU; bar 1 s)."
    )


def paired(difference: NDArray[np.float64]) -> tuple[float, float, float]:
    """Mean and 95 % interval over independent sets."""
    half = t.ppf(0.975, len(difference) - 1) * difference.std(ddof=1) / sqrt(len(difference))
    return float(difference.mean()), float(difference.mean() - half), float(difference.mean() + half)


def shown(interval: tuple[float, float, float]) -> str:
    return "{:+.4f} ({:+.4f} to {:+.4f})".format(*interval)


def main() -> str:
    """All of it."""
    sections = {
        "Predictions whose models saw the future": leaks,
        "Stacking beside a member that saw the future": stacking,
        "Adaptive conformal intervals": conformal,
        "Hedge": hedge,
        "Weights": weights,
    }
    return "# The meta-layer\n\n" + "\n\n".join(f"## {title}\n\n{section()}" for title, section in sections.items())
