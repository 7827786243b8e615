"""One ASGI application on one socket, until it is told to stop."""

from __future__ import annotations

import asyncio
import signal
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn

from trustkit.asgi import thrift
from trustkit.asgi.certified import CertifiedProtocol
from trustkit.asgi.logs import App
from trustkit.asgi.quick import Quick, QuickProtocol
from trustkit.asgi.renewed import renewed
from trustkit.asgi.strict import StrictProtocol
from trustkit.core.names import Host
from trustkit.errors import InvalidSetting, StateError

SHUTDOWN_SECONDS = 10
DRAIN_SECONDS = 0.5
"""For connections that have just come, and requests that are on their way, where another process takes over."""
KEEP_ALIVE_SECONDS = 5
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""For TLS 1.2: a key exchange that keeps what was said secret for good, and authenticated encryption (RFC 9325, 4.2).
The suites of TLS 1.3 are all such.  Since each is good, the client's preference counts."""
BACKLOG = 512


@dataclass(frozen=True, slots=True)
class Tls:
    """A server's certificate chain and key, as PEM files.

    Attributes:
        client_ca: the authorities, PEM, one of which must have signed a client's certificate; None asks for none.
    """

    certificate: Path
    key: Path
    client_ca: Path | None = None

    def check(self) -> None:
        """Raises InvalidSetting where the files can't serve TLS together."""
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self.certificate, self.key)
        except (OSError, ssl.SSLError) as error:
            raise InvalidSetting(
                f"The certificate {self.certificate} and key {self.key} can't be used: {error}.",
                hint="Both are PEM files; the key must belong to the certificate and have no passphrase.",
            ) from error
        if self.client_ca is None:
            return
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(self.client_ca)
        except (OSError, ssl.SSLError) as error:
            raise InvalidSetting(f"The authorities {self.client_ca} can't be used: {error}.") from error

    def options(self) -> dict[str, Any]:
        """What uvicorn is told."""
        options: dict[str, Any] = {"ssl_certfile": str(self.certificate), "ssl_keyfile": str(self.key)}
        if self.client_ca is not None:
            options |= {"ssl_ca_certs": str(self.client_ca), "ssl_cert_reqs": ssl.CERT_REQUIRED}
        return options


def bind(listen: Host) -> socket.socket:
    """A listening socket; port 0 lets the system choose.

    Raises:
        StateError: the address can't be had.
    """
    name = listen.name.strip("[]")
    family = socket.AF_INET6 if ":" in name else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((name, listen.port))
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise StateError(
            f"Can't listen on {listen}: {error.strerror or error}.",
            hint="End what listens there, or name another address or port.",
        ) from error
    sock.setblocking(False)
    return sock


class _Server(uvicorn.Server):
    """Tells when it accepts connections, and when it accepts no more.

    Args:
        drain: seconds in which connections are served before those with nothing on them are closed.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        ready: Callable[[], None],
        *,
        stopping: Callable[[], None] = lambda: None,
        drain: float = 0.0,
    ) -> None:
        super().__init__(config)
        self._ready, self._stopping, self._drain = ready, stopping, drain

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._stopping()
        for server in self.servers if self._drain else ():
            server.close()
        ends = time.monotonic() + self._drain
        while time.monotonic() < ends:
            for connection in self.server_state.connections:
                if isinstance(connection, StrictProtocol):
                    connection.last()
            await asyncio.sleep(0.05)
        await super().shutdown(sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()


class _Beside(_Server):
    """Leaves the signals to the main server."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(
    app: App,
    sock: socket.socket,
    *,
    tls: Tls | None,
    ready: Callable[[], None],
    keep_alive: int = KEEP_ALIVE_SECONDS,
    follow: bool = False,
    stopping: Callable[[], None] = lambda: None,
    drain: float = 0.0,
    quick: Quick | None = None,
) -> None:
    """Serves until SIGINT or SIGTERM, then lets requests in flight end for up to ten seconds.

    Args:
        app: the ASGI application.
        ready: called once connections are accepted.
        keep_alive: seconds until a connection with nothing on it is closed.
        follow: take up the certificate and key anew when their files change.
        stopping: called once connections are accepted no more.
        drain: seconds in which whatever has been sent to us is still answered, and told to go elsewhere after that.
        quick: answers before the application is asked; nothing where clients show certificates.
    """
    config = _config(app, tls, keep_alive=keep_alive)
    if quick is not None and not (tls and tls.client_ca):
        config.http = partial(QuickProtocol, quick=quick)  # type: ignore[assignment]  # what makes one
    config.load()
    if config.ssl is not None:
        _harden(config.ssl)
    context = config.ssl if follow else None
    following = asyncio.create_task(renewed(context, tls.certificate, tls.key)) if context and tls else None
    try:
        await _Server(config, ready, stopping=stopping, drain=drain).serve(sockets=[sock])
    finally:
        if following:
            following.cancel()


def _harden(context: ssl.SSLContext) -> None:
    """Says what TLS is spoken, which versions of uvicorn and Python see differently."""
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    context.num_tickets = 0


@asynccontextmanager
async def beside(app: App, sock: socket.socket) -> AsyncIterator[None]:
    """Serves a second application, without TLS, while the block runs; what is in flight then has another second."""
    started = asyncio.get_running_loop().create_future()
    server = _Beside(_config(app, None, seconds=1), lambda: started.set_result(None))
    serving = asyncio.create_task(server.serve(sockets=[sock]))
    try:
        await asyncio.wait([started, serving], return_when=asyncio.FIRST_COMPLETED)
        yield
    finally:
        server.should_exit = True
        await serving


def _config(
    app: App, tls: Tls | None, *, seconds: int = SHUTDOWN_SECONDS, keep_alive: int = KEEP_ALIVE_SECONDS
) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=CertifiedProtocol if tls and tls.client_ca else StrictProtocol,
        ws="none",
        loop="uvloop",
        lifespan="off",
        access_log=False,
        log_level="error",  # a client that tries TLS first is no event
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=seconds,
        timeout_keep_alive=keep_alive,
        **(tls.options() if tls else {}),
    )


def run(main: Callable[[], Awaitable[None]]) -> None:
    """Runs a server's coroutine on uvloop, in a process of its own; SIGTERM and SIGINT end it without a traceback."""
    import uvloop

    async def thriftily() -> None:
        async with thrift.thrifty():
            await main()

    thrift.begin()
    signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(SystemExit(0)))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(thriftily())
