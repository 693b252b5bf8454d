"""Many candles at once by the champions of their symbols and regimes: what a stream of them would have said of each."""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from huracan.serving.batch import ANSWER_COLUMNS, answer_candles, bar_of
from huracan.serving.signal import VetoKind
from huracan.serving.succession import Succession

__all__ = ["answer_by_route"]


def answer_by_route(served: Succession, candles: pl.DataFrame) -> pl.DataFrame:
    """Answers on every candle by who is champion of its symbol in its regime.

    Returns
    -------
    As of :func:`huracan.serving.batch.answer_candles`, ``alias`` with its scope. Where nobody is champion, only ``regime`` is
    known.
    """
    candles = candles.with_columns(pl.col("symbol").cast(pl.String))
    keys = candles.select("symbol", "ts", decides=pl.lit(None, pl.String))
    if served.rules is not None:
        told = served.rules.classify(candles).select("symbol", "ts", decides=pl.col("regime").cast(pl.String))
        keys = keys.drop("decides").join(told, on=["symbol", "ts"], how="left", maintain_order="left")
    routes = pl.DataFrame(
        [(symbol, *row) for symbol in keys["symbol"].unique() for row in _rows(served, symbol)],
        schema={"symbol": pl.String, "decides": pl.String, "version": pl.Int64, "alias": pl.String},
        orient="row",
    )
    routed = keys.join(routes, on=["symbol", "decides"], how="left", nulls_equal=True, maintain_order="left")
    parts = []
    for version in routes["version"].unique(maintain_order=True).to_list() or [*served.served][:1]:
        model = served.served[version]
        compares = model.recipe is not None and any(spec.cross_section for spec in model.recipe.features)
        of = routes.filter(pl.col("version") == version)["symbol"]
        asked = candles if compares else candles.filter(pl.col("symbol").is_in(of.unique().to_list()))
        parts.append(answer_candles(model, asked, model.notes).with_columns(version=pl.lit(version, pl.Int64)))
    answers = pl.concat(parts).drop("alias", "decision_time")
    joined = routed.join(answers, on=["symbol", "ts", "version"], how="left", maintain_order="left")
    nobody, bar = pl.col("version").is_null(), timedelta(milliseconds=bar_of(model, candles))
    troubles = {symbol: route.trouble for symbol, route in served.routes.items() if route.trouble is not None}
    trouble = pl.col("symbol").replace_strict(troubles, default=None, return_dtype=pl.String)
    answered = joined.with_columns(
        decision_time=pl.col("ts") + bar,
        regime=pl.coalesce("decides", "regime"),
        do_predict=pl.col("do_predict").fill_null(value=False),
        vetoes=pl.when(nobody).then(pl.lit([str(VetoKind.NO_CHAMPION)])).otherwise("vetoes"),
        notes=pl.concat_list(pl.col("notes").fill_null([]), pl.concat_list(trouble).list.drop_nulls()),
    )
    return answered.select(ANSWER_COLUMNS)


def _rows(served: Succession, symbol: str) -> list[tuple[str | None, int, str]]:
    """Regime, version and alias of everyone who may answer for a symbol."""
    answers = served.routes[symbol].answers
    if served.rules is None:  # no regime is ever known
        answers = {None: answers[None]} if None in answers else {}
    return [(None if regime is None else regime.value, *answer) for regime, answer in answers.items()]
