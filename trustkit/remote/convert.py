"""Conversions from format ``docker`` to ``tuf``, over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from trustkit.core.formats.docker.files import MAX_BYTES
from trustkit.core.names import Gun, Host
from trustkit.core.ports.converting import Conversion, DockerSide
from trustkit.core.publickeys import check_keys
from trustkit.core.roots import ONLINE
from trustkit.errors import Garbage, KeyUnsupported, NoCollection, NotFound, TrustkitError
from trustkit.remote.auth import Session, json_object, scope
from trustkit.remote.messages import Response
from trustkit.remote.notary import HttpNotary
from trustkit.remote.refusals import printable, refusal
from trustkit.remote.trust import bounded, key_of, multipart, versions_of

CONVERT_SECONDS = 300.0

Read = TypeVar("Read")


class HttpConversions:
    """The ConversionService of whatever host a GUN names.

    Args:
        sessions: the authenticated session of a host.
        notary: reads what is served in format ``docker``.
    """

    def __init__(self, sessions: Callable[[Host], Session], notary: HttpNotary) -> None:
        self._sessions = sessions
        self._notary = notary

    def conversion(self, gun: Gun, *, prepare: bool = False) -> Conversion:
        """As ``ConversionService.conversion``; raises Garbage for an answer that says something else."""
        answer = self._ask(gun, "POST", "/keys", body=b"{}") if prepare else self._ask(gun, "GET", "")
        return _told(_conversion, answer, gun)

    def convert(self, gun: Gun, tuf: Mapping[str, bytes], docker: Mapping[str, bytes]) -> Mapping[str, int]:
        """As ``ConversionService.convert``.

        Raises:
            Rejected leaves, Conflict, NotAllowed leaves, WrongFormat, TrustDisabled, CouldNotCheck leaves: then it
            isn't known whether it was converted.
        """
        files = {f"tuf/{role}": data for role, data in tuf.items()}
        files |= {f"docker/{role}": data for role, data in docker.items()}
        body, kind = multipart(files)
        return versions_of(json_object(self._ask(gun, "POST", "", body=body, kind=kind), gun.host), gun.host)

    def frozen(self, gun: Gun, role: str) -> bytes:
        """As ``ConversionService.frozen``."""
        most = MAX_BYTES.get(role, MAX_BYTES["targets"])
        return self._notary.fetch(gun, f"{role}.json", most)

    def docker_side(self, gun: Gun) -> DockerSide | None:
        """As ``DockerSides.docker_side``; raises Garbage for an answer that says something else.

        Whoever serves the files of a collection alone knows nothing of it, and answers 404.
        """
        try:
            answer = self._ask(gun, "GET", "/docker", actions=("pull",))
        except TrustkitError as error:
            if isinstance(error, NotFound | NoCollection) or error.context.get("status") == 404:
                return None
            raise
        return _told(_docker_side, answer, gun)

    def end_docker(self, gun: Gun) -> DockerSide:
        """As ``ConversionService.end_docker``; raises Garbage where what ended isn't told."""
        side = _told(_docker_side, self._ask(gun, "POST", "/docker", body=b"{}"), gun)
        if side is None:
            raise Garbage(f"{gun.host} doesn't say what ended.")
        return side

    def _ask(
        self,
        gun: Gun,
        method: str,
        tail: str,
        *,
        body: bytes | None = None,
        kind: str = "application/json",
        actions: Sequence[str] = ("pull", "push", "sign"),
    ) -> Response:
        answer = self._sessions(gun.host).request(
            method,
            f"/v2/{gun}/_trust/convert{tail}",
            scope=scope(gun, *actions),
            headers={"Content-Type": kind} if body is not None else None,
            body=body,
            total=CONVERT_SECONDS,
        )
        if answer.status != 200:
            raise refusal(answer, gun.host)
        return answer


def _told(read: Callable[[Mapping[str, Any]], Read], answer: Response, gun: Gun) -> Read:
    told = json_object(answer, gun.host)
    try:
        return read(told)
    except (KeyError, ValueError, TypeError, AttributeError, KeyUnsupported) as error:
        raise Garbage(f"{gun.host} doesn't say how far a conversion is.") from error


def _conversion(told: Mapping[str, Any]) -> Conversion:
    keys = {role: key_of(value) for role, value in told.get("keys", {}).items()}
    if keys and set(keys) != set(ONLINE):
        raise KeyError("keys")
    check_keys(keys.values())
    if told["format"] not in ("tuf", "docker"):
        raise ValueError("format")
    return Conversion(told["format"], keys, bounded(told.get("last", {})), _docker_side(told))


def _docker_side(told: Mapping[str, Any]) -> DockerSide | None:
    if told.get("docker") is None:
        return None
    side = told["docker"]
    ended = None if side.get("ended") is None else _moment(side["ended"])
    reason = printable(str(side.get("reason", "")))
    return DockerSide(_moment(told["converted"]), _moment(side["until"]), ended, reason)


def _moment(text: object) -> datetime:
    moment = datetime.fromisoformat(str(text))
    if moment.tzinfo is None:
        raise ValueError("a moment without a zone")
    return moment
