"""What a write transaction holds: advisory locks, of one thing each.

A write with a scope, a repository's collection or a principal, shares the lock of everything and holds that of its
scope alone; a write without one holds the lock of everything alone.  So writes to different collections go on side
by side, and what any of them reads of roles, switches and settings can't change before it commits (TRUST 8.1).
Everybody takes the lock of everything first, so nobody waits in a circle.
"""

from __future__ import annotations

import hashlib

from trustkit.core.names import Gun
from trustkit.core.ports.service import Scope

TURN_SECONDS = 1.0
"""How long at once a writer without a scope waits: while it does, those with one queue up behind it."""


CLOCK = "SELECT extract(epoch FROM clock_timestamp())::float8"
"""What each transaction begins with at last: what the server's clock shows."""


def number(name: str) -> int:
    """The number of a lock, 64 bits with a sign: two names that share one wait for each other, and no more."""
    return int.from_bytes(hashlib.sha256(f"trustkit {name}".encode()).digest()[:8], "big", signed=True)


EVERYTHING = number("everything")
CHANGEFEED = number("changefeed")
MIGRATION = number("migration")


def name_of(of: Scope) -> str:
    """What a scope is called; a repository has one collection, whatever names are tried for it (TRUST 1.1)."""
    if of is None:
        return "everything"
    return f"collection {of.repository}" if isinstance(of, Gun) else f"principal {of}"


def to_write(of: Scope, seconds: float) -> str:
    """Begins a transaction that holds the locks of a scope, if they are had within so many seconds each.

    READ COMMITTED: each statement sees what was committed before it, so the ones after the locks see all that their
    last holders did.  A snapshot of the whole transaction would be taken before the locks are had, and be too old.
    """
    begin = f"BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL lock_timeout = '{seconds * 1000:.0f}ms'"
    if of is None:
        return f"{begin}; SELECT pg_advisory_xact_lock({EVERYTHING}); {CLOCK}"
    own = number(name_of(of))
    return f"{begin}; SELECT pg_advisory_xact_lock_shared({EVERYTHING}); SELECT pg_advisory_xact_lock({own}); {CLOCK}"


TO_READ = f"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {CLOCK}"
"""One moment, that of the first statement."""
