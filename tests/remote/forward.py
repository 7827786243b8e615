"""Proxies for tests: a small one that does what a test tells it to, and the real tinyproxy."""

from __future__ import annotations

import select
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.conftest import START_SECONDS

STANDS = b"HTTP/1.1 200 Connection established\r\n\r\n"
Act = Callable[[socket.socket, bytes], None]


@dataclass
class Forward:
    """A proxy at ``port`` of loopback; ``heads`` is what it was asked, each with the headers."""

    port: int
    heads: list[bytes] = field(default_factory=list)
    connections: list[socket.socket] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"


def says(data: bytes) -> Act:
    """Answers so and closes."""

    def act(sock: socket.socket, _head: bytes) -> None:
        sock.sendall(data)

    return act


def leads(port: int, *, answer: bytes = STANDS) -> Act:
    """A tunnel to a port of loopback, whatever host was asked for; or the request itself, where it is no CONNECT."""

    def act(sock: socket.socket, head: bytes) -> None:
        with socket.create_connection(("127.0.0.1", port), timeout=START_SECONDS) as there:
            if head.startswith(b"CONNECT"):
                sock.sendall(answer)
            else:
                there.sendall(head)
            between(sock, there)

    return act


def between(one: socket.socket, other: socket.socket) -> None:
    """Passes bytes on both ways until one side ends."""
    while True:
        inside = [each for each in (one, other) if isinstance(each, ssl.SSLSocket) and each.pending()]
        for ready in inside or select.select([one, other], [], [], START_SECONDS)[0]:
            data = ready.recv(65536)
            if not data:
                return
            (other if ready is one else one).sendall(data)


@contextmanager
def forwarding(act: Act, *, certificate: Path | None = None, six: bool = False) -> Iterator[Forward]:
    """Runs a proxy that does ``act`` on each connection with the head that it was sent.

    Args:
        certificate: for TLS with the proxy itself.
    """
    family, name = (socket.AF_INET6, "::1") if six else (socket.AF_INET, "127.0.0.1")
    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
    with socket.create_server((name, 0), family=family) as listening:
        made = Forward(listening.getsockname()[1])

        def serve(sock: socket.socket) -> None:
            with suppress(OSError), sock:
                used = context.wrap_socket(sock, server_side=True) if context else sock
                with used:
                    head = b""
                    while b"\r\n\r\n" not in head:
                        piece = used.recv(4096)
                        if not piece:
                            return
                        head += piece
                    made.heads.append(head)
                    act(used, head)

        def accept() -> None:
            while True:
                try:
                    sock, _ = listening.accept()
                except OSError:
                    return
                made.connections.append(sock)
                threading.Thread(target=serve, args=(sock,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield made
        listening.shutdown(socket.SHUT_RDWR)


@contextmanager
def tinyproxy(program: Path, folder: Path, port: int, *more: str) -> Iterator[Path]:
    """Runs the real tinyproxy on loopback; gives its log.

    Args:
        more: lines of its configuration.
    """
    log = folder / "tinyproxy.log"
    log.touch()
    lines = ["Listen 127.0.0.1", f"Port {port}", "Timeout 60", f'LogFile "{log}"', "LogLevel Connect", *more]
    (folder / "tinyproxy.conf").write_text("\n".join([*lines, ""]))
    process = subprocess.Popen(
        [program, "-d", "-c", folder / "tinyproxy.conf"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + START_SECONDS
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)
        yield log
    finally:
        process.terminate()
        process.wait(START_SECONDS)
