"""Sixty-four symbols, one fit each: a plain loop, processes, Ray; then a worker killed midway, also under plain joblib.

Parity first: whatever the backend, forecasts are those of the loop bit for bit. The kill is ``kill -9`` of a worker that has
just answered and has its next task, once a third of the results are there.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from benchmarks import markdown_table
from huracan.catalogue import build_model
from huracan.dataset import TrainingSet
from huracan.distributed import FanoutExecutor, FanoutResult
from huracan.distributed.fanout.tasks import task_seed
from huracan.labels import forward_return_labels
from huracan.market import simulate_market
from huracan.preprocessing import FeatureRecipe

N_SYMBOLS = 64
WORKERS = 2
HORIZON = 4
KILL_AFTER = N_SYMBOLS // 3
EMPTY_TASKS = 4000

Forecasts = dict[str, NDArray[np.float64]]


def main() -> str:
    rows = _rows()
    started = time.perf_counter()
    with threadpool_limits(1):
        truth = {symbol: forecast(symbol, rows, task_seed(0, symbol)) for symbol in rows.symbols}
    loop = time.perf_counter() - started
    table: list[list[object]] = [["plain loop", f"{loop:.1f} s", "", "", "", ""]]
    with FanoutExecutor("processes", workers=WORKERS) as processes:
        table.append(_measured("`processes`, 2 workers", processes, rows, truth, loop))
    _, _, whole = _joblib(rows, truth, kill=False)
    kept, error, broken = _joblib(rows, truth, kill=True)
    lost = f"**{kept} of {N_SYMBOLS}**, then `{error}`"
    table.append(["joblib (loky), 2 workers", f"{whole:.1f} s", f"{loop / whole:.2f}x", lost, f"{broken:.1f} s", ""])
    if find_spec("ray") is None:
        print("fanout: the part on Ray is skipped, Ray is not installed (pip install 'huracan[ray]').")
        table.append(["`ray`", "not measured: Ray is not installed", "", "", "", ""])
        start = ""
    else:
        begun = time.perf_counter()
        with FanoutExecutor("ray", workers=WORKERS) as on_ray:
            on_ray.map(abs, [0])
            start = f" Ray takes {time.perf_counter() - begun:.1f} s to start, once an executor, which is not in the table."
            table.append(_measured("`ray`, 2 workers on one machine", on_ray, rows, truth, loop))
    header = ["way", "time", "against the loop", "results, one worker killed -9", "time, one killed", "an empty task"]
    size = f"{len(rows):,} rows of {len(rows.feature_names)} features"
    return "\n".join(
        [
            "# Fan-out",
            "",
            f"{N_SYMBOLS} symbols of a simulated market, {size} in all, shared.",
            "For each, extra trees forecast the last three tenths, fitted anew for each. One thread a worker; times include",
            f"the start of workers and their imports.{start}",
            "Forecasts of all ways are the loop's, bit for bit, with and without the kill.",
            "",
            markdown_table(header, table),
            "",
            'joblib is measured as `Parallel(n_jobs=2, return_as="generator_unordered")`: a dead worker breaks its whole pool,',
            "and it does not say which task the worker had.",
        ]
    )


def forecast(symbol: str, shared: TrainingSet, seed: int) -> NDArray[np.float64]:
    """Walk forward through one symbol: fit on all before each of the last three tenths, forecast it."""
    own = shared.of_symbol(symbol)
    tenth = len(own) // 10
    found = []
    for start in range(7 * tenth, 10 * tenth, tenth):
        model = build_model("extra_trees", task="regression", random_state=seed)
        model.fit(own.take(slice(0, start - HORIZON)))
        found.append(model.predict(own.take(slice(start, start + tenth))))
    return np.concatenate(found).astype(np.float64)


def _rows() -> TrainingSet:
    candles = simulate_market(n_bars=2500, n_symbols=N_SYMBOLS, seed=0).candles
    return TrainingSet.from_candles(
        candles, recipe=FeatureRecipe.default(), labels=forward_return_labels(candles, horizon=HORIZON)
    )


def _measured(name: str, executor: FanoutExecutor, rows: TrainingSet, truth: Forecasts, loop: float) -> list[object]:
    quiet, _ = _timed(executor, rows, truth, kill=False)
    disturbed, attempts = _timed(executor, rows, truth, kill=True)
    if attempts != N_SYMBOLS + 1:
        raise AssertionError(f"{name}: {attempts} attempts where {N_SYMBOLS} tasks and one kill make {N_SYMBOLS + 1}.")
    executor.map(_nothing, range(2))
    alone, many = (min(_seconds(executor, n) for _ in range(3)) for n in (1, EMPTY_TASKS))
    each = max(0.0, many - alone) / EMPTY_TASKS
    return [
        name,
        f"{quiet:.1f} s",
        f"{loop / quiet:.2f}x",
        f"{N_SYMBOLS} of {N_SYMBOLS}, each once",
        f"{disturbed:.1f} s",
        f"{1e3 * each:.2f} ms",
    ]


def _seconds(executor: FanoutExecutor, n: int) -> float:
    started = time.perf_counter()
    executor.map(_nothing, range(n))
    return time.perf_counter() - started


def _timed(executor: FanoutExecutor, rows: TrainingSet, truth: Forecasts, *, kill: bool) -> tuple[float, int]:
    started = time.perf_counter()
    results: list[FanoutResult] = []
    for result in executor.stream(forecast, rows.symbols, shared=rows):
        results.append(result)
        if kill and len(results) == KILL_AFTER:
            time.sleep(0.05)  # the worker that answered has its next task by now
            os.kill(int(result.worker.rpartition(":")[2]), signal.SIGKILL)
    seconds = time.perf_counter() - started
    keys = [str(result.key) for result in results]
    if sorted(keys) != sorted(rows.symbols):
        raise AssertionError(f"{executor.backend}: {len(keys)} results of {len(set(keys))} tasks where {N_SYMBOLS} were asked.")
    _require_equal(executor.backend, {str(result.key): result.get() for result in results}, truth)
    return seconds, sum(result.attempts for result in results)


def _joblib(rows: TrainingSet, truth: Forecasts, *, kill: bool) -> tuple[int, str, float]:
    from joblib import Parallel, delayed

    def one(symbol: str) -> tuple[str, NDArray[np.float64], int]:
        return symbol, forecast(symbol, rows.of_symbol(symbol), task_seed(0, symbol)), os.getpid()

    kept: Forecasts = {}
    started = time.perf_counter()
    jobs = (delayed(one)(symbol) for symbol in rows.symbols)
    results: Iterator[tuple[str, NDArray[np.float64], int]] = Parallel(n_jobs=WORKERS, return_as="generator_unordered")(jobs)
    try:
        for symbol, values, pid in results:
            kept[symbol] = values
            if kill and len(kept) == KILL_AFTER:
                os.kill(pid, signal.SIGKILL)
        error = "no error"
    except Exception as raised:  # noqa: BLE001 - loky's errors are private classes
        error = type(raised).__name__
    _require_equal("joblib", kept, {symbol: truth[symbol] for symbol in kept})
    return len(kept), error, time.perf_counter() - started


def _require_equal(name: str, found: Forecasts, truth: Forecasts) -> None:
    for symbol, values in truth.items():
        if found[symbol].tobytes() != values.tobytes():
            raise AssertionError(f"{name}: the forecasts of {symbol} are not those of the plain loop.")


def _nothing(task: int) -> int:
    return task


if __name__ == "__main__":
    print(main())
