"""Waiting for what takes processes unequally long, such as files on a slow store, without a time-out for those that work."""

from __future__ import annotations

import pickle
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from itertools import count
from typing import Any

import torch
import torch.distributed as dist

__all__ = ["PatientRound"]

_SHORTEST = 0.05
"""Seconds of one look."""


class PatientRound:
    """Every process does something by itself, and then has what came of it on all of them.

    An exchange of PyTorch's ends all where one process is late by ``timeout`` seconds. Here a process that is at work gives a
    sign of life through the store in which the processes met, and is waited for as long as it does.

    Parameters
    ----------
    timeout : seconds without a sign of life after which a process is missing.
    """

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self.rank, self.world = dist.get_rank(), dist.get_world_size()
        self._store = dist.distributed_c10d._get_default_store()
        self._name = f"patience/{self._store.add(f'patience/{self.rank}', 1)}"  # the same on every process
        self._rounds = count()

    def __call__(self, what: Callable[[], Any]) -> list[Any]:
        """What ``what`` gives on each process, in the order of their numbers; every process calls it.

        Raises
        ------
        Exception : the first that was raised by ``what``, on every process. DistStoreError : a process gave no sign of life.
        """
        name = f"{self._name}/{next(self._rounds)}"
        keys = [f"{name}/{rank}" for rank in range(self.world)]
        outcome: tuple[Any, Exception | None] = (None, None)
        with self._signs_of_life(keys[self.rank]):
            try:
                outcome = what(), None
            except Exception as error:  # noqa: BLE001 - raised below, here and on every other process
                outcome = None, error
        self._store.set(keys[self.rank], pickle.dumps(outcome))  # type: ignore[arg-type]
        outcomes = [pickle.loads(self._awaited(rank, key)) for rank, key in enumerate(keys)]  # noqa: S301 - of our processes
        dist.all_reduce(torch.zeros(1))  # all have read: keys may go, and so may the process that keeps the store
        for kind in ("", "/sign"):
            self._store.delete_key(f"{keys[self.rank]}{kind}")
        for _, failure in outcomes:
            if failure is not None:
                raise failure
        return [value for value, _ in outcomes]

    def _awaited(self, rank: int, key: str) -> bytes:
        sign, since = b"", time.monotonic()
        while True:
            try:
                self._store.wait([key], timedelta(seconds=self._look))
                return self._store.get(key)
            except dist.DistStoreError as error:
                heard = self._store.get(f"{key}/sign") if self._store.check([f"{key}/sign"]) else b""
                if heard != sign:
                    sign, since = heard, time.monotonic()
                elif time.monotonic() - since > self.timeout:
                    raise dist.DistStoreError(f"process {rank} gave no sign of life for {self.timeout:g} s") from error

    @property
    def _look(self) -> float:
        return max(_SHORTEST, min(1.0, self.timeout / 8))

    @contextmanager
    def _signs_of_life(self, key: str) -> Iterator[None]:
        over = threading.Event()

        def give() -> None:
            with suppress(RuntimeError):  # where the store is gone, the process finds so by itself
                for number in count():
                    if over.wait(self._look):
                        return
                    self._store.set(f"{key}/sign", str(number))

        thread = threading.Thread(target=give, name="signs of life", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
