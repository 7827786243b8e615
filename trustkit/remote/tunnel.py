"""The way to an origin through an HTTP proxy: CONNECT (RFC 9110, 9.3.6), or a whole URL where there is no TLS.

A proxy is a stranger on the way.  Inside a tunnel TLS with the registry's own certificate keeps it from reading and
from answering; what it says before the tunnel stands is about itself, and never more than "unreachable".
"""

from __future__ import annotations

import re
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Lock

from trustkit import __version__
from trustkit.core.names import Host
from trustkit.errors import ProxyFailed, TimedOut
from trustkit.remote.challenge import parse_challenges
from trustkit.remote.foreign import FOREIGN, as_ours
from trustkit.remote.messages import DEFAULT_PORTS, Origin
from trustkit.remote.proxies import Proxy, proxy_for
from trustkit.remote.sockets import connected
from trustkit.remote.tls import client_context

MAX_HEAD = 16 * 1024
"""Bytes that a proxy may answer CONNECT with."""
_END = re.compile(rb"\r?\n\r?\n")
_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3})(?:[ \r\n]|\Z)")
_WANTS = re.compile(rb"^proxy-authenticate:[ \t]*([^\r\n]*)", re.IGNORECASE | re.MULTILINE)
_LOGIN = frozenset({401, 407})
"""401 is what tinyproxy says to who has logged in wrongly."""


class Route:
    """The way through one proxy.  Safe to use from several threads.

    Args:
        proxy: as the environment names it.
        context: for TLS with the proxy itself; None where it is spoken to without.
    """

    def __init__(self, proxy: Proxy, context: ssl.SSLContext | None) -> None:
        self.proxy, self._context = proxy, context

    def __repr__(self) -> str:
        return f"Route({self.proxy})"

    def reach(self, seconds: float) -> socket.socket:
        """A connection to the proxy.

        Raises:
            ProxyFailed, TimedOut: and nothing else.
        """
        until = time.monotonic() + seconds
        name = self.proxy.name.strip("[]")
        with self._told():
            sock = connected(name, self.proxy.port, seconds)
            try:
                sock.settimeout(_left(until))
                if self._context is not None:
                    sock = self._context.wrap_socket(sock, server_hostname=name.encode("ascii"))
            except BaseException:
                sock.close()
                raise
        return sock

    def tunnel(self, name: str, port: int, seconds: float) -> socket.socket:
        """A connection to a host through the proxy; what is read from it next is that host's.

        Raises:
            ProxyFailed: the proxy can't be reached, refuses, or answers something else than CONNECT's answer.
            TimedOut.
        """
        until = time.monotonic() + seconds
        sock = self.reach(seconds)
        try:
            where = f"[{name}]:{port}" if ":" in name else f"{name}:{port}"
            with self._told():
                head = _exchange(sock, self._asking(where), until)
                status = self._status(head)
                if not 200 <= status < 300:
                    wanted = [found.decode("latin-1") for found in _WANTS.findall(head)]
                    raise self.refusal(status, where, wanted)
        except BaseException:
            sock.close()
            raise
        return sock

    def plainly(self, origin: Origin, target: str, headers: Mapping[str, str]) -> tuple[str, dict[str, str]]:
        """A request without TLS as a proxy takes it: its target a whole URL (RFC 9112, 3.2.2), with our login."""
        host = origin.name if origin.port == DEFAULT_PORTS[origin.scheme] else f"{origin.name}:{origin.port}"
        login = {"Proxy-Authorization": self.proxy.authorization} if self.proxy.authorization else {}
        return f"{origin.scheme}://{host}{target}", {**headers, **login}

    def refusal(self, status: int, where: str, wanted: list[str]) -> ProxyFailed:
        """What a status of the proxy's own means.

        Args:
            where: the host that it was to lead to.
            wanted: the values of its Proxy-Authenticate.
        """
        proxy, variable = self.proxy, self.proxy.variable
        if status not in _LOGIN:
            return self._failed(f"refuses to connect to {where} ({status})", status=status)
        ways = sorted({challenge.scheme for challenge in parse_challenges(wanted)})
        if ways and "basic" not in ways:
            said = f"wants a login by {', '.join(ways)[:60]}, and trustkit can do Basic only ({status})"
            return self._failed(said, hint="Let a proxy that does, such as cntlm, stand between.", status=status)
        if proxy.authorization:
            return self._failed(f"does not accept the name and password in {variable} ({status})", status=status)
        hint = f"Write {variable}={proxy.scheme}://NAME:PASSWORD@HOST:PORT, the two percent-encoded."
        return self._failed(f"wants a login ({status})", hint=hint, status=status)

    def _asking(self, where: str) -> bytes:
        lines = [f"CONNECT {where} HTTP/1.1", f"Host: {where}", f"User-Agent: trustkit/{__version__}"]
        if self.proxy.authorization:
            lines.append(f"Proxy-Authorization: {self.proxy.authorization}")
        return "\r\n".join([*lines, "", ""]).encode("ascii")

    def _status(self, head: bytes) -> int:
        found = _STATUS.match(head)
        if found is None:
            raise self._failed("answers something that is not HTTP")
        return int(found[1])

    def _failed(self, said: str, *, hint: str = "", status: int | None = None) -> ProxyFailed:
        hint = hint or f"{self.proxy.variable} names it; NO_PROXY lists what is reached without."
        context = {} if status is None else {"status": status}
        return ProxyFailed(f"The proxy {self.proxy} {said}.", hint=hint, proxy=str(self.proxy), **context)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """What goes wrong in the block is the proxy's, and is told as that."""
        try:
            yield
        except _Broken as error:
            raise self._failed(error.args[0]) from error
        except FOREIGN as error:
            ours = as_ours(error, f"the proxy {self.proxy}")
            message, hint = ours.message[0].upper() + ours.message[1:], ours.hint
            if isinstance(ours, TimedOut):
                raise TimedOut(message, hint=hint) from error
            hint = hint or f"{self.proxy.variable} names it; NO_PROXY lists what is reached without."
            raise ProxyFailed(message, hint=hint, proxy=str(self.proxy)) from error


class Routes:
    """The proxies that an environment names, each made when first gone through.

    Args:
        environ: where proxies are named, and certificates as for registries.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ, self._lock = environ, Lock()
        self._known: dict[Proxy, Route] = {}

    def to(self, origin: Origin) -> Route | None:
        """The way to an origin; None for straight there.

        Raises:
            InvalidSetting: the variable or certificates can't be used.
        """
        proxy = proxy_for(origin, self._environ)
        if proxy is None:
            return None
        with self._lock:
            if proxy not in self._known:
                secure = proxy.scheme == "https"
                context = client_context(Host(proxy.name, proxy.port), self._environ) if secure else None
                self._known[proxy] = Route(proxy, context)
            return self._known[proxy]


class _Broken(Exception):
    """An answer to CONNECT that is none."""


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError("past the deadline")
    return left


def _exchange(sock: socket.socket, asking: bytes, until: float) -> bytes:
    """Sends CONNECT; the head of its answer, after which nothing has come yet."""
    sock.settimeout(_left(until))
    sock.sendall(asking)
    head = bytearray()
    while (end := _END.search(head)) is None:
        if len(head) > MAX_HEAD:
            raise _Broken(f"answers with more than {MAX_HEAD // 1024} KiB of headers")
        sock.settimeout(_left(until))
        piece = sock.recv(4096)
        if not piece:
            raise _Broken("closes the connection instead of an answer")
        head += piece
    if head[9:10] == b"2" and end.end() != len(head):  # TLS begins with us: whatever came is not the host's
        raise _Broken("sends more than an answer")
    return bytes(head[: end.end()])
