"""The loss of every step on disk: 8 bytes a step, each written once, however many checkpoints a training makes."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from huracan.errors import ArtifactError

__all__ = ["StepLosses"]

_TYPE = np.dtype("<f8")


class StepLosses:
    """A file that only grows; a checkpoint says how much of its beginning it means, and the SHA-256 of that.

    What lies behind is of a training that was killed, and is written over.

    Parameters
    ----------
    path : of the file.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as home:
    ...     losses = StepLosses(Path(home) / "losses.f64")
    ...     first, second = losses.put([0.5, 0.25]), losses.put([0.5, 0.25, 0.125])
    ...     losses.read(first), losses.read(second)
    ([0.5, 0.25], [0.5, 0.25, 0.125])
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._count, self._digest = 0, sha256()

    def put(self, losses: Sequence[float]) -> dict[str, Any]:
        """Write those that are new since the last call or :meth:`read`, and flush them to the disk; says what a checkpoint
        must know.

        Parameters
        ----------
        losses : of all steps so far, beginning with those of the last call.
        """
        if len(losses) < self._count:
            self._count, self._digest = 0, sha256()
        new = np.asarray(losses[self._count :], _TYPE).tobytes()
        with self.path.open("r+b" if self.path.exists() else "xb") as file:
            file.seek(self._count * _TYPE.itemsize)
            file.write(new)
            file.flush()
            os.fsync(file.fileno())
        self._digest.update(new)
        self._count = len(losses)
        return {"count": self._count, "sha256": self._digest.hexdigest()}

    def read(self, told: Mapping[str, Any]) -> list[float]:
        """What :meth:`put` was given when it said ``told``.

        Raises
        ------
        ArtifactError : it is not there any more, or damaged.
        """
        try:
            with self.path.open("rb") as file:
                content = file.read(int(told["count"]) * _TYPE.itemsize)
        except OSError as error:
            raise ArtifactError(f"{self.path} cannot be read: {error.strerror}.") from error
        digest = sha256(content)
        if digest.hexdigest() != told["sha256"]:
            raise ArtifactError(f"{self.path} is damaged: the SHA-256 of its first {told['count']} losses is another one.")
        self._count, self._digest = len(content) // _TYPE.itemsize, digest
        return np.frombuffer(content, _TYPE).tolist()
