"""Whose X-Forwarded-For counts, and what of it."""

from __future__ import annotations

import asyncio

import pytest

from trustkit.asgi.forwarded import Forwarded, Proxies, client_of
from trustkit.asgi.logs import Message, Receive, Scope, Send
from trustkit.errors import InvalidSetting

PROXIES = Proxies.of(["127.0.0.1", "10.0.0.0/8", "2001:db8::/64"])

SAID = {
    "a stranger's word is none": ("192.0.2.1", [b"203.0.113.9"], "192.0.2.1"),
    "a proxy's word": ("127.0.0.1", [b"192.0.2.1"], "192.0.2.1"),
    "what the client added is left of it": ("127.0.0.1", [b"203.0.113.9, 192.0.2.1"], "192.0.2.1"),
    "two proxies": ("127.0.0.1", [b"203.0.113.9, 192.0.2.1, 10.1.2.3"], "192.0.2.1"),
    "several headers are one list": ("127.0.0.1", [b"203.0.113.9", b"192.0.2.1"], "192.0.2.1"),
    "all are proxies": ("127.0.0.1", [b"10.0.0.1, 10.0.0.2"], "10.0.0.1"),
    "no header": ("127.0.0.1", [], "127.0.0.1"),
    "an empty one": ("127.0.0.1", [b""], "127.0.0.1"),
    "garbage stops it": ("127.0.0.1", [b"203.0.113.9, <script>"], "127.0.0.1"),
    "garbage left of a proxy": ("127.0.0.1", [b"evil\x00, 10.0.0.1"], "10.0.0.1"),
    "not UTF-8": ("127.0.0.1", [b"\xff\xfe"], "127.0.0.1"),
    "a port is garbage": ("127.0.0.1", [b"192.0.2.1:80"], "127.0.0.1"),
    "version 6": ("2001:db8::1", [b"2001:db8:1::5"], "2001:db8:1::5"),
    "version 4 in 6": ("::ffff:127.0.0.1", [b"::ffff:192.0.2.1"], "192.0.2.1"),
    "a very long list": ("127.0.0.1", [b"203.0.113.9, " * 9000 + b"192.0.2.1"], "192.0.2.1"),
    "a unix socket isn't trusted unasked": ("", [b"192.0.2.1"], ""),
}


@pytest.mark.parametrize("case", SAID)
def test_the_client_is_who_the_first_stranger_from_the_right_is(case: str) -> None:
    peer, values, client = SAID[case]
    assert client_of(peer, values, PROXIES) == client


def test_a_unix_socket_counts_where_it_is_named() -> None:
    assert client_of("", [b"192.0.2.1"], Proxies.of(["unix"])) == "192.0.2.1"
    assert client_of("127.0.0.1", [b"192.0.2.1"], Proxies.of(["unix"])) == "127.0.0.1"


@pytest.mark.parametrize("word", ["0.0.0.0/0", "::/0", "localhost", "10.0.0.1/8", "", "127.0.0.1:80", "UNIX"])
def test_a_proxy_that_is_everybody_or_no_address_is_refused(word: str) -> None:
    with pytest.raises(InvalidSetting):
        Proxies.of([word])


def test_the_scope_says_who_asked() -> None:
    seen: list[object] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["client"])

    async def receive() -> Message:
        return {}

    async def send(message: Message) -> None:
        del message

    async def ask(client: object, *headers: tuple[bytes, bytes]) -> None:
        await Forwarded(app, PROXIES)({"type": "http", "client": client, "headers": headers}, receive, send)

    said = (b"x-forwarded-for", b"192.0.2.1")
    asyncio.run(ask(("127.0.0.1", 4711), said))
    asyncio.run(ask(("192.0.2.7", 4711), said))
    asyncio.run(ask(None, said))
    assert seen == [("192.0.2.1", 0), ("192.0.2.7", 4711), None]
