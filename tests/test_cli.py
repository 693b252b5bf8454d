"""The command line: checks before it works, one sentence for every end, plain lines where nobody watches."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from huracan.preprocessing import FeatureRecipe

Huracan = Callable[..., subprocess.CompletedProcess[str]]

STOPPED = "huracan: stopped; the same command goes on where it stopped.\n"
PROFILE_UNKNOWN = "huracan: profile 'quik' is not among quick, standard, full; did you mean 'quick'?"


def _environment(home: Path) -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if not k.startswith("HURACAN")} | {"HURACAN_HOME": str(home)}


def _process(*words: str, home: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "huracan", *words],
        capture_output=True,
        text=True,
        env=_environment(home),
        cwd=home,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("profiles: {quick: {learners: {rigde: {}}}}", "profiles.quick.learners.rigde: unknown learner 'rigde'; did you mean"),
        ("profiles: {full: {learners: {ridge: {params: {alfa: 3}}}}}", "hyperparameter of ridge 'alfa'; did you mean 'alpha'?"),
        ("features: {recipe: nowhere.json}", "features.recipe is 'nowhere.json': No such file"),
        ("features: {recipe: wrong.yaml}", "features.recipe is 'wrong.yaml': a feature recipe was expected as JSON"),
        ("features: {recipe: binary.json}", "features.recipe is 'binary.json': "),
        ("registry: {url: nonsense}", "registry.url is 'nonsense': 'nonsense' is not a database URL"),
        ("seed: true", "line 1: 'seed' is True"),
        ("profile: quik", "line 1: profile 'quik' is not among quick, standard, full; did you mean 'quick'?"),
        ("data: {simulation: {signal_strength: 3.5}}", "line 1: 'data.simulation.signal_strength' is 3.5"),
    ],
)
def test_validate_refuses_what_a_run_would(huracan: Huracan, tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "wrong.yaml").write_text(text)
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    done = huracan("config", "validate", "wrong.yaml")
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert done.stderr.startswith("huracan: ") and done.stderr.count("\n") == 1


def test_a_mistaken_key_is_told_before_what_judges_learners_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "wrong.yaml").write_text("seed: true")
    program = """
import sys
from huracan.cli import main
try:
    main()
except SystemExit as end:
    print(end.code, "huracan.catalogue" in sys.modules, "huracan.integration" in sys.modules)
"""
    words = [sys.executable, "-c", program, "config", "validate", "wrong.yaml"]
    done = subprocess.run(words, capture_output=True, text=True, env=_environment(tmp_path), cwd=tmp_path, check=False)
    assert done.stdout == "2 False False\n", done.stderr


def test_validate_accepts_what_is_right_and_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "recipe.json").write_text(FeatureRecipe.minimal().to_json())
    text = "features: {recipe: recipe.json}\nregistry: {url: 'sqlite:///r.db'}\nprofiles: {quick: {n_splits: 3}}\n"
    (tmp_path / "right.yaml").write_text(text)
    done = _process("config", "validate", "right.yaml", home=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "valid; profile quick with 15 learners" in done.stdout
    assert {file.name for file in tmp_path.iterdir()} == {"recipe.json", "right.yaml"}


@pytest.mark.parametrize(
    ("words", "code", "shown"),
    [
        (("--help",), 0, "Usage: "),
        ((), 2, "Usage: "),
        (("version",), 0, "."),
        (("nonsense",), 2, "No such command 'nonsense'"),
        (("run", "--sede", "3"), 2, "No such option"),
        (("run", "--profile", "quik"), 2, PROFILE_UNKNOWN),
    ],
)
def test_every_end_has_its_code_and_no_traceback(huracan: Huracan, words: tuple[str, ...], code: int, shown: str) -> None:
    done = huracan(*words)
    assert done.returncode == code
    assert shown in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_a_process_ends_as_the_command_does(huracan: Huracan, tmp_path: Path) -> None:
    words = ("run", "--profile", "quik")
    alone, here = _process(*words, home=tmp_path), huracan(*words)
    assert (alone.returncode, alone.stdout, alone.stderr) == (here.returncode, here.stdout, here.stderr)
    assert alone.stderr.startswith(PROFILE_UNKNOWN) and alone.stderr.count("\n") == 1


_ALL_THERE = (
    "import sys, time, huracan.cli as c, huracan.cli.running as r; "
    "r.{name} = lambda *a, **k: (print('here', flush=True), time.sleep(30)); c.main()"
)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_command_stopped_before_the_job_begins_says_so(tmp_path: Path, how: signal.Signals) -> None:
    program = _ALL_THERE.format(name="load")
    process = subprocess.Popen(
        [sys.executable, "-c", program, "run"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=_environment(tmp_path),
    )
    assert process.stdout is not None and process.stdout.readline() == "here\n"
    process.send_signal(how)
    _, said = process.communicate(timeout=30)
    assert (process.returncode, said) == (130, STOPPED)


@pytest.mark.parametrize("delay", [0.8, 1.5])
def test_ctrl_c_is_one_sentence_whenever_it_comes(tmp_path: Path, delay: float) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "huracan", "run"], stderr=subprocess.PIPE, text=True, env=_environment(tmp_path)
    )
    time.sleep(delay)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.endswith(STOPPED)
    assert "Traceback" not in said


def test_ctrl_c_while_the_command_itself_is_loaded() -> None:
    program = """
import sys
class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == "typer":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupt())
from huracan.__main__ import main
main()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, STOPPED)


def test_a_run_that_nobody_watches_prints_plain_lines(tmp_path: Path) -> None:
    config = """
features: {recipe: minimal}
data: {simulation: {n_bars: 900, n_symbols: 2}}
profile: tiny
profiles: {tiny: {n_splits: 3, learners: {majority: {}, ridge: {}, decision_tree: {}}}}
"""
    (tmp_path / "c.yaml").write_text(config)
    done = _process("run", "--config", "c.yaml", home=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    assert all(line.startswith("huracan: ") and "% done, " in line for line in lines)
    assert lines and lines[-1].startswith("huracan: 100 % done")
    assert "\x1b" not in done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith("Report: ")
