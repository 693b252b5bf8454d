"""A network whose code was changed is another network; one whose code says the same is the same, in any process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from huracan.training.code_identity import code_of
from huracan.training.objectives import huber_loss, squared_error

_NETWORK = """
from torch import nn
import {package}_parts as parts
from {package}_parts import last

SCALE = 1.0
WAYS = {{"plain": parts.plain, "other": [lambda x: x * 3, lambda x: x * 4]}}

class Base(nn.Module):
    def out(self, x):
        return self.map(x)

class Net(Base):
    sign = 1.0

    def __init__(self, n_features, window, n_outputs):
        super().__init__()
        self.map, self.gate = nn.Linear(n_features, n_outputs), parts.Gate()

    def forward(self, x):
        kept = {{"a", "b", "c"}}  # of which every process has an order of its own
        return WAYS["plain"](self.gate(self.out(last(x)))) * SCALE * self.sign * len(kept) / 3
"""
_PARTS = """
from torch import nn

def shifted(x):
    return x + 0.0

def last(x):
    return shifted(x[:, -1])

def plain(x):
    return x + 2.0

class Gate(nn.Module):
    def forward(self, x):
        return x * 1.0
"""
_CHANGES = {
    "method": ("self.gate(self.out(last(x)))", "self.gate(self.out(last(x))) * 2"),
    "base": ("return self.map(x)", "return -self.map(x)"),
    "constant of the module": ("SCALE = 1.0", "SCALE = 2.0"),
    "constant of the class": ("sign = 1.0", "sign = -1.0"),
    "part that is built in": ("return x * 1.0", "return x * 2.0"),
    "function in a table": ("x + 2.0", "x + 3.0"),
    "second of two functions without a name": ("x * 4", "x * 5"),
    "function it calls": ("shifted(x[:, -1])", "shifted(x[:, 0])"),
    "function that this one calls": ("x + 0.0", "x + 1.0"),
}


def _write(folder: Path, package: str, old: str = "", new: str = "") -> None:
    for name, text in ((package, _NETWORK.format(package=package)), (f"{package}_parts", _PARTS)):
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.py").write_text(text.replace(old, new) if old else text)


def _identity(folder: Path, package: str, seed: str = "0") -> str:
    code = (
        f"import {package}, torch; from huracan.training import LoopSettings, WindowTable\n"
        "from huracan.training.job import NetworkRecipe, TrainingJob\n"
        "rows = WindowTable(torch.ones(4, 1), torch.arange(4, dtype=torch.int32), 1, y=torch.ones(4, 1))\n"
        f"recipe = NetworkRecipe({package}.Net, dict(n_features=1, window=1, n_outputs=1))\n"
        "print(TrainingJob(recipe, 'squared_error', rows, None, LoopSettings()).identity())"
    )
    path = os.pathsep.join([str(folder), *sys.path])
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": seed, "OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True).stdout


@pytest.mark.slow
def test_the_same_code_is_the_same_in_every_process_wherever_it_lies_and_whatever_is_remarked(tmp_path: Path) -> None:
    _write(tmp_path / "a", "mine")
    _write(tmp_path / "b", "mine", "def last(x):", "# the last bar of all\n\ndef last(x):")
    assert _identity(tmp_path / "a", "mine", "1") == _identity(tmp_path / "b", "mine", "2")


@pytest.mark.parametrize("change", _CHANGES)
def test_any_change_of_what_a_network_runs_is_another_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    told = set()
    for number, changed in enumerate([("", ""), _CHANGES[change]]):
        _write(tmp_path / str(number), "mine_too", *changed)
        with monkeypatch.context() as patch:
            patch.syspath_prepend(str(tmp_path / str(number)))
            for name in ("mine_too", "mine_too_parts"):
                patch.delitem(sys.modules, name, raising=False)
            network = __import__("mine_too").Net
            told.add(code_of([network, *{type(part) for part in network(1, 1, 1).modules()}]))
            for name in ("mine_too", "mine_too_parts"):
                del sys.modules[name]
    assert len(told) == 2


def test_running_code_does_not_change_what_it_is_known_by() -> None:
    import copy

    from torch import nn

    from huracan.models.networks.lstm import LSTMNetwork

    network = LSTMNetwork(2, 4, 1, hidden=4)
    types = [LSTMNetwork, *{type(part) for part in network.modules()}, counted]
    before = code_of(types)
    copy.deepcopy(network)  # for which Python notes something in the classes
    counted()
    assert code_of(types) == before
    assert code_of([LSTMNetwork, nn.LSTM]) == code_of([LSTMNetwork])  # PyTorch's code is no part of it


_CALLS = 0


def counted() -> int:
    """What keeps count of its calls."""
    global _CALLS
    _CALLS += 1
    return _CALLS


def test_functions_are_told_apart_by_what_they_do() -> None:
    def scaled(by: float) -> object:
        return lambda x: x * by

    assert code_of([squared_error]) != code_of([huber_loss])
    assert code_of([scaled(1.0)]) == code_of([scaled(1.0)])
    assert code_of([scaled(1.0)]) != code_of([scaled(2.0)])


@pytest.mark.slow
def test_changed_code_does_not_get_the_parameters_of_the_code_before(tmp_path: Path) -> None:
    """The same call after an edit trains; the same call again finds its training."""
    script = (
        "import sys, numpy as np, edited\n"
        "from huracan.models import network_learner\n"
        "from huracan.catalogue import build_model, register_learner\n"
        "register_learner(network_learner(name='edited', purpose='a test', ideal_dataset_shape='(10+ rows, 1+ features)',\n"
        "    network=edited.Net, defaults={'window': 2}, meanings={}))\n"
        "x = np.random.default_rng(0).standard_normal((200, 1))\n"
        "model = build_model('edited', max_epochs=2, checkpoints=sys.argv[1]).fit(x, x[:, 0])\n"
        "print(model.training_.resumed_from, float(model.predict(x)[5]))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path]), "OMP_NUM_THREADS": "1"}

    def fitted() -> tuple[str, float]:
        command = [sys.executable, "-c", script, str(tmp_path / "checkpoints")]
        resumed, value = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.split()
        return resumed, float(value)

    _write(tmp_path, "edited")
    first, again = fitted(), fitted()
    assert (first[0], again) == ("None", (again[0], first[1]))
    assert again[0] != "None"
    _write(tmp_path, "edited", "x[:, -1]", "x[:, 0]")
    changed = fitted()
    assert changed[0] == "None"
    assert not np.isclose(changed[1], first[1])
