"""The feed that the configuration asks for."""

from __future__ import annotations

import datetime as dt
from functools import partial

from huracan.config import HuracanConfig
from huracan.config.section import milliseconds
from huracan.errors import ConfigError
from huracan.integration.feedback.candle_intake import CandleFeed
from huracan.integration.feedback.feeds import FetchFeed, FolderFeed, FrameFeed, StoreFeed
from huracan.integration.feedback.training_span import longest_stretch
from huracan.integration.preparation import read_source
from huracan.market.bar_lengths import length_in_ms
from huracan.market.fetching import fetch_candles, read_exchange_options
from huracan.market.store import CandleStore, is_store
from huracan.preprocessing.cleaning import CleaningPolicy

__all__ = ["CANDLES", "bar_wanted", "feed_of", "is_simulated"]

CANDLES = "candles"
"""Folder of the candle store under home."""


def is_simulated(config: HuracanConfig) -> bool:
    """Whether no candles are configured and none are stored, so that a simulated market stands in for them."""
    wanted = config.mechanic
    store = config.home / CANDLES
    empty = not is_store(store) or not CandleStore(store).bars()
    return wanted.source == "store" and config.data.source is None and empty


def bar_wanted(config: HuracanConfig) -> int | None:
    """``mechanic.bar``, milliseconds; None where it is not set.

    >>> bar_wanted(HuracanConfig(mechanic={"bar": "1m"}))
    60000
    """
    return None if config.mechanic.bar is None else milliseconds(config.mechanic.bar)


def feed_of(config: HuracanConfig, *, given: bool = False) -> CandleFeed:
    """Where candles come from: ``mechanic.source``; for the store, ``data.source`` is one of its own, or goes into it.

    Parameters
    ----------
    given : candles will be, so that no simulated market stands in for them.

    Raises
    ------
    StorageError, CandleError : the store cannot be used. DataError : the exchange's options cannot be read.
    """
    wanted, home, bar = config.mechanic, config.home / CANDLES, bar_wanted(config)
    policy = CleaningPolicy(**config.cleaning.model_dump())
    if is_simulated(config):
        return StoreFeed(home, bar, wanted.symbols, policy) if given else FrameFeed(read_source(config).candles)
    if wanted.source == "folder":
        assert wanted.folder is not None  # the configuration has made sure
        return FolderFeed(wanted.folder, home, bar, wanted.symbols, policy)
    if wanted.source == "exchange":
        assert wanted.exchange is not None
        bar = bar or _bar_of(config)
        since = dt.timedelta(milliseconds=longest_stretch(config, bar) + milliseconds(wanted.chunk))
        fetch = partial(fetch_candles, exchange_options=read_exchange_options(wanted.exchange_options))
        return FetchFeed(wanted.exchange, home, bar, wanted.symbols, since=since, fetch=fetch)
    source = config.data.source
    if source is None:
        return StoreFeed(home, bar, wanted.symbols, policy)
    if is_store(source):
        return StoreFeed(source, bar, wanted.symbols, policy)
    if not source.exists():
        raise ConfigError(
            f"data.source is {source}, which does not exist; a file, a folder or a store of candles was expected."
        )
    return FolderFeed(source, home, bar, wanted.symbols, policy)


def _bar_of(config: HuracanConfig) -> int:
    """Bars that are fetched where no length is set: of the one that is stored already, else of ``mechanic.every``."""
    store = config.home / CANDLES
    held = CandleStore(store).bars() if is_store(store) else []
    return length_in_ms(held[0]) if held else milliseconds(config.mechanic.every)
