"""A process that came from the fork server, with what tests use of ``subprocess.Popen``."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
from typing import IO


class Forked:
    """One process.

    Attributes:
        pid: the process itself, not one that waits for it.
        stdout: what it prints, where somebody asked for that.
        returncode: its status once somebody waited for its end; None before.
    """

    def __init__(self, args: list[str], connection: socket.socket) -> None:
        self.args = args
        self.returncode: int | None = None
        self.stdout: IO[str] | None = None
        self._connection = connection
        self._answers = connection.makefile("rb")
        self.pid = int(self._answers.readline())

    def poll(self) -> int | None:
        """Its status, if it has ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Waits for its end; raises subprocess.TimeoutExpired after so many seconds."""
        if self.returncode is None:
            poll = select.poll()
            poll.register(self._connection, select.POLLIN)
            if not poll.poll(None if timeout is None else timeout * 1000):
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            self.returncode = int(self._answers.readline())
            self._answers.close()
            self._connection.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)
