"""Manifests and blobs of a registry (OCI distribution specification 1.1).  Bytes are believed, headers never."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator

from trustkit.core.manifests import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, media_type_of
from trustkit.core.names import Digest, Gun, Host, Tag
from trustkit.core.ports.images import MAX_MANIFEST, ManifestBytes
from trustkit.errors import DigestMismatch, RegistryFailed
from trustkit.remote.auth import Session, scope
from trustkit.remote.http import CHUNK
from trustkit.remote.messages import Headers, Stream
from trustkit.remote.refusals import refusal

ACCEPT = ", ".join((OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST))
VIEW_HEADER = "Trustkit-View"
_BLOB_SECONDS = 24 * 3600.0
_MAX_ERROR = 64 * 1024


class HttpImageRegistry:
    """The ImageRegistry of whatever host a GUN names.

    Args:
        sessions: the authenticated session of a host.
    """

    def __init__(self, sessions: Callable[[Host], Session]) -> None:
        self._sessions = sessions

    def manifest(self, gun: Gun, reference: Tag | Digest, *, registry_view: bool = False) -> ManifestBytes:
        """Fetches a manifest and computes its digest.

        Raises:
            NotFound: no such tag or manifest.
            DigestMismatch: the bytes aren't those of the digest asked for.
            Garbage: more than 4 MiB, no JSON, or another media type than it says itself.
            NotAllowed leaves, Unsigned (a trust-only gateway), CouldNotCheck leaves.
        """
        headers = {"Accept": ACCEPT, **({VIEW_HEADER: "registry"} if registry_view else {})}
        actions = ("pull", "sign") if registry_view else ("pull",)
        answer = self._sessions(gun.host).request(
            "GET",
            f"/v2/{gun.repository}/manifests/{reference}",
            scope=scope(gun, *actions),
            headers=headers,
            max_body=MAX_MANIFEST,
        )
        if answer.status != 200:
            raise refusal(answer, gun.host, absent=True)
        digest = Digest.of(answer.body)
        if isinstance(reference, Digest) and digest != reference:
            raise DigestMismatch(f"{gun.host} sent {digest} for {reference}.")
        media_type = media_type_of(answer.body, answer.headers.get("content-type"))
        return ManifestBytes(digest, media_type, answer.body)

    def put_manifest(self, gun: Gun, reference: Tag | Digest, manifest: ManifestBytes) -> None:
        """Stores a manifest under a tag or its digest.

        Raises:
            DigestMismatch: ``reference`` is another digest.
            RegistryFailed, NotAllowed leaves, CouldNotCheck leaves.
        """
        if isinstance(reference, Digest) and reference != manifest.digest:
            raise DigestMismatch(f"{manifest.digest} can't be stored as {reference}.")
        answer = self._sessions(gun.host).request(
            "PUT",
            f"/v2/{gun.repository}/manifests/{reference}",
            scope=scope(gun, "pull", "push"),
            headers={"Content-Type": manifest.media_type},
            body=manifest.data,
        )
        if answer.status != 201:
            raise refusal(answer, gun.host, absent=True)

    def has_blob(self, gun: Gun, digest: Digest) -> bool:
        """Whether the repository holds a blob.

        Raises:
            NotAllowed leaves, CouldNotCheck leaves.
        """
        path = f"/v2/{gun.repository}/blobs/{digest}"
        push = scope(gun, "pull", "push")
        with self._sessions(gun.host).stream("HEAD", path, scope=push, follow=True) as answer:
            if answer.status in (200, 404):
                return answer.status == 200
            raise refusal(answer.read(_MAX_ERROR), gun.host)

    def put_blob(self, gun: Gun, digest: Digest, chunks: Iterable[bytes], size: int) -> None:
        """Uploads a blob of exactly ``size`` bytes in one pass; the registry checks the digest.

        Raises:
            RegistryFailed: the registry wants the upload from its front, or takes it otherwise than it should.
            NotAllowed leaves, CouldNotCheck leaves.
        """
        session, push = self._sessions(gun.host), scope(gun, "pull", "push")
        start = f"/v2/{gun.repository}/blobs/uploads/"
        opened = session.request("POST", start, scope=push, body=b"")
        if opened.status != 202:
            raise refusal(opened, gun.host, absent=True)
        with session.stream(
            "PUT",
            session.client.local_path(_location(opened.headers, gun.host), start),
            scope=push,
            query=[("digest", str(digest))],
            headers={"Content-Type": "application/octet-stream", "Content-Length": str(size)},
            body=_OnePass(chunks, size, gun.host),
            total=_BLOB_SECONDS,
        ) as answer:
            if answer.status != 201:
                raise refusal(answer.read(_MAX_ERROR), gun.host, absent=True)

    def blob(self, gun: Gun, digest: Digest, size: int) -> Iterator[bytes]:
        """Streams a blob.

        Raises:
            DigestMismatch: longer than ``size`` bytes, or at its end other bytes or fewer.  What was given out until
                then must not be used.
            NotFound, NotAllowed leaves, CouldNotCheck leaves.
        """
        path = f"/v2/{gun.repository}/blobs/{digest}"
        with self._sessions(gun.host).stream(
            "GET", path, scope=scope(gun, "pull"), total=_BLOB_SECONDS, follow=True
        ) as answer:
            if answer.status != 200:
                raise refusal(answer.read(_MAX_ERROR), gun.host, absent=True)
            yield from _checked(answer, digest, size)


def _checked(answer: Stream, digest: Digest, size: int) -> Iterator[bytes]:
    hasher, length = hashlib.sha256(), 0
    for chunk in answer.chunks:
        length += len(chunk)
        if length > size:
            raise DigestMismatch(f"The blob {digest} goes on after its {size} bytes.")
        hasher.update(chunk)
        yield chunk
    if length != size or hasher.hexdigest() != digest.hex:
        raise DigestMismatch(f"The blob {digest} has other bytes than it should.")


def _location(headers: Headers, host: Host) -> str:
    location = headers.get("location")
    if not location:
        raise RegistryFailed(f"{host} opened an upload without saying where.")
    return location


class _OnePass:
    """The chunks of an upload, which can be sent once; cut to a size that a slow line sends within one window."""

    def __init__(self, chunks: Iterable[bytes], size: int, host: Host) -> None:
        self._chunks, self._size, self._host = chunks, size, host
        self._started = False

    def __call__(self) -> Iterator[bytes]:
        if self._started:
            raise RegistryFailed(
                f"{self._host} wants to know who is asking in the middle of an upload.", hint="Try again."
            )
        self._started = True
        return self._send()

    def _send(self) -> Iterator[bytes]:
        sent = 0
        for chunk in self._chunks:
            sent += len(chunk)
            if sent > self._size:
                break
            for at in range(0, len(chunk), CHUNK):
                yield chunk[at : at + CHUNK]
        if sent != self._size:
            raise RegistryFailed(f"An upload should have {self._size} bytes and has other.")
