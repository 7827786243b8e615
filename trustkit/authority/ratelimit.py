"""How often logins may fail: a bucket for a principal at an address, and one for the address."""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime

from trustkit.errors import RateLimited

KEPT_BUCKETS = 20_000


@dataclass(frozen=True, slots=True)
class Rate:
    """``burst`` failures at once, then one every ``seconds``."""

    burst: int
    seconds: float


ONE_PRINCIPAL = Rate(20, 10.0)
ONE_ADDRESS = Rate(200, 1.0)


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
        self._buckets: OrderedDict[tuple[str, ...], _Bucket] = OrderedDict()

    def take(self, principal: str, source: str, now: datetime) -> None:
        """Counts an attempt before it is checked.

        Raises:
            RateLimited: with the seconds to wait in ``context["retry_after"]``.
        """
        wanted = [(self._bucket(key, rate, now), rate) for key, rate in self._keys(principal, source)]
        waits = [(1 - bucket.left) * rate.seconds for bucket, rate in wanted if bucket.left < 1]
        if waits:
            seconds = max(1, math.ceil(max(waits)))
            raise RateLimited("Too many failed logins.", hint=f"Try again in {seconds} seconds.", retry_after=seconds)
        for bucket, _ in wanted:
            bucket.left -= 1

    def give_back(self, principal: str, source: str, now: datetime) -> None:
        """Takes an attempt back that succeeded."""
        for key, rate in self._keys(principal, source):
            bucket = self._bucket(key, rate, now)
            bucket.left = min(rate.burst, bucket.left + 1)

    def _keys(self, principal: str, source: str) -> tuple[tuple[tuple[str, ...], Rate], ...]:
        """Keys of two lengths, so that no name, the empty one included, shares the address's bucket."""
        return ((principal[:128], source), self._one), ((source,), self._address)

    def _bucket(self, key: tuple[str, ...], rate: Rate, now: datetime) -> _Bucket:
        bucket = self._buckets.pop(key, None) or _Bucket(rate.burst, now)
        passed = max(0.0, (now - bucket.at).total_seconds())
        bucket.left = min(rate.burst, bucket.left + passed / rate.seconds)
        bucket.at = now
        self._buckets[key] = bucket
        while len(self._buckets) > KEPT_BUCKETS:
            self._buckets.popitem(last=False)
        return bucket
