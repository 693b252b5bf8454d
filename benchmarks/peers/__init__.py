"""Peers: other libraries, each in a virtual environment of its own, so that no requirement of theirs touches ours.

An environment is made once, under ``$XDG_CACHE_HOME/huracan-benchmarks/<name>`` (``~/.cache`` where that is not set), and made
again when the requirements change. What runs in it is a script, told its files by path; the two sides share nothing else.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path

from huracan.memory import KEPT

__all__ = ["KEEPS_FREED_MEMORY", "peer_python", "run_peer"]

KEEPS_FREED_MEMORY = {
    "MALLOC_TRIM_THRESHOLD_": str(KEPT),
    "MALLOC_TOP_PAD_": str(KEPT // 8),
    "MALLOC_MMAP_THRESHOLD_": str(2**25),
}
"""What :mod:`huracan.memory` asks the allocator for, in the words a peer's process understands."""

_LAY_OVER = (
    "import pathlib, sysconfig; pathlib.Path(sysconfig.get_path('purelib'), 'ours.pth').write_text({0!r}, encoding='utf-8')"
)
_HERE = Path(__file__).resolve().parent


def peer_python(name: str, requirements: list[str], *, over_ours: bool = False) -> Path:
    """The Python of a peer's environment, installed the first time.

    Parameters
    ----------
    name : folder of the environment.
    requirements : as pip takes them, versions pinned.
    over_ours : what is installed here can be imported there too, so that both sides run on the very same PyTorch.

    Raises
    ------
    FileNotFoundError : it cannot be installed here (no network, no wheel); ``python -m benchmarks`` then skips the
        benchmark and says so.
    """
    folder = _cache() / name
    python, done = folder / "bin" / "python", folder / "requirements.txt"
    wanted = "\n".join(requirements)
    if done.is_file() and python.exists() and done.read_text(encoding="utf-8") == wanted:
        return python
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    quiet = ("-q", "--disable-pip-version-check")
    ours = _LAY_OVER.format(sysconfig.get_path("purelib")) if over_ours else "pass"
    for words in (
        [sys.executable, "-m", "venv", str(folder)],
        [str(python), "-c", ours],
        [str(python), "-m", "pip", "install", *quiet, *requirements],
    ):
        try:
            found = subprocess.run(words, capture_output=True, text=True, check=False, timeout=900)
        except subprocess.TimeoutExpired as late:
            raise FileNotFoundError(f"peer '{name}' ({', '.join(requirements)}) was not installed within 15 minutes.") from late
        if found.returncode != 0:
            said = (found.stderr.strip() or found.stdout.strip() or "nothing was said").splitlines()[-1]
            raise FileNotFoundError(f"peer '{name}' ({', '.join(requirements)}) cannot be installed: {said}")
    done.write_text(wanted, encoding="utf-8")  # last: an installation cut short is made again
    return python


def run_peer(
    python: Path, script: str, *words: str, timeout: float = 1_800.0, environment: Mapping[str, str] | None = None
) -> str:
    """Run a script of this folder with a peer's Python, on one thread; gives what it printed.

    ``environment`` is set on top of this process's own.

    Raises
    ------
    AssertionError : it failed (the last line it wrote to stderr is in the message), or took longer than ``timeout`` seconds.
    """
    command: Sequence[str] = [str(python), str(_HERE / script), *words]
    try:
        found = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=timeout, env={**_one_thread(), **(environment or {})}
        )
    except subprocess.TimeoutExpired as late:
        raise AssertionError(f"{script} was not done within {timeout:g} seconds.") from late
    if found.returncode != 0:
        said = (found.stderr.strip() or "nothing was said").splitlines()[-1]
        raise AssertionError(f"{script} ended with {found.returncode}: {said}")
    return found.stdout


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "huracan-benchmarks"


def _one_thread() -> dict[str, str]:
    threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS", "NUMEXPR_NUM_THREADS")
    return {**os.environ, **dict.fromkeys(threads, "1")}
