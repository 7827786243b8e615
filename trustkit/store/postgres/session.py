"""One connection: how it is opened, what holds on it, and how it ends when nothing comes over it any more."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import AsyncConnection, sql

from trustkit.errors import DatabaseUnavailable, InvalidSetting, StateError
from trustkit.store.postgres.address import CONNECT_SECONDS, Address
from trustkit.store.postgres.foreign import AGAIN, reason

OLDEST = 130000
"""PostgreSQL 13, as the server says it."""

STATEMENT_SECONDS = 30
IDLE_SECONDS = 30
"""How long a transaction may wait for us: over what a separate signer or a device takes to sign."""


CLOCK_SECONDS = 60.0
"""How far the clocks of replicas and of the database may be apart."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How many seconds something may take until the connection counts as broken.

    Attributes:
        begin: beginning a transaction, apart from waiting for locks; or ending one without a commit.
        answer: a statement by key.
        scan: a statement that reads as many rows as there are.
        commit: a commit.
        connection: until one is free.
        locks: until the locks of a write are free.
    """

    begin: float = 3.0
    answer: float = 10.0
    scan: float = STATEMENT_SECONDS + 5.0
    commit: float = 15.0
    connection: float = 5.0
    locks: float = 20.0


_SETTINGS = {
    "statement_timeout": f"{STATEMENT_SECONDS}s",
    "idle_in_transaction_session_timeout": f"{IDLE_SECONDS}s",
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "10s",
    "client_connection_check_interval": "2s",
    "standard_conforming_strings": "on",
    "TimeZone": "UTC",
}
"""The server notices a replica that is gone in the midst of a transaction within 11 seconds, and frees its locks."""
_CHECK = (
    "SELECT current_setting('fsync'), current_setting('synchronous_commit'), "
    "current_setting('server_encoding'), pg_is_in_recovery(), current_setting('server_version_num')::int"
)
_NEWER = {"client_connection_check_interval": 140000}


async def connect(address: Address) -> AsyncConnection[Any]:
    """A connection on which a commit is on disk before it returns.

    Raises:
        DatabaseUnavailable: no connection.
        StateError: the server's settings would lose what it has acknowledged, or its database can't hold our texts.
    """
    conninfo = address.conninfo()
    try:
        async with asyncio.timeout(3 * CONNECT_SECONDS):
            connection: AsyncConnection[Any] = await AsyncConnection.connect(conninfo, autocommit=True)
    except (psycopg.Error, OSError, TimeoutError) as error:
        why = "no answer" if isinstance(error, TimeoutError) else reason(error)
        raise Unconnected(f"The database {address.shown} can't be reached: {why}.", hint=AGAIN) from None
    try:
        with deadline(connection, Patience().answer):
            await _set_up(connection)
    except BaseException:
        cut(connection)
        await connection.close()
        raise
    return connection


class Unconnected(DatabaseUnavailable):
    """No new connection; one that is there already may still answer."""


async def _set_up(connection: AsyncConnection[Any]) -> None:
    version = connection.info.server_version
    known = {name: value for name, value in _SETTINGS.items() if version >= _NEWER.get(name, 0)}
    text = sql.SQL("; ").join(
        sql.SQL("SET {} = {}").format(sql.Identifier(name), sql.Literal(value)) for name, value in known.items()
    )
    await connection.execute(text)
    row = await (await connection.execute(_CHECK)).fetchone()
    fsync, synchronous, encoding, standby, number = row or ("off", "off", "", True, 0)
    if number < OLDEST:
        raise StateError("The database's server is older than PostgreSQL 13.", hint="Upgrade it.")
    if fsync != "on":
        raise StateError(
            "The database's server has fsync off: a power cut would take back what was acknowledged, and versions "
            "would be used twice.",
            hint="Set fsync = on in its configuration.",
        )
    if encoding != "UTF8":
        raise InvalidSetting(f"The database's encoding is {encoding}.", hint="Make it with ENCODING 'UTF8'.")
    if standby:
        raise DatabaseUnavailable("The database is a standby, which takes no changes.", hint="Name the primary.")
    if synchronous == "off":
        await connection.execute("SET synchronous_commit = on")


def require_same_time(there: float) -> None:
    """Returns where the server's clock shows about the same as ours; raises DatabaseUnavailable.

    By its clock a replica says what has expired, and signs when; which of the two is wrong, nobody can tell here.
    """
    ahead = time.time() - there
    if abs(ahead) > CLOCK_SECONDS:
        side = "ahead of" if ahead > 0 else "behind"
        raise DatabaseUnavailable(
            f"This replica's clock is {abs(ahead):.0f} s {side} that of its database: it decides nothing by it.",
            hint="Set both by NTP; the service goes on by itself then.",
        )


@contextmanager
def deadline(connection: AsyncConnection[Any], seconds: float) -> Iterator[None]:
    """Breaks the connection where what is asked on it isn't answered in time: half-open, it would never be."""
    handle = asyncio.get_running_loop().call_later(seconds, cut, connection)
    try:
        yield
    finally:
        handle.cancel()


def cut(connection: AsyncConnection[Any]) -> None:
    """Ends a connection at once, for whoever waits on it, too; the server rolls back what was not committed."""
    with suppress(OSError, psycopg.Error):
        line = socket.socket(fileno=os.dup(connection.fileno()))
        try:
            line.shutdown(socket.SHUT_RDWR)
        finally:
            line.close()
