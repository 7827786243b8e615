"""``trustkit verifierd`` as a process, and stand-ins for it that say what they shouldn't."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.service import Person

NOBODY = 65534
ELSEWHERE = {"TRUSTKIT_TOKEN_HOSTS": "/"}
"""No setting for a verifier that does the work itself, so whatever it lets in with this, a helper let in."""


@dataclass(frozen=True)
class Running:
    """A helper, and where it listens."""

    process: subprocess.Popen[str]
    socket: Path

    def connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(20)
        connection.connect(str(self.socket))
        return connection

    def ask(self, request: bytes) -> bytes:
        """What it answers to these bytes; empty for nothing."""
        with self.connect() as connection:
            try:
                connection.sendall(request)
                return connection.makefile("rb").read()
            except ConnectionError:
                return b""


def start(person: Person, *arguments: str, environ: dict[str, str] | None = None) -> Running:
    process = subprocess.Popen(
        [sys.executable, "-m", "trustkit", "verifierd", *arguments],
        env={**os.environ, **person.environment(), **(environ or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    assert line, process.stderr.read() if process.stderr else ""
    return Running(process, Path(line))


def end(running: Running) -> None:
    if running.process.poll() is None:
        running.process.kill()
    running.process.communicate(timeout=20)


@contextmanager
def helper(person: Person, *arguments: str, environ: dict[str, str] | None = None) -> Iterator[Running]:
    running = start(person, *arguments, environ=environ)
    try:
        yield running
    finally:
        end(running)


@contextmanager
def short_folder(mode: int = 0o700) -> Iterator[Path]:
    """A folder whose path leaves room for a socket's name, and that another user can reach."""
    folder = Path(tempfile.mkdtemp(prefix="tk-"))
    folder.chmod(mode)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def stand_in(answer: bytes | None) -> Iterator[Path]:
    """A socket of this user where everybody gets this answer, or none and an open connection where it is None."""
    with short_folder() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        path = folder / "s"
        listener.bind(str(path))
        listener.listen(16)
        held: list[socket.socket] = []

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                    held.append(connection)
                    if answer is None:
                        continue
                    connection.recv(1 << 16)
                    connection.sendall(answer)
                    connection.close()
                except OSError:
                    return

        threading.Thread(target=serve, daemon=True).start()
        try:
            yield path
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            for connection in held:
                connection.close()


_STRANGER = """
import socket, sys
listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
listener.bind(sys.argv[1])
listener.listen(16)
print("ready", flush=True)
while True:
    connection, _ = listener.accept()
    print(connection.recv(65536), flush=True)
    connection.sendall(b'{"status": 0, "reason": "let in by a stranger"}\\n')
    connection.close()
"""


@contextmanager
def stranger() -> Iterator[Path]:
    """A socket at which another user's process lets every image in."""
    with short_folder(0o777) as folder:
        command = ["/usr/bin/env", "python3", "-c", _STRANGER, str(folder / "s")]
        with subprocess.Popen(command, user=NOBODY, cwd="/", stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            try:
                yield folder / "s"
            finally:
                process.kill()
