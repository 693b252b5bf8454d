"""A training that is killed and made again, against one that ran through: the same bits or not."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from hashlib import sha256
from pathlib import Path

from huracan.accounting import CostModel
from huracan.reinforcement import BatchTradingEnv, DQNAgent, TradingRules
from huracan.reinforcement.solved_markets import ornstein_uhlenbeck_market

__all__ = ["killed_and_resumed"]

STEPS = 8_000
WAYS: dict[str, dict[str, object]] = {
    "counterfactual backups": {},
    "prioritised replay, 3 steps, noisy, c51": {
        "counterfactual": False,
        "prioritised": True,
        "n_step": 3,
        "noisy": True,
        "distribution": "c51",
    },
    "a GRU over 8 bars": {"counterfactual": False, "encoder": "gru", "encoder_options": {"hidden": 16}, "embedding": 16},
}


def killed_and_resumed() -> tuple[str, list[str]]:
    """Every way: how often it was killed, and whether its weights are those of the training that ran through."""
    told, short = [], []
    for way in WAYS:
        with tempfile.TemporaryDirectory() as folder:
            through, broken = Path(folder, "through"), Path(folder, "broken")
            _run(way, through).communicate()
            kills = _killed_on_the_way(way, broken)
            same = _digest(through) == _digest(broken)
        told.append(f"{way}: {kills} kill(s), weights {'bit-identical' if same else 'differ'}")
        short += [f"{way}: weights differ after a kill"] if not same else []
        short += [f"{way}: ended before it could be killed"] if not kills else []
    return f"Killed (SIGKILL) and made again, {STEPS:,} steps: {'; '.join(told)}.", short


def _run(way: str, folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "benchmarks.rl_checks.kill_and_resume", way, str(folder)])


def _killed_on_the_way(way: str, folder: Path) -> int:
    """Kill the training after each of its first two new checkpoints, then let it end."""
    kills, seen = 0, None
    while True:
        training = _run(way, folder)
        while training.poll() is None and kills < 2:
            at = _stamp(folder)
            if at is not None and at != seen:
                seen = at
                time.sleep(0.05)  # in the middle of what comes next
                training.send_signal(signal.SIGKILL)
                training.wait()
                kills += 1
                break
            time.sleep(0.005)
        if training.wait() == 0:
            return kills


def _stamp(folder: Path) -> int | None:
    try:
        return (folder / "checkpoint" / "training.json").stat().st_mtime_ns
    except FileNotFoundError:
        return None


def _digest(folder: Path) -> str:
    return sha256((folder / "agent" / "weights.safetensors").read_bytes()).hexdigest()


def main(way: str, folder: str) -> None:
    """Train, with checkpoints, and keep the agent."""
    window = 8 if "bars" in way else 1
    rules = TradingRules(costs=CostModel(fee_bps=20), rebalance=True, observe=("level",), window=window, episode_length=100)
    market, _ = ornstein_uhlenbeck_market(n_points=11).sample(4_000, seed=1)
    agent = DQNAgent(hidden=(32,), learning_starts=500, replay_capacity=8_000, random_state=3, **WAYS[way])
    agent.fit(BatchTradingEnv(market, 4, rules), STEPS, checkpoint=Path(folder, "checkpoint"), checkpoint_every=STEPS // 5)
    agent.save(Path(folder, "agent"))


if __name__ == "__main__":
    main(*sys.argv[1:])
