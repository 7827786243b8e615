"""The separate signer's HTTP: eight small routes, JSON in and out, for clients with a certificate only.

A body is one JSON object with exactly the members that its route has; bytes are base64.  Refusals have the same body
as the service's.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

from securesystemslib.signer import Key

from trustkit.asgi.certified import CLIENT
from trustkit.authority.signing import Signing
from trustkit.core.names import Gun
from trustkit.core.strictjson import parse
from trustkit.errors import InvalidName, Malformed, NotAllowed, NotFound, TrustkitError, UsageError
from trustkit.gateway.exchange import ClientGone, Exchange, Receive, Scope, Send
from trustkit.server.headers import JSON
from trustkit.server.problems import refuse

log = logging.getLogger("trustkit.signer")

MAX_BODY = 48 * 1024 * 1024
"""Bytes of a request: the files of the largest publish in base64."""
AT_ONCE = 4

Answer = Mapping[str, object]


class SignerApplication:
    """The ASGI application.

    Args:
        clients: names, one of which a client's certificate must have; an empty set takes each that TLS has let in.
    """

    def __init__(self, signing: Signing, *, clients: frozenset[str] = frozenset()) -> None:
        self._signing = signing
        self._clients = clients
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._routes: Mapping[bytes, tuple[frozenset[str], Callable[[dict[str, Any]], Answer]]] = {
            b"/v1/keys": (frozenset({"gun"}), self._make),
            b"/v1/public": (frozenset({"gun"}), self._public),
            b"/v1/stage": (frozenset({"gun", "roles"}), self._stage),
            b"/v1/replace": (frozenset({"gun"}), self._replace),
            b"/v1/sign": (frozenset({"gun", "role", "payload", "files"}), self._sign),
            b"/v1/held": (frozenset({"gun"}), self._held),
            b"/v1/catch-up": (frozenset({"gun", "files"}), self._catch_up),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI 3.0."""
        if scope["type"] != "http":
            return
        exchange = Exchange(scope, receive, send)
        names = scope.get("extensions", {}).get(CLIENT, {}).get("names", frozenset())
        who = f"{exchange.peer} ({', '.join(sorted(names)) or 'no name'})"
        try:
            await self._handle(exchange, names, who)
        except ClientGone:
            return
        except TrustkitError as error:
            log.warning("refused %s %s: %s", who, _shown(exchange.path), error.message)
            await refuse(exchange, error)
        except Exception:
            log.exception("internal error in %s", _shown(exchange.path))
            await refuse(exchange, TrustkitError("Internal error; the signer's log says more."))

    async def _handle(self, exchange: Exchange, names: frozenset[str], who: str) -> None:
        if self._clients and not names & self._clients:
            raise NotAllowed(f"This signer doesn't work for {', '.join(sorted(names)) or 'a client with no name'}.")
        if exchange.path == b"/healthz" and exchange.method == "GET":
            await exchange.reply(200, [JSON], b'{"status":"ok"}')
            return
        route = self._routes.get(exchange.path)
        if route is None:
            raise NotFound("There is nothing at this path.")
        if exchange.method != "POST":
            raise UsageError("This path takes POST only.")
        async with self._turns:
            body = parse(await exchange.body(MAX_BODY), max_bytes=MAX_BODY, what="The request")
            if set(body) != route[0]:
                raise Malformed(f"The request has not exactly the members {', '.join(sorted(route[0]))}.")
            answer = await asyncio.to_thread(route[1], body)
        if exchange.path in (b"/v1/keys", b"/v1/stage", b"/v1/replace"):
            log.info("%s has the keys of %s", who, body["gun"])
        await exchange.reply(200, [JSON], json.dumps(answer).encode())

    def _make(self, body: dict[str, Any]) -> Answer:
        return _keys(self._signing.make(_gun(body["gun"])))

    def _public(self, body: dict[str, Any]) -> Answer:
        return _keys(self._signing.public(_gun(body["gun"])))

    def _stage(self, body: dict[str, Any]) -> Answer:
        roles = body["roles"]
        if not isinstance(roles, list) or not all(isinstance(role, str) for role in roles):
            raise Malformed("The request's roles are no list of strings.")
        return _keys(self._signing.stage(_gun(body["gun"]), roles))

    def _replace(self, body: dict[str, Any]) -> Answer:
        return _keys(self._signing.replace(_gun(body["gun"])))

    def _sign(self, body: dict[str, Any]) -> Answer:
        role, sent = body["role"], _files(body["files"])
        if not isinstance(role, str):
            raise Malformed("The request's role is no string.")
        return {"sig": self._signing.sign(_gun(body["gun"]), role, _bytes(body["payload"]), sent)}

    def _catch_up(self, body: dict[str, Any]) -> Answer:
        self._signing.catch_up(_gun(body["gun"]), _files(body["files"]))
        return {}

    def _held(self, body: dict[str, Any]) -> Answer:
        held = self._signing.held(_gun(body["gun"]))
        files = {role: base64.b64encode(data).decode("ascii") for role, data in held.files.items()}
        return {"versions": dict(held.versions), "files": files}


def _gun(text: object) -> Gun:
    if not isinstance(text, str):
        raise InvalidName("The request's gun is no string.")
    return Gun.parse(text)


def _files(files: object) -> dict[str, bytes]:
    if not isinstance(files, dict):
        raise Malformed("The request's files are no object.")
    return {name: _bytes(data) for name, data in files.items()}


def _bytes(text: object) -> bytes:
    try:
        if not isinstance(text, str):
            raise TypeError
        return base64.b64decode(text, validate=True)
    except (TypeError, ValueError, binascii.Error) as error:
        raise Malformed("The request has bytes that are not base64.") from error


def _keys(keys: Mapping[str, Key]) -> Answer:
    return {role: {"keyid": key.keyid, **key.to_dict()} for role, key in keys.items()}


def _shown(path: bytes) -> str:
    return ascii(path[:80])[2:-1]
