"""Names: GUNs, repositories, tags, digests and references.

Everything that arrives as text becomes one of these at the border; two values are equal exactly when they name
the same thing.  The grammar is that of the OCI distribution specification 1.1 ("Pulling manifests") and of
distribution/reference, without its defaults: a reference always names its registry host, so no name depends on
who reads it.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from typing import Self

from trustkit.core.records import dataclass
from trustkit.errors import InvalidName, InvalidReference

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\Z")
_IPV6 = re.compile(r"\[([0-9a-f:]{2,39})\]\Z")
_PORT = re.compile(r"[1-9][0-9]{0,4}\Z")
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*\Z")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}\Z")
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_SIGNER = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}\Z")
_PRINCIPAL = re.compile(r"[a-z0-9][a-z0-9._@-]{0,127}\Z")

MAX_REPOSITORY = 255
TUF_ROLES = frozenset({"root", "targets", "snapshot", "timestamp"})
RESERVED_SIGNERS = TUF_ROLES | {"releases"}
BINS = "bins-"
"""How the names of hash bins begin, and no others."""


def shown(text: str) -> str:
    """A name that may be anything, as an error quotes it."""
    quoted = ascii(text)
    return quoted if len(quoted) <= 122 else f"{quoted[:118]}...{quoted[-1]}"


def _is_host(name: str) -> bool:
    """A DNS name, an IPv4 address, or an IPv6 address in its one canonical spelling (RFC 5952), in brackets."""
    literal = _IPV6.match(name)
    if not literal:
        return len(name) <= 253 and bool(_HOST.match(name))
    try:
        address = ipaddress.IPv6Address(literal[1])
    except ValueError:
        return False
    return address.ipv4_mapped is None and str(address) == literal[1]


class Sortable:
    """Sorts as it is written.  A dataclass's own order costs a third of a millisecond a class at every start."""

    __slots__ = ()

    def __lt__(self, other: Self) -> bool:
        return str(self) < str(other) if type(self) is type(other) else NotImplemented


@dataclass(frozen=True, slots=True)
class Host(Sortable):
    """A registry's host with its port, as it stands in a GUN: ``localhost:5080``.  The port 0 means: not written."""

    name: str
    port: int = 0

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads ``HOST[:PORT]`` in lower case.

        Raises:
            InvalidName: for anything else, upper case included.
        """
        name, port = text, ""
        if not text.endswith("]") and ":" in text:
            name, _, port = text.rpartition(":")
        if not _is_host(name) or (port and not _PORT.match(port)) or text.endswith(":"):
            raise InvalidName(f"{shown(text)} is not a registry host.", hint="Write HOST or HOST:PORT.")
        if port and int(port) > 65535:
            raise InvalidName(f"{shown(text)} has a port above 65535.", hint="Write a port from 1 to 65535.")
        return cls(name, int(port) if port else 0)

    @property
    def loopback(self) -> bool:
        """Whether the name itself says loopback; a DNS name that resolves there doesn't count."""
        if self.name in ("localhost", "[::1]"):
            return True
        try:
            return ipaddress.IPv4Address(self.name).is_loopback
        except ValueError:
            return False  # 127.999.0.1 is a DNS name, and whoever serves it isn't this machine

    def __str__(self) -> str:
        return f"{self.name}:{self.port}" if self.port else self.name


@dataclass(frozen=True, slots=True)
class Repository(Sortable):
    """A repository's path on its registry, without the host: ``team/app``."""

    path: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises InvalidName where the text isn't an OCI repository name of at most 255 characters."""
        if len(text) > MAX_REPOSITORY or not _REPOSITORY.match(text):
            bare, mark, _ = text.partition("@" if "@" in text else ":")
            named = mark and len(bare) <= MAX_REPOSITORY and _REPOSITORY.match(bare)
            raise InvalidName(
                f"{shown(text)} is not a repository name.",
                hint="Leave the tag or digest out: the whole repository is meant here."
                if named
                else "Use lower-case letters, digits and single separators, parts divided by '/'.",
            )
        return cls(text)

    def __str__(self) -> str:
        return self.path


@dataclass(frozen=True, slots=True)
class Gun(Sortable):
    """Globally unique name of a collection: home registry host and repository (TRUST 1.1)."""

    host: Host
    repository: Repository

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads ``HOST[:PORT]/repository``.

        Raises:
            InvalidName: also where the first part can't be a registry host (no dot, no port, not localhost).
        """
        host, slash, path = text.partition("/")
        if not slash or not looks_like_host(host):
            raise InvalidName(
                f"{shown(text)} does not name a registry.",
                hint="Write the full name, HOST[:PORT]/repository, for example registry.example.com/app.",
            )
        return cls(Host.parse(host), Repository.parse(path))

    def __str__(self) -> str:
        return f"{self.host}/{self.repository}"


def looks_like_host(text: str) -> bool:
    """Whether the first part of a reference is a registry host, by the rule of distribution/reference."""
    return "." in text or ":" in text or text == "localhost"


@dataclass(frozen=True, slots=True)
class Digest(Sortable):
    """The SHA-256 of a manifest or blob; the only algorithm accepted.  ``str`` gives ``sha256:<64 hex>``."""

    hex: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads ``sha256:<64 lower-case hex>``; raises InvalidName for anything else."""
        algorithm, _, value = text.partition(":")
        if algorithm != "sha256" or not _SHA256.match(value):
            raise InvalidName(f"{shown(text)} is not a sha256 digest.")
        return cls(value)

    @classmethod
    def from_hex(cls, text: str) -> Self:
        """Reads 64 lower-case hex digits; raises InvalidName."""
        return cls.parse(f"sha256:{text}")

    @classmethod
    def of(cls, data: bytes) -> Self:
        """The digest of these bytes."""
        return cls(hashlib.sha256(data).hexdigest())

    def __hash__(self) -> int:
        return hash(self.hex)

    def __str__(self) -> str:
        return f"sha256:{self.hex}"


@dataclass(frozen=True, slots=True)
class Tag(Sortable):
    """A tag, which is also the TUF target path of format ``tuf``."""

    name: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises InvalidName where the text isn't ``[A-Za-z0-9_][A-Za-z0-9._-]{0,127}``."""
        if not _TAG.match(text):
            raise InvalidName(
                f"{shown(text)} is not a tag.",
                hint="A tag has at most 128 letters, digits and . _ - and begins with none of . and -.",
            )
        return cls(text)

    def __hash__(self) -> int:  # each publish asks for hundreds
        return hash(self.name)

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class ImageRef:
    """A reference to an image: a GUN with a tag, a digest, or both."""

    gun: Gun
    tag: Tag | None = None
    digest: Digest | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads ``HOST[:PORT]/repository[:TAG][@sha256:...]``.

        No default tag and no default registry are made up.

        Raises:
            InvalidReference: where it has another shape; the hint says what is missing.
        """
        name, at, digest = text.partition("@")
        slash = name.rfind("/")
        colon = name.rfind(":")
        tag = ""
        if colon > slash:
            name, tag = name[:colon], name[colon + 1 :]
            if not tag:
                raise InvalidReference(f"{shown(text)} ends in ':' with no tag.")
        try:
            return cls(Gun.parse(name), Tag.parse(tag) if tag else None, Digest.parse(digest) if at else None)
        except InvalidName as error:
            raise InvalidReference(f"{shown(text)}: {error.message}", hint=error.hint) from error

    @property
    def required_tag(self) -> Tag:
        """The tag; raises InvalidReference where there is none."""
        if self.tag is None:
            raise InvalidReference(f"{self} names no tag.", hint="Write NAME:TAG; no tag is assumed.")
        return self.tag

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.gun}{tag}{digest}"


@dataclass(frozen=True, slots=True)
class SignerName(Sortable):
    """The name of a delegation to a person or a machine (TRUST 1.4)."""

    name: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises InvalidName for a TUF role's name, ``releases``, a hash bin's, or others than ``[a-z0-9_-]``."""
        if not _SIGNER.match(text) or text in RESERVED_SIGNERS or text.startswith(BINS):
            raise InvalidName(
                f"{shown(text)} can't be the name of a signer.",
                hint="Use at most 64 lower-case letters, digits, - and _; TUF's own roles are taken, and releases.",
            )
        return cls(text)

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class PrincipalName(Sortable):
    """The login name of a user, a service principal or a token."""

    name: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises InvalidName where the text isn't ``[a-z0-9][a-z0-9._@-]{0,127}``."""
        if not _PRINCIPAL.match(text):
            raise InvalidName(
                f"{shown(text)} can't be the name of a principal.",
                hint="Use lower-case letters, digits and . _ @ -",
            )
        return cls(text)

    def __str__(self) -> str:
        return self.name
