"""Two hosts on one machine: network namespaces, joined by a pair of virtual Ethernet devices. Needs root."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Host", "two_hosts"]

_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Host:
    """A namespace, its network device and its address."""

    name: str
    device: str
    address: str

    def train(self, problem: dict[str, Any], config: dict[str, Any]) -> subprocess.Popen[str]:
        """Start this host's part of a training."""
        own = {**config, "local_address": self.address}
        words = [sys.executable, "-m", "benchmarks.distributed_checks.host", json.dumps(problem), json.dumps(own)]
        path = os.pathsep.join([str(_ROOT), str(_ROOT / "src")])
        environment = {**os.environ, "PYTHONPATH": path, "GLOO_SOCKET_IFNAME": self.device, "OMP_NUM_THREADS": "1"}
        command = ["ip", "netns", "exec", self.name, *words]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def kill(self) -> None:
        """End everything on this host at once, as a power cut would."""
        told = subprocess.run(["ip", "netns", "pids", self.name], capture_output=True, text=True, check=True).stdout
        for pid in told.split():
            try:
                os.kill(int(pid), signal.SIGKILL)
            except ProcessLookupError:
                continue


@contextmanager
def two_hosts() -> Iterator[tuple[Host, Host]]:
    """Two hosts that reach each other, and nothing else."""
    mark = os.getpid() % 10_000
    hosts = (Host(f"huracan-a{mark}", f"hua{mark}", "10.213.7.1"), Host(f"huracan-b{mark}", f"hub{mark}", "10.213.7.2"))
    try:
        for host in hosts:
            _ip("netns", "add", host.name)
        _ip("link", "add", hosts[0].device, "type", "veth", "peer", "name", hosts[1].device)
        for host in hosts:
            _ip("link", "set", host.device, "netns", host.name)
            _ip("-n", host.name, "addr", "add", f"{host.address}/24", "dev", host.device)
            _ip("-n", host.name, "link", "set", "lo", "up")
            _ip("-n", host.name, "link", "set", host.device, "up")
        yield hosts
    finally:
        for host in hosts:
            if Path(f"/var/run/netns/{host.name}").exists():
                host.kill()
                _ip("netns", "delete", host.name)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
