"""When the metadata of all collections expires, role by role: what monitoring asks for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from tuf.api.metadata import Targets

from trustkit.authority.notary_resign import named_by
from trustkit.core.bounded import Bounded
from trustkit.core.formats import tuf1
from trustkit.core.names import Gun
from trustkit.core.ports.service import DOCKER, DOCKER_SNAPSHOT, Head, RoleExpiry, Store, Transaction

PEOPLE = ("root", "targets", "delegated", DOCKER_SNAPSHOT)
"""What only people can renew: their keys are not here, or may not be."""
SERVICE = ("snapshot", "timestamp")
TOP = ("root", "targets", *SERVICE)
DUE = timedelta(days=30)
KEEP_SECONDS = 5.0
KEEP_NAMES = 40_000
"""Names of signers, and eight for each collection that has any; one takes 0.08 KiB."""
OF_A_COLLECTION = 8


@dataclass(frozen=True, slots=True)
class Expiry:
    """The current files of all open collections, by role; ``delegated`` stands for every role of a signer.

    A role without any file is left out.  ``due`` counts what expires within 30 days.
    """

    roles: Mapping[str, RoleExpiry]

    @property
    def collections(self) -> int:
        """How many collections are open."""
        return self.roles["root"].files if "root" in self.roles else 0

    def of(self, roles: Iterable[str]) -> list[RoleExpiry]:
        """Those of these roles that there are."""
        return [self.roles[role] for role in roles if role in self.roles]


class Expiries:
    """Looks into the database, and keeps for five seconds what it saw: who asks /readyz can't keep it busy."""

    def __init__(self, store: Store, *, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._clock = clock
        self._turn = asyncio.Lock()
        self._moves = 0
        self._kept: tuple[int, float, Expiry] | None = None
        self._names: Bounded[tuple[Gun, int], frozenset[str]] = Bounded(KEEP_NAMES)

    def forget(self, _gun: Gun) -> None:
        """A collection has changed: ``now`` looks again."""
        self._moves += 1

    async def now(self) -> Expiry:
        """At most five seconds old, and never older than the last change that this process made.

        Raises:
            StateError: the database can't be read.
            Malformed: targets in it can't.
        """
        async with self._turn:
            if self._kept is None or self._kept[0] != self._moves or self._aged(self._kept[1]):
                moves, began = self._moves, time.monotonic()
                self._kept = moves, began, await self._look()
            return self._kept[2]

    async def lately(self) -> Expiry:
        """At most five seconds old, whatever has changed since; raises as ``now``."""
        kept = self._kept
        return kept[2] if kept and not self._aged(kept[1]) else await self.now()

    def _aged(self, began: float) -> bool:
        return time.monotonic() - began > KEEP_SECONDS

    async def _look(self) -> Expiry:
        now = self._clock()
        async with self._store.read() as tx:
            roles = dict(await tx.collections.expiry(TOP, now=now, due=now + DUE))
            heads = [head for head in await tx.collections.other_heads(TOP) if await self._delegated(tx, head)]
        if heads:
            expired = sum(head.expires <= now for head in heads)
            due = sum(head.expires <= now + DUE for head in heads)
            roles["delegated"] = RoleExpiry(len(heads), expired, due, heads[0].expires)
        return Expiry(roles)

    async def _delegated(self, tx: Transaction, head: Head) -> bool:
        """Whether the collection's current state has the role: a removed signer's file stays and may expire.

        Targets say so or, in format ``docker``, the snapshot.
        """
        if head.format == DOCKER:
            key, role = (head.gun, head.snapshot), "snapshot"
        else:
            key, role = (head.gun, head.targets), "targets"
        known = self._names.get(key)
        if known is None:
            file = await tx.collections.newest(head.gun, role)
            names = named_by if role == "snapshot" else _delegated_by
            known = await asyncio.to_thread(names, file.data) if file else frozenset()
            self._names.keep(key, known, OF_A_COLLECTION + len(known))
        return head.role in known


def _delegated_by(targets: bytes) -> frozenset[str]:
    """The roles that a stored targets file delegates to; it was judged before it was stored."""
    delegations = tuf1.read(targets, Targets, "targets").signed.delegations
    return frozenset(delegations.roles or ()) if delegations else frozenset()
