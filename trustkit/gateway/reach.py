"""What lies below a manifest in one registry: fetched, hashed, kept for as long as it is true (TRUST 7.1, 7.3)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from trustkit.core import gating
from trustkit.core.gating import Reached
from trustkit.core.manifests import Descriptor, children
from trustkit.core.names import Digest, Repository
from trustkit.core.ports.images import Images
from trustkit.errors import Garbage
from trustkit.gateway.held import HeldManifests

KEEP_DESCRIPTORS = 200_000


class Reach:
    """Drives ``gating.below`` over one registry.

    What an index reaches follows from its bytes, so it is kept whatever is published; at most as many descriptors.

    Args:
        keep: as ``HeldManifests``.

    Attributes:
        manifests: the registry's manifests; who deletes one there says so to them.
    """

    def __init__(self, images: Images, *, keep: float) -> None:
        self.manifests = HeldManifests(images, keep=keep)
        self._kept: OrderedDict[Digest, Reached] = OrderedDict()
        self._size = 0

    async def below(self, repository: Repository, root: Digest) -> Reached:
        """Everything below this manifest; less where the registry lacks an index on the way, and that isn't kept.

        Raises:
            RegistryFailed: the registry can't say.
        """
        known = self._kept.get(root)
        if known is not None:
            self._kept.move_to_end(root)
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
        if whole and root not in self._kept:
            self._keep(root, reached)
        return reached

    def _keep(self, root: Digest, reached: Reached) -> None:
        self._kept[root] = reached
        self._size += len(reached) + 1
        while self._size > KEEP_DESCRIPTORS:
            _, dropped = self._kept.popitem(last=False)
            self._size -= len(dropped) + 1

    async def _listed(self, repository: Repository, index: Digest) -> Sequence[Descriptor] | None:
        manifest = await self.manifests.get(repository, index)
        if manifest is None:
            return None
        try:
            return children(manifest)
        except Garbage:
            return ()
