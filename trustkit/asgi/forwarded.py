"""Whom a reverse proxy speaks for: the client's address, from proxies that the operator names and no others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Self

from trustkit.asgi.logs import App, Receive, Scope, Send
from trustkit.errors import InvalidSetting

UNIX = "unix"
"""Stands for whoever comes over a unix socket: the file's rights say who that can be."""

HEADER = b"x-forwarded-for"
MAX_HOPS = 16
"""Addresses that are looked at, from the right; no chain of proxies is longer."""

Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class Proxies:
    """The reverse proxies whose word counts.

    Attributes:
        networks: where they are.
        unix: whether whoever comes over a unix socket is one.
    """

    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    unix: bool = False

    @classmethod
    def of(cls, words: Iterable[str]) -> Self:
        """Reads addresses, networks (``10.0.0.0/8``) and ``unix``; raises InvalidSetting."""
        networks, unix = [], False
        for word in words:
            if word == UNIX:
                unix = True
                continue
            try:
                network = ip_network(word)
            except ValueError as error:
                raise InvalidSetting(
                    f"--trusted-proxy {word[:60]!r} is no address: {error}.",
                    hint="Write 127.0.0.1, 10.0.0.0/8 or unix.",
                ) from error
            if network.prefixlen == 0:
                raise InvalidSetting(
                    f"--trusted-proxy {word} is everybody: any client could say that it is another.",
                    hint="Name the proxies' own addresses.",
                )
            networks.append(network)
        return cls(tuple(networks), unix)

    def __bool__(self) -> bool:
        return self.unix or bool(self.networks)

    def has(self, address: Address) -> bool:
        """Whether this is one of them."""
        return any(address in network for network in self.networks)


def client_of(peer: str, values: Iterable[bytes], proxies: Proxies) -> str:
    """The address of who asked first, as far as trusted proxies vouch for it.

    Read from the right, each proxy's own addition: whatever stands left of the first stranger is that one's word.

    Args:
        peer: who has connected; empty over a unix socket.
        values: of every X-Forwarded-For header, in order.
    """
    known = _address(peer)
    if not (proxies.unix if not peer else known is not None and proxies.has(known)):
        return peer
    hops = b",".join(values).split(b",")[-MAX_HOPS:]
    client = peer
    for hop in reversed(hops):
        address = _address(hop.strip(b" \t").decode("latin-1"))
        if address is None:
            break
        client = str(address)
        if not proxies.has(address):
            break
    return client


def _address(text: str) -> Address | None:
    try:
        found = ip_address(text)
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return mapped or found


class Forwarded:
    """An ASGI application that shows another the client's address in place of a trusted proxy's."""

    def __init__(self, app: App, proxies: Proxies) -> None:
        self._app, self._proxies = app, proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI 3.0."""
        if scope["type"] == "http":
            host = (scope.get("client") or ("",))[0]
            found = client_of(host, (value for name, value in scope["headers"] if name == HEADER), self._proxies)
            if found != host:
                scope["client"] = (found, 0)
        await self._app(scope, receive, send)
