"""``python -m benchmarks [name ...]``: run every benchmark of this folder, or those named.

A benchmark is a module with ``main() -> str``: it checks parity, raises where a number is wrong, and returns the
markdown that goes to ``results/<name>.md``; ``ShortOfBar`` brings its page along. One that lacks its data raises
``FileNotFoundError`` and is skipped aloud.
"""

from __future__ import annotations

import sys
import time
from importlib import import_module
from pathlib import Path

from benchmarks import ShortOfBar, write_result


def run(names: list[str]) -> int:
    """Run the benchmarks named, all where none is; returns the exit code."""
    known = sorted(p.stem for p in Path(__file__).parent.glob("*.py") if not p.stem.startswith("_"))
    unknown = [name for name in names if name not in known]
    if unknown:
        print(f"no benchmark is named '{unknown[0]}'; known: {', '.join(known)}.", file=sys.stderr)
        return 2
    failed = False
    for name in names or known:
        started = time.perf_counter()
        try:
            text = import_module(f"benchmarks.{name}").main()
        except FileNotFoundError as missing:
            print(f"{name}: skipped, {missing}")
            continue
        except ShortOfBar as short:
            print(f"{name}: FAILED, {short}; written to {write_result(name, short.page)}", file=sys.stderr)
            failed = True
            continue
        except AssertionError as wrong:
            print(f"{name}: FAILED, {wrong}", file=sys.stderr)
            failed = True
            continue
        path = write_result(name, text)
        print(f"{name}: {time.perf_counter() - started:.1f} s, written to {path}\n\n{text}\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
