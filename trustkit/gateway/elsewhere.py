"""Where a registry behind the service may send it for a blob: nowhere that only this machine reaches.

A registry that was taken over could otherwise have the service ask for what is behind its firewall: a cloud's
credentials for this machine, or a program that answers on loopback.
"""

from __future__ import annotations

import logging
import socket
from functools import partial
from ipaddress import IPv6Address, ip_address

import aiohttp

log = logging.getLogger("trustkit.service")

METADATA = frozenset({IPv6Address("fd00:ec2::254")})
"""Where EC2 tells a machine its credentials, beside 169.254.0.0/16 (Amazon, "Instance metadata and IPv6")."""


CONNECTIONS = 256
"""To one place at a time, at most."""


def may_send(address: str, *, local: bool) -> bool:
    """Whether the service follows a redirect to this address.

    Args:
        local: whether the registry itself is on loopback, and so may have its storage there.
    """
    found = ip_address(address)
    if isinstance(found, IPv6Address) and found.ipv4_mapped:
        found = found.ipv4_mapped
    if found.is_link_local or found.is_unspecified or found.is_multicast or found in METADATA:
        return False
    return local or not found.is_loopback


def connector(*, local: bool) -> aiohttp.TCPConnector:
    """Connections to where redirects lead, held to ``may_send`` by the very address that is connected to."""
    return aiohttp.TCPConnector(limit=CONNECTIONS, socket_factory=partial(_opened, local=local))


def _opened(found: aiohttp.AddrInfoType, *, local: bool) -> socket.socket:
    family, kind, protocol, _, (address, *_) = found
    if not may_send(str(address), local=local):
        log.warning("the registry behind this service sends it to %s, which it doesn't ask", address)
        raise OSError(0, "not asked")
    return socket.socket(family, kind, protocol)
