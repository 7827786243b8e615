"""Whether what is stored of every collection verifies: after a copy or a restore, and whenever an operator asks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from trustkit.core.names import Gun
from trustkit.core.ports.service import Store
from trustkit.core.rules import Formats
from trustkit.errors import DatabaseUnavailable, TrustkitError


@dataclass(slots=True)
class Whole:
    """How many open collections verify, and of those that don't, why not."""

    good: int = 0
    bad: dict[Gun, str] = field(default_factory=dict)


async def look_at_all(store: Store, *, clock: Callable[[], datetime]) -> Whole:
    """Evaluates every open collection as a client would, but for what has expired.

    Raises:
        DatabaseUnavailable: the database went away.
    """
    formats, found = Formats(), Whole()
    async with store.read() as tx:
        records = [record for record in await tx.collections.list() if record.closed is None]
    for record in records:
        try:
            async with store.read() as tx:
                files = {role: file.data for role, file in (await tx.collections.current(record.gun)).items()}
            rules = formats(record.format)
            await asyncio.to_thread(rules.evaluate_but_expiry, files, record.gun, clock(), fresh=())
        except DatabaseUnavailable:
            raise
        except TrustkitError as error:
            found.bad[record.gun] = error.message
        else:
            found.good += 1
    return found
