"""HTTP towards one origin, with limits on time, speed and size (TRUST 6.2, 8.3).

A client belongs to one registry host and talks to nothing else.  The one exception is a blob's redirect to a
storage service, which is followed without Authorization, over TLS or loopback, when the caller says so.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import field, replace
from threading import Lock
from urllib.parse import urlencode, urljoin, urlsplit

from trustkit import __version__
from trustkit.core.names import Host
from trustkit.core.records import dataclass
from trustkit.errors import Garbage
from trustkit.remote.connections import Answer, Connections, Seconds, Way
from trustkit.remote.foreign import translated
from trustkit.remote.inflate import GZIP, unpacked
from trustkit.remote.messages import Body, Headers, Origin, Response, Stream
from trustkit.remote.sockets import Speed, connected
from trustkit.remote.tls import client_context, speaks_tls

log = logging.getLogger(__name__)

MAX_BODY = 1024 * 1024
CHUNK = 128 * 1024
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS = 4
LARGE = 1_000_000
"""Bytes; whoever takes a longer upload may think about it for the whole time that the request may take."""
_REPEATABLE = frozenset({"GET", "HEAD"})


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a request may take.

    Attributes:
        total: seconds for a request and its whole answer; a call may give another number.
        connect: seconds for a connection with its TLS handshake.
        speed: the smallest speed; it also bounds how long an answer may be waited for.
    """

    total: float = 60.0
    connect: float = 10.0
    speed: Speed = field(default_factory=Speed)


class HttpClient:
    """Requests to one host.  Safe to use from several threads.

    Args:
        host: the registry host, as it stands in a GUN.
        environ: where ``SSL_CERT_FILE``, ``SSL_CERT_DIR``, ``DOCKER_CONFIG``, ``HOME`` and proxies are read.
        limits: time and speed.
        unsafe_plain_http: treat this host as if it were loopback, where a port that speaks no TLS is used without.
        clock: seconds, never going back.
    """

    def __init__(
        self,
        host: Host,
        *,
        environ: Mapping[str, str],
        limits: Limits | None = None,
        unsafe_plain_http: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.host = host
        self.limits = limits or Limits()
        self._environ = environ
        self._plain_allowed = host.loopback or unsafe_plain_http
        self._clock = clock
        self._lock = Lock()
        self._asking = Lock()
        self._origin: Origin | None = None
        self._ways = _ways(environ)
        self._pools: dict[tuple[Origin, Speed, Way | None], Connections] = {}
        if unsafe_plain_http and not host.loopback:
            log.warning("unsafe_plain_http: %s may be talked to without TLS; anybody on the way can read it", host)

    def __repr__(self) -> str:
        return f"HttpClient({self.host})"

    @property
    def way(self) -> Way | None:
        """The proxy that this client's origin is reached through; None for none.

        Raises:
            InvalidSetting: what names it names none that can be used.
        """
        return self._ways(self.origin)

    @property
    def origin(self) -> Origin:
        """The one origin that this client talks to.  On loopback the port is asked whether it speaks TLS.

        Raises:
            Unreachable, TimedOut, InvalidSetting.
        """
        with self._asking:
            if self._origin is None:
                self._origin = self._find_origin()
            return self._origin

    def _find_origin(self) -> Origin:
        found = Origin("https", self.host.name, self.host.port or 443)
        if self._plain_allowed:
            way = self._ways(found)
            with translated(str(self.host)):
                if not speaks_tls(self.host, self.limits.connect, way.tunnel if way else connected):
                    return Origin("http", found.name, found.port)
        return found

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Iterable[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
        body: Body = None,
        max_body: int = MAX_BODY,
        total: float | None = None,
    ) -> Response:
        """Sends a request and reads the whole answer, whatever its status.  No redirect is followed.

        Args:
            path: absolute, with no query; or with one, as ``local_path`` returns it.
            body: bytes, or chunks with a Content-Length in ``headers``.
            max_body: bytes that the answer's body may have.
            total: seconds; the client's limit where None.

        Raises:
            Unreachable, TimedOut, Garbage.
            InvalidSetting: certificates or a proxy that can't be used.
        """
        with self.stream(method, path, query=query, headers=headers, body=body, total=total) as answer:
            return answer.read(max_body)

    @contextmanager
    def stream(
        self,
        method: str,
        path: str,
        *,
        query: Iterable[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
        body: Body = None,
        total: float | None = None,
        follow: bool = False,
    ) -> Iterator[Stream]:
        """As ``request``, with the body still to be read inside the block.

        Args:
            follow: follow redirects of GET and HEAD, anywhere over TLS but to this machine from elsewhere, without
                Authorization once off the origin.
        """
        target = f"{path}{'&' if '?' in path else '?'}{urlencode(list(query))}" if query else path
        origin, sent = self.origin, dict(headers or {})
        for _ in range(_MAX_REDIRECTS):
            answer = self._send(origin, method, target, sent, body, total)
            try:
                location = Headers(answer.headers).get("location")
                if not (follow and answer.status in _REDIRECTS and location and method in _REPEATABLE):
                    yield self._stream(origin, answer, sent)
                    return
            finally:
                answer.done()
            origin, target = _elsewhere(origin, target, location)
            if origin.host.loopback and not self.host.loopback:
                raise Garbage(f"{self.host} redirects to {origin}, which is this machine itself.")
            if origin != self.origin:
                sent = {
                    name: value for name, value in sent.items() if name.lower() not in ("authorization", "cookie")
                }
        raise Garbage(f"{self.host} redirects more than {_MAX_REDIRECTS} times.")

    def local_path(self, location: str, base: str) -> str:
        """The path and query of a Location, which has to be on this client's origin.

        Args:
            base: the path that was asked for.

        Raises:
            Garbage: another origin, or no URL.
        """
        origin, target = _elsewhere(self.origin, base, location, anywhere=True)
        if origin != self.origin:
            raise Garbage(f"{self.host} sends us on to {origin}, which is another origin.")
        return target

    def _send(
        self, origin: Origin, method: str, target: str, headers: Mapping[str, str], body: Body, total: float | None
    ) -> Answer:
        sent = {"Accept-Encoding": "identity", "User-Agent": f"trustkit/{__version__}", **headers}
        seconds = self.limits.total if total is None else total
        large = isinstance(body, bytes) and len(body) > LARGE
        speed = (
            replace(self.limits.speed, window=max(seconds, self.limits.speed.window)) if large else self.limits.speed
        )
        started = self._clock()
        with translated(str(origin.host)):
            for last in (method not in _REPEATABLE, True):
                left = max(seconds - (self._clock() - started), 0.001)
                try:
                    return self._pool(origin, speed).request(
                        method,
                        target,
                        body=body,
                        headers=sent,
                        seconds=Seconds(min(self.limits.connect, left), left),
                    )
                except ConnectionError:
                    # A kept connection that the server closed meanwhile; asking again is harmless.
                    if last:
                        raise
        raise AssertionError("unreachable")

    def _stream(self, origin: Origin, answer: Answer, sent: Mapping[str, str]) -> Stream:
        headers = Headers(answer.headers)
        coding = headers.get("content-encoding", "identity").strip().lower()
        if coding == GZIP["Accept-Encoding"] and GZIP.items() <= sent.items():
            return Stream(answer.status, headers, unpacked(_chunks(answer, str(origin.host)), str(origin.host)))
        if coding not in ("", "identity"):
            raise Garbage(f"{origin.host} sends a {coding[:20]!r} encoded answer, which was not asked for.")
        return Stream(answer.status, headers, _chunks(answer, str(origin.host)))

    def _pool(self, origin: Origin, speed: Speed) -> Connections:
        key = origin, speed, self._ways(origin)
        with self._lock:
            if key not in self._pools:
                context = None
                if origin.scheme == "https":
                    host = self.host if origin == self.origin else origin.host
                    context = client_context(host, self._environ)
                self._pools[key] = Connections(origin, context, speed, self._clock, key[2])
            return self._pools[key]


_PROXIES = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")


def _ways(environ: Mapping[str, str]) -> Callable[[Origin], Way | None]:
    """The proxies to origins; nothing of them is loaded where the environment names none."""
    if not any(environ.get(name) for name in _PROXIES):
        return lambda _origin: None
    from trustkit.remote.tunnel import Routes

    return Routes(environ).to


def _elsewhere(origin: Origin, base: str, location: str, *, anywhere: bool = False) -> tuple[Origin, str]:
    """Where a Location leads from a request; ``anywhere`` leaves the judgement of the origin to the caller."""
    if any(ord(c) <= 0x20 or ord(c) >= 0x7F for c in location):
        raise Garbage("A redirect leads to an address with a character that no URL has.")
    with translated(str(origin.host)):
        url = urljoin(f"{origin}{base}", location)
        parts = urlsplit(url)
    found = Origin.of_url(url)
    if not anywhere and not found.protected and found != origin:
        raise Garbage(f"{origin.host} redirects to {found}, which is neither TLS nor loopback.")
    return found, (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _chunks(answer: Answer, where: str) -> Iterator[bytes]:
    while True:
        with translated(where):
            chunk = answer.piece(CHUNK)
        if not chunk:
            return
        yield chunk
