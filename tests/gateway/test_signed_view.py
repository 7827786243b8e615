"""``Trustkit-View: signed``: what is signed and nothing else, also of a repository that isn't trust-only."""

from __future__ import annotations

import pytest

from tests.gateway.conftest import APP, Client, World, target
from trustkit.core.names import Digest

PATH = f"/v2/{APP}"
SIGNED = {"trustkit_view": "signed"}


@pytest.fixture
def signed(client: Client, world: World) -> bytes:
    data = client.image("one", "v1")
    client.image("two", "dev")
    world.sign(APP, {"v1": target("v1", data)})
    return data


@pytest.mark.parametrize("who", ["puller", "pusher", "signer", "admin"])
def test_the_list_of_tags(client: Client, signed: bytes, who: str) -> None:
    assert client("GET", f"{PATH}/tags/list", who=who).json["tags"] == ["dev", "v1"]
    assert client("GET", f"{PATH}/tags/list", who=who, **SIGNED).json["tags"] == ["v1"]


def test_tags_and_digests(client: Client, signed: bytes) -> None:
    moved = client.image("moved", "v1")
    assert client("GET", f"{PATH}/manifests/v1", who="puller").body == moved
    assert client("GET", f"{PATH}/manifests/v1", who="puller", **SIGNED).body == signed
    for reference in ("dev", Digest.of(moved)):
        refused = client("GET", f"{PATH}/manifests/{reference}", who="puller", **SIGNED)
        assert (refused.status, refused.reason) == (403, "unsigned")
    assert client("GET", f"{PATH}/blobs/{Digest.of(moved)}", who="puller", **SIGNED).status == 403


def test_where_nothing_is_signed_nothing_is_listed(client: Client) -> None:
    client.image("one", "v1", repository=APP)
    assert client("GET", f"{PATH}/tags/list", who="puller", **SIGNED).json["tags"] == []
    assert client("GET", f"{PATH}/manifests/v1", who="puller", **SIGNED).reason == "no-collection"


@pytest.mark.parametrize("value", ["Signed", " signed "])
def test_its_spelling_is_lenient(client: Client, signed: bytes, value: str) -> None:
    assert client("GET", f"{PATH}/tags/list", trustkit_view=value).json["tags"] == ["v1"]


@pytest.mark.parametrize("value", ["all", "signed, registry", "sign", "none"])
@pytest.mark.parametrize("trust_only", [True, False])
def test_a_view_that_there_is_not_is_an_error(
    client: Client, world: World, signed: bytes, value: str, *, trust_only: bool
) -> None:
    """A client that asks for less than everything, in other words than ours, must not get everything."""
    if trust_only:
        world.trust_only.add(APP)
    reply = client("GET", f"{PATH}/tags/list", trustkit_view=value)
    assert (reply.status, reply.reason) == (400, "usage")


def test_it_opens_nothing_to_who_may_not_pull(client: Client, signed: bytes) -> None:
    assert client("GET", f"{PATH}/tags/list", who="nobody", **SIGNED).status == 401
