"""The uploads of both APIs of trust: how many at once, and of whom."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, nullcontext
from weakref import WeakValueDictionary

from trustkit.core.names import PrincipalName
from trustkit.errors import Malformed
from trustkit.gateway.caller import Caller
from trustkit.gateway.exchange import Exchange
from trustkit.server.multipart import MAX_BINNED, MAX_BODY, MAX_LARGE, PART, read_upload

UPLOADS_AT_ONCE = 16
LARGE_AT_ONCE = 2
UPLOADS_OF_ONE = 4
"""How many of them one principal may have, so that slow uploads of one don't keep everybody from publishing."""


class Uploads:
    """Reads uploads, each when it is its turn."""

    def __init__(self) -> None:
        self._all = asyncio.Semaphore(UPLOADS_AT_ONCE)
        self._large = asyncio.Semaphore(LARGE_AT_ONCE)
        self._larges: WeakValueDictionary[PrincipalName | None, asyncio.Semaphore] = WeakValueDictionary()
        self._turns: WeakValueDictionary[PrincipalName | None, asyncio.Semaphore] = WeakValueDictionary()

    @asynccontextmanager
    async def read(
        self, exchange: Exchange, caller: Caller, *, part: re.Pattern[bytes] = PART, most: int = MAX_BINNED
    ) -> AsyncIterator[Mapping[str, bytes]]:
        """The uploaded files by role, once it is the caller's turn, which lasts until they are done with.

        Args:
            part, most: as ``read_upload``.

        Raises:
            Malformed, TooLarge: as ``read_upload``, and for a content encoding.
        """
        if exchange.headers.get("content-encoding", "identity").strip().lower() != "identity":
            raise Malformed("The upload has a content encoding.", hint="Send it as it is.")
        turn = self._turns.setdefault(caller.principal, asyncio.Semaphore(UPLOADS_OF_ONE))
        large = (exchange.content_length or 0) > MAX_BODY
        async with turn, self._all, self._turn_of_large(caller) if large else nullcontext():
            body = await exchange.body(MAX_LARGE if large else MAX_BODY)
            yield read_upload(exchange.headers.get("content-type", ""), body, part=part, most=most)

    @asynccontextmanager
    async def _turn_of_large(self, caller: Caller) -> AsyncIterator[None]:
        """Few large uploads at once, for the memory that they take, and one of each principal."""
        own = self._larges.setdefault(caller.principal, asyncio.Semaphore(1))
        async with own, self._large:
            yield
