"""A script that ``torchrun`` starts on two processes: dropout, mixed precision and compiled kernels under the strategies.

``variants.py FOLDER CASE...`` writes ``FOLDER/RANK.json``: case -> losses of the steps, a hash of the parameters, and what
dropout drew from the second step on.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from benchmarks.distributed_checks.problem import FEATURES, WINDOW, settings, windows
from torch import nn

from huracan.distributed.axes import ParallelAxes
from huracan.distributed.config import DistributedConfig
from huracan.distributed.strategies import make_runtime
from huracan.models.networks.lstm import LSTMNetwork
from huracan.models.networks.transformer import TransformerNetwork
from huracan.training import Runtime, Supervised, TrainingLoop
from huracan.training.objectives import squared_error
from huracan.training.randomness import built_with_seed

STEPS, BLOCKS, DROPPED = 12, 2, 0.3

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    **{f"dropout-{strategy}": (strategy, {"dropout": DROPPED}) for strategy in ("none", "ddp", "fsdp2", "tp", "pp")},
    **{f"{kind}-float32-none": ("none", {"kind": kind}) for kind in ("lstm", "transformer")},
    **{
        f"{kind}-bfloat16-{strategy}": (strategy, {"kind": kind, "precision": "bfloat16"})
        for kind in ("lstm", "transformer")
        for strategy in ("none", "ddp", "fsdp2")
    },
    **{
        f"{'compiled' if compiled else 'plain'}-{strategy}": (strategy, {"precision": "float64", "compile": compiled})
        for compiled in (False, True)
        for strategy in ("none", "ddp", "fsdp2")
    },
}


def main() -> None:
    home, wanted = Path(sys.argv[1]), sys.argv[2:]
    torch.set_num_threads(1)
    dist.init_process_group("gloo", timeout=timedelta(seconds=120))
    done = {}
    for case in wanted:
        strategy, changes = CASES[case.removesuffix("-again")]
        done[case] = _trained(strategy, **changes)
    (home / f"{dist.get_rank()}.json").write_text(json.dumps(done))
    dist.barrier()
    dist.destroy_process_group()


def _trained(strategy: str, *, kind: str = "transformer", dropout: float = 0.0, **changes: Any) -> dict[str, Any]:
    """One training; ``"none"`` is done by each process for itself."""
    if strategy == "none":
        runtime = Runtime("cpu")
    else:
        config = DistributedConfig(strategy=strategy, processes=2)  # type: ignore[arg-type]
        runtime = make_runtime(config, ParallelAxes.of(config, 2), torch.device("cpu"))
    with built_with_seed(3):
        sizes = {"hidden": 8, "n_blocks": BLOCKS, "dropout": dropout}
        network: nn.Module = (
            LSTMNetwork(FEATURES, WINDOW, 1, **sizes)
            if kind == "lstm"
            else TransformerNetwork(FEATURES, WINDOW, 1, n_heads=4, **sizes)
        )
    drawn: list[str] = []
    learned, validated = windows()
    own = settings(**{"max_steps": STEPS, "precision": "float32", **changes})
    loop = TrainingLoop(network, Supervised(squared_error), learned, validated, settings=own, runtime=runtime)

    def note(module: Any, given: tuple[torch.Tensor], out: torch.Tensor) -> None:
        if module.training:
            drawn.append(_where_zero(given[0], out))

    for module in runtime.network.modules():
        if isinstance(module, nn.Dropout) and module.p > 0:
            module.register_forward_hook(note)
    tried: list[int] = []  # in the first step DDP and the pipeline try the network before they use it
    loop.optimizers[0].register_step_post_hook(lambda *_: tried.append(len(drawn)))
    result = loop.run()
    parameters = hashlib.sha256()
    for name, value in sorted(runtime.network.state_dict().items()):
        here = value.to_local() if hasattr(value, "to_local") else value
        parameters.update(name.encode() + here.contiguous().numpy().tobytes())
    return {"losses": result.step_losses, "parameters": parameters.hexdigest(), "drawn": drawn[tried[0] :]}


def _where_zero(given: torch.Tensor, out: torch.Tensor) -> str:
    dropped = ((out == 0) & (given != 0)).contiguous()
    return f"{dropped.numel()} {hashlib.sha256(dropped.numpy().tobytes()).hexdigest()[:16]} {int(dropped.sum())}"


if __name__ == "__main__":
    main()
    os._exit(0)
