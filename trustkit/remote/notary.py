"""The files of collections in format ``docker``, as a Notary API serves them."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Callable, Mapping
from functools import partial
from typing import Self
from urllib.parse import urlsplit

from trustkit.core.formats.docker.keys import DockerKey
from trustkit.core.names import Gun, Host
from trustkit.core.records import dataclass
from trustkit.errors import (
    Conflict,
    CouldNotCheck,
    Garbage,
    KeyUnsupported,
    NoCollection,
    NotAllowed,
    NotFound,
    WrongFormat,
)
from trustkit.remote.auth import Session
from trustkit.remote.messages import Response
from trustkit.remote.refusals import refusal

PUBLISH_SECONDS = 120.0
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

    def key(self, gun: Gun, role: str, *, new: bool = False) -> DockerKey:
        """The service's public key of ``snapshot`` or ``timestamp``, made where there is none.

        Args:
            new: one that has never signed, for a root that rotates to it.

        Raises:
            LoginRequired, RoleMissing: who asks may not publish; TrustDisabled, NameTaken, WrongFormat;
            CouldNotCheck leaves.
        """
        answer = self._publisher(gun, "POST" if new else "GET", f"{role}.key")
        try:
            fields = json.loads(answer.body)
            return DockerKey(fields["keytype"], base64.b64decode(fields["keyval"]["public"], validate=True))
        except (ValueError, TypeError, KeyError, RecursionError, KeyUnsupported) as error:
            raise Garbage(f"{self._server(gun.host).host} answers with a {role} key that can't be used.") from error

    def publish(self, gun: Gun, files: Mapping[str, bytes]) -> None:
        """Uploads all files in one request; none or all are published.

        Raises:
            Conflict: a version that somebody else has taken.  Rejected leaves; LoginRequired, RoleMissing,
            TrustDisabled; CouldNotCheck leaves: then it isn't known whether anything was published.
        """
        boundary, parts = secrets.token_hex(24), bytearray()
        for role, data in files.items():
            parts += (
                f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="{role}"\r\n'
                "Content-Type: application/octet-stream\r\n\r\n"
            ).encode("ascii")
            parts += data + b"\r\n"
        body = bytes(parts + f"--{boundary}--\r\n".encode("ascii"))
        self._publisher(gun, "POST", "", body, {"Content-Type": f"multipart/form-data; boundary={boundary}"})

    def _publisher(
        self, gun: Gun, method: str, name: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Response:
        server = self._server(gun.host)
        path, scope = f"{server.prefix}/v2/{gun}/_trust/tuf/{name}", f"repository:{gun}:pull,push"
        answer = self._sessions(server.host).request(
            method, path, scope=scope, headers=headers, body=body, total=PUBLISH_SECONDS
        )
        if answer.status == 200:
            return answer
        if answer.status == 400 and _code(answer.body) == "VERSION":
            raise Conflict(f"Somebody else has published to {gun} since.", hint="Run it again.")
        raise refusal(answer, server.host)


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
