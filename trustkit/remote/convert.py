"""Conversions from format ``docker`` to ``tuf``, over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from trustkit.core.formats.docker.files import MAX_BYTES
from trustkit.core.names import Gun, Host
from trustkit.core.ports.converting import Conversion
from trustkit.core.publickeys import check_keys
from trustkit.core.roots import ONLINE
from trustkit.errors import Garbage, KeyUnsupported
from trustkit.remote.auth import Session, json_object, scope
from trustkit.remote.messages import Response
from trustkit.remote.notary import HttpNotary
from trustkit.remote.refusals import printable, refusal
from trustkit.remote.trust import bounded, key_of, multipart, versions_of

CONVERT_SECONDS = 300.0


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
        told = json_object(answer, gun.host)
        try:
            return _conversion(told)
        except (KeyError, ValueError, TypeError, AttributeError, KeyUnsupported) as error:
            raise Garbage(f"{gun.host} doesn't say how far a conversion is.") from error

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

    def _ask(
        self, gun: Gun, method: str, tail: str, *, body: bytes | None = None, kind: str = "application/json"
    ) -> Response:
        answer = self._sessions(gun.host).request(
            method,
            f"/v2/{gun}/_trust/convert{tail}",
            scope=scope(gun, "pull", "push", "sign"),
            headers={"Content-Type": kind} if body is not None else None,
            body=body,
            total=CONVERT_SECONDS,
        )
        if answer.status != 200:
            raise refusal(answer, gun.host)
        return answer


def _conversion(told: Mapping[str, Any]) -> Conversion:
    keys = {role: key_of(value) for role, value in told.get("keys", {}).items()}
    if keys and set(keys) != set(ONLINE):
        raise KeyError("keys")
    check_keys(keys.values())
    if told["format"] not in ("tuf", "docker"):
        raise ValueError("format")
    former = told.get("docker") or {}
    return Conversion(
        told["format"],
        keys,
        bounded(told.get("last", {})),
        _moment(told.get("converted")),
        _moment(former.get("until")),
        _moment(former.get("ended")),
        printable(str(former.get("reason", ""))),
    )


def _moment(text: object) -> datetime | None:
    if text is None:
        return None
    moment = datetime.fromisoformat(str(text))
    if moment.tzinfo is None:
        raise ValueError("a moment without a zone")
    return moment
