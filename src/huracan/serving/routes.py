"""Who answers for a symbol in which regime, by the scopes of an alias."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from huracan.errors import RegistryError
from huracan.model_info import MarketRegime
from huracan.model_registry import ModelRegistry
from huracan.registry.alias_holders import alias_rows, no_alias, was_held
from huracan.registry.scopes import Scope

__all__ = ["SCOPED_BY", "Route", "check_scoped_by", "holders", "route_of"]

SCOPED_BY = ("symbol", "regime")
"""What an alias may be scoped by."""


@dataclass(frozen=True)
class Route:
    """Who answers for one symbol.

    Attributes
    ----------
    answers : regime -> (version, alias with its scope, such as ``champion@BTCUSDT/trending``); ``None`` for a regime that is
        not known yet. Regimes without a champion are left out.
    trouble : why this is not what the registry says, or None.
    takes : where nobody is champion in any regime, versions that take the candles without answering, so that who becomes
        champion finds them.
    """

    answers: Mapping[MarketRegime | None, tuple[int, str]]
    trouble: str | None = None
    takes: tuple[int, ...] = ()

    @property
    def versions(self) -> tuple[int, ...]:
        """Every version that takes the symbol's candles, since it may have to answer."""
        return tuple(dict.fromkeys(version for version, _ in self.answers.values())) or self.takes

    @property
    def asks_regime(self) -> bool:
        """Whether who answers depends on the regime."""
        return bool(self.answers) and (len(set(self.answers.values())) > 1 or len(self.answers) <= len(MarketRegime))


def check_scoped_by(by: Collection[str]) -> tuple[str, ...]:
    """``by`` in a fixed order; a :class:`RegistryError` for anything but ``symbol`` and ``regime``."""
    if isinstance(by, str) or not set(by) <= set(SCOPED_BY):
        raise RegistryError(f"by is {by!r}; some of {SCOPED_BY} were expected, such as ('symbol',).")
    return tuple(name for name in SCOPED_BY if name in by)


def holders(
    registry: ModelRegistry, name: str, alias: str, by: Collection[str] = SCOPED_BY, *, required: bool = True
) -> dict[Scope, int]:
    """Scope -> version, of every scope of an alias that ``by`` allows; none where it was withdrawn from all.

    Raises
    ------
    RegistryError : nobody ever held the alias, where that is ``required``; the nearest that is held is named.
    AuditError : the audit says that others do.
    """
    with registry.database.reading(one_moment=True) as connection:
        found = {Scope(row.symbol, row.regime): row.version for row in alias_rows(connection, name, alias)}
        if required and not found and not was_held(connection, name, alias):
            raise no_alias(connection, name, alias, Scope())
    return {
        scope: version
        for scope, version in found.items()
        if ("symbol" in by or not scope.symbol) and ("regime" in by or not scope.regime)
    }


def route_of(held: Mapping[Scope, int], symbol: str, alias: str = "champion") -> Route:
    """The nearest scope of ``symbol`` in each regime: symbol and regime, symbol, regime, all.

    Examples
    --------
    >>> route = route_of({Scope(): 1, Scope("BTC"): 2, Scope("BTC", "trending"): 3, Scope("", "volatile"): 4}, "BTC")
    >>> route.answers[MarketRegime.TRENDING], route.answers[MarketRegime.VOLATILE], route.answers[None]
    ((3, 'champion@BTC/trending'), (2, 'champion@BTC'), (2, 'champion@BTC'))
    """
    answers: dict[MarketRegime | None, tuple[int, str]] = {}
    for regime in (None, *MarketRegime):
        nearest = [Scope(symbol), Scope()]
        if regime is not None:
            nearest = [Scope(symbol, regime.value), nearest[0], Scope("", regime.value), nearest[1]]
        scope = next((scope for scope in nearest if scope in held), None)
        if scope is not None:
            answers[regime] = held[scope], scope.written(alias)
    return Route(answers)
