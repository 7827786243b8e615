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
