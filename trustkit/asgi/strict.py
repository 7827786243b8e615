"""HTTP/1.1 as uvicorn speaks it with httptools, with bounds where that has none: heads, trailers, targets, hosts."""

from __future__ import annotations

import asyncio
import fcntl
import sys
import termios
from collections.abc import Iterable
from contextlib import suppress

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from trustkit.asgi.joined import Joined

MAX_HEAD = 64 * 1024
"""Bytes of a request's head, or of trailers; the largest token takes a quarter of it.  What the last read brought
comes on top."""
HEAD_SECONDS = 20.0
"""Seconds that a connection may take until a request's head is whole."""
MOST_UNSENT = 64 * 1024
"""Bytes of an answer that wait for their client until no more are taken; with TLS it would be half a MiB."""
UNREAD_SECONDS, LEAST_READ = 60.0, 48 * 1024
"""Seconds in which a client has to take so many bytes of what waits for it: 800 a second."""
MAX_WAITING = 16
"""Requests that may wait on a connection for the answer to one before them.  Each takes 3 KiB and needs 30 bytes."""


class StrictProtocol(HttpToolsProtocol):
    """Refuses, before anybody is authenticated, what no honest client sends.

    - More than ``MAX_HEAD`` bytes without an end of the head or a byte of a body: the parser would keep them all.
    - A head that isn't whole after ``HEAD_SECONDS``.
    - A request target that isn't a path (absolute-form, ``*``) or has a fragment: its raw path wouldn't be what was
      sent (TRUST 1.2; RFC 9112, 3.2).
    - Two Host headers, or none in HTTP/1.1 (RFC 9112, 3.2).
    - Another version than HTTP/1.0 and 1.1, which the parser takes as well.
    - A transfer coding that isn't ``chunked``, is said twice, or comes in HTTP/1.0: what stands in front of us might
      see the body's end elsewhere (RFC 9112, 6.1).
    - An answer that isn't read: after ``UNREAD_SECONDS`` the connection is cut, and all that the answer held is free,
      such as a connection to a registry behind the service.
    - More than ``MAX_WAITING`` requests before the first is answered.  The connection is closed, since an answer to
      one of them could be taken for that of another (RFC 9112, 9.3.2: a client asks again).
    """

    _idle = 0
    _deadline: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None
    _begun = False
    _rests_since: float | None = None
    _last = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """As asyncio.Protocol; from now on a head is waited for."""
        super().connection_made(Joined(transport, self.loop))  # type: ignore[arg-type]  # has what a transport has
        transport.set_write_buffer_limits(MOST_UNSENT)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """As asyncio.Protocol."""
        self._stop_waiting()
        self._read_again()
        super().connection_lost(exc)
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()

    def pause_writing(self) -> None:
        """As asyncio.Protocol: the client doesn't read as fast as it asks."""
        super().pause_writing()
        if self._unread is None:
            self._wait_for_reading()

    def resume_writing(self) -> None:
        """As asyncio.Protocol: it has read."""
        self._read_again()
        super().resume_writing()

    def _wait_for_reading(self) -> None:
        self._unread = self.loop.call_later(UNREAD_SECONDS, self._look_at_reading, _unsent(self.transport))

    def _look_at_reading(self, before: int) -> None:
        if before - _unsent(self.transport) < LEAST_READ:
            self.transport.abort()
        else:
            self._wait_for_reading()

    def _read_again(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def data_received(self, data: bytes) -> None:
        """As asyncio.Protocol; counts what leads to nothing, and waits for the rest of a head."""
        self._idle += len(data)
        super().data_received(data)
        if self._begun and self._deadline is None:
            self._wait()
        if self._idle > MAX_HEAD and not self.transport.is_closing():
            self.send_400_response("The request's head is too long.")

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        self._begun = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is whole.

        Raises:
            ValueError: it is none that we take; the parser makes a 400 of it.
        """
        self._idle = 0
        self._begun = False
        self._stop_waiting()
        _require_sound(self.url, self.parser.get_http_version(), self.headers)
        if len(self.pipeline) >= MAX_WAITING:
            self.transport.close()
            raise ValueError("too many requests wait")
        if self.at_once():
            return
        super().on_headers_complete()
        if self._last:
            self.cycle.keep_alive = False

    def on_response_complete(self) -> None:
        """An answer is out.  As uvicorn's, with one timer for a connection rather than one for each request."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if self.pipeline:  # nothing more is read while requests wait that were read before
            self._start_asgi_task(*self.pipeline.pop())
        else:
            self.flow.resume_reading()
            self.rest()

    def send_400_response(self, msg: str) -> None:
        """Refuses what can't be read, unless the connection ends anyway."""
        if not self.transport.is_closing():
            super().send_400_response(msg)

    def rest(self) -> None:
        """Nothing is asked; the connection is closed unless something is within the time that it is kept alive."""
        self._rests_since = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._look_at_rest(self.timeout_keep_alive)

    def timeout_keep_alive_handler(self) -> None:
        """The time is over, if it wasn't begun anew since."""
        self.timeout_keep_alive_task = None
        if self._rests_since is None:
            return
        left = self._rests_since + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self._look_at_rest(left)
        elif not self.transport.is_closing():
            self.transport.close()

    def _look_at_rest(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

    def _unset_keepalive_if_required(self) -> None:
        self._rests_since = None

    def at_once(self) -> bool:
        """Answers the request whose head is whole without the application; whether it did."""
        return False

    def last(self) -> None:
        """The next answer, or the one on its way, is this connection's last, and says so."""
        self._last = True
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """A piece of a body."""
        self._idle = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The last byte of a request."""
        self._idle = 0
        super().on_message_complete()

    def shutdown(self) -> None:
        """The server ends.  A TLS connection with nothing on it is cut: its client reads nothing, so it would answer
        a close_notify after ten seconds or never, and the end of the whole server would wait for it."""
        idle = self.cycle is None or self.cycle.response_complete
        if idle and self.transport.get_extra_info("sslcontext") and not self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            super().shutdown()

    def _wait(self) -> None:
        self._deadline = self.loop.call_later(HEAD_SECONDS, self._give_up)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        self._deadline = None
        if not self.transport.is_closing():
            self.transport.close()


def _unsent(transport: asyncio.WriteTransport) -> int:
    """Bytes that the other side hasn't acknowledged yet, here and in the system, whose buffers hold megabytes."""
    queued = bytearray(4)
    with suppress(OSError, AttributeError):
        fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, queued)
    return transport.get_write_buffer_size() + int.from_bytes(queued, sys.byteorder)


def _require_sound(url: bytes, version: str, headers: Iterable[tuple[bytes, bytes]]) -> None:
    hosts, codings = 0, list[bytes]()
    for name, value in headers:
        if name == b"host":
            hosts += 1
        elif name == b"transfer-encoding":
            codings.append(value.lower())
    if not url.startswith(b"/") or b"#" in url:
        raise ValueError("the target is not a path")
    if version not in ("1.1", "1.0"):
        raise ValueError("another version of HTTP")
    if hosts > 1 or (hosts == 0 and version == "1.1"):
        raise ValueError("not one Host")
    if codings and (codings != [b"chunked"] or version == "1.0"):
        raise ValueError("another transfer coding than chunked")
