"""What the service listens at besides its address, and whom it sees there: metrics, proxies and their questions."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from trustkit.asgi.activation import BLOBS
from trustkit.asgi.forwarded import Forwarded
from trustkit.asgi.listen import BACKLOG, beside, bind
from trustkit.asgi.logs import AccessLog, App
from trustkit.asgi.unixsocket import UnixSocket
from trustkit.core.names import Host
from trustkit.gateway.app import RegistryGateway
from trustkit.gateway.caller import Caller
from trustkit.gateway.passing import BlobPasses
from trustkit.server.metrics import Metrics, MetricsApp
from trustkit.server.settings import ServeSettings

if TYPE_CHECKING:
    import socket

log = logging.getLogger("trustkit.service")


def shown(app: App, settings: ServeSettings) -> App:
    """The application that logs each request, with the client's address where a trusted proxy tells it."""
    logged = AccessLog(app) if settings.access_log else app
    return Forwarded(logged, settings.proxies) if settings.proxies else logged


async def open_metrics(stack: AsyncExitStack, listen: Host, metrics: Metrics) -> None:
    """Answers ``/metrics`` at this address until the stack is closed; raises StateError where it can't be had."""
    sock = bind(listen)
    stack.callback(sock.close)
    await stack.enter_async_context(beside(MetricsApp(metrics), sock))
    if not listen.loopback:
        log.warning("metrics are open to whoever reaches %s", listen.name)
    log.info("metrics at http://%s/metrics", Host(listen.name, int(sock.getsockname()[1])))


async def open_blob_socket(
    stack: AsyncExitStack,
    settings: ServeSettings,
    gateway: RegistryGateway,
    *,
    authenticate: Callable[[str], Awaitable[Caller]],
    metrics: Metrics | None,
) -> None:
    """Answers a proxy's questions until the stack is closed; nothing where no such socket was asked for.

    Raises:
        InvalidSetting, Conflict, StateError: there can be none at this path.
    """
    sock = _socket(stack, settings)
    if sock is None:
        return
    from trustkit.gateway.upstream import UpstreamRegistry  # here, for who has an upstream: its client takes 5 MiB

    assert isinstance(gateway.backend, UpstreamRegistry)  # noqa: S101 - the settings were checked
    told = metrics.passed if metrics else None
    passes = BlobPasses(gateway, gateway.backend, authenticate=authenticate, told=told)
    await stack.enter_async_context(beside(passes, sock))


def _socket(stack: AsyncExitStack, settings: ServeSettings) -> socket.socket | None:
    if BLOBS in settings.inherited.others:
        return settings.inherited.others[BLOBS]
    if settings.blob_socket is None:
        return None
    made = UnixSocket(settings.blob_socket, backlog=BACKLOG)
    stack.callback(made.close)
    return made.socket
