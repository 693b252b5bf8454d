"""scikit-learn models as bytes: a skops file, audited by our own list, the same bytes for the same model."""

from __future__ import annotations

import io
import json
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from huracan.errors import ArtifactError
from huracan.registry.allowed_types import is_allowed

__all__ = ["dump_sklearn", "load_sklearn"]

_SCHEMA = "schema.json"
_ENTRY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_MAX_BYTES = 8 << 30
_MAX_SCHEMA = 512 << 20
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, RecursionError, OSError)
_EPOCH = (1980, 1, 1, 0, 0, 0)


def dump_sklearn(model: Any) -> bytes:
    """Write a fitted estimator or pipeline whose every part is on the allow-list.

    Raises
    ------
    ArtifactError : a part is not on the list; the message names it.

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> stored = dump_sklearn(Ridge().fit([[0.0], [1.0]], [0.0, 1.0]))
    >>> round(float(load_sklearn(stored).predict([[1.0]])[0]), 4)
    0.6667
    """
    from skops.io import dumps

    name = f"{type(model).__module__}.{type(model).__qualname__}"
    try:
        data = dumps(model)
    except (TypeError, ValueError, AttributeError, RecursionError) as error:
        raise ArtifactError(f"a model of type {name} cannot be stored without pickle: {error}.") from error
    schema, files = _open(data)
    _audit(schema, f"a model of type {name} cannot be stored")
    return _canonical(schema, files)


def load_sklearn(data: bytes) -> Any:
    """Read what :func:`dump_sklearn` wrote.

    Every part is checked against the allow-list before the first one is built, and the node arrays of trees are
    checked before the model is handed out (scikit-learn itself follows their indices unchecked).

    Raises
    ------
    ArtifactError : the file is damaged, holds a type that is not on the list, or a tree that points outside itself.
    """
    from skops.io import loads
    from skops.io.exceptions import UntrustedTypesFoundException

    schema, _ = _open(data)
    allowed = _audit(schema, "the stored model is refused")
    try:
        model = loads(data, trusted=allowed)  # these alone, not the whole list, which skops goes through for every part
    except UntrustedTypesFoundException as error:
        raise ArtifactError(f"the stored model is refused: {error}.") from error
    except (*_DAMAGE, TypeError, ValueError, AttributeError, LookupError, ImportError, MemoryError) as error:
        raise ArtifactError(
            f"the stored scikit-learn model cannot be rebuilt with the versions here: {type(error).__name__}: {error}."
        ) from error
    _check_trees(model)
    return model


def _open(data: bytes) -> tuple[dict[str, Any], dict[str, bytes]]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            names = [entry.filename for entry in entries]
            if len(set(names)) < len(names):
                raise ArtifactError("the stored model is refused: its archive holds two files of one name.")
            if odd := [name for name in names if not _ENTRY.fullmatch(name)]:
                raise ArtifactError(f"the stored model is refused: its archive holds a file named {odd[0]!r}.")
            if sum(entry.file_size for entry in entries) > _MAX_BYTES:
                raise ArtifactError(f"the stored model is refused: unpacked it is larger than {_MAX_BYTES} bytes.")
            if archive.getinfo(_SCHEMA).file_size > _MAX_SCHEMA:
                raise ArtifactError(f"the stored model is refused: its description is larger than {_MAX_SCHEMA} bytes.")
            schema = json.loads(archive.read(_SCHEMA))
            files = {name: archive.read(name) for name in names if name != _SCHEMA}
    except (*_DAMAGE, KeyError, ValueError, NotImplementedError, RuntimeError) as error:
        raise ArtifactError(f"the stored scikit-learn model is not a readable skops file: {error}.") from error
    if not isinstance(schema, dict):
        raise ArtifactError("the stored scikit-learn model is not a skops file: its description is not a dictionary.")
    return schema, files


def _parts(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every dictionary of the description that skops may turn into an object, without recursion."""
    waiting: list[Any] = [schema]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            if "__loader__" in item:
                yield item
            waiting.extend(reversed(item.values()))
        elif isinstance(item, list):
            waiting.extend(reversed(item))


def _audit(schema: dict[str, Any], what: str) -> list[str]:
    """Names of the types that the description has, all of which are on the allow-list."""
    allowed: set[str] = set()
    refused: Counter[str] = Counter()
    if "__loader__" not in schema:
        refused["a description without a type"] += 1
    for part in _parts(schema):
        name = f"{part.get('__module__')}.{part.get('__class__')}"
        if is_allowed(part["__loader__"], name):
            allowed.add(name)
        else:
            refused[f"{name} (as {part['__loader__']})"] += 1
    if refused:
        listed = ", ".join(sorted(refused)[:5])
        raise ArtifactError(f"{what}: it contains {listed}, not on the list of types that are loaded.")
    return sorted(allowed)


def _canonical(schema: dict[str, Any], files: dict[str, bytes]) -> bytes:
    """Replace memory addresses, times and random names, so that equal models are equal bytes."""
    arrays: dict[bytes, str] = {}
    for part in _parts(schema):
        part.pop("__id__", None)
        if part["__loader__"] == "NdArrayNode" and "file" in part:
            part["file"] = arrays.setdefault(_without_padding(files[part["file"]]), f"{len(arrays)}.npy")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        description = json.dumps(schema, separators=(",", ":")).encode()
        for name, data in [(_SCHEMA, description), *((new, data) for data, new in arrays.items())]:
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), data, zipfile.ZIP_DEFLATED, 6)
    return buffer.getvalue()


def _without_padding(data: bytes) -> bytes:
    """Clear the bytes between the fields of records (the nodes of trees), which hold whatever was in memory."""
    array = np.load(io.BytesIO(data), allow_pickle=False)
    if array.dtype.names is None:
        return data
    clean = np.zeros(array.shape, array.dtype)
    for name in array.dtype.names:
        clean[name] = array[name]
    buffer = io.BytesIO()
    np.save(buffer, clean, allow_pickle=False)
    return buffer.getvalue()


def _check_trees(model: Any) -> None:
    from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
    from sklearn.tree._tree import Tree

    seen: set[int] = set()
    waiting: list[Any] = [model]
    while waiting:
        item = waiting.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, Tree):
            _check_tree(item.children_left, item.children_right, item.feature, item.n_features)
        elif isinstance(item, TreePredictor):
            nodes = item.nodes
            inner = ~nodes["is_leaf"].astype(bool)
            left, right = (np.where(inner, nodes[side].astype(np.int64), -1) for side in ("left", "right"))
            _check_tree(left, right, nodes["feature_idx"], np.iinfo(np.int32).max)
        elif isinstance(item, dict):
            waiting.extend(item.values())
        elif isinstance(item, list | tuple):
            waiting.extend(item)
        elif isinstance(item, np.ndarray):
            if item.dtype == object:
                waiting.extend(item.ravel().tolist())
        elif type(item).__module__.startswith("sklearn."):
            waiting.extend(getattr(item, "__dict__", {}).values())


def _check_tree(left: Any, right: Any, feature: Any, n_features: int) -> None:
    number = np.arange(len(left))
    inner = left != -1
    inside = [(side[inner] > number[inner]) & (side[inner] < len(left)) for side in (left, right)]
    if not (np.all(inside) and np.all(feature[inner] >= 0) and np.all(feature[inner] < n_features)):
        raise ArtifactError("the stored model is refused: a decision tree in it points outside itself.")
