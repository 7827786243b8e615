"""Refusals in the words of the OCI distribution specification 1.1 ("Error codes"), as one table.

A body is ``{"errors": [{"code", "message", "detail"}]}``: what docker, containerd and skopeo print to the user.
"""

from __future__ import annotations

import enum
import json

from trustkit import errors
from trustkit.errors import TrustkitError
from trustkit.gateway.exchange import Exchange, HeaderPairs

JSON = "application/json"
API_VERSION = ("docker-distribution-api-version", "registry/2.0")


class Code(enum.Enum):
    """An error code with the HTTP status that it usually has.

    With a 4xx status we send those of the specification only; the others of that kind are an upstream's.
    """

    BLOB_UNKNOWN = 404, "BLOB_UNKNOWN"
    BLOB_UPLOAD_INVALID = 400, "BLOB_UPLOAD_INVALID"
    BLOB_UPLOAD_UNKNOWN = 404, "BLOB_UPLOAD_UNKNOWN"
    DENIED = 403, "DENIED"
    DIGEST_INVALID = 400, "DIGEST_INVALID"
    MANIFEST_BLOB_UNKNOWN = 404, "MANIFEST_BLOB_UNKNOWN"
    MANIFEST_INVALID = 400, "MANIFEST_INVALID"
    MANIFEST_UNKNOWN = 404, "MANIFEST_UNKNOWN"
    NAME_INVALID = 400, "NAME_INVALID"
    NAME_UNKNOWN = 404, "NAME_UNKNOWN"
    PAGINATION_NUMBER_INVALID = 400, "PAGINATION_NUMBER_INVALID"
    RANGE_INVALID = 416, "RANGE_INVALID"
    SIZE_INVALID = 400, "SIZE_INVALID"
    TIMEOUT = 408, "TIMEOUT"
    UNAUTHORIZED = 401, "UNAUTHORIZED"
    UNAVAILABLE = 503, "UNAVAILABLE"
    UNKNOWN = 500, "UNKNOWN"
    UNSUPPORTED = 405, "UNSUPPORTED"

    @property
    def status(self) -> int:
        return self.value[0]

    @property
    def word(self) -> str:
        return self.value[1]


class Refused(TrustkitError):
    """A request of the registry's API that is refused.

    Args:
        code: what the client is told.
        message: one sentence, which the user sees.
        status: where it isn't the code's usual HTTP status.
        headers: more headers of the reply.
        detail: facts for programs, never a secret.
    """

    slug = "registry-refused"

    def __init__(
        self,
        code: Code,
        message: str,
        *,
        status: int | None = None,
        headers: HeaderPairs = (),
        detail: dict[str, object] | None = None,
    ) -> None:
        super().__init__(message)
        self.context = dict(detail or {})
        self.code = code
        self.status = status or code.status
        self.headers = tuple(headers)


_TABLE: tuple[tuple[type[TrustkitError], Code, int], ...] = (
    (errors.InvalidName, Code.NAME_INVALID, 400),
    (errors.UsageError, Code.UNSUPPORTED, 400),
    (errors.TooLarge, Code.SIZE_INVALID, 413),
    (errors.Malformed, Code.UNSUPPORTED, 400),
    (errors.Rejected, Code.DENIED, 400),
    (errors.TimedOut, Code.SIZE_INVALID, 408),
    (errors.TrustDisabled, Code.DENIED, 403),
    (errors.CouldNotCheck, Code.UNAVAILABLE, 503),
    (errors.NotTrusted, Code.DENIED, 403),
    (errors.RegistryFailed, Code.UNKNOWN, 502),
    (errors.DatabaseUnavailable, Code.UNAVAILABLE, 503),
    (errors.InUse, Code.DENIED, 403),
    (errors.NotFound, Code.NAME_UNKNOWN, 404),
    (errors.TrustkitError, Code.UNKNOWN, 500),
)
"""The first class that an error is an instance of decides."""


def as_refused(error: TrustkitError) -> Refused:
    """The refusal that says what ``error`` says; its slug is in the detail."""
    if isinstance(error, Refused):
        return error
    code, status = next((code, status) for kind, code, status in _TABLE if isinstance(error, kind))
    return Refused(code, str(error), status=status, detail={"slug": error.slug})


async def refuse(exchange: Exchange, error: TrustkitError) -> None:
    """Replies with a refusal; a HEAD request, which has no body, gets the sentence as a Warning header."""
    refused = as_refused(error)
    exchange.refusal = str(refused.context.get("slug", refused.slug))
    headers = headers_of(refused)
    if exchange.head:
        headers.append(("warning", f"299 - {_quoted(refused.message)}"))
    await exchange.reply(refused.status, headers, body_of(refused))


def headers_of(refused: Refused) -> list[tuple[str, str]]:
    """The reply's headers, but for its length."""
    return [("content-type", JSON), *dict([API_VERSION, *refused.headers]).items()]


def body_of(refused: Refused) -> bytes:
    """The OCI error body."""
    entry = {"code": refused.code.word, "message": refused.message, "detail": refused.context or None}
    return json.dumps({"errors": [entry]}).encode()


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
