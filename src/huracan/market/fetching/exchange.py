"""One exchange, asked through ccxt: its markets, its clock, its candles and funding rates.

ccxt's blocking classes are used, one instance a thread. A page costs the exchange's answer time and the store's writing,
both of which block; an event loop would need a thread for the second anyway, and a handful of threads already asks as
fast as any exchange allows. All instances share the markets and one :class:`~huracan.market.fetching.patience.Patience`.
"""

from __future__ import annotations

import difflib
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, TypeVar

from huracan.errors import CandleError, DataError, DependencyMissing, ExchangeError, UnknownName
from huracan.market.bar_lengths import length_in_ms
from huracan.market.columns import shown
from huracan.market.fetching.patience import Answer, Failure, Patience, seconds_to_wait
from huracan.market.segments import written_length

if TYPE_CHECKING:
    import ccxt

__all__ = ["Exchange"]

T = TypeVar("T")

_PASSING = frozenset({408, 425})
"""HTTP statuses below 500 that pass by themselves, beside those of limits."""
_USUAL_PAGE = 100
"""Bars a page holds where ccxt does not know: what the most modest exchanges give."""


class Exchange:
    """An exchange that any number of threads may ask.

    Parameters
    ----------
    name : ccxt's id of the exchange, such as ``"binance"`` or ``"kraken"``.
    options : handed to ccxt's class: ``timeout`` in milliseconds, ``httpsProxy``, ``urls``, ``options``, ...
    patience : the manners; shared by all threads.

    Raises
    ------
    DependencyMissing : ccxt is not installed.
    UnknownName : ccxt knows no such exchange; the nearest is offered.
    ExchangeError : the exchange has no candles, or ccxt refuses the options.
    """

    def __init__(self, name: str, options: Mapping[str, Any] | None = None, *, patience: Patience | None = None) -> None:
        self.name = name
        self.patience = patience or Patience()
        self._kind = _polite(_class_named(name), self.patience)
        self._options = dict(options or {})
        self._mine = threading.local()
        self._first = self._mine.connection = self._connection()
        if self._first.has.get("fetchOHLCV") is not True or not self._first.timeframes:
            raise ExchangeError(f"{name} has no candles to download through ccxt; another exchange was expected.")
        self._clock_lead = 0.0

    def connect(self) -> None:
        """Load the markets and read the exchange's clock.

        Raises
        ------
        ExchangeError : the exchange cannot be reached, or refuses.
        """
        self._asked(self._first.load_markets, "its list of markets")
        if not self._first.markets:
            raise ExchangeError(f"{self.name} lists no markets.")
        self._read_clock()

    def now(self) -> int:
        """The exchange's time in milliseconds since 1970, late by at most the time an answer takes, never early.

        Its own clock where it has one, else the date of its answers, else this machine's clock.
        """
        return int(time.time() * 1000 + self._clock_lead)

    def timeframe(self, bar: str) -> str:
        """ccxt's name of a bar length: ``60m`` and ``1h`` are the same.

        Raises
        ------
        UnknownName : the exchange has no such bars; those it has are listed.
        CandleError : the bar is no length of time.
        """
        wanted = length_in_ms(bar)
        lengths = {length: name for name in self._first.timeframes if (length := _fixed_length(name))}
        if wanted in lengths:
            return lengths[wanted]
        nearest = min(lengths, key=lambda length: abs(length - wanted))
        raise UnknownName(
            f"{self.name} has no bars of {written_length(wanted)}; did you mean '{lengths[nearest]}'? "
            f"Known: {', '.join(lengths[length] for length in sorted(lengths))}."
        )

    def has_bar(self, timeframe: str) -> bool:
        """Whether the exchange has bars of that name."""
        return timeframe in self._first.timeframes

    def symbol(self, written: str) -> str:
        """ccxt's unified symbol for a symbol as users write it: ``BTC-USDT``, ``btcusdt`` and ``BTC/USDT`` are the same.

        A spot market comes before a perpetual of the same letters; ``BTC/USDT:USDT`` means the perpetual.

        Raises
        ------
        UnknownName : the exchange does not list it; the nearest it lists are offered.
        """
        markets: Mapping[str, Any] = self._first.markets
        if written in markets:
            return written
        codes = [self._first.safe_currency_code(part) or "" for part in re.split(r"[^A-Z0-9]+", written.upper())]
        letters = "".join(codes)  # XBT is BTC
        matching = [name for name, market in markets.items() if letters in (_letters(name), _letters(str(market.get("id"))))]
        if not matching and ":" not in written:
            swaps = [name for name, market in markets.items() if market.get("swap")]
            matching = [name for name in swaps if _letters(name.split(":")[0]) == letters]
        if matching:
            kinds = {name: (not markets[name].get("spot"), not markets[name].get("swap")) for name in matching}
            return min(matching, key=lambda name: (kinds[name], len(name), name))
        close = _nearest_markets(written.upper(), markets)
        hint = f"; did you mean {' or '.join(repr(name) for name in close)}?" if close else "."
        raise UnknownName(f"{self.name} has no market '{written}' among its {len(markets):,}{hint}")

    def require_funding(self, symbol: str) -> None:
        """Refuse a market that pays no funding, or whose funding the exchange does not tell."""
        if not self._first.markets[symbol].get("swap"):
            perpetual = next((s for s, m in self._first.markets.items() if m.get("swap") and s.split(":")[0] == symbol), None)
            raise DataError(
                f"{symbol} is no perpetual and pays no funding; a perpetual"
                f"{f' such as {perpetual}' if perpetual else ''} was expected where funding is asked for."
            )
        if not self._first.has.get("fetchFundingRateHistory"):
            raise ExchangeError(f"{self.name} does not tell past funding rates through ccxt; fetch {symbol} without funding.")

    def page_bars(self, symbol: str) -> int:
        """How many bars one answer holds at most."""
        return self._limit(symbol, "fetchOHLCV") or _USUAL_PAGE

    def candles(self, symbol: str, timeframe: str, since: int) -> list[Any]:
        """One page of candles as ccxt gives them, ``[ts, open, high, low, close, volume]``, from ``since`` on."""
        limit = self._limit(symbol, "fetchOHLCV")
        what = f"{timeframe} candles of {symbol}"
        answer = self._asked(lambda: self._here().fetch_ohlcv(symbol, timeframe, since=since, limit=limit), what)
        self._require_rows(answer, what)
        return list(answer)

    def funding(self, symbol: str, since: int) -> list[tuple[Any, Any]]:
        """One page of funding rates, ``(ts, rate)``, from ``since`` on."""
        limit = self._limit(symbol, "fetchFundingRateHistory")
        what = f"funding rates of {symbol}"
        answer = self._asked(lambda: self._here().fetch_funding_rate_history(symbol, since=since, limit=limit), what)
        self._require_rows(answer, what)
        return [(row.get("timestamp"), row.get("fundingRate")) for row in answer]

    def _require_rows(self, answer: object, what: str) -> None:
        """Refuse an answer without any list: ccxt makes no rows of ``{"status": "maintenance"}``, and that is not none."""
        said = self._here().last_answer
        if not answer and not _holds_a_list(said):
            raise ExchangeError(f"{self.name} answered {shown(said)} where {what} were expected.")

    def _limit(self, symbol: str, method: str) -> int | None:
        limit = self._first.feature_value(symbol, method, "limit")
        return int(limit) if limit else None

    def _read_clock(self) -> None:
        told: float | None = None
        if self._first.has.get("fetchTime") is True:
            told = self._asked(self._first.fetch_time, "its time")
        elif date := (self._first.last_response_headers or {}).get("Date"):
            told = parsedate_to_datetime(date).timestamp() * 1000
        if told is not None:
            self._clock_lead = float(told) - time.time() * 1000

    def _connection(self) -> ccxt.Exchange:
        try:
            return self._kind(self._options)
        except Exception as error:
            raise ExchangeError(
                f"ccxt refuses the exchange options for {self.name} ({type(error).__name__}: {error}); "
                "options of its exchange class were expected."
            ) from error

    def _here(self) -> ccxt.Exchange:
        """This thread's own instance, with the markets that were loaded once."""
        if not hasattr(self._mine, "connection"):
            self._mine.connection = self._connection()
            self._mine.connection.set_markets_from_exchange(self._first)
        return self._mine.connection

    def _asked(self, ask: Callable[[], T], what: str) -> T:
        """Ask, and turn what ccxt says of a failure into one sentence."""
        import ccxt

        try:
            return ask()
        except ExchangeError:
            raise
        except ccxt.BaseError as error:
            raise ExchangeError(f"{self.name} refused {what}: {_in_words(error)}.") from error
        except Exception as error:
            raise ExchangeError(
                f"{self.name} answered something else than {what} ({type(error).__name__}: {error}); a newer ccxt may read it."
            ) from error


def _class_named(name: str) -> type[ccxt.Exchange]:
    try:
        import ccxt
    except ImportError as error:
        raise DependencyMissing(
            "downloading from exchanges needs ccxt, which is not installed: pip install 'huracan[exchange]'."
        ) from error
    if name not in ccxt.exchanges:
        close = difflib.get_close_matches(str(name).lower(), ccxt.exchanges, n=3, cutoff=0.5)
        hint = f"; did you mean {' or '.join(repr(known) for known in close)}?" if close else "."
        raise UnknownName(f"unknown exchange '{name}'{hint} ccxt {ccxt.__version__} knows {len(ccxt.exchanges)} of them.")
    return getattr(ccxt, name)


def _polite(kind: Any, patience: Patience) -> Any:
    """A class of ccxt that waits its turn among all threads, tries again what may pass, and believes only JSON."""
    import ccxt

    def give_up(what: str, attempts: int, seconds: float) -> ExchangeError:
        patience.given_up = True
        if attempts == 0:
            return ExchangeError(f"{kind.__name__} {what}; what arrived before is stored, the same call goes on later.")
        if not patience.reached:
            return ExchangeError(f"no connection to {kind.__name__} in {attempts} attempts ({what}); a network was expected.")
        return ExchangeError(
            f"{kind.__name__} gave no usable answer in {attempts} attempts over {seconds:.0f} s (the last: {what}); what "
            "arrived before is stored."
        )

    class Polite(kind):
        last_answer: Any = None

        def throttle(self, cost: float | None = None) -> None:
            patience.wait_turn(self.rateLimit * (1 if cost is None else cost) / 1000)

        def fetch2(self, *args: Any, **named: Any) -> Any:
            return patience.tried(lambda: super(Polite, self).fetch2(*args, **named), _judge, give_up)

        def handle_errors(self, code: int, reason: str, url: str, method: str, headers: Any, *rest: Any) -> Any:
            patience.heard(Answer(int(code), seconds_to_wait(headers)))
            return super().handle_errors(code, reason, url, method, headers, *rest)

        def fetch(self, *args: Any, **named: Any) -> Any:
            answer = super().fetch(*args, **named)
            if isinstance(answer, str | bytes):
                raise ccxt.BadResponse(f"no JSON but {len(answer)} characters that begin {str(answer)[:30]!r}")
            self.last_answer = answer
            return answer

    def _judge(error: Exception) -> Failure:
        answer = patience.answer
        limited = answer.status in (418, 429) or isinstance(error, ccxt.DDoSProtection | ccxt.RateLimitExceeded)
        if answer.status >= 400:
            passes = limited or answer.status in _PASSING or answer.status >= 500
            return Failure(passes, f"HTTP {answer.status}", limited, answer.retry_after)
        passes = limited or isinstance(error, ccxt.OperationFailed) or _is_broken_transfer(error)
        return Failure(passes, _in_words(error), limited)

    Polite.__name__ = kind.__name__
    return Polite


def _holds_a_list(answer: object) -> bool:
    if isinstance(answer, dict):
        return any(_holds_a_list(value) for value in answer.values())
    return isinstance(answer, list) or answer is None


def _is_broken_transfer(error: Exception) -> bool:
    """Whether the connection failed, rather than the request being wrong: an address that is none raises a ValueError."""
    from requests import RequestException

    cause = error.__cause__
    return isinstance(cause, RequestException) and not isinstance(cause, ValueError)


def _in_words(error: BaseException) -> str:
    """What went wrong, on one line: what the operating system said, else ccxt's words without address and page."""
    chain: list[BaseException] = []
    at: BaseException | None = error
    while at is not None and at not in chain:
        chain.append(at)
        at = at.__cause__ or at.__context__ or next((a for a in at.args if isinstance(a, BaseException)), None)
    names = {type(link).__name__ for link in chain}
    said = next((link.strerror for link in reversed(chain) if isinstance(link, OSError) and link.strerror), None)
    if said:
        return said[0].lower() + said[1:]
    wrong_address = next((str(link) for link in chain if isinstance(link, OSError) and isinstance(link, ValueError)), None)
    if wrong_address:
        return wrong_address.rstrip(".?")
    if "NameResolutionError" in names:
        return "its name could not be resolved"
    if names & {"RequestTimeout", "ReadTimeout", "ConnectTimeout"}:
        return "no answer in time"
    if names & {"ConnectionError", "ChunkedEncodingError", "ProtocolError", "ContentDecodingError"}:
        return "the connection broke off"
    words = re.sub(r"https?://\S+", "", re.sub(r"<[^>]*>", " ", str(error)))
    return " ".join(words.split())[:200].rstrip(".") or type(error).__name__


def _nearest_markets(written: str, markets: Iterable[str]) -> list[str]:
    """Markets whose coin is nearly the one that was written: that both are quoted in USDT is no likeness.

    >>> _nearest_markets("BTC/USDR", ["BTC/USDT", "ETH/USDT"]), _nearest_markets("DOGE/USDT", ["BTC/USDT", "ETH/USDT"])
    (['BTC/USDT'], [])
    """
    coin = re.split(r"[^A-Z0-9]", written)[0]
    alike = [name for name in markets if difflib.SequenceMatcher(None, coin, name.split("/")[0]).ratio() >= 0.6]
    alike += [name for name in markets if name.split("/")[0] and coin.startswith(name.split("/")[0]) and name not in alike]
    return difflib.get_close_matches(written, alike, n=3, cutoff=0.6)


def _fixed_length(timeframe: str) -> int | None:
    try:
        return length_in_ms(timeframe)
    except CandleError:
        return None


def _letters(symbol: str) -> str:
    return "".join(letter for letter in symbol.upper() if letter.isalnum())
