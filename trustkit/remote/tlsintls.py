"""TLS inside another TLS connection: with a registry, through a proxy that is itself spoken to over TLS.

The standard library wraps sockets of the system only.  Here the inner TLS is in memory, and what it says goes
through the outer socket.
"""

from __future__ import annotations

import io
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")
_PIECE = 64 * 1024


class TlsInTls:
    """A socket as ``http.client`` and a budget use one.  Everything that isn't here is the outer socket's own.

    Args:
        outer: connected to the proxy, with a timeout that the handshake ends in.
        context: of the inner TLS.
        hostname: whose certificate it has to be.

    Raises:
        OSError: as the outer socket and the handshake do.
    """

    def __init__(self, outer: ssl.SSLSocket, context: ssl.SSLContext, hostname: bytes) -> None:
        self._outer, self._seconds = outer, outer.gettimeout()
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=hostname)
        self._driven(self._tls.do_handshake)

    def settimeout(self, value: float | None) -> None:
        """How long each operation from now on may take, with all that it reads and writes."""
        self._seconds = value

    def sendall(self, data: bytes | bytearray | memoryview) -> None:
        """Sends all of it."""
        until = self._until()
        view = memoryview(data).cast("B")
        while view:
            view = view[self._driven(partial(self._tls.write, view[:_PIECE]), until) :]

    def readinto(self, buffer: Any) -> int:
        """Reads at least a byte; 0 at the end."""
        try:
            return int(self._driven(lambda: self._tls.read(len(buffer), buffer)))
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return 0  # as a socket's makefile; http.client knows how long an answer should be

    def makefile(self, mode: str = "rb", *, buffering: int = 0) -> io.RawIOBase:
        """The reading side, which keeps the socket open until it is closed itself."""
        assert (mode, buffering) == ("rb", 0)  # noqa: S101 - the budget asks for nothing else
        return _Reader(self, self._outer)

    def pending(self) -> int:
        """Bytes that are here already, so that no poll sees them."""
        return self._tls.pending() + self._incoming.pending + self._outer.pending()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._outer, name)

    def _until(self) -> float | None:
        return None if self._seconds is None else time.monotonic() + self._seconds

    def _driven(self, operation: Callable[[], T], until: float | None = None) -> T:
        """Runs an operation of the inner TLS to its end, with whatever has to be sent and received for it."""
        until = self._until() if until is None else until
        while True:
            try:
                done = operation()
            except ssl.SSLWantReadError:
                self._flush(until)
                self._fill(until)
            except ssl.SSLError:
                with suppress(OSError):  # the alert that says why
                    self._flush(until)
                raise
            else:
                self._flush(until)
                return done

    def _flush(self, until: float | None) -> None:
        if self._outgoing.pending:
            self._outer.settimeout(_left(until))
            self._outer.sendall(self._outgoing.read())

    def _fill(self, until: float | None) -> None:
        if self._incoming.eof:
            raise ssl.SSLEOFError(ssl.SSL_ERROR_EOF, "it broke off")
        self._outer.settimeout(_left(until))
        data = self._outer.recv(_PIECE)
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()


class _Reader(io.RawIOBase):
    def __init__(self, tls: TlsInTls, outer: ssl.SSLSocket) -> None:
        self._tls = tls
        self._held = outer.makefile("rb", buffering=0)  # an open file keeps its socket open

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._tls.readinto(buffer)

    def close(self) -> None:
        self._held.close()
        super().close()


def _left(until: float | None) -> float | None:
    if until is None:
        return None
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError("past the deadline")
    return left
