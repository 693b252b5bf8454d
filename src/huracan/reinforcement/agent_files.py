"""An agent, and a training of one, as files: JSON and safetensors, no pickle, each file whole or not there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from huracan.errors import ArtifactError
from huracan.storage.whole_files import put_file

if TYPE_CHECKING:
    from huracan.reinforcement.rl_agent import DQNAgent

__all__ = ["read_agent", "read_training", "write_agent", "write_training"]

_AGENT, _WEIGHTS, _TRAINING = "agent.json", "weights.safetensors", "training.json"


def write_agent(folder: Path, agent: DQNAgent) -> None:
    """Write a learned agent; ``agent.json``, which names the weights' SHA-256, last."""
    from safetensors.torch import save

    weights = save({name: value.contiguous().cpu().clone() for name, value in agent._learned().online.state_dict().items()})
    put_file(folder / _WEIGHTS, weights)
    told = {**agent.told(), "weights_sha256": sha256(weights).hexdigest()}
    put_file(folder / _AGENT, json.dumps(told, indent=1).encode())


def read_agent(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """What was told of an agent, and its weights by name.

    Raises
    ------
    ArtifactError : files are missing or damaged.
    """
    from safetensors.torch import load

    told = _told(folder / _AGENT)
    return told, load(_whole(folder / _WEIGHTS, told.get("weights_sha256")))


def write_training(folder: Path, told: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write how a training stands; ``training.json``, which names the file of arrays and its SHA-256, last."""
    from safetensors.numpy import save

    content = save({name: np.ascontiguousarray(value) for name, value in arrays.items()})
    digest = sha256(content).hexdigest()
    name = f"training-{digest[:16]}.safetensors"
    put_file(folder / name, content)
    put_file(folder / _TRAINING, json.dumps({**told, "arrays": name, "sha256": digest}).encode())
    for old in folder.glob("training-*.safetensors"):
        if old.name != name:
            old.unlink(missing_ok=True)


def read_training(folder: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """How a training stood.

    Raises
    ------
    ArtifactError : files are missing or damaged.
    """
    from safetensors.numpy import load

    told = _told(folder / _TRAINING)
    return told, load(_whole(folder / str(told.get("arrays")), told.get("sha256")))


def _told(file: Path) -> dict[str, Any]:
    try:
        told = json.loads(file.read_bytes())
    except OSError as error:
        raise ArtifactError(f"{file} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise ArtifactError(f"{file} is damaged: {error}.") from error
    if not isinstance(told, dict):
        raise ArtifactError(f"{file} is damaged: it holds no settings.")
    return told


def _whole(file: Path, expected: Any) -> bytes:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ArtifactError(f"{file} cannot be read: {error.strerror}.") from error
    if sha256(content).hexdigest() != expected:
        raise ArtifactError(f"{file} is damaged: its SHA-256 is not the one it was written with.")
    return content
