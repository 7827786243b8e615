"""DELETE of what is signed or superseded is refused, with the tag to revoke first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.gateway.conftest import APP, NOW, Client, Reply, Serving, World, descriptor, image_of, target
from trustkit.core.manifests import OCI_INDEX, OCI_MANIFEST
from trustkit.core.names import Digest
from trustkit.core.view import Superseded
from trustkit.errors import SignatureInvalid
from trustkit.gateway.upstream import UpstreamRegistry

PATH = f"/v2/{APP}"


def delete(client: Client, what: str, **headers: str) -> Reply:
    return client("DELETE", f"{PATH}/{what}", **headers)


def manifest(data: bytes) -> str:
    return f"manifests/{Digest.of(data)}"


@pytest.mark.parametrize("trust_only", [True, False])
def test_what_a_signed_tag_names(client: Client, world: World, *, trust_only: bool) -> None:
    data = client.image("one", "v1")
    if trust_only:
        world.trust_only.add(APP)
    world.sign(APP, {"v1": target("v1", data)})
    refused = delete(client, manifest(data))
    assert (refused.status, refused.code, refused.reason) == (403, "DENIED", "in-use")
    message = refused.json["errors"][0]["message"]
    assert f"{Digest.of(data)} of team/app is in use: signed as v1." in message
    assert "Revoke it first: trustkit revoke localhost:5080/team/app:v1" in message
    assert delete(client, "manifests/v1").reason == "in-use"
    assert client("GET", f"{PATH}/{manifest(data)}").body == data
    world.sign(APP, {})
    assert delete(client, manifest(data)).status == 202
    assert client("GET", f"{PATH}/{manifest(data)}").status in (403, 404)


def test_its_config_and_layers(client: Client, world: World) -> None:
    data = client.image("one", "v1")
    other = client.blob(b"nobody lists this")
    world.sign(APP, {"v1": target("v1", data)})
    refused = delete(client, f"blobs/{Digest.of(b'layer of one')}")
    assert (refused.status, refused.reason) == (403, "in-use")
    assert f"{Digest.of(data)} needs it, signed as v1" in refused.json["errors"][0]["message"]
    assert delete(client, f"blobs/{other}").status == 202


def test_children_of_indexes_and_what_they_list(client: Client, world: World) -> None:
    bottom = client.image("bottom")
    index = client.index([client.index([bottom])], "v1", [OCI_INDEX])
    world.sign(APP, {"v1": target("v1", index, OCI_INDEX)})
    for what in (manifest(bottom), f"blobs/{Digest.of(b'layer of bottom')}"):
        refused = delete(client, what)
        assert (refused.status, refused.reason) == (403, "in-use")
        assert f"below {Digest.of(index)}" in refused.json["errors"][0]["message"]


def test_a_recorded_child_whose_index_is_gone(client: Client, world: World) -> None:
    child = client.image("child")
    signed = replace(target("v1", b"an index that is gone", OCI_INDEX), children=(Digest.of(child),))
    world.sign(APP, {"v1": signed})
    assert delete(client, manifest(child)).reason == "in-use"


def test_what_is_superseded_until_its_date(client: Client, world: World) -> None:
    inner = client.image("old")
    old, new = client.index([inner]), client.image("new", "v1")
    former = Superseded(Digest.of(old), NOW + timedelta(days=1))
    world.sign(APP, {"v1": target("v1", new, superseded=(former,))})
    for data in (old, inner):
        assert "superseded at v1 until 2030-01-02" in delete(client, manifest(data)).json["errors"][0]["message"]
    world.now = former.until
    assert delete(client, manifest(inner)).status == 202
    assert delete(client, manifest(old)).status == 202
    assert delete(client, manifest(new)).reason == "in-use"


def test_what_has_expired_is_in_use_and_where_nobody_can_say_nothing_is_deleted(client: Client, world: World) -> None:
    data = client.image("one", "v1")
    world.sign(APP, {"v1": target("v1", data)}, expires=NOW)
    assert delete(client, manifest(data)).reason == "in-use"
    world.views[APP] = SignatureInvalid("The stored state is damaged.")
    refused = delete(client, manifest(data))
    assert (refused.status, refused.reason) == (403, "signature-invalid")


def test_the_rest_is_deleted_as_before(client: Client, world: World) -> None:
    signed, dev = client.image("one", "v1"), client.image("two", "dev")
    client.image("three", "other")
    about = descriptor(signed, OCI_MANIFEST)
    sbom = client.image("sbom", subject=about, config_type="a/b", layer_type="a/c")
    world.sign(APP, {"v1": target("v1", signed)})
    for what in (manifest(dev), manifest(sbom), "manifests/other", f"blobs/{Digest.of(b'layer of two')}"):
        assert delete(client, what).status == 202
    assert delete(client, manifest(dev)).code == "MANIFEST_UNKNOWN"


def test_who_may_not_delete_is_told_of_the_role_and_not_of_what_is_signed(client: Client, world: World) -> None:
    data = client.image("one", "v1")
    world.sign(APP, {"v1": target("v1", data)})
    for who in ("puller", "pusher", "signer", "nobody"):
        refused = delete(client, manifest(data), who=who)
        assert (refused.status, refused.code) == (401, "UNAUTHORIZED")
        assert "signed" not in refused.json["errors"][0]["message"]


def test_a_deleted_manifest_is_not_served_from_memory(client: Client, world: World) -> None:
    data = client.image("one", "v1")
    world.trust_only.add(APP)
    world.sign(APP, {"v1": target("v1", data)})
    assert client("GET", f"{PATH}/manifests/v1").body == data
    world.sign(APP, {})
    assert delete(client, manifest(data)).status == 202
    world.sign(APP, {"v1": target("v1", data)})
    assert client("GET", f"{PATH}/manifests/v1").code == "MANIFEST_UNKNOWN"


def test_a_signed_image_that_lists_a_manifest_as_a_layer_keeps_those_bytes(client: Client, world: World) -> None:
    other = client.image("other")
    client.blob(b"{}")
    signed = client.manifest(image_of(b"{}", other), "v1")
    world.sign(APP, {"v1": target("v1", signed)})
    assert delete(client, f"blobs/{Digest.of(other)}").reason == "in-use"


@pytest.mark.real
class TestUpstream:
    @pytest.fixture
    def proxy(self, docker_registry, world: World) -> Iterator[Client]:
        with Serving(lambda: UpstreamRegistry(docker_registry.url), world) as client:
            yield client

    def test_the_gate_refuses_for_it(self, proxy: Client, world: World) -> None:
        inner = proxy.image("inner")
        index, dev = proxy.index([inner], "v1"), proxy.image("dev", "dev")
        world.sign(APP, {"v1": target("v1", index, OCI_INDEX)})
        for what in (manifest(index), manifest(inner), "manifests/v1", f"blobs/{Digest.of(b'layer of inner')}"):
            assert delete(proxy, what).reason == "in-use"
        assert delete(proxy, manifest(dev)).status == 202
        world.sign(APP, {})
        assert delete(proxy, manifest(index)).status == 202
