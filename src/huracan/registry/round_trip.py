"""Proof that a stored model is the model: rebuilt in a fresh process, it answers the same rows bit for bit."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huracan.errors import ArtifactError, HuracanError, WorkerError
from huracan.registry.formats import load_model
from huracan.storage import ArtifactStore

__all__ = ["Verification", "answers_of", "fresh_answers", "probe_files", "verify_fresh"]

PROBE, ANSWERS = "probe.npy", "answers.npy"
_ASKED = (
    *("predict", "predict_proba", "decision_function", "predict_quantiles"),
    *("transform", "anomaly_checks", "sample"),
)
_CHILD = "from huracan.registry.round_trip import _answer_on_pipes; _answer_on_pipes()"


@dataclass(frozen=True)
class Verification:
    """What a fresh process made of a stored model.

    Attributes
    ----------
    digest : of the artifact. n_rows : rows it was asked. n_answers : numbers that were compared.
    reason : why it is not verified, in a sentence; ``None`` where every answer is equal, bit for bit.
    tried : whether the model was asked at all; not where the process itself failed, of memory or of time say.
    """

    digest: str
    n_rows: int
    n_answers: int
    reason: str | None
    tried: bool = True

    @property
    def ok(self) -> bool:
        """Whether the stored model is the model."""
        return self.reason is None


def answers_of(model: Any, probe: NDArray[np.floating]) -> NDArray[np.float64]:
    """Everything a fitted model says of some rows, as numbers that can be compared bit for bit.

    Forecasts, probabilities, margins and quantiles of a learner; actions and their worth of an agent (rows are states);
    latent features and checks of an autoencoder; as many drawn windows as there are rows of a generator. Names of
    classes are turned into numbers by their hash.

    Parameters
    ----------
    probe : (n, d) rows of features, in the order of time where the model looks at windows.

    Returns
    -------
    numpy.ndarray : (n, k).

    Raises
    ------
    ArtifactError : the model has no method that answers.

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> rows = np.array([[0.0], [1.0]], np.float32)
    >>> answers_of(Ridge(0.0).fit(rows, [0.0, 1.0]), rows).round(6).tolist()
    [[0.0], [1.0]]
    """
    found: list[NDArray[np.float64]] = []
    for name in _ASKED:
        if hasattr(model, name):
            given = getattr(model, name)(_input_of(model, probe) if name != "sample" else len(probe))
            found += [_as_numbers(part, len(probe)) for part in (given if isinstance(given, tuple) else (given,))]
    if not found:
        raise ArtifactError(f"a {type(model).__name__} answers nothing that could be compared; one of {', '.join(_ASKED)} was.")
    return np.concatenate(found, axis=1)


def probe_files(model: Any, probe: NDArray[np.floating]) -> dict[str, bytes]:
    """Files to keep in a model's artifact, by which :func:`verify_fresh` can try it at any later time.

    Raises
    ------
    ArtifactError : the model has no method that answers.
    """
    return {PROBE: _npy(np.asarray(probe)), ANSWERS: _npy(answers_of(model, probe))}


def verify_fresh(
    folder: str | Path,
    digest: str,
    probe: NDArray[np.floating] | None = None,
    expected: NDArray[np.float64] | None = None,
    *,
    timeout: float = 300.0,
) -> Verification:
    """Rebuild a stored model in a process of its own and compare its answers bit for bit.

    Parameters
    ----------
    folder : of the artifact store. digest : of the model's artifact.
    probe : (n, d) rows to ask; those stored with the model (:func:`probe_files`) by default.
    expected : what :func:`answers_of` gave for the model that was stored; by default the stored answers, or, with a
        ``probe`` given, those of the model rebuilt in this process.
    timeout : seconds to wait for the other process.

    Raises
    ------
    ArtifactError : the artifact is damaged, or no rows are given and none are stored with it.
    """
    files = ArtifactStore(folder).get(digest)
    if probe is None:
        if PROBE not in files or ANSWERS not in files:
            raise ArtifactError(f"artifact {digest} holds no rows to be tried on; give a probe of real rows.")
        probe = _from_npy(files[PROBE])
        expected = _from_npy(files[ANSWERS]) if expected is None else expected
    if expected is None:
        expected = answers_of(load_model(files), probe)
    try:
        found = _ask_fresh(folder, {digest: probe}, timeout)[digest]
    except WorkerError as error:
        return Verification(digest, len(probe), int(expected.size), str(error), tried=False)
    reason = found if isinstance(found, str) else _difference(expected, found)
    return Verification(digest, len(probe), int(expected.size), reason)


def fresh_answers(
    folder: str | Path, probes: Mapping[str, NDArray[np.floating]], *, timeout: float = 300.0
) -> dict[str, NDArray[np.float64] | str]:
    """Answers of several stored models, all rebuilt in one fresh process.

    Parameters
    ----------
    probes : digest -> rows (n, d).

    Returns
    -------
    dict : digest -> answers (n, k), or a sentence that says why there are none.
    """
    try:
        return _ask_fresh(folder, probes, timeout)
    except WorkerError as error:
        return dict.fromkeys(probes, str(error))


def _ask_fresh(
    folder: str | Path, probes: Mapping[str, NDArray[np.floating]], timeout: float
) -> dict[str, NDArray[np.float64] | str]:
    """:func:`fresh_answers`; a :class:`WorkerError` where the process failed, whatever it was asked."""
    sent = io.BytesIO()
    np.savez(sent, allow_pickle=False, **probes)
    command = [sys.executable, "-c", _CHILD, str(folder)]
    try:
        done = subprocess.run(command, input=sent.getvalue(), capture_output=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired as error:
        raise WorkerError(f"the fresh process gave no answer within {timeout:g} s.") from error
    except OSError as error:
        raise WorkerError(f"no fresh process could be started: {error.strerror}.") from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
        raise WorkerError(f"the fresh process ended with code {done.returncode}: {said[-1][:300]}")
    with np.load(io.BytesIO(done.stdout), allow_pickle=False) as answers:
        return {name: str(answers[name]) if answers[name].dtype.kind == "U" else answers[name] for name in answers.files}


def _answer_on_pipes() -> None:
    """The other end of :func:`fresh_answers`: probes on standard input, answers on standard output."""
    answers = os.dup(1)
    os.dup2(2, 1)  # whatever a library prints does not mix with the answers
    store, found = ArtifactStore(sys.argv[1]), dict[str, Any]()
    with np.load(io.BytesIO(sys.stdin.buffer.read()), allow_pickle=False) as probes:
        for digest in probes.files:
            try:
                found[digest] = answers_of(load_model(store.get(digest)), probes[digest])
            except MemoryError:
                raise  # says nothing of the model
            except Exception as error:  # noqa: BLE001 - whatever a stored model does is told of it, and ends no other's answer
                said = str(error) if isinstance(error, HuracanError) else f"{type(error).__name__}: {error}"
                found[digest] = np.asarray(said)
    with open(answers, "wb") as file:
        np.savez(file, allow_pickle=False, **found)


def _input_of(model: Any, probe: NDArray[np.floating]) -> Any:
    if (xgboost := sys.modules.get("xgboost")) is not None and isinstance(model, xgboost.Booster):
        return xgboost.DMatrix(probe)
    return probe


def _as_numbers(values: Any, n_rows: int) -> NDArray[np.float64]:
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        hashed = [int(hashlib.sha256(str(value).encode()).hexdigest()[:12], 16) for value in array.ravel().tolist()]
        array = np.asarray(hashed)
    return array.astype(np.float64).reshape(n_rows, -1)


def _difference(expected: NDArray[np.float64], found: NDArray[np.float64]) -> str | None:
    """Why two sets of answers are not the same bits, not-a-number included; ``None`` where they are."""
    if expected.shape != found.shape:
        return f"the rebuilt model gave answers of shape {found.shape}, {expected.shape} were expected."
    other = (expected.view(np.int64) != found.view(np.int64)) & ~(np.isnan(expected) & np.isnan(found))
    if not other.any():
        return None
    row, column = (int(i) for i in np.argwhere(other)[0])
    return (
        f"{int(other.sum())} of {other.size} answers of the rebuilt model differ; the first, in row {row}: "
        f"{found[row, column]!r}, {expected[row, column]!r} was expected."
    )


def _npy(array: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def _from_npy(data: bytes) -> NDArray[Any]:
    try:
        return np.asarray(np.load(io.BytesIO(data), allow_pickle=False))
    except (ValueError, EOFError, OSError) as error:
        raise ArtifactError(f"the rows stored with the model cannot be read: {error}.") from error
