"""A supervisor as systemd is one: it keeps the socket, starts the service with it, and is told how that is."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

SECONDS = 60.0
_START = 'export LISTEN_PID=$$ WATCHDOG_PID=$$; fd=$0; exec "$@" 3<&"$fd"'


class Supervisor:
    """Starts, restarts and ends ``trustkit serve`` on a socket of its own.

    Args:
        folder: of its own; the service's data is in ``service`` there.
        arguments: more flags of ``serve``.

    Attributes:
        told: every line that the service has sent it.
    """

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder, self.data, self._arguments = folder, folder / "service", arguments
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify.bind(str(folder / "notify"))
        self.log = folder / "service.log"
        self.told: list[str] = []
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._socket.getsockname()[1]}"

    def start(self) -> None:
        """Returns once the service has said that it is ready."""
        environ = {
            **os.environ,
            "LISTEN_FDS": "1",
            "LISTEN_FDNAMES": "trustkit.socket",
            "NOTIFY_SOCKET": str(self.folder / "notify"),
            "WATCHDOG_USEC": "400000",
        }
        command = [sys.executable, "-m", "trustkit", "serve", "--data-dir", str(self.data), *self._arguments]
        fd = self._socket.fileno()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                ["bash", "-c", _START, str(fd), *command],
                pass_fds=[fd], env=environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        self.until("READY=1")

    def until(self, line: str) -> None:
        """Returns once the service has sent this line, from now on."""
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            ready, _, _ = select.select([self._notify], [], [], 0.2)
            if ready:
                self.told.append(self._notify.recv(4096).decode())
                if self.told[-1] == line:
                    return
            assert self._process is not None
            assert self._process.poll() is None, self.log.read_text()
        raise AssertionError(f"no {line} in {SECONDS} s: {self.log.read_text()}")

    def stop(self) -> int:
        """Ends the service; returns its exit status."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        status = self._process.wait(SECONDS)
        self._notify.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                self.told.append(self._notify.recv(4096).decode())
        self._notify.setblocking(True)
        return status

    def restart(self) -> None:
        """Ends it, then starts it: as systemd does it, with a time in between in which nobody serves."""
        assert self.stop() == 0, self.log.read_text()
        self.start()

    def close(self) -> None:
        """Ends it, if it runs, and its socket."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._socket.close()
        self._notify.close()
