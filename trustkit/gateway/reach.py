"""What lies below a manifest in one registry: fetched, hashed, kept for as long as it is true (TRUST 7.1, 7.3)."""

from __future__ import annotations

from collections.abc import Sequence

from trustkit.core import gating
from trustkit.core.bounded import Bounded
from trustkit.core.gating import Reached
from trustkit.core.manifests import Descriptor, children
from trustkit.core.names import Digest, Repository
from trustkit.core.ports.images import Images
from trustkit.errors import Garbage
from trustkit.gateway.held import HeldManifests

KEEP_DESCRIPTORS = 8_000
"""Of all indexes together; one takes half a KiB."""


class Reach:
    """Drives ``gating.below`` over one registry.

    What an index reaches follows from its bytes, so it is kept whatever is published; at most as many descriptors.

    Args:
        keep: as ``HeldManifests``.
        limit: descriptors that are kept.

    Attributes:
        manifests: the registry's manifests; who deletes one there says so to them.
    """

    def __init__(self, images: Images, *, keep: float, limit: int = KEEP_DESCRIPTORS) -> None:
        self.manifests = HeldManifests(images, keep=keep)
        self._kept: Bounded[Digest, Reached] = Bounded(limit)

    async def below(self, repository: Repository, root: Digest) -> Reached:
        """Everything below this manifest; less where the registry lacks an index on the way, and that isn't kept.

        Raises:
            RegistryFailed: the registry can't say.
        """
        known = self._kept.get(root)
        if known is not None:
            return known
        search, whole = gating.below(root), True
        try:
            need = next(search)
            while True:
                listed = await self._listed(repository, need)
                whole = whole and listed is not None
                need = search.send(listed or ())
        except StopIteration as done:
            reached: Reached = done.value
        if whole:
            self._kept.keep(root, reached, len(reached) + 1)
        return reached

    @property
    def size(self) -> int:
        """Descriptors that are kept, and one for each index."""
        return self._kept.size

    async def _listed(self, repository: Repository, index: Digest) -> Sequence[Descriptor] | None:
        manifest = await self.manifests.get(repository, index)
        if manifest is None:
            return None
        try:
            return children(manifest)
        except Garbage:
            return ()
