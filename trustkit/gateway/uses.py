"""What a registry has to keep, and the refusal to delete it: signed and superseded content is in use."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime

from trustkit.core.manifests import blobs
from trustkit.core.names import Digest, Repository, Tag
from trustkit.core.paths import Blob, Manifest
from trustkit.core.uses import Use, below, named_uses
from trustkit.core.view import SignedView
from trustkit.errors import Garbage, InUse
from trustkit.gateway.reach import Reach

Standing = Callable[[Repository], Awaitable[SignedView | None]]
"""What a repository's collection signs, whatever of it has expired and also while content trust is off; None for no
collection.  Raises NotTrusted where nobody can say, and then nothing is deleted."""


class Uses:
    """Knows what is in use in the repositories of one registry."""

    def __init__(self, reach: Reach, *, standing: Standing, now: Callable[[], datetime]) -> None:
        self._reach, self._standing, self._now = reach, standing, now

    async def of(self, repository: Repository) -> Mapping[Digest, Use]:
        """Every manifest in use, with a reason each.

        Raises:
            NotTrusted, RegistryFailed: nobody can say.
        """
        view = await self._standing(repository)
        if view is None:
            return {}
        named = named_uses(view, self._now())
        uses = dict(named)
        for root, use in named.items():
            for digest in await self._reach.below(repository, root):
                known = uses.get(digest)
                if known is None or (known.until is not None and use.until is None):
                    uses[digest] = below(use, digest)
        return uses

    async def check_deletion(self, route: Manifest | Blob) -> None:
        """Passes where nothing that is signed or superseded needs this.

        A tag is in use while it is signed, whatever it points at.  A blob is while a manifest in use lists it.

        Raises:
            InUse: with the tag to revoke first.
            NotTrusted, RegistryFailed: nobody can say.
        """
        repository = route.repository
        view = await self._standing(repository)
        if view is None:
            return
        if isinstance(route, Manifest) and isinstance(route.reference, Tag):
            if route.reference in view.targets:
                raise _in_use(f"{repository}:{route.reference}", "it is signed", view, route.reference)
            return
        uses = await self.of(repository)
        digest = route.digest if isinstance(route, Blob) else route.reference
        use = uses.get(digest) if isinstance(digest, Digest) else None
        if use is None and isinstance(route, Blob):
            use = await self._lister(repository, route.digest, uses)
        if use is not None:
            what = f"{digest} of {repository}"
            raise _in_use(what, str(use) if use.digest == digest else f"{use.digest} needs it, {use}", view, use.tag)

    async def _lister(self, repository: Repository, blob: Digest, uses: Mapping[Digest, Use]) -> Use | None:
        for digest, use in uses.items():
            manifest = await self._reach.manifests.get(repository, digest)
            try:
                if manifest is not None and any(item.digest == blob for item in blobs(manifest)):
                    return use
            except Garbage:
                continue
        return None


def _in_use(what: str, why: str, view: SignedView, tag: Tag) -> InUse:
    return InUse(
        f"{what} is in use: {why}.",
        hint=f"Revoke it first: trustkit revoke {view.gun}:{tag}",
        gun=str(view.gun),
        tag=str(tag),
    )
