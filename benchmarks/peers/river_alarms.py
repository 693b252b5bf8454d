"""River's detectors on the streams of ``alarm_streams.py``; runs in River's environment: ``python river_alarms.py [ROUNDS]``.

Prints JSON: River's version, the hash of each stream, rows of alarms and spans of warnings by stream, detector and settings,
and, where ``ROUNDS`` is given, numbers a second at River's default settings (the best of so many rounds). Without ``ROUNDS`` it
prints what ``tests/mlops/river_alarms.json`` keeps.
"""

from __future__ import annotations

import hashlib
import json
import struct
import sys
import time
from importlib.metadata import version

from alarm_streams import SETTINGS, streams
from river.drift import ADWIN, PageHinkley
from river.drift.binary import DDM

KINDS = {"PageHinkley": PageHinkley, "Adwin": ADWIN, "DDM": DDM}


def alarms(detector: object, stream: list[float]) -> tuple[list[int], list[list[int]]]:
    """Rows of alarms, and spans of warnings, each from a row up to another."""
    rows: list[int] = []
    spans: list[list[int]] = []
    for row, x in enumerate(stream):
        detector.update(x)
        if detector.drift_detected:
            rows.append(row)
        if getattr(detector, "warning_detected", False):
            if spans and spans[-1][1] == row:
                spans[-1][1] = row + 1
            else:
                spans.append([row, row + 1])
    return rows, spans


def main(rounds: int = 0) -> None:
    """Run every detector with every setting on every stream it is for."""
    given = streams()
    told = {
        name: [
            {
                "detector": kind,
                "settings": settings,
                **dict(zip(("alarms", "warnings"), alarms(KINDS[kind](**settings), stream))),
            }
            for kind, all_settings in SETTINGS.items()
            if kind != "DDM" or set(stream) == {0.0, 1.0}
            for settings in all_settings
        ]
        for name, stream in given.items()
    }
    rates = {}
    for kind in KINDS if rounds else ():
        stream = given["errors, rate moves" if kind == "DDM" else "normal, mean moves"]
        seconds = []
        for _ in range(rounds):
            detector, began = KINDS[kind](), time.process_time()
            for x in stream:
                detector.update(x)
            seconds.append(time.process_time() - began)
        rates[kind] = len(stream) / min(seconds)
    hashes = {name: hashlib.sha256(struct.pack(f"<{len(s)}d", *s)).hexdigest() for name, s in given.items()}
    page = {"river": version("river"), "streams": hashes, "runs": told}
    print(json.dumps(page if not rounds else {**page, "rates": rates}))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
