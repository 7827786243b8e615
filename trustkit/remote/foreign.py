"""The one place where errors of ssl, http.client and the system become ours."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from trustkit.errors import CouldNotCheck, Garbage, TimedOut, Unreachable
from trustkit.remote.sockets import ResolverSilent

FOREIGN = (http.client.HTTPException, OSError, ValueError, EOFError)
"""Everything that a request can raise."""

# The first row that an error belongs to counts; http.client.RemoteDisconnected is a ConnectionError.
_ROWS: tuple[tuple[tuple[type[BaseException], ...], type[CouldNotCheck]], ...] = (
    ((TimeoutError,), TimedOut),
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
    if isinstance(error, ssl.SSLCertVerificationError):
        why = getattr(error, "verify_message", "") or "it does not verify"
        return Unreachable(
            f"The certificate of {where} is not accepted: {why}.",
            hint="Put its authority into Docker's certs.d folder for this host, or name it in SSL_CERT_FILE.",
        )
    if isinstance(error, ssl.SSLError):
        return Unreachable(f"No TLS connection to {where}: {_reason(error)}.")
    if isinstance(error, ResolverSilent):
        return TimedOut(
            f"The address of {where} was not found in time: {error}.",
            hint="It is this machine's resolver that has to answer, see /etc/resolv.conf.",
        )
    leaf = next((leaf for types, leaf in _ROWS if isinstance(error, types)), Garbage)
    return leaf(_SENTENCES[leaf].format(where=where, reason=_reason(error)))


_SENTENCES: dict[type[CouldNotCheck], str] = {
    Unreachable: "{where} can't be reached: {reason}.",
    TimedOut: "{where} did not answer in time, or too slowly.",
    Garbage: "{where} answered something that is not HTTP as it should be: {reason}.",
}


def _reason(error: BaseException) -> str:
    if isinstance(error, ssl.SSLError) and (reason := getattr(error, "reason", "")):
        return str(reason).replace("_", " ").lower()
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return {
        "RemoteDisconnected": "it closed the connection",
        "IncompleteRead": "it broke off",
    }.get(type(error).__name__, type(error).__name__)
