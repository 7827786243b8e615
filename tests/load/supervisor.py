"""A supervisor as systemd is one: it keeps the socket, starts the service with it, and is told how that is."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

SECONDS = 60.0
_START = 'export LISTEN_PID=$$ WATCHDOG_PID=$$; exec 3<&"$0" 4<&"$1"; shift; exec "$@"'


class Supervisor:
    """Starts, restarts and ends ``trustkit serve`` on a socket of its own.

    Args:
        folder: of its own; the service's data is in ``service`` there.
        arguments: more flags of ``serve``.
        command: in place of ``trustkit serve``, without those.
        blobs: where to listen for a proxy's questions, in a socket called ``blobs``.
        environ: more of it.

    Attributes:
        told: every line that the service has sent it.
    """

    def __init__(
        self,
        folder: Path,
        *arguments: str,
        command: list[str] | None = None,
        blobs: Path | None = None,
        environ: dict[str, str] | None = None,
    ) -> None:
        self.folder, self.data = folder, folder / "service"
        serve = [sys.executable, "-m", "trustkit", "serve", "--data-dir", str(self.data), *arguments]
        self._command, self._environ = command or serve, environ or {}
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self._blobs = None
        if blobs:
            self._blobs = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._blobs.bind(str(blobs))
            self._blobs.listen()
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify.bind(str(folder / "notify"))
        self.log = folder / "service.log"
        self.told: list[str] = []
        self._heard = threading.Condition()
        self._listening = threading.Thread(target=self._listen)
        self._listening.start()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._socket.getsockname()[1]}"

    def start(self) -> None:
        """Returns once the service has said that it is ready."""
        environ = {
            **os.environ,
            **self._environ,
            "LISTEN_FDS": "2" if self._blobs else "1",
            "LISTEN_FDNAMES": "http:blobs" if self._blobs else "trustkit.socket",
            "NOTIFY_SOCKET": str(self.folder / "notify"),
            "WATCHDOG_USEC": "400000",
        }
        fd, since = self._socket.fileno(), len(self.told)
        fds = [fd, self._blobs.fileno() if self._blobs else fd]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                ["bash", "-c", _START, *map(str, fds), *self._command],
                pass_fds=fds, env=environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        self._expect("READY=1", since)

    def until(self, line: str) -> None:
        """Returns once the service has sent this line, from now on."""
        self._expect(line, len(self.told))

    def _expect(self, line: str, since: int) -> None:
        deadline = time.monotonic() + SECONDS
        with self._heard:
            while line not in self.told[since:]:
                self._heard.wait(0.2)
                assert self._process is not None
                assert self._process.poll() is None, self.log.read_text()
                assert time.monotonic() < deadline, f"no {line} in {SECONDS} s: {self.log.read_text()}"

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            while said := self._notify.recv(4096):
                with self._heard:
                    self.told.append(said.decode())
                    self._heard.notify_all()

    def stop(self) -> int:
        """Ends the service; returns its exit status."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(SECONDS)

    def restart(self) -> None:
        """Ends it, then starts it: as systemd does it, with a time in between in which nobody serves."""
        assert self.stop() == 0, self.log.read_text()
        self.start()

    def hand_over(self) -> None:
        """Starts another one beside it, and ends the first when the other is ready: no moment without one."""
        before = self._process
        self.start()
        assert before is not None
        before.send_signal(signal.SIGTERM)
        assert before.wait(SECONDS) == 0, self.log.read_text()

    def close(self) -> None:
        """Ends it, if it runs, and its socket."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
            end.sendto(b"", str(self.folder / "notify"))
        self._listening.join()
        for each in (self._socket, self._notify, self._blobs):
            if each:
                each.close()
