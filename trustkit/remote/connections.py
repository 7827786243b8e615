"""Connections to one origin that are kept open, over the standard library's ``http.client``.

A verifier is a process for each pull, and urllib3 takes 30 ms of it to load.  What we need of it is small:
connections that stay open, an answer read piece by piece and to the end that it declares.  HTTP itself is
``http.client``'s, which urllib3 uses, too (ADR 0044).
"""

from __future__ import annotations

import http.client
import select
import socket
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import field
from threading import Lock
from typing import Any, Protocol

from trustkit.core.records import dataclass
from trustkit.errors import Garbage
from trustkit.remote.messages import Body, Origin
from trustkit.remote.sockets import Speed, budgeted, connected

_PROXY_LOGIN = 407
KEPT = 16
"""How many are kept open to one origin; a thread more opens one of its own for each request."""


@dataclass(frozen=True, slots=True)
class Seconds:
    """How long one request may take: ``total`` with its whole answer, ``connect`` until its connection stands."""

    connect: float
    total: float


class Way(Protocol):
    """What leads to an origin in place of a connection to it: a proxy (``trustkit.remote.tunnel``)."""

    def reach(self, seconds: float) -> socket.socket:
        """A connection to what is on the way."""

    def tunnel(self, name: str, port: int, seconds: float) -> socket.socket:
        """A connection as if it were one to this host."""

    def plainly(self, origin: Origin, target: str, headers: Mapping[str, str]) -> tuple[str, dict[str, str]]:
        """Target and headers of a request without TLS."""

    def refusal(self, status: int, where: str, wanted: list[str]) -> Exception:
        """What is raised for an answer of its own."""


class _Connection(http.client.HTTPConnection):
    """One connection, with a budget on its socket."""

    def __init__(self, origin: Origin, context: ssl.SSLContext | None, way: Way | None) -> None:
        super().__init__(origin.name.strip("[]"), origin.port)
        self.default_port = 443 if context else 80
        self._context, self._way = context, way

    def open(self, seconds: float, speed: Speed, clock: Callable[[], float]) -> None:
        """Connects, with TLS where there is a context; raises OSError."""
        until = clock() + seconds
        sock: Any = self._reached(seconds)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(max(until - clock(), 0.001))  # the handshake's, in all
            if self._context is not None:
                sock = _secured(sock, self._context, self.host.encode("ascii"))
        except BaseException:
            sock.close()
            raise
        self.sock = budgeted(sock, speed, clock)

    def _reached(self, seconds: float) -> socket.socket:
        if self._way is None:
            return connected(self.host, self.port, seconds)
        return self._way.reach(seconds) if self._context is None else self._way.tunnel(self.host, self.port, seconds)

    def grant(self, seconds: float) -> None:
        """Gives what comes next this long."""
        self.sock.settimeout(seconds)

    @property
    def usable(self) -> bool:
        """Whether a kept connection is still open, with nothing in it that nobody asked for."""
        if self.sock is None or getattr(self.sock, "pending", int)():  # of TLS: what was read, and isn't in the poll
            return False
        poll = select.poll()
        poll.register(self.sock.fileno(), select.POLLIN)
        return not poll.poll(0)


@dataclass(slots=True)
class Connections:
    """Connections to one origin.  Safe to use from several threads.

    Args:
        context: for TLS; None for plain HTTP.
        speed: the smallest speed.
        clock: seconds, never going back.
        way: a proxy on the way; None for none.
    """

    origin: Origin
    context: ssl.SSLContext | None
    speed: Speed
    clock: Callable[[], float]
    way: Way | None = None
    _kept: list[_Connection] = field(default_factory=list, init=False)
    _lock: Lock = field(default_factory=Lock, init=False)

    def request(
        self, method: str, target: str, *, body: Body, headers: Mapping[str, str], seconds: Seconds
    ) -> Answer:
        """Sends a request; the answer's body is still to be read.

        Raises:
            OSError, http.client.HTTPException, ValueError: as the system and ``http.client`` do. A ConnectionError
                means that a connection stood and broke; where none came about it is ``NoConnection``.
            Garbage: an answer that says two things about its length.
        """
        until = self.clock() + seconds.total
        if self.way is not None and self.context is None:
            target, headers = self.way.plainly(self.origin, target, headers)
        connection = self._take() or self._open(seconds.connect)
        try:
            connection.grant(until - self.clock())
            with suppress(BrokenPipeError, ConnectionResetError):  # who refuses before all is read has answered
                connection.request(method, target, body=body, headers=dict(headers))
            connection.grant(until - self.clock())
            response = connection.getresponse()
            if response.status == _PROXY_LOGIN and self.way is not None and self.context is None:
                wanted = response.headers.get_all("proxy-authenticate", [])
                raise self.way.refusal(response.status, str(self.origin.host), wanted)
            _check_length(response, self.origin)
        except BaseException:
            connection.close()
            raise
        return Answer(response, connection, self._keep)

    def _take(self) -> _Connection | None:
        while True:
            with self._lock:
                if not self._kept:
                    return None
                connection = self._kept.pop()
            if connection.usable:
                return connection
            connection.close()

    def _open(self, seconds: float) -> _Connection:
        connection = _Connection(self.origin, self.context, self.way)
        try:
            connection.open(seconds, self.speed, self.clock)
        except ConnectionError as error:
            raise NoConnection(error.errno, error.strerror or "no connection") from error
        return connection

    def _keep(self, connection: _Connection) -> None:
        with self._lock:
            if connection.sock is not None and len(self._kept) < KEPT:
                self._kept.append(connection)
                return
        connection.close()


def _secured(sock: socket.socket, context: ssl.SSLContext, hostname: bytes) -> Any:
    """TLS with this host over a connection; over one to a proxy that has TLS already, inside it."""
    if not isinstance(sock, ssl.SSLSocket):
        return context.wrap_socket(sock, server_hostname=hostname)
    from trustkit.remote.tlsintls import TlsInTls  # here, because hardly any proxy is like that

    return TlsInTls(sock, context, hostname)


class NoConnection(OSError):
    """Refused, or reset before it stood: asking again at once would be in vain."""


class Answer:
    """A status with headers, and a body that is read piece by piece."""

    def __init__(
        self,
        response: http.client.HTTPResponse,
        connection: _Connection,
        keep: Callable[[_Connection], None],
    ) -> None:
        self.status = response.status
        self.headers = response.getheaders()
        self._response = response
        self._connection = connection
        self._keep = keep
        self._open = True

    def piece(self, size: int) -> bytes:
        """At most ``size`` bytes of the body, as they come; none once it has ended as it said.

        Raises:
            http.client.IncompleteRead: it broke off.
            OSError: as the socket does.
        """
        if not self._open:
            return b""
        piece = self._response.read1(size)
        if not piece:
            if self._response.length:
                raise http.client.IncompleteRead(b"", self._response.length)
            self.done()
        return piece

    def done(self) -> None:
        """Keeps the connection where the body was read to its end, and closes it where it wasn't."""
        if not self._open:
            return
        self._open = False
        ended = self._response.isclosed() or self._response.length == 0
        self._response.close()
        if ended:
            self._keep(self._connection)
        else:
            self._connection.close()


def _check_length(response: http.client.HTTPResponse, origin: Origin) -> None:
    """``http.client`` believes the first Content-Length, whatever it looks like."""
    lengths = {value.strip() for value in response.headers.get_all("content-length", [])}
    if len(lengths) > 1 or not all(value.isascii() and value.isdigit() for value in lengths):
        raise Garbage(f"{origin.host} answered with a Content-Length that is none.")
