"""A TCP relay that can go silent: to both sides the connection is there, and nothing comes over it any more."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress


class Relay:
    """Relays a port of loopback to another one, in threads that end with it.

    ``swallow``: once a client has sent these bytes, nothing that the server answers is relayed to it.
    """

    def __init__(self, port: int) -> None:
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._open = threading.Event()
        self._open.set()
        self._sockets: list[socket.socket] = []
        self.swallow = b""
        threading.Thread(target=self._accept, daemon=True).start()

    def silence(self, *, on: bool) -> None:
        """Whether nothing comes over any more, on any connection; what was sent meanwhile goes on afterwards."""
        (self._open.clear if on else self._open.set)()

    def cut(self) -> None:
        """Breaks all connections; new ones are taken."""
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        self._sockets.clear()

    def close(self) -> None:
        """Ends it."""
        self._listener.close()
        self._open.set()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._to), timeout=5)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            self._sockets += [client, server]
            mute = threading.Event()
            threading.Thread(target=self._pump, args=(client, server, None, mute), daemon=True).start()
            threading.Thread(target=self._pump, args=(server, client, mute, mute), daemon=True).start()

    def _pump(
        self, there: socket.socket, here: socket.socket, muted: threading.Event | None, mute: threading.Event
    ) -> None:
        with suppress(OSError):
            while data := there.recv(65536):
                if muted is None and self.swallow and self.swallow in data:
                    mute.set()
                self._open.wait()
                if muted is None or not muted.is_set():
                    here.sendall(data)
        for each in (there, here):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
