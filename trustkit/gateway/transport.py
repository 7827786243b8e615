"""Requests to the upstream over aiohttp; the one place where its exceptions become ours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

import aiohttp
from yarl import URL

from trustkit.errors import RegistryFailed
from trustkit.gateway.elsewhere import CONNECTIONS, connector

Authorization = Callable[[str, str | None], Awaitable[str | None]]
"""Gives the Authorization header for a token scope, ``repository:team/app:pull,push``, several divided by spaces.

The second argument is None, or the upstream's WWW-Authenticate when it didn't accept what was given before.  None
means: no header.  Never the client's (TRUST 7.5).
"""

MAX_REDIRECTS = 5
PIECE = 1 << 18
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


async def anonymous(scope: str, challenge: str | None) -> str | None:  # noqa: ARG001
    """An upstream that asks for nothing."""
    return None


@dataclass(frozen=True, slots=True)
class Timeouts:
    """In seconds: for a connection, and between two pieces of a reply."""

    connect: float = 10.0
    read: float = 60.0


@contextmanager
def upstream_errors() -> Iterator[None]:
    """Every exception of the HTTP client as RegistryFailed."""
    try:
        yield
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        timed_out = isinstance(error, TimeoutError)
        words = "didn't answer in time" if timed_out else "can't be reached or broke off"
        raise RegistryFailed(
            f"The registry behind this service {words}.", hint="Try again; tell the operator if it lasts."
        ) from error


class Body:
    """A request body on its way through; keeps the error of its source, which the HTTP client would hide."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self.error: BaseException | None = None

    async def pieces(self) -> AsyncIterator[bytes]:
        """The chunks as they come."""
        try:
            async for data in self._chunks:
                yield data
        except Exception as error:
            self.error = error
            raise


class Transport:
    """Pools of connections, to an upstream and to where it sends us; each is made in the loop that first uses it.

    Whoever reads blobs slowly holds connections for long; what is asked before anything is decided has others.

    Args:
        local: whether the upstream is on loopback, and so may send us there.
        connections: to one place at a time, at most; as many again for what is streamed.

    Attributes:
        authorization: the credentials of our own.
    """

    def __init__(
        self, authorization: Authorization, timeouts: Timeouts, *, local: bool, connections: int = CONNECTIONS
    ) -> None:
        self.authorization, self._timeouts = authorization, timeouts
        self._local, self._connections = local, connections
        self._sessions: dict[tuple[bool, bool], aiohttp.ClientSession] = {}

    async def close(self) -> None:
        """Closes all connections."""
        for session in self._sessions.values():
            await session.close()

    def _pool(self, *, elsewhere: bool, streamed: bool) -> aiohttp.ClientSession:
        if (elsewhere, streamed) not in self._sessions:
            most = self._connections
            self._sessions[elsewhere, streamed] = aiohttp.ClientSession(
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                connector=connector(most, local=self._local) if elsewhere else aiohttp.TCPConnector(limit=most),
                raise_for_status=False,
                read_bufsize=PIECE,
                trust_env=False,
                timeout=aiohttp.ClientTimeout(
                    total=None, sock_connect=self._timeouts.connect, sock_read=self._timeouts.read
                ),
            )
        return self._sessions[elsewhere, streamed]

    @asynccontextmanager
    async def request(
        self,
        method: str,
        url: str,
        *,
        scope: str,
        headers: Mapping[str, str],
        body: Body | bytes | None = None,
        follow: bool = False,
        any_failure: bool = False,
        streamed: bool = False,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """One request to the upstream, with credentials of our own.

        Args:
            follow: follow redirects, without credentials; else a redirect is an error.
            any_failure: hand out 5xx as well; the caller knows what it means.
            streamed: the bytes go on to a client, as fast as that reads or sends them.

        Raises:
            RegistryFailed: no usable answer: no connection, 401, 403, 5xx, a redirect that isn't followed, a status
                that nobody knows.
        """
        response = await self._authorized(method, url, scope, headers, body, streamed=streamed)
        try:
            for _ in range(MAX_REDIRECTS if follow else 0):
                if response.status not in _REDIRECTS:
                    break
                target = _redirected(response)
                response.close()
                away = _origin(target) != _origin(url)
                response = await self._send(method, target, headers, None, elsewhere=away, streamed=streamed)
            if not (any_failure and response.status >= 500):
                _check(response)
            yield response
        finally:
            # A reply that wasn't read to its end is cut; one that was gives its connection back.
            response.close()

    async def _authorized(
        self,
        method: str,
        url: str,
        scope: str,
        headers: Mapping[str, str],
        body: Body | bytes | None,
        *,
        streamed: bool,
    ) -> aiohttp.ClientResponse:
        value = await self.authorization(scope, None)
        response = await self._send(method, url, _with(headers, value), body, streamed=streamed)
        challenge = response.headers.get("www-authenticate")
        if response.status == 401 and challenge and not isinstance(body, Body):
            value = await self.authorization(scope, challenge)
            if value is not None:
                response.close()
                response = await self._send(method, url, _with(headers, value), body, streamed=streamed)
        return response

    async def _send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: Body | bytes | None,
        *,
        elsewhere: bool = False,
        streamed: bool,
    ) -> aiohttp.ClientResponse:
        data = body.pieces() if isinstance(body, Body) else body
        # The timeouts of the client begin anew with every byte, and count no interim answers and no queue.  A body
        # takes as long as its sender, whose pace has bounds of its own.
        whole_head = None if isinstance(body, Body) else self._timeouts.connect + self._timeouts.read
        try:
            with upstream_errors():
                async with asyncio.timeout(whole_head):
                    return await self._pool(elsewhere=elsewhere, streamed=streamed).request(
                        method, URL(url, encoded=True), headers=headers, data=data, allow_redirects=False
                    )
        except RegistryFailed:
            if isinstance(body, Body) and body.error is not None:
                raise body.error from None
            raise


async def pieces(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """The reply's body as it comes.  Raises RegistryFailed where it breaks off."""
    with upstream_errors():
        iterator = response.content.iter_any().__aiter__()
    while True:
        with upstream_errors():
            try:
                data = await anext(iterator)
            except StopAsyncIteration:
                return
        yield data


async def whole(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """The reply's whole body.  Raises RegistryFailed where it is longer than ``limit`` bytes, or too slow."""
    parts, size = [], 0
    with upstream_errors():
        async with asyncio.timeout(60):
            async for data in response.content.iter_any():
                size += len(data)
                if size > limit:
                    raise RegistryFailed(f"The registry behind this service sends over {limit} bytes.")
                parts.append(data)
    return b"".join(parts)


def _with(headers: Mapping[str, str], authorization: str | None) -> dict[str, str]:
    return dict(headers) if authorization is None else {**headers, "authorization": authorization}


def _redirected(response: aiohttp.ClientResponse) -> str:
    try:
        target = urljoin(str(response.url), response.headers.get("location", ""))
        scheme = urlsplit(target).scheme
    except ValueError:
        scheme = ""
    if scheme != "https" and (scheme != "http" or response.url.scheme == "https"):
        raise RegistryFailed("The registry behind this service redirects to a place that isn't followed.")
    return target


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


def _check(response: aiohttp.ClientResponse) -> None:
    if response.status in (401, 403, 407):
        raise RegistryFailed(
            "The registry behind this service doesn't accept the service's credentials.",
            hint="The operator has to give the service credentials for its upstream.",
        )
    if not 200 <= response.status < 500 or response.status == 429 or response.status in _REDIRECTS:
        raise RegistryFailed(f"The registry behind this service answered {response.status}.")
