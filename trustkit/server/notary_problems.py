"""How the Notary API refuses: one table from errors to the statuses and bodies that stock clients can show.

They print the number of any status but 400, 401 and 404.  Of a 400 they read 1,024 bytes and print the one error
that is there, if its detail is as Notary's server writes it (storage/httpstore.go, tuf/validation/errors.go).
"""

from __future__ import annotations

import json

from trustkit import errors
from trustkit.errors import TrustkitError
from trustkit.gateway.exchange import Exchange, HeaderPairs
from trustkit.server.problems import status_of

STATUS: tuple[tuple[type[TrustkitError], int, str], ...] = (
    (errors.LoginRequired, 401, "UNAUTHORIZED"),
    (errors.RateLimited, 429, "TOOMANYREQUESTS"),
    (errors.NotAllowed, 401, "UNAUTHORIZED"),
    (errors.TrustDisabled, 405, "UNSUPPORTED"),
    (errors.NoCollection, 404, "METADATA_NOT_FOUND"),
    (errors.NotFound, 404, "METADATA_NOT_FOUND"),
    (errors.Conflict, 400, "VERSION"),
    (errors.NameTaken, 400, "INVALID_GUN"),
    (errors.WrongFormat, 400, "INVALID_UPDATE"),
    (errors.UsageError, 400, "INVALID_PARAMETERS"),
    (errors.Rejected, 400, "INVALID_UPDATE"),
    (errors.TimedOut, 408, "TIMEOUT"),
)
"""The first class that an error is an instance of decides; what has no row has the status of the other API."""

MALFORMED_UPLOAD = "MALFORMED_UPLOAD"

MAX_BODY = 1000
"""Stock clients read 1,024 bytes of a 400."""

JSON = ("content-type", "application/json; charset=utf-8")


def row_of(error: TrustkitError) -> tuple[int, str]:
    """The HTTP status and the code."""
    found = ((status, code) for kind, status, code in STATUS if isinstance(error, kind))
    return next(found, (status_of(error), "UNKNOWN"))


def body_of(error: TrustkitError, code: str) -> bytes:
    """The error as Notary's clients read one, under ``MAX_BODY`` bytes; our slug stands beside what they read."""
    for length in (700, 500, 300, 100):
        text = str(error)[:length]
        detail = {"Name": "ErrValidation", "Error": {"Msg": text}, "slug": error.slug}
        entry = {"code": code, "message": error.message[: length // 4], "detail": detail}
        body = json.dumps({"errors": [entry]}).encode("ascii") + b"\n"
        if len(body) <= MAX_BODY:
            break
    return body


async def refuse(exchange: Exchange, error: TrustkitError, headers: HeaderPairs = (), code: str = "") -> None:
    """Replies with the refusal.

    Args:
        code: in the place of the error's own.
    """
    exchange.refusal = error.slug
    status, own = row_of(error)
    if code:
        status = 400
    extra = [JSON, ("cache-control", "no-store"), *headers]
    if isinstance(error, errors.RateLimited):
        extra.append(("retry-after", str(error.context.get("retry_after", 1))))
    await exchange.reply(status, extra, body_of(error, code or own))
