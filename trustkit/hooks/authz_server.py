"""``trustkit docker-authz``: the authorization plugin of Docker's engine, over a unix socket.

Protocol: https://docs.docker.com/engine/extend/plugins_authorization/ (the API) and ``plugin_api`` (activation).
"""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Set
from functools import partial
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from trustkit.errors import TrustkitError
from trustkit.hooks.authz import Answer, Judgement
from trustkit.hooks.authz_engine import DockerView
from trustkit.hooks.authz_request import EngineRequest
from trustkit.hooks.authz_routes import Door
from trustkit.hooks.localsocket import LocalServer
from trustkit.hooks.verdicts import Verdicts

log = logging.getLogger("trustkit.docker-authz")

SECONDS = 8.0
"""For an answer, whatever the trust service does; docker waits as long as it takes."""
MAX_REQUEST = 16 * 1024 * 1024
"""Bytes; newer engines show bodies of 4 MiB, in Base64."""
THREADS = 1024
"""Connections at a time."""
_JUDGED = 64
"""Requests that are judged at a time: each may ask the engine, which asks here first."""
_WAITING = THREADS - 2 * _JUDGED
"""Requests that are judged or wait for it, so that there is room for the engine's own questions."""
_TYPE = "application/vnd.docker.plugins.v1.1+json"


class Plugin:
    """The answers to what the engine asks.  Safe to use from several threads.

    Args:
        verdicts: the policy's word.
        engine: the engine's socket.
        opened: what is let through without being looked at.
        detect: say what would have been refused, and refuse nothing.
    """

    def __init__(
        self,
        verdicts: Verdicts,
        engine: Path,
        opened: Set[Door] = frozenset(),
        *,
        detect: bool = False,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self._verdicts, self._engine, self._opened, self._ticks = verdicts, engine, opened, ticks
        self._detect = detect
        self._room, self._free = threading.BoundedSemaphore(_WAITING), threading.BoundedSemaphore(_JUDGED)

    def __call__(self, path: str, body: bytes) -> dict[str, Any]:
        """The answer to what is asked at a path of the plugin's protocol."""
        if path == "/Plugin.Activate":
            return {"Implements": ["authz"]}
        if path == "/AuthZPlugin.AuthZRes":
            return {"Allow": True}
        if path != "/AuthZPlugin.AuthZReq":
            return {"Err": f"trustkit knows no {path[:100]}"}
        answer = self._answer(body)
        if answer.reason:
            words = "let through all the same: " if self._detect and not answer.allowed else ""
            log.log(logging.INFO if answer.allowed else logging.WARNING, "%s%s", words, answer.reason)
        if self._detect:
            return {"Allow": True, "Msg": ""}
        return {"Allow": answer.allowed, "Msg": answer.reason}

    def _answer(self, body: bytes) -> Answer:
        try:
            request = EngineRequest.parse(body)
            if request.reading:
                return Answer(allowed=True)
            if not self._room.acquire(blocking=False):
                return _TOO_MUCH
            try:
                return self._in_turn(request)
            finally:
                self._room.release()
        except TrustkitError as error:
            return Answer(False, f"{error.message} [{error.slug}]")
        except Exception as error:  # the engine would refuse without a word about why
            log.exception("A request could not be judged.")
            return Answer(
                False, f"trustkit has failed: {type(error).__name__}. See the log of trustkit docker-authz."
            )

    def _in_turn(self, request: EngineRequest) -> Answer:
        ends = self._ticks() + SECONDS
        if not self._free.acquire(timeout=SECONDS):
            return _TOO_MUCH
        try:
            view = DockerView(self._engine, ends=ends, ticks=self._ticks)
            return Judgement(partial(self._verdicts, ends=ends), view, self._opened)(request)
        finally:
            self._free.release()


_TOO_MUCH = Answer(False, "trustkit is asked too much at a time. Try again.")


class PluginServer(LocalServer):
    """Serves a plugin over HTTP/1.1, one request a connection."""

    def __init__(self, path: Path, plugin: Callable[[str, bytes], dict[str, Any]]) -> None:
        super().__init__(path, lambda _: b"", longest=0, threads=THREADS)
        self._plugin = plugin

    def _talk(self, connection: socket.socket) -> None:
        _Handler(connection, self._plugin)


class _Handler(BaseHTTPRequestHandler):
    """One request; reads from its connection at once."""

    protocol_version = "HTTP/1.1"
    timeout = SECONDS

    def __init__(self, connection: socket.socket, plugin: Callable[[str, bytes], dict[str, Any]]) -> None:
        self._plugin = plugin
        super().__init__(connection, ("", 0), None)  # type: ignore[arg-type]  # nothing here asks for the server

    def do_POST(self) -> None:
        """Answers what the engine asks."""
        length = self.headers.get("Content-Length", "0")
        if not (length.isascii() and length.isdigit()) or "Transfer-Encoding" in self.headers:
            self._send(400, {"Err": "trustkit wants a Content-Length"})
            return
        if int(length) > MAX_REQUEST:
            self._drain(int(length))
            allow = self.path == "/AuthZPlugin.AuthZRes"
            self._send(200, {"Allow": allow, "Msg": f"The request is longer than {MAX_REQUEST} bytes."})
            return
        self._send(200, self._plugin(self.path, self.rfile.read(int(length))))

    def _drain(self, length: int) -> None:
        while length > 0 and (piece := self.rfile.read(min(length, 1 << 16))):
            length -= len(piece)

    def _send(self, status: int, answer: dict[str, Any]) -> None:
        data = json.dumps(answer).encode("ascii")
        self.send_response(status)
        self.send_header("Content-Type", _TYPE)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's signature
        """Nothing: what is refused is told where it is judged."""
