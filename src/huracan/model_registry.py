"""``ModelRegistry``: versions, aliases, promotion and rollback of models, with an audit that cannot be skipped."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from pydantic import ValidationError

from huracan.errors import PromotionConflict, RegistryError, StorageError
from huracan.model_info import MarketRegime, ModelInfo
from huracan.registry import rows
from huracan.registry.evidence import Evidence, RegimeCandidate, rank_for_regime
from huracan.registry.formats import dump_model, load_model
from huracan.registry.records import NOT_CHECKED, Expected, ModelKind, ModelVersion, Provenance
from huracan.storage import ArtifactStore, Database, from_json, to_json
from huracan.storage.tables import audit, registered_models

if TYPE_CHECKING:
    import polars as pl

__all__ = ["NOT_CHECKED", "ModelRegistry"]

CHAMPION = "champion"
_BESIDE = "beside"


class ModelRegistry:
    """Where models live: a database of versions, aliases and audit, and a folder of artifacts.

    Parameters
    ----------
    url : ``sqlite:///file.db`` or ``postgresql+psycopg://user@host/name``, or an open
        :class:`huracan.storage.Database`; the schema is made or brought up to date.
    artifacts : folder of the artifact store; may be shared by several processes.

    Raises
    ------
    StorageError : the database or the folder refuses, or a newer version of Huracan wrote the database.

    Examples
    --------
    >>> import tempfile
    >>> from sklearn.linear_model import Ridge
    >>> registry = ModelRegistry("sqlite://", artifacts=tempfile.mkdtemp())
    >>> card = ModelInfo(name="ridge", purpose="linear forecast", ideal_dataset_shape="(1_000+ rows, 5-500 features)",
    ...                  feature_requirements=("numeric",), output_schema={"prediction": "forecast"}, task="regression")
    >>> model = Ridge().fit([[0.0], [1.0]], [0.0, 1.0])
    >>> version = registry.register(model, card, name="btc", metrics={"sharpe": 1.2})
    >>> registry.promote("btc", version, expected=None, reason="first")
    >>> registry.load("btc", alias="champion").predict([[1.0]]) == model.predict([[1.0]])
    array([ True])
    """

    def __init__(self, url: str | Database, *, artifacts: str | Path) -> None:
        self.database = url if isinstance(url, Database) else Database(url)
        self.artifacts = ArtifactStore(artifacts)
        self.database.upgrade()

    def __repr__(self) -> str:
        return f"ModelRegistry({self.database.where!r}, artifacts={str(self.artifacts.folder)!r})"

    def register(
        self,
        model: Any,
        info: ModelInfo | None = None,
        *,
        name: str,
        metrics: Mapping[str, float] | None = None,
        provenance: Provenance | Mapping[str, Any] | None = None,
        parent: int | str | None = None,
        kind: ModelKind = "challenger",
        extras: Mapping[str, Any] | None = None,
    ) -> int:
        """Store a fitted model as the next version of ``name``.

        The artifact is written first, then one transaction makes it known: killed in between, a run leaves an
        artifact that nothing refers to, and no half-registered model.

        Parameters
        ----------
        model : what :func:`huracan.registry.dump_model` accepts.
        info : its card; by default ``model.model_info()``.
        metrics : name -> finite value. ``sharpe, hit_rate, drawdown, net_bps, cost_bps`` also go into ``model_metrics``.
        parent : the version (of the same name) or ``model_id`` it was derived from.
        kind : ``baseline`` for a model that every other has to beat, such as a rule.
        extras : further JSON to keep with the model: position policy, recipe, preprocessing, ...; what a model tells of its
            training's clock is added under ``beside``.

        Returns
        -------
        int : the version: 1, 2, 3, ... within the name.

        Raises
        ------
        RegistryError : the model is not fitted, or the name, kind, parent, metrics or provenance cannot be what they are.
        ArtifactError : the model holds a part that is not stored.
        """
        _check_label(name, "model name")
        if kind not in ("challenger", "baseline"):
            raise RegistryError(f"kind '{kind}' does not exist; 'challenger' or 'baseline' was expected.")
        card = _card_of(model, info)
        values = {
            "kind": kind,
            "info": card.model_dump(mode="python"),
            "metrics": _checked_metrics(metrics or {}),
            "provenance": _checked_provenance(provenance).model_dump(mode="python"),
            "extras": {**_beside(model), **(extras or {})},
        }
        try:
            plain = {key: from_json(to_json(value, where=key)) for key, value in values.items()}
        except StorageError as error:
            raise RegistryError(f"model '{name}' cannot be registered: {error}") from error
        files = _dump_fitted(model)
        files["info.json"] = to_json(plain["info"], indent=1).encode()
        files["extras.json"] = to_json(plain["extras"], indent=1).encode()
        ref = self.artifacts.put(files)
        features = list(card.signature.columns) if card.signature is not None else None
        with self.database.transaction() as connection:
            rows.lock_name(connection, name, create=True)
            known = {"digest": ref.digest, "parent_id": _parent_id(connection, name, parent)}
            return rows.add_version(connection, name, plain | known, features)

    def load(self, name: str, *, alias: str | None = None, version: int | None = None) -> Any:
        """The model itself, verified and rebuilt; without alias or version, the champion.

        Raises
        ------
        RegistryError : there is no such model, alias or version; the nearest is named.
        ArtifactError : the artifact is missing or damaged, found before anything of it is parsed.
        """
        found = self.get(name, alias=alias, version=version)
        model = load_model(self.artifacts.get(found.digest))
        if _BESIDE in found.extras and hasattr(model, "take_beside"):
            model.take_beside(found.extras[_BESIDE])
        return model

    def get(self, name: str, *, alias: str | None = None, version: int | None = None) -> ModelVersion:
        """What is known of one version, without loading it; without alias or version, of the champion."""
        if alias is not None and version is not None:
            raise RegistryError(f"both alias '{alias}' and version {version} were given for model '{name}'; give one.")
        with self.database.reading() as connection:
            rows.require_name(connection, name)
            number = version if version is not None else rows.holder_of(connection, name, alias or CHAMPION)
            return rows.find_version(connection, name, number)

    def promote(
        self,
        name: str,
        version: int,
        *,
        alias: str = CHAMPION,
        expected: Expected = NOT_CHECKED,
        reason: str,
        metrics: Mapping[str, float] | None = None,
    ) -> None:
        """Point ``alias`` at ``version``, in one transaction with its audit row.

        Parameters
        ----------
        expected : the version that must hold the alias now, or ``None`` for nobody; by default it is not checked.
            Two processes that promote with the same ``expected`` have exactly one winner.
        reason : why, in words; it stays in the history.
        metrics : the figures the decision rests on; they stay in the history too.

        Raises
        ------
        PromotionConflict : somebody else moved the alias first.
        RegistryError : there is no such model or version.
        """
        _check_label(alias, "alias")
        if not reason.strip():
            raise RegistryError(f"promoting version {version} of '{name}' needs a reason in words.")
        details = {"metrics": _checked_metrics(metrics)} if metrics is not None else {}
        with self.database.transaction() as connection:
            rows.lock_name(connection, name)
            rows.find_version(connection, name, version)
            held = rows.alias_map(connection, name).get(alias)
            if expected is not NOT_CHECKED and held != expected:
                raise PromotionConflict(
                    f"alias '{alias}' of model '{name}' points to {_in_words(held)}, {_in_words(expected)} was expected; "
                    "somebody promoted first: look at the history, then decide again."
                )
            if held != version:
                rows.set_alias(
                    connection, name, alias, version, action="promote", reason=reason, previous=held, details=details
                )

    def rollback(self, name: str, alias: str = CHAMPION, *, reason: str = "rolled back") -> int:
        """Give ``alias`` back to the version that held it before; again goes one further back.

        Returns
        -------
        int : the version that holds it now.

        Raises
        ------
        RegistryError : nobody held it before.
        """
        with self.database.transaction() as connection:
            rows.lock_name(connection, name)
            held = rows.holder_of(connection, name, alias)
            before = rows.previous_holder(connection, name, alias)
            if before is None:
                raise RegistryError(f"alias '{alias}' of model '{name}' cannot be rolled back: nobody held it before {held}.")
            rows.set_alias(connection, name, alias, before, action="rollback", reason=reason, previous=held, details={})
        return before

    def history(self, name: str) -> pl.DataFrame:
        """Everything that happened to ``name``, oldest first.

        Returns
        -------
        polars.DataFrame : ``[id, at, action, alias, from_version, to_version, reason, actor, details]``; ``at`` is UTC,
            ``details`` JSON text.
        """
        import polars as pl

        columns = ("id", "at", "action", "alias", "from_version", "to_version", "reason", "actor", "details")
        schema: dict[str, Any] = dict.fromkeys(columns, pl.String)
        schema |= {"id": pl.Int64, "at": pl.Datetime("us", "UTC"), "from_version": pl.Int64, "to_version": pl.Int64}
        query = sa.select(*(audit.c[column] for column in columns)).where(audit.c.name == name).order_by(audit.c.id)
        with self.database.reading() as connection:
            rows.require_name(connection, name)
            found = [row._mapping for row in connection.execute(query)]
        records = [{**row, "details": None if not row["details"] else to_json(row["details"])} for row in found]
        return pl.DataFrame(records, schema=schema)

    def names(self) -> list[str]:
        """Names of every registered model, sorted."""
        with self.database.reading() as connection:
            return list(connection.execute(sa.select(registered_models.c.name).order_by(registered_models.c.name)).scalars())

    def versions(self, name: str) -> list[ModelVersion]:
        """Every version of ``name``, oldest first."""
        with self.database.reading() as connection:
            rows.require_name(connection, name)
            return rows.versions_of(connection, name)

    def aliases(self, name: str) -> dict[str, int]:
        """Alias -> version, for ``name``."""
        with self.database.reading() as connection:
            rows.require_name(connection, name)
            return rows.alias_map(connection, name)

    def models_for_regime(
        self, regime: MarketRegime | str, evidence: Evidence | str = Evidence.ESTIMATED, *, alpha: float = 0.05
    ) -> list[RegimeCandidate]:
        """Models that suit ``regime``, best first; of each learner under each name the newest version.

        Parameters
        ----------
        evidence : the least that is accepted: ``estimated`` (skill over the baseline, measured out of fold, is
            positive), ``significant`` (its adjusted p-value is also at most ``alpha``), or ``declared`` (also models
            whose card only claims it; they come after the measured ones).
        """
        with self.database.reading() as connection:
            newest = {(item.name, item.info.name): item for item in rows.versions_of(connection)}
        return rank_for_regime(newest.values(), regime, evidence=evidence, alpha=alpha)


def _check_label(text: str, what: str) -> None:
    if not text or text != text.strip() or len(text) > 200 or not text.isprintable():
        raise RegistryError(
            f"{what} {text!r} cannot be used; 1 to 200 printable characters without outer spaces were expected."
        )


def _card_of(model: Any, info: ModelInfo | None) -> ModelInfo:
    if info is None and hasattr(model, "model_info"):
        info = model.model_info()
    if not isinstance(info, ModelInfo):
        raise RegistryError(f"a ModelInfo is needed to register a {type(model).__name__}; got {type(info).__name__}.")
    return info


def _checked_metrics(metrics: Mapping[str, float]) -> dict[str, float]:
    checked = {}
    for key, value in metrics.items():
        try:
            checked[str(key)] = float(value)
        except (TypeError, ValueError) as error:
            raise RegistryError(f"metric '{key}' is {value!r}; a number was expected.") from error
        if not math.isfinite(checked[str(key)]):
            raise RegistryError(f"metric '{key}' is {float(value)}; a finite number was expected, leave out what is not known.")
    return checked


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


def _beside(model: Any) -> dict[str, Any]:
    """What a model says of itself that is not in its own files, such as how long its training took."""
    kept = model.beside() if hasattr(model, "beside") else {}
    return {_BESIDE: kept} if kept else {}


def _checked_provenance(provenance: Provenance | Mapping[str, Any] | None) -> Provenance:
    if isinstance(provenance, Provenance):
        return provenance
    try:
        return Provenance.model_validate(dict(provenance or {}))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise RegistryError(f"provenance '{where}' is {first['input']!r}: {first['msg']}.") from error


def _parent_id(connection: sa.Connection, name: str, parent: int | str | None) -> str | None:
    if isinstance(parent, int):
        return rows.find_version(connection, name, parent).model_id
    return parent


def _in_words(version: int | None) -> str:
    return "nobody" if version is None else f"version {version}"
