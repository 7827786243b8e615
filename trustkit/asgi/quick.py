"""Answers that are there already, given without a task, a scope or an ASGI message: what is read all day long.

Only what can't be told apart from the long way comes here: a GET over HTTP/1.1 with one Authorization header or none,
no body, nothing conditional, and no request before it on its way.  Who may read what is decided by whoever keeps the
answers.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from trustkit.asgi.strict import StrictProtocol

Headers = Sequence[tuple[bytes, bytes]]

OTHERWISE = frozenset(
    {
        b"content-length",
        b"transfer-encoding",
        b"expect",
        b"upgrade",
        b"range",
        b"if-range",
        b"if-match",
        b"if-none-match",
        b"if-modified-since",
        b"if-unmodified-since",
    }
)
"""Headers with which an answer may be another one."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply.

    Attributes:
        head: its headers, each with CRLF, without a date.
        kind: what sort of path it is of, for whoever counts.
        refusal: the slug of the error that it tells of; None for none.
    """

    head: bytes
    body: bytes
    kind: str = "other"
    status: HTTPStatus = HTTPStatus.OK
    refusal: str | None = None


Find = Callable[[bytes, bytes], Answer | None]
"""From a request target and the SHA-256 of an Authorization value to what is to be answered now, if it is known."""
Nobody = Callable[[bytes, bytes], Answer | None]
"""From a request target and the value of Host to what is answered to whoever sends no Authorization."""


class Quick:
    """What answers at once, and who is told of it.

    Args:
        told: gets the client's address, the headers, the target, the answer and the seconds that it took.
    """

    def __init__(
        self,
        find: Find,
        nobody: Nobody = lambda _target, _host: None,
        *,
        told: Callable[[str, Headers, bytes, Answer, float], None] | None = None,
    ) -> None:
        self.find, self.nobody, self.told = find, nobody, told
        self._heads: dict[HTTPStatus, bytes] = {}
        self._headers: Sequence[tuple[bytes, bytes]] = ()

    def head(self, status: HTTPStatus, headers: Sequence[tuple[bytes, bytes]]) -> bytes:
        """The status line and the server's own headers, which are another list each second."""
        if headers is not self._headers:
            self._heads.clear()
            self._headers = headers
        head = self._heads.get(status)
        if head is None:
            line = f"HTTP/1.1 {status} {status.phrase}\r\n".encode("ascii")
            head = self._heads[status] = line + b"".join(b"%b: %b\r\n" % pair for pair in headers)
        return head


class QuickProtocol(StrictProtocol):
    """HTTP/1.1 that asks ``quick`` before the application."""

    _done = False
    _entered = False
    _authorization = b""
    _hash = b""

    def __init__(self, *args: Any, quick: Quick, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._quick, self._find, self._nobody, self._told = quick, quick.find, quick.nobody, quick.told

    def at_once(self) -> bool:
        """Whether the request whose head is whole has been answered."""
        began = time.perf_counter() if self._told else 0.0
        answer = self._known()
        if answer is None:
            self._go_the_long_way()
            return False
        self._answer(answer, keep_alive=self.parser.should_keep_alive() and not self._last)
        if self._told:
            client = self.client[0] if self.client else ""
            self._told(client, self.headers, self.url, answer, time.perf_counter() - began)
        return True

    def _hashed(self, authorization: bytes) -> bytes:
        """Its SHA-256; a connection's requests mostly have the same one."""
        if authorization != self._authorization:
            self._authorization, self._hash = authorization, hashlib.sha256(authorization).digest()
        return self._hash

    def _known(self) -> Answer | None:
        """The answer to a request that may be answered at once, where it is there."""
        if self.cycle is not None and not self.cycle.response_complete:
            return None  # its turn comes after what is on its way
        parser = self.parser
        if parser.get_method() != b"GET" or parser.get_http_version() != "1.1" or parser.should_upgrade():
            return None
        if self.flow.write_paused or self.transport.is_closing():
            return None
        authorization, host = None, b""
        for name, value in self.headers:
            if name in OTHERWISE or (authorization is not None and name == b"authorization"):
                return None
            if name == b"authorization":
                authorization = value
            elif name == b"host":  # the only one
                host = value
        if authorization is None:
            first, self._entered = not self._entered, True  # whoever asks on and on, unknown, waits for each answer
            return self._nobody(self.url, host) if first else None
        return self._find(self.url, self._hashed(authorization))

    def _answer(self, answer: Answer, *, keep_alive: bool) -> None:
        head = self._quick.head(answer.status, self.server_state.default_headers)
        end = b"\r\n" if keep_alive else b"connection: close\r\n\r\n"
        self.transport.write_now(b"".join((head, answer.head, end, answer.body)))  # type: ignore[attr-defined]  # Joined
        self._done = True
        self.server_state.total_requests += 1
        if keep_alive:
            self.rest()
        else:
            self.transport.close()

    def on_message_begin(self) -> None:
        """The first byte of a request; what only the application needs is made when it is asked."""
        self._begun = True
        self.url, self.headers, self.expect_100_continue = b"", [], False

    def _go_the_long_way(self) -> None:
        """Makes what uvicorn makes when a request begins."""
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.headers, self.expect_100_continue = url, headers, expects
        self.scope["headers"] = headers
        self._begun = False

    def on_message_complete(self) -> None:
        """The last byte of a request."""
        if self._done:
            self._done = False
            self._idle = 0
        else:
            super().on_message_complete()
