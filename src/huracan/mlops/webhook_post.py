"""One message posted to an address of the web: no redirect is followed, and all of it has one deadline."""

from __future__ import annotations

import http.client
import socket
import threading
import urllib.error
import urllib.request
from contextlib import suppress
from functools import lru_cache
from ssl import SSLContext, create_default_context
from typing import Any

__all__ = ["post"]


def post(url: str, body: bytes, headers: dict[str, str], *, timeout: float) -> None:
    """Post it, and have the answer's status.

    Resolving the name, connecting, sending and reading share the deadline: what drips byte by byte is cut off. A redirect is an
    answer like any other: one that is followed would be asked without the message.

    Parameters
    ----------
    timeout : seconds for all of it.

    Raises
    ------
    TimeoutError : there was no answer in time. HTTPError : it is not one of success. OSError, ValueError, HTTPException : it
        cannot be reached, or does not speak HTTP.
    """
    request = urllib.request.Request(url, data=body, headers=headers, method="POST")
    lines: list[http.client.HTTPConnection] = []
    opener = urllib.request.build_opener(_NoRedirects, _Http(lines), _Https(lines))
    failed: list[Exception] = []

    def ask() -> None:
        try:
            opener.open(request, timeout=timeout).close()
        except Exception as error:  # noqa: BLE001 - raised again by who waits for it
            failed.append(error)

    asking = threading.Thread(target=ask, name="webhook", daemon=True)
    asking.start()
    asking.join(timeout)
    if asking.is_alive():
        for line in lines:
            _cut(line)
        raise TimeoutError("no answer in time")
    if failed:
        raise failed[0]


def _cut(line: http.client.HTTPConnection) -> None:
    """End a connection, so that whoever reads from it comes back."""
    with suppress(OSError, AttributeError):  # it is not connected yet, or not any more
        line.sock.shutdown(socket.SHUT_RDWR)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *given: Any, **named: Any) -> None:
        """Nowhere, so that the answer is the error that its status says."""


class _Http(urllib.request.HTTPHandler):
    def __init__(self, lines: list[http.client.HTTPConnection]) -> None:
        super().__init__()
        self._lines = lines

    def http_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        """With a connection that is known to who waits."""

        def connection(host: str, /, **settings: Any) -> http.client.HTTPConnection:
            self._lines.append(made := http.client.HTTPConnection(host, **settings))
            return made

        return self.do_open(connection, request)


class _Https(urllib.request.HTTPSHandler):
    def __init__(self, lines: list[http.client.HTTPConnection]) -> None:
        super().__init__(context=_trusted())
        self._lines = lines

    def https_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        """With a connection that is known to who waits."""

        def connection(host: str, /, **settings: Any) -> http.client.HTTPConnection:
            self._lines.append(made := http.client.HTTPSConnection(host, context=_trusted(), **settings))
            return made

        return self.do_open(connection, request)


@lru_cache(maxsize=1)
def _trusted() -> SSLContext:
    """Whom the system trusts; read once."""
    return create_default_context()
