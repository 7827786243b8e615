"""What the service answers outside ``/v2``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from trustkit.gateway.exchange import Exchange
from trustkit.server.health import Health
from trustkit.server.token_routes import TokenRoutes


def others(tokens: TokenRoutes, health: Health) -> Callable[[Exchange], Awaitable[bool]]:
    """Answers these paths; false for any other one."""
    routes = {
        b"/oauth2/token": ("token", tokens.handle),
        b"/healthz": ("healthz", health.alive),
        b"/readyz": ("readyz", health.ready),
    }

    async def other(exchange: Exchange) -> bool:
        route = routes.get(exchange.path)
        if route is not None:
            exchange.kind, handle = route
            await handle(exchange)
        return route is not None

    return other
