"""The step that a process is computing, written down by the process itself before it computes it.

What lies in a folder from outside (``processes/``) is half a second old; a process that is killed leaves here its last word.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

__all__ = ["is_gone", "killed_at", "note_steps", "step_under_way"]

_STEPS = "steps_seen"


def note_steps(network: nn.Module, folder: Path | str) -> nn.Module:
    """Let a network of one forward pass a step write the number of each step (from 1) before the pass.

    The number is a buffer of the network: it is in every checkpoint, is put back with it, and is not touched by trial passes
    on a copy; DDP's first passes, whose buffers are put back, write a number and take it back.
    """
    home = Path(folder)
    home.mkdir(parents=True, exist_ok=True)
    network.register_buffer(_STEPS, torch.zeros((), dtype=torch.int64))

    def note(module: nn.Module, _: Any) -> None:
        if not module.training:
            return
        seen = getattr(module, _STEPS)
        seen += 1
        with (home / str(os.getpid())).open("ab", buffering=0) as file:
            file.write(f"{int(seen)}\n".encode())

    network.register_forward_pre_hook(note)
    return network


def step_under_way(folder: Path | str, pid: int) -> int:
    """The number of the step that a process was computing when it last wrote; 0 where it has written none."""
    path = Path(folder) / str(pid)
    whole = path.read_bytes().rpartition(b"\n")[0].split() if path.exists() else []
    return int(whole[-1]) if whole else 0


def killed_at(folder: Path | str, pid: int, *, step: int, seconds: float = 120.0) -> int:
    """Kill a process once it computes a step; the number of the step that it was computing when it was gone.

    All steps after the checkpoint that training goes on from are lost, this one too, though it was not finished.
    """
    deadline = time.monotonic() + seconds
    while step_under_way(folder, pid) < step:
        if time.monotonic() > deadline:
            raise AssertionError(f"process {pid} did not get to step {step} within {seconds:g} s")
        time.sleep(0.005)
    os.kill(pid, signal.SIGKILL)
    while not is_gone(pid):
        time.sleep(0.005)
    return step_under_way(folder, pid)


def is_gone(pid: int) -> bool:
    """Whether a process has ended, though nobody may have asked how yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True
