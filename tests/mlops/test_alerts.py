"""Alerts: told once, again when it matters, and never lost while nobody could be reached."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import urllib.error
from collections.abc import Iterator
from datetime import datetime
from email.message import Message
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from huracan.errors import ConfigError, DataError
from huracan.mlops import AlertLevel, Alerts, LogChannel, WebhookChannel
from huracan.mlops.alert_channels import NotSent
from huracan.storage import Database

HOUR = 3_600_000
ERROR, WARNING, INFO = AlertLevel.ERROR, AlertLevel.WARNING, AlertLevel.INFO


class Kept:
    """A channel that keeps what it gets, and can be down."""

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        self.tries = 0
        self.down = False

    def send(self, message: dict[str, Any]) -> None:
        self.tries += 1
        if self.down:
            raise NotSent("nobody is there.")
        self.got.append(message)

    @property
    def said(self) -> list[tuple[str, str]]:
        return [(message["id"], message["state"]) for message in self.got]


class Raises:
    """Raises the same at each call."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __call__(self, message: dict[str, Any]) -> None:
        raise self.error


@pytest.fixture
def database() -> Iterator[Database]:
    database = Database("sqlite://")
    database.upgrade()
    yield database
    database.close()


class Told:
    """Alerts at hours, sent at the end of each."""

    def __init__(self, database: Database, *channels: Kept) -> None:
        self.database = database
        self.alerts = Alerts("btc", channels, repeat=6 * HOUR)

    def tick(self, hour: int, *raised: tuple[str, AlertLevel, str], resolved: str = "") -> int:
        with self.database.transaction() as connection:
            for id, level, sentence in raised:
                self.alerts.raise_(connection, id, level, sentence, tick=hour * HOUR)
            if resolved:
                self.alerts.resolve(connection, resolved, tick=hour * HOUR)
        return self.alerts.send(self.database, tick=hour * HOUR)


OUTAGE = ("outage:BTC", WARNING, "no candle of BTC.")


def test_what_holds_is_told_once_and_again_after_the_time_to_repeat(database: Database) -> None:
    channel = Kept()
    told = Told(database, channel)
    assert [told.tick(hour, OUTAGE) for hour in range(13)] == [1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1]
    assert channel.said == [("outage:BTC", "raised"), ("outage:BTC", "holds"), ("outage:BTC", "holds")]
    assert channel.got[1]["text"] == "btc: no candle of BTC. (7 ticks, since 1970-01-01 00:00)"
    assert channel.got[2]["count"] == 13


def test_what_becomes_more_urgent_is_told_at_once_and_less_urgent_is_not(database: Database) -> None:
    channel = Kept()
    told = Told(database, channel)
    levels = [INFO, INFO, ERROR, WARNING, ERROR]
    assert [told.tick(hour, ("a", level, "x.")) for hour, level in enumerate(levels)] == [1, 0, 1, 0, 0]
    assert [message["level"] for message in channel.got] == ["info", "error"]


def test_levels_that_alternate_are_told_as_often_as_what_holds(database: Database) -> None:
    channel = Kept()
    told = Told(database, channel)
    for hour in range(24):
        told.tick(hour, ("a", ERROR if hour % 2 == 0 else WARNING, "x."))
    assert [message["last"][11:13] for message in channel.got] == ["00", "06", "12", "18"]


def test_the_end_is_told_once_and_what_comes_back_later_is_new(database: Database) -> None:
    channel = Kept()
    told = Told(database, channel)
    told.tick(0, OUTAGE)
    assert told.tick(1, resolved="outage:BTC") == 1
    assert [told.tick(2, resolved="outage:BTC"), told.tick(3, resolved="never:raised"), told.tick(4)] == [0, 0, 0]
    assert told.tick(7, OUTAGE) == 1
    assert channel.said == [("outage:BTC", "raised"), ("outage:BTC", "resolved"), ("outage:BTC", "raised")]
    assert channel.got[1]["text"] == "btc: over: no candle of BTC."
    assert channel.got[2]["first"] == "1970-01-01 07:00"


def test_what_comes_and_goes_is_one_alert_and_over_only_once_it_stays_away(database: Database) -> None:
    channel = Kept()
    told = Told(database, channel)
    for hour in range(48):
        told.tick(hour, OUTAGE) if hour % 2 == 0 else told.tick(hour, resolved="outage:BTC")
    states = [message["state"] for message in channel.got]
    assert states[:3] == ["raised", "resolved", "holds"] and set(states[3:]) == {"holds"}
    assert len(states) == 3 + 7  # it came back at 2, and was repeated each six hours
    assert channel.got[2]["text"] == "btc: no candle of BTC. (2 ticks, since 1970-01-01 00:00)"
    assert [told.tick(hour) for hour in range(48, 56)] == [0, 0, 0, 0, 0, 1, 0, 0]  # the end was at 47
    assert channel.said[-1] == ("outage:BTC", "resolved")


def test_what_only_happened_is_told_once_and_never_ends(database: Database) -> None:
    up, down = Kept(), Kept()
    down.down = True
    alerts = Alerts("btc", (up, down), repeat=6 * HOUR)
    promoted = ("promoted:champion:2", INFO, "version 2 is champion.")

    def happens(hour: int) -> None:
        with database.transaction() as connection:
            alerts.tell(connection, *promoted, tick=hour * HOUR)

    happens(0)
    happens(0)  # of a step that was done again
    for hour in range(9):
        down.down = hour < 8
        alerts.send(database, tick=hour * HOUR)
        assert database.read(alerts.holding) == ()
    assert up.said == down.said == [("promoted:champion:2", "told")]
    assert up.got[0]["text"] == "btc: version 2 is champion."
    happens(9)
    assert alerts.send(database, tick=9 * HOUR) == 1 and len(up.got) == len(down.got) == 2
    with pytest.raises(DataError, match="the level of an alert is 'fatal'"), database.transaction() as connection:
        alerts.tell(connection, "z", "fatal", "z.", tick=0)  # type: ignore[arg-type]


def test_a_clock_that_was_ahead_silences_nothing(database: Database) -> None:
    channel = Kept()
    told = Told(database, channel)
    for id in ("held", "over"):
        told.tick(1_000_000, (id, ERROR, "x."))
    channel.got.clear()
    assert told.tick(0, resolved="over") == 1
    assert sum(told.tick(hour, ("held", ERROR, "x.")) for hour in range(24)) == 3
    assert [message["last"] for message in channel.got[1:]] == ["1970-01-01 06:00", "1970-01-01 12:00", "1970-01-01 18:00"]


def test_while_a_channel_is_down_the_others_hear_everything_and_the_urgent_first(database: Database) -> None:
    up, down = Kept(), Kept()
    down.down = True
    many = [(f"outage:S{number:03d}", WARNING, "no candle.") for number in range(60)]
    Told(database, up, down).tick(0, *many)
    assert len(up.got) == 50
    for hour in range(1, 5):  # each in a process of its own
        Told(database, up, down).tick(hour, ("artifact:BTC", ERROR, "v2 answers."))
    assert up.said[50] == ("artifact:BTC", "raised")
    assert len(up.got) == len(set(up.said)) == 61


@pytest.mark.parametrize("error", [RuntimeError("boom"), ConnectionResetError("gone"), KeyError("text")])
def test_a_channel_that_raises_anything_is_down_and_the_others_hear(database: Database, error: Exception) -> None:
    broken, kept = Kept(), Kept()
    told = Told(database, broken, kept)
    broken.send = Raises(error)  # type: ignore[method-assign]
    told.tick(0, ("a", WARNING, "a."), ("b", ERROR, "b."))
    assert kept.said == [("b", "raised"), ("a", "raised")]
    del broken.send
    told.tick(1, ("a", WARNING, "a."), ("b", ERROR, "b."))
    assert [id for id, _ in broken.said] == ["b", "a"] and len(kept.got) == 2


def test_a_level_that_there_is_not_is_refused_and_stops_nothing(database: Database) -> None:
    told = Told(database, Kept())
    with pytest.raises(DataError, match="the level of an alert is 'fatal'; info, warning, error are there"):
        told.tick(0, ("z", "fatal", "z."))  # type: ignore[arg-type]
    assert told.tick(0, OUTAGE) == 1


def test_twice_at_a_tick_is_once(database: Database) -> None:
    told = Told(database, Kept())
    told.tick(0, OUTAGE, OUTAGE)
    told.tick(0, OUTAGE)
    (alert,) = database.read(told.alerts.holding)
    assert (alert.count, alert.first_tick, alert.last_tick) == (1, 0, 0)


def test_while_a_channel_is_down_alerts_stay_due_and_the_others_do_not_hear_them_twice(database: Database) -> None:
    up, down = Kept(), Kept()
    down.down = True
    told = Told(database, up, down)
    assert [told.tick(0, OUTAGE, ("artifact:BTC", ERROR, "v3 is damaged.")), told.tick(1, OUTAGE), told.tick(2)] == [0, 0, 0]
    assert down.tries == 3  # once a tick, however many are due
    assert up.said == [("artifact:BTC", "raised"), ("outage:BTC", "raised")]
    down.down = False
    assert told.tick(3) == 2
    assert down.said == [("artifact:BTC", "raised"), ("outage:BTC", "holds")]
    assert len(up.got) == 2
    assert told.tick(4) == 0


def test_what_ended_before_it_could_be_told_is_told_as_ended(database: Database) -> None:
    channel = Kept()
    channel.down = True
    told = Told(database, channel)
    told.tick(0, OUTAGE)
    told.tick(1, resolved="outage:BTC")
    channel.down = False
    assert told.tick(2) == 1 and channel.said == [("outage:BTC", "resolved")] and told.tick(3) == 0


def test_after_a_restart_what_was_told_is_not_told_again_and_what_is_due_is(database: Database) -> None:
    first, second = Kept(), Kept()
    Told(database, first).tick(0, OUTAGE)
    first.down = True
    Told(database, first).tick(1, OUTAGE, ("artifact:BTC", ERROR, "v3 is damaged."))
    assert Told(database, second).tick(2, OUTAGE) == 1
    assert second.said == [("artifact:BTC", "raised")]


def test_raising_goes_with_its_transaction(database: Database) -> None:
    alerts = Alerts("btc", [])

    def interrupted(connection: Any) -> None:
        alerts.raise_(connection, *OUTAGE, tick=0)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        database.run(interrupted)
    assert database.read(alerts.due) == ()


def test_names_do_not_hear_each_other_and_the_urgent_come_first(database: Database) -> None:
    told = Told(database, Kept())
    told.tick(0, OUTAGE, ("note", INFO, "x."), ("artifact:BTC", ERROR, "y."))
    assert [alert.id for alert in database.read(told.alerts.holding)] == ["artifact:BTC", "outage:BTC", "note"]
    assert database.read(Alerts("eth").holding) == () == database.read(Alerts("eth").due)


def test_postgresql_keeps_them_as_well(database_url: str) -> None:
    database = Database(database_url)
    database.upgrade()
    channel = Kept()
    told = Told(database, channel)
    assert [told.tick(0, OUTAGE), told.tick(1, OUTAGE), told.tick(2, resolved="outage:BTC"), told.tick(3)] == [1, 0, 1, 0]
    database.close()


def test_a_time_to_repeat_below_zero_is_refused() -> None:
    with pytest.raises(DataError, match="repeated after -1 ms"):
        Alerts("btc", repeat=-1)


class Hook(BaseHTTPRequestHandler):
    """A webhook that answers as its server was told."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((self.headers["Content-Type"], json.loads(body)))  # type: ignore[attr-defined]
        self.send_response(self.server.answer)  # type: ignore[attr-defined]
        self.send_header("Location", "/elsewhere")
        self.end_headers()

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def hook() -> Iterator[Any]:
    server: Any = HTTPServer(("127.0.0.1", 0), Hook)
    server.got, server.answer = [], 204
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def test_a_webhook_gets_json(hook: Any) -> None:
    hook.got.clear()
    hook.answer = 204
    WebhookChannel(f"http://127.0.0.1:{hook.server_port}/secret").send({"text": "btc: ärger", "count": 1})
    assert hook.got == [("application/json; charset=utf-8", {"text": "btc: ärger", "count": 1})]


def test_a_webhook_that_refuses_is_a_sentence_without_the_secret(hook: Any) -> None:
    hook.answer = 503
    with pytest.raises(NotSent, match=r"the webhook at 127\.0\.0\.1 answered 503 .*stays due") as told:
        WebhookChannel(f"http://127.0.0.1:{hook.server_port}/secret").send({"text": "x"})
    assert "secret" not in str(told.value)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_taken_for_having_heard(hook: Any, status: int) -> None:
    hook.answer = status
    with pytest.raises(NotSent, match=rf"answered {status} .*redirects are not followed.* give the address .*stays due"):
        WebhookChannel(f"http://127.0.0.1:{hook.server_port}/secret").send({"text": "x"})


def test_an_answer_that_drips_is_cut_off_at_the_deadline() -> None:
    """Each byte comes in time, and all of them never do: whoever drips notices that nobody listens any more."""
    hung_up = threading.Event()

    def drip() -> None:
        line, _ = listening.accept()
        with line:
            line.settimeout(0.01)
            line.sendall(b"HTTP/1.1 200 OK\r\nX: ")
            while not hung_up.is_set():
                try:
                    line.sendall(b"a")
                    while line.recv(4_096):
                        pass
                    hung_up.set()
                except TimeoutError:
                    continue
                except OSError:
                    hung_up.set()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        dripping = threading.Thread(target=drip, daemon=True)
        dripping.start()
        with pytest.raises(NotSent, match="could not be reached"):
            WebhookChannel(f"http://127.0.0.1:{listening.getsockname()[1]}/secret", timeout=0.2).send({"text": "x"})
        assert hung_up.wait(20.0)
        dripping.join()


def test_a_webhook_that_is_down_or_silent_is_a_sentence_in_time() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        with pytest.raises(NotSent, match="could not be reached"):
            WebhookChannel(f"http://127.0.0.1:{port}/secret").send({"text": "x"})
        silent.listen()
        with pytest.raises(NotSent, match="could not be reached") as told:
            WebhookChannel(f"http://127.0.0.1:{port}/secret", timeout=0.05).send({"text": "x"})
    assert "secret" not in str(told.value)


@pytest.mark.parametrize(
    "url",
    [
        *("", "hooks.example.com/x", "file:///etc/passwd", "ftp://example.com", "http://[broken"),
        *("https://hooks.example.com/T0/my secret", "https://hooks.example.com/T0/secret\n", "http://example.com/Geheimniß"),
        *("https://hooks.example.com:port/T0/secret", "https://example.com:99999/secret", "https://me:secret@example.com/x"),
    ],
)
def test_an_address_that_is_none_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ConfigError, match="the webhook's address is none") as told:
        WebhookChannel(url)
    assert not url or url not in str(told.value)
    assert "secret" not in str(told.value)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("URL can't contain control characters. '/T0/secret'"), "ValueError"),
        (http.client.InvalidURL("nonnumeric port: 'secret'"), "InvalidURL"),
        (http.client.BadStatusLine("HTTP/1.1 /T0/secret"), "BadStatusLine"),
        (urllib.error.URLError("unknown url type: /T0/secret"), "URLError"),
        (urllib.error.URLError(ConnectionRefusedError(111, "Connection refused")), "Connection refused"),
        (TimeoutError("timed out"), "TimeoutError"),
        (urllib.error.HTTPError("https://x/secret", 404, "no /T0/secret here", Message(), None), "404 Not Found"),
        (urllib.error.HTTPError("https://x/secret", 599, "no /T0/secret here", Message(), None), "599"),
    ],
)
def test_no_failure_repeats_the_address(error: Exception, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr("urllib.request.OpenerDirector.open", fails)
    with pytest.raises(NotSent) as told:
        WebhookChannel("https://hooks.example.com/T0/secret").send({"text": "x"})
    assert said in str(told.value) and "hooks.example.com" in str(told.value)
    assert "secret" not in str(told.value)


def test_an_end_says_what_began_where_that_could_not_be_told(database: Database) -> None:
    told: list[str] = []

    class Mended(LogChannel):
        down = True

        def send(self, message: dict[str, Any]) -> None:
            if self.down:
                raise NotSent("it is down.")
            told.append(message["text"])

    channel = Mended()
    alerts = Alerts("btc", [channel])
    for tick in (0, HOUR, 2 * HOUR):
        with database.transaction() as connection:
            if tick < 2 * HOUR:
                alerts.raise_(connection, "outage", AlertLevel.WARNING, "no candle.", tick=tick)
            else:
                alerts.resolve(connection, "outage", tick=tick)
        alerts.send(database, tick=tick)
    channel.down = False
    alerts.send(database, tick=3 * HOUR)
    alerts.send(database, tick=4 * HOUR)
    span = "from 1970-01-01 00:00 to 1970-01-01 02:00"
    assert told == [f"btc: over: no candle. (it held {span}, and could not be told here while it did)"]


@pytest.mark.parametrize("tick", [1.5, None, True, datetime(2026, 1, 1)])
def test_a_tick_that_is_none_is_refused_and_stops_nothing(database: Database, tick: Any) -> None:
    """A database without types would keep it, and every later look at what holds would fail on it."""
    alerts = Alerts("btc")
    with database.transaction() as connection:
        alerts.raise_(connection, "outage", AlertLevel.WARNING, "no candle.", tick=0)
        for write in (alerts.raise_, alerts.tell):
            with pytest.raises(DataError, match=r"tick of an alert is .* whole milliseconds"):
                write(connection, "other", AlertLevel.WARNING, "no candle.", tick=tick)
        with pytest.raises(DataError, match="whole milliseconds"):
            alerts.resolve(connection, "outage", tick=tick)
        assert [one.id for one in alerts.holding(connection)] == ["outage"]
    with pytest.raises(DataError, match="whole milliseconds"):
        alerts.send(database, tick=tick)
    assert alerts.send(database, tick=0) == 1


@pytest.mark.parametrize("channels", [LogChannel(), ["https://hooks.example.com"], "log"])
def test_what_is_no_list_of_channels_is_refused(channels: Any) -> None:
    with pytest.raises(DataError, match=r"a list of what has send\(message\) was expected"):
        Alerts("btc", channels)


def test_an_address_and_a_time_to_wait_that_are_none_are_refused() -> None:
    with pytest.raises(ConfigError, match="the webhook's address is none"):
        WebhookChannel(None)  # type: ignore[arg-type]
    for timeout in (-1, 0, None, float("nan"), "3"):
        with pytest.raises(ConfigError, match="the webhook's timeout is"):
            WebhookChannel("https://hooks.example.com", timeout=timeout)  # type: ignore[arg-type]
