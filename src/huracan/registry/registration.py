"""Making a fitted model the next version of a name: checked, stored as files, then made known in one transaction."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from pydantic import ValidationError

from huracan.dataset import TrainingSet
from huracan.errors import RegistryError, StorageError
from huracan.model_info import ModelInfo
from huracan.registry.audit_chain import Request
from huracan.registry.formats import dump_model, load_model
from huracan.registry.records import ModelKind, Provenance
from huracan.registry.regime_rows import add_regimes
from huracan.registry.round_trip import answers_of, probe_files
from huracan.registry.scopes import check_label
from huracan.registry.search import add_tags, checked_tags
from huracan.registry.versions import add_version, find_version, lock_name
from huracan.storage import ArtifactStore, Database, from_json, to_json

__all__ = ["Registration", "checked_metrics"]

_BESIDE = "beside"
_PROBE_ROWS = 256


@dataclass(frozen=True)
class Registration:
    """A model that can be registered: files of its artifact, values of its row, its export to ONNX where one was tried.

    ``rows`` : how many it was asked about before and after its round trip. ``companion`` : name and version of the autoencoder
    beside it.
    """

    name: str
    files: Mapping[str, bytes]
    values: Mapping[str, Any]
    tags: Mapping[str, str | None]
    export: Any = None
    rows: int = 0
    companion: tuple[str, int] | None = None
    request: Request = field(default_factory=Request)

    @classmethod
    def of(
        cls,
        model: Any,
        info: ModelInfo | None,
        *,
        name: str,
        kind: ModelKind,
        metrics: Mapping[str, float] | None,
        provenance: Provenance | Mapping[str, Any] | None,
        extras: Mapping[str, Any] | None,
        tags: Mapping[str, str] | None,
        probe: Any | None,
    ) -> Registration:
        """Check everything that can be checked before anything is written; see :meth:`ModelRegistry.register`."""
        check_label(name, "model name")
        if kind not in ("challenger", "baseline"):
            raise RegistryError(f"kind '{kind}' does not exist; 'challenger' or 'baseline' was expected.")
        if not isinstance(extras, Mapping | None):
            raise RegistryError(f"extras of '{name}' are {extras!r:.60}; names with values were expected.")
        values = {
            "kind": kind,
            "info": _card_of(model, info).model_dump(mode="python"),
            "metrics": checked_metrics(metrics or {}),
            "provenance": _checked_provenance(provenance).model_dump(mode="python"),
            "extras": {**_beside(model), **(extras or {})},
        }
        try:
            plain = {key: from_json(to_json(value, where=key)) for key, value in values.items()}
        except StorageError as error:
            raise RegistryError(f"model '{name}' cannot be registered: {error}") from error
        companion = _companion_of(name, plain["extras"])
        files = _dump_fitted(model)
        rows = None if probe is None else _probe_of(probe)
        if rows is not None:
            files |= probe_files(model, rows)
        _check_round_trip(model, files, rows)
        export = None if probe is None else _export_of(model, probe)
        return cls(name, files, plain, checked_tags(tags or {}), export, 0 if rows is None else len(rows), companion)

    def keep(
        self, database: Database, artifacts: ArtifactStore, *, parent: int | str | None, attachments: Mapping[str, bytes]
    ) -> int:
        """Write the artifact, then the rows, in one transaction.

        Returns
        -------
        int : the version.
        """
        if odd := sorted(file for file, content in attachments.items() if not isinstance(content, bytes)):
            raise RegistryError(f"the attachment '{odd[0]}' is a {type(attachments[odd[0]]).__name__}; bytes were expected.")
        clash = sorted(set(attachments) & set(self.files))
        if clash:
            raise RegistryError(f"the attachment '{clash[0]}' has the name of one of the model's own files; rename it.")
        facts = {key: self.values[key] for key in ("kind", "info", "metrics", "provenance", "extras")}
        facts["attachments"] = sorted(attachments)
        files = {**self.files, **attachments}
        graph = None if self.export is None else self.export.onnx

        def put() -> tuple[str, str | None]:
            digest = artifacts.put(files, facts=facts).digest
            return digest, None if graph is None else artifacts.put({"serving.onnx": graph}, facts={"of": digest}).digest

        digests = put()
        stored = {
            "digest": digests[0],
            "verified": True,
            "serving": None if self.export is None else self.export.to_state(),
            "serving_digest": digests[1],
        }

        def work(connection: sa.Connection) -> int:
            if self.request.tries:
                lock_name(connection, self.name, create=True)  # an earlier attempt may be about to be kept: wait for it
            if (done := self.request.done_before(connection)) is not None:
                return int(done[0])
            version = self.make_known(connection, stored, parent)
            if not all(artifacts.path(digest).is_dir() for digest in digests if digest is not None):
                put()  # collected since it was stored: nobody can collect it while this transaction waits
            return version

        return database.run(work)

    def make_known(self, connection: sa.Connection, stored: Mapping[str, Any], parent: int | str | None) -> int:
        """Write the rows of a version whose files are kept; ``stored`` says where, and what was checked of them."""
        if self.companion is not None:
            find_version(connection, *self.companion)
        parent_id = find_version(connection, self.name, parent).model_id if isinstance(parent, int) else parent
        known = {"parent_id": parent_id, "rows": self.rows, "tags": {k: v for k, v in self.tags.items() if v is not None}}
        version, row = add_version(connection, self.name, {**self.values, **stored, **known}, self.request)
        add_regimes(connection, self.name, version, row, self.values["info"])
        add_tags(connection, self.name, version, self.tags, new=True)
        return version


def _card_of(model: Any, info: ModelInfo | None) -> ModelInfo:
    if info is None and hasattr(model, "model_info"):
        info = model.model_info()
    if not isinstance(info, ModelInfo):
        raise RegistryError(f"a ModelInfo is needed to register a {type(model).__name__}; got {type(info).__name__}.")
    return info


def _companion_of(name: str, extras: Mapping[str, Any]) -> tuple[str, int] | None:
    """Try what serving will read of ``extras``; malformed, it would be found at a bad moment."""
    from huracan.registry.kept_facts import read_facts

    try:
        return read_facts(extras).companion
    except RegistryError as error:
        raise RegistryError(f"model '{name}' cannot be registered: {error}") from error


def checked_metrics(metrics: Mapping[str, float]) -> dict[str, float]:
    """Metrics as finite floats.

    Raises
    ------
    RegistryError : one is no number, or not finite.
    """
    checked = {}
    for key, value in metrics.items():
        try:
            checked[str(key)] = float(value)
        except (TypeError, ValueError) as error:
            raise RegistryError(f"metric '{key}' is {value!r}; a number was expected.") from error
        if not math.isfinite(checked[str(key)]):
            raise RegistryError(f"metric '{key}' is {float(value)}; a finite number was expected, leave out what is not known.")
    return checked


def _checked_provenance(provenance: Provenance | Mapping[str, Any] | None) -> Provenance:
    if isinstance(provenance, Provenance):
        return provenance
    try:
        return Provenance.model_validate(dict(provenance or {}))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise RegistryError(f"provenance '{where}' is {first['input']!r}: {first['msg']}.") from error


def _beside(model: Any) -> dict[str, Any]:
    """What a model says of itself that is not in its own files, such as how long its training took."""
    kept = model.beside() if hasattr(model, "beside") else {}
    return {_BESIDE: kept} if kept else {}


def _dump_fitted(model: Any) -> dict[str, bytes]:
    from sklearn.base import BaseEstimator
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    try:
        if isinstance(model, BaseEstimator):
            check_is_fitted(model)  # scikit-learn's own estimators would be stored without a word
        return dump_model(model)
    except NotFittedError as error:
        raise RegistryError(f"this {type(model).__name__} is not fitted; fit it before it is registered.") from error


def _probe_of(probe: Any) -> NDArray[np.float32]:
    """The newest of the rows that were given, as a matrix."""
    matrix = probe.X if isinstance(probe, TrainingSet) else np.asarray(probe, np.float32)
    if matrix.ndim != 2 or not len(matrix):
        raise RegistryError(f"the probe has shape {matrix.shape}; rows of features, (n, d), were expected.")
    return np.ascontiguousarray(matrix[-_PROBE_ROWS:], np.float32)


def _check_round_trip(model: Any, files: Mapping[str, bytes], rows: NDArray[np.float32] | None) -> None:
    """Rebuild the model from its files; asked about ``rows``, it must answer as it did, bit for bit."""
    again = load_model(files)
    if rows is None:
        return
    given, found = answers_of(model, rows), answers_of(again, rows)
    if not np.array_equal(given, found, equal_nan=True):
        raise RegistryError(
            f"this {type(model).__name__} does not come back from its files as it was: of {len(rows)} rows, "
            f"{int((given != found).any(axis=1).sum())} are answered otherwise; it cannot be registered."
        )


def _export_of(model: Any, probe: Any) -> Any:
    from huracan.registry.exports import export_checked

    return export_checked(model, probe if isinstance(probe, TrainingSet) else np.asarray(probe, np.float32))
