"""The service's trust interface: metadata, online keys and the atomic publish."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any

from securesystemslib.signer import Key

from trustkit.core.names import Gun, Host
from trustkit.core.ports.remote import ServiceKeys
from trustkit.core.publickeys import check_keys
from trustkit.core.strictjson import serialise
from trustkit.errors import (
    CouldNotCheck,
    Garbage,
    KeyUnsupported,
    NoCollection,
    NotAllowed,
    NotFound,
    TrustkitError,
    WrongFormat,
)
from trustkit.remote.auth import Session, json_object, scope
from trustkit.remote.inflate import GZIP
from trustkit.remote.messages import Response
from trustkit.remote.refusals import refusal

_ONLINE_ROLES = frozenset({"snapshot", "timestamp"})
_BESIDE = frozenset({"pending", "last", "ceilings"})
_MAX_VERSION = 2**31
_MAX_TOLD = 2**30
_PACKED = re.compile(r"[1-9][0-9]*\.(?:snapshot|bins-[0-9]+-[0-9a-f]+)\.json\Z")
"""Files that our service sends packed to who takes them so."""
_JSON = {"Content-Type": "application/json"}
PUBLISH_SECONDS = 120.0
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
        self.service_keys(gun)

    def online_keys(self, gun: Gun) -> Mapping[str, Key]:
        """The service's keys for ``snapshot`` and ``timestamp``, ids recomputed (TRUST 2.1).

        Raises:
            As ``require_publish``; Garbage where the answer isn't exactly two allowed keys.
        """
        return self.service_keys(gun).current

    def service_keys(self, gun: Gun) -> ServiceKeys:
        """The keys in use, those that wait for the next root, and versions to go on from.

        Raises:
            As ``online_keys``; Garbage also for pending keys and versions that can't be.
        """
        return _service_keys(self._publisher(gun, "GET", f"/v2/{gun}/_trust/online-keys"), gun.host)

    def stage_online_keys(self, gun: Gun, roles: Collection[str]) -> ServiceKeys:
        """Has the service make new keys for these roles, where none wait yet; they are in use once a root names them.

        Raises:
            As ``service_keys``; NoCollection, CollectionReset, StateError.
        """
        path, body = f"/v2/{gun}/_trust/online-keys", serialise({"roles": sorted(roles)})
        return _service_keys(self._publisher(gun, "POST", path, headers=_JSON, body=body), gun.host)

    def reset(self, gun: Gun) -> Mapping[str, int]:
        """Ends the collection, so that it can begin anew.

        Returns:
            The last version of each role.

        Raises:
            LoginRequired, RoleMissing for who is no Owner, NoCollection, Conflict where it is closed already,
            CouldNotCheck leaves: then it isn't known whether it was reset.
        """
        path, body = f"/v2/{gun}/_trust/reset", serialise({"gun": str(gun)})
        return versions_of(
            json_object(self._publisher(gun, "POST", path, headers=_JSON, body=body, actions=("reset",)), gun.host),
            gun.host,
        )

    def publish(self, gun: Gun, files: Mapping[str, bytes]) -> Mapping[str, int]:
        """Uploads all files in one request; none or all are published.

        Raises:
            Rejected leaves, Conflict with ``context["versions"]``, NotAllowed leaves, TrustDisabled, CouldNotCheck
            leaves: then it isn't known whether anything was published.
        """
        body, kind = multipart(files)
        path, headers = f"/v2/{gun}/_trust/metadata", {"Content-Type": kind}
        answer = self._publisher(gun, "POST", path, headers=headers, body=body)
        return versions_of(json_object(answer, gun.host), gun.host)

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
        headers = GZIP if _PACKED.match(file_name) else None
        answer = self._sessions(gun.host).request(
            "GET", path, scope=scope(gun, "pull"), headers=headers, max_body=limit
        )
        if answer.status != 200:
            raise _of_metadata(refusal(answer, gun.host), gun, file_name)
        if len(answer.body) > max_length:
            raise Garbage(f"{gun.host} sends more than the {max_length} bytes that {file_name} may have.")
        return answer.body

    def _publisher(
        self,
        gun: Gun,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        actions: tuple[str, ...] = ("pull", "push", "sign"),
    ) -> Response:
        answer = self._sessions(gun.host).request(
            method,
            path,
            scope=scope(gun, *actions),
            headers=headers,
            body=body,
            total=PUBLISH_SECONDS,
        )
        if answer.status != 200:
            raise refusal(answer, gun.host)
        return answer


def _of_metadata(told: TrustkitError, gun: Gun, file_name: str) -> TrustkitError:
    """What a refusal of a metadata file may mean: signatures give a verdict on trust, an answer alone never does."""
    if isinstance(told, WrongFormat):
        return NoCollection(
            f"{gun} has no collection in format tuf: {told.message}",
            hint=f"If its publisher says so, too: trustkit pin remove {gun}, then pin it with --format docker.",
            format="docker",
        )
    if isinstance(told, _TOLD_OF_METADATA):
        return told
    return Garbage(f"{gun.host} refuses {file_name} in a way that says nothing ({told.slug}): {told.message}")


def versions_of(answer: Mapping[str, Any], host: Host) -> Mapping[str, int]:
    """The versions that an answer says are current now, by role; raises Garbage."""
    versions = answer.get("versions")
    if not isinstance(versions, dict) or not all(is_version(n) for n in versions.values()):
        raise Garbage(f"{host} answers a publish without the versions that are current now.")
    return versions


def _service_keys(answer: Response, host: Host) -> ServiceKeys:
    listed: Mapping[str, Any] = json_object(answer, host)
    try:
        if not _ONLINE_ROLES <= listed.keys() <= _ONLINE_ROLES | _BESIDE:
            raise KeyError("members")
        current = {role: key_of(listed[role]) for role in sorted(_ONLINE_ROLES)}
        pending = {role: key_of(value) for role, value in listed.get("pending", {}).items()}
        if not pending.keys() <= _ONLINE_ROLES:
            raise KeyError("pending")
        check_keys([*current.values(), *pending.values()])
        last, ceilings = (bounded(listed.get(name, {})) for name in ("last", "ceilings"))
    except (KeyError, ValueError, TypeError, AttributeError, KeyUnsupported) as error:
        raise Garbage(f"{host} answers with online keys that can't be used.") from error
    return ServiceKeys(current, pending, last, ceilings)


def bounded(versions: Any) -> Mapping[str, int]:
    """Versions that a service tells of a collection whose files we can't see: believed up to 2^30."""
    if not all(type(version) is int and 0 < version < _MAX_TOLD for version in versions.values()):
        raise ValueError("versions")
    return {str(role): version for role, version in versions.items()}


def key_of(value: Any) -> Key:
    """A public key of an answer; raises KeyError, TypeError, ValueError where it is none."""
    members = dict(value)
    return Key.from_dict(members.pop("keyid"), members)


def is_version(value: object) -> bool:
    """Whether a service's number can be a version."""
    return type(value) is int and 0 < value < _MAX_VERSION


def multipart(files: Mapping[str, bytes]) -> tuple[bytes, str]:
    """The body of an upload, and its content type."""
    boundary, parts = os.urandom(24).hex(), bytearray()
    for role, data in files.items():
        parts += (
            f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="{role}.json"\r\n'
            "Content-Type: application/json\r\n\r\n"
        ).encode("ascii")
        parts += data + b"\r\n"
    return bytes(parts + f"--{boundary}--\r\n".encode("ascii")), f"multipart/form-data; boundary={boundary}"
