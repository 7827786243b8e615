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

from trustkit.core.records import dataclass
from trustkit.errors import Garbage
from trustkit.remote.messages import Body, Origin
from trustkit.remote.sockets import Speed, budgeted, connected

KEPT = 16
"""How many are kept open to one origin; a thread more opens one of its own for each request."""


@dataclass(frozen=True, slots=True)
class Seconds:
    """How long one request may take: ``total`` with its whole answer, ``connect`` until its connection stands."""

    connect: float
    total: float


class _Connection(http.client.HTTPConnection):
    """One connection, with a budget on its socket."""

    def __init__(self, origin: Origin, context: ssl.SSLContext | None) -> None:
        super().__init__(origin.name.strip("[]"), origin.port)
        self.default_port = 443 if context else 80
        self._context = context

    def open(self, seconds: float, speed: Speed, clock: Callable[[], float]) -> None:
        """Connects, with TLS where there is a context; raises OSError."""
        until = clock() + seconds
        sock = connected(self.host, self.port, seconds)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(max(until - clock(), 0.001))  # the handshake's, in all
            if self._context is not None:
                sock = self._context.wrap_socket(sock, server_hostname=self.host.encode("ascii"))
        except BaseException:
            sock.close()
            raise
        self.sock = budgeted(sock, speed, clock)

    def grant(self, seconds: float) -> None:
        """Gives what comes next this long."""
        self.sock.settimeout(seconds)

    @property
    def usable(self) -> bool:
        """Whether a kept connection is still open, with nothing in it that nobody asked for."""
        if self.sock is None:
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
    """

    origin: Origin
    context: ssl.SSLContext | None
    speed: Speed
    clock: Callable[[], float]
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
        connection = self._take() or self._open(seconds.connect)
        try:
            connection.grant(until - self.clock())
            with suppress(BrokenPipeError, ConnectionResetError):  # who refuses before all is read has answered
                connection.request(method, target, body=body, headers=dict(headers))
            connection.grant(until - self.clock())
            response = connection.getresponse()
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
        connection = _Connection(self.origin, self.context)
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
