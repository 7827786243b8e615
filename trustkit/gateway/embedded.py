"""The embedded registry: the distribution specification 1.1 over OCI image layouts on disk."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

from trustkit.core.names import Digest, Repository, Tag
from trustkit.core.paths import Blob, Catalog, Manifest, Referrers, TagList, Upload, Uploads
from trustkit.core.ports.images import MAX_MANIFEST, ManifestBytes
from trustkit.errors import RegistryFailed
from trustkit.gateway import embedded_blobs as blobs
from trustkit.gateway import embedded_manifests as manifests
from trustkit.gateway.backend import BackendRoute
from trustkit.gateway.exchange import Exchange
from trustkit.gateway.layout import Layout, Layouts
from trustkit.gateway.paging import page
from trustkit.gateway.problems import API_VERSION, JSON, Code, Refused


class EmbeddedRegistry:
    """A registry that keeps its images below one folder; a ``Backend``.

    Args:
        root: the folder; made when the first image comes.  Several processes may serve it at once.
    """

    def __init__(self, root: Path) -> None:
        self._layouts = Layouts(root)

    @property
    def keep_seconds(self) -> float:
        """As ``Backend``: what has changed on the disk shows at once."""
        return 0.0

    def layout(self, repository: Repository) -> Layout:
        """The layout that holds a repository."""
        return self._layouts.of(repository)

    async def resolve(self, repository: Repository, tag: Tag) -> Digest | None:
        """As ``Images``."""
        entry = (await asyncio.to_thread(self.layout(repository).index)).tags.get(tag)
        return entry.digest if entry is not None else None

    async def manifest(self, repository: Repository, digest: Digest) -> ManifestBytes | None:
        """As ``Images``."""
        layout = self.layout(repository)
        entry = (await asyncio.to_thread(layout.index)).manifests.get(digest)
        if entry is None:
            return None
        data = await self.small_blob(repository, digest, MAX_MANIFEST)
        if data is None:
            return None
        if Digest.of(data) != digest:
            raise RegistryFailed(f"The stored manifest {digest} of {repository} is damaged.")
        return ManifestBytes(digest, entry.media_type, data)

    async def small_blob(self, repository: Repository, digest: Digest, limit: int) -> bytes | None:
        """As ``Backend``."""
        layout = self.layout(repository)
        size = await asyncio.to_thread(layout.size, digest)
        if size is None or size > limit:
            return None
        return await asyncio.to_thread(layout.read, digest)

    async def holds_manifest(self, repository: Repository, digest: Digest) -> bool:
        """As ``Backend``."""
        return digest in (await asyncio.to_thread(self.layout(repository).index)).manifests

    async def referrers(self, repository: Repository, subject: Digest) -> Sequence[Digest]:
        """As ``Backend``."""
        index = await asyncio.to_thread(self.layout(repository).index)
        return [entry.digest for entry in index.manifests.values() if entry.subject == subject]

    async def repositories(self) -> Sequence[Repository]:
        """As ``Backend``."""
        return await asyncio.to_thread(self._layouts.repositories)

    async def close(self) -> None:
        """As ``Backend``; there is nothing to let go of."""

    async def answer(self, exchange: Exchange, route: BackendRoute) -> None:
        """As ``Backend``."""
        method = "GET" if exchange.head else exchange.method
        match method, route:
            case "GET", Catalog():
                await self._catalog(exchange)
            case _, Manifest():
                await self._manifest(exchange, method, route)
            case _, Blob():
                await self._blob(exchange, method, route)
            case "POST", Uploads():
                await blobs.start(exchange, self._layouts, route)
            case _, Upload():
                await self._upload(exchange, method, route)
            case "GET", TagList():
                await manifests.tags(exchange, self.layout(route.repository), route)
            case "GET", Referrers():
                await manifests.referrers(exchange, self.layout(route.repository), route)
            case _:
                raise unsupported(exchange)

    async def _manifest(self, exchange: Exchange, method: str, route: Manifest) -> None:
        call = {"GET": manifests.get, "PUT": manifests.put, "DELETE": manifests.delete}.get(method)
        if call is None:
            raise unsupported(exchange)
        await call(exchange, self.layout(route.repository), route)

    async def _blob(self, exchange: Exchange, method: str, route: Blob) -> None:
        call = {"GET": blobs.get, "DELETE": blobs.delete}.get(method)
        if call is None:
            raise unsupported(exchange)
        await call(exchange, self.layout(route.repository), route)

    async def _upload(self, exchange: Exchange, method: str, route: Upload) -> None:
        table = {"GET": blobs.status, "PATCH": blobs.append, "PUT": blobs.finish, "DELETE": blobs.cancel}
        call = table.get(method)
        if call is None:
            raise unsupported(exchange)
        await call(exchange, self.layout(route.repository), route)

    async def _catalog(self, exchange: Exchange) -> None:
        await send_catalog(exchange, await self.repositories())


async def send_catalog(exchange: Exchange, repositories: Sequence[Repository]) -> None:
    """Replies with a page of these repositories."""
    chosen, link = page([str(name) for name in repositories], exchange.parameters(), path="/v2/_catalog")
    body = json.dumps({"repositories": list(chosen)}).encode()
    await exchange.reply(200, [("content-type", JSON), API_VERSION, *link], body)


def unsupported(exchange: Exchange) -> Refused:
    """The method means nothing on this route."""
    return Refused(Code.UNSUPPORTED, f"{exchange.method} is not supported here.")
