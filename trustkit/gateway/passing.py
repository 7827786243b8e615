"""What a reverse proxy asks before it passes a blob's bytes between a client and the upstream, without us.

The proxy decides nothing.  It sends the method and the raw target that it was asked for; we read them with our own
parser, check what we would check for ourselves, and answer with the target to ask the upstream for and a credential
for that repository.  For whatever else it asks the answer is 403, and then it has us answer the client.

Who gets such an answer can read the upstream for five minutes, past the gate.  So it is given over a unix socket
that only the proxy can open, and never where clients connect.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

from trustkit.core.paths import Blob, Upload, parse_v2
from trustkit.errors import TrustkitError
from trustkit.gateway.access import VIEW_HEADER
from trustkit.gateway.app import RegistryGateway
from trustkit.gateway.caller import ANONYMOUS, Caller
from trustkit.gateway.exchange import ClientGone, Exchange, Receive, Scope, Send

METHOD, TARGET = "trustkit-method", "trustkit-target"
UPSTREAM_TARGET, UPSTREAM_AUTHORIZATION = "trustkit-upstream-target", "trustkit-upstream-authorization"
_PASSED = {Blob: frozenset({"GET", "HEAD"}), Upload: frozenset({"PATCH", "PUT"})}
_KEPT = (b"authorization", VIEW_HEADER.encode("ascii"))

log = logging.getLogger("trustkit.service")


class Passages(Protocol):
    """An upstream that others may reach with credentials of ours."""

    async def passage(self, exchange: Exchange, route: Blob | Upload) -> tuple[str, str | None]:
        """The target to ask the upstream for, and the Authorization to send; None for none.

        Raises:
            TrustkitError: the request's path or query can't be passed on.
        """
        ...


class BlobPasses:
    """An ASGI application that answers a proxy's question with 204, or 403 for: ask the service itself.

    Args:
        told: is told of each question, with the request that was asked about and whether it may pass.
    """

    def __init__(
        self,
        gateway: RegistryGateway,
        upstream: Passages,
        *,
        authenticate: Callable[[str], Awaitable[Caller]],
        told: Callable[[Exchange, bool], None] | None = None,
    ) -> None:
        self._gateway, self._upstream, self._authenticate = gateway, upstream, authenticate
        self._told = told or _nobody

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI 3.0."""
        if scope["type"] != "http":
            return
        question = Exchange(scope, receive, send)
        asked = _asked(question, scope, receive, send)
        try:
            target, authorization = await self._passed(asked)
        except ClientGone:
            return
        except TrustkitError:
            await self._back(question, asked)
            return
        except Exception:
            log.exception("internal error in a proxy's question")
            await self._back(question, asked)
            return
        self._told(asked, True)
        headers = [(UPSTREAM_TARGET, target)]
        if authorization is not None:
            headers.append((UPSTREAM_AUTHORIZATION, authorization))
        await question.reply(204, headers)

    async def _back(self, question: Exchange, asked: Exchange) -> None:
        """The proxy asks the service itself, which says why not, and is counted there."""
        self._told(asked, False)
        await question.reply(403)

    async def _passed(self, asked: Exchange) -> tuple[str, str | None]:
        route = parse_v2(asked.path)
        if not isinstance(route, Blob | Upload) or asked.method not in _PASSED[type(route)]:
            raise TrustkitError("Not a request whose bytes pass by.")
        authorization = asked.headers.get("authorization")
        caller = await self._authenticate(authorization) if authorization else ANONYMOUS
        await self._gateway.admit(asked, route, caller)
        return await self._upstream.passage(asked, route)


def _nobody(asked: Exchange, passes: bool) -> None:
    """Counts nothing."""


def _asked(question: Exchange, scope: Scope, receive: Receive, send: Send) -> Exchange:
    """The request that the proxy tells of; one that it didn't tell of has an empty path, which is no route."""
    path, _, query = question.headers.get(TARGET, "").encode("latin-1").partition(b"?")
    told = {
        **scope,
        "method": question.headers.get(METHOD, ""),
        "raw_path": path,
        "query_string": query,
        "headers": [(name, value) for name, value in scope["headers"] if name in _KEPT],
    }
    return Exchange(told, receive, send)
