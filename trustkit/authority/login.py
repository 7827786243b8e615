"""Logging in: credentials in, tokens out (TRUST 8.2, 8.3)."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from trustkit.authority.freshness import Freshness
from trustkit.authority.passwords import Passwords
from trustkit.authority.ratelimit import LoginLimiter
from trustkit.authority.scopes import Granting, Scope, parse_scopes
from trustkit.authority.sharedlimit import SharedLimiter
from trustkit.authority.tokens import Access, IssuedToken, TokenIssuer
from trustkit.core.bounded import Bounded
from trustkit.core.names import Host, PrincipalName
from trustkit.core.ports.failures import Failures
from trustkit.core.ports.service import PrincipalRecord, RefreshRecord, Store, Transaction
from trustkit.core.stamps import Stamp
from trustkit.errors import InvalidName, LoginRequired, Malformed, TrustkitError

REFRESH_LIFE = timedelta(days=30)
REFRESH_PREFIX = "tkr_"
"""What a refresh token begins with, so that scanners for leaked secrets know one."""

MAX_REFRESH = 256
KEEP_BYTES = 6 * 1024 * 1024
"""What may be remembered of what refresh tokens get."""


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """What a client asks for.

    Attributes:
        service: the audience.
        scopes: as sent, each of one or several scopes divided by spaces.
        source: the client's address, for the rate limit.
        offline: whether a refresh token is wanted.
    """

    service: str
    scopes: tuple[str, ...] = ()
    source: str = ""
    offline: bool = False


@dataclass(frozen=True, slots=True)
class Granted:
    """What a client gets; both secrets stay out of ``repr``."""

    token: IssuedToken
    refresh_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class _Decided:
    """What a refresh token gets, until when it is one, and when that was read."""

    principal: PrincipalName
    holder: str
    access: tuple[Access, ...]
    expires: datetime
    stamp: Stamp


class TokenService:
    """Issues tokens to principals; nobody else gets any, not even for nothing.

    Args:
        services: by audience, whether it is a registry that clients reach without the gate (TRUST 7.5).
        hosts: the service's public names, which scopes may carry.
        fresh: says how long what a refresh token gets is remembered; None remembers nothing.
        failures: where failed logins are counted beside other processes; None where there is this one alone.
        limit: bytes that are remembered of what refresh tokens get.
    """

    def __init__(
        self,
        store: Store,
        issuer: TokenIssuer,
        passwords: Passwords,
        *,
        services: Mapping[str, bool],
        hosts: Collection[Host],
        clock: Callable[[], datetime],
        limiter: LoginLimiter | None = None,
        fresh: Freshness | None = None,
        failures: Failures | None = None,
        limit: int = KEEP_BYTES,
    ) -> None:
        self._store = store
        self._issuer = issuer
        self._passwords = passwords
        self._granting = {name: Granting(frozenset(hosts), direct) for name, direct in services.items()}
        self._clock = clock
        self._limiter = limiter or LoginLimiter()
        self._shared = SharedLimiter(failures, self._limiter) if failures else None
        self._fresh = fresh
        self._decided: Bounded[tuple[bytes, str, tuple[Scope, ...]], _Decided] = Bounded(limit)

    @property
    def size(self) -> int:
        """Bytes that are remembered, nearly."""
        return self._decided.size

    async def by_password(self, request: TokenRequest, name: str, password: str) -> Granted:
        """Tokens for a name and its password.

        Raises:
            LoginRequired: no such principal, another password, disabled: one sentence for all of them.
            RateLimited: too many failures before.
            Malformed: an unknown service, too many scopes.
        """
        granting, scopes = self._read(request)
        record = await self._authenticate(request, name, password)
        if not request.offline:
            async with self._store.read() as tx:
                return Granted(await self._issue(tx, granting, request, scopes, record))
        async with self._store.write(record.name) as tx:
            token = await self._issue(tx, granting, request, scopes, record)
            return Granted(token, await self._new_refresh(tx, request, record))

    async def by_refresh(self, request: TokenRequest, refresh_token: str) -> Granted:
        """An access token for a refresh token of the same service.

        Raises:
            LoginRequired: unknown, expired, for another service, or its principal was disabled, removed or has a
                new password.
            Malformed: as ``by_password``.
        """
        granting, scopes = self._read(request)
        if len(refresh_token) > MAX_REFRESH:
            raise _dead()
        decided = await self._decide(granting, request.service, scopes, _hashed(refresh_token))
        return Granted(
            self._issuer.issue(
                decided.principal,
                audience=request.service,
                access=decided.access,
                now=self._clock(),
                holder=decided.holder,
            )
        )

    async def _decide(self, granting: Granting, service: str, scopes: tuple[Scope, ...], secret: bytes) -> _Decided:
        """What a refresh token of this hash gets: read anew whenever something may have changed (TRUST 8.4)."""
        key, now = (secret, service, scopes), self._clock()
        decided = self._decided.get(key)
        if decided and self._fresh and self._fresh.counts(decided.stamp, now) and now < decided.expires:
            return decided
        stamp = self._fresh.stamp() if self._fresh else Stamp(now, 0)
        async with self._store.read() as tx:
            found = await tx.identities.refresh(secret)
            if found is None or found.service != service or found.expires <= now:
                raise _dead()
            record = await tx.identities.get(found.principal)
            if record is None or record.disabled or record.epoch != found.epoch:
                raise _dead()
            access = await granting.grant(tx, record.name, scopes)
        decided = _Decided(record.name, record.holder, access, found.expires, stamp)
        if self._fresh:
            self._decided.keep(key, decided, _size(scopes))
        return decided

    def _read(self, request: TokenRequest) -> tuple[Granting, tuple[Scope, ...]]:
        granting = self._granting.get(request.service)
        if granting is None:
            known = ", ".join(sorted(self._granting))
            raise Malformed("No tokens are issued for that service.", hint=f"Services here: {known}.")
        return granting, parse_scopes(request.scopes)

    async def _authenticate(self, request: TokenRequest, name: str, password: str) -> PrincipalRecord:
        """Counts the attempt before it is checked here, and everywhere before it is said to have failed."""
        self._limiter.take(name, request.source, self._clock())
        try:
            if self._shared:
                await self._shared.before(name, request.source)
            record = await self._find(name)
            matches = await self._passwords.check(record.password_hash if record else None, password)
        except TrustkitError:  # nothing was checked
            self._limiter.give_back(name, request.source, self._clock())
            raise
        right = matches and record is not None and not record.disabled
        if self._shared:
            await self._shared.after(name, request.source, right=right)
        if record is None or not right:
            raise _wrong()
        self._limiter.give_back(name, request.source, self._clock())
        return record

    async def _find(self, name: str) -> PrincipalRecord | None:
        try:
            parsed = PrincipalName.parse(name)
        except InvalidName:
            return None
        async with self._store.read() as tx:
            return await tx.identities.get(parsed)

    async def _issue(
        self,
        tx: Transaction,
        granting: Granting,
        request: TokenRequest,
        scopes: tuple[Scope, ...],
        record: PrincipalRecord,
    ) -> IssuedToken:
        """Reads the principal again, in this transaction: checking a password takes long enough to lose it."""
        if await tx.identities.get(record.name) != record:
            raise _wrong()
        access = await granting.grant(tx, record.name, scopes)
        return self._issuer.issue(
            record.name, audience=request.service, access=access, now=self._clock(), holder=record.holder
        )

    async def _new_refresh(self, tx: Transaction, request: TokenRequest, record: PrincipalRecord) -> str:
        now = self._clock()
        text = REFRESH_PREFIX + secrets.token_urlsafe(32)
        await tx.identities.drop_refresh_expired(now)
        await tx.identities.add_refresh(
            RefreshRecord(_hashed(text), record.name, request.service, record.epoch, now + REFRESH_LIFE)
        )
        return text


def _size(scopes: tuple[Scope, ...]) -> int:
    """What an answer for these takes; whoever asks decides how many actions each has, and what they are called."""
    return 768 + sum(768 + len(scope.name) + 112 * len(scope.actions) for scope in scopes)


def _hashed(refresh_token: str) -> bytes:
    return hashlib.sha256(refresh_token.encode("utf-8", "replace")).digest()


def _wrong() -> LoginRequired:
    return LoginRequired("The name or the password is wrong.", hint="Log in: trustkit login HOST -u NAME.")


def _dead() -> LoginRequired:
    return LoginRequired("The refresh token is not valid any more.", hint="Log in: trustkit login HOST -u NAME.")
