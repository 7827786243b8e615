"""The service's trust interface: metadata, online keys and the atomic publish."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from securesystemslib.signer import Key

from trustkit.core.names import Gun, Host
from trustkit.core.publickeys import check_keys
from trustkit.errors import (
    CouldNotCheck,
    Garbage,
    KeyUnsupported,
    NoCollection,
    NotAllowed,
    NotFound,
    TrustkitError,
)
from trustkit.remote.auth import Session, json_object, scope
from trustkit.remote.http import Response
from trustkit.remote.refusals import refusal

_ONLINE_ROLES = frozenset({"snapshot", "timestamp"})
_MAX_VERSION = 2**31
_PUBLISH_SECONDS = 120.0
_MAX_REFUSAL = 64 * 1024
_TOLD_OF_METADATA = (NoCollection, NotFound, NotAllowed, CouldNotCheck)


class HttpTrustService:
    """The TrustService of whatever host a GUN names.

    Args:
        sessions: the authenticated session of a host.
    """

    def __init__(self, sessions: Callable[[Host], Session]) -> None:
        self._sessions = sessions

    def require_publish(self, gun: Gun) -> None:
        """Finds out whether we may publish: the online keys are shown only to who may (TRUST 8.1).

        Raises:
            LoginRequired, RoleMissing with every missing role, TrustDisabled, NameTaken, CouldNotCheck leaves.
        """
        self._online_keys(gun)

    def online_keys(self, gun: Gun) -> Mapping[str, Key]:
        """The service's keys for ``snapshot`` and ``timestamp``, ids recomputed (TRUST 2.1).

        Raises:
            As ``require_publish``; Garbage where the answer isn't exactly two allowed keys.
        """
        return self._online_keys(gun)

    def _online_keys(self, gun: Gun) -> Mapping[str, Key]:
        answer = self._publisher(gun, "GET", f"/v2/{gun}/_trust/online-keys")
        listed = json_object(answer, gun.host)
        try:
            if listed.keys() != _ONLINE_ROLES:
                raise KeyError("roles")
            keys = {role: _key(value) for role, value in listed.items()}
            check_keys(keys.values())
        except (KeyError, ValueError, TypeError, AttributeError, KeyUnsupported) as error:
            raise Garbage(f"{gun.host} answers with online keys that can't be used.") from error
        return keys

    def publish(self, gun: Gun, files: Mapping[str, bytes]) -> Mapping[str, int]:
        """Uploads all files in one request; none or all are published.

        Raises:
            Rejected leaves, Conflict with ``context["versions"]``, NotAllowed leaves, TrustDisabled, CouldNotCheck
            leaves: then it isn't known whether anything was published.
        """
        boundary = secrets.token_hex(24)
        answer = self._publisher(
            gun,
            "POST",
            f"/v2/{gun}/_trust/metadata",
            headers={"Content-Type": f"multipart/form-data; boundary={boundary}"},
            body=_multipart(files, boundary),
        )
        versions = json_object(answer, gun.host).get("versions")
        if not isinstance(versions, dict) or not all(_is_version(n) for n in versions.values()):
            raise Garbage(f"{gun.host} answers a publish without the versions that are current now.")
        return versions

    def fetcher(self, gun: Gun) -> Callable[[str, int], bytes]:
        """``fetch`` for one GUN, as the updater's adapter wants it."""
        return partial(self.fetch, gun)

    def fetch(self, gun: Gun, file_name: str, max_length: int) -> bytes:
        """One metadata file as it is served, nothing verified.

        Args:
            file_name: such as ``timestamp.json`` or ``3.root.json``.
            max_length: bytes that it may have.

        Raises:
            NoCollection: the service itself says that nothing is signed under this name (TRUST 6.4).
            NotFound: the service itself says that the collection has no such file; anybody else's 404 is Garbage.
            LoginRequired, RoleMissing, TrustDisabled, CouldNotCheck leaves.
        """
        path = f"/v2/{gun}/_trust/metadata/{file_name}"
        limit = max(max_length, _MAX_REFUSAL)
        answer = self._sessions(gun.host).request("GET", path, scope=scope(gun, "pull"), max_body=limit)
        if answer.status != 200:
            raise _of_metadata(refusal(answer, gun.host), gun, file_name)
        if len(answer.body) > max_length:
            raise Garbage(f"{gun.host} sends more than the {max_length} bytes that {file_name} may have.")
        return answer.body

    def _publisher(
        self, gun: Gun, method: str, path: str, *, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Response:
        answer = self._sessions(gun.host).request(
            method,
            path,
            scope=scope(gun, "pull", "push", "sign"),
            headers=headers,
            body=body,
            total=_PUBLISH_SECONDS,
        )
        if answer.status != 200:
            raise refusal(answer, gun.host)
        return answer


def _of_metadata(told: TrustkitError, gun: Gun, file_name: str) -> TrustkitError:
    """What a refusal of a metadata file may mean: signatures give a verdict on trust, an answer alone never does."""
    if isinstance(told, _TOLD_OF_METADATA):
        return told
    return Garbage(f"{gun.host} refuses {file_name} in a way that says nothing ({told.slug}): {told.message}")


def _key(value: Any) -> Key:
    members = dict(value)
    return Key.from_dict(members.pop("keyid"), members)


def _is_version(value: object) -> bool:
    return type(value) is int and 0 < value < _MAX_VERSION


def _multipart(files: Mapping[str, bytes], boundary: str) -> bytes:
    parts = bytearray()
    for role, data in files.items():
        parts += (
            f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="{role}.json"\r\n'
            "Content-Type: application/json\r\n\r\n"
        ).encode("ascii")
        parts += data + b"\r\n"
    return bytes(parts + f"--{boundary}--\r\n".encode("ascii"))
