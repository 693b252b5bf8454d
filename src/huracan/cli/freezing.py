"""Whose promotions are frozen: somebody who is there, in a database that is there; and who may move a champion meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from huracan.cli.options import load
from huracan.cli.registries import database_and_artifacts, registry_of

if TYPE_CHECKING:
    import sqlalchemy as sa

    from huracan.integration.feedback.switch import Switch
    from huracan.model_registry import ModelRegistry

__all__ = ["asked", "frozen_names", "switch_of"]


def switch_of(name: str | None, config: Path | None, home: Path | None, *, thaw: bool = False) -> tuple[Switch, str]:
    """The switch of a name, or that of all, and in words whose it is. No database is made: nobody would be frozen by it.

    Raises
    ------
    StorageError : there is no database, or nobody in it; of a thaw, nor was anything frozen.
    UnknownName : no Mechanic has worked under the name and nothing is registered under it; of a thaw, nor was it frozen.
    """
    from huracan.errors import RegistryError, StorageError, UnknownName, nearest_name
    from huracan.integration.feedback.lease import names_that_worked
    from huracan.integration.feedback.switch import EVERY_NAME, Switch, switches_by_name
    from huracan.storage.schema import revision_of

    said = f"nothing was {'thawed' if thaw else 'frozen'}"
    try:
        database, _ = database_and_artifacts(config, home)
    except RegistryError as error:
        raise StorageError(f"{said}: {error}") from error
    place = str(Path(database.url.database or "").absolute()) if database.is_sqlite else database.where
    with database.reading() as connection:
        if revision_of(connection) is None:
            raise StorageError(f"{said}: {place} has no tables of Huracan; --home or --config names another database.")
    registry, folder = registry_of(config, home), load(config, home=home).home
    known = {*names_that_worked(registry.database), *registry.names()}
    known |= switches_by_name(registry.database).keys() if thaw else set()
    if not known:
        raise StorageError(
            f"{said}: no Mechanic has worked in {place} yet, and no model is there; --home or --config names another database, "
            "and a file FREEZE in the home folder freezes one that is to begin there."
        )
    if name is None:
        return Switch(registry.database, EVERY_NAME, folder), f"every Mechanic of {place}"
    if name not in (known := known - {EVERY_NAME}):
        hint = "" if thaw else " One that has not worked yet is frozen with all others, without --name."
        raise UnknownName(f"{said}: {nearest_name(name, known, kind='Mechanic')}{hint}")
    return Switch(registry.database, name, folder), f"'{name}'"


def frozen_names(registry: ModelRegistry) -> dict[str, str]:
    """Names of which promotions are frozen, each by itself, and in words since when, by whom and why."""
    from huracan.integration.feedback.switch import EVERY_NAME, switches_by_name

    states = switches_by_name(registry.database)
    return {name: state.sentence for name, state in states.items() if state.frozen and name != EVERY_NAME}


def asked(
    registry: ModelRegistry, name: str, alias: str, config: Path | None, home: Path | None, *, although_frozen: bool
) -> Callable[[sa.Connection], None] | None:
    """What is asked before a person moves an alias: the switch, where it is the champion's; nothing where told otherwise."""
    from huracan.errors import PromotionsFrozen
    from huracan.integration.feedback.aliases import CHAMPION
    from huracan.integration.feedback.switch import Switch

    if although_frozen or alias != CHAMPION:
        return None
    switch = Switch(registry.database, name, load(config, home=home).home)

    def require(connection: sa.Connection) -> None:
        try:
            switch.require(connection)
        except PromotionsFrozen as frozen:
            raise PromotionsFrozen(
                f"{frozen} Thaw them (huracan mechanic thaw REASON), or move it all the same with --although-frozen."
            ) from frozen

    return require
