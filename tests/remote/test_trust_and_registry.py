"""The trust service and the registry, as a server that we control answers them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable

import pytest
from securesystemslib.signer import CryptoSigner

from tests.remote.conftest import Handler, Running, Serve
from trustkit.core.names import Digest, Gun, Host, Repository, Tag
from trustkit.core.ports.images import ManifestBytes
from trustkit.errors import (
    BadVersion,
    Conflict,
    DigestMismatch,
    Garbage,
    NoCollection,
    NotFound,
    RegistryFailed,
    RoleMissing,
    TrustkitError,
    Unsigned,
)
from trustkit.remote.auth import Session
from trustkit.remote.http import HttpClient, Limits
from trustkit.remote.registry import HttpImageRegistry
from trustkit.remote.trust import HttpTrustService
from trustkit.server.multipart import read_upload

OCI = "application/vnd.oci.image.manifest.v1+json"
MANIFEST = json.dumps({"schemaVersion": 2, "mediaType": OCI}).encode()
DIGEST = Digest.of(MANIFEST)


def sessions(host: Host) -> Session:
    return Session(HttpClient(host, environ={"HOME": "/nonexistent"}, limits=Limits(total=5)), lambda: None)


TRUST = HttpTrustService(sessions)
IMAGES = HttpImageRegistry(sessions)


def gun(server: Running) -> Gun:
    return Gun(server.host, Repository.parse("team/app"))


def told(slug: str, **detail: object) -> bytes:
    return json.dumps({"errors": [{"code": "X", "message": "said", "detail": {"slug": slug, **detail}}]}).encode()


def reply(status: int, body: bytes, **headers: str) -> Callable[[Handler], None]:
    return lambda handler: handler.reply(status, body, **headers)


def test_online_keys_are_read_and_their_ids_recomputed(serve: Serve) -> None:
    keys = {role: CryptoSigner.generate_ed25519().public_key for role in ("snapshot", "timestamp")}
    body = {role: {"keyid": key.keyid, **key.to_dict()} for role, key in keys.items()}
    server = serve(reply(200, json.dumps(body).encode()))
    assert TRUST.online_keys(gun(server)) == keys
    assert server.seen == [("GET", f"/v2/{gun(server)}/_trust/online-keys", "")]
    body["snapshot"]["keyid"] = body["timestamp"]["keyid"]
    with pytest.raises(Garbage):
        TRUST.online_keys(gun(serve(reply(200, json.dumps(body).encode()))))


@pytest.mark.parametrize("body", [b"{}", b"[]", b'{"snapshot":{},"timestamp":{}}', b'{"snapshot":1,"timestamp":2}'])
def test_online_keys_that_are_none(serve: Serve, body: bytes) -> None:
    with pytest.raises(Garbage):
        TRUST.online_keys(gun(serve(reply(200, body))))


def test_every_missing_role_is_told(serve: Serve) -> None:
    server = serve(reply(403, told("role-missing", missing=["AcrPush", "AcrImageSigner"])))
    with pytest.raises(RoleMissing) as caught:
        TRUST.require_publish(gun(server))
    assert caught.value.context["missing"] == ["AcrPush", "AcrImageSigner"]


def test_a_publish_is_read_by_the_service_as_it_was_sent(serve: Serve) -> None:
    uploads: list[object] = []

    def answer(handler: Handler) -> None:
        uploads.append(read_upload(handler.headers["Content-Type"], handler.body))
        handler.reply(200, b'{"versions":{"root":1,"snapshot":4}}')

    files = {"root": b'{"a":"--x\r\n"}', "targets": b"\r\n--\x00\xff"}
    assert TRUST.publish(gun(serve(answer)), files) == {"root": 1, "snapshot": 4}
    assert uploads == [files]


@pytest.mark.parametrize(
    ("status", "body", "leaf"),
    [
        (409, told("conflict", versions={"targets": 7}), Conflict),
        (400, told("bad-version"), BadVersion),
        (200, b"{}", Garbage),
        (200, b'{"versions":{"root":true}}', Garbage),
        (200, b'{"versions":{"root":99999999999}}', Garbage),
    ],
)
def test_publishes_that_fail(serve: Serve, status: int, body: bytes, leaf: type[TrustkitError]) -> None:
    with pytest.raises(leaf) as caught:
        TRUST.publish(gun(serve(reply(status, body))), {"root": b"{}"})
    if leaf is Conflict:
        assert caught.value.context["versions"] == {"targets": 7}


@pytest.mark.parametrize(
    ("status", "body", "leaf"),
    [
        (404, told("not-found"), NotFound),
        (404, told("no-collection"), NoCollection),
        (404, b"<html>", Garbage),
        (200, b"x" * 101, Garbage),
    ],
)
def test_fetches_that_fail(serve: Serve, status: int, body: bytes, leaf: type[TrustkitError]) -> None:
    with pytest.raises(leaf):
        TRUST.fetcher(gun(serve(reply(status, body))))("timestamp.json", 100)


def test_a_fetch(serve: Serve) -> None:
    server = serve(reply(200, b"{}"))
    assert TRUST.fetch(gun(server), "3.root.json", 100) == b"{}"
    assert server.seen[0][1] == f"/v2/{gun(server)}/_trust/metadata/3.root.json"


def test_a_manifest_is_hashed(serve: Serve) -> None:
    server = serve(reply(200, MANIFEST, Content_Type=OCI, Docker_Content_Digest=f"sha256:{'0' * 64}"))
    assert IMAGES.manifest(gun(server), Tag("v1")) == ManifestBytes(DIGEST, OCI, MANIFEST)
    assert IMAGES.manifest(gun(server), DIGEST).digest == DIGEST
    with pytest.raises(DigestMismatch):
        IMAGES.manifest(gun(server), Digest("0" * 64))


def test_the_registrys_own_view_is_asked_for_by_a_header(serve: Serve) -> None:
    views: list[str | None] = []

    def answer(handler: Handler) -> None:
        views.append(handler.headers.get("Trustkit-View"))
        handler.reply(200, MANIFEST, Content_Type=OCI)

    server = serve(answer)
    IMAGES.manifest(gun(server), Tag("v1"), registry_view=True)
    IMAGES.manifest(gun(server), Tag("v1"))
    assert views == ["registry", None]


@pytest.mark.parametrize(
    ("status", "body", "leaf"),
    [
        (404, b'{"errors":[{"code":"MANIFEST_UNKNOWN"}]}', NotFound),
        (404, b"<html>", Garbage),
        (403, told("unsigned"), Unsigned),
        (200, b"not json", Garbage),
        (200, b"x" * (4 * 1024 * 1024 + 1), Garbage),
        (200, b'{"mediaType":"text/plain"}', Garbage),
    ],
)
def test_manifests_that_are_none(serve: Serve, status: int, body: bytes, leaf: type[TrustkitError]) -> None:
    with pytest.raises(leaf):
        IMAGES.manifest(gun(serve(reply(status, body, Content_Type=OCI))), Tag("v1"))


BLOB = b"layer" * 50_000
BLOB_DIGEST = Digest(hashlib.sha256(BLOB).hexdigest())


@pytest.mark.parametrize(
    ("sent", "size"),
    [(BLOB + b"x", len(BLOB)), (BLOB[:-1], len(BLOB)), (BLOB[:-1] + b"X", len(BLOB)), (BLOB, len(BLOB) - 1)],
    ids=["longer", "shorter", "other", "size"],
)
def test_tampered_blobs(serve: Serve, sent: bytes, size: int) -> None:
    with pytest.raises(DigestMismatch):
        list(IMAGES.blob(gun(serve(reply(200, sent))), BLOB_DIGEST, size))


def test_a_blob_from_a_storage_service(serve: Serve) -> None:
    store = serve(reply(200, BLOB))
    server = serve(reply(307, b"", Location=f"{store.url}/x"))
    assert b"".join(IMAGES.blob(gun(server), BLOB_DIGEST, len(BLOB))) == BLOB


def uploading(location: str, bodies: list[bytes]) -> Callable[[Handler], None]:
    def answer(handler: Handler) -> None:
        if handler.command == "POST":
            handler.reply(202, b"", Location=location)
        else:
            bodies.append(handler.body)
            handler.reply(201)

    return answer


def test_a_blob_is_sent_in_one_pass(serve: Serve) -> None:
    bodies: list[bytes] = []
    server = serve(uploading("/v2/team/app/blobs/uploads/u1?_state=s", bodies))
    IMAGES.put_blob(gun(server), BLOB_DIGEST, (BLOB[i : i + 999] for i in range(0, len(BLOB), 999)), len(BLOB))
    assert bodies == [BLOB]
    assert server.seen[1][1] == f"/v2/team/app/blobs/uploads/u1?_state=s&digest=sha256%3A{BLOB_DIGEST.hex}"


def test_an_upload_goes_nowhere_else(serve: Serve) -> None:
    thief = serve(reply(201, b""))
    with pytest.raises(Garbage, match="another origin"):
        IMAGES.put_blob(gun(serve(uploading(f"{thief.url}/up", []))), BLOB_DIGEST, [BLOB], len(BLOB))
    with pytest.raises(RegistryFailed):
        IMAGES.put_blob(gun(serve(reply(202, b""))), BLOB_DIGEST, [BLOB], len(BLOB))
    assert thief.seen == []


@pytest.mark.parametrize("chunks", [[b"x"], [BLOB, b"x"]], ids=["short", "long"])
def test_an_upload_of_another_size_is_broken_off(serve: Serve, chunks: list[bytes]) -> None:
    with pytest.raises(RegistryFailed):
        IMAGES.put_blob(gun(serve(uploading("/up", []))), BLOB_DIGEST, chunks, len(BLOB))


def test_has_blob_and_put_manifest(serve: Serve) -> None:
    manifest = ManifestBytes(DIGEST, OCI, MANIFEST)
    assert IMAGES.has_blob(gun(serve(reply(200, b""))), DIGEST)
    assert not IMAGES.has_blob(gun(serve(reply(404, b""))), DIGEST)
    server = serve(reply(201, b""))
    IMAGES.put_manifest(gun(server), Tag("v1"), manifest)
    assert server.seen[0][:2] == ("PUT", "/v2/team/app/manifests/v1")
    with pytest.raises(DigestMismatch):
        IMAGES.put_manifest(gun(server), Digest("0" * 64), manifest)
