"""The registry behind the service: the credentials towards it, and whether clients could walk round (TRUST 7.5)."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import datetime

import aiohttp

from trustkit.authority.keks import Keks
from trustkit.authority.tokenkeys import TokenKeys
from trustkit.authority.tokens import Access, TokenIssuer
from trustkit.core.names import Host, PrincipalName
from trustkit.core.ports.service import Store
from trustkit.errors import InvalidSetting
from trustkit.gateway.transport import Authorization, anonymous
from trustkit.gateway.upstream import UpstreamRegistry
from trustkit.server.settings import ServeSettings, Upstream

GATEWAY = PrincipalName("trustkit-gateway")
PROBE_SECONDS = 5
_SERVICE = re.compile(r'service="([^"]{0,256})"')


async def open_upstream(
    stack: AsyncExitStack,
    settings: ServeSettings,
    client_services: frozenset[str],
    issuer: TokenIssuer,
    *,
    clock: Callable[[], datetime],
    say: Callable[[str], None],
) -> UpstreamRegistry:
    """The backend for ``--upstream``, closed with the stack.

    Args:
        client_services: the audiences of tokens that clients can get.

    Raises:
        InvalidSetting: the upstream takes tokens that clients can get.  That holds where nothing is trust-only, too:
            an operator may set it at any time while the service runs.
    """
    upstream = settings.upstream
    assert upstream is not None  # noqa: S101 - the caller looked
    await _check(upstream, client_services, say=say)
    registry = UpstreamRegistry(upstream.url, authorization=_authorization(upstream, issuer, clock))
    stack.push_async_callback(registry.close)
    return registry


async def open_for_upkeep(
    stack: AsyncExitStack,
    upstream: Upstream,
    store: Store,
    kek: Keks,
    *,
    issuer: Host | None,
    clock: Callable[[], datetime],
) -> UpstreamRegistry:
    """The same registry for an operator's command beside the service, closed with the stack.

    Args:
        issuer: the service's first public name; only where the upstream takes the service's tokens.

    Raises:
        StateError, KeyProblem: the tokens' keys can't be opened.
    """
    authorization: Authorization = anonymous
    if upstream.username is not None:
        authorization = _by_password(upstream)
    elif upstream.service is not None:
        sealer = kek.sealer(create=False)
        tokens = await TokenKeys.open(store, sealer, issuer=str(issuer), now=clock())
        authorization = _by_token(upstream.service, TokenIssuer(tokens, issuer=str(issuer)), clock)
    registry = UpstreamRegistry(upstream.url, authorization=authorization)
    stack.push_async_callback(registry.close)
    return registry


def _authorization(upstream: Upstream, issuer: TokenIssuer, clock: Callable[[], datetime]) -> Authorization:
    if upstream.username is not None:
        return _by_password(upstream)
    return anonymous if upstream.service is None else _by_token(upstream.service, issuer, clock)


def _by_password(upstream: Upstream) -> Authorization:
    pair = f"{upstream.username}:{upstream.password}".encode()
    basic = "Basic " + base64.b64encode(pair).decode("ascii")

    async def by_password(scope: str, challenge: str | None) -> str | None:  # noqa: ARG001 - the same for all
        return basic

    return by_password


def _by_token(service: str, issuer: TokenIssuer, clock: Callable[[], datetime]) -> Authorization:
    async def by_token(scope: str, challenge: str | None) -> str | None:  # noqa: ARG001 - it is always ours
        access = [_access(part) for part in scope.split()]
        token = issuer.issue(GATEWAY, audience=service, access=access, now=clock())
        return f"Bearer {token.text}"

    return by_token


def _access(scope: str) -> Access:
    kind, _, rest = scope.partition(":")
    name, _, actions = rest.rpartition(":")
    return Access(kind, name, frozenset(actions.split(",")))


async def _check(upstream: Upstream, client_services: frozenset[str], *, say: Callable[[str], None]) -> None:
    if upstream.service in client_services:
        raise _walked_round(upstream, str(upstream.service))
    try:
        timeout = aiohttp.ClientTimeout(total=PROBE_SECONDS)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(f"{upstream.url}/v2/", allow_redirects=False) as answer,
        ):
            status, challenge = answer.status, answer.headers.get("www-authenticate", "")
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        say(f"WARNING: the upstream {upstream.url} does not answer yet: {type(error).__name__}.")
        return
    named = _SERVICE.search(challenge)
    if named and named[1] in client_services:
        raise _walked_round(upstream, named[1])
    if status == 200 and not upstream.host.loopback:
        say(f"WARNING: the upstream {upstream.url} asks for no login; whoever reaches it walks round this service.")


def _walked_round(upstream: Upstream, service: str) -> InvalidSetting:
    return InvalidSetting(
        f"The upstream {upstream.url} takes tokens for {service}, which clients can get: trust-only would be "
        "walked round.",
        hint="Give the upstream a service name of its own and pass it as --upstream-service.",
    )
