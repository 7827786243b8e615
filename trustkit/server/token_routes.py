"""``/oauth2/token``: Docker registry token authentication, GET with Basic and POST with a form.

As distribution's ``docs/spec/auth/token.md`` and ``oauth.md`` describe it.  A partial grant is no error: the token
says what was granted.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from urllib.parse import parse_qs

from trustkit.authority.login import Granted, TokenRequest, TokenService
from trustkit.authority.scopes import parse_scopes
from trustkit.core.names import looks_like_host
from trustkit.errors import (
    DatabaseUnavailable,
    LoginRequired,
    Malformed,
    OutcomeUnknown,
    RateLimited,
    TooLarge,
    TrustkitError,
    UsageError,
)
from trustkit.gateway.exchange import Exchange

PATH = b"/oauth2/token"
MAX_BODY = 16 * 1024
MAX_FIELDS = 64
FORM = "application/x-www-form-urlencoded"
_NO_STORE = (("content-type", "application/json"), ("cache-control", "no-store"))

NOBODY = json.dumps({"token": "nobody", "access_token": "nobody", "expires_in": 60}).encode("ascii")
"""What is no token, and is refused like any other that isn't ours."""

_REFUSALS: tuple[tuple[type[TrustkitError], int, str], ...] = (
    (LoginRequired, 401, "UNAUTHORIZED"),
    (RateLimited, 429, "TOOMANYREQUESTS"),
    (TooLarge, 413, "SIZE_INVALID"),
    (Malformed, 400, "UNSUPPORTED"),
    (DatabaseUnavailable, 503, "UNAVAILABLE"),
    (OutcomeUnknown, 503, "UNAVAILABLE"),
    (TrustkitError, 500, "UNKNOWN"),
)
"""The first class that an error is an instance of decides the status and the code."""

Fields = Mapping[str, Sequence[str]]


class TokenRoutes:
    """Answers ``/oauth2/token``."""

    def __init__(self, service: TokenService) -> None:
        self._service = service

    async def handle(self, exchange: Exchange) -> None:
        """One request, one reply; what the service refuses is a body in the OCI form, never a traceback."""
        try:
            if exchange.method == "GET" and _is_notary(exchange):
                await exchange.reply(200, _NO_STORE, NOBODY)
                return
            if exchange.method == "GET":
                granted = await self._get(exchange)
            elif exchange.method == "POST":
                granted = await self._post(exchange)
            else:
                exchange.refusal = UsageError.slug
                await _refuse(
                    exchange, 405, "UNSUPPORTED", "Tokens are got by GET or POST.", [("allow", "GET, POST")]
                )
                return
        except TrustkitError as error:
            await _refuse_for(exchange, error)
            return
        await exchange.reply(200, _NO_STORE, _body(granted))

    async def _get(self, exchange: Exchange) -> Granted:
        fields = _fields(exchange.query)
        name, password = _basic(exchange.headers.get("authorization", ""))
        offline = _one(fields, "offline_token").lower() == "true"
        request = _request(exchange, fields, offline=offline)
        return await self._service.by_password(request, name, password)

    async def _post(self, exchange: Exchange) -> Granted:
        if exchange.media_type != FORM:
            raise Malformed("A token is asked for with a form.", hint=f"Send {FORM}.")
        fields = _fields(await exchange.body(MAX_BODY))
        offline = _one(fields, "access_type") == "offline" or _one(fields, "offline_token").lower() == "true"
        request = _request(exchange, fields, offline=offline)
        match _one(fields, "grant_type"):
            case "password":
                return await self._service.by_password(request, _one(fields, "username"), _one(fields, "password"))
            case "refresh_token":
                return await self._service.by_refresh(request, _one(fields, "refresh_token"))
        raise Malformed("The grant type is neither password nor refresh_token.")


def _is_notary(exchange: Exchange) -> bool:
    """Whether notary asks for a token to read with, before it shows who it is (cmd/notary/tuf.go).

    It gives up where it gets none, and asks by name only where its first request for a file is refused.  Nobody else
    asks for a whole GUN, with the registry's host, and sends no name.
    """
    if "authorization" in exchange.headers:
        return False
    scopes = parse_scopes(_fields(exchange.query).get("scope", ()))
    return bool(scopes) and all(
        scope.type == "repository" and scope.actions == {"pull"} and looks_like_host(scope.name.partition("/")[0])
        for scope in scopes
    )


def _request(exchange: Exchange, fields: Fields, *, offline: bool) -> TokenRequest:
    return TokenRequest(_one(fields, "service"), tuple(fields.get("scope", ())), exchange.peer, offline)


def _fields(raw: bytes) -> Fields:
    if len(raw) > MAX_BODY:
        raise TooLarge(f"A token request has at most {MAX_BODY} bytes.")
    try:
        return parse_qs(raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    except ValueError as error:
        raise Malformed("The token request can't be read.") from error


def _one(fields: Fields, name: str) -> str:
    values = fields.get(name, ())
    if len(values) > 1:
        raise Malformed(f"The token request has {name} twice.")
    return values[0] if values else ""


def _basic(header: str) -> tuple[str, str]:
    """The name and password of an Authorization header (RFC 7617, UTF-8)."""
    scheme, _, value = header.partition(" ")
    if not value or scheme.lower() != "basic":
        raise LoginRequired("A name and a password are needed.", hint="Log in: trustkit login HOST -u NAME.")
    try:
        name, colon, password = base64.b64decode(value.strip(), validate=True).decode("utf-8").partition(":")
    except ValueError as error:
        raise Malformed("The Authorization header can't be read.") from error
    if not colon:
        raise Malformed("The Authorization header holds no password.")
    return name, password


def _body(granted: Granted) -> bytes:
    token = granted.token
    answer: dict[str, object] = {
        "token": token.text,
        "access_token": token.text,
        "expires_in": int((token.expires - token.issued).total_seconds()),
        "issued_at": token.issued.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    if granted.refresh_token is not None:
        answer["refresh_token"] = granted.refresh_token
    return json.dumps(answer).encode("ascii")


async def _refuse_for(exchange: Exchange, error: TrustkitError) -> None:
    exchange.refusal = error.slug
    status, code = next((status, code) for kind, status, code in _REFUSALS if isinstance(error, kind))
    headers: list[tuple[str, str]] = []
    if status == 401:
        headers.append(("www-authenticate", 'Basic realm="trustkit"'))
    if "retry_after" in error.context:
        headers.append(("retry-after", str(error.context["retry_after"])))
    await _refuse(exchange, status, code, str(error) if status < 500 else "The service failed.", headers)


async def _refuse(
    exchange: Exchange, status: int, code: str, message: str, headers: Sequence[tuple[str, str]] = ()
) -> None:
    body = json.dumps({"errors": [{"code": code, "message": message, "detail": None}]}).encode("ascii")
    await exchange.reply(status, [*_NO_STORE, *headers], body)
