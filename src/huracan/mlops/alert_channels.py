"""Where alerts go: the log, or the address of a webhook."""

from __future__ import annotations

import http
import http.client
import json
import urllib.error
from typing import Any, Protocol
from urllib.parse import urlsplit

from huracan.errors import ConfigError, HuracanError
from huracan.logs import logger
from huracan.mlops.webhook_post import post

__all__ = ["Channel", "LogChannel", "NotSent", "WebhookChannel"]

_LONGEST = 3_600
_REDIRECTS = (301, 302, 303, 307, 308)


class NotSent(HuracanError):
    """A channel could not take an alert; it stays due."""


class Channel(Protocol):
    """Takes one alert at a time."""

    def send(self, message: dict[str, Any]) -> None:
        """Send what :meth:`huracan.mlops.alerts.Alert.message` gave; :class:`NotSent` where that was not possible."""


class LogChannel:
    """Writes alerts to the log, as errors, warnings or infos by their level.

    >>> LogChannel().send({"id": "artifact:BTC", "level": "error", "state": "raised", "text": "v3 cannot be loaded."})
    """

    def send(self, message: dict[str, Any]) -> None:
        """Write it; this cannot fail."""
        rest = {key: value for key, value in message.items() if key not in ("text", "level")}
        write = getattr(logger(), message["level"] if message["state"] != "resolved" else "info")
        write(message["text"], **rest)


class WebhookChannel:
    """Posts alerts as JSON; ``text`` holds the sentence, as chat programs expect it.

    Parameters
    ----------
    url : http or https. It may hold a secret, so messages and logs only name its host; redirects are not followed.
    timeout : seconds for a message, from looking the host up to its answer.

    Raises
    ------
    ConfigError : the address is none of the web: no such scheme, no host, a port that is no number, a user before the host, or
        blanks and letters that have to be written as ``%20`` and the like. The timeout is no number of seconds up to an hour.

    Examples
    --------
    >>> WebhookChannel("https://hooks.example.com/T0/secret")
    WebhookChannel('hooks.example.com')
    """

    def __init__(self, url: str, *, timeout: float = 3.0) -> None:
        host = _host(url) if isinstance(url, str) else None
        if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0.0 < timeout < _LONGEST:
            raise ConfigError(f"the webhook's timeout is {timeout!r}; seconds above 0 and below {_LONGEST} were expected.")
        if host is None:
            raise ConfigError("the webhook's address is none; an address like https://hooks.example.com/... was expected.")
        self.host = host
        self.timeout = timeout
        self._url = url

    def __repr__(self) -> str:
        return f"WebhookChannel({self.host!r})"

    def send(self, message: dict[str, Any]) -> None:
        """Post it.

        Raises
        ------
        NotSent : the host does not answer in time, does not take it, or sends it elsewhere.
        """
        body = json.dumps(message, ensure_ascii=False).encode()
        headers = {"Content-Type": "application/json; charset=utf-8", "User-Agent": "huracan"}
        try:
            post(self._url, body, headers, timeout=self.timeout)
        except urllib.error.HTTPError as error:
            if error.code in _REDIRECTS:
                raise NotSent(
                    f"the webhook at {self.host} answered {_status(error.code)}, and redirects are not followed, since the "
                    "message would be lost on the way: give the address that it leads to; the alert stays due."
                ) from None
            raise NotSent(f"the webhook at {self.host} answered {_status(error.code)}; the alert stays due.") from None
        except (OSError, ValueError, http.client.HTTPException) as error:  # unreachable, too slow, no such host, not HTTP
            raise NotSent(f"the webhook at {self.host} could not be reached ({_kind(error)}); the alert stays due.") from None


def _host(url: str) -> str | None:
    """Host of an address that can be posted to, None where it cannot."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    usable = url.isascii() and url.isprintable() and " " not in url and "@" not in parts.netloc and port != 0
    return parts.hostname if usable and parts.scheme in ("http", "https") else None


def _status(code: int) -> str:
    """A status by its number and usual name: what the other side calls it may repeat the address."""
    return f"{code} {http.HTTPStatus(code).phrase}" if code in set(http.HTTPStatus) else str(code)


def _kind(error: Exception) -> str:
    """What kind of failure it was, in words of the operating system or of Python: the error's own may repeat the address."""
    reason = getattr(error, "reason", error)
    said = reason.strerror if isinstance(reason, OSError) else None
    return said or type(reason if isinstance(reason, Exception) else error).__name__
