"""``huracan predict``: what a registered model says of candles, of a file or as they come on standard input."""

from __future__ import annotations

import json as json_format
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from huracan.cli.options import ConfigFile, load, require_folder
from huracan.cli.registries import registry_of

if TYPE_CHECKING:
    import polars as pl

    from huracan.model_registry import ModelRegistry
    from huracan.serving import Champions, Predictor

__all__ = ["predict"]


def predict(
    model: Annotated[
        str,
        typer.Argument(help="A registered model: NAME (its champion), NAME@ALIAS, NAME@ALIAS@SYMBOL/REGIME or NAME@VERSION."),
    ],
    candles: Annotated[Path | None, typer.Argument(help="File or folder of candles to answer on.")] = None,
    stream: Annotated[
        bool, typer.Option("--stream", help="Read one candle as JSON a line from standard input, write one signal a line.")
    ] = False,
    history: Annotated[Path | None, typer.Option(help="Closed candles that a stream goes on from.")] = None,
    symbol: Annotated[list[str] | None, typer.Option(help="A symbol that a stream takes without history; repeatable.")] = None,
    bar: Annotated[
        str | None, typer.Option(help="Length of a stream's bars, such as 1m, where neither model nor history says.")
    ] = None,
    learn: Annotated[
        bool, typer.Option("--learn", help="Let a stream's intervals learn labels from its candles, where these tell them.")
    ] = False,
    by_symbol: Annotated[
        bool, typer.Option("--by-symbol", help="Answer for each symbol by its own champion in its present regime.")
    ] = False,
    replay: Annotated[bool, typer.Option("--replay", help="Candles of the past: none is stale, no model too old.")] = False,
    out: Annotated[
        Path | None, typer.Option(help="Write every answer on a file to a .parquet or .csv file; - prints CSV.")
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print the newest answer of each symbol as JSON lines, as a stream does all.")
    ] = False,
    config: ConfigFile = None,
    home: Annotated[Path | None, typer.Option(help="Folder for database, models, runs and reports.")] = None,
) -> None:
    """Answer on candles with a registered model: score, interval, regime, position, and what speaks against acting.

    A file is answered bar by bar as a stream would have been. A stream ends at the end of its input, or when it is asked to.
    """
    from huracan.errors import ConfigError
    from huracan.market import read_candles

    if stream == (candles is not None):
        raise ConfigError("either a file of candles or --stream was expected, one of the two.")
    if stream and sys.stdin is None:
        raise ConfigError("standard input is closed, and a stream reads its candles from it; < /dev/null ends it at once.")
    if stream and history is None and not symbol:
        raise ConfigError("a stream was given neither --history FILE, to go on from, nor --symbol NAME, to begin without.")
    if stream and out is not None:
        raise ConfigError(f"--out is {out}, and a stream writes to standard output; > {out} was expected in its place.")
    if str(out) == "-" and json:
        raise ConfigError("--out - prints CSV and --json prints JSON; one of the two was expected.")
    for option, value in (("--history", history), ("--symbol", symbol), ("--bar", bar), ("--learn", learn)):
        if not stream and value:
            raise ConfigError(f"{option} is for --stream; a file of candles is answered from its own first bar on.")
    require_folder(out)
    if out is not None and str(out) != "-" and out.suffix not in (".parquet", ".csv"):
        raise ConfigError(f"--out is {out}; a .parquet or .csv file, or -, was expected.")
    serving, registry = load(config, home=home).serving, registry_of(config, home)
    asked = None if candles is None else read_candles(candles)
    names = asked["symbol"].unique().to_list() if by_symbol and asked is not None else symbol
    predictor = _opened(
        registry,
        model,
        by_symbol,
        history=None if history is None else read_candles(history),
        symbols=names or (),
        bar=bar,
        refresh=serving.refresh_seconds if stream else None,
        max_age=None if replay else serving.max_age,
        stale_after=None if replay else serving.stale_after_bars,
        anomaly_share=serving.anomaly_share,
        onnx=serving.onnx == "auto",
        learn_from_candles=learn,
    )
    if asked is None:
        _stream(predictor)
    else:
        _answer_file(predictor.predict(asked), out, json)


def _opened(registry: ModelRegistry, model: str, by_symbol: bool, **how: Any) -> Predictor | Champions:
    from huracan.errors import ConfigError
    from huracan.integration.registered_models import name_and_pointer, named_version
    from huracan.registry.scopes import Scope
    from huracan.serving import Champions, Predictor

    name, which = name_and_pointer(registry, model)
    if by_symbol:
        if which.isdecimal() or "@" in which:
            raise ConfigError(
                f"--by-symbol follows an alias for all, and {model} names one version; {name} was expected, or {name}@ALIAS."
            )
        return Champions.from_registry(registry, name, alias=which, **how)
    named_version(registry, model)  # what is not there is told in the words of the command line
    if which.isdecimal():
        return Predictor.from_registry(registry, name, version=int(which), **how)
    alias, scope = Scope.read(which)
    of: dict[str, Any] = {"symbol": scope.symbol or None, "regime": scope.regime or None}
    return Predictor.from_registry(registry, name, alias=alias, **of, **how)


def _stream(predictor: Predictor | Champions) -> None:
    """Answer until the input ends, the reader goes away, or a signal says so; each of them is a good end."""
    from huracan.serving.candle_lines import answer_lines

    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGINT, _end)
    try:
        for answer in answer_lines(predictor, sys.stdin):
            sys.stdout.write(answer + "\n")
            sys.stdout.flush()
    except KeyboardInterrupt:
        pass
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that Python's own last flush finds a reader
    finally:
        predictor.close()


def _end(*_: Any) -> NoReturn:
    raise KeyboardInterrupt


def _answer_file(answers: pl.DataFrame, out: Path | None, as_json: bool) -> None:
    if out is not None:
        _write(answers, out)
    if str(out) == "-":
        return
    newest = answers.group_by("symbol", maintain_order=True).last()
    if not as_json and (learned := _learned(answers)):
        typer.echo(f"Of {answers.height:,} answers {learned:,} are on bars that the model learned from; `notes` mark them.")
    if as_json:
        for row in newest.iter_rows(named=True):
            row["vetoes"] = [{"kind": kind, "why": None} for kind in row["vetoes"]]
            typer.echo(json_format.dumps(row, default=lambda moment: moment.isoformat()))
        return
    _print_table(newest)
    if out is not None:
        typer.echo(f"Written: {out.resolve()}")


def _learned(answers: pl.DataFrame) -> int:
    """Answers on bars of the span that was learned from."""
    import polars as pl

    from huracan.serving.served import IN_TRAINING

    noted = pl.col("notes").list.eval(pl.element().str.starts_with(IN_TRAINING)).list.any()
    return int(answers.select(noted.sum()).item() or 0)


def _write(answers: pl.DataFrame, out: Path) -> None:
    from io import BytesIO

    import polars as pl

    from huracan.storage.whole_files import put_file

    content = BytesIO()
    if out.suffix == ".parquet":
        answers.write_parquet(content)
    else:
        answers.with_columns(pl.col("vetoes").list.join(" "), pl.col("notes").list.join(" ")).write_csv(content)
    if str(out) == "-":
        typer.echo(content.getvalue().decode(), nl=False)
    else:
        put_file(out, content.getvalue())


def _print_table(newest: pl.DataFrame) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 160
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("symbol")
    table.add_column("decided at, UTC", min_width=16)
    table.add_column("regime")
    for name in ("score", "probability", "forecast", "interval", "position"):
        table.add_column(name, justify="right")
    table.add_column("against acting", overflow="fold", ratio=1)
    for row in newest.iter_rows(named=True):
        interval = "" if row["low"] is None else f"{row['low']:.4g} to {row['high']:.4g}"
        numbers = ["" if row[name] is None else f"{row[name]:.4g}" for name in ("score", "probability", "forecast")]
        position = "" if row["position"] is None else f"{row['position']:+.2f}"
        cells = [row["symbol"], f"{row['decision_time']:%Y-%m-%d %H:%M}", row["regime"] or "", *numbers, interval, position]
        table.add_row(*map(Text, cells), Text(", ".join(row["vetoes"]), style="yellow"))
    console.print(table)
    typer.echo(
        f"By {', '.join(newest['model_id'].drop_nulls().unique(maintain_order=True))}." if len(newest) else "No candles."
    )
