"""Limits of a request and the shape of a reply, over ASGI messages."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from trustkit.errors import Malformed, RegistryFailed, StateError, TimedOut, TooLarge
from trustkit.gateway.exchange import ClientGone, Exchange, Pace
from trustkit.gateway.problems import refuse


def exchange_of(*messages: dict[str, Any], pace: Pace | None = None, **scope: Any) -> tuple[Exchange, list[Any]]:
    pending, sent = list(messages), []

    async def receive() -> dict[str, Any]:
        if not pending:
            await asyncio.sleep(3600)
        await asyncio.sleep(scope.get("delay", 0))
        return pending.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    base = {"method": "GET", "raw_path": b"/v2/", "query_string": b"", "headers": []}
    return Exchange({**base, **scope}, receive, send, pace=pace), sent


def part(body: bytes, more: bool = True) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


def test_the_limit_holds_by_declaration_and_by_bytes() -> None:
    async def run() -> None:
        exchange, _ = exchange_of(part(b"abc"), part(b"de", False))
        assert await exchange.body(5) == b"abcde"
        exchange, _ = exchange_of(part(b"abc"), part(b"def", False))
        with pytest.raises(TooLarge):
            await exchange.body(5)
        exchange, _ = exchange_of(headers=[(b"content-length", b"6")])
        with pytest.raises(TooLarge):
            await exchange.body(5)

    asyncio.run(run())


@pytest.mark.parametrize("length", [b"-1", b"1, 2", b"x", b"+1", b"1" * 30])
def test_a_length_that_is_no_number(length: bytes) -> None:
    exchange, _ = exchange_of(headers=[(b"content-length", length)])
    with pytest.raises(Malformed):
        _ = exchange.content_length


@pytest.mark.parametrize("pace", [Pace(idle=0.05), Pace(idle=9, grace=0.01, floor=1e6)], ids=["silent", "drip"])
def test_a_slow_body_times_out(pace: Pace) -> None:
    async def run() -> None:
        exchange, _ = exchange_of(*[part(b"x")] * 5, pace=pace, delay=0.02)
        with pytest.raises(TimedOut):
            await exchange.body(100)

    asyncio.run(run())


def test_a_client_that_leaves() -> None:
    async def run() -> None:
        exchange, _ = exchange_of(part(b"x"), {"type": "http.disconnect"})
        with pytest.raises(ClientGone):
            await exchange.body(100)

    asyncio.run(run())


@pytest.mark.parametrize("query", [b"a=1&a=2", b"a=%ff", b"a=1&" * 40, b"\xff", b"a"])
def test_a_query_that_two_readers_read_differently(query: bytes) -> None:
    exchange, _ = exchange_of(query_string=query)
    with pytest.raises(Malformed):
        exchange.parameters()


def test_head_has_no_body_and_headers_have_no_line_breaks() -> None:
    async def run() -> None:
        exchange, sent = exchange_of(method="HEAD")
        await exchange.reply(200, [("x", "a\r\nSet-Cookie: b")], b"body")
        assert sent[0]["headers"] == [(b"x", b"a Set-Cookie: b"), (b"content-length", b"4")]
        assert sent[1]["body"] == b""
        exchange, sent = exchange_of(method="HEAD")
        await refuse(exchange, RegistryFailed('A "quoted"\nreason.'))
        assert (b"warning", b'299 - "A \\"quoted\\" reason."') in sent[0]["headers"]

    asyncio.run(run())


def test_no_raw_path_no_service() -> None:
    with pytest.raises(StateError):
        exchange_of(raw_path=None)
