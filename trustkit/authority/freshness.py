"""How long what was read from the database counts: until something is committed, or nobody can say (TRUST 7.1, 8.4).

What this process commits is told at once.  What others commit, another replica or ``trustkit admin``, is asked for
four times a second; what was read counts for half a second after the last answer that there is nothing new.  So a
change counts within a second, whether the database answers or not, and nothing is read again while nobody writes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Set
from datetime import datetime, timedelta

from trustkit.core.names import Gun, Repository
from trustkit.core.ports.changes import Changes
from trustkit.core.stamps import Stamp
from trustkit.errors import TrustkitError

log = logging.getLogger("trustkit.service")

FRESH = timedelta(milliseconds=500)
EVERY_SECONDS = 0.25
MOST_MOVES = 5_000
"""Collections that are told apart by how often they changed; with one more, everything is read again once."""
_NONE = timedelta(0)


class Freshness:
    """Says whether what was read still is what a new read would find.

    Take a stamp before reading, keep it with what was read, and hand that out only while the stamp counts.  Without
    ``follow`` a stamp counts for half a second, as far as nothing is forgotten.
    """

    def __init__(self, *, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._epoch = 0
        self._moves: dict[Repository, int] = {}
        self._asked: datetime | None = None
        self.told = False
        """Whether the database tells what this process commits, so that nobody else has to."""

    def stamp(self, repository: Repository | None = None) -> Stamp:
        """For what is about to be read; of this repository's collection, whatever its name, or of anything else."""
        moves = self._moves.get(repository, 0) if repository else 0
        return Stamp(self._clock(), self._epoch, repository, moves)

    def counts(self, stamp: Stamp, now: datetime) -> bool:
        """Whether what was read after the stamp was taken may be handed out at this moment."""
        if stamp.epoch != self._epoch:
            return False
        moves = self._moves  # mostly empty, and a name's hash takes its time
        if stamp.repository and (moves or stamp.moves) and stamp.moves != moves.get(stamp.repository, 0):
            return False
        since = stamp.at if self._asked is None or self._asked < stamp.at else self._asked
        return _NONE <= now - since < FRESH

    def forget(self, gun: Gun) -> None:
        """This collection was changed: nothing that was read of it before counts."""
        moves = self._moves.get(gun.repository, 0)
        if not moves and len(self._moves) >= MOST_MOVES:
            self.forget_everything()
        else:
            self._moves[gun.repository] = moves + 1

    @property
    def size(self) -> int:
        """How many collections it knows of that have changed."""
        return len(self._moves)

    def forget_everything(self) -> None:
        """Something was changed, whatever it is."""
        self._epoch += 1
        self._moves.clear()  # stamps of an earlier epoch never count again

    def forget_these(self, guns: Set[Gun] | None) -> None:
        """These were changed; None where it may be anything."""
        if guns is None:
            self.forget_everything()
        else:
            for gun in guns:
                self.forget(gun)

    async def follow(self, changes: Changes) -> None:
        """Asks what was committed until cancelled.  While the database can't be asked, stamps lapse."""
        mark, failing = "", False
        self.told = changes.tell_own(self.forget_these)
        while True:
            began = self._clock()
            try:
                changed = await changes.changed_since(mark)
            except TrustkitError as error:
                if not failing:
                    log.error("what others change can't be asked for: %s", error.message)
                failing = True
            else:
                failing = False
                self.forget_these(changed.guns)
                mark, self._asked = changed.mark, began
            await asyncio.sleep(EVERY_SECONDS)
