"""A transport that sends a reply's head together with what follows it at once: one TLS record and one system call."""

from __future__ import annotations

import asyncio
from typing import Any

LARGE = 8 * 1024
"""Bytes from which on joining costs more than it saves."""


class Joined:
    """Another transport, whose small writes wait for the next one, or for what the loop does next.

    What is written is sent in the order in which it was written, and nothing stays behind when it is closed.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._held = b""
        self._due = False
        self.is_closing = transport.is_closing

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Sends it, soon."""
        held = self._held
        if held:
            self._held = b""
            if len(data) <= LARGE:
                self._transport.write(held + data)
                return
            self._transport.write(held)
        elif 0 < len(data) <= LARGE:
            self._held = data
            if not self._due:
                self._due = True
                self._loop.call_soon(self._flush_due)
            return
        if data:
            self._transport.write(data)

    def write_now(self, data: bytes) -> None:
        """Sends it, with what waits."""
        held, self._held = self._held, b""
        self._transport.write(held + data)

    def flush(self) -> None:
        """Sends what waits."""
        held, self._held = self._held, b""
        if held:
            self._transport.write(held)

    def get_write_buffer_size(self) -> int:
        """Bytes that are not sent yet."""
        return self._transport.get_write_buffer_size() + len(self._held)

    def close(self) -> None:
        """Closes it once everything is sent."""
        self.flush()
        self._transport.close()

    def _flush_due(self) -> None:
        self._due = False
        self.flush()
