"""Where a registry behind the service may send it for a blob: nowhere that only this machine reaches.

A registry that was taken over could otherwise have the service ask for what is behind its firewall: a cloud's
credentials for this machine, or a program that answers on loopback.
"""

from __future__ import annotations

import logging
import socket
from functools import partial
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

import aiohttp

log = logging.getLogger("trustkit.service")

METADATA = tuple(
    ip_network(each)
    for each in ("0.0.0.0/8", "100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::/32", "fd20:ce::254")
)
"""Where clouds tell a machine its credentials, beside 169.254.0.0/16: Alibaba's, Azure's (WireServer), Oracle's,
Amazon's over IPv6 (instances, and Pods of EKS), Google's over IPv6.  0.0.0.0/8 is this machine itself (RFC 1122)."""
_TRANSLATED = IPv6Network("64:ff9b::/96")
"""IPv4 as IPv6, for a translator on the way (RFC 6052)."""

CONNECTIONS = 256
"""To one place at a time, at most."""


def may_send(address: str, *, local: bool) -> bool:
    """Whether the service follows a redirect to this address.

    Args:
        local: whether the registry itself is on loopback, and so may have its storage there.
    """
    found = ip_address(address)
    if isinstance(found, IPv6Address):
        found = found.ipv4_mapped or found.sixtofour or _translated(found) or found
    if found.is_link_local or found.is_unspecified or found.is_multicast or any(found in each for each in METADATA):
        return False
    return local or not found.is_loopback


def _translated(found: IPv6Address) -> IPv4Address | None:
    return IPv4Address(found.packed[-4:]) if found in _TRANSLATED else None


def connector(most: int = CONNECTIONS, *, local: bool) -> aiohttp.TCPConnector:
    """Connections to where redirects lead, held to ``may_send`` by the very address that is connected to."""
    return aiohttp.TCPConnector(limit=most, socket_factory=partial(_opened, local=local))


def _opened(found: aiohttp.AddrInfoType, *, local: bool) -> socket.socket:
    family, kind, protocol, _, (address, *_) = found
    if not may_send(str(address), local=local):
        log.warning("the registry behind this service sends it to %s, which it doesn't ask", address)
        raise OSError(0, "not asked")
    return socket.socket(family, kind, protocol)
