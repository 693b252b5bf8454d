"""What the registry knows of a stored model, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from functools import cached_property
from typing import Any, Final, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from huracan.errors import AuditError, RegistryError
from huracan.model_info import ModelInfo
from huracan.registry.registered_facts import JSON_FACTS, PLAIN_FACTS, differing
from huracan.storage import from_json

__all__ = [
    "NOT_CHECKED",
    "AuditReport",
    "BrokenLink",
    "CollectReport",
    "Expected",
    "ModelKind",
    "ModelVersion",
    "Provenance",
    "RetentionPolicy",
    "RetentionReport",
    "Stage",
    "VersionSummary",
]

ModelKind = Literal["challenger", "baseline"]
Stage = Literal["active", "archived", "removed"]


class _NotChecked(Enum):
    NOT_CHECKED = "not checked"


NOT_CHECKED: Final = _NotChecked.NOT_CHECKED
"""``promote(expected=NOT_CHECKED)``: whoever holds the alias now; ``None`` would mean "nobody holds it"."""

Expected = int | None | Literal[_NotChecked.NOT_CHECKED]


class Provenance(BaseModel):
    """Where a model comes from; every field may be left out, and further ones are kept as they are.

    Times are UTC, hashes hexadecimal; ``trials`` is how many models were tried in the search that chose it.

    Examples
    --------
    >>> Provenance(seed=7, data_hash="d00d").seed
    7
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    run_id: str | None = None
    data_hash: str | None = None
    recipe_hash: str | None = None
    config_hash: str | None = None
    seed: int | None = None
    trained_from: datetime | None = None
    trained_until: datetime | None = None
    n_rows: int | None = None
    trials: int | None = None
    symbols: tuple[str, ...] = ()
    versions: Mapping[str, str] = Field(default_factory=dict)


@dataclass(frozen=True)
class ModelVersion:
    """One version of a registered model.

    What is stored as JSON (``info``, ``metrics``, ``provenance``, ``extras``, ``serving``) is read when it is first asked for,
    and held against what the audit says of the registration; an :class:`AuditError` says that it was changed since.

    Attributes
    ----------
    name, version : versions of a name are 1, 2, 3, ...; a number is never given twice.
    model_id : ``name/version``, the key that the Engine's tables use.
    kind : what it was registered as, ``challenger`` or ``baseline``; who is champion is said by the alias.
    learner : the name on its card, such as ``ridge``. digest : of its artifact. parent_id : ``model_id`` of the model it was
        derived from. run_id : the run that made it. created_at : UTC.
    stage : ``active``, ``archived`` (cannot be promoted) or ``removed`` (its artifact was given up by retention).
    verified : whether its artifact was rebuilt and answered as the model that was registered.
    serving_digest : of the artifact that holds its export, where there is one.
    told : JSON that its registration left in the audit; None where the audit's chain has no such row.
    aliases : that point to it now, for all symbols and regimes; those of a scope are written ``champion@BTCUSDT``,
        ``champion@BTCUSDT/trending`` or ``champion@*/trending``.
    alias, symbol, regime : the alias that led to it, and whose; empty where it was asked for by number.
    generation : number of the audit row that pointed this alias here; 0 where it was asked for by number.
    """

    name: str
    version: int
    model_id: str
    kind: ModelKind
    learner: str
    digest: str
    parent_id: str | None
    run_id: str | None
    created_at: datetime
    stage: Stage
    verified: bool
    serving_digest: str | None
    texts: Mapping[str, str | None]
    told: str | None = None
    aliases: tuple[str, ...] = ()
    alias: str = ""
    symbol: str = ""
    regime: str = ""
    generation: int = 0

    @cached_property
    def info(self) -> ModelInfo:
        """The model's card."""
        return ModelInfo.model_validate(self._read("info"))

    @cached_property
    def metrics(self) -> Mapping[str, float]:
        """Name -> value, as they were registered."""
        return self._read("metrics")

    @cached_property
    def provenance(self) -> Provenance:
        """Data, recipe, configuration, seed and versions it was made from."""
        return Provenance.model_validate(self._read("provenance"))

    @cached_property
    def extras(self) -> Mapping[str, Any]:
        """Further JSON stored with it, such as the position policy or the recipe."""
        return self._read("extras")

    @cached_property
    def serving(self) -> Mapping[str, Any]:
        """How its export was made and what was checked of it, or why there is none; empty where nobody tried."""
        return self._read("serving")

    @property
    def probe_rows(self) -> int | None:
        """Real rows that it answered before and after its round trip when it was registered; 0: it was rebuilt and not asked.

        ``None`` where it was registered before this was written down.
        """
        return self._told.get("rows")

    @property
    def is_bound(self) -> bool:
        """Whether the audit says what it was registered as; earlier versions of Huracan did not write it down."""
        return "facts" in self._told

    def changed(self, *names: str) -> tuple[str, ...]:
        """Which facts, all or those named, are not as the audit says they were registered, as far as it says."""
        plain = {name: getattr(self, name) for name in PLAIN_FACTS if not names or name in names}
        if "created_at" in plain:
            plain["created_at"] = self.created_at.isoformat()
        texts = {name: self.texts.get(name) for name in JSON_FACTS if not names or name in names}
        told = {"model_id": f"{self.name}/{self.version}", **self._told.get("facts", {})}
        return differing(told, plain, texts)

    def require_unchanged(self, *names: str) -> None:
        """Make sure that facts, all or those named, are as they were registered.

        Raises
        ------
        AuditError : one was changed in the database, or the audit tells of no registration at all.
        """
        if self.told is None:
            raise AuditError(
                f"version {self.version} of '{self.name}' was never registered, as far as the audit tells; the database was "
                "changed: restore it from a backup."
            )
        if changed := self.changed(*names):
            raise AuditError(
                f"version {self.version} of '{self.name}' is not as it was registered: in its row {', '.join(changed)} differ "
                "from what the audit says; the database was changed: restore it from a backup, or register the model again."
            )

    @property
    def told_tags(self) -> Mapping[str, str] | None:
        """Tags that it was registered with; ``None`` where that was not written down."""
        return self._told.get("tags")

    @cached_property
    def _told(self) -> dict[str, Any]:
        return {} if self.told is None else from_json(self.told) or {}

    def _read(self, name: str) -> dict[str, Any]:
        self.require_unchanged(name)
        text = self.texts.get(name)
        found = None if text is None else from_json(text)
        return {} if found is None else found


class VersionSummary(NamedTuple):
    """A line of a list of versions: what can be told without reading cards.

    ``id`` is the row's number, which ``find(before=)`` takes for the next page; ``model_id`` is ``name/version``.
    """

    id: int
    name: str
    version: int
    learner: str
    kind: ModelKind
    stage: Stage
    verified: bool
    run_id: str | None
    created_at: datetime

    @property
    def model_id(self) -> str:
        """The key that the Engine's tables use."""
        return f"{self.name}/{self.version}"


@dataclass(frozen=True)
class BrokenLink:
    """Where the chain of a name's audit does not hold: at which ``position``, row ``id`` (``None``: it is gone), and why."""

    name: str
    position: int
    id: int | None
    why: str


@dataclass(frozen=True)
class AuditReport:
    """What came of checking audit chains: of how many names, how many rows, and what is broken."""

    names: int
    rows: int
    broken: tuple[BrokenLink, ...]

    @property
    def intact(self) -> bool:
        """Whether every row is what it was when it was written, and none is missing."""
        return not self.broken


@dataclass(frozen=True)
class RetentionPolicy:
    """Which versions keep their artifact: the newest ``keep_last`` of each name, and those younger than ``keep_days`` days.

    Whatever an alias points to, a rollback can reach, or either was derived from, is kept in any case.
    """

    keep_last: int = 20
    keep_days: float = 90.0

    def __post_init__(self) -> None:
        if self.keep_last < 1 or self.keep_days < 0:
            raise RegistryError(
                f"a retention of the last {self.keep_last} versions and {self.keep_days} days cannot be; at least 1 version "
                "and 0 days were expected."
            )


@dataclass(frozen=True)
class RetentionReport:
    """Versions (``name/version``) that gave up their artifact, or would; how many were kept, those protected among them."""

    removed: tuple[str, ...]
    kept: int
    protected: int
    dry_run: bool


@dataclass(frozen=True)
class CollectReport:
    """Artifacts that nothing refers to: ``removed``, their size in bytes, and how many are too young to be removed.

    ``swept`` : things half-written, half-removed or long damaged that were removed; ``set_aside`` : damaged ones still kept.
    """

    removed: tuple[str, ...]
    bytes: int
    waiting: int
    swept: int = 0
    set_aside: int = 0
