"""The paths of ``/v2``, read from the raw request path by one pure function (TRUST 1.2).

A repository name is followed by a fixed tail, so a path is read from its right end: first the tail that only one
route can have, then what is left of it is the name, which has to be a whole name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from trustkit.core.names import Digest, Gun, Repository, Tag
from trustkit.core.notarypaths import NotaryChanges, NotaryRoute, notary_route
from trustkit.errors import InvalidName

MAX_PATH = 1024
_ALLOWED = re.compile(rb"[A-Za-z0-9._:/@\[\]-]*\Z")
_VERSIONED = re.compile(r"([1-9][0-9]{0,9})\.([A-Za-z0-9][A-Za-z0-9_-]{0,127})\.json\Z")
_TARGET = re.compile(r"([0-9a-f]{64})\.(.+)\Z")
_PROPOSAL = re.compile(r"[0-9a-f]{16}\Z")
_UPLOAD = re.compile(r"[A-Za-z0-9_=.-]{1,256}\Z")


@dataclass(frozen=True, slots=True)
class Base:
    """``/v2/``: where a client learns how to log in."""


@dataclass(frozen=True, slots=True)
class Catalog:
    """``/v2/_catalog``."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """One file of a collection; no version means the current timestamp."""

    gun: Gun
    role: str
    version: int | None


@dataclass(frozen=True, slots=True)
class Publish:
    """``POST .../_trust/metadata``: all roles or none."""

    gun: Gun


@dataclass(frozen=True, slots=True)
class OnlineKeys:
    """``.../_trust/online-keys``: the public halves that a root has to name."""

    gun: Gun


@dataclass(frozen=True, slots=True)
class Reset:
    """``POST .../_trust/reset``: an Owner ends the collection, so that it can begin anew."""

    gun: Gun


@dataclass(frozen=True, slots=True)
class Convert:
    """``.../_trust/convert``: how far a collection of Docker is on its way to format ``tuf``, and the way.

    ``keys``: ``.../_trust/convert/keys``, which makes the keys that its root has to name there.
    ``docker``: ``.../_trust/convert/docker``, what docker reads of it afterwards, and the end of that.
    """

    gun: Gun
    keys: bool = False
    docker: bool = False


@dataclass(frozen=True, slots=True)
class Proposals:
    """``.../_trust/proposals``: lists the open ones, or opens one."""

    gun: Gun


@dataclass(frozen=True, slots=True)
class OneProposal:
    """``.../_trust/proposals/<id>``: shows, approves or drops one."""

    gun: Gun
    id: str


@dataclass(frozen=True, slots=True)
class Target:
    """``.../_trust/targets/<sha256>.<tag>``: a signed manifest's bytes."""

    gun: Gun
    digest: Digest
    tag: Tag


@dataclass(frozen=True, slots=True)
class Manifest:
    """``/v2/<repository>/manifests/<reference>``."""

    repository: Repository
    reference: Tag | Digest


@dataclass(frozen=True, slots=True)
class Blob:
    """``/v2/<repository>/blobs/<digest>``."""

    repository: Repository
    digest: Digest


@dataclass(frozen=True, slots=True)
class Uploads:
    """``/v2/<repository>/blobs/uploads/``: starts an upload."""

    repository: Repository


@dataclass(frozen=True, slots=True)
class Upload:
    """``/v2/<repository>/blobs/uploads/<session>``; the session is opaque and has no ``/``."""

    repository: Repository
    session: str


@dataclass(frozen=True, slots=True)
class TagList:
    """``/v2/<repository>/tags/list``."""

    repository: Repository


@dataclass(frozen=True, slots=True)
class Referrers:
    """``/v2/<repository>/referrers/<digest>``."""

    repository: Repository
    digest: Digest


TrustRoute = Metadata | Publish | OnlineKeys | Reset | Convert | Proposals | OneProposal | Target
RegistryRoute = Base | Catalog | Manifest | Blob | Uploads | Upload | TagList | Referrers
Route = TrustRoute | NotaryRoute | RegistryRoute


def parse_v2(raw: bytes) -> Route | None:
    """Reads a raw request path that starts with ``/v2``.

    Args:
        raw: the path as it came over the wire, not decoded, without the query.

    Returns:
        The route, or None where the path is well-formed and no route has it (404).

    Raises:
        InvalidName: any ``%``, ``//``, ``.`` or ``..`` segment, control byte, a path over 1,024 bytes, or a name
            or reference outside the grammar (400).
    """
    segments = _segments(raw)
    if segments in (["v2"], ["v2", ""]):
        return Base()
    if segments == ["v2", "_catalog"]:
        return Catalog()
    if segments == ["v2", "_trust", "changefeed"]:
        return NotaryChanges()
    if segments[0] != "v2" or len(segments) < 4:
        return None
    if "_trust" in segments:
        return _trust(segments)
    return _registry(segments)


def _segments(raw: bytes) -> list[str]:
    if len(raw) > MAX_PATH:
        raise InvalidName(f"The request path is longer than {MAX_PATH} bytes.")
    if not _ALLOWED.match(raw):
        raise InvalidName("The request path has a character that no name of ours has, or is percent-encoded.")
    segments = raw.decode("ascii").split("/")[1:]
    if not raw.startswith(b"/") or "" in segments[:-1] or any(s in (".", "..") for s in segments):
        raise InvalidName("The request path has an empty, '.' or '..' segment.")
    return segments


_FIXED: Mapping[str, type[Publish | OnlineKeys | Reset | Convert | Proposals]] = {
    "metadata": Publish,
    "metadata/": Publish,
    "online-keys": OnlineKeys,
    "reset": Reset,
    "convert": Convert,
    "proposals": Proposals,
}


def _trust(segments: list[str]) -> TrustRoute | NotaryRoute | None:
    at = len(segments) - 1 - segments[::-1].index("_trust")
    name, tail = segments[1:at], segments[at + 1 :]
    gun = Gun.parse("/".join(name))
    if made := _FIXED.get("/".join(tail)):
        return made(gun)
    match tail:
        case ["convert", "keys"]:
            return Convert(gun, keys=True)
        case ["convert", "docker"]:
            return Convert(gun, docker=True)
        case ["proposals", identifier] if _PROPOSAL.match(identifier):
            return OneProposal(gun, identifier)
        case ["metadata", "timestamp.json"]:
            return Metadata(gun, "timestamp", None)
        case ["metadata", file] if found := _VERSIONED.match(file):
            return Metadata(gun, found[2], int(found[1]))
        case ["targets", file] if found := _TARGET.match(file):
            return Target(gun, Digest.from_hex(found[1]), Tag.parse(found[2]))
    return notary_route(gun, tail)


def _registry(segments: list[str]) -> RegistryRoute | None:
    match segments[-3:]:
        case ["blobs", "uploads", ""]:
            return Uploads(_name(segments[1:-3]))
        case ["blobs", "uploads", session] if _UPLOAD.match(session):
            return Upload(_name(segments[1:-3]), session)
    match segments[-2:]:
        case ["blobs", "uploads"]:
            return Uploads(_name(segments[1:-2]))
        case ["manifests", reference]:
            return Manifest(_name(segments[1:-2]), _reference(reference))
        case ["blobs", digest]:
            return Blob(_name(segments[1:-2]), Digest.parse(digest))
        case ["tags", "list"]:
            return TagList(_name(segments[1:-2]))
        case ["referrers", digest]:
            return Referrers(_name(segments[1:-2]), Digest.parse(digest))
    return None


def _name(segments: list[str]) -> Repository:
    return Repository.parse("/".join(segments))


def _reference(text: str) -> Tag | Digest:
    return Digest.parse(text) if ":" in text else Tag.parse(text)
