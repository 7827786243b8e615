"""The trust-only gate: fetches what the decision of ``trustkit.core.gating`` asks for, and hashes it (TRUST 7)."""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime

from trustkit.core import gating
from trustkit.core.access import Action
from trustkit.core.gating import Decision, Refuse, Serve
from trustkit.core.names import Digest, Repository, Tag
from trustkit.core.ports.images import ManifestBytes
from trustkit.core.view import SignedView
from trustkit.errors import DigestMismatch
from trustkit.gateway.backend import Backend
from trustkit.gateway.reach import Reach
from trustkit.gateway.shape import SNIFF_LIMIT, Kind, shape_of

MAX_SUBJECTS = 4
MAX_REFERRERS = 1_000
LOOKS = 4
"""Blobs that are looked at at a time: each is in memory, and may be of 8 MiB."""
KEEP_HARMLESS = 8_000
"""Digests of blobs that nobody takes for a manifest; one takes 0.3 KiB."""
_FALLBACK = re.compile(r"sha256-([0-9a-f]{64})(?:\.[A-Za-z0-9._-]+)?\Z")


class Gate:
    """Decides over one backend.  Every manifest that it gives out was fetched by digest and hashed.

    What is cached is true of the bytes of a digest for ever; no verdict is.
    """

    def __init__(self, backend: Backend, reach: Reach) -> None:
        self._backend, self._reach, self._manifests = backend, reach, reach.manifests
        self._harmless: OrderedDict[Digest, None] = OrderedDict()
        self._looks = asyncio.Semaphore(LOOKS)

    async def decide(
        self,
        repository: Repository,
        reference: Tag | Digest,
        view: SignedView | None,
        *,
        actions: frozenset[Action],
        head: bool,
        now: datetime,
    ) -> Decision:
        """What the reference is to this caller at ``now``, referrers and fallback tags included (TRUST 7.4).

        Raises:
            RegistryFailed: the backend can't say.
        """
        if isinstance(reference, Tag):
            decision = gating.by_tag(view, repository, reference, actions=actions, head=head, now=now)
            if isinstance(decision, Refuse) and decision.slug == "unsigned":
                return await self._fallback(repository, reference, view, now) or decision
            return decision
        decision = await self._digest(repository, reference, view, actions, now)
        if isinstance(decision, Refuse) and decision.slug == "unsigned":
            return await self._referrer(repository, reference, view, now) or decision
        return decision

    async def fetch(self, repository: Repository, decision: Serve) -> ManifestBytes | None:
        """The bytes that the decision names; None where the registry has lost them.

        Raises:
            DigestMismatch: their length or media type isn't what was signed.
            RegistryFailed: the backend can't say, or sends other bytes.
        """
        found = await self._manifests.get(repository, decision.digest)
        if found is None:
            return None
        try:
            _compare(repository, decision, found)
        except DigestMismatch:
            self._manifests.forget(repository, decision.digest)  # What is refused is asked for again.
            raise
        return found

    async def blob_is_manifest(self, repository: Repository, digest: Digest) -> bool:
        """Whether the blob endpoint would give out a manifest under this digest (TRUST 7.4).

        True for a manifest of the repository, and for any blob whose bytes a client could take for one.
        """
        if digest not in self._harmless:
            async with self._looks:
                if digest not in self._harmless and await self._looks_like_one(repository, digest):
                    return True  # who waited for the same one knows by now
        return await self._backend.holds_manifest(repository, digest)

    async def _looks_like_one(self, repository: Repository, digest: Digest) -> bool:
        data = await self._backend.small_blob(repository, digest, SNIFF_LIMIT)
        if data is not None and shape_of(data).kind is not Kind.OTHER:
            return True
        if data is not None and Digest.of(data) == digest:
            self._harmless[digest] = None
            while len(self._harmless) > KEEP_HARMLESS:
                self._harmless.popitem(last=False)
        return False

    async def artifacts(self, repository: Repository, listed: Sequence[Digest]) -> list[ManifestBytes]:
        """Those of these referrers that are no image and no index (TRUST 7.4)."""
        found = [await self._artifact(repository, digest) for digest in listed]
        return [manifest for manifest in found if manifest is not None]

    async def _digest(
        self,
        repository: Repository,
        digest: Digest,
        view: SignedView | None,
        actions: frozenset[Action],
        now: datetime,
    ) -> Decision:
        search = gating.by_digest(view, repository, digest, actions=actions, now=now)
        try:
            need = next(search)
            while True:
                need = search.send(await self._reach.below(repository, need))
        except StopIteration as done:
            decision: Decision = done.value
            return decision

    async def _referrer(
        self, repository: Repository, digest: Digest, view: SignedView | None, now: datetime
    ) -> Serve | None:
        """A referrer, or a referrer of one, of something that is served to everybody."""
        at = digest
        for _ in range(MAX_SUBJECTS):
            manifest = await self._manifests.get(repository, at)
            if manifest is None:
                return None
            shape = shape_of(manifest.data, manifest.media_type)
            if shape.kind is not Kind.ARTIFACT or shape.subject is None:
                return None
            at = shape.subject
            if isinstance(await self._digest(repository, at, view, frozenset(), now), Serve):
                return Serve(digest)
        return None

    async def _fallback(
        self, repository: Repository, tag: Tag, view: SignedView | None, now: datetime
    ) -> Serve | None:
        """``sha256-<hex>``: the list of referrers, or one of them, where a registry has no API for them."""
        named = _FALLBACK.match(tag.name)
        if not named:
            return None
        subject = Digest.from_hex(named[1])
        if not isinstance(await self._digest(repository, subject, view, frozenset(), now), Serve):
            return None
        digest = await self._backend.resolve(repository, tag)
        manifest = await self._manifests.get(repository, digest) if digest is not None else None
        if digest is None or manifest is None:
            return None
        shape = shape_of(manifest.data, manifest.media_type)
        if shape.kind is Kind.ARTIFACT:
            return Serve(digest)
        if shape.kind is not Kind.INDEX or len(shape.children) > MAX_REFERRERS:
            return None
        for child in shape.children:
            if await self._artifact(repository, child) is None:
                return None
        return Serve(digest)

    async def _artifact(self, repository: Repository, digest: Digest) -> ManifestBytes | None:
        manifest = await self._manifests.get(repository, digest)
        if manifest is None or shape_of(manifest.data, manifest.media_type).kind is not Kind.ARTIFACT:
            return None
        return manifest


def _compare(repository: Repository, decision: Serve, found: ManifestBytes) -> None:
    if decision.length is not None and decision.length != len(found.data):
        raise DigestMismatch(f"{repository}@{decision.digest} is not as long as what was signed.")
    if decision.media_type is not None and decision.media_type != found.media_type:
        raise DigestMismatch(f"{repository}@{decision.digest} was signed as {decision.media_type}.")
