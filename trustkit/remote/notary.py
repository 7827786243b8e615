"""The files of collections in format ``docker``, as a Notary API serves them."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Self
from urllib.parse import urlsplit

from trustkit.core.names import Gun, Host
from trustkit.core.records import dataclass
from trustkit.errors import CouldNotCheck, Garbage, NoCollection, NotAllowed, NotFound, WrongFormat
from trustkit.remote.auth import Session
from trustkit.remote.messages import Response
from trustkit.remote.refusals import refusal

_MAX_REFUSAL = 64 * 1024
_ABSENT = "METADATA_NOT_FOUND"
_TOLD_OF_METADATA = (NoCollection, NotFound, NotAllowed, CouldNotCheck)


@dataclass(frozen=True, slots=True)
class TrustServer:
    """Where the Notary API of a registry host is: a host of its own or the same, and a path before ``/v2/``."""

    host: Host
    prefix: str = ""

    @classmethod
    def of(cls, host: Host, url: str | None) -> Self:
        """The one at a URL, or the host's own where there is none.

        Args:
            url: as ``config.trust_servers`` has checked it.
        """
        if url is None:
            return cls(host)
        parts = urlsplit(url)
        return cls(Host.parse(parts.netloc), parts.path)


class HttpNotary:
    """The Notary API of whatever host a GUN names.

    Args:
        sessions: the authenticated session of a host; each host's credentials go to that host only (TRUST 8.3).
        server: where the API of a registry host is.
    """

    def __init__(self, sessions: Callable[[Host], Session], server: Callable[[Host], TrustServer]) -> None:
        self._sessions = sessions
        self._server = server

    def fetcher(self, gun: Gun) -> Callable[[str, int], bytes]:
        """``fetch`` for one GUN."""
        return partial(self.fetch, gun)

    def fetch(self, gun: Gun, file_name: str, max_length: int) -> bytes:
        """One metadata file as it is served, nothing verified.

        Args:
            file_name: such as ``timestamp.json``, ``3.root.json`` or ``targets/releases.<sha256>.json``.
            max_length: bytes that it may have.

        Raises:
            NoCollection: our own service says that nothing is signed under this name (TRUST 6.4).
            NotFound: the server says that it has no such file, in the words of Notary's API; any other 404 is
                Garbage: a registry without a trust server, or a proxy, knows nothing of signatures.
            LoginRequired, RoleMissing, TrustDisabled, CouldNotCheck leaves.
        """
        server = self._server(gun.host)
        path = f"{server.prefix}/v2/{gun}/_trust/tuf/{file_name}"
        limit = max(max_length, _MAX_REFUSAL)
        scope = f"repository:{gun}:pull"  # a trust server knows collections by their whole name
        answer = self._sessions(server.host).request("GET", path, scope=scope, max_body=limit)
        if answer.status != 200:
            raise _refused(answer, server.host, gun, file_name)
        if len(answer.body) > max_length:
            raise Garbage(f"{server.host} sends more than the {max_length} bytes that {file_name} may have.")
        return answer.body


def _refused(answer: Response, host: Host, gun: Gun, file_name: str) -> Exception:
    told = refusal(answer, host)
    if isinstance(told, WrongFormat):
        return NoCollection(
            f"{gun} has no collection in format docker: {told.message}",
            hint="Pin the root keys that its publisher has for format tuf.",
            format="tuf",
        )
    if isinstance(told, NoCollection | NotFound):
        return told
    if answer.status == 404:
        if _code(answer.body) == _ABSENT:
            return NotFound(f"{host} has no {file_name}.")
        return Garbage(
            f"{host} answered 404 for {file_name}, and not as a trust server of Docker does.",
            hint="Does it have one? Another place for it is named by TRUSTKIT_TRUST_SERVERS.",
        )
    if isinstance(told, _TOLD_OF_METADATA):
        return told
    return Garbage(f"{host} refuses {file_name} in a way that says nothing ({told.slug}): {told.message}")


def _code(body: bytes) -> object:
    try:
        (error,) = json.loads(body)["errors"]
        return error["code"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
