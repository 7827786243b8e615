"""Failed logins that all replicas count together: with any number of them, a guesser has what one gives (TRUST 8.3).

Only what fails is written, and nobody is told that it failed before it is counted.  What is right is told apart from
what is wrong only as long as there is a try left *after* the check, so guesses that are under way everywhere at once
tell no more than guesses one after the other.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import replace

from trustkit.authority.ratelimit import KEPT_BUCKETS, Key, LoginLimiter, Rate, require, wait
from trustkit.core.ports.failures import Failure, Failures

Keys = tuple[tuple[bytes, Rate], ...]

OWED_BURSTS = 2
"""So many bursts are owed at most: nobody waits longer than it takes for this many to be forgotten."""


class SharedLimiter:
    """The same buckets as a limiter's own, in the database.

    A failure that can't be counted there is remembered here, and counted before anything else is checked for the same
    name and address, or for the address: a database that takes no changes gives no tries away.

    Args:
        limiter: which buckets there are.
    """

    def __init__(self, failures: Failures, limiter: LoginLimiter) -> None:
        self._failures = failures
        self._limiter = limiter
        self._uncounted: OrderedDict[bytes, Failure] = OrderedDict()

    async def before(self, principal: str, source: str) -> None:
        """Returns where there is a try left.

        Raises:
            RateLimited: there is none.
            DatabaseUnavailable, OutcomeUnknown, StateError: it can't be said; nothing may be checked.
        """
        keys = self._keys(principal, source)
        if late := [self._uncounted[key] for key, _ in keys if key in self._uncounted]:
            await self._failures.add(late)
            for each in late:
                self._forget(each)
        await self._require_one(keys)

    async def after(self, principal: str, source: str, *, right: bool) -> None:
        """Returns once it may be said that a password was right, or that it was wrong, which is counted first.

        Raises:
            As ``before``; nothing may be said then.
        """
        keys = self._keys(principal, source)
        await self._require_one(keys)
        if right:
            return
        failed = [Failure(key, rate.seconds, OWED_BURSTS * rate.burst * rate.seconds) for key, rate in keys]
        try:
            owed = await self._failures.add(failed)
        except BaseException:
            for each in failed:
                self._remember(each)
            raise
        require(wait(1 + rate.burst - owed[key] / rate.seconds, rate) for key, rate in keys)

    async def _require_one(self, keys: Keys) -> None:
        owed = await self._failures.owed([key for key, _ in keys])
        require(wait(rate.burst - owed.get(key, 0.0) / rate.seconds, rate) for key, rate in keys)

    def _remember(self, failure: Failure) -> None:
        before = self._uncounted.pop(failure.key, None)
        seconds = min(failure.most, failure.seconds + (before.seconds if before else 0.0))
        self._uncounted[failure.key] = replace(failure, seconds=seconds)
        while len(self._uncounted) > KEPT_BUCKETS:
            self._uncounted.popitem(last=False)

    def _forget(self, counted: Failure) -> None:
        """Takes off what was counted; several who count it at once count it several times rather than never."""
        there = self._uncounted.pop(counted.key, None)
        if there and there.seconds > counted.seconds:
            self._uncounted[counted.key] = replace(there, seconds=there.seconds - counted.seconds)

    def _keys(self, principal: str, source: str) -> Keys:
        """Hashed: people type passwords where names belong, and a name may be as long as it likes."""
        return tuple((_hashed(key), rate) for key, rate in self._limiter.keys(principal, source))


def _hashed(key: Key) -> bytes:
    """No two keys are one text: each part is hashed before they are joined."""
    parts = (hashlib.sha256(part.encode("utf-8", "surrogatepass")).digest() for part in key)
    return hashlib.sha256(b"trustkit failed login" + b"".join(parts)).digest()
