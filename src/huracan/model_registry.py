"""``ModelRegistry``: versions, aliases, promotion and rollback of models, with an audit that cannot be skipped."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from huracan.errors import RegistryError
from huracan.logs import logger
from huracan.model_info import MarketRegime, ModelInfo, RegimeSkill
from huracan.registry import alias_holders, audit_chain, promotion, regime_rows, retention, search, stages, versions
from huracan.registry.audit_chain import Request
from huracan.registry.evidence import Evidence, RegimeCandidate, evidence_named
from huracan.registry.formats import load_model
from huracan.registry.promotion import CHAMPION, Move, version_number
from huracan.registry.records import (
    NOT_CHECKED,
    AuditReport,
    CollectReport,
    Expected,
    ModelKind,
    ModelVersion,
    Provenance,
    RetentionPolicy,
    RetentionReport,
    VersionSummary,
)
from huracan.registry.registered_facts import PLAIN_FACTS
from huracan.registry.registration import Registration, checked_metrics
from huracan.registry.round_trip import Verification
from huracan.registry.scopes import Scope, check_label, check_text, regime_named, scope_of
from huracan.registry.stored_files import stored_files, verification_of
from huracan.storage import ArtifactStore, Database

if TYPE_CHECKING:
    import polars as pl
    import sqlalchemy as sa

__all__ = ["NOT_CHECKED", "ModelRegistry"]

T = TypeVar("T")


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
        tags: Mapping[str, str] | None = None,
        probe: Any | None = None,
        attachments: Mapping[str, bytes] | None = None,
    ) -> int:
        """Store a fitted model as the next version of ``name``.

        The artifact is written first, then one transaction makes it known: killed in between, a run leaves an
        artifact that nothing refers to (:meth:`collect` removes it), and no half-registered model.

        Parameters
        ----------
        model : what :func:`huracan.registry.dump_model` accepts.
        info : its card; by default ``model.model_info()``.
        metrics : name -> finite value. ``sharpe, hit_rate, drawdown, net_bps, cost_bps`` also go into ``model_metrics``.
        parent : the version (of the same name) or ``model_id`` it was derived from.
        kind : ``baseline`` for a model that every other has to beat, such as a rule.
        extras : further JSON to keep with the model: position policy, recipe, preprocessing, ...; what a model tells of its
            training's clock is added under ``beside``.
        tags : key -> text, to find it by.
        probe : real rows, a ``TrainingSet`` or a matrix, that the model is asked about before and after its round trip, and its
            export to ONNX beside it.
        attachments : file name -> bytes, further files of the artifact; :meth:`attachments` gives them back.

        Returns
        -------
        int : the version: 1, 2, 3, ... within the name.

        Raises
        ------
        RegistryError : the model is not fitted, does not come back from its files as it was, or the name, kind, parent,
            metrics, tags or provenance cannot be what they are.
        ArtifactError : the model holds a part that is not stored.
        ConnectionLost : the database went away and did not come back; the same call again is safe, it may leave two versions.
        """
        made = Registration.of(
            model, info, name=name, metrics=metrics, provenance=provenance, kind=kind, extras=extras, tags=tags, probe=probe
        )
        return made.keep(self.database, self.artifacts, parent=parent, attachments=attachments or {})

    def load(
        self,
        name: str,
        *,
        alias: str | None = None,
        version: int | None = None,
        symbol: str | None = None,
        regime: MarketRegime | str | None = None,
    ) -> Any:
        """The model itself, verified and rebuilt; without alias or version, the champion.

        Raises
        ------
        RegistryError : there is no such model, alias or version (the nearest is named), or its artifact was given up.
        AuditError : the version's row says something else than the audit or the artifact's manifest.
        ArtifactError : the artifact is missing or damaged, found before anything of it is parsed.
        """
        found = self.get(name, alias=alias, version=version, symbol=symbol, regime=regime)
        model = load_model(stored_files(self.artifacts, found)[1])
        if "beside" in found.extras and hasattr(model, "take_beside"):
            model.take_beside(found.extras["beside"])
        return model

    def attachments(self, name: str, version: int) -> dict[str, bytes]:
        """Files that were registered with a version beside the model's own, verified: name -> content."""
        found = self.get(name, version=version)
        manifest, files = stored_files(self.artifacts, found)
        return {file: files[file] for file in manifest.get("attachments", ())}

    def get(
        self,
        name: str,
        *,
        alias: str | None = None,
        version: int | None = None,
        symbol: str | None = None,
        regime: MarketRegime | str | None = None,
    ) -> ModelVersion:
        """What is known of one version, without loading it; without alias or version, of the champion.

        Parameters
        ----------
        symbol, regime : whose alias; where there is none for both, that of the symbol is taken, then that of the regime, then
            that of all. ``.symbol`` and ``.regime`` of what comes back say which it was.

        Raises
        ------
        RegistryError : there is no such model, alias or version.
        AuditError : the version's row is not as it was registered (of card, metrics, provenance, extras and export this is said
            when they are read), or the audit says that another version holds the alias.
        """
        if alias is not None and version is not None:
            raise RegistryError(f"both alias '{alias}' and version {version} were given for model '{name}'; give one.")
        check_label(name, "model name")
        if alias is not None:
            check_label(alias, "alias")
        version = None if version is None else version_number(version, "version")
        scope = scope_of(symbol, regime)

        def look(connection: sa.Connection) -> ModelVersion:
            if version is not None:
                return versions.find_version(connection, name, version)
            return alias_holders.version_by_alias(connection, name, CHAMPION if alias is None else alias, scope)

        found = self.database.read(look)
        found.require_unchanged(*PLAIN_FACTS)
        return found

    def holder(
        self,
        name: str,
        alias: str = CHAMPION,
        *,
        symbol: str | None = None,
        regime: MarketRegime | str | None = None,
    ) -> tuple[int, int]:
        """Who holds an alias, cheap enough to ask every few seconds.

        Returns
        -------
        (int, int) : the version, and the generation, which grows with every move and so tells a return from no move.

        Raises
        ------
        RegistryError : there is no such model, or nobody holds the alias. AuditError : the audit says that another does.
        """
        scope = scope_of(symbol, regime)
        held = self.database.read(lambda connection: alias_holders.held_version(connection, name, alias, scope))
        return held.version, held.generation

    def promote(
        self,
        name: str,
        version: int,
        *,
        alias: str = CHAMPION,
        symbol: str | None = None,
        regime: MarketRegime | str | None = None,
        expected: Expected = NOT_CHECKED,
        reason: str,
        metrics: Mapping[str, float] | None = None,
        evidence: Sequence[str] = (),
        actor: str | None = None,
        require: Callable[[sa.Connection], None] | None = None,
    ) -> None:
        """Point ``alias`` at ``version``, in one transaction with its audit row; nothing is told where it does already.

        Parameters
        ----------
        symbol, regime : for whom; by default for all.
        expected : the version that must hold the alias now, or ``None`` for nobody; by default it is not checked.
            Two processes that promote with the same ``expected`` have exactly one winner.
        reason : why, in words; it stays in the history.
        metrics : the figures the decision rests on; they stay in the history too, beside those that both versions were
            registered with.
        evidence : names of what it rests on: runs, comparisons, reports.
        actor : who decided; by default the user and host of this process.
        require : is asked within the transaction, before anything is written; what it raises leaves the alias where it is.

        Raises
        ------
        PromotionConflict : somebody else moved the alias first.
        RegistryError : there is no such model or version, it is archived, removed or not verified, or its files are not there;
            an :class:`AuditError` where its row is not as it was registered.
        ConnectionLost : the database went away and did not come back.
        """
        version = version_number(version, "version")
        expected = _checked_holder(expected)
        _check_words(reason, actor, f"promoting version {version} of '{name}'")
        details = {"metrics": checked_metrics(metrics)} if metrics is not None else {}
        move = Move.of(name, alias, symbol, regime, reason, details, evidence, actor)
        request = Request()

        def write(connection: sa.Connection) -> None:
            _ask(require, connection)
            promotion.move_alias(connection, self.artifacts, move, version, expected, request)

        self.database.run(write)

    def rollback(
        self,
        name: str,
        alias: str = CHAMPION,
        *,
        symbol: str | None = None,
        regime: MarketRegime | str | None = None,
        reason: str = "rolled back",
        expected: Expected = NOT_CHECKED,
        require: Callable[[sa.Connection], None] | None = None,
    ) -> int | None:
        """Give ``alias`` back to the version that held it before; again goes one further back.

        A version that cannot be promoted any more (archived, removed, not verified, changed, without its files) is passed over,
        which the history and the log say. Where nobody held the alias before, it is withdrawn.

        Parameters
        ----------
        expected, reason, require : as of :meth:`promote`.

        Returns
        -------
        int or None : the version that holds it now; ``None`` where nobody does.

        Raises
        ------
        PromotionConflict : somebody else moved the alias first.
        RegistryError : nobody holds it and nobody did before; or of those that did, none can be promoted.
        """
        _check_words(reason, None, f"rolling '{alias}' of '{name}' back")
        move, held = Move.of(name, alias, symbol, regime, reason), _checked_holder(expected)
        request = Request()

        def write(connection: sa.Connection) -> promotion.Back:
            _ask(require, connection)
            return promotion.give_back(connection, self.artifacts, move, held, request)

        back = self.database.run(write)
        for one in back.passed:
            logger().warning("a version was passed over", alias=move.scope.written(alias), of=name, **one)
        return back.version

    def withdraw(
        self,
        name: str,
        alias: str = CHAMPION,
        *,
        symbol: str | None = None,
        regime: MarketRegime | str | None = None,
        expected: Expected = NOT_CHECKED,
        reason: str,
        actor: str | None = None,
        require: Callable[[sa.Connection], None] | None = None,
    ) -> None:
        """Let nobody hold ``alias`` from here on; one transaction with its audit row.

        That of a symbol or regime is then answered for by the next nearest. :meth:`rollback` undoes it, and so does promoting.

        Parameters
        ----------
        symbol, regime : whose; by default that of all. Aliases of other scopes stay.
        expected, reason, actor, require : as of :meth:`promote`.

        Raises
        ------
        PromotionConflict : somebody else moved the alias first.
        RegistryError : there is no such model, or nobody holds the alias in this scope.
        ConnectionLost : the database went away and did not come back.
        """
        _check_words(reason, actor, f"withdrawing '{alias}' of '{name}'")
        move, held = Move.of(name, alias, symbol, regime, reason, actor=actor), _checked_holder(expected)
        request = Request()

        def write(connection: sa.Connection) -> None:
            _ask(require, connection)
            promotion.take_away(connection, move, held, request)

        self.database.run(write)

    def archive(self, name: str, version: int, *, reason: str) -> None:
        """Take a version out of lists and forbid its promotion; an alias must not point to it."""
        self._set_stage(name, version, "archived", reason)

    def restore(self, name: str, version: int, *, reason: str) -> None:
        """Bring an archived version back."""
        self._set_stage(name, version, "active", reason)

    def _set_stage(self, name: str, version: int, stage: Any, reason: str) -> None:
        _check_words(reason, None, f"archiving or restoring version {version} of '{name}'")
        request = Request()
        self.database.run(lambda connection: stages.set_stage(connection, name, version, stage, reason, request))

    def verify(self, name: str, version: int) -> Verification:
        """Check a stored version from end to end, and write down what came of it; unverified versions are not promoted.

        Its row is held against the audit and the artifact's manifest; the artifact is hashed and rebuilt; where rows were given
        as ``probe`` when it was registered, it must answer them in a fresh process as it did then, bit for bit.
        """
        found = self.database.read(lambda connection: versions.find_version(connection, name, version))
        outcome = verification_of(self.artifacts, found)
        request = Request()
        self.database.run(lambda connection: stages.set_verified(connection, name, version, outcome, request))
        return outcome

    def history(self, name: str) -> pl.DataFrame:
        """Everything that happened to ``name``, oldest first.

        Returns
        -------
        polars.DataFrame : ``[id, at, action, alias, from_version, to_version, reason, actor, details, symbol, regime, evidence,
            metrics_before, metrics_after]``; ``at`` is UTC; ``details``, ``evidence`` and metrics are JSON text.
        """
        return self._of_name(name, audit_chain.history_of)

    def verify_audit(self, name: str | None = None) -> AuditReport:
        """Compute the hashes of the audit of ``name``, or of all names, again; ``.broken`` says where they do not hold."""
        if name is not None:
            return self._of_name(name, audit_chain.verify_chains, one_moment=True)
        return self.database.read(audit_chain.verify_chains, one_moment=True)

    def names(self) -> list[str]:
        """Names of every registered model, sorted."""
        return self.database.read(versions.names)

    def versions(self, name: str) -> list[ModelVersion]:
        """Every version of ``name``, oldest first."""
        return self._of_name(name, versions.versions_of)

    def aliases(self, name: str) -> dict[str, int]:
        """Alias -> version, for ``name``; those of a symbol or regime are written ``champion@BTCUSDT/trending``.

        An :class:`AuditError` says that one of them is not as the audit says.
        """
        found = self._of_name(name, alias_holders.alias_rows, one_moment=True)
        return {Scope(row.symbol, row.regime).written(row.alias): row.version for row in found}

    def _of_name(self, name: str, look: Callable[[sa.Connection, str], T], *, one_moment: bool = False) -> T:
        """What is found of a name that must be registered."""

        def both(connection: sa.Connection) -> T:
            versions.require_name(connection, name)
            return look(connection, name)

        return self.database.read(both, one_moment=one_moment)

    def find(
        self,
        *,
        name: str | None = None,
        tags: Mapping[str, str] | None = None,
        kind: ModelKind | None = None,
        learner: str | None = None,
        run_id: str | None = None,
        stage: str | None = "active",
        limit: int = 50,
        before: int | None = None,
    ) -> list[VersionSummary]:
        """Versions that are as asked, newest first.

        Parameters
        ----------
        tags : key -> value; a version has all of them.
        stage : ``active``, ``archived``, ``removed``, or ``None`` for any.
        limit, before : at most so many, of row numbers below ``before``: give the last ``.id`` of a page to get the next.
        """
        given = {"name": name, "kind": kind, "learner": learner, "run_id": run_id, "stage": stage}
        equal = {key: value for key, value in given.items() if value is not None}
        wanted = dict(tags or {})
        return self.database.read(
            lambda connection: search.find_versions(connection, equal, wanted, limit=limit, before=before)
        )

    def tag(self, name: str, version: int, **tags: str | None) -> None:
        """Set tags of a version; ``None`` takes one away."""
        checked, request = search.checked_tags(tags), Request()
        self.database.run(lambda connection: search.set_tags(connection, name, version, checked, request))

    def tags(self, name: str, version: int) -> dict[str, str]:
        """Key -> value, of a version."""

        def look(connection: sa.Connection) -> dict[str, str]:
            versions.find_version(connection, name, version)
            return search.tags_of(connection, name, version)

        return self.database.read(look)

    def lineage(self, name: str, version: int) -> list[ModelVersion]:
        """The version, what it was derived from, and so on back, as far as it is registered here."""
        return self.database.read(lambda connection: search.lineage_of(connection, name, version))

    def retain(self, policy: RetentionPolicy | None = None, *, dry_run: bool = False) -> RetentionReport:
        """Let versions beyond ``policy`` give up their artifact, which :meth:`collect` removes; cards and audit stay."""
        return retention.retain(self.database, policy or RetentionPolicy(), dry_run=dry_run)

    def collect(self, grace: timedelta = timedelta(hours=1)) -> CollectReport:
        """Remove artifacts that no version refers to and nobody stored within ``grace``."""
        return retention.collect(self.database, self.artifacts, grace=grace)

    def models_for_regime(
        self,
        regime: MarketRegime | str,
        evidence: Evidence | str = Evidence.ESTIMATED,
        *,
        alpha: float = 0.05,
        limit: int | None = None,
    ) -> list[RegimeCandidate]:
        """Models that suit ``regime``, best first; of each learner under each name the newest version that can be promoted.

        Parameters
        ----------
        evidence : the least that is accepted: ``estimated`` (skill over the baseline, measured out of fold, is
            positive), ``significant`` (its adjusted p-value is also at most ``alpha``), or ``declared`` (also models
            whose card only claims it; they come after the measured ones).
        limit : at most so many.
        """
        wanted, least = regime_named(regime), evidence_named(evidence)
        if not 0.0 <= alpha <= 1.0:
            raise RegistryError(f"alpha is {alpha}; a share from 0 to 1 was expected.")
        if limit is not None and limit < 1:
            raise RegistryError(f"a list of at most {limit} models cannot be given; 1 or more were expected.")
        return self.database.read(lambda connection: regime_rows.candidates(connection, wanted, least, alpha, limit))

    def record_regimes(self, name: str, version: int, skills: Iterable[RegimeSkill], *, reason: str = "measured later") -> None:
        """Put what was measured of a version by regime, on live losses say, in the place of what was known; audited."""
        measured, request = tuple(skills), Request()
        if not measured:
            raise RegistryError(
                f"no skill of version {version} of '{name}' was given; that of one regime at least was expected."
            )
        self.database.run(lambda connection: regime_rows.measure(connection, name, version, measured, reason, request))


def _ask(require: Callable[[sa.Connection], None] | None, connection: sa.Connection) -> None:
    if require is not None:
        require(connection)


def _check_words(reason: Any, actor: Any, what: str) -> None:
    if not (isinstance(reason, str) and reason.strip()):
        raise RegistryError(f"{what} needs a reason in words.")
    check_text(reason, "reason")
    if not isinstance(actor, str | None):
        raise RegistryError(f"actor is {actor!r}; a name was expected.")
    if actor is not None:
        check_text(actor, "actor")


def _checked_holder(expected: Expected) -> Expected:
    return expected if expected is None or expected is NOT_CHECKED else version_number(expected, "expected")
