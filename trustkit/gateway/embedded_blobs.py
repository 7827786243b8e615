"""The embedded registry's blobs and uploads (distribution specification 1.1)."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from trustkit.core.names import Digest, Repository
from trustkit.core.paths import Blob, Upload, Uploads
from trustkit.errors import Conflict, DigestMismatch, InvalidName, NotFound
from trustkit.gateway import ranges, uploads
from trustkit.gateway.conditional import asked_range, etag, unchanged
from trustkit.gateway.exchange import Exchange
from trustkit.gateway.layout import Layout, Layouts, disk_errors
from trustkit.gateway.problems import API_VERSION, Code, Refused

PIECE = 1 << 20
"""Bytes that are read or written by one call: each is a hop to a thread."""


async def get(exchange: Exchange, layout: Layout, route: Blob) -> None:
    """GET and HEAD of a blob, or of one range of it."""
    descriptor, size = await asyncio.to_thread(_open, layout, route)
    if exchange.head:  # Who pushes looks, and then relies on it.
        await asyncio.to_thread(layout.touch, route.digest)
    try:
        if await unchanged(exchange, route.digest):
            return
        part = ranges.download(asked_range(exchange, route.digest), size)
        start, end = part or (0, size)
        headers = [
            ("content-type", "application/octet-stream"),
            ("content-length", str(end - start)),
            ("docker-content-digest", str(route.digest)),
            ("etag", etag(route.digest)),
            ("accept-ranges", "bytes"),
            API_VERSION,
        ]
        if part:
            headers.append(("content-range", f"bytes {start}-{end - 1}/{size}"))
        await exchange.stream(206 if part else 200, headers, _pieces(descriptor, start, end))
    finally:
        os.close(descriptor)


def _open(layout: Layout, route: Blob) -> tuple[int, int]:
    with disk_errors():
        try:
            descriptor = os.open(layout.blob(route.digest), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError as error:
            raise unknown_blob(route) from error
        return descriptor, os.fstat(descriptor).st_size


async def _pieces(descriptor: int, start: int, end: int) -> AsyncIterator[bytes]:
    while start < end:
        with disk_errors():
            data = await asyncio.to_thread(os.pread, descriptor, min(PIECE, end - start), start)
        if not data:
            return
        start += len(data)
        yield data


def unknown_blob(route: Blob) -> Refused:
    """There is no such blob."""
    return Refused(Code.BLOB_UNKNOWN, f"{route.repository} has no blob {route.digest}.")


async def delete(exchange: Exchange, layout: Layout, route: Blob) -> None:
    """DELETE of a blob."""
    try:
        await asyncio.to_thread(layout.delete_blob, route.digest)
    except NotFound as error:
        raise unknown_blob(route) from error
    await exchange.reply(202, [API_VERSION])


async def start(exchange: Exchange, layouts: Layouts, route: Uploads) -> None:
    """POST: a mount, a whole blob in one request, or the start of an upload."""
    parameters = exchange.parameters()
    layout = layouts.of(route.repository)
    if "mount" in parameters and await _mount(layout, layouts, parameters):
        await _created(exchange, route.repository, Digest.parse(parameters["mount"]))
        return
    if "digest" in parameters:
        _digest(exchange)  # Before there is an upload that nobody would finish.
    session = await asyncio.to_thread(layout.start_upload)
    if "digest" in parameters:
        await finish(exchange, layout, Upload(route.repository, session))
        return
    await exchange.reply(202, _progress(route.repository, session, 0))


async def _mount(layout: Layout, layouts: Layouts, parameters: dict[str, str]) -> bool:
    source = parameters.get("from", "")
    if not source:
        return False
    digest = Digest.parse(parameters["mount"])
    return await asyncio.to_thread(layout.link, layouts.of(Repository.parse(source)), digest)


async def status(exchange: Exchange, layout: Layout, route: Upload) -> None:
    """GET: how far the upload has come."""
    async with _turn(layout, route) as upload:
        await exchange.reply(204, _progress(route.repository, route.session, upload.offset))


async def append(exchange: Exchange, layout: Layout, route: Upload) -> None:
    """PATCH: the next chunk, in order; a stream without Content-Range is one chunk."""
    async with _turn(layout, route) as upload:
        await _receive(exchange, upload, route)
        await exchange.reply(202, _progress(route.repository, route.session, upload.offset))


async def finish(exchange: Exchange, layout: Layout, route: Upload) -> None:
    """PUT with a digest: the last chunk, if any, and the check of the whole."""
    digest = _digest(exchange)
    async with _turn(layout, route) as upload:
        await _receive(exchange, upload, route)
        try:
            await asyncio.to_thread(layout.finish_upload, upload, digest)
        except DigestMismatch as error:
            raise Refused(Code.DIGEST_INVALID, error.message) from error
    await _created(exchange, route.repository, digest)


def _digest(exchange: Exchange) -> Digest:
    try:
        return Digest.parse(exchange.parameters().get("digest", ""))
    except InvalidName as error:
        raise Refused(Code.DIGEST_INVALID, error.message) from error


async def cancel(exchange: Exchange, layout: Layout, route: Upload) -> None:
    """DELETE: throws the upload away."""
    async with _turn(layout, route) as upload:
        with disk_errors():
            await asyncio.to_thread(upload.cancel)
    await exchange.reply(204, [API_VERSION])


@asynccontextmanager
async def _turn(layout: Layout, route: Upload) -> AsyncIterator[uploads.Upload]:
    try:
        upload = await asyncio.to_thread(layout.upload, route.session)
    except NotFound as error:
        raise Refused(Code.BLOB_UPLOAD_UNKNOWN, "There is no such upload.") from error
    except Conflict as error:
        raise Refused(Code.BLOB_UPLOAD_INVALID, error.message, status=409) from error
    try:
        yield upload
    finally:
        upload.close()


async def _receive(exchange: Exchange, upload: uploads.Upload, route: Upload) -> None:
    before = upload.offset
    progress = _progress(route.repository, route.session, before)
    declared = ranges.chunk(exchange.headers.get("content-range", ""), before, progress)
    pending = bytearray()
    async for data in exchange.chunks():
        pending += data
        if len(pending) >= PIECE:
            await _write(upload, bytes(pending))
            pending.clear()
    await _write(upload, bytes(pending))
    if declared is not None and upload.offset - before != declared:
        with disk_errors():
            await asyncio.to_thread(upload.cut, before)
        raise Refused(Code.SIZE_INVALID, "The chunk is not as long as its Content-Range.")


async def _write(upload: uploads.Upload, data: bytes) -> None:
    if data:
        with disk_errors():
            await asyncio.to_thread(upload.write, data)


def _progress(repository: Repository, session: str, offset: int) -> list[tuple[str, str]]:
    return [
        ("location", f"/v2/{repository}/blobs/uploads/{session}"),
        ("range", f"0-{max(offset - 1, 0)}"),
        ("docker-upload-uuid", session),
        API_VERSION,
    ]


async def _created(exchange: Exchange, repository: Repository, digest: Digest) -> None:
    headers = [
        ("location", f"/v2/{repository}/blobs/{digest}"),
        ("docker-content-digest", str(digest)),
        API_VERSION,
    ]
    await exchange.reply(201, headers)
