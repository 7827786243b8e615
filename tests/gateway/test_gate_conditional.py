"""Conditional and paged requests to a trust-only repository: the gate decides first (TRUST 7.1, 7.4)."""

from __future__ import annotations

import pytest

from tests.gateway.conftest import APP, Client, World, descriptor, target
from trustkit.core.manifests import OCI_MANIFEST
from trustkit.core.names import Digest

PATH = f"/v2/{APP}"


def quoted(data: bytes) -> str:
    return f'"{Digest.of(data)}"'


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("by", ["tag", "digest"])
def test_what_is_signed_may_be_304_and_what_is_revoked_never_is(
    client: Client, world: World, method: str, by: str
) -> None:
    data = client.image("one", "v1")
    path = f"{PATH}/manifests/{'v1' if by == 'tag' else Digest.of(data)}"
    world.trust_only.add(APP)
    world.sign(APP, {"v1": target("v1", data)})
    assert client(method, path, who="puller", if_none_match=quoted(data)).status == 304
    assert client(method, path, who="puller", if_none_match='"sha256:other"').status == 200
    world.sign(APP, {})
    for has in (quoted(data), "*"):
        assert client(method, path, who="puller", if_none_match=has).status == 403


def test_a_tag_that_moved_in_the_registry_alone_is_unchanged(client: Client, world: World) -> None:
    signed = client.image("one", "v1")
    world.trust_only.add(APP)
    world.sign(APP, {"v1": target("v1", signed)})
    moved = client.image("two", "v1")
    assert client("GET", f"{PATH}/manifests/v1", who="puller", if_none_match=quoted(signed)).status == 304
    other = client("GET", f"{PATH}/manifests/v1", who="puller", if_none_match=quoted(moved))
    assert (other.status, other.body) == (200, signed)


def test_no_blob_that_is_a_manifest_is_304(client: Client, world: World) -> None:
    unsigned = client.image("one", "v1")
    world.trust_only.add(APP)
    world.sign(APP, {})
    path = f"{PATH}/blobs/{Digest.of(unsigned)}"
    assert client("GET", path, who="puller", if_none_match=quoted(unsigned)).status == 403


def test_referrers_come_in_pages_without_images_among_them(client: Client, world: World) -> None:
    subject = client.image("one", "v1")
    about = descriptor(subject, OCI_MANIFEST)
    kinds = {"config_type": "application/vnd.oci.empty.v1+json", "layer_type": "a/layer"}
    listed = {str(Digest.of(client.image(f"sbom {n}", subject=about, artifactType="a/b", **kinds))) for n in range(3)}
    client.image("an image", subject=about)
    world.trust_only.add(APP)
    world.sign(APP, {"v1": target("v1", subject)})
    path, seen, pages = f"{PATH}/referrers/{Digest.of(subject)}?n=2&artifactType=a/b", [], 0
    while path:
        reply = client("GET", path, who="puller")
        assert (reply.status, reply.headers["oci-filters-applied"]) == (200, "artifactType")
        seen += [one["digest"] for one in reply.json["manifests"]]
        pages += 1
        path = reply.headers.get("link", "").removeprefix("<").partition(">")[0]
    assert len(seen) == len(listed)
    assert set(seen) == listed
    assert pages == 2


@pytest.mark.parametrize("has", ['W/"{d}"', '"a", W/"{d}"', "{d}", "*", '"{d}","{d}"', ' * , "x"'])
def test_every_spelling_of_what_the_client_has(client: Client, world: World, has: str) -> None:
    signed, unsigned = client.image("one", "v1"), client.image("two", "dev")
    world.trust_only.add(APP)
    world.sign(APP, {"v1": target("v1", signed)})
    for data, tag, status in ((signed, "v1", 304), (unsigned, "dev", 403)):
        for reference in (tag, Digest.of(data)):
            for method in ("GET", "HEAD"):
                sent = has.replace("{d}", str(Digest.of(data)))
                reply = client(method, f"{PATH}/manifests/{reference}", who="puller", if_none_match=sent)
                assert reply.status == status, (reference, method)
                assert reply.body == b"" or status == 403
    assert client("GET", f"{PATH}/manifests/v1", who="puller", if_none_match='W/"x", "sha256:"').status == 200


def test_a_304_says_which_digest_the_tag_has_now(client: Client, world: World) -> None:
    signed = client.image("one", "v1")
    world.trust_only.add(APP)
    world.sign(APP, {"v1": target("v1", signed)})
    reply = client("GET", f"{PATH}/manifests/v1", who="puller", if_none_match="*")
    assert (reply.status, reply.headers["docker-content-digest"]) == (304, str(Digest.of(signed)))
    assert reply.headers["etag"] == quoted(signed)


def test_what_the_registry_has_lost_is_no_304(client: Client, world: World) -> None:
    world.trust_only.add(APP)
    world.sign(APP, {"v1": target("v1", b"lost")})
    assert client("GET", f"{PATH}/manifests/v1", who="puller", if_none_match="*").status == 404


@pytest.mark.parametrize("range_", ["bytes=0-9", "bytes=-5", "bytes=5-", "bytes=999999-", "lines=1-2"])
def test_a_manifest_is_whole_whatever_range_is_asked_for(client: Client, world: World, range_: str) -> None:
    """RFC 9110, 14.2: a server may ignore Range; part of a manifest is nothing that anybody can hash."""
    signed, unsigned = client.image("one", "v1"), client.image("two", "dev")
    world.trust_only.add(APP)
    world.sign(APP, {"v1": target("v1", signed)})
    for reference in ("v1", Digest.of(signed)):
        reply = client("GET", f"{PATH}/manifests/{reference}", who="puller", range=range_)
        assert (reply.status, reply.body) == (200, signed)
    for reference in ("dev", Digest.of(unsigned)):
        assert client("GET", f"{PATH}/manifests/{reference}", who="puller", range=range_).status == 403


def test_a_range_of_a_layer(client: Client, world: World) -> None:
    signed = client.image("one", "v1")
    layer = f"{PATH}/blobs/{Digest.of(b'layer of one')}"
    world.trust_only.add(APP)
    world.sign(APP, {"v1": target("v1", signed)})
    part = client("GET", layer, who="puller", range="bytes=6-7")
    assert (part.status, part.body, part.headers["content-range"]) == (206, b"of", "bytes 6-7/12")
    assert client("GET", layer, who="puller", range="bytes=12-").status == 416
