"""Models as named files and back, without pickle.

================  ===============================================================================================
inner model       how it is stored
================  ===============================================================================================
none (a rule)     only its state, in ``format.json``
scikit-learn      ``model.skops``, every part checked against the fixed list of :mod:`huracan.registry.allowed_types`
XGBoost booster   ``model.json``, XGBoost's own JSON
LightGBM booster  ``model.txt``, LightGBM's own text
network           ``model.safetensors``, its parameters; the network itself is made anew from the catalogue
user's own graph  ``model.onnx``, see :class:`huracan.registry.onnx_model.OnnxModel`
ensemble, stack   each member by itself in one of these ways, the files of the first as ``part0.format.json`` and so on
================  ===============================================================================================
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

from huracan.errors import ArtifactError, DependencyMissing, StorageError
from huracan.registry.onnx_model import OnnxModel
from huracan.registry.sklearn_format import dump_sklearn, load_sklearn
from huracan.storage import from_json, to_json

__all__ = ["dump_model", "load_model"]

_FORMAT = "format.json"
_FILES = {
    "sklearn": "model.skops",
    "xgboost": "model.json",
    "lightgbm": "model.txt",
    "safetensors": "model.safetensors",
    "onnx": "model.onnx",
}


def dump_model(model: Any) -> dict[str, bytes]:
    """Turn a fitted model into files.

    Parameters
    ----------
    model : a learner of the catalogue (anything with ``to_parts``), an ``xgboost.Booster``, a ``lightgbm.Booster``, a
        scikit-learn estimator or pipeline made of standard parts, or an
        :class:`~huracan.registry.onnx_model.OnnxModel`.

    Returns
    -------
    dict of str to bytes : equal models give equal bytes.

    Raises
    ------
    ArtifactError : it is something else, or a part of it is not loaded from storage; the message names the part.

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> files = dump_model(Ridge().fit([[0.0], [1.0]], [0.0, 1.0]))
    >>> sorted(files)
    ['format.json', 'model.skops']
    """
    state: Any = None
    inner = model
    parts: dict[str, bytes] = {}
    if hasattr(model, "to_parts"):
        state, inner = model.to_parts()
        if not isinstance(state, Mapping) or "name" not in state:
            raise ArtifactError(f"{type(model).__name__}.to_parts() must give a state with its catalogue 'name'.")
    if isinstance(inner, Mapping):
        for i, part in enumerate(inner.values()):
            parts |= {f"part{i}.{name}": content for name, content in dump_model(part).items()}
        engine, data, details = "parts", None, {"parts": list(inner)}
    else:
        if state is None:
            _refuse_bare_network(inner)
        engine, data, details = _dump_inner(inner)
    header = {"format": 1, "engine": engine, "state": state, **details}
    try:
        files = {_FORMAT: to_json(header, where=f"state of {type(model).__name__}").encode()}
    except StorageError as error:
        raise ArtifactError(f"the model cannot be stored: {error}") from error
    if data is not None:
        files[_FILES[engine]] = data
    return {**files, **parts}


def load_model(files: Mapping[str, bytes]) -> Any:
    """Rebuild the model that :func:`dump_model` turned into ``files``; predictions are equal bit for bit.

    Only bytes whose hash was checked should come here: ``ArtifactStore.get`` gives such.

    Raises
    ------
    ArtifactError : a file is missing, damaged, or holds something that is not loaded.
    """
    try:
        header = from_json(files[_FORMAT])
    except KeyError as error:
        raise ArtifactError(f"the stored model has no {_FORMAT}; it was not written by Huracan.") from error
    except StorageError as error:
        raise ArtifactError(f"{_FORMAT} of the stored model is damaged: {error}") from error
    if not isinstance(header, dict) or header.get("format") != 1:
        raise ArtifactError(f"{_FORMAT} of the stored model is of a format this version does not know; upgrade huracan.")
    if header.get("engine") == "parts":
        return _load_parts(header, files)
    inner = _load_inner(header, files)
    if header.get("state") is None:
        if inner is None:
            raise ArtifactError("the stored model is empty: it has neither a state nor an inner model.")
        return inner
    from huracan.catalogue import model_from_parts

    return model_from_parts(header["state"], inner)


def _load_parts(header: Mapping[str, Any], files: Mapping[str, bytes]) -> Any:
    names, state = header.get("parts"), header.get("state")
    if not isinstance(names, list) or not isinstance(state, dict) or not all(isinstance(name, str) for name in names):
        raise ArtifactError(f"{_FORMAT} of the stored model is damaged: it does not list the parts of an ensemble.")
    found = {}
    for i, name in enumerate(names):
        start = f"part{i}."
        found[name] = load_model({file[len(start) :]: data for file, data in files.items() if file.startswith(start)})
    from huracan.ensembles import ensemble_from_parts

    return ensemble_from_parts(state, found)


def _dump_inner(inner: Any) -> tuple[str, bytes | None, dict[str, Any]]:
    if inner is None:
        return "none", None, {}
    # a booster can only exist where its library was imported already
    if (xgboost := sys.modules.get("xgboost")) is not None and isinstance(inner, xgboost.Booster):
        return "xgboost", bytes(inner.save_raw("json")), {}
    if (lightgbm := sys.modules.get("lightgbm")) is not None and isinstance(inner, lightgbm.Booster):
        text = inner.model_to_string(num_iteration=-1)
        return "lightgbm", text.encode(), {"best_iteration": int(inner.best_iteration)}
    if (torch := sys.modules.get("torch")) is not None and isinstance(inner, torch.nn.Module):
        from safetensors.torch import save

        # each its own memory: layers that share their weights hold one tensor under two names, which the format refuses
        tensors = {name: value.detach().cpu().clone().contiguous() for name, value in inner.state_dict().items()}
        return "safetensors", save(tensors), {}
    if isinstance(inner, OnnxModel):
        return "onnx", inner.content, {}
    module = type(inner).__module__
    if not hasattr(inner, "get_params") or module.split(".")[0] in ("xgboost", "lightgbm"):
        raise ArtifactError(
            f"a model of type {module}.{type(inner).__qualname__} cannot be stored; a learner of the catalogue, a scikit-learn "
            "estimator of standard parts, an xgboost.Booster, a lightgbm.Booster or an OnnxModel was expected."
        )
    return "sklearn", dump_sklearn(inner), {}


def _refuse_bare_network(inner: Any) -> None:
    """A network without a learner around it: its parameters alone could not be turned back into it."""
    if (torch := sys.modules.get("torch")) is not None and isinstance(inner, torch.nn.Module):
        raise ArtifactError(
            f"a network of type {type(inner).__module__}.{type(inner).__qualname__} by itself cannot be stored, since its code "
            "is not; export it to ONNX and store it as an OnnxModel, or use a learner of the catalogue."
        )


def _load_inner(header: Mapping[str, Any], files: Mapping[str, bytes]) -> Any:
    engine = header.get("engine")
    if engine == "none":
        return None
    if engine not in _FILES:
        raise ArtifactError(f"the stored model says its engine is {engine!r}; none, {', '.join(_FILES)} were expected.")
    if _FILES[engine] not in files:
        raise ArtifactError(f"the stored model has no {_FILES[engine]}, which its engine {engine} needs.")
    data = files[_FILES[engine]]
    if engine == "sklearn":
        return load_sklearn(data)
    if engine == "safetensors":
        return _load_tensors(data)
    if engine == "onnx":
        return OnnxModel(data)
    return _load_xgboost(data) if engine == "xgboost" else _load_lightgbm(data, int(header.get("best_iteration", -1)))


def _load_tensors(data: bytes) -> Any:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load
    except ImportError as error:
        raise DependencyMissing("the stored model is a network; install it with: pip install 'huracan[neural]'.") from error
    try:
        return load(data)
    except (SafetensorError, ValueError, KeyError) as error:
        raise ArtifactError(f"the stored network's parameters are damaged: {error}.") from error


def _load_xgboost(data: bytes) -> Any:
    import xgboost

    booster = xgboost.Booster()
    try:
        if not isinstance(json.loads(data), dict):  # XGBoost itself ends the whole process over bytes that are not JSON
            raise ValueError("it is not a JSON object")
        booster.load_model(bytearray(data))
    except (xgboost.core.XGBoostError, ValueError, RecursionError) as error:
        raise ArtifactError(f"the stored XGBoost model is damaged: {str(error).splitlines()[0]}.") from error
    return booster


def _load_lightgbm(data: bytes, best_iteration: int) -> Any:
    import lightgbm

    try:
        booster = lightgbm.Booster(model_str=data.decode())
    except (lightgbm.basic.LightGBMError, ValueError) as error:
        raise ArtifactError(f"the stored LightGBM model is damaged: {error}.") from error
    booster.best_iteration = best_iteration
    return booster
