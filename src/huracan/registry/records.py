"""What the registry knows of a stored model, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from huracan.model_info import ModelInfo

__all__ = ["NOT_CHECKED", "Expected", "ModelKind", "ModelVersion", "Provenance"]

ModelKind = Literal["challenger", "baseline"]


class _NotChecked(Enum):
    NOT_CHECKED = "not checked"


NOT_CHECKED: Final = _NotChecked.NOT_CHECKED
"""``promote(expected=NOT_CHECKED)``: whoever holds the alias now; ``None`` would mean "nobody holds it"."""

Expected = int | None | Literal[_NotChecked.NOT_CHECKED]


class Provenance(BaseModel):
    """Where a model comes from; every field may be left out, and further ones are kept as they are.

    Times are UTC, hashes hexadecimal.

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
    symbols: tuple[str, ...] = ()
    versions: Mapping[str, str] = Field(default_factory=dict)


@dataclass(frozen=True)
class ModelVersion:
    """One version of a registered model.

    Attributes
    ----------
    name, version : versions of a name are 1, 2, 3, ...; a number is never given twice.
    model_id : ``name/version``, the key that the Engine's tables use.
    kind : what it was registered as, ``challenger`` or ``baseline``; who is champion is said by the alias.
    digest : of its artifact. info : the model's card. metrics : name -> value.
    provenance : data, recipe, configuration, seed and versions it was made from.
    extras : further JSON stored with it, such as the position policy or the recipe.
    parent_id : ``model_id`` of the model it was derived from. created_at : UTC. aliases : that point to it now.
    """

    name: str
    version: int
    model_id: str
    kind: ModelKind
    digest: str
    info: ModelInfo
    metrics: Mapping[str, float]
    provenance: Provenance
    extras: Mapping[str, Any]
    parent_id: str | None
    created_at: datetime
    aliases: tuple[str, ...] = ()
