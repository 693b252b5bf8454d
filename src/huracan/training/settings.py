"""How a network is trained: the settings of the loop, checked once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from numbers import Integral, Real
from typing import Any, Literal

from huracan.errors import ModelError

__all__ = ["LoopSettings"]

Precision = Literal["float32", "float64", "bfloat16"]
Schedule = Literal["cosine", "constant"]

_WITHOUT_EFFECT = frozenset({"accumulate", "checkpoint_every", "compile"})


@dataclass(frozen=True, kw_only=True)
class LoopSettings:
    """Settings of one training.

    Parameters
    ----------
    max_epochs : most passes over the training windows. max_steps : most optimizer steps; None is no limit.
    batch_size : windows an optimizer step, over all devices together. accumulate : pieces a batch is computed in, one
        after the other, where it does not fit into memory; dropout draws for each piece, so other pieces draw other numbers.
    learning_rate, weight_decay : of AdamW. schedule : ``"cosine"`` falls to zero over all steps, ``"constant"`` does not.
    warmup_share : share of all steps over which the rate rises from zero.
    clip_norm : the norm the gradient is cut at; None leaves it.
    precision : ``"bfloat16"`` computes forward and backward in mixed precision and keeps parameters in float32.
    patience : epochs without a lower validation loss after which training stops; None goes on to the end.
    averaging : weight of the past in an exponential average of the parameters that is validated and kept instead of the
        last ones; 0 is none.
    compile : let ``torch.compile`` make kernels for the network.
    checkpoint_every : steps between checkpoints, where there is a folder for them.
    seed : of the order of the batches, of dropout and of whatever a task draws.

    Raises
    ------
    ModelError : a value is out of bounds; the message names it.

    Examples
    --------
    >>> LoopSettings(batch_size=64).batch_size
    64
    >>> LoopSettings(batch_size=10, accumulate=4)
    Traceback (most recent call last):
    ...
    huracan.errors.ModelError: accumulate is 4, which does not divide the batch_size of 10.
    """

    max_epochs: int = 20
    max_steps: int | None = None
    batch_size: int = 256
    accumulate: int = 1
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    schedule: Schedule = "cosine"
    warmup_share: float = 0.05
    clip_norm: float | None = 1.0
    precision: Precision = "float32"
    patience: int | None = 5
    averaging: float = 0.0
    compile: bool = False
    checkpoint_every: int = 500
    seed: int = 0

    def __post_init__(self) -> None:
        for field in fields(self):  # numbers of NumPy, as a grid holds them, become plain ones, which JSON has
            value = getattr(self, field.name)
            if not isinstance(value, bool) and isinstance(value, Real):
                object.__setattr__(self, field.name, int(value) if isinstance(value, Integral) else float(value))
        whole = {"max_epochs": 1, "batch_size": 1, "accumulate": 1, "checkpoint_every": 1}
        for name, least in whole.items():
            _require_whole(name, getattr(self, name), least)
        for name in ("max_steps", "patience"):
            if getattr(self, name) is not None:
                _require_whole(name, getattr(self, name), 1)
        _require_number("learning_rate", self.learning_rate, lambda x: 0.0 < x < float("inf"), "a number above 0")
        _require_number("weight_decay", self.weight_decay, lambda x: 0.0 <= x < float("inf"), "a number from 0")
        _require_number("warmup_share", self.warmup_share, lambda x: 0.0 <= x < 1.0, "a share from 0 to below 1")
        _require_number("averaging", self.averaging, lambda x: 0.0 <= x < 1.0, "a weight from 0 to below 1")
        if self.clip_norm is not None:
            _require_number("clip_norm", self.clip_norm, lambda x: x > 0.0, "a number above 0, or none,")
        _require(isinstance(self.compile, bool), "compile", self.compile, "True or False")
        _require(self.schedule in ("cosine", "constant"), "schedule", self.schedule, "'cosine' or 'constant'")
        precisions = ("float32", "float64", "bfloat16")
        _require(self.precision in precisions, "precision", self.precision, "'float32', 'float64' or 'bfloat16'")
        if self.batch_size % self.accumulate:
            raise ModelError(f"accumulate is {self.accumulate}, which does not divide the batch_size of {self.batch_size}.")

    @property
    def decisive(self) -> dict[str, Any]:
        """Those of the settings that decide what is computed by every network, rounding left aside.

        ``accumulate`` decides where :func:`~huracan.training.randomness.depends_on_pieces` says so.
        """
        return {name: value for name, value in asdict(self).items() if name not in _WITHOUT_EFFECT}


def _require_whole(name: str, value: Any, least: int) -> None:
    fits = isinstance(value, int) and not isinstance(value, bool) and value >= least
    _require(fits, name, value, f"a whole number from {least}")


def _require_number(name: str, value: Any, fits: Callable[[float], bool], expected: str) -> None:
    _require(isinstance(value, int | float) and not isinstance(value, bool) and fits(value), name, value, expected)


def _require(holds: bool, name: str, value: Any, expected: str) -> None:
    if not holds:
        raise ModelError(f"{name} is {value!r}; {expected} was expected.")
