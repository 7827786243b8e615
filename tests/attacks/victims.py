"""What the attacks on the service share: a running service, requests as written, and a man in the middle."""

from __future__ import annotations

import http.client
import http.server
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.service import RunningService

SECONDS = 60.0
"""How long any answer may be waited for; a busy machine is slow, and no attack needs this to be short."""

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
_HOPS = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length"})


@contextmanager
def serving(folder: Path, *arguments: str, port: int = 0) -> Iterator[RunningService]:
    """A real service as a process of its own, stopped at the end; port 0 is any free one."""
    service = RunningService(folder, *arguments)
    service.port = port
    try:
        yield service.start()
    finally:
        service.stop()


@dataclass(frozen=True)
class Reply:
    """An answer; of a refusal, what its OCI error body says."""

    status: int
    headers: dict[str, str]
    body: bytes = field(repr=False)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """The one entry of an OCI error body; nothing where the body is none."""
        try:
            (entry,) = self.json["errors"]
        except (ValueError, KeyError, TypeError):
            return {}
        return entry if {"code", "message"} <= entry.keys() else {}

    @property
    def code(self) -> str:
        return str(self.error.get("code", ""))

    @property
    def message(self) -> str:
        return str(self.error.get("message", ""))

    @property
    def slug(self) -> str:
        return str((self.error.get("detail") or {}).get("slug", ""))

    @classmethod
    def read(cls, response: http.client.HTTPResponse) -> Reply:
        headers = {name.lower(): value for name, value in response.getheaders()}
        return cls(response.status, headers, response.read())


def ask(host: str, method: str, path: str, body: bytes | None = None, *, token: str = "", **headers: str) -> Reply:
    """One request as whoever the token belongs to; underscores in header names become dashes."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if token:
        sent["authorization"] = f"Bearer {token}"
    connection = http.client.HTTPConnection(host, timeout=SECONDS)
    try:
        connection.request(method, path, body, sent)
        return Reply.read(connection.getresponse())
    finally:
        connection.close()


def wire(host: str, data: bytes, *, finish: bool = False) -> Reply | None:
    """Sends bytes that needn't be HTTP; None where the server closes the connection without an answer.

    Args:
        finish: say with a FIN that nothing more comes.
    """
    name, _, port = host.rpartition(":")
    with socket.create_connection((name, int(port)), SECONDS) as sock:
        try:
            sock.sendall(data)
            if finish:
                sock.shutdown(socket.SHUT_WR)
        except ConnectionError:
            pass  # it hung up before it had everything; what it said is still to be read
        response = http.client.HTTPResponse(sock, method=data[:4].decode("latin-1").strip())
        try:
            response.begin()
            return Reply.read(response)
        except (ConnectionError, http.client.HTTPException):
            return None


class Middle:
    """A man in the middle: passes requests on to ``target``, and does to them what a test wants.

    Attributes:
        target: HOST:PORT of the real server.
        before: told method and path before a request is passed on.
        change: gets method, path and the real answer, and returns the answer that is given instead.
    """

    def __init__(self, target: str = "") -> None:
        self.target = target
        self.seen: list[tuple[str, str]] = []
        self.honest()
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def honest(self) -> None:
        """Only passes on, from now on."""
        self.before: Callable[[str, str], None] = lambda method, path: None
        self.change: Callable[[str, str, Reply], Reply] = lambda method, path, reply: reply

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def pass_on(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Reply:
        self.seen.append((method, path))
        self.before(method, path)
        connection = http.client.HTTPConnection(self.target, timeout=SECONDS)
        try:
            connection.request(method, path, body, headers)
            return self.change(method, path, Reply.read(connection.getresponse()))
        finally:
            connection.close()


def _handler(middle: Middle) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _any(self) -> None:
            # Docker sends Accept once for each media type: all of them go on, as one list (RFC 9110, 5.3).
            names = {name.lower() for name in self.headers} - set(_HOPS)
            headers = {name: ", ".join(self.headers.get_all(name, [])) for name in names}
            reply = middle.pass_on(self.command, self.path, headers, self._body())
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                if name not in _HOPS or (name == "content-length" and self.command == "HEAD"):
                    self.send_header(name, value)
            if self.command != "HEAD":
                self.send_header("content-length", str(len(reply.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(reply.body)

        def _body(self) -> bytes:
            if self.headers.get("transfer-encoding", "").lower() != "chunked":
                return self.rfile.read(int(self.headers.get("content-length") or 0))
            parts = []
            while size := int(self.rfile.readline().partition(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _any

        def log_message(self, *args: object) -> None:
            """Says nothing."""

    return Handler


def other(reply: Reply, body: bytes, **headers: str) -> Reply:
    """The same answer with another body, and with other headers where given."""
    renamed = {name.replace("_", "-"): value for name, value in headers.items()}
    return replace(reply, body=body, headers={**reply.headers, **renamed})
