"""Whole answers to who may read what: decided once the long way, and given again while every reason for it holds.

There are two reasons, and each is kept by itself.  That somebody may read a collection's files by one of the APIs:
the token's times, and the roles behind it.  And what a path is answered: the switches, and the collection's state.
Nothing else decides what a GET of such a file is answered.  So whoever has read one file of a collection is given the
others at once, also those that somebody else has asked for, or that a publish has just made.

The first is kept by the hash of the whole Authorization value (TRUST 8.2), the second by the whole path.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from trustkit.asgi.quick import Answer
from trustkit.authority.freshness import Freshness
from trustkit.authority.reads import Served
from trustkit.core.bounded import Bounded
from trustkit.core.names import Gun
from trustkit.core.stamps import Stamp
from trustkit.gateway.caller import Caller
from trustkit.gateway.exchange import Exchange, HeaderPairs, header_lines

LARGEST = 64 * 1024
"""Bytes of a file that is answered at once; a larger one is sent piece by piece, as its client reads it."""
OVERHEAD = 1024
"""What an answer takes besides its bytes, and a token."""
GRANT = 512
"""What a collection takes that a token may read."""
MOST_GRANTS = 128
"""Collections of one token: more than its scopes come to, by a few names of the service and both APIs."""
GRANTS_PART = 8
"""The part of the limit that is for these."""


@dataclass(frozen=True, slots=True)
class ToSend:
    """A file as it is sent.

    Attributes:
        kind: by which API, as requests are counted.
        headers: all but its length.
    """

    gun: Gun
    kind: str
    served: Served
    headers: HeaderPairs


Ready = Callable[[bytes], ToSend | None]
"""What a target is answered to whoever may read the collection, where that is known and counts now."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """An answer.

    Attributes:
        collection: to whose readers it is given, and of which API.
    """

    answer: Answer
    collection: str
    stamp: Stamp
    until: datetime | None

    @property
    def size(self) -> int:
        return OVERHEAD + len(self.answer.head) + len(self.answer.body)


@dataclass(frozen=True, slots=True)
class _Grant:
    """That a token may be used for a collection.

    Attributes:
        stamp: of the roles behind it.
        begins, ends: when the token is taken.
    """

    stamp: Stamp
    begins: datetime
    ends: datetime


class QuickReads:
    """Keeps answers, and who may have them.

    Args:
        limit: bytes that are kept; 0 keeps nothing.
        ready: is asked for what isn't kept.
    """

    def __init__(
        self,
        fresh: Freshness,
        *,
        clock: Callable[[], datetime],
        limit: int,
        ready: Ready = lambda _target: None,
    ) -> None:
        self._fresh = fresh
        self._clock = clock
        self._ready = ready
        self._keeps = limit > 0
        self._answers: Bounded[bytes, _Entry] = Bounded(limit - limit // GRANTS_PART)
        self._grants: Bounded[bytes, dict[str, _Grant]] = Bounded(limit // GRANTS_PART)
        self.given = 0

    @property
    def size(self) -> int:
        """Bytes that are kept."""
        return self._answers.size + self._grants.size

    def find(self, target: bytes, authorization: bytes) -> Answer | None:
        """What this target is answered now to who sends an Authorization value of this SHA-256; None to decide."""
        granted = self._grants.get(authorization)
        if granted is None:
            return None
        now = self._clock()
        entry = self._entry(target, now)
        grant = granted.get(entry.collection) if entry else None
        if entry is None or grant is None:
            return None
        if not grant.begins <= now < grant.ends or not self._fresh.counts(grant.stamp, now):
            self._grants.drop(authorization)  # what else it may have been granted is over as well, or read again
            return None
        self.given += 1
        return entry.answer

    def _entry(self, target: bytes, now: datetime) -> _Entry | None:
        entry = self._answers.get(target)
        if entry is not None:
            if (entry.until is None or now < entry.until) and self._fresh.counts(entry.stamp, now):
                return entry
            self._answers.drop(target)
        made = self._ready(target)
        return self._keep(target, made) if made else None

    async def reply(self, exchange: Exchange, caller: Caller, file: ToSend, *, keep: bool = True) -> None:
        """Answers with a file, or that the client has it already (RFC 9110, 13.1.2), and keeps why.

        Args:
            caller: may read the files of this collection by this API; nothing more is looked at from now on.
            keep: whether everybody who may read it is given the same.
        """
        served = file.served
        wanted = [tag.strip().removeprefix("W/") for tag in exchange.headers.get("if-none-match", "").split(",")]
        if "*" in wanted or served.etag in wanted:
            await exchange.reply(304, file.headers)
            return
        await exchange.reply(200, file.headers, served.file.data)
        if not keep or not self._keeps or exchange.method != "GET" or exchange.query:
            return
        entry = self._keep(exchange.path, file)
        if entry and caller.known_since and caller.begins and caller.ends:
            self._admit(exchange, entry, _Grant(caller.known_since, caller.begins, caller.ends))

    def _keep(self, target: bytes, file: ToSend) -> _Entry | None:
        served, data = file.served, file.served.file.data
        if len(data) > LARGEST:
            return None
        lines = header_lines([*file.headers, ("content-length", str(len(data)))])
        answer = Answer(lines, data, file.kind)
        entry = _Entry(answer, f"{file.kind} {file.gun}", served.stamp, served.found.until)
        self._answers.keep(target, entry, entry.size)
        return entry

    def _admit(self, exchange: Exchange, entry: _Entry, grant: _Grant) -> None:
        token = hashlib.sha256(exchange.headers["authorization"].encode("latin-1")).digest()
        before = self._grants.get(token) or {}
        granted = {**(before if len(before) < MOST_GRANTS else {}), entry.collection: grant}
        self._grants.keep(token, granted, OVERHEAD + GRANT * len(granted))
