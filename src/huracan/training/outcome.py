"""What a training came to, as a folder: parameters and result, whole or not there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

import torch

from huracan.errors import ArtifactError
from huracan.storage.folder_lock import held
from huracan.storage.whole_files import put_file
from huracan.training.checkpoints import CheckpointFolder
from huracan.training.history import EpochRecord, TrainingResult

__all__ = ["Outcome", "is_there", "put_outcome", "read_outcome", "train_once"]

Outcome = tuple[dict[str, torch.Tensor], TrainingResult]


def is_there(folder: Path) -> bool:
    """Whether an outcome was written."""
    return (folder / "result.json").is_file()


def put_outcome(folder: Path, parameters: Mapping[str, torch.Tensor], result: TrainingResult) -> None:
    """Write parameters, then the result."""
    from safetensors.torch import save

    whole = {name: value.detach().cpu().clone(memory_format=torch.contiguous_format) for name, value in parameters.items()}
    put_file(folder / "parameters.safetensors", save(whole))
    put_file(folder / "result.json", json.dumps(asdict(result)).encode())


def read_outcome(folder: Path) -> Outcome | None:
    """Parameters and result, None where there is none yet.

    Raises
    ------
    ArtifactError : the outcome is damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    if not is_there(folder):
        return None
    try:
        told = json.loads((folder / "result.json").read_bytes())
        parameters = load((folder / "parameters.safetensors").read_bytes())
        history = [EpochRecord(**record) for record in told.pop("history")]
        return parameters, TrainingResult(history=history, **told)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise ArtifactError(f"the outcome in {folder} is damaged: {error}.") from error


def train_once(folder: Path, train: Callable[[CheckpointFolder], tuple[Mapping[str, torch.Tensor], TrainingResult]]) -> Outcome:
    """Do a training, or go on with it, or take what it came to before.

    Checkpoints serve a training that is not done; afterwards its outcome alone is kept, a third of the size of one of them.

    Parameters
    ----------
    folder : of this training and no other. train : does it, writing checkpoints.
    """
    with held(folder):
        before = read_outcome(folder / "outcome")
        if before is not None:
            before[1].resumed_from = before[1].steps
            return before
        parameters, result = train(CheckpointFolder(folder / "checkpoints"))
        put_outcome(folder / "outcome", parameters, result)
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
        return dict(parameters), result
