"""Replies that leave in one piece: in order, whole, and at once where nothing follows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from trustkit.asgi.joined import LARGE, Joined
from trustkit.asgi.listen import bind, serve
from trustkit.asgi.logs import Message, Receive, Scope, Send
from trustkit.core.names import Host

BIG = b"B" * (LARGE + 1)


class Wire(asyncio.Transport):
    """Keeps what is sent, each piece by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[bytes] = []
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.closed, "nothing is sent after the end"
        self.sent.append(bytes(data))

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def get_write_buffer_size(self) -> int:
        return 0


def by(*steps: Callable[[Joined], None]) -> Wire:
    """What leaves after these steps in one turn of the loop, and the turn after it."""
    wire = Wire()

    async def main() -> None:
        joined = Joined(wire, asyncio.get_running_loop())
        for step in steps:
            step(joined)
        await asyncio.sleep(0)

    asyncio.run(main())
    return wire


def written(data: bytes) -> Callable[[Joined], None]:
    return lambda joined: joined.write(data)


@pytest.mark.parametrize(
    ("steps", "sent"),
    [
        ([written(b"head"), written(b"body")], [b"headbody"]),
        ([written(b"head")], [b"head"]),
        ([written(b"head"), written(b"")], [b"head"]),
        ([written(b"")], []),
        ([written(b"head"), written(BIG)], [b"head", BIG]),
        ([written(BIG)], [BIG]),
        ([written(BIG), written(b"end")], [BIG, b"end"]),
        ([written(b"a"), written(b"b"), written(b"c")], [b"ab", b"c"]),
        ([written(b"head"), lambda joined: joined.close()], [b"head"]),
        ([written(b"head"), lambda joined: joined.write_now(b"next")], [b"headnext"]),
        ([lambda joined: joined.write_now(b"now"), written(b"then")], [b"now", b"then"]),
    ],
    ids=["pair", "alone", "no-body", "nothing", "large-body", "large", "large-first", "three", "end", "now", "then"],
)  # fmt: skip
def test_what_is_written_leaves_in_order_and_all_of_it(
    steps: list[Callable[[Joined], None]], sent: list[bytes]
) -> None:
    assert by(*steps).sent == sent


def test_what_waits_counts_as_not_sent() -> None:
    sizes: list[int] = []
    by(written(b"head"), lambda joined: sizes.append(joined.get_write_buffer_size()))
    assert sizes == [4]


def test_a_head_leaves_although_its_body_takes_long() -> None:
    """A client that reads a stream learns its status before the first piece is there."""

    async def main() -> None:
        first = asyncio.Event()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
            await first.wait()
            body: Message = {"type": "http.response.body", "body": b"body"}
            await send(body)

        sock = bind(Host("127.0.0.1", 0))
        ready = asyncio.Event()
        serving = asyncio.create_task(serve(app, sock, tls=None, ready=ready.set))
        await ready.wait()
        reader, writer = await asyncio.open_connection(*sock.getsockname())
        writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        assert head.startswith(b"HTTP/1.1 200 ")
        first.set()
        assert await asyncio.wait_for(reader.readexactly(4), 5) == b"body"
        writer.close()
        serving.cancel()
        await asyncio.wait([serving])

    asyncio.run(main())
