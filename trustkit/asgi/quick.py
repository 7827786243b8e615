"""Answers that are there already, given without a task, a scope or an ASGI message: what is read all day long.

Only what can't be told apart from the long way comes here: a GET over HTTP/1.1 with one Authorization header, no
body, nothing conditional, and no request before it on its way.  Who may read what is decided by whoever keeps the
answers.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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
    """A reply with status 200.

    Attributes:
        head: its headers, each with CRLF, without a date.
        kind: what sort of path it is of, for whoever counts.
    """

    head: bytes
    body: bytes
    kind: str = "other"


Find = Callable[[bytes, bytes], Answer | None]
"""From a request target and the SHA-256 of an Authorization value to what is to be answered now, if it is known."""


@dataclass(frozen=True, slots=True)
class Quick:
    """What answers at once, and who is told of it.

    Attributes:
        told: gets the client's address, the headers, the target, the answer and the seconds that it took.
    """

    find: Find
    told: Callable[[str, Headers, bytes, Answer, float], None] | None = None


class QuickProtocol(StrictProtocol):
    """HTTP/1.1 that asks ``quick`` before the application."""

    _done = False
    _authorization = b""
    _hash = b""

    def __init__(self, *args: Any, quick: Quick, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._find, self._told = quick.find, quick.told

    def at_once(self) -> bool:
        """Whether the request whose head is whole has been answered."""
        began = time.perf_counter() if self._told else 0.0
        authorization = self._usual()
        if authorization is None:
            return False
        if authorization != self._authorization:
            self._authorization, self._hash = authorization, hashlib.sha256(authorization).digest()
        answer = self._find(self.url, self._hash)
        if answer is None:
            return False
        self._answer(answer, keep_alive=self.parser.should_keep_alive() and not self._last)
        if self._told:
            client = self.client[0] if self.client else ""
            self._told(client, self.headers, self.url, answer, time.perf_counter() - began)
        return True

    def _usual(self) -> bytes | None:
        """The Authorization value of a request that may be answered at once; None for another one."""
        if self.cycle is not None and not self.cycle.response_complete:
            return None  # its turn comes after what is on its way
        parser = self.parser
        if parser.get_method() != b"GET" or parser.get_http_version() != "1.1" or parser.should_upgrade():
            return None
        if self.flow.write_paused or self.transport.is_closing():
            return None
        found = None
        for name, value in self.headers:
            if name in OTHERWISE or (found is not None and name == b"authorization"):
                return None
            if name == b"authorization":
                found = value
        return found

    def _answer(self, answer: Answer, *, keep_alive: bool) -> None:
        parts = [b"HTTP/1.1 200 OK\r\n"]
        for name, value in self.server_state.default_headers:
            parts += (name, b": ", value, b"\r\n")
        parts += (answer.head, b"\r\n" if keep_alive else b"connection: close\r\n\r\n", answer.body)
        self.transport.write(b"".join(parts))
        self._done = True
        if keep_alive:
            self.on_response_complete()
        else:
            self.server_state.total_requests += 1
            self.transport.close()

    def on_message_complete(self) -> None:
        """The last byte of a request."""
        if self._done:
            self._done = False
            self._idle = 0
        else:
            super().on_message_complete()
