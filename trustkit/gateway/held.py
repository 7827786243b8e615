"""Manifests that were fetched by digest and hashed, kept in memory for a moment (TRUST 7.1)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from trustkit.core.bounded import Bounded
from trustkit.core.names import Digest, Repository
from trustkit.core.ports.images import Images, ManifestBytes

KEEP_BYTES = 6 * 1024 * 1024
OVERHEAD = 1024
"""What a manifest takes besides its bytes."""
LARGEST = 512 * 1024
"""Bytes; a longer manifest is fetched each time, so that one of them doesn't push out all others."""

_Key = tuple[Repository, Digest]


class HeldManifests:
    """A registry's manifests by digest.  The bytes of a digest never change, so only their being there can be stale.

    Whoever asks while another asks for the same shares that answer.

    Args:
        keep: for how many seconds the registry isn't asked again: what was deleted there is still served for so long.
        clock: monotonic seconds.
        limit: bytes that are kept, of all manifests with what they take besides.
    """

    def __init__(
        self, images: Images, *, keep: float, clock: Callable[[], float] = time.monotonic, limit: int = KEEP_BYTES
    ) -> None:
        self._images, self._keep, self._clock = images, keep, clock
        self._kept: Bounded[_Key, tuple[float, ManifestBytes]] = Bounded(limit)
        self._asking: dict[_Key, asyncio.Task[ManifestBytes | None]] = {}

    async def get(self, repository: Repository, digest: Digest) -> ManifestBytes | None:
        """As ``Images.manifest``."""
        key = (repository, digest)
        kept = self._kept.get(key)
        if kept is not None and self._clock() - kept[0] < self._keep:
            return kept[1]
        task = self._asking.get(key)
        if task is None:
            # Whoever came first may go away; the others still want the answer.
            task = self._asking[key] = asyncio.create_task(self._ask(key))
            task.add_done_callback(lambda done: self._asked(key, done))
        return await asyncio.shield(task)

    def forget(self, repository: Repository, digest: Digest) -> None:
        """Asks the registry again, also where it is being asked at this moment."""
        self._asking.pop((repository, digest), None)
        self._kept.drop((repository, digest))

    async def _ask(self, key: _Key) -> ManifestBytes | None:
        return await self._images.manifest(*key)

    def _asked(self, key: _Key, done: asyncio.Task[ManifestBytes | None]) -> None:
        current = self._asking.get(key) is done
        if current:
            del self._asking[key]
        if done.cancelled() or done.exception() is not None or not current:
            return
        self._kept.drop(key)
        found = done.result()
        if found is None or len(found.data) > LARGEST or not self._keep:
            return
        self._kept.keep(key, (self._clock(), found), OVERHEAD + len(found.data))

    @property
    def size(self) -> int:
        """Bytes that are kept."""
        return self._kept.size
