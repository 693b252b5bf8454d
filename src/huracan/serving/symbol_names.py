"""Who holds an alias where each symbol's models have a name of their own, as runs with one model a symbol leave them."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from huracan.model_registry import ModelRegistry
from huracan.registry.scopes import Scope
from huracan.registry.versions import audit_lengths
from huracan.serving.routes import holders

__all__ = ["SymbolNames"]

_BEYOND = 2**31  # every version's number


class SymbolNames:
    """The scopes of an alias of ``name`` and of ``name.<symbol>``, as one.

    What is champion of ``name.BTC`` counts as champion of the symbol BTC. Where ``name`` itself has the alias for that symbol,
    that goes first.

    Versions of ``name`` go by their numbers, those of other names by *keys* beyond them, which :meth:`version` resolves.

    Parameters
    ----------
    by : which scopes count, as of :func:`~huracan.serving.routes.holders`; without ``symbol`` no other name is looked at.
    """

    def __init__(self, registry: ModelRegistry, name: str, alias: str, by: Collection[str]) -> None:
        self._registry, self._name, self._alias, self._by = registry, name, alias, by
        self._keys: dict[tuple[str, int], int] = {}
        self._others: list[tuple[str, int]] = []
        self._read: dict[str, tuple[int, dict[Scope, int]]] = {}

    def holders(self, symbols: Iterable[str]) -> dict[Scope, int]:
        """Scope -> version or key, now. Names under which nothing has happened since the last look are not read again.

        Raises
        ------
        RegistryError : there is no such name, of its own or of a symbol; or nobody holds the alias.
        """
        lengths = self._registry.database.read(audit_lengths)
        known = {f"{self._name}.{symbol}": symbol for symbol in symbols} if "symbol" in self._by else {}
        named = {other: symbol for other, symbol in known.items() if other in lengths}
        found: dict[Scope, int] = {}
        for other, symbol in named.items():
            length, scopes = self._read.get(other, (0, {}))
            if length != lengths[other]:
                scopes = holders(self._registry, other, self._alias, self._by, required=False)
                self._read[other] = lengths[other], scopes
            for scope in sorted(scopes, key=lambda scope: scope.symbol):  # for all symbols first
                if scope.symbol in ("", symbol):
                    found[Scope(symbol, scope.regime)] = self._key(other, scopes[scope])
        if self._name in lengths or not named:
            found |= holders(self._registry, self._name, self._alias, self._by, required=not found)
        return found

    def version(self, key: int) -> tuple[str, int]:
        """Name and number of a version."""
        return (self._name, key) if key < _BEYOND else self._others[key - _BEYOND]

    def written(self, key: int) -> str:
        """A version in words: its number, and its name where that is another."""
        return str(key) if key < _BEYOND else "{}/{}".format(*self.version(key))

    def _key(self, name: str, version: int) -> int:
        if (name, version) not in self._keys:
            self._keys[name, version] = _BEYOND + len(self._others)
            self._others.append((name, version))
        return self._keys[name, version]
