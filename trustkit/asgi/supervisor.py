"""What a supervisor is told: that the server is ready, that it ends, that its loop still turns (sd_notify(3))."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Self

from trustkit.errors import InvalidSetting

log = logging.getLogger("trustkit.service")

_MICROSECONDS = 1_000_000
PATIENCE = 1.0
"""Seconds for what is said once: a supervisor that misses it would wait for it, or wonder."""


@dataclass(frozen=True, slots=True)
class Supervisor:
    """Who is told, by datagrams; nobody where there is no such socket.

    Attributes:
        address: the socket's path; ``@`` begins an abstract one.
        watchdog: seconds without a sign of life until it kills us; None for never.
    """

    address: str = ""
    watchdog: float | None = None

    @classmethod
    def of(cls, environ: Mapping[str, str], process: int) -> Self:
        """What the environment says; raises InvalidSetting for what can't be meant."""
        address = environ.get("NOTIFY_SOCKET", "")
        if not address:
            return cls()
        if address[0] not in "/@" or len(address) < 2:
            raise InvalidSetting("NOTIFY_SOCKET is neither an absolute path nor an abstract socket.")
        microseconds = environ.get("WATCHDOG_USEC", "")
        if not microseconds or environ.get("WATCHDOG_PID", str(process)) != str(process):
            return cls(address)
        if not microseconds.isdecimal() or not int(microseconds):
            raise InvalidSetting(f"WATCHDOG_USEC is {microseconds[:20]!r}, and not a number of microseconds.")
        return cls(address, int(microseconds) / _MICROSECONDS)

    def ready(self) -> None:
        """Connections are accepted."""
        self._tell("READY=1", patience=PATIENCE)

    def stopping(self) -> None:
        """No new connection is accepted any more."""
        self._tell("STOPPING=1", patience=PATIENCE)

    @contextlib.asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Gives signs of life while the block runs, from the loop that answers requests: a stuck one gives none."""
        task = asyncio.create_task(self._live()) if self.watchdog else None
        try:
            yield
        finally:
            if task:
                task.cancel()

    async def _live(self) -> None:
        while True:
            self._tell("WATCHDOG=1")
            await asyncio.sleep((self.watchdog or 0) / 2)

    def _tell(self, line: str, *, patience: float = 0.0) -> None:
        """Sends a line.  A supervisor that doesn't listen is logged: nothing that is served depends on it.

        Args:
            patience: seconds to wait for room in its queue.
        """
        if not self.address:
            return
        address = "\0" + self.address[1:] if self.address.startswith("@") else self.address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
                sock.settimeout(patience)
                sock.sendto(line.encode("ascii"), address)
        except OSError as error:
            log.warning("the supervisor at %s was not told %s: %s", self.address, line, error.strerror or error)
