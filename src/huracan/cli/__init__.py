"""``huracan``: the command line, a thin face over the library; one file a command.

Exit codes: 0 done, 2 bad input or environment (one sentence on standard error), 3 defects that ``check``
or ``db check`` found, or drift that ``drift`` did, 130 stopped by Ctrl-C, 1 a defect of ours.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from typing import Any, NoReturn

import typer

from huracan.cli.checking import check
from huracan.cli.comparing import compare
from huracan.cli.configuring import config_app
from huracan.cli.database import database_app
from huracan.cli.drift import drift
from huracan.cli.fetching import fetch
from huracan.cli.mechanic import mechanic_app
from huracan.cli.models import models_app
from huracan.cli.options import STOPPED_BY_HAND
from huracan.cli.predicting import predict
from huracan.cli.reinforcing import rl_app
from huracan.cli.running import run
from huracan.cli.searching import automl
from huracan.cli.training import train

__all__ = ["app", "main"]

app = typer.Typer(
    name="huracan",
    help="Machine learning for trading that you can defend: from candles to a champion, every claim with its error rate.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(run)
app.command()(automl)
app.command()(train)
app.command()(fetch)
app.command()(check)
app.command()(compare)
app.command()(drift)
app.command()(predict)
app.add_typer(mechanic_app, name="mechanic")
app.add_typer(models_app, name="models")
app.add_typer(rl_app, name="rl")
app.add_typer(database_app, name="db")
app.add_typer(config_app, name="config")


@app.command()
def version() -> None:
    """Print the version."""
    import huracan

    typer.echo(huracan.__version__)


_STOPPED = "stopped; the same command goes on where it stopped."


def main() -> None:
    """Run a command; no traceback reaches the user."""
    signal.signal(signal.SIGINT, _stop_at_once)
    signal.signal(signal.SIGTERM, _stop)
    from huracan.errors import HuracanError

    try:
        app()
    except SystemExit as end:
        if end.code == 1 and type(sys.stdout).__name__ == "PacifyFlushWrapper":  # who reads has enough, as head does
            raise SystemExit(0) from None
        if end.code == STOPPED_BY_HAND:
            _fail(_STOPPED, STOPPED_BY_HAND)
        raise
    except KeyboardInterrupt:
        _fail(_STOPPED, STOPPED_BY_HAND)
    except HuracanError as error:
        _fail(str(error), error.exit_code)
    except MemoryError:
        _fail("out of memory; fewer symbols, a shorter span or a profile with lower row caps would fit.", 2)
    except Exception as error:  # noqa: BLE001 - the outermost door: a defect is written down, not shown
        _fail(f"a defect in Huracan: {type(error).__name__}: {error}. Details are in {_write_defect()}.", 1)


def _stop(*_: Any) -> None:
    raise KeyboardInterrupt


def _stop_at_once(*_: Any) -> NoReturn:
    """End while libraries are being loaded, when an exception could be lost and there is nothing to put in order."""
    os.write(2, f"huracan: {_STOPPED}\n".encode())
    os._exit(STOPPED_BY_HAND)


def _fail(sentence: str, code: int) -> NoReturn:
    typer.echo(f"huracan: {sentence}", err=True)
    if any(thread.daemon for thread in threading.enumerate()):
        # A request may be under way in a thread. Python would end it by force inside a library, which aborts the process.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    raise SystemExit(code)


def _write_defect() -> str:
    import tempfile

    with tempfile.NamedTemporaryFile("w", prefix="huracan-defect-", suffix=".txt", delete=False) as file:
        traceback.print_exc(file=file)
    return file.name
