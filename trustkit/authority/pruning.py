"""Pruning: versions that nothing needs any more go, as the operator's policy has it; all else stays (TRUST 3.4, 3.5).

It goes in small steps, each a transaction of its own with its audit row.  A crash leaves whole steps done and the
others to the next time; two that prune at once remove each file once.  Publishes wait for one step at most.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from trustkit.authority.settings import history
from trustkit.core.history import History
from trustkit.core.names import BINS, Gun
from trustkit.core.ports.past import Held, PastFile, Shelf
from trustkit.core.ports.service import AuditRow, Store, Transaction
from trustkit.errors import DatabaseUnavailable, NoCollection, TrustkitError

STEP_FILES = 100
STEP_BYTES = 2 * 1024 * 1024
"""What one transaction removes at most: some 20 ms."""
PAUSE_SECONDS = 0.02
"""The least pause after a step; it is as long as the step took, so that whoever else writes gets their turn."""
AWAY = 3
"""After so many collections in a row the database counts as gone; one alone may be what takes it too long."""
AT_ONCE = 20_000
"""Files of one collection that are looked for at once."""


@dataclass(slots=True)
class Pruned:
    """What one round found and did.

    Attributes:
        held: what there was when it was looked at, all collections together.
        files, bytes: what was removed.
        by: the same by shelf.
        failed: by name why the rest of a collection is left for the next round.
    """

    history: History
    held: Held = field(default_factory=Held)
    files: int = 0
    bytes: int = 0
    by: dict[Shelf, tuple[int, int]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


class Pruning:
    """The use case.

    Args:
        actor, source: who prunes, for the audit log.
    """

    def __init__(
        self, store: Store, *, clock: Callable[[], datetime], actor: str = "service", source: str = "history"
    ) -> None:
        self._store = store
        self._clock = clock
        self._actor = actor
        self._source = source

    async def look(self, guns: Collection[Gun] = ()) -> tuple[History, Mapping[Shelf, Held]]:
        """The policy, and what each collection has, frozen sides apart; changes nothing.

        Args:
            guns: of these alone; none for all.

        Raises:
            NoCollection: there is no such collection.
        """
        policy, chosen = await self._chosen(guns)
        return policy, {shelf: await self._held(shelf, policy) for shelf in chosen}

    async def prune(self, guns: Collection[Gun] = (), *, worth: Callable[[Held], bool] = lambda _: True) -> Pruned:
        """Removes what may go; one collection that fails keeps no other from being pruned.

        Args:
            guns: as ``look``.
            worth: whether to begin with a collection that has this much.

        Raises:
            NoCollection: as ``look``.
            DatabaseUnavailable: the database went away; what was removed before is removed.
        """
        policy, chosen = await self._chosen(guns)
        done, away = Pruned(policy), 0
        for shelf in chosen:
            try:
                held = await self._held(shelf, policy)
                done.held += held
                if held.due and worth(held):
                    await self._prune(shelf, policy, done)
                away = 0
            except TrustkitError as error:
                away = away + 1 if isinstance(error, DatabaseUnavailable) else 0
                if away == AWAY:
                    raise
                done.failed[f"{shelf.gun} (docker)" if shelf.frozen else str(shelf.gun)] = error.message
        return done

    async def _chosen(self, guns: Collection[Gun]) -> tuple[History, Sequence[Shelf]]:
        async with self._store.read() as tx:
            policy, shelves = await history(tx), await tx.past.shelves()
        if missing := sorted(set(guns) - {shelf.gun for shelf in shelves}):
            raise NoCollection(f"There is no collection {missing[0]}.", gun=str(missing[0]))
        return policy, [shelf for shelf in shelves if not guns or shelf.gun in guns]

    async def _held(self, shelf: Shelf, policy: History) -> Held:
        before = None if policy.everything else policy.before(self._clock())
        async with self._store.read() as tx:
            return await tx.past.held(shelf, before=before, versions=policy.versions or 0)

    async def _prune(self, shelf: Shelf, policy: History, done: Pruned) -> None:
        while files := await self._due(shelf, policy):
            for step in steps(files):
                began = time.monotonic()
                async with self._store.write(shelf.gun) as tx:
                    if await history(tx) != policy:
                        return  # an operator changed it meanwhile: the next round goes by that
                    gone = await tx.past.remove(shelf, step)
                    await self._note(tx, shelf, policy, gone)
                size = sum(file.bytes for file in gone)
                done.files, done.bytes = done.files + len(gone), done.bytes + size
                before = done.by.get(shelf, (0, 0))
                done.by[shelf] = before[0] + len(gone), before[1] + size
                await asyncio.sleep(max(PAUSE_SECONDS, time.monotonic() - began))
            if len(files) < AT_ONCE:
                return

    async def _due(self, shelf: Shelf, policy: History) -> Sequence[PastFile]:
        before, versions = policy.before(self._clock()), policy.versions or 0
        async with self._store.read() as tx:
            return await tx.past.due(shelf, before=before, versions=versions, limit=AT_ONCE)

    async def _note(self, tx: Transaction, shelf: Shelf, policy: History, gone: Sequence[PastFile]) -> None:
        if not gone:
            return
        detail: dict[str, object] = {
            "history": str(policy),
            "files": len(gone),
            "bytes": sum(file.bytes for file in gone),
            "versions": _versions(gone),
        }
        if shelf.frozen:
            detail["format"] = "docker"
        await tx.audit.append(
            AuditRow(self._clock(), self._actor, self._source, "history-pruned", str(shelf.gun), detail)
        )


def steps(files: Sequence[PastFile]) -> Iterator[Sequence[PastFile]]:
    """The same files in pieces of what one transaction removes; one that is larger alone is a piece of its own."""
    step: list[PastFile] = []
    size = 0
    for file in files:
        if step and (len(step) >= STEP_FILES or size + file.bytes > STEP_BYTES):
            yield step
            step, size = [], 0
        step.append(file)
        size += file.bytes
    if step:
        yield step


def _versions(gone: Sequence[PastFile]) -> dict[str, str]:
    """By role the first and the last version that went; hash bins, of which there are a thousand, together."""
    found: dict[str, str] = {}
    bins = [file for file in gone if file.role.startswith(BINS)]
    for role in dict.fromkeys(file.role for file in gone if not file.role.startswith(BINS)):
        versions = [file.version for file in gone if file.role == role]
        found[role] = f"{min(versions)}-{max(versions)}"
    if bins:
        found["hash bins"] = f"{len(bins)} files"
    return found
