"""From an Authorization header to who is calling and what they may do now (TRUST 8.1, 8.2)."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from trustkit.authority.freshness import Freshness
from trustkit.authority.scopes import CATALOG, pulls_everything
from trustkit.authority.tokens import LEEWAY, TokenVerifier
from trustkit.core.access import Action, Assignment, granted
from trustkit.core.bounded import Bounded
from trustkit.core.names import Gun, Host, PrincipalName, Repository
from trustkit.core.ports.service import Store
from trustkit.core.stamps import Stamp
from trustkit.errors import LoginRequired
from trustkit.gateway.access import Challenge
from trustkit.gateway.caller import Caller

KEEP_ROLES = 4_096
"""Roles of principals that were read last, with one for each of these; one takes up to 0.5 KiB."""
_BEARER = re.compile(r"[Bb]earer +([A-Za-z0-9._~+/=-]+)\Z")


@dataclass(frozen=True, slots=True)
class _Known:
    """A principal as it was read.

    Attributes:
        assignments: None for one who is disabled or isn't there.
        holder: who has the name, and with which password; empty for nobody.
    """

    stamp: Stamp
    assignments: tuple[Assignment, ...] | None
    holder: str


origin: ContextVar[str] = ContextVar("origin")
"""The service's own name as this request's client wrote it; set for each request."""


class Callers:
    """Authenticates requests.

    A token is an upper bound: what it grants counts only as far as its principal's roles grant it now, and those are
    read again when they may have changed (``freshness``), so a revoked role or a disabled principal ends at once.
    """

    def __init__(
        self,
        store: Store,
        verifier: TokenVerifier,
        *,
        hosts: Collection[Host],
        clock: Callable[[], datetime],
        fresh: Freshness | None = None,
    ) -> None:
        self._store = store
        self._verifier = verifier
        self._hosts = tuple(hosts)
        self._clock = clock
        self._fresh = fresh or Freshness(clock=clock)
        self._roles: Bounded[PrincipalName, _Known] = Bounded(KEEP_ROLES)

    async def authenticate(self, authorization: str) -> Caller:
        """Who sends this header value.

        Raises:
            LoginRequired: no bearer token, one that isn't accepted, or a principal who was disabled or removed; also
                where somebody else has the name now, or it has another password.
        """
        found = _BEARER.match(authorization)
        if not found:
            raise LoginRequired("Only Bearer tokens are taken here.", hint="Get one at /oauth2/token.")
        claims = self._verifier.verify(found[1])
        known = await self._known(claims.principal, claims.holder)
        assignments = known.assignments
        if assignments is None:
            raise LoginRequired(f"{claims.principal} was disabled or removed.", hint="Ask an operator.")
        if claims.holder and claims.holder != known.holder:
            raise LoginRequired(
                f"The access token is from before {claims.principal} was added, or had this password.",
                hint="Log in again.",
            )

        def actions(repository: Repository) -> frozenset[Action]:
            token = claims.actions(repository, self._hosts)
            return frozenset(action for action in granted(assignments, repository) if action.value in token)

        def trusted(gun: Gun) -> frozenset[Action]:
            token = claims.actions(gun.repository, self._hosts)
            if Action.PUSH.value in claims.actions_on(str(gun)):
                token |= {Action.SIGN.value}
            return frozenset(action for action in granted(assignments, gun.repository) if action.value in token)

        return Caller(
            claims.principal,
            actions,
            roles=lambda repository: granted(assignments, repository),
            trusted=trusted,
            catalog=CATALOG in claims.access and pulls_everything(assignments),
            known_since=known.stamp,
            begins=claims.issued - LEEWAY,
            ends=claims.expires + LEEWAY,
        )

    async def _known(self, name: PrincipalName, holder: str) -> _Known:
        """A principal, and when it was read: anew where a token is of another holder, who may have come just now."""
        kept = self._roles.get(name)
        same = kept is not None and holder in ("", kept.holder)
        if kept is not None and same and self._fresh.counts(kept.stamp, self._clock()):
            return kept
        stamp = self._fresh.stamp()
        async with self._store.read() as tx:
            record = await tx.identities.get(name)
            gone = record is None or record.disabled
            assignments = None if gone else await tx.identities.assignments(name)
        found = _Known(stamp, assignments, record.holder if record else "")
        self._roles.keep(name, found, 1 + len(assignments or ()))
        return found


class Challenges:
    """Makes WWW-Authenticate values that send a client to the token endpoint of the name it came by."""

    def __init__(self, *, scheme: str, hosts: Collection[Host], service: str) -> None:
        self._scheme = scheme
        self._names = [str(host) for host in hosts]
        self._service = service

    def come_by(self, host_header: str) -> None:
        """Notes the name that the current request's client used; a stranger's name counts as the canonical one."""
        origin.set(self._known(host_header))

    def __call__(self, repository: Repository | None, actions: frozenset[Action], error: str | None) -> str:
        """A Bearer challenge (distribution's token specification; RFC 6750, 3)."""
        return self._made(origin.get(self._names[0]), repository, actions, error)

    def for_host(self, host_header: str) -> Challenge:
        """Makes those of requests that come by this name."""
        return partial(self._made, self._known(host_header))

    def _known(self, host_header: str) -> str:
        return host_header if host_header in self._names else self._names[0]

    def _made(self, name: str, repository: Repository | None, actions: frozenset[Action], error: str | None) -> str:
        realm = f"{self._scheme}://{name}/oauth2/token"
        parts = [f'realm="{realm}"', f'service="{self._service}"']
        if repository is not None and actions:
            words = ",".join(action.value for action in Action if action in actions)
            parts.append(f'scope="repository:{repository}:{words}"')
        if error:
            parts.append(f'error="{error}"')
        return "Bearer " + ",".join(parts)
