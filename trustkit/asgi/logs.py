"""What a server writes for its operator: one line for each event and, where asked for, for each request.

A line holds no header and no query: tokens and passwords travel in those.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_access = logging.getLogger("trustkit.access")


def configure() -> None:
    """Sends what trustkit's loggers say, from INFO on, to stderr with the time in UTC."""
    handler = logging.StreamHandler()
    formatter = logging.Formatter(FORMAT, "%Y-%m-%dT%H:%M:%SZ")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    logger = logging.getLogger("trustkit")
    logger.handlers[:] = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False


class AccessLog:
    """An ASGI application that logs each request to another: client, method, path, status, bytes sent, seconds.

    The status is ``-`` where the client went away before an answer.
    """

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI 3.0."""
        status, sent, began = "-", 0, time.perf_counter()

        async def counting(message: Message) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status = str(message["status"])
            sent += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, counting)
        finally:
            if scope["type"] == "http":
                client = (scope.get("client") or ("-",))[0]
                seconds = time.perf_counter() - began
                log_request(client, scope["method"], scope.get("raw_path", b""), status, sent, seconds)


def log_request(client: str, method: str, target: bytes, status: str, sent: int, seconds: float) -> None:
    """Writes one line of the access log."""
    path = target[:1024].partition(b"?")[0]
    _access.info("%s %s %s %s %d %.3f", client, method, _shown(path), status, sent, seconds)


def _shown(path: bytes) -> str:
    """A path on one line, without what a terminal would obey."""
    return "".join(chr(byte) if 0x20 < byte < 0x7F else f"\\x{byte:02x}" for byte in path)
