"""The one place where errors of urllib3, ssl, http.client and the system become ours."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import urllib3.exceptions as foreign

from trustkit.errors import CouldNotCheck, Garbage, TimedOut, Unreachable

FOREIGN = (foreign.HTTPError, foreign.HTTPWarning, http.client.HTTPException, OSError, ValueError, EOFError)
"""Everything that a request can raise."""

# The first row that the innermost telling cause belongs to counts; NewConnectionError is one of urllib3's timeouts.
_ROWS: tuple[tuple[tuple[type[BaseException], ...], type[CouldNotCheck]], ...] = (
    ((foreign.NewConnectionError, foreign.NameResolutionError), Unreachable),
    ((foreign.TimeoutError, foreign.TimeoutStateError, TimeoutError), TimedOut),
    ((foreign.SSLError, foreign.ProxyError, foreign.PoolError, foreign.ProxySchemeUnsupported), Unreachable),
    ((foreign.IncompleteRead, foreign.DecodeError, foreign.ResponseError, foreign.InvalidHeader), Garbage),
    ((OSError, EOFError), Unreachable),
)


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Runs a block that talks to ``where``; what it raises is ours.

    Raises:
        Unreachable: no connection, or none that can be believed.
        TimedOut: past the deadline or slower than the smallest speed.
        Garbage: an answer that is no HTTP.
    """
    try:
        yield
    except FOREIGN as error:
        raise as_ours(error, where) from error


def as_ours(error: BaseException, where: str) -> CouldNotCheck:
    """The leaf for a foreign error.  Its text is never passed on whole: it may hold a URL with a token."""
    cause = _cause(error)
    if isinstance(cause, ssl.SSLCertVerificationError):
        why = getattr(cause, "verify_message", "") or "it does not verify"
        return Unreachable(
            f"The certificate of {where} is not accepted: {why}.",
            hint="Put its authority into Docker's certs.d folder for this host, or name it in SSL_CERT_FILE.",
        )
    if isinstance(cause, ssl.CertificateError | ssl.SSLError) or isinstance(error, foreign.SSLError):
        return Unreachable(f"No TLS connection to {where}: {_reason(cause)}.")
    leaf = next((leaf for types, leaf in _ROWS if isinstance(cause, types)), Garbage)
    return leaf(_SENTENCES[leaf].format(where=where, reason=_reason(cause)))


_SENTENCES: dict[type[CouldNotCheck], str] = {
    Unreachable: "{where} can't be reached: {reason}.",
    TimedOut: "{where} did not answer in time, or too slowly.",
    Garbage: "{where} answered something that is not HTTP as it should be: {reason}.",
}


def _cause(error: BaseException) -> BaseException:
    """The error inside urllib3's wrappers, which says by itself what happened."""
    for _ in range(8):
        inner = next((a for a in error.args if isinstance(a, BaseException)), None) or getattr(error, "reason", None)
        wrapper = isinstance(error, foreign.MaxRetryError | foreign.SSLError | foreign.ProxyError)
        if not isinstance(inner, BaseException) or not (wrapper or type(error) is foreign.ProtocolError):
            break
        error = inner
    return error


def _reason(cause: BaseException) -> str:
    if isinstance(cause, ssl.SSLError) and (reason := getattr(cause, "reason", "")):
        return str(reason).replace("_", " ").lower()
    inner = cause.__cause__ if isinstance(cause, foreign.NewConnectionError) else cause
    if isinstance(inner, OSError) and inner.strerror:
        return inner.strerror.lower()
    if isinstance(cause, foreign.NameResolutionError):
        return "its name can't be resolved"
    return {
        "RemoteDisconnected": "it closed the connection",
        "IncompleteRead": "it broke off",
    }.get(type(cause).__name__, type(cause).__name__)
