"""A round of pruning a day, whichever replica makes it, and what the last one came to."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta

from trustkit.authority.pruning import Pruned, Pruning
from trustkit.core.ports.past import Held
from trustkit.core.ports.service import Store, Transaction
from trustkit.errors import StateError

ROUND = "history-round"
"""The setting that says when the last round began and what it came to."""
EVERY = timedelta(days=1)
WORTH_FILES, WORTH_BYTES = 32, 1024 * 1024
"""A collection with less than both is left to a later round: each one leaves a row in the audit log for good."""


@dataclass(frozen=True, slots=True)
class Round:
    """The last round, of whichever replica.

    Attributes:
        began: when.
        held: what there was of all collections when it had ended.
        removed, removed_bytes: what it removed.
        failed: how many collections it had to leave.
        ended: whether it has; until then the rest is what the round before came to.
    """

    began: datetime
    held: Held = Held()  # noqa: RUF009 - it is frozen
    removed: int = 0
    removed_bytes: int = 0
    failed: int = 0
    ended: bool = False


class PruneRounds:
    """Makes a round where none was begun within a day; a round that was cut off is made up for in the next one."""

    def __init__(self, store: Store, *, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._clock = clock
        self._pruning = Pruning(store, clock=clock)

    async def round(self) -> Pruned | None:
        """What this round did; None where it isn't time for one.

        Raises:
            TrustkitError: the database can't be used.
        """
        if not self._is_time(await last_round(self._store)):
            return None
        async with self._store.write() as tx:
            before = await _read(tx)
            if not self._is_time(before):
                return None  # another replica was first
            begun = replace(before, began=self._clock(), ended=False) if before else Round(self._clock())
            await _write(tx, begun)
        done = await self._pruning.prune(worth=_worth)
        gone = Held(-done.files, -done.bytes, -done.files, -done.bytes, -done.files, -done.bytes)
        after = Round(begun.began, done.held + gone, done.files, done.bytes, len(done.failed), ended=True)
        async with self._store.write() as tx:
            await _write(tx, after)
        return done

    def _is_time(self, last: Round | None) -> bool:
        """Also where the last one is to come: a clock that was ahead must not keep rounds away until then."""
        return last is None or not timedelta() <= self._clock() - last.began < EVERY


async def last_round(store: Store) -> Round | None:
    """The last round; None before the first one.  Raises StateError where what is stored of it can't be read."""
    async with store.read() as tx:
        return await _read(tx)


async def _read(tx: Transaction) -> Round | None:
    text = await tx.settings.get(ROUND)
    if text is None:
        return None
    try:
        found = json.loads(text)
        return Round(**{**found, "began": datetime.fromisoformat(found["began"]), "held": Held(**found["held"])})
    except (ValueError, TypeError, KeyError) as error:
        raise StateError(f"The setting {ROUND} in the database can't be read.") from error


async def _write(tx: Transaction, last: Round) -> None:
    await tx.settings.put(ROUND, json.dumps({**asdict(last), "began": last.began.isoformat()}, sort_keys=True))


def _worth(held: Held) -> bool:
    return held.due >= WORTH_FILES or held.due_bytes >= WORTH_BYTES
