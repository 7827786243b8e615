"""Which proxy leads to an origin, by the variables that curl, docker and skopeo read, too.

``NO_PROXY`` means what it means to Go's golang.org/x/net/http/httpproxy, which docker, skopeo and notary follow: a
list for them is one for us.  What Go passes over in silence, a proxy's URL that is none, is an error here: the way
that was asked for would otherwise be left without a word.
"""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import field
from urllib.parse import unquote_to_bytes

from trustkit.core.records import dataclass
from trustkit.errors import InvalidSetting
from trustkit.remote.messages import DEFAULT_PORTS, Origin

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?\.?)(?::([0-9]{1,5}))?\Z")
_NO_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_URL = "Write http://HOST:PORT or https://HOST:PORT."


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy that speaks HTTP.

    Attributes:
        scheme: how it is spoken to itself, ``http`` or ``https``.
        name: its host; an IPv6 address in brackets.
        variable: where it was found.
        authorization: the value of Proxy-Authorization; empty for none.
    """

    scheme: str
    name: str
    port: int
    variable: str
    authorization: str = field(default="", repr=False)

    def __str__(self) -> str:
        return f"{self.scheme}://{self.name}:{self.port}"


def proxy_for(origin: Origin, environ: Mapping[str, str]) -> Proxy | None:
    """The proxy that requests to an origin go through; None where they go straight.

    This machine itself is never reached through a proxy.  Where ``REQUEST_METHOD`` says that a web server runs us,
    HTTP_PROXY may be a header of its client's (``Proxy:``), and only http_proxy counts.

    Raises:
        InvalidSetting: the variable that counts for this origin names no HTTP proxy.  Its value is not repeated: it
            may hold a password.
    """
    if origin.host.loopback:
        return None
    names: tuple[str, ...] = (
        ("HTTPS_PROXY", "https_proxy") if origin.scheme == "https" else ("HTTP_PROXY", "http_proxy")
    )
    if "REQUEST_METHOD" in environ:
        names = tuple(name for name in names if name != "HTTP_PROXY")
    name = next((name for name in (*names, "ALL_PROXY", "all_proxy") if environ.get(name)), "")
    if not name or exempt(origin, environ.get("NO_PROXY") or environ.get("no_proxy") or ""):
        return None
    return read_proxy(name, environ[name])


def read_proxy(variable: str, value: str) -> Proxy:
    """Reads ``[http://|https://][NAME[:PASSWORD]@]HOST[:PORT][/]``, name and password percent-encoded.

    Raises:
        InvalidSetting: anything else.
    """
    if any(not 0x20 < ord(sign) < 0x7F for sign in value):
        raise InvalidSetting(f"{variable} has a blank or another character in it that no URL has.", hint=_URL)
    scheme, found, rest = value.partition("://")
    if not found:
        scheme, rest = "http", value
    scheme = scheme.lower()
    if scheme.startswith("socks"):
        raise InvalidSetting(
            f"{variable} names a SOCKS proxy; trustkit can use proxies that speak HTTP only.", hint=_URL
        )
    if scheme not in DEFAULT_PORTS:
        raise InvalidSetting(f"{variable} is no URL of an HTTP proxy.", hint=_URL)
    rest = rest.removesuffix("/")
    if any(sign in rest for sign in "/?#\\"):
        hint = "In its name or password write / as %2F, ? as %3F, # as %23."
        raise InvalidSetting(f"{variable} has more in it than a proxy's host and port.", hint=hint)
    who, _, authority = rest.rpartition("@")
    matched = _AUTHORITY.match(authority)
    port = int(matched[2] or DEFAULT_PORTS[scheme]) if matched else 0
    if matched is None or not 0 < port < 65536:
        raise InvalidSetting(f"{variable} names no host and port of a proxy.", hint=_URL)
    return Proxy(scheme, _name(variable, matched[1]), port, variable, _authorization(variable, who))


def _name(variable: str, text: str) -> str:
    if not text.startswith("["):
        return text.lower()
    try:
        return f"[{ipaddress.IPv6Address(text[1:-1])}]"
    except ValueError as error:
        raise InvalidSetting(f"{variable} has no IPv6 address between its brackets.", hint=_URL) from error


def _authorization(variable: str, who: str) -> str:
    """The credentials of a URL as Basic ones (RFC 7617)."""
    if who in ("", ":"):
        return ""
    name, password = (unquote_to_bytes(part) for part in who.partition(":")[::2])
    if _NO_ESCAPE.search(who) or b":" in name or any(byte < 0x20 or byte == 0x7F for byte in name + password):
        raise InvalidSetting(
            f"The name and password in {variable} can't be used.",
            hint="Percent-encode them: % is %25, @ is %40. A name has no colon, neither has a control character.",
        )
    return "Basic " + base64.b64encode(name + b":" + password).decode("ascii")


def exempt(origin: Origin, listed: str) -> bool:
    """Whether a list of ``NO_PROXY`` has an origin in it.

    Items are divided by commas: a host (with all below it), ``.domain`` or ``*.domain`` (all below it), an address,
    each with ``:port`` or for every port; a network, ``192.0.2.0/24``; ``*`` for everything.
    """
    name, port = origin.name.strip("[]"), str(origin.port)
    address = _address(name)
    for item in (item.strip() for item in listed.lower().split(",")):
        if item == "*" or (address is not None and _in_network(address, item)):
            return True
        host, only = _divided(item)
        if not host or (only and only != port):
            continue
        if (listed_address := _address(host)) is not None or address is not None:
            if address is not None and listed_address == address:
                return True
        elif _below(name, host):
            return True
    return False


def _address(text: str) -> _Address | None:
    try:
        found = ipaddress.ip_address(text) if "%" not in text else None
    except ValueError:
        return None
    return (found.ipv4_mapped or found) if isinstance(found, ipaddress.IPv6Address) else found


def _in_network(address: _Address, item: str) -> bool:
    """Whether an item is a network with the address in it; a mask in place of a length makes none, as in Go."""
    _, found, length = item.partition("/")
    if not found or not (length.isascii() and length.isdigit()):
        return False
    try:
        return address in ipaddress.ip_network(item, strict=False)
    except ValueError:
        return False


def _divided(item: str) -> tuple[str, str]:
    """Host and port of an item, as net.SplitHostPort of Go; what it can't divide is a host."""
    host, _, port = item.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        return host[1:-1], port
    return (host, port) if ":" in item and ":" not in host else (item, "")


def _below(name: str, host: str) -> bool:
    """Whether a name is this one or below it; below it only where it begins with a dot."""
    if not host.isascii():
        try:
            host = host.encode("idna").decode("ascii")
        except UnicodeError:
            return False
    host = host.removeprefix("*") if host.startswith("*.") else host
    return name.endswith(host if host.startswith(".") else f".{host}") or name == host
