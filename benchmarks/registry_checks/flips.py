"""Single bits flipped in stored files of every kind: each must be refused before any parser sees a byte of it."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from huracan.catalogue import build_model
from huracan.errors import ArtifactError
from huracan.registry import dump_model, formats, load_model
from huracan.storage import ArtifactStore, artifacts
from huracan.storage.json_values import from_json

__all__ = ["Flips", "flip_every_kind"]


@dataclass
class Flips:
    """Flips in one kind of file: how many, how many were refused, and how many a parser saw."""

    kind: str
    n_bytes: int
    flips: int = 0
    refused: int = 0
    parsed: int = 0


def flip_every_kind(folder: Path, each: int = 100, *, seed: int = 0) -> list[Flips]:
    """Flip ``each`` random bits, one at a time, in one file of every kind that an artifact can hold."""
    random, store = np.random.default_rng(seed), ArtifactStore(folder)
    found = []
    for kind, (files, name) in _kinds().items():
        ref = store.put(files, facts={"provenance": {"data_hash": "d00d", "seed": 7}, "card": {"name": kind}})
        load_model(store.get(ref.digest))  # whole, it loads
        found.append(_flipped(store, ref.digest, name, kind, each, random))
    return found


def _kinds() -> dict[str, tuple[dict[str, bytes], str]]:
    """Kind of file -> an artifact that holds one, and its name there."""
    X = np.random.default_rng(0).standard_normal((200, 3)).astype(np.float32)
    y = X[:, 0].astype(np.float64) + np.random.default_rng(1).standard_normal(200)
    from huracan.ensembles import EnsembleRegressor

    made: dict[str, Callable[[], Any]] = {
        "model.skops": lambda: build_model("ridge").fit(X, y),
        "model.json": lambda: build_model("xgboost", n_rounds=3).fit(X, y),
        "model.txt": lambda: build_model("lightgbm", n_rounds=3).fit(X, y),
        "model.safetensors": lambda: build_model("mlp", window=2, max_epochs=1).fit(X, y),
        "part1.model.skops": lambda: EnsembleRegressor({"a": build_model("ridge"), "b": build_model("ridge")}).fit(X, y),
    }
    stored = {name: dump_model(make()) for name, make in made.items()}
    found = {name: (files, name) for name, files in stored.items()}
    plain = stored["model.skops"]
    beside = {"serving.onnx": _graph(), "sketch.json": b'{"median": [0.0, 0.0, 0.0]}', "probe.npy": _array(X)}
    for name in ("manifest.json", "format.json", *beside):
        found[name] = ({**plain, **beside}, name)
    return found


def _graph() -> bytes:
    """A graph of one node, in ONNX's own format."""
    from onnx import TensorProto, helper

    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3]) for name in "xy")
    return bytes(
        helper.make_model(helper.make_graph([helper.make_node("Neg", ["x"], ["y"])], "g", [x], [y])).SerializeToString()
    )


def _array(values: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values)
    return buffer.getvalue()


def _flipped(store: ArtifactStore, digest: str, name: str, kind: str, each: int, random: np.random.Generator) -> Flips:
    file = store.path(digest) / name
    whole, manifest = file.read_bytes(), (store.path(digest) / "manifest.json").read_bytes()
    found = Flips(kind, len(whole))
    for bit in random.choice(8 * len(whole), each, replace=8 * len(whole) < each).tolist():
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << (bit % 8)
        file.write_bytes(damaged)
        with _parsers_watched(manifest) as seen:
            try:
                load_model(store.get(digest))
            except ArtifactError:
                found.refused += 1
        found.flips += 1
        found.parsed += bool(seen)
    file.write_bytes(whole)
    return found


@contextmanager
def _parsers_watched(manifest: bytes) -> Iterator[list[str]]:
    """Which parsers are called within, but for reading a manifest that is whole."""
    seen: list[str] = []

    def watched(name: str) -> Callable[..., Any]:
        def parse(data: Any, *_: Any) -> Any:
            if data == manifest:
                return from_json(data)
            seen.append(name)
            raise AssertionError(f"{name} was given bytes that are damaged")

        return parse

    names = ("from_json", "load_sklearn", "_load_xgboost", "_load_lightgbm", "_load_tensors")
    patches = [mock.patch.object(formats, name, watched(name)) for name in names]
    patches.append(mock.patch.object(artifacts, "from_json", watched("manifest")))
    for patch in patches:
        patch.start()
    try:
        yield seen
    except AssertionError:
        pass
    finally:
        for patch in patches:
            patch.stop()
