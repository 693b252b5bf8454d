"""The trading environment and the agent whole on a GPU: steps and updates a second from 1,024 to 65,536 copies.

First the environment on the device is held against the one in NumPy, every cost on. Then agents act, store, draw and learn
where the environment lies; nothing goes over the host but the number of the step.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch

from benchmarks import markdown_table
from benchmarks.rl_speed import EVERY_COST, candles, market_of
from huracan.reinforcement import BatchTradingEnv, DQNAgent, MarketTable, TensorTradingEnv, TradingRules

__all__ = ["main"]

COPIES = (1_024, 8_192, 65_536)
PARITY = 1e-9
_CHECKED, _STEPS, _UPDATES = 500, 200, 500
WAYS: dict[str, dict[str, Any]] = {
    "uniform replay": {"counterfactual": False},
    "prioritised, 3 steps": {"counterfactual": False, "prioritised": True, "n_step": 3},
}


def main() -> str:
    """Check parity, then time; skipped aloud where there is no CUDA device."""
    if not torch.cuda.is_available():
        raise FileNotFoundError("there is no CUDA device here.")
    return report(torch.device("cuda", 0), COPIES)


def report(device: torch.device, copies: tuple[int, ...], *, updates: int = _UPDATES, steps: int = _STEPS) -> str:
    """The tables for one device."""
    market, rules = market_of(candles()), TradingRules(costs=EVERY_COST)
    worst = _parity(device, market, rules, min(copies))
    rows = []
    for n in copies:
        row: list[object] = [f"{n:,}", f"{_steps_a_second(device, market, rules, n, steps):,.0f}"]
        for settings in WAYS.values():
            row.append(f"{_updates_a_second(device, market, rules, n, settings, updates):,.0f}")
        rows.append(row)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    head = ["copies", "steps/s of all together", *(f"updates/s, {way}" for way in WAYS)]
    return (
        f"# Agents on a GPU\n\n{' '.join((__doc__ or '').split())}\n\n{name}. Over {_CHECKED} steps of {min(copies):,} copies "
        f"equity differs from NumPy's by at most {worst:.1e}. An update is of 256 transitions and comes with one step of all "
        f"copies.\n\n"
        f"{markdown_table(head, rows)}\n"
    )


def _parity(device: torch.device, market: MarketTable, rules: TradingRules, n: int) -> float:
    here, there = BatchTradingEnv(market, n, rules), TensorTradingEnv(market, n, rules, device=device)
    here.reset(seed=0)
    there.reset(seed=0)
    random, worst = np.random.default_rng(0), 0.0
    for _ in range(_CHECKED):
        actions = random.integers(0, 3, n)
        ours = here.step(actions)[4]["equity"]
        theirs = there.step(torch.from_numpy(actions).to(device))[4]["equity"].cpu().numpy()
        worst = max(worst, float(np.abs(theirs / ours - 1.0).max()))
    assert worst <= PARITY, f"the environment on {device} differs from NumPy's by {worst:.1e}."
    return worst


def _steps_a_second(device: torch.device, market: MarketTable, rules: TradingRules, n: int, steps: int) -> float:
    env = TensorTradingEnv(market, n, rules, device=device)
    env.reset(seed=0)
    actions = torch.randint(0, 3, (16, n), device=device)

    def run(times: int) -> None:
        for i in range(times):
            env.step(actions[i % 16])
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    run(min(steps, 10))
    began = time.perf_counter()
    run(steps)
    return steps * n / (time.perf_counter() - began)


def _updates_a_second(
    device: torch.device, market: MarketTable, rules: TradingRules, n: int, settings: dict[str, Any], updates: int
) -> float:
    agent = DQNAgent(
        device=device.type,
        batch_size=256,
        train_every=n,
        learning_starts=4 * n,
        replay_capacity=max(100_000, 8 * n),
        **settings,
    )
    env = TensorTradingEnv(market, n, rules, device=device)
    began = time.perf_counter()
    agent.fit(env, (updates + 4) * n)
    return updates / (time.perf_counter() - began)
