"""A training as plain data: what any process needs to run it, in memory or as a folder that many processes read."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from huracan.errors import ArtifactError, ModelError, nearest_name
from huracan.statistics.spread_rows import spread_rows
from huracan.storage.whole_files import put_file, refusal
from huracan.training.code_identity import code_of
from huracan.training.identity import identity_of
from huracan.training.objectives import FromConstant, Pinball, cross_entropy, huber_loss, squared_error
from huracan.training.phases import Objective, Supervised
from huracan.training.randomness import built_with_seed, depends_on_pieces
from huracan.training.settings import LoopSettings
from huracan.training.windows import WindowTable

__all__ = ["SAMPLED_WINDOWS", "NetworkRecipe", "TrainingJob", "objective_of"]

SAMPLED_WINDOWS = 1_024
"""Windows that are enough to see which inputs a network listens to, and that are kept of a finished training."""

_OBJECTIVES: dict[str, Objective] = {
    "squared_error": squared_error,
    "huber": huber_loss,
    "cross_entropy": cross_entropy,
}


def objective_of(name: str, quantiles: tuple[float, ...] = (), constant: tuple[float, ...] = ()) -> Objective:
    """The loss of this name: ``squared_error``, ``huber``, ``cross_entropy``, or ``pinball`` at quantiles; of outputs that are
    added to ``constant``, where one is given.
    """
    if constant:
        return FromConstant(objective_of(name, quantiles), constant)
    if name == "pinball":
        return Pinball(quantiles)
    if name not in _OBJECTIVES:
        raise nearest_name(name, (*_OBJECTIVES, "pinball"), kind="loss")
    return _OBJECTIVES[name]


@dataclass(frozen=True)
class NetworkRecipe:
    """How to make a network anew, the same on every process.

    Parameters
    ----------
    factory : a callable, or ``"package.module:name"`` of one.
    arguments : for the factory, plain JSON values.
    seed : PyTorch's stream starts here while the network is made.

    Examples
    --------
    >>> recipe = NetworkRecipe("torch.nn:Linear", {"in_features": 3, "out_features": 1})
    >>> torch.equal(recipe.build().weight, recipe.build().weight)
    True
    """

    factory: str | Callable[..., nn.Module]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0

    def build(self) -> nn.Module:
        """Make the network."""
        factory = self.made_by
        with built_with_seed(self.seed):
            try:
                return factory(**self.arguments)
            except TypeError as error:
                raise ModelError(f"the network cannot be made with {dict(self.arguments)}: {error}.") from error

    @property
    def made_by(self) -> Callable[..., nn.Module]:
        """The factory itself."""
        return _found(self.factory) if isinstance(self.factory, str) else self.factory

    @property
    def path(self) -> str:
        """``"package.module:name"`` of the factory.

        Raises
        ------
        ModelError : other processes cannot import it (a lambda, or a class of a notebook or script).
        """
        if isinstance(self.factory, str):
            return self.factory
        module, name = self.factory.__module__, self.factory.__qualname__
        if module == "__main__" or "<" in name:
            raise ModelError(
                f"the network '{name}' is defined in {module}, where other processes cannot import it; put it into a module of "
                "its own."
            )
        return f"{module}:{name}"


@dataclass(frozen=True, eq=False)
class TrainingJob:
    """A network, the windows it learns from, and how.

    Attributes
    ----------
    network : how to make it. loss, quantiles, constant : see :func:`objective_of`.
    train, validation : windows, usually over one table. settings : of the loop.
    """

    network: NetworkRecipe
    loss: str
    train: WindowTable
    validation: WindowTable | None
    settings: LoopSettings
    quantiles: tuple[float, ...] = ()
    constant: tuple[float, ...] = ()

    @property
    def objective(self) -> Objective:
        """The loss function."""
        return objective_of(self.loss, self.quantiles, self.constant)

    def identity(self, start: Mapping[str, torch.Tensor] | None = None) -> str:
        """SHA-256 of everything that decides what this job computes: two jobs with it come to the same parameters.

        The network's code is part of it, with what it uses of its own project, and so is the version of this package.

        Parameters
        ----------
        start : parameters it begins with instead of new ones.
        """
        factory = self.network.factory
        name = factory if isinstance(factory, str) else f"{factory.__module__}:{factory.__qualname__}"
        network = self.network.build()
        made_of = [self.network.made_by, *{type(part) for part in network.modules()}]
        told = [name, code_of(made_of), dict(self.network.arguments), self.network.seed]
        told += [self.loss, list(self.quantiles), list(self.constant), self.settings.decisive]
        if depends_on_pieces(network, Supervised(self.objective).validation, self.train):
            told.append(self.settings.accumulate)
        return identity_of(told, self.train, self.validation, start or {})

    def sample(self) -> TrainingJob:
        """The job without what only training needs: windows to validate on, and all but a sample of those to learn from."""
        sample = spread_rows(len(self.train), SAMPLED_WINDOWS)
        chosen = slice(None) if sample is None else torch.from_numpy(sample)
        last, length = self.train.last[chosen].long(), self.train.length
        bars = (last[:, None] - torch.arange(length - 1, -1, -1)).reshape(-1)
        told = {name: getattr(self.train, name) for name in ("y", "weight", "condition")}
        kept = {name: None if value is None else value[chosen] for name, value in told.items()}
        ends = torch.arange(1, len(last) + 1, dtype=torch.int32) * length - 1
        return replace(self, train=WindowTable(self.train.table[bars], ends, length, **kept), validation=None)

    def save(self, folder: Path) -> None:
        """Write the job as ``job.json`` and arrays beside it.

        Raises
        ------
        StorageError : the disk is full or the folder cannot be written.
        """
        try:
            self._save(folder)
        except OSError as error:
            full = error.errno is None  # numpy says how much was written where no more could be
            raise refusal(folder, "written", OSError(errno.ENOSPC, "disk full") if full else error) from error

    def _save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        parts = {"train": self.train, "validation": self.validation}
        same_table = self.validation is None or self.validation.table is self.train.table
        arrays: dict[str, list[str]] = {}
        np.save(folder / "table.npy", self.train.table.numpy())
        if not same_table:
            assert self.validation is not None
            np.save(folder / "validation_table.npy", self.validation.table.numpy())
        for part, windows in parts.items():
            if windows is None:
                continue
            arrays[part] = [name for name in ("last", "y", "weight", "condition") if getattr(windows, name) is not None]
            for name in arrays[part]:
                np.save(folder / f"{part}_{name}.npy", getattr(windows, name).numpy())
        told = {
            "network": {"factory": self.network.path, "arguments": dict(self.network.arguments), "seed": self.network.seed},
            "loss": self.loss,
            "quantiles": list(self.quantiles),
            "constant": list(self.constant),
            "length": self.train.length,
            "settings": asdict(self.settings),
            "arrays": arrays,
            "same_table": same_table,
        }
        put_file(folder / "job.json", json.dumps(told, indent=1).encode())

    @classmethod
    def load(cls, folder: Path) -> TrainingJob:
        """Read a job; its arrays stay on the disk and are read as they are needed.

        Raises
        ------
        ArtifactError : the folder holds no whole job.
        """
        try:
            told = json.loads((folder / "job.json").read_bytes())
            table = _mapped(folder / "table.npy")
            windows: dict[str, WindowTable] = {}
            for part, names in told["arrays"].items():
                apart = part == "validation" and not told["same_table"]
                mine = _mapped(folder / "validation_table.npy") if apart else table
                windows[part] = WindowTable(
                    mine, length=told["length"], **{name: _mapped(folder / f"{part}_{name}.npy") for name in names}
                )
            return cls(
                network=NetworkRecipe(**told["network"]),
                loss=told["loss"],
                quantiles=tuple(told["quantiles"]),
                constant=tuple(told["constant"]),
                train=windows["train"],
                validation=windows.get("validation"),
                settings=LoopSettings(**told["settings"]),
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ArtifactError(f"{folder} holds no whole training job: {error}.") from error


def _found(path: str) -> Callable[..., nn.Module]:
    module, _, name = path.partition(":")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ModelError(f"the network '{path}' cannot be imported: {error}.") from error


def _mapped(path: Path) -> torch.Tensor:
    return torch.from_numpy(np.load(path, mmap_mode="c"))
