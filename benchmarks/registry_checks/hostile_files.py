"""Files made to attack whoever loads a model: calls planted in skops, pickles in every place, archives that climb."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import Ridge

from huracan.registry.sklearn_format import dump_sklearn

__all__ = ["Bomb", "call", "corpus", "node", "rewritten", "text"]

Schema = dict[str, Any]
_FILES = {"sklearn": "model.skops", "xgboost": "model.json", "lightgbm": "model.txt", "safetensors": "model.safetensors"}


class Bomb:
    """Its pickle makes a file when it is read."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (str(self.mark), "w"))


def rewritten(data: bytes, change: Callable[[Schema, dict[str, bytes]], None]) -> bytes:
    """A skops file with its description and its files changed."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    schema = json.loads(files.pop("schema.json"))
    change(schema, files)
    return _zip({"schema.json": json.dumps(schema).encode(), **files})


def node(loader: str, name: str, **rest: Any) -> Schema:
    """A part of a skops description."""
    module, _, kind = name.rpartition(".")
    return {"__class__": kind, "__module__": module, "__loader__": loader, **rest}


def text(value: Any) -> Schema:
    """A constant in a skops description."""
    return node("JsonNode", "builtins.str", content=json.dumps(value), is_json=True)


def call(function: str, *arguments: Any) -> list[Schema]:
    """Every way skops has to call or fetch something, aimed at ``function``."""
    tuple_ = node("TupleNode", "builtins.tuple", content=[text(a) for a in arguments])
    empty = node("DictNode", "builtins.dict", content={}, key_types=node("ListNode", "builtins.list", content=[]))
    target = node("FunctionNode", function)
    return [
        node("ConstructorFromReduceNode", function, content=tuple_),
        node("ObjectNode", function, content=tuple_),
        node("FunctionNode", function),
        node("TypeNode", function),
        node("ListNode", function, content=[text(a) for a in arguments]),
        node("TupleNode", function, content=[text(a) for a in arguments]),
        node("DictNode", function, content={str(a): text(a) for a in arguments}, key_types=tuple_),
        node("NdArrayNode", function, type="json", content=[], shape=tuple_),
        node("LossNode", function, content=empty, __reduce__={"args": tuple_}),
        node("TreeNode", function, content=empty, __reduce__={"args": tuple_}),
        node("PartialNode", "functools.partial", content={"func": target, "args": tuple_, "kwds": empty, "namespace": empty}),
        node("OperatorFuncNode", "operator.methodcaller", attrs=tuple_),
        node("MethodNode", "builtins.str", content={"obj": text("x"), "func": "format"}),
        node("DefaultDictNode", "collections.defaultdict", content={"main": empty, "default_factory": target}),
        node("RandomStateNode", function, content=empty),
        node("CachedNode", "builtins.dict", __id__=1),
    ]


def corpus(mark: Path) -> dict[str, list[dict[str, bytes]]]:
    """Kind of attack -> models as files; one that works makes the file ``mark`` or a file above the store."""
    X = np.arange(20.0).reshape(10, 2)
    ridge = dump_sklearn(Ridge().fit(X, X[:, 0]))
    return {
        "pickle where a model was expected": [
            _model(engine, data)
            for engine in _FILES
            for protocol in (0, 2, 4)
            for data in [pickle.dumps(Bomb(mark), protocol=protocol)]
        ],
        "pickle as the description": [{"format.json": pickle.dumps(Bomb(mark))}],
        "skops that calls": [_model("sklearn", _planted(ridge, attack)) for attack in _calls(mark)],
        "skops with pickled arrays": [_model("sklearn", _with_pickled_arrays(ridge, mark))],
        "torch file": [_model(engine, _torch_file(mark)) for engine in _FILES],
        "archive with names that climb": [_model("sklearn", _climbing(ridge, name)) for name in _climbing_names(mark)],
        "archive that is oversized": [_model("sklearn", data) for data in _oversized(ridge)],
        "JSON without end": [_model(engine, b'{"a":' * 200_000) for engine in ("xgboost", "lightgbm", "safetensors")],
        "header without end": [_model("safetensors", (1 << 62).to_bytes(8, "little") + b"{}")],
        "unknown engine or part": [
            {"format.json": json.dumps({"format": 1, "engine": engine, "state": state}).encode()}
            for engine in ("pickle", "torch", "none", "parts")
            for state in ({"name": "os.system"}, {"name": "../x", "kind": "ensemble"})
        ],
    }


def _model(engine: str, data: bytes) -> dict[str, bytes]:
    header = {"format": 1, "engine": engine, "state": None}
    return {"format.json": json.dumps(header).encode(), _FILES[engine]: data}


def _calls(mark: Path) -> list[Schema]:
    return [
        *call("os.system", f"touch {mark}"),
        *call("subprocess.Popen", ["touch", str(mark)]),
        *call("builtins.eval", f"open({str(mark)!r}, 'w')"),
        *call("builtins.open", str(mark), "w"),
        *call("pathlib.Path.touch", str(mark)),
    ]


def _planted(data: bytes, attack: Schema) -> bytes:
    def plant(schema: Schema, _files: dict[str, bytes]) -> None:
        schema["content"]["content"]["alpha"] = attack

    return rewritten(data, plant)


def _with_pickled_arrays(data: bytes, mark: Path) -> bytes:
    def plant(_schema: Schema, files: dict[str, bytes]) -> None:
        buffer = io.BytesIO()
        np.save(buffer, np.array([1, 2], dtype=object), allow_pickle=True)
        for name in files:
            files[name] = buffer.getvalue()[:128] + pickle.dumps(Bomb(mark))

    return rewritten(data, plant)


def _torch_file(mark: Path) -> bytes:
    """What ``torch.save`` writes, with a pickle that does harm."""
    return _zip({"archive/data.pkl": pickle.dumps(Bomb(mark), protocol=2), "archive/version": b"3\n"})


def _climbing_names(mark: Path) -> list[str]:
    return ["../../../escaped", str(mark), "a/../../../../escaped", "..\\..\\escaped", "C:\\escaped"]


def _climbing(data: bytes, name: str) -> bytes:
    def climb(schema: Schema, files: dict[str, bytes]) -> None:
        files[name] = next(iter(files.values()))
        schema["content"]["content"]["coef_"] = node("NdArrayNode", "numpy.ndarray", type="numpy", file=name)

    return rewritten(data, climb)


def _oversized(data: bytes) -> list[bytes]:
    """Archives whose list of contents promises more than fits, or less than there is."""
    packed = rewritten(data, lambda _schema, files: files.update({f"{i}.bin": bytes(1 << 20) for i in range(3)}))
    return [
        _promising(packed, (1 << 32) - 16, lambda name: name == "schema.json"),
        _promising(packed, (1 << 32) - 16, lambda name: name != "schema.json"),
        _promising(packed, 10, lambda name: True),
    ]


def _promising(data: bytes, size: int, which: Callable[[str], bool]) -> bytes:
    """The archive with another unpacked size in its central directory, for the files chosen."""
    changed, at = bytearray(data), data.rindex(b"PK\x05\x06")
    at = int.from_bytes(data[at + 16 : at + 20], "little")
    while changed[at : at + 4] == b"PK\x01\x02":
        lengths = [int.from_bytes(changed[at + k : at + k + 2], "little") for k in (28, 30, 32)]
        if which(bytes(changed[at + 46 : at + 46 + lengths[0]]).decode()):
            changed[at + 24 : at + 28] = size.to_bytes(4, "little")
        at += 46 + sum(lengths)
    return bytes(changed)


def _zip(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()
