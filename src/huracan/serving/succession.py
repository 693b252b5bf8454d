"""From who holds an alias to who is served: versions are loaded, and those that cannot be give way to the one before."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from huracan.errors import RegistryError
from huracan.regimes import RegimeClassifier
from huracan.registry.scopes import ALL, Scope
from huracan.serving.placing import DOES_NOT_FIT
from huracan.serving.routes import Route, route_of
from huracan.serving.served import Served

__all__ = ["Succession", "succeed"]


@dataclass(frozen=True)
class Succession:
    """Who answers for whom.

    Attributes
    ----------
    held : scope -> version, as far as it can be served. served : what is needed of each version. routes : symbol -> its route.
    watched : versions that take candles without answering. rules : by which regimes decide who answers; None where nobody's
        answer depends on one.
    """

    held: Mapping[Scope, int] = field(default_factory=dict)
    served: Mapping[int, Served] = field(default_factory=dict)
    routes: Mapping[str, Route] = field(default_factory=dict)
    watched: tuple[int, ...] = ()
    rules: RegimeClassifier | None = None

    @property
    def wanted(self) -> dict[int, tuple[str, ...]]:
        """Version -> symbols whose candles it takes."""
        symbols: dict[int, list[str]] = {version: list(self.routes) for version in self.watched}
        for symbol, route in self.routes.items():
            for version in route.versions:
                if version not in self.watched:
                    symbols.setdefault(version, []).append(symbol)
        return {version: tuple(of) for version, of in symbols.items()}


def succeed(
    before: Succession,
    held: Mapping[Scope, int],
    symbols: Iterable[str],
    load: Callable[[int], Served],
    *,
    alias: str,
    watched: tuple[int, ...],
    unfit: dict[int, Exception],
    stay: Mapping[str, Exception],
    written: Callable[[int], str] = str,
) -> Succession:
    """Who follows ``before``.

    Parameters
    ----------
    held : scope -> version, as the registry has it. load : gives what is needed of a version, or raises.
    unfit : versions that cannot be served, with the reason; those that cannot be loaded are added. Their scopes keep who had
        them before; a scope that had nobody is answered for by the next nearest. Where nobody is champion of a symbol any more,
        nobody answers for it.
    stay : symbols whose route stays what it was, with the reason. written : a version in words.

    Raises
    ------
    RegistryError : nobody is champion of any symbol, now or before. What speaks against the only champion of a symbol that had
        none before.
    """
    served = dict(before.served)
    for version in watched:
        if version not in served:
            served[version] = load(version)
    while True:
        able = _able(before.held, held, unfit)
        routes = {symbol: route_of(able, symbol, alias) for symbol in symbols}
        missing = {version for route in routes.values() for version in route.versions} - served.keys()
        if not missing:
            break
        for version in missing:
            try:
                served[version] = load(version)
            except DOES_NOT_FIT as error:
                unfit[version] = error
    nobody: list[str] = []
    for symbol, route in routes.items():
        wanted = route_of(held, symbol, alias)
        trouble = [
            f"{scope} points to {written(version)}, which is not served: {unfit[version]}"
            for version, scope in dict.fromkeys(wanted.answers.values())
            if version in unfit
        ]
        if not wanted.answers:
            nobody.append(symbol)
        elif symbol in stay or not route.answers:
            reason = stay.get(symbol) or next(unfit[version] for version in wanted.versions if version in unfit)
            if symbol not in before.routes:
                raise reason
            route, trouble = before.routes[symbol], [f"who answered for {symbol} before goes on: {reason}"]
        routes[symbol] = replace(route, trouble="; ".join(trouble) or None)
    others = next((route.versions[:1] for route in routes.values() if route.answers), ())
    for symbol in nobody:
        takes = before.routes[symbol].versions if symbol in before.routes else others
        if not takes:
            raise RegistryError(f"nobody is {Scope(symbol).written(alias)}, in any regime, and nobody for all.")
        routes[symbol] = Route({}, takes=takes)
    needed = {version for route in routes.values() for version in route.versions} | {*watched}
    served = {version: one for version, one in served.items() if version in needed}
    return Succession(able, served, routes, watched, _rules(able, served, routes.values()))


def _able(before: Mapping[Scope, int], held: Mapping[Scope, int], unfit: Mapping[int, Exception]) -> dict[Scope, int]:
    able: dict[Scope, int] = {}
    for scope, version in held.items():
        found = before.get(scope) if version in unfit else version
        if found is not None and found not in unfit:
            able[scope] = found
    return able


def _rules(able: Mapping[Scope, int], served: Mapping[int, Served], routes: Iterable[Route]) -> RegimeClassifier | None:
    """Those of the champion for all, else of the first that has some."""
    if not any(route.asks_regime for route in routes):
        return None
    order = sorted(able, key=lambda scope: (scope != ALL, bool(scope.regime), scope.symbol, scope.regime))
    versions = [able[scope] for scope in order if able[scope] in served] + [*served]  # a route that stays may go by others
    return next((rules for version in versions if (rules := served[version].classifier) is not None), None)
