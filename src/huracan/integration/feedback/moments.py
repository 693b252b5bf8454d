"""What moment a turn is about: whether it is to be believed, what leads up to it, and whether it has to be gone on with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise

from huracan.config import HuracanConfig
from huracan.config.section import milliseconds
from huracan.errors import NotEnoughData
from huracan.integration.feedback.candle_intake import FAR_BARS, CandleFeed
from huracan.integration.feedback.feeds import FrameFeed, StoreFeed
from huracan.integration.feedback.loop_state import read_state
from huracan.integration.feedback.taking_candles import SILENT_BARS
from huracan.integration.feedback.turn import CURSOR, Works
from huracan.market.schema import written_time

__all__ = [
    "came_since",
    "close_of_newest",
    "in_time_within",
    "missing_yet",
    "nothing_to_do",
    "pauses",
    "rhythm",
    "slices",
    "why_in_doubt",
    "why_not_believed",
]

_DISTANCES = 3


def slices(last: int | None, until: int, most: int) -> Iterator[int]:
    """The moments of the turns that lead from the last one to ``until``.

    >>> list(slices(None, 50, 10)), list(slices(20, 45, 10)), list(slices(20, 25, 10))
    ([50], [30, 40, 45], [25])
    """
    moment = until if last is None else last
    while moment + most < until:
        moment += most
        yield moment
    yield until


def in_time_within(config: HuracanConfig, bar: int, every: int) -> int:
    """For how long after a bar's close what is said of it is in time, milliseconds.

    Where turns are further apart than bars, what is said at a turn of the bars since the last is what the models that were in
    use between the two said of them: who is in use changes at turns only.

    >>> in_time_within(HuracanConfig(), 3_600_000, 3_600_000), in_time_within(HuracanConfig(), 60_000, 3_600_000)
    (130000, 3670000)
    """
    settings = config.mechanic
    return max(every - bar, 0) + milliseconds(settings.delay) + milliseconds(settings.wait_for_bars)


def rhythm(ticks: Iterable[int], bar: int, most: int) -> int:
    """How far turns are apart as a rule, out of what the newest ones were about, milliseconds; 0 where too few were.

    It is the shortest of their three newest distances, and two are needed: after an absence what was usual before is still the
    rule. Turns about the same bars are one, and so is an absence that is worked off in several. It is made of the turns' own
    moments alone, so that it is the same in a replay, and whoever was killed.

    Parameters
    ----------
    ticks : what turns were about, in any order. bar : length of a bar. most : of a turn, by which an absence is cut up (see
        :func:`slices`). All in milliseconds.

    Examples
    --------
    >>> hour = 3_600_000
    >>> six_hourly = [0, 6 * hour, 12 * hour, 12 * hour + 1]
    >>> absent = [12 * hour + n * 50 * hour for n in (1, 2, 3)]
    >>> [rhythm(ticks, hour, 50 * hour) // hour for ticks in (six_hourly, [*six_hourly, *absent], [0, 40 * hour])]
    [6, 6, 0]
    """
    apart, so_far = [], 0
    for earlier, later in pairwise(sorted({tick // bar for tick in ticks})):
        so_far += later - earlier
        if (later - earlier) * bar != most:
            apart.append(so_far)
            so_far = 0
    newest = apart[-_DISTANCES:]
    return min(newest) * bar if len(newest) >= 2 else 0


def pauses(first: int, in_all: int) -> list[int]:
    """Waits between looks for what is missing, each twice as long as the one before, milliseconds.

    >>> pauses(10_000, 120_000)
    [10000, 20000, 40000]
    """
    found: list[int] = []
    while sum(found) + (pause := first * 2 ** len(found)) <= in_all:
        found.append(pause)
    return found


def missing_yet(bars: Mapping[str, int], moment: int, bar: int) -> bool:
    """Whether a symbol that is not silent lacks the bar that closed at ``moment``.

    Parameters
    ----------
    bars : symbol -> open of its newest bar, milliseconds UTC. bar : length of a bar, milliseconds.

    Examples
    --------
    >>> missing_yet({"BTC": 2, "ETH": 1}, 3, 1), missing_yet({"BTC": 2, "GONE": -9}, 3, 1)
    (True, False)
    """
    newest = moment // bar * bar - bar
    return any(0 < newest - ts <= SILENT_BARS * bar for ts in bars.values())


def close_of_newest(works: Works) -> int:
    """The close of the newest bar of any symbol, milliseconds UTC.

    Raises
    ------
    NotEnoughData : there is none of a symbol that is looked after.
    """
    newest = works.feed.newest
    if newest is None:
        watched = ", ".join(works.config.mechanic.symbols)
        raise NotEnoughData(f"none of the candles is of a symbol that is looked after ({watched}).")
    return newest + works.feed.bar


def came_since(works: Works, moment: int) -> bool:
    """Whether a symbol has the bar that closed at ``moment`` by now, and had not when the turn of that moment asked for it."""
    newest = moment - works.feed.bar
    predicted = works.database.read(lambda connection: read_state(connection, works.name)).get(CURSOR, {})
    there = works.feed.bars(newest, newest)["symbol"].unique().to_list()
    return any(predicted.get(symbol, newest - 1) < newest for symbol in there)


def nothing_to_do(last: int, until: int, bar: int) -> str:
    """Why there is no turn up to ``until``: that of ``last`` is finished; milliseconds UTC.

    >>> nothing_to_do(7_200_000, 3_600_000, 3_600_000)
    'nothing was to be done; the turn of 1970-01-01 02:00 UTC is finished, and the time is 1970-01-01 01:00 UTC only.'
    """
    note = f"nothing was to be done; the turn of {written_time(last)} is finished"
    return f"{note}." if last - until < bar else f"{note}, and the time is {written_time(until)} only."


def why_not_believed(feed: CandleFeed, moment: int) -> str:
    """Why a turn about ``moment`` has to wait: it lies far behind the newest candle of every symbol. Empty where it need not.

    So it is where a clock has jumped ahead, and where all candles have stopped; a turn that is not done loses nothing, since
    the one after the candles have come does what was not done.
    """
    said = _ahead_by(feed, moment, FAR_BARS)
    return f"{said}; turns wait for the one or the other" if said else ""


def why_in_doubt(feed: CandleFeed, moment: int) -> str:
    """Why a turn that is done may be about a time which is still to come: every symbol is silent. Empty where it is not."""
    said = _ahead_by(feed, moment, SILENT_BARS)
    return f"{said}; turns are done, and were it the clock, none would be until that time is over" if said else ""


def _ahead_by(feed: CandleFeed, moment: int, bars: int) -> str:
    """That ``moment`` lies more than so many bars behind the newest candle of every symbol; empty where it does not."""
    newest = _newest_by(feed, moment)
    if newest is None or moment - feed.bar - newest <= bars * feed.bar:
        return ""
    if isinstance(feed, StoreFeed):  # after an absence there may be much to fetch
        feed.look_up_to(moment)
        newest = feed.newest
        if newest is None or moment - feed.bar - newest <= bars * feed.bar:
            return ""
    return (
        f"no symbol has a candle since {written_time(newest)}, and the clock says {written_time(moment)}: either it is "
        "ahead, or candles have stopped"
    )


def _newest_by(feed: CandleFeed, moment: int) -> int | None:
    """Open of the newest bar; of a frame, whose future is hidden, of those that were closed by then."""
    return max(feed.take(moment).newest.values(), default=None) if isinstance(feed, FrameFeed) else feed.newest
