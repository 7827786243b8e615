"""Rounds of pruning beside everything else that the service does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import datetime

from trustkit.authority.prunerounds import PruneRounds
from trustkit.core.ports.service import Store
from trustkit.errors import TrustkitError

log = logging.getLogger("trustkit.service")

FIRST_SECONDS = 300.0
"""A service that has just started has better things to do."""
LOOK_SECONDS = 3600.0
"""How often a replica looks whether it is time; the database says when the last round was."""


def start_pruning(stack: AsyncExitStack, store: Store, *, clock: Callable[[], datetime]) -> None:
    """Begins to look, until the stack is left."""
    looking = asyncio.create_task(_look(PruneRounds(store, clock=clock)))
    stack.callback(looking.cancel)


async def _look(rounds: PruneRounds) -> None:
    await asyncio.sleep(FIRST_SECONDS)
    while True:
        try:
            await one_round(rounds)
        except TrustkitError as error:
            log.error("pruning failed: %s", error)
        except Exception:  # a bug; the next round may get further
            log.exception("pruning failed")
        await asyncio.sleep(LOOK_SECONDS)


async def one_round(rounds: PruneRounds) -> None:
    """Makes a round where it is time for one, and logs what it came to."""
    done = await rounds.round()
    if done is None:
        return
    for gun, reason in done.failed.items():
        log.error("%s could not be pruned: %s", gun, reason)
    if done.files:
        log.info("pruned %d files of %d bytes; history is %s", done.files, done.bytes, done.history)
