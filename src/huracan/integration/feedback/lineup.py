"""Who answers for whom at a turn: the registry's champions, as far as they can be served, each loaded once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
import sqlalchemy as sa

from huracan.config import HuracanConfig
from huracan.errors import ArtifactDamaged, ArtifactError, ArtifactMissing, RegistryError
from huracan.integration.feedback.aliases import CHAMPION
from huracan.model_info import MarketRegime
from huracan.model_registry import ModelRegistry
from huracan.registry.scopes import Scope
from huracan.serving.placing import DOES_NOT_FIT
from huracan.serving.routes import Route, holders, route_of
from huracan.serving.served import Served, load_served
from huracan.storage.tables import model_versions

__all__ = ["SHARE", "Bench", "Lineup"]

SHARE = "Hosts that share a database have to share home, or its folder artifacts, too"
"""What is to be done where a version's files are on another host."""

_Files = tuple[tuple[str, int, int, int, int], ...]
"""Name, size, times of the last change of content and of facts, and number of each file, by name."""


@dataclass(frozen=True)
class Lineup:
    """Who answers for whom.

    Attributes
    ----------
    held : scope -> version, as the registry has it. able : the same as far as they can be served; in the place of one that
        cannot be stands the newest champion before it that can. routes : symbol -> who answers for it in which regime.
    served : version -> what is needed of it. trouble : version that cannot be served -> why, and who answers in its place.
    absent : champions whose files are not in this host's folder of artifacts, whole as they may be on another's.
    """

    held: Mapping[Scope, int] = field(default_factory=dict)
    able: Mapping[Scope, int] = field(default_factory=dict)
    routes: Mapping[str, Route] = field(default_factory=dict)
    served: Mapping[int, Served] = field(default_factory=dict)
    trouble: Mapping[int, str] = field(default_factory=dict)
    absent: frozenset[int] = frozenset()

    def waits_for(self, scope: Scope) -> int | None:
        """The champion of a scope where its files are only not here, so that none is made or chosen in its place."""
        version = self.held.get(scope)
        return version if version in self.absent else None

    @property
    def unanswered(self) -> dict[str, str]:
        """Symbols that no champion answers for, or not in every regime -> in words where not; empty where nowhere."""
        gaps = {
            symbol: [regime.value for regime in MarketRegime if regime not in route.answers]
            for symbol, route in self.routes.items()
        }
        return {
            symbol: "" if len(missing) == len(MarketRegime) else f" where it is {' or '.join(missing)}"
            for symbol, missing in gaps.items()
            if missing
        }

    def symbols_of(self, version: int) -> tuple[str, ...]:
        """Symbols that a version may have to answer for, whose candles it therefore takes."""
        return tuple(symbol for symbol, route in self.routes.items() if version in route.versions)

    def answering(self) -> dict[int, tuple[str, ...]]:
        """Version -> symbols, of all that may have to answer."""
        versions = dict.fromkeys(version for route in self.routes.values() for version in route.versions)
        return {version: self.symbols_of(version) for version in sorted(versions)}


class Bench:
    """Versions of one name that were loaded and found fit, kept from turn to turn while their files stay as they were.

    Parameters
    ----------
    check : raises what speaks against a version that could be loaded: columns, output, bars that are not those of the task.
    """

    def __init__(
        self,
        registry: ModelRegistry,
        config: HuracanConfig,
        name: str,
        check: Callable[[Served], None] = lambda served: None,
    ) -> None:
        self.registry, self.config, self.name, self._check = registry, config, name, check
        self._served: dict[int, Served] = {}
        self._files: dict[int, _Files] = {}
        self._ids: dict[int, int] = {}

    def served(self, version: int) -> Served:
        """A version, ready to be asked.

        Files of one that is kept are looked at, names, sizes and times: where they are not those that it was loaded of, it is
        loaded anew, and every bit compared with its hash. What cannot be read at present is served from memory meanwhile.

        Raises
        ------
        HuracanError, ArithmeticError, LookupError, ... : why it cannot be served (``DOES_NOT_FIT``).
        """
        kept = self._served.get(version)
        if kept is not None and self._files[version] == _files_in(self.registry.artifacts.path(kept.version.digest)):
            return kept
        try:
            self._load(version)
        except DOES_NOT_FIT as error:
            passes = isinstance(error, ArtifactError) and not isinstance(error, ArtifactDamaged | ArtifactMissing)
            if kept is not None and passes:
                return kept
            self._served.pop(version, None)
            raise
        return self._served[version]

    def _load(self, version: int) -> None:
        serving = self.config.serving
        found = self.registry.get(self.name, version=version)
        files = _files_in(self.registry.artifacts.path(found.digest))
        made = load_served(
            self.registry,
            found,
            alias=None,
            generation=0,
            max_age=serving.max_age,
            anomaly_share=serving.anomaly_share,
            onnx=serving.onnx == "auto",
        )
        self._check(made)
        self._served[version], self._files[version] = made, files

    def id_of(self, version: int) -> int:
        """Row of a version in the database, by which live rows name it."""
        if version not in self._ids:
            find = sa.select(model_versions.c.id).where(model_versions.c.name == self.name, model_versions.c.version == version)
            found = self.registry.database.read(lambda connection: connection.execute(find).scalar_one_or_none())
            if found is None:
                raise RegistryError(f"model '{self.name}' has no version {version}.")
            self._ids[version] = int(found)
        return self._ids[version]

    def lineup(self, symbols: Iterable[str]) -> Lineup:
        """Who answers for these symbols now; empty where nobody is champion."""
        held = self.holders()
        able: dict[Scope, int] = {}
        trouble: dict[int, str] = {}
        for scope, version in held.items():
            instead = self._first_able(scope, version, trouble)
            if instead is not None:
                able[scope] = instead
        routes = {symbol: route_of(able, symbol) for symbol in symbols} if able else {}
        needed = {version for route in routes.values() for version in route.versions}
        served = {version: self._served[version] for version in sorted(needed)}
        return Lineup(held, able, routes, served, trouble, frozenset(filter(self.is_absent, trouble)))

    def trouble_of(self, version: int) -> str:
        """Why a version cannot be served, in a sentence; empty where it can be."""
        try:
            self.served(version)
        except DOES_NOT_FIT as error:
            said = str(error) or type(error).__name__
            return said if said.endswith((".", "?")) else f"{said}."
        return ""

    def is_absent(self, version: int) -> bool:
        """Whether a version cannot be served because its files are not in this host's folder; damaged ones are there."""
        try:
            self.served(version)
        except ArtifactMissing:
            return True
        except DOES_NOT_FIT:
            return False
        return False

    def before(self, scope: Scope, version: int) -> int | None:
        """The newest champion of a scope before a version that can be served; None where there is none."""
        return next((one for one in self._held_before(scope) if one != version and not self.trouble_of(one)), None)

    def holders(self) -> dict[Scope, int]:
        """Scope -> champion, as the registry has it; none where nobody is, or the name is not there."""
        try:
            return holders(self.registry, self.name, CHAMPION, required=False)
        except RegistryError:
            if self.name in self.registry.names():
                raise
            return {}

    def forget(self, keep: Iterable[int]) -> None:
        """Let all versions go but these."""
        kept = set(keep)
        self._served = {version: one for version, one in self._served.items() if version in kept}

    def _first_able(self, scope: Scope, version: int, trouble: dict[int, str]) -> int | None:
        """The champion of a scope, or the newest before it that can be served; what speaks against one goes to ``trouble``."""
        why = self.trouble_of(version)
        if not why:
            return version
        before = self.before(scope, version)
        instead = "There is none before it that can be." if before is None else f"Version {before} answers instead."
        if self.is_absent(version):
            instead += f" {SHARE}, and until it is there none is trained in its place."
        trouble[version] = f"version {version} of '{self.name}' is not served: {why} {instead}"
        return before

    def _held_before(self, scope: Scope) -> list[int]:
        """Who held the scope before, newest first."""
        history = self.registry.history(self.name)
        moves = history.filter(
            pl.col("alias") == CHAMPION,
            pl.col("from_version").is_not_null(),
            pl.col("symbol").fill_null("") == scope.symbol,
            pl.col("regime").fill_null("") == scope.regime,
        )
        return list(dict.fromkeys(int(version) for version in moves["from_version"].reverse().to_list()))


def _files_in(folder: Path) -> _Files:
    """What tells whether anybody touched an artifact's files since; nothing where they cannot be listed."""
    try:
        with os.scandir(folder) as entries:
            looked = [(entry.name, entry.stat(follow_symlinks=False)) for entry in entries]
    except OSError:
        return ()
    return tuple(sorted((name, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino) for name, facts in looked))
