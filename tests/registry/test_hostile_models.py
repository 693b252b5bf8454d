"""Files made to attack: none runs anything, each is refused in a sentence before anything of it is built."""

from __future__ import annotations

import contextlib
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from benchmarks.registry_checks.attacks import attack_everything
from benchmarks.registry_checks.hostile_files import call, node, rewritten, text
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge
from sklearn.tree import DecisionTreeRegressor

from huracan.errors import ArtifactError
from huracan.registry import dump_model, load_model
from huracan.registry.sklearn_format import dump_sklearn, load_sklearn

X = np.random.default_rng(0).standard_normal((100, 3))
RIDGE = dump_sklearn(Ridge().fit(X, X[:, 0]))
TREE = dump_sklearn(DecisionTreeRegressor(max_depth=3).fit(X, X[:, 0]))
Schema = dict[str, Any]


def test_no_way_of_calling_something_is_open(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    attacks = [
        *call("os.system", f"touch {mark}"),
        *call("subprocess.Popen", ["touch", str(mark)]),
        *call("builtins.eval", f"open({str(mark)!r}, 'w')"),
        *call("pathlib.Path", str(mark)),
    ]
    for attack in attacks:
        for protocol in (0, 1, 2):

            def plant(schema: Schema, _files: dict[str, bytes], attack: Schema = attack, protocol: int = protocol) -> None:
                schema["protocol"] = protocol
                schema["content"]["content"]["alpha"] = attack

            with pytest.raises(ArtifactError, match=r"the stored model is refused|cannot be rebuilt"):
                load_sklearn(rewritten(RIDGE, plant))
    assert not mark.exists()


def test_the_whole_corpus_is_refused_runs_nothing_and_leaves_nothing_outside_the_store(tmp_path: Path) -> None:
    for attack in attack_everything(tmp_path):
        assert (attack.refused, attack.executions, attack.escaped) == (attack.attempts, 0, 0), attack


def test_a_call_at_the_root_is_refused_too(tmp_path: Path) -> None:
    for attack in call("os.system", f"touch {tmp_path / 'mark'}"):

        def replace(schema: Schema, _files: dict[str, bytes], attack: Schema = attack) -> None:
            schema.clear()
            schema.update(attack, protocol=2)

        with pytest.raises(ArtifactError):
            load_sklearn(rewritten(RIDGE, replace))
    assert not (tmp_path / "mark").exists()


def test_our_list_is_stricter_than_what_skops_trusts_by_itself() -> None:
    from sklearn.manifold import Isomap

    model = Isomap(n_components=2).fit(X)
    data = skops.io.dumps(model)
    assert "sklearn.manifold._isomap.Isomap" not in skops.io.get_untrusted_types(data=data)
    with pytest.raises(ArtifactError, match=r"sklearn\.manifold\._isomap\.Isomap"):
        load_sklearn(data)


def test_a_random_generator_cannot_name_something_else_to_call() -> None:
    state = {
        "bit_generator": node(
            *("DictNode", "builtins.dict"),
            content={"bit_generator": text("seed")},
            key_types=node("ListNode", "builtins.list", content=[node("TypeNode", "builtins.str")]),
        ),
        "seed_seq": node("DictNode", "builtins.dict", content={}, key_types=node("ListNode", "builtins.list", content=[])),
    }

    def plant(schema: Schema, _files: dict[str, bytes]) -> None:
        schema["content"]["content"]["alpha"] = node("RandomGeneratorNode", "numpy.random._generator.Generator", content=state)

    with pytest.raises(ArtifactError, match=r"refused.*numpy\.random\.seed"):
        load_sklearn(rewritten(RIDGE, plant))


@pytest.mark.parametrize(("column", "value"), [("left_child", 10**6), ("right_child", -7), ("left_child", 0), ("feature", 99)])
def test_a_tree_that_points_outside_itself_is_refused_before_it_predicts(column: str, value: int) -> None:
    def bend(_schema: Schema, files: dict[str, bytes]) -> None:
        for name, content in files.items():
            array = np.load(io.BytesIO(content))
            if array.dtype.names and "left_child" in array.dtype.names:
                array[column][0] = value
                buffer = io.BytesIO()
                np.save(buffer, array)
                files[name] = buffer.getvalue()

    with pytest.raises(ArtifactError, match="points outside itself"):
        load_sklearn(rewritten(TREE, bend))


def test_pickles_inside_arrays_are_not_read() -> None:
    import pickle

    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return (pytest.fail, ("a pickle was read",))

    def plant(_schema: Schema, files: dict[str, bytes]) -> None:
        buffer = io.BytesIO()
        np.save(buffer, np.array([1, 2], dtype=object), allow_pickle=True)
        header = buffer.getvalue()[:128]
        for name in files:
            files[name] = header + pickle.dumps(Bomb())

    with pytest.raises(ArtifactError, match="cannot be rebuilt"):
        load_sklearn(rewritten(RIDGE, plant))


def test_archives_that_are_not_ours_are_sentences() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("other.json", "{}")
    nested = io.BytesIO()
    with zipfile.ZipFile(nested, "w") as archive:
        archive.writestr("schema.json", '{"a":' * 100_000 + "1" + "}" * 100_000)
    listed = io.BytesIO()
    with zipfile.ZipFile(listed, "w") as archive:
        archive.writestr("schema.json", "[]")
    for data in (b"", b"PK\x03\x04", RIDGE[:-30], buffer.getvalue(), nested.getvalue(), listed.getvalue()):
        with pytest.raises(ArtifactError, match="skops file"):
            load_sklearn(data)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(position=st.integers(0, len(RIDGE) - 1), value=st.integers(0, 255))
def test_damage_is_a_sentence_or_harmless_never_a_traceback(position: int, value: int) -> None:
    damaged = bytearray(RIDGE)
    damaged[position] = value
    with contextlib.suppress(ArtifactError):
        assert isinstance(load_sklearn(bytes(damaged)), Ridge)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda files: files.pop("format.json"), r"has no format\.json"),
        (lambda files: files.pop("model.skops"), r"has no model\.skops, which its engine sklearn needs"),
        (lambda files: files.update({"format.json": b"{"}), r"format\.json of the stored model is damaged"),
        (lambda files: files.update({"format.json": b'{"format": 2}'}), "does not know; upgrade huracan"),
        (lambda files: files.update({"format.json": b'{"format": 1, "engine": "pickle"}'}), "says its engine is 'pickle'"),
        (lambda files: files.update({"format.json": b'{"format": 1, "engine": "none"}'}), "is empty"),
    ],
)
def test_files_that_do_not_fit_together_are_named(change: Callable[[dict[str, bytes]], Any], reason: str) -> None:
    files = dump_model(Ridge().fit(X, X[:, 0]))
    change(files)
    with pytest.raises(ArtifactError, match=reason):
        load_model(files)


@pytest.mark.parametrize(("engine", "file"), [("xgboost", "model.json"), ("lightgbm", "model.txt")])
@pytest.mark.parametrize("data", [b"", b"garbage", b"{}", b"[]", b'{"a":' * 100_000, b"tree\nversion=v4\n"])
def test_damaged_boosters_are_sentences(engine: str, file: str, data: bytes) -> None:
    header = json.dumps({"format": 1, "engine": engine, "state": None}).encode()
    with pytest.raises(ArtifactError, match="model is damaged"):
        load_model({"format.json": header, file: data})
