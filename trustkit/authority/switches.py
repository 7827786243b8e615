"""The operator's switches as a running service sees them (TRUST 8.4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from trustkit.authority.freshness import Freshness
from trustkit.authority.settings import content_trust
from trustkit.core.names import Repository
from trustkit.core.patterns import RepositoryPattern
from trustkit.core.ports.service import Store
from trustkit.core.stamps import Stamp
from trustkit.errors import TrustDisabled


class Switches:
    """Content trust and trust-only patterns, read again when they may have changed (``freshness``)."""

    def __init__(self, store: Store, *, clock: Callable[[], datetime], fresh: Freshness | None = None) -> None:
        self._store = store
        self._clock = clock
        self._fresh = fresh or Freshness(clock=clock)
        self._read: Stamp | None = None
        self._enabled = True
        self._patterns: Mapping[RepositoryPattern, bool] = {}

    async def trust_only(self, repository: Repository) -> bool:
        """Whether the repository serves signed tags only; the most specific pattern decides."""
        await self._refresh()
        matching = [
            (pattern.specificity, on) for pattern, on in self._patterns.items() if pattern.matches(repository)
        ]
        return max(matching)[1] if matching else False

    async def require_content_trust(self) -> None:
        """Raises TrustDisabled while content trust is off; trust-only repositories then refuse (TRUST 7.6)."""
        await self._refresh()
        if not self._enabled:
            raise TrustDisabled(
                "Content trust is switched off on this service, so nothing can be said to be signed.",
                hint="An operator switches it on: trustkit admin policy set content-trust enabled.",
            )

    async def _refresh(self) -> None:
        if self._read is not None and self._fresh.counts(self._read, self._clock()):
            return
        stamp = self._fresh.stamp()
        async with self._store.read() as tx:
            self._enabled = await content_trust(tx)
            self._patterns = await tx.settings.trust_only_patterns()
        self._read = stamp
