"""What goes to and comes from a server: origins, headers, answers whole and in pieces."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import field
from urllib.parse import urlsplit

from trustkit.core.names import Host
from trustkit.core.records import dataclass
from trustkit.errors import Garbage, InvalidName

DEFAULT_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port, the port always given.  Two are equal exactly when they are one origin."""

    scheme: str
    name: str
    port: int

    @classmethod
    def of_url(cls, url: str) -> Origin:
        """The origin of an absolute URL.

        Raises:
            Garbage: no http or https URL, one with user information, or with a host that no registry can have.
        """
        try:
            parts = urlsplit(url)
            port = parts.port or DEFAULT_PORTS[parts.scheme]
            name = parts.hostname or ""
            host = Host.parse(f"[{name}]" if ":" in name else name)
        except (ValueError, KeyError, InvalidName) as error:
            raise Garbage("The answer names an address that is no http or https URL.") from error
        if parts.username is not None or parts.password is not None:
            raise Garbage("The answer names an address with user information in it.")
        return cls(parts.scheme, host.name, port)

    @property
    def host(self) -> Host:
        """Name and port, as a registry host."""
        return Host(self.name, self.port)

    @property
    def protected(self) -> bool:
        """Whether credentials may go there at all: over TLS, or to this machine (TRUST 8.3)."""
        return self.scheme == "https" or self.host.loopback

    def __str__(self) -> str:
        return f"{self.scheme}://{self.name}:{self.port}"


class Headers:
    """A response's headers.  Names are case-insensitive; values never show in a repr, they may be secret."""

    __slots__ = ("_items",)

    def __init__(self, items: Iterable[tuple[str, str]] = ()) -> None:
        self._items = tuple((name.lower(), value) for name, value in items)

    def get(self, name: str, default: str = "") -> str:
        """The first value."""
        return next(iter(self.all(name)), default)

    def all(self, name: str) -> tuple[str, ...]:
        """Every value, in order."""
        return tuple(value for other, value in self._items if other == name.lower())

    def __repr__(self) -> str:
        return f"Headers({sorted({name for name, _ in self._items})})"


@dataclass(frozen=True, slots=True)
class Response:
    """An answer with its whole body, which is within the limit that the caller gave."""

    status: int
    headers: Headers
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Stream:
    """An answer whose body is still to be read, in the block that opened it."""

    status: int
    headers: Headers
    chunks: Iterator[bytes] = field(repr=False)

    def read(self, max_body: int) -> Response:
        """The whole body.

        Raises:
            Garbage: more than ``max_body`` bytes.
        """
        declared = self.headers.get("content-length")
        if declared.isdigit() and len(declared) < 20 and int(declared) > max_body:
            raise Garbage(f"An answer of {declared} bytes is more than the {max_body} that it may have.")
        body = bytearray()
        for chunk in self.chunks:
            body += chunk
            if len(body) > max_body:
                raise Garbage(f"An answer goes on after the {max_body} bytes that it may have.")
        return Response(self.status, self.headers, bytes(body))


Body = bytes | Iterable[bytes] | None
