"""How often logins may fail: a bucket for a principal at an address, and one for the address."""

from __future__ import annotations

import ipaddress
import math
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from trustkit.errors import RateLimited

KEPT_BUCKETS = 5_000
"""Names at addresses, and addresses; one takes up to 0.45 KiB."""


@dataclass(frozen=True, slots=True)
class Rate:
    """``burst`` failures at once, then one every ``seconds``."""

    burst: int
    seconds: float


ONE_PRINCIPAL = Rate(20, 10.0)
ONE_ADDRESS = Rate(200, 1.0)
IPV6_PREFIX = 64
"""Whoever has one address of IPv6 has all of its network: to count each alone would count nothing."""

Key = tuple[str, ...]


def network(source: str) -> str:
    """Who an address counts as: a network of IPv6, anything else as it is written."""
    try:
        address = ipaddress.ip_address(source.partition("%")[0])
    except ValueError:
        return source
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, IPV6_PREFIX), strict=False))


def wait(left: float, rate: Rate) -> float:
    """How many seconds until a bucket has one try; 0 where it has."""
    return max(0.0, (1 - left) * rate.seconds)


def require(waits: Iterable[float]) -> None:
    """Returns where nothing has to be waited for.

    Raises:
        RateLimited: with the seconds to wait in ``context["retry_after"]``.
    """
    if longest := max(waits, default=0.0):
        seconds = max(1, math.ceil(longest))
        raise RateLimited("Too many failed logins.", hint=f"Try again in {seconds} seconds.", retry_after=seconds)


@dataclass(slots=True)
class _Bucket:
    left: float
    at: datetime


class LoginLimiter:
    """Counts login attempts that failed; one that succeeds is given back.

    By principal *and* address, so that nobody locks another out from elsewhere; by address alone, so that trying many
    names is no way round.
    """

    def __init__(self, one: Rate = ONE_PRINCIPAL, address: Rate = ONE_ADDRESS) -> None:
        self._one, self._address = one, address
        self._buckets: OrderedDict[Key, _Bucket] = OrderedDict()

    def take(self, principal: str, source: str, now: datetime) -> None:
        """Counts an attempt before it is checked.

        Raises:
            RateLimited: with the seconds to wait in ``context["retry_after"]``.
        """
        wanted = [(self._bucket(key, rate, now), rate) for key, rate in self.keys(principal, source)]
        require(wait(bucket.left, rate) for bucket, rate in wanted)
        for bucket, _ in wanted:
            bucket.left -= 1

    def give_back(self, principal: str, source: str, now: datetime) -> None:
        """Takes an attempt back that succeeded, or that nothing was checked in."""
        for key, rate in self.keys(principal, source):
            bucket = self._bucket(key, rate, now)
            bucket.left = min(rate.burst, bucket.left + 1)

    def keys(self, principal: str, source: str) -> tuple[tuple[Key, Rate], ...]:
        """Keys of two lengths, so that no name, the empty one included, shares the address's bucket."""
        where = network(source)
        return ((principal[:128], where), self._one), ((where,), self._address)

    def _bucket(self, key: Key, rate: Rate, now: datetime) -> _Bucket:
        bucket = self._buckets.pop(key, None) or _Bucket(rate.burst, now)
        passed = max(0.0, (now - bucket.at).total_seconds())
        bucket.left = min(rate.burst, bucket.left + passed / rate.seconds)
        bucket.at = now
        self._buckets[key] = bucket
        while len(self._buckets) > KEPT_BUCKETS:
            self._buckets.popitem(last=False)
        return bucket
