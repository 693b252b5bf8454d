"""For whom an alias stands: for all, for one symbol, for one regime, or for one symbol in one regime."""

from __future__ import annotations

from dataclasses import dataclass

from huracan.errors import RegistryError, nearest_name
from huracan.model_info import MarketRegime

__all__ = ["ALL", "Scope", "check_alias", "check_label", "check_text", "regime_named", "scope_of"]


@dataclass(frozen=True)
class Scope:
    """``symbol`` and ``regime``, each empty where it stands for all.

    >>> Scope("BTCUSDT", "trending").written("champion"), Scope("", "trending").written("champion"), ALL.written("champion")
    ('champion@BTCUSDT/trending', 'champion@*/trending', 'champion')
    """

    symbol: str = ""
    regime: str = ""

    def written(self, alias: str) -> str:
        """The alias with its scope, as lists and errors show it."""
        if not self.symbol and not self.regime:
            return alias
        return f"{alias}@{self.symbol or '*'}" + (f"/{self.regime}" if self.regime else "")

    @classmethod
    def read(cls, text: str) -> tuple[str, Scope]:
        """The alias and the scope that :meth:`written` wrote.

        >>> Scope.read("champion@BTC/USDT/trending"), Scope.read("champion@BTC/USDT")
        (('champion', Scope(symbol='BTC/USDT', regime='trending')), ('champion', Scope(symbol='BTC/USDT', regime='')))
        """
        alias, _, scope = text.partition("@")
        symbol, _, regime = scope.rpartition("/")
        if regime not in set(MarketRegime):
            symbol, regime = scope, ""
        return alias, cls("" if symbol == "*" else symbol, regime)


ALL = Scope()
"""The scope of an alias that stands for every symbol and regime."""


def scope_of(symbol: str | None, regime: MarketRegime | str | None) -> Scope:
    """The scope of what a caller gave.

    Raises
    ------
    RegistryError : the symbol is no text that can be shown, or there is no such regime; the nearest is named.
    """
    if symbol is not None:
        check_label(symbol, "symbol")
        if symbol == "*" or symbol.rpartition("/")[2] in set(MarketRegime):
            raise RegistryError(f"symbol '{symbol}' cannot be used; written behind an alias it would mean a regime of others.")
    return Scope(symbol or "", regime_named(regime).value if regime is not None else "")


def regime_named(regime: MarketRegime | str) -> MarketRegime:
    """The regime of that name; a :class:`RegistryError` lists those there are and offers the nearest."""
    try:
        return MarketRegime(regime)
    except ValueError as error:
        near = str(nearest_name(str(regime), list(MarketRegime), kind="regime")).partition("; did you mean ")[2]
        hint = f"; did you mean {near.partition('?')[0]}?" if near else "."
        raise RegistryError(f"regime '{regime}' does not exist; expected one of {', '.join(MarketRegime)}{hint}") from error


def check_alias(alias: str) -> None:
    """Make sure that ``alias`` reads as one wherever it is written: ``btc@champion``, ``champion@BTCUSDT/trending``.

    Raises
    ------
    RegistryError : it cannot name anything, has an ``@`` or ``/``, or is a number.
    """
    check_label(alias, "alias")
    if "@" in alias or "/" in alias or alias.isdecimal():
        raise RegistryError(
            f"alias '{alias}' cannot be used: written down it would mean another symbol, regime or version; a name without '@' "
            "and '/' that is no number was expected, and whose it is as symbol= and regime=."
        )


def check_label(text: str, what: str) -> None:
    """Make sure that ``text`` can name something.

    Raises
    ------
    RegistryError : it is empty, longer than 200 characters, not printable, or has outer spaces.
    """
    if not isinstance(text, str) or not text or text != text.strip() or len(text) > 200 or not text.isprintable():
        raise RegistryError(
            f"{what} {text!r} cannot be used; 1 to 200 printable characters without outer spaces were expected."
        )


def check_text(text: str, what: str) -> None:
    """Make sure that both databases can keep a text.

    Raises
    ------
    RegistryError : it has a zero byte, or half a character, as text that is no UTF-8 is read.
    """
    if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise RegistryError(f"{what} {text!r} cannot be kept; text in UTF-8 without zero bytes was expected.")
