"""The raw ASGI application: ``/v2``, the token endpoint and health; no framework, no router (TRUST 1.2)."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from trustkit.core.access import Action
from trustkit.core.names import Repository
from trustkit.core.notarypaths import NotaryRoute
from trustkit.core.paths import TrustRoute, parse_v2
from trustkit.errors import LoginRequired, NotFound, TrustkitError
from trustkit.gateway.app import RegistryGateway
from trustkit.gateway.caller import ANONYMOUS, Caller
from trustkit.gateway.exchange import ClientGone, Exchange, Receive, Scope, Send
from trustkit.gateway.problems import API_VERSION
from trustkit.server.admitting import InsufficientScope
from trustkit.server.kinds import KINDS
from trustkit.server.notary_routes import NotaryRoutes
from trustkit.server.problems import refuse
from trustkit.server.trust_routes import TrustRoutes

log = logging.getLogger("trustkit.service")

Challenge = Callable[[Repository | None, frozenset[Action], str | None], str]


@dataclass(frozen=True, slots=True)
class Parts:
    """What the application serves with.

    Attributes:
        authenticate: turns an Authorization value into who is calling; raises LoginRequired for a bad token.
        challenge: makes a WWW-Authenticate value for this request's own origin.
        come_by: told each request's Host header first.
        other: answers paths outside ``/v2``; false where it has no such path.
        answered: told each request once it is over, with the seconds that it took; None for nobody.
    """

    gateway: RegistryGateway
    trust: TrustRoutes
    notary: NotaryRoutes
    authenticate: Callable[[str], Awaitable[Caller]]
    challenge: Challenge
    come_by: Callable[[str], None]
    other: Callable[[Exchange], Awaitable[bool]]
    answered: Callable[[Exchange, float], None] | None = None


class Application:
    """Answers every request; whatever goes wrong, a client gets an answer with a reason and no traceback."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI 3.0."""
        if scope["type"] != "http":
            return
        exchange, began = Exchange(scope, receive, send), time.perf_counter()
        try:
            await self._whatever_happens(exchange)
        finally:
            if self._parts.answered is not None:
                self._parts.answered(exchange, time.perf_counter() - began)

    async def _whatever_happens(self, exchange: Exchange) -> None:
        self._parts.come_by(exchange.headers.get("host", ""))
        try:
            await self._answer(exchange)
        except ClientGone:
            return
        except TrustkitError as error:
            if exchange.replied:
                raise
            await refuse(exchange, error, self._headers(exchange, error))
        except Exception:
            log.exception("internal error in %s %r", exchange.method, exchange.path[:200])
            if exchange.replied:
                raise
            await refuse(exchange, TrustkitError("Internal error; the service's log says more."))

    async def _answer(self, exchange: Exchange) -> None:
        if exchange.path != b"/v2" and not exchange.path.startswith(b"/v2/"):
            if not await self._parts.other(exchange):
                raise NotFound("There is nothing at this path.")
            return
        route = parse_v2(exchange.path)
        if route is None:
            raise NotFound("There is nothing at this path.")
        exchange.kind = KINDS[type(route)]
        caller = await self._caller(exchange)
        if isinstance(route, TrustRoute):
            await self._parts.trust.handle(exchange, route, caller)
        elif isinstance(route, NotaryRoute):
            await self._parts.notary.handle(exchange, route, caller)
        else:
            await self._parts.gateway.handle(exchange, route, caller)

    async def _caller(self, exchange: Exchange) -> Caller:
        authorization = exchange.headers.get("authorization")
        return await self._parts.authenticate(authorization) if authorization else ANONYMOUS

    def _headers(self, exchange: Exchange, error: TrustkitError) -> list[tuple[str, str]]:
        if not isinstance(error, LoginRequired):
            return []
        try:
            route = parse_v2(exchange.path)
        except TrustkitError:
            route = None
        repository = getattr(getattr(route, "gun", route), "repository", None)
        known = bool(exchange.headers.get("authorization"))
        if isinstance(error, InsufficientScope):
            challenge = self._parts.challenge(repository, error.actions, "insufficient_scope" if known else None)
        else:
            actions = frozenset({Action.PULL}) if repository else frozenset()
            challenge = self._parts.challenge(repository, actions, "invalid_token")
        return [("www-authenticate", challenge), API_VERSION]
