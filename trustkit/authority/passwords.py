"""Passwords: argon2id at rest, a bounded number of checks at once, and the same work for names that don't exist."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import argon2

from trustkit.errors import InvalidSetting, RateLimited

P = ParamSpec("P")
T = TypeVar("T")

MIN_CHARACTERS = 8
MAX_BYTES = 1024
AT_ONCE = 1
"""Checks that run at the same time.  One takes 64 MiB (RFC 9106, low memory) and works on four cores, where there are
so many: a second one beside it would take as much memory again, and hardly be done sooner."""

WAITING = 64
"""Checks that may be under way or waiting; one more is refused, so that logins can't use up the service."""


def generate_password() -> str:
    """A new password: 32 random bytes in 43 characters that are safe in URLs and shells."""
    return secrets.token_urlsafe(32)


class Passwords:
    """Hashes and checks passwords in threads, off the event loop."""

    def __init__(self, hasher: argon2.PasswordHasher | None = None) -> None:
        self._hasher = hasher or argon2.PasswordHasher()
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._pending = 0
        self._nobodys: str | None = None

    async def hash(self, password: str) -> str:
        """The argon2id hash of a new password.

        Raises:
            InvalidSetting: shorter than 8 characters or longer than 1,024 bytes.
        """
        if len(password) < MIN_CHARACTERS or len(_utf8(password)) > MAX_BYTES:
            raise InvalidSetting(
                f"A password has at least {MIN_CHARACTERS} characters and at most {MAX_BYTES} bytes.",
                hint="Leave it out, and one is generated.",
            )
        return await self._run(self._hasher.hash, _utf8(password))

    async def check(self, password_hash: str | None, password: str) -> bool:
        """Whether this is the password; without a hash (no such principal) it does the same work and says no.

        Raises:
            RateLimited: too many checks are waiting already.
        """
        if self._pending >= WAITING:
            raise RateLimited("Too many logins at once.", hint="Try again in a moment.", retry_after=2)
        self._pending += 1
        try:
            if self._nobodys is None:
                self._nobodys = await self._run(self._hasher.hash, secrets.token_bytes(32))
            if len(_utf8(password)) > MAX_BYTES:
                password, password_hash = "", None
            matches = await self._run(self._matches, password_hash or self._nobodys, _utf8(password))
            return matches and password_hash is not None
        finally:
            self._pending -= 1

    async def _run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        async with self._turn:
            return await asyncio.to_thread(call, *args, **kwargs)

    def _matches(self, password_hash: str, password: bytes) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
            return False


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
