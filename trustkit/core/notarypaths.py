"""The paths of Notary's API, which are what notary-server made them (TRUST 1.2)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from trustkit.core.formats.docker.roles import is_delegation
from trustkit.core.names import TUF_ROLES, Gun

_VERSIONED = re.compile(r"([1-9][0-9]{0,9})\.(.+)\.json\Z")
_HASHED = re.compile(r"(.+)\.([0-9a-f]{64}|[0-9a-f]{96}|[0-9a-f]{128})\.json\Z")
_CURRENT = re.compile(r"(.+)\.json\Z")
_KEY = re.compile(r"(snapshot|timestamp)\.key\Z")


@dataclass(frozen=True, slots=True)
class NotaryCollection:
    """``.../_trust/tuf/``: one upload for all roles, or the end of the collection, in Notary's API."""

    gun: Gun


@dataclass(frozen=True, slots=True)
class NotaryFile:
    """``.../_trust/tuf/ROLE.json``, with a hash before the end or a version before the role; else the current one."""

    gun: Gun
    role: str
    version: int | None = None
    digest: str = ""


@dataclass(frozen=True, slots=True)
class NotaryKey:
    """``.../_trust/tuf/ROLE.key``: the service's public key of snapshot or timestamp."""

    gun: Gun
    role: str


@dataclass(frozen=True, slots=True)
class NotaryChanges:
    """``.../_trust/changefeed``: of one collection, or of all where no GUN stands before it."""

    gun: Gun | None = None


NotaryRoute = NotaryCollection | NotaryFile | NotaryKey | NotaryChanges


def notary_route(gun: Gun, segments: list[str]) -> NotaryRoute | None:
    """The routes of notary-server (server/server.go), the first that matches; a role's name may have slashes.

    Args:
        segments: what follows ``_trust``.
    """
    match segments:
        case ["changefeed"]:
            return NotaryChanges(gun)
        case ["tuf", ""]:
            return NotaryCollection(gun)
        case ["tuf", *rest]:
            return _file(gun, "/".join(rest))
    return None


def _file(gun: Gun, tail: str) -> NotaryFile | NotaryKey | None:
    if found := _HASHED.match(tail):
        return NotaryFile(gun, found[1], digest=found[2]) if _is_role(found[1]) else None
    if found := _VERSIONED.match(tail):
        return NotaryFile(gun, found[2], int(found[1])) if _is_role(found[2]) else None
    if found := _CURRENT.match(tail):
        return NotaryFile(gun, found[1]) if _is_role(found[1]) else None
    if found := _KEY.match(tail):
        return NotaryKey(gun, found[1])
    return None


def _is_role(text: str) -> bool:
    return text in TUF_ROLES or is_delegation(text)
