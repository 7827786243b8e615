"""Clients that ask for much and read nothing: what they asked for doesn't pile up, encrypted, in memory."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.formats_docker.stand import tls
from trustkit.asgi import strict
from trustkit.asgi.listen import Tls, bind, serve
from trustkit.asgi.logs import App, Message, Receive, Scope, Send
from trustkit.core.names import Host
from trustkit.gateway.exchange import PIECE, ClientGone, Exchange

BODY = bytes(range(256)) * 4096 * 16
KERNEL = 8 * 1024 * 1024
"""More than two sockets hold."""


@asynccontextmanager
async def asked(app: App, folder: Path | None) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Somebody who has asked an application for something, and holds little of the answer.

    Args:
        folder: for a certificate; None speaks without TLS.
    """
    sock, ready = bind(Host("127.0.0.1", 0)), asyncio.Event()
    with_tls = Tls(*tls(folder)) if folder else None
    serving = asyncio.create_task(serve(app, sock, tls=with_tls, ready=ready.set))
    await ready.wait()
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, PIECE)
    raw.connect(sock.getsockname())
    context = ssl.create_default_context(cafile=with_tls.certificate) if with_tls else None
    reader, writer = await asyncio.open_connection(
        sock=raw, ssl=context, server_hostname="localhost" if with_tls else None, limit=PIECE
    )
    writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
    try:
        yield reader, writer
    finally:
        writer.close()
        serving.cancel()
        await asyncio.wait([serving])


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_a_reply_is_handed_on_as_fast_as_it_is_read(tmp_path: Path, *, secure: bool) -> None:
    taken = 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def counted(message: Message) -> None:
            nonlocal taken
            await send(message)
            taken += len(message.get("body", b""))

        await Exchange(scope, receive, counted).reply(200, [], BODY)

    async def main() -> None:
        async with asked(app, tmp_path if secure else None) as (reader, _):
            await reader.readuntil(b"\r\n\r\n")
            before = -1
            while taken > before:
                before = taken
                await asyncio.sleep(0.1)
            assert taken < KERNEL
            assert await reader.readexactly(len(BODY)) == BODY

    asyncio.run(main())


@pytest.mark.parametrize("size", [0, 1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, 2 * PIECE + 1])
def test_pieces_are_the_body(size: int) -> None:
    sent: list[Message] = []

    async def receive() -> Message:
        raise NotImplementedError

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"method": "GET", "raw_path": b"/v2/", "query_string": b"", "headers": []}
    asyncio.run(Exchange(scope, receive, send).reply(200, [], BODY[:size]))
    pieces = sent[1:]
    assert b"".join(piece["body"] for piece in pieces) == BODY[:size]
    assert [piece.get("more_body", False) for piece in pieces] == [True] * (len(pieces) - 1) + [False]
    assert max(len(piece["body"]) for piece in pieces) <= PIECE


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_who_reads_nothing_is_cut_and_who_reads_slowly_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, secure: bool
) -> None:
    monkeypatch.setattr(strict, "UNREAD_SECONDS", 0.5)

    async def main() -> None:
        ended = asyncio.Event()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            async def endless() -> AsyncIterator[bytes]:
                for _ in range(1024):
                    yield BODY[:PIECE]

            try:
                await Exchange(scope, receive, send).stream(200, [], endless())
            except ClientGone:
                ended.set()

        async with asked(app, tmp_path if secure else None) as (reader, writer):
            for _ in range(10):
                await reader.readexactly(4 * PIECE)
                await asyncio.sleep(0.1)
            assert not ended.is_set(), "somebody who reads goes on"
            await asyncio.wait_for(ended.wait(), 10)
            writer.transport.abort()

    asyncio.run(main())
