"""One HTTP exchange over ASGI: a request with limits, and one reply.

Everything on ``/v2`` is written against this value and nothing else; it knows no route and no registry.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from trustkit.errors import Malformed, StateError, TimedOut, TooLarge

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
HeaderPairs = Iterable[tuple[str, str]]

MAX_PARAMETERS = 32
PIECE = 64 * 1024
"""Bytes of a reply that are handed on at once: what isn't read waits here and not, encrypted, in buffers."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")
_LENGTH = re.compile(r"[0-9]{1,18}\Z")
_BODILESS = frozenset({204, 304})


class ClientGone(ConnectionError):
    """The client went away in the middle of the exchange; there is nobody left to answer."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How slow a request body may be.

    Attributes:
        idle: seconds that may pass between two chunks.
        grace: seconds of waiting before ``floor`` counts.
        floor: the smallest average, in bytes per second of waiting after the grace.
    """

    idle: float = 30.0
    grace: float = 30.0
    floor: float = 1024.0


class Headers(Mapping[str, str]):
    """Request headers by lower-case name.  A header that was sent several times is joined by ``, ``."""

    def __init__(self, pairs: Iterable[tuple[bytes, bytes]]) -> None:
        self._values: dict[str, str] = {}
        for raw_name, raw_value in pairs:
            name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
            self._values[name] = f"{self._values[name]}, {value}" if name in self._values else value

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Headers({sorted(self._values)})"


class Exchange:
    """A request and its one reply.

    Attributes:
        method: upper case.
        path: the raw path, not decoded, without the query (TRUST 1.2).
        query: the raw query.
        peer: the client's address, or an empty string.
        replied: whether the reply's status is out already.
        status: the reply's status; None until it is out.
        kind: what sort of path this is, one of a few words that whoever routes the request sets.
        refusal: the slug of the error that the reply tells of; None for none.
        gated: the repository whose signatures decided, or an empty string where it has none; None without the gate.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send, *, pace: Pace | None = None) -> None:
        raw = scope.get("raw_path")
        if raw is None:
            raise StateError("The HTTP server gives no raw request path.", hint="Serve with uvicorn.")
        self.method: str = scope["method"]
        self.path: bytes = raw
        self.query: bytes = scope.get("query_string", b"")
        self.headers = Headers(scope["headers"])
        self.scheme: str = scope.get("scheme", "http")
        self.peer: str = (scope.get("client") or ("",))[0]
        self.replied = False
        self.status: int | None = None
        self.kind = "other"
        self.refusal: str | None = None
        self.gated: str | None = None
        self._receive, self._send = receive, send
        self._pace = pace or Pace()
        self._ended = False

    @property
    def head(self) -> bool:
        """Whether the reply must have no body."""
        return self.method == "HEAD"

    @property
    def content_length(self) -> int | None:
        """The declared length of the request's body in bytes; None where it isn't declared (chunked)."""
        text = self.headers.get("content-length")
        if text is None:
            return None
        if not _LENGTH.match(text):
            raise Malformed("The request's Content-Length is not one number.")
        return int(text)

    @property
    def media_type(self) -> str:
        """The Content-Type in lower case without parameters; empty where there is none."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    def parameters(self) -> dict[str, str]:
        """The query's parameters.

        Raises:
            Malformed: a parameter that comes twice, a broken encoding, or more than 32 of them.  What stands behind
                us might read the other of two values.
        """
        try:
            pairs = parse_qsl(
                self.query.decode("ascii"),
                keep_blank_values=True,
                strict_parsing=bool(self.query),
                errors="strict",
                max_num_fields=MAX_PARAMETERS,
            )
        except ValueError as error:
            raise Malformed("The request's query can't be read.") from error
        values = dict(pairs)
        if len(values) != len(pairs):
            raise Malformed("The request's query has a parameter twice.")
        return values

    async def chunks(self) -> AsyncIterator[bytes]:
        """The request's body as it comes, once.

        Raises:
            TimedOut: the client is slower than the pace.
            ClientGone: the client closed the connection before the end.
        """
        waited, received = 0.0, 0
        clock = asyncio.get_running_loop().time
        while not self._ended:
            before = clock()
            message = await self._next()
            waited += clock() - before
            if message["type"] == "http.disconnect":
                raise ClientGone
            self._ended = not message.get("more_body", False)
            data: bytes = message.get("body", b"")
            received += len(data)
            if not self._ended and received < self._pace.floor * (waited - self._pace.grace):
                raise TimedOut("The request's body comes too slowly.")
            if data:
                yield data

    async def _next(self) -> Message:
        try:
            async with asyncio.timeout(self._pace.idle):
                return await self._receive()
        except TimeoutError as error:
            raise TimedOut("The request's body stopped coming.") from error

    async def body(self, limit: int) -> bytes:
        """The whole body of at most ``limit`` bytes.

        Raises:
            TooLarge: by the declared length, or as soon as one byte more has come.
            TimedOut, ClientGone: as ``chunks``.
        """
        if (self.content_length or 0) > limit:
            raise TooLarge(f"The request's body is over {limit} bytes.")
        parts, size = [], 0
        async for data in self.chunks():
            size += len(data)
            if size > limit:
                raise TooLarge(f"The request's body is over {limit} bytes.")
            parts.append(data)
        return b"".join(parts)

    async def reply(
        self, status: int, headers: HeaderPairs = (), body: bytes = b"", *, length: int | None = None
    ) -> None:
        """Sends the whole reply, as fast as the client reads it.  A HEAD request gets no body.

        Args:
            length: the Content-Length to announce to a HEAD request, where ``body`` isn't at hand.
        """
        pairs = list(headers)
        if status not in _BODILESS:
            announced = length if length is not None and self.head else len(body)
            pairs.append(("content-length", str(announced)))
        await self._start(status, pairs)
        body = b"" if self.head or status in _BODILESS else body
        last = max(0, len(body) - 1) // PIECE * PIECE
        for at in range(0, last, PIECE):
            await self._send({"type": "http.response.body", "body": body[at : at + PIECE], "more_body": True})
        await self._send({"type": "http.response.body", "body": body[last:] if last else body})

    async def stream(self, status: int, headers: HeaderPairs, chunks: AsyncIterator[bytes]) -> None:
        """Sends a reply piece by piece, never more than one piece in memory; Content-Length is in ``headers``.

        When the client goes away the source is read no further.  When the source fails its error is raised, and
        the server has to cut the connection: the client sees a reply that is too short, not one that looks whole.

        Raises:
            ClientGone: the client closed the connection before the end.
        """
        await self._start(status, headers)
        if self.head:
            await self._send({"type": "http.response.body", "body": b""})
            return
        gone = asyncio.create_task(self._disconnected())
        try:
            async for data in chunks:
                if gone.done():
                    raise ClientGone
                await self._send({"type": "http.response.body", "body": data, "more_body": True})
            await self._send({"type": "http.response.body", "body": b""})
        finally:
            gone.cancel()

    async def _disconnected(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def _start(self, status: int, headers: HeaderPairs) -> None:
        self.replied, self.status = True, status
        await self._send({"type": "http.response.start", "status": status, "headers": _encoded(headers)})


def header_lines(headers: HeaderPairs) -> bytes:
    """Headers as they stand in a reply's head, each with CRLF."""
    return b"".join(b"%b: %b\r\n" % pair for pair in _encoded(headers))


def _encoded(headers: HeaderPairs) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode("latin-1"), _value(value)) for name, value in headers]


def _value(text: str) -> bytes:
    return _CONTROL.sub(" ", text).encode("latin-1", "replace")
