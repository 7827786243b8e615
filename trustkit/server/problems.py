"""How the trust and token routes refuse: one table from errors to HTTP, one body.

A body is an OCI error body whose detail has our slug, the hint and the context, so that a client of ours raises the
very leaf that was raised here, and any other client prints the sentence.
"""

from __future__ import annotations

import json

from trustkit import errors
from trustkit.errors import TrustkitError
from trustkit.gateway.exchange import Exchange, HeaderPairs

STATUS: tuple[tuple[type[TrustkitError], int, str], ...] = (
    (errors.LoginRequired, 401, "UNAUTHORIZED"),
    (errors.RoleMissing, 403, "DENIED"),
    (errors.RateLimited, 429, "TOOMANYREQUESTS"),
    (errors.NotAllowed, 403, "DENIED"),
    (errors.TrustDisabled, 403, "DENIED"),
    (errors.NoCollection, 404, "NAME_UNKNOWN"),
    (errors.NotFound, 404, "NOT_FOUND"),
    (errors.Conflict, 409, "CONFLICT"),
    (errors.ProposalOpen, 409, "CONFLICT"),
    (errors.SignerBehind, 409, "CONFLICT"),
    (errors.InUse, 403, "DENIED"),
    (errors.NameTaken, 409, "CONFLICT"),
    (errors.WrongFormat, 409, "CONFLICT"),
    (errors.FounderNotAllowed, 403, "DENIED"),
    (errors.TooLarge, 413, "SIZE_INVALID"),
    (errors.Rejected, 400, "TRUST_REJECTED"),
    (errors.UsageError, 400, "NAME_INVALID"),
    (errors.TimedOut, 408, "TIMEOUT"),
    (errors.RegistryFailed, 502, "UNAVAILABLE"),
    (errors.DatabaseUnavailable, 503, "UNAVAILABLE"),
    (errors.OutcomeUnknown, 503, "UNAVAILABLE"),
    (errors.NotTrusted, 503, "UNAVAILABLE"),
    (errors.TrustkitError, 500, "UNKNOWN"),
)
"""The first class that an error is an instance of decides."""


def status_of(error: TrustkitError) -> int:
    """The HTTP status that says what this error says."""
    return next(status for kind, status, _ in STATUS if isinstance(error, kind))


def body_of(error: TrustkitError) -> bytes:
    """The error as a JSON body."""
    code = next(code for kind, _, code in STATUS if isinstance(error, kind))
    detail = {"slug": error.slug, "hint": error.hint, **error.context}
    entry = {"code": code, "message": error.message, "detail": detail}
    return json.dumps({"errors": [entry]}, default=str).encode()


async def refuse(exchange: Exchange, error: TrustkitError, headers: HeaderPairs = ()) -> None:
    """Replies with the refusal."""
    exchange.refusal = error.slug
    extra = [("content-type", "application/json"), ("cache-control", "no-store"), *headers]
    if isinstance(error, errors.RateLimited):
        extra.append(("retry-after", str(error.context.get("retry_after", 1))))
    await exchange.reply(status_of(error), extra, body_of(error))
