"""Whole answers to who may read what: decided once the long way, and given again while every reason for it holds.

The reasons are the token's times, the roles and switches, and the collection's state; nothing else decides what a GET
of a collection's file is answered.  A key is the whole path and the hash of the whole Authorization value (TRUST
8.2), so an answer is only ever given to who got it before.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from trustkit.asgi.quick import Answer
from trustkit.authority.freshness import Freshness
from trustkit.authority.reads import Served
from trustkit.core.names import Gun
from trustkit.core.stamps import Stamp, both
from trustkit.gateway.caller import Caller
from trustkit.gateway.exchange import Exchange, HeaderPairs, header_lines

LARGEST = 64 * 1024
"""Bytes of a file that is answered at once; a larger one is sent piece by piece, as its client reads it."""
OVERHEAD = 1024


@dataclass(frozen=True, slots=True)
class _Entry:
    answer: Answer
    stamp: Stamp
    begins: datetime
    ends: datetime

    @property
    def size(self) -> int:
        return OVERHEAD + len(self.answer.head) + len(self.answer.body)


class QuickReads:
    """Keeps answers.

    Args:
        limit: bytes that are kept; 0 keeps nothing.
    """

    def __init__(self, fresh: Freshness, *, clock: Callable[[], datetime], limit: int) -> None:
        self._fresh = fresh
        self._clock = clock
        self._limit = limit
        self._entries: OrderedDict[tuple[bytes, bytes], _Entry] = OrderedDict()
        self.bytes = 0
        self.given = 0

    def find(self, target: bytes, authorization: bytes) -> Answer | None:
        """What this target is answered now to who sends an Authorization value of this SHA-256; None to decide."""
        key = (target, authorization)
        entry = self._entries.get(key)
        if entry is None:
            return None
        now = self._clock()
        if not entry.begins <= now < entry.ends or not self._fresh.counts(entry.stamp, now):
            del self._entries[key]
            self.bytes -= entry.size
            return None
        self._entries.move_to_end(key)
        self.given += 1
        return entry.answer

    def begin(self, gun: Gun) -> Stamp:
        """For whoever decides something by the database before it asks for the file."""
        return self._fresh.stamp(gun.repository)

    async def reply(
        self,
        exchange: Exchange,
        caller: Caller,
        served: Served,
        headers: HeaderPairs,
        *,
        began: Stamp | None = None,
    ) -> None:
        """Answers with a file, or that the client has it already (RFC 9110, 13.1.2), and keeps the answer.

        Args:
            began: before what else was decided, which then has to count as long as the answer does.
        """
        pairs = [*headers, ("etag", served.etag)]
        wanted = [tag.strip().removeprefix("W/") for tag in exchange.headers.get("if-none-match", "").split(",")]
        if "*" in wanted or served.etag in wanted:
            await exchange.reply(304, pairs)
            return
        await exchange.reply(200, pairs, served.file.data)
        if began is None or (began.epoch, began.moves) == (served.stamp.epoch, served.stamp.moves):
            self._keep(exchange, caller, served, pairs)

    def _keep(self, exchange: Exchange, caller: Caller, served: Served, headers: HeaderPairs) -> None:
        data = served.file.data
        if exchange.method != "GET" or exchange.query or len(data) > LARGEST or not caller.known_since:
            return
        if caller.begins is None or caller.ends is None:
            return
        lines = header_lines([*headers, ("content-length", str(len(data)))])
        until = served.found.until
        entry = _Entry(
            Answer(lines, data, exchange.kind),
            both(served.stamp, caller.known_since),
            caller.begins,
            min(caller.ends, until) if until else caller.ends,
        )
        authorization = exchange.headers["authorization"].encode("latin-1")
        key = (exchange.path, hashlib.sha256(authorization).digest())
        if before := self._entries.pop(key, None):
            self.bytes -= before.size
        self._entries[key] = entry
        self.bytes += entry.size
        while self.bytes > self._limit:
            _, oldest = self._entries.popitem(last=False)
            self.bytes -= oldest.size
