"""Shards of a checkpoint on disk, written and read by processes that wait for each other as long as it takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch.distributed.checkpoint import FileSystemReader, FileSystemWriter
from torch.futures import Future

from huracan.training.runtime import Runtime

__all__ = ["ShardReader", "ShardWriter"]


class ShardWriter(FileSystemWriter):
    """PyTorch's, which exchanges what was written only once every process has written: a large shard outlasts a time-out."""

    def __init__(self, folder: Path, runtime: Runtime) -> None:
        super().__init__(folder)
        self.runtime = runtime

    def write_data(self, plan: Any, planner: Any) -> Future[Any]:
        """Write this process's shards."""
        written: list[Future[Any]] = []

        def write() -> None:
            written.append(FileSystemWriter.write_data(self, plan, planner))
            written[0].wait()

        self.runtime.each(write)
        return written[0]


class ShardReader(FileSystemReader):
    """PyTorch's, which goes on only once every process has read."""

    def __init__(self, folder: Path, runtime: Runtime) -> None:
        super().__init__(folder)
        self.runtime = runtime

    def read_data(self, plan: Any, planner: Any) -> Future[None]:
        """Read what this process needs."""
        read: list[Future[None]] = []

        def do_read() -> None:
            read.append(FileSystemReader.read_data(self, plan, planner))
            read[0].wait()

        self.runtime.each(do_read)
        return read[0]
