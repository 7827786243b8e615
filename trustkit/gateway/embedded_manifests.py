"""The embedded registry's manifests, tags and referrers (distribution specification 1.1)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

from trustkit.core.manifests import INDEXES, OCI_INDEX
from trustkit.core.names import Digest, Tag
from trustkit.core.paths import Manifest, Referrers, TagList
from trustkit.core.ports.images import MAX_MANIFEST, ManifestBytes
from trustkit.errors import InvalidName, NotFound, RegistryFailed
from trustkit.gateway.conditional import etag, unchanged
from trustkit.gateway.exchange import Exchange, HeaderPairs
from trustkit.gateway.index import Entry
from trustkit.gateway.layout import Layout
from trustkit.gateway.paging import REFERRERS, page
from trustkit.gateway.problems import API_VERSION, JSON, Code, Refused
from trustkit.gateway.shape import shape_of

MAX_REFERENCES = 4_096


async def get(exchange: Exchange, layout: Layout, route: Manifest) -> None:
    """GET and HEAD of a manifest by tag or digest; bytes that changed on the disk don't leave.

    Raises:
        RegistryFailed: the stored bytes are not those of the digest (TRUST 4.4).
    """
    index = await asyncio.to_thread(layout.index)
    name = route.reference
    entry = index.tags.get(name) if isinstance(name, Tag) else index.manifests.get(name)
    data = await asyncio.to_thread(layout.read, entry.digest) if entry is not None else None
    if entry is None or data is None:
        raise unknown_manifest(route)
    if Digest.of(data) != entry.digest:
        raise RegistryFailed(f"The stored manifest {entry.digest} of {route.repository} is damaged.")
    await send_manifest(exchange, ManifestBytes(entry.digest, entry.media_type, data))


async def send_manifest(exchange: Exchange, manifest: ManifestBytes) -> None:
    """Replies with a manifest, or with 304 where the client has it."""
    if await unchanged(exchange, manifest.digest):
        return
    headers = [
        ("content-type", manifest.media_type),
        ("docker-content-digest", str(manifest.digest)),
        ("etag", etag(manifest.digest)),
        API_VERSION,
    ]
    await exchange.reply(200, headers, manifest.data)


def unknown_manifest(route: Manifest) -> Refused:
    """There is no such manifest."""
    return Refused(Code.MANIFEST_UNKNOWN, f"{route.repository} has no manifest {route.reference}.")


async def put(exchange: Exchange, layout: Layout, route: Manifest) -> None:
    """PUT of a manifest by tag or digest; everything that it refers to has to be here."""
    data = await exchange.body(MAX_MANIFEST)
    digest = Digest.of(data)
    if isinstance(route.reference, Digest) and route.reference != digest:
        raise Refused(Code.DIGEST_INVALID, f"The manifest's digest is {digest}, not {route.reference}.")
    value = _document(data)
    media_type = _media_type(exchange.media_type, value)
    shape = shape_of(data, media_type)
    artifact_type = shape.artifact_type if shape.subject else ""
    entry = Entry(digest, media_type, len(data), artifact_type, shape.subject)
    tag = route.reference if isinstance(route.reference, Tag) else None
    try:
        await asyncio.to_thread(layout.put_manifest, data, entry, tag, list(_needed(value)))
    except NotFound as error:
        raise Refused(Code.MANIFEST_BLOB_UNKNOWN, error.message, detail=error.context) from error
    headers = [
        ("location", f"/v2/{route.repository}/manifests/{digest}"),
        ("docker-content-digest", str(digest)),
        API_VERSION,
    ]
    if shape.subject is not None:
        headers.append(("oci-subject", str(shape.subject)))
    await exchange.reply(201, headers)


def _document(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_unambiguous)
    except (ValueError, RecursionError) as error:
        raise Refused(Code.MANIFEST_INVALID, "The manifest is not JSON that every client reads alike.") from error
    if not isinstance(value, dict):
        raise Refused(Code.MANIFEST_INVALID, "The manifest is not a JSON object.")
    if "manifests" in value and ({"layers", "config", "fsLayers"} & value.keys()):
        raise Refused(Code.MANIFEST_INVALID, "The manifest is an index and an image at once.")
    return value


def _unambiguous(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) != len(pairs):
        raise ValueError("a member stands twice")
    return dict(pairs)


def _media_type(sent: str, value: dict[str, Any]) -> str:
    own = value.get("mediaType")
    if own is not None and (not isinstance(own, str) or (sent and sent != own)):
        raise Refused(Code.MANIFEST_INVALID, "The manifest's mediaType is not the request's Content-Type.")
    media_type = own or sent
    if not media_type:
        raise Refused(Code.MANIFEST_INVALID, "The manifest came without a media type.")
    if ("manifests" in value) != (media_type in INDEXES):
        raise Refused(Code.MANIFEST_INVALID, "The manifest's members don't fit its media type.")
    return str(media_type)


def _needed(value: dict[str, Any]) -> Iterator[Digest]:
    descriptors = [value["config"]] if "config" in value else []
    for name in ("layers", "blobs", "manifests"):
        listed = value.get(name, [])
        if not isinstance(listed, list):
            raise Refused(Code.MANIFEST_INVALID, f"The manifest's {name} are no list.")
        descriptors.extend(listed)
    if len(descriptors) > MAX_REFERENCES:
        raise Refused(Code.MANIFEST_INVALID, f"The manifest refers to more than {MAX_REFERENCES} things.")
    for item in descriptors:
        if not isinstance(item, dict):
            raise Refused(Code.MANIFEST_INVALID, "The manifest has a descriptor that is no object.")
        if item.get("urls"):  # A foreign layer is fetched elsewhere and needn't be here.
            continue
        try:
            yield Digest.parse(str(item.get("digest", "")))
        except InvalidName as error:
            raise Refused(Code.MANIFEST_INVALID, error.message) from error


async def delete(exchange: Exchange, layout: Layout, route: Manifest) -> None:
    """DELETE of a tag, or of a manifest with all its tags."""
    try:
        if isinstance(route.reference, Tag):
            await asyncio.to_thread(layout.delete_tag, route.reference)
        else:
            await asyncio.to_thread(layout.delete_manifest, route.reference)
    except NotFound as error:
        raise unknown_manifest(route) from error
    await exchange.reply(202, [API_VERSION])


async def tags(exchange: Exchange, layout: Layout, route: TagList) -> None:
    """A page of the repository's tags."""
    if not await asyncio.to_thread(lambda: layout.exists):
        raise Refused(Code.NAME_UNKNOWN, f"There is no repository {route.repository}.")
    await send_tags(exchange, route, (await asyncio.to_thread(layout.index)).tags)


async def send_tags(exchange: Exchange, route: TagList, tags: Iterable[Tag]) -> None:
    """Replies with a page of these tags, which it puts in order."""
    names = sorted(str(tag) for tag in tags)
    chosen, link = page(names, exchange.parameters(), path=f"/v2/{route.repository}/tags/list")
    body = json.dumps({"name": str(route.repository), "tags": list(chosen)}).encode()
    await exchange.reply(200, [("content-type", JSON), API_VERSION, *link], body)


async def referrers(exchange: Exchange, layout: Layout, route: Referrers) -> None:
    """A page of the referrers of a manifest, which needn't exist, as an image index."""
    index = await asyncio.to_thread(layout.index)
    wanted = exchange.parameters().get("artifactType", "")
    found = [entry for entry in index.manifests.values() if entry.subject == route.digest]
    chosen, link = referrers_page(exchange, route, [e.digest for e in found if wanted in ("", e.artifact_type)])
    described = await asyncio.to_thread(_described, layout, [index.manifests[digest] for digest in chosen])
    await send_referrers(exchange, described, link)


def referrers_page(
    exchange: Exchange, route: Referrers, found: Iterable[Digest]
) -> tuple[list[Digest], list[tuple[str, str]]]:
    """Those of the referrers that are on the page that the request asks for, and the Link to the next one."""
    path = f"/v2/{route.repository}/referrers/{route.digest}"
    names = sorted(str(digest) for digest in found)
    chosen, link = page(names, exchange.parameters(), path=path, most=REFERRERS, keep=("artifactType",))
    return [Digest.parse(name) for name in chosen], link


def _described(layout: Layout, entries: Iterable[Entry]) -> list[dict[str, Any]]:
    whole = [(entry, layout.read(entry.digest)) for entry in entries]
    return [describe(ManifestBytes(e.digest, e.media_type, data)) for e, data in whole if data is not None]


async def send_referrers(exchange: Exchange, descriptors: list[dict[str, Any]], link: HeaderPairs) -> None:
    """Replies with an index of these, filtered as the request asks, and the Link to the next page."""
    wanted = exchange.parameters().get("artifactType", "")
    headers = [("content-type", OCI_INDEX), API_VERSION, *link]
    if wanted:
        descriptors = [item for item in descriptors if item.get("artifactType") == wanted]
        headers.append(("oci-filters-applied", "artifactType"))
    value = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": descriptors}
    await exchange.reply(200, headers, json.dumps(value).encode())


def describe(manifest: ManifestBytes) -> dict[str, Any]:
    """A referrer's descriptor with its artifact type and its own annotations, where they can be read.

    A registry of somebody else's takes manifests that are no JSON for us, and one of them must not hide the others.
    """
    value: dict[str, Any] = {
        "mediaType": manifest.media_type,
        "digest": str(manifest.digest),
        "size": len(manifest.data),
    }
    artifact_type = shape_of(manifest.data, manifest.media_type).artifact_type
    if artifact_type:
        value["artifactType"] = artifact_type
    with suppress(ValueError, RecursionError, AttributeError):
        annotations = json.loads(manifest.data).get("annotations")
        if isinstance(annotations, dict):
            value["annotations"] = annotations
    return value
