"""Logs: silent until asked, complete in the file."""

from __future__ import annotations

import json
import logging
import warnings
from pathlib import Path

import pytest

from huracan.logs import logger, run_log, stage


def test_silent_without_a_handler(capsys: pytest.CaptureFixture[str]) -> None:
    logger().error("nobody listens")
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


def test_every_event_carries_run_stage_symbol_and_durations(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "log.jsonl"
    with run_log(file, run_id="r1"):
        with stage("features", symbol="BTC-USD") as log:
            log.debug("computed", columns=4)
        logger().warning("look here")
    events = [json.loads(line) for line in file.read_text().splitlines()]
    assert [e["event"] for e in events] == ["stage started", "computed", "stage finished", "look here"]
    assert all(e["run_id"] == "r1" and e["timestamp"].endswith("Z") for e in events)
    assert all(e["stage"] == "features" and e["symbol"] == "BTC-USD" for e in events[:3])
    assert events[2]["duration"] >= 0 and "stage" not in events[3]
    shown = capsys.readouterr().err
    assert "look here" in shown and "computed" not in shown


def test_a_failing_stage_is_written_down_and_raises_on(tmp_path: Path) -> None:
    with run_log(tmp_path / "log.jsonl", run_id="r"), pytest.raises(ZeroDivisionError), stage("risky"):
        _ = 1 / 0
    last = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1])
    assert (last["event"], last["kind"]) == ("stage failed", "ZeroDivisionError")


def test_warnings_of_others_go_to_the_file_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = warnings.showwarning
    with warnings.catch_warnings(), run_log(tmp_path / "log.jsonl", run_id="r"):
        warnings.simplefilter("always")
        warnings.showwarning = logging._showwarning  # pytest records warnings itself; a plain process does this
        warnings.warn("from elsewhere", UserWarning, stacklevel=1)
    assert "from elsewhere" in (tmp_path / "log.jsonl").read_text()
    assert "from elsewhere" not in capsys.readouterr().err
    assert warnings.showwarning is before
