"""What the Mechanic does to aliases, each time looking first: a step that was killed half-way is found done, or done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from huracan.errors import PromotionConflict, PromotionsFrozen, RegistryError
from huracan.integration.feedback.switch import Switch
from huracan.model_registry import ModelRegistry
from huracan.registry.scopes import Scope
from huracan.serving.routes import holders

__all__ = [
    "CHALLENGER",
    "CHAMPION",
    "Moved",
    "give_back",
    "holder_of",
    "keep_challenger",
    "let_challenger_go",
    "take_over",
]

CHAMPION = "champion"
CHALLENGER = "challenger"
"""Alias that keeps a version in shadow from being given up by retention."""
_SOMEBODY = "Somebody else moved the alias first."


@dataclass(frozen=True)
class Moved:
    """Whether a move is done, now or by a turn that was killed; ``why`` says what stood against it.

    ``waits`` : promotions were frozen before it was done.
    """

    done: bool
    why: str = ""
    waits: bool = False


def take_over(
    registry: ModelRegistry,
    switch: Switch,
    name: str,
    version: int,
    scope: Scope,
    *,
    expected: int | None,
    reason: str,
    evidence: Sequence[str] = (),
) -> Moved:
    """Make a version champion of a scope in the place of ``expected``, which is None where nobody is to be."""
    holder = holder_of(registry, name, CHAMPION, scope)
    if holder == version:
        return Moved(True)
    if holder != expected:
        return Moved(False, _SOMEBODY)
    symbol, regime = scope.symbol or None, scope.regime or None
    try:
        registry.promote(
            name,
            version,
            symbol=symbol,
            regime=regime,
            expected=expected,
            reason=reason,
            evidence=tuple(evidence),
            require=switch.require,
        )
    except PromotionsFrozen as error:
        return Moved(False, str(error), waits=True)
    except PromotionConflict:
        return Moved(False, _SOMEBODY)
    except RegistryError as error:  # archived meanwhile, its files damaged or gone
        return Moved(False, str(error))
    return Moved(True)


def give_back(
    registry: ModelRegistry, switch: Switch, name: str, version: int, before: int, scope: Scope, *, reason: str
) -> Moved:
    """Give a scope back from ``version`` to ``before``, that held it, or to one further back where that cannot be promoted."""
    holder = holder_of(registry, name, CHAMPION, scope)
    if holder == before or _was_given_back(registry, name, version, scope):
        return Moved(True)
    if holder != version:
        return Moved(False, _SOMEBODY)
    symbol, regime = scope.symbol or None, scope.regime or None
    try:
        registry.rollback(name, symbol=symbol, regime=regime, expected=version, reason=reason, require=switch.require)
    except PromotionsFrozen as error:
        return Moved(False, str(error), waits=True)
    except PromotionConflict:
        return Moved(False, _SOMEBODY)
    except RegistryError as error:  # of those before it none can be promoted any more
        return Moved(False, str(error))
    return Moved(True)


def _was_given_back(registry: ModelRegistry, name: str, version: int, scope: Scope) -> bool:
    """Whether the newest move of a scope's champion was that it was given back from ``version``, to whomever."""
    history = registry.history(name)
    moves = history.filter(
        pl.col("alias") == CHAMPION,
        pl.col("symbol").fill_null("") == scope.symbol,
        pl.col("regime").fill_null("") == scope.regime,
    )
    return moves.select("action", "from_version").tail(1).rows() == [("rollback", version)]


def keep_challenger(registry: ModelRegistry, name: str, version: int, scope: Scope) -> None:
    """Point the alias ``challenger`` of a scope at a version."""
    if holder_of(registry, name, CHALLENGER, scope) != version:
        registry.promote(
            name,
            version,
            alias=CHALLENGER,
            symbol=scope.symbol or None,
            regime=scope.regime or None,
            reason="it is asked about the same bars as the champion",
        )


def let_challenger_go(registry: ModelRegistry, name: str, version: int, scope: Scope) -> None:
    """Take the alias ``challenger`` of a scope from a version, if it has it."""
    if holder_of(registry, name, CHALLENGER, scope) == version:
        registry.withdraw(
            name,
            CHALLENGER,
            symbol=scope.symbol or None,
            regime=scope.regime or None,
            expected=version,
            reason="its time beside the champion is over",
        )


def holder_of(registry: ModelRegistry, name: str, alias: str, scope: Scope) -> int | None:
    """Who holds an alias of this very scope; None where nobody does, or the name is not registered yet."""
    try:
        return holders(registry, name, alias, required=False).get(scope)
    except RegistryError:
        if name in registry.names():
            raise
        return None
